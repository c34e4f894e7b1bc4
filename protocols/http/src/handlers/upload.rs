//! A stream of messages, one JSON object per line, answered by a stream of reports in the same order.
//!
//! The one idea to know: the answer's body drives everything. It reads the next line while fewer than the allowed
//! number of messages wait for the log, and writes a report when the oldest one is stored; so a client that reads no
//! reports is at some point not read from either, and nothing piles up here.

use super::batch::{BatchResult, Prepared, start, topic_of};
use super::once;
use super::publish::{Level, create, request, sender};
use crate::call::{Call, NDJSON};
use crate::convert::{NewMessage, from_json};
use crate::errors::{Code, Problem};
use crate::json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::future::{BoxFuture, FutureExt, ready};
use futures_util::stream::{FuturesOrdered, StreamExt, unfold};
use http::{StatusCode, header};
use sluice_model::TopicName;
use std::convert::Infallible;

/// What a line may have beyond twice the largest body: escapes and Base64 make bodies longer, metadata adds to it.
const LINE_OVERHEAD: usize = 64 << 10;

/// `POST …/messages:batch` with a body of lines.
pub(crate) async fn upload(mut call: Call, topic: Option<TopicName>) -> Result<Response, Problem> {
    let level = Level::parse(call.query.get("ack")?)?;
    let create = create(&call)?;
    call.session()?;
    if once::idempotency_key(&call)?.is_some() {
        let detail = "a stream of lines has no key of its own: give each message a dedupId";
        return Err(Problem::new(Code::Unsupported, detail));
    }
    let max_line = call.broker().config().max_message_size.bytes() * 2 + LINE_OVERHEAD;
    let mut lines = Lines { buffer: BytesMut::new(), searched: 0, max_line, ended: false };
    if call.headers.contains_key(header::EXPECT) {
        // The first read sends `100 Continue`; after the answer's head it would come too late.
        lines.read(&mut call).await?;
    }
    let upload = Upload {
        max_in_flight: call.app.config.max_upload_in_flight.max(1),
        call,
        topic,
        create,
        level,
        lines,
        waiting: FuturesOrdered::new(),
        reading: true,
    };
    let reports = unfold(upload, |mut upload| async move {
        let report = upload.next_report().await?;
        Some((Ok::<Bytes, Infallible>(report), upload))
    });
    let headers = [(header::CONTENT_TYPE, NDJSON), (header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::OK, headers, Body::from_stream(reports)).into_response())
}

struct Upload {
    call: Call,
    topic: Option<TopicName>,
    create: Option<u32>,
    level: Level,
    lines: Lines,
    waiting: FuturesOrdered<BoxFuture<'static, BatchResult>>,
    max_in_flight: usize,
    reading: bool,
}

impl Upload {
    async fn next_report(&mut self) -> Option<Bytes> {
        loop {
            let may_read = self.reading && self.waiting.len() < self.max_in_flight;
            if !may_read && self.waiting.is_empty() {
                return None;
            }
            tokio::select! {
                biased;
                Some(result) = self.waiting.next(), if !self.waiting.is_empty() => return Some(line(&result)),
                read = self.lines.next(&mut self.call), if may_read => self.take(read),
            }
        }
    }

    fn take(&mut self, read: Result<Option<Bytes>, Problem>) {
        match read {
            Ok(None) => self.reading = false,
            Ok(Some(line)) => {
                let report =
                    self.send(&line).unwrap_or_else(|problem| ready(BatchResult::refused(&problem)).boxed());
                self.waiting.push_back(report);
            }
            Err(problem) => {
                self.reading = false;
                self.waiting.push_back(ready(BatchResult::refused(&problem)).boxed());
            }
        }
    }

    /// Hands one message to the log; the report comes when it is stored.
    fn send(&self, line: &[u8]) -> Result<BoxFuture<'static, BatchResult>, Problem> {
        let new: NewMessage = json::decode(line, self.call.app.config.max_json_depth)?;
        let ready = from_json(new, &sender(&self.call)?)?;
        let topic = topic_of(&self.call, &ready, self.topic.as_ref())?;
        let (times, dedup_id) = (ready.times, ready.dedup_id.clone());
        let request = request(topic, ready, self.create, self.level);
        let stored = start(&self.call, Prepared { request, times, dedup_id }, self.level)?;
        let report = |stored: Result<BatchResult, Problem>| {
            stored.unwrap_or_else(|problem| BatchResult::refused(&problem))
        };
        Ok(stored.map(report).boxed())
    }
}

fn line(result: &BatchResult) -> Bytes {
    let mut line = serde_json::to_vec(result).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// Cuts the body into lines; blank ones are passed over.
struct Lines {
    buffer: BytesMut,
    /// How far the buffer holds no line end.
    searched: usize,
    max_line: usize,
    ended: bool,
}

impl Lines {
    /// Reads what comes next of the body.
    async fn read(&mut self, call: &mut Call) -> Result<(), Problem> {
        match call.body.chunk().await? {
            Some(chunk) => self.buffer.extend_from_slice(&chunk),
            None => self.ended = true,
        }
        Ok(())
    }

    /// Cancel-safe: what was read stays in the buffer.
    async fn next(&mut self, call: &mut Call) -> Result<Option<Bytes>, Problem> {
        loop {
            let found = self.buffer.iter().skip(self.searched).position(|b| *b == b'\n');
            let end = found.map(|at| self.searched + at);
            if end.unwrap_or(self.buffer.len()) > self.max_line {
                return Err(Problem::new(
                    Code::MessageTooLarge,
                    format!("a line is longer than {} bytes", self.max_line),
                ));
            }
            let line = match end {
                Some(end) => self.buffer.split_to(end + 1).freeze(),
                None if self.ended => self.buffer.split().freeze(),
                None => {
                    self.searched = self.buffer.len();
                    self.read(call).await?;
                    continue;
                }
            };
            self.searched = 0;
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(line));
            }
            if self.ended && self.buffer.is_empty() {
                return Ok(None);
            }
        }
    }
}
