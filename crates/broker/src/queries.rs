//! What can be asked about messages that are stored: which ones have this word, and what became of one.

use sluice_model::{GroupName, Millis, Offset, QueueId, StoredMessage, TopicName};
pub use sluice_store::SearchBy;

/// A search for messages of one topic by a word, newest first.
#[derive(Debug, Clone, Copy)]
pub struct FindRequest<'a> {
    /// The topic.
    pub topic: &'a TopicName,
    /// The id or key, exactly.
    pub word: &'a str,
    /// Whether it is the message's id, or may be one of its keys as well.
    pub by: SearchBy,
    /// Only messages stored at this time or later.
    pub from: Millis,
    /// Only messages stored at this time or earlier.
    pub to: Millis,
    /// Where to search on: [`Found::next`] of the search before.
    pub after: Option<u64>,
    /// At most so many messages.
    pub max: usize,
}

impl<'a> FindRequest<'a> {
    /// Every message of the topic with this word, whenever it was stored.
    pub fn new(topic: &'a TopicName, word: &'a str, by: SearchBy, max: usize) -> Self {
        Self { topic, word, by, from: 0, to: Millis::MAX, after: None, max }
    }
}

/// What a search found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The messages, newest first. There may be none although `next` leads on: then much was looked at in vain.
    pub messages: Vec<StoredMessage>,
    /// Where to search on, while there may be more. It says nothing to anybody else.
    pub next: Option<u64>,
}

/// A question for the life of a message.
#[derive(Debug, Clone, Copy)]
pub struct TraceRequest<'a> {
    /// The topic that it was sent to; `None`: the newest message with this id, whichever topic that was sent to.
    pub topic: Option<&'a TopicName>,
    /// The message's id.
    pub id: &'a str,
    /// Where to look on: [`Trace::next`] of the answer before.
    pub after: Option<u64>,
}

/// What became of a message, as the log tells it.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The topic that it was sent to.
    pub topic: TopicName,
    /// The records of it that are kept, oldest first: as it was sent, and its copies in retry and dead-letter topics.
    /// One that waits (for its time, or for the end of its transaction) has the offset of its kind, not one of the topic's.
    pub messages: Vec<StoredMessage>,
    /// What happened, in the order in which it happened. Of groups that the asker may not see nothing is told.
    pub events: Vec<TraceEvent>,
    /// Where to look on, while there is more of the log; there may be nothing more to tell.
    pub next: Option<u64>,
}

/// Something that happened to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceEvent {
    /// When.
    pub at: Millis,
    /// The topic that the record belongs to which it happened to.
    pub topic: TopicName,
    /// Its queue there.
    pub queue: QueueId,
    /// Its offset there; nothing while it waits.
    pub offset: Option<Offset>,
    /// Where that record lies: [`StoredMessage::locator`] of one of [`Trace::messages`].
    pub locator: u64,
    /// The group whose doing it was; nothing for what has no group.
    pub group: Option<GroupName>,
    /// What.
    pub step: TraceStep,
}

/// What can happen to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceStep {
    /// It was stored in its topic, where consumers see it from then on.
    Stored,
    /// It waits for its time.
    Delayed {
        /// When it is delivered to its queue.
        until: Millis,
    },
    /// Its sender took it back before its time.
    Recalled,
    /// It is half a transaction and waits for its end.
    Prepared,
    /// Somebody was asked for the end of its transaction.
    Asked {
        /// How often by then.
        checks: u32,
    },
    /// Its transaction was committed.
    Committed,
    /// Its transaction was rolled back: nobody sees it.
    RolledBack,
    /// Nobody decided its transaction in time.
    GivenUp,
    /// A consumer of the group took it under lease.
    Delivered {
        /// Which delivery it was, from 1.
        attempt: u32,
        /// The end of the lease; nothing for one that lasts as long as the consumer's connection.
        until: Option<Millis>,
        /// Who took it: the proven name, empty when anonymous, and the address.
        taker: Option<(String, std::net::SocketAddr)>,
    },
    /// The consumer keeps it longer.
    Extended {
        /// The new end of the lease.
        until: Millis,
    },
    /// The consumer is done with it.
    Acknowledged,
    /// The consumer gave it back: it failed, or was not looked at.
    Returned {
        /// How many deliveries count by then.
        attempts: u32,
        /// When it is delivered again at the earliest; at once when that has passed.
        visible_at: Millis,
    },
    /// The group passed over it: its subscription does not want it, or it was too old.
    PassedOver,
    /// The group's offset was set behind it: queue consumers (whose reading leaves no record) say so that they are done
    /// with it, and a group may begin there.
    OffsetBehind,
    /// The group's offset was set back to it or before it: it is delivered again.
    OffsetBefore,
    /// It failed and was stored in the group's retry topic.
    Retried {
        /// How many deliveries have failed.
        attempts: u32,
        /// When it is delivered again at the earliest: it waits until then, and is stored there anew.
        until: Millis,
    },
    /// It failed for good and was stored in the group's dead-letter topic.
    DeadLettered {
        /// Why.
        reason: String,
    },
}
