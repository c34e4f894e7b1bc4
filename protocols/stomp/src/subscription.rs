//! A subscription: what the client asked for, and the task that sends it messages.
//!
//! Push is a habit of this edge: the task keeps a receive (of a group, under a lease that lasts as long as the
//! subscription) or a poll (of a cursor) open while the client has credit. The one idea to know: stopping the task
//! and dropping its holder returns everything unacknowledged at once, so there is no other way to clean up.
//!
//! The push loops are `subscription/leased.rs`, `subscription/cursor.rs` and `subscription/mail.rs`; what was sent and
//! not acknowledged is `subscription/ledger.rs`, what becomes of it when it is refused `subscription/refuse.rs`;
//! fairness is `subscription/turn.rs`.

mod cursor;
mod leased;
mod ledger;
mod mail;
mod refuse;
mod turn;

pub(crate) use ledger::{Claim, Entry, Ledger, Settled};
pub(crate) use refuse::{Refusal, Refused, refuse};
pub(crate) use turn::Turns;

use crate::codec::FrameWriter;
use crate::convert::{self, Delivery, Place};
use crate::destination::{Destination, SentAs};
use crate::errors::Failure;
use crate::frame::Version;
use crate::mail::Slot;
use crate::wire::Wire;
use bytestring::ByteString;
use sluice_auth::{Limit, OverQuota, Session};
use sluice_broker::{Holder, StartAt};
use sluice_model::{Error, ErrorKind, Filter, GroupName, Message, Protocol, Result};
use sluice_net::{Outbox, Output};
use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Messages taken at once from a backlog; few, because they wait in memory for a slow reader.
const BATCH: usize = 16;
/// Between attempts while the broker says "not now".
const PAUSE: Duration = Duration::from_secs(1);
/// How long a stop may take whose client does not read.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// When a delivery counts as consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AckMode {
    /// Once it was written to the socket.
    Auto,
    /// When the client acknowledges it or a later one of the subscription.
    Client,
    /// When the client acknowledges it.
    Individual,
}

/// What a SUBSCRIBE asks for.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The id, when the client gave one.
    pub id: Option<ByteString>,
    /// The destination as the client wrote it.
    pub destination: ByteString,
    pub mode: AckMode,
    /// Messages that may be sent and not acknowledged.
    pub window: usize,
    /// How long a delivery may wait for its ACK.
    pub ack_timeout: Option<Duration>,
    pub source: Source,
    /// Nobody asked for it: it belongs to the `reply-to` of a SEND.
    pub automatic: bool,
}

/// Where messages come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A topic, shared with a group.
    Group(Reading, GroupSource),
    /// A topic, by a reading position of its own.
    Cursor(Reading),
    /// A temporary queue or topic.
    Mail(Arc<Slot>),
}

/// Which messages of which topic.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub destination: Destination,
    pub filter: Filter,
    pub start: StartAt,
    /// Queues of a topic that has to be made; `None` makes none.
    pub create: Option<u32>,
    /// Not what this connection sent itself.
    pub no_local: bool,
    /// Only what is there now, and nothing is taken.
    pub browse: bool,
}

/// With whom they are shared.
#[derive(Debug, Clone)]
pub(crate) struct GroupSource {
    pub name: GroupName,
    /// The group consumes in order; it is made so if it is new.
    pub ordered: bool,
    /// The group is a durable subscription.
    pub durable: bool,
}

/// Everything that a push loop works with.
pub(crate) struct Feed {
    pub plan: Plan,
    pub wire: Arc<Wire>,
    pub session: Session,
    pub version: Version,
    pub out: Outbox,
    pub ordinal: u64,
    pub ledger: Arc<Ledger>,
    pub stop: CancellationToken,
}

/// How a task and the SUBSCRIBE that started it agree that it may begin.
pub(crate) struct Handshake {
    /// The task's: whether the subscription stands.
    ready: oneshot::Sender<Result<()>>,
    /// The SUBSCRIBE's: its RECEIPT is on its way.
    go: oneshot::Receiver<()>,
}

/// The other side of a [`Handshake`].
pub(crate) struct Started {
    pub ready: oneshot::Receiver<Result<()>>,
    pub go: oneshot::Sender<()>,
}

