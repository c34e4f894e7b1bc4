//! Reading a request body within its limits: size, pauses, total time, and memory of all bodies together.
//!
//! A body that is refused half-way is still on its way. The one idea to know: dropping an unread [`RequestBody`] reads
//! on for a moment, so that the client gets to see the answer instead of a reset connection.

use crate::app::{App, MEMORY_UNIT};
use crate::coding::{Coding, Decoder};
use crate::counts;
use crate::errors::{Code, Problem};
use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt;
use http_body::Body as _;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;

/// What is read and thrown away of a refused body.
const LINGER_BYTES: usize = 1 << 20;
/// How long a refused body is read on.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Pieces smaller than this together are put together as they come.
const SMALL_PIECE: usize = 4096;

/// A request's body, not read yet.
pub struct RequestBody {
    /// The mutex is never locked: it makes the body, and with it a call, shareable between threads.
    body: Option<Mutex<Body>>,
    declared: Option<u64>,
    /// The client waits for `100 Continue`, which the first read sends; until then nothing is on its way.
    expects_continue: bool,
    app: Arc<App>,
    tracker: TaskTracker,
    memory: Option<OwnedSemaphorePermit>,
    /// Undoes the content coding.
    decoder: Option<Box<Decoder>>,
}

impl RequestBody {
    pub fn new(body: Body, headers: &http::HeaderMap, app: Arc<App>, tracker: TaskTracker) -> Self {
        let declared = body.size_hint().exact();
        let expects_continue = headers.contains_key(http::header::EXPECT);
        Self {
            body: Some(Mutex::new(body)),
            declared,
            expects_continue,
            app,
            tracker,
            memory: None,
            decoder: None,
        }
    }

    /// The whole body; the memory it takes is given back when this value is dropped.
    pub async fn read(&mut self, limit: usize, over: Code) -> Result<Bytes, Problem> {
        self.check_declared(limit, over)?;
        let mut deadline = None;
        let mut pieces: Vec<Bytes> = Vec::new();
        let mut last = Bytes::new();
        let mut total = 0;
        while let Some(chunk) = self.chunk_by(&mut deadline).await? {
            total += chunk.len();
            if total > limit {
                return Err(too_large(limit, over).closing());
            }
            self.account(total)?;
            if last.is_empty() {
                last = chunk;
            } else if last.len() + chunk.len() <= SMALL_PIECE {
                // A byte-by-byte sender must not make us keep one allocation per byte.
                last = [last.as_ref(), chunk.as_ref()].concat().into();
            } else {
                pieces.push(std::mem::replace(&mut last, chunk));
            }
        }
        if pieces.is_empty() {
            return Ok(last); // most bodies come in one piece, which is then not copied
        }
        pieces.push(last);
        Ok(pieces.concat().into())
    }

    /// Undoes this coding from here on.
    pub fn decode(&mut self, coding: Coding) -> Result<(), Problem> {
        let memory = self.app.body_memory(coding.memory())?;
        self.decoder = Some(Box::new(Decoder::new(coding, self.app.config.max_body_ratio, memory)?));
        Ok(())
    }

    /// The next piece of a body that is read as it comes. Cancel-safe.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        self.chunk_by(&mut None).await
    }

    /// The deadline begins when something is waited for the first time.
    async fn chunk_by(&mut self, deadline: &mut Option<Instant>) -> Result<Option<Bytes>, Problem> {
        loop {
            let Some(decoder) = &mut self.decoder else { return self.received(deadline).await };
            // Unpacking is work: others get their turn first.
            tokio::task::yield_now().await;
            if let Some(piece) = decoder.next_piece()? {
                return Ok(Some(piece));
            }
            match self.received(deadline).await? {
                Some(bytes) => self.decoder.iter_mut().for_each(|decoder| decoder.push(bytes.clone())),
                None => return self.decoder.take().map_or(Ok(None), |decoder| decoder.finish()),
            }
        }
    }

    /// The next piece as it came.
    async fn received(&mut self, deadline: &mut Option<Instant>) -> Result<Option<Bytes>, Problem> {
        let Some(body) = self.body.as_mut().map(Mutex::get_mut) else { return Ok(None) };
        self.expects_continue = false;
        let mut late = None;
        loop {
            // What is there already, as most bodies are, costs neither a clock nor a timer.
            let frame = match body.frame().now_or_never() {
                Some(frame) => Ok(frame),
                None => {
                    let late = *late.get_or_insert_with(|| {
                        let (now, config) = (Instant::now(), &self.app.config);
                        let deadline = deadline.get_or_insert_with(|| now + config.body_timeout.0);
                        (now + config.body_idle_timeout.0).min(*deadline)
                    });
                    timeout_at(late, body.frame()).await
                }
            };
            match frame {
                Err(_) => return Err(too_slow()),
                Ok(None) => {
                    self.body = None;
                    return Ok(None);
                }
                Ok(Some(Err(error))) => {
                    self.body = None;
                    tracing::debug!(%error, "request body ended early");
                    return Err(Problem::new(Code::BadRequest, "the request body ended early").closing());
                }
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Makes a body that was read readable once more; the memory it takes is counted already.
    pub fn put_back(&mut self, bytes: Bytes) {
        self.body = Some(Mutex::new(Body::from(bytes)));
    }

    /// How long it says it is.
    pub fn declared(&self) -> Option<u64> {
        self.declared
    }

    fn check_declared(&self, limit: usize, over: Code) -> Result<(), Problem> {
        match self.declared {
            Some(length) if length > limit as u64 => Err(too_large(limit, over).closing()),
            _ => Ok(()),
        }
    }

    /// Takes the memory that `total` bytes need beyond what is held.
    fn account(&mut self, total: usize) -> Result<(), Problem> {
        let held = self.memory.as_ref().map_or(0, |memory| memory.num_permits() * MEMORY_UNIT);
        if total <= held {
            return Ok(());
        }
        let more = self.app.body_memory(total - held)?;
        match self.memory.as_mut() {
            Some(memory) => memory.merge(more),
            None => self.memory = Some(more),
        }
        Ok(())
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(body) = self.body.take().map(Mutex::into_inner) else { return };
        if body.is_end_stream() || self.expects_continue || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        self.tracker.spawn(async move {
            let _ = timeout(LINGER_TIME, discard(body)).await;
        });
    }
}

async fn discard(mut body: Body) {
    let mut left = LINGER_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = rest;
    }
}

fn too_large(limit: usize, over: Code) -> Problem {
    counts::too_large();
    Problem::new(over, format!("the request body is larger than {limit} bytes")).with("limit", limit as u64)
}

fn too_slow() -> Problem {
    Problem::new(Code::RequestTimeout, "the request body came too slowly").closing()
}
