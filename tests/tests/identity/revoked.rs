//! What waits on each wire ends with its user.
//!
//! That a connection is cut after each request is shown by the matrix of access; here every connection is in the middle of
//! one: a long poll, a stream, a subscription.

use crate::kafka::{Kafka, fetch_waiting};
use crate::line::Line;
use crate::listed::connections;
use crate::words::{basic, http, pull, remoting, signed, stomp_connect};
use crate::{PATIENCE, USERS, change};
use serde_json::json;
use sluice_auth::Mode;
use sluice_tests::TestServer;
use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// A second is promised, and what cuts is an event; a machine that is busy with other tests may notice later. What would
/// end by itself waits longer than this.
const CUT_WITHIN: Duration = Duration::from_secs(10);
const SUBSCRIBE: &[u8] = b"SUBSCRIBE\nid:1\ndestination:/topic/quiet\nreceipt:1\n\n\0";

/// A text message of a client, whose mask is no mask.
fn websocket_frame(text: &[u8]) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("short");
    assert!(length < 126, "a length of one byte");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text].concat()
}

fn websocket(server: &TestServer) -> Line {
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v12.stomp\r\n";
    let mut socket = Line::open(server, "http");
    assert!(socket.ask(&http("GET", "/ws", upgrade, ""), "\r\n\r\n").starts_with("HTTP/1.1 101"));
    socket.ask(&websocket_frame(stomp_connect()), "CONNECTED");
    socket.ask(&websocket_frame(SUBSCRIBE), "RECEIPT");
    socket
}

/// Everything that can wait, and does.
fn waiting(server: &TestServer) -> Vec<(&'static str, Line)> {
    let asks = |listener: &str, said: Vec<u8>| {
        let mut line = Line::open(server, listener);
        line.0.write_all(&said).expect("it reads");
        line
    };
    let mut fields = pull("g");
    fields.extend(
        [("topic", "quiet"), ("sysFlag", "6"), ("suspendTimeoutMillis", "20000")]
            .map(|(name, value)| (name.to_owned(), json!(value))),
    );
    let mut stomp = Line::open(server, "stomp");
    stomp.ask(stomp_connect(), "CONNECTED");
    stomp.ask(SUBSCRIBE, "RECEIPT");
    let events = format!("{}Accept: text/event-stream\r\n", basic());
    vec![
        ("a pull of remoting", asks("remoting", remoting(11, signed(fields, ""), ""))),
        (
            "a receive over HTTP",
            asks("http", http("POST", "/v1/groups/h/receive?topic=quiet&wait=20s", &basic(), "")),
        ),
        ("a stream of events", asks("http", http("GET", "/v1/topics/quiet/stream", &events, ""))),
        ("a subscription of STOMP", stomp),
        ("a subscription over WebSocket", websocket(server)),
        ("a fetch of Kafka", Kafka::known(server).begin(11, &fetch_waiting("quiet", 20_000))),
    ]
}

#[test]
fn what_waits_ends_with_its_user_on_every_wire() {
    let server = TestServer::start_with(|config| config.auth.mode = Mode::Acl);
    for end in ["", "enabled = false", "secret = \"another\""] {
        change(&server, USERS);
        let json = format!("{}Content-Type: application/json\r\n", basic());
        let make = http("PUT", "/v1/topics/quiet", &json, r#"{"queues":1}"#);
        assert!(Line::open(&server, "http").ask(&make, "\r\n\r\n").starts_with("HTTP/1.1 20"));
        let lines = waiting(&server);
        // Each is known to be the user's: what it asked for is under way.
        let own = |open: &serde_json::Value| open["user"] == "app";
        let ports: Vec<String> =
            lines.iter().map(|(_, line)| line.0.local_addr().expect("an address").to_string()).collect();
        connections(&server, |open| {
            ports.iter().all(|port| open.iter().any(|open| own(open) && open["peer"] == port.as_str()))
        });
        let app = "\n[[users]]\nname = \"app\"\nsecret = \"apps-secret\"\n";
        let with = match end {
            "" => String::new(),
            "enabled = false" => format!("{app}{end}\n"),
            secret => format!("\n[[users]]\nname = \"app\"\n{secret}\n"),
        };
        let without = USERS.replace(app, &with);
        assert_ne!(without, USERS);
        // Without the user nothing may speak of it.
        let without = if end.is_empty() { "" } else { &without };
        change(&server, without);
        let began = Instant::now();
        for (what, mut line) in lines {
            line.0.set_read_timeout(Some(PATIENCE)).expect("a time-out");
            match line.0.read_to_end(&mut Vec::new()) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                Err(error) => panic!("{what}, {end:?}: never cut: {error}"),
            }
            assert!(began.elapsed() < CUT_WITHIN, "{what}, {end:?}: cut only after {:?}", began.elapsed());
        }
    }
}
