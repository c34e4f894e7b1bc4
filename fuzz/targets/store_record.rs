//! Records of the log: whatever decodes encodes to a record that decodes to the same.
#![no_main]

use bytes::{Bytes, BytesMut};
use sluice_store::record;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let stored = 1_700_000_000_000;
    let Ok(message) = record::decode(&Bytes::copy_from_slice(bytes), stored) else { return };
    let mut encoded = BytesMut::new();
    record::encode(&message, stored, &mut encoded);
    assert!(encoded.len() <= record::max_len(&message));
    assert_eq!(record::decode(&encoded.freeze(), stored).ok(), Some(message));
});
