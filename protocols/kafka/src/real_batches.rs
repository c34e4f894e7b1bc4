//! The reader and writer of batches against what stock clients have really sent.
//!
//! The batches beside this file were caught on their way from each client to a broker, by
//! `tests/interop/kafka-python/capture.py`; a file's name says the client, the codec and the number of records.

use crate::batch::{Batch, BatchWriter, Budget, Record, walk};
use bytes::Bytes;
use proptest::prelude::*;
use std::path::Path;

/// Where the checksum lies, and what it is of.
const CRC: std::ops::Range<usize> = 17..21;
/// What a broker writes anew, and no checksum covers.
const NOT_COVERED: [std::ops::Range<usize>; 2] = [0..8, 12..16];

fn all() -> Vec<(String, Bytes)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/real_batches");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = files
        .map(|path| {
            (
                path.file_stem().unwrap().to_string_lossy().into_owned(),
                Bytes::from(std::fs::read(path).unwrap()),
            )
        })
        .collect();
    all.sort();
    all
}

fn budget() -> Budget {
    Budget::new(1 << 20)
}

fn read(mut bytes: Bytes) -> Option<Vec<Record>> {
    let batch = Batch::take(&mut bytes).ok()?;
    batch.records(&mut budget()).ok()
}

/// The number of records that a look without reading sees.
fn seen(mut bytes: Bytes) -> Option<usize> {
    let batch = Batch::take(&mut bytes).ok()?;
    let (plain, count) = batch.unpacked(&mut budget()).ok()?;
    let mut seen = 0;
    let looked = walk(&plain, count, batch.base_timestamp, |_| {
        seen += 1;
        Ok(())
    });
    looked.ok().map(|()| seen)
}

fn with_right_checksum(mut bytes: Vec<u8>) -> Bytes {
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[CRC.end..]) as u32;
    bytes[CRC].copy_from_slice(&crc.to_be_bytes());
    Bytes::from(bytes)
}

#[test]
fn each_client_and_codec_is_there_and_is_read() {
    let all = all();
    for client in [
        "confluent",
        "kafka-python",
        "aiokafka",
        "kcat",
        "kafkajs",
        "platformatic",
        "java-2.8",
        "java-4.4",
        "franz-go",
        "segmentio",
    ] {
        assert!(all.iter().any(|(name, _)| name.starts_with(client)), "{client}");
    }
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        assert!(all.iter().filter(|(name, _)| name.contains(&format!("-{codec}-"))).count() >= 4, "{codec}");
    }
    for (name, bytes) in all {
        let count: usize = name.rsplit('-').next().unwrap().parse().unwrap();
        let records = read(bytes.clone()).unwrap_or_else(|| panic!("{name} is not read"));
        assert_eq!((records.len(), seen(bytes)), (count, Some(count)), "{name}");
        assert!(records.iter().map(|record| record.offset_delta).eq(0..count as i32), "{name}");
        if count == 5 {
            let said = |at: usize| (records[at].key.as_deref(), records[at].value.as_deref());
            assert_eq!(said(0), (Some(&b"key"[..]), Some(&b"value"[..])), "{name}");
            assert_eq!(said(1).1, Some(&b"no key"[..]), "{name}");
            assert!(!records[0].headers.is_empty(), "{name}");
        }
    }
}

#[test]
fn a_batch_that_ends_early_is_none() {
    for (name, bytes) in all() {
        for end in 0..bytes.len() {
            assert!(read(bytes.slice(..end)).is_none(), "{name} cut at {end}");
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    for (name, bytes) in all() {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let noticed = read(Bytes::from(flipped)).is_none();
            let covered = !NOT_COVERED.iter().any(|range| range.contains(&(bit / 8)));
            assert_eq!(noticed, covered, "{name}: bit {bit}");
        }
    }
}

#[test]
fn what_is_written_anew_is_read_as_before() {
    for (name, bytes) in all() {
        let records = read(bytes).unwrap();
        let mut writer = BatchWriter::new(0, records[0].timestamp, 0);
        for record in &records {
            let headers: Vec<_> = record.headers.iter().collect();
            let (at, key, value) =
                (i64::from(record.offset_delta), record.key.as_deref(), record.value.as_deref());
            writer.push(at, record.timestamp, key, value, &headers);
        }
        assert_eq!(read(writer.finish(records.len() as i64 - 1)), Some(records), "{name}");
    }
}

proptest! {
    /// Bytes changed behind the checksum's back are read as something or refused, and what is looked at without reading
    /// is refused just so.
    #[test]
    fn forged_batches_are_read_and_looked_at_alike(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let all = all();
        let (name, bytes) = which.get(&all);
        let mut forged = bytes.to_vec();
        for (at, byte) in changes {
            let at = CRC.end + at.index(forged.len() - CRC.end);
            forged[at] = byte;
        }
        let forged = with_right_checksum(forged);
        let records = read(forged.clone());
        prop_assert_eq!(records.map(|records| records.len()), seen(forged), "{}", name);
    }
}
