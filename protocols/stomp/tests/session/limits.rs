//! Every limit is hit, in the wire's own words.

use crate::client::Server;
use sluice_model::units::ByteSize;
use sluice_stomp::Config;

#[tokio::test]
async fn malformed_and_oversized_frames_end_in_an_error() {
    let server = Server::start();
    let body = server.broker.config().max_message_size.bytes();
    let too_many = format!("SEND\n{}\n\0", "a:b\n".repeat(201));
    let long_line = format!("SEND\na:{}", "b".repeat(64 << 10));
    let too_long = format!("SEND\n{}", format!("a:{}\n", "b".repeat(60_000)).repeat(5));
    for (bytes, detail) in [
        ("NONSENSE\n\n\0".to_owned(), "unknown command\n".to_owned()),
        ("x".repeat(33), "a command has at most 32 characters\n".to_owned()),
        ("SEND\nnonsense\n\n\0".to_owned(), "a header must be a name, a colon and a value\n".to_owned()),
        ("SEND\na:\\t\n\n\0".to_owned(), "undefined escape in a header\n".to_owned()),
        ("BEGIN\ntransaction:x\n\nbody\0".to_owned(), "only SEND has a body\n".to_owned()),
        (
            "SEND\ncontent-length:1\n\nabc\0".to_owned(),
            "the body must be followed by a NUL: content-length is wrong\n".to_owned(),
        ),
        (too_many, "a frame has at most 200 headers\n".to_owned()),
        (long_line, "a header line has at most 65536 bytes\n".to_owned()),
        (too_long, "the head of a frame has at most 262144 bytes\n".to_owned()),
        (format!("SEND\ncontent-length:{}\n\n", body + 1), format!("a body has at most {body} bytes\n")),
    ] {
        let mut client = server.connect("1.2").await;
        client.raw(bytes.as_bytes()).await;
        let error = client.error().await;
        assert_eq!((error.get("message"), error.text()), ("Malformed frame", &detail[..]));
    }
    server.stop().await;
}

#[tokio::test]
async fn strangers_get_less() {
    let server = Server::start();
    let mut client = server.dial().await;
    client.raw(format!("CONNECT\n{}", format!("a:{}\n", "b".repeat(60_000)).repeat(2)).as_bytes()).await;
    assert_eq!(client.error().await.text(), "the head of a frame has at most 65536 bytes\n");
    let mut client = server.dial().await;
    client.raw(b"SEND\ncontent-length:65537\n\n").await;
    assert_eq!(client.error().await.text(), "a body has at most 65536 bytes\n");
    server.stop().await;
}

#[tokio::test]
async fn ids_subscriptions_and_windows_are_bounded() {
    let server = Server::with(Config { max_subscriptions: 2, max_prefetch: 10, ..Config::default() });
    for name in ["receipt", "id", "transaction", "subscription"] {
        let mut client = server.connect("1.2").await;
        client.say(&format!("ACK\n{name}:{}\n\n", "x".repeat(4097))).await;
        assert_eq!(client.error().await.get("message"), "Id too long");
    }
    let mut client = server.connect("1.2").await;
    client.ask("SUBSCRIBE\nid:1\ndestination:/queue/a", "").await;
    client.ask("SUBSCRIBE\nid:2\ndestination:/queue/a", "").await;
    client.say("SUBSCRIBE\nid:3\ndestination:/queue/a\n\n").await;
    assert_eq!(client.error().await.get("message"), "Too many subscriptions");
    let mut client = server.connect("1.2").await;
    client.say("SUBSCRIBE\nid:1\ndestination:/queue/a\nprefetch-count:11\n\n").await;
    assert_eq!(client.error().await.get("message"), "Invalid request");
    server.stop().await;
}

#[tokio::test]
async fn headers_over_the_brokers_limit_are_refused_when_sent() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.say(&format!("SEND\ndestination:/queue/a\nx:{}\n\n", "y".repeat(40_000))).await;
    assert_eq!(client.error().await.get("message"), "Message too large");
    server.stop().await;
}

#[tokio::test]
async fn a_sender_that_dribbles_is_served_and_one_that_stops_is_not() {
    let mut config = Config { max_head: ByteSize::kib(64), ..Config::default() };
    config.connection.frame_timeout = std::time::Duration::from_secs(2);
    let server = Server::with(config);
    let mut client = server.connect("1.2").await;
    for byte in b"SEND\ndestination:/queue/a\nreceipt:1\n\nx\0" {
        client.raw(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.frame().await.get("receipt-id"), "1");
    client.raw(b"SEND\ndest").await;
    assert_eq!(client.error().await.get("message"), "Frame too slow");
    server.stop().await;
}
