//! The STOMP client of Ruby, by `tests/interop/ruby/stomp_tool.rb`.

use super::{base64, from_base64};
use crate::{Seen, TestServer, Tool, Wire, repository};
use serde_json::{Value, json};
use std::process::Command;

/// What the broker says of each delivery.
const SERVERS: [&str; 6] =
    ["subscription", "message-id", "destination", "ack", "redelivered", "content-length"];

/// A SEND: headers in their order, and the body.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// Names and values; the values of a repeated name stand together, since the client takes them so.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

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
    type Message = Frame;

    fn send(&mut self, topic: &str, frame: &Frame) {
        let destination = format!("/topic/{topic}");
        let body = base64(&frame.body);
        let command = json!({"destination": destination, "bodyBase64": body, "headers": frame.headers});
        self.0.ask("send", command);
    }

    fn receive(&mut self, topic: &str, group: &str, count: usize) -> Vec<Seen> {
        let destination = format!("/group/{group}/{topic}");
        let answer =
            self.0.ask("receive", json!({"destination": destination, "count": count, "timeoutMs": 60_000}));
        answer["messages"].as_array().expect("messages").iter().map(seen).collect()
    }
}

/// Headers that are not taken for a meaning yet.
struct Rest(Vec<(String, String)>);

impl Rest {
    /// The first value under one of these names. Only the first name is the broker's word; the others are the sender's
    /// own and stay.
    fn meaning(&mut self, names: &[&str]) -> Option<String> {
        let position = |name: &&str| self.0.iter().position(|(n, _)| n == name);
        if let Some(at) = names.first().and_then(position) {
            return Some(self.0.remove(at).1);
        }
        names.iter().find_map(position).map(|at| self.0[at].1.clone())
    }

    /// A number of milliseconds since 1970; what is no such number stays.
    fn time(&mut self, name: &str) -> Option<u64> {
        let at = self.0.iter().position(|(n, value)| n == name && value.len() == 13)?;
        self.0.remove(at).1.parse().ok()
    }
}

fn seen(message: &Value) -> Seen {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let headers = message["headers"].as_array().expect("headers").iter();
    let mut rest = Rest(headers.map(|pair| (text(&pair[0]), text(&pair[1]))).collect());
    for name in SERVERS {
        assert!(rest.meaning(&[name]).is_some() || name == "ack", "no {name}: {message}");
    }
    Seen {
        key: rest.meaning(&["kafka.key.base64"]).map(|key| from_base64(&json!(key))),
        body: Some(from_base64(&message["bodyBase64"])),
        tag: rest.meaning(&["tag", "tags", "x-tag"]),
        keys: rest
            .meaning(&["keys", "key", "message-key"])
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        group: rest.meaning(&[
            "message-group",
            "sharding-key",
            "JMSXGroupID",
            "_AMQ_GROUP_ID",
            "__SHARDINGKEY",
        ]),
        born: rest.time("timestamp"),
        expires: rest.time("expires"),
        at: message["receivedAt"].as_u64().expect("receivedAt"),
        properties: rest.0.into_iter().map(|(name, value)| (name, Some(value.into_bytes()))).collect(),
    }
}
