//! WebSocket (RFC 6455) as bytes: what a client's frames carry, and the frames that we send.
//!
//! A wire that lives in WebSocket messages is the same wire as on a bare socket, so it is served by the same loop. The
//! one idea to know: messages are not collected. What a data frame carries is handed on as it arrives, unmasked and, in
//! a text, checked to be UTF-8; so memory is bounded by the limits of the wire inside, which knows how large its frames
//! may be, and a message in pieces without end costs nothing.
//!
//! Headers, opcodes and close codes are `tungstenite`'s; its own reader is not used because it keeps whole messages, and
//! the buffer of the largest one for good. How the loop uses this is `framed/websocket.rs`; the handshake is a matter
//! of HTTP.

mod utf8;

use std::io::Cursor;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control as ControlCode, Data, OpCode};

use crate::websocket::utf8::Utf8;

/// The most that a control frame carries.
const MAX_CONTROL: usize = 125;
/// The longest reason in a close frame: its code takes two bytes.
const MAX_REASON: usize = MAX_CONTROL - 2;

/// The header `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`.
pub fn websocket_accept(key: &[u8]) -> String {
    tungstenite::handshake::derive_accept_key(key)
}

/// A client's frames on their way in.
pub(crate) struct Unframer {
    max_message: u64,
    /// The data frame whose payload is coming.
    data: Option<Incoming>,
    /// The message that has begun and not ended.
    message: Option<Message>,
}

struct Incoming {
    mask: [u8; 4],
    left: u64,
    is_final: bool,
}

struct Message {
    /// All of its frames so far, headers included: empty ones count, too.
    size: u64,
    /// Only of a text.
    text: Option<Utf8>,
}

/// A frame about the connection itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Ping(Bytes),
    Pong,
    /// With the client's code, if it gave one.
    Close(Option<u16>),
}

/// Why a client's bytes are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Protocol(&'static str),
    Utf8,
    TooLarge,
}

impl Refused {
    pub(crate) fn code(self) -> u16 {
        u16::from(match self {
            Self::Protocol(_) => CloseCode::Protocol,
            Self::Utf8 => CloseCode::Invalid,
            Self::TooLarge => CloseCode::Size,
        })
    }

    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Protocol(reason) => reason,
            Self::Utf8 => "a text is not UTF-8",
            Self::TooLarge => "the message is too large",
        }
    }
}

impl Unframer {
    pub(crate) fn new(max_message: usize) -> Self {
        Self { max_message: max_message as u64, data: None, message: None }
    }

    /// Moves payload from `raw` to `plain`, up to the next control frame; `None` when `raw` has no more to give.
    pub(crate) fn next(
        &mut self,
        raw: &mut BytesMut,
        plain: &mut BytesMut,
    ) -> Result<Option<Control>, Refused> {
        loop {
            if let Some(frame) = &mut self.data {
                frame.take(raw, plain, self.message.as_mut())?;
                if frame.left > 0 {
                    return Ok(None);
                }
                self.end_of_frame()?;
                continue;
            }
            let mut cursor = Cursor::new(&raw[..]);
            let parsed = FrameHeader::parse(&mut cursor);
            let head = cursor.position() as usize;
            let Some((header, length)) = parsed.map_err(|_| Refused::Protocol("unknown opcode"))? else {
                return Ok(None);
            };
            let mask = check(&header)?;
            match header.opcode {
                OpCode::Control(code) => match take_control(code, &header, length, head, mask, raw)? {
                    Some(control) => return Ok(Some(control)),
                    None => return Ok(None),
                },
                OpCode::Data(data) => {
                    self.begin(data, length, head)?;
                    raw.advance(head);
                    self.data = Some(Incoming { mask, left: length, is_final: header.is_final });
                }
            }
        }
    }

    /// A data frame begins: of a new message, or of the one that is open.
    fn begin(&mut self, data: Data, length: u64, head: usize) -> Result<(), Refused> {
        let message = match (data, self.message.take()) {
            (Data::Continue, Some(message)) => message,
            (Data::Continue, None) => return Err(Refused::Protocol("there is no message to continue")),
            (_, Some(_)) => return Err(Refused::Protocol("the message before has not ended")),
            (Data::Text, None) => Message { size: 0, text: Some(Utf8::default()) },
            (Data::Binary, None) => Message { size: 0, text: None },
            (Data::Reserved(_), None) => return Err(Refused::Protocol("unknown opcode")),
        };
        let size = message.size.saturating_add(length).saturating_add(head as u64);
        if size > self.max_message {
            return Err(Refused::TooLarge);
        }
        self.message = Some(Message { size, ..message });
        Ok(())
    }

