//! The connection loop, seen from a client's socket.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that fails may say so

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{Lines, Server, closed, expect, expect_closed, read_to_end, send, until};
use sluice_net::{FramedLimits, Order, Output, SendError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn start(lines: Lines) -> (Arc<Lines>, Server) {
    let lines = Arc::new(lines);
    let server = Server::start(vec![lines.clone()]);
    (lines, server)
}

#[tokio::test]
async fn in_order_answers_wait_for_earlier_ones() {
    let (lines, server) = start(Lines::new(Order::InOrder));
    let mut client = server.connect().await;
    send(&mut client, "wait a\nnow b\nbig 3\nnow c\n").await;
    until("all four are handled", || lines.seen.handled.load(Ordering::SeqCst) == 4).await;
    lines.gate.add_permits(1);
    expect(&mut client, "wait a\nnow b\nbig xxxnow c\n").await;
}

#[tokio::test]
async fn any_order_answers_overtake() {
    let (lines, server) = start(Lines::new(Order::AnyOrder));
    let mut client = server.connect().await;
    send(&mut client, "wait a\nnow b\nbig 3\n").await;
    expect(&mut client, "now b\nbig xxx").await;
    lines.gate.add_permits(1);
    expect(&mut client, "wait a\n").await;
}

#[tokio::test]
async fn nothing_is_handled_behind_a_barrier() {
    let (lines, server) = start(Lines::new(Order::AnyOrder));
    let mut client = server.connect().await;
    send(&mut client, "login\nnow a\n").await;
    until("login is handled", || lines.seen.handled.load(Ordering::SeqCst) > 0).await;
    lines.gate.add_permits(1);
    expect(&mut client, "login\nnow a\n").await; // without a barrier any order would answer `now` first
}

#[tokio::test]
async fn byte_by_byte_senders_that_make_progress_work() {
    let mut lines = Lines::new(Order::InOrder);
    lines.limits.frame_timeout = Duration::from_secs(5);
    lines.limits.min_rate = 16;
    let (_, server) = start(lines);
    let mut client = server.connect().await;
    client.set_nodelay(true).unwrap();
    let line = format!("now {}\n", "y".repeat(600));
    let began = Instant::now();
    for byte in line.bytes() {
        client.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await; // a slow sender
    }
    assert!(began.elapsed() > Duration::from_millis(600));
    expect(&mut client, &line).await;
}

#[tokio::test]
async fn a_sender_without_progress_is_cut_off() {
    let mut lines = Lines::new(Order::InOrder);
    lines.limits.frame_timeout = Duration::from_millis(100);
    let (lines, server) = start(lines);
    let mut client = server.connect().await;
    send(&mut client, "now a\nno").await;
    assert_eq!(read_to_end(&mut client).await, "now a\nbye slow_sender\n");
    drop(client);
    until("the handler is told", || closed(&lines.seen, "slow_sender") == 1).await;
}

#[tokio::test]
async fn after_a_half_close_everything_is_answered() {
    let mut lines = Lines::new(Order::InOrder);
    lines.limits.max_in_flight = 3; // fewer than are sent, so that some are handled after the end was seen
    let (lines, server) = start(lines);
    let mut client = server.connect().await;
    let requests: String = (0..20).map(|n| format!("wait {n}\n")).collect();
    send(&mut client, &requests).await;
    client.shutdown().await.unwrap();
    until("the first are handled", || lines.seen.handled.load(Ordering::SeqCst) == 3).await;
    lines.gate.add_permits(20);
    assert_eq!(read_to_end(&mut client).await, format!("{requests}bye client_closed\n"));
    until("the handler is told", || closed(&lines.seen, "client_closed") == 1).await;
}

#[tokio::test]
async fn last_words_on_a_malformed_frame_survive_what_the_client_still_sends() {
    let (lines, server) = start(Lines::new(Order::InOrder));
    let mut client = server.connect().await;
    send(&mut client, "wait a\nbad").await;
    let (mut reader, mut writer) = client.split();
    let junk = vec![b'j'; 1 << 20];
    let (sent, got) = tokio::join!(
        async {
            let sent = writer.write_all(&junk).await; // unread bytes at close would turn it into a reset
            lines.gate.add_permits(1);
            let _ = writer.shutdown().await;
            sent
        },
        read_to_end(&mut reader)
    );
    sent.unwrap();
    assert_eq!(got, "wait a\nmalformed\n");
    until("the handler is told", || closed(&lines.seen, "malformed") == 1).await;
}

#[tokio::test]
async fn others_go_on_when_one_connection_fails() {
    let (_, server) = start(Lines::new(Order::InOrder));
    let (mut good, mut bad) = (server.connect().await, server.connect().await);
    send(&mut bad, "bad").await;
    expect(&mut bad, "malformed\n").await;
    send(&mut good, "now a\n").await;
    expect(&mut good, "now a\n").await;
}

#[tokio::test]
async fn a_frame_larger_than_the_buffer_is_refused() {
    let mut lines = Lines::new(Order::InOrder);
    lines.limits.max_frame = 10_000;
    let (lines, server) = start(lines);
    let mut client = server.connect().await;
    send(&mut client, &"z".repeat(20_000)).await;
    expect(&mut client, "bye too_large\n").await;
    drop(client);
    until("the handler is told", || closed(&lines.seen, "too_large") == 1).await;
}

#[tokio::test]
async fn a_closing_answer_is_the_last_in_order() {
    let (lines, server) = start(Lines::new(Order::InOrder));
    let mut client = server.connect().await;
    send(&mut client, "now a\nquit\nnow b\n").await;
    assert_eq!(read_to_end(&mut client).await, "now a\nquit\n");
    drop(client);
    until("the handler is told", || closed(&lines.seen, "asked") == 1).await;
}

#[tokio::test]
async fn requests_in_flight_are_bounded_by_count() {
    let mut lines = Lines::new(Order::AnyOrder);
    lines.limits.max_in_flight = 4;
    let (lines, server) = start(lines);
    let mut client = server.connect().await;
    send(&mut client, &"wait\n".repeat(100)).await;
    until("the limit is reached", || lines.seen.running.load(Ordering::SeqCst) == 4).await;
    lines.gate.add_permits(100);
    expect(&mut client, &"wait\n".repeat(100)).await;
    assert_eq!(lines.seen.most_running.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn requests_in_flight_are_bounded_by_bytes() {
    let mut lines = Lines::new(Order::InOrder);
    lines.limits.max_in_flight_bytes = 1_000;
    let (lines, server) = start(lines);
    let mut client = server.connect().await;
    let line = format!("wait {}\n", "w".repeat(394)); // 400 bytes: the third one passes the limit
    send(&mut client, &line.repeat(30)).await;
    until("the limit is reached", || lines.seen.running.load(Ordering::SeqCst) == 3).await;
    lines.gate.add_permits(30);
    expect(&mut client, &line.repeat(30)).await;
    assert_eq!(lines.seen.most_running.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_idle_client_is_closed_unless_it_waits_for_pushes() {
    let idle = |expects_pushes| {
        let mut lines = Lines::new(Order::InOrder);
        lines.limits.idle_timeout = Duration::from_secs(1);
        lines.expects_pushes = expects_pushes;
        start(lines)
    };
    let (_, impatient) = idle(false);
    let (subscribed, patient) = idle(true);
    let (mut first, mut second) = (impatient.connect().await, patient.connect().await);
    send(&mut first, "now a\n").await;
    send(&mut second, "now a\n").await;
    expect(&mut second, "now a\n").await;
    assert_eq!(read_to_end(&mut first).await, "now a\nbye idle\n");
    // The patient server had the same time and more.
    send(&mut second, "now b\n").await;
    expect(&mut second, "now b\n").await;
    assert_eq!(closed(&subscribed.seen, "idle"), 0);
}

#[tokio::test]
async fn deadlines_of_the_handler_are_kept() {
    let mut lines = Lines::new(Order::InOrder);
    lines.beat = Some(Duration::from_millis(20));
    let (_, server) = start(lines);
    let mut client = server.connect().await;
    send(&mut client, "\r").await; // the first byte brings the connection to its protocol
    expect(&mut client, "beat\nbeat\nbeat\n").await;
}

#[tokio::test]
async fn pushes_wait_for_a_slow_reader_and_all_arrive() {
    const COUNT: usize = 1_000;
    const SIZE: usize = 65_536;
    let mut lines = Lines::new(Order::InOrder);
    lines.limits.outbox = 200_000;
    let (lines, server) = start(lines);
    let mut client = server.connect().await;
    send(&mut client, &format!("push {COUNT} {SIZE}\n")).await;
    until("pushing begins", || lines.seen.outbox.lock().as_ref().is_some_and(|out| out.queued_bytes() > 0))
        .await;
    let out = lines.seen.outbox.lock().clone().unwrap();
    until("the outbox is full", || {
        matches!(out.try_send(vec![0_u8; 200_001]), Err(SendError::Full(_)))
            && out.queued_bytes() > 200_000 - SIZE
            && lines.seen.pushed.load(Ordering::SeqCst) > 3
    })
    .await;
    assert!(lines.seen.pushed.load(Ordering::SeqCst) < COUNT, "64 MB cannot all be in buffers");
    assert!(out.queued_bytes() <= 200_000, "{}", out.queued_bytes());
    let mut got = vec![0; COUNT * SIZE];
    tokio::time::timeout(common::DEADLINE, client.read_exact(&mut got)).await.unwrap().unwrap();
    assert!(got.iter().all(|b| *b == b'p'));
    until("every push is known to be written", || lines.seen.written.load(Ordering::SeqCst) == COUNT).await;
    assert_eq!(out.queued_bytes(), 0);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_given_up() {
    let mut lines = Lines::new(Order::InOrder);
    lines.limits.write_timeout = Duration::from_millis(100);
    let (lines, server) = start(lines);
    let mut client = server.connect().await;
    send(&mut client, "push 1000 65536\n").await;
    until("the handler is told", || closed(&lines.seen, "slow_reader") == 1).await;
    assert!(lines.seen.written.load(Ordering::SeqCst) < 1_000);
}

#[tokio::test]
async fn a_client_that_does_not_read_answers_is_not_read_either() {
    let mut lines = Lines::new(Order::InOrder);
    lines.limits.outbox = 1_000;
    let (lines, server) = start(lines);
    let mut client = server.connect().await;
    let (mut reader, mut writer) = client.split();
    let count = 300;
    let requests = "big 100000\n".repeat(count);
    writer.write_all(requests.as_bytes()).await.unwrap();
    until("some are handled", || lines.seen.handled.load(Ordering::SeqCst) > 3).await;
    let mut got = vec![0; count * 100_004];
    tokio::time::timeout(common::DEADLINE, reader.read_exact(&mut got)).await.unwrap().unwrap();
    assert_eq!(lines.seen.handled.load(Ordering::SeqCst), count);
}

#[tokio::test]
async fn the_outbox_closes_the_connection_with_last_words() {
    let (lines, server) = start(Lines::new(Order::InOrder));
    let mut client = server.connect().await;
    send(&mut client, "now a\n").await;
    expect(&mut client, "now a\n").await;
    let out = lines.seen.outbox.lock().clone().unwrap();
    out.try_send(&b"first\n"[..]).unwrap();
    out.close(Some(Output::from(&b"kicked\n"[..])));
    assert!(matches!(out.try_send(&b"late\n"[..]), Err(SendError::Closed)));
    assert_eq!(read_to_end(&mut client).await, "first\nkicked\n");
    drop(client);
    tokio::time::timeout(common::DEADLINE, out.closed()).await.unwrap();
    assert!(!out.is_open());
}

#[tokio::test]
async fn a_revoked_connection_says_goodbye_and_ends() {
    let (lines, server) = start(Lines::new(Order::InOrder));
    let mut client = server.connect().await;
    send(&mut client, "now a\nforever\n").await;
    expect(&mut client, "now a\n").await;
    let out = lines.seen.outbox.lock().clone().unwrap();
    out.revoke();
    expect_closed(&mut client).await; // an answer that is not there holds nothing up, and words come after answers
    assert_eq!(closed(&lines.seen, "revoked"), 1);

    let mut client = server.connect().await;
    send(&mut client, "now a\n").await;
    expect(&mut client, "now a\n").await;
    lines.seen.outbox.lock().clone().unwrap().revoke();
    assert_eq!(read_to_end(&mut client).await, "bye revoked\n");
}

#[tokio::test]
async fn a_revoked_client_that_reads_nothing_is_cut_off_too() {
    let (lines, server) = start(Lines::new(Order::InOrder));
    let mut client = server.connect().await;
    send(&mut client, "big 50000000\n").await;
    until("the answer is under way", || lines.seen.handled.load(Ordering::SeqCst) == 1).await;
    lines.seen.outbox.lock().clone().unwrap().revoke();
    until("the connection ends", || closed(&lines.seen, "revoked") == 1).await;
}

#[tokio::test]
async fn drain_answers_what_is_in_flight_and_says_goodbye() {
    let (lines, server) = start(Lines::new(Order::InOrder));
    let mut client = server.connect().await;
    send(&mut client, "wait a\n").await;
    until("it is in flight", || lines.seen.running.load(Ordering::SeqCst) == 1).await;
    let network = server.network.clone();
    let shutdown = tokio::spawn(async move { network.shutdown(Duration::from_secs(10)).await });
    until("drain is signaled", || server.network.drain().is_draining()).await;
    lines.gate.add_permits(1);
    assert_eq!(read_to_end(&mut client).await, "wait a\nbye draining\n");
    drop(client);
    assert_eq!(shutdown.await.unwrap(), 0);
    assert_eq!(closed(&lines.seen, "draining"), 1);
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err(), "no longer accepting");
}

#[tokio::test]
async fn what_does_not_finish_within_the_grace_is_cut_off_and_its_handler_told_once() {
    let (lines, server) = start(Lines::new(Order::InOrder));
    let mut client = server.connect().await;
    send(&mut client, "wait for ever\n").await;
    until("it is in flight", || lines.seen.running.load(Ordering::SeqCst) == 1).await;
    assert_eq!(server.network.shutdown(Duration::from_millis(50)).await, 1);
    expect_closed(&mut client).await;
    let closed = lines.seen.closed.lock().clone();
    assert_eq!(closed.values().sum::<usize>(), 1, "{closed:?}");
}

#[tokio::test]
async fn several_reactors_share_the_connections() {
    let lines = Arc::new(Lines::new(Order::InOrder));
    let config = sluice_net::Config { reactors: 3, ..sluice_net::Config::default() };
    let server = Server::start_with(&config, &sluice_net::TlsConfig::default(), vec![lines.clone()]);
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(server.connect().await);
    }
    for (n, client) in clients.iter_mut().enumerate() {
        send(client, &format!("now {n}\n")).await;
        expect(client, &format!("now {n}\n")).await;
    }
    drop(clients);
    until("all are closed", || closed(&lines.seen, "client_closed") == 30).await;
    server.network.shutdown(Duration::from_secs(5)).await;
    server.network.reactors().stop();
}

#[test]
fn limits_are_written_with_units() {
    let limits: FramedLimits = toml::from_str("outbox = \"64KiB\"\nidle_timeout = \"1m 30s\"").unwrap();
    assert_eq!((limits.outbox, limits.idle_timeout), (65_536, Duration::from_secs(90)));
    let text = toml::to_string(&limits).unwrap();
    assert_eq!(toml::from_str::<FramedLimits>(&text).unwrap(), limits);
    assert!(toml::from_str::<FramedLimits>("outboks = \"1B\"").is_err());
    assert!(toml::from_str::<FramedLimits>("idle_timeout = \"999999999999years\"").is_err());
}
