//! The one who commits: takes what waits, writes it, syncs it, makes it readable, and wakes who waits for it.
//!
//! It exists so that one `fdatasync` serves everyone who came while the one before was running (group commit). The one
//! idea to know: there is no timer and no lingering; the sync itself is the time in which the next group gathers, and a
//! log without work sleeps until it gets some. Any failed write or sync is final: see `Shared::fail`.
//!
//! One thread at a time is the writer. Mostly that is the log's thread ([`run`]); a thread that runs tasks can be it for
//! a moment and spare the wake-ups: see `committer.rs`.

use crate::entry::{EntryKind, flag};
use crate::keeper::Keeper;
use crate::log::{Durability, LogQueue, Lsn};
use crate::segment::{self, Segment};
use crate::shared::{Known, Shared};
use crate::staging::{Indexed, Phase, Piece, Roll, Staged, Staging};
use crate::vfs::VfsFile;
use crate::wake::Waiters;
use parking_lot::Mutex;
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
/// A sync that takes longer must not hold up a thread that has other work.
const SLOW_SYNC: Duration = Duration::from_millis(5);
/// For so long after a slow sync only the log's thread commits.
const SLOW_FOR: Duration = Duration::from_millis(250);

/// What committing needs. See the module.
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
    /// When a sync was slow the last time, while it counts.
    slow_since: Option<Instant>,
    written: usize,
    touched: Vec<LogQueue>,
}

type Done = Result<(), (String, io::Error)>;

/// The life of the log's thread, until the log is closed or has failed.
pub(crate) fn run(writer: &Mutex<Writer>, shared: &Shared) {
    loop {
        wait(shared);
        let goes_on = writer.lock().turn();
        shared.writer_is_free();
        if !goes_on {
            return;
        }
    }
}

