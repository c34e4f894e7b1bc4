//! HTTP: the request line, and after an empty line the body.

use super::Denial::{Hides, Names};
use super::{BY_BATCH, COORDINATED, NO_WORD, OWN_END, Row, SPANNING, asks};
use sluice_auth::Action::{Create, Delete, Get, List, Pub, Sub, Update};
use sluice_broker::Verb;

const BY_HANDLE: &str = "deliveries are settled by their handle over HTTP: see ack and nack";
const BY_OFFSET: &str = "a message has a queue and an offset over HTTP: see pull";
const BY_COMING: &str =
    "a producer over HTTP is not connected and comes for what it is asked: see receive_checks";
const BY_LEASE: &str = "nobody is a member of a group over HTTP, and no queue is anybody's: see receive";
const ON_THE_WAY: &str =
    "a topic is made on the way, by the first send or subscription: see send and receive";
const GIVEN_BACK: &str = "what its client did not take, a front-end gives back by itself";

pub fn row(verb: Verb) -> Row {
    use Verb::*;
    match verb {
        Send => {
            asks(&[("Topic:{t}", &[Pub])], Names("Pub Topic:{t}"), ["POST /v1/topics/{t}/messages\n\nbody"])
        }
        CheckSend => asks(
            &[("Topic:{t}", &[Pub])],
            Names("Pub Topic:{t}"),
            ["POST /v1/topics/{t}/messages:batch\n\n{\"messages\":[{\"body\":\"one\"}]}"],
        ),
        Work => asks(
            &[("Topic:{t}", &[Pub])],
            Names("Pub Topic:{t}"),
            ["POST /v1/topics/{t}/messages:batch\n\n{\"atomic\":true,\"messages\":[\
              {\"body\":\"one\",\"shardingKey\":\"a\"},{\"body\":\"two\",\"shardingKey\":\"b\"}]}"],
        ),
        SendOnce => asks(
            &[("Topic:{t}", &[Pub])],
            Names("Pub Topic:{t}"),
            ["PUT /v1/topics/{t}/messages/one\n\nbody"],
        ),
        Recall => Row::Unsaid(NO_WORD),
        Prepare => asks(
            &[("Topic:{t}", &[Pub])],
            Names("Pub Topic:{t}"),
            ["POST /v1/topics/{t}/messages?transaction=prepare\n\nbody"],
        ),
        EndTransaction => asks(
            &[("Topic:{t}", &[Pub])],
            Names("Pub Topic:{t}"),
            ["POST /v1/transactions/{transaction}:commit"],
        ),
        Transactions => {
            asks(&[("Topic:{t}", &[Get])], Hides("{transaction}"), ["GET /v1/transactions?topic={t}"])
        }
        ReceiveChecks => asks(
            &[("Topic:{t}", &[Pub])],
            Hides("{transaction}"),
            ["POST /v1/producer-groups/{g}-p/checks:receive?wait=2s"],
        ),
        ProduceAs => Row::Unsaid(BY_COMING),
        Receive => asks(
            &[("Topic:{t}", &[Sub]), ("Group:{g}", &[Sub])],
            Names("Sub "),
            ["POST /v1/groups/{g}/receive?topic={t}"],
        ),
        ReceiveUpTo => asks(
            &[("Topic:{t}", &[Sub]), ("Group:{g}", &[Sub])],
            Names("Sub "),
            ["POST /v1/groups/{g}/receive?topic={t}&maxBytes=1000"],
        ),
        Ack => asks(&[("Group:{g}", &[Sub])], Names("Sub Group:{g}"), ["DELETE /v1/messages/{handle}"]),
        AckAll => settling("ack", "{\"handles\":[\"{handle}\"]}"),
        Nack => settling("nack", "{\"handles\":[\"{handle}\"]}"),
        Release => Row::Unsaid(GIVEN_BACK),
        ChangeInvisible => settling("extend", "{\"handles\":[\"{handle}\"],\"lease\":\"60s\"}"),
        DeadLetter => settling("settle", "{\"deadLetter\":[\"{handle}\"]}"),
        Pull => reading(Sub, "GET /v1/topics/{t}/queues/0/messages"),
        MessageAt => Row::Unsaid(BY_OFFSET),
        Find => reading(Sub, "GET /v1/topics/{t}/messages?key=one"),
        Trace => asks(
            &[("Topic:{t}", &[Sub])],
            Names("Topic:{t}"),
            ["PUT /v1/topics/{t}/messages/traced\n\nbody", "GET /v1/messages/traced/trace?topic={t}"],
        )
        .after("Topic:{t}", &[Pub]),
        Cursor | Poll => reading(Sub, "GET /v1/topics/{t}/stream?from=earliest&format=ndjson"),
        SendBack => Row::Unsaid(BY_HANDLE),
        CommitOffset => Row::Unsaid("offsets are set several at once over HTTP: see set_offsets"),
        SetOffsets => asks(
            &[("Group:{g}", &[Sub])],
            Names("Sub Group:{g}"),
            ["PUT /v1/groups/{g}/offsets\n\n{\"offsets\":[{\"topic\":\"{t}\",\"queue\":0,\"offset\":1}]}"],
        )
        .after("Group:{g}", &[Get])
        .after("Topic:{t}", &[Get]),
        Committed => {
            Row::Unsaid("how far a group is on one queue is told with all of its progress: see progress")
        }
        Bounds => reading(Sub, "GET /v1/topics/{t}/queues/0/messages?offset=-1"),
        OffsetAt => reading(Get, "GET /v1/topics/{t}/offsets?time=2020-01-01T00:00:00Z"),
        Progress => asks(&[("Group:{g}", &[Get])], Names("Get Group:{g}"), ["GET /v1/groups/{g}/offsets"]),
        ResetOffsets => asks(
            &[("Group:{g}", &[Update])],
            Names("Update Group:{g}"),
            ["POST /v1/groups/{g}/offsets:reset\n\n{\"topic\":\"{t}\",\"to\":\"earliest\"}"],
        )
        .after("Group:{g}", &[Get]),
        SendSequenced | PullPacked | Grown | BornAt | TruncateQueue => Row::Unsaid(BY_BATCH),
        QueueSizes => Row::Unsaid(NO_WORD),
        NameProducer | JoinTransaction | PromiseOffsets | DecideTransaction | NamedProducers | Senders
        | UnsettledOffsets | WholeBounds => Row::Unsaid(SPANNING),
        CheckConsume | Coordinate | CommitOffsets | CommittedOffsets | ForgetOffsets => {
            Row::Unsaid(COORDINATED)
        }
        Client | Join | Subscription | LockQueues | UnlockQueues | HasQueueLocks => Row::Unsaid(BY_LEASE),
        Members => asks(&[("Group:{g}", &[Get])], Names("Group:{g}"), ["GET /v1/groups/{g}/members"]),
        PutTopic => asks(
            &[("Topic:{t}-new", &[Create])],
            Names("Create Topic:{t}-new"),
            ["PUT /v1/topics/{t}-new\n\n{\"queues\":1}"],
        )
        .after("Topic:{t}-new", &[Get]),
        EnsureTopic | EnsureGroup => Row::Unsaid(ON_THE_WAY),
        DeleteTopicIf => asks(
            &[("Topic:{t}", &[Delete])],
            Names("Delete Topic:{t}"),
            ["DELETE /v1/topics/{t}?ifUnused=false"],
        ),
        Truncate => asks(
            &[("Topic:{t}", &[Delete])],
            Names("Delete Topic:{t}"),
            ["POST /v1/topics/{t}:truncate\n\n{\"before\":\"earliest\"}"],
        ),
        DeadLetters => {
            asks(&[("Group:{g}", &[Sub])], Names("Group:{g}"), ["GET /v1/groups/{g}/dead-letters"])
        }
        Redrive => asks(
            &[("Group:{g}", &[Update])],
            Names("Update Group:{g}"),
            ["POST /v1/groups/{g}/dead-letters:redrive\n\n{\"all\":true}"],
        ),
        DeleteTopic => {
            asks(&[("Topic:{t}", &[Delete])], Names("Delete Topic:{t}"), ["DELETE /v1/topics/{t}"])
        }
        Topic => reading(Get, "GET /v1/topics/{t}"),
        Topics => asks(&[("Topic:{t}", &[List])], Hides("{t}"), ["GET /v1/topics?prefix=topic-"]),
        PutGroup => asks(
            &[("Group:{g}-new", &[Create])],
            Names("Create Group:{g}-new"),
            ["PUT /v1/groups/{g}-new\n\n{}"],
        )
        .after("Group:{g}-new", &[Get]),
        DeleteGroup => {
            asks(&[("Group:{g}", &[Delete])], Names("Delete Group:{g}"), ["DELETE /v1/groups/{g}"])
        }
        DeleteGroupIf => asks(
            &[("Group:{g}", &[Delete])],
            Names("Delete Group:{g}"),
            ["DELETE /v1/groups/{g}?dryRun=true"],
        ),
        Group => asks(&[("Group:{g}", &[Get])], Names("Get Group:{g}"), ["GET /v1/groups/{g}"]),
        Groups => asks(&[("Group:{g}", &[List])], Hides("{g}"), ["GET /v1/groups?prefix=group-"]),
        Users => looking("GET /v1/users"),
        User => looking("GET /v1/users/{v}"),
        PutUser => changing("PUT /v1/users/{v}-new\n\n{\"secret\":\"a-new-secret\"}"),
        DeleteUser => changing("DELETE /v1/users/{v}"),
        Roles => looking("GET /v1/roles"),
        PutRole => changing("PUT /v1/roles/{r}-new\n\n{}"),
        DeleteRole => changing("DELETE /v1/roles/{r}"),
        GroupQuotas => looking("GET /v1/quotas"),
        Policies => looking("GET /v1/acls?subject={v}"),
        DeletePolicies => changing("DELETE /v1/acls?subject={v}"),
        CountPolicies => changing("DELETE /v1/acls?subject={v}&dryRun=true"),
        CheckAccess => changing("DELETE /v1/roles/{r}?dryRun=true"),
        ChangeAccess => {
            changing("PUT /v1/acls\n\n{\"subject\":\"{v}\",\"resource\":\"Topic:{t}\",\"actions\":[\"Sub\"]}")
        }
        CreateToken => changing("POST /v1/users/{v}/tokens\n\n{\"label\":\"matrix\"}"),
        Audit => looking("GET /v1/audit"),
        ExplainAccess => looking(
            "POST /v1/acls:explain\n\n{\"user\":\"{v}\",\"action\":\"Pub\",\"resource\":\"Topic:{t}\"}",
        ),
        PermitCluster => looking("GET /v1/cluster"),
        Tune => Row::Unsaid(NO_WORD),
        Connections => looking("GET /v1/connections"),
        CloseConnection => changing("DELETE /v1/connections/{connection}"),
        Damages => looking("GET /v1/damages"),
        SessionEnded => Row::Unsaid(OWN_END),
    }
}

fn settling(how: &str, body: &str) -> Row {
    let request = format!("POST /v1/groups/{{g}}/{how}\n\n{body}");
    asks(&[("Group:{g}", &[Sub])], Names("Sub Group:{g}"), [request]).after("Group:{g}", &[Get])
}

fn reading(action: sluice_auth::Action, request: &str) -> Row {
    asks(&[("Topic:{t}", &[action])], Names("Topic:{t}"), [request])
}

fn looking(request: &str) -> Row {
    asks(&[("Cluster", &[Get])], Names("Get Cluster"), [request])
}

fn changing(request: &str) -> Row {
    asks(&[("Cluster", &[Update])], Names("Update Cluster"), [request])
}
