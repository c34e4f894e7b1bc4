//! What a listener accepts, refuses and survives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that fails may say so

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::{Certificates, Lines, Server, expect, expect_closed, localhost, read_to_end, send};
use sluice_net::{Config, Detect, Error, ListenAddr, Network, Order, Protocol, TlsConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

fn named(word: &'static str) -> Arc<Lines> {
    Arc::new(Lines { word, ..Lines::new(Order::InOrder) })
}

async fn answers(stream: &mut TcpStream) -> bool {
    stream.write_all(b"now a\n").await.is_ok() && {
        let mut got = [0; 6];
        let read = stream.read_exact(&mut got);
        matches!(tokio::time::timeout(common::DEADLINE, read).await, Ok(Ok(_)))
    }
}

#[tokio::test]
async fn several_protocols_share_a_port() {
    let (red, redder, blue) = (named("red"), named("redder"), named("blue"));
    assert_eq!(red.detect(b"re"), Detect::More);
    let server = Server::start(vec![redder.clone(), red.clone(), blue.clone()]);
    for (line, word) in [("rednow 1\n", "red"), ("bluenow 2\n", "blue"), ("reddernow 3\n", "redder")] {
        let mut client = server.connect().await;
        client.set_nodelay(true).unwrap();
        let (first, rest) = line.split_at(2); // too little to tell red from redder
        send(&mut client, first).await;
        tokio::task::yield_now().await;
        send(&mut client, rest).await;
        expect(&mut client, line).await;
        let seen = [&red, &redder, &blue].iter().filter(|p| p.seen.facts.lock().take().is_some()).count();
        assert_eq!(seen, 1, "{word}");
    }
    let mut stranger = server.connect().await;
    send(&mut stranger, "green").await;
    expect_closed(&mut stranger).await;
}

#[tokio::test]
async fn an_undecided_prefix_is_bounded() {
    let endless: &'static str = "e".repeat(2_000).leak();
    let server = Server::start(vec![named(endless), named("other")]);
    let mut client = server.connect().await;
    send(&mut client, &endless[..1_500]).await;
    expect_closed(&mut client).await;
}

#[tokio::test]
async fn connections_are_limited_in_all() {
    let config = Config { max_connections: 2, ..Config::default() };
    let server = Server::start_with(&config, &TlsConfig::default(), vec![named("")]);
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    assert!(answers(&mut first).await && answers(&mut second).await);
    expect_closed(&mut server.connect().await).await;
    drop(first);
    let mut third = server.connect().await;
    while !answers(&mut third).await {
        third = server.connect().await; // until the server has noticed that the first is gone
    }
    assert!(answers(&mut second).await);
}

#[tokio::test]
async fn connections_are_limited_per_address() {
    let config = Config { max_connections_per_ip: 1, ..Config::default() };
    let network = Network::start(&config, &TlsConfig::default()).unwrap();
    let listener = network.bind("test", &"0.0.0.0:0".parse().unwrap()).unwrap().unwrap();
    let port = listener.address().port();
    listener.serve(vec![named("")]).unwrap();
    let connect = |from: &'static str| async move {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap()
    };
    let mut first = connect("127.0.0.1").await;
    assert!(answers(&mut first).await);
    expect_closed(&mut connect("127.0.0.1").await).await;
    assert!(answers(&mut connect("127.0.0.2").await).await);
    assert!(answers(&mut first).await);
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let config = Config { sniff_timeout: Duration::from_millis(50), ..Config::default() };
    let server = Server::start_with(&config, &TlsConfig::default(), vec![named("slow"), named("other")]);
    expect_closed(&mut server.connect().await).await;
    let mut undecided = server.connect().await;
    send(&mut undecided, "sl").await;
    expect_closed(&mut undecided).await;
}

#[tokio::test]
async fn drain_closes_connections_that_asked_for_nothing() {
    let server = Server::start(vec![named("")]);
    let mut silent = server.connect().await;
    let mut other = server.connect().await;
    assert!(answers(&mut other).await); // so the earlier one is accepted, too
    let network = server.network.clone();
    let shutdown = tokio::spawn(async move { network.shutdown(common::DEADLINE).await });
    expect_closed(&mut silent).await;
    assert_eq!(read_to_end(&mut other).await, "bye draining\n");
    drop(other);
    assert_eq!(shutdown.await.unwrap(), 0);
}

#[tokio::test]
async fn a_taken_port_is_an_error_and_off_is_nothing() {
    let server = Server::start(vec![named("")]);
    let again = server.network.bind("second", &ListenAddr::loopback(server.address.port()));
    assert!(matches!(again.err(), Some(Error::Bind { listener: "second", .. })));
    assert!(server.network.bind("none", &ListenAddr::Off).unwrap().is_none());
    let unknown = server.network.bind("name", &"no-such-host.invalid:1".parse().unwrap());
    assert!(matches!(unknown.err(), Some(Error::Resolve { .. })));
}

#[tokio::test]
async fn ipv6_works() {
    let network = Network::start(&Config::default(), &TlsConfig::default()).unwrap();
    let listener = network.bind("test", &"[::1]:0".parse().unwrap()).unwrap().unwrap();
    let address = listener.address();
    assert!(address.is_ipv6() && address.port() != 0);
    listener.serve(vec![named("")]).unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    assert!(answers(&mut client).await);
}

#[tokio::test]
async fn a_stalled_handshake_times_out_and_lets_the_next_one_in() {
    let certificates = Certificates::new();
    let config = Config { max_handshakes: 1, handshake_timeout: Duration::from_secs(2), ..Config::default() };
    let server = Server::start_with(&config, &certificates.config(), vec![named("")]);
    let mut stalled = server.connect().await;
    stalled.write_all(&[0x16, 3, 1]).await.unwrap();
    let connector = certificates.client(None, &[]);
    // The first attempts may be given up, too, while they wait for their turn.
    let get_in = async {
        loop {
            let Ok(mut tls) = connector.connect(localhost(), server.connect().await).await else { continue };
            let mut got = [0; 6];
            if tls.write_all(b"now a\n").await.is_ok() && tls.read_exact(&mut got).await.is_ok() {
                return got;
            }
        }
    };
    let (got, ()) = tokio::join!(get_in, expect_closed(&mut stalled));
    assert_eq!(&got, b"now a\n");
}

#[tokio::test]
async fn stalled_handshakes_of_one_address_hold_up_no_other() {
    let certificates = Certificates::new();
    let config = Config { max_handshakes: 4, max_handshakes_per_ip: 2, ..Config::default() };
    let network = Network::start(&config, &certificates.config()).unwrap();
    let listener = network.bind("test", &"0.0.0.0:0".parse().unwrap()).unwrap().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], listener.address().port()));
    listener.serve(vec![named("")]).unwrap();
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(&[0x16, 3, 1]).await.unwrap();
        stalled.push(socket);
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let socket = socket.connect(address).await.unwrap();
    let mut tls = certificates.client(None, &[]).connect(localhost(), socket).await.unwrap();
    tls.write_all(b"now a\n").await.unwrap();
    expect(&mut tls, "now a\n").await;
    drop(stalled);
}
