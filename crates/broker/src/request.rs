//! What can be asked of the broker, and what it answers: the union of what the wires can say.

use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use sluice_model::units::{ByteSize, Span};
use sluice_model::{
    Filter, GroupName, Message, MessageId, MessageType, Millis, Offset, QueueId, StoredMessage, TopicName,
};
use sluice_store::Durability;
use std::time::Duration;

/// Which queue of its topic a message goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueChoice {
    /// By the ordering group's hash when there is one, else the next in turn.
    #[default]
    Any,
    /// This one; out of range is `InvalidArgument`.
    Exactly(QueueId),
}

/// Messages for one topic, stored as one atomic group.
#[derive(Debug, Clone)]
pub struct SendRequest {
    /// The topic.
    pub topic: TopicName,
    /// The messages, in order. Several go to one queue, at consecutive offsets.
    pub messages: Vec<Message>,
    /// Which queue.
    pub queue: QueueChoice,
    /// How many queues an unknown topic gets when auto-creation is on; `None` never creates.
    pub create: Option<u32>,
    /// When it counts as stored; `None` is the topic's level. It can only raise that level.
    pub durability: Option<Durability>,
}

impl SendRequest {
    /// One message, to any queue, creating the topic with the default number of queues.
    pub fn one(topic: TopicName, message: Message) -> Self {
        Self { topic, messages: vec![message], queue: QueueChoice::Any, create: Some(0), durability: None }
    }
}

/// A producer's own numbers for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// The producer: see [`crate::Broker::producer_id`].
    pub producer: u64,
    /// Its epoch: a batch of an earlier one is refused.
    pub epoch: u16,
    /// The number of the batch's first message, up to 2^31 - 1 and then again from 0.
    pub first: u32,
}

/// Messages for one queue of a topic that is there, stored as one atomic group.
#[derive(Debug, Clone)]
pub struct SequencedRequest {
    /// The topic.
    pub topic: TopicName,
    /// The queue.
    pub queue: QueueId,
    /// The messages, in order; none of them is delayed.
    pub messages: Vec<Message>,
    /// In the place of messages: the batch that they are.
    pub packed: Option<crate::PackedBatch>,
    /// How their producer numbers them, if it does.
    pub sequence: Option<Sequence>,
    /// Whose transaction they are part of, if they are: it numbers them.
    pub transaction: Option<PartOf>,
    /// When they count as stored, as in [`SendRequest`].
    pub durability: Option<Durability>,
}

/// A read of what is packed: see [`crate::Broker::pull_packed`].
#[derive(Debug, Clone, Copy)]
pub struct PackedPull<'a> {
    /// The topic.
    pub topic: &'a TopicName,
    /// The queue.
    pub queue: QueueId,
    /// Where to begin.
    pub offset: Offset,
    /// How much of the queue is to be seen.
    pub reach: crate::Reach,
    /// No further batch, once there are so many messages.
    pub max: usize,
    /// The same for bytes; one message or batch is always given.
    pub max_bytes: usize,
    /// The consumer group that reads, for permission and quota; nothing is stored.
    pub group: Option<&'a GroupName>,
}

/// The transaction that messages are part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartOf {
    /// The name of their producer.
    pub producer: GroupName,
    /// The transaction spans the queue from now on, if it does not yet; else they are refused.
    pub joins: bool,
}

/// What became of numbered messages.
pub enum SequencedSent {
    /// They are stored from this offset on.
    First(crate::Promise<Offset>),
    /// They were stored before, from this offset on, and are not stored again.
    Again(Offset),
    /// They are not stored.
    Refused(SequenceRefusal),
}

/// Why numbered messages are not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceRefusal {
    /// A newer epoch of their producer is at work.
    OldEpoch,
    /// Some before them are missing, or they were stored too long ago to be known.
    Gap,
}

/// A message that stays invisible until its transaction is decided.
#[derive(Debug, Clone)]
pub struct PrepareRequest {
    /// The message, exactly one.
    pub send: SendRequest,
    /// Whose instances are asked for the outcome when nobody tells it.
    pub group: GroupName,
    /// How long until the first is asked; `None` is the broker's setting.
    pub first_check: Option<Duration>,
}

/// The end of a transaction.
#[derive(Debug, Clone, Copy)]
pub struct EndTransaction<'a> {
    /// What the transaction is called: the locator that preparing its message gave.
    pub transaction: u64,
    /// Deliver the message, or drop it.
    pub commit: bool,
    /// The group that prepared it, when the wire says so: another one is refused.
    pub group: Option<&'a GroupName>,
    /// The offset that preparing gave, when the wire says so: another one is refused.
    pub offset: Option<Offset>,
}

