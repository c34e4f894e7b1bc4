//! The cloud's MQ HTTP protocol: the request line, and after an empty line the XML. `{ack}` is the last receipt handle.

use super::Denial::Names;
use super::{NO_WORD, OWN_END, Row, asks};
use sluice_auth::Action::{Pub, Sub};
use sluice_broker::Verb;

const CONSUME: &str = "GET /topics/{t}/messages?consumer={g}";
const HALF: &str = "POST /topics/{t}/messages\n\n<Message><MessageBody>half</MessageBody>\
    <Properties>__TransCheckT:300</Properties></Message>";
const ACKNOWLEDGE: &str = "DELETE /topics/{t}/messages?consumer={g}\n\n\
    <ReceiptHandles><ReceiptHandle>{ack}</ReceiptHandle></ReceiptHandles>";
const COMMIT: &str = "DELETE /topics/{t}/messages?consumer={g}-p&trans=commit\n\n\
    <ReceiptHandles><ReceiptHandle>{ack}</ReceiptHandle></ReceiptHandles>";

pub fn row(verb: Verb) -> Row {
    use Verb::*;
    match verb {
        Send => asks(
            &[("Topic:{t}", &[Pub])],
            Names("Pub Topic:{t}"),
            ["POST /topics/{t}/messages\n\n<Message><MessageBody>body</MessageBody></Message>"],
        ),
        Prepare => asks(&[("Topic:{t}", &[Pub])], Names("Pub Topic:{t}"), [HALF]),
        // Whether there is such a topic is looked at first.
        EndTransaction => asks(&[("Topic:{t}", &[Pub])], Names("Topic:{t}"), [HALF, COMMIT]),
        ReceiveChecks => asks(
            &[("Topic:{t}", &[Pub])],
            Names("Topic:{t}"),
            ["GET /topics/{t}/messages?consumer={g}-p&trans=pop&waitseconds=5"],
        ),
        Receive => {
            asks(&[("Group:{g}", &[Sub])], Names("Sub Group:{g}"), [CONSUME]).after("Topic:{t}", &[Sub])
        }
        Topic => asks(&[("Topic:{t}", &[Sub])], Names("Topic:{t}"), [CONSUME]).after("Group:{g}", &[Sub]),
        EnsureGroup => asks(
            &[("Group:{g}-new", &[Sub])],
            Names("Sub Group:{g}-new"),
            ["GET /topics/{t}/messages?consumer={g}-new"],
        )
        .after("Topic:{t}", &[Sub]),
        Ack | AckAll | Group => {
            asks(&[("Topic:{t}", &[Sub]), ("Group:{g}", &[Sub])], Names("Topic:{t}"), [CONSUME, ACKNOWLEDGE])
        }
        SessionEnded => Row::Unsaid(OWN_END),
        CheckSend | Work | SendOnce | SendSequenced | NameProducer | JoinTransaction | PromiseOffsets
        | DecideTransaction | NamedProducers | Senders | UnsettledOffsets | Recall | Transactions
        | ProduceAs | ReceiveUpTo | Nack | Release | ChangeInvisible | DeadLetter | DeadLetters | Redrive
        | Pull | PullPacked | MessageAt | Find | Trace | Cursor | Poll | Grown | BornAt | SendBack
        | CommitOffset | Committed | Bounds | WholeBounds | OffsetAt | Progress | ResetOffsets
        | SetOffsets | CheckConsume | Coordinate | CommitOffsets | CommittedOffsets | ForgetOffsets
        | Client | Join | Members | Subscription | LockQueues | UnlockQueues | HasQueueLocks | PutTopic
        | EnsureTopic | DeleteTopic | DeleteTopicIf | Truncate | TruncateQueue | Topics | QueueSizes
        | PutGroup | DeleteGroup | DeleteGroupIf | Groups | Users | User | PutUser | DeleteUser | Roles
        | PutRole | DeleteRole | GroupQuotas | Policies | DeletePolicies | CountPolicies | ChangeAccess
        | CheckAccess | CreateToken | ExplainAccess | Audit | PermitCluster | Tune | Damages
        | Connections | CloseConnection => Row::Unsaid(NO_WORD),
    }
}
