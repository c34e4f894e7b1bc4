//! The one service: about twenty verbs, the same for every wire.
//!
//! Every verb has the same body: ask for the permit, call the rule, count it. A request that spans topics is split at
//! the edge: a permit always speaks of one resource.

#![allow(clippy::todo, unused_variables)]

use crate::*;
use sluice_auth::{Auth, Credentials, Session};
use sluice_model::*;
use sluice_store::Log;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// The broker: a cheap handle to the one service. Clone it freely.
#[derive(Clone)]
pub struct Broker(Arc<()>);

/// The answer of a verb that was carried out at once and becomes true when the log says so.
///
/// The request is already in the log, in call order, when the verb returns: await promises later and together, and
/// many requests share one sync. Dropping a promise does not undo anything.
#[must_use = "the answer may be given only when the promise resolves"]
pub struct Promise<T>(std::marker::PhantomData<fn() -> T>);

impl<T> Future for Promise<T> {
    type Output = Result<T>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}

/// Keeps leases alive: as long as it lives, deliveries leased to it are its own; dropping it returns them at once.
#[derive(Debug)]
pub struct Holder(());

/// A reading position in every queue of one topic, without a group: nothing is stored, nothing is shared.
#[derive(Debug, Clone)]
pub struct Cursor {
    /// The topic.
    pub topic: TopicName,
    /// Which messages.
    pub filter: Filter,
    /// The next offset of each queue.
    pub positions: Vec<Offset>,
}

/// What the broker needs from, or tells, a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// The group's members or their subscriptions changed: share the queues anew.
    GroupChanged(GroupName),
}

/// One client's connection as the broker knows it: its memberships and its events. Dropping it leaves every group.
pub struct Client(());

impl Client {
    /// Takes part in a group, or says so again (a heartbeat). Makes the group, and its retry topic, when they are new.
    pub fn join(&self, session: &Session, membership: Membership) -> Result<Joined> { todo!() }
    /// Leaves a group; the others are told.
    pub fn leave(&self, group: &GroupName) { todo!() }
    /// Says that this connection sends as a producer of the group.
    pub fn produce_as(&self, group: &GroupName, client_id: &str) { todo!() }
    /// The next event. Events are bounded: repeated ones for one group are merged.
    pub async fn event(&self) -> ClientEvent { todo!() }
}

impl Broker {
    /// Opens the service on a log: loads the newest checkpoint and replays what follows it.
    pub fn open(log: Arc<dyn Log>, auth: Arc<Auth>, clock: Arc<dyn Clock>, config: Config) -> Result<Self> { todo!() }
    /// A broker on a memory log with open access and the machine's clock: for tests and front-end examples.
    pub fn in_memory() -> Self { todo!() }
    /// The background duties: timers, checkpoints, retention, silent members. Runs until dropped.
    pub async fn run(&self) { todo!() }
    /// Writes a checkpoint and closes the log. Blocks.
    pub fn close(&self) -> Result<()> { todo!() }
    /// The settings.
    pub fn config(&self) -> &Config { todo!() }
    /// Now, by the broker's clock.
    pub fn now(&self) -> Millis { todo!() }

