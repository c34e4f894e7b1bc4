//! Publishing: raw, as JSON, in batches, as lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::{server, server_with};

#[tokio::test]
async fn a_raw_body_is_the_message_and_its_location_works() {
    let server = server();
    let curl = ["Content-Type: application/x-www-form-urlencoded"];
    let answer = server.call("POST", "/v1/topics/t/messages", &curl, "hello").await;
    let published = answer.expect(201);
    assert_eq!(published["topic"], "t");
    assert_eq!(published["offset"], 0);
    assert!(answer.body.ends_with(b"\n"));
    let page = server.get(answer.header("location")).await.expect(200);
    let message = &page["messages"][0];
    assert_eq!(message["body"], "hello");
    assert_eq!(message["messageId"], published["messageId"]);
    assert_eq!(message["protocol"], "http");
    assert!(message.get("contentType").is_none(), "curl's own content type is not the user's");
    assert_eq!((&page["nextOffset"], &page["endOffset"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn headers_and_query_carry_the_metadata() {
    let server = server();
    let headers = [
        "Content-Type: application/pdf",
        "X-MQ-Tag: pdf",
        "X-MQ-Key: k1, k2",
        "X-MQ-Key: k3",
        "X-MQ-Group: customer-7",
        "X-MQ-Prop-Tenant: acme",
        "X-MQ-Prop-City: UTF-8''K%C3%B6ln",
        "X-MQ-Correlation-Id: c-1",
        "X-MQ-Reply-To: answers",
    ];
    server
        .call("PUT", "/v1/topics/t/messages?prop.Name=a+b%2B&key=k4", &headers, vec![0u8, 255, 1])
        .await
        .expect(201);
    let message = server.receive_one().await;
    assert_eq!(message["tag"], "pdf");
    assert_eq!(message["keys"], json!(["k1", "k2", "k3", "k4"]));
    assert_eq!(message["shardingKey"], "customer-7");
    assert_eq!(message["properties"], json!({"tenant": "acme", "city": "Köln", "Name": "a b+"}));
    assert_eq!(message["contentType"], "application/pdf");
    assert_eq!(message["correlationId"], "c-1");
    assert_eq!(message["replyTo"], "answers");
    assert_eq!(message["bodyBase64"], "AP8B");
    assert!(message.get("body").is_none());
    assert!(message.get("headers").is_none(), "the properties say it all");
}

#[tokio::test]
async fn json_says_everything_the_model_can() {
    let server = server();
    let messages = json!({"messages": [
        {"body": "text", "properties": {"Exact-Case": "1"}},
        {"body": {"any": [1, 12345678901234567890123u128.to_string()], "big": 1e2}},
        {"bodyBase64": "AP8=", "headers": [["a", "1"], ["a", "2"], ["n", null], {"name": "b", "valueBase64": "/w=="}]},
        {"body": null},
        {"body": ""},
    ]});
    let answer = server.json("POST", "/v1/topics/t/messages:batch", messages).await.expect(201);
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(5), &json!(0)));
    assert!(
        answer["results"].as_array().unwrap().iter().all(|r| r["ok"] == true && r["messageId"].is_string())
    );
    let mut bodies = std::collections::HashMap::new();
    for _ in 0..5 {
        let message = server.receive_one().await;
        bodies.insert(message["messageId"].as_str().unwrap().to_owned(), message);
    }
    let message = |n: usize| &bodies[answer["results"][n]["messageId"].as_str().unwrap()];
    assert_eq!(message(0)["properties"], json!({"Exact-Case": "1"}));
    assert_eq!(message(1)["body"], r#"{"any":[1,"12345678901234567890123"],"big":100.0}"#);
    assert_eq!(message(1)["contentType"], "application/json");
    let exact = json!([["a", "1"], ["a", "2"], ["n", null], {"name": "b", "valueBase64": "/w=="}]);
    assert_eq!(message(2)["headers"], exact);
    assert_eq!(message(2)["properties"], json!({"a": "1"}));
    assert_eq!(message(2)["bodyBase64"], "AP8=");
    assert_eq!(message(3).get("body"), Some(&Value::Null));
    assert_eq!(message(4)["body"], "");
}

#[tokio::test]
async fn a_wrong_batch_stores_nothing_and_says_where() {
    let server = server();
    server.json("PUT", "/v1/topics/t", json!({})).await.expect(201);
    for (batch, pointer) in [
        (json!({"messages": [{"body": "a"}, {"boddy": "b"}]}), "/messages/1/boddy"),
        (json!({"messages": [{"body": "a"}, {"tag": "b"}]}), "/messages/1"),
        (json!({"messages": [{"body": "a"}, {"bodyBase64": "*"}]}), "/messages/1/bodyBase64"),
        (json!({"messages": [{"body": "a"}, {"body": "a", "delay": "soon"}]}), "/messages/1/delay"),
        (json!({"messages": [{"body": "a", "properties": {"a": 1}}]}), "/messages/0/properties/a"),
        (json!({"messages": [{"body": "a", "topic": "other"}]}), "/messages/0/topic"),
        (json!({"messages": []}), "/messages"),
    ] {
        let problem = server
            .json("POST", "/v1/topics/t/messages:batch", batch.clone())
            .await
            .problem(400, "invalid-json");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{batch}");
    }
    let topic = server.get("/v1/topics/t").await.expect(200);
    assert_eq!(topic["messages"], 0);
}

#[tokio::test]
async fn what_one_message_may_not_do_is_refused_for_it_alone() {
    let server = server();
    let batch = json!({"messages": [
        {"body": "a"}, {"body": "b", "delay": "100d"}, {"body": "c", "keys": ["has blank"]}, {"body": "d"},
    ]});
    let answer = server.json("POST", "/v1/topics/t/messages:batch", batch).await.expect(200);
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(2), &json!(2)));
    assert_eq!(answer["results"][1]["code"], "delay-too-long");
    assert_eq!(answer["results"][2]["code"], "invalid-key");
    assert_eq!(answer["results"][3]["ok"], true);
    let all = json!({"messages": [{"body": "b", "delay": "100d"}]});
    let problem =
        server.json("POST", "/v1/topics/t/messages:batch", all).await.problem(422, "delay-too-long");
    assert_eq!(problem["results"][0]["ok"], false);
    server.post("/v1/topics/t/messages?delay=100d", "x").await.problem(422, "delay-too-long");
    server.json("PUT", "/v1/topics/fifo", json!({"type": "FIFO"})).await.expect(201);
    server.post("/v1/topics/fifo/messages", "x").await.problem(422, "type-mismatch");
    server.post("/v1/topics/fifo/messages?shardingKey=a", "x").await.expect(201);
}

#[tokio::test]
async fn an_atomic_batch_is_all_or_nothing() {
    let server = server();
    let bad = json!({"atomic": true, "messages": [{"body": "a"}, {"body": "b", "delay": "100d"}]});
    let problem =
        server.json("POST", "/v1/topics/t/messages:batch", bad).await.problem(422, "delay-too-long");
    assert_eq!(problem["errors"][0]["pointer"], "/messages/1/delay");
    let good = json!({"atomic": true, "messages": [{"body": "a"}, {"body": "b"}, {"body": "c"}]});
    let answer = server.json("POST", "/v1/topics/t/messages:batch", good).await.expect(201);
    let place = |n: usize| (answer["results"][n]["queue"].clone(), answer["results"][n]["offset"].clone());
    assert_eq!((place(0).0, place(1).0), (place(1).0, place(2).0), "one queue");
    assert_eq!((place(0).1, place(2).1), (json!(0), json!(2)));
    let across =
        json!({"atomic": true, "messages": [{"topic": "x", "body": "a"}, {"topic": "y", "body": "b"}]});
    let answer = server.json("POST", "/v1/messages:batch", across).await.expect(201);
    assert_eq!((&answer["results"][0]["topic"], &answer["results"][1]["topic"]), (&json!("x"), &json!("y")));
    server
        .json("POST", "/v1/messages:batch", json!({"messages": [{"body": "a"}]}))
        .await
        .problem(400, "invalid-json");
}

#[tokio::test]
async fn lines_are_reported_in_order_and_a_bad_one_does_not_stop_the_rest() {
    let server = server();
    let lines = "{\"body\":\"a\"}\n\n{\"body\":\"b\",\"x\":1}\n{\"body\":\"c\"}\r\n{\"body\":\"d\"}";
    let headers = ["Content-Type: application/x-ndjson"];
    let answer = server.call("POST", "/v1/topics/t/messages:batch", &headers, lines).await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let reports: Vec<Value> = answer
        .body
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    let ok: Vec<_> = reports.iter().map(|r| r["ok"].as_bool().unwrap()).collect();
    assert_eq!(ok, [true, false, true, true]);
    assert_eq!(reports[1]["code"], "invalid-json");
    let topic = server.get("/v1/topics/t").await.expect(200);
    assert_eq!(topic["messages"], 3);
}

#[tokio::test]
async fn a_long_upload_keeps_its_order() {
    let server = server_with(sluice_http::Config { max_upload_in_flight: 3, ..Default::default() });
    let lines: String = (0..500).map(|n| format!("{{\"body\":\"{n}\",\"queue\":0}}\n")).collect();
    let headers = ["Content-Type: application/x-ndjson"];
    let answer = server.call("POST", "/v1/topics/t/messages:batch", &headers, lines).await;
    let reports = String::from_utf8(answer.body.to_vec()).unwrap();
    let offsets: Vec<u64> = reports
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["offset"].as_u64().unwrap())
        .collect();
    assert_eq!(offsets, (0..500).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_line_over_the_limit_ends_the_upload() {
    let server = server();
    let long = "x".repeat(server.broker.config().max_message_size.bytes() * 2 + (64 << 10) + 10);
    let lines = format!("{{\"body\":\"a\"}}\n{{\"body\":\"{long}\"}}\n{{\"body\":\"c\"}}\n");
    let headers = ["Content-Type: application/x-ndjson"];
    let answer = server.call("POST", "/v1/topics/t/messages:batch", &headers, lines).await;
    let reports = String::from_utf8(answer.body.to_vec()).unwrap();
    assert_eq!(reports.lines().count(), 2, "{reports}");
    assert!(reports.lines().last().unwrap().contains("message-too-large"));
}

#[tokio::test]
async fn acknowledgement_levels_and_text_answers() {
    let server = server();
    server.post("/v1/topics/t/messages?ack=synced", "x").await.expect(201);
    server.post("/v1/topics/t/messages?ack=stored", "x").await.expect(201);
    assert!(server.post("/v1/topics/t/messages?ack=none", "x").await.expect(202)["messageId"].is_string());
    server.post("/v1/topics/t/messages?ack=quorum", "x").await.problem(501, "unsupported");
    server.post("/v1/topics/t/messages?ack=maybe", "x").await.problem(400, "invalid-parameter");
    let answer = server.call("POST", "/v1/topics/t/messages", &["Accept: text/plain"], "x").await;
    assert_eq!(answer.status, 201);
    assert!(answer.header("content-type").starts_with("text/plain"));
    assert!(!answer.body.contains(&b'{'));
    server
        .call("POST", "/v1/topics/t/messages", &["Accept: image/png"], "x")
        .await
        .problem(406, "not-acceptable");
    server.post("/v1/topics/new/messages?create=false", "x").await.problem(404, "topic-not-found");
    let delayed = server.post("/v1/topics/t/messages?delay=1h", "x").await;
    assert!(delayed.expect(201).get("offset").is_none());
    assert_eq!(delayed.header("location"), "", "it cannot be read yet");
}

#[tokio::test]
async fn misspelt_and_contradicting_metadata_is_refused() {
    let server = server();
    let post =
        |headers: &'static [&'static str], target: &'static str| server.call("POST", target, headers, "x");
    post(&["X-MQ-Tga: a"], "/v1/topics/t/messages").await.problem(400, "unknown-parameter");
    post(&["X-MQ-Tag: a"], "/v1/topics/t/messages?tag=b").await.problem(400, "invalid-parameter");
    post(&["X-MQ-Tag: a", "X-MQ-Tag: b"], "/v1/topics/t/messages").await.problem(400, "invalid-parameter");
    post(&["X-MQ-Delay: 5s"], "/v1/topics/t/messages?deliverAt=0").await.problem(400, "invalid-parameter");
    post(&[], "/v1/topics/t/messages?tga=a").await.problem(400, "unknown-parameter");
    post(&[], "/v1/topics/t/messages?dedupId=1").await.problem(501, "unsupported");
    post(&["Content-Encoding: lzma"], "/v1/topics/t/messages").await.problem(415, "unsupported-media-type");
    post(&[], "/v1/topics/t.t/messages").await.problem(400, "invalid-name");
    let batch = server.post("/v1/topics/t/messages:batch", "{}").await;
    batch.problem(400, "invalid-json");
    let form = ["Content-Type: application/x-www-form-urlencoded"];
    let answer = server.call("POST", "/v1/topics/t/messages:batch", &form, "{}").await;
    answer.problem(415, "unsupported-media-type");
    assert!(answer.header("accept-post").contains("application/json"));
}
