//! Content codings of request bodies, undone within bounds.
//!
//! A few bytes can unpack to gigabytes. The one idea to know: a body is fed to its decoder in small steps, and what a
//! step gives goes into a sink that is full when the body has grown out of proportion; so at no moment is there more in
//! memory than one bounded piece, whatever the bytes say.

use crate::counts;
use crate::errors::{Code, Problem};
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header;
use std::io::{self, Write};
use tokio::sync::OwnedSemaphorePermit;

/// What `Accept-Encoding` says of request bodies.
pub(crate) const TAKEN: &str = "gzip, deflate, zstd, br";
/// What a body may become whatever its ratio: as much as one call may say in JSON.
const ALWAYS_ALLOWED: u64 = 1 << 20;
/// How much is fed to a decoder at once.
const STEP: usize = 512;
/// What one step may give: more than any honest 512 bytes.
const MAX_STEP: u64 = 8 << 20;
/// A piece is handed on when it has so much.
const PIECE: usize = 64 << 10;
/// As RFC 8878 recommends for HTTP: 8 MiB.
const ZSTD_WINDOW: u32 = 23;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Deflate,
    Zstd,
    Brotli,
}

impl Coding {
    fn of(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            "br" => Some(Self::Brotli),
            _ => None,
        }
    }

    /// The coding of a request's body, or none.
    pub fn of_request(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let name = value.to_str().ok().map(str::trim).filter(|_| values.next().is_none());
        match name {
            Some(name) if name.eq_ignore_ascii_case("identity") => Ok(None),
            Some(name) if Self::of(name).is_some() => Ok(Self::of(name)),
            _ => {
                let detail = format!("the body has one Content-Encoding, which is one of {TAKEN}");
                Err(Problem::new(Code::UnsupportedMediaType, detail).header(header::ACCEPT_ENCODING, TAKEN))
            }
        }
    }

    /// What its decoder may take, for the account of body memory.
    pub fn memory(self) -> usize {
        match self {
            Self::Gzip | Self::Deflate => 64 << 10,
            Self::Zstd => 1 << ZSTD_WINDOW,
            Self::Brotli => 16 << 20,
        }
    }
}

/// What a decoder writes to: full when the body has grown out of proportion.
struct Sink {
    bytes: Vec<u8>,
    room: u64,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.room = self.room.checked_sub(bytes.len() as u64).ok_or_else(|| io::Error::other(TooLarge))?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct TooLarge;

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body unpacks to too much")
    }
}

impl std::error::Error for TooLarge {}

enum Unpacker {
    Gzip(flate2::write::MultiGzDecoder<Sink>),
    Deflate(flate2::write::ZlibDecoder<Sink>),
    Zstd { decoder: zstd::stream::raw::Decoder<'static>, sink: Sink, is_whole: bool },
    Brotli(Box<brotli::DecompressorWriter<Sink>>),
}

impl Unpacker {
    fn sink(&mut self) -> &mut Sink {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
            Self::Zstd { sink, .. } => sink,
            Self::Brotli(decoder) => decoder.get_mut(),
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(decoder) => decoder.write_all(bytes),
            Self::Deflate(decoder) => decoder.write_all(bytes),
            Self::Zstd { decoder, sink, is_whole } => feed_zstd(decoder, sink, is_whole, bytes),
            Self::Brotli(decoder) => decoder.write_all(bytes),
        }
    }

    /// An error unless the body was whole.
    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Deflate(decoder) => decoder.try_finish(),
            Self::Zstd { is_whole: true, .. } => Ok(()),
            Self::Zstd { .. } => Err(io::ErrorKind::UnexpectedEof.into()),
            Self::Brotli(decoder) => decoder.close(),
        }
    }
}

fn feed_zstd(
    decoder: &mut zstd::stream::raw::Decoder<'static>,
    sink: &mut Sink,
    is_whole: &mut bool,
    bytes: &[u8],
) -> io::Result<()> {
    use zstd::stream::raw::{InBuffer, Operation, OutBuffer};
    let mut input = InBuffer::around(bytes);
    let mut piece = vec![0; STEP * 16];
    loop {
        let mut output = OutBuffer::around(&mut piece[..]);
        let hint = decoder.run(&mut input, &mut output)?;
        let written = output.pos();
        sink.write_all(piece.get(..written).unwrap_or_default())?;
        *is_whole = hint == 0;
        // A full output may have more behind it.
        if input.pos() == bytes.len() && written < piece.len() {
            return Ok(());
        }
    }
}

/// Undoes a coding, piece by piece.
pub(crate) struct Decoder {
    unpacker: Unpacker,
    input: Bytes,
    taken: u64,
    given: u64,
    max_ratio: u64,
    /// What the decoder itself takes; given back with it.
    _memory: OwnedSemaphorePermit,
}

impl Decoder {
    pub fn new(coding: Coding, max_ratio: u64, memory: OwnedSemaphorePermit) -> Result<Self, Problem> {
        let sink = Sink { bytes: Vec::new(), room: 0 };
        let unpacker = match coding {
            Coding::Gzip => Unpacker::Gzip(flate2::write::MultiGzDecoder::new(sink)),
            Coding::Deflate => Unpacker::Deflate(flate2::write::ZlibDecoder::new(sink)),
            Coding::Brotli => Unpacker::Brotli(Box::new(brotli::DecompressorWriter::new(sink, STEP * 16))),
            Coding::Zstd => {
                let internal = |error| Problem::from(sluice_model::Error::internal(error));
                let mut decoder = zstd::stream::raw::Decoder::new().map_err(internal)?;
                let window = zstd::zstd_safe::DParameter::WindowLogMax(ZSTD_WINDOW);
                decoder.set_parameter(window).map_err(internal)?;
                Unpacker::Zstd { decoder, sink, is_whole: false }
            }
        };
        Ok(Self { unpacker, input: Bytes::new(), taken: 0, given: 0, max_ratio, _memory: memory })
    }

