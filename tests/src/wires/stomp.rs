//! The STOMP client of Ruby, by `tests/interop/ruby/stomp_tool.rb`.

use super::{base64, from_base64};
use crate::{Sample, Seen, TestServer, Tool, Wire, repository};
use serde_json::{Value, json};
use std::process::Command;

/// Headers that are not the user's.
const NOT_THE_USERS: [&str; 12] = [
    "subscription",
    "message-id",
    "destination",
    "ack",
    "redelivered",
    "content-length",
    "content-type",
    "timestamp",
    "tag",
    "keys",
    "expires",
    "message-group",
];

/// One script with the stock client.
pub struct Stomp(Tool);

impl Stomp {
    /// Starts it against a server.
    pub fn new(server: &TestServer) -> Self {
        super::set_up("ruby");
        let mut command = Command::new("ruby");
        command.arg(repository().join("tests/interop/ruby/stomp_tool.rb"));
        command.env("STOMP_ADDR", server.address("stomp").to_string());
        Self(Tool::start(command))
    }
}

impl Wire for Stomp {
    fn name(&self) -> &'static str {
        "stomp (Ruby)"
    }

    fn cannot_send(&self, _: &Sample) -> Option<&'static str> {
        None
    }

    fn shows_duplicates(&self) -> bool {
        true
    }

    fn send(&mut self, topic: &str, sample: &Sample) {
        let mut headers: Vec<Value> =
            sample.properties.iter().map(|(name, value)| json!([name, value])).collect();
        if let Some(tag) = sample.tag {
            headers.push(json!(["tag", tag]));
        }
        if !sample.keys.is_empty() {
            headers.push(json!(["keys", sample.keys.join(" ")]));
        }
        if let Some(delay) = sample.delay_ms {
            headers.push(json!(["delay", delay.to_string()]));
        }
        let destination = format!("/topic/{topic}");
        self.0.ask(
            "send",
            json!({"destination": destination, "bodyBase64": base64(&sample.body), "headers": headers}),
        );
    }

    fn receive(&mut self, topic: &str, group: &str, count: usize) -> Vec<Seen> {
        let destination = format!("/group/{group}/{topic}");
        let answer =
            self.0.ask("receive", json!({"destination": destination, "count": count, "timeoutMs": 60_000}));
        answer["messages"].as_array().expect("messages").iter().map(seen).collect()
    }
}

fn seen(message: &Value) -> Seen {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> = message["headers"]
        .as_array()
        .expect("headers")
        .iter()
        .map(|pair| (text(&pair[0]), text(&pair[1])))
        .collect();
    let first = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let keys = first("keys").unwrap_or_default();
    Seen {
        body: from_base64(&message["bodyBase64"]),
        tag: first("tag"),
        keys: keys.split_whitespace().map(str::to_owned).collect(),
        born: first("timestamp").and_then(|t| t.parse().ok()).expect("a timestamp in milliseconds"),
        id: first("message-id").expect("a message-id"),
        properties: headers.into_iter().filter(|(n, _)| !NOT_THE_USERS.contains(&n.as_str())).collect(),
    }
}
