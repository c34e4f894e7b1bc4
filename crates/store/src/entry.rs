//! The header before every record: [`EntryHeader`], 32 to 44 bytes that say what follows, and where it belongs.
//!
//! It exists so that a reader trusts nothing: the header's own checksum makes its length trustworthy, the payload's
//! makes the content so, and position and epoch make bytes of a file's former life invalid without erasing them. The one
//! idea to know: whoever reads an entry knows where, and in whose segment. So neither is stored; both are part of the
//! checksums.
//!
//! Little-endian, at a multiple of 4 in the file:
//! ```text
//!  0 signature u16 | 2 kind - 1 (2 bits), flags (6 bits) | 3 offset u56 | 10 stored u48, ms | 16 queue u32
//! 20 length u32, header included, with the bits TOLD, TAGGED and ALL | 24 header crc u32 | 28 payload crc u32
//! then, each only where it says something:
//!   OPAQUE: count u16, encoding u8, 0 | TOLD: durable behind u32 | TAGGED: tag hash u32
//! ```
//! - The header's checksum is a CRC32C of the entry's position and the header with 0 in its place, XOR the epoch: who does
//!   not know the epoch can tell it from an entry. The payload's is a CRC32C, XOR a number made of the position, so that
//!   an entry of elsewhere fails at both.
//! - `durable behind` is the distance from the entry back to what was known durable when it was written; ALL says without
//!   a number that everything was. Recovery tells a torn tail from damage by it: see `recovery`. Entries carry it where
//!   there is something new to tell, and after [`TOLD_EVERY`] bytes without it.

use crate::Lsn;
use crate::bytes_at::{BytesAt as _, put};
use crate::crc::crc32c;
use crate::index::IndexEntry;
use crate::record;
use sluice_model::{Millis, Offset};

/// The header's size, of most entries.
pub(crate) const HEADER: usize = 32;
/// The size of the longest one.
pub(crate) const MAX_HEADER: usize = HEADER + 12;
/// Entries begin at multiples of it.
pub(crate) const ALIGN: u64 = 4;
/// The first bytes of an entry, and their version: what a search through a damaged file looks for.
pub(crate) const SIGNATURE: [u8; 2] = [0xFE, 2];
/// What lies behind an entry that tells what is durable is told by the next one that is at least this far away.
pub(crate) const TOLD_EVERY: u64 = 8 << 10;
/// No log gets further, however long it is written to: a number beyond was not made by appending. What lies below can be
/// added up without care.
pub(crate) const MAX_LSN: Lsn = 1 << 62;
/// The same for the offsets of a queue: a thousand years of a million messages a second.
pub(crate) const MAX_OFFSET: Offset = 1 << 55;
/// No clock shows a later time: it is the year 10889.
const MAX_STORED: Millis = (1 << 48) - 1;
/// The bits of the length that say what the header ends with, and that all before the entry is durable. No entry is as
/// long as 512 MiB: see the limits in `config`.
const TOLD: u32 = 1 << 31;
const TAGGED: u32 = 1 << 30;
const ALL: u32 = 1 << 29;
const CRC_AT: usize = 24;

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
    fn bits(self) -> u8 {
        match self {
            Self::Message => 0,
            Self::State => 1,
            Self::Mark => 2,
            Self::Gap => 3,
        }
    }

    fn of(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Message,
            1 => Self::State,
            2 => Self::Mark,
            _ => Self::Gap,
        }
    }
}

/// The bits of [`EntryHeader::flags`].
pub(crate) mod flag {
    /// Another entry of the same atomic group follows.
    pub(crate) const MORE: u8 = 1;
    /// Acknowledged before it was synced.
    pub(crate) const ASYNC: u8 = 2;
    /// The log was closed in order behind this mark.
    pub(crate) const CLEAN: u8 = 4;
    /// A batch, of whose tags nothing is known.
    pub(crate) const OPAQUE: u8 = 8;
    /// A mark in the place of entries that were damaged, and given up by a repair.
    pub(crate) const LOST: u8 = 16;
    /// Made before it was stored.
    pub(crate) const TIMELY: u8 = 32;
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
    /// How many messages are in it: of a batch; 1 of a message, 0 of all else.
    pub count: u16,
    /// The same: [`record::NATIVE`] of a message, 0 of all else.
    pub encoding: u8,
    pub kind: EntryKind,
    pub flags: u8,
    /// Everything before it was known to be durable; 0 when not known, or not told here.
    pub durable: Lsn,
    pub tag_hash: u32,
}

/// No more than this is the size that a record of `payload` bytes takes in the log.
pub(crate) fn max_record_size(payload: usize) -> usize {
    (MAX_HEADER + payload).next_multiple_of(ALIGN as usize)
}

