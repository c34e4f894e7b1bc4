//! Transactions: prepared, ended, asked about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use sluice_auth::Auth;
use sluice_broker::{Broker, Config as Rules};
use sluice_http::Config;
use sluice_model::ManualClock;
use sluice_store::MemoryLog;
use std::sync::Arc;
use support::{Server, server, server_on};

async fn prepare(server: &Server, query: &str, body: &str) -> String {
    let target = format!("/v1/topics/t/messages?transaction=prepare&{query}");
    let prepared = server.post(&target, body).await.expect(202);
    prepared["transactionId"].as_str().unwrap().to_owned()
}

async fn end(server: &Server, id: &str, how: &str) -> support::Answer {
    server.post(&format!("/v1/transactions/{id}:{how}"), "").await
}

async fn bodies(server: &Server) -> Vec<Value> {
    let page = server.get("/v1/topics/t/queues/0/messages").await.expect(200);
    page["messages"].as_array().unwrap().iter().map(|m| m["body"].clone()).collect()
}

#[tokio::test]
async fn a_prepared_message_shows_when_it_is_committed() {
    let server = server();
    let target = "/v1/topics/t/messages?transaction=prepare&queue=0&tag=a&producerGroup=p1&checkAfter=30s";
    let prepared = server.post(target, "one").await.expect(202);
    for name in ["transactionId", "messageId", "expiresAt", "preparedAt"] {
        assert!(prepared[name].is_string(), "{name}: {prepared}");
    }
    assert!(prepared.get("offset").is_none(), "it has no place in its topic yet: {prepared}");
    let one = prepared["transactionId"].as_str().unwrap();
    let two = prepare(&server, "queue=0", "two").await;
    assert!(bodies(&server).await.is_empty());

    let open = server.get("/v1/transactions?topic=t").await.expect(200);
    let groups: Vec<_> =
        open["items"].as_array().unwrap().iter().map(|t| t["producerGroup"].clone()).collect();
    assert_eq!(groups, ["p1", "HTTP"]);
    let page = server.get("/v1/transactions?limit=1").await.expect(200);
    let rest =
        server.get(&format!("/v1/transactions?cursor={}", page["next"].as_str().unwrap())).await.expect(200);
    assert_eq!(rest["items"][0]["transactionId"], two.as_str());
    assert_eq!(server.get("/v1/transactions?topic=other").await.expect(200)["items"], json!([]));

    end(&server, one, "commit").await.expect(204);
    end(&server, one, "commit").await.expect(204);
    end(&server, one, "rollback").await.problem(409, "transaction-decided");
    end(&server, &two, "rollback").await.expect(204);
    end(&server, &two, "rollback").await.expect(204);
    end(&server, &two, "commit").await.problem(409, "transaction-decided");
    assert_eq!(bodies(&server).await, ["one"]);
    let message = server.receive_one().await;
    assert_eq!(
        (&message["type"], &message["tag"], &message["messageId"]),
        (&json!("TRANSACTION"), &json!("a"), &prepared["messageId"])
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_transaction_is_told() {
    let server = server();
    end(&server, "0000000000000001", "commit").await.problem(404, "transaction-not-found");
    end(&server, "nothing", "commit").await.problem(404, "transaction-not-found");
    end(&server, "0000000000000001", "forget").await.problem(404, "not-found");
    for (query, code) in [
        ("transaction=commit", "invalid-parameter"),
        ("producerGroup=p", "invalid-parameter"),
        ("checkAfter=30s", "invalid-parameter"),
        ("transaction=prepare&checkAfter=1ms", "invalid-parameter"),
        ("transaction=prepare&ack=none", "invalid-parameter"),
        ("transaction=prepare&producerGroup=a%20b", "invalid-name"),
    ] {
        server.post(&format!("/v1/topics/t/messages?{query}"), "x").await.problem(400, code);
    }
    server.get("/v1/transactions?cursor=x").await.problem(400, "invalid-parameter");
    server.json("PUT", "/v1/topics/normal", json!({"type": "NORMAL"})).await.expect(201);
    server.post("/v1/topics/normal/messages?transaction=prepare", "x").await.problem(422, "type-mismatch");
    server.json("PUT", "/v1/topics/tx", json!({"type": "TRANSACTION"})).await.expect(201);
    server.post("/v1/topics/tx/messages?transaction=prepare", "x").await.expect(202);
    server.post("/v1/topics/tx/messages", "x").await.problem(422, "type-mismatch");
}

#[tokio::test]
async fn whoever_comes_as_the_group_is_asked() {
    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let log = Arc::new(MemoryLog::new());
    let broker = Broker::open(log, Arc::new(Auth::open()), clock.clone(), Rules::default()).unwrap();
    let server = server_on(broker, Config::default());
    let id = prepare(&server, "queue=0&producerGroup=p1&checkAfter=30s&prop.k=v", "one").await;
    let checks = async |group: &str, query: &str| {
        let answer = server.post(&format!("/v1/producer-groups/{group}/checks:receive?{query}"), "").await;
        answer.expect(200)["messages"].as_array().unwrap().clone()
    };
    clock.advance(29_999);
    server.broker.check_due().await.unwrap();
    assert!(checks("p1", "").await.is_empty());
    clock.advance(1);
    let (got, ()) = tokio::join!(checks("p1", "wait=20s&max=10"), async {
        tokio::task::yield_now().await;
        server.broker.check_due().await.unwrap();
    });
    assert_eq!(got.len(), 1);
    assert_eq!((&got[0]["transactionId"], &got[0]["checks"]), (&json!(id), &json!(1)));
    assert_eq!(
        (&got[0]["body"], &got[0]["properties"]["k"], &got[0]["topic"]),
        (&json!("one"), &json!("v"), &json!("t"))
    );
    assert!(checks("p1", "").await.is_empty(), "handed out once");
    clock.advance(30_000);
    server.broker.check_due().await.unwrap();
    assert!(checks("p2", "").await.is_empty(), "another group's");
    assert_eq!(checks("p1", "").await[0]["checks"], 2);
    end(&server, &id, "commit").await.expect(204);
    clock.advance(30_000);
    server.broker.check_due().await.unwrap();
    assert!(checks("p1", "").await.is_empty());
    assert_eq!(bodies(&server).await, ["one"]);
}
