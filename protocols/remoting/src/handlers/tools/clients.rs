//! Connected clients: who produces (204, 328), and questions that a tool has to one consumer (307, 309), which are
//! passed on to it as they are.

use super::super::{Call, Result, json, members};
use crate::clients::{Known, NoAnswer};
use crate::codec::language_name;
use crate::codes::request::{CONSUME_MESSAGE_DIRECTLY, GET_CONSUMER_RUNNING_INFO};
use crate::codes::response::{CONSUME_MSG_TIMEOUT, SYSTEM_ERROR};
use crate::convert::to_properties;
use crate::errors::Failure;
use crate::ids::parse_offset_id;
use crate::record::Records;
use crate::response::{Response, Value as Field};
use crate::session::Link;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use sluice_auth::Action;
use sluice_model::GroupName;
use std::sync::Arc;

/// 204: the clients that send as a group.
pub(super) fn producers(call: &Call) -> Result<Response> {
    let group = call.group("producerGroup")?;
    call.node.broker.permit_cluster(&call.session, Action::Get)?;
    let known = call.node.clients.producers(Some(&group));
    if known.is_empty() {
        return Err(Failure::new(SYSTEM_ERROR, format!("the producer group[{group}] not exist")));
    }
    let connections: Vec<Value> = known.iter().map(connection).collect();
    Ok(Response::success().body(json::write(&json!({ "connectionSet": connections }))?))
}

fn connection(known: &Known) -> Value {
    json!({
        "clientAddr": known.peer.to_string(),
        "clientId": &known.client_id[..],
        "language": language_name(known.language),
        "version": known.version,
    })
}

/// 328: every group's producers.
pub(super) fn all_producers(call: &Call) -> Result<Response> {
    call.node.broker.permit_cluster(&call.session, Action::Get)?;
    let mut groups: Map<String, Value> = Map::new();
    for known in call.node.clients.producers(None) {
        let producer = json!({
            "clientId": &known.client_id[..],
            "language": language_name(known.language),
            "lastUpdateTimestamp": known.seen,
            "remoteIP": format!("/{}", known.peer),
            "version": known.version,
        });
        for group in &known.producers {
            let of_group = groups.entry(group.to_string()).or_insert_with(|| json!([]));
            of_group.as_array_mut().into_iter().for_each(|list| list.push(producer.clone()));
        }
    }
    Ok(Response::success().body(json::write(&json!({ "data": groups }))?))
}

/// 307: what a consumer says about itself.
pub(super) async fn running_info(call: Call) -> Result<Response> {
    let group = call.group("consumerGroup")?;
    let client_id = call.text("clientId")?.clone();
    let link = member(&call, &group, &client_id)?;
    let jstack = call.frame.ext.get("jstackEnable").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let ext: [(&str, Field); 3] = [
        ("consumerGroup", Field::Text(group.as_bytestring().clone())),
        ("clientId", Field::Text(client_id.clone())),
        ("jstackEnable", jstack.into()),
    ];
    passed_on(&link, &group, &client_id, GET_CONSUMER_RUNNING_INFO, &ext, Vec::new()).await
}

/// 309: gives a consumer one message to consume, outside of its group's progress.
pub(super) async fn consume(call: Call) -> Result<Response> {
    let group = call.group("consumerGroup")?;
    let client_id = call.text("clientId")?.clone();
    let id = call.text("msgId")?.clone();
    let (_, locator) = parse_offset_id(&id).ok_or_else(|| {
        Failure::invalid(format!("{id} is no offset id; only such an id leads to a message"))
    })?;
    let link = member(&call, &group, &client_id)?;
    let stored = call.node.broker.message_at(&call.session, locator).await?;
    let host = call.link.here.host;
    let mut records = Records::default();
    records.push(&stored, &to_properties(&stored, &call.node.marks, host), host);
    let ext: [(&str, Field); 7] = [
        ("consumerGroup", Field::Text(group.as_bytestring().clone())),
        ("clientId", Field::Text(client_id.clone())),
        ("msgId", Field::Text(id)),
        ("brokerName", Field::Text(call.node.marks.broker.name.clone())),
        ("topic", Field::Text(stored.topic.as_bytestring().clone())),
        ("topicSysFlag", 0.into()),
        ("groupSysFlag", 0.into()),
    ];
    passed_on(&link, &group, &client_id, CONSUME_MESSAGE_DIRECTLY, &ext, records.into_parts()).await
}

/// The connection of a group's member.
fn member(call: &Call, group: &GroupName, client_id: &str) -> Result<Arc<Link>> {
    let is_member = members::members(call, group)?.iter().any(|member| *member.client_id == *client_id);
    let link = call.node.clients.find(client_id).filter(|_| is_member);
    link.ok_or_else(|| not_online(group, client_id))
}

fn not_online(group: &GroupName, client_id: &str) -> Failure {
    Failure::new(SYSTEM_ERROR, format!("The Consumer <{group}> <{client_id}> not online"))
}

async fn passed_on(
    link: &Link,
    group: &GroupName,
    client_id: &str,
    code: i32,
    ext: &[(&str, Field)],
    body: Vec<Bytes>,
) -> Result<Response> {
    match link.ask(code, ext, body).await {
        Ok(answer) => {
            let (code, remark, body) = (answer.head.code, answer.head.remark, vec![answer.body]);
            Ok(Response { code, remark, body, ..Response::default() })
        }
        Err(NoAnswer::NotConnected) => Err(not_online(group, client_id)),
        Err(error @ (NoAnswer::TimedOut | NoAnswer::Busy)) => {
            Err(Failure::new(CONSUME_MSG_TIMEOUT, format!("consumer <{group}> <{client_id}>: {error}")))
        }
    }
}
