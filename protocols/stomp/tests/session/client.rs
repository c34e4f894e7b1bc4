//! A server on a port of the system's choice, and a client that says exactly what a test tells it to.

use sluice_broker::Broker;
use sluice_net::{ListenAddr, Network, TlsConfig};
use sluice_stomp::{Config, Stomp};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

pub struct Server {
    pub broker: Broker,
    pub address: SocketAddr,
    net: Network,
    duties: JoinHandle<()>,
}

impl Server {
    pub fn start() -> Self {
        Self::with(Config::default())
    }

    pub fn with(config: Config) -> Self {
        Self::on(Broker::in_memory(), config, &TlsConfig::default())
    }

    pub fn on(broker: Broker, config: Config, tls: &TlsConfig) -> Self {
        let duties = broker.clone();
        let duties = tokio::spawn(async move { duties.run().await });
        let net = Network::start(&sluice_net::Config::default(), tls).unwrap();
        let listener = net.bind("stomp", &ListenAddr::loopback(0)).unwrap().unwrap();
        let address = listener.address();
        listener.serve(vec![Arc::new(Stomp::new(broker.clone(), config))]).unwrap();
        Self { broker, address, net, duties }
    }

    pub async fn stop(self) {
        self.net.shutdown(Duration::from_millis(100)).await; // clients that stay are cut off
        self.duties.abort();
    }

    /// A connection that has said nothing yet.
    pub async fn dial(&self) -> Client {
        let socket = TcpStream::connect(self.address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Client { socket, read: Vec::new(), beats: 0 }
    }

    /// A connection of that version.
    pub async fn connect(&self, version: &str) -> Client {
        self.connect_as(version, "").await
    }

    /// A connection of that version, with more headers, each with its line end.
    pub async fn connect_as(&self, version: &str, headers: &str) -> Client {
        let mut client = self.dial().await;
        client.say(&format!("CONNECT\naccept-version:{version}\nhost:x\n{headers}\n")).await;
        let connected = client.frame().await;
        assert_eq!(connected.command, "CONNECTED");
        assert_eq!(connected.get("version"), version);
        client
    }
}

pub struct Client {
    socket: TcpStream,
    read: Vec<u8>,
    pub beats: usize,
}

/// A server's frame, as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    pub command: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Got {
    pub fn find(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| &v[..])
    }

    pub fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    /// Sends bytes as they are.
    pub async fn raw(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// Sends the same bytes again and again, until the server has had enough.
    pub async fn flood(&mut self, bytes: &[u8], most: usize) {
        for _ in 0..most / bytes.len() {
            if self.socket.write_all(bytes).await.is_err() {
                return; // what it said before it closed is still there to read
            }
        }
    }

    /// Sends a frame, its NUL added.
    pub async fn say(&mut self, frame: &str) {
        self.raw(&[frame.as_bytes(), b"\0"].concat()).await;
    }

    /// Sends a frame and waits for its receipt.
    pub async fn ask(&mut self, head: &str, body: &str) {
        self.say(&format!("{head}\nreceipt:r\n\n{body}")).await;
        let got = self.frame().await;
        assert_eq!((&got.command[..], got.get("receipt-id")), ("RECEIPT", "r"), "{got:?}");
    }

    pub async fn send(&mut self, destination: &str, body: &str) {
        self.ask(&format!("SEND\ndestination:{destination}"), body).await;
    }

    /// The next frame; heart-beats are counted.
    pub async fn frame(&mut self) -> Got {
        timeout(PATIENCE, self.next()).await.expect("no frame in time").expect("the connection was closed")
    }

    /// The next frame, which is a message with this body.
    pub async fn message(&mut self, body: &str) -> Got {
        let got = self.frame().await;
        assert_eq!((&got.command[..], got.text()), ("MESSAGE", body), "{got:?}");
        got
    }

    /// The next frame is an ERROR, and then the connection ends.
    pub async fn error(&mut self) -> Got {
        let got = self.frame().await;
        assert_eq!(got.command, "ERROR", "{got:?}");
        self.end().await;
        got
    }

    /// Nothing but the end comes.
    pub async fn end(&mut self) {
        let next = timeout(PATIENCE, self.next()).await.expect("not closed in time");
        assert_eq!(next, None);
    }

    /// Shows that nothing more was sent before the answer to a question asked now.
    pub async fn quiet(&mut self) {
        self.ask("BEGIN\ntransaction:quiet", "").await;
        self.ask("ABORT\ntransaction:quiet", "").await;
    }

    pub async fn half_close(&mut self) {
        self.socket.shutdown().await.unwrap();
    }

    /// Closes at once, with a reset.
    pub fn reset(self) {
        self.socket.set_zero_linger().unwrap();
    }

    async fn next(&mut self) -> Option<Got> {
        loop {
            while self.read.first() == Some(&b'\n') {
                self.read.remove(0);
                self.beats += 1;
            }
            if let Some(got) = self.parse() {
                return Some(got);
            }
            if !matches!(self.socket.read_buf(&mut self.read).await, Ok(1..)) {
                return None;
            }
        }
    }

    fn parse(&mut self) -> Option<Got> {
        let end = self.read.windows(2).position(|w| w == b"\n\n")?;
        let head = std::str::from_utf8(&self.read[..end]).unwrap().to_owned();
        let mut lines = head.split('\n');
        let command = lines.next().unwrap().to_owned();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(':').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap())
            .collect();
        let length =
            headers.iter().find(|(n, _)| n == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
        let body = self.read.get(end + 2..end + 2 + length)?.to_vec();
        assert_eq!(*self.read.get(end + 2 + length)?, 0, "NUL behind the body");
        self.read.drain(..end + 3 + length);
        self.beats = self.beats.saturating_sub(usize::from(self.read.first() == Some(&b'\n')));
        Some(Got { command, headers, body })
    }
}
