//! Offsets: a group's progress (14, 15, 222) and a queue's bounds (29, 30, 31, 32).
//!
//! The one idea to know: "no progress" (22) is the only failure of 14 that a consumer can live with; any other stops
//! the queue.

use super::json::{MessageQueue, queue_map};
use super::{Answer, Call, Result};
use crate::codes::response::{QUERY_NOT_FOUND, TOPIC_NOT_EXIST};
use crate::errors::{Failure, code_of};
use crate::response::Response;
use sluice_broker::{PullRequest, StartAt};
use sluice_model::{ErrorKind, Filter, GroupName, Millis, Offset, QueueId, TopicName};
use std::time::Duration;

/// 14: a group's offset on a queue. On a young queue a new group starts at the beginning, whatever it asks for.
pub(super) fn query(call: &Call) -> Result<Response> {
    let (group, topic, queue) = (call.group("consumerGroup")?, call.topic("topic")?, call.queue()?);
    if let Some(offset) = committed(call, &group, &topic, queue)? {
        return Ok(Response::success().field("offset", offset));
    }
    let zero_if_none = call.frame.ext.get("setZeroIfNotFound").is_none_or(|v| v.eq_ignore_ascii_case("true"));
    if let Some((0, max)) = bounds_if_any(call, &topic, queue)?
        && zero_if_none
        && max < call.node.config.young_queue
    {
        return Ok(Response::success().field("offset", 0));
    }
    Err(Failure::new(QUERY_NOT_FOUND, "Not found, maybe this group consumer boot first"))
}

fn committed(call: &Call, group: &GroupName, topic: &TopicName, queue: QueueId) -> Result<Option<Offset>> {
    match call.node.broker.committed(&call.session, group, topic, queue) {
        Ok(offset) => Ok(offset),
        Err(error) => match error.kind() {
            ErrorKind::GroupNotFound | ErrorKind::TopicNotFound | ErrorKind::InvalidArgument => Ok(None),
            _ => Err(error.into()),
        },
    }
}

/// 15: stores a group's offset. One-way from consumers, answered to tools.
pub(super) fn update(call: Call) -> Answer {
    let started = (|| -> Result<_> {
        let (group, topic, queue) = (call.group("consumerGroup")?, call.topic("topic")?, call.queue()?);
        let offset = Offset::try_from(call.number::<i64>("commitOffset")?)
            .map_err(|_| Failure::invalid("an offset cannot be negative"))?;
        Ok(call.node.broker.commit_offset(&call.session, &group, &topic, queue, offset)?)
    })();
    match started {
        Ok(promise) => Answer::later(async move {
            promise.await?;
            Ok(Response::success())
        }),
        Err(failure) => Answer::Ready(failure.into()),
    }
}

/// 30: the offset of the next message.
pub(super) fn max(call: &Call) -> Result<Response> {
    let bounds = bounds_if_any(call, &call.topic("topic")?, call.queue()?)?;
    Ok(Response::success().field("offset", bounds.unwrap_or_default().1))
}

/// 31: the first offset kept.
pub(super) fn min(call: &Call) -> Result<Response> {
    let bounds = bounds_if_any(call, &call.topic("topic")?, call.queue()?)?;
    Ok(Response::success().field("offset", bounds.unwrap_or_default().0))
}

/// A queue's bounds; a queue that does not exist is an empty one for this wire.
fn bounds_if_any(call: &Call, topic: &TopicName, queue: QueueId) -> Result<Option<(Offset, Offset)>> {
    match call.node.broker.bounds(&call.session, topic, queue) {
        Ok(bounds) => Ok(Some(bounds)),
        Err(error) => match error.kind() {
            ErrorKind::TopicNotFound | ErrorKind::InvalidArgument => Ok(None),
            _ => Err(error.into()),
        },
    }
}

/// 29: the offset at a time. LOWER: the first message stored then or later; UPPER: the last one stored then or before.
pub(super) async fn search(call: Call) -> Result<Response> {
    let (topic, queue) = (call.topic("topic")?, call.queue()?);
    let time = Millis::try_from(call.number::<i64>("timestamp")?).unwrap_or(0);
    let upper = call.frame.ext.get("boundaryType").is_some_and(|b| b.eq_ignore_ascii_case("UPPER"));
    let Some((min, _)) = bounds_if_any(&call, &topic, queue)? else {
        return Ok(Response::success().field("offset", 0));
    };
    let broker = &call.node.broker;
    let offset = if upper {
        let after = broker.offset_at(&call.session, &topic, queue, time.saturating_add(1)).await?;
        after.saturating_sub(1).max(min)
    } else {
        broker.offset_at(&call.session, &topic, queue, time).await?
    };
    Ok(Response::success().field("offset", offset))
}

/// 32: when the first message kept was stored, -1 when there is none.
pub(super) async fn earliest_store_time(call: Call) -> Result<Response> {
    let (topic, queue) = (call.topic("topic")?, call.queue()?);
    let Some((min, _)) = bounds_if_any(&call, &topic, queue)?.filter(|(min, max)| min < max) else {
        return Ok(Response::success().field("timestamp", -1));
    };
    let request = PullRequest {
        topic: &topic,
        queue,
        offset: min,
        max: 1,
        max_bytes: 1,
        filter: &Filter::All,
        group: None,
        wait: Duration::ZERO,
    };
    let first = call.node.broker.pull(&call.session, &request).await?.messages.into_iter().next();
    let stored = first.map_or(-1, |message| i64::try_from(message.stored).unwrap_or(i64::MAX));
    Ok(Response::success().field("timestamp", stored))
}

/// 222: moves a group on a topic, to a time or to the end (-1).
pub(super) async fn reset(call: Call) -> Result<Response> {
    let (group, topic) = (call.group("group")?, call.topic("topic")?);
    if call.optional::<i64>("offset")?.is_some_and(|offset| offset >= 0)
        || call.optional::<i32>("queueId")?.is_some_and(|queue| queue >= 0)
    {
        return Err(Failure::invalid(
            "offsets are reset for a whole topic and to a time; commit one queue's with code 15",
        ));
    }
    let to = match Millis::try_from(call.number::<i64>("timestamp")?) {
        Ok(time) => StartAt::Time(time),
        Err(_) => StartAt::Latest,
    };
    let progress =
        call.node.broker.reset_offsets(&call.session, &group, &topic, to, false).await.map_err(|error| {
            match code_of(error.kind()) {
                TOPIC_NOT_EXIST => Failure::new(TOPIC_NOT_EXIST, format!("Topic {topic} does not exist")),
                _ => error.into(),
            }
        })?;
    let name = &call.node.marks.broker.name;
    let table =
        queue_map(progress.iter().map(|p| (MessageQueue::new(name, &p.topic, p.queue), p.committed)))?;
    Ok(Response::success().body(format!("{{\"offsetTable\":{table}}}")))
}
