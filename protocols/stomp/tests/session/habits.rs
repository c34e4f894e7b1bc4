//! Clients that the registries do not serve, as the bytes that they send: Go's `go-stomp` and Perl's `Net::STOMP::Client`.
//!
//! Their sources say what they write and what they take; nobody has run them against this server.

use crate::client::Server;

#[tokio::test]
async fn go_stomp_sends_and_receives() {
    let server = Server::start();
    let mut client = server.dial().await;
    // A host that is an address; beats of a minute, lowest version first.
    client.raw(b"CONNECT\nhost:127.0.0.1\nheart-beat:60000,60000\nlogin:guest\npasscode:guest\naccept-version:1.0,1.1,1.2\n\n\0").await;
    let connected = client.frame().await;
    assert_eq!((connected.get("version"), connected.get("heart-beat")), ("1.2", "60000,60000"));
    // It takes every value for an escaped one, that of CONNECTED too.
    assert!(connected.headers.iter().all(|(_, value)| !value.contains('\\')));
    client.raw(b"SUBSCRIBE\nid:1\ndestination:/queue/go\nack:client-individual\n\n\0").await;
    // A length on every SEND, of nothing too; a receipt behind the other headers.
    client
        .raw(b"SEND\ndestination:/queue/go\ncontent-type:text/plain\ncontent-length:0\nreceipt:2\n\n\0")
        .await;
    let mut got = [client.frame().await, client.frame().await];
    got.sort_by_key(|frame| frame.command.clone());
    assert_eq!((&got[0].command[..], got[1].get("receipt-id")), ("MESSAGE", "2"));
    client.raw(format!("ACK\nid:{}\n\n\0", got[0].get("ack")).as_bytes()).await;
    client.raw(b"\n").await; // its beat
    // Transactions are not waited for, and settle what they got.
    client.raw(b"BEGIN\ntransaction:3\n\n\0SEND\ndestination:/queue/go\ncontent-length:4\ntransaction:3\n\na\0b\n\0COMMIT\ntransaction:3\n\n\0").await;
    let message = client.message("a\0b\n").await;
    client.raw(format!("NACK\nid:{}\n\n\0", message.get("ack")).as_bytes()).await;
    let again = client.message("a\0b\n").await;
    client.raw(format!("ACK\nid:{}\n\n\0", again.get("ack")).as_bytes()).await;
    // The receipt of UNSUBSCRIBE is called as the subscription.
    client.raw(b"UNSUBSCRIBE\nid:1\nreceipt:1\n\n\0").await;
    assert_eq!(client.frame().await.get("receipt-id"), "1");
    client.raw(b"DISCONNECT\nreceipt:4\n\n\0").await;
    assert_eq!(client.frame().await.get("receipt-id"), "4");
    client.end().await;
    server.stop().await;
}

#[tokio::test]
async fn go_stomp_escapes_in_1_0_as_well() {
    let server = Server::start();
    let mut client = server.dial().await;
    client.raw(b"STOMP\nhost:127.0.0.1\nheart-beat:0,0\naccept-version:1.0\n\n\0").await;
    assert_eq!(client.frame().await.get("version"), "1.0");
    client.raw(b"SUBSCRIBE\nid:1\ndestination:/queue/old\nack:client\n\n\0").await;
    client.raw(b"SEND\ndestination:/queue/old\nurl:http\\c//host\\c80\ncontent-length:1\n\nx\0").await;
    let message = client.message("x").await;
    assert_eq!(
        message.get("url"),
        "http\\c//host\\c80",
        "it comes back as it was said, and is unescaped there"
    );
    client.ask(&format!("ACK\nsubscription:1\nmessage-id:{}", message.get("message-id")), "").await;
    server.stop().await;
}

#[tokio::test]
async fn net_stomp_client_sends_and_receives() {
    let server = Server::start();
    for (accepted, version) in
        [("", "1.0"), ("accept-version:1.0,1.1,1.2\n", "1.2"), ("accept-version:1.1\n", "1.1")]
    {
        let mut client = server.dial().await;
        // Headers are in no order; a host is only there when it was asked for.
        client.raw(format!("CONNECT\npasscode:guest\n{accepted}login:guest\n\n\0").as_bytes()).await;
        let connected = client.frame().await;
        assert_eq!(connected.get("version"), version);
        // In 1.0 it takes only some letters for a name, and one value of each; a colon ends a name.
        assert!(
            connected
                .headers
                .iter()
                .all(|(name, _)| { name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) })
        );
        let queue = format!("/queue/perl-{version}");
        client
            .raw(format!("SUBSCRIBE\nreceipt:a-1\nack:client\ndestination:{queue}\nid:s\n\n\0").as_bytes())
            .await;
        assert_eq!(client.frame().await.get("receipt-id"), "a-1");
        // The length is the last header, and only there with a body; text is marked as such.
        let body = "grün\n";
        client.raw(format!("SEND\nreceipt:a-2\ncontent-type:text/unknown\ndestination:{queue}\ncontent-length:{}\n\n{body}\0", body.len()).as_bytes()).await;
        let mut got = [client.frame().await, client.frame().await];
        got.sort_by_key(|frame| frame.command.clone());
        assert_eq!((got[0].text(), got[1].get("receipt-id")), (body, "a-2"));
        assert_eq!(got[0].get("content-type"), "text/unknown");
        let named = match got[0].find("ack") {
            Some(ack) => format!("id:{ack}"),
            None => format!("subscription:s\nmessage-id:{}", got[0].get("message-id")),
        };
        client.raw(format!("ACK\n{named}\nreceipt:a-3\n\n\0").as_bytes()).await;
        assert_eq!(client.frame().await.get("receipt-id"), "a-3");
        client.raw(b"\n\0\nDISCONNECT\n\n\0").await; // a frame of its own to keep the connection alive
        client.end().await;
    }
    server.stop().await;
}
