//! Metrics on a port of their own, and what they say of leases, streams and bodies that are too large.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that fails may say so

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_net::ListenAddr;
use sluice_server::Server;
use sluice_server::config::Config;
use sluice_store::MemoryLog;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

async fn start(change: impl FnOnce(&mut Config)) -> Server {
    let mut config = Config::default();
    let listen = &mut config.listen;
    for off in [&mut listen.namesrv, &mut listen.remoting, &mut listen.kafka] {
        *off = ListenAddr::Off;
    }
    listen.http = ListenAddr::loopback(0);
    listen.metrics = ListenAddr::loopback(0);
    listen.stomp = ListenAddr::loopback(0);
    change(&mut config);
    Server::start_on(config, Arc::new(MemoryLog::new())).await.unwrap()
}

/// One request on a connection of its own, which its answer ends.
async fn ask(server: &Server, listener: &str, line: &str, more: &str) -> String {
    let mut stream = TcpStream::connect(server.address(listener).unwrap()).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("no answer in time").unwrap();
    String::from_utf8(answer).unwrap()
}

async fn get(server: &Server, listener: &str, path: &str) -> String {
    ask(server, listener, &format!("GET {path}"), "\r\n").await
}

async fn post(server: &Server, path: &str, body: &str) -> String {
    let more = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    ask(server, "http", &format!("POST {path}"), &more).await
}

/// Looks until the numbers say so.
async fn say(server: &Server, lines: &[&str]) {
    let start = Instant::now();
    loop {
        let numbers = get(server, "metrics", "/metrics").await;
        let missing = lines.iter().find(|line| !numbers.lines().any(|found| found == **line));
        let Some(missing) = missing else { return };
        assert!(start.elapsed() < DEADLINE, "no line {missing:?} in {numbers}");
    }
}

#[tokio::test]
async fn the_numbers_follow_what_happens() {
    let server = start(|config| config.broker.require_key = true).await;
    let published = post(&server, "/v1/topics/t/messages?idempotencyKey=1", "hello").await;
    assert!(published.starts_with("HTTP/1.1 201 "), "{published}");
    let refused = post(&server, "/v1/topics/t/messages", "hello").await;
    assert!(refused.contains("idempotency-key-required"), "{refused}");
    let received = post(&server, "/v1/groups/g/receive?topic=t&wait=5s", "").await;
    let large = "POST /v1/topics/t/messages";
    let refused = ask(&server, "http", large, "Content-Length: 5000000\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
    let mut stream = TcpStream::connect(server.address("http").unwrap()).await.unwrap();
    stream.write_all(b"GET /v1/topics/t/stream HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    say(
        &server,
        &[
            "sluice_leases_out 1",
            "sluice_http_streams{form=\"sse\"} 1",
            "sluice_http_waiting 1",
            "sluice_http_in_flight 1",
            "sluice_http_bodies_too_large_total 1",
            "sluice_http_problems_total{code=\"message-too-large\"} 1",
            "sluice_http_problems_total{code=\"idempotency-key-required\"} 1",
        ],
    )
    .await;
    let handle = received.split_once("\"handle\":\"").unwrap().1.split('"').next().unwrap().to_owned();
    let settled = ask(&server, "http", &format!("DELETE /v1/messages/{handle}"), "\r\n").await;
    assert!(settled.starts_with("HTTP/1.1 204 "), "{settled}");
    drop(stream);
    say(&server, &["sluice_leases_out 0", "sluice_http_streams{form=\"sse\"} 0", "sluice_http_waiting 0"])
        .await;
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn stomps_connections_and_transactions_are_counted() {
    let server = start(|_| {}).await;
    let mut client = TcpStream::connect(server.address("stomp").unwrap()).await.unwrap();
    let frames = b"CONNECT\naccept-version:1.1\n\n\0BEGIN\ntransaction:a\n\n\0BEGIN\ntransaction:b\n\n\0COMMIT\ntransaction:a\n\n\0";
    client.write_all(frames).await.unwrap();
    let connections = |n: u8| format!("sluice_stomp_connections{{version=\"1.1\"}} {n}");
    say(&server, &[&connections(1), "sluice_stomp_transactions_open 1"]).await;
    client.write_all(b"SEND\ndestination:/queue/a\nx:a\\rb\n\nx\0").await.unwrap();
    say(&server, &["sluice_stomp_tolerated_total{what=\"cr-escape\"} 1"]).await;
    drop(client);
    say(&server, &[&connections(0), "sluice_stomp_transactions_open 0"]).await;
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn nothing_but_numbers_and_health_is_on_their_port() {
    let server = start(|_| {}).await;
    for path in ["/livez", "/healthz", "/readyz", "/metrics", "/problems/not-found"] {
        let answer = get(&server, "metrics", path).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
    for path in
        ["/v1/topics", "/v1/whoami", "/docs", "/openapi.json", "/topics/t/messages?consumer=g", "/ws", "/"]
    {
        let answer = get(&server, "metrics", path).await;
        assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("problem+json"), "{path}: {answer}");
    }
    let posted = ask(&server, "metrics", "POST /metrics", "Content-Length: 0\r\n\r\n").await;
    assert!(posted.starts_with("HTTP/1.1 405 "), "{posted}");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_login_is_asked_for_unless_the_settings_say_otherwise() {
    for (login, status) in [(true, "401"), (false, "200")] {
        let server = start(|config| {
            config.auth.mode = sluice_auth::Mode::Acl;
            config.http.metrics_login = login;
        })
        .await;
        for listener in ["metrics", "http"] {
            let answer = get(&server, listener, "/metrics").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{listener}: {answer}");
            assert!(get(&server, listener, "/livez").await.starts_with("HTTP/1.1 200 "));
        }
        assert!(get(&server, "http", "/v1/topics").await.starts_with("HTTP/1.1 401 "));
        server.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn they_may_be_reached_from_elsewhere_while_everything_else_may_not() {
    let mut config = Config::default();
    config.listen.metrics = "0.0.0.0:0".parse().unwrap();
    config.check().unwrap();
    config.listen.http = "0.0.0.0:0".parse().unwrap();
    assert!(config.check().is_err());
}
