//! Thousands of clients that do nothing cost little, and running out of descriptors is survived.
//!
//! Both measure the whole process, so they have a binary of their own and run one after the other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that fails may say so

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Lines, Server};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sluice_net::{Config, Order, TlsConfig, raise_descriptor_limit};

const CLIENTS: usize = 2_000;

fn exchange(client: &mut TcpStream, line: &str) -> std::io::Result<()> {
    client.set_read_timeout(Some(common::DEADLINE))?;
    client.write_all(line.as_bytes())?;
    let mut got = vec![0; line.len()];
    client.read_exact(&mut got)?;
    assert_eq!(got, line.as_bytes());
    Ok(())
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn open_descriptors() -> u64 {
    std::fs::read_dir("/proc/self/fd").unwrap().count() as u64
}

#[test]
fn idle_clients_are_cheap_and_missing_descriptors_are_survived() {
    let limit = raise_descriptor_limit().unwrap_or(u64::MAX);
    assert!(limit > 2 * CLIENTS as u64 + 100, "this machine allows only {limit} open files");
    let server = Server::start_with(
        &Config::default(),
        &TlsConfig::default(),
        vec![Arc::new(Lines::new(Order::InOrder))],
    );
    let at_rest = open_descriptors();
    thousands_of_idle_clients(&server);
    running_out_of_descriptors(&server, at_rest);
}

fn thousands_of_idle_clients(server: &Server) {
    let mut clients: Vec<TcpStream> = Vec::with_capacity(CLIENTS);
    let mut warm = TcpStream::connect(server.address).unwrap();
    exchange(&mut warm, "now warm\n").unwrap();
    let before = resident_bytes();
    for n in 0..CLIENTS {
        let mut client = TcpStream::connect(server.address).unwrap();
        exchange(&mut client, &format!("now {n}\n")).unwrap();
        clients.push(client);
    }
    let each = (resident_bytes().saturating_sub(before)) / CLIENTS;
    println!("{each} bytes for each idle connection");
    assert!(each < 16 << 10, "{each} bytes for each idle connection");
    for (n, client) in clients.iter_mut().enumerate() {
        exchange(client, &format!("now again {n}\n")).unwrap();
    }
}

fn running_out_of_descriptors(server: &Server, at_rest: u64) {
    let before = getrlimit(Resource::Nofile);
    let start = Instant::now();
    while open_descriptors() > at_rest + 1 {
        assert!(start.elapsed() < common::DEADLINE, "the server still holds idle connections");
        std::thread::sleep(Duration::from_millis(20));
    }
    let used = open_descriptors();
    // Each connection takes two here: the client's and the server's. The server gets fewer than the clients want.
    setrlimit(Resource::Nofile, Rlimit { current: Some(used + 21), maximum: before.maximum }).unwrap();
    let mut clients = Vec::new();
    let mut refused = None;
    while refused.is_none() {
        match TcpStream::connect(server.address) {
            Ok(client) => clients.push(client),
            Err(error) => refused = Some(error),
        }
        assert!(clients.len() < 100);
    }
    assert_eq!(refused.unwrap().raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
    for client in &mut clients {
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let _ = client.write_all(b"now x\n"); // some are served, some cannot be accepted
    }
    drop(clients);
    let start = Instant::now();
    loop {
        let served =
            TcpStream::connect(server.address).and_then(|mut client| exchange(&mut client, "now back\n"));
        if served.is_ok() {
            break;
        }
        assert!(start.elapsed() < common::DEADLINE, "the listener did not come back: {served:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    setrlimit(Resource::Nofile, before).unwrap();
}
