//! Opening a log: lock, format, survey, a new segment for this run.
//!
//! The one idea to know: until the survey has found everything in order, nothing is written but the lock. Each run
//! appends to a segment of its own with a new epoch, so bytes behind an old torn end can never be taken for its entries.

use crate::ahead::Ahead;
use crate::blocks::Blocks;
use crate::buckets;
use crate::checkpoint;
use crate::config::Config;
use crate::damage::Damages;
use crate::error::OpenError;
use crate::keeper;
use crate::log::Lsn;
use crate::meta;
use crate::recovery::{self, ASYNC_GAP, Survey};
use crate::segment::{self, PAGE, Page, Segment, SegmentHeader, StoreId, log_dir, pool_dir, segment_path};
use crate::shared::{Known, Shared};
use crate::staging::{Limits, QueueTail, Ready, Staging};
use crate::tail::Tail;
use crate::vfs::{LockError, Vfs, VfsFile};
use crate::wake::Waiters;
use parking_lot::{Condvar, Mutex, RwLock};
use sluice_model::{Clock, Offset};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// A run starts with a segment of this size, so that a start takes milliseconds and an idle broker little space.
const STARTER: u64 = 32 << 20;
/// So much of it is written with zeros at once; the rest is only allocated, its syncs are a little slower.
const STARTER_ZEROS: u64 = 4 << 20;
/// Memory for who reads everything once: blocks of entries and of their index, each wanted a few times in a row.
const PASSING: usize = 1 << 20;
const LOCK: &str = "LOCK";

/// A log that is ready for its threads.
pub(crate) struct Opened {
    pub shared: Shared,
    pub lock: Box<dyn Send + Sync>,
    /// Where queues go on that may have lost acknowledged async entries.
    pub gaps: Vec<(u32, Offset)>,
}

/// See the module.
pub(crate) fn open(
    vfs: Arc<dyn Vfs>,
    dir: &Path,
    config: Config,
    clock: Arc<dyn Clock>,
) -> Result<Opened, OpenError> {
    config.check().map_err(OpenError::Config)?;
    for folder in
        [dir.to_path_buf(), log_dir(dir), pool_dir(dir), checkpoint::dir_of(dir), buckets::dir_of(dir)]
    {
        vfs.create_dir_all(&folder).map_err(|e| OpenError::io(&folder, e))?;
    }
    let lock = lock(&*vfs, dir)?;
    let store = identify(&*vfs, dir, &*clock)?;
    let mut survey = recovery::survey(&*vfs, dir, store)?;
    let (mut segments, mut queues) = survey.settle(&*vfs, dir, store)?;
    let gaps = gaps(&mut survey);
    for (queue, end) in &survey.ends {
        queues.advance(*queue, end.next, end.is_async);
    }
    let ready = adopt(&*vfs, dir, &config, &segments)?;
    let (active, ready) = begin(&*vfs, dir, &config, &*clock, store, survey.end, gaps.len(), ready)?;
    let limits = Limits {
        max_entry: config.max_entry.bytes(),
        min_segment: starter_len(&config, 0),
        max_pending: config.max_pending.bytes(),
    };
    let start = active.first();
    segments.insert(active.start, Known { segment: Arc::clone(&active), footer: None });
    let mut staging = Staging::new(active, dir.to_path_buf(), limits);
    staging.ready = ready;
    staging.tails =
        survey.ends.iter().map(|(queue, end)| (*queue, QueueTail::at(end.next, end.is_async))).collect();
    tracing::info!(
        dir = %dir.display(),
        segments = segments.len(),
        queues = survey.ends.len(),
        end = start,
        clean = survey.clean,
        "log opened"
    );
    let disk = vfs.space(dir).map_err(|e| OpenError::io(dir, e))?;
    let shared = Shared {
        waiters: Waiters::new(start),
        staging: Mutex::new(staging),
        work: Condvar::new(),
        segments: RwLock::new(segments),
        queues: RwLock::new(queues),
        tail: Mutex::new(Tail::new(config.tail_cache.bytes())),
        visible: AtomicU64::new(start),
        listener: Mutex::new(None),
        gaps: Mutex::new(gaps.clone()),
        checkpoints: Mutex::new(survey.checkpoints),
        next_writer: Mutex::default(),
        is_slow: AtomicBool::new(false),
        damages: Damages::default(),
        blocks: Blocks::new(config.block_cache.bytes()),
        passing: Blocks::new(PASSING),
        ahead: Ahead::default(),
        disk: Mutex::new(disk),
        dir: dir.to_path_buf(),
        vfs,
        config,
        clock,
        store,
    };
    Ok(Opened { shared, lock, gaps })
}

fn lock(vfs: &dyn Vfs, dir: &Path) -> Result<Box<dyn Send + Sync>, OpenError> {
    let path = dir.join(LOCK);
    vfs.lock(&path).map_err(|error| match error {
        LockError::Held(process) => OpenError::InUse { dir: dir.into(), process },
        LockError::Io(error) => OpenError::io(path, error),
    })
}

