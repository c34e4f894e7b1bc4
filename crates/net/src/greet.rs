//! The first exchange with a new connection: plain or TLS, and whose wire is it?
//!
//! A new socket is worth nothing yet, so each step is bounded in bytes and in time. The one idea to know: the bytes
//! that were looked at travel with the connection and are read again by whoever serves it.
//!
//! The question itself is `detect.rs`; certificates are `tls.rs`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::accept::Acceptor;
use crate::connection::{Prefixed, Stream};
use crate::detect::{self, Choice, MAX_PREFIX, TLS_HANDSHAKE};
use crate::limits::Admission;
use crate::open_connections::Spoken;
use crate::{Connection, Protocol, TlsFacts, TlsVersion};

/// After refusing plain bytes we read so long, so that the error reaches the client before the close does.
const REFUSAL_LINGER: Duration = Duration::from_secs(2);
/// And at most so much.
const REFUSAL_DISCARD: usize = 1 << 20;

/// A connection and who serves it.
pub(crate) struct Greeted {
    pub(crate) protocol: Arc<dyn Protocol>,
    pub(crate) conn: Connection,
}

/// Why a connection did not get as far as its protocol.
#[derive(Debug, Error)]
pub(crate) enum Failed {
    #[error("socket: {0}")]
    Socket(#[from] io::Error),
    #[error("the client closed before it said anything")]
    Silent,
    #[error("the first bytes did not come in time")]
    TooSlow,
    #[error("the first bytes belong to no protocol of this listener")]
    UnknownProtocol,
    #[error("a client speaks TLS, but there is no certificate: set tls.cert and tls.key")]
    NoCertificate,
    #[error("a client speaks plain text, but tls.mode is required")]
    PlainRefused,
    #[error("tls handshake: {0}")]
    Handshake(String),
}

impl Failed {
    fn reason(&self) -> &'static str {
        match self {
            Self::Socket(_) => "socket",
            Self::Silent => "silent",
            Self::TooSlow => "sniff_timeout",
            Self::UnknownProtocol => "unknown_protocol",
            Self::NoCertificate => "no_certificate",
            Self::PlainRefused => "plain_refused",
            Self::Handshake(_) => "tls_handshake",
        }
    }

    /// Counts it; a cause that the operator can remove is logged now and then, the others only for debugging.
    pub(crate) fn report(&self, acceptor: &Acceptor) {
        acceptor.count_refused(self.reason());
        match self {
            Self::NoCertificate | Self::PlainRefused if acceptor.gate.opens() => tracing::warn!("{self}"),
            _ => tracing::debug!("connection refused: {self}"),
        }
    }
}

/// Finds out what a new connection speaks.
pub(crate) async fn greet(
    acceptor: &Acceptor,
    socket: io::Result<TcpStream>,
    peer: SocketAddr,
    admission: Admission,
) -> Result<Greeted, Failed> {
    let mut socket = socket?;
    let local = socket.local_addr()?;
    prepare(&socket, acceptor.network.config.keep_alive)?;

    let prefix = in_time(acceptor, first_bytes(&mut socket)).await?;
    let (protocol, stream, prefix, tls) = if prefix.first() == Some(&TLS_HANDSHAKE) {
        let mut stream = handshake(acceptor, peer, Prefixed { prefix: prefix.freeze(), socket }).await?;
        let facts = facts(&stream);
        let (protocol, prefix) = in_time(acceptor, choose_inside(acceptor, &facts, &mut stream)).await?;
        (protocol, Stream::Tls(Box::new(stream)), prefix, Some(facts))
    } else {
        let (protocol, prefix) = in_time(acceptor, choose(acceptor, &mut socket, prefix)).await?;
        if acceptor.tls_required {
            refuse_plain(socket, protocol.plain_refused()).await;
            return Err(Failed::PlainRefused);
        }
        (protocol, Stream::Plain(socket), prefix, None)
    };
    admission.speaks(Spoken { protocol: protocol.name(), tls: tls.is_some() });
    let conn = Connection {
        peer,
        local,
        tls,
        listener: acceptor.name,
        prefix: prefix.freeze(),
        stream,
        bytes_in: metrics::counter!("sluice_net_bytes_in_total", "listener" => acceptor.name),
        bytes_out: metrics::counter!("sluice_net_bytes_out_total", "listener" => acceptor.name),
        admission: Some(admission),
        websocket: None,
        token: None,
    };
    Ok(Greeted { protocol, conn })
}

