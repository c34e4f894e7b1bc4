//! A line protocol that can do everything the loop has to support, a server for it and certificates.
#![allow(dead_code)] // each test binary uses its part

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sluice_net::{
    BoxFuture, Closing, Config, Connection, Decoded, Detect, Drain, Flow, FramedHandler, FramedLimits,
    ListenAddr, Network, Order, Outbox, Outcome, Output, Protocol, Reply, TlsConfig, serve_framed,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

pub const DEADLINE: Duration = Duration::from_secs(20);

/// Of the last connection: server name, ALPN name, whether it showed a certificate, the protocol's word.
pub type Facts = (Option<String>, Option<Bytes>, bool, &'static str);

/// What the tests see of all connections of one protocol.
#[derive(Default)]
pub struct Seen {
    pub handled: AtomicUsize,
    pub running: AtomicUsize,
    pub most_running: AtomicUsize,
    pub closed: Mutex<HashMap<&'static str, usize>>,
    pub outbox: Mutex<Option<Outbox>>,
    pub facts: Mutex<Option<Facts>>,
    pub pushed: AtomicUsize,
    pub written: AtomicUsize,
}

pub struct Lines {
    pub word: &'static str,
    pub order: Order,
    pub limits: FramedLimits,
    pub alpn: Vec<&'static [u8]>,
    /// `wait` requests are answered when this has a permit.
    pub gate: Arc<Semaphore>,
    pub seen: Arc<Seen>,
    pub expects_pushes: bool,
    pub beat: Option<Duration>,
}

impl Lines {
    pub fn new(order: Order) -> Self {
        Self {
            word: "",
            order,
            limits: FramedLimits { linger: Duration::from_millis(500), ..FramedLimits::default() },
            alpn: Vec::new(),
            gate: Arc::new(Semaphore::new(0)),
            seen: Arc::default(),
            expects_pushes: false,
            beat: None,
        }
    }
}

impl Protocol for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn detect(&self, prefix: &[u8]) -> Detect {
        let word = self.word.as_bytes();
        if prefix.starts_with(word) {
            Detect::Yes
        } else if word.starts_with(prefix) {
            Detect::More
        } else {
            Detect::No
        }
    }

    fn alpn(&self) -> &[&'static [u8]] {
        &self.alpn
    }

    fn serve(self: Arc<Self>, conn: Connection, drain: Drain) -> BoxFuture<'static, ()> {
        let sni = conn.sni().map(str::to_owned);
        let alpn = conn.tls.as_ref().and_then(|tls| tls.alpn.clone());
        *self.seen.facts.lock() = Some((sni, alpn, conn.client_cert().is_some(), self.word));
        let (order, limits) = (self.order, self.limits.clone());
        let next_beat = self.beat.map(|beat| tokio::time::Instant::now() + beat);
        let handler = LinesConn { lines: self, tasks: JoinSet::new(), cut: Arc::default(), next_beat };
        Box::pin(serve_framed(conn, handler, order, limits, drain))
    }

    fn plain_refused(&self) -> Option<Bytes> {
        Some(Bytes::from_static(b"tls please\n"))
    }
}

struct LinesConn {
    lines: Arc<Lines>,
    tasks: JoinSet<()>,
    cut: Arc<tokio::sync::Notify>,
    next_beat: Option<tokio::time::Instant>,
}

impl FramedHandler for LinesConn {
    type Frame = Bytes;

    fn opened(&mut self, out: &Outbox) {
        *self.lines.seen.outbox.lock() = Some(out.clone());
    }

    fn decode(&mut self, buf: &mut BytesMut) -> Decoded<Bytes> {
        while buf.first() == Some(&b'\r') {
            let _ = buf.split_to(1); // a heart-beat
        }
        if buf.starts_with(b"bad") {
            return Decoded::Malformed(Some(Output::from(&b"malformed\n"[..])));
        }
        match buf.iter().position(|b| *b == b'\n') {
            Some(end) => {
                let line = buf.split_to(end + 1).freeze();
                Decoded::Frame(line.slice(..end))
            }
            None => Decoded::Incomplete,
        }
    }

    fn handle(&mut self, line: Bytes, out: &Outbox) -> Outcome {
        let seen = Arc::clone(&self.lines.seen);
        seen.handled.fetch_add(1, Ordering::SeqCst);
        let text = String::from_utf8(line.to_vec()).unwrap();
        let mut words = text.split(' ');
        let command = words.next().unwrap();
        match command.strip_prefix(self.lines.word).unwrap_or(command) {
            "now" => Outcome::reply(format!("{text}\n").into_bytes()),
            "quiet" => Outcome::Nothing,
            "quit" => Outcome::close(&b"quit\n"[..]),
            "big" => {
                let size = words.next().unwrap().parse().unwrap();
                Outcome::pending(async move {
                    Reply::new((Bytes::from_static(b"big "), Bytes::from(vec![b'x'; size])))
                })
            }
            "push" => {
                let (count, size): (usize, usize) =
                    (words.next().unwrap().parse().unwrap(), words.next().unwrap().parse().unwrap());
                self.push(count, size, out);
                Outcome::Nothing
            }
            "login" => Outcome::barrier(self.wait_for_gate(text)),
            _ => Outcome::pending(self.wait_for_gate(text)),
        }
    }

