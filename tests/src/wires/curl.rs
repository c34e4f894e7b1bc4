//! curl.

use super::{base64, from_base64};
use crate::{Sample, Seen, TestServer, Wire};
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// One curl process for each request.
pub struct Curl(SocketAddr);

impl Curl {
    /// Talks to a server.
    pub fn new(server: &TestServer) -> Self {
        super::set_up("curl");
        Self(server.address("http"))
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("http://{}{path}", self.0);
        let mut curl = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--fail-with-body",
                "--max-time",
                "60",
                "-H",
                "Content-Type: application/json",
            ])
            .args(["--data-binary", "@-", &url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is installed");
        curl.stdin.take().expect("piped").write_all(body.to_string().as_bytes()).expect("curl reads");
        let output = curl.wait_with_output().expect("curl ends");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "POST {url}: {text}");
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }
}

impl Wire for Curl {
    fn name(&self) -> &'static str {
        "http (curl)"
    }

    fn cannot_send(&self, _: &Sample) -> Option<&'static str> {
        None
    }

    fn shows_duplicates(&self) -> bool {
        true
    }

    fn send(&mut self, topic: &str, sample: &Sample) {
        let headers: Vec<_> = sample.properties.iter().map(|(name, value)| json!([name, value])).collect();
        let mut message =
            json!({"bodyBase64": base64(&sample.body), "keys": sample.keys, "headers": headers});
        if let Some(tag) = sample.tag {
            message["tag"] = json!(tag);
        }
        if let Some(delay) = sample.delay_ms {
            message["delay"] = json!(format!("{delay}ms"));
        }
        let answer =
            self.post(&format!("/v1/topics/{topic}/messages:batch"), &json!({"messages": [message]}));
        assert_eq!(answer["results"][0]["ok"], json!(true), "{answer}");
    }

    fn receive(&mut self, topic: &str, group: &str, count: usize) -> Vec<Seen> {
        let mut all = Vec::new();
        while all.len() < count {
            let path = format!("/v1/groups/{group}/receive?topic={topic}&max={count}&wait=20s&body=base64");
            let answer = self.post(&path, &json!({}));
            let messages = answer["messages"].as_array().expect("messages");
            if messages.is_empty() {
                break;
            }
            let handles: Vec<_> = messages.iter().map(|m| m["handle"].clone()).collect();
            self.post(&format!("/v1/groups/{group}/ack"), &json!({"handles": handles}));
            all.extend(messages.iter().map(seen));
        }
        all
    }
}

fn seen(message: &Value) -> Seen {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let properties = match message["headers"].as_array() {
        Some(exact) => {
            let all = exact.iter().map(|pair| (text(&pair[0]), text(&pair[1])));
            all.filter(|(name, _)| name != "content-type" && !name.starts_with("__")).collect()
        }
        None => message["properties"]
            .as_object()
            .expect("properties")
            .iter()
            .map(|(n, v)| (n.clone(), text(v)))
            .collect(),
    };
    Seen {
        body: from_base64(&message["bodyBase64"]),
        tag: message["tag"].as_str().map(str::to_owned),
        keys: message["keys"].as_array().map(|k| k.iter().map(text).collect()).unwrap_or_default(),
        properties,
        born: millis(message["bornAt"].as_str().expect("bornAt")),
        id: text(&message["messageId"]),
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
