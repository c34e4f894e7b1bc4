//! Topics: their names (206, 304, 305), their settings (21, 351), making and deleting them (17, 18, 215, 216).

use super::json::{DataVersion, TopicList, write};
use super::{Call, Result, system};
use crate::codes::response::SYSTEM_ERROR;
use crate::errors::Failure;
use crate::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sluice_broker::{TopicSpec, TopicView};
use sluice_model::{ErrorKind, MessageType, TopicName};
use std::collections::BTreeMap;

/// Topics in one request: each is a write to the log.
const MAX_LIST: usize = 1000;

/// The attribute of stock brokers that fixes a topic's kind of message.
const MESSAGE_TYPE: &str = "message.type";
/// Our attribute for which broker has how many queues of an ordered topic, as `broker:4;other:4`. It is told with the
/// route, and not shown among the attributes, which stock tools set by other means.
pub(super) const ORDER: &str = "order.conf";
/// And for the flags of units, as a number: 1 for a topic of one unit, 2 for one that others subscribe to. They are kept
/// and told, by topic and as lists; nothing else here depends on them.
const UNIT: &str = "unit.flags";
const UNIT_FLAGS: std::ops::RangeInclusive<u8> = 0..=3;

/// A topic's order, when it has one.
pub(super) fn order_of(spec: &TopicSpec) -> Option<&str> {
    spec.attributes.iter().find(|(name, _)| name == ORDER).map(|(_, order)| &order[..])
}

/// A topic's flags of units.
pub(super) fn unit_of(spec: &TopicSpec) -> u8 {
    let flags = spec.attributes.iter().find(|(name, _)| name == UNIT);
    flags.and_then(|(_, flags)| flags.parse().ok()).unwrap_or_default()
}

/// 206: every topic that this client may see.
pub(super) fn names(call: &Call) -> Result<Response> {
    let topics = every(call)?;
    let mut names: Vec<&str> = call.node.routes.templates(call.node.broker.tuned().auto_create).collect();
    names.extend(topics.iter().map(|t| t.name.as_str()).filter(|n| call.node.template(n).is_none()));
    Ok(Response::success().body(write(&TopicList { topic_list: names, broker_addr: None })?))
}

