//! What a receive may ask for besides messages: bytes, batches, order, and the same answer once more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{Server, server};

async fn publish(server: &Server, target: &str, body: &str) {
    server.post(&format!("/v1/topics/t/messages?queue=0&{target}"), body).await.expect(201);
}

async fn bodies(server: &Server, query: &str) -> Vec<String> {
    let got = server.receive(query).await.expect(200);
    let messages = got["messages"].as_array().unwrap();
    messages.iter().map(|m| m["body"].as_str().unwrap().chars().take(2).collect()).collect()
}

#[tokio::test]
async fn bytes_are_bounded_and_one_message_always_comes() {
    let server = server();
    for (name, size) in [("a1", 3000), ("a2", 3000), ("a3", 1000), ("a4", 10)] {
        publish(&server, "", &format!("{name}{}", "x".repeat(size))).await;
    }
    assert_eq!(bodies(&server, "max=10&maxBytes=100").await, ["a1"]);
    assert_eq!(bodies(&server, "max=10&maxBytes=3500").await, ["a2"], "what is smaller does not overtake");
    assert_eq!(bodies(&server, "max=10&maxBytes=100000").await, ["a3", "a4"]);
}

#[tokio::test]
async fn bytes_are_bounded_over_the_queues_of_a_topic() {
    let server = server();
    for queue in 0..4 {
        let target = format!("/v1/topics/t/messages?queue={queue}");
        server.post(&target, &"x".repeat(1000)).await.expect(201);
    }
    let got = server.receive("max=10&maxBytes=2500").await.expect(200);
    assert_eq!(got["messages"].as_array().unwrap().len(), 2, "{got}");
    assert_eq!(server.receive("max=10").await.expect(200)["messages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_batch_is_waited_for_after_the_first() {
    let server = server();
    publish(&server, "", "b1").await;
    let late = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        publish(&server, "", "b2").await;
        publish(&server, "", "b3").await;
    };
    let (got, ()) = tokio::join!(bodies(&server, "max=10&minBatch=2&linger=15s"), late);
    assert!(got.len() >= 2, "{got:?}");
    let began = Instant::now();
    publish(&server, "", "b4").await;
    let rest = bodies(&server, "max=10&minBatch=9&linger=300ms").await;
    assert_eq!(got.len() + rest.len(), 4);
    assert!(began.elapsed() >= Duration::from_millis(290));
    assert!(bodies(&server, "max=10&minBatch=2&linger=15s").await.is_empty(), "nothing there: no lingering");
    publish(&server, "", "b5").await;
    assert_eq!(bodies(&server, "wait=1s&minBatch=1").await, ["b5"]);
}

#[tokio::test]
async fn who_hangs_up_while_lingering_leaves_no_lease() {
    let server = server();
    publish(&server, "", "c1").await;
    let lingering = server.receive("max=2&minBatch=2&linger=20s");
    assert!(tokio::time::timeout(Duration::from_millis(100), lingering).await.is_err());
    let again = server.receive("wait=5s").await.expect(200);
    assert_eq!(again["messages"][0]["deliveries"], 1);
}

#[tokio::test]
async fn an_attempt_gives_the_same_deliveries_until_they_are_settled() {
    let server = server();
    for body in ["d1", "d2", "d3"] {
        publish(&server, "", body).await;
    }
    let first = server.receive("max=2&attempt=x").await.expect(200);
    assert_eq!(server.receive("max=2&attempt=x").await.expect(200), first);
    let raw = server.receive("attempt=x&format=raw").await;
    assert_eq!(raw.header("x-mq-handle"), first["messages"][0]["handle"]);
    assert_eq!(bodies(&server, "attempt=y").await, ["d3"], "another attempt gets others");
    let handles: Vec<&Value> =
        first["messages"].as_array().unwrap().iter().map(|message| &message["handle"]).collect();
    let results = server.json("POST", "/v1/groups/g/ack", json!({"handles": handles})).await.expect(200);
    assert_eq!((&results["results"][0]["ok"], &results["results"][1]["ok"]), (&json!(true), &json!(true)));
    assert!(bodies(&server, "attempt=x").await.is_empty());
}

#[tokio::test]
async fn an_attempt_ends_with_its_lease() {
    let server = server();
    publish(&server, "", "e1").await;
    let first = server.receive("attempt=x&lease=1s").await.expect(200);
    let again = server.receive("attempt=x&lease=1s&wait=10s").await.expect(200);
    assert_eq!(again, first, "within the lease");
    let began = Instant::now();
    loop {
        let next = server.receive("attempt=x&wait=10s").await.expect(200);
        if next["messages"][0]["deliveries"] == 2 {
            assert_ne!(next["messages"][0]["handle"], first["messages"][0]["handle"]);
            return;
        }
        assert!(began.elapsed() < support::PATIENCE, "the lease does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn order_is_kept_for_who_asks_for_it() {
    let server = server();
    for (key, body) in [("a", "f1"), ("a", "f2"), ("b", "f3"), ("a", "f4")] {
        publish(&server, &format!("shardingKey={key}"), body).await;
    }
    let first = server.receive("max=1&order=fifo").await.expect(200);
    assert_eq!(first["messages"][0]["body"], "f1");
    assert_eq!(bodies(&server, "max=10&order=fifo").await, ["f3"], "what waits behind f1 is nobody's");
    let handle = first["messages"][0]["handle"].as_str().unwrap();
    server.call("DELETE", &format!("/v1/messages/{handle}"), &[], "").await.expect(204);
    assert_eq!(bodies(&server, "max=10&order=fifo&wait=5s").await, ["f2", "f4"]);
}
