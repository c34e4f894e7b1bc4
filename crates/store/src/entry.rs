//! The header before every record: [`EntryHeader`], 64 bytes that say what follows, where it belongs and who wrote it.
//!
//! It exists so that a reader trusts nothing: the header's own checksum makes its length trustworthy, the payload's
//! makes the content so, and position and epoch make bytes of a file's former life invalid without erasing them.
//!
//! Little-endian, 8-byte aligned in the file:
//! ```text
//!  0 magic "SLE" + version | 4 length u32, header included | 8 header crc u32 | 12 payload crc u32
//! 16 lsn u64 | 24 epoch u32 | 28 queue u32 | 32 offset u64 | 40 stored u64, ms
//! 48 count u16 | 50 encoding u8 | 51 kind u8 | 52 flags u32 | 56 durable behind u32 | 60 tag hash u32
//! ```
//! `durable behind` is the distance from the entry back to what was known durable when it was written. Recovery tells
//! a torn tail from damage by it: see `recovery`.

use crate::Lsn;
use crate::bytes_at::{BytesAt as _, put};
use crate::crc::crc32c;
use crate::index::IndexEntry;
use sluice_model::{Millis, Offset};

/// The header's size.
pub(crate) const HEADER: usize = 64;
const MAGIC: [u8; 3] = *b"SLE";
/// The magic and version as the first four bytes of an entry: what a search through a damaged file looks for.
pub(crate) const SIGNATURE: [u8; 4] = [MAGIC[0], MAGIC[1], MAGIC[2], VERSION];
const VERSION: u8 = 1;
/// No log gets further, however long it is written to: a number beyond was not made by appending. What lies below can be
/// added up without care.
pub(crate) const MAX_LSN: Lsn = 1 << 62;
/// The same for the offsets of a queue.
pub(crate) const MAX_OFFSET: Offset = 1 << 62;
/// "Not known", when the distance does not fit.
const FAR_BEHIND: u32 = u32::MAX;

/// What an entry is, on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A message or a batch.
    Message,
    /// The broker's own.
    State,
    /// Nothing: it only says what was durable when it was written, or that the log ended here in order.
    Mark,
    /// Nothing: it says that the queue goes on at its offset.
    Gap,
}

impl EntryKind {
    fn number(self) -> u8 {
        match self {
            Self::Message => 1,
            Self::State => 2,
            Self::Mark => 3,
            Self::Gap => 4,
        }
    }

    fn of(number: u8) -> Option<Self> {
        [Self::Message, Self::State, Self::Mark, Self::Gap].into_iter().find(|kind| kind.number() == number)
    }
}

/// The bits of [`EntryHeader::flags`].
pub(crate) mod flag {
    /// Another entry of the same atomic group follows.
    pub(crate) const MORE: u32 = 1;
    /// Acknowledged before it was synced.
    pub(crate) const ASYNC: u32 = 2;
    /// The log was closed in order behind this mark.
    pub(crate) const CLEAN: u32 = 4;
    /// A batch, of whose tags nothing is known.
    pub(crate) const OPAQUE: u32 = 8;
    /// A mark in the place of entries that were damaged, and given up by a repair.
    pub(crate) const LOST: u32 = 16;
    /// Made before it was stored.
    pub(crate) const TIMELY: u32 = 32;
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    /// Header and payload, without the padding behind.
    pub len: u32,
    pub payload_crc: u32,
    pub lsn: Lsn,
    pub epoch: u32,
    pub queue: u32,
    pub offset: Offset,
    pub stored: Millis,
    pub count: u16,
    pub encoding: u8,
    pub kind: EntryKind,
    pub flags: u32,
    /// Everything before it was known to be durable; 0 when not known.
    pub durable: Lsn,
    pub tag_hash: u32,
}

/// The size that a record of `payload` bytes takes in the log.
pub(crate) fn record_size(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(8)
}