/// 304, 305: the topics that tools hide.
pub(super) fn system(call: &Call) -> Result<Response> {
    let list = TopicList {
        topic_list: call.node.routes.templates(call.node.broker.tuned().auto_create).collect(),
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

pub(super) fn every(call: &Call) -> Result<Vec<TopicView>> {
    Ok(call.node.broker.topics(&call.session, None, usize::MAX)?)
}

/// 351: one topic's settings.
pub(super) fn one(call: &Call) -> Result<Response> {
    let topic = call.topic("topic")?;
    let view = call.node.broker.topic(&call.session, &topic)?;
    Ok(Response::success().body(write(&settings(&view))?))
}

fn settings(topic: &TopicView) -> Value {
    let shown = topic.spec.attributes.iter().filter(|(name, _)| ![ORDER, UNIT].contains(&&name[..]));
    let mut attributes: Map<String, Value> =
        shown.map(|(name, value)| (name.clone(), value.clone().into())).collect();
    if let Some(kind) = topic.spec.kind {
        attributes.insert(MESSAGE_TYPE.into(), kind_name(kind).into());
    }
    json!({
        "attributes": attributes,
        "order": order_of(&topic.spec).is_some(),
        "perm": topic.spec.perm,
        "readQueueNums": topic.spec.queues,
        "topicFilterType": "SINGLE_TAG",
        "topicName": topic.name.as_str(),
        "topicSysFlag": unit_of(&topic.spec),
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

/// A topic as a tool wants it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TopicConfig {
    topic_name: String,
    read_queue_nums: u32,
    write_queue_nums: u32,
    perm: u8,
    #[serde(default)]
    topic_filter_type: Option<String>,
    #[serde(default)]
    topic_sys_flag: Option<u8>,
    /// Clients take such a topic's queues in one order. False changes nothing: tools say so when they are told nothing.
    #[serde(default)]
    order: Option<bool>,
    /// With the sign of what to do: `{"+message.type": "FIFO"}`.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

/// 17: makes a topic or changes one.
pub(super) async fn put(call: Call) -> Result<Response> {
    let config = TopicConfig {
        topic_name: call.text("topic")?.to_string(),
        read_queue_nums: call.number("readQueueNums")?,
        write_queue_nums: call.number("writeQueueNums")?,
        perm: call.number("perm")?,
        topic_filter_type: call.optional("topicFilterType")?,
        topic_sys_flag: call.optional("topicSysFlag")?,
        order: call.optional("order")?,
        attributes: BTreeMap::new(),
    };
    put_one(&call, config, call.frame.ext.get("attributes").map(|a| &a[..]).unwrap_or_default()).await?;
    Ok(Response::success())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TopicConfigs {
    topic_config_list: Vec<TopicConfig>,
}

/// 18: the same for several, one after the other, until one is refused.
pub(super) async fn put_list(call: Call) -> Result<Response> {
    let configs: TopicConfigs = call.body()?;
    if configs.topic_config_list.len() > MAX_LIST {
        return Err(Failure::invalid(format!("at most {MAX_LIST} topics in one request")));
    }
    for config in configs.topic_config_list {
        let attributes: Vec<String> = config.attributes.iter().map(|(n, v)| format!("{n}={v}")).collect();
        put_one(&call, config, &attributes.join(",")).await?;
    }
    Ok(Response::success())
}

async fn put_one(call: &Call, config: TopicConfig, attributes: &str) -> Result<()> {
    let topic = TopicName::new(config.topic_name)?;
    not_of_the_system(call, &topic)?;
    if config.read_queue_nums != config.write_queue_nums {
        return Err(Failure::invalid("a topic has as many queues for reading as for writing"));
    }
    if config.topic_filter_type.as_ref().is_some_and(|kind| kind != "SINGLE_TAG") {
        return Err(Failure::invalid("topicFilterType can only be SINGLE_TAG: a message has one tag"));
    }
    if config.topic_sys_flag.is_some_and(|flags| !UNIT_FLAGS.contains(&flags)) {
        return Err(Failure::invalid(
            "topicSysFlag has two flags: 1 for a unit, 2 for a subscription of units",
        ));
    }
    let queues = config.read_queue_nums;
    let (broker, session) = (&call.node.broker, &call.session);
    let mut spec = match broker.topic(session, &topic) {
        Ok(view) => view.spec,
        Err(error) if error.kind() == ErrorKind::TopicNotFound => TopicSpec::with_queues(queues),
        Err(error) => return Err(error.into()),
    };
    spec.queues = queues;
    spec.perm = config.perm;
    change_attributes(&mut spec, attributes)?;
    if let Some(flags) = config.topic_sys_flag {
        spec.attributes.retain(|(name, _)| name != UNIT);
        spec.attributes.extend((flags != 0).then(|| (UNIT.to_owned(), flags.to_string())));
    }
    if config.order == Some(true) && order_of(&spec).is_none() {
        spec.attributes.push((ORDER.to_owned(), format!("{}:{queues}", call.node.marks.broker.name)));
    }
    broker.put_topic(session, &topic, spec).await?;
    Ok(())
}

/// Tools neither make nor change nor delete what belongs to the system.
fn not_of_the_system(call: &Call, topic: &TopicName) -> Result<()> {
    let name = topic.as_str();
    if call.node.template(name).is_some() || system::is_system(name) {
        return Err(Failure::invalid(format!("The topic[{topic}] is conflict with system topic.")));
    }
    Ok(())
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
                Some("TRANSACTION") => Some(MessageType::Transaction),
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
        "the attribute {change:?} is not supported; {MESSAGE_TYPE} may be NORMAL, FIFO, DELAY, TRANSACTION or MIXED"
    );
    Failure::new(SYSTEM_ERROR, text)
}

/// 215: deletes a topic and its messages. With a group, tools delete its retry and dead-letter topics, whether or not
/// it has them.
pub(super) async fn delete(call: Call) -> Result<Response> {
    let topic = call.topic("topic")?;
    not_of_the_system(&call, &topic)?;
    let of_group = topic.retry_group().is_some() || topic.dead_letter_group().is_some();
    match call.node.broker.delete_topic(&call.session, &topic).await {
        Err(error) if of_group && error.kind() == ErrorKind::TopicNotFound => Ok(Response::success()),
        deleted => Ok(deleted.map(|()| Response::success())?),
    }
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