/// Sleeps until something is staged for this thread, the log ends, or it is time for what the writer does unasked.
fn wait(shared: &Shared) {
    let mut staging = shared.staging.lock();
    let has_work = |staging: &Staging| staging.urgent && staging.has_work();
    while !has_work(&staging) && staging.phase == Phase::Open && shared.waiters.failure().is_none() {
        staging.asleep = true;
        let due = match staging.look_at {
            None => {
                shared.work.wait(&mut staging);
                false
            }
            Some(at) => shared.work.wait_until(&mut staging, at).timed_out(),
        };
        staging.asleep = false;
        if due {
            return;
        }
    }
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
            slow_since: None,
            written: 0,
            touched: Vec::new(),
        }
    }

    /// Commits what is staged, and does what is due. False when the log has ended.
    pub(crate) fn turn(&mut self) -> bool {
        let is_due = |since: Option<Instant>, after| since.is_some_and(|since| since.elapsed() >= after);
        if self.left_since.is_some_and(|since| since.elapsed() >= Waiters::PATIENCE) {
            let before = self.left_since.unwrap_or_else(Instant::now);
            self.left_since = self.shared.waiters.wake_left(before);
        }
        let done = match self.take() {
            _ if self.shared.waiters.failure().is_some() => return false,
            Taken::Work(staged, end) => self.commit(staged, end),
            Taken::End => {
                if let Err((what, error)) = self.mark(flag::CLEAN) {
                    self.shared.fail(&what, &error);
                }
                return false;
            }
            Taken::Nothing if is_due(self.unsynced_since, ASYNC_DELAY) => self.sync_unsynced(),
            Taken::Nothing if is_due(self.unmarked_since, IDLE_MARK) => self.mark(0),
            Taken::Nothing => Ok(()),
        };
        self.end_turn(done, true)
    }

    /// Commits what is staged, on a thread that is not the log's. Whether the log goes on.
    pub(crate) fn turn_here(&mut self) -> bool {
        let done = match self.take() {
            _ if self.shared.waiters.failure().is_some() => return false,
            Taken::Work(staged, end) => self.commit(staged, end),
            Taken::Nothing => Ok(()),
            Taken::End => return false,
        };
        self.end_turn(done, false)
    }

    /// What a quiet time brings, at once.
    pub(crate) fn be_quiet(&mut self) {
        if self.shared.waiters.failure().is_none() {
            let done = self.mark(0);
            self.end_turn(done, false);
        }
    }

    fn take(&self) -> Taken {
        let mut staging = self.shared.staging.lock();
        if staging.has_work() {
            let (staged, end) = staging.take();
            Taken::Work(staged, end)
        } else if staging.phase == Phase::Open {
            Taken::Nothing
        } else {
            Taken::End
        }
    }

    /// Tells the log's thread when to look again. It need not be told what it will see anyway when it next wakes up.
    fn end_turn(&mut self, done: Done, own_thread: bool) -> bool {
        if let Err((what, error)) = done {
            self.shared.fail(&what, &error);
            return false;
        }
        let due = [
            self.left_since.map(|since| since + Waiters::PATIENCE),
            self.unsynced_since.map(|since| since + ASYNC_DELAY),
            self.unmarked_since.map(|since| since + IDLE_MARK),
        ];
        let due = due.into_iter().flatten().min();
        let mut staging = self.shared.staging.lock();
        staging.pending -= std::mem::take(&mut self.written).min(staging.pending);
        let sooner = due.is_some_and(|due| staging.look_at.is_none_or(|at| due < at));
        if own_thread || sooner {
            staging.look_at = due;
            if staging.asleep {
                self.shared.work.notify_one();
            }
        }
        true
    }

    fn commit(&mut self, mut staged: Staged, end: Lsn) -> Done {
        let mut rolls = Vec::new();
        for piece in &staged.pieces {
            if piece.segment.start != self.segment.start
                && let Some(roll) = staged.rolls.pop_front()
            {
                self.activate(&roll)?;
                rolls.push(roll);
            }
            self.write(piece, staged.sync)?;
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

    fn write(&mut self, piece: &Piece, and_sync: bool) -> Done {
        let position = piece.segment.position(piece.lsn);
        let write = |file: Arc<dyn VfsFile>| match and_sync {
            true => file.write_next(&piece.bytes, piece.len, position),
            false => file.write_at(&piece.bytes, position),
        };
        let file = piece.segment.file(&*self.shared.vfs);
        file.and_then(write).map_err(|e| during("write", &piece.segment, e))?;
        self.unsynced += piece.len as u64;
        self.written += piece.len;
        Ok(())
    }

    fn sync(&mut self) -> Done {
        if self.unsynced > 0 {
            let began = Instant::now();
            let file = self.segment.file(&*self.shared.vfs);
            file.and_then(|file| file.sync()).map_err(|e| during("sync", &self.segment, e))?;
            self.note_sync(began.elapsed());
        }
        self.unsynced = 0;
        self.unsynced_since = None;
        Ok(())
    }

    /// Leaves committing to the log's thread while the disk is slow.
    fn note_sync(&mut self, took: Duration) {
        if took >= SLOW_SYNC {
            self.slow_since = Some(Instant::now());
        } else if self.slow_since.is_some_and(|since| since.elapsed() >= SLOW_FOR) {
            self.slow_since = None;
        }
        self.shared.is_slow.store(self.slow_since.is_some(), Ordering::Relaxed);
    }

    fn sync_unsynced(&mut self) -> Done {
        self.sync()?;
        self.shared.waiters.publish(Durability::Sync, self.shared.visible());
        self.wake();
        Ok(())
    }

    /// Goes to the next segment, after the one before is safe.
    fn activate(&mut self, roll: &Roll) -> Done {
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
            pieces.into_iter().for_each(|piece| tail.push(piece.lsn, piece.bytes.slice(..piece.len)));
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

    fn mark(&mut self, flags: u8) -> Done {
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

/// What a writer found staged.
enum Taken {
    Work(Staged, Lsn),
    Nothing,
    /// Nothing, and nothing will come.
    End,
}

fn during(what: &str, segment: &Segment, error: io::Error) -> (String, io::Error) {
    (format!("{what} {}", segment.path.display()), error)
}
