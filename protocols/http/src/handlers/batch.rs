//! Publishing several messages in one call.
//!
//! The one idea to know: everything is read and judged before anything is stored, so that a call that is wrong stores
//! nothing; what only one message may not do (its delay, its topic's type, a permission) is refused for it alone. Under an
//! idempotency key a batch is stored as a whole or not at all, so that its answer can be given again.

use super::once::{self, Named, Once};
use super::publish::{Level, Published, create, request, send_problem, sender};
use super::upload;
use crate::call::{Call, JSON, NDJSON, json_response, unsupported_media};
use crate::convert::{NewMessage, Ready, Times, from_json};
use crate::errors::{Code, Problem};
use crate::json;
use axum::response::Response;
use futures_util::future::{BoxFuture, FutureExt};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sluice_broker::{QueueChoice, SendRequest, Work};
use sluice_model::{Error, ErrorKind, TopicName};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    messages: Vec<NewMessage>,
    #[serde(default)]
    atomic: bool,
    ack: Option<String>,
}

/// What became of one message.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum BatchResult {
    Stored {
        ok: bool,
        #[serde(flatten)]
        published: Published,
        /// The message was stored before, under the same `dedupId`.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        replayed: bool,
    },
    Refused {
        ok: bool,
        code: &'static str,
        detail: String,
    },
}

impl BatchResult {
    pub fn stored(published: Published) -> Self {
        Self::Stored { ok: true, published, replayed: false }
    }

    /// One message that was sent under a key of its own.
    pub fn of(stored: once::Stored) -> Result<Self, Problem> {
        let replayed = stored.replayed;
        let published = stored.published.into_iter().next();
        let published = published
            .ok_or_else(|| Problem::new(Code::Internal, "the log did not say where the message went"))?;
        Ok(Self::Stored { ok: true, published, replayed })
    }

    pub fn refused(problem: &Problem) -> Self {
        Self::Refused { ok: false, code: problem.code().as_str(), detail: problem.detail().to_owned() }
    }
}

#[derive(Serialize)]
struct BatchResults {
    results: Vec<BatchResult>,
    accepted: usize,
    rejected: usize,
}

/// `POST /v1/topics/{topic}/messages:batch`
pub(crate) async fn one_topic(call: Call) -> Result<Response, Problem> {
    let topic = call.topic()?;
    batch(call, Some(topic)).await
}

/// `POST /v1/messages:batch`
pub(crate) async fn any_topic(call: Call) -> Result<Response, Problem> {
    batch(call, None).await
}

async fn batch(mut call: Call, topic: Option<TopicName>) -> Result<Response, Problem> {
    match call.media_type().as_deref() {
        Some(NDJSON) => return upload::upload(call, topic).await,
        Some(JSON) | None => {}
        other => return Err(unsupported_media(other, "application/json, application/x-ndjson")),
    }
    let bytes = call.body.read(call.app.config.max_batch_body.bytes(), Code::BatchTooLarge).await?;
    let batch: Batch = json::decode(&bytes, call.app.config.max_json_depth)?;
    let level = match (call.query.get("ack")?, &batch.ack) {
        (Some(_), Some(_)) => return Err(Problem::new(Code::InvalidParameter, "ack is given twice")),
        (query, body) => Level::parse(query.or(body.as_deref()))?,
    };
    let create = create(&call)?;
    let entries = entries(&call, batch.messages, topic.as_ref(), create, level)?;
    let key = once::idempotency_key(&call)?;
    if (key.is_some() || batch.atomic) && entries.iter().flatten().any(|entry| entry.dedup_id.is_some()) {
        let detail = "dedupId is for messages that are stored each for itself";
        return Err(Problem::new(Code::InvalidJson, detail));
    }
    if let Some(key) = key {
        return under_key(&call, key, entries, batch.atomic, level).await;
    }
    if batch.atomic { atomic(&call, entries, level).await } else { separate(&call, entries, level).await }
}

/// One message of the call: ready to be sent, or refused for itself.
type Entry = Result<Prepared, Problem>;

/// A message ready to be sent.
pub(crate) struct Prepared {
    pub request: SendRequest,
    pub times: Times,
    pub dedup_id: Option<String>,
}

