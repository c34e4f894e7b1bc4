//! Ending a segment's life: giving it its index when it is full, and its file back when it is trimmed.
//!
//! The one idea to know: the queues' live entries are copied a few thousand at a time, so that appends wait for moments and a
//! million entries are never there twice.

use crate::log::Lsn;
use crate::sealed::write::{self, Listed, Sealed, Unsealed};
use crate::segment::{Segment, log_dir, pool_dir};
use crate::shared::{Known, Shared};
use crate::staging::Ready;
use sluice_model::Millis;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Queues looked at under one lock.
const QUEUES_AT_ONCE: usize = 256;
/// And their entries.
const ENTRIES_AT_ONCE: usize = 8192;

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
    let gaps = std::mem::take(&mut *shared.gaps.lock()).into_iter().collect();
    let chunks = shared.staging.lock().keys.of(start);
    let mut keys = Vec::with_capacity(chunks.iter().map(|chunk| chunk.len()).sum());
    chunks.iter().for_each(|chunk| keys.extend_from_slice(chunk));
    drop(chunks);
    let mut numbers = shared.queues.read().numbers();
    numbers.sort_unstable();
    let entries = LiveEntries::new(shared, &numbers, start, end);
    let unsealed = Unsealed { entries, gaps, stored, keys };
    let Sealed { footer, ranges, len } =
        write::seal(&*shared.vfs, &known.segment, shared.store, end, clean, clean, unsealed)?;
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
    shared.blocks.tidy();
    shared.passing.tidy();
    Ok(())
}

/// The live entries of queues between two positions, one queue after the other.
struct LiveEntries<'a> {
    shared: &'a Shared,
    /// Those that are still to come.
    queues: &'a [u32],
    start: Lsn,
    end: Lsn,
    /// Where the first of them goes on.
    from: Lsn,
    some: VecDeque<Listed>,
}

impl<'a> LiveEntries<'a> {
    fn new(shared: &'a Shared, queues: &'a [u32], start: Lsn, end: Lsn) -> Self {
        Self { shared, queues, start, end, from: start, some: VecDeque::new() }
    }

    fn copy_some(&mut self) {
        let queues = self.shared.queues.read();
        for _ in 0..QUEUES_AT_ONCE {
            let Some((first, behind)) = self.queues.split_first() else { return };
            let room = ENTRIES_AT_ONCE - self.some.len();
            self.some.extend(queues.list(*first, self.from, self.end).take(room));
            if let Some(last) = self.some.back().filter(|_| self.some.len() == ENTRIES_AT_ONCE) {
                self.from = last.entry.lsn + 1;
                return; // there may be more of this queue
            }
            (self.queues, self.from) = (behind, self.start);
        }
    }
}

impl Iterator for LiveEntries<'_> {
    type Item = Listed;

    fn next(&mut self) -> Option<Listed> {
        while self.some.is_empty() && !self.queues.is_empty() {
            self.copy_some();
        }
        self.some.pop_front()
    }
}

/// Takes a deleted segment's file back for later use, in the place of one that was only allocated when there are enough,
/// or deletes it. A file that a reader still has open is deleted: its bytes must not change below the reader. Whether it
/// was taken back.
pub(crate) fn recycle(shared: &Shared, known: Known) -> io::Result<bool> {
    let path = known.segment.path.clone();
    let segment = Arc::try_unwrap(known.segment).ok();
    let Some(segment) = segment.filter(|segment| segment.len == shared.config.segment_size.0) else {
        shared.vfs.remove(&path)?;
        shared.vfs.sync_dir(&log_dir(&shared.dir))?;
        return Ok(false);
    };
    let file = segment.file(&*shared.vfs)?;
    let free = pool_dir(&shared.dir).join(format!("{:016x}.free", shared.vfs.random()));
    shared.vfs.rename(&path, &free)?;
    shared.vfs.sync_dir(&log_dir(&shared.dir))?;
    shared.vfs.sync_dir(&pool_dir(&shared.dir))?;
    shared.keep_ready(Ready { path: free, file, len: segment.len, written: true })?;
    Ok(true)
}