impl EntryHeader {
    /// The size in the log, padding included.
    pub(crate) fn size(&self) -> u64 {
        u64::from(self.len).next_multiple_of(8)
    }

    /// The position after it.
    pub(crate) fn end(&self) -> Lsn {
        self.lsn.saturating_add(self.size())
    }

    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// What the queue's index keeps of it.
    pub(crate) fn index_entry(&self) -> IndexEntry {
        IndexEntry {
            offset: self.offset,
            lsn: self.lsn,
            stored: self.stored,
            size: self.size() as u32,
            tag_hash: self.tag_hash,
            count: self.count,
            timely: self.has(flag::TIMELY),
            opaque: self.has(flag::OPAQUE),
        }
    }

    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        put(&mut bytes, 0, SIGNATURE);
        put(&mut bytes, 4, self.len.to_le_bytes());
        put(&mut bytes, 12, self.payload_crc.to_le_bytes());
        put(&mut bytes, 16, self.lsn.to_le_bytes());
        put(&mut bytes, 24, self.epoch.to_le_bytes());
        put(&mut bytes, 28, self.queue.to_le_bytes());
        put(&mut bytes, 32, self.offset.to_le_bytes());
        put(&mut bytes, 40, self.stored.to_le_bytes());
        put(&mut bytes, 48, self.count.to_le_bytes());
        put(&mut bytes, 50, [self.encoding, self.kind.number()]);
        put(&mut bytes, 52, self.flags.to_le_bytes());
        let behind = u32::try_from(self.lsn.saturating_sub(self.durable)).unwrap_or(FAR_BEHIND);
        put(&mut bytes, 56, behind.to_le_bytes());
        put(&mut bytes, 60, self.tag_hash.to_le_bytes());
        let crc = crc32c(&bytes);
        put(&mut bytes, 8, crc.to_le_bytes());
        bytes
    }

    /// Reads a header; nothing when these bytes are none.
    pub(crate) fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        if bytes[..4] != SIGNATURE {
            return None;
        }
        let mut zeroed = *bytes;
        put(&mut zeroed, 8, [0; 4]);
        let len = bytes.u32_at(4);
        if crc32c(&zeroed) != bytes.u32_at(8) || (len as usize) < HEADER {
            return None;
        }
        let lsn = bytes.u64_at(16);
        let behind = bytes.u32_at(56);
        Some(Self {
            len,
            payload_crc: bytes.u32_at(12),
            lsn,
            epoch: bytes.u32_at(24),
            queue: bytes.u32_at(28),
            offset: bytes.u64_at(32),
            stored: bytes.u64_at(40),
            count: bytes.u16_at(48),
            encoding: *bytes.get(50)?,
            kind: EntryKind::of(*bytes.get(51)?)?,
            flags: bytes.u32_at(52),
            durable: if behind == FAR_BEHIND { 0 } else { lsn.saturating_sub(u64::from(behind)) },
            tag_hash: bytes.u32_at(60),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> EntryHeader {
        EntryHeader {
            len: 100,
            payload_crc: 7,
            lsn: 1 << 40,
            epoch: 9,
            queue: 3,
            offset: 77,
            stored: 1_700_000_000_000,
            count: 2,
            encoding: 1,
            kind: EntryKind::Message,
            flags: flag::MORE | flag::ASYNC,
            durable: (1 << 40) - 4096,
            tag_hash: 5,
        }
    }

    #[test]
    fn a_header_comes_back() {
        assert_eq!(EntryHeader::decode(&header().encode()), Some(header()));
        assert_eq!(header().size(), 104);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = header().encode();
        for bit in 0..HEADER * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(EntryHeader::decode(&bad), None, "bit {bit}");
        }
    }

    #[test]
    fn a_distance_that_does_not_fit_is_not_known() {
        let far = EntryHeader { durable: 1, ..header() };
        assert_eq!(EntryHeader::decode(&far.encode()).unwrap().durable, 0);
    }
}
