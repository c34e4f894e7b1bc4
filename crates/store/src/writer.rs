//! The log's thread: takes what waits, writes it, syncs it, makes it readable, and wakes who waits for it.
//!
//! It exists so that one `fdatasync` serves everyone who came while the one before was running (group commit). The one
//! idea to know: there is no timer and no lingering; the sync itself is the time in which the next group gathers, and a
//! log without work sleeps until it gets some. Any failed write or sync is final: see `Shared::fail`.

use crate::entry::{EntryKind, flag};
use crate::keeper::Keeper;
use crate::log::{Durability, LogQueue, Lsn};
use crate::segment::{self, Segment};
use crate::shared::{Known, Shared};
use crate::staging::{Indexed, Phase, Piece, Roll, Staged};
use crate::vfs::VfsFile;
use crate::wake::Waiters;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long written bytes may wait for their sync when nobody waits for it.
const ASYNC_DELAY: Duration = Duration::from_millis(100);
/// How many written bytes may wait for their sync.
const ASYNC_BYTES: u64 = 4 << 20;
/// After this quiet time a mark is written, so that damage in the newest group can be told from a torn write.
const IDLE_MARK: Duration = Duration::from_millis(100);

/// The state of the log's thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    keeper: Arc<Keeper>,
    segment: Arc<Segment>,
    unsynced: u64,
    unsynced_since: Option<Instant>,
    /// When the last commit ended, until its mark is written.
    unmarked_since: Option<Instant>,
    /// Since when waking has been left to the first waiters of a thread.
    left_since: Option<Instant>,
    written: usize,
    touched: Vec<LogQueue>,
}

