//! The log on this machine's disk: [`LocalLog`].
//!
//! It exists to keep one promise: what was acknowledged is there after a crash, and what is damaged is told, never
//! guessed. One append log in segments holds everything, so one `fdatasync` decides for any number of queues. The
//! parts: appends are staged (`staging`), the log's thread writes them (`writer`), another one prepares and seals files
//! (`keeper`), readers are served from memory or files (`read`), and a start finds out what is there (`recovery`).

use crate::backup::pin;
use crate::buckets::{BucketId, Buckets};
use crate::checkpoint::{self, QueueEnd};
use crate::committer::{self, Committer};
use crate::config::{Config, Flush};
use crate::entry::{EntryKind, flag};
use crate::error::{Damage, OpenError};
use crate::keeper::{self, Keeper};
use crate::log::{
    Append, Batch, Bounds, DamageListener, Done, Durability, Entry, Found, Listener, Log, LogQueue, Lsn,
    Read, ReadLimits, Scrubbed, Search, Space, StateEntry, Ticket,
};
use crate::open::Opened;
use crate::read::Reader;
use crate::scrub::Scrubber;
use crate::shared::Shared;
use crate::staging::Phase;
use crate::vfs::{OsVfs, Vfs};
use crate::writer::{self, Writer};
use crate::{keys, open, read, seal};
use bytes::Bytes;
use parking_lot::Mutex;
use sluice_model::{Clock, Error, ErrorKind, Millis, Offset, Result};
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

#[path = "local_buckets.rs"]
mod local_buckets;

#[path = "by_hand.rs"]
mod by_hand;

/// The file system is looked at at most this often, and only while appends come.
const LOOK_EACH: Millis = 1000;

/// A log on disk. See the module.
pub struct LocalLog {
    shared: Arc<Shared>,
    keeper: Arc<Keeper>,
    writer: Arc<Mutex<Writer>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<Box<dyn Send + Sync>>>,
    looked: AtomicU64,
    scrubber: Mutex<Scrubber>,
    /// Deleted once no backup is being made.
    kept_buckets: Mutex<Vec<BucketId>>,
    /// No threads: see `by_hand`.
    by_hand: bool,
}

