//! Real sockets: time limits, sizes, slow senders, HTTP/2, drain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use sluice_http::Config;
use sluice_model::units::{ByteSize, Span};
use sluice_net::{Connection, Drain, Protocol};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{PATIENCE, Server, server, server_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A client's end of a connection that the front-end serves.
struct Wire {
    socket: TcpStream,
    drain: Drain,
    served: JoinHandle<()>,
}

impl Wire {
    async fn open(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let drain = Drain::new();
        let conn = Connection::plain(accepted).unwrap();
        let served = tokio::spawn(Arc::clone(&server.http).serve(conn, drain.clone()));
        Self { socket, drain, served }
    }

    async fn write(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.unwrap();
    }

    /// Everything until the server closes.
    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        tokio::time::timeout(PATIENCE, self.socket.read_to_end(&mut bytes))
            .await
            .expect("stays open")
            .unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Reads until `end` has come.
    async fn until(&mut self, end: &str) -> String {
        let mut text = String::new();
        while !text.contains(end) {
            let mut byte = [0];
            let read = tokio::time::timeout(PATIENCE, self.socket.read(&mut byte)).await;
            assert_eq!(read.expect("nothing came").unwrap(), 1, "closed after {text:?}");
            text.push(byte[0] as char);
        }
        text
    }
}

const GET: &str = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let server = server();
    let mut wire = Wire::open(&server).await;
    let request = "POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    for byte in request.as_bytes() {
        wire.socket.write_all(&[*byte]).await.unwrap();
        wire.socket.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(wire.rest().await.starts_with("HTTP/1.1 201 "));
}

#[tokio::test]
async fn a_slow_head_is_told_and_cut_but_a_resting_connection_is_kept() {
    let server = server_with(Config { header_read_timeout: Span::secs(1), ..Config::default() });
    let mut wire = Wire::open(&server).await;
    wire.write(GET).await;
    wire.until("ok\n").await;
    // Longer than a head may take: the connection only rests.
    tokio::time::sleep(Duration::from_secs(2)).await;
    wire.write(GET).await;
    wire.until("ok\n").await;
    let began = Instant::now();
    wire.write("GET /livez HT").await;
    let answer = wire.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["code"], "request-timeout");
    assert!(answer.contains(&format!("content-length: {}\r\n", body.len())));
    assert!(began.elapsed() >= Duration::from_millis(900));
}

#[tokio::test]
async fn silence_is_cut_at_its_own_limits() {
    let config =
        Config { header_read_timeout: Span::millis(500), idle_timeout: Span::secs(1), ..Config::default() };
    let server = server_with(config);
    assert_eq!(Wire::open(&server).await.rest().await, "", "nothing was asked, nothing is said");
    let mut wire = Wire::open(&server).await;
    wire.write(GET).await;
    wire.until("ok\n").await;
    assert_eq!(wire.rest().await, "");
    let mut preface = Wire::open(&server).await;
    preface.write("PRI * HTTP/2.0\r\n").await;
    preface.rest().await;
}

#[tokio::test]
async fn a_slow_body_is_told_and_cut() {
    for config in [
        Config { body_idle_timeout: Span::millis(200), ..Config::default() },
        Config { body_timeout: Span::millis(200), ..Config::default() },
    ] {
        let server = server_with(config);
        let mut wire = Wire::open(&server).await;
        wire.write("POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhell").await;
        let answer = wire.rest().await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("request-timeout"), "{answer}");
        assert!(answer.contains("connection: close"));
    }
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused_with_or_without_words() {
    let config = Config {
        max_header_block: ByteSize::kib(8),
        max_request_target: ByteSize::kib(1),
        ..Config::default()
    };
    let server = server_with(config);
    let mut wire = Wire::open(&server).await;
    wire.write(&format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(8 << 10))).await;
    let answer = wire.rest().await;
    assert!(answer.starts_with("HTTP/1.1 431 ") && answer.contains("headers-too-large"), "{answer}");
    let mut wire = Wire::open(&server).await;
    let endless = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: {}", "x".repeat(64 << 10));
    let _ = wire.socket.write_all(endless.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, wire.socket.read_to_end(&mut answer)).await.expect("stays open");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431 "));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_early_or_while_it_comes() {
    let server = server();
    let limit = server.broker.config().max_message_size.bytes();
    let mut wire = Wire::open(&server).await;
    wire.write(&format!(
        "POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        limit + 1
    ))
    .await;
    let head = wire.until("\r\n\r\n").await;
    assert!(
        head.starts_with("HTTP/1.1 413 ") && head.contains("connection: close"),
        "before any of it was sent"
    );
    let mut wire = Wire::open(&server).await;
    wire.write("POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..(limit / 0x10000 + 2) {
        wire.write(&chunk).await;
    }
    wire.write("0\r\n\r\n").await;
    let answer = wire.rest().await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("message-too-large"), "{answer}");
}

