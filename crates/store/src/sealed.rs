//! The index of a finished segment, kept inside its file: entry blocks, a directory of queues, keys, and the footer.
//!
//! It exists so that neither start nor memory depend on how many messages are kept: of a sealed segment only one
//! [`Range`] for each of its queues stays in memory. The one idea to know: entries lie by queue and offset in blocks of
//! equal size, so the place of an offset is arithmetic, or a binary search when batches or gaps are among them.
//!
//! ```text
//! block: 127 entries of 32 B | crc u32 | zeros                                                      (4 KiB)
//!   entry: lsn - start u32 | size u32 | offset u64 | stored u64 | tag hash u32 | count u16 | flags u16
//! directory: queue u32 | flags u32 | base u64 | end u64 | count u32 | first entry u32 | min, max stored u64   (48 B each)
//! keys: see `keys::sealed`
//! footer: 0 "SLUICEFT" | 8 version u32 | 12 crc u32 | 16 store id | 32 start u64 | 40 end u64 | 48 epoch u32
//!   52 flags u32 | 56 entries u32 | 60 queues u32 | 64 blocks at u64 | 72 directory at u64 | 80 directory crc u32
//!   88 min stored u64 | 96 max stored u64 | 104 keys u32 | zeros                                       (the file's last 4 KiB)
//! ```

pub(crate) mod write;

use crate::Lsn;
use crate::bytes_at::{BytesAt as _, put};
use crate::crc::crc32c;
use crate::entry::{ALIGN, EntryHeader, EntryKind, MAX_LSN, MAX_OFFSET, flag};
use crate::index::{AHEAD, IndexEntry};
use crate::keys::{self, Key};
use crate::log::Payload;
use crate::record;
use crate::segment::{PAGE, Page, StoreId, check_page, finish_page, start_page};
use crate::vfs::VfsFile;
use sluice_model::{Millis, Offset};
use std::collections::BTreeMap;
use std::io;

const MAGIC: [u8; 8] = *b"SLUICEFT";
const ENTRY: usize = 32;
/// Entries in a block.
pub(crate) const PER_BLOCK: u32 = 127;
const BLOCK: u64 = 4096;
const BLOCK_CRC_AT: usize = PER_BLOCK as usize * ENTRY;
const DIRECTORY_ENTRY: usize = 48;
const CLEAN: u32 = 1;

/// What the index says of an entry.
mod entry_flag {
    pub(super) const OPAQUE: u16 = 1;
    pub(super) const TIMELY: u16 = 2;
}

mod queue_flag {
    /// One entry for each offset: the place of an offset is arithmetic.
    pub(super) const DENSE: u32 = 1;
    /// Acknowledged before synced, at least once.
    pub(super) const ASYNC: u32 = 2;
    /// Store times never go back: a time is found by binary search.
    pub(super) const ORDERED: u32 = 4;
    /// Every message was made before it was stored.
    pub(super) const TIMELY: u32 = 8;
}

/// What a segment's index holds before it is written.
#[derive(Default)]
pub(crate) struct Contents {
    pub queues: BTreeMap<u32, QueueContents>,
    /// The store times of all entries, state included.
    pub stored: Option<(Millis, Millis)>,
    /// By which words messages are found, in any order.
    pub keys: Vec<Key>,
}

/// One queue's part of it.
#[derive(Default)]
pub(crate) struct QueueContents {
    pub entries: Vec<IndexEntry>,
    pub is_async: bool,
    /// Where the queue goes on at least, when a gap entry says so.
    pub next: Offset,
}

impl Contents {
    /// Adds the keys of an entry that lies in the segment starting at `start`. One that cannot be read has none.
    pub(crate) fn add_keys(&mut self, start: Lsn, header: &EntryHeader, payload: &bytes::Bytes) {
        if header.kind != EntryKind::Message {
            return;
        }
        let (at, queue) = (header.lsn.saturating_sub(start) as u32, header.queue);
        let push = |hash| self.keys.push(Key { hash, at, queue });
        if header.encoding != record::NATIVE {
            record::each_batch_key(payload, push);
        } else if let Ok(message) = record::decode(payload, header.stored) {
            keys::each_hash(&Payload::Message(&message), push);
        }
    }

