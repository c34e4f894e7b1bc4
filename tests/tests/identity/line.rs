//! A plain connection.

use crate::PATIENCE;
use sluice_tests::TestServer;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

/// A plain connection.
pub struct Line(pub TcpStream);

impl Line {
    pub fn open(server: &TestServer, listener: &str) -> Self {
        let socket = TcpStream::connect(server.address(listener)).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self(socket)
    }

    /// One from this address of this machine.
    pub fn open_from(server: &TestServer, listener: &str, from: Ipv4Addr) -> Self {
        let kind = (socket2::Domain::IPV4, socket2::Type::STREAM);
        let socket = socket2::Socket::new(kind.0, kind.1, None).expect("a socket");
        socket.bind(&SocketAddr::from((from, 0)).into()).expect("an address of this machine");
        socket.connect(&server.address(listener).into()).expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self(socket.into())
    }

    /// Says this, and reads until the answer contains the word.
    pub fn ask(&mut self, said: &[u8], until: &str) -> String {
        self.0.write_all(said).expect("it reads");
        let (mut text, mut piece) = (String::new(), [0; 4096]);
        while !text.contains(until) {
            match self.0.read(&mut piece) {
                Ok(n @ 1..) => text.push_str(&String::from_utf8_lossy(&piece[..n])),
                other => panic!("{other:?} after {text:?}, before {until:?}"),
            }
        }
        text
    }
}
