//! The Java client of RocketMQ, by `tests/interop/java`.

use super::{base64, from_base64};
use crate::{Sample, Seen, TestServer, Tool, Wire, repository};
use serde_json::{Value, json};
use std::process::Command;

/// Properties that the client and the broker add.
const NOT_THE_USERS: [&str; 15] = [
    "content-type",
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
    "TIMER_DELAY_MS",
    "TIMER_DELIVER_MS",
    "DELAY",
    "TIMER_OUT_MS",
];

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
    fn name(&self) -> &'static str {
        "remoting (Java)"
    }

    fn cannot_send(&self, sample: &Sample) -> Option<&'static str> {
        let mut names: Vec<_> = sample.properties.iter().map(|(name, _)| name).collect();
        names.dedup();
        match () {
            () if sample.body.is_empty() => Some("the client refuses an empty body"),
            () if names.len() < sample.properties.len() => Some("properties are a map"),
            () => None,
        }
    }

    fn shows_duplicates(&self) -> bool {
        false
    }

    fn send(&mut self, topic: &str, sample: &Sample) {
        let properties: serde_json::Map<String, Value> =
            sample.properties.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let mut command =
            json!({"topic": topic, "bodyBase64": base64(&sample.body), "properties": properties});
        // Noise does not shrink: compressed, it would exceed the limit, on any broker.
        command["compress"] = json!(sample.body.len() < 1 << 20);
        if let Some(tag) = sample.tag {
            command["tag"] = json!(tag);
        }
        if !sample.keys.is_empty() {
            command["keys"] = json!(sample.keys.join(" "));
        }
        if let Some(delay) = sample.delay_ms {
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
    let properties = message["properties"].as_object().expect("properties").iter();
    let users =
        properties.filter(|(name, _)| !NOT_THE_USERS.contains(&name.as_str()) && !name.starts_with("__"));
    Seen {
        body: from_base64(&message["bodyBase64"]),
        tag: message["tag"].as_str().map(str::to_owned),
        keys: message["keys"].as_str().unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        properties: users.map(|(n, v)| (n.clone(), v.as_str().unwrap_or_default().to_owned())).collect(),
        born: message["bornTimestamp"].as_u64().expect("bornTimestamp"),
        id: message["msgId"].as_str().expect("msgId").to_owned(),
    }
}