/// A time of storing as an entry can have it.
pub(crate) fn storable(time: Millis) -> Millis {
    time.min(MAX_STORED)
}

/// The checksum of the payload of an entry at this position.
pub(crate) fn payload_crc(lsn: Lsn, payload: &[u8]) -> u32 {
    crc32c(payload) ^ (lsn.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32
}

impl EntryHeader {
    /// The size in the log, padding included.
    pub(crate) fn size(&self) -> u64 {
        u64::from(self.len).next_multiple_of(ALIGN)
    }

    /// The position after it.
    pub(crate) fn end(&self) -> Lsn {
        self.lsn.saturating_add(self.size())
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// How long the header is: where the payload begins.
    pub(crate) fn header_len(&self) -> usize {
        header_len(self.has(flag::OPAQUE), self.behind().is_some_and(|behind| behind > 0), self.tag_hash != 0)
    }

    /// The distance back to what is known to be durable. Where it does not fit, it is not told.
    fn behind(&self) -> Option<u32> {
        if self.durable == 0 { None } else { u32::try_from(self.lsn.saturating_sub(self.durable)).ok() }
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

    /// Writes it over the first [`EntryHeader::header_len`] bytes.
    pub(crate) fn encode(&self, out: &mut [u8]) {
        let mut bytes = [0; MAX_HEADER];
        put(&mut bytes, 0, SIGNATURE);
        put(&mut bytes, 2, [self.kind.bits() | self.flags << 2]);
        put(&mut bytes, 3, self.offset.to_le_bytes());
        // The times' highest bytes are zeros, and so are those of the offset above.
        put(&mut bytes, 10, self.stored.to_le_bytes());
        put(&mut bytes, 16, self.queue.to_le_bytes());
        put(&mut bytes, 28, self.payload_crc.to_le_bytes());
        let (mut len, mut end) = (self.len, HEADER);
        let mut add = |word: [u8; 4]| {
            put(&mut bytes, end, word);
            end += 4;
        };
        if self.has(flag::OPAQUE) {
            let [low, high] = self.count.to_le_bytes();
            add([low, high, self.encoding, 0]);
        }
        match self.behind() {
            None => {}
            Some(0) => len |= ALL,
            Some(behind) => {
                len |= TOLD;
                add(behind.to_le_bytes());
            }
        }
        if self.tag_hash != 0 {
            len |= TAGGED;
            add(self.tag_hash.to_le_bytes());
        }
        put(&mut bytes, 20, len.to_le_bytes());
        let sum = sum(&bytes[..end], self.lsn) ^ self.epoch;
        put(&mut bytes, CRC_AT, sum.to_le_bytes());
        out[..end].copy_from_slice(&bytes[..end]);
    }

    /// Reads the header at this position; nothing when these bytes are none. They are as many as there are, or
    /// [`MAX_HEADER`]. That it is good is known once the epoch is the right one.
    pub(crate) fn decode(bytes: &[u8], lsn: Lsn) -> Option<Self> {
        let header = Self::decode_own(bytes, lsn)?;
        let epoch = sum(bytes.get(..header.header_len())?, lsn) ^ bytes.u32_at(CRC_AT);
        Some(Self { epoch, ..header })
    }

    /// The same for bytes that have never left memory: the checksum is passed over, and the epoch is not told.
    pub(crate) fn decode_own(bytes: &[u8], lsn: Lsn) -> Option<Self> {
        let fixed = bytes.first_chunk::<HEADER>()?;
        if fixed[..2] != SIGNATURE {
            return None;
        }
        let (kind, flags) = (EntryKind::of(fixed[2]), fixed[2] >> 2);
        let marked = fixed.u32_at(20);
        let is = |bit: u32| marked & bit != 0;
        let end = header_len(flags & flag::OPAQUE != 0, is(TOLD), is(TAGGED));
        let mut words = bytes.get(HEADER..end)?.as_chunks::<4>().0.iter();
        let len = marked & !(TOLD | TAGGED | ALL);
        if (len as usize) < end {
            return None;
        }
        let (mut count, mut encoding) = if kind == EntryKind::Message { (1, record::NATIVE) } else { (0, 0) };
        if flags & flag::OPAQUE != 0 {
            let [low, high, batch, 0] = *words.next()? else { return None };
            (count, encoding) = (u16::from_le_bytes([low, high]), batch);
        }
        // What an entry has nothing to say of is left out, so that there is one way to write it.
        let mut word = |is_there: bool| match is_there {
            true => words.next().map(|word| u32::from_le_bytes(*word)),
            false => Some(0),
        };
        let (behind, tag_hash) = (word(is(TOLD))?, word(is(TAGGED))?);
        let durable = if is(TOLD) || is(ALL) { lsn.checked_sub(Lsn::from(behind))? } else { 0 };
        let is_told_right = durable != 0 && (behind == 0) == is(ALL);
        if (is(TOLD) || is(ALL)) != is_told_right || (tag_hash != 0) != is(TAGGED) {
            return None;
        }
        Some(Self {
            len,
            payload_crc: fixed.u32_at(28),
            lsn,
            epoch: 0,
            queue: fixed.u32_at(16),
            offset: fixed.u64_at(3) & ((1 << 56) - 1),
            stored: fixed.u64_at(10) & MAX_STORED,
            count,
            encoding,
            kind,
            flags,
            durable,
            tag_hash,
        })
    }
}

fn header_len(opaque: bool, told: bool, tagged: bool) -> usize {
    HEADER + 4 * (usize::from(opaque) + usize::from(told) + usize::from(tagged))
}

/// The checksum of a header, without the epoch.
fn sum(header: &[u8], lsn: Lsn) -> u32 {
    let mut bytes = [0; 8 + MAX_HEADER];
    let len = 8 + header.len();
    put(&mut bytes, 0, lsn.to_le_bytes());
    bytes[8..len].copy_from_slice(header);
    put(&mut bytes, 8 + CRC_AT, [0; 4]);
    crc32c(&bytes[..len])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> EntryHeader {
        EntryHeader {
            len: 101,
            payload_crc: 7,
            lsn: 1 << 40,
            epoch: 9,
            queue: 3,
            offset: MAX_OFFSET,
            stored: MAX_STORED,
            count: 2,
            encoding: 3,
            kind: EntryKind::Message,
            flags: flag::MORE | flag::OPAQUE,
            durable: (1 << 40) - 4096,
            tag_hash: 5,
        }
    }

    fn plain() -> EntryHeader {
        let flags = flag::ASYNC | flag::TIMELY;
        EntryHeader { count: 1, encoding: record::NATIVE, flags, durable: 0, tag_hash: 0, ..header() }
    }

    fn encoded(header: &EntryHeader) -> Vec<u8> {
        let mut bytes = vec![0xAA; header.header_len()];
        header.encode(&mut bytes);
        bytes
    }

    #[test]
    fn a_header_comes_back_whatever_it_has() {
        let empty = |kind| EntryHeader { kind, count: 0, encoding: 0, ..plain() };
        let kinds = [EntryKind::State, EntryKind::Mark, EntryKind::Gap].map(empty);
        let tagged = EntryHeader { tag_hash: 1, ..plain() };
        let told = EntryHeader { durable: 4096, lsn: 4096 + (1 << 20), ..plain() };
        let all = EntryHeader { durable: plain().lsn, ..plain() };
        for header in [header(), plain(), tagged, told, all].into_iter().chain(kinds) {
            let bytes = encoded(&header);
            assert_eq!(EntryHeader::decode(&bytes, header.lsn), Some(header));
            let more = [bytes.as_slice(), &[1; MAX_HEADER]].concat();
            assert_eq!(EntryHeader::decode(&more, header.lsn), Some(header));
            assert_eq!(EntryHeader::decode(&bytes[..bytes.len() - 1], header.lsn), None);
        }
        assert_eq!((header().size(), header().header_len()), (104, MAX_HEADER));
        assert_eq!((plain().header_len(), all.header_len()), (HEADER, HEADER));
    }

    #[test]
    fn every_flipped_bit_and_every_other_place_is_noticed() {
        for header in [header(), plain(), EntryHeader { durable: plain().lsn, ..plain() }] {
            let is_good = |bytes: &[u8], lsn| {
                EntryHeader::decode(bytes, lsn).is_some_and(|read| read.epoch == header.epoch)
            };
            let good = [encoded(&header), vec![0; MAX_HEADER - header.header_len()]].concat();
            for bit in 0..header.header_len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(!is_good(&bad, header.lsn), "bit {bit}");
            }
            for bit in 2..62 {
                assert!(!is_good(&good, header.lsn ^ 1 << bit), "position, bit {bit}");
                assert_ne!(payload_crc(header.lsn, b"x"), payload_crc(header.lsn ^ 1 << bit, b"x"));
            }
        }
    }

    #[test]
    fn a_distance_that_does_not_fit_is_not_told() {
        let far = EntryHeader { durable: 1, ..header() };
        assert_eq!(far.header_len(), MAX_HEADER - 4);
        assert_eq!(EntryHeader::decode(&encoded(&far), far.lsn).unwrap().durable, 0);
    }
}
