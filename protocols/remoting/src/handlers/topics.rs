//! Topics: their names (206, 304, 305), their settings (21, 351), making and deleting them (17, 215, 216).

use super::json::{DataVersion, TopicList, write};
use super::{Call, Result};
use crate::codes::response::SYSTEM_ERROR;
use crate::errors::Failure;
use crate::response::Response;
use serde_json::{Map, Value, json};
use sluice_broker::{TopicSpec, TopicView};
use sluice_model::{ErrorKind, MessageType};

/// The attribute of stock brokers that fixes a topic's kind of message.
const MESSAGE_TYPE: &str = "message.type";

/// 206: every topic that this client may see.
pub(super) fn names(call: &Call) -> Result<Response> {
    let topics = every(call)?;
    let mut names: Vec<&str> = call.node.routes.templates().collect();
    names.extend(topics.iter().map(|t| t.name.as_str()).filter(|n| call.node.routes.template(n).is_none()));
    Ok(Response::success().body(write(&TopicList { topic_list: names, broker_addr: None })?))
}

/// 304, 305: the topics that tools hide.
pub(super) fn system(call: &Call) -> Result<Response> {
    let list = TopicList {
        topic_list: call.node.routes.templates().collect(),
        broker_addr: Some(&call.link.here.route),
    };
    Ok(Response::success().body(write(&list)?))
}

/// 21: all topics with their settings.
pub(super) fn all(call: &Call) -> Result<Response> {
    let topics = every(call)?;
    let table: Map<String, Value> = topics.iter().map(|t| (t.name.to_string(), settings(t))).collect();
    let version =
        json!(DataVersion { counter: topics.len() as u64, state_version: 0, timestamp: call.node.started });
    let body = json!({
        "dataVersion": version,
        "mappingDataVersion": version,
        "topicConfigTable": table,
        "topicQueueMappingDetailMap": {},
    });
    Ok(Response::success().field("totalTopicNum", topics.len()).body(write(&body)?))
}

fn every(call: &Call) -> Result<Vec<TopicView>> {
    Ok(call.node.broker.topics(&call.session, None, usize::MAX)?)
}

/// 351: one topic's settings.
pub(super) fn one(call: &Call) -> Result<Response> {
    let topic = call.topic("topic")?;
    let view = call.node.broker.topic(&call.session, &topic)?;
    Ok(Response::success().body(write(&settings(&view))?))
}

fn settings(topic: &TopicView) -> Value {
    let mut attributes: Map<String, Value> =
        topic.spec.attributes.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    if let Some(kind) = topic.spec.kind {
        attributes.insert(MESSAGE_TYPE.into(), kind_name(kind).into());
    }
    json!({
        "attributes": attributes,
        "order": false,
        "perm": topic.spec.perm,
        "readQueueNums": topic.spec.queues,
        "topicFilterType": "SINGLE_TAG",
        "topicName": topic.name.as_str(),
        "topicSysFlag": 0,
        "writeQueueNums": topic.spec.queues,
    })
}

fn kind_name(kind: MessageType) -> &'static str {
    match kind {
        MessageType::Normal => "NORMAL",
        MessageType::Fifo => "FIFO",
        MessageType::Delay => "DELAY",
        MessageType::Transaction => "TRANSACTION",
    }
}

/// 17: makes a topic or changes one.
pub(super) async fn put(call: Call) -> Result<Response> {
    let topic = call.topic("topic")?;
    if call.node.routes.template(topic.as_str()).is_some() {
        return Err(Failure::invalid(format!("The topic[{topic}] is conflict with system topic.")));
    }
    let (read, write): (u32, u32) = (call.number("readQueueNums")?, call.number("writeQueueNums")?);
    if read != write {
        return Err(Failure::invalid("a topic has as many queues for reading as for writing"));
    }
    let (broker, session) = (&call.node.broker, &call.session);
    let mut spec = match broker.topic(session, &topic) {
        Ok(view) => view.spec,
        Err(error) if error.kind() == ErrorKind::TopicNotFound => TopicSpec::with_queues(read),
        Err(error) => return Err(error.into()),
    };
    spec.queues = read;
    spec.perm = call.number("perm")?;
    if let Some(changes) = call.frame.ext.get("attributes") {
        change_attributes(&mut spec, changes)?;
    }
    broker.put_topic(session, &topic, spec).await?;
    Ok(Response::success())
}

/// Applies `+name=value,-name`.
fn change_attributes(spec: &mut TopicSpec, changes: &str) -> Result<()> {
    for change in changes.split(',').map(str::trim).filter(|c| !c.is_empty()) {
        let (name, value) = match change.split_at_checked(1) {
            Some(("+", set)) => match set.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => return Err(bad_attribute(change)),
            },
            Some(("-", name)) => (name, None),
            _ => return Err(bad_attribute(change)),
        };
        if name == MESSAGE_TYPE {
            spec.kind = match value.map(str::to_ascii_uppercase).as_deref() {
                Some("NORMAL") => Some(MessageType::Normal),
                Some("FIFO") => Some(MessageType::Fifo),
                Some("DELAY") => Some(MessageType::Delay),
                None | Some("UNSPECIFIED" | "MIXED") => None,
                Some(_) => return Err(bad_attribute(change)),
            };
            continue;
        }
        // What this broker does not do is not accepted and then ignored.
        return Err(bad_attribute(change));
    }
    Ok(())
}

fn bad_attribute(change: &str) -> Failure {
    let text = format!(
        "the attribute {change:?} is not supported; {MESSAGE_TYPE} may be NORMAL, FIFO, DELAY or MIXED"
    );
    Failure::new(SYSTEM_ERROR, text)
}

/// 215: deletes a topic and its messages.
pub(super) async fn delete(call: Call) -> Result<Response> {
    let topic = call.topic("topic")?;
    call.node.broker.delete_topic(&call.session, &topic).await?;
    Ok(Response::success())
}

/// 216: tools say so after 215. The name server keeps no topics of its own, so there is nothing left to do, unless the
/// broker still has it.
pub(super) fn delete_route(call: &Call) -> Result<Response> {
    let topic = call.topic("topic")?;
    match call.node.broker.topic(&call.session, &topic) {
        Err(error) if error.kind() == ErrorKind::TopicNotFound => Ok(Response::success()),
        Err(error) => Err(error.into()),
        Ok(_) => Err(Failure::new(SYSTEM_ERROR, "the broker still has this topic; delete it there (215)")),
    }
}
