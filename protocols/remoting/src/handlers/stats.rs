//! How full a topic is (202), how far a group has come (208), and how much came lately, for tools.
//!
//! The one idea to know: of what came nothing is counted. The log knows when each message was stored, so when the last one
//! came, and how many came in the last minute, is looked up when somebody asks.

use super::json::{MessageQueue, queue_map};
use super::{Call, Result};
use crate::response::Response;
use serde_json::json;
use sluice_broker::{Progress, PullRequest, TopicView};
use sluice_model::{ErrorKind, Filter, GroupName, Millis, Offset, QueueId, TopicName};
use std::collections::BTreeSet;
use std::time::Duration;

const MINUTE: Millis = 60_000;

/// 202: the bounds of each queue, and when its last message came.
pub(super) async fn topic(call: Call) -> Result<Response> {
    let topic = call.topic("topic")?;
    let view = call.node.broker.topic(&call.session, &topic)?;
    let name = &call.node.marks.broker.name;
    let mut queues = Vec::with_capacity(view.bounds.len());
    for (number, (min, max)) in view.bounds.iter().enumerate() {
        let queue = QueueId(number as u32);
        let last = if min < max { stored_at(&call, &topic, queue, max - 1).await } else { None };
        let facts = json!({ "lastUpdateTimestamp": last.unwrap_or(0), "maxOffset": max, "minOffset": min });
        queues.push((MessageQueue::new(name, &topic, queue), facts));
    }
    let table = queue_map(queues.into_iter())?;
    let put = since(&call, &view, call.node.broker.now().saturating_sub(MINUTE)).await? as f64 / 60.0;
    Ok(Response::success().body(format!("{{\"offsetTable\":{table},\"topicPutTps\":{put:?}}}")))
}

/// How many messages of a topic were stored at this time or later.
pub(super) async fn since(call: &Call, view: &TopicView, time: Millis) -> Result<u64> {
    let mut count = 0;
    for (number, (min, max)) in view.bounds.iter().enumerate() {
        if min < max {
            let queue = QueueId(number as u32);
            let from = call.node.broker.offset_at(&call.session, &view.name, queue, time).await?;
            count += max.saturating_sub(from);
        }
    }
    Ok(count)
}

/// When the message at an offset was stored; nothing when it is gone, or when this client may not read it.
pub(super) async fn stored_at(
    call: &Call,
    topic: &TopicName,
    queue: QueueId,
    offset: Offset,
) -> Option<Millis> {
    let request = PullRequest {
        topic,
        queue,
        offset,
        max: 1,
        max_bytes: 1,
        filter: &Filter::All,
        group: None,
        wait: Duration::ZERO,
    };
    let pulled = call.node.broker.pull(&call.session, &request).await.ok()?;
    pulled.messages.first().filter(|message| message.offset == offset).map(|message| message.stored)
}

/// 208: a group's progress on one topic, on several, or on all.
pub(super) async fn group(call: Call) -> Result<Response> {
    let group = call.group("consumerGroup")?;
    let topics = topics(&call)?;
    let mut progress = match call.node.broker.progress(&call.session, &group, None) {
        Ok(progress) => progress,
        // An unknown group has consumed nothing.
        Err(error) if error.kind() == ErrorKind::GroupNotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    progress.retain(|p| topics.is_empty() || topics.contains(&p.topic));
    Ok(Response::success().body(consume_stats(&call, &group, &progress).await?))
}

/// Progress as tools read it: with the time at which the last consumed message was stored, 0 when that is not known.
pub(super) async fn consume_stats(call: &Call, group: &GroupName, progress: &[Progress]) -> Result<String> {
    let name = &call.node.marks.broker.name;
    let mut queues = Vec::with_capacity(progress.len());
    for p in progress {
        let last = match p.committed.checked_sub(1).filter(|last| *last >= p.min) {
            Some(last) => stored_at(call, &p.topic, p.queue, last).await,
            None => None,
        };
        let offsets = json!({
            "brokerOffset": p.end,
            "consumerOffset": p.committed,
            "lastTimestamp": last.unwrap_or(0),
            "pullOffset": p.committed + p.in_flight as u64,
        });
        queues.push((MessageQueue::new(name, &p.topic, p.queue), offsets));
    }
    let now = call.node.broker.now();
    let topics: BTreeSet<&TopicName> = progress.iter().map(|p| &p.topic).collect();
    let rate: f64 = topics.iter().fold(0.0, |sum, topic| sum + call.node.rates.per_second(group, topic, now));
    Ok(format!("{{\"consumeTps\":{rate:?},\"offsetTable\":{}}}", queue_map(queues.into_iter())?))
}

fn topics(call: &Call) -> Result<Vec<TopicName>> {
    let list = call.frame.ext.get("topicList").or(call.frame.ext.get("topic"));
    let names = list.map(|l| &l[..]).unwrap_or_default().split(';').filter(|name| !name.is_empty());
    names.map(|name| TopicName::new(name).map_err(Into::into)).collect()
}