/// Answers are small and must not wait for one another; a peer that has vanished must be noticed some day.
fn prepare(socket: &TcpStream, keep_alive: Duration) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let probes =
        TcpKeepalive::new().with_time(keep_alive).with_interval(Duration::from_secs(10)).with_retries(3);
    SockRef::from(socket).set_tcp_keepalive(&probes)
}

async fn in_time<T>(acceptor: &Acceptor, step: impl Future<Output = Result<T, Failed>>) -> Result<T, Failed> {
    timeout(acceptor.network.config.sniff_timeout, step).await.unwrap_or(Err(Failed::TooSlow))
}

async fn first_bytes(socket: &mut TcpStream) -> Result<BytesMut, Failed> {
    socket.readable().await?; // an idle socket has no buffer yet
    let mut prefix = BytesMut::new();
    read_more(socket, &mut prefix).await?;
    Ok(prefix)
}

async fn read_more(stream: &mut (impl AsyncRead + Unpin), prefix: &mut BytesMut) -> Result<(), Failed> {
    prefix.reserve(MAX_PREFIX - prefix.len().min(MAX_PREFIX));
    let room = MAX_PREFIX - prefix.len().min(MAX_PREFIX);
    match stream.take(room as u64).read_buf(prefix).await {
        Ok(0) => Err(Failed::Silent),
        Ok(_) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads until it is clear whose wire this is.
async fn choose(
    acceptor: &Acceptor,
    stream: &mut (impl AsyncRead + Unpin),
    mut prefix: BytesMut,
) -> Result<(Arc<dyn Protocol>, BytesMut), Failed> {
    loop {
        match detect::choose(&acceptor.protocols, &prefix) {
            Choice::Chosen(protocol) => return Ok((protocol, prefix)),
            Choice::Nobody => return Err(Failed::UnknownProtocol),
            Choice::More => read_more(stream, &mut prefix).await?,
        }
    }
}

/// Inside TLS an agreed ALPN name settles it; else the first bytes do, as outside.
async fn choose_inside(
    acceptor: &Acceptor,
    facts: &TlsFacts,
    stream: &mut TlsStream<Prefixed>,
) -> Result<(Arc<dyn Protocol>, BytesMut), Failed> {
    let agreed = facts.alpn.as_deref().and_then(|name| detect::by_alpn(&acceptor.protocols, name));
    match agreed {
        Some(protocol) => Ok((protocol, BytesMut::new())),
        None => choose(acceptor, stream, BytesMut::new()).await,
    }
}

async fn handshake(
    acceptor: &Acceptor,
    peer: SocketAddr,
    socket: Prefixed,
) -> Result<TlsStream<Prefixed>, Failed> {
    let network = &acceptor.network;
    let tls = network.tls.as_ref().ok_or(Failed::NoCertificate)?;
    let shake = async {
        let _turn = network.handshakes.take(peer.ip()).await;
        let config = tls.server_config(&acceptor.alpn).map_err(|e| Failed::Handshake(e.to_string()))?;
        let done = TlsAcceptor::from(config).accept(socket).await;
        done.map_err(|e| Failed::Handshake(e.to_string()))
    };
    let shaken = timeout(network.config.handshake_timeout, Box::pin(shake)).await;
    let shaken = shaken.unwrap_or_else(|_| Err(Failed::Handshake("it took too long".to_owned())));
    if shaken.is_err() {
        metrics::counter!("sluice_net_tls_handshakes_failed_total", "listener" => acceptor.name).increment(1);
    }
    shaken
}

fn facts(stream: &TlsStream<Prefixed>) -> TlsFacts {
    let session = stream.get_ref().1;
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => TlsVersion::V1_2,
        _ => TlsVersion::V1_3, // no other is enabled
    };
    TlsFacts {
        sni: session.server_name().map(Arc::from),
        alpn: session.alpn_protocol().map(Bytes::copy_from_slice),
        version,
        client_cert: session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|c| c.clone().into_owned()),
    }
}

/// Says no in the wire's own words.
async fn refuse_plain(mut socket: TcpStream, words: Option<Bytes>) {
    let goodbye = async {
        if let Some(words) = words {
            socket.write_all(&words).await?;
        }
        socket.shutdown().await?;
        let mut discarded = BytesMut::new();
        let mut total = 0;
        while total < REFUSAL_DISCARD {
            discarded.clear();
            match socket.read_buf(&mut discarded).await? {
                0 => break,
                n => total += n,
            }
        }
        io::Result::Ok(())
    };
    let _ = timeout(REFUSAL_LINGER, goodbye).await; // it is refused either way
}
