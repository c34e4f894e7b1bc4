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
use nom::IResult;
use nom::bytes::complete::{tag, take_till, take_till1};

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

/// Parses a head, its blank line included. `version` is what was agreed, if anything was.
pub(super) fn parse(version: Option<Version>, head: &Bytes) -> Result<Head, DecodeError> {
    let (mut rest, word) = line(head).map_err(|_| DecodeError::Command)?;
    let command = Command::parse(word).ok_or(DecodeError::UnknownCommand)?;
    let mut headers = Vec::new();
    loop {
        let (after, text) = line(rest).map_err(|_| DecodeError::Header)?;
        if text.is_empty() {
            return Ok(Head { command, headers });
        }
        headers.push(header(version, command, head, text)?);
        rest = after;
    }
}

fn header(
    version: Option<Version>,
    command: Command,
    head: &Bytes,
    text: &[u8],
) -> Result<(ByteString, ByteString), DecodeError> {
    let (_, (name, value)) = name_and_value(text).map_err(|_| DecodeError::Header)?;
    if version == Some(Version::V12) && text.contains(&b'\r') {
        return Err(DecodeError::CarriageReturn);
    }
    let escapes = if command.opens() { None } else { version };
    // Documents of 1.0 show a blank after the colon, and clients send it.
    let value = if escapes == Some(Version::V10) { value.trim_ascii_start() } else { value };
    Ok((escape::decode(escapes, head.slice_ref(name))?, escape::decode(escapes, head.slice_ref(value))?))
}

fn line(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let (rest, text) = take_till(|b| b == b'\n')(input)?;
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