    /// Takes more of the body; the last one has to be used up.
    pub fn push(&mut self, input: Bytes) {
        self.input = input;
    }

    /// The next piece of what was pushed; nothing when it is used up.
    pub fn next_piece(&mut self) -> Result<Option<Bytes>, Problem> {
        while !self.input.is_empty() && self.unpacker.sink().bytes.len() < PIECE {
            let step = self.input.len().min(STEP);
            self.taken += step as u64;
            self.make_room();
            let bytes = self.input.get(..step).unwrap_or_default();
            self.unpacker.feed(bytes).map_err(|error| wrong(error, self.max_ratio))?;
            self.input.advance(step);
        }
        Ok(self.piece())
    }

    /// What is left when the body has ended.
    pub fn finish(mut self) -> Result<Option<Bytes>, Problem> {
        if self.taken == 0 {
            // An empty body has no coding.
            return Ok(None);
        }
        self.make_room();
        self.unpacker.finish().map_err(|error| wrong(error, self.max_ratio))?;
        Ok(self.piece())
    }

    fn make_room(&mut self) {
        let allowed = self.taken.saturating_mul(self.max_ratio).max(ALWAYS_ALLOWED);
        let sink = self.unpacker.sink();
        sink.room = allowed.saturating_sub(self.given + sink.bytes.len() as u64).min(MAX_STEP);
    }

    fn piece(&mut self) -> Option<Bytes> {
        let bytes = std::mem::take(&mut self.unpacker.sink().bytes);
        self.given += bytes.len() as u64;
        (!bytes.is_empty()).then(|| bytes.into())
    }
}

fn wrong(error: io::Error, max_ratio: u64) -> Problem {
    if error.get_ref().is_some_and(|inner| inner.is::<TooLarge>()) {
        let detail = format!("the body unpacks to more than {max_ratio} times its size");
        counts::too_large();
        return Problem::new(Code::BodyTooLarge, detail).with("ratio", max_ratio).closing();
    }
    Problem::new(Code::BadRequest, "the body is not what its Content-Encoding says, or not whole").closing()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    fn packed(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Gzip => {
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), Default::default());
                packer.write_all(bytes).unwrap();
                packer.finish().unwrap()
            }
            Coding::Deflate => {
                let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
                packer.write_all(bytes).unwrap();
                packer.finish().unwrap()
            }
            Coding::Zstd => zstd::encode_all(bytes, 3).unwrap(),
            Coding::Brotli => {
                let mut packer = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
                packer.write_all(bytes).unwrap();
                packer.into_inner()
            }
        }
    }

    fn unpacked(coding: Coding, pieces: &[&[u8]]) -> Result<Vec<u8>, Code> {
        let memory = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let mut decoder = Decoder::new(coding, 100, memory).unwrap();
        let mut all = Vec::new();
        for piece in pieces {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(bytes) = decoder.next_piece().map_err(|p| p.code())? {
                assert!(bytes.len() <= PIECE + MAX_STEP as usize);
                all.extend_from_slice(&bytes);
            }
        }
        all.extend_from_slice(&decoder.finish().map_err(|p| p.code())?.unwrap_or_default());
        Ok(all)
    }

    const ALL: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Zstd, Coding::Brotli];

    #[test]
    fn bodies_come_back_however_they_are_cut() {
        let text: Vec<u8> =
            (0..30_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for coding in ALL {
            let body = packed(coding, &text);
            assert_eq!(unpacked(coding, &[&body]).unwrap(), text, "{coding:?}");
            let bytes: Vec<&[u8]> = body.chunks(7).collect();
            assert_eq!(unpacked(coding, &bytes).unwrap(), text, "{coding:?}");
            assert_eq!(unpacked(coding, &[&packed(coding, b"")]).unwrap(), b"");
            assert_eq!(unpacked(coding, &[]).unwrap(), b"");
        }
    }

    #[test]
    fn what_is_cut_off_or_nonsense_is_refused() {
        for coding in ALL {
            let body = packed(coding, b"hello hello hello hello");
            for end in 1..body.len() {
                assert_eq!(unpacked(coding, &[&body[..end]]), Err(Code::BadRequest), "{coding:?} {end}");
            }
            assert_eq!(
                unpacked(coding, &[b"this is not packed at all"]),
                Err(Code::BadRequest),
                "{coding:?}"
            );
        }
    }

    #[test]
    fn bombs_are_refused() {
        let zeros = vec![0; 40 << 20];
        for coding in ALL {
            let bomb = packed(coding, &zeros);
            assert!(bomb.len() < 64 << 10, "{coding:?} {}", bomb.len());
            assert_eq!(unpacked(coding, &[&bomb]), Err(Code::BodyTooLarge), "{coding:?}");
        }
        let small = vec![0; 1 << 20];
        assert_eq!(unpacked(Coding::Gzip, &[&packed(Coding::Gzip, &small)]).unwrap(), small);
    }
}