impl LocalLog {
    /// Opens the log in a folder, or makes a new one.
    ///
    /// # Errors
    /// See [`OpenError`]. When data is damaged or of another format, nothing has been changed on disk.
    pub fn open(dir: &Path, config: Config, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(OsVfs), dir, config, clock)
    }

    /// Opens the log on a given file system.
    ///
    /// # Errors
    /// As [`LocalLog::open`].
    pub fn open_on(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        config: Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let opened = open::open(vfs, dir, config, clock)?;
        let gaps = opened.gaps.clone();
        let log = Self::assemble(opened, Keeper::new(), false);
        log.start().map_err(|source| OpenError::Io { path: dir.into(), source })?;
        log.begin(dir, &gaps)?;
        Ok(log)
    }

    fn assemble(opened: Opened, keeper: Keeper, by_hand: bool) -> Self {
        let shared = Arc::new(opened.shared);
        let keeper = Arc::new(keeper);
        let looked = AtomicU64::new(shared.clock.now());
        let scrubber = Mutex::new(Scrubber::new(shared.clock.now()));
        let segment = Arc::clone(&shared.staging.lock().active.segment);
        let writer = Writer::new(Arc::clone(&shared), Arc::clone(&keeper), segment);
        Self {
            shared,
            keeper,
            writer: Arc::new(Mutex::new(writer)),
            threads: Mutex::default(),
            lock: Mutex::new(Some(opened.lock)),
            looked,
            scrubber,
            kept_buckets: Mutex::default(),
            by_hand,
        }
    }

    fn begin(&self, dir: &Path, gaps: &[(u32, Offset)]) -> Result<(), OpenError> {
        self.move_async_queues(gaps).map_err(|e| {
            let source = io::Error::other(format!("{e:?}"));
            OpenError::Io { path: dir.into(), source }
        })
    }

    /// Waits for an append; without threads it is made safe here.
    fn finish(&self, done: Done) -> Result<()> {
        if self.by_hand {
            self.commit();
        }
        done.wait()
    }

    fn start(&self) -> io::Result<()> {
        let (writer, keeper) = (Arc::clone(&self.writer), Arc::clone(&self.keeper));
        let shared = Arc::clone(&self.shared);
        let mut threads = self.threads.lock();
        threads.push(thread::Builder::new().name("log".into()).spawn(move || writer::run(&writer, &shared))?);
        let shared = Arc::clone(&self.shared);
        threads.push(thread::Builder::new().name("log-keeper".into()).spawn(move || keeper.run(&shared))?);
        self.shared.ahead.start();
        let shared = Arc::clone(&self.shared);
        let ahead = move || shared.ahead.run(&shared.blocks);
        threads.push(thread::Builder::new().name("log-ahead".into()).spawn(ahead)?);
        Ok(())
    }

    /// Writes down where queues go on that may have lost acknowledged async entries.
    fn move_async_queues(&self, gaps: &[(u32, Offset)]) -> Result<()> {
        if gaps.is_empty() {
            return Ok(());
        }
        let end = {
            let mut staging = self.shared.staging.lock();
            let durable = self.shared.waiters.reached(Durability::Sync);
            for (queue, next) in gaps {
                staging.put_empty(EntryKind::Gap, flag::ASYNC, *queue, *next, durable);
            }
            staging.end
        };
        self.shared.request_sync();
        self.finish(self.shared.waiters.done(Durability::Sync, end))
    }

    /// Looks at the disk's space now and then, while appends come.
    fn look(&self) {
        let (now, looked) = (self.shared.clock.now(), self.looked.load(Ordering::Relaxed));
        let due = now.abs_diff(looked) >= LOOK_EACH;
        if due && self.looked.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.keeper.look();
        }
    }

    fn check_open(&self) -> Result<()> {
        if let Some(error) = self.shared.waiters.failure() {
            return Err(error);
        }
        if self.shared.staging.lock().phase != Phase::Open {
            return Err(Error::new(ErrorKind::Unavailable, "the log is closed"));
        }
        Ok(())
    }

    fn fail(&self, what: &str, error: io::Error) -> Error {
        if keeper::is_full(&error) {
            return Error::new(ErrorKind::StorageFull, "the disk is full").with_source(error);
        }
        self.shared.fail(what, &error);
        Error::new(ErrorKind::Unavailable, "the log has stopped").with_source(error)
    }

    fn stop(&self) -> Result<()> {
        {
            let mut staging = self.shared.staging.lock();
            if staging.phase == Phase::Open {
                staging.phase = Phase::Closing;
            }
            self.shared.wake_writer(&mut staging);
        }
        self.keeper.stop();
        self.shared.ahead.stop();
        let threads = std::mem::take(&mut *self.threads.lock());
        let mut ended = !threads.is_empty();
        for thread in threads {
            let _ = thread.join();
        }
        if self.by_hand && self.lock.lock().is_some() {
            while self.writer.lock().turn() {}
            ended = true;
        }
        let outcome = match self.shared.waiters.failure() {
            Some(error) => Err(error),
            None if ended => self.seal_last(),
            None => Ok(()),
        };
        *self.lock.lock() = None;
        outcome
    }

    /// An index for the last segment spares the next start the reading of it.
    fn seal_last(&self) -> Result<()> {
        for roll in self.keeper.take_seals() {
            seal::seal(&self.shared, roll.old.start, roll.end, roll.stored, false)
                .map_err(|e| self.fail("seal a segment", e))?;
        }
        let (start, first, end, stored) = {
            let staging = self.shared.staging.lock();
            let segment = &staging.active.segment;
            (segment.start, segment.first(), staging.end, staging.active.stored)
        };
        if end == first {
            return Ok(());
        }
        seal::seal(&self.shared, start, end, stored, true).map_err(|e| self.fail("seal the last segment", e))
    }
}

