//! Batches as they are kept: checked to the last byte when they come, handed on untouched, and taken apart for those who
//! read message by message.
//!
//! The one idea to know: outside of a batch's checksum lie its base offset and its leader's epoch, and nothing else is the
//! broker's to write. They are written as a batch is handed out.

use crate::batch::{BadBatch, Batch, Budget, HEADER, View, walk};
use crate::convert;
use crate::pieces::Pieces;
use bytes::Bytes;
use sluice_broker::{BatchFormat, PackedBatch, Unpacked, word_hash};
use sluice_model::{Error, ErrorKind, Message, Millis, Offset, Result};

/// The number of Kafka's batches among the encodings of the log's entries.
pub(crate) const ENCODING: u8 = 2;
/// The epoch of a leader that never changes.
const LEADER_EPOCH: i32 = 0;
/// Where the epoch ends.
const BEHIND_EPOCH: usize = 16;

/// Why a batch is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Bad(BadBatch),
    /// A record's time lies before 1970.
    Time,
}

impl From<BadBatch> for Refusal {
    fn from(bad: BadBatch) -> Self {
        Self::Bad(bad)
    }
}

/// Looks at every record of a batch; nothing when there are more than can be stored in one entry.
///
/// # Errors
/// When it is not as it says, or more than the budget.
pub(crate) fn check(batch: &Batch, budget: &mut Budget) -> std::result::Result<PackedBatch, Refusal> {
    let (plain, count) = batch.unpacked(budget)?;
    let mut packed = PackedBatch {
        encoding: ENCODING,
        bytes: batch.bytes.clone(),
        count: count as u16,
        size: plain.len(),
        newest: 0,
        keys: Vec::new(),
        bodies: 0,
        max_body: 0,
        max_headers_size: 0,
        max_headers: 0,
    };
    let (mut next, mut is_early) = (0, false);
    walk(&plain, count, batch.base_timestamp, |record: View<'_>| {
        if record.offset_delta != next {
            return Err(BadBatch::Invalid("the records of a batch are not numbered from 0"));
        }
        next += 1;
        is_early |= record.timestamp < convert::NO_TIMESTAMP;
        packed.newest = packed.newest.max(Millis::try_from(record.timestamp).unwrap_or(0));
        packed.keys.extend(record.key.and_then(convert::word).map(word_hash));
        let body = record.value.map_or(0, <[u8]>::len);
        packed.bodies += body;
        packed.max_body = packed.max_body.max(body);
        packed.max_headers = packed.max_headers.max(record.headers);
        packed.max_headers_size = packed.max_headers_size.max(record.headers_size);
        Ok(())
    })?;
    packed.keys.sort_unstable();
    packed.keys.dedup();
    match is_early {
        true => Err(Refusal::Time),
        false => Ok(packed),
    }
}

/// Appends a stored batch as it is handed out, from this offset on.
pub(crate) fn put(out: &mut Pieces, batch: &Bytes, offset: Offset) {
    let Some(length) = batch.get(8..12).filter(|_| batch.len() >= BEHIND_EPOCH) else { return };
    out.copy(&offset.to_be_bytes());
    out.copy(length);
    out.copy(&LEADER_EPOCH.to_be_bytes());
    out.push(batch.slice(BEHIND_EPOCH..));
}

/// What takes Kafka's batches apart for the broker.
#[derive(Debug, Clone, Copy, Default)]
pub struct KafkaBatches;

/// One of them.
struct Records {
    batch: Batch,
    /// All records, in memory of its own, so that what is kept of them keeps nothing else.
    plain: Bytes,
    starts: Vec<u32>,
}

impl BatchFormat for KafkaBatches {
    fn encoding(&self) -> u8 {
        ENCODING
    }

    fn unpack(&self, batch: &Bytes, size: usize) -> Result<Box<dyn Unpacked>> {
        let damaged = |bad: BadBatch| {
            Error::new(ErrorKind::Corrupt, "a stored batch is damaged").with_source(format!("{bad:?}"))
        };
        // Its checksum was right when it was stored, and the log has its own.
        let batch = Batch::stored(batch).map_err(damaged)?;
        let (plain, count) = batch.unpacked(&mut Budget::new(size)).map_err(damaged)?;
        let mut starts = Vec::with_capacity(count);
        walk(&plain, count, batch.base_timestamp, |record| {
            starts.push(record.at as u32);
            Ok(())
        })
        .map_err(damaged)?;
        let plain = if batch.is_plain() { Bytes::copy_from_slice(&plain) } else { plain };
        let batch = Batch { bytes: Bytes::new(), packed: Bytes::new(), ..batch };
        Ok(Box::new(Records { batch, plain, starts }))
    }
}