    fn end_of_frame(&mut self) -> Result<(), Refused> {
        let is_final = self.data.take().is_some_and(|frame| frame.is_final);
        if !is_final {
            return Ok(());
        }
        match self.message.take().and_then(|message| message.text) {
            Some(text) if !text.is_complete() => Err(Refused::Utf8),
            _ => Ok(()),
        }
    }
}

impl Incoming {
    fn take(
        &mut self,
        raw: &mut BytesMut,
        plain: &mut BytesMut,
        message: Option<&mut Message>,
    ) -> Result<(), Refused> {
        let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(raw.len());
        let mut chunk = raw.split_to(n);
        unmask(&mut chunk, self.mask);
        self.mask.rotate_left(n % 4);
        self.left -= n as u64;
        if let Some(text) = message.and_then(|message| message.text.as_mut())
            && !text.accepts(&chunk)
        {
            return Err(Refused::Utf8);
        }
        plain.extend_from_slice(&chunk);
        Ok(())
    }
}

/// What holds for every frame; gives its mask.
fn check(header: &FrameHeader) -> Result<[u8; 4], Refused> {
    if header.rsv1 || header.rsv2 || header.rsv3 {
        return Err(Refused::Protocol("a reserved bit is set, and no extension was agreed"));
    }
    header.mask.ok_or(Refused::Protocol("a client's frames must be masked"))
}

/// Takes a control frame off once it is there as a whole.
fn take_control(
    code: ControlCode,
    header: &FrameHeader,
    length: u64,
    head: usize,
    mask: [u8; 4],
    raw: &mut BytesMut,
) -> Result<Option<Control>, Refused> {
    if !header.is_final {
        return Err(Refused::Protocol("a control frame must not be in pieces"));
    }
    if length > MAX_CONTROL as u64 {
        return Err(Refused::Protocol("a control frame may carry 125 bytes"));
    }
    let length = length as usize;
    if raw.len() < head + length {
        return Ok(None);
    }
    raw.advance(head);
    let mut payload = raw.split_to(length);
    unmask(&mut payload, mask);
    match code {
        ControlCode::Ping => Ok(Some(Control::Ping(payload.freeze()))),
        ControlCode::Pong => Ok(Some(Control::Pong)),
        ControlCode::Close => close(&payload).map(|code| Some(Control::Close(code))),
        ControlCode::Reserved(_) => Err(Refused::Protocol("unknown opcode")),
    }
}

/// The code in a client's close frame.
fn close(payload: &[u8]) -> Result<Option<u16>, Refused> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(Refused::Protocol("half a close code")) };
    };
    let code = u16::from_be_bytes(*code);
    if !CloseCode::from(code).is_allowed() {
        return Err(Refused::Protocol("a close code that may not be sent"));
    }
    std::str::from_utf8(reason).map_err(|_| Refused::Utf8)?;
    Ok(Some(code))
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let word = u32::from_ne_bytes(mask);
    let (words, rest) = bytes.as_chunks_mut::<4>();
    for chunk in words {
        *chunk = (u32::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// The head of a whole message of that length.
pub(crate) fn message_head(is_text: bool, length: usize) -> Bytes {
    head(OpCode::Data(if is_text { Data::Text } else { Data::Binary }), length).freeze()
}

pub(crate) fn ping() -> Bytes {
    head(OpCode::Control(ControlCode::Ping), 0).freeze()
}

pub(crate) fn pong(payload: &[u8]) -> Bytes {
    let mut frame = head(OpCode::Control(ControlCode::Pong), payload.len());
    frame.put_slice(payload);
    frame.freeze()
}

/// A close frame; without a code it is the answer to one without.
pub(crate) fn close_frame(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else { return head(OpCode::Control(ControlCode::Close), 0).freeze() };
    let reason = reason.get(..reason.len().min(MAX_REASON)).unwrap_or_default();
    let mut frame = head(OpCode::Control(ControlCode::Close), 2 + reason.len());
    frame.put_u16(code);
    frame.put_slice(reason.as_bytes());
    frame.freeze()
}

fn head(opcode: OpCode, length: usize) -> BytesMut {
    let header = FrameHeader { is_final: true, opcode, ..FrameHeader::default() };
    let mut out = BytesMut::with_capacity(header.len(length as u64) + length.min(MAX_CONTROL)).writer();
    let _ = header.format(length as u64, &mut out); // memory takes all
    out.into_inner()
}

#[cfg(test)]
mod tests;
