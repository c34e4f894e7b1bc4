//! What a framed wire has to say to the one connection loop.
//!
//! Reading, pipelining, back-pressure, timeouts and goodbyes are the same for every wire made of frames, and each is
//! easy to get subtly wrong; so they are written once, in [`serve_framed`]. The one idea to know: a handler is
//! synchronous. `handle` starts the work at once (that is how 64 pipelined requests end up in one group commit) and
//! returns a future only for the answer; the loop awaits the futures, in order or in any order, and writes what is
//! ready with one system call.
//!
//! The loop itself is `driver.rs`, its deadlines `timers.rs`; what may wait to be written is `outbox.rs` and
//! `write_queue.rs`.

mod driver;
mod in_flight;
mod limits;
mod outbox;
mod output;
mod read_buffer;
mod timers;
mod websocket;
mod write_queue;

use bytes::BytesMut;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

pub use driver::serve_framed;
pub use limits::{FramedLimits, Order};
pub use outbox::{Closed, Outbox, SendError, Written};
pub use output::{Output, Reply};

/// A wire's side of one connection: its decoder, its state, its commands.
///
/// It may own tasks (a `JoinSet` field): it is dropped when the connection ends, and they with it.
pub trait FramedHandler: Send + 'static {
    /// What `decode` makes of bytes.
    type Frame: Send;

    /// Takes one frame off the front of `buf`.
    ///
    /// `Incomplete` may still have taken bytes that are no frame (a heart-beat). Must refuse a frame over the wire's
    /// limit from its length field, before its bytes arrive. Not called on an empty buffer.
    fn decode(&mut self, buf: &mut BytesMut) -> Decoded<Self::Frame>;

    /// Starts the work for one frame. Never blocks.
    fn handle(&mut self, frame: Self::Frame, out: &Outbox) -> Outcome;

    /// Called once, before the first byte is read: the place to keep the outbox and start tasks.
    fn opened(&mut self, out: &Outbox) {
        let _ = out;
    }

    /// Whether the client is rightly silent, because it waits for what we push (a subscription): the idle timeout does
    /// not apply then.
    fn expects_pushes(&self) -> bool {
        false
    }

    /// When `on_deadline` wants to be called; asked after every turn of the loop, so it must be cheap.
    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    /// The deadline has passed: send a heart-beat through `out`, or give up on the client. Must move the deadline.
    fn on_deadline(&mut self, now: Instant, out: &Outbox) -> Flow {
        let _ = (now, out);
        Flow::Continue
    }

    /// No further frame will be handled: cut long waits short (answer them empty) and start nothing new.
    /// What is in flight is still awaited, for at most `FramedLimits::finish_timeout`.
    fn closing(&mut self, why: &Closing) {
        let _ = why;
    }

    /// The goodbye, written after the last answer; for `Closing::ClientClosed` and I/O errors there is nobody to hear it.
    fn last_words(&mut self, why: &Closing) -> Option<Output> {
        let _ = why;
        None
    }

    /// A frame as it stands in a WebSocket message, where the connection is one.
    fn message(&self, frame: Output) -> Output {
        frame
    }

    /// The code that closes a WebSocket (RFC 6455, 7.4) because of `why`.
    fn close_code(&self, why: &Closing) -> u16 {
        match why {
            Closing::Draining => 1001,
            Closing::Malformed => 1002,
            Closing::Revoked | Closing::Idle | Closing::SlowSender | Closing::SlowReader => 1008,
            Closing::TooLarge => 1009,
            Closing::ClientClosed | Closing::Asked | Closing::Io(_) | Closing::Aborted => 1000,
        }
    }

    /// Called exactly once, last of all, whatever happened.
    fn closed(&mut self, why: &Closing) {
        let _ = why;
    }
}

/// What the front of the read buffer is.
#[derive(Debug)]
pub enum Decoded<F> {
    /// A whole frame, taken off the buffer.
    Frame(F),
    /// Not enough bytes yet.
    Incomplete,
    /// Not this wire, or over its limit. The bytes are the wire's error, written before the connection closes.
    Malformed(Option<Output>),
}

/// What `handle` did with a frame.
pub enum Outcome {
    /// Done, and the wire wants no answer.
    Nothing,
    /// Done, this is the answer.
    Reply(Reply),
    /// Started; the future gives the answer. Further frames are handled meanwhile.
    Pending(BoxFuture<'static, Reply>),
    /// Started, and no further frame may be handled before it is done (a login).
    Barrier(BoxFuture<'static, Reply>),
}

impl Outcome {
    /// Done, with this answer.
    pub fn reply(output: impl Into<Output>) -> Self {
        Self::Reply(Reply::new(output))
    }

    /// Done, with this answer; the connection closes after it.
    pub fn close(output: impl Into<Output>) -> Self {
        Self::Reply(Reply::new(output).then_close())
    }

    /// The answer follows from `future`.
    pub fn pending(future: impl Future<Output = Reply> + Send + 'static) -> Self {
        Self::Pending(Box::pin(future))
    }

    /// The answer follows from `future`, and the next frame waits for it.
    pub fn barrier(future: impl Future<Output = Reply> + Send + 'static) -> Self {
        Self::Barrier(Box::pin(future))
    }
}

/// Whether the connection goes on.
#[derive(Debug)]
pub enum Flow {
    Continue,
    /// Close, after what is in flight and these last words.
    Close(Option<Output>),
}

/// Why a connection ends.
#[derive(Debug)]
pub enum Closing {
    /// The client said it will send nothing more.
    ClientClosed,
    /// The server is shutting down.
    Draining,
    /// `decode` could make nothing of the bytes.
    Malformed,
    /// A frame outgrew the read buffer.
    TooLarge,
    /// The handler asked for it, by a reply, a deadline or the outbox.
    Asked,
    /// Whoever the connection belongs to may not have it any longer.
    Revoked,
    /// No byte for `FramedLimits::idle_timeout`, and nothing in flight.
    Idle,
    /// A frame took longer to arrive than its size excuses.
    SlowSender,
    /// The client did not read for `FramedLimits::write_timeout`.
    SlowReader,
    /// The socket failed.
    Io(std::io::ErrorKind),
    /// The connection's task was dropped or panicked.
    Aborted,
}

impl Closing {
    /// Label for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::Draining => "draining",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Asked => "asked",
            Self::Revoked => "revoked",
            Self::Idle => "idle",
            Self::SlowSender => "slow_sender",
            Self::SlowReader => "slow_reader",
            Self::Io(_) => "io",
            Self::Aborted => "aborted",
        }
    }
}
