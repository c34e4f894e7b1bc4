//! Consumers that do not read cost bounded memory, however much waits for them, and lose nothing.
//!
//! The one test has this process to itself, because it measures the process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "shared with the session tests, which need all of it")]
#[path = "session/client.rs"]
mod client;

use client::Server;
use sluice_auth::Auth;
use sluice_broker::Broker;
use sluice_model::SystemClock;
use sluice_model::units::ByteSize;
use sluice_net::TlsConfig;
use sluice_stomp::Config;
use sluice_store::LocalLog;
use std::sync::Arc;

const MESSAGES: usize = 18_000;
/// So many fill every buffer on the way: outboxes, sockets, the log's last bytes.
const WARM_UP: usize = 6_000;
const BODY: usize = 8 << 10;
/// What more of them may cost: a small part of their 94 MiB, for which four subscribers wait.
const MOST: usize = 16 << 20;

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[tokio::test]
async fn what_waits_for_them_is_in_the_log_and_not_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let config = sluice_store::Config { tail_cache: ByteSize::mib(4), ..Default::default() };
    let log = LocalLog::open(folder.path(), config, Arc::new(SystemClock)).unwrap();
    let broker =
        Broker::open(Arc::new(log), Arc::new(Auth::open()), Arc::new(SystemClock), Default::default())
            .unwrap();
    let server = Server::on(broker, Config::default(), &TlsConfig::default());
    let mut sender = server.connect("1.2").await;
    sender.send("/queue/slow", "so that the topic has one queue, and one order").await;
    let mut slow = Vec::new();
    for subscription in [
        "destination:/topic/slow",
        "destination:/topic/slow\nack:client",
        "destination:/group/slow/slow\nfrom:latest",
        "destination:/topic/slow\ndurable:true",
    ] {
        let mut client = server.connect("1.2").await;
        client.ask(&format!("SUBSCRIBE\nid:1\n{subscription}"), "").await;
        slow.push(client);
    }
    let mut before = 0;
    let body = "x".repeat(BODY);
    let batch = 100;
    for first in (0..MESSAGES).step_by(batch) {
        if first == WARM_UP {
            before = resident();
        }
        let numbers = first..first + batch;
        let frames: String =
            numbers.map(|n| format!("SEND\ndestination:/topic/slow\nn:{n}\n\n{body}\0")).collect();
        sender.raw(frames.as_bytes()).await;
        sender.quiet().await;
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < MOST, "{} MiB more for {} MiB more", grown >> 20, ((MESSAGES - WARM_UP) * BODY) >> 20);
    for client in &mut slow {
        let mut acknowledged = 0;
        for n in 0..MESSAGES {
            let got = client.frame().await;
            assert_eq!(got.get("n"), n.to_string());
            if let (Some(ack), 0) = (got.find("ack"), (n + 1) % 500) {
                client.say(&format!("ACK\nid:{ack}\n\n")).await;
                acknowledged += 1;
            }
        }
        client.quiet().await;
        assert!(acknowledged == 0 || acknowledged == MESSAGES / 500);
    }
    server.stop().await;
}
