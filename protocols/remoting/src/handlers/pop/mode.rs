//! Who pops and who pulls: QUERY_ASSIGNMENT (400), SET_MESSAGE_REQUEST_MODE (401), GET_ALL_MESSAGE_REQUEST_MODE (402).
//!
//! The one idea to know: a stock consumer with `clientRebalance=false` asks which queues are its own. For a group that pops
//! a topic the answer is "any queue", for every member. The retries of such a topic are among what is popped, so nobody
//! pulls them beside it. The mode is an attribute of the group.

use super::super::{Call, Result, json, members};
use crate::codes::response::NO_PERMISSION;
use crate::errors::Failure;
use crate::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sluice_auth::Action;
use sluice_broker::GroupSpec;
use sluice_model::{ErrorKind, GroupName, TopicName};
use std::collections::{BTreeMap, BTreeSet};

/// The group's attribute: the topics that it pops, with blanks between them.
const POPS: &str = "remoting.pop";
/// The most topics that one group pops.
const MAX_TOPICS: usize = 1000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    topic: String,
    consumer_group: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    strategy_name: String,
    #[serde(default)]
    message_model: String,
}

/// 400: the queues that a client is to read, and how.
pub(in super::super) fn assignment(call: &Call) -> Result<Response> {
    let asked: Asked = call.body()?;
    let (group, topic) =
        (GroupName::new(asked.consumer_group.clone())?, TopicName::new(asked.topic.clone())?);
    let view = match call.node.broker.topic(&call.session, &topic) {
        Ok(view) => view,
        Err(error) if error.kind() == ErrorKind::TopicNotFound => return answer(None),
        Err(error) => return Err(error.into()),
    };
    let queue = |number: i64, mode: &str| {
        let broker = &call.node.marks.broker.name[..];
        json!({ "messageQueue": { "brokerName": broker, "queueId": number, "topic": topic.as_str() }, "mode": mode })
    };
    let popped = popped(call, &group)?;
    if popped.contains(topic.as_str()) {
        return answer(Some(vec![queue(-1, "POP")]));
    }
    let all: Vec<i64> = (0..i64::from(view.spec.queues)).collect();
    if asked.message_model.eq_ignore_ascii_case("BROADCASTING") {
        return answer(Some(all.into_iter().map(|number| queue(number, "PULL")).collect()));
    }
    if topic.retry_group().is_some() && pops_all(call, &group, &popped) {
        return answer(Some(Vec::new()));
    }
    let members = members::members(call, &group)?;
    let clients: BTreeSet<&str> = members.iter().map(|m| &*m.client_id).collect();
    let Some(at) = clients.iter().position(|id| *id == asked.client_id) else { return answer(None) };
    let own = share(&asked.strategy_name, all.len(), clients.len(), at);
    answer(Some(own.into_iter().filter_map(|i| Some(queue(*all.get(i)?, "PULL"))).collect()))
}

fn answer(assignments: Option<Vec<Value>>) -> Result<Response> {
    let body = assignments.map_or_else(|| json!({}), |list| json!({ "messageQueueAssignments": list }));
    Ok(Response::success().body(json::write(&body)?))
}

/// The places of the queues of client number `at`, as the client's own strategies of these names share them.
fn share(strategy: &str, queues: usize, clients: usize, at: usize) -> Vec<usize> {
    match strategy {
        "AVG" => {
            let (each, more) = (queues / clients, queues % clients);
            let start = at * each + at.min(more);
            (start..start + each + usize::from(at < more)).collect()
        }
        "AVG_BY_CIRCLE" => (at..queues).step_by(clients).collect(),
        // As stock brokers: who shares in another way does so by itself.
        _ => Vec::new(),
    }
}

fn popped(call: &Call, group: &GroupName) -> Result<BTreeSet<String>> {
    match call.node.broker.group(&call.session, group) {
        Ok(view) => Ok(topics(&view.spec)),
        Err(error) if error.kind() == ErrorKind::GroupNotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error.into()),
    }
}

