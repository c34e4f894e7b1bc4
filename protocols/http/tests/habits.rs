//! What a topic demands and a group remembers; where a group is; and what a caller may like to be told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::time::Duration;
use support::{Server, server};

const KEY: [&str; 1] = ["Idempotency-Key: k1"];

async fn demanding() -> Server {
    let server = server();
    let topic = server.json("PUT", "/v1/topics/t", json!({"queues": 1, "idempotencyKey": "required"})).await;
    assert_eq!(topic.expect(201)["idempotencyKey"], "required");
    server
}

#[tokio::test]
async fn a_topic_may_demand_a_key_of_every_sender() {
    let server = demanding().await;
    let problem = server.post("/v1/topics/t/messages", "x").await.problem(400, "idempotency-key-required");
    assert_eq!(problem["retryable"], false);
    server.post("/v1/topics/t/request", "x").await.problem(400, "idempotency-key-required");
    let half = server.post("/v1/topics/t/messages?transaction=prepare", "x").await;
    half.problem(400, "idempotency-key-required");
    server.call("POST", "/v1/topics/t/messages", &KEY, "x").await.expect(201);
    let again = server.call("POST", "/v1/topics/t/messages", &KEY, "x").await;
    assert_eq!((again.status.as_u16(), again.header("idempotency-replayed")), (201, "true"));
    server.post("/v1/topics/t/messages?idempotencyKey=k2", "y").await.expect(201);
    server.call("PUT", "/v1/topics/t/messages/my-id", &[], "z").await.expect(201);
    assert_eq!(server.get("/v1/topics/t").await.expect(200)["messages"], 3);
    let free = server.json("PATCH", "/v1/topics/t", json!({"idempotencyKey": null})).await.expect(200);
    assert_eq!(free["idempotencyKey"], "optional");
    server.post("/v1/topics/t/messages", "x").await.expect(201);
}

#[tokio::test]
async fn of_a_batch_those_without_a_key_are_refused() {
    let server = demanding().await;
    let batch = json!({"messages": [{"body": "a", "dedupId": "d1"}, {"body": "b"}]});
    let answer = server.json("POST", "/v1/topics/t/messages:batch", batch.clone()).await.expect(200);
    assert_eq!(answer["results"][0]["ok"], true);
    assert_eq!(answer["results"][1]["code"], "idempotency-key-required");
    let atomic = json!({"atomic": true, "messages": [{"body": "a"}, {"body": "b"}]});
    let answer = server.json("POST", "/v1/topics/t/messages:batch", atomic).await;
    answer.problem(400, "idempotency-key-required");
    let headers = ["Idempotency-Key: k", "Content-Type: application/json"];
    let keyed = json!({"messages": [{"body": "a"}, {"body": "b"}]}).to_string();
    server.call("POST", "/v1/topics/t/messages:batch", &headers, keyed).await.expect(201);
    let lines = "{\"body\":\"a\"}\n{\"body\":\"c\",\"dedupId\":\"d2\"}\n";
    let headers = ["Content-Type: application/x-ndjson"];
    let reports = server.call("POST", "/v1/topics/t/messages:batch", &headers, lines).await;
    let reports = String::from_utf8(reports.body.to_vec()).unwrap();
    let reports: Vec<Value> = reports.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&reports[0]["code"], &reports[1]["ok"]), (&json!("idempotency-key-required"), &json!(true)));
}

#[tokio::test]
async fn a_key_may_stand_in_the_query() {
    let server = server();
    let first = server.post("/v1/topics/t/messages?idempotencyKey=order+17", "x").await.expect(201);
    let again = server.call("POST", "/v1/topics/t/messages", &["Idempotency-Key: \"order 17\""], "x").await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.json(), first);
    let both =
        server.call("POST", "/v1/topics/t/messages?idempotencyKey=a", &["Idempotency-Key: a"], "x").await;
    both.problem(400, "bad-request");
    for wrong in ["", "%22", "%C3%A4", &"x".repeat(256)] {
        let target = format!("/v1/topics/t/messages?idempotencyKey={wrong}");
        server.post(&target, "x").await.problem(400, "bad-request");
    }
    server
        .call("PUT", "/v1/topics/t/messages/id?idempotencyKey=a", &[], "x")
        .await
        .problem(501, "unsupported");
    let batch = json!({"messages": [{"body": "a"}]});
    let target = "/v1/topics/t/messages:batch?idempotencyKey=b1";
    server.json("POST", target, batch.clone()).await.expect(201);
    let again = server.json("POST", target, batch).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
}

