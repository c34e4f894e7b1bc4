//! Compression both ways, pages of other origins, conditions on settings, the shape of JSON.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use sluice_http::{AllowedOrigin, Config};
use std::io::{Read, Write};
use support::{Answer, Server, server, server_with};

const MESSAGES: &str = "/v1/topics/t/messages";

fn packed(coding: &str, bytes: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            packer.write_all(bytes).unwrap();
            packer.finish().unwrap()
        }
        "deflate" => {
            let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
            packer.write_all(bytes).unwrap();
            packer.finish().unwrap()
        }
        "zstd" => zstd::encode_all(bytes, 3).unwrap(),
        _ => {
            let mut packer = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
            packer.write_all(bytes).unwrap();
            packer.into_inner()
        }
    }
}

fn unpacked(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).map(drop).unwrap(),
        "zstd" => out = zstd::decode_all(bytes).unwrap(),
        _ => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out).map(drop).unwrap(),
    }
    out
}

async fn send_packed(server: &Server, target: &str, coding: &str, more: &[&str], body: Vec<u8>) -> Answer {
    let coding = format!("Content-Encoding: {coding}");
    server.call("POST", target, &[&[coding.as_str()], more].concat(), body).await
}

#[tokio::test]
async fn packed_bodies_are_stored_plain() {
    let server = server();
    for coding in ["gzip", "deflate", "zstd", "br"] {
        send_packed(&server, MESSAGES, coding, &[], packed(coding, b"hello")).await.expect(201);
        assert_eq!(server.receive_one().await["body"], "hello", "{coding}");
        let batch = packed(coding, json!({"messages": [{"body": "a"}]}).to_string().as_bytes());
        let json = ["Content-Type: application/json"];
        send_packed(&server, "/v1/topics/t/messages:batch", coding, &json, batch).await.expect(201);
        let lines = packed(coding, b"{\"body\":\"b\"}\n{\"body\":\"c\"}\n");
        let ndjson = ["Content-Type: application/x-ndjson"];
        let reports = send_packed(&server, "/v1/topics/t/messages:batch", coding, &ndjson, lines).await;
        assert_eq!(reports.body.split(|b| *b == b'\n').count(), 3, "{:?}", reports.body);
        assert_eq!(server.receive("max=10").await.expect(200)["messages"].as_array().unwrap().len(), 3);
    }
    send_packed(&server, MESSAGES, "identity", &[], b"plain".to_vec()).await.expect(201);
    assert_eq!(server.receive_one().await["body"], "plain");
}

#[tokio::test]
async fn a_coding_can_be_kept() {
    let server = server();
    let body = packed("gzip", b"hello");
    send_packed(&server, &format!("{MESSAGES}?keepEncoding=true"), "gzip", &[], body.clone())
        .await
        .expect(201);
    let raw = server.receive("format=raw&wait=5s").await;
    assert_eq!((raw.header("x-mq-prop-content-encoding"), &raw.body[..]), ("gzip", &body[..]));
}

#[tokio::test]
async fn codings_that_are_unknown_wrong_or_bombs_are_refused() {
    let server = server();
    for coding in ["compress", "gzip, br", "snappy"] {
        let refused = send_packed(&server, MESSAGES, coding, &[], b"x".to_vec()).await;
        assert_eq!(refused.header("accept-encoding"), "gzip, deflate, zstd, br");
        refused.problem(415, "unsupported-media-type");
    }
    for coding in ["gzip", "deflate", "zstd", "br"] {
        let body = packed(coding, b"hello hello hello");
        send_packed(&server, MESSAGES, coding, &[], body[..body.len() - 3].to_vec())
            .await
            .problem(400, "bad-request");
        send_packed(&server, MESSAGES, coding, &[], b"nothing of the kind".to_vec())
            .await
            .problem(400, "bad-request");
        let bomb = packed(coding, &vec![0; 64 << 20]);
        send_packed(&server, MESSAGES, coding, &[], bomb.clone()).await.problem(413, "body-too-large");
        let line =
            packed(coding, &[b"{\"body\":\"".to_vec(), vec![b'a'; 64 << 20], b"\"}\n".to_vec()].concat());
        let ndjson = ["Content-Type: application/x-ndjson"];
        let reports = send_packed(&server, "/v1/topics/t/messages:batch", coding, &ndjson, line).await;
        let report: Value = serde_json::from_slice(&reports.body).unwrap();
        assert!(
            ["body-too-large", "message-too-large"].contains(&report["code"].as_str().unwrap()),
            "{report}"
        );
    }
    // Within the ratio, and beyond the message's own limit.
    let mut noise = 1u64;
    let large: Vec<u8> = (0..5 << 20)
        .map(|_| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            b'a' + (noise >> 60) as u8
        })
        .collect();
    send_packed(&server, MESSAGES, "zstd", &[], packed("zstd", &large))
        .await
        .problem(413, "message-too-large");
    server.post(MESSAGES, "others are served").await.expect(201);
}

