//! The node under test: a broker on a log on a simulated disk, and what is known of it from outside.
//!
//! The one idea to know: the log is one sequence, so what a crash leaves is described by one position. Everything with
//! an end up to it is there, nothing behind it is; and it may not lie before what was acknowledged or shown.

use crate::check::{Doing, check};
use crate::model::{CellState, Model, Until};
use crate::once::SentOnce;
use crate::record::Rec;
use crate::spy::{Group, Item, Spy};
use crate::trace::Trace;
use bytes::Bytes;
use sluice_auth::{Auth, Credentials, Session};
use sluice_broker::{Broker, Holder};
use sluice_model::units::{ByteSize, Span};
use sluice_model::{Error, ErrorKind, Filter, ManualClock, Millis, Offset, ReceiptHandle, Result, TopicName};
use sluice_store::sim::{Dice, SimVfs};
use sluice_store::{Durability, Entry, LocalLog, Log, LogQueue, Lsn, OpenError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// A check's outcome: a broken promise is told in words.
pub type Check<T = ()> = std::result::Result<T, String>;

/// When the simulated time begins.
pub const START: Millis = 1_700_000_000_000;
/// How long messages are kept.
const RETENTION: Millis = 600_000;
/// Delayed messages of so long are put aside together.
const TIMER_BUCKET: Millis = 10_000;
/// The most steps of one call.
const STEPS: usize = 50;
/// How often a transaction is asked about, and how old it may become.
const MAX_CHECKS: u32 = 3;
const MAX_HALF_AGE: Millis = 900_000;

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

/// How the world was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// In order.
    Close,
    /// The process ends; the system's cache stays.
    Kill,
    /// The power fails.
    PowerCut(u64),
}

/// Numbers for the report.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub steps: u64,
    pub crashes: u64,
    pub checks: u64,
    pub messages: u64,
    pub deliveries: u64,
}

impl std::ops::Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            crashes: self.crashes + other.crashes,
            checks: self.checks + other.checks,
            messages: self.messages + other.messages,
            deliveries: self.deliveries + other.deliveries,
        }
    }
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
    history: Vec<Group>,
    pub pending: Vec<Pending>,
    pub receipts: Vec<Receipt>,
    pub holders: Vec<(u64, Holder)>,
    pub next_holder: u64,
    /// What survives the end of the process, and what even a power cut.
    floor_kill: Lsn,
    floor_power: Lsn,
    /// What was readable once, at any time.
    seen: HashMap<(u32, Offset), Bytes>,
    /// Sent and acknowledged, by number: the end of its group.
    acked: BTreeMap<u64, Lsn>,
    trimmed: Millis,
    /// The latest time of this life.
    pub latest: Millis,
    pub is_full: bool,
    /// A call is made to find the disk full in this life.
    pub was_full: bool,
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

fn open_broker(spy: &Arc<Spy>, clock: &Arc<ManualClock>) -> Result<Broker> {
    let config = sluice_broker::Config {
        retention: Span::secs(RETENTION / 1000),
        max_attempts: 3,
        timer_bucket: Span::secs(TIMER_BUCKET / 1000),
        max_checks: MAX_CHECKS,
        max_half_age: Span::secs(MAX_HALF_AGE / 1000),
        ..sluice_broker::Config::default()
    };
    Broker::open(Arc::clone(spy) as _, Arc::new(Auth::open()), Arc::clone(clock) as _, config)
}

