//! Bytes that no honest client sends: each gets a clear answer or a closed connection, and others are served meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use sluice_http::Config;
use sluice_net::{Connection, Drain, Protocol};
use std::sync::Arc;
use support::{PATIENCE, Server, server, server_with};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn connect(server: &Server) -> TcpStream {
    connect_until(server, Drain::new()).await
}

async fn connect_until(server: &Server, drain: Drain) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let conn = Connection::plain(accepted).unwrap();
    tokio::spawn(Arc::clone(&server.http).serve(conn, drain));
    socket
}

/// Everything that is answered until the server closes; a reset counts as closing.
async fn answers(server: &Server, bytes: &[u8]) -> String {
    let mut socket = connect(server).await;
    let _ = socket.write_all(bytes).await;
    let mut got = Vec::new();
    let read = async {
        let mut piece = [0; 4096];
        while let Ok(n @ 1..) = socket.read(&mut piece).await {
            got.extend_from_slice(&piece[..n]);
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the connection stays open");
    String::from_utf8_lossy(&got).into_owned()
}

/// One refusal, nothing after it, and a server that goes on.
async fn refused(server: &Server, bytes: &[u8], status: &str) {
    let got = answers(server, bytes).await;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
    assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?}: {got}");
    assert_eq!(got.matches("HTTP/1.1 ").count(), 1, "what follows was taken for a request: {shown:?}: {got}");
    assert_eq!(server.get("/livez").await.status, 200);
}

const SMUGGLED: &str = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";

fn post(head: &str, body: &str) -> Vec<u8> {
    format!("POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n{body}{SMUGGLED}").into_bytes()
}

#[tokio::test]
async fn lengths_and_codings_that_contradict_each_other() {
    let server = server();
    for head in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -1",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: 99999999999999999999999",
        "Content-Length:",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    ] {
        refused(&server, &post(head, "0\r\n\r\n"), "400").await;
    }
    assert_eq!(server.get("/v1/topics/t").await.status, 404, "nothing of it was stored");
}

#[tokio::test]
async fn heads_that_could_be_read_in_two_ways() {
    let server = server();
    for head in [
        "X: a\r\n folded",
        "X: a\r\n\tfolded",
        " Content-Length: 5",
        "Content-Length : 5",
        "Content-Length\t: 5",
        "Transfer-Encoding : chunked",
        "X: a\nContent-Length: 5",
        "X: a\rContent-Length: 5",
        "X\0: a",
        "X: a\0b",
        "X y: a",
        ": a",
        "X",
        "Ünicode: a",
    ] {
        refused(&server, &post(head, ""), "400").await;
    }
    for line in [
        "GET /livez HTTP/1.1\n",
        "GET  /livez HTTP/1.1\r\n",
        "GET /livez\r\n",
        "GET /livez HTTP/1.2\r\n",
        "GET /livez HTTP/9.9\r\n",
        "GET /li vez HTTP/1.1\r\n",
        "GET /li\0vez HTTP/1.1\r\n",
        "G(T /livez HTTP/1.1\r\n",
        "GET \x01 HTTP/1.1\r\n",
    ] {
        refused(&server, format!("{line}Host: x\r\n\r\n{SMUGGLED}").as_bytes(), "400").await;
    }
}

#[tokio::test]
async fn chunks_that_are_none() {
    let server = server();
    for body in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n",
    ] {
        refused(&server, &post("Transfer-Encoding: chunked", body), "400").await;
    }
    let flood = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(64 << 10));
    refused(&server, &post("Transfer-Encoding: chunked", &flood), "400").await;
    let many = "1;extension=x\r\na\r\n".repeat(100_000);
    let got = answers(&server, &post("Transfer-Encoding: chunked", &format!("{many}0\r\n\r\n"))).await;
    assert!(got.starts_with("HTTP/1.1 400 "), "{}", &got[..got.len().min(200)]);
    let trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(100_000));
    let got = answers(&server, &post("Transfer-Encoding: chunked", &trailers)).await;
    assert!(got.starts_with("HTTP/1.1 400 "), "{}", &got[..got.len().min(200)]);
    let body = "5;a=b\r\nhello\r\n0\r\nX-Trailer: y\r\n\r\n";
    let fine = [&post("Connection: close\r\nTransfer-Encoding: chunked", body)[..]].concat();
    let got = answers(&server, &fine).await;
    assert!(got.starts_with("HTTP/1.1 201 "), "extensions and trailers as such are fine: {got}");
}

