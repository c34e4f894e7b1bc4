//! Offsets: a group's progress (14, 15, 222) and a queue's bounds (29, 30, 31, 32).
//!
//! The one idea to know: "no progress" (22) is the only failure of 14 that a consumer can live with; any other stops
//! the queue.

use super::json::{MessageQueue, queue_map};
use super::{Answer, Call, Result};
use crate::codes::response::{QUERY_NOT_FOUND, SYSTEM_ERROR, TOPIC_NOT_EXIST};
use crate::errors::{Failure, code_of};
use crate::resets::Place;
use crate::response::Response;
use sluice_broker::{PullRequest, StartAt};
use sluice_model::{ErrorKind, Filter, GroupName, Millis, Offset, QueueId, TopicName};
use std::time::Duration;

/// 14: a group's offset on a queue. On a young queue a new group starts at the beginning, whatever it asks for.
///
/// A place that retention has let go, or that never was, is told as the nearest that is there: a client that pulls outside
/// the queue is corrected then, and stock ones go on up to half a minute later.
pub(super) fn query(call: &Call) -> Result<Response> {
    let (group, topic, queue) = (call.group("consumerGroup")?, call.topic("topic")?, call.queue()?);
    if let Some(offset) = committed(call, &group, &topic, queue)? {
        // Who may see the group and not the topic is told what is stored.
        let bounds = bounds_if_any(call, &topic, queue).ok().flatten();
        let within = bounds.map_or(offset, |(min, max)| offset.clamp(min, max.max(min)));
        return Ok(Response::success().field("offset", within));
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
        let place = (group, topic, queue);
        if call.node.resets.is_pending(&place, call.node.broker.now()) {
            let text = "the group has just been moved on this queue, and its consumer does not know yet";
            return Err(Failure::new(SYSTEM_ERROR, text));
        }
        let (group, topic, queue) = place;
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

/// 222: moves a group on a topic, to a time or to the end (-1), or on one queue to an offset. Consumers that are
/// connected learn it with their next pull.
pub(super) async fn reset(call: Call) -> Result<Response> {
    let (group, topic) = (call.group("group")?, call.topic("topic")?);
    let to = match Millis::try_from(call.number::<i64>("timestamp")?) {
        Ok(time) => StartAt::Time(time),
        Err(_) => StartAt::Latest,
    };
    let only = call.optional::<i32>("queueId")?.and_then(|queue| u32::try_from(queue).ok()).map(QueueId);
    let exactly = call.optional::<i64>("offset")?.and_then(|offset| Offset::try_from(offset).ok());
    let (broker, session) = (&call.node.broker, &call.session);
    let targets =
        broker.reset_offsets(session, &group, &topic, to, true).await.map_err(|error| {
            match code_of(error.kind()) {
                TOPIC_NOT_EXIST => Failure::new(TOPIC_NOT_EXIST, format!("Topic {topic} does not exist")),
                _ => error.into(),
            }
        })?;
    let mut moves: Vec<(Place, Offset)> = Vec::with_capacity(targets.len());
    for target in targets.into_iter().filter(|t| only.is_none_or(|only| t.queue == only)) {
        let offset = exactly.unwrap_or(target.committed);
        if offset > target.end || (exactly.is_some() && offset < target.min) {
            let range = format!("[{}-{}]", target.min, target.end);
            let text = format!("Target offset {offset} not in consume queue range {range}");
            return Err(Failure::new(SYSTEM_ERROR, text));
        }
        moves.push(((group.clone(), target.topic, target.queue), offset));
    }
    if moves.is_empty() {
        return Err(Failure::invalid(format!("the topic {topic} has no such queue")));
    }
    let whole = only.is_none() && exactly.is_none();
    move_group(&call, &moves, whole.then_some(to)).await?;
    let name = &call.node.marks.broker.name;
    let table =
        queue_map(moves.iter().map(|((_, topic, queue), to)| (MessageQueue::new(name, topic, *queue), to)))?;
    Ok(Response::success().body(format!("{{\"offsetTable\":{table}}}")))
}

/// Those who consume are told first: what they commit meanwhile must not undo it. With `all` it is every queue of the
/// topic, in one write.
async fn move_group(call: &Call, moves: &[(Place, Offset)], all: Option<StartAt>) -> Result<()> {
    let broker = &call.node.broker;
    let Some(((group, topic, _), _)) = moves.first() else { return Ok(()) };
    // One who may move the group and not see its members cannot know that nobody consumes.
    let consumed = broker.members(&call.session, group).map_or(true, |members| !members.is_empty());
    if consumed {
        call.node.resets.set(moves.iter().cloned(), broker.now());
    }
    let stored = async {
        if let Some(to) = all {
            broker.reset_offsets(&call.session, group, topic, to, false).await?;
            return Ok(());
        }
        for ((group, topic, queue), offset) in moves {
            broker.commit_offset(&call.session, group, topic, *queue, *offset)?.await?;
        }
        Ok(())
    };
    stored.await.inspect_err(|_| call.node.resets.withdraw(moves.iter().map(|(place, _)| place)))
}
