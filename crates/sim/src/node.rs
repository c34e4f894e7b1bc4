//! The node under test: a broker on a log on a simulated disk, and what is known of it from outside.
//!
//! The one idea to know: the log is one sequence, so what may not be lost any more is described by one position: everything
//! with an end up to it was acknowledged or shown. How the node ends and begins again is `lives`.

use crate::check::{Doing, check};
use crate::connected::Connections;
use crate::ends::Deed;
use crate::guests::Guest;
use crate::members::Live;
use crate::model::{CellState, Model, Until};
use crate::once::SentOnce;
use crate::packs::{self, Packs};
use crate::people;
use crate::proofs::Signer;
use crate::record::Rec;
use crate::spy::{Group, Item, Spy};
use crate::tally::{self, Tally};
use crate::trace::Trace;
use crate::waits::Waiting;
use bytes::Bytes;
use sluice_auth::Session;
use sluice_broker::{Broker, Chance, CheckpointUnderWay, Cursor, Holder, ProducerId};
use sluice_model::units::{ByteSize, Span};
use sluice_model::{Error, ErrorKind, Filter, ManualClock, Millis, Offset, ReceiptHandle, Result, TopicName};
use sluice_store::sim::{Call, Dice, SimVfs};
use sluice_store::vfs::Vfs;
use sluice_store::{Durability, LocalLog, Log, LogQueue, Lsn, OpenError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::runtime::{Builder, Runtime};

/// A check's outcome: a broken promise is told in words.
pub type Check<T = ()> = std::result::Result<T, String>;

/// When the simulated time begins.
pub const START: Millis = 1_700_000_000_000;
/// How long messages are kept.
const RETENTION: Millis = 600_000;
/// Delayed messages of so long are put aside together.
const TIMER_BUCKET: Millis = 10_000;
/// Queues of a topic that is made without a word about them.
const DEFAULT_QUEUES: u32 = 2;
/// The most steps of one call.
const STEPS: usize = 50;
/// How often a transaction is asked about, and how old it may become.
const MAX_CHECKS: u32 = 3;
pub const MAX_HALF_AGE: Millis = 900_000;

/// A receipt that was handed out.
#[derive(Debug, Clone)]
pub struct Receipt {
    pub handle: ReceiptHandle,
    pub group: u32,
    pub queue: u32,
    pub offset: Offset,
    pub lease: u64,
    pub locator: Lsn,
}

/// Something that was begun and is not acknowledged yet.
pub struct Pending {
    pub done: Pin<Box<dyn Future<Output = Result<()>>>>,
    pub end: Lsn,
    pub durability: Durability,
    /// The messages that it sends, by number.
    pub sends: Vec<u64>,
}

/// See the module.
pub struct Node {
    pub vfs: SimVfs,
    pub clock: Arc<ManualClock>,
    pub dice: Dice,
    pub trace: Trace,
    pub tally: Tally,
    pub spy: Arc<Spy>,
    pub broker: Broker,
    pub me: Session,
    pub model: Model,
    pub history: Vec<Group>,
    pub pending: Vec<Pending>,
    pub receipts: Vec<Receipt>,
    pub holders: Vec<(u64, Holder)>,
    pub next_holder: u64,
    /// What survives the end of the process, and what even a power cut.
    pub floor_kill: Lsn,
    pub floor_power: Lsn,
    /// What was readable once, at any time.
    seen: HashMap<(u32, Offset), Bytes>,
    /// Sent and acknowledged, by number: the end of its group.
    pub acked: BTreeMap<u64, Lsn>,
    pub trimmed: Millis,
    /// The latest time of this life.
    pub latest: Millis,
    pub is_full: bool,
    /// A call is made to find the disk full in this life.
    pub was_full: bool,
    /// A call is made to find the disk unreadable in this life.
    pub was_unreadable: bool,
    pub next_message: u64,
    /// Messages to a topic that is deleted from time to time.
    pub doomed: BTreeSet<u64>,
    /// Messages that were sent to wait, and may be taken back: topic, due time and place.
    pub waiting: Vec<(TopicName, Millis, Lsn)>,
    /// What was sent under a key lately.
    pub once: Vec<SentOnce>,
    /// The latest time at which something was.
    pub once_latest: Millis,
    /// Where a repair told of damage.
    pub places: Vec<Lsn>,
    /// Members, locks, groups that are held.
    pub live: Live,
    pub cursors: Vec<Cursor>,
    /// Producers that number their batches, and their epochs.
    pub producers: Vec<(u64, u16)>,
    /// Who waits for messages.
    pub waits: Vec<Waiting>,
    /// What producers with names were known by.
    pub ids: Vec<ProducerId>,
    /// A checkpoint whose parts are taken one by one.
    pub checkpoint: Option<CheckpointUnderWay>,
    /// How many subscriptions members have told.
    pub next_subscription: u64,
    /// The connections that are open.
    pub connections: Arc<Connections>,
    /// Sessions of users that come and go.
    pub guests: Vec<Guest>,
    /// Connections whose requests are signed.
    pub signers: Vec<Signer>,
    /// The addresses that were given away.
    pub next_source: u32,
    /// What the store is called.
    pub store_id: [u8; 16],
    /// Runs what watches sessions, when it is let, and nothing else: whatever else the broker does is polled by hand.
    pub runtime: Runtime,
}

/// Polls a future once.
pub fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// A future that needs no commit to end.
pub fn now<T>(future: impl Future<Output = T>) -> Check<T> {
    poll(pin!(future)).ok_or_else(|| "a call that should answer at once waits".to_owned())
}

pub fn open_log(vfs: &SimVfs, clock: &Arc<ManualClock>) -> std::result::Result<LocalLog, OpenError> {
    let config = sluice_store::Config {
        segment_size: ByteSize::kib(64),
        tail_cache: ByteSize::kib(32),
        ..sluice_store::Config::default()
    };
    LocalLog::open_by_hand(Arc::new(vfs.clone()), Path::new("data"), config, Arc::clone(clock) as _)
}

pub fn open_broker(vfs: &SimVfs, spy: &Arc<Spy>, clock: &Arc<ManualClock>) -> Result<Broker> {
    let config = sluice_broker::Config {
        retention: Span::secs(RETENTION / 1000),
        max_attempts: 3,
        default_queues: DEFAULT_QUEUES,
        timer_bucket: Span::secs(TIMER_BUCKET / 1000),
        max_checks: MAX_CHECKS,
        max_half_age: Span::secs(MAX_HALF_AGE / 1000),
        ..sluice_broker::Config::default()
    };
    let auth = people::directory(Arc::clone(clock) as _).map_err(Error::internal)?;
    let chance = Chance { start: vfs.random() as u32, receipt_key: [7; 32] };
    let (log, auth, clock) = (Arc::clone(spy) as _, Arc::new(auth), Arc::clone(clock) as _);
    let broker = Broker::open_by(chance, log, auth, clock, config)?;
    broker.know_batches(Arc::new(Packs));
    match broker.takes_packed() {
        true => Ok(broker),
        false => Err(Error::internal("it was told what batches are, and takes none")),
    }
}

impl Node {
    /// A new node.
    pub fn new(seed: u64, show: bool) -> Check<Self> {
        let vfs = SimVfs::seeded(seed);
        let clock = Arc::new(ManualClock::new(START));
        let log = open_log(&vfs, &clock).map_err(|e| format!("a new log does not open: {e}"))?;
        let spy = Arc::new(Spy::new(log));
        let broker =
            open_broker(&vfs, &spy, &clock).map_err(|e| format!("a new broker does not open: {e:?}"))?;
        let mut first = pin!(people::bootstrap(broker.clone()));
        while poll(first.as_mut()).is_none() {
            spy.log.commit();
        }
        let me = people::login(&broker)?;
        let connections = Connections::of(&broker);
        let runtime =
            Builder::new_current_thread().build().map_err(|error| format!("no runtime: {error}"))?;
        let store_id = broker.store_id();
        let mut node = Self {
            vfs,
            clock,
            dice: Dice::new(seed),
            trace: Trace::new(show),
            tally: Tally::default(),
            spy,
            broker,
            me,
            model: Model::default(),
            history: Vec::new(),
            pending: Vec::new(),
            receipts: Vec::new(),
            holders: Vec::new(),
            next_holder: 1,
            floor_kill: 0,
            floor_power: 0,
            seen: HashMap::new(),
            acked: BTreeMap::new(),
            trimmed: 0,
            latest: START,
            is_full: false,
            was_full: false,
            was_unreadable: false,
            next_message: 0,
            doomed: BTreeSet::new(),
            waiting: Vec::new(),
            once: Vec::new(),
            once_latest: START,
            places: Vec::new(),
            live: Live::default(),
            cursors: Vec::new(),
            producers: Vec::new(),
            waits: Vec::new(),
            ids: Vec::new(),
            checkpoint: None,
            next_subscription: 0,
            connections,
            guests: Vec::new(),
            signers: Vec::new(),
            next_source: 0,
            store_id,
            runtime,
        };
        let groups = node.absorb(&Asked { access: true, ..Asked::default() })?;
        node.promised_up_to(groups.last().map_or(0, |group| group.end));
        Ok(node)
    }

    /// From now on the disk can be read.
    pub fn can_read(&mut self) {
        self.was_unreadable = false;
        self.vfs.forgive(Call::Read);
        self.vfs.forgive(Call::Open);
    }

    pub fn now(&self) -> Millis {
        self.broker.now()
    }

    /// A promise was looked at.
    pub fn checked(&mut self, promise: &'static str) {
        *self.tally.promises.entry(promise).or_default() += 1;
    }

    /// Something goes wrong.
    pub fn fault(&mut self, what: &'static str) {
        *self.tally.faults.entry(what).or_default() += 1;
    }

    /// The log has failed, or the disk has stopped.
    pub fn is_down(&self) -> bool {
        self.vfs.has_stopped() || poll(pin!(self.spy.failed())).is_some()
    }

    /// The broker says that it serves until its log has failed.
    pub fn is_ready_until_it_fails(&self) -> Check {
        let failed = poll(pin!(self.broker.failed())).is_some();
        match failed == poll(pin!(self.spy.failed())).is_some() && failed != self.broker.is_ready() {
            true => Ok(()),
            false => Err(format!("the log has failed: {failed}; ready: {}", self.broker.is_ready())),
        }
    }

    /// The first offset kept of a log queue, and the one after the last that everybody may read.
    pub fn bounds(&self, queue: u32) -> (Offset, Offset) {
        let (min, next) = self.whole_bounds(queue);
        (min, self.model.stable(queue, next).max(min))
    }

    /// The same, and the one after the last that can be read at all.
    pub fn whole_bounds(&self, queue: u32) -> (Offset, Offset) {
        let bounds = self.spy.bounds(LogQueue(queue));
        (bounds.min, bounds.next)
    }

    /// Takes over what the broker appended: first the rules, then the model. Returns the new groups.
    pub fn absorb(&mut self, asked: &Asked<'_>) -> Check<Vec<Group>> {
        let groups = self.spy.take();
        // A slow disk lets time pass.
        self.latest = self.latest.max(self.now());
        self.trimmed = self.trimmed.max(self.spy.trimmed_before());
        for group in &groups {
            let spy = Arc::clone(&self.spy);
            let min = move |queue: u32| spy.bounds(LogQueue(queue)).min;
            let spy = Arc::clone(&self.spy);
            let next = move |queue: u32| spy.bounds(LogQueue(queue)).next;
            let doing = Doing {
                now: self.now(),
                latest: self.latest,
                max_attempts: 3,
                asked,
                tuned: self.model.tuned(self.broker.config()),
                trimmed: self.trimmed,
                patience: MAX_HALF_AGE,
                min: &min,
                next: &next,
            };
            let promises = check(&self.model, group, &doing)?;
            promises.into_iter().for_each(|promise| self.checked(promise));
            self.never_shown(group)?;
            self.model.apply(group, asked.holder);
            self.trace.note(format_args!(
                " {}+{} {}",
                group.begin,
                group.end - group.begin,
                group.items.len()
            ));
        }
        self.history.extend(groups.iter().cloned());
        Ok(groups)
    }

    /// No offset that was readable is given to another message.
    fn never_shown(&self, group: &Group) -> Check {
        for item in &group.items {
            let Some((queue, offsets)) = item.place() else { continue };
            let messages = packs::messages(item);
            for offset in offsets {
                let message = messages.iter().find(|(at, ..)| *at == offset).map(|(.., message)| message);
                let shown = self.seen.get(&(queue, offset));
                if shown.is_some_and(|body| message.is_none_or(|m| *body != m.body_or_empty())) {
                    return Err(format!("offset {offset} of queue {queue} was readable as another message"));
                }
            }
        }
        Ok(())
    }

    /// Something was readable: it must be what was appended, and it has to stay.
    pub fn shown(&mut self, queue: u32, offset: Offset, locator: Lsn, body: &Bytes) -> Check {
        let place = format!("offset {offset} of queue {queue}");
        let stored = self.model.message(queue, offset).ok_or_else(|| format!("{place} is invented"))?;
        if stored.locator != locator || stored.message.body_or_empty() != body {
            return Err(format!("{place} is not what was appended"));
        }
        let (at, end) = (stored.at, self.model.end_of(stored));
        self.checked(tally::NOTHING_INVENTED);
        self.seen.insert((queue, offset), body.clone());
        self.stays(at).ok_or_else(|| format!("{place} is in no group"))?;
        match end {
            None => Ok(()),
            // That it was decided so is readable as well.
            Some(Some(end)) if end.commit => {
                self.checked(tally::READ_COMMITTED);
                self.stays(end.at - 1).ok_or_else(|| format!("{place} is decided in no group"))
            }
            Some(end) => Err(format!("{place} is readable, but its transaction ended so: {end:?}")),
        }
    }

    /// The group that has this position was readable.
    fn stays(&mut self, at: Lsn) -> Option<()> {
        let at = self.history.partition_point(|group| group.end <= at);
        let group = self.history.get(at)?;
        self.floor_kill = self.floor_kill.max(group.end);
        if group.durability == Durability::Sync {
            self.floor_power = self.floor_power.max(group.end);
        }
        Some(())
    }

    /// Whether an error is one that may happen at any time.
    pub fn refused(&mut self, what: &str, error: &Error, expected: &[ErrorKind]) -> Check {
        let kind = error.kind();
        self.trace.note(format_args!("{what}: {kind:?}"));
        let fine = match kind {
            ErrorKind::StorageFull => self.is_full || self.was_full || !self.broker.accepts_messages(),
            ErrorKind::Unavailable => self.is_unreadable(error),
            ErrorKind::Throttled => true,
            _ => false,
        };
        if kind == ErrorKind::Throttled {
            while self.spy.log.keep_files() {}
        }
        if fine || expected.contains(&kind) { Ok(()) } else { Err(format!("{what} is refused: {error:?}")) }
    }

    /// What a call found that has to read: nothing where the disk cannot be read, or has stopped while the call was under
    /// way. Whatever reads has to go through this, however sure it is that the disk is well.
    pub fn found<T>(&mut self, what: &str, found: Result<T>) -> Check<Option<T>> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) if self.is_unreadable(&error) => {
                self.trace.note(format_args!("{what}: the disk cannot be read"));
                Ok(None)
            }
            Err(error) => Err(format!("no {what}: {error:?}")),
        }
    }

    fn is_unreadable(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::Unavailable && (self.was_unreadable || self.is_down())
    }

    /// Lets the log write what waits, and looks who is answered.
    pub fn commit(&mut self) -> Check {
        // Some calls have several steps, each of which waits for the one before.
        for _ in 0..STEPS {
            self.spy.log.commit();
            self.answered()?;
            if self.is_down() {
                return Ok(());
            }
            if self.pending.is_empty() {
                return self.woken();
            }
        }
        Err(format!("{} are not answered although all is committed", self.pending.len()))
    }

    /// Takes note of what has been acknowledged.
    pub fn answered(&mut self) -> Check {
        let mut pending = std::mem::take(&mut self.pending);
        let mut outcome = Ok(());
        pending.retain_mut(|one| match poll(one.done.as_mut()) {
            None => true,
            Some(Ok(())) => {
                self.floor_kill = self.floor_kill.max(one.end);
                if one.durability == Durability::Sync {
                    self.floor_power = self.floor_power.max(one.end);
                }
                self.acked.extend(one.sends.iter().map(|number| (*number, one.end)));
                self.trace.note(format_args!("acknowledged {}", one.end));
                false
            }
            Some(Err(error)) => {
                // A call of several steps may have to read in between.
                if !self.is_down() && !self.is_unreadable(&error) {
                    outcome = Err(format!("an answer is an error: {error:?}"));
                }
                false
            }
        });
        self.pending = pending;
        outcome?;
        // A call of several steps has gone on meanwhile.
        self.absorb(&Asked::default()).map(drop)
    }

    /// Everything that the holders hold may be given back.
    pub fn all_held(&self) -> Asked<'static> {
        let mut asked = Asked::default();
        for ((group, queue), progress) in &self.model.progress {
            for (offset, cell) in &progress.cells {
                if let CellState::Leased { until: Until::Holder(_), .. } = cell.state {
                    asked.settles.insert((*group, *queue, *offset));
                }
            }
        }
        asked
    }

    /// Everything up to here was promised to survive even a power cut.
    pub fn promised_up_to(&mut self, end: Lsn) {
        self.floor_kill = self.floor_kill.max(end);
        self.floor_power = self.floor_power.max(end);
    }

    /// Everything that was appended and is still there.
    pub fn everything(&self) -> impl Iterator<Item = &Group> {
        self.history.iter()
    }

    /// Sent and acknowledged, by number.
    pub fn acknowledged(&self) -> impl Iterator<Item = u64> + '_ {
        self.acked.keys().copied()
    }

    /// Whether messages stored at this time may be gone.
    pub fn may_be_trimmed(&self, stored: Millis) -> bool {
        stored < self.trimmed.max(self.spy.trimmed_before())
    }
}