fn topics(spec: &GroupSpec) -> BTreeSet<String> {
    let list = spec.attributes.iter().find(|(name, _)| name == POPS).map(|(_, list)| list.as_str());
    list.unwrap_or_default().split(' ').filter(|topic| !topic.is_empty()).map(str::to_owned).collect()
}

/// Whether the members of the group pop all that they subscribe to.
fn pops_all(call: &Call, group: &GroupName, popped: &BTreeSet<String>) -> bool {
    let members = members::members(call, group).unwrap_or_default();
    let mut topics = members.iter().flat_map(|m| &m.subscriptions).map(|s| &s.topic);
    !popped.is_empty() && topics.all(|t| t.retry_group().is_some() || popped.contains(t.as_str()))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mode {
    topic: String,
    consumer_group: String,
    mode: String,
    #[serde(default)]
    pop_share_queue_num: i64,
}

/// 401: how a group's clients ask for a topic's messages.
pub(in super::super) async fn set(call: Call) -> Result<Response> {
    let mode: Mode = call.body()?;
    let (topic, group) = (TopicName::new(mode.topic)?, GroupName::new(mode.consumer_group)?);
    let pops = match mode.mode.as_str() {
        "POP" => true,
        "PULL" => false,
        other => return Err(Failure::invalid(format!("{other} is no mode; there are PULL and POP"))),
    };
    if topic.retry_group().is_some() {
        return Err(Failure::new(NO_PERMISSION, "the mode of a retry topic is that of its group's topics"));
    }
    if pops && mode.pop_share_queue_num > 0 {
        let text = "popShareQueueNum must be 0: all members pop from all queues, and none is without";
        return Err(Failure::invalid(text));
    }
    let broker = &call.node.broker;
    broker.topic(&call.session, &topic)?;
    let mut spec = broker.group(&call.session, &group)?.spec;
    let mut popped = topics(&spec);
    if pops {
        popped.insert(topic.to_string())
    } else {
        popped.remove(topic.as_str())
    };
    if popped.len() > MAX_TOPICS {
        return Err(Failure::invalid(format!("a group pops at most {MAX_TOPICS} topics")));
    }
    spec.attributes.retain(|(name, _)| name != POPS);
    if !popped.is_empty() {
        let list: Vec<&str> = popped.iter().map(String::as_str).collect();
        spec.attributes.push((POPS.to_owned(), list.join(" ")));
    }
    broker.put_group(&call.session, &group, spec).await?;
    Ok(Response::success())
}

/// 402: every group that pops, by topic. What is not in it is pulled.
pub(in super::super) fn all(call: &Call) -> Result<Response> {
    call.node.broker.permit_cluster(&call.session, Action::Get)?;
    let mut modes: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for group in call.node.broker.groups(&call.session, None, usize::MAX)? {
        let name = group.name.as_str();
        for topic in topics(&group.spec) {
            let mode = json!({ "consumerGroup": name, "mode": "POP", "popShareQueueNum": 0, "topic": topic.as_str() });
            modes.entry(topic).or_default().insert(name.to_owned(), mode);
        }
    }
    Ok(Response::success().body(json::write(&json!({ "messageRequestModeMap": modes }))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_has_one_reader() {
        for strategy in ["AVG", "AVG_BY_CIRCLE"] {
            for (queues, clients) in [(8, 3), (4, 4), (2, 5), (1, 1), (0, 2)] {
                let mut all: Vec<usize> =
                    (0..clients).flat_map(|at| share(strategy, queues, clients, at)).collect();
                all.sort_unstable();
                assert_eq!(all, (0..queues).collect::<Vec<_>>(), "{strategy} {queues} {clients}");
            }
        }
        assert_eq!(share("AVG", 8, 3, 0), [0, 1, 2]);
        assert_eq!(share("AVG_BY_CIRCLE", 8, 3, 1), [1, 4, 7]);
        assert!(share("MACHINE_ROOM", 8, 3, 0).is_empty());
    }
}