enum Work {
    Commit(Staged, Lsn),
    Sync,
    Mark,
    WakeRest,
    Close,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, keeper: Arc<Keeper>, segment: Arc<Segment>) -> Self {
        Self {
            shared,
            keeper,
            segment,
            unsynced: 0,
            unsynced_since: None,
            unmarked_since: None,
            left_since: None,
            written: 0,
            touched: Vec::new(),
        }
    }

    /// Works until the log is closed or has failed.
    pub(crate) fn run(mut self) {
        loop {
            let done = match self.next() {
                Work::Commit(staged, end) => self.commit(staged, end),
                Work::Sync => self.sync_unsynced(),
                Work::Mark => self.mark(0),
                Work::WakeRest => {
                    let before = self.left_since.unwrap_or_else(Instant::now);
                    self.left_since = self.shared.waiters.wake_left(before);
                    Ok(())
                }
                Work::Close => {
                    if self.shared.waiters.failure().is_none()
                        && let Err((what, error)) = self.mark(flag::CLEAN)
                    {
                        self.shared.fail(&what, &error);
                    }
                    return;
                }
            };
            if let Err((what, error)) = done {
                self.shared.fail(&what, &error);
                return;
            }
        }
    }

    /// Waits for the next thing to do.
    fn next(&mut self) -> Work {
        let shared = Arc::clone(&self.shared);
        let mut staging = shared.staging.lock();
        staging.pending -= std::mem::take(&mut self.written).min(staging.pending);
        loop {
            if shared.waiters.failure().is_some() {
                return Work::Close;
            }
            if staging.has_work() {
                if self.left_since.is_some_and(|since| since.elapsed() > Waiters::PATIENCE) {
                    return Work::WakeRest;
                }
                let (staged, end) = staging.take();
                return Work::Commit(staged, end);
            }
            if staging.phase != Phase::Open {
                return Work::Close;
            }
            let timers = [
                (self.left_since.map(|t| t + Waiters::PATIENCE), Work::WakeRest),
                (self.unsynced_since.map(|t| t + ASYNC_DELAY), Work::Sync),
                (self.unmarked_since.map(|t| t + IDLE_MARK), Work::Mark),
            ];
            let first = timers.into_iter().filter_map(|(at, work)| at.map(|at| (at, work)));
            let first = first.min_by_key(|(at, _)| *at);
            staging.asleep = true;
            match first {
                None => shared.work.wait(&mut staging),
                Some((at, work)) => {
                    if shared.work.wait_until(&mut staging, at).timed_out() && !staging.has_work() {
                        staging.asleep = false;
                        return work;
                    }
                }
            }
            staging.asleep = false;
        }
    }

    fn commit(&mut self, mut staged: Staged, end: Lsn) -> Result<(), (String, io::Error)> {
        let mut rolls = Vec::new();
        for piece in &staged.pieces {
            if piece.segment.start != self.segment.start
                && let Some(roll) = staged.rolls.pop_front()
            {
                self.activate(&roll)?;
                rolls.push(roll);
            }
            self.write(piece)?;
        }
        let durability = if staged.sync || self.unsynced >= ASYNC_BYTES {
            self.sync()?;
            Durability::Sync
        } else {
            if self.unsynced > 0 {
                self.unsynced_since.get_or_insert_with(Instant::now);
            }
            Durability::Async
        };
        self.publish(staged.pieces, staged.indexed, end, durability);
        self.unmarked_since = Some(Instant::now());
        for roll in rolls {
            self.keeper.seal(roll);
        }
        Ok(())
    }

    fn write(&mut self, piece: &Piece) -> Result<(), (String, io::Error)> {
        let position = piece.segment.position(piece.lsn);
        let write = |file: Arc<dyn VfsFile>| file.write_at(&piece.bytes, position);
        let file = piece.segment.file(&*self.shared.vfs);
        file.and_then(write).map_err(|e| during("write", &piece.segment, e))?;
        self.unsynced += piece.bytes.len() as u64;
        self.written += piece.bytes.len();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), (String, io::Error)> {
        if self.unsynced > 0 {
            let file = self.segment.file(&*self.shared.vfs);
            file.and_then(|file| file.sync()).map_err(|e| during("sync", &self.segment, e))?;
        }
        self.unsynced = 0;
        self.unsynced_since = None;
        Ok(())
    }

    fn sync_unsynced(&mut self) -> Result<(), (String, io::Error)> {
        self.sync()?;
        self.shared.waiters.publish(Durability::Sync, self.shared.visible());
        self.wake();
        Ok(())
    }

    /// Goes to the next segment, after the one before is safe.
    fn activate(&mut self, roll: &Roll) -> Result<(), (String, io::Error)> {
        self.sync()?;
        let shared = &self.shared;
        segment::activate(&*shared.vfs, &shared.dir, shared.store, shared.clock.now(), &roll.new, &roll.from)
            .map_err(|e| during("begin", &roll.new, e))?;
        let known = Known { segment: Arc::clone(&roll.new), footer: None };
        shared.segments.write().insert(roll.new.start, known);
        self.segment = Arc::clone(&roll.new);
        Ok(())
    }

    /// Makes what was committed readable, then tells the listener, then those who wait.
    fn publish(&mut self, pieces: Vec<Piece>, indexed: Vec<Indexed>, end: Lsn, durability: Durability) {
        let shared = &self.shared;
        if !pieces.is_empty() {
            let mut tail = shared.tail.lock();
            pieces.into_iter().for_each(|piece| tail.push(piece.lsn, piece.bytes));
        }
        self.touched.clear();
        if !indexed.is_empty() {
            let mut queues = shared.queues.write();
            for new in indexed {
                queues.push(new.queue, new.entry, new.is_async);
                self.touched.push(LogQueue(new.queue));
            }
        }
        shared.visible.store(end, Ordering::Release);
        shared.waiters.publish(durability, end);
        if !self.touched.is_empty() {
            self.touched.sort_unstable();
            self.touched.dedup();
            let listener = shared.listener.lock().clone();
            if let Some(listener) = listener {
                listener(&self.touched);
            }
        }
        self.wake();
    }

    fn wake(&mut self) {
        self.left_since = self.shared.waiters.wake();
    }

    fn mark(&mut self, flags: u32) -> Result<(), (String, io::Error)> {
        self.unmarked_since = None;
        // What was written has to be safe before a mark may say so.
        self.sync_unsynced()?;
        let durable = self.shared.waiters.reached(Durability::Sync);
        let (staged, end) = {
            let mut staging = self.shared.staging.lock();
            // A run that appended nothing leaves an empty segment, which the next start removes.
            if staging.end != staging.active.segment.first() {
                staging.put_empty(EntryKind::Mark, flags, 0, 0, durable);
            }
            if flags & flag::CLEAN != 0 {
                staging.phase = Phase::Closed;
            }
            staging.take()
        };
        self.commit(staged, end)?;
        self.unmarked_since = None;
        Ok(())
    }
}

fn during(what: &str, segment: &Segment, error: io::Error) -> (String, io::Error) {
    (format!("{what} {}", segment.path.display()), error)
}
