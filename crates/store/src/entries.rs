//! The newest entries of one queue, as they follow each other: [`Entries`].
//!
//! There is one here for every message whose segment is not sealed yet, a million and more when messages are small. The one
//! idea to know: they lie in chunks, each entry as what it differs in from the first one of its chunk, so that one takes 24
//! bytes, and no room is kept for twice as many.

use crate::Lsn;
use crate::index::IndexEntry;
use sluice_model::{Millis, Offset};
use std::collections::VecDeque;

/// Entries of a chunk, at most.
const CHUNK: usize = 256;

/// An entry, seen from its chunk.
#[derive(Clone, Copy)]
struct Packed {
    offset: u32,
    lsn: u32,
    stored: u32,
    size: u32,
    tag_hash: u32,
    count: u16,
    timely: bool,
    opaque: bool,
}

struct Chunk {
    /// How many came before it, since the beginning.
    number: u64,
    offset: Offset,
    lsn: Lsn,
    stored: Millis,
    entries: Vec<Packed>,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.number + self.entries.len() as u64
    }

    /// The entry as it is kept here, if it fits in.
    fn pack(&self, entry: &IndexEntry) -> Option<Packed> {
        let from = |base: u64, value: u64| u32::try_from(value.checked_sub(base)?).ok();
        let &IndexEntry { size, tag_hash, count, timely, opaque, .. } = entry;
        Some(Packed {
            offset: from(self.offset, entry.offset)?,
            lsn: from(self.lsn, entry.lsn)?,
            stored: from(self.stored, entry.stored)?,
            size,
            tag_hash,
            count,
            timely,
            opaque,
        })
    }

    fn unpack(&self, packed: Packed) -> IndexEntry {
        let Packed { offset, lsn, stored, size, tag_hash, count, timely, opaque } = packed;
        IndexEntry {
            offset: self.offset + Offset::from(offset),
            lsn: self.lsn + Lsn::from(lsn),
            stored: self.stored + Millis::from(stored),
            size,
            tag_hash,
            count,
            timely,
            opaque,
        }
    }

    /// Those from a number on.
    fn behind(&self, number: u64) -> &[Packed] {
        self.entries.get(number.saturating_sub(self.number) as usize..).unwrap_or_default()
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Entries {
    chunks: VecDeque<Chunk>,
    /// How many have gone at the front, since the beginning.
    gone: u64,
}

impl Entries {
    pub(crate) fn is_empty(&self) -> bool {
        self.end() == self.gone
    }

    fn end(&self) -> u64 {
        self.chunks.back().map_or(self.gone, Chunk::end)
    }

    pub(crate) fn push(&mut self, entry: IndexEntry) {
        if let Some(last) = self.chunks.back_mut().filter(|last| last.entries.len() < CHUNK)
            && let Some(packed) = last.pack(&entry)
        {
            last.entries.push(packed);
            return;
        }
        if self.chunks.capacity() == 0 {
            self.chunks.reserve_exact(1); // of most queues there is little here
        }
        let IndexEntry { offset, lsn, stored, .. } = entry;
        // A queue that has filled one is busy.
        let room = if self.chunks.back().is_some_and(|last| last.entries.len() == CHUNK) { CHUNK } else { 0 };
        let mut chunk = Chunk { number: self.end(), offset, lsn, stored, entries: Vec::with_capacity(room) };
        chunk.entries.extend(chunk.pack(&entry));
        self.chunks.push_back(chunk);
    }

    pub(crate) fn front(&self) -> Option<IndexEntry> {
        self.iter().next()
    }

    pub(crate) fn back(&self) -> Option<IndexEntry> {
        self.iter().next_back()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = IndexEntry> + '_ {
        self.from(0)
    }

    /// Those from the `n`th on.
    pub(crate) fn from(&self, n: usize) -> impl DoubleEndedIterator<Item = IndexEntry> + '_ {
        let number = self.gone + n as u64;
        let first = self.chunks.partition_point(|chunk| chunk.end() <= number);
        self.chunks
            .range(first..)
            .flat_map(move |chunk| chunk.behind(number).iter().map(move |packed| chunk.unpack(*packed)))
    }

    /// How many at the front are of a kind of which none comes behind the others.
    pub(crate) fn count_while(&self, is_before: impl Fn(&IndexEntry) -> bool) -> usize {
        let begins_before =
            |chunk: &Chunk| chunk.entries.first().is_some_and(|packed| is_before(&chunk.unpack(*packed)));
        let behind = self.chunks.partition_point(begins_before);
        let Some(chunk) = behind.checked_sub(1).and_then(|n| self.chunks.get(n)) else { return 0 };
        let inside = chunk.entries.partition_point(|packed| is_before(&chunk.unpack(*packed)));
        (chunk.number + inside as u64).saturating_sub(self.gone) as usize
    }

    /// Lets go of the first ones.
    pub(crate) fn drop_first(&mut self, n: usize) {
        self.gone = (self.gone + n as u64).min(self.end());
        while self.chunks.front().is_some_and(|chunk| chunk.end() <= self.gone) {
            self.chunks.pop_front();
        }
        if self.chunks.capacity() > 4 * self.chunks.len().max(1) {
            self.chunks.shrink_to(2 * self.chunks.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: u64, stored: Millis) -> IndexEntry {
        IndexEntry {
            offset: n * 3,
            lsn: 4096 + n * 64,
            stored,
            size: n as u32,
            tag_hash: !(n as u32),
            count: 2,
            timely: n.is_multiple_of(2),
            opaque: n.is_multiple_of(3),
        }
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Packed>(), 24);
    }

    #[test]
    fn it_does_what_a_list_does() {
        let (mut entries, mut list) = (Entries::default(), VecDeque::new());
        for n in 0..5000u64 {
            // The clock goes back now and then, and positions jump.
            let stored = 1_000_000 + n - 500 * (n % 701 / 700);
            let mut new = entry(n, stored);
            new.lsn += (n / 1500) << 33;
            entries.push(new);
            list.push_back(new);
            if n % 97 == 0 {
                let some = (n as usize * 31 % 120).min(list.len());
                entries.drop_first(some);
                list.drain(..some);
            }
            assert_eq!(entries.back(), list.back().copied());
            assert_eq!((entries.front(), entries.is_empty()), (list.front().copied(), list.is_empty()));
            if n % 50 == 0 {
                assert!(entries.from(0).eq(list.iter().copied()));
                assert!(entries.iter().rev().eq(list.iter().rev().copied()));
                let at = n as usize % (list.len() + 1);
                assert!(entries.from(at).eq(list.range(at..).copied()));
                for offset in [0, n, 2 * n, 3 * n, 3 * n + 5] {
                    let before = |entry: &IndexEntry| entry.end() <= offset;
                    assert_eq!(entries.count_while(before), list.partition_point(before));
                }
            }
        }
        entries.drop_first(usize::MAX >> 1);
        assert!(entries.is_empty() && entries.front().is_none() && entries.back().is_none());
        entries.push(entry(1, 5));
        assert_eq!(entries.from(0).collect::<Vec<_>>(), [entry(1, 5)]);
    }

    #[test]
    fn an_idle_queue_keeps_little_room() {
        let mut entries = Entries::default();
        entries.push(entry(1, 5));
        assert!(entries.chunks.capacity() == 1 && entries.chunks[0].entries.capacity() <= 4);
        (2..10_000).for_each(|n| entries.push(entry(n, 5)));
        entries.drop_first(9_990);
        assert!(entries.chunks.capacity() <= 4);
    }
}