    fn expects_pushes(&self) -> bool {
        self.lines.expects_pushes
    }

    fn next_deadline(&self) -> Option<tokio::time::Instant> {
        self.next_beat
    }

    fn on_deadline(&mut self, now: tokio::time::Instant, out: &Outbox) -> Flow {
        self.next_beat = self.lines.beat.map(|beat| now + beat);
        let _ = out.try_send(&b"beat\n"[..]);
        Flow::Continue
    }

    fn closing(&mut self, _: &Closing) {
        self.cut.notify_waiters();
    }

    fn last_words(&mut self, why: &Closing) -> Option<Output> {
        Some(format!("bye {}\n", why.reason()).into_bytes().into())
    }

    fn closed(&mut self, why: &Closing) {
        *self.lines.seen.closed.lock().entry(why.reason()).or_default() += 1;
    }
}

impl LinesConn {
    fn wait_for_gate(&self, text: String) -> impl Future<Output = Reply> + Send + 'static {
        let (gate, seen) = (Arc::clone(&self.lines.gate), Arc::clone(&self.lines.seen));
        let running = seen.running.fetch_add(1, Ordering::SeqCst) + 1;
        seen.most_running.fetch_max(running, Ordering::SeqCst);
        async move {
            gate.acquire().await.unwrap().forget();
            seen.running.fetch_sub(1, Ordering::SeqCst);
            Reply::new(format!("{text}\n").into_bytes())
        }
    }

    fn push(&mut self, count: usize, size: usize, out: &Outbox) {
        let (out, seen) = (out.clone(), Arc::clone(&self.lines.seen));
        self.tasks.spawn(async move {
            for _ in 0..count {
                let Ok(written) = out.send_tracked(vec![b'p'; size]).await else { return };
                seen.pushed.fetch_add(1, Ordering::SeqCst);
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    if written.await.is_ok() {
                        seen.written.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
}

/// One listener with its protocols.
pub struct Server {
    pub network: Network,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(protocols: Vec<Arc<dyn Protocol>>) -> Self {
        Self::start_with(&Config::default(), &TlsConfig::default(), protocols)
    }

    pub fn start_with(config: &Config, tls: &TlsConfig, protocols: Vec<Arc<dyn Protocol>>) -> Self {
        let network = Network::start(config, tls).unwrap();
        let listener = network.bind("test", &ListenAddr::loopback(0)).unwrap().unwrap();
        let address = listener.address();
        listener.serve(protocols).unwrap();
        Self { network, address }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Reads exactly these bytes.
pub async fn expect(stream: &mut (impl AsyncRead + Unpin), bytes: &str) {
    let mut got = vec![0; bytes.len()];
    let read = tokio::time::timeout(DEADLINE, stream.read_exact(&mut got)).await;
    read.unwrap_or_else(|_| panic!("{bytes:?} did not come")).unwrap();
    assert_eq!(String::from_utf8_lossy(&got), bytes);
}

/// Reads to the end; a reset is a failure.
pub async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut got = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut got)).await.expect("no end in time").unwrap();
    String::from_utf8_lossy(&got).into_owned()
}

/// The connection is closed without a byte, by FIN or reset.
pub async fn expect_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut buf = [0; 1];
    let read = tokio::time::timeout(DEADLINE, stream.read(&mut buf)).await.expect("not closed in time");
    assert!(matches!(read, Ok(0) | Err(_)), "got a byte: {buf:?}");
}

/// Polls until it holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn closed(seen: &Seen, why: &str) -> usize {
    seen.closed.lock().get(why).copied().unwrap_or(0)
}

pub async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// An authority and what it signs, as files.
pub struct Certificates {
    pub folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let certificates = Self { folder: tempfile::tempdir().unwrap(), issuer };
        std::fs::write(certificates.path("ca.pem"), certificates.issuer.pem()).unwrap();
        certificates.issue("server");
        certificates
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `name.pem` and `name.key`.
    pub fn issue(&self, name: &str) {
        self.issue_for(name, "localhost");
    }

    /// The same for another host.
    pub fn issue_for(&self, name: &str, host: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    pub fn config(&self) -> TlsConfig {
        TlsConfig {
            cert: Some(self.path("server.pem")),
            key: Some(self.path("server.key")),
            ..TlsConfig::default()
        }
    }

    pub fn client(&self, own: Option<&str>, alpn: &[&[u8]]) -> TlsConnector {
        self.client_of(rustls::ALL_VERSIONS, own, alpn)
    }

    pub fn client_of(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        own: Option<&str>,
        alpn: &[&[u8]],
    ) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(read_certificate(&self.path("ca.pem"))).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
                builder
                    .with_client_auth_cert(vec![read_certificate(&self.path(&format!("{name}.pem")))], key)
                    .unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config.resumption = rustls::client::Resumption::disabled();
        TlsConnector::from(Arc::new(config))
    }
}

pub fn read_certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

pub fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}
