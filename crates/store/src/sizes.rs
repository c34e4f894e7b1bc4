//! How many bytes a queue's entries take, counted from its end: what retention by size asks.
//!
//! The one idea to know: a sealed segment's part of a queue never changes, so it is summed up once and remembered; what
//! is looked at each time is only the part in which the limit lies, and what is not sealed yet.

use crate::Lsn;
use crate::log::LogQueue;
use crate::read::with_range;
use crate::sealed::Range;
use crate::shared::Shared;
use sluice_model::{Offset, Result};

/// See [`crate::Log::offset_keeping`].
pub(crate) fn offset_keeping(shared: &Shared, queue: LogQueue, bytes: u64) -> Result<Offset> {
    kept(shared, queue, bytes).map(|(offset, _)| offset)
}

/// See [`crate::Log::size`].
pub(crate) fn size(shared: &Shared, queue: LogQueue) -> Result<u64> {
    kept(shared, queue, u64::MAX).map(|(_, bytes)| bytes)
}

/// The first offset from which on the entries take at most so many bytes, and how many they take.
fn kept(shared: &Shared, queue: LogQueue, bytes: u64) -> Result<(Offset, u64)> {
    let mut left = bytes;
    let (ranges, bounds, mut first): (Vec<(Range, Option<u64>)>, _, Offset) = {
        let queues = shared.queues.read();
        let Some(index) = queues.get(queue.0) else { return Ok((0, 0)) };
        let bounds = queues.bounds(queue.0);
        let mut first = bounds.next;
        for entry in index.live.iter().rev() {
            match left.checked_sub(u64::from(entry.size)) {
                Some(rest) => (left, first) = (rest, entry.offset),
                None => return Ok((first.max(bounds.min), bytes - left)),
            }
        }
        let size = |range: &Range| (*range, index.sizes.get(&range.segment).copied());
        // What is in memory still may be sealed already.
        let live = index.live.front().map_or(Lsn::MAX, |entry| entry.lsn);
        let older = index.ranges.iter().filter(|range| range.segment < live && range.base < first);
        (older.map(size).collect(), bounds, first)
    };
    for (range, known) in ranges.into_iter().rev() {
        let whole = range.end <= first;
        if let Some(rest) = known.filter(|_| whole).and_then(|size| left.checked_sub(size)) {
            (left, first) = (rest, range.base);
            continue;
        }
        let before = left;
        let cut = with_range(shared, queue, range, |reader| {
            for n in (0..range.count).rev() {
                let Some(entry) = reader.entry(n)?.filter(|entry| entry.offset < first) else { continue };
                match left.checked_sub(u64::from(entry.size)) {
                    Some(rest) => (left, first) = (rest, entry.offset),
                    None => return Ok(true),
                }
            }
            Ok(false)
        })?;
        match cut {
            Some(false) if whole => shared.queues.write().note_size(queue.0, range.segment, before - left),
            Some(false) => {}
            // The limit lies here, or retention has taken the segment meanwhile.
            Some(true) | None => break,
        }
    }
    Ok((first.max(bounds.min), bytes - left))
}