/// An open transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionView {
    /// What it is called.
    pub transaction: u64,
    /// Its message's id.
    pub id: MessageId,
    /// The topic that its message is for.
    pub topic: TopicName,
    /// The queue that its message is for.
    pub queue: QueueId,
    /// Whose instances are asked for the outcome.
    pub group: GroupName,
    /// When its message was prepared.
    pub prepared: Millis,
    /// How often somebody was asked.
    pub checks: u32,
    /// When somebody is asked next, or since when the question waits for somebody who could be asked.
    pub next_check: Millis,
    /// Its check is due, and nobody could be asked yet.
    pub asking: bool,
}

/// A question for the outcome of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionCheck {
    /// What the transaction is called.
    pub transaction: u64,
    /// The group that is asked.
    pub group: GroupName,
    /// Which question this is, from 1.
    pub checks: u32,
    /// The half message, under the topic and queue it is for. Its offset is the one among half messages.
    pub message: StoredMessage,
}

/// Where a sent message went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its id: the sender's, or the one the broker gave.
    pub id: MessageId,
    /// The queue it is in, or will be in.
    pub queue: QueueId,
    /// Its offset; of a delayed message, the offset among waiting ones.
    pub offset: Offset,
    /// Its record's locator.
    pub locator: u64,
    /// When it was stored.
    pub stored: Millis,
    /// True when it waits for its time: `offset` is then not one of the topic's.
    pub delayed: bool,
}

/// Where reading begins when there is no progress yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum StartAt {
    /// The first message kept.
    #[default]
    Earliest,
    /// The next message to come.
    Latest,
    /// The first message stored at this time or later.
    Time(Millis),
}

/// How long a delivery is a consumer's own.
#[derive(Debug, Clone, Copy)]
pub enum Lease<'a> {
    /// For this long; then others get it.
    For(Duration),
    /// For this long, by whole ordering groups: of each as many at once as are wanted, in their order, and no more of it
    /// for anyone before all of them are settled or have come back. Messages without an ordering group are one with
    /// those of their queue.
    InOrder(Duration),
    /// As long as the holder lives: dropping it returns everything at once.
    Held(&'a crate::Holder),
}

/// A receive under lease.
#[derive(Debug, Clone)]
pub struct ReceiveRequest<'a> {
    /// The group.
    pub group: &'a GroupName,
    /// The topic. Messages of this topic that wait in the group's retry topic are served too.
    pub topic: &'a TopicName,
    /// What to deliver; what does not pass counts as consumed by this group.
    pub filter: &'a Filter,
    /// At most so many.
    pub max: usize,
    /// How long each delivery is leased.
    pub lease: Lease<'a>,
    /// How long to wait for the first message.
    pub wait: Duration,
    /// Where an unknown group begins. Whoever uses a group first decides for every wire.
    pub start: StartAt,
    /// How many queues an unknown topic gets when auto-creation is on (0: the default); `None` never creates.
    pub create: Option<u32>,
}

/// What a change of a lease gave.
#[derive(Debug, Clone)]
pub struct Extended {
    /// The handle that works from now on; the old one stays good until its own lease ends.
    pub receipt: sluice_model::ReceiptHandle,
    /// The new end of the lease.
    pub until: Millis,
}

/// A read by offset.
#[derive(Debug, Clone)]
pub struct PullRequest<'a> {
    /// The topic.
    pub topic: &'a TopicName,
    /// The queue.
    pub queue: QueueId,
    /// The first offset wanted.
    pub offset: Offset,
    /// At most so many messages.
    pub max: usize,
    /// At most so many bytes; one message is always returned.
    pub max_bytes: usize,
    /// Which ones.
    pub filter: &'a Filter,
    /// The group that reads, when one does: it must be allowed to, and is not given what has expired.
    pub group: Option<&'a GroupName>,
    /// How long to wait when the offset is the queue's end.
    pub wait: Duration,
}

/// What a pull found.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The messages that passed the filter.
    pub messages: Vec<StoredMessage>,
    /// Where to read on: after the last message examined, or the nearest bound when the offset was outside.
    pub next: Offset,
    /// The first offset kept.
    pub min: Offset,
    /// The offset of the next message to come.
    pub max: Offset,
}

/// A change of several things at once, stored as one atomic group: all of it happens, or nothing.
#[derive(Debug, Clone, Default)]
pub struct Work {
    /// Messages to send.
    pub sends: Vec<SendRequest>,
    /// Deliveries to acknowledge.
    pub acks: Vec<sluice_model::ReceiptHandle>,
}

