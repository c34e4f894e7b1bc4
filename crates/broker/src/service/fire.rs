//! Delivering delayed messages to their queues when their time has come.
//!
//! The copy for the queue and the record that the timer has fired are one atomic group, so after any crash a message has
//! been delivered or still waits. What lies in the log is read there, what was put aside in its bucket, of which a part is
//! loaded at a time. Putting aside is `far`.

use super::log::{Item, blocking};
use super::{Broker, Inner};
use crate::core::record::Record;
use crate::core::timers::{Key, Load, Timer};
use sluice_model::{Clock, Error, ErrorKind, Message, Millis, Result};
use sluice_store::{Buckets, Cell, Content, Done, Durability, Log, Window};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Timers whose messages are read at once, so that going to another thread for that is worth it.
const TIMERS_AT_ONCE: usize = 1024;
/// And the bytes of their messages; one is always read.
const BYTES_AT_ONCE: usize = 8 << 20;
/// Timers fired before others have their turn.
const IN_A_ROW: usize = 256;
/// A timer whose record is not durable yet is tried again after this.
const TRY_AGAIN: Duration = Duration::from_millis(5);
/// And so is what a full disk, or a log that has much to write, refuses.
const FULL_AGAIN: Duration = Duration::from_secs(1);
/// The longest sleep towards a due time: a wall clock that is set forward is noticed after at most this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// Buckets are loaded so long before the first time that they are for.
pub(super) const LOAD_BEFORE: Millis = 60_000;
/// Cells of a bucket that are loaded at once, 32 bytes each: enough for ten seconds at the highest rate.
const CELLS_AT_ONCE: usize = 500_000;
/// A wall clock that runs ahead of time itself by more was set; what is due at once then is delivered at a limited rate.
const JUMP: Millis = 60_000;
/// The pause after each [`IN_A_ROW`] of them: about 25,000 a second.
const PAUSE: Duration = Duration::from_millis(10);

impl Broker {
    /// Delivers the delayed messages that are due now: what [`Broker::run`] does at their times. For those who drive
    /// the clock themselves.
    ///
    /// # Errors
    /// What the log says; the messages stay due.
    pub async fn fire_due(&self) -> Result<()> {
        self.0.by_itself().fire_due(None).await.map(drop)
    }
}

/// The wall clock beside a clock that nobody can set.
struct Clocks {
    wall: Millis,
    since: Instant,
}

impl Clocks {
    fn start(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), since: Instant::now() }
    }

    /// How far the wall clock has been set since this was asked the last time: forward when positive.
    fn jump(&mut self, clock: &dyn Clock) -> i64 {
        let expected = self.wall.saturating_add(self.since.elapsed().as_millis() as Millis);
        *self = Self::start(clock);
        self.wall as i64 - expected as i64
    }
}

impl Inner {
    pub(super) async fn fire_timers(self: &Arc<Self>) {
        let mut clocks = Clocks::start(&*self.clock);
        loop {
            let sooner = self.sooner.notified();
            let jump = clocks.jump(&*self.clock);
            if jump.unsigned_abs() > JUMP {
                self.counts.clock_jumps.increment(1);
                tracing::warn!(
                    jump,
                    "the wall clock was set; delayed messages follow it, and never come early"
                );
            }
            let pause = (jump > JUMP as i64).then_some(PAUSE);
            let nap = match self.fire_due(pause).await {
                Ok(Some(due)) => {
                    Duration::from_millis(due.saturating_sub(self.clock.now())).min(LONGEST_SLEEP)
                }
                Ok(None) => LONGEST_SLEEP,
                Err(e) if e.kind() == ErrorKind::StorageFull => FULL_AGAIN,
                Err(e) => {
                    tracing::error!(error = ?e, "a delayed message could not be delivered to its queue");
                    FULL_AGAIN
                }
            };
            tokio::select! {
                () = sleep(nap) => {}
                () = sooner => {}
            }
        }
    }

    /// Fires what is due, with a pause now and then. Returns when there is something to do next.
    async fn fire_due(self: &Arc<Self>, pause: Option<Duration>) -> Result<Option<Millis>> {
        let mut last = None;
        loop {
            self.load_near().await?;
            let now = self.clock.now();
            let due = {
                let mut core = self.core.lock();
                core.timers.skip_gone();
                core.timers.due(now, TIMERS_AT_ONCE)
            };
            if due.is_empty() {
                let core = self.core.lock();
                self.counts.timers.set(core.timers.len() as f64);
                let soonest = core.timers.next_due().map(|due| self.wake_at(due, core.timers.next_exact()));
                return Ok(soonest);
            }
            let (log, wanted) = (Arc::clone(&self.log), due.clone());
            let messages = blocking(move || read(&*log, &wanted)).await?;
            let count = messages.len();
            for (n, (timer, message)) in (1..).zip(due.into_iter().zip(messages)) {
                self.fire(timer, message, &mut last).await?;
                if n % IN_A_ROW == 0 || n == count {
                    rest(pause).await;
                }
            }
        }
    }

