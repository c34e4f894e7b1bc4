//! The members of a group: who they are (38, 203), one that leaves (35), and whether its settings can work (46).

use super::heartbeat::SubscriptionData;
use super::{Call, Result};
use crate::codes::response::{CONSUMER_NOT_ONLINE, SYSTEM_ERROR};
use crate::differing::differences;
use crate::errors::Failure;
use crate::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sluice_broker::{Fetching, Member, Sharing, StartAt, Subscription};
use sluice_model::{ErrorKind, Filter, GroupName, tag_hash};
use std::collections::BTreeSet;

/// 38: the client ids, among which consumers share the queues.
pub(super) fn list(call: &Call) -> Result<Response> {
    let group = call.group("consumerGroup")?;
    let members = members(call, &group)?;
    if members.is_empty() {
        return Err(Failure::new(SYSTEM_ERROR, format!("no consumer for this group, {group}")));
    }
    // A client that has just reconnected is there twice for a moment.
    let ids: BTreeSet<&str> = members.iter().map(|m| &*m.client_id).collect();
    Ok(Response::success().body(super::json::write(&json!({ "consumerIdList": ids }))?))
}

/// The live members; an unknown group has none.
pub(super) fn members(call: &Call, group: &GroupName) -> Result<Vec<Member>> {
    match call.node.broker.members(&call.session, group) {
        Ok(members) => Ok(members),
        Err(error) if error.kind() == ErrorKind::GroupNotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// 35: a client stops being a producer or a member.
pub(super) fn unregister(call: &Call) -> Result<Response> {
    if let Some(client) = call.link.known_client()
        && call.frame.ext.get("consumerGroup").is_some_and(|g| !g.is_empty())
    {
        let group = call.group("consumerGroup")?;
        client.leave(&group);
        call.node.differing.left(&group);
    }
    if let Some(group) = call.frame.ext.get("producerGroup") {
        call.link.no_producer(&call.node, group);
        if let (Some(client), Ok(group)) = (call.link.known_client(), GroupName::new(group.clone())) {
            client.stop_producing(&group);
        }
    }
    Ok(Response::success())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientConfig {
    #[serde(default)]
    subscription_data: Option<SubscriptionData>,
}

/// 46: asked before a consumer starts, for conditions that are not tags.
pub(super) fn check_config(call: &Call) -> Result<Response> {
    let config: ClientConfig = call.body()?;
    if let Some(data) = config.subscription_data {
        data.parsed(&call.node.broker)?;
    }
    Ok(Response::success())
}

/// 203: the members with their addresses and subscriptions, for tools.
pub(super) fn connections(call: &Call) -> Result<Response> {
    let group = call.group("consumerGroup")?;
    let members = members(call, &group)?;
    let Some(first) = members.first() else {
        return Err(Failure::new(CONSUMER_NOT_ONLINE, format!("the consumer group[{group}] not online")));
    };
    let mut subscriptions: Map<String, Value> =
        first.subscriptions.iter().map(|s| (s.topic.to_string(), subscription(s))).collect();
    // Tools show one expression for each topic, so they are shown what there is to see.
    for difference in differences(&members) {
        let shown = json!({ "topic": difference.topic.as_str() });
        let entry = subscriptions.entry(difference.topic.to_string()).or_insert(shown);
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("subString".into(), format!("DIFFERENT: {difference}").into());
        }
    }
    let body = json!({
        "connectionSet": members.iter().map(connection).collect::<Vec<_>>(),
        "consumeFromWhere": match first.start {
            StartAt::Earliest => "CONSUME_FROM_FIRST_OFFSET",
            StartAt::Latest => "CONSUME_FROM_LAST_OFFSET",
            StartAt::Time(_) => "CONSUME_FROM_TIMESTAMP",
        },
        "consumeType": match first.fetching {
            Fetching::Push => "CONSUME_PASSIVELY",
            Fetching::Pull => "CONSUME_ACTIVELY",
            Fetching::Lease => "CONSUME_POP",
        },
        "messageModel": match first.sharing {
            Sharing::Clustering => "CLUSTERING",
            Sharing::Broadcasting => "BROADCASTING",
        },
        "subscriptionTable": subscriptions,
    });
    Ok(Response::success().body(super::json::write(&body)?))
}

fn connection(member: &Member) -> Value {
    let (language, version) = member.agent.split_once(' ').unwrap_or(("OTHER", "0"));
    json!({
        "clientAddr": member.peer.to_string(),
        "clientId": &member.client_id[..],
        "language": language,
        "version": version.parse::<i32>().unwrap_or(0),
    })
}

pub(super) fn subscription(subscription: &Subscription) -> Value {
    let tags: Vec<&str> = match &subscription.filter {
        Filter::All | Filter::Sql(_) => Vec::new(),
        Filter::Tags(tags) => tags.iter().map(|t| &t[..]).collect(),
    };
    let kind = if subscription.filter.looks_inside() { "SQL92" } else { "TAG" };
    json!({
        "classFilterMode": false,
        "codeSet": tags.iter().map(|t| tag_hash(t) as i32).collect::<Vec<_>>(),
        "expressionType": kind,
        "subString": &subscription.expression[..],
        "subVersion": subscription.version,
        "tagsSet": tags,
        "topic": subscription.topic.as_str(),
    })
}
