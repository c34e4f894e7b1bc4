//! Kafka: the API and what it is asked about, see `kafka_requests`. Where its response has words, they tell who may not
//! do what, as on every wire; elsewhere there is a number for the kind of thing, beside the thing's name.

use super::Denial::{Hides, Names, Numbered};
use super::{NO_WORD, OWN_END, Row, asks};
use sluice_auth::Action::{Create, Delete, Get, List, Pub, Sub, Update};
use sluice_broker::Verb;

const SEQUENCED: &str = "records come in batches over Kafka, with or without numbers: see send_sequenced";
const NO_HALVES: &str =
    "transactions span partitions over Kafka, and nobody is asked for their outcome: see decide_transaction";
const IN_TWO: &str = "a partition has two ends over Kafka: see whole_bounds";
const BY_OFFSET: &str = "records are read by offset over Kafka, and nothing is leased: see pull";
const BY_COMMITS: &str =
    "a group's offsets are told and set by requests of their own over Kafka: see commit_offsets";
const SHARED_OUT: &str =
    "partitions are shared out by the front-end over Kafka, and no queue is locked: see coordinate";
const BY_QUEUE: &str = "records are deleted partition by partition over Kafka: see truncate_queue";
const UNLESS_USED: &str = "whether a group is at work, the front-end asks before: see delete_group";
const ON_THE_WAY: &str = "a group is made on the way, by its first commit: see commit_offsets";
const NO_ACCESS: &str =
    "users, roles and connections are not administered over Kafka; HTTP has requests for them";
const BY_CHANGE: &str =
    "permissions, quotas and credentials are changed by one verb over Kafka: see change_access";
const BEFORE_REMOVAL: &str =
    "asked on the way, before something is taken away: see delete_policies, change_access";

pub fn row(verb: Verb) -> Row {
    use Verb::*;
    match verb {
        Send | CheckSend | Work | SendOnce | Recall => Row::Unsaid(SEQUENCED),
        // The front-end asks first where the partition begins, which Get suffices for.
        SendSequenced => {
            asks(&[("Topic:{t}", &[Pub])], Names("Pub Topic:{t}"), ["Produce {t}"]).after("Topic:{t}", &[Get])
        }
        Prepare | EndTransaction | Transactions | ReceiveChecks | ProduceAs => Row::Unsaid(NO_HALVES),
        NameProducer | JoinTransaction | PromiseOffsets | DecideTransaction | NamedProducers | Senders
        | UnsettledOffsets => spanning(verb),
        Receive | ReceiveUpTo | Ack | AckAll | Nack | Release | ChangeInvisible | DeadLetter
        | DeadLetters | Redrive | SendBack | Cursor | Poll => Row::Unsaid(BY_OFFSET),
        // The same, with Pub.
        // Fetch reads what is packed; the permits are the same.
        Pull | PullPacked => reading("Fetch {t}").after("Topic:{t}", &[Pub]),
        Grown => reading("Fetch {t} wait").after("Topic:{t}", &[Pub]),
        BornAt => reading("ListOffsets {t} 0").after("Topic:{t}", &[Pub]),
        WholeBounds => reading("ListOffsets {t} -1"),
        Bounds => Row::Unsaid(IN_TWO),
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
        ForgetOffsets => asks(&[("Group:{g}", &[Delete])], Numbered("30 {g}"), ["OffsetDelete {g} {t}"])
            .after("Group:{g}", &[Get])
            .after("Topic:{t}", &[Get, Sub]),
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
        QueueSizes => {
            asks(&[("Topic:{t}", &[Get])], Hides("{t}"), ["DescribeLogDirs {t}"]).after("Cluster", &[Get])
        }
        PermitCluster => asks(&[("Cluster", &[Get])], Names("Get Cluster"), ["DescribeConfigs broker"]),
        Truncate => Row::Unsaid(BY_QUEUE),
        Tune => asks(&[("Cluster", &[Update])], Names("Update Cluster"), ["IncrementalAlterConfigs broker"]),
        DeleteTopicIf | PutGroup | Damages => Row::Unsaid(NO_WORD),
        EnsureGroup => Row::Unsaid(ON_THE_WAY),
        DeleteGroupIf => Row::Unsaid(UNLESS_USED),
        Policies => looking("DescribeAcls {v}"),
        // What there is, is looked at first.
        ChangeAccess => changing("CreateAcls {v} {t}"),
        DeletePolicies => changing("DeleteAcls {v}"),
        CheckAccess => changing("AlterClientQuotas {v} only-check"),
        Users => looking("DescribeUserScramCredentials"),
        Roles | GroupQuotas => looking("DescribeClientQuotas"),
        User | CountPolicies => Row::Unsaid(BEFORE_REMOVAL),
        PutUser | PutRole => Row::Unsaid(BY_CHANGE),
        DeleteUser | DeleteRole | CreateToken | ExplainAccess | Audit | Connections | CloseConnection => {
            Row::Unsaid(NO_ACCESS)
        }
        SessionEnded => Row::Unsaid(OWN_END),
    }
}

fn looking(request: &str) -> Row {
    asks(&[("Cluster", &[Get])], Names("Get Cluster"), [request])
}

fn changing(request: &str) -> Row {
    asks(&[("Cluster", &[Update])], Names("Update Cluster"), [request]).after("Cluster", &[Get])
}

/// What is about transactions. Whoever may not is told of the producer's name, for which all of it is asked first.
fn spanning(verb: Verb) -> Row {
    const NAMED: &str = "InitProducerId {g}-p";
    let producing = ("Group:{g}-p", &[Pub][..]);
    match verb {
        Verb::NameProducer => asks(&[producing], Numbered("53 {g}-p"), [NAMED]),
        Verb::JoinTransaction => asks(
            &[producing, ("Topic:{t}", &[Pub])],
            Numbered("53 {g}-p"),
            [NAMED, "AddPartitionsToTxn {g}-p {t}"],
        ),
        Verb::PromiseOffsets => asks(
            &[producing, ("Group:{g}", &[Sub]), ("Topic:{t}", &[Sub, Get])],
            Numbered("53 {g}-p"),
            [NAMED, "AddOffsetsToTxn {g}-p {g}", "TxnOffsetCommit {g}-p {g} {t}"],
        ),
        Verb::DecideTransaction => asks(
            &[producing, ("Topic:{t}", &[Pub])],
            Numbered("53 {g}-p"),
            [NAMED, "AddPartitionsToTxn {g}-p {t}", "EndTxn {g}-p"],
        ),
        Verb::NamedProducers => asks(&[producing], Hides("{g}-p"), [NAMED, "ListTransactions"]),
        Verb::Senders => asks(&[("Topic:{t}", &[Get])], Numbered("29 {t}"), ["DescribeProducers {t}"]),
        _ => asks(&[("Group:{g}", &[Sub])], Numbered("30 {g}"), ["OffsetFetch {g} {t} stable"])
            .after("Topic:{t}", &[Sub]),
    }
}

fn reading(request: &str) -> Row {
    asks(&[("Topic:{t}", &[Sub])], Numbered("29 {t}"), [request])
}
