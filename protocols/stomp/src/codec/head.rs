//! The grammar of a frame's head.
//!
//! ```text
//! head   := command EOL *( header EOL ) EOL
//! header := name ":" value         name: 1+ octets without ":" and LF        value: 0+ octets without LF
//! EOL    := [CR] LF                in every version: nobody means a CR before LF as part of a value
//! ```
//!
//! It sees only whole heads, whose lines were already counted and measured by the decoder.

use super::{DecodeError, escape};
use crate::frame::{Command, Version};
use bytes::Bytes;
use bytestring::ByteString;
use memchr::memchr;
use nom::IResult;
use nom::bytes::complete::{tag, take, take_till1};

/// A parsed head.
#[derive(Debug)]
pub(super) struct Head {
    pub command: Command,
    pub headers: Vec<(ByteString, ByteString)>,
}

impl Head {
    pub fn get(&self, name: &str) -> Option<&ByteString> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// The receipt asked for, which an ERROR names.
    pub fn receipt(&self) -> Option<ByteString> {
        if self.command.opens() { None } else { self.get("receipt").cloned() }
    }
}

/// More headers than most frames have.
const USUAL_HEADERS: usize = 6;

/// Parses a head, its blank line included. `version` is what was agreed, if anything was.
pub(super) fn parse(version: Option<Version>, head: &Bytes) -> Result<Head, DecodeError> {
    let (mut rest, word) = line(head).map_err(|_| DecodeError::Command)?;
    let command = Command::parse(word).ok_or(DecodeError::UnknownCommand)?;
    let raw = Raw {
        version,
        escapes: if command.opens() { None } else { version },
        text: ByteString::try_from(head.clone()).ok(),
        bytes: head,
    };
    let mut headers = Vec::with_capacity(USUAL_HEADERS);
    loop {
        let (after, text) = line(rest).map_err(|_| DecodeError::Header)?;
        if text.is_empty() {
            return Ok(Head { command, headers });
        }
        headers.push(raw.header(text)?);
        rest = after;
    }
}

/// The bytes of a head, which its names and values are parts of.
struct Raw<'a> {
    version: Option<Version>,
    /// How they are escaped; `None`: not at all.
    escapes: Option<Version>,
    bytes: &'a Bytes,
    /// The same as text: what is looked at whole need not be looked at part by part.
    text: Option<ByteString>,
}

impl Raw<'_> {
    fn header(&self, line: &[u8]) -> Result<(ByteString, ByteString), DecodeError> {
        let (_, (name, value)) = name_and_value(line).map_err(|_| DecodeError::Header)?;
        if self.version == Some(Version::V12) && memchr(b'\r', line).is_some() {
            return Err(DecodeError::CarriageReturn);
        }
        // Documents of 1.0 show a blank after the colon, and clients send it.
        let value = if self.escapes == Some(Version::V10) { value.trim_ascii_start() } else { value };
        Ok((self.part(name)?, self.part(value)?))
    }

    fn part(&self, part: &[u8]) -> Result<ByteString, DecodeError> {
        match self.text.as_ref().filter(|_| !escape::is_escaped(self.escapes, part)) {
            Some(text) => {
                let start = part.as_ptr().addr().saturating_sub(self.bytes.as_ptr().addr());
                let part = text.get(start..start + part.len()).ok_or(DecodeError::Utf8)?;
                Ok(text.slice_ref(part))
            }
            None => Ok(escape::decode(self.escapes, self.bytes.slice_ref(part))?),
        }
    }
}

fn line(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let end = memchr(b'\n', input).unwrap_or(input.len());
    let (rest, text) = take(end)(input)?;
    let (rest, _) = tag(&b"\n"[..])(rest)?;
    Ok((rest, text.strip_suffix(b"\r").unwrap_or(text)))
}

fn name_and_value(text: &[u8]) -> IResult<&[u8], (&[u8], &[u8])> {
    let (rest, name) = take_till1(|b| b == b':')(text)?;
    let (value, _) = tag(&b":"[..])(rest)?;
    Ok((&[], (name, value)))
}

impl From<escape::Fault> for DecodeError {
    fn from(fault: escape::Fault) -> Self {
        match fault {
            escape::Fault::Escape => Self::Escape,
            escape::Fault::Utf8 => Self::Utf8,
        }
    }
}
