//! Idempotency keys, messages with an id of their own, and ids that the client chooses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use support::{Answer, Server, server};

const MESSAGES: &str = "/v1/topics/t/messages";
const BATCH: &str = "/v1/topics/t/messages:batch";

async fn publish(server: &Server, target: &str, key: &str, body: &str) -> Answer {
    server.call("POST", target, &[&format!("Idempotency-Key: {key}")], body.to_owned()).await
}

async fn batch(server: &Server, headers: &[&str], body: Value) -> Answer {
    let headers = [&["Content-Type: application/json"], headers].concat();
    server.call("POST", BATCH, &headers, body.to_string()).await
}

async fn count(server: &Server) -> usize {
    server.receive("max=256").await.expect(200)["messages"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_same_key_gives_the_same_answer() {
    let server = server();
    let first = publish(&server, MESSAGES, "order-1", "hello").await;
    assert_eq!(first.header("idempotency-replayed"), "");
    let first = first.expect(201);
    for key in ["order-1", "\"order-1\"", " order-1 "] {
        let again = publish(&server, MESSAGES, key, "hello").await;
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert!(!again.header("location").is_empty());
        assert_eq!(again.expect(201), first);
    }
    publish(&server, MESSAGES, "order-1", "other").await.problem(422, "idempotency-mismatch");
    publish(&server, &format!("{MESSAGES}?tag=a"), "order-1", "hello")
        .await
        .problem(422, "idempotency-mismatch");
    publish(&server, MESSAGES, "order-2", "hello").await.expect(201);
    publish(&server, "/v1/topics/u/messages", "order-1", "other").await.expect(201);
    assert_eq!(count(&server).await, 2);
}

#[tokio::test]
async fn a_delay_is_the_same_a_little_later() {
    let server = server();
    let target = format!("{MESSAGES}?delay=10m");
    let first = publish(&server, &target, "k", "x").await.expect(201);
    assert!(first["deliverAt"].is_string());
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    assert_eq!(publish(&server, &target, "k", "x").await.expect(201), first);
    publish(&server, &format!("{MESSAGES}?delay=11m"), "k", "x").await.problem(422, "idempotency-mismatch");
}

#[tokio::test]
async fn what_was_refused_may_be_tried_again() {
    let server = server();
    let target = format!("{MESSAGES}?create=false");
    publish(&server, &target, "k", "x").await.problem(404, "topic-not-found");
    server.json("PUT", "/v1/topics/t", json!({})).await.expect(201);
    publish(&server, &target, "k", "x").await.expect(201);
    for wrong in ["", "\"half", &"x".repeat(256), "ü"] {
        publish(&server, MESSAGES, wrong, "x").await.problem(400, "bad-request");
    }
    let twice = ["Idempotency-Key: a", "Idempotency-Key: b"];
    server.call("POST", MESSAGES, &twice, "x").await.problem(400, "bad-request");
    let prepare = format!("{MESSAGES}?transaction=prepare");
    publish(&server, &prepare, "k", "x").await.problem(422, "semantic-error");
    let elsewhere = server.call("PUT", "/v1/topics/x", &["Idempotency-Key: k"], "").await;
    elsewhere.problem(501, "unsupported");
}

#[tokio::test]
async fn a_batch_under_a_key_is_stored_whole_or_not_at_all() {
    let server = server();
    let key = ["Idempotency-Key: k"];
    let bad = json!({"messages": [{"body": "a"}, {"body": "b", "delay": "4000d"}]});
    let doc = batch(&server, &key, bad).await.problem(422, "delay-too-long");
    assert_eq!(doc["errors"][0]["pointer"], "/messages/1/delay");
    for atomic in [false, true] {
        let key = [if atomic { "Idempotency-Key: whole" } else { "Idempotency-Key: k" }];
        let good = || json!({"messages": [{"body": "a"}, {"body": {"n": 1}}], "atomic": atomic});
        let first = batch(&server, &key, good()).await.expect(201);
        assert_eq!(first["accepted"], 2);
        let again = batch(&server, &key, good()).await;
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.expect(201), first);
        let more = json!({"messages": [{"body": "a"}, {"body": {"n": 1}}, {"body": "c"}], "atomic": atomic});
        batch(&server, &key, more).await.problem(422, "idempotency-mismatch");
    }
    assert_eq!(count(&server).await, 4);
}

#[tokio::test]
async fn messages_of_a_batch_have_keys_of_their_own() {
    let server = server();
    let two =
        |second: &str| json!({"messages": [{"body": "a", "dedupId": "1"}, {"body": second, "dedupId": "2"}]});
    let first = batch(&server, &[], two("b")).await.expect(201);
    assert!(first["results"][0].get("replayed").is_none());
    let again = batch(&server, &[], two("c")).await.expect(200);
    assert_eq!(again["results"][0]["replayed"], true);
    assert_eq!(again["results"][0]["messageId"], first["results"][0]["messageId"]);
    assert_eq!(again["results"][1]["code"], "idempotency-mismatch");
    batch(&server, &["Idempotency-Key: k"], two("b")).await.problem(400, "invalid-json");
    let headers = ["Content-Type: application/x-ndjson"];
    let lines = "{\"body\":\"a\",\"dedupId\":\"1\"}\n{\"body\":\"z\",\"dedupId\":\"3\"}\n{\"body\":\"z\",\"dedupId\":\"3\"}\n";
    let reports = server.call("POST", BATCH, &headers, lines).await;
    let reports: Vec<Value> =
        reports.body.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let replayed: Vec<bool> = reports.iter().map(|r| r["replayed"] == true).collect();
    assert_eq!(replayed, [true, false, true], "{reports:?}");
    let keyed = [headers[0], "Idempotency-Key: k"];
    server.call("POST", BATCH, &keyed, lines).await.problem(501, "unsupported");
    assert_eq!(count(&server).await, 3);
}

#[tokio::test]
async fn a_chosen_id_is_put_once() {
    let server = server();
    let target = format!("{MESSAGES}/order-17");
    let first = server.call("PUT", &target, &["X-MQ-Tag: a"], "hello").await.expect(201);
    assert_eq!(first["messageId"], "order-17");
    let again = server.call("PUT", &target, &["X-MQ-Tag: a"], "hello").await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.expect(200), first);
    server.call("PUT", &target, &[], "hello").await.problem(409, "conflict");
    server.call("PUT", &format!("{MESSAGES}/a%20b"), &[], "x").await.problem(400, "invalid-name");
    server
        .call("PUT", &format!("{MESSAGES}/{}", "x".repeat(256)), &[], "x")
        .await
        .problem(400, "invalid-name");
    assert_eq!(server.receive_one().await["messageId"], "order-17");
    assert_eq!(count(&server).await, 0);
}

