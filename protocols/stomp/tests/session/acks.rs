//! ACK and NACK in the three modes and versions, and what comes back.

use crate::client::{Client, Got, Server};
use sluice_model::units::Span;
use sluice_stomp::Config;

async fn subscriber(server: &Server, version: &str, mode: &str, sent: &[&str]) -> (Client, Vec<Got>) {
    let mut client = server.connect(version).await;
    for body in sent {
        client.send("/queue/a", body).await;
    }
    client.ask(&format!("SUBSCRIBE\nid:7\ndestination:/queue/a\nack:{mode}"), "").await;
    let mut got = Vec::new();
    for body in sent {
        got.push(client.message(body).await);
    }
    (client, got)
}

/// What a fresh subscriber gets, in order.
async fn left(server: &Server, bodies: &[(&str, &str)]) {
    let mut client = server.connect("1.2").await;
    client.say("SUBSCRIBE\nid:1\ndestination:/queue/a\n\n").await;
    for (body, redelivered) in bodies {
        assert_eq!(client.message(body).await.get("redelivered"), *redelivered);
    }
    client.quiet().await;
    client.ask("DISCONNECT", "").await;
    client.end().await;
}

#[tokio::test]
async fn individual_acks_settle_one() {
    let server = Server::start();
    let (mut client, got) = subscriber(&server, "1.2", "client-individual", &["1", "2", "3"]).await;
    client.ask(&format!("ACK\nid:{}", got[1].get("ack")), "").await;
    drop(client);
    left(&server, &[("1", "true"), ("3", "true")]).await;
    server.stop().await;
}

#[tokio::test]
async fn client_acks_settle_earlier_ones_too() {
    let server = Server::start();
    let (mut client, got) = subscriber(&server, "1.2", "client", &["1", "2", "3", "4"]).await;
    client.ask(&format!("ACK\nid:{}", got[2].get("ack")), "").await;
    client.reset();
    left(&server, &[("4", "true")]).await;
    server.stop().await;
}

#[tokio::test]
async fn automatic_acks_need_no_frame() {
    let server = Server::start();
    let (mut client, got) = subscriber(&server, "1.2", "auto", &["1", "2"]).await;
    assert_eq!(got[0].find("ack"), None);
    client.ask("DISCONNECT", "").await;
    client.end().await;
    left(&server, &[]).await;
    server.stop().await;
}

#[tokio::test]
async fn older_versions_name_messages() {
    let server = Server::start();
    let (mut client, got) = subscriber(&server, "1.1", "client-individual", &["1", "2"]).await;
    assert_eq!(got[0].find("ack"), None);
    client.ask(&format!("ACK\nsubscription:7\nmessage-id:{}", got[0].get("message-id")), "").await;
    client.ask(&format!("ACK\nmessage-id:{}", got[1].get("message-id")), "").await;
    client.ask("DISCONNECT", "").await;
    let (mut old, got) = subscriber(&server, "1.0", "client", &["3"]).await;
    old.ask(&format!("ACK\nmessage-id:{}", got[0].get("message-id")), "").await;
    drop(old);
    left(&server, &[]).await;
    server.stop().await;
}

#[tokio::test]
async fn unknown_ids_are_errors() {
    let server = Server::start();
    for (version, frame, message) in [
        ("1.2", "ACK\nid:1-1", "Message not found"),
        ("1.2", "NACK\nid:nonsense", "Message not found"),
        ("1.2", "ACK\nsubscription:1", "Missing header"),
        ("1.1", "ACK\nsubscription:1\nmessage-id:x", "Message not found"),
        ("1.1", "ACK\nsubscription:1", "Missing header"),
        ("1.0", "ACK\nmessage-id:x", "Message not found"),
        ("1.2", "UNSUBSCRIBE\nid:x", "Unknown subscription"),
        ("1.2", "UNSUBSCRIBE\ndestination:/queue/x", "Missing header"),
        ("1.0", "UNSUBSCRIBE\ndestination:/queue/x", "Unknown subscription"),
        ("1.0", "UNSUBSCRIBE\na:b", "Missing header"),
        ("1.2", "NACK\nid:1\nrequeue:maybe", "Invalid request"),
        ("1.2", "NACK\nid:1\ndelay:soon", "Invalid request"),
    ] {
        let mut client = server.connect(version).await;
        client.say(&format!("{frame}\nreceipt:r\n\n")).await;
        let error = client.error().await;
        assert_eq!((error.get("message"), error.get("receipt-id")), (message, "r"), "{frame}");
    }
    // 1.0 clients acknowledge what was acknowledged already.
    let (mut old, got) = subscriber(&server, "1.0", "auto", &["1"]).await;
    old.ask(&format!("ACK\nmessage-id:{}", got[0].get("message-id")), "").await;
    old.ask("DISCONNECT", "").await;
    // A second ACK of one delivery is one too many.
    let (mut client, got) = subscriber(&server, "1.2", "client", &["2"]).await;
    client.ask(&format!("ACK\nid:{}", got[0].get("ack")), "").await;
    client.say(&format!("ACK\nid:{}\n\n", got[0].get("ack"))).await;
    assert_eq!(client.error().await.get("message"), "Message not found");
    server.stop().await;
}

