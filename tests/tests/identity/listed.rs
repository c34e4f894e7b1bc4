//! Who is connected, as administrators see it.

use crate::line::Line;
use crate::words::{basic, http, send_message, stomp_connect};
use crate::{PATIENCE, USERS, change};
use serde_json::{Value, json};
use sluice_auth::Mode;
use sluice_tests::TestServer;
use std::time::{Duration, Instant};

/// What `app` is told of the open connections, as soon as it is what is wanted.
pub fn connections(server: &TestServer, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let mut line = Line::open(server, "http");
    let began = Instant::now();
    loop {
        let answer = line.ask(&http("GET", "/v1/connections", &basic(), ""), "\"next\":null}");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let Ok(Value::Object(mut page)) = serde_json::from_str(body) else { panic!("{answer}") };
        let Some(Value::Array(items)) = page.remove("items") else { panic!("{answer}") };
        if wanted(&items) {
            return items;
        }
        assert!(began.elapsed() < PATIENCE, "{answer}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn whoever_may_look_sees_every_connection_and_its_user() {
    let server = TestServer::start_with(|config| config.auth.mode = Mode::Acl);
    change(&server, USERS);
    let silent = Line::open(&server, "remoting");
    connections(&server, |open| open.len() == 2);
    let mut remoting = Line::open(&server, "remoting");
    remoting.ask(&send_message(), "\"code\":0");
    let mut stomp = Line::open(&server, "stomp");
    assert!(stomp.ask(stomp_connect(), "\0").starts_with("CONNECTED"));
    let mut stranger = Line::open(&server, "http");
    assert!(stranger.ask(&http("GET", "/livez", "", ""), "ok").starts_with("HTTP/1.1 200"));
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut socket = Line::open(&server, "http");
    socket.ask(&http("GET", "/ws", upgrade, ""), "HTTP/1.1 101");

    let open = connections(&server, |open| open.len() == 6 && open[4]["protocol"] == "stomp");
    let told = |open: &Value| {
        ["listener", "protocol", "user"].map(|name| open[name].as_str().unwrap_or("-").to_owned())
    };
    let lines = [
        (&silent, ["remoting", "-", "-"]),
        (&remoting, ["remoting", "remoting", "app"]),
        (&stomp, ["stomp", "stomp", "app"]),
        (&stranger, ["http", "http", "-"]),
        (&socket, ["http", "stomp", "-"]),
    ];
    for ((line, wanted), open) in lines.iter().zip(&open) {
        assert_eq!(told(open), *wanted, "{open}");
        assert_eq!(open["peer"], line.0.local_addr().expect("an address").to_string());
        assert_eq!(open["tls"], if wanted[1] == "-" { Value::Null } else { json!(false) });
    }
    assert_eq!(told(&open[5]), ["http", "http", "app"], "whoever asks is connected, too");
    let numbers: Vec<_> = open.iter().map(|open| open["id"].clone()).collect();
    drop((silent, stomp));
    let open = connections(&server, |open| open.len() == 4);
    assert_eq!(
        open[..3].iter().map(|open| &open["id"]).collect::<Vec<_>>(),
        [&numbers[1], &numbers[3], &numbers[4]]
    );
}
