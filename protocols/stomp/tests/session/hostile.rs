//! Input that means harm: each is told what is wrong and shut out, and nobody else notices.

use crate::client::{Client, Server};

/// Another client, which must not notice.
async fn unharmed(bystander: &mut Client) {
    bystander.send("/queue/bystander", "still here").await;
    bystander.message("still here").await;
}

#[tokio::test]
async fn what_is_no_text_is_refused() {
    let server = Server::start();
    let mut bystander = server.connect("1.2").await;
    bystander.ask("SUBSCRIBE\nid:1\ndestination:/queue/bystander", "").await;
    for (bytes, detail) in [
        (&b"S\xffND\ndestination:/queue/x\n\nx\0"[..], "unknown command\n"),
        (b"SEND\ndestination:/queue/\xff\xfe\n\nx\0", "headers must be UTF-8\n"),
        (b"SEND\ndestination:/queue/x\n\xc3\x28:y\n\nx\0", "headers must be UTF-8\n"),
        (b"SEND\ndestination:/queue/x\na:\xed\xa0\x80\n\nx\0", "headers must be UTF-8\n"), // half a surrogate pair
        (b"SEND\ndestination:/queue/\0x\n\nx\0", "a header may not contain a NUL\n"),
        (
            b"SEND\ndestination:/queue/x\na:b\rc\n\nx\0",
            "a CR must be followed by a line feed, or escaped in a header\n",
        ),
    ] {
        let mut client = server.connect("1.2").await;
        client.raw(bytes).await;
        let error = client.error().await;
        assert_eq!((error.get("message"), error.text()), ("Malformed frame", detail));
        unharmed(&mut bystander).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn names_hide_nothing() {
    let server = Server::start();
    for name in ["%00", "a%00b", "%FF", "a%C3", "%ed%a0%80"] {
        for frame in ["SEND", "SUBSCRIBE\nid:1"] {
            for prefix in ["/queue/", "/topic/", "/group/g/", ""] {
                let mut client = server.connect("1.2").await;
                client.say(&format!("{frame}\ndestination:{prefix}{name}\n\n")).await;
                assert_eq!(client.error().await.get("message"), "Invalid request", "{frame} {prefix}{name}");
            }
        }
    }
    // A slash is one however it is written, and reaches no other folder than its own name.
    let mut client = server.connect("1.2").await;
    client.ask("SUBSCRIBE\nid:1\ndestination:/queue/a%2Fb", "").await;
    client.say("SEND\ndestination:/queue/a/b\n\nx").await;
    assert_eq!(client.message("x").await.get("destination"), "/queue/a/b");
    client.ask("SUBSCRIBE\nid:2\ndestination:/queue/..%2F..%2Fetc%2Fpasswd", "").await;
    client.say("SEND\ndestination:/queue/../../etc/passwd\n\nx").await;
    assert_eq!(client.message("x").await.get("subscription"), "2");
    server.stop().await;
}

#[tokio::test]
async fn frames_without_end_end() {
    let server = Server::start();
    let max = server.broker.config().max_message_size.bytes();
    let mut bystander = server.connect("1.2").await;
    bystander.ask("SUBSCRIBE\nid:1\ndestination:/queue/bystander", "").await;
    let headers = "a:b\n".repeat(16 << 10);
    let letters = "x".repeat(64 << 10);
    for (start, flood, detail) in [
        ("SEND\n", &headers, "a frame has at most 200 headers\n".to_owned()),
        ("SEND\na:", &letters, "a header line has at most 65536 bytes\n".to_owned()),
        ("SEND\ndestination:/queue/x\n\n", &letters, format!("a body has at most {max} bytes\n")),
        ("BEGIN\ntransaction:x\n\n", &letters, "only SEND has a body\n".to_owned()),
        ("", &letters, "a command has at most 32 characters\n".to_owned()),
    ] {
        let mut client = server.connect("1.2").await;
        client.raw(start.as_bytes()).await;
        client.flood(flood.as_bytes(), 2 * max).await;
        assert_eq!(client.error().await.text(), detail, "{start:?}");
        unharmed(&mut bystander).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn noise_between_frames_costs_nothing() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    for noise in ["\n", "\r\n", "\0"] {
        client.raw(noise.repeat(1 << 20).as_bytes()).await;
        client.quiet().await;
    }
    let junk = "junk\0".repeat(10_000); // what stands behind NULs in bodies that were sent without a length
    client.raw(junk.as_bytes()).await;
    client.quiet().await;
    server.stop().await;
}

#[tokio::test]
async fn ten_thousand_receipts_come_in_order() {
    let server = Server::start();
    let mut client = server.connect("1.2").await;
    let frames: String =
        (0..10_000).map(|n| format!("SEND\ndestination:/queue/r\nreceipt:{n}\n\nx\0")).collect();
    client.raw(frames.as_bytes()).await; // the receipts fit into the sockets' buffers meanwhile
    for n in 0..10_000 {
        assert_eq!(client.frame().await.get("receipt-id"), n.to_string());
    }
    server.stop().await;
}