#[tokio::test]
async fn refused_messages_come_again_and_end_as_dead_letters() {
    let config = Config { nack_delays: vec![Span::millis(1)], ..Config::default() };
    let server = Server::with(config);
    let (mut client, got) = subscriber(&server, "1.2", "client-individual", &["poison"]).await;
    let (mut last, attempts) = (got[0].clone(), server.broker.config().max_attempts);
    for _ in 1..attempts {
        client.say(&format!("NACK\nid:{}\n\n", last.get("ack"))).await;
        let again = client.message("poison").await;
        assert_eq!(again.get("redelivered"), "true");
        assert_eq!(again.get("message-id"), last.get("message-id"));
        assert_ne!(again.get("ack"), last.get("ack"));
        last = again;
    }
    client.ask(&format!("NACK\nid:{}", last.get("ack")), "").await;
    client.quiet().await;
    client.say("SUBSCRIBE\nid:dead\ndestination:/amq/queue/%DLQ%STOMP_Q_a\n\n").await;
    let dead = client.message("poison").await;
    assert_eq!(dead.get("destination"), "/amq/queue/%DLQ%STOMP_Q_a");
    assert_eq!(dead.get("original-destination"), "/queue/a");
    server.stop().await;
}

#[tokio::test]
async fn a_message_can_be_refused_for_good_or_for_a_while() {
    let server = Server::start();
    let (mut client, got) = subscriber(&server, "1.2", "client-individual", &["bad", "busy"]).await;
    client.ask(&format!("NACK\nid:{}\nrequeue:false", got[0].get("ack")), "").await;
    let began = server.broker.now();
    client.ask(&format!("NACK\nid:{}\ndelay:300", got[1].get("ack")), "").await;
    client.message("busy").await;
    assert!(server.broker.now() >= began + 300);
    client.say("SUBSCRIBE\nid:dead\ndestination:/queue/%25DLQ%25STOMP_Q_a\n\n").await;
    client.message("bad").await;
    client.say("SEND\ndestination:/queue/%25DLQ%25STOMP_Q_a\n\nx").await;
    assert_eq!(client.error().await.get("message"), "Access refused");
    server.stop().await;
}

#[tokio::test]
async fn a_topic_sends_refused_messages_again_within_the_subscription() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.ask("SUBSCRIBE\nid:1\ndestination:/topic/n\nack:client-individual", "").await;
    client.say("SEND\ndestination:/topic/n\n\nx").await;
    let first = client.message("x").await;
    client.say(&format!("NACK\nid:{}\n\n", first.get("ack"))).await;
    let second = client.message("x").await;
    assert_eq!((first.get("redelivered"), second.get("redelivered")), ("false", "true"));
    assert_eq!(first.get("message-id"), second.get("message-id"));
    client.ask(&format!("NACK\nid:{}\nrequeue:false", second.get("ack")), "").await;
    client.quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn unsubscribing_returns_what_is_not_acknowledged_in_order() {
    let server = Server::start();
    let (mut client, _) = subscriber(&server, "1.2", "client", &["1", "2", "3"]).await;
    client.ask("UNSUBSCRIBE\nid:7", "").await;
    client.ask("SUBSCRIBE\nid:8\ndestination:/queue/a\nack:client", "").await;
    for body in ["1", "2", "3"] {
        assert_eq!(client.message(body).await.get("redelivered"), "true");
    }
    client.ask("UNSUBSCRIBE\nid:8", "").await;
    client.send("/queue/a", "4").await;
    client.quiet().await;
    left(&server, &[("1", "true"), ("2", "true"), ("3", "true"), ("4", "false")]).await;

    let mut old = server.connect("1.0").await;
    old.ask("SUBSCRIBE\ndestination:/queue/a", "").await;
    old.ask("UNSUBSCRIBE\ndestination:/queue/a", "").await;
    old.ask("SUBSCRIBE\nid:x\ndestination:/queue/a", "").await;
    old.ask("UNSUBSCRIBE\ndestination:/queue/a", "").await;
    old.send("/queue/a", "5").await;
    old.quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn a_cumulative_ack_leaves_alone_what_was_refused_before() {
    let server = Server::start();
    let (mut client, got) = subscriber(&server, "1.1", "client-individual", &["1", "2", "3", "4"]).await;
    let named = |n: usize| format!("subscription:7\nmessage-id:{}", got[n].get("message-id"));
    client.ask(&format!("NACK\n{}\ndelay:300ms", named(1)), "").await; // a gap
    client.ask(&format!("ACK\n{}", named(2)), "").await;
    client.ask("UNSUBSCRIBE\nid:7", "").await;
    client.ask("SUBSCRIBE\nid:7\ndestination:/queue/a\nack:client", "").await;
    client.message("1").await;
    let last = client.message("4").await;
    let refused = client.message("2").await;
    assert_eq!(refused.get("redelivered"), "true");
    client.ask(&format!("ACK\nsubscription:7\nmessage-id:{}", last.get("message-id")), "").await;
    client.reset();
    left(&server, &[("2", "true")]).await;
    server.stop().await;
}
