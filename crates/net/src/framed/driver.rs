//! The one connection loop.
//!
//! A connection's life has four parts, told one after the other in [`serve_framed`]: open (read, handle, answer),
//! finish (no more frames; what is in flight is answered), goodbye (last words, FIN), linger (read and discard, so
//! that the goodbye is not destroyed by a reset). The one idea to know: a turn does everything that can be done
//! without waiting, in the order read, handle, collect answers and pushes, write; so one wake-up costs one write,
//! however many answers it carries.
//!
//! When a turn must happen although nothing arrived is `timers.rs`.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, Sleep, timeout, timeout_at};

use super::in_flight::InFlight;
use super::outbox::{Asked, Queued};
use super::read_buffer::ReadBuffer;
use super::websocket::{self, Filled, WebSocket};
use super::write_queue::WriteQueue;
use super::{Closing, Decoded, FramedHandler, FramedLimits, Order, Outbox, Outcome, Output, Reply};
use crate::drain::Signaled;
use crate::{Connection, Drain};

/// While shutting down, a client gets only so long to take the goodbye.
const DRAIN_LINGER: Duration = Duration::from_secs(1);
/// One who may not have the connection any longer gets only so long for all of it.
const REVOKED_FAREWELL: Duration = Duration::from_millis(500);
/// What is read and thrown away after the goodbye: more than any buffer on the way holds, less than an upload.
const MAX_DISCARD: usize = 16 << 20;

/// Serves one framed connection to its end.
pub async fn serve_framed<H: FramedHandler>(
    conn: Connection,
    handler: H,
    order: Order,
    limits: FramedLimits,
    drain: Drain,
) {
    let mut driver = Driver::new(conn, handler, order, limits, &drain);
    driver.handler.opened(&driver.out);
    let why = poll_fn(|cx| driver.poll_open(cx)).await;
    let revoked = matches!(why, Closing::Revoked);
    driver.why = why;
    if revoked {
        let _ = timeout(REVOKED_FAREWELL, driver.farewell()).await; // it is over either way
    } else {
        driver.farewell().await;
    }
}

pub(super) struct Driver<H: FramedHandler> {
    conn: Connection,
    pub(super) handler: H,
    pub(super) limits: FramedLimits,
    drain: Signaled,
    pub(super) out: Outbox,
    pub(super) read: ReadBuffer,
    /// Between the socket and everything here, where the client speaks WebSocket.
    pub(super) websocket: Option<Box<WebSocket>>,
    pub(super) write: WriteQueue,
    pub(super) in_flight: InFlight,
    /// Scratch for frames taken from the outbox.
    pushed: VecDeque<Queued>,
    /// The decoder has seen what is in the read buffer and wants more.
    pub(super) incomplete: bool,
    /// When the frame in the read buffer began, and what has come of it.
    pub(super) frame_began: Option<Instant>,
    pub(super) frame_bytes: usize,
    /// Since when bytes wait for the socket without progress.
    pub(super) write_stuck: Option<Instant>,
    /// Last traffic in either direction.
    pub(super) active: Instant,
    pub(super) timer: Option<Pin<Box<Sleep>>>,
    /// We did not read, for want of room.
    paused: bool,
    client_closed: bool,
    /// The open part ends for this reason.
    ending: Option<Closing>,
    /// Last words that the wire gave when it ended.
    pub(super) words: Option<Output>,
    /// Nothing may be written after what is queued.
    sealed: bool,
    why: Closing,
}

impl<H: FramedHandler> Driver<H> {
    fn new(conn: Connection, handler: H, order: Order, limits: FramedLimits, drain: &Drain) -> Self {
        Self {
            out: Outbox::new(limits.outbox),
            in_flight: InFlight::new(order, &limits),
            drain: drain.signaled(),
            websocket: conn.websocket.map(|ping| Box::new(WebSocket::new(limits.max_frame, ping))),
            conn,
            handler,
            limits,
            read: ReadBuffer::new(),
            write: WriteQueue::new(),
            pushed: VecDeque::new(),
            incomplete: false,
            frame_began: None,
            frame_bytes: 0,
            write_stuck: None,
            active: Instant::now(),
            timer: None,
            paused: false,
            client_closed: false,
            ending: None,
            words: None,
            sealed: false,
            why: Closing::Aborted,
        }
    }

