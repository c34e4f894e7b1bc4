//! DISCONNECT, half-close, reset: what was sent is done, what was not acknowledged is back.

use crate::client::Server;

#[tokio::test]
async fn disconnect_is_answered_and_closed_by_the_server() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.raw(b"SEND\ndestination:/queue/d\nreceipt:1\n\na\0DISCONNECT\nreceipt:2\n\n\0SEND\ndestination:/queue/d\n\nb\0").await;
    assert_eq!(client.frame().await.get("receipt-id"), "1");
    assert_eq!(client.frame().await.get("receipt-id"), "2");
    client.end().await;
    let mut client = server.connect("1.2").await;
    client.say("DISCONNECT\n\n").await;
    client.end().await;
    let mut other = server.connect("1.2").await;
    other.ask("SUBSCRIBE\nid:1\ndestination:/queue/d", "").await;
    other.message("a").await;
    other.quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn after_a_half_close_everything_sent_is_done_and_answered() {
    let server = Server::start();
    let mut client = server.connect("1.0").await;
    let mut bytes = b"BEGIN\ntransaction:1\n\n\0SEND\ndestination:/queue/h\ntransaction:1\n\n0\0COMMIT\ntransaction:1\n\n\0".to_vec();
    for n in 1..200 {
        bytes.extend(format!("SEND\ndestination:/queue/h\nreceipt:{n}\n\n{n}\0").bytes());
    }
    client.raw(&bytes).await;
    client.half_close().await;
    for n in 1..200 {
        assert_eq!(client.frame().await.get("receipt-id"), n.to_string());
    }
    client.end().await;
    let mut other = server.connect("1.2").await;
    other.say("SUBSCRIBE\nid:1\ndestination:/queue/h\n\n").await;
    for n in 0..200 {
        other.message(&n.to_string()).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_closes_at_once_is_still_heard() {
    let server = Server::start();
    let mut client = server.connect("1.0").await;
    client.say("SEND\ndestination:/queue/c\n\nx").await;
    client.say("DISCONNECT\n\n").await;
    drop(client);
    let mut other = server.connect("1.2").await;
    other.say("SUBSCRIBE\nid:1\ndestination:/queue/c\n\n").await;
    other.message("x").await;
    server.stop().await;
}

#[tokio::test]
async fn a_reset_returns_messages_to_others_at_once_and_in_order() {
    let server = Server::start();
    let mut first = server.connect("1.2").await;
    for n in 0..50 {
        first.send("/queue/r", &n.to_string()).await;
    }
    first.ask("SUBSCRIBE\nid:1\ndestination:/queue/r\nack:client", "").await;
    for n in 0..50 {
        first.message(&n.to_string()).await;
    }
    let mut second = server.connect("1.2").await;
    second.ask("SUBSCRIBE\nid:1\ndestination:/queue/r\nack:client", "").await;
    second.quiet().await;
    first.reset();
    for n in 0..50 {
        assert_eq!(second.message(&n.to_string()).await.get("redelivered"), "true");
    }
    server.stop().await;
}