/// The topic of a message: the path's, or its own.
pub(crate) fn topic_of(call: &Call, ready: &Ready, path: Option<&TopicName>) -> Result<TopicName, Problem> {
    match (path, &ready.topic) {
        (Some(path), None) => Ok(path.clone()),
        (Some(path), Some(own)) if call.topic_named(own).is_ok_and(|own| own == *path) => Ok(path.clone()),
        (Some(path), Some(own)) => {
            let detail = format!("the message says topic {own:?}, the path {:?}", path.as_str());
            Err(Problem::new(Code::InvalidJson, detail).at("/topic"))
        }
        (None, Some(own)) => call.topic_named(own).map_err(|problem| problem.at("/topic")),
        (None, None) => Err(Problem::new(Code::InvalidJson, "the field topic is missing").at("/topic")),
    }
}

fn entries(
    call: &Call,
    messages: Vec<NewMessage>,
    topic: Option<&TopicName>,
    create: Option<u32>,
    level: Level,
) -> Result<Vec<Entry>, Problem> {
    let config = call.broker().config();
    if messages.len() > config.max_batch {
        let detail = format!("a batch has at most {} messages, not {}", config.max_batch, messages.len());
        return Err(Problem::new(Code::BatchTooLarge, detail).with("limit", config.max_batch as u64));
    }
    if messages.is_empty() {
        return Err(Problem::new(Code::InvalidJson, "messages is empty").at("/messages"));
    }
    let sender = sender(call)?;
    let session = call.session()?;
    let (mut entries, mut bytes) = (Vec::with_capacity(messages.len()), 0);
    for (at, message) in messages.into_iter().enumerate() {
        let ready = from_json(message, &sender).and_then(|ready| Ok((topic_of(call, &ready, topic)?, ready)));
        let (topic, ready) = match ready {
            Ok(ready) => ready,
            Err(problem) if problem.code().status() == StatusCode::UNPROCESSABLE_ENTITY => {
                entries.push(Err(problem));
                continue;
            }
            Err(problem) => return Err(problem.within(&format!("/messages/{at}"))),
        };
        bytes += ready.message.body_bytes().len();
        if bytes > config.max_batch_size.bytes() {
            let limit = config.max_batch_size.0;
            let detail = format!("the bodies of a batch have at most {limit} bytes together");
            return Err(Problem::new(Code::BatchTooLarge, detail).with("limit", limit));
        }
        let (times, dedup_id) = (ready.times, ready.dedup_id.clone());
        let request = request(topic, ready, create, level);
        entries.push(match call.broker().check_send(session, &request) {
            Ok(()) => Ok(Prepared { request, times, dedup_id }),
            Err(e) if e.kind() == ErrorKind::TooLarge => {
                return Err(Problem::from(e).within(&format!("/messages/{at}")));
            }
            Err(e) => Err(send_problem(e)),
        });
    }
    Ok(entries)
}

/// Each message for itself; all of them share the log's next sync.
async fn separate(call: &Call, entries: Vec<Entry>, level: Level) -> Result<Response, Problem> {
    let started: Vec<_> = entries.into_iter().map(|entry| start(call, entry?, level)).collect();
    let mut results = Vec::with_capacity(started.len());
    let mut first_refusal = None;
    for start in started {
        let outcome = match start {
            Err(problem) => Err(problem),
            Ok(stored) => stored.await,
        };
        results.push(match outcome {
            Ok(result) => result,
            Err(problem) => {
                let result = BatchResult::refused(&problem);
                first_refusal.get_or_insert(problem);
                result
            }
        });
    }
    answer(results, first_refusal, level)
}

/// Hands one message to the log; what became of it comes later.
pub(crate) fn start(
    call: &Call,
    entry: Prepared,
    level: Level,
) -> Result<BoxFuture<'static, Result<BatchResult, Problem>>, Problem> {
    let Prepared { request, times, dedup_id } = entry;
    let session = call.session()?;
    if let Some(key) = dedup_id {
        let once = Once::new(Named::Key(key), vec![request], &[times]);
        let stored = once.send(call.broker().clone(), session.clone(), level);
        return Ok(stored.map(|stored| stored.and_then(BatchResult::of)).boxed());
    }
    let deliver_at = request.messages.first().and_then(|m| m.deliver_at);
    let topic = request.topic.clone();
    let promise = call.broker().send(session, request).map_err(send_problem)?;
    Ok(async move {
        let sent = match level.wait {
            true => promise.await,
            false => Ok(promise.preview().cloned().unwrap_or_default()),
        };
        published(&topic, deliver_at, sent).map(BatchResult::stored)
    }
    .boxed())
}