#[tokio::test]
async fn of_a_hundred_at_once_one_is_stored_and_all_are_told_where() {
    let server = server();
    let calls = (0..100).map(|_| publish(&server, MESSAGES, "k", "x"));
    let answers = futures_util::future::join_all(calls).await;
    let ids: std::collections::BTreeSet<String> =
        answers.iter().map(|answer| answer.expect(201)["messageId"].as_str().unwrap().to_owned()).collect();
    assert_eq!((ids.len(), count(&server).await), (1, 1));
}

#[tokio::test]
async fn a_broker_may_take_only_what_has_a_key() {
    let rules = sluice_broker::Config { require_key: true, ..Default::default() };
    let server = support::server_of(rules);
    server.post(MESSAGES, "x").await.problem(400, "idempotency-key-required");
    let keyed = publish(&server, MESSAGES, "k", "x").await.expect(201);
    assert_eq!(publish(&server, MESSAGES, "k", "x").await.expect(201), keyed);
    server.call("PUT", &format!("{MESSAGES}/my-id"), &[], "x").await.expect(201);
    let mixed = json!({"messages": [{"body": "a", "dedupId": "1"}, {"body": "b"}]});
    let answer = batch(&server, &[], mixed).await.expect(200);
    assert_eq!(
        (&answer["accepted"], &answer["results"][1]["code"]),
        (&json!(1), &json!("idempotency-key-required"))
    );
    server
        .post(&format!("{MESSAGES}?transaction=prepare"), "x")
        .await
        .problem(400, "idempotency-key-required");
    assert_eq!(count(&server).await, 3);
}
