//! SEND: what arrives, in which order, and what is refused.

use crate::client::Server;
use sluice_auth::Credentials;
use sluice_broker::SendRequest;
use sluice_model::{Headers, Keys, Message, TopicName};
use std::fmt::Write;

#[tokio::test]
async fn a_message_arrives_as_it_was_sent() {
    let server = Server::start();
    for version in ["1.1", "1.2"] {
        let mut client = server.connect(version).await;
        let head = "SEND\ndestination:/queue/a.b/c\ncontent-type:text/plain\ncolour:dark\\cred\nx:1\nline:a\\nb\\\\c\nx:2\nempty:\nmessage-id:old\nack:old\nredelivered:true";
        client.ask(head, "hëllo").await;
        client.say("SUBSCRIBE\nid:s1\ndestination:/queue/a.b/c\n\n").await;
        let got = client.message("hëllo").await;
        let names: Vec<_> = got.headers.iter().map(|(n, _)| &n[..]).collect();
        assert_eq!(
            names,
            [
                "subscription",
                "message-id",
                "destination",
                "redelivered",
                "content-type",
                "content-length",
                "timestamp",
                "colour",
                "x",
                "line",
                "x",
                "empty"
            ]
        );
        assert_eq!(got.get("destination"), "/queue/a.b/c");
        assert_eq!(got.get("colour"), "dark\\cred");
        assert_eq!(got.get("line"), "a\\nb\\\\c");
        assert_eq!(got.get("content-length"), "6");
        assert_eq!(got.get("redelivered"), "false");
        assert_ne!(got.get("message-id"), "old");
    }
    server.stop().await;
}

#[tokio::test]
async fn version_1_0_gets_no_escapes_and_no_empty_values() {
    let server = Server::start();
    let mut new = server.connect("1.2").await;
    new.ask("SEND\ndestination:/queue/q\na:x\\cy\nb:l1\\nl2\nc:", "1").await;
    let mut old = server.connect("1.0").await;
    old.say("SUBSCRIBE\ndestination:/queue/q\n\n").await;
    let got = old.message("1").await;
    assert_eq!(got.get("a"), "x:y");
    assert_eq!(
        (got.find("b"), got.find("c"), got.find("subscription"), got.find("ack")),
        (None, None, None, None)
    );
    server.stop().await;
}