    /// One turn of the open part.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Closing> {
        self.out.register(cx);
        loop {
            self.read_and_handle(cx);
            self.collect_answers(cx);
            self.collect_pushes();
            let has_room = self.write_waiting(cx);
            if let Some(why) = self.ending.take() {
                return Poll::Ready(why);
            }
            // Each went on until it had to wait for others; only a wait for room may have ended meanwhile.
            let goes_on = has_room || self.paused && self.may_handle();
            if !goes_on {
                break;
            }
        }
        if Pin::new(&mut self.drain).poll(cx).is_ready() {
            return Poll::Ready(Closing::Draining);
        }
        self.poll_timers(cx)
    }

    /// Ends the open part; the first reason counts.
    pub(super) fn end(&mut self, why: Closing) {
        self.ending.get_or_insert(why);
    }

    /// Whether another frame may be handled; if not, none is read either.
    pub(super) fn may_handle(&self) -> bool {
        self.ending.is_none() && self.in_flight.has_room() && !self.is_write_full()
    }

    /// Reads and handles until the socket has no more or there is no room for more.
    fn read_and_handle(&mut self, cx: &mut Context<'_>) {
        loop {
            self.handle_buffered();
            if self.client_closed && (self.incomplete || self.read.bytes.is_empty()) {
                let refused = self.websocket.as_ref().is_some_and(|websocket| websocket.is_refused());
                self.end(if refused { Closing::Malformed } else { Closing::ClientClosed });
            }
            if !self.may_handle() {
                self.paused = true;
                return;
            }
            if std::mem::take(&mut self.paused) && self.frame_began.is_some() {
                self.frame_began = Some(Instant::now()); // the pause was ours
            }
            if self.read.bytes.len() >= self.limits.max_frame {
                return self.end(Closing::TooLarge);
            }
            match self.poll_fill(cx) {
                Poll::Pending => return,
                // TLS clients that close without saying so in TLS are common, and do no harm where frames have lengths.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.client_closed = true
                }
                Poll::Ready(Ok(filled)) => {
                    self.client_closed |= filled.end;
                    if filled.bytes > 0 {
                        self.note_read(filled.bytes);
                    }
                }
                Poll::Ready(Err(error)) => self.end(Closing::Io(error.kind())),
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        let Some(websocket) = &mut self.websocket else {
            return self.read.poll_fill(cx, &mut self.conn).map_ok(|n| Filled { bytes: n, end: n == 0 });
        };
        let filled = websocket.poll_fill(cx, &mut self.conn, &mut self.read.bytes);
        if let Some(answers) = websocket.take_answers() {
            self.write.push(answers);
        }
        filled
    }

    fn note_read(&mut self, n: usize) {
        self.incomplete = false;
        self.frame_bytes += n;
        self.active = Instant::now();
        self.out.note_read(self.active);
    }

    /// Decodes and handles every whole frame in the buffer, as far as the limits allow.
    fn handle_buffered(&mut self) {
        while !self.incomplete && !self.read.bytes.is_empty() && self.may_handle() {
            let before = self.read.bytes.len();
            let decoded = self.handler.decode(&mut self.read.bytes);
            let cost = before - self.read.bytes.len();
            match decoded {
                Decoded::Frame(_) if cost == 0 => {
                    tracing::error!(listener = self.conn.listener, "a decoder took a frame but no bytes");
                    self.end(Closing::Malformed);
                }
                Decoded::Frame(frame) => {
                    self.frame_began = None;
                    self.frame_bytes = self.read.bytes.len();
                    let outcome = self.handler.handle(frame, &self.out);
                    self.start(cost, outcome);
                }
                Decoded::Incomplete => self.note_incomplete(),
                Decoded::Malformed(words) => {
                    self.words = words;
                    self.end(Closing::Malformed);
                }
            }
        }
    }

    fn note_incomplete(&mut self) {
        self.incomplete = true;
        if self.read.bytes.is_empty() {
            self.frame_began = None;
            self.frame_bytes = 0;
        } else {
            self.frame_began.get_or_insert_with(Instant::now);
        }
    }

    fn start(&mut self, cost: usize, outcome: Outcome) {
        match outcome {
            Outcome::Nothing => {}
            Outcome::Reply(reply) => {
                if let Some(reply) = self.in_flight.push_ready(cost, reply) {
                    self.answer(reply);
                }
            }
            Outcome::Pending(future) => self.in_flight.push_pending(cost, future, false),
            Outcome::Barrier(future) => self.in_flight.push_pending(cost, future, true),
        }
    }

    fn answer(&mut self, reply: Reply) {
        let output = self.wrap(reply.output);
        self.write.push(output);
        if reply.close {
            self.in_flight.abandon_if_in_order();
            self.sealed |= self.in_flight.is_empty();
            self.end(Closing::Asked);
        }
    }

    /// Moves answers that are there to the write queue; stops when the client does not read them.
    fn collect_answers(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while !self.sealed && !self.is_write_full() {
            let Poll::Ready(reply) = self.in_flight.poll_next(cx) else { break };
            self.answer(reply);
            progress = true;
        }
        progress
    }

    /// A frame as it leaves.
    fn wrap(&self, frame: Output) -> Output {
        match &self.websocket {
            None => frame,
            Some(_) => websocket::message(self.handler.message(frame)),
        }
    }

    fn collect_pushes(&mut self) -> bool {
        if self.sealed {
            return false;
        }
        let close_asked = self.out.take(&mut self.pushed);
        let progress = !self.pushed.is_empty();
        while let Some(mut pushed) = self.pushed.pop_front() {
            let bytes = pushed.output.len();
            pushed.output = self.wrap(pushed.output);
            self.write.push_tracked(pushed, bytes);
        }
        match close_asked {
            Some(Asked::Close(words)) => {
                self.words = self.words.take().or(words);
                self.end(Closing::Asked);
            }
            Some(Asked::Revoke) => self.end(Closing::Revoked),
            None => {}
        }
        progress
    }

    /// Writes what waits. Whether that made room which reading or answers had been waiting for.
    fn write_waiting(&mut self, cx: &mut Context<'_>) -> bool {
        let before = self.write.waiting();
        if before == 0 && self.write.is_idle() {
            return false;
        }
        let was_full = self.is_write_full();
        let written = self.write.poll_write(cx, &mut self.conn);
        let freed = self.write.take_freed();
        if freed > 0 {
            self.out.release(freed);
        }
        if self.write.waiting() < before {
            self.active = Instant::now();
            self.out.note_write(self.active);
            self.write_stuck = None;
        }
        match written {
            Poll::Ready(Ok(())) => self.write_stuck = None,
            Poll::Ready(Err(error)) => self.end(Closing::Io(error.kind())),
            Poll::Pending => {
                self.write_stuck.get_or_insert_with(Instant::now);
            }
        }
        was_full && !self.is_write_full()
    }

    /// Whether the client leaves so much unread that neither requests nor answers are taken on.
    fn is_write_full(&self) -> bool {
        self.write.waiting() >= self.limits.outbox.max(1)
    }

    /// Gives back memory that an idle connection does not need.
    pub(super) fn shrink(&mut self) {
        self.read.shrink();
        self.write.shrink();
        if let Some(websocket) = &mut self.websocket {
            websocket.shrink();
        }
    }

    async fn farewell(&mut self) {
        self.finish().await;
        self.goodbye().await;
        self.linger().await;
    }

    /// No more frames: awaits what is in flight and says the last words.
    async fn finish(&mut self) {
        if self.is_deaf() {
            return;
        }
        self.handler.closing(&self.why);
        if !self.sealed {
            let deadline = Instant::now() + self.limits.finish_timeout;
            let finished = timeout_at(deadline, poll_fn(|cx| self.poll_finish(cx))).await;
            if finished.is_err() {
                tracing::debug!(peer = %self.conn.peer, "answers in flight were not ready in time");
            }
        }
        if self.sealed || self.is_deaf() {
            return;
        }
        let words = self.words.take().or_else(|| self.handler.last_words(&self.why));
        if let Some(words) = words {
            let words = self.wrap(words);
            self.write.push(words);
        }
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.out.register(cx);
        loop {
            let progress = self.collect_answers(cx) | self.collect_pushes() | self.write_waiting(cx);
            if let Some(Closing::Io(kind)) = self.ending.take() {
                self.why = Closing::Io(kind);
                return Poll::Ready(());
            }
            if self.sealed || (self.in_flight.is_empty() && !progress) {
                return Poll::Ready(());
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    /// Whether the client cannot hear us any more.
    fn is_deaf(&self) -> bool {
        matches!(self.why, Closing::Io(_) | Closing::SlowReader | Closing::Aborted)
    }

    /// Writes what waits, then tells the client that nothing follows.
    async fn goodbye(&mut self) {
        self.out.shut();
        if let Some(websocket) = &self.websocket
            && let Some(close) = websocket.goodbye(&self.why, self.handler.close_code(&self.why))
        {
            self.write.push(close);
        }
        while !self.is_deaf() && !self.write.is_done() {
            let before = self.write.waiting();
            let all =
                timeout(self.limits.write_timeout, poll_fn(|cx| self.poll_some_written(cx, before))).await;
            match all {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.why = Closing::Io(error.kind()),
                Err(_) => self.why = Closing::SlowReader,
            }
        }
        if !self.is_deaf() && !matches!(timeout(self.limits.linger, self.conn.shutdown()).await, Ok(Ok(()))) {
            self.client_closed = true; // it is not there to linger for
        }
    }

    /// Ready when fewer than `before` bytes wait, or everything has left.
    fn poll_some_written(&mut self, cx: &mut Context<'_>, before: usize) -> Poll<io::Result<()>> {
        match self.write.poll_write(cx, &mut self.conn) {
            Poll::Pending if self.write.waiting() < before => Poll::Ready(Ok(())),
            other => other,
        }
    }

    async fn linger(&mut self) {
        if self.is_deaf() || self.client_closed {
            return;
        }
        let longest = match self.why {
            Closing::Draining => self.limits.linger.min(DRAIN_LINGER),
            _ => self.limits.linger,
        };
        let _ = timeout(longest, poll_fn(|cx| self.poll_discard(cx, MAX_DISCARD))).await;
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<()> {
        let mut discarded = 0;
        loop {
            self.read.bytes.clear();
            match std::task::ready!(self.read.poll_fill(cx, &mut self.conn)) {
                Ok(n) if n > 0 && discarded < most => discarded += n,
                _ => return Poll::Ready(()),
            }
        }
    }
}

/// However the connection ends, even by a panic or an abort, its handler is told once.
impl<H: FramedHandler> Drop for Driver<H> {
    fn drop(&mut self) {
        self.out.shut();
        let reason = self.why.reason();
        metrics::counter!("sluice_net_closed_total", "listener" => self.conn.listener, "reason" => reason)
            .increment(1);
        tracing::debug!(peer = %self.conn.peer, listener = self.conn.listener, reason, "connection closed");
        // A second panic while one unwinds would take the whole process down.
        if catch_unwind(AssertUnwindSafe(|| self.handler.closed(&self.why))).is_err() {
            tracing::error!(listener = self.conn.listener, "a handler panicked at the end of its connection");
        }
    }
}