#[tokio::test]
async fn heads_without_end() {
    let server = server();
    for head in [
        "X: ".to_owned() + &"y".repeat(1 << 20),
        "X: y\r\n".repeat(300) + "Y: z",
        "X: y\r\n".repeat(100_000) + "Y: z",
        "Y".repeat(1 << 20) + ": z",
    ] {
        refused(&server, &post(&head, ""), "431").await;
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(20 << 10));
    refused(&server, long.as_bytes(), "414").await;
    let longer = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(1 << 20));
    let got = answers(&server, longer.as_bytes()).await;
    assert!(got.starts_with("HTTP/1.1 414 ") || got.starts_with("HTTP/1.1 431 "), "{got}");
}

#[tokio::test]
async fn names_that_are_no_names() {
    let server = server();
    for (path, code) in [
        ("/v1/topics/%2e%2e/messages", "invalid-name"),
        ("/v1/topics/a%2Fb/messages", "invalid-name"),
        ("/v1/topics/a%5Cb/messages", "invalid-name"),
        ("/v1/topics/a%00b/messages", "invalid-name"),
        ("/v1/topics/a%0d%0aX:y/messages", "invalid-name"),
        ("/v1/topics/%ff/messages", "bad-request"),
        ("/v1/topics/%c0%af/messages", "bad-request"),
        ("/v1/topics/%ed%a0%80/messages", "bad-request"),
        ("/v1/topics/%/messages", "bad-request"),
        ("/v1/topics/%u0041/messages", "bad-request"),
        ("/v1/topics//messages", "invalid-name"),
        ("/v1/topics/../messages", "invalid-name"),
        ("/v1/topics/t/messages?tag=%ff", "bad-request"),
        ("/v1/topics/t/messages?%00=1", "unknown-parameter"),
    ] {
        let bytes =
            format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx");
        let got = answers(&server, bytes.as_bytes()).await;
        assert!(
            got.starts_with("HTTP/1.1 4") && got.contains(&format!("\"code\":\"{code}\"")),
            "{path}: {got}"
        );
    }
    let latin1 = b"POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\nX-MQ-Tag: \xe4\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    let got = answers(&server, latin1).await;
    assert!(got.contains("a header value is not UTF-8"), "{got}");
}

#[tokio::test]
async fn json_that_is_deep_broken_or_not_text() {
    let server = server();
    let json = ["Content-Type: application/json"];
    for body in [
        "[".repeat(1 << 20).into_bytes(),
        [b"{\"messages\":".repeat(100_000), b"1".to_vec()].concat(),
        b"{\"messages\":[{\"body\":\"\xff\"}]}".to_vec(),
        b"{\"messages\":[{\"body\":\"\\ud800\"}]}".to_vec(),
        b"{\"messages\":[{\"body\":\"a\0b\"}]}".to_vec(),
        b"{\"messages\":[{\"body\":\"a\"}],\"messages\":[]}".to_vec(),
        b"{\"messages\":[{\"body\":\"a\"}]} {}".to_vec(),
        b"\xef\xbb\xbf{\"messages\":[{\"body\":\"a\"}]}".to_vec(),
        b"{\"messages\":[{\"body\":\"a\",\"queue\":1e999}]}".to_vec(),
        b"{\"messages\":[{\"body\":\"a\",\"queue\":-1}]}".to_vec(),
    ] {
        let answer = server.call("POST", "/v1/topics/t/messages:batch", &json, body).await;
        answer.problem(400, "invalid-json");
    }
    let deep = format!("{{\"messages\":[{{\"body\":{}1{}}}]}}", "[".repeat(60), "]".repeat(60));
    server.call("POST", "/v1/topics/t/messages:batch", &json, deep).await.expect(201);
}