fn identify(vfs: &dyn Vfs, dir: &Path, clock: &dyn Clock) -> Result<StoreId, OpenError> {
    if let Some(store) = meta::read(vfs, dir)? {
        return Ok(store);
    }
    let names = vfs.list(&log_dir(dir)).map_err(|e| OpenError::io(log_dir(dir), e))?;
    if names.iter().any(|name| segment::start_of_name(name).is_some()) {
        return Err(OpenError::damaged(dir.join("store.meta"), 0, "it is missing, but there are segments"));
    }
    // The folder itself may be new as well. Where the one above is closed to us, it was not we who made this one.
    let above = dir.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match vfs.sync_dir(above) {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
            return Err(OpenError::io(above, error));
        }
        _ => {}
    }
    let store = meta::new_id(vfs);
    meta::create(vfs, dir, store, clock.now())?;
    for folder in [log_dir(dir), pool_dir(dir), checkpoint::dir_of(dir), buckets::dir_of(dir)] {
        vfs.sync_dir(&folder).map_err(|e| OpenError::io(folder, e))?;
    }
    Ok(store)
}

/// Moves the queues forward that may have lost acknowledged async entries: after an unclean stop, all that ever had any.
fn gaps(survey: &mut Survey) -> Vec<(u32, Offset)> {
    if survey.clean {
        return Vec::new();
    }
    let moved = survey.ends.iter_mut().filter(|(_, end)| end.is_async).map(|(queue, end)| {
        end.next += ASYNC_GAP;
        (*queue, end.next)
    });
    let mut moved: Vec<_> = moved.collect();
    moved.sort_unstable();
    moved
}

/// Takes over the files that were prepared before, and removes unfinished ones.
fn adopt(
    vfs: &dyn Vfs,
    dir: &Path,
    config: &Config,
    segments: &BTreeMap<Lsn, Known>,
) -> Result<VecDeque<Ready>, OpenError> {
    let pool = pool_dir(dir);
    let mut ready = VecDeque::new();
    for name in vfs.list(&pool).map_err(|e| OpenError::io(&pool, e))? {
        let path = pool.join(&name);
        let failed = |e| OpenError::io(&path, e);
        let written = name.ends_with(".free");
        let prepared = written || name.ends_with(".spare");
        let free = if prepared && ready.len() < config.ready_segments {
            usable(vfs, &path, config, segments).map_err(failed)?
        } else {
            None
        };
        match free {
            Some((file, len)) => ready.push_back(Ready { path, file, len, written }),
            None if prepared || name.ends_with(".tmp") => vfs.remove(&path).map_err(failed)?,
            None => {}
        }
    }
    Ok(ready)
}

/// A prepared file, when its size fits and it is not at the same time a segment: a power cut between two syncs of
/// folders may leave both names.
fn usable(
    vfs: &dyn Vfs,
    path: &Path,
    config: &Config,
    segments: &BTreeMap<Lsn, Known>,
) -> io::Result<Option<(Arc<dyn VfsFile>, u64)>> {
    let file = vfs.open(path, false)?;
    let len = file.size()?;
    let fits = (starter_len(config, 0)..=config.segment_size.0).contains(&len);
    let mut page = vec![0; PAGE as usize];
    let read = file.read_at(&mut page, 0)?;
    let used = match SegmentHeader::decode(&page[..read]) {
        Page::Good(header) => segments.get(&header.start).is_some_and(|k| k.segment.epoch == header.epoch),
        Page::Other(_) | Page::Unreadable => false,
    };
    Ok((fits && !used).then_some((file, len)))
}

fn starter_len(config: &Config, gaps: usize) -> u64 {
    // The largest record and its index have to fit, and so have all gaps.
    let entry = config.max_entry.0.saturating_mul(2).max(STARTER);
    let needed = entry.max(gaps as u64 * 256).next_multiple_of(PAGE);
    if gaps == 0 {
        needed.min(config.segment_size.0)
    } else {
        needed.min(config.segment_size.0.max(gaps as u64 * 256))
    }
}

/// Makes the segment of this run. On a full disk a file prepared earlier will do.
#[allow(clippy::too_many_arguments, reason = "the parts of a log that is not put together yet")]
fn begin(
    vfs: &dyn Vfs,
    dir: &Path,
    config: &Config,
    clock: &dyn Clock,
    store: StoreId,
    start: Lsn,
    gaps: usize,
    mut ready: VecDeque<Ready>,
) -> Result<(Arc<Segment>, VecDeque<Ready>), OpenError> {
    let path = segment_path(dir, start);
    let from = pool_dir(dir).join(format!("{:016x}.tmp", vfs.random()));
    let failed = |e| OpenError::io(&path, e);
    let first = match starter(vfs, &from, starter_len(config, gaps).next_multiple_of(PAGE)) {
        Ok(first) => first,
        Err(error) if keeper::is_full(&error) => {
            let _ = vfs.remove(&from);
            ready.pop_front().ok_or(error).map_err(failed)?
        }
        Err(error) => return Err(failed(error)),
    };
    let segment = Segment {
        start,
        epoch: vfs.random() as u32,
        path: path.clone(),
        held: Some(first.file),
        len: first.len,
    };
    segment::activate(vfs, dir, store, clock.now(), &segment, &first.path).map_err(failed)?;
    Ok((Arc::new(segment), ready))
}

fn starter(vfs: &dyn Vfs, path: &Path, len: u64) -> io::Result<Ready> {
    let file = vfs.open(path, true)?;
    keeper::allocate(&*file, len)?;
    file.write_zeros(0, len.min(STARTER_ZEROS))?;
    file.sync()?;
    Ok(Ready { path: path.into(), file, len, written: false })
}
