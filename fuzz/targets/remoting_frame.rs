//! Frames of the remoting wire, both spellings: whatever decodes can be encoded, and decodes to the same again.
#![no_main]

use bytes::BytesMut;
use sluice_remoting::codec::{MAX_FRAME, decode, encode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(frame)) = decode(&mut buffer, MAX_FRAME) {
        let mut again = BytesMut::from(&encode(&frame)[..]);
        let second = decode(&mut again, MAX_FRAME);
        let second = second.expect("what was encoded decodes").expect("and is complete");
        assert_eq!(second.head.code, frame.head.code);
        assert_eq!(second.body, frame.body);
        assert!(again.is_empty(), "nothing is left over");
    }
});
