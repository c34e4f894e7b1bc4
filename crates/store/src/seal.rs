//! Ending a segment's life: giving it its index when it is full, and its file back when it is trimmed.

use crate::log::Lsn;
use crate::sealed::{self, Contents, QueueContents, Sealed};
use crate::segment::{Segment, log_dir, pool_dir};
use crate::shared::{Known, Shared};
use crate::staging::Ready;
use sluice_model::Millis;
use std::io;
use std::sync::Arc;

/// Queues looked at under one lock.
const QUEUES_AT_ONCE: usize = 256;

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
    let keys = shared.staging.lock().keys.of(start);
    contents.keys = keys.iter().flat_map(|chunk| chunk.iter().copied()).collect();
    let numbers = shared.queues.read().numbers();
    for some in numbers.chunks(QUEUES_AT_ONCE) {
        shared.queues.read().collect(some, start, end, &mut contents);
    }
    let Sealed { footer, ranges, len } =
        sealed::seal(&*shared.vfs, &known.segment, shared.store, end, clean, clean, &contents)?;
    let path = known.segment.path.clone();
    let segment = Segment { start, epoch: known.segment.epoch, path, held: None, len };
    shared.segments.write().insert(start, Known { segment: Arc::new(segment), footer: Some(footer) });
    // Only now: whoever searches finds them in one of the two places.
    shared.staging.lock().keys.remove(start);
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

/// Takes a deleted segment's file back for later use, in the place of one that was only allocated when there are enough,
/// or deletes it. A file that a reader still has open is deleted: its bytes must not change below the reader.
pub(crate) fn recycle(shared: &Shared, known: Known) -> io::Result<()> {
    let path = known.segment.path.clone();
    let segment = Arc::try_unwrap(known.segment).ok();
    let segment = segment.filter(|segment| segment.len == shared.config.segment_size.0);
    let Some((segment, displaced)) = segment.zip(place(shared)) else {
        shared.vfs.remove(&path)?;
        return shared.vfs.sync_dir(&log_dir(&shared.dir));
    };
    let file = segment.file(&*shared.vfs)?;
    let free = pool_dir(&shared.dir).join(format!("{:016x}.free", shared.vfs.random()));
    shared.vfs.rename(&path, &free)?;
    if let Some(displaced) = displaced {
        shared.vfs.remove(&displaced.path)?;
    }
    shared.vfs.sync_dir(&log_dir(&shared.dir))?;
    shared.vfs.sync_dir(&pool_dir(&shared.dir))?;
    shared.staging.lock().ready.push_back(Ready { path: free, file, len: segment.len, written: true });
    Ok(())
}

/// Whether one more file can be kept ready, and the one it takes the place of, if any.
fn place(shared: &Shared) -> Option<Option<Ready>> {
    let mut staging = shared.staging.lock();
    if staging.ready.len() < shared.config.ready_segments {
        return Some(None);
    }
    let unwritten = staging.ready.iter().position(|ready| !ready.written)?;
    Some(staging.ready.remove(unwritten))
}
