//! What the broker writes to its log besides messages.
//!
//! Encoded with postcard: variants and fields are only ever added at the end.

use super::once::Digest;
use super::producers;
use super::sequences::Numbered;
use super::timers::Moved;
use super::transactions::Decision;
use crate::{GroupSpec, Setting, TopicSpec};
use serde::{Deserialize, Serialize};
use sluice_auth::{Change, Session};
use sluice_model::{Error, ErrorKind, GroupName, Millis, Offset, Result, TopicName};
use sluice_store::Lsn;
use std::net::SocketAddr;

/// One change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Record {
    /// The broker started; the number rises for ever, so that lease ids of earlier lives are never given again.
    Boot { number: u32 },
    /// The key that receipt handles are sealed with; made once.
    ReceiptKey([u8; 32]),
    /// A topic is made, or its settings change. `queues` are its numbers in the log.
    Topic { name: TopicName, spec: TopicSpec, queues: Vec<u32>, created: Millis },
    /// A topic is gone, with its queues.
    TopicGone(TopicName),
    /// A group is made, or its settings change.
    Group { name: GroupName, number: u32, spec: GroupSpec, created: Millis },
    /// A group is gone, with its progress.
    GroupGone(GroupName),
    /// Everything below the offset is consumed, and nothing from it on.
    Offset { group: u32, queue: u32, offset: Offset },
    /// Deliveries were leased, and the group's cursor moved to `next`. An `until` of 0 is a lease that ends with its
    /// holder, so with this life of the broker.
    Lease {
        group: u32,
        queue: u32,
        next: Offset,
        until: Millis,
        lease: u64,
        deliveries: Vec<(Offset, u32)>,
        taker: Option<Taker>,
    },
    /// A delivery is consumed.
    Settled { group: u32, queue: u32, offset: Offset },
    /// A delivery came back and is visible again from `visible_at` on.
    Returned { group: u32, queue: u32, offset: Offset, visible_at: Millis, attempt: u32 },
    /// A lease ends at another time, under another id.
    Extended { group: u32, queue: u32, offset: Offset, until: Millis, lease: u64 },
    /// The message that follows in the same atomic group waits for its time.
    Delayed { target: u32, due: Millis },
    /// The waiting message whose record is at `lsn` has been delivered to its queue.
    Fired { due: Millis, lsn: Lsn },
    /// Users or policies changed.
    Access(Box<Change>),
    /// The message that follows in the same atomic group is half a transaction of this group's; it belongs to `target`.
    Prepared { target: u32, group: GroupName, check_at: Millis },
    /// An instance of the group was asked for a transaction's outcome; the next one is asked at `next`.
    Asked { lsn: Lsn, checks: u32, next: Millis },
    /// The transaction whose half is at `lsn` has ended. What it amounts to follows in the same atomic group.
    Decided { lsn: Lsn, decision: Decision },
    /// The waiting message whose record is at `lsn` was taken back by its sender, and is never delivered.
    Recalled { due: Millis, lsn: Lsn, target: u32 },
    /// The next so many messages of the same atomic group were sent under a key that may be told again: its digest, and
    /// that of what was sent.
    Once { key: Digest, content: Digest, messages: u32 },
    /// What a queue holds below an offset is let go.
    Cut { queue: u32, below: Offset },
    /// Dead letters of a queue from one offset to another, which is not among them, went to their group again.
    Redriven { queue: u32, from: Offset, to: Offset },
    /// What a consumer wrote beside an offset that it committed.
    Noted { group: u32, queue: u32, offset: Offset, epoch: Option<i32>, text: String, at: Millis },
    /// A group has no place on a queue any more.
    OffsetGone { group: u32, queue: u32 },
    /// The last member of a group whose offsets have notes has gone.
    Idle { group: u32, at: Millis },
    /// Waiting messages were put aside: they lie in a bucket from now on, and the log need not keep them.
    Moved(Box<Moved>),
    /// The message that follows in the same atomic group is that of the open transaction of this name, which lies there
    /// from now on.
    Carried { lsn: Lsn },
    /// The next messages of the same atomic group are a batch that their producer numbers.
    Numbered { queue: u32, batch: Numbered },
    /// A producer with a name, or its transaction, changed.
    Producer(Box<producers::Change>),
    /// A setting was changed while the broker ran.
    Tuned(Setting),
}

/// Who took deliveries: only shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taker {
    /// The proven identity's name, empty when anonymous.
    pub(crate) principal: String,
    pub(crate) peer: SocketAddr,
}

impl Taker {
    pub(crate) fn of(session: &Session) -> Self {
        Self { principal: session.principal().to_string(), peer: session.peer() }
    }
}

impl Record {
    /// The bytes that go to the log.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        postcard::to_stdvec(self).map_err(Error::internal)
    }

    /// Reads them back.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        postcard::from_bytes(bytes).map_err(|e| {
            Error::new(ErrorKind::Corrupt, "a state record in the log is not readable by this version")
                .with_source(e)
        })
    }
}
