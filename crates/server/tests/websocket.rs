//! STOMP over WebSocket on the HTTP port of a whole server: the handshake, sessions, and what clients do wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that fails may say so

use std::sync::Arc;
use std::time::Duration;

use sluice_auth::{Command, Credentials, Mode, UserSpec};
use sluice_http::AllowedOrigin;
use sluice_net::ListenAddr;
use sluice_server::Server;
use sluice_server::config::Config;
use sluice_store::MemoryLog;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const UPGRADE: &str =
    "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n";
const CONNECT: &str = "CONNECT\naccept-version:1.2\n\n\0";

fn free_ports() -> Config {
    let mut config = Config::default();
    let listen = &mut config.listen;
    for at in
        [&mut listen.namesrv, &mut listen.remoting, &mut listen.http, &mut listen.stomp, &mut listen.kafka]
    {
        *at = ListenAddr::loopback(0);
    }
    config.stomp.connection.linger = Duration::from_millis(300); // clients that do not go are not waited for
    config
}

async fn start(config: Config) -> Server {
    Server::start_on(config, Arc::new(MemoryLog::new())).await.unwrap()
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x21, 0x84, 0, 0xff];
    let mut out = vec![first];
    match payload.len() {
        n @ ..126 => out.push(0x80 | n as u8),
        n => {
            out.push(0x80 | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    out
}

/// A client that says exactly what a test tells it to.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn dial(server: &Server) -> Self {
        let socket = TcpStream::connect(server.address("http").unwrap()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self(BufReader::new(socket))
    }

    /// After the handshake.
    async fn open(server: &Server) -> Self {
        let mut client = Self::dial(server).await;
        let answer = client.ask("/ws", &format!("{UPGRADE}{KEY}")).await;
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        client
    }

    /// After CONNECTED.
    async fn connect(server: &Server) -> Self {
        let mut client = Self::open(server).await;
        client.say(CONNECT).await;
        client.expect("CONNECTED\nversion:1.2\n").await;
        client
    }

    async fn raw(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.unwrap();
    }

    /// Sends a request and reads the head of the answer, and a body if it has one.
    async fn ask(&mut self, path: &str, headers: &str) -> String {
        self.request("GET", path, headers).await
    }

    async fn request(&mut self, method: &str, path: &str, headers: &str) -> String {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: sluice.test\r\n{headers}\r\n");
        self.raw(head.as_bytes()).await;
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            let read = timeout(DEADLINE, self.0.read_line(&mut answer)).await.expect("no answer in time");
            assert!(read.unwrap() > 0, "closed after {answer}");
        }
        let length = answer.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).await.unwrap();
        answer + &String::from_utf8(body).unwrap()
    }

    async fn send(&mut self, first: u8, payload: &[u8]) {
        self.raw(&masked(first, payload)).await;
    }

    async fn say(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes()).await;
    }

    async fn next(&mut self) -> (u8, Vec<u8>) {
        timeout(DEADLINE, async {
            let first = self.0.read_u8().await.unwrap();
            let length = match self.0.read_u8().await.unwrap() {
                126 => usize::from(self.0.read_u16().await.unwrap()),
                127 => usize::try_from(self.0.read_u64().await.unwrap()).unwrap(),
                length => usize::from(length),
            };
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await.unwrap();
            (first, payload)
        })
        .await
        .expect("no frame in time")
    }

    /// The next message, which is a text that begins so.
    async fn expect(&mut self, begins: &str) -> String {
        let (first, payload) = self.next().await;
        let text = String::from_utf8_lossy(&payload).into_owned();
        assert_eq!(first, TEXT, "{text}");
        assert!(text.starts_with(begins), "{text}");
        text
    }

    /// The closing frame, and then the end of the stream.
    async fn closes(&mut self) -> u16 {
        let (first, payload) = self.next().await;
        assert_eq!(first, CLOSE, "{}", String::from_utf8_lossy(&payload));
        assert_eq!(timeout(DEADLINE, self.0.read_u8()).await.unwrap().ok(), None);
        u16::from_be_bytes([payload[0], payload[1]])
    }

    /// Shows that the session goes on.
    async fn lives(&mut self) {
        self.say("BEGIN\ntransaction:t\n\n\0ABORT\ntransaction:t\nreceipt:lives\n\n\0").await;
        self.expect("RECEIPT\nreceipt-id:lives\n").await;
    }
}