    /// A bucket is loaded a while before it is due.
    fn wake_at(&self, due: Millis, exact: Option<Millis>) -> Millis {
        exact.unwrap_or(Millis::MAX).min(due.max(self.clock.now().saturating_add(LOAD_BEFORE)) - LOAD_BEFORE)
    }

    /// Moves one delayed message to its queue.
    async fn fire(
        &self,
        timer: Timer,
        mut message: Result<Option<Message>>,
        last: &mut Option<Done>,
    ) -> Result<()> {
        loop {
            message = match message {
                Ok(None) if timer.aside.is_none() && timer.lsn >= self.opened_at => {
                    // Timers pin the log, so a record that cannot be read is one that is not durable yet.
                    sleep(TRY_AGAIN).await;
                    in_log(&*self.log, timer.lsn)
                }
                message => match self.deliver(&timer, &message) {
                    Ok(done) => {
                        *last = done.or_else(|| last.take());
                        return Ok(());
                    }
                    // Much waits to be written: what was fired last has to be, before there is room.
                    Err(error) if error.kind() == ErrorKind::Throttled => {
                        match last.take() {
                            Some(done) => done.await?,
                            None => sleep(TRY_AGAIN).await,
                        }
                        message
                    }
                    Err(error) => return Err(error),
                },
            };
        }
    }

    fn deliver(&self, timer: &Timer, message: &Result<Option<Message>>) -> Result<Option<Done>> {
        let fired = Record::Fired { due: timer.due, lsn: timer.lsn };
        let mut core = self.core.lock();
        if !core.timers.waits(timer) {
            return Ok(None); // recalled, or put aside, meanwhile
        }
        let message = match message {
            Ok(Some(message)) => message,
            // It will not get better, and must not hold up the others.
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(lsn = timer.lsn, ?error, "a delayed message is damaged on disk and is lost");
                return self.record(&mut core, &[fired], Durability::Async).map(|_| None);
            }
            Err(error) => return Err(Error::new(error.kind(), "a delayed message cannot be read")),
            // What was there at the start was durable then: a repair has given it up.
            Ok(None) => {
                tracing::error!(lsn = timer.lsn, "a delayed message is not there any more and is lost");
                return self.record(&mut core, &[fired], Durability::Async).map(|_| None);
            }
        };
        let target = core.catalog.owner(timer.target).map(|(topic, _)| topic.spec.durability);
        let durability = target.flatten().map_or(Durability::Sync, Durability::from);
        let items = [Item::Record(&fired), Item::Message(timer.target, message)];
        // A topic that was deleted meanwhile takes its delayed messages with it.
        let items = if target.is_some() { &items[..] } else { &items[..1] };
        let ticket = self.append(items, self.clock.now(), durability, false)?;
        core.apply(&fired);
        drop(core);
        self.counts.fired.increment(1);
        Ok(Some(ticket.done))
    }

    /// Loads of the buckets whose time is near what is not known yet.
    async fn load_near(&self) -> Result<()> {
        loop {
            let until = self.clock.now().saturating_add(LOAD_BEFORE);
            let Some(load) = self.core.lock().timers.next_load(until) else { return Ok(()) };
            let (log, bucket) = (Arc::clone(&self.log), load.bucket);
            let (cells, bound) = blocking(move || cells_of(log.buckets(), &load)).await?;
            let mut core = self.core.lock();
            core.timers.loaded(bucket, cells, bound);
            core.timers.skip_gone();
        }
    }
}

/// Lets others have their turn, or for a while.
async fn rest(pause: Option<Duration>) {
    if let Some(pause) = pause {
        return sleep(pause).await;
    }
    // Whoever drives these futures without a runtime has nobody else to run.
    if tokio::runtime::Handle::try_current().is_ok() {
        tokio::task::yield_now().await;
    }
}

fn in_log(log: &dyn Log, lsn: u64) -> Result<Option<Message>> {
    Ok(log.read_at(lsn)?.and_then(|entry| match entry.content {
        Content::Message(message) => Some(*message),
        Content::State(_) | Content::Batch { .. } => None,
    }))
}