#[tokio::test]
async fn a_body_that_is_left_unread_is_no_head() {
    let server = server_with(Config::default());
    let mut socket = connect(&server).await;
    // The answer comes before the body; the body has bare line feeds and what looks like heads.
    let body = "a\nContent-Length: 1\nContent-Length: 2\r\n\r\nb\n".repeat(50);
    let (first, second) = body.split_at(body.len() / 2);
    let head = format!(
        "POST /v1/topics/a.b/messages HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{first}",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut got = vec![0; 12];
    tokio::time::timeout(PATIENCE, socket.read_exact(&mut got)).await.unwrap().unwrap();
    assert_eq!(&got[..], b"HTTP/1.1 400");
    socket.write_all(second.as_bytes()).await.unwrap();
    socket.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut rest = String::new();
    tokio::time::timeout(PATIENCE, socket.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert!(rest.contains("invalid-name") && rest.contains("HTTP/1.1 200 OK"), "{rest}");
}

#[tokio::test]
async fn a_drain_lets_what_has_begun_come_to_its_end() {
    let server = server();
    let drain = Drain::new();
    let mut upload = connect_until(&server, drain.clone()).await;
    let head =
        "POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    upload.write_all(head.as_bytes()).await.unwrap();
    let mut continues = [0; 25];
    tokio::time::timeout(PATIENCE, upload.read_exact(&mut continues)).await.unwrap().unwrap();
    let mut asking = connect_until(&server, drain.clone()).await;
    let head = "POST /v1/topics/t/request?timeout=60s HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx";
    asking.write_all(head.as_bytes()).await.unwrap();
    while server.get("/v1/topics/t").await.status != 200 {
        tokio::task::yield_now().await;
    }
    drain.start();
    upload.write_all(b"late").await.unwrap();
    for (mut socket, status) in [(upload, "201"), (asking, "503")] {
        let mut got = String::new();
        tokio::time::timeout(PATIENCE, socket.read_to_string(&mut got)).await.expect("stays open").unwrap();
        assert!(
            got.starts_with(&format!("HTTP/1.1 {status} ")) && got.contains("connection: close"),
            "{got}"
        );
    }
}

/// Requests that are well formed and say so in each way that there is, none of them the last one.
const BEFORE: [&str; 4] = [
    "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\na\nb\n",
    "POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
     3;e=f\r\n\n\na\r\n0\r\nX-Trailer: y\r\n\r\n",
    "\r\nPOST /v1/groups/g/receive?topic=t&wait=1s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
];

#[tokio::test]
async fn a_head_that_could_be_read_in_two_ways_is_seen_behind_others() {
    let server = server();
    server.call("PUT", "/v1/topics/t", &["Content-Type: application/json"], "{}").await.expect(201);
    for head in [
        "Content-Length: 0\r\nContent-Length: 0",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 0\nX: y",
    ] {
        let before = if head.contains('\n') && !head.contains('\r') { &BEFORE[..] } else { &BEFORE[..3] };
        for good in before {
            let got = answers(&server, &[good.as_bytes(), &post(head, "0\r\n\r\n")].concat()).await;
            let statuses: Vec<&str> = got.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
            assert!(matches!(statuses[..], ["200" | "201", "400"]), "{good:?} {head:?}: {got}");
            assert!(got.contains("\"code\":\"bad-request\""), "{got}");
        }
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = server();
    let one = "POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx";
    let last = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let got = answers(&server, format!("{}{last}", one.repeat(20)).as_bytes()).await;
    assert_eq!(got.matches("HTTP/1.1 201 Created").count(), 20, "{got}");
    assert!(got.ends_with("ok\n"));
}
