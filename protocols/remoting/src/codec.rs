//! Bytes to frames and back.
//!
//! A frame is a small header in one of two spellings (JSON or binary) and a body of any bytes. The one idea to know:
//! decoding copies nothing. Header texts and the body are slices of the read buffer; only JSON strings with escapes
//! get memory of their own.
//!
//! ```text
//! u32 length of all that follows | u32 (spelling << 24 | header length) | header | body
//! ```
//!
//! There is no socket and no broker here. What the codes mean is `codes.rs`; records inside bodies are `record.rs`.

mod binary;
mod json;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use thiserror::Error;

/// The largest frame with its length word: what stock clients accept and send.
pub const MAX_FRAME: usize = 16 << 20;
/// The longest header. Properties have 32 KiB and may sixfold when JSON escapes them; four times that is no message.
pub const MAX_HEADER: usize = 1 << 20;
/// The most extension fields of one header; the richest request of a stock client has about twenty.
pub const MAX_EXT: usize = 256;
/// What the header of most answers takes.
const HEADER: usize = 384;
/// The frame's length and the header word.
const PREFIX: usize = 8;

/// Set in `flag` of an answer.
pub const FLAG_RESPONSE: i32 = 1;
/// Set in `flag` of a request that wants no answer.
pub const FLAG_ONE_WAY: i32 = 2;
/// What we say our version is: V5_3_3. Clients refuse SQL filters and more to old or unknown versions.
pub const OUR_VERSION: i32 = 479;

/// Why bytes are no frame. The connection closes; this wire has no answer to it.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CodecError {
    /// The length word is over the limit.
    #[error("a frame of {0} bytes is over the limit of {1}")]
    FrameTooLarge(usize, usize),
    /// The header is longer than the frame or over the limit.
    #[error("a header of {0} bytes does not fit")]
    HeaderLength(usize),
    /// The high byte of the header word is neither JSON nor binary.
    #[error("unknown header spelling {0}")]
    UnknownSpelling(u8),
    /// The header's bytes do not say what they should.
    #[error("the header is not readable: {0}")]
    Header(String),
}

/// How a header is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// A JSON object.
    Json,
    /// The compact form, "ROCKETMQ".
    Binary,
}

/// The fixed fields of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// What is asked, or how it went.
    pub code: i32,
    /// The sender's language, as its number on the wire.
    pub language: u8,
    /// The sender's version.
    pub version: i32,
    /// Ties an answer to its request.
    pub opaque: i32,
    /// [`FLAG_RESPONSE`] and [`FLAG_ONE_WAY`].
    pub flag: i32,
    /// Words for people.
    pub remark: Option<ByteString>,
}

impl Head {
    /// True when no answer is wanted.
    pub fn is_one_way(&self) -> bool {
        self.flag & FLAG_ONE_WAY != 0
    }

    /// True for an answer to a request of ours.
    pub fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }
}

/// The extension fields: the parameters of a request or an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ext(Vec<(ByteString, ByteString)>);

impl Ext {
    /// The value of a field; of several, the last one, as in a map.
    pub fn get(&self, name: &str) -> Option<&ByteString> {
        // Most names of a send are one letter: a look at it spares a call to compare memory.
        let is_it = |n: &str| n.as_bytes().first() == name.as_bytes().first() && n == name;
        self.0.iter().rev().find(|(n, _)| is_it(n)).map(|(_, v)| v)
    }

    /// All fields as they came.
    pub fn iter(&self) -> impl Iterator<Item = (&ByteString, &ByteString)> {
        self.0.iter().map(|(n, v)| (n, v))
    }

    /// The field in this place, as it came.
    pub(crate) fn at(&self, place: usize) -> Option<(&str, &str)> {
        self.0.get(place).map(|(name, value)| (&**name, &**value))
    }

    /// Adds a field.
    pub fn push(&mut self, name: impl Into<ByteString>, value: impl Into<ByteString>) {
        self.0.push((name.into(), value.into()));
    }