    /// Adds an entry, in the order of the log.
    pub(crate) fn add(&mut self, header: &EntryHeader) {
        let (min, max) = self.stored.unwrap_or((header.stored, header.stored));
        self.stored = Some((min.min(header.stored), max.max(header.stored)));
        match header.kind {
            EntryKind::Message => {
                let part = self.queues.entry(header.queue).or_default();
                part.entries.push(header.index_entry());
                part.is_async |= header.has(flag::ASYNC);
            }
            EntryKind::Gap => {
                let part = self.queues.entry(header.queue).or_default();
                part.next = header.offset;
                part.is_async = true;
            }
            EntryKind::State | EntryKind::Mark => {}
        }
    }
}

/// The part of a queue that lies in one sealed segment. Without entries it only says where the queue goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    /// The segment's start.
    pub segment: Lsn,
    pub base: Offset,
    /// The offset after the last one.
    pub end: Offset,
    pub first: u32,
    pub count: u32,
    pub min_stored: Millis,
    pub max_stored: Millis,
    pub dense: bool,
    pub ordered: bool,
    pub timely: bool,
    pub is_async: bool,
}

/// The footer of a sealed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub store: StoreId,
    pub start: Lsn,
    /// The position after the last entry, where the next segment starts.
    pub end: Lsn,
    pub epoch: u32,
    /// The log was closed in order behind the last entry.
    pub clean: bool,
    pub entries: u32,
    pub queues: u32,
    pub keys: u32,
    pub blocks_at: u64,
    pub directory_at: u64,
    pub directory_crc: u32,
    pub min_stored: Millis,
    pub max_stored: Millis,
}

/// The bytes that index and footer of a segment with so many entries, queues and keys take.
pub(crate) fn index_size(entries: u64, queues: u64, keys: u64) -> u64 {
    let blocks = entries.div_ceil(u64::from(PER_BLOCK)) * BLOCK;
    blocks + queues * DIRECTORY_ENTRY as u64 + keys::sealed::size(keys) + PAGE
}

fn put_entry(blocks: &mut [u8], at: usize, start: Lsn, entry: &IndexEntry) {
    put(blocks, at, ((entry.lsn - start) as u32).to_le_bytes());
    put(blocks, at + 4, entry.size.to_le_bytes());
    put(blocks, at + 8, entry.offset.to_le_bytes());
    put(blocks, at + 16, entry.stored.to_le_bytes());
    put(blocks, at + 24, entry.tag_hash.to_le_bytes());
    put(blocks, at + 28, entry.count.to_le_bytes());
    let flags =
        if entry.opaque { entry_flag::OPAQUE } else { 0 } | if entry.timely { entry_flag::TIMELY } else { 0 };
    put(blocks, at + 30, flags.to_le_bytes());
}

fn read_entry(block: &[u8], at: usize, start: Lsn) -> IndexEntry {
    let flags = block.u16_at(at + 30);
    IndexEntry {
        lsn: start + u64::from(block.u32_at(at)),
        size: block.u32_at(at + 4),
        offset: block.u64_at(at + 8),
        stored: block.u64_at(at + 16),
        tag_hash: block.u32_at(at + 24),
        count: block.u16_at(at + 28),
        timely: flags & entry_flag::TIMELY != 0,
        opaque: flags & entry_flag::OPAQUE != 0,
    }
}

fn encode_directory(ranges: &[(u32, Range)]) -> Vec<u8> {
    let mut directory = vec![0; ranges.len() * DIRECTORY_ENTRY];
    for ((queue, range), place) in ranges.iter().zip(directory.chunks_exact_mut(DIRECTORY_ENTRY)) {
        let flags = if range.dense { queue_flag::DENSE } else { 0 }
            | if range.ordered { queue_flag::ORDERED } else { 0 }
            | if range.timely { queue_flag::TIMELY } else { 0 }
            | if range.is_async { queue_flag::ASYNC } else { 0 };
        put(place, 0, queue.to_le_bytes());
        put(place, 4, flags.to_le_bytes());
        put(place, 8, range.base.to_le_bytes());
        put(place, 16, range.end.to_le_bytes());
        put(place, 24, range.count.to_le_bytes());
        put(place, 28, range.first.to_le_bytes());
        put(place, 32, range.min_stored.to_le_bytes());
        put(place, 40, range.max_stored.to_le_bytes());
    }
    directory
}

