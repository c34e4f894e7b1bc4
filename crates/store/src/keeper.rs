//! The background thread: prepares files for the segments to come, seals full ones, and watches the disk's space.
//!
//! It exists so that an append never takes space and never waits for it. The one idea to know: syncs of blocks that
//! have been written before are two to four times faster, so a file is written with zeros before it becomes a segment,
//! unless the log fills segments so fast that zeros would take the disk's time away from messages; then its space is
//! only allocated. One such file is always there first, and "disk full" is met here alone. While old segments are
//! deleted as fast as new ones fill, their files are the next ones: then nothing is prepared. The thread sleeps when
//! nothing is asked of it.

use crate::log::Lsn;
use crate::seal::seal;
use crate::segment::pool_dir;
use crate::shared::Shared;
use crate::staging::{Ready, Roll};
use crate::vfs::{DiskSpace, VfsFile};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Zeros are written in this size, with a pause as long as that took, so that the log's own syncs hardly wait for them.
const ZEROS: u64 = 256 << 10;
/// While the log is used, zeros keep in step with it; when it stands still for so long, they need not wait.
const STILL: Duration = Duration::from_millis(10);
/// Bytes a second from which on zeros are no longer written: half of what a plain disk can do.
const FAST: u64 = 64 << 20;
/// Over so long that is measured before zeros are written and meanwhile, for a log that stood still and then fills fast.
const PACE: Duration = Duration::from_millis(500);

/// What the thread is asked to do.
pub(crate) struct Keeper {
    tasks: Mutex<Tasks>,
    wanted: Condvar,
    stop: AtomicBool,
    /// Nobody's thread runs it: it never waits.
    by_hand: bool,
}

struct Tasks {
    seals: VecDeque<Roll>,
    look: bool,
    /// Something has changed since the thread looked.
    changed: bool,
    /// The last look found space: worth trying while messages are refused.
    hopeful: bool,
    /// The system had no space although its figures said so: not tried again before the next look.
    refused: bool,
    last_roll: Instant,
    /// Segments fill faster than zeros are worth it.
    fast: bool,
    /// A deleted segment's file has come back since the log went to its present segment.
    came_back: bool,
    /// One had while the segment before was filled, so another one will: a file prepared now would be for nothing. Where
    /// none comes, the next roll finds it out, and the one file that is still there.
    will_come: bool,
}

impl Tasks {
    fn has_some(&self) -> bool {
        self.look || !self.seals.is_empty()
    }
}

enum Task {
    Seal(Roll),
    Look,
    Allocate,
    WriteZeros,
    Stop,
}

impl Keeper {
    pub(crate) fn new() -> Self {
        let tasks = Tasks {
            seals: VecDeque::new(),
            look: false,
            changed: false,
            hopeful: false,
            refused: false,
            last_roll: Instant::now(),
            fast: false,
            came_back: false,
            will_come: false,
        };
        Self {
            tasks: Mutex::new(tasks),
            wanted: Condvar::new(),
            stop: AtomicBool::new(false),
            by_hand: false,
        }
    }

    /// One that nobody's thread runs: see [`Keeper::step`].
    pub(crate) fn by_hand() -> Self {
        Self { by_hand: true, ..Self::new() }
    }

    /// Asks for a full segment to be sealed.
    pub(crate) fn seal(&self, roll: Roll) {
        self.tasks.lock().seals.push_back(roll);
        self.wanted.notify_one();
    }

    /// Asks for a look at the file system's space, and for files where they are missing.
    pub(crate) fn look(&self) {
        self.tasks.lock().look = true;
        self.wanted.notify_one();
    }

    /// Says that a prepared file has been taken, because a segment of this length is full.
    pub(crate) fn taken(&self, filled: u64) {
        let mut tasks = self.tasks.lock();
        let now = Instant::now();
        // By hand nothing depends on how fast a machine is.
        tasks.fast = !self.by_hand && is_fast(filled, now.duration_since(tasks.last_roll));
        tasks.last_roll = now;
        tasks.will_come = std::mem::take(&mut tasks.came_back);
        tasks.changed = true;
        self.wanted.notify_one();
    }

    /// Says that a deleted segment's file can be used again.
    pub(crate) fn came_back(&self) {
        self.tasks.lock().came_back = true;
    }

    /// The segments that were not sealed when the thread ended.
    pub(crate) fn take_seals(&self) -> VecDeque<Roll> {
        std::mem::take(&mut self.tasks.lock().seals)
    }

