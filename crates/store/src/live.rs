//! Which messages every queue holds: [`QueueIndexes`]. Newest ones entry by entry, older ones as ranges of segments.
//!
//! Entries stay here while their segment is being written or its bytes are still in the tail; after that one
//! [`Range`] for each queue and sealed segment leads to the index inside the file.

use crate::Lsn;
use crate::index::IndexEntry;
use crate::log::Bounds;
use crate::sealed::{Contents, Range};
use sluice_model::{Millis, Offset};
use std::collections::{HashMap, HashSet, VecDeque};

/// The queues of a log.
#[derive(Default)]
pub(crate) struct QueueIndexes {
    queues: HashMap<u32, QueueIndex, foldhash::fast::RandomState>,
    forgotten: HashSet<u32, foldhash::fast::RandomState>,
}

/// One queue.
#[derive(Default)]
pub(crate) struct QueueIndex {
    pub ranges: VecDeque<Range>,
    pub live: VecDeque<IndexEntry>,
    /// The offset after the last readable one.
    pub readable: Offset,
    pub is_async: bool,
    /// The store times of live entries have gone back at least once.
    unordered: bool,
    /// What lies below is hidden.
    floor: Offset,
    /// The bytes that entries of sealed segments take, where somebody has asked.
    pub sizes: HashMap<Lsn, u64, foldhash::fast::RandomState>,
}

/// Where a read finds its index entries.
pub(crate) enum Place {
    /// Among the live ones, from this number on.
    Live(usize),
    /// In a sealed segment.
    Sealed(Range),
}

impl QueueIndex {
    fn bounds(&self) -> Bounds {
        let range = self.ranges.front().map(|range| range.base);
        let min = range.or_else(|| self.live.front().map(|entry| entry.offset));
        Bounds { min: min.unwrap_or(self.readable).max(self.floor), next: self.readable.max(self.floor) }
    }

    /// Where the entry that covers `from`, or the next one behind a gap, is described.
    pub(crate) fn place(&self, from: Offset) -> Place {
        if self.live.front().is_none_or(|first| from < first.offset) {
            let n = self.ranges.partition_point(|range| range.end <= from);
            if let Some(range) = self.ranges.get(n) {
                return Place::Sealed(*range);
            }
        }
        Place::Live(self.live.partition_point(|entry| entry.end() <= from))
    }
}

impl QueueIndex {
    /// The first live entry stored at `time` or later.
    pub(crate) fn first_stored(&self, time: Millis) -> Option<&IndexEntry> {
        if self.unordered {
            self.live.iter().find(|entry| entry.stored >= time)
        } else {
            self.live.get(self.live.partition_point(|entry| entry.stored < time))
        }
    }
}

impl QueueIndexes {
    /// The queue, unless it is unknown or forgotten.
    pub(crate) fn get(&self, queue: u32) -> Option<&QueueIndex> {
        if self.forgotten.contains(&queue) { None } else { self.queues.get(&queue) }
    }

    pub(crate) fn bounds(&self, queue: u32) -> Bounds {
        self.get(queue).map_or_else(Bounds::default, QueueIndex::bounds)
    }

    pub(crate) fn is_forgotten(&self, queue: u32) -> bool {
        self.forgotten.contains(&queue)
    }

    /// Whether an entry of a queue is there no longer for anybody, although its bytes may be.
    pub(crate) fn is_hidden(&self, queue: u32, offset: Offset) -> bool {
        self.is_forgotten(queue) || self.queues.get(&queue).is_some_and(|index| offset < index.floor)
    }

    /// Makes an entry readable.
    pub(crate) fn push(&mut self, queue: u32, entry: IndexEntry, is_async: bool) {
        let index = self.queues.entry(queue).or_default();
        index.readable = entry.end();
        index.is_async |= is_async;
        index.unordered |= index.live.back().is_some_and(|last| last.stored > entry.stored);
        index.live.push_back(entry);
    }

    /// Lets a queue go on at `next` without an entry.
    pub(crate) fn advance(&mut self, queue: u32, next: Offset, is_async: bool) {
        let index = self.queues.entry(queue).or_default();
        index.readable = index.readable.max(next);
        index.is_async |= is_async;
    }

    /// Adds a sealed segment's part of a queue. Its live entries stay until [`QueueIndexes::evict`].
    pub(crate) fn add_range(&mut self, queue: u32, range: Range) {
        let index = self.queues.entry(queue).or_default();
        index.readable = index.readable.max(range.end);
        index.is_async |= range.is_async;
        if range.count > 0 {
            index.ranges.push_back(range);
        }
    }

    /// Hides a queue. What is known of it stays until its segments go: a crash may undo the forgetting, and the index of
    /// a segment that is sealed meanwhile has to tell of its entries all the same.
    pub(crate) fn forget(&mut self, queue: u32) {
        self.forgotten.insert(queue);
    }

    /// Hides what a queue holds below an offset. As for a forgotten queue, what is known of it stays.
    pub(crate) fn cut(&mut self, queue: u32, below: Offset) {
        let index = self.queues.entry(queue).or_default();
        index.floor = index.floor.max(below);
    }

    /// Remembers how many bytes a queue's entries take in a sealed segment.
    pub(crate) fn note_size(&mut self, queue: u32, segment: Lsn, bytes: u64) {
        if let Some(index) = self.queues.get_mut(&queue) {
            index.sizes.insert(segment, bytes);
        }
    }

    /// The numbers of all queues.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.queues.keys().copied().collect()
    }

    /// Adds the live entries of some queues between two positions to a segment's contents.
    pub(crate) fn collect(&self, numbers: &[u32], from: Lsn, to: Lsn, contents: &mut Contents) {
        for number in numbers {
            let Some(index) = self.queues.get(number) else { continue };
            let first = index.live.partition_point(|entry| entry.lsn < from);
            let entries: Vec<IndexEntry> =
                index.live.range(first..).take_while(|entry| entry.lsn < to).copied().collect();
            if !entries.is_empty() {
                let part = contents.queues.entry(*number).or_default();
                part.entries = entries;
                part.is_async = index.is_async;
            }
        }
    }

    /// Drops the live entries before a position, for which ranges have been added.
    pub(crate) fn evict(&mut self, numbers: &[u32], before: Lsn) {
        for number in numbers {
            let Some(index) = self.queues.get_mut(number) else { continue };
            let gone = index.live.partition_point(|entry| entry.lsn < before);
            index.live.drain(..gone);
            if index.live.capacity() > 4 * index.live.len().max(16) {
                index.live.shrink_to(2 * index.live.len());
            }
        }
    }

    /// Drops the ranges of a deleted segment, and any live entries in it.
    pub(crate) fn drop_segment(&mut self, start: Lsn, end: Lsn) {
        for index in self.queues.values_mut() {
            while index.ranges.front().is_some_and(|range| range.segment <= start) {
                index.ranges.pop_front();
            }
            index.sizes.retain(|segment, _| *segment > start);
            while index.live.front().is_some_and(|entry| entry.lsn < end) {
                index.live.pop_front();
            }
        }
        let Self { queues, forgotten } = self;
        queues.retain(|number, index| {
            !(forgotten.contains(number) && index.ranges.is_empty() && index.live.is_empty())
        });
    }
}
