//! The end of a transaction as consumers know it: a control batch.
//!
//! It is made when it is read; what the log has is the broker's own mark. It has one record, whose key says how the
//! transaction ended.
//!
//! ```text
//! key := version i16 | 0 aborted, 1 committed, i16       value := version i16 | epoch of the coordinator i32
//! ```

use crate::batch::BatchWriter;
use crate::batch::attribute::{CONTROL, TRANSACTIONAL};
use bytes::{BufMut, Bytes, BytesMut};
use sluice_broker::EndMark;

/// Both parts' version.
const VERSION: i16 = 0;
/// The epoch of a coordinator that never changes.
const COORDINATOR_EPOCH: i32 = 0;

/// The batch.
pub(crate) fn control_batch(end: &EndMark) -> Bytes {
    let at = i64::try_from(end.at).unwrap_or(i64::MAX);
    let (mut key, mut value) = (BytesMut::new(), BytesMut::new());
    key.put_i16(VERSION);
    key.put_i16(i16::from(end.commit));
    value.put_i16(VERSION);
    value.put_i32(COORDINATOR_EPOCH);
    let offset = end.offset as i64;
    let mut writer = BatchWriter::new(offset, at, 0);
    writer.push(offset, at, Some(&key), Some(&value), &[]);
    let producer = i64::try_from(end.id.number).unwrap_or(i64::MAX);
    let epoch = i16::try_from(end.id.epoch).unwrap_or(i16::MAX);
    writer.finish_as(offset, CONTROL | TRANSACTIONAL, (producer, epoch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, Budget};
    use sluice_broker::ProducerId;

    #[test]
    fn an_end_is_a_batch_that_passes_its_checks() {
        for commit in [false, true] {
            let id = ProducerId { number: 7 << 32, epoch: 3 };
            let mut bytes = control_batch(&EndMark { offset: 40, id, commit, at: 99 });
            let batch = Batch::take(&mut bytes).unwrap();
            assert!(batch.is_control() && batch.is_transactional() && bytes.is_empty());
            assert_eq!((batch.producer_id, batch.producer_epoch, batch.base_sequence), (7 << 32, 3, -1));
            assert_eq!((batch.base_offset, batch.last_offset_delta, batch.count), (40, 0, 1));
            let record = batch.records(&mut Budget::new(1 << 10)).unwrap().remove(0);
            assert_eq!(record.key.as_deref(), Some(&[0, 0, 0, u8::from(commit)][..]));
            assert_eq!((record.value.as_deref(), record.timestamp), (Some(&[0; 6][..]), 99));
        }
    }
}
