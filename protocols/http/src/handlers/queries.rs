//! Messages of a topic: one by its id, those with a key, those stored within a time.
//!
//! Ids and keys are found by the log's index of words, newest first. A page by time goes through the topic queue by queue, since that is the order in which messages have one; its cursor is the
//! queue and offset to go on at. What a filter passes over is examined too, so a page may be short and have a `next`
//! all the same.

use super::browse::no_queue;
use super::receive::start_at;
use crate::call::{Call, JSON, OCTETS, json_response};
use crate::convert::{self, BodyMode, Lease, message_json, raw_message};
use crate::errors::{Code, Problem};
use crate::{page, params};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use sluice_broker::{FindRequest, PullRequest, SearchBy, StartAt};
use sluice_model::{Filter, Millis, Offset, QueueId, StoredMessage, TopicName};
use std::time::Duration;

/// Reads of the log in one call; each examines a bounded number of messages when a filter skips most.
const MAX_PULLS: usize = 64;

#[derive(Serialize)]
struct Found {
    messages: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// Where a page begins, and where the next one will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    queue: u32,
    offset: Offset,
}

impl Place {
    fn parse(text: &str) -> Result<Self, Problem> {
        let parts = text.split_once(':').and_then(|(q, o)| Some((q.parse().ok()?, o.parse().ok()?)));
        let (queue, offset) =
            parts.ok_or_else(|| params::invalid("cursor", "it is not the `next` of a page"))?;
        Ok(Self { queue, offset })
    }
}

/// The part of one queue that was stored within the time asked for.
struct Slice {
    queue: QueueId,
    from: Offset,
    to: Offset,
}

/// `GET /v1/topics/{topic}/messages`
pub(crate) async fn query(call: Call) -> Result<Response, Problem> {
    match call.query.get("key")? {
        Some(key) => by_key(&call, key).await,
        None => by_time(&call).await,
    }
}

/// `GET /v1/topics/{topic}/messages/{message}`: as JSON, or the body itself.
pub(crate) async fn one(call: Call) -> Result<Response, Problem> {
    let (topic, id) = (call.topic()?, call.segment(1)?);
    let raw = match call.query.get("format")? {
        None => call.accept(&[JSON, OCTETS])? == OCTETS,
        Some("json") => false,
        Some("raw") => true,
        Some(other) => return Err(params::invalid("format", &format!("{other:?} is neither json nor raw"))),
    };
    let mode = BodyMode::parse(call.query.get("body")?)?;
    let request = FindRequest::new(&topic, id, SearchBy::Id, 1);
    let found = call.broker().find(call.session()?, &request).await?;
    let gone =
        || Problem::new(Code::MessageNotFound, format!("topic {topic} has no message {id:?} (any more)"));
    let message = found.messages.first().ok_or_else(gone)?;
    let max_body = call.broker().config().max_message_size.bytes();
    if raw {
        return raw_message(message, Lease { handle: None, deliveries: 0 }, max_body);
    }
    json_response(StatusCode::OK, &message_json(message, None, mode, None, max_body)?)
}

/// What is found by a word has no queue to go through and no filter to pass.
const ONLY_BY_TIME: [&str; 3] = ["queue", "filter", "sql"];

async fn by_key(call: &Call, key: &str) -> Result<Response, Problem> {
    if let Some(name) = ONLY_BY_TIME.iter().find(|name| call.query.all(name).next().is_some()) {
        return Err(params::invalid(name, "it does not go with key"));
    }
    let topic = call.topic()?;
    let mode = BodyMode::parse(call.query.get("body")?)?;
    let after = call.query.number("cursor", 0..=u64::MAX)?;
    let at = |name, otherwise| match call.query.get(name)?.map(|text| start_at(name, text)).transpose()? {
        Some(StartAt::Time(time)) => Ok(time),
        Some(StartAt::Earliest) => Ok(0),
        Some(StartAt::Latest) => Ok(call.broker().now()),
        None => Ok::<_, Problem>(otherwise),
    };
    let request = FindRequest {
        from: at("from", 0)?,
        // `to` is the first time that is not meant, as for a query by time alone.
        to: at("to", Millis::MAX)?.saturating_sub(1),
        after,
        ..FindRequest::new(&topic, key, SearchBy::KeyOrId, page::limit(&call.query)?)
    };
    let found = call.broker().find(call.session()?, &request).await?;
    answer(call, &found.messages, mode, found.next.map(|next| next.to_string()))
}

