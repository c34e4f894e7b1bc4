//! Producers with names and the transactions that they open over several queues: what is asked and answered.

use serde::{Deserialize, Serialize};
use sluice_model::{GroupName, Millis, Offset, QueueId, TopicName};
use std::time::Duration;

/// What a producer is known by: a number, and an epoch that tells it from who had its name before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProducerId {
    /// Its number: see [`crate::Broker::producer_id`].
    pub number: u64,
    /// Its epoch, below 2^15.
    pub epoch: u16,
}

/// A request for a name.
#[derive(Debug, Clone, Copy)]
pub struct NameProducer<'a> {
    /// The name. Permissions on it are those on the group of this name.
    pub name: &'a GroupName,
    /// How long a transaction may be open; then it is aborted.
    pub timeout: Duration,
    /// What the producer was known by until now, if it asks for a new epoch of its own.
    pub was: Option<ProducerId>,
}

/// Who speaks of its transaction.
#[derive(Debug, Clone, Copy)]
pub struct Speaker<'a> {
    /// Its name.
    pub name: &'a GroupName,
    /// What it is known by.
    pub id: ProducerId,
}

/// Why a producer's request is refused: the source of the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionRefusal {
    /// No producer of this name has, or had, this number.
    Unknown,
    /// Another epoch is the present one: somebody else has the name, or the transaction was open for too long.
    Fenced,
    /// There is no transaction open that this could be part of, or the end of.
    State,
    /// A transaction may not be open for so long, or not at all.
    Timeout,
}

impl TransactionRefusal {
    /// The refusal that an error is, if it is one.
    pub fn of(error: &sluice_model::Error) -> Option<Self> {
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<Self>()).copied()
    }
}

impl std::fmt::Display for TransactionRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the producer of this name has another number",
            Self::Fenced => "the producer was replaced, or its transaction was open for too long",
            Self::State => "the producer has no transaction open that this is part of",
            Self::Timeout => "a transaction may not be open for that long",
        })
    }
}

impl std::error::Error for TransactionRefusal {}

/// A producer with a name, as it is shown.
#[derive(Debug, Clone)]
pub struct ProducerView {
    /// Its name.
    pub name: GroupName,
    /// What it is known by.
    pub id: ProducerId,
    /// How long its transactions may be open.
    pub timeout: Duration,
    /// Since when it has one open, if it has.
    pub since: Option<Millis>,
    /// How the last one ended, if it has had one since it has its name and none is open.
    pub committed: Option<bool>,
    /// The queues that the open one spans.
    pub places: Vec<(TopicName, QueueId)>,
}

/// Somebody who numbers what it sends to a queue.
#[derive(Debug, Clone, Copy)]
pub struct SenderView {
    /// What it is known by.
    pub id: ProducerId,
    /// The number of its last message there.
    pub last: u32,
    /// When that was stored.
    pub at: Millis,
    /// Where its open transaction begins in the queue, if it has one there.
    pub begin: Option<Offset>,
}

/// A transaction that was aborted, in one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aborted {
    /// Whose it was.
    pub producer: u64,
    /// Its first message.
    pub first: Offset,
}

/// The end of a transaction, as it lies in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndMark {
    /// Where.
    pub offset: Offset,
    /// Whose.
    pub id: ProducerId,
    /// Whether it was committed.
    pub commit: bool,
    /// When.
    pub at: Millis,
}

/// The offsets of a queue as who reads everything sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// The first one kept.
    pub min: Offset,
    /// The one behind all that is decided.
    pub stable: Offset,
    /// The one of the next message.
    pub end: Offset,
}

/// How much of a queue a reader wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// What is decided: nothing from the oldest open transaction on, and nothing that was aborted.
    #[default]
    Decided,
    /// Everything.
    Everything,
}