#[tokio::test]
async fn answers_are_packed_for_who_asks() {
    let server = server();
    let body = "packed and packed and ".repeat(20_000);
    for (accept, coding) in [
        ("gzip", "gzip"),
        ("br", "br"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0, gzip;q=0.1", "gzip"),
    ] {
        server.post(MESSAGES, &body).await.expect(201);
        let target = "/v1/groups/g/receive?topic=t";
        let answer = server.call("POST", target, &[&format!("Accept-Encoding: {accept}")], "").await;
        assert_eq!(answer.header("content-encoding"), coding);
        assert_eq!((answer.header("vary"), answer.header("content-length")), ("accept-encoding", ""));
        assert!(answer.body.len() < body.len() / 10);
        let json: Value = serde_json::from_slice(&unpacked(coding, &answer.body)).unwrap();
        assert_eq!(json["messages"][0]["body"], body);
        let handle = json["messages"][0]["handle"].as_str().unwrap();
        server.call("DELETE", &format!("/v1/messages/{handle}"), &[], "").await.expect(204);
    }
    let document = server.get("/openapi.json").await;
    assert_eq!((document.header("content-encoding"), document.header("vary")), ("", "accept-encoding"));
    let small = server.call("GET", "/v1/version", &["Accept-Encoding: gzip"], "").await;
    assert_eq!(small.header("content-encoding"), "");
    let head = server.call("HEAD", "/openapi.json", &["Accept-Encoding: gzip"], "").await;
    assert_eq!(head.header("content-encoding"), "");
    server.call("POST", MESSAGES, &["Content-Type: image/png"], body).await.expect(201);
    let raw =
        server.call("POST", "/v1/groups/g/receive?topic=t&format=raw", &["Accept-Encoding: gzip"], "").await;
    assert_eq!((raw.header("content-type"), raw.header("content-encoding")), ("image/png", ""));
}

#[tokio::test]
async fn streams_are_never_packed() {
    let server = server();
    server.post(MESSAGES, &"x".repeat(5000)).await.expect(201);
    for form in ["sse", "ndjson"] {
        let target = format!("/v1/topics/t/stream?from=earliest&format={form}");
        let stream = server.open(support::request("GET", &target, &["Accept-Encoding: gzip"], "")).await;
        assert!(stream.headers().get("content-encoding").is_none());
        let mut body = stream.into_body();
        let mut got = String::new();
        while !got.contains("xxxxx") {
            let frame =
                tokio::time::timeout(support::PATIENCE, body.frame()).await.unwrap().unwrap().unwrap();
            got.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }
}

#[tokio::test]
async fn a_packed_answer_that_nobody_takes_leaves_no_lease() {
    let server = server();
    server.post(MESSAGES, &"x".repeat(5000)).await.expect(201);
    let request = support::request("POST", "/v1/groups/g/receive?topic=t", &["Accept-Encoding: gzip"], "");
    drop(server.open(request).await);
    assert_eq!(server.receive_one().await["deliveries"], 1);
}

fn origin(text: &str) -> AllowedOrigin {
    AllowedOrigin::try_from(text.to_owned()).unwrap()
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_unless_they_are_named() {
    let shop = "Origin: https://shop.example.com";
    let preflight = [
        shop,
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: Authorization, X-MQ-Tag",
    ];
    let closed = server();
    closed.call("OPTIONS", MESSAGES, &preflight, "").await.problem(403, "forbidden");
    closed.call("POST", MESSAGES, &[shop], "x").await.problem(403, "forbidden");
    let open =
        server_with(Config { cors_origins: vec![origin("https://shop.example.com")], ..Config::default() });
    let answer = open.call("OPTIONS", MESSAGES, &preflight, "").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    assert_eq!(answer.header("access-control-allow-origin"), "https://shop.example.com");
    assert_eq!(answer.header("access-control-allow-headers"), "authorization, x-mq-tag");
    assert!(answer.header("access-control-allow-methods").contains("PATCH"));
    assert_eq!(answer.header("access-control-max-age"), "600");
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["access-control-request-headers", "origin"]);
    let sent = open.call("POST", MESSAGES, &[shop, "X-MQ-Tag: a"], "x").await;
    assert_eq!(sent.header("access-control-allow-origin"), "https://shop.example.com");
    assert!(sent.header("access-control-expose-headers").contains("x-mq-handle"));
    sent.expect(201);
    let other = [&["Origin: https://evil.example"], &preflight[1..]].concat();
    let refused = open.call("OPTIONS", MESSAGES, &other, "").await;
    assert_eq!(refused.header("access-control-allow-origin"), "");
    refused.problem(403, "forbidden");
    let cookie = [shop, preflight[1], "Access-Control-Request-Headers: Cookie"];
    open.call("OPTIONS", MESSAGES, &cookie, "").await.problem(403, "forbidden");
    let problem = open.call("GET", "/nothing", &[shop], "").await;
    assert_eq!(
        problem.header("access-control-allow-origin"),
        "https://shop.example.com",
        "errors can be read"
    );
    let any = server_with(Config { cors_origins: vec![origin("*")], ..Config::default() });
    let answer = any.call("POST", MESSAGES, &[shop], "x").await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn settings_are_changed_under_conditions() {
    let server = server();
    for (path, settings, patch) in [
        ("/v1/topics/t", json!({"queues": 2}), json!({"queues": 3})),
        ("/v1/groups/h", json!({"maxDeliveries": 2}), json!({"maxDeliveries": 3})),
    ] {
        let put = |headers: &'static [&'static str]| {
            let headers = [&["Content-Type: application/json"], headers].concat();
            let body = settings.to_string();
            let server = &server;
            async move { server.call("PUT", path, &headers, body).await }
        };
        put(&["If-Match: *"]).await.problem(412, "precondition-failed");
        let made = put(&["If-None-Match: *"]).await;
        let tag = made.header("etag").to_owned();
        made.expect(201);
        put(&["If-None-Match: *"]).await.problem(412, "precondition-failed");
        let shown = server.get(path).await;
        assert_eq!(shown.header("etag"), tag);
        server.post(MESSAGES, "changes no setting").await.expect(201);
        server.receive("max=1").await.expect(200);
        let known = server.call("GET", path, &[&format!("If-None-Match: W/{tag}")], "").await;
        assert_eq!((known.status.as_u16(), known.body.len(), known.header("etag")), (304, 0, &tag[..]));
        let change = |tag: &str| {
            let headers = ["Content-Type: application/json".to_owned(), format!("If-Match: {tag}")];
            let (body, server) = (patch.to_string(), &server);
            async move { server.call("PATCH", path, &[&headers[0], &headers[1]], body).await }
        };
        let changed = change(&format!("\"other\", {tag}")).await;
        let new = changed.header("etag").to_owned();
        changed.expect(200);
        assert_ne!(new, tag);
        change(&tag).await.problem(412, "precondition-failed");
        change(&format!("W/{new}")).await.problem(412, "precondition-failed");
        server
            .call("DELETE", path, &[&format!("If-Match: {tag}")], "")
            .await
            .problem(412, "precondition-failed");
        server.call("DELETE", path, &[&format!("If-Match: {new}")], "").await.expect(204);
        server
            .get(path)
            .await
            .problem(404, if path.contains("topics") { "topic-not-found" } else { "group-not-found" });
    }
    server.call("POST", MESSAGES, &["If-Match: *"], "x").await.problem(501, "unsupported");
    for wrong in ["", "x", "\"x", "\"a\" \"b\"", "\"a\",", "w/\"a\""] {
        for (method, name) in [("GET", "If-None-Match"), ("PUT", "If-Match"), ("DELETE", "If-None-Match")] {
            let header = format!("{name}: {wrong}");
            server.json("PUT", "/v1/topics/here", json!({})).await;
            server.call(method, "/v1/topics/here", &[&header], "").await.problem(400, "bad-request");
        }
    }
}

#[tokio::test]
async fn of_those_who_change_the_same_state_one_does() {
    let server = server();
    let made = server.json("PUT", "/v1/topics/t", json!({"queues": 1})).await;
    let tag = format!("If-Match: {}", made.header("etag"));
    let calls =
        (2..10).map(|queues| {
            let body = json!({"queues": queues}).to_string();
            let (server, tag) = (&server, &tag);
            async move {
                server.call("PATCH", "/v1/topics/t", &["Content-Type: application/json", tag], body).await
            }
        });
    let answers = futures_util::future::join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 412).count(), 7);
}

