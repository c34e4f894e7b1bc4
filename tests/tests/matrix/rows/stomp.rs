//! STOMP: a frame without its NUL. `await:MESSAGE`, which is not sent, names the frame that is the answer, when it is
//! no RECEIPT; `{ack}` is the delivery of the last MESSAGE.

use super::Denial::Names;
use super::{BY_BATCH, COORDINATED, Denial, NO_WORD, OWN_END, Row, SPANNING, asks};
use sluice_auth::Action::{Delete, Pub, Sub};
use sluice_broker::Verb;

const NO_OFFSETS: &str = "STOMP has no word for offsets and queues: see receive and poll";
const NO_ADMIN: &str = "STOMP has no word for administration; HTTP and remoting have";
const NO_MEMBERS: &str = "nobody is a member of a group over STOMP: a subscription leases, see receive";
const NO_CHECKS: &str =
    "a transaction lasts as long as its connection over STOMP, and nobody is asked for its end: see work";
const WHILE_CONNECTED: &str = "a lease lasts as long as its connection, and ends by itself with it";

const SUBSCRIBE: &str =
    "SUBSCRIBE\nid:1\ndestination:/group/{g}/{t}\nack:client-individual\nawait:MESSAGE\n\n";
const BROWSE: &str = "SUBSCRIBE\nid:1\ndestination:/group/{g}/{t}\nbrowser:true\nawait:MESSAGE\n\n";
const BEGIN: &str = "BEGIN\ntransaction:1\n\n";
const SEND_LATER: &str = "SEND\ntransaction:1\ndestination:/topic/{t}\n\nbody";

pub fn row(verb: Verb) -> Row {
    use Verb::*;
    match verb {
        Send => sending(&["SEND\ndestination:/topic/{t}\n\nbody"]),
        CheckSend => sending(&[BEGIN, SEND_LATER]),
        Work => sending(&[BEGIN, SEND_LATER, "COMMIT\ntransaction:1\n\n"]),
        Receive => receiving(Names("Sub "), &[SUBSCRIBE]),
        // Whoever may not read any more loses the subscription, too, perhaps before the frame is looked at.
        Ack | AckAll => receiving(Names("Sub "), &[SUBSCRIBE, "ACK\nid:{ack}\n\n"]),
        Nack => receiving(Names("Sub "), &[SUBSCRIBE, "NACK\nid:{ack}\n\n"]),
        DeadLetter => receiving(Names("Sub "), &[SUBSCRIBE, "NACK\nid:{ack}\nrequeue:false\n\n"]),
        SendOnce => sending(&["SEND\ndestination:/topic/{t}\n_AMQ_DUPL_ID:1\n\nbody"]),
        Committed | Bounds => receiving(Names("Sub "), &[BROWSE]),
        Recall | ReceiveUpTo | DeadLetters | Redrive => Row::Unsaid(NO_WORD),
        Prepare | EndTransaction | Transactions | ReceiveChecks | ProduceAs => Row::Unsaid(NO_CHECKS),
        Release | ChangeInvisible => Row::Unsaid(WHILE_CONNECTED),
        Cursor => watching("SUBSCRIBE\nid:1\ndestination:/topic/{t}\nfrom:earliest\n\n"),
        Poll => watching("SUBSCRIBE\nid:1\ndestination:/topic/{t}\nfrom:earliest\nawait:MESSAGE\n\n"),
        Pull | MessageAt | Find | Trace | SendBack | CommitOffset | OffsetAt | Progress | ResetOffsets
        | SetOffsets => Row::Unsaid(NO_OFFSETS),
        SendSequenced | PullPacked | Grown | BornAt | TruncateQueue => Row::Unsaid(BY_BATCH),
        QueueSizes => Row::Unsaid(NO_WORD),
        NameProducer | JoinTransaction | PromiseOffsets | DecideTransaction | NamedProducers | Senders
        | UnsettledOffsets | WholeBounds => Row::Unsaid(SPANNING),
        CheckConsume | Coordinate | CommitOffsets | CommittedOffsets | ForgetOffsets => {
            Row::Unsaid(COORDINATED)
        }
        Client | Join | Members | Subscription | LockQueues | UnlockQueues | HasQueueLocks => {
            Row::Unsaid(NO_MEMBERS)
        }
        PutTopic | EnsureTopic | DeleteTopic | DeleteTopicIf | Truncate | Topic | Topics => {
            Row::Unsaid(NO_ADMIN)
        }
        EnsureGroup => asks(
            &[("Topic:{t}", &[Sub]), ("Group:{g}-ordered", &[Sub])],
            Names("Sub Group:{g}-ordered"),
            ["SUBSCRIBE\nid:1\ndestination:/group/{g}-ordered/{t}\norder:fifo\n\n"],
        ),
        DeleteGroup => asks(
            &[("Topic:{t}", &[Sub]), ("Group:STOMP_D_{g}", &[Sub, Delete])],
            Names("Delete Group:STOMP_D_{g}"),
            [
                "SUBSCRIBE\nid:{g}\ndestination:/topic/{t}\ndurable:true\n\n",
                "UNSUBSCRIBE\nid:{g}\n\n",
                "UNSUBSCRIBE\nid:{g}\ndurable:true\n\n",
            ],
        ),
        PutGroup | Group | Groups | DeleteGroupIf => Row::Unsaid(NO_ADMIN),
        GroupQuotas | Users | User | PutUser | DeleteUser | Roles | PutRole | DeleteRole | Policies
        | DeletePolicies | ChangeAccess | ExplainAccess | PermitCluster | Tune | Damages | Connections => {
            Row::Unsaid(NO_ADMIN)
        }
        CreateToken | Audit | CountPolicies | CheckAccess | CloseConnection => Row::Unsaid(NO_ADMIN),
        SessionEnded => Row::Unsaid(OWN_END),
    }
}

fn sending(requests: &[&str]) -> Row {
    asks(&[("Topic:{t}", &[Pub])], Names("Pub Topic:{t}"), requests.iter().copied())
}

fn receiving(denial: Denial, requests: &[&str]) -> Row {
    asks(&[("Topic:{t}", &[Sub]), ("Group:{g}", &[Sub])], denial, requests.iter().copied())
}

fn watching(request: &str) -> Row {
    asks(&[("Topic:{t}", &[Sub])], Names("Sub Topic:{t}"), [request])
}
