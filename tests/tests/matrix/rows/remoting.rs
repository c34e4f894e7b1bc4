//! RocketMQ remoting: the code, a line for each field, and after an empty line the body.

use super::Denial::{Hides, Names};
use super::{BY_BATCH, COORDINATED, NO_WORD, OWN_END, Row, SPANNING, asks};
use sluice_auth::Action::{self, Create, Delete, Get, List, Pub, Sub, Update};
use sluice_broker::Verb;

const BY_OFFSET: &str =
    "messages are read by offset over remoting, and nothing is leased: see pull and send_back";
const BY_ASKING: &str = "a producer over remoting is asked by the broker for the end of its transactions";
const ANYBODY: &str = "anybody may say what it produces as; it is asked only about topics that it may send to, as a rule of the broker tells";
const ONE_BY_ONE: &str = "each request over remoting does one thing: see send";
const ON_THE_WAY: &str = "a topic is made on the way, by the first send: see send";
const NO_ROLES: &str = "ACL 2.0 has no request that makes or deletes roles";
const NO_TOKENS: &str = "ACL 2.0 has neither tokens nor an audit trail; HTTP has";
const NO_CONNECTIONS: &str = "RocketMQ lists the connections of one group; all of them HTTP lists";
const NO_EXPLAIN: &str = "ACL 2.0 has no request that explains";
const AT_JOINING: &str = "a connection becomes a client by joining, which is what is permitted: see join";

/// A member of the group, whose pulls need name no subscription.
const HEARTBEAT: &str = "34\n\n{\"clientID\":\"c\",\"producerDataSet\":[],\"consumerDataSet\":[{\"groupName\":\"{g}\",\
    \"consumeType\":\"CONSUME_PASSIVELY\",\"messageModel\":\"CLUSTERING\",\
    \"consumeFromWhere\":\"CONSUME_FROM_FIRST_OFFSET\",\
    \"subscriptionDataSet\":[{\"topic\":\"{t}\",\"subString\":\"*\",\"subVersion\":1}]}]}";
const LOCKS: &str = "{\"consumerGroup\":\"{g}\",\"clientId\":\"c\",\"mqSet\":[{\"topic\":\"{t}\",\"brokerName\":\"sluice\",\"queueId\":0}]}";