/// A topic's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSpec {
    /// How many queues; may grow, not shrink.
    pub queues: u32,
    /// The only kind of message it takes, or any.
    pub kind: Option<MessageType>,
    /// When its messages count as stored; `None` is the broker's setting.
    pub durability: Option<DurabilitySetting>,
    /// RocketMQ's permission bits: 4 read, 2 write, 1 inherit.
    pub perm: u8,
    /// Free attributes, kept for the clients that set them.
    pub attributes: Vec<(String, String)>,
}

impl TopicSpec {
    /// A readable and writable topic of so many queues that takes every kind of message.
    pub fn with_queues(queues: u32) -> Self {
        Self { queues, kind: None, durability: None, perm: 6, attributes: Vec::new() }
    }
}

/// The attribute by which a topic keeps its messages for less long than the log.
const RETENTION: &str = "retention";
/// The attribute by which each of a topic's queues keeps so many bytes at most.
const RETENTION_SIZE: &str = "retention_size";

impl TopicSpec {
    /// How long it keeps its messages, if not as long as the log does.
    pub fn retention(&self) -> Option<Span> {
        let (_, text) = self.attributes.iter().find(|(name, _)| name == RETENTION)?;
        text.parse().ok()
    }

    /// How many bytes each of its queues keeps at most, if that is limited.
    pub fn retention_size(&self) -> Option<ByteSize> {
        let (_, text) = self.attributes.iter().find(|(name, _)| name == RETENTION_SIZE)?;
        text.parse().ok()
    }

    /// Whether it says so at all.
    pub(crate) fn has_retention_size(&self) -> bool {
        self.attributes.iter().any(|(name, _)| name == RETENTION_SIZE)
    }

    /// The same settings with this limit, or without.
    #[must_use]
    pub fn keeping(mut self, size: Option<ByteSize>) -> Self {
        self.attributes.retain(|(name, _)| name != RETENTION_SIZE);
        self.attributes.extend(size.map(|size| (RETENTION_SIZE.to_owned(), size.to_string())));
        self
    }

    /// Whether it says so at all.
    pub(crate) fn has_retention(&self) -> bool {
        self.attributes.iter().any(|(name, _)| name == RETENTION)
    }

    /// The same settings with this retention, or with the log's.
    #[must_use]
    pub fn retaining(mut self, retention: Option<Span>) -> Self {
        self.attributes.retain(|(name, _)| name != RETENTION);
        self.attributes.extend(retention.map(|span| (RETENTION.to_owned(), span.to_string())));
        self
    }
}

/// The attribute by which a topic takes only what is sent under a key, and its value.
const KEYED: (&str, &str) = ("idempotency-key", "required");

impl TopicSpec {
    /// True when it takes only messages that are sent under a key, see [`Broker::send_once`](crate::Broker::send_once).
    pub fn demands_key(&self) -> bool {
        self.attributes.iter().any(|(name, value)| (name.as_str(), value.as_str()) == KEYED)
    }

    /// The same settings, demanding a key or not.
    #[must_use]
    pub fn demanding_key(mut self, demanded: bool) -> Self {
        self.attributes.retain(|(name, _)| name != KEYED.0);
        if demanded {
            self.attributes.push((KEYED.0.to_owned(), KEYED.1.to_owned()));
        }
        self
    }
}

/// [`Durability`] as a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DurabilitySetting {
    /// See [`Durability::Async`].
    Async,
    /// See [`Durability::Sync`].
    Sync,
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicView {
    /// Its name.
    pub name: TopicName,
    /// Its settings.
    pub spec: TopicSpec,
    /// The readable offsets of each queue: first kept, next to come.
    pub bounds: Vec<(Offset, Offset)>,
    /// When it was made.
    pub created: Millis,
}

/// A group's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// Where it begins on a queue that it has not read.
    pub start: StartAt,
    /// Deliveries before a message goes to the dead-letter topic; `None` is the broker's setting.
    pub max_attempts: Option<u32>,
    /// How long a nacked message waits when the consumer does not say; attempt n takes the n-th step, the last one
    /// repeats. Empty: at once.
    pub retry_delays: Vec<Span>,
    /// False: the group may not consume.
    pub enabled: bool,
    /// False: members may not read in broadcasting mode.
    pub broadcast: bool,
    /// Free attributes, kept for the clients that set them.
    pub attributes: Vec<(String, String)>,
}

