//! Writing the index of a segment that is full.
//!
//! It exists so that ending a segment of a million small messages takes no more memory than ending one of large ones. The one
//! idea to know: entries come queue after queue, and the blocks that they fill go to the file piece by piece. Only the keys are
//! in memory together, because they are sorted.

use super::{BLOCK, BLOCK_CRC_AT, Contents, ENTRY, Footer, PER_BLOCK, Range, encode_directory, put_entry};
use crate::bytes_at::put;
use crate::crc::crc32c;
use crate::index::IndexEntry;
use crate::keys::{self, Key};
use crate::log::Lsn;
use crate::segment::{PAGE, Segment, StoreId};
use crate::vfs::{Vfs, VfsFile};
use sluice_model::{Millis, Offset};
use std::collections::BTreeMap;
use std::io;

/// Bytes of blocks written at once.
const PIECE: usize = 1 << 20;

/// An entry, and the queue that it is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    pub queue: u32,
    /// The queue has entries that were acknowledged before they were synced.
    pub is_async: bool,
    pub entry: IndexEntry,
}

/// What an index is made of. The entries come by rising queues, those of each in their order.
pub(crate) struct Unsealed<E> {
    pub entries: E,
    /// Where queues go on at least, when a gap says so.
    pub gaps: BTreeMap<u32, Offset>,
    /// The store times of all entries, state included.
    pub stored: Option<(Millis, Millis)>,
    /// In any order.
    pub keys: Vec<Key>,
}

/// A segment that has got its index.
pub(crate) struct Sealed {
    pub footer: Footer,
    pub ranges: Vec<(u32, Range)>,
    /// The length of its file.
    pub len: u64,
}

impl Contents {
    /// The same, as it is written.
    pub(crate) fn unsealed(self) -> Unsealed<impl Iterator<Item = Listed>> {
        let Self { queues, stored, keys } = self;
        let gaps = queues.iter().map(|(queue, part)| (*queue, part.next)).collect();
        let entries = queues.into_iter().flat_map(|(queue, part)| {
            let is_async = part.is_async;
            part.entries.into_iter().map(move |entry| Listed { queue, is_async, entry })
        });
        Unsealed { entries, gaps, stored, keys }
    }
}

/// Writes the index and the footer behind `end` and syncs them. A file that is not full is cut behind its footer when
/// `cut` is set.
pub(crate) fn seal(
    vfs: &dyn Vfs,
    segment: &Segment,
    store: StoreId,
    end: Lsn,
    clean: bool,
    cut: bool,
    unsealed: Unsealed<impl Iterator<Item = Listed>>,
) -> io::Result<Sealed> {
    let Unsealed { entries, gaps, stored, mut keys } = unsealed;
    let file = segment.file(vfs)?;
    let blocks_at = segment.position(end);
    let mut blocks = Blocks::new(&*file, segment.start, blocks_at);
    for listed in entries {
        blocks.add(&listed)?;
    }
    let (entries, directory_at) = (blocks.entries, blocks.end()?);
    let ranges = with_gaps(blocks.ranges, entries, segment.start, &gaps);
    let directory = encode_directory(&ranges);
    keys.sort_unstable();
    keys.dedup();
    let (min_stored, max_stored) = stored.unwrap_or_default();
    let footer = Footer {
        store,
        start: segment.start,
        end,
        epoch: segment.epoch,
        clean,
        entries,
        queues: ranges.len() as u32,
        keys: keys.len() as u32,
        blocks_at,
        directory_at,
        directory_crc: crc32c(&directory),
        min_stored,
        max_stored,
    };
    file.write_at(&directory, directory_at)?;
    let behind = keys::sealed::write(&*file, footer.keys().at, &keys)?;
    let len = if cut { behind + PAGE } else { segment.len.max(behind + PAGE) };
    file.sync()?;
    if len != segment.len {
        file.set_len(len)?;
    }
    file.write_at(&footer.encode(), len - PAGE)?;
    file.sync()?;
    Ok(Sealed { footer, ranges, len })
}

/// Blocks on their way to the file.
struct Blocks<'a> {
    file: &'a dyn VfsFile,
    segment: Lsn,
    /// Where the next piece goes.
    at: u64,
    piece: Vec<u8>,
    entries: u32,
    ranges: Vec<(u32, Range)>,
}

impl<'a> Blocks<'a> {
    fn new(file: &'a dyn VfsFile, segment: Lsn, at: u64) -> Self {
        Self { file, segment, at, piece: Vec::new(), entries: 0, ranges: Vec::new() }
    }

    fn add(&mut self, listed: &Listed) -> io::Result<()> {
        let n = (self.entries % PER_BLOCK) as usize;
        if n == 0 {
            if self.piece.len() >= PIECE {
                self.write()?;
            }
            self.piece.resize(self.piece.len() + BLOCK as usize, 0);
        }
        let at = self.piece.len() - BLOCK as usize + n * ENTRY;
        put_entry(&mut self.piece, at, self.segment, &listed.entry);
        self.count(listed);
        self.entries += 1;
        Ok(())
    }

    fn count(&mut self, listed: &Listed) {
        let Listed { queue, is_async, entry } = listed;
        if let Some((_, range)) = self.ranges.last_mut().filter(|(last, _)| last == queue) {
            range.count += 1;
            range.end = entry.end();
            range.ordered &= range.max_stored <= entry.stored;
            range.min_stored = range.min_stored.min(entry.stored);
            range.max_stored = range.max_stored.max(entry.stored);
            range.timely &= entry.timely;
            range.is_async |= is_async;
            return;
        }
        let range = Range {
            segment: self.segment,
            base: entry.offset,
            end: entry.end(),
            first: self.entries,
            count: 1,
            min_stored: entry.stored,
            max_stored: entry.stored,
            dense: false,
            ordered: true,
            timely: entry.timely,
            is_async: *is_async,
        };
        self.ranges.push((*queue, range));
    }