#[tokio::test]
async fn the_handshake_agrees_on_the_highest_version() {
    let server = start(free_ports()).await;
    for (path, offered, agreed) in [
        ("/ws", "v10.stomp, v12.stomp, v11.stomp", Some("v12.stomp")),
        ("/stomp", "v11.stomp,v10.stomp", Some("v11.stomp")),
        ("/stomp/websocket", "v10.stomp", Some("v10.stomp")),
        ("/ws/websocket?x=1", "mqtt", None),
        ("/ws", "", None),
    ] {
        let mut client = Client::dial(&server).await;
        let offer = format!("Sec-WebSocket-Protocol: {offered}\r\n");
        let offer = if offered.is_empty() { "" } else { &offer };
        let answer = client.ask(path, &format!("{UPGRADE}{KEY}{offer}")).await;
        assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
        assert!(answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
        assert!(answer.contains("connection: upgrade\r\n") && answer.contains("upgrade: websocket\r\n"));
        let got = answer.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(got, agreed, "{offered}");
        client.say(CONNECT).await;
        client.expect("CONNECTED\nversion:1.2\n").await;
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_no_handshake_is_refused_and_the_connection_stays_http() {
    let server = start(free_ports()).await;
    let mut client = Client::dial(&server).await;
    let version = "Sec-WebSocket-Version: 13\r\n";
    for (headers, status, more) in [
        (String::new(), "426", "upgrade: websocket\r\n"),
        (format!("Upgrade: websocket\r\n{version}{KEY}"), "426", "upgrade: websocket\r\n"),
        (format!("Upgrade: h2c\r\nConnection: upgrade\r\n{version}{KEY}"), "426", "upgrade: websocket\r\n"),
        (
            format!("Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 12\r\n{KEY}"),
            "426",
            "sec-websocket-version: 13\r\n",
        ),
        (UPGRADE.to_owned(), "400", "Sec-WebSocket-Key"),
        (format!("{UPGRADE}Sec-WebSocket-Key: c2hvcnQ=\r\n"), "400", "Sec-WebSocket-Key"),
    ] {
        let answer = client.ask("/ws", &headers).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}\n{answer}");
        assert!(answer.contains(more), "{answer}");
    }
    let answer = client.request("PUT", "/ws", &format!("{UPGRADE}{KEY}")).await;
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET\r\n"), "{answer}");
    assert!(client.ask("/livez", "").await.starts_with("HTTP/1.1 200 "));
    client.raw(format!("GET /ws HTTP/1.0\r\nHost: x\r\n{UPGRADE}{KEY}\r\n").as_bytes()).await;
    let mut answer = String::new();
    client.0.read_line(&mut answer).await.unwrap();
    assert!(answer.contains(" 400 "), "{answer}");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_unless_they_are_named() {
    let mut config = free_ports();
    config.http.websocket_origins = vec![AllowedOrigin::try_from("https://shop.example".to_owned()).unwrap()];
    let server = start(config).await;
    for (origin, status) in [
        ("http://sluice.test", "101"),
        ("https://SLUICE.test", "101"),
        ("https://shop.example", "101"),
        ("http://shop.example", "403"),
        ("https://shop.example.evil.test", "403"),
        ("https://sluice.test.evil.test", "403"),
        ("null", "403"),
    ] {
        let mut client = Client::dial(&server).await;
        let answer = client.ask("/ws", &format!("{UPGRADE}{KEY}Origin: {origin}\r\n")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{origin}: {answer}");
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn frames_are_messages_both_ways() {
    let server = start(free_ports()).await;
    let mut client = Client::dial(&server).await;
    // The first frame may come right behind the request.
    let head = format!("GET /ws HTTP/1.1\r\nHost: x\r\n{UPGRADE}{KEY}\r\n");
    let connect = masked(BINARY, b"STOMP\naccept-version:1.1,1.2\nheart-beat:0,500\n\n\0");
    client.raw(&[head.into_bytes(), connect].concat()).await;
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        client.0.read_line(&mut answer).await.unwrap();
    }
    let connected = client.expect("CONNECTED\nversion:1.2\n").await;
    assert!(connected.ends_with("\n\n\0"), "no line feed behind the frame: {connected:?}");
    client.expect("\n").await; // a heart-beat is a message, too
    client.say("SUBSCRIBE\nid:1\ndestination:/queue/a\nreceipt:s\n\n\0").await;
    while client.expect("").await == "\n" {}
    // Two frames in one message; a text goes out as a text, other bytes as bytes.
    let frames = [
        &b"SEND\ndestination:/queue/a\n\ngr\xc3\xbc\xc3\x9fe\0"[..],
        b"SEND\ndestination:/queue/a\n\n\xff\xfe\0",
    ]
    .concat();
    client.send(BINARY, &frames).await;
    let mut got = Vec::new();
    while got.len() < 2 {
        let (first, payload) = client.next().await;
        if payload != b"\n" {
            got.push((first, payload.ends_with("grüße\0".as_bytes()), payload.ends_with(b"\xff\xfe\0")));
        }
    }
    assert_eq!(got, [(TEXT, true, false), (BINARY, false, true)]);
    client.send(PING, b"hello").await;
    while client.next().await != (PONG, b"hello".to_vec()) {}
    // A message of a mebibyte.
    let large = "x".repeat(1 << 20);
    client.say(&format!("SEND\ndestination:/queue/a\n\n{large}\0")).await;
    loop {
        let (_, payload) = client.next().await;
        if payload != b"\n" {
            assert!(payload.len() > 1 << 20 && payload.ends_with(b"xx\0"));
            break;
        }
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_frame_may_be_cut_anywhere() {
    let server = start(free_ports()).await;
    let mut client = Client::connect(&server).await;
    client.say("SUBSCRIBE\nid:1\ndestination:/topic/cut\n\n\0").await;
    let frame = "SEND\ndestination:/topic/cut\nname:\u{1f980}\n\nbody\0".as_bytes();
    for at in 1..frame.len() {
        let (a, b) = frame.split_at(at);
        // As two messages, as one in two pieces, and as bytes that arrive in two parts.
        client.send(BINARY, a).await;
        client.send(BINARY, b).await;
        client.send(0x01, a).await;
        client.send(0x80, b).await;
        let whole = masked(TEXT, frame);
        let (a, b) = whole.split_at(at + 3);
        client.raw(a).await;
        client.raw(b).await;
        for _ in 0..3 {
            let message = client.expect("MESSAGE\nsubscription:1\n").await;
            assert!(message.contains("name:\u{1f980}\n") && message.ends_with("\n\nbody\0"), "{message}");
        }
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_a_client_does_wrong_closes_its_own_connection_with_a_code() {
    let mut config = free_ports();
    config.stomp.connection.max_frame = 0; // no more than one message needs
    let server = start(config).await;
    let mut bystander = Client::connect(&server).await;
    let unmasked = [&[TEXT, 5][..], b"hello"].concat();
    let endless = [masked(0x01, b""), masked(0x00, &[b'\n'; 100]).repeat(50_000)].concat();
    let send = "SEND\ndestination:/queue/a\n\n";
    let cases: [(&str, Vec<u8>, Option<&str>, u16); 14] = [
        ("not masked", unmasked, None, 1002),
        ("a reserved bit", masked(0x40 | TEXT, b"x"), None, 1002),
        ("an unknown opcode", masked(0x83, b"x"), None, 1002),
        ("a ping in pieces", masked(0x09, b"x"), None, 1002),
        ("a large ping", masked(PING, &[0; 126]), None, 1002),
        ("a large close", masked(CLOSE, &[3; 126]), None, 1002),
        ("nothing to continue", masked(0x80, b"x"), None, 1002),
        ("no text", masked(TEXT, b"SEND\n\xff"), None, 1007),
        ("half a character", [masked(0x01, b"a\xf0\x9f"), masked(0x80, b"")].concat(), None, 1007),
        ("pieces without end", endless, None, 1009),
        ("a huge frame", [&[BINARY, 0xff][..], &(1u64 << 40).to_be_bytes(), &[0; 4]].concat(), None, 1009),
        ("no STOMP", masked(TEXT, b"HELLO\n\n\0"), Some("Malformed frame"), 1002),
        (
            "a head without end",
            masked(BINARY, &[b"SEND\n".as_slice(), &b"a:b\n".repeat(300)].concat()),
            Some("Malformed frame"),
            1009,
        ),
        ("an error", masked(TEXT, format!("{send}\0COMMIT\ntransaction:x\n\n\0").as_bytes()), Some(""), 1008),
    ];
    for (what, bytes, message, code) in cases {
        let mut client = Client::connect(&server).await;
        let _ = client.0.get_mut().write_all(&bytes).await; // it may be refused before all of it has left
        if let Some(message) = message {
            let error = client.expect("ERROR\n").await;
            assert!(error.contains(message), "{what}: {error}");
        }
        assert_eq!(client.closes().await, code, "{what}");
    }
    bystander.lives().await;
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_stranger_gets_little_room_and_little_time() {
    let mut config = free_ports();
    config.stomp.login_timeout = "2s".parse().unwrap();
    let server = start(config).await;
    let mut large = Client::open(&server).await;
    let frame = masked(TEXT, format!("CONNECT\nx:{}", "y".repeat(100_000)).as_bytes());
    let _ = large.0.get_mut().write_all(&frame).await;
    large.expect("ERROR\nmessage:Malformed frame\n").await;
    assert_eq!(large.closes().await, 1009);
    let mut silent = Client::open(&server).await;
    silent.expect("ERROR\nmessage:Login timeout\n").await;
    assert_eq!(silent.closes().await, 1008);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_session_ends_with_a_code_that_says_why() {
    let server = start(free_ports()).await;
    let mut done = Client::connect(&server).await;
    done.say("DISCONNECT\nreceipt:bye\n\n\0").await;
    done.expect("RECEIPT\nreceipt-id:bye\n").await;
    assert_eq!(done.closes().await, 1000);

    let mut closing = Client::connect(&server).await;
    closing.say("SEND\ndestination:/queue/last\nreceipt:r\n\nwords\0").await;
    closing.send(CLOSE, &1000u16.to_be_bytes()).await; // what came before it is still done
    closing.expect("RECEIPT\nreceipt-id:r\n").await;
    assert_eq!(closing.closes().await, 1000);

    let mut version = Client::open(&server).await;
    version.say("CONNECT\naccept-version:9.9\n\n\0").await;
    version.expect("ERROR\n").await;
    assert_eq!(version.closes().await, 1008);

    let mut drained = Client::connect(&server).await;
    let stop = tokio::spawn(server.shutdown());
    drained.expect("ERROR\nmessage:Server shutting down\n").await;
    assert_eq!(drained.closes().await, 1001);
    drop(drained);
    stop.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_logs_in_is_told_by_connect_alone_and_a_revoked_user_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("acl.toml");
    let write = |password: &str| {
        let ops = format!("[[users]]\nname = \"ops\"\nsuperuser = true\npassword = \"{password}\"\n");
        std::fs::write(&file, ops).unwrap();
    };
    write("first-password");
    let mut config = free_ports();
    config.auth.mode = Mode::Acl;
    config.auth.file = Some(file.clone());
    let server = start(config).await;

    let mut anonymous = Client::dial(&server).await;
    let basic = "Authorization: Basic b3BzOmZpcnN0LXBhc3N3b3Jk\r\n"; // ops:first-password
    assert!(anonymous.ask("/v1/whoami", basic).await.starts_with("HTTP/1.1 200 "));
    let answer = anonymous.ask("/ws", &format!("{UPGRADE}{KEY}{basic}")).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    anonymous.say(CONNECT).await;
    anonymous.expect("ERROR\nmessage:Access refused\n").await;
    assert_eq!(anonymous.closes().await, 1008);

    let mut client = Client::open(&server).await;
    client.say("CONNECT\naccept-version:1.2\nlogin:ops\npasscode:first-password\n\n\0").await;
    client.expect("CONNECTED\n").await;
    client.lives().await;
    write("second-password");
    server.reload().await;
    let told = timeout(DEADLINE, client.expect("ERROR\nmessage:Access refused\n")).await;
    told.expect("the connection outlives its password");
    assert_eq!(client.closes().await, 1008);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_token_in_the_address_stands_for_a_connect_that_shows_nothing() {
    let mut config = free_ports();
    config.auth.mode = Mode::Acl;
    let server = start(config).await;
    let broker = server.broker();
    let page =
        UserSpec { secret: Some("pages-secret".into()), superuser: Some(true), ..UserSpec::named("page") };
    broker.change_access_as_operator(Command::PutUser(page)).await.unwrap();
    let proof = Credentials::Password { user: "page", password: "pages-secret" };
    let session = broker.login_now(proof, ([127, 0, 0, 1], 1).into()).unwrap();
    let soon = broker.create_token(&session, "page", "page", Some(broker.now() + 600_000)).await.unwrap();
    let late = broker.create_token(&session, "page", "page", None).await.unwrap();

    let mut client = Client::dial(&server).await;
    let answer = client.ask(&format!("/ws?access_token={soon}"), &format!("{UPGRADE}{KEY}")).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    client.say(CONNECT).await;
    assert!(client.expect("CONNECTED\n").await.contains("\nuser-name:page\n"));
    client.lives().await;
    for refused in [late.as_str(), "nonsense"] {
        let mut client = Client::dial(&server).await;
        let answer = client.ask(&format!("/ws?access_token={refused}"), &format!("{UPGRADE}{KEY}")).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    // What CONNECT itself shows goes before.
    let mut other = Client::dial(&server).await;
    other.ask(&format!("/ws?access_token={soon}"), &format!("{UPGRADE}{KEY}")).await;
    other.say("CONNECT\naccept-version:1.2\nlogin:page\npasscode:wrong\n\n\0").await;
    other.expect("ERROR\nmessage:Access refused\n").await;
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_connection_of_any_wire_is_closed_on_request() {
    let server = start(free_ports()).await;
    let mut websocket = Client::connect(&server).await;
    let mut stomp = BufReader::new(TcpStream::connect(server.address("stomp").unwrap()).await.unwrap());
    stomp.write_all(b"CONNECT\naccept-version:1.2\n\n\0").await.unwrap();
    let mut said = Vec::new();
    timeout(DEADLINE, stomp.read_until(0, &mut said)).await.unwrap().unwrap();
    assert!(said.starts_with(b"CONNECTED\n"));
    let mut keeper = Client::dial(&server).await;
    let mut number_of = async |peer: std::net::SocketAddr| {
        let answer = keeper.ask("/v1/connections", "").await;
        let at = answer.find(&format!("\"peer\":\"{peer}\"")).expect("it is listed");
        answer[..at].rsplit("\"id\":\"").next().unwrap().split('"').next().unwrap().to_owned()
    };
    let numbers = [
        number_of(websocket.0.get_ref().local_addr().unwrap()).await,
        number_of(stomp.get_ref().local_addr().unwrap()).await,
    ];
    for number in &numbers {
        let answer = keeper.request("DELETE", &format!("/v1/connections/{number}"), "").await;
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    }
    websocket.expect("ERROR\nmessage:Server shutting down\n").await;
    assert_eq!(websocket.closes().await, 1001);
    let mut rest = Vec::new();
    timeout(DEADLINE, stomp.read_to_end(&mut rest)).await.expect("it is closed").unwrap();
    // Their numbers are nobody's any more, as soon as they are gone.
    let gone = async {
        while !keeper
            .request("DELETE", &format!("/v1/connections/{}", numbers[1]), "")
            .await
            .contains(" 404 ")
        {}
    };
    timeout(DEADLINE, gone).await.expect("it is gone");
    assert!(keeper.ask("/livez", "").await.starts_with("HTTP/1.1 200 "), "the others stay");
    server.shutdown().await.unwrap();
}
