//! STOMP frames: in one piece and in portions the decoder says the same, in every version.
#![no_main]

use bytes::BytesMut;
use sluice_stomp::{DecodeLimits, Decoder, Frame, Step, Version};

const LIMITS: DecodeLimits = DecodeLimits { line: 1024, headers: 20, head: 4096, body: 1 << 16 };

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let version = Version::ALL.get(usize::from(first % 4)).copied();
    let portion = usize::from(first / 4) + 1;
    assert_eq!(decode(version, bytes, portion), decode(version, bytes, bytes.len().max(1)));
});

/// The frames, and whether the decoder gave up.
fn decode(version: Option<Version>, bytes: &[u8], portion: usize) -> (Vec<Frame>, bool) {
    let mut decoder = Decoder::new(LIMITS);
    if let Some(version) = version {
        decoder.agree(version, LIMITS);
    }
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for part in bytes.chunks(portion) {
        buffer.extend_from_slice(part);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Step::Frame(frame)) => frames.push(frame),
                Ok(Step::Incomplete) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}
