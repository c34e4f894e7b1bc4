//! Durable subscriptions in the spellings of other brokers: what came meanwhile, and how they end.

use crate::client::{Client, Server};
use sluice_stomp::Config;

const ACTIVEMQ: &str = "SUBSCRIBE\nid:1\ndestination:/topic/d\nactivemq.subscriptionName:news";
const RABBITMQ: &str = "SUBSCRIBE\nid:news\ndestination:/topic/d\ndurable:true\nauto-delete:false";

async fn away(mut client: Client) {
    client.ask("DISCONNECT", "").await;
    client.end().await;
}

#[tokio::test]
async fn what_came_meanwhile_is_delivered() {
    let server = Server::start();
    for (subscribe, rest) in [
        (ACTIVEMQ, ""),
        (RABBITMQ, ""),
        ("SUBSCRIBE\nid:1\ndestination:/topic/d\ndurable-subscription-name:artemis", ""),
        ("SUBSCRIBE\nid:other\ndestination:/topic/d\npersistent:true\nx-queue-name:named", ""),
        (RABBITMQ, "\nx-queue-name:listed\nack:client"),
    ] {
        let mut sender = server.connect("1.1").await;
        sender.send("/topic/d", "before").await;
        let mut client = server.connect_as("1.1", "client-id:c\n").await;
        client.ask(&format!("{subscribe}{rest}"), "").await;
        sender.send("/topic/d", "present").await;
        let first = client.message("present").await;
        if rest.is_empty() {
            away(client).await;
        } else {
            client.reset(); // not acknowledged, so it comes again
        }
        sender.send("/topic/d", "absent").await;
        sender.send("/queue/d", "not for topics").await;
        let mut client = server.connect_as("1.2", "client-id:c\n").await;
        client.ask(&format!("{subscribe}{rest}"), "").await;
        let mut came = vec![client.frame().await];
        if !rest.is_empty() {
            // It comes again when the server has noticed the reset: that may be after the other one.
            came.push(client.frame().await);
            came.sort_by_key(|got| got.text() == "absent");
            assert_eq!((came[0].text(), came[0].get("redelivered")), ("present", "true"), "{first:?}");
        }
        assert_eq!(came.last().map(|got| (&got.command[..], got.text())), Some(("MESSAGE", "absent")));
        client.quiet().await;
        away(client).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn subscriptions_of_two_clients_are_two_and_of_one_name_are_shared() {
    let server = Server::start();
    let mut clients = Vec::new();
    for id in ["client-id:a\n", "client-id:b\n", "client-id:b\n"] {
        let mut client = server.connect_as("1.2", id).await;
        client.ask(ACTIVEMQ, "").await;
        clients.push(client);
    }
    let mut sender = server.connect("1.2").await;
    let mut got = [0; 2];
    let [alone, one, other] = &mut clients[..] else { unreachable!("there are three") };
    for n in 0..8 {
        sender.send("/topic/d", &n.to_string()).await;
        alone.message(&n.to_string()).await;
        let (who, frame) = tokio::select! {
            frame = one.frame() => (0, frame),
            frame = other.frame() => (1, frame),
        };
        assert_eq!(frame.text(), n.to_string());
        got[who] += 1;
    }
    assert!(got.iter().all(|got| *got > 0), "{got:?}");
    for client in &mut clients {
        client.quiet().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn it_ends_when_it_is_meant_and_not_before() {
    let server = Server::with(Config { queue_width: 1, ..Config::default() });
    for (subscribe, plain, meant) in [
        (ACTIVEMQ, "UNSUBSCRIBE\nid:1", "UNSUBSCRIBE\nid:1\nactivemq.subscriptionName:news"),
        (RABBITMQ, "UNSUBSCRIBE\nid:news", "UNSUBSCRIBE\nid:news\ndestination:/topic/d\ndurable:true"),
        (RABBITMQ, "UNSUBSCRIBE\nid:news", "UNSUBSCRIBE\nid:news\npersistent:true"),
    ] {
        let mut client = server.connect_as("1.2", "client-id:c\n").await;
        client.ask(subscribe, "").await;
        client.ask(plain, "").await;
        client.send("/topic/d", "kept").await;
        client.quiet().await;
        client.ask(subscribe, "").await;
        client.message("kept").await;
        client.ask(meant, "").await;
        client.send("/topic/d", "lost").await;
        client.ask(subscribe, "").await;
        client.send("/topic/d", "new").await;
        client.message("new").await;
        // Ended by one who is not subscribed.
        let mut other = server.connect_as("1.2", "client-id:c\n").await;
        client.ask(plain, "").await;
        other.ask(meant, "").await;
        other.say(&format!("{meant}\n\n")).await;
        assert_eq!(other.error().await.get("message"), "Unknown group");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_flag_of_a_durable_subscription_does_no_harm_to_others() {
    let server = Server::start();
    let mut client = server.connect_as("1.2", "client-id:c\n").await;
    client.ask("SUBSCRIBE\nid:q\ndestination:/queue/d\ndurable:true\nauto-delete:false", "").await;
    client.ask("UNSUBSCRIBE\nid:q\ndurable:true", "").await;
    client.ask("SUBSCRIBE\nid:t\ndestination:/topic/d\nauto-delete:true", "").await;
    client.ask("UNSUBSCRIBE\nid:t\ndurable:true", "").await;
    client.ask("SUBSCRIBE\nid:t\ndestination:/topic/d", "").await;
    client.say("UNSUBSCRIBE\nid:t\nactivemq.subscriptionName:news\n\n").await;
    assert_eq!(client.error().await.get("message"), "Unknown subscription");
    server.stop().await;
}

#[tokio::test]
async fn a_group_can_be_asked_for_in_order() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    for body in ["1", "2"] {
        client.ask("SEND\ndestination:/queue/o\nmessage-group:g", body).await;
    }
    client.ask("SUBSCRIBE\nid:1\ndestination:/queue/o\nack:client-individual\norder:fifo", "").await;
    let first = client.message("1").await;
    client.quiet().await; // the second one waits for it
    client.say(&format!("ACK\nid:{}\n\n", first.get("ack"))).await;
    client.message("2").await;
    client.ask("SUBSCRIBE\nid:2\ndestination:/group/plain/o", "").await;
    client.message("1").await;
    client.message("2").await;
    client.say("SUBSCRIBE\nid:3\ndestination:/group/plain/o\norder:fifo\n\n").await;
    assert_eq!(client.error().await.get("message"), "Conflict");
    server.stop().await;
}
