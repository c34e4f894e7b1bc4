//! The background thread: prepares files for the segments to come, seals full ones, and watches the disk's space.
//!
//! It exists so that an append never takes space and never waits for it. The one idea to know: a segment's blocks are
//! written with zeros (or with old entries, when the file is used again) before the segment is used, which makes each
//! later sync two to four times faster and leaves "disk full" to this thread alone. It sleeps when nothing is asked.

use crate::log::Lsn;
use crate::sealed::{self, Contents, QueueContents, Sealed};
use crate::segment::{Segment, log_dir, pool_dir};
use crate::shared::{Known, Shared};
use crate::staging::{Ready, Roll};
use crate::vfs::{DiskSpace, Vfs, VfsFile};
use parking_lot::{Condvar, Mutex};
use sluice_model::Millis;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Zeros are written in this size and synced in the second, so that the log's own syncs do not wait behind them.
const ZEROS: usize = 1 << 20;
const SYNC_EACH: u64 = 8 << 20;
/// Queues looked at under one lock.
const QUEUES_AT_ONCE: usize = 256;

/// What the thread is asked to do.
#[derive(Default)]
pub(crate) struct Keeper {
    tasks: Mutex<Tasks>,
    wanted: Condvar,
    stop: AtomicBool,
}

#[derive(Default)]
struct Tasks {
    seals: VecDeque<Roll>,
    look: bool,
    rolled: bool,
    /// The last look found space: worth trying while messages are refused.
    hopeful: bool,
    /// The system had no space although its figures said so: not tried again before the next look.
    refused: bool,
}

enum Task {
    Seal(Roll),
    Look,
    Prepare,
    Stop,
}

impl Keeper {
    /// Asks for a full segment to be sealed.
    pub(crate) fn seal(&self, roll: Roll) {
        let mut tasks = self.tasks.lock();
        tasks.seals.push_back(roll);
        tasks.rolled = true;
        self.wanted.notify_one();
    }

    /// Asks for a look at the file system's space, and for files where they are missing.
    pub(crate) fn look(&self) {
        self.tasks.lock().look = true;
        self.wanted.notify_one();
    }