/// Who asked for what is appended now.
#[derive(Default)]
pub struct Asked<'a> {
    pub filter: Option<&'a Filter>,
    pub settles: BTreeSet<(u32, u32, Offset)>,
    pub moves: bool,
    pub holder: Option<u64>,
    /// A transaction may end so.
    pub ends: Option<(Lsn, bool)>,
    /// Transactions may be given up.
    pub gives_up: bool,
    /// A timer may be taken back.
    pub recalls: Option<(Millis, Lsn)>,
    /// Queues may be cut.
    pub cuts: bool,
    /// The broker may let go what is old, and nothing else.
    pub tidies: bool,
    /// Users and policies may change.
    pub access: bool,
    /// Settings may change.
    pub tunes: bool,
    /// What somebody does with a producer that has a name.
    pub producer: Option<Deed>,
    /// Whole ordering groups are leased.
    pub runs: bool,
}

/// The leases among some groups: queue, offset, attempt and lease of each delivery, in order.
pub fn leases(groups: &[Group]) -> Vec<(u32, u32, Offset, u32, u64)> {
    let mut all = Vec::new();
    for item in groups.iter().flat_map(|group| &group.items) {
        let Item::State { bytes, .. } = item else { continue };
        if let Some(Rec::Lease { group, queue, lease, deliveries, .. }) = Rec::decode(bytes) {
            all.extend(deliveries.iter().map(|(offset, attempt)| (group, queue, *offset, *attempt, lease)));
        }
    }
    all
}