fn answer(
    call: &Call,
    found: &[StoredMessage],
    mode: BodyMode,
    next: Option<String>,
) -> Result<Response, Problem> {
    let max_body = call.broker().config().max_message_size.bytes();
    let messages = found.iter().map(|message| message_json(message, None, mode, None, max_body));
    json_response(StatusCode::OK, &Found { messages: messages.collect::<Result<_, _>>()?, next })
}

async fn by_time(call: &Call) -> Result<Response, Problem> {
    let topic = call.topic()?;
    let limit = page::limit(&call.query)?;
    let mode = BodyMode::parse(call.query.get("body")?)?;
    let filter = convert::filter(&call.query, call.broker())?;
    let slices = slices(call, &topic).await?;
    let place = call.query.get("cursor")?.map(Place::parse).transpose()?;
    let (found, next) = read(call, &topic, &filter, &slices, place, limit).await?;
    answer(call, &found, mode, next.map(|place| format!("{}:{}", place.queue, place.offset)))
}

async fn slices(call: &Call, topic: &TopicName) -> Result<Vec<Slice>, Problem> {
    let time = |name| call.query.get(name)?.map(|text| start_at(name, text)).transpose();
    let (from, to) = (time("from")?.unwrap_or(StartAt::Earliest), time("to")?.unwrap_or(StartAt::Latest));
    let only = call.query.number("queue", 0..=u64::from(u32::MAX))?.map(|queue| queue as u32);
    let session = call.session()?;
    let queues = match only {
        Some(queue) => queue..queue.saturating_add(1),
        None => 0..call.broker().topic(session, topic)?.spec.queues,
    };
    let mut slices = Vec::with_capacity(queues.len());
    for queue in queues.map(QueueId) {
        let (begin, end) = call.broker().bounds(session, topic, queue).map_err(no_queue)?;
        let mut at = [begin, end];
        for (offset, start) in at.iter_mut().zip([from, to]) {
            *offset = match start {
                StartAt::Earliest => begin,
                StartAt::Latest => end,
                StartAt::Time(time) => call.broker().offset_at(session, topic, queue, time).await?,
            };
        }
        let [from, to] = at;
        slices.push(Slice { queue, from, to });
    }
    Ok(slices)
}

async fn read(
    call: &Call,
    topic: &TopicName,
    filter: &Filter,
    slices: &[Slice],
    place: Option<Place>,
    limit: usize,
) -> Result<(Vec<StoredMessage>, Option<Place>), Problem> {
    let config = call.broker().config();
    let (mut found, mut pulls, mut bytes) = (Vec::new(), 0, config.max_fetch_size.bytes());
    for slice in slices {
        let mut offset = match place {
            Some(place) if slice.queue.0 < place.queue => continue,
            Some(place) if slice.queue.0 == place.queue => slice.from.max(place.offset),
            _ => slice.from,
        };
        while offset < slice.to {
            if found.len() == limit || pulls == MAX_PULLS || bytes == 0 {
                return Ok((found, Some(Place { queue: slice.queue.0, offset })));
            }
            let request = PullRequest {
                topic,
                queue: slice.queue,
                offset,
                max: (limit - found.len()).min(config.max_fetch),
                max_bytes: bytes,
                filter,
                group: None,
                wait: Duration::ZERO,
            };
            let pulled = call.broker().pull(call.session()?, &request).await?;
            pulls += 1;
            let within = pulled.messages.into_iter().take_while(|message| message.offset < slice.to);
            for message in within {
                bytes = bytes.saturating_sub(message.size as usize);
                found.push(message);
            }
            // A queue that was cut off meanwhile goes on at its new beginning.
            offset = pulled.next.max(offset + 1);
        }
    }
    Ok((found, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_queue_and_an_offset() {
        assert_eq!(Place::parse("3:17").unwrap(), Place { queue: 3, offset: 17 });
        for bad in ["", "3", "3:", ":1", "-1:2", "a:b", "3:1:2"] {
            assert!(Place::parse(bad).is_err(), "{bad:?}");
        }
    }
}
