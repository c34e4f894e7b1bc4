//! `ack-timeout`: what a client keeps for too long comes again, and others get it.

use crate::client::Server;
use sluice_model::units::Span;
use sluice_stomp::Config;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_message_that_is_kept_for_too_long_goes_to_another() {
    let server = Server::start();
    let mut slow = server.connect("1.2").await;
    slow.send("/queue/t", "1").await;
    slow.send("/queue/t", "2").await;
    slow.ask(
        "SUBSCRIBE\nid:1\ndestination:/queue/t\nack:client-individual\nack-timeout:300\nprefetch-count:1",
        "",
    )
    .await;
    let kept = slow.message("1").await;
    slow.ask("BEGIN\ntransaction:a", "").await;
    let mut quick = server.connect("1.2").await;
    quick.ask("SUBSCRIBE\nid:1\ndestination:/queue/t\nack:client\nprefetch-count:10", "").await;
    quick.message("2").await;
    let again = quick.message("1").await;
    assert_eq!((again.get("redelivered"), again.get("message-id")), ("true", kept.get("message-id")));
    quick.ask(&format!("ACK\nid:{}", again.get("ack")), "").await;
    slow.say(&format!("ACK\nid:{}\n\n", kept.get("ack"))).await;
    assert_eq!(slow.error().await.get("message"), "Message not found");
    server.stop().await;
}

#[tokio::test]
async fn an_acknowledgement_in_time_counts_also_one_in_a_transaction() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    for body in ["1", "2", "3"] {
        client.send("/queue/t", body).await;
    }
    client.ask("SUBSCRIBE\nid:1\ndestination:/queue/t\nack:client-individual\nack-timeout:400ms", "").await;
    let (first, second) = (client.message("1").await, client.message("2").await);
    client.message("3").await;
    client.ask(&format!("ACK\nid:{}", first.get("ack")), "").await;
    client.ask("BEGIN\ntransaction:a", "").await;
    client.ask(&format!("ACK\nid:{}\ntransaction:a", second.get("ack")), "").await;
    assert_eq!(client.message("3").await.get("redelivered"), "true"); // it alone was overdue
    client.ask("ABORT\ntransaction:a", "").await;
    assert_eq!(client.message("2").await.get("redelivered"), "true"); // and now this one
    server.stop().await;
}

#[tokio::test]
async fn what_is_never_acknowledged_ends_as_a_dead_letter() {
    let server = Server::with(Config { nack_delays: vec![Span::millis(1)], ..Config::default() });
    let mut client = server.connect("1.2").await;
    client.send("/queue/t", "poison").await;
    client.ask("SUBSCRIBE\nid:1\ndestination:/queue/t\nack:client\nack-timeout:5ms", "").await;
    for _ in 0..server.broker.config().max_attempts {
        client.message("poison").await;
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut undertaker = server.connect("1.2").await;
        undertaker.say("SUBSCRIBE\nid:dead\ndestination:/amq/queue/%DLQ%STOMP_Q_t\n\n").await;
        let got = undertaker.frame().await; // an ERROR as long as there are no dead letters
        if got.command == "MESSAGE" {
            assert_eq!(got.text(), "poison");
            break;
        }
        assert!(Instant::now() < deadline, "{got:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn cursors_and_letters_come_again_too() {
    let server = Server::start();
    for destination in ["/topic/t", "/temp-queue/t"] {
        let mut client = server.connect("1.2").await;
        client
            .ask(&format!("SUBSCRIBE\nid:1\ndestination:{destination}\nack:client\nack-timeout:50"), "")
            .await;
        client.say(&format!("SEND\ndestination:{destination}\n\nx")).await;
        let first = client.message("x").await;
        let again = client.message("x").await;
        assert_eq!((first.get("redelivered"), again.get("redelivered")), ("false", "true"));
        assert_eq!(first.get("message-id"), again.get("message-id"));
        drop(client);
    }
    server.stop().await;
}