impl Default for GroupSpec {
    fn default() -> Self {
        Self {
            start: StartAt::Earliest,
            max_attempts: None,
            retry_delays: Vec::new(),
            enabled: true,
            broadcast: true,
            attributes: Vec::new(),
        }
    }
}

/// The attribute by which a group consumes in order, and its value.
const ORDER: (&str, &str) = ("order", "fifo");

impl GroupSpec {
    /// True when leased deliveries of one ordering group come one at a time: the next when the one before is settled.
    pub fn is_fifo(&self) -> bool {
        self.attributes.iter().any(|(name, value)| (name.as_str(), value.as_str()) == ORDER)
    }

    /// The same settings, in order or not.
    #[must_use]
    pub fn fifo(mut self, fifo: bool) -> Self {
        self.attributes.retain(|(name, _)| name != ORDER.0);
        if fifo {
            self.attributes.push((ORDER.0.to_owned(), ORDER.1.to_owned()));
        }
        self
    }
}

/// The attribute by which a group lets go what it could not process, and its value.
const NO_DEAD_LETTERS: (&str, &str) = ("dead-letter", "false");

impl GroupSpec {
    /// False when messages that have failed for good are let go in place of being kept.
    pub fn keeps_dead_letters(&self) -> bool {
        !self.attributes.iter().any(|(name, value)| (name.as_str(), value.as_str()) == NO_DEAD_LETTERS)
    }

    /// The same settings, with dead letters or without.
    #[must_use]
    pub fn dead_letters(mut self, kept: bool) -> Self {
        self.attributes.retain(|(name, _)| name != NO_DEAD_LETTERS.0);
        if !kept {
            self.attributes.push((NO_DEAD_LETTERS.0.to_owned(), NO_DEAD_LETTERS.1.to_owned()));
        }
        self
    }
}

/// How a group's consumers receive when they do not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupHabits {
    /// How long deliveries are leased.
    pub lease: Option<Span>,
    /// From which topics.
    pub subscription: Vec<TopicName>,
}

/// The attributes by which a group remembers how its consumers receive when they do not say.
const LEASE: &str = "lease";
const SUBSCRIPTION: &str = "subscription";

impl GroupSpec {
    /// How long its deliveries are leased when a receive does not say, if the group says so.
    pub fn lease(&self) -> Option<Span> {
        self.attribute(LEASE)?.parse().ok()
    }

    /// The topics that it receives from when a receive names none.
    pub fn subscription(&self) -> Vec<TopicName> {
        let names = self.attribute(SUBSCRIPTION).unwrap_or_default().split(' ');
        names.filter_map(|name| TopicName::new(name).ok()).collect()
    }

    /// The same settings with these habits, or without any.
    #[must_use]
    pub fn receiving(mut self, lease: Option<Span>, subscription: &[TopicName]) -> Self {
        self.attributes.retain(|(name, _)| name != LEASE && name != SUBSCRIPTION);
        self.attributes.extend(lease.map(|span| (LEASE.to_owned(), span.to_string())));
        if !subscription.is_empty() {
            let names: Vec<&str> = subscription.iter().map(TopicName::as_str).collect();
            self.attributes.push((SUBSCRIPTION.to_owned(), names.join(" ")));
        }
        self
    }

    fn attribute(&self, wanted: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    }
}

/// A group as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    /// Its name.
    pub name: GroupName,
    /// Its settings.
    pub spec: GroupSpec,
    /// How many live members it has.
    pub members: usize,
    /// The topics it has progress on.
    pub topics: Vec<TopicName>,
    /// When it was made.
    pub created: Millis,
}

/// A group's progress on one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The topic.
    pub topic: TopicName,
    /// The queue.
    pub queue: QueueId,
    /// Everything below is consumed.
    pub committed: Offset,
    /// The first offset kept.
    pub min: Offset,
    /// The offset of the next message to come.
    pub end: Offset,
    /// Deliveries that are leased and not settled.
    pub in_flight: usize,
    /// When the group consumed something of it last, if it did.
    pub last_consumed: Option<Millis>,
}

/// A place on a queue that a group is to be put at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetOffset {
    /// The topic.
    pub topic: TopicName,
    /// The queue.
    pub queue: QueueId,
    /// Everything below is consumed then.
    pub offset: Offset,
    /// Where the group has to be, when that is a condition.
    pub expected: Option<Offset>,
}

/// The source of a `Conflict`: a group is not where it was expected to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetMoved {
    /// Which of the places.
    pub at: usize,
    /// Where the group is; `None` when it has no progress there.
    pub committed: Option<Offset>,
}

