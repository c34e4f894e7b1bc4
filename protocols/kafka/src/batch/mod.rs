//! Record batches, version 2: the form in which records travel and are kept.
//!
//! ```text
//!  0 base offset i64 | 8 length i32, of what follows it | 12 leader epoch i32 | 16 magic i8 = 2 | 17 crc32c u32, of 21..
//! 21 attributes i16 | 23 last offset delta i32 | 27 base timestamp i64 | 35 largest timestamp i64
//! 43 producer id i64 | 51 producer epoch i16 | 53 base sequence i32 | 57 count i32 | 61 records, packed as one block
//! record  := length | attributes i8 | timestamp delta | offset delta | key | value | count of headers | header*
//! key, value and a header's value := length, -1 for null, and bytes; all numbers here are zigzag varints
//! ```
//! The one idea to know: nothing is believed before it is counted. What a batch may become when it is unpacked is taken
//! from a [`Budget`] that all batches of a request share, so that a few bytes cannot claim gigabytes.
//!
//! `reader` and `writer` are the two directions, `compression` the four codecs, `walk` a look at records without making any.

mod compression;
mod reader;
#[cfg(test)]
mod tests;
mod varint;
mod walk;
mod writer;

pub(crate) use compression::{Budget, Codec};
pub(crate) use reader::{Batch, Record};
#[cfg(test)]
pub(crate) use tests::repack_for_test;
pub(crate) use varint::put_unsigned;
pub(crate) use walk::{View, walk};
pub(crate) use writer::BatchWriter;

/// The size of the fixed part.
pub(crate) const HEADER: usize = 61;
/// Base offset and length, which the length does not count.
const PREFIX: usize = 12;
/// Where the bytes begin that the checksum is of.
const CHECKED: usize = 21;
const MAGIC: u8 = 2;
/// The smallest record: seven numbers of one byte.
const SMALLEST_RECORD: usize = 7;

/// The bits of a batch's attributes.
pub(crate) mod attribute {
    pub const CODEC: i16 = 0x07;
    pub const TRANSACTIONAL: i16 = 0x10;
    pub const CONTROL: i16 = 0x20;
}

/// Why a batch is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadBatch {
    /// Damaged on its way: the sender may try again.
    Corrupt(&'static str),
    /// Wrong, and wrong again.
    Invalid(&'static str),
    /// Of a format that nobody writes any more.
    OldFormat,
    /// More than the budget when unpacked.
    TooLarge,
}

/// How many records a batch has, if it is one whose records have at most `max` bytes: for those who look from outside.
pub fn count_records(mut bytes: bytes::Bytes, max: usize) -> Option<usize> {
    Batch::take(&mut bytes).ok()?.records(&mut Budget::new(max)).ok().map(|records| records.len())
}

fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}