    /// How many fields there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The fixed fields.
    pub head: Head,
    /// The parameters.
    pub ext: Ext,
    /// Everything after the header.
    pub body: Bytes,
    /// How the header was spelled.
    pub spelling: Spelling,
}

/// Takes one frame off the front of `buf`, or nothing when it is not whole yet.
///
/// # Errors
/// See [`CodecError`]; `buf` is in no usable state then.
pub fn decode(buf: &mut BytesMut, max_frame: usize) -> Result<Option<Frame>, CodecError> {
    let Some(length) = buf.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    let max_frame = max_frame.min(MAX_FRAME);
    if length.saturating_add(4) > max_frame {
        return Err(CodecError::FrameTooLarge(length.saturating_add(4), max_frame));
    }
    let Some(word) = buf.get(4..PREFIX) else { return Ok(None) };
    let spelling = word.first().copied().unwrap_or_default();
    let header_length = word.iter().skip(1).fold(0, |n, b| n << 8 | usize::from(*b));
    if header_length > MAX_HEADER || header_length.saturating_add(4) > length {
        return Err(CodecError::HeaderLength(header_length));
    }
    if buf.len() < length + 4 {
        // The whole frame in one piece of memory, asked for once.
        buf.reserve(length + 4 - buf.len());
        return Ok(None);
    }
    let mut frame = buf.split_to(length + 4).freeze();
    frame.advance(PREFIX);
    let header = frame.split_to(header_length);
    let (spelling, (head, ext)) = match spelling {
        0 => (Spelling::Json, json::decode(header)?),
        1 => (Spelling::Binary, binary::decode(header)?),
        other => return Err(CodecError::UnknownSpelling(other)),
    };
    Ok(Some(Frame { head, ext, body: frame, spelling }))
}

/// Writes the two length words and the header; `body_length` bytes are to follow.
pub fn encode_head<'a, V: FieldValue + 'a>(
    head: &Head,
    ext: impl Iterator<Item = (&'a str, &'a V)>,
    spelling: Spelling,
    body_length: usize,
) -> BytesMut {
    let mut out = BytesMut::with_capacity(HEADER);
    out.put_u64(0);
    let high = match spelling {
        Spelling::Json => {
            json::encode(&mut out, head, ext);
            0u32
        }
        Spelling::Binary => {
            binary::encode(&mut out, head, ext);
            1
        }
    };
    let header_length = out.len() - PREFIX;
    let words = [(4 + header_length + body_length) as u32, high << 24 | header_length as u32];
    for (at, byte) in words.iter().flat_map(|w| w.to_be_bytes()).enumerate() {
        if let Some(place) = out.get_mut(at) {
            *place = byte;
        }
    }
    out
}

/// A value of an extension field: always text on the wire.
pub trait FieldValue {
    /// Hands the text to `write`.
    fn with_text<R>(&self, write: impl FnOnce(&str) -> R) -> R;
}

impl FieldValue for ByteString {
    fn with_text<R>(&self, write: impl FnOnce(&str) -> R) -> R {
        write(self)
    }
}

/// A whole frame, in one piece: for tests and for tools.
pub fn encode(frame: &Frame) -> Bytes {
    let ext = frame.ext.0.iter().map(|(n, v)| (&n[..], v));
    let mut out = encode_head(&frame.head, ext, frame.spelling, frame.body.len());
    out.extend_from_slice(&frame.body);
    out.freeze()
}

/// The name of a language as JSON headers spell it.
const LANGUAGES: [&str; 14] = [
    "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO", "PHP", "OMS",
    "RUST", "NODE_JS",
];
const OTHER: u8 = 7;

/// The name of a language number.
pub fn language_name(number: u8) -> &'static str {
    LANGUAGES.get(usize::from(number)).copied().unwrap_or("OTHER")
}

fn language_number(name: &str) -> u8 {
    LANGUAGES.iter().position(|l| l.eq_ignore_ascii_case(name)).map_or(OTHER, |n| n as u8)
}
