//! GET_ROUTEINFO_BY_TOPIC (105): where a topic's queues are.

use super::query::TRACE_TOPIC;
use super::{Call, Result};
use crate::codes::response::TOPIC_NOT_EXIST;
use crate::errors::Failure;
use crate::response::Response;
use serde_json::json;
use sluice_model::{ErrorKind, TopicName};
use sluice_namesrv::{Queues, perm};
use std::sync::atomic::Ordering;

pub(super) fn handle(call: &Call) -> Result<Response> {
    let topic = call.topic("topic")?;
    let (queues, order, unit) = queues(call, &topic)?;
    let broker = &call.node.marks.broker;
    let mut body = json!({
        "brokerDatas": [broker_data(call)],
        "filterServerTable": {},
        "queueDatas": [{
            "brokerName": &broker.name[..],
            "perm": if call.node.write_wiped.load(Ordering::Relaxed) { queues.perm & !perm::WRITE } else { queues.perm },
            "readQueueNums": queues.count,
            "topicSysFlag": unit,
            "writeQueueNums": queues.count,
        }],
    });
    if let (Some(order), Some(body)) = (order, body.as_object_mut()) {
        body.insert("orderTopicConf".into(), order.into());
    }
    Ok(Response::success().body(super::json::write(&body)?))
}

/// A topic's queues, its order when it has one, and its flags of units.
fn queues(call: &Call, topic: &TopicName) -> Result<(Queues, Option<String>, u8)> {
    match call.node.broker.topic(&call.session, topic) {
        Ok(view) => {
            let order = super::topics::order_of(&view.spec).map(str::to_owned);
            let unit = super::topics::unit_of(&view.spec);
            Ok((Queues { count: view.spec.queues, perm: view.spec.perm }, order, unit))
        }
        // A template says nothing but where the broker is, so it needs no permission.
        Err(error) => match (call.node.template(topic.as_str()), error.kind()) {
            (Some(template), ErrorKind::TopicNotFound | ErrorKind::PermissionDenied) => {
                Ok((template, None, 0))
            }
            // Tools ask for the trace of a message before any client has stored one.
            (None, ErrorKind::TopicNotFound) if topic.as_str() == TRACE_TOPIC => {
                Ok((Queues { count: 1, perm: perm::READ | perm::WRITE }, None, 0))
            }
            // Clients ask before their first heartbeat makes it, and then not for half a minute: a first retry would wait.
            (None, ErrorKind::TopicNotFound) if topic.retry_group().is_some() => {
                Ok((Queues { count: 1, perm: perm::READ | perm::WRITE }, None, 0))
            }
            (None, ErrorKind::TopicNotFound) => Err(no_route(topic)),
            _ => Err(error.into()),
        },
    }
}

fn no_route(topic: &TopicName) -> Failure {
    Failure::new(TOPIC_NOT_EXIST, format!("No topic route info in name server for the topic: {topic}"))
}

/// The broker and its address as this client reaches it. Number 0 is the one that takes messages.
pub(super) fn broker_data(call: &Call) -> serde_json::Value {
    let broker = &call.node.marks.broker;
    json!({
        "brokerAddrs": { "0": &call.link.here.route[..] },
        "brokerName": &broker.name[..],
        "cluster": &broker.cluster[..],
        "enableActingMaster": false,
    })
}