    fn write(&mut self) -> io::Result<()> {
        for block in self.piece.chunks_exact_mut(BLOCK as usize) {
            let crc = crc32c(&block[..BLOCK_CRC_AT]);
            put(block, BLOCK_CRC_AT, crc.to_le_bytes());
        }
        self.file.write_at(&self.piece, self.at)?;
        self.at += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }

    /// Writes what is left; the position behind all blocks.
    fn end(&mut self) -> io::Result<u64> {
        self.write()?;
        Ok(self.at)
    }
}

/// Adds where queues go on by gaps. One without entries has a range that only says so.
fn with_gaps(
    mut ranges: Vec<(u32, Range)>,
    entries: u32,
    segment: Lsn,
    gaps: &BTreeMap<u32, Offset>,
) -> Vec<(u32, Range)> {
    for (queue, next) in gaps.iter().filter(|(_, next)| **next > 0) {
        match ranges.binary_search_by_key(queue, |(queue, _)| *queue) {
            Ok(n) => {
                if let Some((_, range)) = ranges.get_mut(n) {
                    (range.end, range.is_async) = (range.end.max(*next), true);
                }
            }
            Err(n) => {
                let first = ranges.get(n).map_or(entries, |(_, behind)| behind.first);
                let range = Range {
                    segment,
                    base: *next,
                    end: *next,
                    first,
                    count: 0,
                    min_stored: 0,
                    max_stored: 0,
                    dense: false,
                    ordered: true,
                    timely: true,
                    is_async: true,
                };
                ranges.insert(n, (*queue, range));
            }
        }
    }
    for (_, range) in &mut ranges {
        range.dense = range.end.checked_sub(range.base) == Some(u64::from(range.count));
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealed::{RangeReader, bad_block};
    use crate::sim::SimVfs;
    use std::path::PathBuf;

    const START: Lsn = 1 << 20;

    fn entry(n: u64, offset: Offset, stored: Millis) -> IndexEntry {
        let (lsn, size) = (START + 4096 + n * 64, 64);
        IndexEntry { offset, lsn, stored, size, tag_hash: n as u32, count: 1, timely: true, opaque: false }
    }

    /// Several pieces, several queues within a piece, and gaps of queues with entries and without.
    #[test]
    fn what_is_written_piece_by_piece_is_read_as_one() {
        let vfs = SimVfs::new();
        let path = PathBuf::from("segment");
        let file = vfs.open(&path, true).unwrap();
        file.set_len(16 << 20).unwrap();
        let segment = Segment { start: START, epoch: 1, path, held: Some(file.clone()), len: 16 << 20 };
        let mut queues: BTreeMap<u32, Vec<IndexEntry>> = BTreeMap::new();
        for n in 0..(PIECE / BLOCK as usize * PER_BLOCK as usize * 2 + 900) as u64 {
            let queue = if n < 300 { n as u32 % 3 } else { 7 };
            let of = queues.entry(queue).or_default();
            of.push(entry(n, of.len() as u64, 1000 + n - 900 * (n % 4 / 3) * u64::from(queue == 2)));
        }
        let listed = queues.iter().flat_map(|(queue, entries)| {
            entries.iter().map(|entry| Listed { queue: *queue, is_async: *queue == 1, entry: *entry })
        });
        let key = |n: u32| Key { hash: u64::from(n % 90_000) << 40, at: n % 90_000 * 8, queue: 7 };
        let unsealed = Unsealed {
            entries: listed,
            gaps: BTreeMap::from([(0, 0), (1, 50), (2, 200), (5, 33), (9, 4)]),
            stored: Some((1, 2)),
            keys: (0..100_000).map(key).collect(),
        };
        let end = START + (4 << 20);
        let Sealed { footer, ranges, len } =
            seal(&vfs, &segment, [3; 16], end, false, false, unsealed).unwrap();
        assert_eq!((footer.keys, len), (90_000, 16 << 20));
        assert_eq!(footer.directory(&*file).unwrap().unwrap(), ranges);
        assert_eq!(bad_block(&*file, &footer).unwrap(), None);
        let mut keys: Vec<Key> = (0..90_000).map(key).collect();
        keys.sort_unstable();
        assert!(keys::sealed::is_of(&*file, footer.keys(), &keys).unwrap());
        assert_eq!(ranges.iter().map(|(queue, _)| *queue).collect::<Vec<_>>(), [0, 1, 2, 5, 7, 9]);
        for (queue, range) in &ranges {
            let wanted = queues.get(queue).cloned().unwrap_or_default();
            let mut reader = RangeReader::new(&*file, footer.blocks_at, *range);
            for (n, wanted) in (0..).zip(&wanted) {
                assert_eq!(reader.entry(n).unwrap().as_ref(), Some(wanted), "{n} of queue {queue}");
            }
            assert_eq!(range.count as usize, wanted.len());
            assert_eq!(range.ordered, *queue != 2);
            assert_eq!(range.is_async, [1, 2, 5, 9].contains(queue));
            assert_eq!(range.dense, *queue != 2, "{queue} {range:?}");
        }
        let (_, behind_a_gap) = ranges[2];
        assert_eq!((behind_a_gap.end, ranges[3].1.base, ranges[3].1.count), (200, 33, 0));
    }
}
