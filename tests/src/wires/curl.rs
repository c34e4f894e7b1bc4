//! curl.

use super::from_base64;
use crate::{Property, Seen, TestServer, Wire, now};
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// The most messages of one receive.
const MOST: usize = 100;

/// One curl process for each request.
pub struct Curl(SocketAddr);

impl Curl {
    /// Talks to a server.
    pub fn new(server: &TestServer) -> Self {
        super::set_up("curl");
        Self(server.address("http"))
    }

    /// A POST with these arguments beside it, and what came back.
    fn post(&self, path: &str, arguments: &[String], body: &[u8]) -> Value {
        let url = format!("http://{}{path}", self.0);
        let mut curl = Command::new("curl")
            .args(["--silent", "--show-error", "--fail-with-body", "--max-time", "60"])
            .args(arguments)
            .args(["--data-binary", "@-", &url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is installed");
        curl.stdin.take().expect("piped").write_all(body).expect("curl reads");
        let output = curl.wait_with_output().expect("curl ends");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "POST {url} {arguments:?}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    fn post_json(&self, path: &str, body: &Value) -> Value {
        let json = ["-H", "Content-Type: application/json"].map(str::to_owned);
        self.post(path, &json, body.to_string().as_bytes())
    }
}

/// A message in either of the two spellings.
#[derive(Debug, Clone)]
pub enum Request {
    /// The body as it is, everything else in headers or query.
    Raw {
        /// As after `-H`.
        headers: Vec<String>,
        /// What stands behind the `?`.
        query: String,
        /// The body.
        body: Vec<u8>,
    },
    /// One entry of a batch.
    Json(Value),
}

impl Wire for Curl {
    type Message = Request;

    fn send(&mut self, topic: &str, message: &Request) {
        match message {
            Request::Raw { headers, query, body } => {
                let arguments: Vec<_> =
                    headers.iter().flat_map(|header| ["-H".to_owned(), header.clone()]).collect();
                self.post(&format!("/v1/topics/{topic}/messages?{query}"), &arguments, body);
            }
            Request::Json(message) => {
                let path = format!("/v1/topics/{topic}/messages:batch");
                let answer = self.post_json(&path, &json!({"messages": [message]}));
                assert_eq!(answer["results"][0]["ok"], json!(true), "{message}: {answer}");
            }
        }
    }

    fn receive(&mut self, topic: &str, group: &str, count: usize) -> Vec<Seen> {
        let mut all = Vec::new();
        while all.len() < count {
            let max = (count - all.len()).min(MOST);
            let path = format!("/v1/groups/{group}/receive?topic={topic}&max={max}&wait=20s&body=base64");
            let answer = self.post_json(&path, &json!({}));
            let at = now();
            let messages = answer["messages"].as_array().expect("messages");
            if messages.is_empty() {
                break;
            }
            let handles: Vec<_> = messages.iter().map(|m| m["handle"].clone()).collect();
            self.post_json(&format!("/v1/groups/{group}/ack"), &json!({"handles": handles}));
            all.extend(messages.iter().map(|message| seen(message, at)));
        }
        all
    }
}

fn seen(message: &Value, at: u64) -> Seen {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let bytes = |v: &Value| v.as_str().map(|text| text.as_bytes().to_vec());
    let properties: Vec<Property> = match message["headers"].as_array() {
        Some(exact) => exact
            .iter()
            .map(|header| match header.as_array() {
                Some(pair) => (text(&pair[0]), bytes(&pair[1])),
                None => (text(&header["name"]), Some(from_base64(&header["valueBase64"]))),
            })
            .filter(|(name, _)| name != "__STOMP_DESTINATION")
            .collect(),
        None => {
            let shown = message["properties"].as_object().expect("properties").iter();
            let fields = [
                ("content-type", "contentType"),
                ("correlation-id", "correlationId"),
                ("reply-to", "replyTo"),
            ];
            let fields = fields.iter().map(|(name, field)| ((*name).to_owned(), bytes(&message[field])));
            fields.filter(|(_, v)| v.is_some()).chain(shown.map(|(n, v)| (n.clone(), bytes(v)))).collect()
        }
    };
    Seen {
        body: message["bodyBase64"].is_string().then(|| from_base64(&message["bodyBase64"])),
        tag: message["tag"].as_str().map(str::to_owned),
        keys: message["keys"].as_array().map(|k| k.iter().map(text).collect()).unwrap_or_default(),
        key: message["keyBase64"].is_string().then(|| from_base64(&message["keyBase64"])),
        group: message["shardingKey"].as_str().map(str::to_owned),
        properties,
        born: message["bornAt"].as_str().map(millis),
        expires: message["expiresAt"].as_str().map(millis),
        at,
    }
}

/// Milliseconds of `2026-01-06T08:00:00.123Z`.
fn millis(time: &str) -> u64 {
    let number =
        |range: std::ops::Range<usize>| time[range].parse::<u64>().unwrap_or_else(|e| panic!("{e}: {time}"));
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Days since 1970 of a Gregorian date, March counted as the first month.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19);
    seconds * 1000 + number(20..23)
}
