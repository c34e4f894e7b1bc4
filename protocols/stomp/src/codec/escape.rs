//! What each version does to header names and values.
//!
//! | | 1.0 | 1.1 | 1.2 |
//! | --- | --- | --- | --- |
//! | escapes | none | `\n` `\c` `\\` | and `\r` |
//! | cannot be carried | LF; ":" in names; empty values | – | – |
//! | CR | raw, dropped at the end | raw, dropped at the end | escaped |
//!
//! NUL is never carried: many clients look for the end of a frame before they look at its head.

use crate::frame::Version;
use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use memchr::memchr;

/// Why a name or value is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Escape,
    Utf8,
}

/// Whether a name or value has to be decoded; `None` is a frame that is never escaped.
pub(super) fn is_escaped(version: Option<Version>, raw: &[u8]) -> bool {
    matches!(version, Some(Version::V11 | Version::V12)) && memchr(b'\\', raw).is_some()
}

/// Reads a name or value.
pub(crate) fn decode(version: Option<Version>, raw: Bytes) -> Result<ByteString, Fault> {
    match is_escaped(version, &raw) {
        true => {
            let mut plain = BytesMut::with_capacity(raw.len());
            let mut rest = raw.iter();
            while let Some(byte) = rest.next() {
                plain.put_u8(match byte {
                    b'\\' => match rest.next() {
                        Some(b'n') => b'\n',
                        Some(b'c') => b':',
                        Some(b'\\') => b'\\',
                        Some(b'r') => {
                            if version == Some(Version::V11) {
                                crate::wire::tolerated("cr-escape"); // undefined there, yet a stock client sends it
                            }
                            b'\r'
                        }
                        _ => return Err(Fault::Escape),
                    },
                    other => *other,
                });
            }
            ByteString::try_from(plain.freeze()).map_err(|_| Fault::Utf8)
        }
        false => ByteString::try_from(raw).map_err(|_| Fault::Utf8),
    }
}

/// Writes a header's name; false, and nothing written, when this version cannot say it.
pub(crate) fn encode_name(version: Version, name: &str, out: &mut BytesMut) -> bool {
    if name.is_empty() || (version == Version::V10 && name.contains([':', '\r'])) {
        return false;
    }
    encode(version, name, out)
}

/// Writes a header's value; false, and nothing written, when this version cannot say it.
pub(crate) fn encode_value(version: Version, value: &str, out: &mut BytesMut) -> bool {
    let value = if version == Version::V12 { value } else { value.trim_end_matches('\r') };
    if value.is_empty() && version == Version::V10 {
        return false;
    }
    encode(version, value, out)
}

fn encode(version: Version, text: &str, out: &mut BytesMut) -> bool {
    // Nearly all texts are plain, and then copied in one go.
    if !text.bytes().fold(false, |special, byte| special | is_special(byte)) {
        out.put_slice(text.as_bytes());
        return true;
    }
    if text.contains('\0') || (version == Version::V10 && text.contains('\n')) {
        return false;
    }
    for byte in text.bytes() {
        match (byte, version) {
            (_, Version::V10) => out.put_u8(byte),
            (b'\n', _) => out.put_slice(b"\\n"),
            (b':', _) => out.put_slice(b"\\c"),
            (b'\\', _) => out.put_slice(b"\\\\"),
            (b'\r', Version::V12) => out.put_slice(b"\\r"),
            _ => out.put_u8(byte),
        }
    }
    true
}

/// What some version escapes, or cannot say.
fn is_special(byte: u8) -> bool {
    matches!(byte, 0 | b'\n' | b'\r' | b':' | b'\\')
}