impl Unpacked for Records {
    fn memory(&self) -> usize {
        HEADER + self.plain.len() + size_of_val(&self.starts[..])
    }

    fn message(&self, number: usize) -> Option<Message> {
        let start = *self.starts.get(number)? as usize;
        let record = self.batch.record(&mut self.plain.slice(start.min(self.plain.len())..)).ok()?;
        convert::message_of(record).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchWriter;
    use proptest::prelude::*;

    type Said = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

    fn batch(records: &[Said]) -> Bytes {
        let mut writer = BatchWriter::new(0, 1000, 0);
        for (at, (key, value, headers)) in records.iter().enumerate() {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
            writer.push(at as i64, 1000 + at as i64, key.as_deref(), value.as_deref(), &headers);
        }
        writer.finish(records.len() as i64 - 1)
    }

    fn said() -> impl Strategy<Value = Vec<Said>> {
        let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
        let headers = prop::collection::vec(("[a-cü]{1,3}", bytes()), 0..4);
        prop::collection::vec((bytes(), bytes(), headers), 1..12)
    }

    proptest! {
        /// Message by message they are what they would be one by one, and handed out they are the bytes that came.
        #[test]
        fn a_batch_is_kept_and_taken_apart(records in said(), offset in 0_u64..1 << 40) {
            let bytes = batch(&records);
            let came = Batch::take(&mut bytes.clone()).unwrap();
            let whole = came.records(&mut Budget::new(1 << 20)).unwrap();
            let packed = check(&came, &mut Budget::new(1 << 20)).unwrap();
            prop_assert_eq!(&packed.bytes, &bytes);
            prop_assert_eq!(usize::from(packed.count), records.len());
            prop_assert_eq!(packed.newest, 1000 + records.len() as u64 - 1);
            let body = |record: &Said| record.1.as_ref().map_or(0, Vec::len);
            prop_assert_eq!(packed.bodies, records.iter().map(body).sum::<usize>());
            prop_assert_eq!(packed.max_headers, records.iter().map(|r| r.2.len()).max().unwrap());
            let unpacked = KafkaBatches.unpack(&packed.bytes, packed.size).unwrap();
            for (number, record) in whole.into_iter().enumerate() {
                let message = convert::message_of(record).unwrap();
                for key in message.keys.iter() {
                    prop_assert!(packed.keys.contains(&word_hash(key)));
                }
                prop_assert_eq!(unpacked.message(number), Some(message));
            }
            prop_assert!(unpacked.message(records.len()).is_none());
            prop_assert!(KafkaBatches.unpack(&packed.bytes, packed.size - 1).is_err());
            let mut out = Pieces::default();
            put(&mut out, &packed.bytes, offset);
            let out = out.into_parts().concat();
            let given = Batch::take(&mut Bytes::copy_from_slice(&out)).unwrap();
            prop_assert_eq!(given.base_offset, offset as i64);
            prop_assert_eq!(&out[BEHIND_EPOCH..], &bytes[BEHIND_EPOCH..]);
        }

        /// What the walk over a batch passes, reading its records passes, and the other way round.
        #[test]
        fn the_walk_and_the_reader_agree(plain in prop::collection::vec(prop_oneof![0_u8..8, any::<u8>()], 0..60)) {
            let whole = crate::batch::repack_for_test(&batch(&[(None, None, Vec::new())]), &plain);
            let came = Batch::take(&mut whole.clone()).unwrap();
            let read = came.records(&mut Budget::new(1 << 20)).map(|records| records.len());
            let (plain, count) = match came.unpacked(&mut Budget::new(1 << 20)) {
                Ok(unpacked) => unpacked,
                Err(_) => return Ok(()),
            };
            let mut seen = 0;
            let walked = walk(&plain, count, 0, |_| {
                seen += 1;
                Ok(())
            });
            prop_assert_eq!(read.is_ok(), walked.is_ok(), "{:?} {:?}", read, walked);
        }
    }

    #[test]
    fn times_before_1970_and_wrong_numbers_are_refused() {
        let mut writer = BatchWriter::new(0, -5, 0);
        writer.push(0, -5, None, None, &[]);
        let early = Batch::take(&mut writer.finish(0)).unwrap();
        assert_eq!(check(&early, &mut Budget::new(1 << 10)).unwrap_err(), Refusal::Time);
        let mut writer = BatchWriter::new(0, 5, 0);
        writer.push(0, 5, None, None, &[]);
        writer.push(2, 5, None, None, &[]);
        let gap = Batch::take(&mut writer.finish(2)).unwrap();
        assert!(matches!(check(&gap, &mut Budget::new(1 << 10)), Err(Refusal::Bad(BadBatch::Invalid(_)))));
    }
}
