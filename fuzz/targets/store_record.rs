//! Records of the log: whatever decodes encodes to a record that decodes to the same.
#![no_main]

use bytes::{Bytes, BytesMut};
use sluice_store::record;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = record::decode(&Bytes::copy_from_slice(bytes)) else { return };
    let mut encoded = BytesMut::new();
    record::encode(&message, &mut encoded);
    assert_eq!(encoded.len(), record::encoded_len(&message));
    assert_eq!(record::decode(&encoded.freeze()).ok(), Some(message));
});