/// A subscription as the connection knows it.
pub(crate) struct Subscription {
    pub ordinal: u64,
    pub mode: AckMode,
    pub automatic: bool,
    /// The group, when the subscription is a durable one.
    pub durable: Option<GroupName>,
    /// As the client wrote it.
    pub destination: ByteString,
    pub ledger: Arc<Ledger>,
    /// Keeps the leases while something that the connection does still needs them.
    pub holder: Option<Arc<Holder>>,
    stop: CancellationToken,
    ended: oneshot::Receiver<()>,
}

/// The subscriptions of one connection.
#[derive(Default)]
pub(crate) struct Subscriptions {
    by_id: HashMap<ByteString, Subscription>,
    last: u64,
    tasks: JoinSet<()>,
}

impl Subscriptions {
    /// Starts a subscription under `key`. The caller has checked that the key is free.
    pub fn start(&mut self, key: ByteString, plan: Plan, seat: Seat<'_>) -> Started {
        while self.tasks.try_join_next().is_some() {}
        self.last += 1;
        let (ready, ready_seen) = oneshot::channel();
        let (go, go_seen) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let holder = matches!(plan.source, Source::Group(..)).then(|| Arc::new(seat.wire.broker.holder()));
        let ledger = Arc::new(Ledger::new(plan.ack_timeout));
        let feed = Feed {
            plan,
            wire: seat.wire.clone(),
            session: seat.session.clone(),
            version: seat.version,
            out: seat.out.clone(),
            ordinal: self.last,
            ledger,
            stop: CancellationToken::new(),
        };
        let durable = match &feed.plan.source {
            Source::Group(_, group) if group.durable => Some(group.name.clone()),
            Source::Group(..) | Source::Cursor(_) | Source::Mail(_) => None,
        };
        let subscription = Subscription {
            ordinal: feed.ordinal,
            mode: feed.plan.mode,
            automatic: feed.plan.automatic,
            durable,
            destination: feed.plan.destination.clone(),
            ledger: feed.ledger.clone(),
            holder: holder.clone(),
            stop: feed.stop.clone(),
            ended,
        };
        self.by_id.insert(key, subscription);
        self.tasks.spawn(async move {
            run(feed, holder, Handshake { ready, go: go_seen }).await;
            drop(ending); // after the leases were returned
        });
        Started { ready: ready_seen, go }
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn get(&self, key: &str) -> Option<&Subscription> {
        self.by_id.get(key)
    }

    pub fn by_ordinal(&self, ordinal: u64) -> Option<&Subscription> {
        self.by_id.values().find(|s| s.ordinal == ordinal)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ByteString, &Subscription)> {
        self.by_id.iter()
    }

    /// Ends a subscription; the future resolves when its messages are back.
    pub fn end(&mut self, key: &str) -> Option<impl Future<Output = ()> + Send + use<>> {
        self.by_id.remove(key).map(Subscription::end)
    }

    /// Ends all of them; the future resolves when their messages are back.
    pub fn end_all(&mut self) -> impl Future<Output = ()> + Send + 'static {
        let ends: Vec<_> = self.by_id.drain().map(|(_, subscription)| subscription.end()).collect();
        async move {
            futures_util::future::join_all(ends).await;
        }
    }
}

impl Subscription {
    fn end(self) -> impl Future<Output = ()> + Send + use<> {
        self.stop.cancel();
        drop(self.holder);
        async move {
            let _ = tokio::time::timeout(STOP_PATIENCE, self.ended).await;
        }
    }
}

/// What a subscription takes from its connection.
pub(crate) struct Seat<'a> {
    pub wire: &'a Arc<Wire>,
    pub session: &'a Session,
    pub version: Version,
    pub out: &'a Outbox,
}

async fn run(feed: Feed, holder: Option<Arc<Holder>>, handshake: Handshake) {
    match (feed.plan.source.clone(), holder) {
        (Source::Group(reading, group), Some(holder)) => {
            leased::run(feed, reading, group, holder, handshake).await;
        }
        (Source::Group(reading, _) | Source::Cursor(reading), _) => {
            cursor::run(feed, reading, handshake).await;
        }
        (Source::Mail(slot), _) => mail::run(feed, slot, handshake).await,
    }
}

impl Handshake {
    /// Reports how the start went; true when the push loop may begin.
    async fn begin(self, started: Result<()>) -> bool {
        let ok = started.is_ok();
        self.ready.send(started).is_ok() && ok && self.go.await.is_ok()
    }
}

