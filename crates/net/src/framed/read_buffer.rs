//! The read side's memory: small when idle, large while a client streams.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio_util::io::poll_read_buf;

use crate::Connection;

/// What an idle connection keeps.
const SMALL: usize = 4 << 10;
/// The most that one read asks for. Larger gains nothing over loopback.
const LARGE: usize = 256 << 10;

pub(super) struct ReadBuffer {
    pub(super) bytes: BytesMut,
    /// How much room the next read gets; grows while reads fill it.
    chunk: usize,
}

impl ReadBuffer {
    pub(super) fn new() -> Self {
        Self { bytes: BytesMut::new(), chunk: SMALL }
    }

    /// Reads once. `Ready(0)` is the end of the stream.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        conn: &mut Connection,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.capacity() - self.bytes.len() < self.chunk / 4 {
            self.bytes.reserve(self.chunk);
        }
        let room = self.bytes.capacity() - self.bytes.len();
        let n = std::task::ready!(poll_read_buf(Pin::new(conn), cx, &mut self.bytes))?;
        if n == room {
            self.chunk = (self.chunk * 4).min(LARGE);
        }
        Poll::Ready(Ok(n))
    }

    pub(super) fn is_large(&self) -> bool {
        self.chunk > SMALL || self.bytes.capacity() > SMALL // a decoder may have asked for more
    }

    /// Lets a large buffer go, if nothing is in it.
    pub(super) fn shrink(&mut self) {
        if self.bytes.is_empty() {
            *self = Self::new();
        }
    }
}
