//! Entries whose checksums are right and whose content cannot be: written by a broken program, or bytes of elsewhere.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step has to panic")]

use crc_fast::{CrcAlgorithm, checksum};
use sluice_model::ManualClock;
use sluice_model::units::ByteSize;
use sluice_store::sim::SimVfs;
use sluice_store::suite::send;
use sluice_store::{Append, Config, Durability, LocalLog, Log as _, LogQueue, OpenError, Payload};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn open(vfs: &SimVfs) -> Result<LocalLog, OpenError> {
    let config = Config { segment_size: ByteSize::kib(64), ..Config::default() };
    LocalLog::open_on(Arc::new(vfs.clone()), Path::new("data"), config, Arc::new(ManualClock::new(1)))
}

/// A log with five messages or batches in one queue, and where they lie in its only segment.
fn five(batches: bool, closed: bool) -> (SimVfs, PathBuf, Vec<usize>) {
    let vfs = SimVfs::new();
    let log = open(&vfs).unwrap();
    let place = |n| if batches { send_batch(&log) } else { send(&log, 1, &format!("message {n}"), 1).lsn };
    let places = (0..5).map(|n| place(n) as usize).collect();
    if closed {
        log.close().unwrap();
    }
    let vfs = vfs.kill();
    let segment = vfs.files().into_keys().find(|path| path.starts_with("data/log")).unwrap();
    (vfs, segment, places)
}

fn send_batch(log: &LocalLog) -> u64 {
    let payload = Payload::Batch { encoding: 2, count: 3, newest: 0, keys: &[], head: b"", bytes: b"batch" };
    let append = Append { queue: LogQueue(1), payload, stored: 1, reserved_space: false };
    let ticket = log.append(&[append], Durability::Sync).unwrap();
    ticket.done.wait().unwrap();
    ticket.placed[0].lsn
}

/// Changes fields of an entry's header, and makes its checksum right again: whatever else is part of that stays in it.
fn forge(vfs: &SimVfs, segment: &Path, at: usize, field: usize, value: &[u8]) {
    const CRC: std::ops::Range<usize> = 24..28;
    vfs.edit(segment, |bytes| {
        let more = (bytes[at + 2] >> 2 & 8) / 8 + (bytes[at + 23] >> 7) + (bytes[at + 23] >> 6 & 1);
        let header = &mut bytes[at..at + 32 + 4 * usize::from(more)];
        let sum = |header: &[u8]| {
            let mut header = header.to_vec();
            header[CRC].fill(0);
            // The position before it has no part in the difference of two sums.
            let bytes = [&[0; 8], &header[..]].concat();
            checksum(CrcAlgorithm::Crc32Iscsi, &bytes) as u32
        };
        let before = sum(header);
        header[field..field + value.len()].copy_from_slice(value);
        let good = u32::from_le_bytes(header[CRC].try_into().unwrap()) ^ before ^ sum(header);
        header[CRC].copy_from_slice(&good.to_le_bytes());
    });
}

fn reseal(bytes: &mut [u8], crc_at: usize) {
    bytes[crc_at..crc_at + 4].fill(0);
    let crc = checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32;
    bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
}

const OFFSET: usize = 3;
const COUNT: usize = 32;

#[test]
fn an_offset_that_goes_back_or_cannot_be_is_damage() {
    for (field, value) in [
        (OFFSET, &0u64.to_le_bytes()[..7]),
        (OFFSET, &u64::MAX.to_le_bytes()[..7]),
        (OFFSET, &(u64::MAX - 3).to_le_bytes()[..7]),
        (COUNT, &0u16.to_le_bytes()),
    ] {
        // The last entry, too: nothing behind it shows that it was acknowledged.
        for n in [2, 4] {
            let (vfs, segment, places) = five(field == COUNT, false);
            forge(&vfs, &segment, places[n], field, value);
            let Err(OpenError::Damaged(damage)) = open(&vfs) else { panic!("opened: {field} {value:?}") };
            assert_eq!((damage.file, damage.position), (segment, places[n] as u64));
            assert!(damage.what.contains("queue 1"), "{}", damage.what);
        }
    }
}

#[test]
fn a_footer_whose_numbers_contradict_each_other_is_made_anew() {
    for (field, value) in [
        (40, &u64::MAX.to_le_bytes()[..]),
        (40, &0u64.to_le_bytes()),
        (56, &u32::MAX.to_le_bytes()),
        (60, &u32::MAX.to_le_bytes()),
        (64, &u64::MAX.to_le_bytes()),
        (72, &u64::MAX.to_le_bytes()),
    ] {
        let (vfs, segment, _) = five(false, true);
        vfs.edit(&segment, |bytes| {
            let at = bytes.len() - 4096;
            let footer = &mut bytes[at..];
            assert!(footer.starts_with(b"SLUICEFT"));
            footer[field..field + value.len()].copy_from_slice(value);
            reseal(footer, 12);
        });
        let log = open(&vfs).unwrap();
        assert_eq!(sluice_store::suite::read_all(&log, 1).len(), 5, "{field}");
    }
}

#[test]
fn a_segment_whose_name_is_no_position_is_damage() {
    let (vfs, segment, _) = five(false, false);
    let bytes = vfs.files().remove(&segment).unwrap();
    for name in ["fffffffffffffff8.seg", "ffffffffffff0000.seg", "0000000000000001.seg"] {
        let vfs = vfs.kill();
        let path = segment.with_file_name(name);
        vfs.put(&path, bytes.clone());
        let Err(OpenError::Damaged(damage)) = open(&vfs) else { panic!("opened with {name}") };
        assert_eq!(damage.file, path);
    }
}