    /// Proves an identity. Password hashing runs where blocking is allowed.
    pub async fn login(&self, credentials: Credentials<'_>, peer: SocketAddr) -> Result<Session> { todo!() }
    /// Like `login` for credentials that cost nothing to check (anonymous, signatures, tokens); a password that must be
    /// hashed blocks.
    pub fn login_now(&self, credentials: Credentials<'_>, peer: SocketAddr) -> Result<Session> { todo!() }

    // ---- produce
    /// Stores messages of one topic as one atomic group. Permit: Pub on the topic (a retry topic: Sub on its group).
    pub fn send(&self, session: &Session, request: SendRequest) -> Result<Promise<Vec<Sent>>> { todo!() }
    /// Checks what `send` would refuse without storing anything (permission, sizes, delay, topic kind).
    pub fn check_send(&self, session: &Session, request: &SendRequest) -> Result<()> { todo!() }
    /// Sends and acknowledges as one atomic group.
    pub fn work(&self, session: &Session, work: Work) -> Result<Promise<Vec<Sent>>> { todo!() }

    // ---- consume under lease
    /// A holder for leases that last as long as a connection.
    pub fn holder(&self) -> Holder { todo!() }
    /// Hands out messages of one topic under lease. Permit: Sub on the topic and on the group.
    /// Returns an empty list when nothing came within `wait`. Cancel-safe: dropping the future gives nothing away.
    pub async fn receive(&self, session: &Session, request: &ReceiveRequest<'_>) -> Result<Vec<Delivered>> { todo!() }
    /// Settles a delivery as consumed.
    pub fn ack(&self, session: &Session, receipt: &ReceiptHandle) -> Result<Promise<()>> { todo!() }
    /// Gives a delivery back as failed: it is delivered again after `delay` (`None`: the group's step; zero: at once), or
    /// goes to the dead-letter topic when it was the last attempt.
    pub fn nack(&self, session: &Session, receipt: &ReceiptHandle, delay: Option<Duration>) -> Result<Promise<()>> { todo!() }
    /// Gives a delivery back untouched, at once, without counting it as an attempt.
    pub fn release(&self, session: &Session, receipt: &ReceiptHandle) -> Result<Promise<()>> { todo!() }
    /// Sets the lease's end to `lease` from now.
    pub fn change_invisible(&self, session: &Session, receipt: &ReceiptHandle, lease: Duration) -> Result<Promise<Extended>> { todo!() }
    /// Sends a delivery to the group's dead-letter topic and settles it, as one atomic group.
    pub async fn dead_letter(&self, session: &Session, receipt: &ReceiptHandle, reason: &str) -> Result<()> { todo!() }

    // ---- read by offset
    /// Reads from a queue at an offset, waiting for data if asked. Permit: Sub or Get on the topic, and Sub on the group
    /// when one is named. An offset outside the queue's bounds gives no messages and `next` at the nearest bound.
    pub async fn pull(&self, session: &Session, request: &PullRequest<'_>) -> Result<Pulled> { todo!() }
    /// The message whose record is at `locator`. Permit: Sub or Get on its topic.
    pub async fn message_at(&self, session: &Session, locator: u64) -> Result<StoredMessage> { todo!() }
    /// A cursor over a topic. `create`: see [`ReceiveRequest::create`].
    pub async fn cursor(&self, session: &Session, topic: &TopicName, filter: Filter, start: StartAt, create: Option<u32>) -> Result<Cursor> { todo!() }
    /// Reads on from a cursor and moves it, waiting for the first message. Cancel-safe. Messages of one queue come in order.
    pub async fn poll(&self, session: &Session, cursor: &mut Cursor, max: usize, wait: Duration) -> Result<Vec<StoredMessage>> { todo!() }
    /// Gives a message back that a queue consumer could not process: it comes again through the group's retry topic
    /// after `delay`, or goes to the dead-letter topic when its attempts are used up. Permit: Sub on the group.
    pub async fn send_back(&self, session: &Session, group: &GroupName, locator: u64, delay: Option<Duration>, max_attempts: Option<u32>) -> Result<()> { todo!() }

    // ---- offsets
    /// Stores a group's offset on a queue: everything below is consumed. Lower than before is allowed (a rewind).
    pub fn commit_offset(&self, session: &Session, group: &GroupName, topic: &TopicName, queue: QueueId, offset: Offset) -> Result<Promise<()>> { todo!() }
    /// A group's offset on a queue, if it has any.
    pub fn committed(&self, session: &Session, group: &GroupName, topic: &TopicName, queue: QueueId) -> Result<Option<Offset>> { todo!() }
    /// A queue's first offset kept, and the one of the next message.
    pub fn bounds(&self, session: &Session, topic: &TopicName, queue: QueueId) -> Result<(Offset, Offset)> { todo!() }
    /// The first offset stored at `time` or later; the queue's end when there is none.
    pub async fn offset_at(&self, session: &Session, topic: &TopicName, queue: QueueId, time: Millis) -> Result<Offset> { todo!() }
    /// A group's progress on one topic, or on all that it has progress on.
    pub fn progress(&self, session: &Session, group: &GroupName, topic: Option<&TopicName>) -> Result<Vec<Progress>> { todo!() }
    /// Moves a group on a topic; `dry_run` only says where to. Returns the progress as it is then.
    pub async fn reset_offsets(&self, session: &Session, group: &GroupName, topic: &TopicName, to: StartAt, dry_run: bool) -> Result<Vec<Progress>> { todo!() }

    // ---- groups by membership
    /// Registers a connection that will join groups.
    pub fn client(&self, session: &Session) -> Client { todo!() }
    /// A group's live members. Permit: Sub or Get on the group.
    pub fn members(&self, session: &Session, group: &GroupName) -> Result<Vec<Member>> { todo!() }
    /// What the group's members told about this topic.
    pub fn subscription(&self, group: &GroupName, topic: &TopicName) -> Option<Subscription> { todo!() }
    /// Locks queues for one member of a group; returns those it now holds. Permit: Sub on the group.
    pub fn lock_queues(&self, session: &Session, group: &GroupName, client_id: &str, queues: &[(TopicName, QueueId)]) -> Result<Vec<(TopicName, QueueId)>> { todo!() }
    /// Frees queues that this member holds.
    pub fn unlock_queues(&self, session: &Session, group: &GroupName, client_id: &str, queues: &[(TopicName, QueueId)]) -> Result<()> { todo!() }
    /// True when any member of the group holds a queue lock (such a group consumes in order).
    pub fn has_queue_locks(&self, group: &GroupName) -> bool { todo!() }

    // ---- topics, groups
    /// Makes a topic, or changes an existing one's settings. True when it is new.
    pub async fn put_topic(&self, session: &Session, topic: &TopicName, spec: TopicSpec) -> Result<bool> { todo!() }
    /// Makes an unknown topic with so many queues (0: the default) as auto-creation would; nothing happens when it exists.
    pub fn ensure_topic(&self, session: &Session, topic: &TopicName, queues: u32) -> Result<()> { todo!() }
    /// Deletes a topic with its messages and every group's progress on it.
    pub async fn delete_topic(&self, session: &Session, topic: &TopicName) -> Result<()> { todo!() }
    /// One topic. Permit: any of Pub, Sub, Get on it.
    pub fn topic(&self, session: &Session, topic: &TopicName) -> Result<TopicView> { todo!() }
    /// The topics this session may see, by name, after `after`.
    pub fn topics(&self, session: &Session, after: Option<&str>, limit: usize) -> Result<Vec<TopicView>> { todo!() }
    /// Makes a group, or changes it. True when it is new.
    pub async fn put_group(&self, session: &Session, group: &GroupName, spec: GroupSpec) -> Result<bool> { todo!() }
    /// Deletes a group and its progress.
    pub async fn delete_group(&self, session: &Session, group: &GroupName) -> Result<()> { todo!() }
    /// One group. Permit: Sub or Get on it.
    pub fn group(&self, session: &Session, group: &GroupName) -> Result<GroupView> { todo!() }
    /// The groups this session may see, by name, after `after`.
    pub fn groups(&self, session: &Session, after: Option<&str>, limit: usize) -> Result<Vec<GroupView>> { todo!() }

    // ---- users, state of the broker
    /// True while requests are served; false once the log has failed.
    pub fn is_ready(&self) -> bool { todo!() }
    /// True while messages are accepted (the disk is not full).
    pub fn accepts_messages(&self) -> bool { todo!() }
}
