//! Topics, groups, operations, and the errors of every call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use support::{request, server, server_with};

#[tokio::test]
async fn topics_are_made_changed_listed_and_deleted() {
    let server = server();
    let made = server
        .json("PUT", "/v1/topics/a", json!({"queues": 3, "attributes": {"owner": "me"}}))
        .await
        .expect(201);
    assert_eq!((&made["queues"], &made["permissions"]), (&json!(3), &json!("rw")));
    assert_eq!(made["offsets"].as_array().unwrap().len(), 3);
    server.json("PUT", "/v1/topics/a", json!({"queues": 3, "attributes": {"owner": "me"}})).await.expect(200);
    let patch = json!({"queues": 4, "attributes": {"owner": null, "team": "x"}});
    let changed = server.json("PATCH", "/v1/topics/a", patch).await.expect(200);
    assert_eq!((&changed["queues"], &changed["attributes"]), (&json!(4), &json!({"team": "x"})));
    server.call("PUT", "/v1/topics/b", &[], "").await.expect(201);
    server.json("PUT", "/v1/topics/c", json!({"type": "DELAY"})).await.expect(201);
    let names = |page: Value| {
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(server.get("/v1/topics").await.expect(200)), ["a", "b", "c"]);
    assert_eq!(names(server.get("/v1/topics?type=DELAY").await.expect(200)), ["c"]);
    assert_eq!(names(server.get("/v1/topics?prefix=b").await.expect(200)), ["b"]);
    let page = server.get("/v1/topics?limit=2").await.expect(200);
    assert_eq!(page["next"], "b");
    assert_eq!(names(server.get("/v1/topics?limit=2&cursor=b").await.expect(200)), ["c"]);
    assert_eq!(server.call("DELETE", "/v1/topics/a", &[], "").await.status, 204);
    server.call("DELETE", "/v1/topics/a", &[], "").await.problem(404, "topic-not-found");
    server.get("/v1/topics/a").await.problem(404, "topic-not-found");
    server.json("PATCH", "/v1/topics/a", json!({})).await.problem(404, "topic-not-found");
    server.call("DELETE", "/v1/topics/%25RETRY%25g", &[], "").await.problem(403, "system-topic");
    let kept = server.json("PUT", "/v1/topics/a", json!({"retention": "3h"})).await.expect(201);
    assert_eq!((&kept["retention"], &kept["attributes"]), (&json!("3h"), &json!({})));
    let longer = server.json("PUT", "/v1/topics/a", json!({"retention": "20d"})).await.expect(200);
    assert_eq!(longer["retention"], "20d", "longer than the log's own three days");
    server.json("PUT", "/v1/topics/a", json!({"retention": "900d"})).await.problem(400, "invalid-parameter");
    server.json("PUT", "/v1/topics/a", json!({"permissions": "x"})).await.problem(400, "invalid-json");
    server.json("PUT", "/v1/topics/a", json!({"type": "ODD"})).await.problem(400, "invalid-json");
    server.call("POST", "/v1/topics/b/messages", &[], "x").await.expect(201);
    server.call("DELETE", "/v1/topics/b?ifEmpty=true", &[], "").await.problem(409, "conflict");
    let truncate = json!({"before": "latest"});
    let dry = server.json("POST", "/v1/topics/b:truncate?dryRun=true", truncate.clone()).await.expect(200);
    assert_eq!(dry["removed"], 1);
    server.call("DELETE", "/v1/topics/b?ifEmpty", &[], "").await.problem(409, "conflict");
    server.json("POST", "/v1/topics/b:truncate", truncate.clone()).await.expect(200);
    assert_eq!(server.get("/v1/topics/b").await.expect(200)["messages"], 0);
    assert_eq!(server.call("DELETE", "/v1/topics/b?ifEmpty&ifUnused&dryRun", &[], "").await.status, 204);
    assert_eq!(server.call("DELETE", "/v1/topics/b?ifEmpty&ifUnused", &[], "").await.status, 204);
    server.json("POST", "/v1/topics/b:truncate", truncate.clone()).await.problem(404, "topic-not-found");
    server.json("POST", "/v1/topics/b:purge", truncate).await.problem(404, "not-found");
}