    /// Ends the thread after what it is doing.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(self.tasks.lock());
        self.wanted.notify_one();
    }

    /// Works until stopped.
    pub(crate) fn run(&self, shared: &Shared) {
        // Grows from file to file, so that a new log starts with little.
        let mut len = shared.segments.read().values().next_back().map_or(0, |known| known.segment.len);
        loop {
            let task = loop {
                if let Some(task) = self.next(shared) {
                    break task;
                }
                let mut tasks = self.tasks.lock();
                if !tasks.changed && !tasks.has_some() && !self.stop.load(Ordering::SeqCst) {
                    self.wanted.wait(&mut tasks);
                }
            };
            if matches!(task, Task::Stop) || !self.carry_out(shared, task, &mut len) {
                return;
            }
        }
    }

    /// Does one thing on the calling thread; false when there is nothing to do, or no more.
    pub(crate) fn step(&self, shared: &Shared) -> bool {
        let mut len = shared.segments.read().values().next_back().map_or(0, |known| known.segment.len);
        let failed = shared.waiters.failure().is_some();
        let task = if failed { None } else { self.next(shared) };
        task.is_some_and(|task| self.carry_out(shared, task, &mut len))
    }

    fn carry_out(&self, shared: &Shared, task: Task, len: &mut u64) -> bool {
        if matches!(task, Task::Allocate | Task::WriteZeros) {
            *len = (*len * 2).clamp(4096, shared.config.segment_size.0);
        }
        let (what, done) = match task {
            Task::Stop => return false,
            Task::Seal(roll) => {
                ("seal a segment", seal(shared, roll.old.start, roll.end, roll.stored, false))
            }
            Task::Look => ("look at the disk's space", self.look_now(shared)),
            Task::Allocate => ("prepare a segment", self.prepare(shared, *len, false)),
            Task::WriteZeros => ("prepare a segment", self.prepare(shared, *len, true)),
        };
        if let Err(error) = &done {
            shared.fail(what, error);
        }
        done.is_ok()
    }

    /// What there is to do.
    fn next(&self, shared: &Shared) -> Option<Task> {
        self.tasks.lock().changed = false;
        let (ready, full) = {
            let staging = shared.staging.lock();
            (staging.ready.len(), staging.full)
        };
        let mut tasks = self.tasks.lock();
        if self.stop.load(Ordering::SeqCst) {
            return Some(Task::Stop);
        }
        if let Some(roll) = tasks.seals.pop_front() {
            return Some(Task::Seal(roll));
        }
        if std::mem::take(&mut tasks.look) {
            tasks.refused = false;
            return Some(Task::Look);
        }
        let wanted = ready < shared.config.ready_segments && (!full || ready == 0 || tasks.hopeful);
        let waits = tasks.will_come && ready > 0 && !full;
        if !wanted || waits || tasks.refused {
            return None;
        }
        Some(if ready == 0 || tasks.fast { Task::Allocate } else { Task::WriteZeros })
    }

    /// Looks at the space. Messages that were refused are accepted again once there is a next file, or can be one.
    fn look_now(&self, shared: &Shared) -> io::Result<()> {
        let space = shared.vfs.space(&shared.dir)?;
        *shared.disk.lock() = space;
        let over = over_guard(shared, space, 0);
        self.tasks.lock().hopeful = !over;
        let enough = shared.staging.lock().ready.len() >= shared.config.ready_segments;
        if over || enough {
            set_full(shared, over, space);
        }
        Ok(())
    }

    fn refuse(&self) {
        let mut tasks = self.tasks.lock();
        tasks.refused = true;
        tasks.hopeful = false;
    }

    /// Makes one more file. Over the guard only the one that state needs is made.
    fn prepare(&self, shared: &Shared, len: u64, zeros: bool) -> io::Result<()> {
        let space = shared.vfs.space(&shared.dir)?;
        *shared.disk.lock() = space;
        let over = over_guard(shared, space, len);
        if over {
            set_full(shared, true, space);
            let needed = shared.staging.lock().ready.is_empty();
            if !needed || space.available < len {
                self.refuse();
                return Ok(());
            }
        }
        let temporary = pool_dir(&shared.dir).join(format!("{:016x}.tmp", shared.vfs.random()));
        match self.write(shared, &temporary, len, zeros) {
            Ok(Some(ready)) => {
                shared.keep_ready(ready)?;
                if !over {
                    set_full(shared, false, space);
                }
                Ok(())
            }
            Ok(None) => {
                let has_enough = shared.staging.lock().ready.len() >= shared.config.ready_segments;
                if has_enough && !over {
                    set_full(shared, false, space);
                }
                shared.vfs.remove(&temporary)
            }
            Err(error) if is_full(&error) => {
                shared.vfs.remove(&temporary)?;
                set_full(shared, true, space);
                self.refuse();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Waits a moment; true when the log was appended to meanwhile.
    fn log_moves(&self, shared: &Shared) -> bool {
        let end = || shared.staging.lock().end;
        let before = end();
        self.wanted.wait_for(&mut self.tasks.lock(), STILL);
        end() != before
    }

    /// Makes the file; nothing when the thread has to stop. When the log is in need of it, it is handed over as it is.
    fn write(&self, shared: &Shared, temporary: &Path, len: u64, zeros: bool) -> io::Result<Option<Ready>> {
        let file = shared.vfs.open(temporary, true)?;
        allocate(&*file, len)?;
        let mut written = 0;
        let mut pace = Pace::from(shared);
        while zeros && written < len {
            if self.stop.load(Ordering::SeqCst) {
                return Ok(None);
            }
            let ready = shared.staging.lock().ready.len();
            if ready >= shared.config.ready_segments {
                return Ok(None); // a deleted segment's file has come back meanwhile
            }
            let fast = if self.by_hand { Some(false) } else { pace.is_fast(shared) };
            self.tasks.lock().fast |= fast == Some(true);
            if ready == 0 || self.tasks.lock().fast {
                break;
            }
            let too_soon = fast.is_none() && written == 0 || written >= in_step(shared, len);
            if !self.by_hand && too_soon && self.log_moves(shared) {
                continue;
            }
            let begun = Instant::now();
            let next = (written + ZEROS).min(len);
            file.write_zeros(written, next)?;
            written = next;
            let mut tasks = self.tasks.lock();
            if !self.by_hand && tasks.seals.is_empty() && written < len {
                self.wanted.wait_for(&mut tasks, begun.elapsed());
            }
        }
        file.sync()?;
        let path = temporary.with_extension(if written == len { "free" } else { "spare" });
        shared.vfs.rename(temporary, &path)?;
        shared.vfs.sync_dir(&pool_dir(&shared.dir))?;
        Ok(Some(Ready { path, file, len, written: written == len }))
    }
}

/// How fast the log has grown since it was looked at.
struct Pace {
    since: Instant,
    end: Lsn,
}

impl Pace {
    fn from(shared: &Shared) -> Self {
        Self { since: Instant::now(), end: shared.staging.lock().end }
    }

    /// Looks again when it is time to; nothing when it is not.
    fn is_fast(&mut self, shared: &Shared) -> Option<bool> {
        let took = self.since.elapsed();
        if took < PACE {
            return None;
        }
        let before = std::mem::replace(self, Self::from(shared));
        Some(is_fast(self.end.saturating_sub(before.end), took))
    }
}

/// Whether a log that grew by so much in this time leaves the disk no time for zeros.
fn is_fast(bytes: u64, took: Duration) -> bool {
    let millis = took.as_millis().max(1) as u64;
    bytes.saturating_mul(1000) / millis > FAST
}

/// How much of the next segment should have been written with zeros: as great a part as is filled of this one, and a
/// quarter of that more, so that it is done in time.
fn in_step(shared: &Shared, len: u64) -> u64 {
    let staging = shared.staging.lock();
    let segment = &staging.active.segment;
    let filled = segment.position(staging.end).saturating_mul(5) / 4;
    (u128::from(filled) * u128::from(len) / u128::from(segment.len.max(1))) as u64
}

/// Takes the space of a file.
pub(crate) fn allocate(file: &dyn VfsFile, len: u64) -> io::Result<()> {
    file.allocate(len)?;
    if file.size()? < len { file.set_len(len) } else { Ok(()) }
}

/// True for the system's two ways of saying that there is no space.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether taking `more` bytes would go over the guard.
fn over_guard(shared: &Shared, space: DiskSpace, more: u64) -> bool {
    space.available.saturating_sub(more) < shared.config.kept_free(space.total)
}

fn set_full(shared: &Shared, full: bool, space: DiskSpace) {
    let before = std::mem::replace(&mut shared.staging.lock().full, full);
    let used_per_mille = space.used_per_mille();
    match (before, full) {
        (false, true) => tracing::warn!(used_per_mille, "the disk is full: messages are refused"),
        (true, false) => tracing::info!(used_per_mille, "the disk has space again: messages are accepted"),
        _ => {}
    }
}
