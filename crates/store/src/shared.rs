//! What the handle, the log's thread, the keeper and readers of one open log share, and who may lock what.
//!
//! Locks are taken in this order, each for a few lines only, and never across a file operation: `staging`, `segments`,
//! `queues`, `tail`. Appends take only the first, the log's thread takes each once a commit. `checkpoints` comes before
//! all of them and is the exception: it serialises checkpoints and trimming, files and all.

use crate::ahead::Ahead;
use crate::blocks::Blocks;
use crate::config::Config;
use crate::damage::Damages;
use crate::live::QueueIndexes;
use crate::log::{Listener, Lsn};
use crate::sealed::Footer;
use crate::segment::{Segment, StoreId};
use crate::staging::{Ready, Staging};
use crate::tail::Tail;
use crate::vfs::{DiskSpace, Vfs};
use crate::wake::Waiters;
use parking_lot::{Condvar, Mutex, RwLock};
use sluice_model::{Clock, Offset};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

/// A segment and, once it is sealed, its footer.
#[derive(Clone)]
pub(crate) struct Known {
    pub segment: Arc<Segment>,
    pub footer: Option<Footer>,
}

/// See the module.
pub(crate) struct Shared {
    pub vfs: Arc<dyn Vfs>,
    pub dir: PathBuf,
    pub config: Config,
    pub clock: Arc<dyn Clock>,
    pub store: StoreId,
    pub waiters: Arc<Waiters>,
    pub staging: Mutex<Staging>,
    /// Tells the log's thread that there is work.
    pub work: Condvar,
    pub segments: RwLock<BTreeMap<Lsn, Known>>,
    pub queues: RwLock<QueueIndexes>,
    pub tail: Mutex<Tail>,
    /// Everything before this position may be read.
    pub visible: AtomicU64,
    pub listener: Mutex<Option<Listener>>,
    /// Where queues go on that were moved forward at this start, until the segment that tells so is sealed.
    pub gaps: Mutex<Vec<(u32, Offset)>>,
    /// The positions of the checkpoints kept, oldest first.
    pub checkpoints: Mutex<Vec<Lsn>>,
    /// Whom to wake when the writer is free again: the last committer that found it taken, which commits for all others.
    pub next_writer: Mutex<Option<Waker>>,
    /// Syncs take long: only the log's thread is to commit.
    pub is_slow: AtomicBool,
    /// What is known to be damaged. Locked by itself, for a few lines.
    pub damages: Damages,
    /// What those read who are behind.
    pub blocks: Blocks,
    /// Brings what they will read next.
    pub ahead: Ahead,
    /// The same for who reads everything once: see [`crate::Log::read_through`].
    pub passing: Blocks,
    /// The last look at the file system.
    pub disk: Mutex<DiskSpace>,
}

impl Shared {
    pub(crate) fn visible(&self) -> Lsn {
        self.visible.load(Ordering::Acquire)
    }

    /// Whoever committed is done: a committer that found the writer taken comes again.
    pub(crate) fn writer_is_free(&self) {
        if let Some(next) = self.next_writer.lock().take() {
            next.wake();
        }
    }

    /// Ends the log for good: waits and further appends get an error, reads go on.
    pub(crate) fn fail(&self, what: &str, error: &io::Error) {
        tracing::error!(%error, what, "the log has failed and stops");
        self.waiters.fail(format!("{what}: {error}"));
        let mut staging = self.staging.lock();
        if staging.phase == crate::staging::Phase::Open {
            staging.phase = crate::staging::Phase::Closing;
        }
        self.wake_writer(&mut staging);
    }

    /// Lets the log's thread commit what is staged, or see what else has changed.
    pub(crate) fn wake_writer(&self, staging: &mut Staging) {
        staging.urgent = true;
        if staging.asleep {
            self.work.notify_one();
        }
    }

    /// Keeps a file for a segment to come. When there are enough, one that was only allocated is deleted, or else this
    /// one: syncs of what was written before are much faster.
    pub(crate) fn keep_ready(&self, ready: Ready) -> io::Result<()> {
        let displaced = {
            let kept = &mut self.staging.lock().ready;
            kept.push_back(ready);
            let worst = kept.iter().position(|ready| !ready.written).unwrap_or(kept.len() - 1);
            if kept.len() > self.config.ready_segments { kept.remove(worst) } else { None }
        };
        displaced.map_or(Ok(()), |displaced| self.vfs.remove(&displaced.path))
    }

    /// The segment that holds a position, and the start of the next one.
    pub(crate) fn segment_of(&self, lsn: Lsn) -> Option<(Arc<Segment>, Lsn)> {
        let segments = self.segments.read();
        let (_, known) = segments.range(..=lsn).next_back()?;
        let next = segments.range(lsn.saturating_add(1)..).next();
        Some((Arc::clone(&known.segment), next.map_or(Lsn::MAX, |(start, _)| *start)))
    }

    /// Lets the log's thread sync everything appended so far; returns that position.
    pub(crate) fn request_sync(&self) -> Lsn {
        let mut staging = self.staging.lock();
        staging.staged.sync = true;
        self.wake_writer(&mut staging);
        staging.end
    }
}