impl Footer {
    fn encode(&self) -> Vec<u8> {
        let mut page = start_page(MAGIC);
        put(&mut page, 16, self.store);
        put(&mut page, 32, self.start.to_le_bytes());
        put(&mut page, 40, self.end.to_le_bytes());
        put(&mut page, 48, self.epoch.to_le_bytes());
        put(&mut page, 52, if self.clean { CLEAN } else { 0 }.to_le_bytes());
        put(&mut page, 56, self.entries.to_le_bytes());
        put(&mut page, 60, self.queues.to_le_bytes());
        put(&mut page, 64, self.blocks_at.to_le_bytes());
        put(&mut page, 72, self.directory_at.to_le_bytes());
        put(&mut page, 80, self.directory_crc.to_le_bytes());
        put(&mut page, 88, self.min_stored.to_le_bytes());
        put(&mut page, 96, self.max_stored.to_le_bytes());
        put(&mut page, 104, self.keys.to_le_bytes());
        finish_page(page)
    }

    /// Reads a footer page.
    pub(crate) fn decode(page: &[u8]) -> Page<Self> {
        check_page(page, MAGIC, |page| Self {
            store: page.array_at(16),
            start: page.u64_at(32),
            end: page.u64_at(40),
            epoch: page.u32_at(48),
            clean: page.u32_at(52) & CLEAN != 0,
            entries: page.u32_at(56),
            queues: page.u32_at(60),
            blocks_at: page.u64_at(64),
            directory_at: page.u64_at(72),
            directory_crc: page.u32_at(80),
            min_stored: page.u64_at(88),
            max_stored: page.u64_at(96),
            keys: page.u32_at(104),
        })
    }

    /// Where the keys lie: behind the directory.
    pub(crate) fn keys(&self) -> keys::sealed::Place {
        let directory = u64::from(self.queues) * DIRECTORY_ENTRY as u64;
        keys::sealed::Place { at: self.directory_at.saturating_add(directory), count: self.keys }
    }

    /// Reads the directory; nothing when it is damaged, or when its numbers cannot all be true.
    pub(crate) fn directory(&self, file: &dyn VfsFile) -> io::Result<Option<Vec<(u32, Range)>>> {
        let len = self.queues as usize * DIRECTORY_ENTRY;
        let behind = self.keys().at.saturating_add(keys::sealed::size(u64::from(self.keys)));
        // The length is bounded by the file's: a footer that passed its checksum and claims more is refused.
        if !self.is_plausible() || behind > file.size()? {
            return Ok(None);
        }
        let mut bytes = vec![0; len];
        if file.read_at(&mut bytes, self.directory_at)? != len || crc32c(&bytes) != self.directory_crc {
            return Ok(None);
        }
        let ranges: Vec<_> = bytes.chunks_exact(DIRECTORY_ENTRY).map(|place| self.range(place)).collect();
        Ok(ranges.iter().all(|(_, range)| self.can_hold(range)).then_some(ranges))
    }

    /// Entries, blocks and directory follow each other, as `seal` writes them.
    fn is_plausible(&self) -> bool {
        let blocks = u64::from(self.entries).div_ceil(u64::from(PER_BLOCK)) * BLOCK;
        let entries =
            self.end.checked_sub(self.start).filter(|len| *len >= PAGE && len.is_multiple_of(ALIGN));
        self.end <= MAX_LSN
            && entries == Some(self.blocks_at)
            && self.blocks_at.checked_add(blocks) == Some(self.directory_at)
    }

    fn can_hold(&self, range: &Range) -> bool {
        range.base <= range.end
            && range.end <= MAX_OFFSET
            && range.first.checked_add(range.count).is_some_and(|behind| behind <= self.entries)
            && (!range.dense || range.end - range.base == u64::from(range.count))
    }

    fn range(&self, place: &[u8]) -> (u32, Range) {
        let flags = place.u32_at(4);
        let range = Range {
            segment: self.start,
            base: place.u64_at(8),
            end: place.u64_at(16),
            count: place.u32_at(24),
            first: place.u32_at(28),
            min_stored: place.u64_at(32),
            max_stored: place.u64_at(40),
            dense: flags & queue_flag::DENSE != 0,
            ordered: flags & queue_flag::ORDERED != 0,
            timely: flags & queue_flag::TIMELY != 0,
            is_async: flags & queue_flag::ASYNC != 0,
        };
        (place.u32_at(0), range)
    }
}

