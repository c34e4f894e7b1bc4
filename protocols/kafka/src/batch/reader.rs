//! From bytes to records.

use super::compression::{Budget, Codec};
use super::{BadBatch, CHECKED, HEADER, MAGIC, PREFIX, SMALLEST_RECORD, attribute, crc32c, varint};
use bytes::{Buf, Bytes};
use sluice_model::{Headers, HeadersBuilder};

/// A batch whose fixed part is checked and whose records are still packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    pub base_offset: i64,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub count: i32,
    /// All of it.
    pub bytes: Bytes,
    /// Its records, packed.
    pub packed: Bytes,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// By the producer's clock, in milliseconds.
    pub timestamp: i64,
    pub offset_delta: i32,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Headers,
}

impl Batch {
    /// Takes a batch off the front of `bytes`, which holds whole batches.
    ///
    /// # Errors
    /// When it is cut short, damaged, or of another format.
    pub fn take(bytes: &mut Bytes) -> Result<Self, BadBatch> {
        const SHORT: BadBatch = BadBatch::Corrupt("the batch is cut short");
        // In every format the seventeenth byte is the version.
        match bytes.get(16) {
            Some(&MAGIC) => {}
            Some(0 | 1) => return Err(BadBatch::OldFormat),
            Some(_) => return Err(BadBatch::Invalid("the batch is of an unknown format")),
            None => return Err(SHORT),
        }
        let length = bytes.get(8..12).map_or(0, |mut length| length.get_i32());
        let size = usize::try_from(length).ok().map(|n| n + PREFIX).filter(|n| *n >= HEADER).ok_or(SHORT)?;
        if bytes.len() < size {
            return Err(SHORT);
        }
        let whole = bytes.split_to(size);
        let crc = whole.get(17..CHECKED).map_or(0, |mut crc| crc.get_u32());
        if whole.get(CHECKED..).map(crc32c) != Some(crc) {
            return Err(BadBatch::Corrupt("the batch fails its checksum"));
        }
        Self::stored(&whole)
    }

    /// The same of bytes that are one batch, which was checked before.
    ///
    /// # Errors
    /// When it is cut short.
    pub fn stored(whole: &Bytes) -> Result<Self, BadBatch> {
        if whole.len() < HEADER {
            return Err(BadBatch::Corrupt("the batch is cut short"));
        }
        let mut head = whole.clone();
        let base_offset = head.get_i64();
        head.advance(CHECKED - 8);
        Ok(Self {
            base_offset,
            attributes: head.get_i16(),
            last_offset_delta: head.get_i32(),
            base_timestamp: head.get_i64(),
            max_timestamp: head.get_i64(),
            producer_id: head.get_i64(),
            producer_epoch: head.get_i16(),
            base_sequence: head.get_i32(),
            count: head.get_i32(),
            bytes: whole.clone(),
            packed: head,
        })
    }

    /// How its records are packed; nothing for a codec that there is not.
    pub fn codec(&self) -> Option<Codec> {
        Codec::of(self.attributes & attribute::CODEC)
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & attribute::TRANSACTIONAL != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & attribute::CONTROL != 0
    }

    /// Its records, all of them.
    ///
    /// # Errors
    /// `TooLarge` beyond the budget; `Invalid` for records that are not as the batch says.
    pub fn records(&self, budget: &mut Budget) -> Result<Vec<Record>, BadBatch> {
        let (mut plain, count) = self.unpacked(budget)?;
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            records.push(self.record(&mut plain)?);
        }
        match plain.is_empty() {
            true => Ok(records),
            false => Err(BadBatch::Invalid("there are bytes behind the last record")),
        }
    }

    /// The bytes of its records, and how many they are.
    ///
    /// # Errors
    /// As for [`Batch::records`].
    pub fn unpacked(&self, budget: &mut Budget) -> Result<(Bytes, usize), BadBatch> {
        let codec = self.codec().ok_or(BadBatch::Invalid("the batch is compressed in an unknown way"))?;
        let plain = codec.unpack(&self.packed, budget)?;
        let count = usize::try_from(self.count).ok().filter(|n| *n <= plain.len() / SMALLEST_RECORD);
        let count = count.ok_or(BadBatch::Invalid("the batch claims more records than it has"))?;
        Ok((plain, count))
    }

    /// Whether its records are not packed at all.
    pub fn is_plain(&self) -> bool {
        self.codec() == Some(Codec::None)
    }

    /// Takes a record off the front.
    ///
    /// # Errors
    /// `Invalid` when there is none.
    pub fn record(&self, plain: &mut Bytes) -> Result<Record, BadBatch> {
        const WRONG: BadBatch = BadBatch::Invalid("a record is not readable");
        let length = length(plain).flatten().ok_or(WRONG)?;
        let mut bytes = plain.split_to(length);
        let _attributes = bytes.try_get_i8().map_err(|_| WRONG)?;
        let timestamp_delta = varint::get(&mut bytes).ok_or(WRONG)?;
        let offset_delta = varint::get(&mut bytes).and_then(|n| i32::try_from(n).ok()).ok_or(WRONG)?;
        let key = text(&mut bytes).ok_or(WRONG)?;
        let value = text(&mut bytes).ok_or(WRONG)?;
        let headers = headers(&mut bytes)?;
        if !bytes.is_empty() {
            return Err(WRONG);
        }
        let timestamp = self.base_timestamp.saturating_add(timestamp_delta);
        Ok(Record { timestamp, offset_delta, key, value, headers })
    }
}

fn headers(bytes: &mut Bytes) -> Result<Headers, BadBatch> {
    const WRONG: BadBatch = BadBatch::Invalid("a header is not readable");
    // Each takes two bytes at least, so the count is not believed beyond that.
    let count = varint::get(bytes).and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= bytes.len() / 2);
    let mut headers = HeadersBuilder::default();
    for _ in 0..count.ok_or(WRONG)? {
        let name = text(bytes).flatten().ok_or(WRONG)?;
        let value = text(bytes).ok_or(WRONG)?;
        let name =
            std::str::from_utf8(&name).map_err(|_| BadBatch::Invalid("a header's name is not UTF-8"))?;
        headers
            .push(name, value.as_deref())
            .map_err(|_| BadBatch::Invalid("a header's name must have 1 to 65535 bytes"))?;
    }
    Ok(headers.build())
}

/// Bytes behind their length, or null; nothing when they are cut short.
fn text(bytes: &mut Bytes) -> Option<Option<Bytes>> {
    Some(length(bytes)?.map(|length| bytes.split_to(length)))
}

/// A length that is there, or null; nothing when there are fewer bytes.
fn length(bytes: &mut Bytes) -> Option<Option<usize>> {
    match varint::get(bytes)? {
        -1 => Some(None),
        length => usize::try_from(length).ok().filter(|n| *n <= bytes.len()).map(Some),
    }
}