pub fn row(verb: Verb) -> Row {
    use Verb::*;
    match verb {
        Send => asks(&[("Topic:{t}", &[Pub])], Names("Pub Topic:{t}"), [send("{t}")]),
        CheckSend | Work | SendOnce => Row::Unsaid(ONE_BY_ONE),
        Prepare => asks(
            &[("Topic:{t}", &[Pub])],
            Names("Pub Topic:{t}"),
            ["310\na={g}-p\nb={t}\nd=1\ne=0\nf=4\ng=1700000000000\nh=0\ni=\n\nbody"],
        ),
        EndTransaction => asks(
            &[("Topic:{t}", &[Pub])],
            Names("Pub Topic:{t}"),
            [
                "37\nproducerGroup={g}-p\ntranStateTableOffset={half-offset}\ncommitLogOffset={half}\ncommitOrRollback=8",
            ],
        ),
        Recall => {
            asks(&[("Topic:{t}", &[Pub])], Names("Pub Topic:{t}"), ["370\ntopic={t}\nrecallHandle={recall}"])
        }
        Transactions | ReceiveChecks => Row::Unsaid(BY_ASKING),
        ProduceAs => Row::Unsaid(ANYBODY),
        Receive | ReceiveUpTo | Ack | AckAll | Nack | Release | ChangeInvisible | DeadLetter | Cursor
        | Poll => Row::Unsaid(BY_OFFSET),
        Pull => member(Names("Sub "), &[&pull(4)]),
        MessageAt => reading(Sub, "33\noffset={locator}"),
        Find => reading(Get, &query("{t}")),
        Trace => reading(Get, &query("RMQ_SYS_TRACE_TOPIC")).after("Topic:RMQ_SYS_TRACE_TOPIC", &[Get]),
        SendBack => of_group(Sub, "36\ngroup={g}\noffset={locator}\ndelayLevel=3"),
        CommitOffset => of_group(Sub, "15\nconsumerGroup={g}\ntopic={t}\nqueueId=0\ncommitOffset=1"),
        Committed => asks(
            &[("Group:{g}", &[Get]), ("Topic:{t}", &[Get])],
            Names("Group:{g}"),
            ["14\nconsumerGroup={g}\ntopic={t}\nqueueId=0"],
        ),
        Bounds => reading(Get, "30\ntopic={t}\nqueueId=0"),
        OffsetAt => reading(Get, "29\ntopic={t}\nqueueId=0\ntimestamp=1"),
        Progress => of_group(Get, "208\nconsumerGroup={g}"),
        ResetOffsets => of_group(Update, "222\ngroup={g}\ntopic={t}\ntimestamp=0\nisForce=true"),
        SendSequenced | PullPacked | Grown | BornAt | TruncateQueue => Row::Unsaid(BY_BATCH),
        QueueSizes => Row::Unsaid(NO_WORD),
        NameProducer | JoinTransaction | PromiseOffsets | DecideTransaction | NamedProducers | Senders
        | UnsettledOffsets | WholeBounds => Row::Unsaid(SPANNING),
        CheckConsume | Coordinate | CommitOffsets | CommittedOffsets | ForgetOffsets => {
            Row::Unsaid(COORDINATED)
        }
        Client => Row::Unsaid(AT_JOINING),
        Join => member(Names("Sub Group:{g}"), &[HEARTBEAT]),
        Members => member(Names("Sub Group:{g}"), &[HEARTBEAT, "38\nconsumerGroup={g}"]),
        Subscription => member(Names("Sub "), &[HEARTBEAT, &pull(0)]),
        LockQueues => of_group(Sub, &format!("41\n\n{LOCKS}")),
        UnlockQueues => of_group(Sub, &format!("42\n\n{LOCKS}")),
        HasQueueLocks => of_group(Sub, &send("%RETRY%{g}")),
        PutTopic => asks(
            &[("Topic:{t}-new", &[Create])],
            Names("Create Topic:{t}-new"),
            ["17\ntopic={t}-new\ndefaultTopic=TBW102\nreadQueueNums=1\nwriteQueueNums=1\nperm=6\n\
              topicFilterType=SINGLE_TAG\ntopicSysFlag=0\norder=false"],
        )
        .after("Topic:{t}-new", &[Get]),
        EnsureTopic | EnsureGroup => Row::Unsaid(ON_THE_WAY),
        DeleteTopic => reading(Delete, "215\ntopic={t}"),
        DeleteTopicIf | DeleteGroupIf | Truncate | DeadLetters | Redrive | SetOffsets | CountPolicies
        | CheckAccess => Row::Unsaid(NO_WORD),
        Topic => reading(Get, "351\ntopic={t}"),
        Topics => asks(&[("Topic:{t}", &[List])], Hides("{t}"), ["206"]),
        PutGroup => asks(
            &[("Group:{g}-new", &[Create])],
            Names("Create Group:{g}-new"),
            ["200\n\n{\"groupName\":\"{g}-new\"}"],
        )
        .after("Group:{g}-new", &[Get]),
        DeleteGroup => of_group(Delete, "207\ngroupName={g}"),
        Group => of_group(Get, "352\ngroup={g}"),
        Groups => asks(&[("Group:{g}", &[List])], Hides("{g}"), ["201"]),
        Users => looking("3005"),
        User => looking("3004\nusername={v}"),
        PutUser => {
            changing("3001\nusername={v}-new\n\n{\"password\":\"a-new-secret\",\"userType\":\"Normal\"}")
        }
        DeleteUser => changing("3003\nusername={v}"),
        Roles => looking("3009\nsubject=Role:{r}"),
        PutRole | DeleteRole | GroupQuotas => Row::Unsaid(NO_ROLES),
        Policies => looking("3009\nsubject=User:{v}"),
        DeletePolicies => changing("3008\nsubject=User:{v}\npolicyType=Custom\nresource=Topic:{v}"),
        ChangeAccess => changing(
            "3006\nsubject=User:{v}\n\n{\"policies\":[{\"policyType\":\"Custom\",\"entries\":[\
             {\"resource\":\"Topic:{t}\",\"actions\":[\"Sub\"],\"decision\":\"Allow\"}]}]}",
        ),
        CreateToken | Audit => Row::Unsaid(NO_TOKENS),
        ExplainAccess => Row::Unsaid(NO_EXPLAIN),
        PermitCluster => looking("328"),
        Tune => asks(&[("Cluster", &[Update])], Names("Update Cluster"), ["25\n\ntransactionCheckMax=15"]),
        Connections | CloseConnection => Row::Unsaid(NO_CONNECTIONS),
        Damages => Row::Unsaid(NO_WORD),
        SessionEnded => Row::Unsaid(OWN_END),
    }
}

fn send(topic: &str) -> String {
    format!("310\na=producers\nb={topic}\nd=1\ne=0\nf=0\ng=1700000000000\nh=0\ni=\nj=1\n\nbody")
}

/// By a key that is an id, too: of the trace topic it asks for the trace of that message.
fn query(topic: &str) -> String {
    format!("12\ntopic={topic}\nkey={{t}}\nmaxNum=9\nbeginTimestamp=0\nendTimestamp=9223372036854775807")
}

fn pull(flags: u32) -> String {
    format!(
        "11\nconsumerGroup={{g}}\ntopic={{t}}\nqueueId=0\nqueueOffset=0\nmaxMsgNums=1\nsysFlag={flags}\n\
         commitOffset=0\nsuspendTimeoutMillis=0\nsubscription=*\nsubVersion=1"
    )
}

/// What a consumer does.
fn member(denial: super::Denial, requests: &[&str]) -> Row {
    asks(&[("Topic:{t}", &[Sub]), ("Group:{g}", &[Sub])], denial, requests.iter().copied())
}

fn reading(action: Action, request: &str) -> Row {
    asks(&[("Topic:{t}", &[action])], Names("Topic:{t}"), [request])
}

fn of_group(action: Action, request: &str) -> Row {
    asks(&[("Group:{g}", &[action])], Names("Group:{g}"), [request])
}

fn looking(request: &str) -> Row {
    asks(&[("Cluster", &[Get])], Names("Get Cluster"), [request])
}

/// Tools look before they change.
fn changing(request: &str) -> Row {
    asks(&[("Cluster", &[Update])], Names("Update Cluster"), [request]).after("Cluster", &[Get])
}
