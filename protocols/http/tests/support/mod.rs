//! The interface without sockets: a request value in, an answer value out, on a broker in memory.
#![allow(dead_code)]

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;
use sluice_broker::Broker;
use sluice_http::{Config, Http};
use std::sync::Arc;
use std::time::Duration;

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Server {
    pub http: Arc<Http>,
    pub broker: Broker,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    /// The body, once the status is the expected one.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// Checks that this is a problem document that mirrors its status.
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let doc = self.json();
        assert_eq!(doc["code"], code, "{doc}");
        assert_eq!(doc["status"], status);
        assert_eq!(doc["type"], format!("/problems/{code}"));
        assert_eq!(doc["requestId"], self.header("x-request-id"));
        doc
    }
}

pub fn server() -> Server {
    server_with(Config::default())
}

pub fn server_with(config: Config) -> Server {
    server_on(Broker::in_memory(), config)
}

/// On a broker with rules of its own.
pub fn server_of(rules: sluice_broker::Config) -> Server {
    let (log, clock) = (Arc::new(sluice_store::MemoryLog::new()), Arc::new(sluice_model::SystemClock));
    let auth = Arc::new(sluice_auth::Auth::open());
    server_on(Broker::open(log, auth, clock, rules).unwrap(), Config::default())
}

pub fn server_on(broker: Broker, config: Config) -> Server {
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    Server { http: Arc::new(Http::new(broker.clone(), config, metrics)), broker }
}

impl Server {
    pub async fn open(&self, request: Request<Body>) -> Response {
        tokio::time::timeout(PATIENCE, self.http.answer(request)).await.expect("no answer")
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let (head, body) = self.open(request).await.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.expect("no end").unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// `headers` are lines like `X-MQ-Tag: a`.
    pub async fn call(&self, method: &str, target: &str, headers: &[&str], body: impl Into<Body>) -> Answer {
        self.send(request(method, target, headers, body)).await
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.call("GET", target, &[], "").await
    }

    pub async fn delete(&self, target: &str) -> Answer {
        self.call("DELETE", target, &[], "").await
    }

    pub async fn post(&self, target: &str, body: &str) -> Answer {
        self.call("POST", target, &[], body.to_owned()).await
    }

    pub async fn json(&self, method: &str, target: &str, body: Value) -> Answer {
        self.call(method, target, &["Content-Type: application/json"], body.to_string()).await
    }

    /// Receives for a group `g` from a topic `t`.
    pub async fn receive(&self, query: &str) -> Answer {
        self.post(&format!("/v1/groups/g/receive?topic=t&{query}"), "").await
    }

    /// The first message that `receive` gives.
    pub async fn receive_one(&self) -> Value {
        self.receive("wait=5s").await.expect(200)["messages"][0].clone()
    }
}

pub fn request(method: &str, target: &str, headers: &[&str], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(target);
    for line in headers {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value.as_bytes());
    }
    request.body(body.into()).unwrap()
}