#[tokio::test]
async fn expect_continue_is_answered_or_refused() {
    let server = server();
    let mut wire = Wire::open(&server).await;
    let head = "POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: ";
    wire.write(&format!("{head}2\r\n\r\n")).await;
    wire.until("HTTP/1.1 100 Continue\r\n\r\n").await;
    wire.write("hi").await;
    assert!(wire.until("\r\n\r\n").await.contains("HTTP/1.1 201 "));
    let mut wire = Wire::open(&server).await;
    wire.write(&format!("{head}999999999\r\n\r\n")).await;
    assert!(wire.rest().await.starts_with("HTTP/1.1 413 "), "the body was never asked for");
}

#[tokio::test]
async fn an_upload_of_lines_is_reported_while_it_comes() {
    let server = server();
    for expect in ["Expect: 100-continue\r\n", ""] {
        let mut wire = Wire::open(&server).await;
        wire.write(&format!(
            "POST /v1/topics/t/messages:batch HTTP/1.1\r\nHost: x\r\n{expect}Connection: close\r\n\
             Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        ))
        .await;
        if !expect.is_empty() {
            wire.until("HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        let line = "d\r\n{\"body\":\"a\"}\n\r\n";
        for _ in 0..3 {
            wire.write(line).await;
            assert!(wire.until("}\n").await.contains("\"ok\":true"));
        }
        wire.write("0\r\n\r\n").await;
        assert_eq!(wire.rest().await, "\r\n0\r\n\r\n");
    }
}

#[tokio::test]
async fn http2_with_prior_knowledge() {
    let server = server();
    let wire = Wire::open(&server).await;
    let io = TokioIo::new(wire.socket);
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let driver = tokio::spawn(connection);
    let get = |path: &str| {
        http::Request::builder().uri(format!("http://x{path}")).body(Empty::<bytes::Bytes>::new()).unwrap()
    };
    let (live, wrong) =
        tokio::join!(client.clone().send_request(get("/livez")), client.send_request(get("/nothing")));
    let live = live.unwrap();
    assert_eq!((live.status().as_u16(), live.version()), (200, http::Version::HTTP_2));
    assert_eq!(live.into_body().collect().await.unwrap().to_bytes(), "ok\n");
    assert_eq!(wrong.unwrap().headers()["content-type"], "application/problem+json");
    drop(client);
    wire.drain.start();
    tokio::time::timeout(PATIENCE, wire.served).await.expect("stays open").unwrap();
    driver.await.unwrap().unwrap();
}

#[tokio::test]
async fn http2_requests_at_once_are_limited() {
    let server = server_with(Config { max_concurrent_requests: 1, ..Config::default() });
    server.json("PUT", "/v1/topics/t", json!({})).await.expect(201);
    let wire = Wire::open(&server).await;
    let io = TokioIo::new(wire.socket);
    let (client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let driver = tokio::spawn(connection);
    let send = |method: &str, path: &str| {
        let request = http::Request::builder().method(method).uri(format!("http://x{path}"));
        client.clone().send_request(request.body(Empty::<bytes::Bytes>::new()).unwrap())
    };
    assert_eq!(
        send("GET", "/livez").await.unwrap().status(),
        200,
        "the limit is known to the client from here on"
    );
    let poll = tokio::spawn(send("POST", "/v1/groups/g/receive?topic=t&wait=60s"));
    let began = Instant::now();
    while !server.get("/v1/groups/g/offsets").await.status.is_success() {
        assert!(began.elapsed() < PATIENCE, "the long poll made no group");
        tokio::task::yield_now().await;
    }
    let mut second = tokio::spawn(send("GET", "/livez"));
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut second).await.is_err(), "one at a time");
    server.post("/v1/topics/t/messages", "x").await.expect(201);
    assert_eq!(
        poll.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes().first(),
        Some(&b'{')
    );
    let second = tokio::time::timeout(PATIENCE, second).await.expect("no answer").unwrap();
    assert_eq!(second.unwrap().status(), 200);
    driver.abort();
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_at_once() {
    let server = server();
    server.json("PUT", "/v1/topics/t", json!({})).await.expect(201);
    let began = Instant::now();
    let mut poll = Wire::open(&server).await;
    poll.write("POST /v1/groups/g/receive?topic=t&wait=60s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .await;
    let mut stream = Wire::open(&server).await;
    stream.write("GET /v1/topics/t/stream HTTP/1.1\r\nHost: x\r\n\r\n").await;
    stream.until("retry: 3000").await;
    let mut browse = Wire::open(&server).await;
    let page = "GET /v1/topics/t/queues/0/messages?wait=60s HTTP/1.1\r\nHost: x\r\n\r\n";
    browse.write(page).await;
    let mut resting = Wire::open(&server).await;
    resting.write(GET).await;
    resting.until("ok\n").await;
    let waiting = || async { !server.get("/v1/groups/g/offsets").await.status.is_success() };
    while waiting().await {
        assert!(began.elapsed() < PATIENCE, "the long poll made no group");
        tokio::task::yield_now().await;
    }
    for wire in [&poll, &stream, &browse, &resting] {
        wire.drain.start();
    }
    assert!(poll.rest().await.contains("{\"messages\":[]}"));
    assert!(stream.rest().await.contains("event: bye"));
    assert!(browse.rest().await.contains("\"messages\":[]"));
    assert_eq!(resting.rest().await, "");
    for wire in [poll, stream, browse, resting] {
        tokio::time::timeout(PATIENCE, wire.served).await.expect("stays open").unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_client_that_hangs_up_in_a_long_poll_leaves_no_lease() {
    let server = server();
    server.json("PUT", "/v1/topics/t", json!({})).await.expect(201);
    let mut wire = Wire::open(&server).await;
    wire.write("POST /v1/groups/g/receive?topic=t&wait=60s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .await;
    drop(wire.socket);
    tokio::time::timeout(PATIENCE, wire.served).await.expect("stays open").unwrap();
    server.post("/v1/topics/t/messages", "one").await.expect(201);
    assert_eq!(server.receive_one().await["deliveries"], 1);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off() {
    let server = server_with(Config { write_timeout: Span::millis(300), ..Config::default() });
    let body = "x".repeat(4 << 20);
    for _ in 0..8 {
        server.post("/v1/topics/t/messages?queue=0", &body).await.expect(201);
    }
    let mut wire = Wire::open(&server).await;
    wire.write("GET /v1/topics/t/stream?from=earliest HTTP/1.1\r\nHost: x\r\n\r\n").await;
    tokio::time::timeout(PATIENCE, wire.served).await.expect("stays open").unwrap();
}

#[tokio::test]
async fn nonsense_is_refused() {
    let server = server();
    for wrong in ["GET / HTTP/1.1\r\nBad Header\r\n\r\n", "\x01\x02\x03\r\n\r\n"] {
        let mut wire = Wire::open(&server).await;
        wire.write(wrong).await;
        assert!(wire.rest().await.starts_with("HTTP/1.1 400 "), "{wrong:?}");
    }
    let both = "POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello";
    let mut wire = Wire::open(&server).await;
    wire.write(both).await;
    assert!(wire.rest().await.starts_with("HTTP/1.1 400 "));
}
