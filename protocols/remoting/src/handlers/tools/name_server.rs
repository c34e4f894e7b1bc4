//! The name server's own: the order of topics as key-value settings (100 to 102, 219), whether the broker may be
//! written to (205, 327), topics by cluster and unit (224, 311 to 313), its settings (318, 319).
//!
//! The one idea to know: of key-value settings there is one kind that anything depends on, `ORDER_TOPIC_CONFIG`, which
//! clients get with a topic's route. It is kept as an attribute of its topic, so it lasts as long as the topic does.

use super::super::{Call, Result, json, topics};
use crate::codes::request::{GET_HAS_UNIT_SUB_TOPIC_LIST, GET_UNIT_TOPIC_LIST};
use crate::codes::response::{INVALID_PARAMETER, NO_PERMISSION, QUERY_NOT_FOUND, REQUEST_CODE_NOT_SUPPORTED};
use crate::errors::Failure;
use crate::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use sluice_auth::Action;
use sluice_broker::TopicView;
use sluice_model::{ErrorKind, TopicName};
use std::sync::atomic::Ordering;

const ORDER_NAMESPACE: &str = "ORDER_TOPIC_CONFIG";

/// 100: sets a topic's order.
pub(super) async fn put_kv(call: Call) -> Result<Response> {
    let topic = ordered_topic(&call)?;
    let value = call.text("value")?;
    if value.is_empty() {
        return Err(Failure::invalid("the value is empty; delete the key instead"));
    }
    let view = call.node.broker.topic(&call.session, &topic)?;
    change(&call, view, Some(value)).await
}

/// 102: a topic has no order any more. One that is gone has none.
pub(super) async fn delete_kv(call: Call) -> Result<Response> {
    let topic = ordered_topic(&call)?;
    match call.node.broker.topic(&call.session, &topic) {
        Ok(view) => change(&call, view, None).await,
        Err(error) if error.kind() == ErrorKind::TopicNotFound => Ok(Response::success()),
        Err(error) => Err(error.into()),
    }
}

async fn change(call: &Call, view: TopicView, order: Option<&str>) -> Result<Response> {
    let mut spec = view.spec;
    spec.attributes.retain(|(name, _)| name != topics::ORDER);
    spec.attributes.extend(order.map(|order| (topics::ORDER.to_owned(), order.to_owned())));
    call.node.broker.put_topic(&call.session, &view.name, spec).await?;
    Ok(Response::success())
}

/// 101: a topic's order.
pub(super) fn get_kv(call: &Call) -> Result<Response> {
    let topic = ordered_topic(call)?;
    let order = match call.node.broker.topic(&call.session, &topic) {
        Ok(view) => topics::order_of(&view.spec).map(str::to_owned),
        Err(error) if error.kind() == ErrorKind::TopicNotFound => None,
        Err(error) => return Err(error.into()),
    };
    match order {
        Some(order) => Ok(Response::success().field("value", order)),
        None => {
            let text = format!("No config item, Namespace: {ORDER_NAMESPACE} Key: {topic}");
            Err(Failure::new(QUERY_NOT_FOUND, text))
        }
    }
}

/// 219: the order of every topic that has one.
pub(super) fn list_kv(call: &Call) -> Result<Response> {
    namespace(call)?;
    let topics = topics::every(call)?;
    let ordered = topics.iter().filter_map(|t| Some((t.name.to_string(), topics::order_of(&t.spec)?.into())));
    let table: Map<String, Value> = ordered.collect();
    if table.is_empty() {
        let text = format!("No config item, Namespace: {ORDER_NAMESPACE}");
        return Err(Failure::new(QUERY_NOT_FOUND, text));
    }
    Ok(Response::success().body(json::write(&json!({ "table": table }))?))
}

fn namespace(call: &Call) -> Result<()> {
    let namespace = call.text("namespace")?;
    if *namespace == ORDER_NAMESPACE {
        return Ok(());
    }
    let refused = super::super::not_supported(call.frame.head.code).text;
    let text = format!("{refused} for the namespace {namespace}; the only one here is {ORDER_NAMESPACE}");
    Err(Failure::new(REQUEST_CODE_NOT_SUPPORTED, text))
}

fn ordered_topic(call: &Call) -> Result<TopicName> {
    namespace(call)?;
    call.topic("key")
}

/// 205, 327: routes say that the broker takes no messages, or takes them again. As on stock name servers it is not
/// stored, and clients learn it with their next route.
pub(super) fn write_permission(call: &Call, allowed: bool) -> Result<Response> {
    let (broker, name) = (&call.node.marks.broker.name, call.text("brokerName")?);
    if broker != name {
        return Err(Failure::new(
            INVALID_PARAMETER,
            format!("there is no broker {name}; this one is {broker}"),
        ));
    }
    call.node.broker.permit_cluster(&call.session, Action::Update)?;
    call.node.write_wiped.store(!allowed, Ordering::Relaxed);
    let count = topics::every(call)?.len();
    tracing::info!(by = %call.session.principal(), allowed, "write permission of the broker in routes");
    Ok(Response::success().field(if allowed { "addTopicCount" } else { "wipeTopicCount" }, count))
}

/// 224: the topics of a cluster. There is one cluster.
pub(super) fn topics_of_cluster(call: &Call) -> Result<Response> {
    let (ours, asked) = (&call.node.marks.broker.cluster, call.text("cluster")?);
    if ours != asked {
        return Err(Failure::new(
            INVALID_PARAMETER,
            format!("there is no cluster {asked}; this one is {ours}"),
        ));
    }
    topics::names(call)
}

/// 311 to 313: the topics of units: those of a unit, those that units subscribe to, and those that only the latter are.
pub(super) fn topics_of_units(call: &Call) -> Result<Response> {
    let (asked, wanted) = match call.frame.head.code {
        GET_UNIT_TOPIC_LIST => (1, 1),
        GET_HAS_UNIT_SUB_TOPIC_LIST => (2, 2),
        _ => (3, 2),
    };
    let topics = topics::every(call)?;
    let listed = topics.iter().filter(|topic| topics::unit_of(&topic.spec) & asked == wanted);
    let topic_list = listed.map(|topic| topic.name.as_str()).collect();
    Ok(Response::success().body(json::write(&json::TopicList { topic_list, broker_addr: None })?))
}

/// 319: the few facts of the name server's configuration, as Java properties.
pub(super) fn settings(call: &Call) -> Result<Response> {
    let broker = &call.node.marks.broker;
    let text = format!(
        "clusterName={}\nbrokerName={}\norderMessageEnable=true\nenableAllTopicList=true\n",
        broker.cluster, broker.name
    );
    Ok(Response::success().body(Bytes::from(text)))
}

/// 318: as for the broker's (25).
pub(super) fn change_settings() -> Failure {
    let text = "settings are not changed while running; change the configuration file and restart";
    Failure::new(NO_PERMISSION, text)
}
