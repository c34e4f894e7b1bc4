//! The connection loop inside WebSocket messages, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that fails may say so

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use common::{DEADLINE, Lines, Server, closed, until};
use sluice_net::{BoxFuture, Connection, Detect, Drain, FramedLimits, Order, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Lines in messages; the handshake is somebody else's.
struct Messages {
    lines: Arc<Lines>,
    ping_every: Duration,
}

impl Protocol for Messages {
    fn name(&self) -> &'static str {
        "messages"
    }

    fn detect(&self, _: &[u8]) -> Detect {
        Detect::Yes
    }

    fn serve(self: Arc<Self>, conn: Connection, drain: Drain) -> BoxFuture<'static, ()> {
        let conn = conn.into_websocket(Bytes::new(), self.ping_every);
        Arc::clone(&self.lines).serve(conn, drain)
    }
}

fn lines() -> Lines {
    Lines::new(Order::InOrder)
}

fn serve(lines: Lines) -> (Server, Arc<Lines>) {
    let lines = Arc::new(lines);
    let protocol = Messages { lines: Arc::clone(&lines), ping_every: Duration::from_secs(30) };
    (Server::start(vec![Arc::new(protocol)]), lines)
}

struct Client(TcpStream);

impl Client {
    async fn of(server: &Server) -> Self {
        Self(server.connect().await)
    }

    async fn send(&mut self, first: u8, payload: &[u8]) {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap()];
        frame.extend(mask);
        frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        self.0.write_all(&frame).await.unwrap();
    }

    async fn say(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes()).await;
    }

    /// The next frame of the server: its first byte and its payload.
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

    async fn expect(&mut self, first: u8, payload: &str) {
        let (got, bytes) = self.next().await;
        assert_eq!((got, &*String::from_utf8_lossy(&bytes)), (first, payload));
    }

    /// The closing frame, and then the end of the stream.
    async fn closes(&mut self) -> u16 {
        let (first, payload) = self.next().await;
        assert_eq!(first, CLOSE, "{}", String::from_utf8_lossy(&payload));
        assert_eq!(timeout(DEADLINE, self.0.read_u8()).await.unwrap().ok(), None);
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

#[tokio::test]
async fn each_frame_is_a_message_and_messages_are_a_stream() {
    let (server, lines) = serve(lines());
    let mut client = Client::of(&server).await;
    client.say("now a\nnow b\nno").await; // two and a half frames in one message
    client.expect(TEXT, "now a\n").await;
    client.expect(TEXT, "now b\n").await;
    client.send(0x02, b"w ").await; // the rest in two pieces, as bytes
    client.send(PING, b"there?").await;
    client.expect(PONG, "there?").await;
    client.send(0x80, b"c\n").await;
    client.expect(TEXT, "now c\n").await;
    client.say("big 70000\n").await;
    let (first, payload) = client.next().await;
    assert_eq!((first, payload.len()), (TEXT, 70_004));
    client.say("push 2 5\n").await;
    client.expect(TEXT, "ppppp").await;
    client.expect(TEXT, "ppppp").await;
    until("both are known to have left", || lines.seen.written.load(Ordering::SeqCst) == 2).await;
    lines.seen.outbox.lock().as_ref().unwrap().try_send(&[0xff, 0][..]).unwrap();
    client.expect(BINARY, "\u{fffd}\0").await;
}

#[tokio::test]
async fn a_client_that_closes_is_answered_after_its_requests() {
    let (server, lines) = serve(lines());
    let mut client = Client::of(&server).await;
    client.say("wait\n").await;
    client.send(CLOSE, &[&4000u16.to_be_bytes()[..], b"enough"].concat()).await;
    until("the request runs", || lines.seen.running.load(Ordering::SeqCst) == 1).await;
    lines.gate.add_permits(1);
    client.expect(TEXT, "wait\n").await;
    client.expect(TEXT, "bye client_closed\n").await;
    assert_eq!(client.closes().await, 4000);
    until("it is over", || closed(&lines.seen, "client_closed") == 1).await;
}

#[tokio::test]
async fn the_server_says_why_it_closes() {
    let (server, lines) = serve(lines());
    let mut quits = Client::of(&server).await;
    quits.say("quit\n").await;
    quits.expect(TEXT, "quit\n").await;
    assert_eq!(quits.closes().await, 1000);

    let mut bad = Client::of(&server).await;
    bad.say("bad\n").await;
    bad.expect(TEXT, "malformed\n").await;
    assert_eq!(bad.closes().await, 1002);

    let mut revoked = Client::of(&server).await;
    revoked.say("now a\n").await;
    revoked.expect(TEXT, "now a\n").await;
    lines.seen.outbox.lock().as_ref().unwrap().revoke();
    revoked.expect(TEXT, "bye revoked\n").await;
    assert_eq!(revoked.closes().await, 1008);

    let mut drained = Client::of(&server).await;
    drained.say("now a\n").await;
    drained.expect(TEXT, "now a\n").await;
    let stop = tokio::spawn(async move { server.network.shutdown(DEADLINE).await });
    drained.expect(TEXT, "bye draining\n").await;
    assert_eq!(drained.closes().await, 1001);
    drop((quits, bad, revoked, drained));
    assert_eq!(stop.await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_no_websocket_is_refused_after_what_came_before() {
    let (server, lines) = serve(lines());
    let mut client = Client::of(&server).await;
    // In one write: a request, and a frame that is not masked.
    let mut frame = vec![TEXT, 0x86, 0, 0, 0, 0];
    frame.extend(b"now a\n\x81\x01x");
    client.0.write_all(&frame).await.unwrap();
    client.expect(TEXT, "now a\n").await;
    client.expect(TEXT, "bye malformed\n").await;
    assert_eq!(client.closes().await, 1002);
    drop(client);
    until("it is over", || closed(&lines.seen, "malformed") == 1).await;
}

#[tokio::test]
async fn a_message_has_an_end_and_a_frame_comes_in_time() {
    let limits = FramedLimits {
        max_frame: 64 << 10,
        frame_timeout: Duration::from_secs(2),
        linger: Duration::from_millis(100),
        ..FramedLimits::default()
    };
    let (server, _) = serve(Lines { limits, ..lines() });
    let mut endless = Client::of(&server).await;
    endless.send(0x01, b"").await;
    // Empty pieces, all at once: who writes on is cut off.
    endless.0.write_all(&[0, 0x80, 0, 0, 0, 0].repeat(11_000)).await.unwrap();
    endless.expect(TEXT, "bye malformed\n").await;
    assert_eq!(endless.closes().await, 1009);

    let mut large = Client::of(&server).await;
    large.0.write_all(&[BINARY, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    large.expect(TEXT, "bye malformed\n").await;
    assert_eq!(large.closes().await, 1009);

    let mut dribbles = Client::of(&server).await;
    dribbles.say("now").await; // and nothing more
    dribbles.expect(TEXT, "bye slow_sender\n").await;
    assert_eq!(dribbles.closes().await, 1008);
}

#[tokio::test]
async fn a_quiet_client_is_pinged() {
    let lines = Arc::new(Lines { expects_pushes: true, ..lines() });
    let protocol = Messages { lines, ping_every: Duration::from_millis(50) };
    let server = Server::start(vec![Arc::new(protocol)]);
    let mut client = Client::of(&server).await;
    client.say("now a\n").await;
    client.expect(TEXT, "now a\n").await;
    for _ in 0..3 {
        client.expect(PING, "").await;
        client.send(PONG, b"").await;
    }
}