impl Reading {
    /// Whether this subscriber keeps away from a message: it sent the message itself and wants none of those, the message
    /// was sent to another part of the topic, or by a STOMP client to the other kind.
    fn skips(&self, wire: &Wire, session: &Session, message: &Message) -> bool {
        use crate::destination::Role;
        let from = &message.provenance;
        let own = from.protocol == Protocol::Stomp && from.peer == Some(session.peer());
        if self.no_local && own || !self.destination.has_part(convert::sent_to(message)) {
            return true;
        }
        if !wire.config.isolate_kinds || self.destination.is_dead_letters() {
            return false;
        }
        match (&self.destination.role, convert::sent_as(message)) {
            (Role::Queue { .. }, Some(SentAs::Topic)) | (Role::Topic, Some(SentAs::Queue)) => true,
            (Role::Queue { .. } | Role::Topic | Role::Group(_) | Role::Part, _) => false,
        }
    }
}

/// One MESSAGE that is to be written.
struct Push<'a> {
    id: &'a str,
    message: &'a Message,
    /// The number of the delivery, where it waits for an ACK.
    number: Option<u64>,
    redelivered: bool,
    /// Where it stands in the log; nowhere for a letter.
    place: Option<Place>,
    /// It is a dead letter, which was sent to somewhere else.
    dead: bool,
}

impl Feed {
    /// Notes a delivery that waits for its ACK; `None` in `auto` mode.
    fn enter(&self, id: &ByteString, attempt: u32, claim: impl FnOnce() -> Claim) -> Option<u64> {
        (self.plan.mode != AckMode::Auto).then(|| self.ledger.add(id.clone(), attempt, claim()))
    }

    fn frame(&self, push: &Push<'_>) -> Result<Output> {
        let delivery = Delivery {
            version: self.version,
            subscription: self.plan.id.as_deref(),
            destination: &self.plan.destination,
            dead: push.dead,
            id: push.id,
            message: push.message,
            max_body: self.wire.broker.config().max_message_size.bytes(),
            ack: push.number.map(|number| format!("{}-{number}", self.ordinal)),
            redelivered: push.redelivered,
            place: push.place.filter(|_| self.wire.config.expose_metadata),
        };
        delivery.to_frame()
    }

    /// What ends a look at a queue, as in ActiveMQ.
    fn end_of_view(&self) -> Output {
        let mut frame = FrameWriter::new(self.version, "MESSAGE");
        if let Some(subscription) = &self.plan.id {
            frame.header("subscription", subscription);
        }
        frame.header("message-id", "end").header("destination", &self.plan.destination);
        frame.header("browser", "end").header("content-length", "0");
        frame.finish()
    }

    /// Takes back what the client has not acknowledged in time.
    fn take_back_overdue(&self, holder: Option<&Arc<Holder>>) {
        for (_, entry) in self.ledger.take_overdue() {
            metrics::counter!("sluice_stomp_ack_timeouts_total").increment(1);
            let refused = Refused {
                ledger: self.ledger.clone(),
                holder: holder.cloned(),
                entry,
                refusal: Refusal { requeue: true, delay: None },
            };
            match refuse(&self.wire, &self.session, refused) {
                Ok(done) => drop(done), // it is in the log; nobody waits for it
                Err(error) => tracing::debug!(%error, "an overdue message could not be taken back"),
            }
        }
    }

    /// Waits out what passes; ends the connection with an ERROR for the rest. `None` to stop.
    async fn survives(&self, error: Error) -> Option<()> {
        let passes = matches!(error.kind(), ErrorKind::Throttled | ErrorKind::Unavailable);
        if !passes || is_full(&error) {
            self.out.close(Some(Failure::from(error).to_frame(Some(self.version), None)));
            return None;
        }
        tracing::debug!(%error, "a subscription waits for the broker");
        tokio::select! {
            () = self.stop.cancelled() => None,
            () = tokio::time::sleep(PAUSE) => Some(()),
        }
    }
}

/// Whether a group has as many consumers as it may have: nobody knows when another one goes.
fn is_full(error: &Error) -> bool {
    let over = error.source().and_then(|source| source.downcast_ref::<OverQuota>());
    over.is_some_and(|over| matches!(over.limit, Limit::Connections(_)))
}
