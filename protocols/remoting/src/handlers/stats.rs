//! How full a topic is (202) and how far a group has come (208), for tools.

use super::json::{MessageQueue, queue_map};
use super::{Call, Result};
use crate::response::Response;
use serde_json::json;
use sluice_model::{ErrorKind, QueueId, TopicName};

/// 202: the bounds of each queue. When the last message came is not kept per queue: 0.
pub(super) fn topic(call: &Call) -> Result<Response> {
    let topic = call.topic("topic")?;
    let view = call.node.broker.topic(&call.session, &topic)?;
    let name = &call.node.marks.broker.name;
    let table = queue_map(view.bounds.iter().enumerate().map(|(queue, (min, max))| {
        let queue = MessageQueue::new(name, &topic, QueueId(queue as u32));
        (queue, json!({ "lastUpdateTimestamp": 0, "maxOffset": max, "minOffset": min }))
    }))?;
    Ok(Response::success().body(format!("{{\"offsetTable\":{table},\"topicPutTps\":0.0}}")))
}

/// 208: a group's progress on one topic, on several, or on all.
pub(super) fn group(call: &Call) -> Result<Response> {
    let group = call.group("consumerGroup")?;
    let topics = topics(call)?;
    let mut progress = match call.node.broker.progress(&call.session, &group, None) {
        Ok(progress) => progress,
        // An unknown group has consumed nothing.
        Err(error) if error.kind() == ErrorKind::GroupNotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    progress.retain(|p| topics.is_empty() || topics.contains(&p.topic));
    let name = &call.node.marks.broker.name;
    let table = queue_map(progress.iter().map(|p| {
        let offsets = json!({
            "brokerOffset": p.end,
            "consumerOffset": p.committed,
            "lastTimestamp": 0,
            "pullOffset": p.committed,
        });
        (MessageQueue::new(name, &p.topic, p.queue), offsets)
    }))?;
    Ok(Response::success().body(format!("{{\"consumeTps\":0.0,\"offsetTable\":{table}}}")))
}

fn topics(call: &Call) -> Result<Vec<TopicName>> {
    let list = call.frame.ext.get("topicList").or(call.frame.ext.get("topic"));
    let names = list.map(|l| &l[..]).unwrap_or_default().split(';').filter(|name| !name.is_empty());
    names.map(|name| TopicName::new(name).map_err(Into::into)).collect()
}