#[tokio::test]
async fn a_group_remembers_its_lease_and_its_topics() {
    let server = server();
    for topic in ["a", "b", "c"] {
        server.post(&format!("/v1/topics/{topic}/messages"), topic).await.expect(201);
    }
    server.post("/v1/groups/g/receive", "").await.problem(400, "missing-parameter");
    let habits = json!({"lease": "10m", "subscription": ["a", "b"]});
    let shown = server.json("PUT", "/v1/groups/g", habits).await.expect(201);
    assert_eq!((&shown["lease"], &shown["subscription"]), (&json!("10m"), &json!(["a", "b"])));
    assert_eq!(shown["attributes"], json!({}), "they have fields of their own");
    let before = server.broker.now();
    let mut got = Vec::new();
    for _ in 0..2 {
        let shown = server.post("/v1/groups/g/receive?max=9", "").await.expect(200);
        got.push(shown["messages"][0].clone());
    }
    let mut bodies: Vec<_> = got.iter().map(|message| message["body"].as_str().unwrap()).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, ["a", "b"]);
    let until = humantime::parse_rfc3339(got[0]["leaseUntil"].as_str().unwrap()).unwrap();
    let until = until.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    let lease = Duration::from_millis(until - before).as_secs();
    assert!((600..620).contains(&lease), "{lease}");
    let other = server.post("/v1/groups/g/receive?topic=c&lease=5s", "").await.expect(200);
    assert_eq!(other["messages"][0]["body"], "c", "who names a topic gets that one");
    server.get("/v1/groups/g/stream").await.problem(400, "invalid-parameter");
    for wrong in [json!({"lease": "0s"}), json!({"lease": "400d"}), json!({"subscription": ["a b"]})] {
        let answer = server.json("PATCH", "/v1/groups/g", wrong).await;
        assert_eq!(answer.status.as_u16(), 400, "{:?}", answer.body);
    }
    let shown = server.json("PATCH", "/v1/groups/g", json!({"lease": null, "subscription": null})).await;
    let shown = shown.expect(200);
    assert_eq!((&shown["lease"], &shown["subscription"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn offsets_are_set_only_where_the_group_is_expected() {
    let server = server();
    server.json("PUT", "/v1/topics/t", json!({"queues": 2})).await.expect(201);
    for queue in [0, 0, 1] {
        server.post(&format!("/v1/topics/t/messages?queue={queue}"), "x").await.expect(201);
    }
    server.json("PUT", "/v1/groups/g", json!({})).await.expect(201);
    let place = |queue: u32, offset: u64, expected: Value| json!({"topic": "t", "queue": queue, "offset": offset, "expected": expected});
    let set = |places: Vec<Value>| json!({"offsets": places});
    let target = "/v1/groups/g/offsets";
    let nowhere = server.json("PUT", target, set(vec![place(0, 1, json!(0))])).await;
    assert_eq!(nowhere.problem(412, "precondition-failed")["committed"], Value::Null);
    server
        .json("PUT", target, set(vec![place(0, 1, Value::Null), place(1, 0, Value::Null)]))
        .await
        .expect(200);
    let moved = server.json("PUT", target, set(vec![place(1, 1, json!(0)), place(0, 2, json!(0))])).await;
    let problem = moved.problem(412, "precondition-failed");
    assert_eq!(
        (&problem["committed"], &problem["errors"][0]["pointer"]),
        (&json!(1), &json!("/offsets/1/expected"))
    );
    let shown = server.get(target).await.expect(200);
    assert_eq!(
        (&shown["items"][0]["committed"], &shown["items"][1]["committed"]),
        (&json!(1), &json!(0)),
        "none"
    );
    let mut dry = set(vec![place(0, 2, json!(1))]);
    dry["dryRun"] = true.into();
    assert_eq!(server.json("PUT", target, dry).await.expect(200)["items"][0]["committed"], 2);
    let both = set(vec![place(1, 1, json!(0)), place(0, 2, json!(1))]);
    let shown = server.json("PUT", target, both).await.expect(200);
    assert_eq!((&shown["totalLag"], &shown["items"][0]["committed"]), (&json!(0), &json!(2)));
}

#[tokio::test]
async fn a_group_tells_when_it_consumed_something_last() {
    let server = server();
    server.json("PUT", "/v1/topics/t", json!({"queues": 1})).await.expect(201);
    server.post("/v1/topics/t/messages", "x").await.expect(201);
    let message = server.receive_one().await;
    let shown = || async { server.get("/v1/groups/g/offsets").await.expect(200)["items"][0].clone() };
    assert_eq!(shown().await["lastConsumedAt"], Value::Null, "a delivery is not consumed yet");
    server.delete(&format!("/v1/messages/{}", message["handle"].as_str().unwrap())).await.expect(204);
    let at = shown().await["lastConsumedAt"].as_str().expect("a time").to_owned();
    assert!(at.ends_with('Z'), "{at}");
    let rewind = json!({"topic": "t", "to": "earliest"});
    server.json("POST", "/v1/groups/g/offsets:reset", rewind).await.expect(200);
    assert_eq!(shown().await["lastConsumedAt"], at, "a rewind consumes nothing");
}

#[tokio::test]
async fn who_asks_for_it_is_told_how_long_an_answer_took() {
    let server = server();
    assert_eq!(server.get("/v1/topics").await.header("server-timing"), "");
    for target in ["/v1/topics?serverTiming", "/v1/topics/none?serverTiming=true", "/metrics?serverTiming=1"]
    {
        let answer = server.get(target).await;
        let took = answer.header("server-timing").strip_prefix("total;dur=").expect(target).to_owned();
        assert!(took.parse::<f64>().is_ok_and(|millis| millis >= 0.0), "{took}");
    }
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let server = server();
    let accept =
        "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let open = server.call("GET", "/metrics", &[accept], "").await;
    assert_eq!(open.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.body.ends_with(b"# EOF\n"));
    let plain = server.get("/metrics").await;
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(!plain.body.ends_with(b"# EOF\n"));
    assert_eq!((open.header("vary"), plain.header("vary")), ("accept", "accept"));
    server.call("GET", "/metrics", &["Accept: image/png"], "").await.problem(406, "not-acceptable");
}
