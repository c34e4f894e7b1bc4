//! Record batches with a checksum that is right: whatever they claim, reading them stays within the budget.
#![no_main]

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};

const BUDGET: usize = 1 << 16;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut batch = bytes.to_vec();
    if batch.len() >= 61 {
        let length = (batch.len() - 12) as i32;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[16] = 2;
        let crc = checksum(CrcAlgorithm::Crc32Iscsi, &batch[21..]) as u32;
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    if let Some(records) = sluice_kafka::count_records(Bytes::from(batch), BUDGET) {
        assert!(records <= BUDGET / 7, "a record has at least seven bytes");
    }
});
