//! Who waits for which position, and how they are woken: [`Waiters`] and the future [`Done`].
//!
//! Waking a task on another thread costs more than a hundred messages of real work, so it is done once for each thread
//! and commit. The one idea to know: the log's thread wakes only the first of a thread's finished waiters; that one,
//! when it is polled (or dropped), wakes its neighbours from their own thread, where it is nearly free. Any other
//! waiter that is polled on the same thread takes this duty over too, and the log's thread wakes the rest itself when
//! nobody did so for [`Waiters::PATIENCE`]: a task that is stuck elsewhere must not hold its neighbours up.

use crate::Lsn;
use crate::log::Durability;
use parking_lot::Mutex;
use sluice_model::{Error, ErrorKind, Result};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Groups without waiters are kept up to this many, so that steady threads find theirs without an allocation.
const IDLE_GROUPS: usize = 64;

static NEXT_THREAD: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static THREAD: u64 = NEXT_THREAD.fetch_add(1, Ordering::Relaxed);
}

/// Everyone who waits for a log.
pub(crate) struct Waiters {
    written: AtomicU64,
    durable: AtomicU64,
    failure: OnceLock<String>,
    queues: Mutex<Queues>,
}

#[derive(Default)]
struct Queues {
    groups: HashMap<u64, Group, foldhash::fast::RandomState>,
    failure: Vec<(u64, Waker)>,
    next_id: u64,
}

/// The waiters of one thread, each level in the order of positions.
#[derive(Default)]
struct Group {
    levels: [VecDeque<Slot>; 2],
    /// Since when finished waiters have been left to the first one, which has not come.
    left: Option<Instant>,
}

struct Slot {
    lsn: Lsn,
    id: u64,
    waker: Waker,
}

impl Waiters {
    /// How long the log's thread leaves the waking of neighbours to the first: far more than a busy thread needs to
    /// come round, far less than a client notices.
    pub(crate) const PATIENCE: Duration = Duration::from_millis(5);

    pub(crate) fn new(start: Lsn) -> Arc<Self> {
        Arc::new(Self {
            written: AtomicU64::new(start),
            durable: AtomicU64::new(start),
            failure: OnceLock::new(),
            queues: Mutex::default(),
        })
    }

    /// A future for the position `lsn`.
    pub(crate) fn done(self: &Arc<Self>, durability: Durability, lsn: Lsn) -> Done {
        Done { waiters: Arc::clone(self), durability, lsn, slot: None }
    }

    /// How far the promise of `durability` holds.
    pub(crate) fn reached(&self, durability: Durability) -> Lsn {
        match durability {
            Durability::Async => self.written.load(Ordering::Acquire),
            Durability::Sync => self.durable.load(Ordering::Acquire),
        }
    }

    /// Moves the promise of `durability` forward; [`Waiters::wake`] tells those who wait for it.
    pub(crate) fn publish(&self, durability: Durability, lsn: Lsn) {
        self.written.fetch_max(lsn, Ordering::Release);
        if durability == Durability::Sync {
            self.durable.fetch_max(lsn, Ordering::Release);
        }
    }

    /// Wakes the finished waiters of this thread, and the first one of each other thread. Returns since when others have been left to it, if any have.
    pub(crate) fn wake(&self) -> Option<Instant> {
        let own = THREAD.with(|thread| *thread);
        let mut firsts = Vec::new();
        let mut left: Option<Instant> = None;
        {
            let mut queues = self.queues.lock();
            let mut now = None;
            for (thread, group) in &mut queues.groups {
                if *thread == own {
                    self.drain(group, &mut firsts);
                    continue;
                }
                firsts.extend(self.pop(group));
                if self.has_finished(group) {
                    let since = *group.left.get_or_insert_with(|| *now.get_or_insert_with(Instant::now));
                    left = Some(left.map_or(since, |left| left.min(since)));
                } else {
                    group.left = None;
                }
            }
            if queues.groups.len() > IDLE_GROUPS {
                queues.groups.retain(|_, group| group.levels.iter().any(|l| !l.is_empty()));
            }
        }
        firsts.into_iter().for_each(Waker::wake);
        left
    }

    /// Wakes every finished waiter that was left to a first one at `before` or earlier. Returns since when others have.
    pub(crate) fn wake_left(&self, before: Instant) -> Option<Instant> {
        let mut wakers = Vec::new();
        let mut queues = self.queues.lock();
        for group in queues.groups.values_mut() {
            if group.left.is_some_and(|left| left <= before) {
                self.drain(group, &mut wakers);
            }
        }
        let left = queues.groups.values().filter_map(|group| group.left).min();
        drop(queues);
        wakers.into_iter().for_each(Waker::wake);
        left
    }

    /// Wakes every finished waiter.
    pub(crate) fn wake_all(&self) {
        let mut wakers = Vec::new();
        self.queues.lock().groups.values_mut().for_each(|group| self.drain(group, &mut wakers));
        wakers.into_iter().for_each(Waker::wake);
    }

    fn drain(&self, group: &mut Group, wakers: &mut Vec<Waker>) {
        wakers.extend(std::iter::from_fn(|| self.pop(group)));
        group.left = None;
    }

