//! Temporary queues and topics: questions and answers, bounded, gone with the connection.

use crate::client::Server;
use sluice_model::units::ByteSize;
use sluice_stomp::Config;

#[tokio::test]
async fn an_answer_comes_without_a_subscription() {
    let server = Server::start();
    let mut service = server.connect("1.1").await;
    service.ask("SUBSCRIBE\nid:s\ndestination:/queue/service", "").await;
    let mut client = server.connect("1.2").await;
    for n in ["42", "43"] {
        let question =
            format!("SEND\ndestination:/queue/service\nreply-to:/temp-queue/me\ncorrelation-id:{n}");
        client.ask(&question, "ask").await;
        let asked = service.message("ask").await;
        let address = asked.get("reply-to").to_owned();
        assert!(address.starts_with("/reply-queue/") && address.ends_with(".me"), "{address}");
        service.ask(&format!("SEND\ndestination:{address}\ncorrelation-id:{n}"), "answer").await;
        let answer = client.message("answer").await;
        assert_eq!(answer.get("subscription"), "/temp-queue/me");
        assert_eq!((answer.get("destination"), answer.get("correlation-id")), (&address[..], n));
        assert_eq!((answer.find("ack"), answer.get("redelivered")), (None, "false"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_may_subscribe_first_and_acknowledge() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.ask("SUBSCRIBE\nid:7\ndestination:/temp-queue/me\nack:client-individual", "").await;
    client.ask("SEND\ndestination:/queue/ask\nreply-to:/temp-queue/me", "").await;
    let mut service = server.connect("1.0").await;
    service.ask("SUBSCRIBE\ndestination:/queue/ask", "").await;
    let address = service.message("").await.get("reply-to").to_owned();
    for body in ["1", "2", "3"] {
        service.send(&address, body).await;
    }
    let first = client.message("1").await;
    assert_eq!(first.get("subscription"), "7");
    client.message("2").await;
    client.message("3").await;
    client.ask(&format!("ACK\nid:{}", first.get("ack")), "").await;
    client.ask("UNSUBSCRIBE\nid:7", "").await;
    service.send(&address, "4").await;
    client.ask("SUBSCRIBE\nid:8\ndestination:/temp-queue/me\nack:client", "").await;
    for (body, redelivered) in [("2", "true"), ("3", "true"), ("4", "false")] {
        let got = client.message(body).await;
        assert_eq!((got.get("subscription"), got.get("redelivered")), ("8", redelivered));
    }
    client.say(&format!("SEND\ndestination:{address}\n\n5")).await;
    let last = client.message("5").await;
    client.say(&format!("NACK\nid:{}\n\n", last.get("ack"))).await;
    for body in ["2", "3", "4", "5"] {
        assert_eq!(client.message(body).await.get("redelivered"), "true"); // cumulative, like ACK
    }
    server.stop().await;
}

#[tokio::test]
async fn who_subscribes_later_takes_over() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.ask("SEND\ndestination:/queue/ask\nreply-to:/temp-queue/me", "").await;
    client.say("SEND\ndestination:/temp-queue/me\n\n1").await;
    assert_eq!(client.message("1").await.get("subscription"), "/temp-queue/me");
    client.ask("SUBSCRIBE\nid:x\ndestination:/temp-queue/me", "").await;
    client.say("SEND\ndestination:/temp-queue/me\n\n2").await;
    assert_eq!(client.message("2").await.get("subscription"), "x");
    client.ask("SEND\ndestination:/queue/ask\nreply-to:/temp-queue/me", "").await;
    client.say("SUBSCRIBE\nid:x\ndestination:/temp-queue/me\n\n").await;
    assert_eq!(client.error().await.get("message"), "Duplicate subscription");
    server.stop().await;
}

#[tokio::test]
async fn a_temporary_topic_has_a_copy_for_each_subscriber_and_none_for_nobody() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.ask("SEND\ndestination:/temp-topic/t", "nobody").await;
    client.ask("SUBSCRIBE\nid:1\ndestination:/temp-topic/t", "").await;
    client.ask("SUBSCRIBE\nid:2\ndestination:/temp-topic/t", "").await;
    client.say("SEND\ndestination:/temp-topic/t\n\nboth").await;
    let mut got = [client.message("both").await, client.message("both").await]
        .map(|got| got.get("subscription").to_owned());
    got.sort();
    assert_eq!(got, ["1", "2"]);
    server.stop().await;
}

#[tokio::test]
async fn it_is_gone_with_its_connection_and_nobody_else_reads_it() {
    let server = Server::start();
    let mut service = server.connect("1.2").await;
    service.ask("SUBSCRIBE\nid:s\ndestination:/queue/service", "").await;
    let mut client = server.connect("1.2").await;
    client.ask("SEND\ndestination:/queue/service\nreply-to:/temp-queue/me", "").await;
    let address = service.message("").await.get("reply-to").to_owned();
    let mut thief = server.connect("1.2").await;
    thief.say(&format!("SUBSCRIBE\nid:1\ndestination:{address}\n\n")).await;
    assert_eq!(thief.error().await.get("message"), "Access refused");
    client.ask("DISCONNECT", "").await;
    client.end().await;
    service.send(&address, "too late").await; // dropped, and no fault of the service's
    let mut again = server.connect("1.2").await;
    again.ask("SUBSCRIBE\nid:1\ndestination:/temp-queue/me", "").await;
    again.quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn letters_of_a_transaction_wait_for_commit() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.ask("SUBSCRIBE\nid:1\ndestination:/temp-queue/me\nack:client", "").await;
    for (end, arrives) in [("ABORT", false), ("COMMIT", true)] {
        client.ask("BEGIN\ntransaction:t", "").await;
        client.ask("SEND\ndestination:/temp-queue/me\ntransaction:t", end).await;
        client.quiet().await;
        client.say(&format!("{end}\ntransaction:t\n\n")).await;
        if arrives {
            let got = client.message(end).await;
            client.ask("BEGIN\ntransaction:a", "").await;
            client.ask(&format!("ACK\nid:{}\ntransaction:a", got.get("ack")), "").await;
            client.ask("COMMIT\ntransaction:a", "").await;
        }
    }
    client.quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn letters_are_not_delayed_and_expire() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.ask("SEND\ndestination:/temp-queue/me\nexpires:1", "stale").await;
    client.ask("SEND\ndestination:/temp-queue/me", "fresh").await;
    client.say("SUBSCRIBE\nid:1\ndestination:/temp-queue/me\n\n").await;
    client.message("fresh").await;
    client.say("SEND\ndestination:/temp-queue/me\ndelay:10s\n\n").await;
    assert_eq!(client.error().await.get("message"), "Not supported");
    server.stop().await;
}

#[tokio::test]
async fn who_does_not_read_its_answers_is_closed_and_the_sender_is_not() {
    let server = Server::with(Config { max_mail: ByteSize::kib(64), max_temporary: 2, ..Config::default() });
    let mut service = server.connect("1.2").await;
    service.ask("SUBSCRIBE\nid:s\ndestination:/queue/service", "").await;
    let mut client = server.connect("1.2").await;
    client.ask("SUBSCRIBE\nid:1\ndestination:/temp-queue/me\nack:client\nprefetch-count:1", "").await;
    client.ask("SEND\ndestination:/queue/service\nreply-to:/temp-queue/me", "").await;
    let address = service.message("").await.get("reply-to").to_owned();
    let body = "x".repeat(1000);
    service.send(&address, &body).await;
    client.message(&body).await; // which is not acknowledged, so no other one comes
    for _ in 0..70 {
        service.send(&address, &body).await; // more than there is room for
    }
    assert_eq!(client.error().await.get("message"), "Mailbox full");
    service.quiet().await;
    let mut client = server.connect("1.2").await;
    for name in ["a", "b"] {
        client.ask(&format!("SUBSCRIBE\nid:{name}\ndestination:/temp-queue/{name}"), "").await;
    }
    client.say("SUBSCRIBE\nid:c\ndestination:/temp-topic/c\n\n").await;
    assert_eq!(client.error().await.get("message"), "Too many temporary destinations");
    server.stop().await;
}

#[tokio::test]
async fn the_identity_of_a_request_is_echoed() {
    let server = Server::start();
    let mut client = server.dial().await;
    client.say("CONNECT\naccept-version:1.1\nrequest-id:r:7\n\n").await;
    assert_eq!(client.frame().await.get("response-id"), "r:7");
    let mut client = server.dial().await;
    client.say(&format!("CONNECT\naccept-version:1.1\nclient-id:{}\n\n", "x".repeat(4097))).await;
    assert_eq!(client.error().await.get("message"), "Id too long");
    server.stop().await;
}
