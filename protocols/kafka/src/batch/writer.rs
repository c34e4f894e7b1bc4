//! From records to bytes. What is written is not compressed: who reads from a log that other wires write to gets its
//! records as they are.

use super::{CHECKED, HEADER, MAGIC, PREFIX, crc32c, varint};
use bytes::{BufMut, Bytes, BytesMut};

/// The epoch of a leader that never changes.
const LEADER_EPOCH: i32 = 0;
/// No producer, and no epoch.
const NOBODY: (i64, i16) = (-1, -1);
/// No sequence.
const UNNUMBERED: i32 = -1;

/// One batch in the making.
pub(crate) struct BatchWriter {
    out: BytesMut,
    base_offset: i64,
    base_timestamp: i64,
    max_timestamp: i64,
    count: i32,
}

impl BatchWriter {
    /// Starts a batch at this offset; the first record's time is `base_timestamp`.
    pub fn new(base_offset: i64, base_timestamp: i64, room: usize) -> Self {
        let mut out = BytesMut::with_capacity(HEADER + room);
        out.put_bytes(0, HEADER);
        Self { out, base_offset, base_timestamp, max_timestamp: base_timestamp, count: 0 }
    }

    /// Adds a record. Offsets rise.
    pub fn push(
        &mut self,
        offset: i64,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        let timestamp_delta = timestamp.saturating_sub(self.base_timestamp);
        let offset_delta = offset.saturating_sub(self.base_offset);
        let length = 1
            + varint::size(timestamp_delta)
            + varint::size(offset_delta)
            + size_of_bytes(key)
            + size_of_bytes(value)
            + varint::size(headers.len() as i64)
            + headers
                .iter()
                .map(|(n, v)| size_of_bytes(Some(n.as_bytes())) + size_of_bytes(*v))
                .sum::<usize>();
        let out = &mut self.out;
        varint::put(out, length as i64);
        out.put_i8(0);
        varint::put(out, timestamp_delta);
        varint::put(out, offset_delta);
        put_bytes(out, key);
        put_bytes(out, value);
        varint::put(out, headers.len() as i64);
        for (name, value) in headers {
            put_bytes(out, Some(name.as_bytes()));
            put_bytes(out, *value);
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.count += 1;
    }

    /// Takes back what was added since there were so many bytes. Nobody misses the time of what is gone: it only bounds.
    pub fn take_back(&mut self, len: usize) {
        if len < self.out.len() {
            self.out.truncate(len.max(HEADER));
            self.count -= 1;
        }
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The batch, which covers the offsets up to `last`: who reads it goes on behind that one.
    pub fn finish(self, last: i64) -> Bytes {
        self.finish_as(last, 0, NOBODY)
    }

    /// The same with these attributes, of a producer and its epoch.
    pub fn finish_as(self, last: i64, attributes: i16, producer: (i64, i16)) -> Bytes {
        self.finish_numbered(last, attributes, producer, UNNUMBERED)
    }

    /// The same, numbered by its producer.
    pub fn finish_numbered(
        mut self,
        last: i64,
        attributes: i16,
        (producer, epoch): (i64, i16),
        sequence: i32,
    ) -> Bytes {
        let length = self.out.len() - PREFIX;
        let mut head = BytesMut::with_capacity(HEADER);
        head.put_i64(self.base_offset);
        head.put_i32(length as i32);
        head.put_i32(LEADER_EPOCH);
        head.put_u8(MAGIC);
        head.put_u32(0);
        head.put_i16(attributes);
        head.put_i32(last.saturating_sub(self.base_offset) as i32);
        head.put_i64(self.base_timestamp);
        head.put_i64(self.max_timestamp);
        head.put_i64(producer);
        head.put_i16(epoch);
        head.put_i32(sequence);
        head.put_i32(self.count);
        self.out[..HEADER].copy_from_slice(&head);
        let crc = crc32c(&self.out[CHECKED..]);
        self.out[17..CHECKED].copy_from_slice(&crc.to_be_bytes());
        self.out.freeze()
    }
}

fn size_of_bytes(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint::size(bytes.len() as i64) + bytes.len())
}

fn put_bytes(out: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::put(out, -1),
        Some(bytes) => {
            varint::put(out, bytes.len() as i64);
            out.put_slice(bytes);
        }
    }
}
