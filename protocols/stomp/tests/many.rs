//! Ten thousand subscribers of one topic: each gets what is sent, in order, and one that stops reading holds up nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "shared with the session tests, which need all of it")]
#[path = "session/client.rs"]
mod client;

use client::{Client, Server};
use sluice_stomp::Config;
use std::collections::HashMap;

/// Few connections with many subscriptions each: what is tested is the fan-out, and descriptors may be few.
const CONNECTIONS: usize = 200;
const SUBSCRIPTIONS: usize = 50;
const MESSAGES: usize = 3;

async fn subscriber(server: &Server) -> Client {
    let mut client = server.connect("1.2").await;
    let frames: String =
        (0..SUBSCRIPTIONS).map(|n| format!("SUBSCRIBE\nid:{n}\ndestination:/topic/crowd\n\n\0")).collect();
    client.raw(frames.as_bytes()).await;
    client.quiet().await; // they all stand
    client
}

async fn read_all(mut client: Client) {
    let mut seen: HashMap<String, Vec<String>> = HashMap::new();
    for _ in 0..SUBSCRIPTIONS * MESSAGES {
        let got = client.frame().await;
        seen.entry(got.get("subscription").to_owned()).or_default().push(got.get("n").to_owned());
    }
    assert_eq!(seen.len(), SUBSCRIPTIONS);
    for (id, numbers) in seen {
        assert_eq!(numbers, ["0", "1", "2"], "subscription {id}");
    }
    client.quiet().await;
}

#[tokio::test]
async fn ten_thousand_subscribers_get_everything() {
    let mut config = Config::default();
    config.connection.outbox = 64 << 10;
    let server = Server::with(config);
    let mut sender = server.connect("1.2").await;
    sender.send("/queue/crowd", "so that the topic has one queue, and one order").await;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(subscriber(&server).await);
    }
    let mut deaf = clients.pop().unwrap(); // reads nothing until the others have everything
    let body = "x".repeat(8 << 10);
    for n in 0..MESSAGES {
        sender.ask(&format!("SEND\ndestination:/topic/crowd\nn:{n}"), &body).await;
    }
    let readers: Vec<_> = clients.into_iter().map(|client| tokio::spawn(read_all(client))).collect();
    for reader in readers {
        reader.await.unwrap();
    }
    for _ in 0..SUBSCRIPTIONS * MESSAGES {
        assert_eq!(deaf.frame().await.text(), body, "a slow consumer keeps its messages");
    }
    server.stop().await;
}
