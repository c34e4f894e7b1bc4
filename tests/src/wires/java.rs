//! The Java client of RocketMQ, by `tests/interop/java`.

use super::{base64, from_base64};
use crate::{Seen, TestServer, Tool, Wire, repository};
use serde_json::{Map, Value, json};
use std::process::Command;

/// Properties that the client and the broker add, and those that have a place of their own in [`Seen`].
const NOT_THE_USERS: [&str; 11] = [
    "__STOMP_DESTINATION",
    "TAGS",
    "KEYS",
    "UNIQ_KEY",
    "WAIT",
    "CLUSTER",
    "MSG_REGION",
    "TRACE_ON",
    "MIN_OFFSET",
    "MAX_OFFSET",
    "CONSUME_START_TIME",
];
const GROUP: &str = "__SHARDINGKEY";
const KEY: &str = "kafka.key.base64";

/// A message of the Java client.
#[derive(Debug, Clone, Default)]
pub struct JavaMessage {
    /// The body.
    pub body: Vec<u8>,
    /// `setTags`
    pub tag: Option<String>,
    /// `setKeys`
    pub keys: Vec<String>,
    /// `putUserProperty`
    pub properties: Vec<(String, String)>,
    /// `setDelayTimeMs`
    pub delay_ms: Option<u64>,
}

/// One JVM with the stock client.
pub struct Java(Tool);

impl Java {
    /// Starts it against a server.
    pub fn new(server: &TestServer) -> Self {
        super::set_up("java");
        let mut command = Command::new(repository().join("tests/interop/java/run.sh"));
        command.args(["--", "serve"]).env("NAMESRV_ADDR", server.address("namesrv").to_string());
        Self(Tool::start(command))
    }
}

impl Wire for Java {
    type Message = JavaMessage;

    fn send(&mut self, topic: &str, message: &JavaMessage) {
        let properties: Map<String, Value> =
            message.properties.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let mut command =
            json!({"topic": topic, "bodyBase64": base64(&message.body), "properties": properties});
        // Noise does not shrink: compressed, it would exceed the limit, on any broker.
        command["compress"] = json!(message.body.len() < 1 << 20);
        if let Some(tag) = &message.tag {
            command["tag"] = json!(tag);
        }
        if !message.keys.is_empty() {
            command["keys"] = json!(message.keys.join(" "));
        }
        if let Some(delay) = message.delay_ms {
            command["delayMs"] = json!(delay);
        }
        self.0.ask("send", command);
    }

    fn receive(&mut self, topic: &str, group: &str, count: usize) -> Vec<Seen> {
        let command = json!({"topic": topic, "group": group, "count": count, "timeoutMs": 60_000});
        let answer = self.0.ask("receive", command);
        answer["messages"].as_array().expect("messages").iter().map(seen).collect()
    }
}

fn seen(message: &Value) -> Seen {
    let all = message["properties"].as_object().expect("properties");
    // Readers get both spellings of a correlation id.
    let repeats = |name: &str| name == "CORRELATION_ID" && all.get(name) == all.get("correlation-id");
    let users = all
        .iter()
        .filter(|(name, _)| !NOT_THE_USERS.contains(&&name[..]) && !repeats(name))
        .filter(|(name, _)| ![GROUP, KEY].contains(&&name[..]));
    Seen {
        body: Some(from_base64(&message["bodyBase64"])),
        tag: message["tag"].as_str().map(str::to_owned),
        keys: message["keys"].as_str().unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        key: all.get(KEY).map(from_base64),
        group: all.get(GROUP).and_then(Value::as_str).map(str::to_owned),
        properties: users.map(|(n, v)| (n.clone(), v.as_str().map(|v| v.as_bytes().to_vec()))).collect(),
        born: message["bornTimestamp"].as_u64(),
        expires: None,
        at: message["receivedAt"].as_u64().expect("receivedAt"),
    }
}