impl std::fmt::Display for OffsetMoved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.committed {
            Some(committed) => write!(f, "the group is at {committed}"),
            None => f.write_str("the group has no progress there"),
        }
    }
}

impl std::error::Error for OffsetMoved {}

impl Progress {
    /// How many messages are not consumed yet.
    pub fn lag(&self) -> u64 {
        self.end.saturating_sub(self.committed.max(self.min))
    }
}

/// A group's place on a queue, as a consumer that reads by offset commits it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueCommit {
    /// The queue.
    pub queue: QueueId,
    /// Everything below is consumed.
    pub offset: Offset,
    /// The epoch of the last message read, if the consumer says so; kept for whoever resumes.
    pub epoch: Option<i32>,
    /// What the consumer writes beside it, kept as it is.
    pub note: ByteString,
}

impl QueueCommit {
    /// The most bytes of a note: as much as other brokers keep.
    pub const MAX_NOTE: usize = 4096;
}

/// A group's place on a queue, with what was written beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueCommitted {
    /// The topic.
    pub topic: TopicName,
    /// The queue.
    pub queue: QueueId,
    /// Everything below is consumed.
    pub offset: Offset,
    /// See [`QueueCommit::epoch`]; nothing after the place was moved in another way.
    pub epoch: Option<i32>,
    /// See [`QueueCommit::note`]; empty after the place was moved in another way.
    pub note: ByteString,
}

/// How a member's group shares messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Each message goes to one member.
    Clustering,
    /// Each message goes to every member.
    Broadcasting,
}

/// How a member fetches, as its client says; only shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetching {
    /// It pulls when it likes.
    Pull,
    /// It is pushed to (by long polls).
    Push,
    /// It receives under lease.
    Lease,
}

/// What a member wants from one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topic.
    pub topic: TopicName,
    /// The parsed condition.
    pub filter: Filter,
    /// The condition as written.
    pub expression: ByteString,
    /// The client's version of it: a higher one replaces a lower one.
    pub version: i64,
}

/// A client that takes part in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: GroupName,
    /// The client's id within the group.
    pub client_id: ByteString,
    /// How the group shares.
    pub sharing: Sharing,
    /// How this client fetches.
    pub fetching: Fetching,
    /// Where the group begins, if it is new.
    pub start: StartAt,
    /// What it reads. `None` keeps what is known.
    pub subscriptions: Option<Vec<Subscription>>,
    /// The client's language and version, as it says; only shown.
    pub agent: ByteString,
}

/// A live member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The client's id.
    pub client_id: ByteString,
    /// Its address.
    pub peer: std::net::SocketAddr,
    /// How it fetches.
    pub fetching: Fetching,
    /// How it says that its group shares messages.
    pub sharing: Sharing,
    /// Where it says that reading begins.
    pub start: StartAt,
    /// Its language and version, as it says.
    pub agent: ByteString,
    /// What it reads.
    pub subscriptions: Vec<Subscription>,
    /// When it was last heard of.
    pub last_seen: Millis,
}

/// What joining a group changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// The membership or its subscriptions are new.
    pub changed: bool,
    /// The group's subscriptions are known (false after `subscriptions: None` for a group that the broker does not
    /// know: the client should tell them).
    pub subscriptions_known: bool,
}

/// When a topic is to be deleted.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeleteIf {
    /// Only when it holds no message, and none waits to come to it.
    pub empty: bool,
    /// Only when no group reads it.
    pub unused: bool,
    /// Not at all: only say whether it would be.
    pub dry_run: bool,
}

/// What goes of one queue when a topic is truncated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncated {
    /// The queue.
    pub queue: QueueId,
    /// Where it began.
    pub begin: Offset,
    /// Where it begins since.
    pub until: Offset,
}

/// Which dead letters go to their group again.
#[derive(Debug, Clone, Copy)]
pub struct RedriveRequest<'a> {
    /// The group.
    pub group: &'a GroupName,
    /// Those of these messages; all when left out.
    pub ids: Option<&'a [String]>,
    /// At most about so many: those of one message stay together.
    pub limit: usize,
    /// Only count them.
    pub dry_run: bool,
}

/// What became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redriven {
    /// How many went, or would go.
    pub redriven: usize,
    /// Ids of which there is no dead letter (any more).
    pub missing: Vec<String>,
    /// There are more than the limit: ask again.
    pub more: bool,
}

/// What became of policies that were to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// How many are gone.
    pub removed: usize,
    /// How many stay, because they belong to the operator's file.
    pub kept: usize,
}
