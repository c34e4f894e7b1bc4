//! Consumer groups: who is in one, what each works on, and how far the group is.
//!
//! Generations, barriers and epochs are Kafka's alone and live here; offsets are the broker's, in the one table that
//! every wire reads (`sluice_broker::Broker::commit_offsets`). The one idea to know: a group's members are one state
//! machine without I/O (`classic`, `consumer`), and everything around it only brings it requests, answers and the time.
//!
//! - `classic` — members share out themselves; `consumer` — the broker does (KIP-848)
//! - `live` — the groups that have members now, their locks and their time; `shown` — what others see of them
//! - `handlers` — one file for each kind of request; `names_in` — topics in members' metadata
//! - `refusal` — why not, as the wire's codes; `limits` — what can be set

mod classic;
mod consumer;
mod handlers;
mod limits;
mod live;
mod names_in;
mod refusal;
mod shown;
#[cfg(test)]
mod tests;

pub(crate) use handlers::commit::{commit_of, may_promise};
pub(crate) use handlers::host;
pub use limits::GroupLimits;
pub(crate) use live::Groups;
pub(crate) use refusal::Refusal;

use crate::api::{Api, api};
use handlers::{admin, commit, consumers, delete, fetch, find, membership};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, DeleteGroupsRequest, DescribeGroupsRequest,
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, ListGroupsRequest,
    OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, SyncGroupRequest,
};

/// The rows of the table of APIs that are about groups.
pub(crate) static APIS: [Api; 13] = [
    api!(OffsetCommitRequest, 2..=9, "s i s 7+:s -4:l [s [i l 6+:i s]]", commit::offset_commit),
    api!(OffsetFetchRequest, 1..=9, "-7:s -7:[s [i]] 8+:[s 9+:s 9+:i [s [i]]] 7+:b", fetch::offset_fetch),
    api!(FindCoordinatorRequest, 0..=6, "-3:s 1+:b 4+:[s]", find::find_coordinator),
    api!(JoinGroupRequest, 0..=9, "s i 1+:i s 5+:s s [s y] 8+:s", membership::join_group),
    api!(HeartbeatRequest, 0..=4, "s i s 3+:s", membership::heartbeat),
    api!(LeaveGroupRequest, 0..=5, "s -2:s 3+:[s s 5+:s]", membership::leave_group),
    api!(SyncGroupRequest, 0..=5, "s i s 3+:s 5+:s 5+:s [s y]", membership::sync_group),
    api!(DescribeGroupsRequest, 0..=6, "[s] 3+:b", admin::describe_groups),
    api!(ListGroupsRequest, 0..=5, "4+:[s] 5+:[s]", admin::list_groups),
    api!(DeleteGroupsRequest, 0..=2, "[s]", delete::delete_groups),
    api!(OffsetDeleteRequest, 0..=0, "s [s [i]]", delete::offset_delete),
    api!(ConsumerGroupHeartbeatRequest, 0..=1, "s s i s s i [s] 1+:s s [u [i]]", consumers::heartbeat),
    api!(ConsumerGroupDescribeRequest, 0..=1, "[s] b", consumers::describe),
];
