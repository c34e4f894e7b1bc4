//! Bytes that wait for the socket, and who wants to know when they have left.
//!
//! Small frames are joined, large parts are referred to, and everything leaves in one vectored write. The one idea to
//! know: positions in the outgoing stream are counted, so "this frame has left" is a comparison of two numbers.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;
use tokio::sync::oneshot;

use super::outbox::Queued;
use super::output::{Output, Parts};
use crate::Connection;

/// Parts below this size are copied together: cheaper than one more slice in the system call.
const COPY_BELOW: usize = 4 << 10;
/// Slices given to one system call.
const MAX_SLICES: usize = 32;
/// What an idle connection keeps.
const SMALL: usize = 4 << 10;

pub(super) struct WriteQueue {
    /// Before `tail` in the stream.
    parts: VecDeque<Bytes>,
    tail: BytesMut,
    waiting: usize,
    /// Stream positions: end of what was queued, of what the transport took, of what the socket took.
    queued: u64,
    taken: u64,
    flushed: u64,
    marks: VecDeque<Mark>,
    /// Bytes of pushed frames that have left since `take_freed`.
    freed: usize,
}

/// A pushed frame that ends at `end`.
struct Mark {
    end: u64,
    bytes: usize,
    written: Option<oneshot::Sender<()>>,
}

impl WriteQueue {
    pub(super) fn new() -> Self {
        Self {
            parts: VecDeque::new(),
            tail: BytesMut::new(),
            waiting: 0,
            queued: 0,
            taken: 0,
            flushed: 0,
            marks: VecDeque::new(),
            freed: 0,
        }
    }

    /// Bytes that the transport has not taken.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether everything has reached the socket.
    pub(super) fn is_done(&self) -> bool {
        self.flushed == self.queued
    }

    /// Whether there is nothing to do, not even to tell of an empty frame.
    pub(super) fn is_idle(&self) -> bool {
        self.is_done() && self.marks.is_empty()
    }

    pub(super) fn push(&mut self, output: Output) {
        match output.parts {
            Parts::One(part) => self.push_part(part),
            Parts::Two(head, body) => {
                self.push_part(head);
                self.push_part(body);
            }
            Parts::Many(parts) => parts.into_iter().for_each(|part| self.push_part(part)),
        }
    }

    /// Queues a pushed frame that takes `bytes` of the outbox.
    pub(super) fn push_tracked(&mut self, pushed: Queued, bytes: usize) {
        self.push(pushed.output);
        self.marks.push_back(Mark { end: self.queued, bytes, written: pushed.written });
    }

    fn push_part(&mut self, part: Bytes) {
        self.waiting += part.len();
        self.queued += part.len() as u64;
        if part.len() < COPY_BELOW {
            self.tail.extend_from_slice(&part);
            return;
        }
        if !self.tail.is_empty() {
            self.parts.push_back(self.tail.split().freeze());
        }
        self.parts.push_back(part);
    }

    /// Writes until everything has reached the socket or the socket is full.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, conn: &mut Connection) -> Poll<io::Result<()>> {
        loop {
            if self.flushed < self.taken {
                ready!(Pin::new(&mut *conn).poll_flush(cx))?;
                self.flushed = self.taken;
                self.settle();
            }
            if self.waiting == 0 {
                self.settle(); // empty frames leave at once
                return Poll::Ready(Ok(()));
            }
            let n = ready!(self.poll_write_once(cx, conn))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(n);
        }
    }

    fn poll_write_once(&self, cx: &mut Context<'_>, conn: &mut Connection) -> Poll<io::Result<usize>> {
        if self.parts.is_empty() {
            return Pin::new(conn).poll_write(cx, &self.tail);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut used = 0;
        let waiting = self.parts.iter().map(|part| &part[..]).chain([&self.tail[..]]);
        for (slice, part) in slices.iter_mut().zip(waiting) {
            *slice = IoSlice::new(part);
            used += 1;
        }
        Pin::new(conn).poll_write_vectored(cx, slices.get(..used).unwrap_or(&[]))
    }

    fn advance(&mut self, mut n: usize) {
        self.waiting -= n;
        self.taken += n as u64;
        while let Some(front) = self.parts.front_mut() {
            if n < front.len() {
                front.advance(n);
                return;
            }
            n -= front.len();
            self.parts.pop_front();
        }
        if n == self.tail.len() {
            self.tail.clear();
        } else {
            self.tail.advance(n);
        }
    }

    fn settle(&mut self) {
        while self.marks.front().is_some_and(|mark| mark.end <= self.flushed) {
            let Some(mark) = self.marks.pop_front() else { return };
            self.freed += mark.bytes;
            if let Some(written) = mark.written {
                let _ = written.send(()); // nobody may be waiting any more
            }
        }
    }

    /// Bytes of pushed frames that have left since the last call.
    pub(super) fn take_freed(&mut self) -> usize {
        std::mem::take(&mut self.freed)
    }

    pub(super) fn is_large(&self) -> bool {
        self.tail.capacity() > SMALL
    }

    /// Lets a large buffer go, if nothing is in it.
    pub(super) fn shrink(&mut self) {
        if self.waiting == 0 {
            self.tail = BytesMut::new();
            self.parts.shrink_to(0);
        }
    }
}