    /// Ends every wait that has not been fulfilled, now and later, with this reason. The first reason stays.
    pub(crate) fn fail(&self, reason: String) {
        let _ = self.failure.set(reason);
        let mut wakers = Vec::new();
        {
            let mut queues = self.queues.lock();
            for (_, group) in queues.groups.drain() {
                wakers.extend(group.levels.into_iter().flatten().map(|slot| slot.waker));
            }
            wakers.extend(queues.failure.drain(..).map(|(_, waker)| waker));
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Why the log has failed, if it has.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.failure.get().map(|reason| {
            Error::new(ErrorKind::Unavailable, "the log has stopped").with_source(reason.clone())
        })
    }

    /// Resolves with the reason when the log fails.
    pub(crate) fn failed(self: &Arc<Self>) -> Failed {
        Failed { waiters: Arc::clone(self), id: None }
    }

    fn finished(&self, durability: Durability, lsn: Lsn) -> Option<Result<()>> {
        if self.reached(durability) >= lsn { Some(Ok(())) } else { self.failure().map(Err) }
    }

    fn has_finished(&self, group: &Group) -> bool {
        LEVELS.iter().any(|durability| {
            group.levels[*durability as usize].front().is_some_and(|s| s.lsn <= self.reached(*durability))
        })
    }

    fn pop(&self, group: &mut Group) -> Option<Waker> {
        LEVELS.iter().find_map(|durability| {
            let level = &mut group.levels[*durability as usize];
            let lsn = level.front()?.lsn;
            if lsn <= self.reached(*durability) { level.pop_front().map(|slot| slot.waker) } else { None }
        })
    }

    /// Takes a waiter out, if it is still in, and wakes the finished waiters of its thread.
    fn leave(&self, durability: Durability, lsn: Lsn, slot: &Place) {
        let mut neighbours = Vec::new();
        {
            let mut queues = self.queues.lock();
            let Some(group) = queues.groups.get_mut(&slot.thread) else { return };
            let level = &mut group.levels[durability as usize];
            if let Some(at) = find(level, lsn, slot.id) {
                level.remove(at);
            }
            self.drain(group, &mut neighbours);
        }
        neighbours.into_iter().for_each(Waker::wake);
    }
}

const LEVELS: [Durability; 2] = [Durability::Sync, Durability::Async];

fn find(level: &VecDeque<Slot>, lsn: Lsn, id: u64) -> Option<usize> {
    let first = level.partition_point(|s| s.lsn < lsn);
    level.range(first..).take_while(|s| s.lsn == lsn).position(|s| s.id == id).map(|n| first + n)
}

/// Resolves when an append is as durable as was asked for.
///
/// An error means that the log has failed for good and that the outcome of the append is unknown.
pub struct Done {
    waiters: Arc<Waiters>,
    durability: Durability,
    lsn: Lsn,
    slot: Option<Place>,
}

/// Where a waiter stands.
struct Place {
    thread: u64,
    id: u64,
}

impl Done {
    /// Blocks the calling thread until it is done. Not for a thread that runs tasks.
    ///
    /// # Errors
    /// As the future.
    pub fn wait(self) -> Result<()> {
        crate::block_on::block_on(self)
    }

    /// Puts the waker in its place unless the wait is over, which is looked at under the lock that wakers take.
    fn register(&mut self, waker: &Waker) -> Poll<Result<()>> {
        let mut neighbours = Vec::new();
        let outcome = {
            let mut queues = self.waiters.queues.lock();
            let outcome = self.waiters.finished(self.durability, self.lsn);
            if outcome.is_none() {
                let id = queues.next_id;
                queues.next_id += 1;
                let place =
                    self.slot.get_or_insert_with(|| Place { thread: THREAD.with(|thread| *thread), id });
                let group = queues.groups.entry(place.thread).or_default();
                put(&mut group.levels[self.durability as usize], self.lsn, place.id, waker);
                self.waiters.drain(group, &mut neighbours);
            }
            outcome
        };
        neighbours.into_iter().for_each(Waker::wake);
        outcome.map_or(Poll::Pending, Poll::Ready)
    }

    fn leave(&mut self) {
        if let Some(place) = self.slot.take() {
            self.waiters.leave(self.durability, self.lsn, &place);
        }
    }
}

fn put(level: &mut VecDeque<Slot>, lsn: Lsn, id: u64, waker: &Waker) {
    if let Some(slot) = find(level, lsn, id).and_then(|at| level.get_mut(at)) {
        slot.waker.clone_from(waker);
        return;
    }
    let slot = Slot { lsn, id, waker: waker.clone() };
    if level.back().is_none_or(|last| last.lsn <= lsn) {
        level.push_back(slot);
    } else {
        level.insert(level.partition_point(|s| s.lsn <= lsn), slot);
    }
}

impl Future for Done {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let outcome = match self.waiters.finished(self.durability, self.lsn) {
            Some(outcome) => Poll::Ready(outcome),
            None => self.register(cx.waker()),
        };
        if outcome.is_ready() {
            self.leave();
        }
        outcome
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Resolves when the log has failed.
pub(crate) struct Failed {
    waiters: Arc<Waiters>,
    id: Option<u64>,
}

impl Future for Failed {
    type Output = Error;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Error> {
        let this = &mut *self;
        let mut queues = this.waiters.queues.lock();
        if let Some(error) = this.waiters.failure() {
            return Poll::Ready(error);
        }
        let next = queues.next_id;
        let id = *this.id.get_or_insert(next);
        queues.next_id += 1;
        queues.failure.retain(|(other, _)| *other != id);
        queues.failure.push((id, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Failed {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.waiters.queues.lock().failure.retain(|(other, _)| *other != id);
        }
    }
}

#[cfg(test)]
#[path = "wake_tests.rs"]
mod tests;