/// Where the blocks lie that hold a queue's part of an index.
pub(crate) fn blocks_of(footer: &Footer, range: &Range) -> std::ops::Range<u64> {
    let block = |n: u64| footer.blocks_at + n * BLOCK;
    let (first, end) = (u64::from(range.first), u64::from(range.first) + u64::from(range.count));
    let first = first / u64::from(PER_BLOCK);
    block(first)..block(if range.count == 0 { first } else { end.div_ceil(u64::from(PER_BLOCK)) })
}

/// The position of the first block of an index that is not as it was written.
pub(crate) fn bad_block(file: &dyn VfsFile, footer: &Footer) -> io::Result<Option<u64>> {
    let mut bytes = vec![0; BLOCK as usize];
    for at in (footer.blocks_at..footer.directory_at).step_by(BLOCK as usize) {
        let read = file.read_at(&mut bytes, at)?;
        let (entries, rest) = bytes.split_at(BLOCK_CRC_AT);
        let good = read == BLOCK as usize && crc32c(entries) == rest.u32_at(0);
        if !good || rest.iter().skip(4).any(|byte| *byte != 0) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Reads the index entries of one queue in one sealed segment.
pub(crate) struct RangeReader<'a> {
    file: &'a dyn VfsFile,
    blocks_at: u64,
    range: Range,
    block: Option<(u32, Vec<u8>)>,
}

impl Range {
    /// Whether any of its messages may have been made at `time` or later.
    pub(crate) fn may_be_born(&self, time: Millis) -> bool {
        !self.timely || self.max_stored.saturating_add(AHEAD) >= time
    }
}

impl<'a> RangeReader<'a> {
    pub(crate) fn new(file: &'a dyn VfsFile, blocks_at: u64, range: Range) -> Self {
        Self { file, blocks_at, range, block: None }
    }

    /// The `n`-th entry; nothing behind the last. An invalid-data error says that the block is damaged.
    pub(crate) fn entry(&mut self, n: u32) -> io::Result<Option<IndexEntry>> {
        if n >= self.range.count {
            return Ok(None);
        }
        let (number, start) = (self.range.first + n, self.range.segment);
        let block = self.block(number / PER_BLOCK)?;
        Ok(Some(read_entry(block, (number % PER_BLOCK) as usize * ENTRY, start)))
    }

    fn block(&mut self, number: u32) -> io::Result<&[u8]> {
        if self.block.as_ref().is_none_or(|(loaded, _)| *loaded != number) {
            let mut bytes = vec![0; BLOCK as usize];
            let read = self.file.read_at(&mut bytes, self.blocks_at + u64::from(number) * BLOCK)?;
            if read != bytes.len() || crc32c(&bytes[..BLOCK_CRC_AT]) != bytes.u32_at(BLOCK_CRC_AT) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("index block {number}")));
            }
            self.block = Some((number, bytes));
        }
        Ok(self.block.as_ref().map_or(&[], |(_, bytes)| bytes))
    }

    /// The number of the first entry that covers `offset` or comes after it.
    pub(crate) fn find(&mut self, offset: Offset) -> io::Result<u32> {
        if offset <= self.range.base {
            return Ok(0);
        }
        if self.range.dense {
            return Ok((offset - self.range.base).min(u64::from(self.range.count)) as u32);
        }
        self.partition(|entry| entry.end() <= offset)
    }

    fn partition(&mut self, before: impl Fn(&IndexEntry) -> bool) -> io::Result<u32> {
        let (mut low, mut high) = (0, self.range.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entry(middle)? {
                Some(entry) if before(&entry) => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The first entry stored at `time` or later.
    pub(crate) fn first_stored(&mut self, time: Millis) -> io::Result<Option<IndexEntry>> {
        let first = if self.range.ordered { self.partition(|entry| entry.stored < time)? } else { 0 };
        for n in first..self.range.count {
            if let Some(entry) = self.entry(n)?.filter(|e| e.stored >= time) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The first entry, from the one that covers `from` on, that may have been made at `time` or later.
    pub(crate) fn maybe_born(&mut self, from: Offset, time: Millis) -> io::Result<Option<IndexEntry>> {
        let mut first = self.find(from)?;
        if self.range.ordered && self.range.timely {
            first = first.max(self.partition(|entry| !entry.may_be_born(time))?);
        }
        for n in first..self.range.count {
            if let Some(entry) = self.entry(n)?.filter(|entry| entry.may_be_born(time)) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}
