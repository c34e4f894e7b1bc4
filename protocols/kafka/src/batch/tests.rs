//! Batches of our own and of others, whole, damaged and lying.

use super::*;
use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;
use std::io::Write;

type Said = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>, i64);

fn written(records: &[Said]) -> Bytes {
    let base = records.first().map_or(0, |record| record.3);
    let mut writer = BatchWriter::new(100, base, 0);
    for (at, (key, value, headers, time)) in records.iter().enumerate() {
        let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
        writer.push(100 + at as i64, *time, key.as_deref(), value.as_deref(), &headers);
    }
    writer.finish(100 + records.len() as i64 - 1)
}

/// The same batch with its records packed by a codec.
fn repacked(batch: &Bytes, codec: i16, packed: &[u8]) -> Bytes {
    let mut out = BytesMut::from(&batch[..HEADER]);
    out.put_slice(packed);
    let length = (out.len() - PREFIX) as i32;
    out[8..12].copy_from_slice(&length.to_be_bytes());
    out[21..23].copy_from_slice(&codec.to_be_bytes());
    let crc = crc32c(&out[CHECKED..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    out.freeze()
}

/// The same batch with other bytes for its records.
pub(crate) fn repack_for_test(batch: &Bytes, plain: &[u8]) -> Bytes {
    repacked(batch, 0, plain)
}

fn pack(codec: i16, plain: &[u8]) -> Vec<u8> {
    match codec {
        1 => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        2 => snap::raw::Encoder::new().compress_vec(plain).unwrap(),
        3 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        4 => zstd::encode_all(plain, 3).unwrap(),
        _ => plain.to_vec(),
    }
}

fn read(batch: Bytes, budget: usize) -> Result<Vec<Record>, BadBatch> {
    let mut bytes = batch;
    let batch = Batch::take(&mut bytes)?;
    assert!(bytes.is_empty());
    batch.records(&mut Budget::new(budget))
}

fn said() -> impl Strategy<Value = Vec<Said>> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
    let headers = prop::collection::vec(("[a-cü]{1,3}", bytes()), 0..4);
    prop::collection::vec((bytes(), bytes(), headers, 0..1_i64 << 45), 1..12)
}

proptest! {
    #[test]
    fn records_come_back_through_every_codec(records in said(), codec in 0_i16..5) {
        let batch = written(&records);
        let batch = repacked(&batch, codec, &pack(codec, &batch[HEADER..]));
        let back = read(batch, 1 << 20).unwrap();
        let back: Vec<Said> = back
            .iter()
            .map(|r| {
                let headers = r.headers.iter().map(|(n, v)| (n.to_owned(), v.map(<[u8]>::to_vec))).collect();
                (r.key.as_ref().map(|b| b.to_vec()), r.value.as_ref().map(|b| b.to_vec()), headers, r.timestamp)
            })
            .collect();
        prop_assert_eq!(back, records);
    }

    #[test]
    fn a_flipped_bit_is_noticed(records in said(), at in any::<prop::sample::Index>()) {
        let batch = written(&records);
        let bit = at.index((batch.len() - 16) * 8) + 16 * 8; // base offset and epoch are the broker's to write
        let mut bad = batch.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(read(bad.into(), 1 << 20).is_err());
    }

    #[test]
    fn cut_batches_are_refused(records in said(), at in any::<prop::sample::Index>()) {
        let batch = written(&records);
        prop_assert!(Batch::take(&mut batch.slice(..at.index(batch.len()))).is_err());
    }

    #[test]
    fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), codec in 0_i16..6) {
        let base = written(&[(None, None, Vec::new(), 0)]);
        let _ = read(repacked(&base, codec, &bytes), 1 << 16);
        let _ = Batch::take(&mut Bytes::from(bytes));
    }
}

#[test]
fn the_snappy_of_java_is_read() {
    let batch = written(&[(Some(b"k".to_vec()), Some(b"v".repeat(100)), Vec::new(), 7)]);
    let (first, second) = batch[HEADER..].split_at(20);
    let mut packed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for half in [first, second] {
        let block = pack(2, half);
        packed.put_u32(block.len() as u32);
        packed.put_slice(&block);
    }
    assert_eq!(read(repacked(&batch, 2, &packed), 1 << 20).unwrap().len(), 1);
    packed.pop();
    assert!(read(repacked(&batch, 2, &packed), 1 << 20).is_err());
}

#[test]
fn a_few_bytes_that_claim_gigabytes_are_refused() {
    let base = written(&[(None, None, Vec::new(), 0)]);
    // So many records that a list of them would fill the memory.
    let mut counted = base.to_vec();
    counted[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
    let crc = crc32c(&counted[CHECKED..]);
    counted[17..21].copy_from_slice(&crc.to_be_bytes());
    assert!(counted.len() < 70);
    assert!(matches!(read(counted.into(), 1 << 20), Err(BadBatch::Invalid(_))));
    // A record, a value, a list of headers that long.
    for record in [
        &[0xFE, 0xFF, 0xFF, 0xFF, 0x0F][..],
        &[16, 0, 0, 0, 1, 0xFE, 0xFF, 0xFF, 0x0F],
        &[14, 0, 0, 0, 1, 1, 0xFE, 0x7F],
    ] {
        assert!(matches!(read(repacked(&base, 0, record), 1 << 20), Err(BadBatch::Invalid(_))), "{record:?}");
    }
    // A block of snappy that claims 4 GiB.
    assert!(matches!(
        read(repacked(&base, 2, &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0]), 1 << 20),
        Err(BadBatch::Invalid(_))
    ));
    // And those that would really become large, by each codec, stop at the budget.
    for codec in [1, 2, 3, 4] {
        let bomb = pack(codec, &vec![0; 8 << 20]);
        let answer = read(repacked(&base, codec, &bomb), 1 << 20);
        assert_eq!(answer, Err(BadBatch::TooLarge), "codec {codec}, {} bytes", bomb.len());
    }
}

#[test]
fn one_budget_is_for_all_batches_of_a_request() {
    let batch = written(&[(None, Some(vec![0; 600]), Vec::new(), 0)]);
    let mut budget = Budget::new(1000);
    let first = Batch::take(&mut batch.clone()).unwrap();
    assert!(first.records(&mut budget).is_ok());
    assert_eq!(first.records(&mut budget), Err(BadBatch::TooLarge));
}

#[test]
fn formats_of_long_ago_are_told_from_damage() {
    let mut old = written(&[(None, None, Vec::new(), 0)]).to_vec();
    old[16] = 1;
    assert_eq!(Batch::take(&mut Bytes::from(old)), Err(BadBatch::OldFormat));
}