impl Log for LocalLog {
    fn append(&self, group: &[Append<'_>], durability: Durability) -> Result<Ticket> {
        self.look();
        let durability = match self.shared.config.flush {
            Flush::Sync => durability,
            Flush::Async => Durability::Async,
        };
        let durable = self.shared.waiters.reached(Durability::Sync);
        let appended = {
            let mut staging = self.shared.staging.lock();
            if let Some(error) = self.shared.waiters.failure() {
                return Err(error);
            }
            let appended = staging.append(group, durability, durable)?;
            if staging.has_work() && !committer::commits_here(&self.shared, staging.pending) {
                self.shared.wake_writer(&mut staging);
            }
            appended
        };
        if let Some(filled) = appended.filled {
            self.keeper.taken(filled);
        }
        let done = self.shared.waiters.done(appended.durability, appended.end);
        Ok(Ticket { placed: appended.places, done })
    }

    fn end(&self) -> Lsn {
        self.shared.staging.lock().end
    }

    fn bounds(&self, queue: LogQueue) -> Bounds {
        self.shared.queues.read().bounds(queue.0)
    }

    fn next_offset(&self, queue: LogQueue) -> Offset {
        self.shared.staging.lock().tails.get(&queue.0).map_or(0, |tail| tail.next)
    }

    fn read(&self, queue: LogQueue, from: Offset, limits: &ReadLimits<'_>) -> Result<Read> {
        match read::read(&self.shared, queue, from, limits, Reader::Waiting)? {
            Read::Cold(read) if self.by_hand => read().map(Read::Ready),
            read => Ok(read),
        }
    }

    fn read_through(&self, queue: LogQueue, from: Offset, limits: &ReadLimits<'_>) -> Result<Batch> {
        match read::read(&self.shared, queue, from, limits, Reader::Passing)? {
            Read::Ready(batch) => Ok(batch),
            Read::Cold(read) => read(),
        }
    }

    fn read_at(&self, lsn: Lsn) -> Result<Option<Entry>> {
        read::read_at(&self.shared, lsn)
    }

    fn offset_at(&self, queue: LogQueue, time: Millis) -> Result<Offset> {
        read::offset_at(&self.shared, queue, time)
    }

    fn offset_keeping(&self, queue: LogQueue, bytes: u64) -> Result<Offset> {
        crate::sizes::offset_keeping(&self.shared, queue, bytes)
    }

    fn size(&self, queue: LogQueue) -> Result<u64> {
        crate::sizes::size(&self.shared, queue)
    }

    fn maybe_born(&self, queue: LogQueue, from: Offset, time: Millis) -> Result<Offset> {
        read::maybe_born(&self.shared, queue, from, time)
    }

    fn find(&self, search: &Search<'_>) -> Result<Found> {
        keys::search::find(&self.shared, search)
    }

    fn states(&self, from: Lsn, max_bytes: u64, visit: &mut dyn FnMut(StateEntry<'_>)) -> Result<Lsn> {
        read::states(&self.shared, from, max_bytes, visit)
    }

    fn listen(&self, listener: Listener) {
        *self.shared.listener.lock() = Some(listener);
    }

    fn forget(&self, queue: LogQueue) {
        self.shared.staging.lock().tails.entry(queue.0).or_default().forgotten = true;
        self.shared.queues.write().forget(queue.0);
    }

    fn cut(&self, queue: LogQueue, below: Offset) {
        self.shared.queues.write().cut(queue.0, below);
    }

    fn replay(&self, from: Lsn, visit: &mut dyn FnMut(Entry)) -> Result<()> {
        read::replay(&self.shared, from, visit)
    }

    fn checkpoint(&self) -> Result<Option<(Lsn, Bytes)>> {
        let shared = &self.shared;
        let checkpoints = shared.checkpoints.lock();
        let Some(at) = checkpoints.last() else { return Ok(None) };
        match checkpoint::read(&*shared.vfs, &shared.dir, shared.store, *at) {
            Ok(checkpoint::Outcome::Good(checkpoint)) => Ok(Some((checkpoint.at, checkpoint.state))),
            Ok(_) => Err(Error::new(ErrorKind::Corrupt, format!("the checkpoint at {at} is damaged"))),
            Err(error) => {
                Err(Error::new(ErrorKind::Unavailable, "a checkpoint cannot be read").with_source(error))
            }
        }
    }

    fn write_checkpoint(&self, at: Lsn, state: &[u8]) -> Result<()> {
        self.check_open()?;
        let shared = &self.shared;
        let mut checkpoints = shared.checkpoints.lock();
        // The ends of queues are taken first and made safe with everything before `at`: no offset in a checkpoint may
        // be of an entry that a crash can still undo.
        let (mut ends, end) = {
            let staging = shared.staging.lock();
            let known = staging.tails.iter().filter(|(_, tail)| !tail.forgotten);
            let end = |(queue, tail): (&u32, &crate::staging::QueueTail)| QueueEnd {
                queue: *queue,
                next: tail.next,
                is_async: tail.is_async,
            };
            (known.map(end).collect::<Vec<_>>(), staging.end)
        };
        ends.sort_unstable_by_key(|end| end.queue);
        if at > end {
            return Err(Error::invalid(format!("a checkpoint at {at}, but the log ends at {end}")));
        }
        shared.request_sync();
        self.finish(shared.waiters.done(Durability::Sync, end))?;
        let kept = checkpoint::write(&*shared.vfs, &shared.dir, shared.store, at, &ends, state);
        *checkpoints = kept.map_err(|error| self.fail("write a checkpoint", error))?;
        Ok(())
    }

    fn trim(&self, older_than: Millis, pinned: Lsn) -> Result<Lsn> {
        self.check_open()?;
        let shared = &self.shared;
        let checkpoints = shared.checkpoints.lock();
        let checkpointed = if let [older, _] = checkpoints[..] { older } else { 0 };
        let limit = pinned.min(checkpointed);
        loop {
            let first =
                shared.segments.read().first_key_value().map(|(start, known)| (*start, known.clone()));
            let Some((start, known)) = first else { return Ok(0) };
            let gone = known.footer.filter(|footer| footer.end <= limit && footer.max_stored < older_than);
            let Some(footer) = gone else { return Ok(start) };
            let pin = pin::Pin::try_take(&*shared.vfs, &shared.dir)
                .map_err(|e| self.fail("delete a segment", e))?;
            if pin.is_none() {
                tracing::info!(start, "a backup is being made: nothing is deleted meanwhile");
                return Ok(start);
            }
            shared.segments.write().remove(&start);
            shared.queues.write().drop_segment(start, footer.end);
            if seal::recycle(shared, known).map_err(|error| self.fail("delete a segment", error))? {
                self.keeper.came_back();
            }
            let space = shared.vfs.space(&shared.dir);
            *shared.disk.lock() = space.map_err(|error| self.fail("look at the disk's space", error))?;
        }
    }

    fn buckets(&self) -> &dyn Buckets {
        self
    }

    fn space(&self) -> Space {
        let shared = &self.shared;
        let accepts_messages = !shared.staging.lock().full;
        let first = shared.segments.read().keys().next().copied().unwrap_or(0);
        Space {
            log_bytes: shared.visible() - first.min(shared.visible()),
            used_per_mille: shared.disk.lock().used_per_mille(),
            accepts_messages,
            tail_limit: shared.tail.lock().limit() as u64,
        }
    }

    fn scrub(&self) -> Result<Scrubbed> {
        self.scrubber.lock().step(&self.shared).map_err(read::unreadable)
    }

    fn damages(&self) -> Vec<Damage> {
        self.shared.damages.all(&self.shared)
    }

    fn listen_to_damage(&self, listener: DamageListener) {
        self.shared.damages.listen(listener);
    }

    fn committer(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        Some(Box::pin(Committer::new(Arc::clone(&self.shared), Arc::clone(&self.writer))))
    }

    fn failed(&self) -> Pin<Box<dyn Future<Output = Error> + Send>> {
        Box::pin(self.shared.waiters.failed())
    }

    fn close(&self) -> Result<()> {
        self.stop()
    }
}

impl Drop for LocalLog {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(?error, "the log was not closed in order");
        }
    }
}
