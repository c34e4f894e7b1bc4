//! The connection loop over WebSocket: bytes come out of messages, and every frame leaves as one.
//!
//! The one idea to know: the loop goes on reading bytes and writing frames; this is the layer between it and the
//! socket, and the closing handshake is the last thing that it says.
//!
//! The bytes of WebSocket itself are `../websocket.rs`.

use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::read_buffer::ReadBuffer;
use super::{Closing, Output};
use crate::Connection;
use crate::websocket::{self, Control, Refused, Unframer};

/// One connection's.
pub(super) struct WebSocket {
    unframer: Unframer,
    raw: ReadBuffer,
    /// Answers to pings that wait to be queued.
    answers: BytesMut,
    end: Option<End>,
    ping_every: Duration,
    pinged: Instant,
}

/// How the client's side ended.
enum End {
    /// It sent a close frame, perhaps with a code.
    Said(Option<u16>),
    /// It closed without a word.
    Silent,
    Refused(Refused),
}

/// What a read brought.
pub(super) struct Filled {
    /// Bytes of the wire inside.
    pub(super) bytes: usize,
    /// Nothing follows.
    pub(super) end: bool,
}

impl WebSocket {
    pub(super) fn new(max_message: usize, ping_every: Duration) -> Self {
        Self {
            unframer: Unframer::new(max_message),
            raw: ReadBuffer::new(),
            answers: BytesMut::new(),
            end: None,
            ping_every,
            pinged: Instant::now(),
        }
    }

    /// Reads once, and moves what came to `plain`.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        conn: &mut Connection,
        plain: &mut BytesMut,
    ) -> Poll<io::Result<Filled>> {
        let before = plain.len();
        match ready!(self.raw.poll_fill(cx, conn)) {
            Ok(0) => self.end = Some(End::Silent),
            Ok(_) => self.unframe(plain),
            Err(error) => return Poll::Ready(Err(error)),
        }
        Poll::Ready(Ok(Filled { bytes: plain.len() - before, end: self.end.is_some() }))
    }

    fn unframe(&mut self, plain: &mut BytesMut) {
        while self.end.is_none() {
            match self.unframer.next(&mut self.raw.bytes, plain) {
                Ok(None) => return,
                Ok(Some(Control::Pong)) => {}
                Ok(Some(Control::Ping(payload))) => {
                    self.answers.extend_from_slice(&websocket::pong(&payload))
                }
                Ok(Some(Control::Close(code))) => self.end = Some(End::Said(code)),
                Err(refused) => self.end = Some(End::Refused(refused)),
            }
        }
        self.raw.bytes.clear();
    }

    /// What the client is to be answered at once.
    pub(super) fn take_answers(&mut self) -> Option<Output> {
        (!self.answers.is_empty()).then(|| std::mem::take(&mut self.answers).into())
    }

    /// Whether what the client sent is no WebSocket.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.end, Some(End::Refused(_)))
    }

    /// The last frame. The wire inside gives its code, unless the client has said or done something that decides.
    pub(super) fn goodbye(&self, why: &Closing, code: u16) -> Option<Output> {
        let frame = match self.end {
            Some(End::Silent) => return None,
            Some(End::Said(code)) => websocket::close_frame(code, ""),
            Some(End::Refused(refused)) => websocket::close_frame(Some(refused.code()), refused.reason()),
            None => websocket::close_frame(Some(code), why.reason()),
        };
        Some(frame.into())
    }

    /// When a quiet connection is to be pinged: what lies between us and the client must not take it for dead.
    pub(super) fn next_ping(&self, active: Instant) -> Instant {
        active.max(self.pinged) + self.ping_every
    }

    pub(super) fn ping(&mut self, now: Instant) -> Output {
        self.pinged = now;
        websocket::ping().into()
    }

    pub(super) fn is_large(&self) -> bool {
        self.raw.is_large()
    }

    pub(super) fn shrink(&mut self) {
        self.raw.shrink();
    }
}

/// A frame of the wire inside as one message: a text where it is one.
pub(super) fn message(frame: Output) -> Output {
    if frame.is_empty() {
        return frame;
    }
    let length = frame.len();
    let mut parts: Vec<Bytes> = frame.into_parts();
    let is_text = parts.iter().all(|part| std::str::from_utf8(part).is_ok());
    parts.insert(0, websocket::message_head(is_text, length));
    parts.into()
}
