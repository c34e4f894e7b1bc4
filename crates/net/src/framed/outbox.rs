//! Frames that the server sends of its own accord: pushed messages, heart-beats, questions to the client.
//!
//! Tasks of a connection that are not the answer to a request reach the socket through here. The one idea to know: the
//! outbox is bounded by bytes, and a producer that waits for room is how back-pressure of a slow client reaches the
//! broker.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::Output;

/// A clonable handle to what one connection will write. Cheap to clone; usable from any thread.
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

struct Shared {
    limit: usize,
    state: Mutex<State>,
    /// Something was put into the state that the connection loop has not seen: it looks at every turn, and mostly there
    /// is nothing.
    news: AtomicBool,
    traffic: Traffic,
    /// Wakes the connection loop.
    driver: AtomicWaker,
    /// Wakes senders that wait for room, and those that wait for the end.
    room: Notify,
}

struct State {
    queue: VecDeque<Queued>,
    /// Bytes in `queue`.
    bytes: usize,
    open: bool,
    close_asked: Option<Asked>,
}

/// When bytes last came and left.
struct Traffic {
    opened: Instant,
    /// Nanoseconds after that.
    last_read: AtomicU64,
    last_write: AtomicU64,
}

impl Traffic {
    fn note(&self, what: &AtomicU64, now: Instant) {
        let after = now.saturating_duration_since(self.opened).as_nanos();
        what.store(u64::try_from(after).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn at(&self, what: &AtomicU64) -> Instant {
        self.opened + Duration::from_nanos(what.load(Ordering::Relaxed))
    }
}

/// How the connection is to end, once somebody has asked for it.
#[derive(Clone)]
pub(super) enum Asked {
    /// After these last words.
    Close(Option<Output>),
    /// Within a moment, whether the client listens or not.
    Revoke,
}

/// A frame that waits, and who wants to know when it has left.
pub(super) struct Queued {
    pub(super) output: Output,
    pub(super) written: Option<oneshot::Sender<()>>,
}

/// The connection is closed; the frame will never be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("connection closed")]
pub struct Closed;

/// Why `try_send` did not take a frame.
#[derive(Debug, Error)]
pub enum SendError {
    /// No room now; the frame is given back.
    #[error("outbox full")]
    Full(Output),
    /// Never again.
    #[error("connection closed")]
    Closed,
}

/// Resolves when the frame's last byte was handed to the socket; `Err` if the connection ended before.
#[derive(Debug)]
pub struct Written {
    receiver: oneshot::Receiver<()>,
}

impl Future for Written {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(cx).map(|got| got.map_err(|_| Closed))
    }
}

impl Outbox {
    pub(super) fn new(limit: usize) -> Self {
        let state = State { queue: VecDeque::new(), bytes: 0, open: true, close_asked: None };
        let never = || AtomicU64::new(0);
        let shared = Shared {
            limit,
            state: Mutex::new(state),
            news: AtomicBool::new(false),
            traffic: Traffic { opened: Instant::now(), last_read: never(), last_write: never() },
            driver: AtomicWaker::new(),
            room: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Queues a frame if there is room. A frame over the limit is taken when nothing else waits.
    pub fn try_send(&self, output: impl Into<Output>) -> Result<(), SendError> {
        self.offer(output.into(), None).map_err(|(refused, _)| refused)
    }

    /// Queues a frame, waiting for room.
    pub async fn send(&self, output: impl Into<Output>) -> Result<(), Closed> {
        self.push(output.into(), None).await
    }

    /// Queues a frame, waiting for room; the result tells when it has left for the socket.
    pub async fn send_tracked(&self, output: impl Into<Output>) -> Result<Written, Closed> {
        let (sender, receiver) = oneshot::channel();
        self.push(output.into(), Some(sender)).await?;
        Ok(Written { receiver })
    }

    /// Like `try_send`; the result tells when the frame has left for the socket.
    pub fn try_send_tracked(&self, output: impl Into<Output>) -> Result<Written, SendError> {
        let (sender, receiver) = oneshot::channel();
        self.offer(output.into(), Some(sender)).map_err(|(refused, _)| refused)?;
        Ok(Written { receiver })
    }

    /// Closes the connection after what is queued and in flight, and then these last words.
    pub fn close(&self, last_words: Option<Output>) {
        self.ask(Asked::Close(last_words));
    }

    /// Closes the connection because whoever it belongs to may not have it any longer: as [`Closing::Revoked`], and
    /// within a second even if the client reads nothing.
    ///
    /// [`Closing::Revoked`]: super::Closing::Revoked
    pub fn revoke(&self) {
        self.ask(Asked::Revoke);
    }

    fn ask(&self, how: Asked) {
        self.shared.state.lock().close_asked.get_or_insert(how);
        self.tell();
    }

    /// Resolves when the connection is closed.
    pub async fn closed(&self) {
        loop {
            let notified = self.shared.room.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if !self.is_open() {
                return;
            }
            notified.await;
        }
    }

    /// Whether frames can still be written.
    pub fn is_open(&self) -> bool {
        self.shared.state.lock().open
    }

    /// Bytes that wait here.
    pub fn queued_bytes(&self) -> usize {
        self.shared.state.lock().bytes
    }

    /// When the last byte came from the client.
    pub fn last_read(&self) -> Instant {
        self.shared.traffic.at(&self.shared.traffic.last_read)
    }

    /// When the last byte was handed to the socket.
    pub fn last_write(&self) -> Instant {
        self.shared.traffic.at(&self.shared.traffic.last_write)
    }

    async fn push(&self, mut output: Output, mut written: Option<oneshot::Sender<()>>) -> Result<(), Closed> {
        loop {
            let notified = self.shared.room.notified();
            tokio::pin!(notified);
            notified.as_mut().enable(); // before the attempt, or room made in between would go unnoticed
            match self.offer(output, written.take()) {
                Ok(()) => return Ok(()),
                Err((SendError::Closed, _)) => return Err(Closed),
                Err((SendError::Full(back), sender)) => (output, written) = (back, sender),
            }
            notified.await;
        }
    }

    fn offer(
        &self,
        output: Output,
        written: Option<oneshot::Sender<()>>,
    ) -> Result<(), (SendError, Option<oneshot::Sender<()>>)> {
        let size = output.len();
        let mut state = self.shared.state.lock();
        if !state.open || state.close_asked.is_some() {
            return Err((SendError::Closed, written));
        }
        if state.bytes > 0 && state.bytes + size > self.shared.limit {
            return Err((SendError::Full(output), written));
        }
        state.bytes += size;
        state.queue.push_back(Queued { output, written });
        drop(state);
        self.tell();
        Ok(())
    }

    fn tell(&self) {
        self.shared.news.store(true, Ordering::Release);
        self.shared.driver.wake();
    }
}

/// The side of the connection loop.
impl Outbox {
    pub(super) fn register(&self, cx: &Context<'_>) {
        self.shared.driver.register(cx.waker());
    }

    /// Moves everything that waits into `taken`; its bytes stay counted until `written` says that they have left.
    /// Also tells, once, whether the connection is to be closed after that, and how.
    pub(super) fn take(&self, taken: &mut VecDeque<Queued>) -> Option<Asked> {
        if !self.shared.news.swap(false, Ordering::AcqRel) {
            return None;
        }
        let mut state = self.shared.state.lock();
        taken.append(&mut state.queue);
        state.close_asked.clone()
    }

    /// Bytes of pushed frames have left; makes room for as many.
    pub(super) fn release(&self, bytes: usize) {
        let mut state = self.shared.state.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
        drop(state);
        self.shared.room.notify_waiters();
    }

    pub(super) fn note_read(&self, now: Instant) {
        self.shared.traffic.note(&self.shared.traffic.last_read, now);
    }

    pub(super) fn note_write(&self, now: Instant) {
        self.shared.traffic.note(&self.shared.traffic.last_write, now);
    }

    pub(super) fn shut(&self) {
        let mut state = self.shared.state.lock();
        state.open = false;
        let forgotten = std::mem::take(&mut state.queue);
        state.bytes = 0;
        drop(state);
        drop(forgotten);
        self.shared.room.notify_waiters();
    }
}