#[tokio::test]
async fn groups_are_made_changed_listed_and_deleted() {
    let server = server();
    let settings = json!({"maxDeliveries": 3, "retryBackoff": ["10s", "1m"], "consumeFrom": "latest"});
    let made = server.json("PUT", "/v1/groups/g", settings.clone()).await.expect(201);
    assert_eq!((&made["maxDeliveries"], &made["retryBackoff"]), (&json!(3), &json!(["10s", "1m"])));
    assert_eq!((&made["consumeFrom"], &made["broadcast"]), (&json!("latest"), &json!(true)));
    server.json("PUT", "/v1/groups/g", settings).await.expect(200);
    let patch = json!({"maxDeliveries": null, "consumeFrom": "2026-01-06T08:00:00Z"});
    let changed = server.json("PATCH", "/v1/groups/g", patch).await.expect(200);
    assert!(changed.get("maxDeliveries").is_none());
    assert_eq!(
        (&changed["consumeFrom"], &changed["retryBackoff"]),
        (&json!("2026-01-06T08:00:00.000Z"), &json!(["10s", "1m"]))
    );
    assert_eq!(server.get("/v1/groups?prefix=g").await.expect(200)["items"][0]["name"], "g");
    assert_eq!(server.get("/v1/groups/g/members").await.expect(200)["items"], json!([]));
    assert_eq!(server.call("DELETE", "/v1/groups/g", &[], "").await.status, 204);
    for missing in ["/v1/groups/g", "/v1/groups/g/members", "/v1/groups/g/dead-letters"] {
        server.get(missing).await.problem(404, "group-not-found");
    }
    server.json("PUT", "/v1/groups/g", json!({"order": "random"})).await.problem(400, "invalid-json");
    server.json("PUT", "/v1/groups/g", json!({"consumeFrom": "noon"})).await.problem(400, "invalid-json");
    server.json("PUT", "/v1/groups/g", json!({"maxDeliveries": 0})).await.problem(400, "invalid-json");
}

#[tokio::test]
async fn every_route_of_the_document_is_served() {
    let server = server();
    let doc = server.get("/openapi.json").await.expect(200);
    for (path, operations) in doc["paths"].as_object().unwrap() {
        let target = path.replace("{queue}", "0").replace(['{', '}'], "");
        for method in operations.as_object().unwrap().keys() {
            let answer = server.open(request(&method.to_uppercase(), &target, &[], "")).await;
            assert_ne!(answer.status(), 405, "{method} {target}");
            // What is not there may be a topic or a group, but not the path.
            if answer.status() == 404 {
                let problem = answer.into_body().collect().await.unwrap().to_bytes();
                let problem: Value = serde_json::from_slice(&problem).unwrap();
                let detail = problem["detail"].as_str().unwrap();
                assert!(!detail.starts_with("there is nothing at"), "{method} {target}");
            }
        }
    }
}