#[tokio::test]
async fn json_is_shaped_as_the_caller_likes_it() {
    let server = server();
    let message = json!({"messages": [{"body": {"offset": 1, "x": [1.50]}}]}).to_string();
    let json = ["Content-Type: application/json"];
    server.call("POST", "/v1/topics/t/messages:batch", &json, message).await.expect(201);
    let shown = server.receive("pretty&int64=string&body=json").await;
    let text = String::from_utf8(shown.body.to_vec()).unwrap();
    assert!(text.starts_with("{\n  \"messages\": [\n    {\n"), "{text}");
    assert!(text.contains("\"offset\": \"0\"") && text.contains("\"offset\": 1,"), "{text}");
    assert_eq!(shown.json()["messages"][0]["body"]["offset"], 1);
    let offsets = server.get("/v1/groups/g/offsets?int64=string").await.expect(200);
    assert!(offsets["items"][0]["end"].is_string(), "{offsets}");
    server.get("/v1/topics?int64=maybe").await.problem(400, "invalid-parameter");
    server.get("/v1/topics/t/stream?pretty=true").await.problem(400, "unknown-parameter");
    let json = ["Content-Type: application/json"];
    server.call("POST", MESSAGES, &json, "[1,  2]").await.expect(201);
    let raw = server.receive("format=raw&pretty&int64=string").await;
    assert_eq!(&raw.body[..], b"[1,  2]", "a stored message keeps its bytes");
    let problem = server.get("/v1/topics/none?pretty=true").await;
    assert!(problem.body.starts_with(b"{\n  \"type\""));
    problem.problem(404, "topic-not-found");
}
