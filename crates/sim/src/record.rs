//! The broker's records as this crate reads them: a decoder of its own, so that a change of what lies on disk is noticed.
//!
//! Only what the model needs is read. Variants are only ever added at the end, so what is unknown here is skipped.

use crate::spy::Item;
use serde::Deserialize;
use sluice_broker::{GroupSpec, ProducerId, Setting, TopicSpec};
use sluice_model::{GroupName, Millis, Offset, TopicName};
use sluice_store::Lsn;
use std::net::SocketAddr;

/// One change of the broker's state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[allow(dead_code, reason = "the fields are the format, read or not")]
pub enum Rec {
    Boot {
        number: u32,
    },
    ReceiptKey([u8; 32]),
    Topic {
        name: TopicName,
        spec: TopicSpec,
        queues: Vec<u32>,
        created: Millis,
    },
    TopicGone(TopicName),
    Group {
        name: GroupName,
        number: u32,
        spec: GroupSpec,
        created: Millis,
    },
    GroupGone(GroupName),
    Offset {
        group: u32,
        queue: u32,
        offset: Offset,
    },
    Lease {
        group: u32,
        queue: u32,
        next: Offset,
        until: Millis,
        lease: u64,
        deliveries: Vec<(Offset, u32)>,
        taker: Option<(String, SocketAddr)>,
    },
    Settled {
        group: u32,
        queue: u32,
        offset: Offset,
    },
    Returned {
        group: u32,
        queue: u32,
        offset: Offset,
        visible_at: Millis,
        attempt: u32,
    },
    Extended {
        group: u32,
        queue: u32,
        offset: Offset,
        until: Millis,
        lease: u64,
    },
    Delayed {
        target: u32,
        due: Millis,
    },
    Fired {
        due: Millis,
        lsn: Lsn,
    },
    Access(Box<sluice_auth::Change>),
    Prepared {
        target: u32,
        group: GroupName,
        check_at: Millis,
    },
    Asked {
        lsn: Lsn,
        checks: u32,
        next: Millis,
    },
    Decided {
        lsn: Lsn,
        decision: Decision,
    },
    Recalled {
        due: Millis,
        lsn: Lsn,
        target: u32,
    },
    Once {
        key: [u8; 16],
        content: [u8; 16],
        messages: u32,
    },
    Cut {
        queue: u32,
        below: Offset,
    },
    Redriven {
        queue: u32,
        from: Offset,
        to: Offset,
    },
    Noted {
        group: u32,
        queue: u32,
        offset: Offset,
        epoch: Option<i32>,
        text: String,
        at: Millis,
    },
    OffsetGone {
        group: u32,
        queue: u32,
    },
    Idle {
        group: u32,
        at: Millis,
    },
    Moved {
        start: Millis,
        end: Millis,
        made: Lsn,
        at: u64,
        behind: u64,
        count: u32,
        from: Lsn,
        upto: Lsn,
        gone: Vec<(Millis, Lsn)>,
    },
    Carried {
        lsn: Lsn,
    },
    Numbered {
        queue: u32,
        batch: Numbered,
    },
    Producer(Box<Change>),
    Tuned(Setting),
}

/// A change of a producer with a name, or of its transaction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[allow(dead_code, reason = "the fields are the format, read or not")]
pub enum Change {
    Named { name: GroupName, id: ProducerId, timeout: Millis, why: Why },
    Joined { number: u64, queues: Vec<u32>, groups: Vec<GroupName> },
    Promised { number: u64, group: u32, queue: u32, promise: Promised },
    Ended { number: u64, commit: bool },
    Forgotten { name: GroupName },
}

/// Why a producer has a new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub enum Why {
    Taken,
    Asked,
    Ended,
}

/// An offset that holds once a transaction is committed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Promised {
    pub offset: Offset,
    pub epoch: Option<i32>,
    pub note: String,
}

/// The end of a transaction, as it lies in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Marker {
    pub producer: u64,
    pub epoch: u16,
    pub commit: bool,
}

impl Marker {
    /// The encoding that it has among the entries of a queue.
    const ENCODING: u8 = 3;

    /// The marker that an entry is, if it is one.
    pub fn of(item: &Item) -> Option<(u32, Offset, Self)> {
        match item {
            Item::Batch { queue, offset, encoding: Self::ENCODING, bytes, .. } => {
                Some((*queue, *offset, postcard::from_bytes(bytes).ok()?))
            }
            _ => None,
        }
    }
}

/// A batch, as its producer numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub struct Numbered {
    pub producer: u64,
    pub epoch: u16,
    pub first: u32,
    pub count: u32,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub enum Decision {
    Committed,
    RolledBack,
    GivenUp,
}

impl Rec {
    /// Reads a record; nothing for one that the model knows nothing of.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}