/// All messages or none, once for all times.
async fn under_key(
    call: &Call,
    key: String,
    entries: Vec<Entry>,
    atomic: bool,
    level: Level,
) -> Result<Response, Problem> {
    let (mut sends, mut times) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
    for (at, entry) in entries.into_iter().enumerate() {
        let entry = entry.map_err(|problem| problem.within(&format!("/messages/{at}")))?;
        times.push(entry.times);
        sends.push(entry.request);
    }
    let sends = if atomic { merge(&mut sends).map_or(sends, |merged| vec![merged]) } else { sends };
    let once = Once::new(Named::Key(key), sends, &times);
    let stored = once.send(call.broker().clone(), call.session()?.clone(), level).await?;
    let results = stored.published.into_iter().map(BatchResult::stored).collect();
    Ok(once::mark(answer(results, None, level)?, stored.replayed))
}

pub(crate) fn published(
    topic: &TopicName,
    deliver_at: Option<u64>,
    sent: Result<Vec<sluice_broker::Sent>, Error>,
) -> Result<Published, Problem> {
    let sent = sent.map_err(|e| Problem::from(e).outcome_unknown())?;
    let sent = sent
        .first()
        .ok_or_else(|| Problem::new(Code::Internal, "the log did not say where the message went"))?;
    Ok(Published::new(topic, sent, deliver_at))
}

fn answer(results: Vec<BatchResult>, first: Option<Problem>, level: Level) -> Result<Response, Problem> {
    let accepted = results.iter().filter(|r| matches!(r, BatchResult::Stored { .. })).count();
    let rejected = results.len() - accepted;
    match first {
        None => json_response(level.status(), &BatchResults { results, accepted, rejected }),
        Some(_) if accepted > 0 => {
            json_response(StatusCode::OK, &BatchResults { results, accepted, rejected })
        }
        // Nothing was stored: the call failed, and says so by its status too.
        Some(problem) => {
            let results = serde_json::to_value(&results).map_err(|e| Problem::from(Error::internal(e)))?;
            Err(problem.with("results", results).with("accepted", 0).with("rejected", rejected as u64))
        }
    }
}

/// All messages or none, as one step of the log.
async fn atomic(call: &Call, entries: Vec<Entry>, level: Level) -> Result<Response, Problem> {
    let mut sends = Vec::with_capacity(entries.len());
    for (at, entry) in entries.into_iter().enumerate() {
        sends.push(entry.map_err(|problem| problem.within(&format!("/messages/{at}")))?.request);
    }
    let places: Vec<_> =
        sends.iter().map(|s| (s.topic.clone(), s.messages.first().and_then(|m| m.deliver_at))).collect();
    let promise = match merge(&mut sends) {
        Some(request) => call.broker().send(call.session()?, request),
        None => call.broker().work(call.session()?, Work { sends, acks: Vec::new() }),
    };
    let promise = promise.map_err(send_problem)?;
    let sent = match level.wait {
        true => promise.await.map_err(|e| Problem::from(e).outcome_unknown())?,
        false => promise.preview().cloned().unwrap_or_default(),
    };
    let stored = places.iter().zip(&sent);
    let results = stored.map(|((topic, at), sent)| BatchResult::stored(Published::new(topic, sent, *at)));
    answer(results.collect(), None, level)
}

/// Messages of one topic to no certain queue become one request: one queue, consecutive offsets.
fn merge(sends: &mut Vec<SendRequest>) -> Option<SendRequest> {
    let first = sends.first()?;
    let group = first.messages.first().and_then(|m| m.ordering_group.clone());
    let alike = sends.iter().all(|send| {
        send.topic == first.topic
            && send.queue == QueueChoice::Any
            && send.messages.iter().all(|m| m.ordering_group == group)
    });
    if !alike {
        return None;
    }
    let mut sends = std::mem::take(sends).into_iter();
    let mut merged = sends.next()?;
    merged.messages.extend(sends.flat_map(|send| send.messages));
    Some(merged)
}