impl Node {
    /// A new node.
    pub fn new(seed: u64, show: bool) -> Check<Self> {
        let vfs = SimVfs::seeded(seed);
        let clock = Arc::new(ManualClock::new(START));
        let log = open_log(&vfs, &clock).map_err(|e| format!("a new log does not open: {e}"))?;
        let spy = Arc::new(Spy::new(log));
        let broker = open_broker(&spy, &clock).map_err(|e| format!("a new broker does not open: {e:?}"))?;
        let peer = ([127, 0, 0, 1], 1).into();
        let me = broker.login_now(Credentials::Anonymous, peer).map_err(|e| format!("no session: {e:?}"))?;
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
            next_message: 0,
            doomed: BTreeSet::new(),
            waiting: Vec::new(),
            once: Vec::new(),
            once_latest: START,
            places: Vec::new(),
        };
        node.absorb(&Asked::default())?;
        Ok(node)
    }

    pub fn now(&self) -> Millis {
        self.broker.now()
    }

    /// The log has failed, or the disk has stopped.
    pub fn is_down(&self) -> bool {
        self.vfs.has_stopped() || poll(pin!(self.spy.failed())).is_some()
    }

    /// The first offset kept of a log queue, and the one after the last readable.
    pub fn bounds(&self, queue: u32) -> (Offset, Offset) {
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
                patience: (MAX_CHECKS, MAX_HALF_AGE),
                min: &min,
                next: &next,
            };
            check(&self.model, group, &doing)?;
            self.tally.checks += 1;
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
            let Item::Message { queue, offset, message, .. } = item else { continue };
            let shown = self.seen.get(&(*queue, *offset));
            if shown.is_some_and(|body| *body != message.body_or_empty()) {
                return Err(format!("offset {offset} of queue {queue} was readable as another message"));
            }
        }
        Ok(())
    }

    /// Something was readable: it must be what was appended, and it has to stay.
    pub fn shown(&mut self, queue: u32, offset: Offset, locator: Lsn, body: &Bytes) -> Check {
        let place = format!("offset {offset} of queue {queue}");
        let stored = self.model.message(queue, offset).ok_or_else(|| format!("{place} is invented"))?;
        if stored.lsn != locator || stored.message.body_or_empty() != body {
            return Err(format!("{place} is not what was appended"));
        }
        self.tally.checks += 1;
        self.seen.insert((queue, offset), body.clone());
        let at = self.history.partition_point(|group| group.end <= locator);
        let group = self.history.get(at).ok_or_else(|| format!("{place} is in no group"))?;
        self.floor_kill = self.floor_kill.max(group.end);
        if group.durability == Durability::Sync {
            self.floor_power = self.floor_power.max(group.end);
        }
        Ok(())
    }

    /// Whether an error is one that may happen at any time.
    pub fn refused(&mut self, what: &str, error: &Error, expected: &[ErrorKind]) -> Check {
        let kind = error.kind();
        self.trace.note(format_args!("{what}: {kind:?}"));
        let fine = match kind {
            ErrorKind::StorageFull => self.is_full || self.was_full || !self.spy.space().accepts_messages,
            ErrorKind::Unavailable => self.is_down(),
            ErrorKind::Throttled => true,
            _ => false,
        };
        if kind == ErrorKind::Throttled {
            while self.spy.log.keep_files() {}
        }
        if fine || expected.contains(&kind) { Ok(()) } else { Err(format!("{what} is refused: {error:?}")) }
    }

    /// Lets the log write what waits, and looks who is answered.
    pub fn commit(&mut self) -> Check {
        // Some calls have several steps, each of which waits for the one before.
        for _ in 0..STEPS {
            self.spy.log.commit();
            self.answered()?;
            if self.is_down() || self.pending.is_empty() {
                return Ok(());
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
                if !self.is_down() {
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

    /// Ends the node, starts it again, and checks what it knows.
    pub fn crash(&mut self, crash: Crash) -> Check {
        self.tally.crashes += 1;
        self.trace.note(format_args!("{crash:?} at {}", self.spy.end()));
        self.answered()?;
        self.trimmed = self.trimmed.max(self.spy.trimmed_before());
        self.latest = self.now();
        let everything = self.spy.end();
        let closed = crash == Crash::Close && !self.is_down() && self.close()?;
        let floor = match crash {
            _ if closed => self.history.last().map_or(0, |group| group.end),
            Crash::Close | Crash::Kill => self.floor_kill,
            Crash::PowerCut(_) => self.floor_power,
        };
        self.vfs = match crash {
            Crash::PowerCut(seed) => self.vfs.power_cut(seed),
            Crash::Close | Crash::Kill => self.vfs.restart(),
        };
        (self.is_full, self.was_full) = (false, false);
        self.vfs.set_capacity(1 << 40);
        self.pending.clear();
        self.receipts.clear();
        let (log, power_failed) = self.reopen()?;
        let floor = if power_failed && !closed { floor.min(self.floor_power) } else { floor };
        let mut found = Vec::new();
        log.replay(0, &mut |entry| found.push(entry)).map_err(|e| format!("no replay: {e:?}"))?;
        let told = log.checkpoint().map_err(|e| format!("no checkpoint: {e:?}"))?.map_or(0, |(at, _)| at);
        let end = found.last().map_or(0, |entry| entry.lsn + u64::from(entry.size)).max(told);
        self.survived(end, floor, everything)?;
        self.once.retain(|once| once.end <= end);
        self.waiting.retain(|(_, _, lsn)| *lsn < end);
        self.replayed(&found)?;
        self.begin(log)
    }

    fn close(&mut self) -> Check<bool> {
        self.holders.clear();
        self.absorb(&self.all_held())?;
        let closed = self.broker.close();
        self.absorb(&Asked::default())?;
        match closed {
            Ok(()) => Ok(true),
            Err(_) if self.is_down() || self.is_full || self.was_full => Ok(false),
            Err(error) => Err(format!("closing fails: {error:?}")),
        }
    }

    /// Opens the log; a start may be cut short as well. Says whether the power failed before one had come to its end.
    fn reopen(&mut self) -> Check<(LocalLog, bool)> {
        let (mut opened, mut power_failed) = (false, false);
        for _ in 0..self.dice.below(3) {
            self.vfs.stop_at(1 + self.dice.below(40));
            match open_log(&self.vfs, &self.clock) {
                Ok(log) => {
                    opened = true;
                    drop(log);
                }
                Err(_) if self.vfs.has_stopped() => {}
                Err(error) => return Err(format!("the log does not open: {error}")),
            }
            self.tally.crashes += 1;
            let seed = self.dice.number();
            let cut = self.dice.coin();
            power_failed |= cut && !opened;
            self.trace.note(format_args!("stopped while opening, {cut}"));
            self.vfs = if cut { self.vfs.power_cut(seed) } else { self.vfs.restart() };
        }
        let log =
            open_log(&self.vfs, &self.clock).map_err(|error| format!("the log does not open: {error}"))?;
        Ok((log, power_failed))
    }

    /// The log goes up to `end`: nothing acknowledged may be missing, and no group may be there in part.
    fn survived(&mut self, end: Lsn, floor: Lsn, everything: Lsn) -> Check {
        self.trace.note(format_args!("survived up to {end}, at least {floor}, of {everything}"));
        self.tally.checks += 1;
        if end < floor {
            return Err(format!("the log ends at {end}, but everything up to {floor} was acknowledged"));
        }
        if let Some(group) = self.history.iter().find(|group| group.begin < end && end < group.end) {
            return Err(format!("the log ends at {end}, within the group {} to {}", group.begin, group.end));
        }
        self.history.retain(|group| group.end <= end);
        self.acked.retain(|_, group| *group <= end);
        // Whatever a start has found stays.
        (self.floor_kill, self.floor_power) = (end, end);
        self.model = Model::fold(&self.history);
        Ok(())
    }

    fn begin(&mut self, log: LocalLog) -> Check {
        self.spy = Arc::new(Spy::new(log));
        self.holders.clear();
        self.next_holder = 1;
        self.broker =
            open_broker(&self.spy, &self.clock).map_err(|e| format!("the broker does not open: {e:?}"))?;
        let peer = ([127, 0, 0, 1], 1).into();
        self.me = self.broker.login_now(Credentials::Anonymous, peer).map_err(|e| format!("{e:?}"))?;
        self.absorb(&Asked::default())?;
        self.compare()
    }

    /// The log's entries are those that were appended, in order, and only old ones are missing.
    fn replayed(&mut self, found: &[Entry]) -> Check {
        let first = found.first().map_or(Lsn::MAX, |entry| entry.lsn);
        let mut left = found.iter();
        for group in &self.history {
            for item in &group.items {
                let (Item::Message { lsn, .. } | Item::State { lsn, .. }) = item;
                if *lsn < first {
                    if group.stored >= self.trimmed {
                        return Err(format!("the entry at {lsn} is gone before its time"));
                    }
                    continue;
                }
                let same = left.next().is_some_and(|entry| same(item, entry));
                if !same {
                    return Err(format!("the entry at {lsn} does not come back as it was"));
                }
            }
        }
        self.tally.checks += 1;
        match left.next() {
            Some(entry) => Err(format!("the entry at {} is invented", entry.lsn)),
            None => Ok(()),
        }
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
}

fn same(item: &Item, entry: &sluice_store::Entry) -> bool {
    match (item, &entry.content) {
        (Item::State { lsn, bytes }, sluice_store::Content::State(found)) => {
            *lsn == entry.lsn && bytes == found
        }
        (Item::Message { queue, offset, lsn, message }, sluice_store::Content::Message(found)) => {
            (*lsn, *queue, *offset) == (entry.lsn, entry.queue.0, entry.offset) && message == found
        }
        _ => false,
    }
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
