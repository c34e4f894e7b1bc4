//! Every command without each header it needs, in every version.

use crate::client::Server;

const ALL: &[&str] = &["1.0", "1.1", "1.2"];

/// A command, what it says, the header that is left out, and the versions that cannot do without it.
const FRAMES: [(&str, &str, &str, &[&str]); 10] = [
    ("SEND", "receipt:r", "destination", ALL),
    ("SUBSCRIBE", "receipt:r\nid:1", "destination", ALL),
    ("SUBSCRIBE", "receipt:r\ndestination:/queue/m", "id", &["1.1", "1.2"]),
    ("UNSUBSCRIBE", "receipt:r", "id", ALL),
    ("ACK", "receipt:r", "id or message-id", ALL),
    ("NACK", "receipt:r", "id or message-id", ALL),
    ("BEGIN", "receipt:r", "transaction", ALL),
    ("COMMIT", "receipt:r", "transaction", ALL),
    ("ABORT", "receipt:r", "transaction", ALL),
    ("DISCONNECT", "receipt:r", "nothing", &[]),
];

#[tokio::test]
async fn a_missing_header_is_an_error_and_the_end() {
    let server = Server::start();
    for version in ALL {
        for (command, headers, left_out, versions) in FRAMES {
            let mut client = server.connect(version).await;
            client.say(&format!("{command}\n{headers}\n\n")).await;
            if versions.contains(version) {
                let error = client.error().await;
                assert_eq!(error.get("message"), "Missing header", "{version} {command} without {left_out}");
                assert_eq!(error.get("receipt-id"), "r");
            } else {
                assert_eq!(client.frame().await.command, "RECEIPT", "{version} {command} without {left_out}");
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn an_error_names_the_header() {
    let server = Server::start();
    for (version, frame, name) in
        [("1.2", "ACK\n\n", "id"), ("1.1", "NACK\n\n", "message-id"), ("1.2", "SEND\n\n", "destination")]
    {
        let mut client = server.connect(version).await;
        client.say(frame).await;
        assert_eq!(client.error().await.text(), format!("the header \"{name}\" is required\n"));
    }
    server.stop().await;
}