    /// Says that a prepared file has been taken.
    pub(crate) fn nudge(&self) {
        self.tasks.lock().rolled = true;
        self.wanted.notify_one();
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
            let (what, done) = match self.next(shared) {
                Task::Stop => return,
                Task::Seal(roll) => {
                    ("seal a segment", seal(shared, roll.old.start, roll.end, roll.stored, false))
                }
                Task::Look => ("look at the disk's space", self.look_now(shared)),
                Task::Prepare => {
                    len = (len * 2).clamp(4096, shared.config.segment_size.0);
                    ("prepare a segment", self.prepare(shared, len))
                }
            };
            if let Err(error) = done {
                shared.fail(what, &error);
                return;
            }
        }
    }

    fn next(&self, shared: &Shared) -> Task {
        loop {
            let (ready, full) = {
                let staging = shared.staging.lock();
                (staging.ready.len(), staging.full)
            };
            let mut tasks = self.tasks.lock();
            let wanted = ready < tasks.target(shared) && (!full || ready == 0 || tasks.hopeful);
            if self.stop.load(Ordering::SeqCst) {
                return Task::Stop;
            }
            if let Some(roll) = tasks.seals.pop_front() {
                return Task::Seal(roll);
            }
            if std::mem::take(&mut tasks.look) {
                tasks.refused = false;
                return Task::Look;
            }
            if wanted && !tasks.refused {
                return Task::Prepare;
            }
            self.wanted.wait(&mut tasks);
        }
    }

    /// Looks at the space. Messages that were refused are accepted again once there is a next file, or can be one.
    fn look_now(&self, shared: &Shared) -> io::Result<()> {
        let space = shared.vfs.space(&shared.dir)?;
        *shared.disk.lock() = space;
        let over = over_guard(shared, space, 0);
        let enough = {
            let ready = shared.staging.lock().ready.len();
            let mut tasks = self.tasks.lock();
            tasks.hopeful = !over;
            ready >= tasks.target(shared)
        };
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

    /// Writes one more file. Over the guard only the one that state needs is made.
    fn prepare(&self, shared: &Shared, len: u64) -> io::Result<()> {
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
        let name = format!("{:016x}-{len:x}", rand::random::<u64>());
        let temporary = pool_dir(&shared.dir).join(format!("{name}.tmp"));
        let path = pool_dir(&shared.dir).join(format!("{name}.free"));
        match write_zeros(&*shared.vfs, &temporary, len, &self.stop) {
            Ok(None) => Ok(()),
            Ok(Some(file)) => {
                shared.vfs.rename(&temporary, &path)?;
                shared.vfs.sync_dir(&pool_dir(&shared.dir))?;
                shared.staging.lock().ready.push_back(Ready { path, file, len });
                if !over {
                    set_full(shared, false, space);
                }
                Ok(())
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
}

pub(crate) fn write_zeros(
    vfs: &dyn Vfs,
    path: &Path,
    len: u64,
    stop: &AtomicBool,
) -> io::Result<Option<Arc<dyn VfsFile>>> {
    let file = vfs.open(path, true)?;
    file.allocate(len)?;
    let zeros = vec![0; ZEROS];
    let mut at = 0;
    while at < len {
        if stop.load(Ordering::SeqCst) {
            vfs.remove(path)?;
            return Ok(None);
        }
        let n = (len - at).min(ZEROS as u64);
        file.write_at(&zeros[..n as usize], at)?;
        at += n;
        if at.is_multiple_of(SYNC_EACH) {
            file.sync()?;
        }
    }
    file.sync()?;
    Ok(Some(file))
}

/// True for the system's two ways of saying that there is no space.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether taking `more` bytes would go over the guard.
fn over_guard(shared: &Shared, space: DiskSpace, more: u64) -> bool {
    let used = space.total.saturating_sub(space.available) + more;
    u128::from(used) * 100 > u128::from(space.total) * u128::from(shared.config.disk_guard)
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

impl Tasks {
    fn target(&self, shared: &Shared) -> usize {
        if self.rolled { shared.config.ready_segments } else { 1 }
    }
}

/// Writes a segment's index from the queues' live entries, and lets go of those that memory need not keep. `clean` is
/// for the last segment of a log that is being closed: its file is cut behind the index.
pub(crate) fn seal(
    shared: &Shared,
    start: Lsn,
    end: Lsn,
    stored: Option<(Millis, Millis)>,
    clean: bool,
) -> io::Result<()> {
    let Some(known) = shared.segments.read().get(&start).cloned() else { return Ok(()) };
    let mut contents = Contents { stored, ..Contents::default() };
    for (queue, next) in std::mem::take(&mut *shared.gaps.lock()) {
        let part = QueueContents { is_async: true, next, ..QueueContents::default() };
        contents.queues.insert(queue, part);
    }
    let numbers = shared.queues.read().numbers();
    for some in numbers.chunks(QUEUES_AT_ONCE) {
        shared.queues.read().collect(some, start, end, &mut contents);
    }
    let Sealed { footer, ranges, len } =
        sealed::seal(&*shared.vfs, &known.segment, shared.store, end, clean, clean, &contents)?;
    let path = known.segment.path.clone();
    let segment = Segment { start, epoch: known.segment.epoch, path, held: None, len };
    shared.segments.write().insert(start, Known { segment: Arc::new(segment), footer: Some(footer) });
    for some in ranges.chunks(QUEUES_AT_ONCE) {
        let mut queues = shared.queues.write();
        some.iter().for_each(|(queue, range)| queues.add_range(*queue, *range));
    }
    let before = shared.tail.lock().first().map_or(end, |first| first.min(end));
    for some in numbers.chunks(QUEUES_AT_ONCE) {
        shared.queues.write().evict(some, before);
    }
    Ok(())
}

/// Takes a deleted segment's file back for later use, or deletes it. It must not be open anywhere else.
pub(crate) fn recycle(shared: &Shared, known: Known) -> io::Result<()> {
    let wanted = known.segment.len == shared.config.segment_size.0
        && shared.staging.lock().ready.len() < shared.config.ready_segments;
    let path = known.segment.path.clone();
    match Arc::try_unwrap(known.segment) {
        Ok(segment) if wanted => {
            let file = segment.file(&*shared.vfs)?;
            let name = format!("{:016x}-{:x}.free", rand::random::<u64>(), segment.len);
            let free = pool_dir(&shared.dir).join(name);
            shared.vfs.rename(&path, &free)?;
            shared.vfs.sync_dir(&log_dir(&shared.dir))?;
            shared.vfs.sync_dir(&pool_dir(&shared.dir))?;
            let ready = Ready { path: free, file, len: segment.len };
            shared.staging.lock().ready.push_back(ready);
            Ok(())
        }
        _ => {
            shared.vfs.remove(&path)?;
            shared.vfs.sync_dir(&log_dir(&shared.dir))
        }
    }
}