/// The messages of the first timers, each in its place: of as many as fit into memory. Nothing for one that is not there,
/// or not yet.
fn read(log: &dyn Log, timers: &[Timer]) -> Result<Vec<Result<Option<Message>>>> {
    let mut cells: Vec<(usize, Cell)> = Vec::new();
    let mut messages: Vec<Result<Option<Message>>> = Vec::with_capacity(timers.len());
    let (mut bucket, mut room) = (None, BYTES_AT_ONCE);
    for (n, timer) in timers.iter().enumerate() {
        if room == 0 {
            break;
        }
        let size = match &timer.aside {
            // All that is loaded is of one bucket.
            Some((of, cell)) => {
                bucket = Some(*of);
                cells.push((n, *cell));
                messages.push(Ok(None));
                cell.len as usize
            }
            None => {
                let message = in_log(log, timer.lsn);
                let size = message.as_ref().ok().and_then(Option::as_ref).map_or(0, |m| m.body_bytes().len());
                messages.push(message);
                size
            }
        };
        room = room.saturating_sub(size);
    }
    let Some(bucket) = bucket else { return Ok(messages) };
    // As they lie in the file, so that neighbours are read in one go.
    cells.sort_unstable_by_key(|(_, cell)| cell.at);
    let places: Vec<Cell> = cells.iter().map(|(_, cell)| *cell).collect();
    let read = match log.buckets().messages(bucket, &places) {
        Ok(read) => read,
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            places.iter().map(|_| Err(Error::new(ErrorKind::Corrupt, "its bucket is missing"))).collect()
        }
        Err(error) => return Err(error),
    };
    for ((n, _), message) in cells.into_iter().zip(read) {
        if let Some(place) = messages.get_mut(n) {
            *place = message.map(Some);
        }
    }
    Ok(messages)
}

/// The next cells of a bucket, in order, and the last one, when there may be more behind it. The span of time is made
/// smaller until what is in it can be loaded at once; of a single moment, those that were sent first come first.
fn cells_of(buckets: &dyn Buckets, load: &Load) -> Result<(Vec<Cell>, Option<Key>)> {
    let mut window = load.window;
    // Behind the last one of a moment begins the next.
    let from =
        window.after.map_or(load.bucket.start, |(due, lsn)| due.saturating_add(u64::from(lsn == u64::MAX)));
    while load.left as usize > CELLS_AT_ONCE && window.until > from + 1 && !fits(buckets, load, window)? {
        window.until = from + (window.until - from).div_ceil(2).max(1);
    }
    let mut cells = Vec::new();
    let mut is_cut = false;
    for run in &load.runs {
        // Runs follow each other as the log does, so within a moment this is the order.
        let room =
            if window.until <= from + 1 { CELLS_AT_ONCE.saturating_sub(cells.len()) } else { usize::MAX };
        is_cut |= room == 0;
        match buckets.cells(load.bucket, *run, window, room, &mut cells) {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(
                    at = run.at,
                    count = run.count,
                    ?error,
                    "delayed messages are damaged on disk and wait for a repair"
                );
            }
            done => done?,
        }
    }
    cells.sort_unstable_by_key(|cell| (cell.due, cell.lsn));
    is_cut |= cells.len() >= CELLS_AT_ONCE && window.until <= from + 1;
    let bound = if is_cut {
        cells.last().map(|cell| (cell.due, cell.lsn))
    } else if window.until < load.window.until {
        Some((window.until - 1, u64::MAX))
    } else {
        None
    };
    Ok((cells, bound))
}

fn fits(buckets: &dyn Buckets, load: &Load, window: Window) -> Result<bool> {
    let mut count = 0;
    for run in &load.runs {
        match buckets.count(load.bucket, *run, window) {
            Ok(more) => count += more as usize,
            Err(error) if error.kind() == ErrorKind::Corrupt => {} // told when its cells are asked for
            Err(error) => return Err(error),
        }
        if count > CELLS_AT_ONCE {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_store::{Aside, BucketId, LogQueue, MemoryLog, Run, record};

    #[test]
    fn a_crowded_bucket_is_loaded_part_by_part_and_in_order() {
        let (log, bucket) = (MemoryLog::new(), BucketId { start: 1000, made: 1 });
        let mut message = Vec::new();
        record::encode(&Message::default(), 0, &mut message);
        // Two runs, of which the first has more of one moment than is loaded at once.
        let crowd = CELLS_AT_ONCE as u64 + 10;
        let aside = |due, lsn| Aside { due, lsn, queue: LogQueue(16), message: &message };
        let mut first: Vec<_> = (0..crowd).map(|n| aside(1500, n)).chain([aside(1001, crowd)]).collect();
        let mut second = [aside(1500, crowd + 1), aside(1999, crowd + 2)];
        let behind = log.buckets().put(bucket, 0, &mut first).unwrap();
        log.buckets().put(bucket, behind, &mut second).unwrap();
        let runs = vec![Run { at: 0, count: first.len() as u32 }, Run { at: behind, count: 2 }];
        let (mut after, mut keys) = (None, Vec::new());
        for _ in 0..100 {
            let (window, left) = (Window { after, until: 2000 }, crowd + 3 - keys.len() as u64);
            let load = Load { bucket, runs: runs.clone(), window, left };
            let (cells, bound) = cells_of(log.buckets(), &load).unwrap();
            assert!(cells.len() <= CELLS_AT_ONCE + 2);
            keys.extend(cells.iter().map(|cell| (cell.due, cell.lsn)));
            after = bound;
            if bound.is_none() {
                break;
            }
        }
        assert_eq!((keys.len() as u64, after), (crowd + 3, None));
        assert!(keys.is_sorted());
    }
}