#[tokio::test]
async fn operations_answer() {
    let server = server();
    for path in ["/livez", "/healthz", "/readyz", "/readyz?writable=1"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"ok\n"[..]), "{path}");
    }
    let verbose = server.get("/readyz?verbose").await.expect(200);
    assert!(verbose["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true));
    assert!(server.get("/metrics").await.header("content-type").starts_with("text/plain; version=0.0.4"));
    let version = server.get("/v1/version").await.expect(200);
    assert_eq!((&version["name"], &version["api"]), (&json!("sluice"), &json!("v1")));
    let whoami = server.get("/v1/whoami").await.expect(200);
    assert_eq!((&whoami["anonymous"], &whoami["principal"]), (&json!(true), &Value::Null));
    assert_eq!(server.get("/problems/topic-not-found").await.expect(200)["status"], 404);
    server.get("/problems/none").await.problem(404, "not-found");
}

#[tokio::test]
async fn wrong_requests_get_problem_documents() {
    let server = server();
    server.get("/nothing/here").await.problem(404, "not-found");
    server.get("/v1/topics/a/b/c").await.problem(404, "not-found");
    let wrong = server.call("DELETE", "/v1/topics", &[], "").await;
    wrong.problem(405, "method-not-allowed");
    assert_eq!(wrong.header("allow"), "GET, HEAD, OPTIONS");
    let options = server.call("OPTIONS", "/v1/topics/t/messages", &[], "").await;
    assert_eq!((options.status.as_u16(), options.header("allow")), (204, "GET, HEAD, OPTIONS, POST, PUT"));
    server.call("TRACE", "/v1/topics", &[], "").await.problem(405, "method-not-allowed");
    server.get("/v1/topics/%zz").await.problem(400, "bad-request");
    server.get("/v1/topics/%ff").await.problem(400, "bad-request");
    server.get("/v1/topics?limit=%").await.problem(400, "bad-request");
    server.get("/v1/topics/a%2Fb").await.problem(400, "invalid-name");
    server.get("/v1/topics/a%00").await.problem(400, "invalid-name");
    server.get("/v1/topics?limit=1&limit=2").await.problem(400, "invalid-parameter");
    server
        .call("PUT", "/v1/topics/t", &["Content-Type: text/xml"], "<a/>")
        .await
        .problem(415, "unsupported-media-type");
    server
        .call("PUT", "/v1/topics/t", &["Content-Type: application/json"], "{")
        .await
        .problem(400, "invalid-json");
    let deep = format!("{{\"attributes\":{}", "[".repeat(100));
    server
        .call("PUT", "/v1/topics/t", &["Content-Type: application/json"], deep)
        .await
        .problem(400, "invalid-json");
    server.call("GET", "/v1/topics", &["Origin: http://evil.example"], "").await.problem(403, "forbidden");
    let own = ["Origin: http://localhost:8080", "Host: localhost:8080"];
    assert_eq!(server.call("GET", "/v1/topics", &own, "").await.status, 200);
    server.call("PUT", "/v1/users/u", &["If-Match: \"1\""], "").await.problem(501, "unsupported");
    let head = server.call("HEAD", "/v1/topics", &[], "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[tokio::test]
async fn request_ids_are_echoed_when_they_are_sane() {
    let server = server();
    let echoed = server.call("GET", "/nothing", &["X-Request-Id: abc-1"], "").await;
    assert_eq!(echoed.problem(404, "not-found")["requestId"], "abc-1");
    for odd in ["X-Request-Id: a b", "X-Request-Id: ü"] {
        let fresh = server.call("GET", "/livez", &[odd], "").await;
        assert!(!fresh.header("x-request-id").is_empty() && !fresh.header("x-request-id").contains(' '));
    }
}

#[tokio::test]
async fn sizes_are_limited() {
    let config = sluice_http::Config {
        max_header_block: sluice_model::units::ByteSize(2000),
        max_request_target: sluice_model::units::ByteSize(1000),
        max_headers: 20,
        max_json_body: sluice_model::units::ByteSize(500),
        max_batch_body: sluice_model::units::ByteSize(700),
        ..Default::default()
    };
    let server = server_with(config);
    let long = format!("X-Long: {}", "x".repeat(2000));
    server.call("GET", "/livez", &[&long], "").await.problem(431, "headers-too-large");
    let many: Vec<String> = (0..21).map(|n| format!("X-{n}: a")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    server.call("GET", "/livez", &many, "").await.problem(431, "headers-too-large");
    server.get(&format!("/livez?{}", "x".repeat(1000))).await.problem(414, "uri-too-long");
    let json = ["Content-Type: application/json"];
    let large = format!("{{{}}}", " ".repeat(500));
    let problem = server.call("PUT", "/v1/topics/t", &json, large).await.problem(413, "body-too-large");
    assert_eq!(problem["limit"], 500);
    let large = format!("{{\"messages\":[{{\"body\":\"{}\"}}]}}", "x".repeat(700));
    server.call("POST", "/v1/topics/t/messages:batch", &json, large).await.problem(413, "batch-too-large");
}

#[tokio::test]
async fn message_and_batch_sizes_are_the_brokers() {
    let server = server();
    let limit = server.broker.config().max_message_size.bytes();
    server.call("POST", "/v1/topics/t/messages", &[], vec![b'x'; limit]).await.expect(201);
    let problem = server
        .call("POST", "/v1/topics/t/messages", &[], vec![b'x'; limit + 1])
        .await
        .problem(413, "message-too-large");
    assert_eq!(problem["limit"], limit);
    let many: Vec<_> = (0..=server.broker.config().max_batch).map(|_| json!({"body": ""})).collect();
    let batch = json!({"messages": many});
    server.json("POST", "/v1/topics/t/messages:batch", batch).await.problem(413, "batch-too-large");
    let big = json!({"messages": [{"body": "x".repeat(limit + 1)}]});
    let problem =
        server.json("POST", "/v1/topics/t/messages:batch", big).await.problem(413, "message-too-large");
    assert_eq!(problem["errors"][0]["pointer"], "/messages/0");
    let full: Vec<_> = (0..5).map(|_| json!({"body": "x".repeat(limit)})).collect();
    let batch = json!({"messages": full});
    server.json("POST", "/v1/topics/t/messages:batch", batch).await.problem(413, "batch-too-large");
}

#[tokio::test]
async fn long_polls_and_body_memory_are_limited() {
    let config = sluice_http::Config {
        max_waiting_per_principal: 1,
        max_body_memory: sluice_model::units::ByteSize::kib(2),
        ..Default::default()
    };
    let server = server_with(config);
    server.json("PUT", "/v1/topics/t", json!({})).await.expect(201);
    let stream = server.open(request("GET", "/v1/topics/t/stream", &[], "")).await;
    let refused = server.receive("wait=1s").await;
    refused.problem(429, "rate-limited");
    assert_eq!(refused.header("retry-after"), "1");
    server.get("/v1/topics/t/stream").await.problem(429, "rate-limited");
    drop(stream);
    server.receive("wait=1ms").await.expect(200);
    let refused = server.post("/v1/topics/t/messages", &"x".repeat(3000)).await;
    refused.problem(503, "overloaded");
    server.post("/v1/topics/t/messages", &"x".repeat(2000)).await.expect(201);
}

#[tokio::test]
async fn lists_within_a_call_are_limited() {
    let config = sluice_http::Config {
        max_waiting: 1,
        max_stream_in_flight: 5,
        max_json_depth: 3,
        ..Default::default()
    };
    let server = server_with(config);
    server.json("PUT", "/v1/topics/t", json!({"queues": 1})).await.expect(201);
    server.json("PUT", "/v1/groups/g", json!({})).await.expect(201);
    let handles: Vec<_> = (0..1001).map(|n| n.to_string()).collect();
    server
        .json("POST", "/v1/groups/g/ack", json!({"handles": handles}))
        .await
        .problem(413, "batch-too-large");
    let offsets: Vec<_> = (0..1025).map(|_| json!({"topic": "t", "queue": 0, "offset": 0})).collect();
    server
        .json("PUT", "/v1/groups/g/offsets", json!({"offsets": offsets}))
        .await
        .problem(413, "batch-too-large");
    server.receive(&"topic=t&".repeat(16)).await.problem(400, "invalid-parameter");
    server.get("/v1/groups/g/stream?topic=t&maxInFlight=6").await.problem(400, "invalid-parameter");
    let deep = json!({"attributes": {"a": {"b": {}}}});
    server.json("PUT", "/v1/topics/t", deep).await.problem(400, "invalid-json");
    let stream = server.open(request("GET", "/v1/topics/t/stream", &[], "")).await;
    server.get("/v1/groups/g/stream?topic=t").await.problem(429, "rate-limited");
    drop(stream);
    let default = server.open(request("GET", "/v1/groups/g/stream?topic=t", &[], "")).await;
    assert_eq!(default.status(), 200, "the default credit fits a small limit");
}

#[tokio::test]
async fn a_lease_lasts_as_the_settings_say_when_the_call_does_not() {
    let server = server_with(sluice_http::Config {
        default_lease: sluice_model::units::Span::millis(1),
        ..Default::default()
    });
    server.post("/v1/topics/t/messages", "x").await.expect(201);
    assert_eq!(server.receive_one().await["deliveries"], 1);
    assert_eq!(server.receive_one().await["deliveries"], 2);
}

#[tokio::test]
async fn several_credentials_and_unknown_schemes_are_refused() {
    let server = server();
    let two = ["Authorization: Basic YTpi", "Authorization: Bearer x"];
    server.call("GET", "/v1/whoami", &two, "").await.problem(400, "bad-request");
    for odd in ["Authorization: Digest x", "Authorization: Basic ***", "Authorization: Bearer"] {
        let refused = server.call("GET", "/v1/whoami", &[odd], "").await;
        refused.problem(401, "unauthenticated");
        let schemes: Vec<_> =
            refused.headers.get_all("www-authenticate").iter().map(|v| v.to_str().unwrap()).collect();
        assert!(schemes[0].starts_with("Basic ") && schemes[1].starts_with("Bearer "));
    }
}
