//! Who reads what, and how far: by topic (300), by group (343, 345), in time (303), everything that lags (317); and
//! giving one group another's progress (314).

use super::super::{Call, Result, json, members, stats};
use crate::codes::response::{SUBSCRIPTION_GROUP_NOT_EXIST, SYSTEM_ERROR};
use crate::errors::Failure;
use crate::response::Response;
use serde_json::json;
use sluice_auth::Action;
use sluice_broker::{Progress, Subscription};
use sluice_model::TopicName;
use std::collections::BTreeMap;

/// 300: the groups that read a topic: with progress on it, or with a member that subscribes to it.
pub(super) fn groups_of_topic(call: &Call) -> Result<Response> {
    let topic = call.topic("topic")?;
    let broker = &call.node.broker;
    let mut readers = Vec::new();
    for group in broker.groups(&call.session, None, usize::MAX)? {
        let subscribes = || -> Result<bool> {
            let members = members::members(call, &group.name)?;
            Ok(members.iter().flat_map(|m| &m.subscriptions).any(|s| s.topic == topic))
        };
        if group.topics.contains(&topic) || (group.members > 0 && subscribes()?) {
            readers.push(group.name.to_string());
        }
    }
    Ok(Response::success().body(json::write(&json!({ "groupList": readers }))?))
}

/// 343: the topics that a group has progress on.
pub(super) fn topics_of_group(call: &Call) -> Result<Response> {
    let group = call.node.broker.group(&call.session, &call.group("group")?)?;
    let topics: Vec<&str> = group.topics.iter().map(TopicName::as_str).collect();
    let list = json::TopicList { topic_list: topics, broker_addr: Some(&call.link.here.route) };
    Ok(Response::success().body(json::write(&list)?))
}

/// 345: what a group's members want from a topic.
pub(super) fn subscription(call: &Call) -> Result<Response> {
    let (group, topic) = (call.group("group")?, call.topic("topic")?);
    let members = members::members(call, &group)?;
    let known: Option<&Subscription> =
        members.iter().flat_map(|m| &m.subscriptions).filter(|s| s.topic == topic).max_by_key(|s| s.version);
    let mut body = json!({ "group": group.as_str(), "topic": topic.as_str() });
    if let (Some(subscription), Some(body)) = (known, body.as_object_mut()) {
        body.insert("subscriptionData".into(), members::subscription(subscription));
    }
    Ok(Response::success().body(json::write(&body)?))
}

/// 303: for each queue that a group reads, when the first and the last message came, and the last consumed one.
pub(super) async fn time_span(call: Call) -> Result<Response> {
    let (group, topic) = (call.group("group")?, call.topic("topic")?);
    let progress = call.node.broker.progress(&call.session, &group, Some(&topic))?;
    let mut spans = Vec::with_capacity(progress.len());
    for p in &progress {
        let at = async |offset: Option<u64>| match offset {
            Some(offset) if offset >= p.min && offset < p.end => {
                stats::stored_at(&call, &p.topic, p.queue, offset).await.unwrap_or(0)
            }
            _ => 0,
        };
        let (first, last) = (at(Some(p.min)).await, at(p.end.checked_sub(1)).await);
        let consumed = at(p.committed.checked_sub(1)).await;
        let next = at(Some(p.committed)).await;
        let delay = if next == 0 { 0 } else { call.node.broker.now().saturating_sub(next) };
        spans.push(json!({
            "consumeTimeStamp": consumed,
            "delayTime": delay,
            "maxTimeStamp": last,
            "messageQueue": json::MessageQueue::new(&call.node.marks.broker.name, &p.topic, p.queue),
            "minTimeStamp": first,
        }));
    }
    Ok(Response::success().body(json::write(&json!({ "consumeTimeSpanSet": spans }))?))
}

/// 314: a group goes on where another one is, on one topic or on all that other has progress on.
pub(super) async fn clone_offsets(call: Call) -> Result<Response> {
    let (from, to) = (call.group("srcGroup")?, call.group("destGroup")?);
    let broker = &call.node.broker;
    let topic = call.optional::<String>("topic")?.map(TopicName::new).transpose()?;
    if !broker.members(&call.session, &to)?.is_empty() {
        let text = format!("the group {to} has members, which would undo it; stop them first");
        return Err(Failure::new(SYSTEM_ERROR, text));
    }
    let progress = broker.progress(&call.session, &from, topic.as_ref())?;
    if progress.is_empty() {
        let text = format!("the group {from} has no progress to clone");
        return Err(Failure::new(SUBSCRIPTION_GROUP_NOT_EXIST, text));
    }
    for p in progress.iter().filter(|p| p.topic.retry_group().is_none()) {
        broker.commit_offset(&call.session, &to, &p.topic, p.queue, p.committed)?.await?;
    }
    Ok(Response::success())
}

/// 317: how far behind every group is.
pub(super) async fn lagging(call: Call) -> Result<Response> {
    let broker = &call.node.broker;
    broker.permit_cluster(&call.session, Action::Get)?;
    let mut lists = Vec::new();
    let (mut behind, mut in_flight) = (0, 0);
    for group in broker.groups(&call.session, None, usize::MAX)? {
        let mut of_topics: BTreeMap<TopicName, Vec<Progress>> = BTreeMap::new();
        for p in broker.progress(&call.session, &group.name, None)? {
            behind += p.lag();
            in_flight += p.in_flight;
            of_topics.entry(p.topic.clone()).or_default().push(p);
        }
        let mut of_group = Vec::with_capacity(of_topics.len());
        for progress in of_topics.values() {
            of_group.push(stats::consume_stats(&call, &group.name, progress).await?);
        }
        if !of_group.is_empty() {
            lists.push(format!("{{\"{}\":[{}]}}", group.name, of_group.join(",")));
        }
    }
    let body = format!(
        "{{\"brokerAddr\":\"{}\",\"consumeStatsList\":[{}],\"totalDiff\":{behind},\"totalInflightDiff\":{in_flight}}}",
        call.link.here.route,
        lists.join(",")
    );
    Ok(Response::success().body(body))
}
