//! The plain bytes of a body that its producer has packed.
//!
//! RocketMQ producers compress large bodies, and the log keeps them as they came. Every other wire shows plain bytes,
//! so all of them unpack here, with a bound: a few bytes may stand for gigabytes.

use bytes::Bytes;
use sluice_model::{BodyCodec, Error, ErrorKind, Message, Result};
use std::io::Read;

/// The largest window that a zstd frame may ask for, as a power of two: 32 MiB, four times what its common levels use.
const ZSTD_WINDOW_LOG: u32 = 25;

/// The plain body of a message, at most `limit` bytes; `None` for a null body.
///
/// # Errors
/// As for [`decompress`].
pub fn plain(message: &Message, limit: usize) -> Result<Option<Bytes>> {
    message.body.as_ref().map(|body| decompress(message.codec, body, limit)).transpose()
}

/// Unpacks a body of at most `limit` bytes. A plain one is returned as it is, whatever its size.
///
/// # Errors
/// [`ErrorKind::TooLarge`] when there is more; [`ErrorKind::Corrupt`] when the bytes are not what they are said to be.
pub fn decompress(codec: BodyCodec, bytes: &Bytes, limit: usize) -> Result<Bytes> {
    match codec {
        BodyCodec::Plain => Ok(bytes.clone()),
        BodyCodec::Zlib => read(flate2::read::ZlibDecoder::new(&bytes[..]), limit),
        BodyCodec::Lz4 => read(lz4_flex::frame::FrameDecoder::new(&bytes[..]), limit),
        BodyCodec::Zstd => {
            let mut decoder = zstd::Decoder::new(&bytes[..]).map_err(unreadable)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(unreadable)?;
            read(decoder, limit)
        }
    }
}

fn read(decoder: impl Read, limit: usize) -> Result<Bytes> {
    let mut plain = Vec::new();
    let more_than_allowed = (limit as u64).saturating_add(1);
    decoder.take(more_than_allowed).read_to_end(&mut plain).map_err(unreadable)?;
    if plain.len() > limit {
        let text = format!("the compressed body holds more than {limit} bytes");
        return Err(Error::new(ErrorKind::TooLarge, text));
    }
    Ok(plain.into())
}

fn unreadable(cause: std::io::Error) -> Error {
    Error::new(ErrorKind::Corrupt, "the body is not compressed as it says").with_source(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn packed(codec: BodyCodec, plain: &[u8]) -> Bytes {
        match codec {
            BodyCodec::Plain => plain.to_vec(),
            BodyCodec::Zlib => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            BodyCodec::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            BodyCodec::Zstd => zstd::encode_all(plain, 3).unwrap(),
        }
        .into()
    }

    const PACKED: [BodyCodec; 3] = [BodyCodec::Zlib, BodyCodec::Lz4, BodyCodec::Zstd];

    #[test]
    fn every_codec_gives_the_plain_bytes_back() {
        let plain = b"compressible ".repeat(10_000);
        for codec in [BodyCodec::Plain].into_iter().chain(PACKED) {
            let packed = packed(codec, &plain);
            assert_eq!(decompress(codec, &packed, plain.len()).unwrap(), plain, "{codec:?}");
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let plain = vec![0; 50_000_000];
        for codec in PACKED {
            let packed = packed(codec, &plain);
            let error = decompress(codec, &packed, 4 << 20).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooLarge, "{codec:?}");
        }
    }

    #[test]
    fn other_bytes_are_refused() {
        for codec in PACKED {
            let error = decompress(codec, &Bytes::from_static(b"not packed"), 1000).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{codec:?}");
        }
    }
}
