//! A Kafka client for Python, by `tests/interop/kafka-python/tool.py`.

use super::{base64, from_base64};
use crate::{Property, Seen, TestServer, Tool, Wire, repository};
use serde_json::{Value, json};
use std::process::Command;

/// Headers in which the broker says what a record has no field for, when another wire sent it.
const TAG: &str = "TAGS";
const KEYS: &str = "KEYS";
const ID: &str = "rocketmq.msgid";
/// What the broker keeps for its own use.
const OWN: &str = "__STOMP_DESTINATION";

/// A record.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// The key, or null.
    pub key: Option<Vec<u8>>,
    /// The value, or null.
    pub value: Option<Vec<u8>>,
    /// The headers, in their order.
    pub headers: Vec<Property>,
    /// The time that it says, in milliseconds since 1970; the client's own clock otherwise.
    pub time: Option<u64>,
}

/// One script with the stock client.
pub struct Kafka(Tool);

impl Kafka {
    /// Starts it against a server.
    pub fn new(server: &TestServer) -> Self {
        super::set_up("kafka-python");
        let root = repository();
        let mut command = Command::new(root.join("target/interop-tools/kafka-python/bin/python"));
        command.arg(root.join("tests/interop/kafka-python/tool.py"));
        command.env("KAFKA_ADDR", server.address("kafka").to_string());
        Self(Tool::start(command))
    }
}

impl Wire for Kafka {
    type Message = Record;

    fn send(&mut self, topic: &str, record: &Record) {
        let bytes = |value: &Option<Vec<u8>>| value.as_deref().map(base64);
        let headers: Vec<_> =
            record.headers.iter().map(|(name, value)| json!([name, bytes(value)])).collect();
        let (key, value) = (bytes(&record.key), bytes(&record.value));
        let command =
            json!({"topic": topic, "key": key, "value": value, "headers": headers, "time": record.time});
        self.0.ask("send", command);
    }

    fn receive(&mut self, topic: &str, group: &str, count: usize) -> Vec<Seen> {
        let command = json!({"topic": topic, "group": group, "count": count, "timeoutMs": 60_000});
        let answer = self.0.ask("receive", command);
        answer["messages"].as_array().expect("messages").iter().map(seen).collect()
    }
}

fn seen(record: &Value) -> Seen {
    let bytes = |value: &Value| value.is_string().then(|| from_base64(value));
    let pairs = record["headers"].as_array().expect("headers").iter();
    let mut headers: Vec<Property> = pairs
        .map(|pair| (pair[0].as_str().expect("a name").to_owned(), bytes(&pair[1])))
        .filter(|(name, _)| name != OWN)
        .collect();
    let text =
        |value: &Option<Vec<u8>>| String::from_utf8(value.clone().unwrap_or_default()).expect("a text");
    // In front of the id is what another wire said; a record of Kafka's own has none of it.
    let said =
        headers.iter().position(|(name, _)| name == ID).map(|at| headers.drain(..=at).collect::<Vec<_>>());
    let of = |list: &[Property], wanted: &str| {
        list.iter().find(|(name, _)| name == wanted).map(|(_, value)| text(value))
    };
    let tag = of(said.as_deref().unwrap_or(&headers), TAG);
    let keys = said.as_deref().and_then(|said| of(said, KEYS)).unwrap_or_default();
    Seen {
        body: bytes(&record["value"]),
        tag,
        keys: keys.split_whitespace().map(str::to_owned).collect(),
        key: bytes(&record["key"]),
        group: None,
        properties: headers,
        born: record["time"].as_u64(),
        expires: None,
        at: record["receivedAt"].as_u64().expect("receivedAt"),
    }
}
