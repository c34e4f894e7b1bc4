//! Messages of a topic by the time they were stored.
//!
//! A page goes through the topic queue by queue, since that is the order in which messages have one; its cursor is the
//! queue and offset to go on at. What a filter passes over is examined too, so a page may be short and have a `next`
//! all the same.

use super::receive::start_at;
use crate::call::{Call, json_response};
use crate::convert::{self, BodyMode, message_json};
use crate::errors::Problem;
use crate::{page, params};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use sluice_broker::{PullRequest, StartAt};
use sluice_model::{Filter, Offset, QueueId, StoredMessage, TopicName};
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
    let topic = call.topic()?;
    let limit = page::limit(&call.query)?;
    let mode = BodyMode::parse(call.query.get("body")?)?;
    let filter = convert::filter(&call.query, call.broker())?;
    let slices = slices(&call, &topic).await?;
    let place = call.query.get("cursor")?.map(Place::parse).transpose()?;
    let (found, next) = read(&call, &topic, &filter, &slices, place, limit).await?;
    let max_body = call.broker().config().max_message_size.bytes();
    let messages = found.iter().map(|message| message_json(message, None, mode, None, max_body));
    let messages = messages.collect::<Result<_, _>>()?;
    let next = next.map(|place| format!("{}:{}", place.queue, place.offset));
    json_response(StatusCode::OK, &Found { messages, next })
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
        let (begin, end) = call.broker().bounds(session, topic, queue)?;
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
