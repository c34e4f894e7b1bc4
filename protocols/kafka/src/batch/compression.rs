//! The four codecs of a batch's records.
//!
//! Snappy has two dialects: Java's puts blocks behind a header of its own, librdkafka sends one bare block. Both are
//! read. What comes out is bounded by the budget before it is allocated, whatever the input claims.

use super::BadBatch;
use bytes::Bytes;
use std::io::Read;

/// What Java's snappy streams begin with: its name, a version and the oldest version that reads it.
const SNAPPY_JAVA: &[u8; 8] = b"\x82SNAPPY\0";
const SNAPPY_JAVA_HEADER: usize = 16;
/// Snappy makes at most 64 bytes of three, so a block that claims more than this for each of its bytes is lying.
const SNAPPY_MOST: usize = 32;
/// The window that Kafka's own codec level may use: 128 MiB. It is not touched unless the frame fills it.
const ZSTD_WINDOW_LOG: u32 = 27;

/// How many bytes the batches of one request may still become.
#[derive(Debug, Default)]
pub(crate) struct Budget(usize);

impl Budget {
    pub fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// A budget of at most so much of this one.
    pub fn part(&self, bytes: usize) -> Self {
        Self(self.0.min(bytes))
    }

    /// Takes off what was spent of a [`Budget::part`] of so much.
    pub fn spend(&mut self, part: usize, left: &Self) {
        let had = self.0.min(part);
        self.0 -= had.saturating_sub(left.0);
    }

    fn take(&mut self, bytes: usize) -> Result<(), BadBatch> {
        self.0 = self.0.checked_sub(bytes).ok_or(BadBatch::TooLarge)?;
        Ok(())
    }
}

/// A codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    /// By its number in a batch's attributes.
    pub fn of(number: i16) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd]
            .get(usize::try_from(number).ok()?)
            .copied()
    }

    /// The plain bytes.
    ///
    /// # Errors
    /// `TooLarge` beyond the budget; `Invalid` when the bytes are not packed so.
    pub fn unpack(self, packed: &Bytes, budget: &mut Budget) -> Result<Bytes, BadBatch> {
        match self {
            Self::None => {
                budget.take(packed.len())?;
                Ok(packed.clone())
            }
            // Kafka's readers accept several members one after the other.
            Self::Gzip => read(flate2::read::MultiGzDecoder::new(&packed[..]), budget),
            Self::Snappy => snappy(packed, budget),
            Self::Lz4 => read(lz4_flex::frame::FrameDecoder::new(&packed[..]), budget),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::new(&packed[..]).map_err(unreadable)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(unreadable)?;
                read(decoder, budget)
            }
        }
    }
}

fn read(decoder: impl Read, budget: &mut Budget) -> Result<Bytes, BadBatch> {
    let mut plain = Vec::new();
    decoder.take((budget.0 as u64).saturating_add(1)).read_to_end(&mut plain).map_err(unreadable)?;
    budget.take(plain.len())?;
    Ok(plain.into())
}

fn snappy(packed: &Bytes, budget: &mut Budget) -> Result<Bytes, BadBatch> {
    if !packed.starts_with(SNAPPY_JAVA) {
        return snappy_block(packed, budget).map(Into::into);
    }
    let mut rest = packed.get(SNAPPY_JAVA_HEADER..).ok_or(NOT_PACKED)?;
    let mut plain = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or(NOT_PACKED)?;
        let (block, after) =
            after.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or(NOT_PACKED)?;
        plain.extend(snappy_block(block, budget)?);
        rest = after;
    }
    Ok(plain.into())
}

fn snappy_block(block: &[u8], budget: &mut Budget) -> Result<Vec<u8>, BadBatch> {
    let length = snap::raw::decompress_len(block).map_err(|_| NOT_PACKED)?;
    if length > block.len().saturating_mul(SNAPPY_MOST) {
        return Err(NOT_PACKED);
    }
    budget.take(length)?;
    snap::raw::Decoder::new().decompress_vec(block).map_err(|_| NOT_PACKED)
}

const NOT_PACKED: BadBatch = BadBatch::Invalid("the records are not compressed as the batch says");

fn unreadable(_: std::io::Error) -> BadBatch {
    NOT_PACKED
}
