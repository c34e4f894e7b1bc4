//! Bytes to frames and back. Pure: no socket, no broker.
//!
//! Clients send frames in any portion, one byte at a time if they like, and their ends cannot be known from a length
//! in front. The one idea to know: the [`Decoder`] remembers how far it has looked, so that no byte is looked at
//! twice, and refuses as soon as a limit is passed, before it waits for more.
//!
//! The grammar of heads is `codec/head.rs`, escapes are `codec/escape.rs`, the way out is `codec/encode.rs`.

mod encode;
mod escape;
mod head;

pub use encode::FrameWriter;

use crate::frame::{Command, Frame, Version};
use bytes::{Buf, Bytes, BytesMut};
use bytestring::ByteString;
use head::Head;
use memchr::{memchr, memchr2};
use thiserror::Error;

/// Why bytes are no frame, or one that is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    #[error("a frame must begin with a command line")]
    Command,
    #[error("unknown command")]
    UnknownCommand,
    #[error("a command has at most 32 characters")]
    CommandTooLong,
    #[error("a header must be a name, a colon and a value")]
    Header,
    #[error("a header may not contain a NUL")]
    NulInHead,
    #[error("a CR must be followed by a line feed, or escaped in a header")]
    CarriageReturn,
    #[error("undefined escape in a header")]
    Escape,
    #[error("headers must be UTF-8")]
    Utf8,
    #[error("a header line has at most {0} bytes")]
    LineTooLong(usize),
    #[error("a frame has at most {0} headers")]
    TooManyHeaders(usize),
    #[error("the head of a frame has at most {0} bytes")]
    HeadTooLong(usize),
    #[error("content-length must be a decimal number")]
    ContentLength,
    #[error("a body has at most {0} bytes")]
    BodyTooLong(usize),
    #[error("only SEND has a body")]
    BodyNotAllowed,
    #[error("the body must be followed by a NUL: content-length is wrong")]
    MissingNul,
}

/// A refused frame, and the receipt it asked for if its head was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub error: DecodeError,
    /// What an ERROR names as `receipt-id`.
    pub receipt: Option<ByteString>,
}

impl From<DecodeError> for Refused {
    fn from(error: DecodeError) -> Self {
        Self { error, receipt: None }
    }
}

/// What the front of the buffer was.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole frame, taken off.
    Frame(Frame),
    /// Not enough bytes yet; heart-beats and noise may have been taken off.
    Incomplete,
}

/// What is refused, in bytes unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// One header line.
    pub line: usize,
    /// Headers, by number.
    pub headers: usize,
    /// The head as a whole.
    pub head: usize,
    /// The body.
    pub body: usize,
}

/// The longest command line; the longest command has 11 letters.
const MAX_COMMAND: usize = 32;

/// The decoder of one connection.
#[derive(Debug)]
pub struct Decoder {
    limits: DecodeLimits,
    version: Option<Version>,
    stage: Stage,
    junk: u64,
}

#[derive(Debug)]
enum Stage {
    /// Between frames, where line ends and stray NULs may stand.
    Between,
    /// In a head: complete lines end before `line_start`, and no line end lies before `scanned`.
    Head { line_start: usize, scanned: usize, lines: usize },
    /// Behind a head.
    Body { head: Head, length: Option<usize>, scanned: usize },
}

impl Decoder {
    /// A decoder before CONNECT: nothing is escaped yet.
    pub fn new(limits: DecodeLimits) -> Self {
        Self { limits, version: None, stage: Stage::Between, junk: 0 }
    }

    /// What holds from the next frame on.
    pub fn agree(&mut self, version: Version, limits: DecodeLimits) {
        self.version = Some(version);
        self.limits = limits;
    }

    /// How often remains of a body with a NUL in it were thrown away.
    pub fn junk(&self) -> u64 {
        self.junk
    }

