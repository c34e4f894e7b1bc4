//! Which messages every queue holds: [`QueueIndexes`]. Newest ones entry by entry, older ones as ranges of segments.
//!
//! Entries stay here while their segment is being written or its bytes are still in the tail; after that one
//! [`Range`] for each queue and sealed segment leads to the index inside the file.

use crate::Lsn;
use crate::entries::Entries;
use crate::index::IndexEntry;
use crate::log::Bounds;
use crate::sealed::Range;
use crate::sealed::write::Listed;
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
    pub live: Entries,
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
        Place::Live(self.live.count_while(|entry| entry.end() <= from))
    }
}

impl QueueIndex {
    /// The first live entry stored at `time` or later.
    pub(crate) fn first_stored(&self, time: Millis) -> Option<IndexEntry> {
        if self.unordered {
            self.live.iter().find(|entry| entry.stored >= time)
        } else {
            self.live.from(self.live.count_while(|entry| entry.stored < time)).next()
        }
    }
}

impl QueueIndexes {
    /// The first live entry, from the one that covers `from` on, that may have been made at `time` or later.
    pub(crate) fn maybe_born(&self, queue: u32, from: Offset, time: Millis) -> Option<Offset> {
        let live = &self.get(queue)?.live;
        let first = live.count_while(|entry| entry.end() <= from);
        live.from(first).find(|entry| entry.may_be_born(time)).map(|entry| entry.offset)
    }

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

    /// Whether an entry of a queue that covers offsets before `end` is there no longer for anybody, although its bytes may be.
    pub(crate) fn is_hidden(&self, queue: u32, end: Offset) -> bool {
        self.is_forgotten(queue) || self.queues.get(&queue).is_some_and(|index| end <= index.floor)
    }

    /// Makes an entry readable.
    pub(crate) fn push(&mut self, queue: u32, entry: IndexEntry, is_async: bool) {
        let index = self.queues.entry(queue).or_default();
        index.readable = entry.end();
        index.is_async |= is_async;
        index.unordered |= index.live.back().is_some_and(|last| last.stored > entry.stored);
        index.live.push(entry);
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

    /// The live entries of a queue between two positions.
    pub(crate) fn list(&self, queue: u32, from: Lsn, to: Lsn) -> impl Iterator<Item = Listed> + '_ {
        self.queues.get(&queue).into_iter().flat_map(move |index| {
            let first = index.live.count_while(|entry| entry.lsn < from);
            let entries = index.live.from(first).take_while(move |entry| entry.lsn < to);
            entries.map(move |entry| Listed { queue, is_async: index.is_async, entry })
        })
    }

    /// Drops the live entries before a position, for which ranges have been added.
    pub(crate) fn evict(&mut self, numbers: &[u32], before: Lsn) {
        for number in numbers {
            let Some(index) = self.queues.get_mut(number) else { continue };
            index.live.drop_first(index.live.count_while(|entry| entry.lsn < before));
        }
    }

    /// Drops the ranges of a deleted segment, and any live entries in it.
    pub(crate) fn drop_segment(&mut self, start: Lsn, end: Lsn) {
        for index in self.queues.values_mut() {
            while index.ranges.front().is_some_and(|range| range.segment <= start) {
                index.ranges.pop_front();
            }
            index.sizes.retain(|segment, _| *segment > start);
            index.live.drop_first(index.live.count_while(|entry| entry.lsn < end));
        }
        let Self { queues, forgotten } = self;
        queues.retain(|number, index| {
            !(forgotten.contains(number) && index.ranges.is_empty() && index.live.is_empty())
        });
    }
}
