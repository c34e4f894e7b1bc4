//! The cluster of one: who the broker is (106), how it is (28), and its settings (26).

use super::{Call, Result};
use crate::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// 106: every broker by name, and the names of every cluster.
pub(super) fn info(call: &Call) -> Result<Response> {
    let broker = &call.node.marks.broker;
    let mut brokers = Map::new();
    brokers.insert(broker.name.to_string(), super::route::broker_data(call));
    let mut clusters = Map::new();
    clusters.insert(broker.cluster.to_string(), json!([&broker.name[..]]));
    let body = json!({ "brokerAddrTable": brokers, "clusterAddrTable": clusters });
    Ok(Response::success().body(super::json::write(&body)?))
}

/// 28: what is known of the broker's state. Numbers that stock brokers measure and this one does not are left out;
/// tools show a blank for them.
pub(super) fn runtime(call: &Call) -> Result<Response> {
    let broker = &call.node.broker;
    let table = json!({
        "bootTimestamp": call.node.started.to_string(),
        "brokerVersionDesc": concat!("sluice ", env!("CARGO_PKG_VERSION")),
        "brokerActive": broker.is_ready().to_string(),
    });
    Ok(Response::success().body(super::json::write(&json!({ "table": table }))?))
}

/// 26: the settings that tools look for, as Java properties.
pub(super) fn settings(call: &Call) -> Result<Response> {
    let (config, broker) = (&call.node.config, call.node.broker.config());
    let levels: Vec<String> = config.delay_levels.iter().map(ToString::to_string).collect();
    let settings: [(&str, Value); 8] = [
        ("brokerName", config.broker_name.clone().into()),
        ("brokerClusterName", config.cluster.clone().into()),
        ("brokerId", 0.into()),
        ("autoCreateTopicEnable", broker.auto_create.into()),
        ("defaultTopicQueueNums", broker.default_queues.into()),
        ("maxMessageSize", broker.max_message_size.0.into()),
        ("enablePropertyFilter", false.into()),
        ("messageDelayLevel", levels.join(" ").into()),
    ];
    let mut text = String::new();
    for (name, value) in settings {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.push_str(&format!("{name}={value}\n"));
    }
    let version = json!({ "counter": 1, "stateVersion": 0, "timestamp": call.node.started });
    Ok(Response::success().field("version", version.to_string()).body(Bytes::from(text)))
}