    /// Takes one frame off the front of `buf`.
    ///
    /// # Errors
    /// What cannot become a frame any more; the connection is beyond repair then.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Step, Refused> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Between) {
                Stage::Between => {
                    if !skip_noise(buf)? {
                        return Ok(Step::Incomplete);
                    }
                    self.stage = Stage::Head { line_start: 0, scanned: 0, lines: 0 };
                }
                Stage::Head { line_start, scanned, lines } => {
                    if !self.scan_head(buf, line_start, scanned, lines)? {
                        return Ok(Step::Incomplete);
                    }
                }
                Stage::Body { head, length, scanned } => {
                    let taken = match length {
                        Some(length) => take_measured(buf, length),
                        None => take_to_nul(buf, scanned, self.body_limit(head.command)),
                    };
                    match taken {
                        Ok(Some(body)) => {
                            return Ok(Step::Frame(Frame {
                                command: head.command,
                                headers: head.headers,
                                body,
                            }));
                        }
                        Ok(None) => {
                            self.stage = Stage::Body { head, length, scanned: buf.len() };
                            return Ok(Step::Incomplete);
                        }
                        Err(error) => return Err(Refused { error, receipt: head.receipt() }),
                    }
                }
            }
        }
    }

    fn body_limit(&self, command: Command) -> usize {
        match (command, self.version) {
            (Command::Send, _) => self.limits.body,
            (Command::Subscribe, Some(Version::V10)) => self.limits.head, // 1.0 has it ignored
            _ => 0,
        }
    }

    /// Looks for the end of the head, line by line; true when it came to another stage.
    fn scan_head(
        &mut self,
        buf: &mut BytesMut,
        mut line_start: usize,
        mut scanned: usize,
        mut lines: usize,
    ) -> Result<bool, Refused> {
        loop {
            let found = memchr2(b'\n', 0, buf.get(scanned..).unwrap_or_default());
            let end = found.map_or(buf.len(), |at| scanned + at);
            self.check_line(lines, end - line_start, end)?;
            if found.is_none() {
                self.stage = Stage::Head { line_start, scanned: end, lines };
                return Ok(false);
            }
            if buf.get(end) == Some(&0) {
                if lines > 0 {
                    return Err(DecodeError::NulInHead.into());
                }
                // What stood behind a NUL in a body that was sent without content-length.
                self.junk += 1;
                buf.advance(end + 1);
                return Ok(true);
            }
            let line = buf.get(line_start..end).unwrap_or_default();
            if lines > 0 && matches!(line, b"" | b"\r") {
                let head = buf.split_to(end + 1).freeze();
                self.stage = self.enter_body(&head)?;
                return Ok(true);
            }
            lines += 1;
            (line_start, scanned) = (end + 1, end + 1);
        }
    }

    /// Refuses a line that is too long already, complete or not.
    fn check_line(&self, lines: usize, length: usize, head: usize) -> Result<(), DecodeError> {
        let limits = &self.limits;
        if lines == 0 {
            return if length > MAX_COMMAND { Err(DecodeError::CommandTooLong) } else { Ok(()) };
        }
        if length > limits.line {
            return Err(DecodeError::LineTooLong(limits.line));
        }
        if lines > limits.headers && length > 1 {
            return Err(DecodeError::TooManyHeaders(limits.headers));
        }
        if head > limits.head {
            return Err(DecodeError::HeadTooLong(limits.head));
        }
        Ok(())
    }

    /// Decides from the head how the body ends; refuses one over the limit before any of it has come.
    fn enter_body(&self, head: &Bytes) -> Result<Stage, Refused> {
        let head = head::parse(self.version, head)?;
        match self.body_length(&head) {
            Ok(length) => Ok(Stage::Body { head, length, scanned: 0 }),
            Err(error) => Err(Refused { error, receipt: head.receipt() }),
        }
    }

    fn body_length(&self, head: &Head) -> Result<Option<usize>, DecodeError> {
        let Some(text) = head.get("content-length") else { return Ok(None) };
        let text = text.trim();
        if text.is_empty() || text.len() > 18 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(DecodeError::ContentLength);
        }
        let length: usize = text.parse().map_err(|_| DecodeError::ContentLength)?;
        match self.body_limit(head.command) {
            limit if length <= limit => Ok(Some(length)),
            0 => Err(DecodeError::BodyNotAllowed),
            limit => Err(DecodeError::BodyTooLong(limit)),
        }
    }
}

/// Takes line ends and stray NULs off; false when nothing is left to look at.
fn skip_noise(buf: &mut BytesMut) -> Result<bool, DecodeError> {
    loop {
        match (buf.first(), buf.get(1)) {
            (Some(b'\n' | 0), _) => buf.advance(1),
            (Some(b'\r'), Some(b'\n')) => buf.advance(2),
            (Some(b'\r'), Some(_)) => return Err(DecodeError::CarriageReturn),
            (Some(b'\r'), None) | (None, _) => return Ok(false),
            _ => return Ok(true),
        }
    }
}

fn take_measured(buf: &mut BytesMut, length: usize) -> Result<Option<Bytes>, DecodeError> {
    match buf.get(length) {
        None => Ok(None),
        Some(0) => {
            let body = buf.split_to(length).freeze();
            buf.advance(1);
            Ok(Some(body))
        }
        Some(_) => Err(DecodeError::MissingNul),
    }
}

fn take_to_nul(buf: &mut BytesMut, scanned: usize, limit: usize) -> Result<Option<Bytes>, DecodeError> {
    let found = memchr(0, buf.get(scanned..).unwrap_or_default()).map(|at| scanned + at);
    if found.unwrap_or(buf.len()) > limit {
        return Err(if limit == 0 { DecodeError::BodyNotAllowed } else { DecodeError::BodyTooLong(limit) });
    }
    let Some(end) = found else { return Ok(None) };
    let body = buf.split_to(end).freeze();
    buf.advance(1);
    Ok(Some(body))
}
