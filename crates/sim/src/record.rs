//! The broker's records as this crate reads them: a decoder of its own, so that a change of what lies on disk is noticed.
//!
//! Only what the model needs is read. Variants are only ever added at the end, so what is unknown here is skipped.

use serde::Deserialize;
use sluice_broker::{GroupSpec, TopicSpec};
use sluice_model::{GroupName, Millis, Offset, TopicName};
use sluice_store::Lsn;
use std::net::SocketAddr;

/// One change of the broker's state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
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
}

impl Rec {
    /// Reads a record; nothing for one that the model knows nothing of.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}
