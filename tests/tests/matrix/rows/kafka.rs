//! Kafka: the API and what it is asked about, see `kafka_requests`. Where its response has words, they tell who may not
//! do what, as on every wire; elsewhere there is a number for the kind of thing, beside the thing's name.

use super::Denial::{Hides, Names, Numbered};
use super::{NO_WORD, OWN_END, Row, asks};
use sluice_auth::Action::{Create, Delete, Get, List, Pub, Sub};
use sluice_broker::Verb;

const SEQUENCED: &str = "records come in batches over Kafka, with or without numbers: see send_sequenced";
const NO_TRANSACTIONS: &str = "transactions are not offered over Kafka";
const BY_OFFSET: &str = "records are read by offset over Kafka, and nothing is leased: see pull";
const BY_COMMITS: &str =
    "a group's offsets are told and set by requests of their own over Kafka: see commit_offsets";
const SHARED_OUT: &str =
    "partitions are shared out by the front-end over Kafka, and no queue is locked: see coordinate";
const BY_QUEUE: &str = "records are deleted partition by partition over Kafka: see truncate_queue";
const UNLESS_USED: &str = "whether a group is at work, the front-end asks before: see delete_group";
const ON_THE_WAY: &str = "a group is made on the way, by its first commit: see commit_offsets";
const NO_ACCESS: &str =
    "users, policies and connections are not administered over Kafka; HTTP has requests for them";

pub fn row(verb: Verb) -> Row {
    use Verb::*;
    match verb {
        Send | CheckSend | Work | SendOnce | Recall => Row::Unsaid(SEQUENCED),
        // The front-end asks first where the partition begins, which Get suffices for.
        SendSequenced => {
            asks(&[("Topic:{t}", &[Pub])], Names("Pub Topic:{t}"), ["Produce {t}"]).after("Topic:{t}", &[Get])
        }
        Prepare | EndTransaction | Transactions | ReceiveChecks | ProduceAs => Row::Unsaid(NO_TRANSACTIONS),
        Receive | ReceiveUpTo | Ack | Nack | Release | ChangeInvisible | DeadLetter | DeadLetters
        | Redrive | SendBack | Cursor | Poll => Row::Unsaid(BY_OFFSET),
        // The same, with Pub.
        Pull => reading("Fetch {t}").after("Topic:{t}", &[Pub]),
        Grown => reading("Fetch {t} wait").after("Topic:{t}", &[Pub]),
        BornAt => reading("ListOffsets {t} 0").after("Topic:{t}", &[Pub]),
        Bounds => reading("ListOffsets {t} -1"),
        MessageAt | Find | Trace | OffsetAt => Row::Unsaid(NO_WORD),
        CommitOffset | Committed | Progress | ResetOffsets | SetOffsets => Row::Unsaid(BY_COMMITS),
        CheckConsume => asks(&[("Group:{g}", &[Sub])], Numbered("30 {g}"), ["LeaveGroup {g}"]),
        Coordinate => {
            asks(&[("Group:{g}-new", &[Sub])], Numbered("30 {g}-new"), ["ConsumerGroupHeartbeat {g}-new {t}"])
                .after("Topic:{t}", &[Sub])
        }
        CommitOffsets => asks(&[("Topic:{t}", &[Sub])], Numbered("29 {t}"), ["OffsetCommit {g}-new {t}"])
            .after("Topic:{t}", &[Get])
            .after("Group:{g}-new", &[Sub]),
        CommittedOffsets => asks(&[("Group:{g}", &[Sub])], Numbered("30 {g}"), ["OffsetFetch {g} {t}"])
            .after("Topic:{t}", &[Sub]),
        ForgetOffsets => asks(&[("Topic:{t}", &[Sub])], Numbered("29 {t}"), ["OffsetDelete {g} {t}"])
            .after("Topic:{t}", &[Get])
            .after("Group:{g}", &[Sub]),
        Client | Join | Subscription | LockQueues | UnlockQueues | HasQueueLocks => Row::Unsaid(SHARED_OUT),
        // Either is asked for by the other's request, too.
        Members | Group => asks(&[("Group:{g}", &[Get])], Numbered("30 {g}"), ["DescribeGroups {g}"]),
        Groups => asks(&[("Group:{g}", &[List])], Hides("{g}"), ["ListGroups"]),
        DeleteGroup => asks(&[("Group:{g}", &[Delete])], Numbered("30 {g}"), ["DeleteGroups {g}"]),
        PutTopic => {
            asks(&[("Topic:{t}-new", &[Create])], Names("Create Topic:{t}-new"), ["CreateTopics {t}-new"])
        }
        EnsureTopic => asks(&[("Topic:{t}-new", &[Create])], Numbered("29 {t}-new"), ["Metadata {t}-new"])
            .after("Topic:{t}-new", &[Get]),
        DeleteTopic => asks(&[("Topic:{t}", &[Delete])], Names("Delete Topic:{t}"), ["DeleteTopics {t}"]),
        TruncateQueue => asks(&[("Topic:{t}", &[Delete])], Numbered("29 {t}"), ["DeleteRecords {t}"]),
        Topic => asks(&[("Topic:{t}", &[Get])], Names("Topic:{t}"), ["DescribeConfigs topic {t}"]),
        Topics => asks(&[("Topic:{t}", &[List])], Hides("{t}"), ["Metadata"]),
        PermitCluster => asks(&[("Cluster", &[Get])], Names("Get Cluster"), ["DescribeConfigs broker"]),
        Truncate => Row::Unsaid(BY_QUEUE),
        DeleteTopicIf | PutGroup | Damages => Row::Unsaid(NO_WORD),
        EnsureGroup => Row::Unsaid(ON_THE_WAY),
        DeleteGroupIf => Row::Unsaid(UNLESS_USED),
        Users | User | PutUser | DeleteUser | Roles | PutRole | DeleteRole | GroupQuotas | Policies
        | DeletePolicies | CountPolicies | ChangeAccess | CheckAccess | CreateToken | ExplainAccess
        | Audit | Connections | CloseConnection => Row::Unsaid(NO_ACCESS),
        SessionEnded => Row::Unsaid(OWN_END),
    }
}

fn reading(request: &str) -> Row {
    asks(&[("Topic:{t}", &[Sub])], Numbered("29 {t}"), [request])
}
