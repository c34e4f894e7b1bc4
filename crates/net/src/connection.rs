//! One client's byte stream: plain or TLS, with the sniffed bytes back in front.
//!
//! A front-end must not care how bytes arrived. The one idea to know: the prefix that detection read is served first,
//! so a protocol sees the stream from its first byte.
//!
//! How the stream comes about is `accept.rs`; TLS settings are `tls.rs`.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use metrics::Counter;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::limits::Admission;
use crate::open_connections::Spoken;

/// What is known of a connection from its TLS handshake.
#[derive(Clone, Debug)]
pub struct TlsFacts {
    /// The host name that the client asked for.
    pub sni: Option<Arc<str>>,
    /// The ALPN name that was agreed.
    pub alpn: Option<Bytes>,
    /// The version that was agreed.
    pub version: TlsVersion,
    /// The client's own certificate, verified against `tls.client_ca`.
    pub client_cert: Option<CertificateDer<'static>>,
}

/// The TLS versions that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// An accepted connection, as a protocol gets it.
pub struct Connection {
    /// The client's address.
    pub peer: SocketAddr,
    /// Our address, as this client reached it.
    pub local: SocketAddr,
    /// `None` on a plain connection.
    pub tls: Option<TlsFacts>,
    /// Name of the listener that accepted it.
    pub listener: &'static str,
    pub(crate) prefix: Bytes,
    pub(crate) stream: Stream,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
    /// Gives the place under the connection limits back when dropped.
    pub(crate) admission: Option<Admission>,
    /// The bytes come in WebSocket messages; how long it may be quiet before it is pinged.
    pub(crate) websocket: Option<Duration>,
    /// What the client showed before this wire had the connection.
    pub(crate) token: Option<String>,
}

/// The transport.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Prefixed>>),
}

/// A socket from which some bytes were already read.
pub(crate) struct Prefixed {
    pub(crate) prefix: Bytes,
    pub(crate) socket: TcpStream,
}

impl Connection {
    /// A plain connection around a connected socket, outside any listener: for tests of a front-end.
    pub fn plain(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        Ok(Self {
            peer: socket.peer_addr()?,
            local: socket.local_addr()?,
            tls: None,
            listener: "none",
            prefix: Bytes::new(),
            stream: Stream::Plain(socket),
            bytes_in: Counter::noop(),
            bytes_out: Counter::noop(),
            admission: None,
            websocket: None,
            token: None,
        })
    }

    /// The same connection after an HTTP request has turned it into a WebSocket: a framed wire is served over it as over
    /// any other, its frames in messages. `read` was read from it and not used; a quiet client is pinged after `ping_every`.
    pub fn into_websocket(mut self, read: Bytes, ping_every: Duration) -> Self {
        self.prefix =
            if self.prefix.is_empty() { read } else { [&read[..], &self.prefix[..]].concat().into() };
        self.websocket = Some(ping_every);
        self
    }

    /// The same connection with a token that its client has shown already: worth as much as one in the wire's own words.
    pub fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// A token that its client has shown before this wire had the connection.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Its number among the [open connections](crate::OpenConnections); none outside any listener.
    pub fn number(&self) -> Option<u64> {
        self.admission.as_ref().map(Admission::number)
    }

    /// Another protocol than the one that accepted it has it from now on.
    pub fn now_speaks(&self, protocol: &'static str) {
        if let Some(admission) = &self.admission {
            admission.speaks(Spoken { protocol, tls: self.tls.is_some() });
        }
    }

    /// The client's own certificate, if it showed one.
    pub fn client_cert(&self) -> Option<&CertificateDer<'static>> {
        self.tls.as_ref()?.client_cert.as_ref()
    }

    /// The host name that the client asked for in TLS.
    pub fn sni(&self) -> Option<&str> {
        self.tls.as_ref()?.sni.as_deref()
    }
}

/// Serves what is left of `prefix`; `false` when there is nothing left.
fn read_prefix(prefix: &mut Bytes, buf: &mut ReadBuf<'_>) -> bool {
    if prefix.is_empty() {
        return false;
    }
    let n = prefix.len().min(buf.remaining());
    buf.put_slice(&prefix.split_to(n));
    if prefix.is_empty() {
        *prefix = Bytes::new(); // lets the sniff buffer go
    }
    true
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let this = &mut *self;
        if !read_prefix(&mut this.prefix, buf) {
            std::task::ready!(match &mut this.stream {
                Stream::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
                Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
            })?;
        }
        this.bytes_in.increment((buf.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let n = std::task::ready!(match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
        })?;
        self.bytes_out.increment(n as u64);
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let n = std::task::ready!(match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, bufs),
        })?;
        self.bytes_out.increment(n as u64);
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(socket) => socket.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if read_prefix(&mut this.prefix, buf) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
