//! BEGIN, COMMIT, ABORT.

use crate::client::Server;
use sluice_stomp::Config;

#[tokio::test]
async fn sends_wait_for_commit_and_vanish_with_abort() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.say("SUBSCRIBE\nid:1\ndestination:/queue/t\n\n").await;
    client.ask("BEGIN\ntransaction:a", "").await;
    client.ask("SEND\ndestination:/queue/t\ntransaction:a", "1").await;
    client.ask("BEGIN\ntransaction:b", "").await;
    client.ask("SEND\ndestination:/queue/t\ntransaction:b", "never").await;
    client.ask("SEND\ndestination:/queue/u\ntransaction:a", "2").await;
    client.quiet().await;
    client.ask("ABORT\ntransaction:b", "").await;
    client.say("COMMIT\ntransaction:a\nreceipt:done\n\n").await;
    let mut got = [client.frame().await, client.frame().await].map(|m| m.command);
    got.sort();
    assert_eq!(got, ["MESSAGE", "RECEIPT"]);
    client.say("SUBSCRIBE\nid:2\ndestination:/queue/u\n\n").await;
    client.message("2").await;
    client.quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn acknowledgements_wait_too_and_an_abort_leaves_them_as_they_were() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.send("/queue/t", "1").await;
    client.send("/queue/t", "2").await;
    client.say("SUBSCRIBE\nid:1\ndestination:/queue/t\nack:client\n\n").await;
    client.message("1").await;
    let second = client.message("2").await.get("ack").to_owned();
    client.ask("BEGIN\ntransaction:a", "").await;
    client.ask(&format!("ACK\nid:{second}\ntransaction:a"), "").await;
    client.ask("ABORT\ntransaction:a", "").await;
    client.quiet().await; // not delivered again by itself
    client.ask("BEGIN\ntransaction:b", "").await;
    client.ask(&format!("ACK\nid:{second}\ntransaction:b"), "").await;
    client.ask("SEND\ndestination:/queue/r\ntransaction:b", "result").await;
    client.ask("COMMIT\ntransaction:b", "").await;
    drop(client);
    let mut other = server.connect("1.2").await;
    other.ask("SUBSCRIBE\nid:1\ndestination:/queue/t", "").await;
    other.quiet().await;
    other.say("SUBSCRIBE\nid:2\ndestination:/queue/r\n\n").await;
    other.message("result").await;
    server.stop().await;
}

#[tokio::test]
async fn refusals_inside_happen_at_commit() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.send("/queue/t", "1").await;
    client.say("SUBSCRIBE\nid:1\ndestination:/queue/t\nack:client-individual\n\n").await;
    let first = client.message("1").await.get("ack").to_owned();
    client.ask("BEGIN\ntransaction:a", "").await;
    client.ask(&format!("NACK\nid:{first}\ntransaction:a"), "").await;
    client.quiet().await;
    client.say("COMMIT\ntransaction:a\n\n").await;
    assert_eq!(client.message("1").await.get("redelivered"), "true");
    server.stop().await;
}

#[tokio::test]
async fn the_end_of_a_connection_aborts() {
    let server = Server::start();
    for goodbye in ["DISCONNECT\n\n", "\n"] {
        let mut client = server.connect("1.2").await;
        client.ask("BEGIN\ntransaction:a", "").await;
        client.ask("SEND\ndestination:/queue/t\ntransaction:a", "never").await;
        client.say(goodbye).await;
    }
    let mut client = server.connect("1.2").await;
    client.ask("SUBSCRIBE\nid:1\ndestination:/queue/t", "").await;
    client.quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn wrong_transactions_are_errors() {
    let server = Server::start();
    for (frames, message) in [
        ("BEGIN\n\n\0", "Missing header"),
        ("COMMIT\n\n\0", "Missing header"),
        ("ABORT\n\n\0", "Missing header"),
        ("COMMIT\ntransaction:x\n\n\0", "Bad transaction"),
        ("ABORT\ntransaction:x\n\n\0", "Bad transaction"),
        ("BEGIN\ntransaction:x\n\n\0BEGIN\ntransaction:x\n\n\0", "Bad transaction"),
        (
            "BEGIN\ntransaction:x\n\n\0ABORT\ntransaction:x\n\n\0COMMIT\ntransaction:x\n\n\0",
            "Bad transaction",
        ),
        (
            "BEGIN\ntransaction:x\n\n\0SEND\ntransaction:x\ndestination:/nowhere/a\n\nx\0",
            "Unknown destination",
        ),
    ] {
        for version in ["1.0", "1.1", "1.2"] {
            let mut client = server.connect(version).await;
            client.raw(frames.as_bytes()).await;
            assert_eq!(client.error().await.get("message"), message, "{frames:?}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn transactions_are_bounded() {
    let config = Config {
        max_transactions: 2,
        max_transaction_frames: 3,
        max_transaction_size: sluice_model::units::ByteSize(100),
        ..Config::default()
    };
    let server = Server::with(config);
    let mut client = server.connect("1.2").await;
    client.ask("BEGIN\ntransaction:a", "").await;
    client.ask("BEGIN\ntransaction:b", "").await;
    client.say("BEGIN\ntransaction:c\n\n").await;
    assert!(client.error().await.text().contains("at most 2"));
    let mut client = server.connect("1.2").await;
    client.ask("BEGIN\ntransaction:a", "").await;
    client.say(&format!("SEND\ndestination:q\ntransaction:a\n\n{}", "x".repeat(101))).await;
    assert!(client.error().await.text().contains("at most 100 bytes"));
    let mut client = server.connect("1.2").await;
    client.ask("BEGIN\ntransaction:a", "").await;
    (0..3).for_each(|_| ());
    for _ in 0..3 {
        client.ask("SEND\ndestination:q\ntransaction:a", "").await;
    }
    client.say("SEND\ndestination:q\ntransaction:a\n\n").await;
    assert!(client.error().await.text().contains("at most 3 frames"));
    server.stop().await;
}
