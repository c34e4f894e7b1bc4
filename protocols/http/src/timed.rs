//! A connection's time limits, where only the bytes tell what is happening.
//!
//! Hyper's own limit on the head of a request runs while a kept connection rests, too; clients keep connections much
//! longer than a head may take. The one idea to know: whether a request is being served is told by [`Activity`];
//! otherwise a connection that has begun a head is late after one time, and one that rests after another.

use crate::Config;
use crate::errors::{Code, Problem};
use crate::head_watch::{HeadWatch, Verdict};
use bytes::{Bytes, BytesMut};
use futures_util::task::AtomicWaker;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// The start of HTTP/2's preface: such a connection has no heads that could be late.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What is read at once before the version is known: most requests whole, and little on a task's stack.
const FIRST_BYTES: usize = 1024;

/// How many requests a connection is serving.
#[derive(Clone, Default)]
pub(crate) struct Activity(Arc<Requests>);

#[derive(Default)]
struct Requests {
    /// How many have begun, ever.
    begun: AtomicUsize,
    /// How many are being served.
    serving: AtomicUsize,
    /// What the heads looked like.
    head: Verdict,
    /// The reader, which starts to measure the rest when the last request is done.
    reader: AtomicWaker,
}

/// One request being served, until it is dropped.
pub(crate) struct Serving(Activity);

impl Activity {
    pub fn begin(&self) -> Serving {
        self.0.serving.fetch_add(1, Ordering::AcqRel);
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        Serving(self.clone())
    }

    /// What is wrong with the head of the request that has just begun. Requests with such heads come one by one.
    pub fn head_fault(&self) -> Option<&'static str> {
        self.0.head.of(self.begun())
    }

    fn is_serving(&self) -> bool {
        self.0.serving.load(Ordering::Acquire) > 0
    }

    /// Like [`Activity::is_serving`], and wakes the reader when that changes.
    fn is_serving_or_wake(&self, cx: &Context<'_>) -> bool {
        self.0.reader.register(cx.waker());
        self.is_serving()
    }

    fn begun(&self) -> usize {
        self.0.begun.load(Ordering::Acquire)
    }
}

impl Clone for Serving {
    fn clone(&self) -> Self {
        self.0.0.serving.fetch_add(1, Ordering::AcqRel);
        Self(self.0.clone())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let requests = &self.0.0;
        if requests.serving.fetch_sub(1, Ordering::AcqRel) == 1 {
            requests.reader.wake();
        }
    }
}

/// What the bytes have told so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing came since the last request.
    Resting,
    /// A head has begun.
    Head,
}