#[tokio::test]
async fn bodies_are_bytes() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.say("SUBSCRIBE\nid:1\ndestination:/queue/b\n\n").await;
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    for body in [&b""[..], b"\0", b"a\0b\n\n\0", b"\xff\xfe\x00\x01", &large] {
        let head = format!("SEND\ndestination:/queue/b\ncontent-length:{}\n\n", body.len());
        client.raw(&[head.as_bytes(), body, b"\0"].concat()).await;
        let got = client.frame().await;
        assert!(got.body == body, "{} bytes instead of {}", got.body.len(), body.len());
        assert_eq!(got.get("content-length"), body.len().to_string());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_thousand_pipelined_sends_are_answered_in_order() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    let mut all = String::new();
    for n in 0..1000 {
        write!(all, "SEND\ndestination:/queue/p\nreceipt:{n}\n\n{n}\0").unwrap();
    }
    client.raw(all.as_bytes()).await;
    for n in 0..1000 {
        let got = client.frame().await;
        assert_eq!((&got.command[..], got.get("receipt-id")), ("RECEIPT", &n.to_string()[..]));
    }
    client.say("SUBSCRIBE\nid:1\ndestination:/queue/p\n\n").await;
    for n in 0..1000 {
        client.message(&n.to_string()).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn tag_keys_and_group_reach_the_model_and_come_back() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.say("SUBSCRIBE\nid:1\ndestination:/topic/m\ntag:red || blue\n\n").await;
    client.ask("SEND\ndestination:/topic/m\ntag:green", "no").await;
    client.ask("SEND\ndestination:/topic/m\ntags:blue\nkeys:k1 k2\nJMSXGroupID:g\nttl:60000", "yes").await;
    let got = client.message("yes").await;
    assert_eq!((got.get("tags"), got.get("keys"), got.get("JMSXGroupID")), ("blue", "k1 k2", "g"));
    assert_eq!((got.find("tag"), got.find("message-group")), (None, None), "said already");
    assert!(got.get("expires").parse::<u64>().unwrap() > server.broker.now());

    let session = server.broker.login(Credentials::Anonymous, server.address).await.unwrap();
    let mut headers = Headers::builder();
    for (name, value) in
        [("p:q", Some(&b"v1"[..])), ("null", None), ("binary", Some(b"\xff")), ("p:q", Some(b"v2"))]
    {
        headers.push(name, value).unwrap();
    }
    let message = Message {
        body: None,
        keys: Keys::joined("k"),
        tag: Some("red".into()),
        ordering_group: Some("g".into()),
        headers: headers.build(),
        id: "ID 1".into(),
        born: 1_700_000_000_000,
        ..Message::default()
    };
    let request = SendRequest::one(TopicName::new("m").unwrap(), message);
    server.broker.send(&session, request).unwrap().await.unwrap();
    let got = client.message("").await;
    assert_eq!(got.get("destination"), "/topic/m", "the subscriber's words, for a sender without");
    assert_eq!((got.get("tag"), got.get("keys"), got.get("message-group")), ("red", "k", "g"));
    assert_eq!(got.get("timestamp"), "1700000000000");
    assert_ne!(got.get("message-id"), "ID 1", "not fit for a header of every version");
    let pairs: Vec<_> = got.headers.iter().filter(|(n, _)| n == "p\\cq").map(|(_, v)| &v[..]).collect();
    assert_eq!(pairs, ["v1", "v2"]);
    assert_eq!((got.find("null"), got.find("binary")), (None, None));
    server.stop().await;
}

#[tokio::test]
async fn delayed_messages_come_in_their_time() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    client.say("SUBSCRIBE\nid:1\ndestination:/queue/d\n\n").await;
    let began = server.broker.now();
    client.ask("SEND\ndestination:/queue/d\ndelay:400ms", "later").await;
    client.ask(&format!("SEND\ndestination:/queue/d\ndeliver-at:{}", began + 200), "sooner").await;
    client.ask("SEND\ndestination:/queue/d\ndelay:0", "now").await;
    client.message("now").await;
    client.message("sooner").await;
    assert!(server.broker.now() >= began + 200);
    client.message("later").await;
    assert!(server.broker.now() >= began + 400);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_the_receipt() {
    let server = Server::start();
    for (headers, message) in [
        ("content-type:text/plain", "Missing header"),
        ("destination:", "Missing header"),
        ("destination:/queue/", "Invalid request"),
        ("destination:/nowhere/x", "Unknown destination"),
        ("destination:/exchange", "Invalid request"),
        ("destination:/exchange/mine/x", "Not supported"),
        ("destination:/temp-queue/", "Invalid request"),
        ("destination:/reply-queue/me", "Invalid request"),
        ("destination:/queue/x.*", "Not supported"),
        ("destination:/group/g/x", "Invalid request"),
        ("destination:/amq/queue/%DLQ%g", "Access refused"),
        ("destination:/amq/queue/missing", "Unknown destination"),
        ("destination:/queue/x\ndelay:soon", "Invalid request"),
        ("destination:/queue/x\ndelay:10\ndeliver-at:10", "Invalid request"),
        ("destination:/queue/x\nttl:-1", "Invalid request"),
        ("destination:/queue/x\nAMQ_SCHEDULED_CRON:* * * * *", "Not supported"),
        ("destination:/queue/x\nreply-to:/temp-queue/", "Invalid request"),
        ("destination:/queue/x\ntransaction:none", "Bad transaction"),
    ] {
        let mut client = server.connect("1.2").await;
        client.say(&format!("SEND\n{headers}\nreceipt:r\\c1\n\nx")).await;
        let error = client.error().await;
        assert_eq!(error.get("message"), message, "{headers}");
        assert_eq!(error.get("receipt-id"), "r\\c1");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_error_comes_behind_earlier_receipts_and_nothing_follows() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    let bytes = b"SEND\ndestination:/queue/e\nreceipt:1\n\na\0SEND\nreceipt:2\n\nb\0SEND\ndestination:/queue/e\nreceipt:3\n\nc\0";
    client.raw(bytes).await;
    assert_eq!(client.frame().await.get("receipt-id"), "1");
    assert_eq!(client.error().await.get("receipt-id"), "2");
    let mut other = server.connect("1.2").await;
    other.say("SUBSCRIBE\nid:1\ndestination:/queue/e\n\n").await;
    other.message("a").await;
    other.quiet().await;
    server.stop().await;
}