/// A stream with time limits.
pub(crate) struct Timed<S> {
    stream: S,
    /// What was read before the version was known.
    first: Bytes,
    activity: Activity,
    phase: Phase,
    /// When the phase began; unknown while requests are served, because it begins with the end of the last one.
    since: Option<Instant>,
    /// How many requests had begun when the phase was looked at last.
    begun: usize,
    /// How much of the preface has come; the whole of it means HTTP/2.
    preface: usize,
    only_preface: bool,
    watch: HeadWatch,
    head_time: Duration,
    idle_time: Duration,
    write_time: Duration,
    read_limit: Pin<Box<Sleep>>,
    write_limit: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Timed<S> {
    pub fn new(stream: S, config: &Config, activity: Activity) -> Self {
        let now = Instant::now();
        Self {
            stream,
            first: Bytes::new(),
            activity,
            // The first head is awaited like any head that has begun: who connects wants something.
            phase: Phase::Head,
            since: Some(now),
            begun: 0,
            preface: 0,
            only_preface: true,
            watch: HeadWatch::default(),
            head_time: config.header_read_timeout.0,
            idle_time: config.idle_timeout.0,
            write_time: config.write_timeout.0,
            read_limit: Box::pin(sleep_until(now + config.header_read_timeout.0)),
            write_limit: None,
        }
    }

    /// Waits until it is clear what the client speaks: HTTP/2, if true. Nothing is lost of what came.
    pub async fn speaks_http2(&mut self) -> io::Result<bool> {
        let mut first = BytesMut::new();
        while self.only_preface && self.preface < PREFACE.len() {
            let mut bytes = [0; FIRST_BYTES];
            let mut buf = ReadBuf::new(&mut bytes);
            poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, &mut buf)).await?;
            if buf.filled().is_empty() {
                break;
            }
            first.extend_from_slice(buf.filled());
        }
        self.first = first.freeze();
        Ok(self.is_http2())
    }

    /// The stream itself, and what was read from it and not given on.
    pub fn into_inner(self) -> (S, Bytes) {
        (self.stream, self.first)
    }

    fn is_http2(&self) -> bool {
        self.only_preface && self.preface == PREFACE.len()
    }

    /// Follows the preface as far as it is one.
    fn follow_preface(&mut self, bytes: &[u8]) {
        if !self.only_preface || self.preface == PREFACE.len() {
            return;
        }
        let rest = PREFACE.get(self.preface..).unwrap_or_default();
        let n = rest.len().min(bytes.len());
        self.only_preface = rest.get(..n) == bytes.get(..n);
        self.preface += n;
    }

    fn rest(&mut self) {
        (self.phase, self.since) = (Phase::Resting, None);
    }

    /// A request has begun since, so the head that was being waited for has come.
    fn notice_requests(&mut self) {
        let begun = self.activity.begun();
        if begun != self.begun {
            self.begun = begun;
            self.rest();
        }
    }

    /// Called when bytes have come.
    fn arrived(&mut self, bytes: &[u8]) {
        self.follow_preface(bytes);
        self.notice_requests();
        if self.is_http2() {
            // Frames come between requests, too; what counts is that the client is alive.
            self.rest();
            return;
        }
        if self.phase == Phase::Resting && !self.activity.is_serving() {
            // Measured from when the rest of it is waited for: what came at once is not late.
            (self.phase, self.since) = (Phase::Head, None);
        }
        self.watch.feed(bytes, &self.activity.0.head);
    }

    /// Called when nothing comes: an error once the client is late.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.notice_requests();
        if self.activity.is_serving_or_wake(cx) {
            self.rest();
            return Poll::Pending;
        }
        let limit = if self.phase == Phase::Head { self.head_time } else { self.idle_time };
        let deadline = *self.since.get_or_insert_with(Instant::now) + limit;
        // A timer that is due too early is set again when it is due: most never are.
        if self.read_limit.deadline() > deadline {
            self.read_limit.as_mut().reset(deadline);
        }
        while self.read_limit.as_mut().poll(cx).is_ready() {
            if self.read_limit.deadline() >= deadline {
                return self.late(cx);
            }
            self.read_limit.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    fn late(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.phase == Phase::Head && !self.is_http2() && (self.preface > 0 || !self.only_preface) {
            // Nothing else is being written: no request is being served.
            let answer =
                Problem::new(Code::RequestTimeout, "the head of the request came too slowly").on_the_wire();
            let _ = Pin::new(&mut self.stream).poll_write(cx, &answer);
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
        }
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client sent nothing for too long"))
    }

    /// Called with the outcome of a write: an error once the client takes nothing for too long.
    fn poll_stuck<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_limit = None;
            return outcome;
        }
        let time = self.write_time;
        let limit = self.write_limit.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + time)));
        ready!(limit.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client took nothing for too long")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.first.is_empty() {
            let n = this.first.len().min(buf.remaining());
            buf.put_slice(&this.first.split_to(n));
            if this.first.is_empty() {
                this.first = Bytes::new(); // lets the memory go
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Ready(outcome) => {
                let new = buf.filled().get(before..).unwrap_or_default();
                if !new.is_empty() {
                    this.arrived(new);
                }
                Poll::Ready(outcome)
            }
            Poll::Pending => Poll::Ready(Err(ready!(this.poll_late(cx)))),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.poll_stuck(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.poll_stuck(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.poll_stuck(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.poll_stuck(cx, outcome)
    }
}
