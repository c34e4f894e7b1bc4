//! What a front-end is to the network.
//!
//! A wire is chosen by its first bytes, so that several can share one port. The one idea to know: `detect` is a pure
//! function of a prefix, and the bytes it looked at are put back in front of the connection.
//!
//! Who asks these questions is `detect.rs` and `accept.rs`.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{Connection, Drain};

/// A front-end's answer to "are these bytes yours?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detect {
    /// These bytes can only be mine.
    Yes,
    /// These bytes cannot be mine.
    No,
    /// Could be mine; show me more.
    More,
}

/// A wire that this server speaks.
pub trait Protocol: Send + Sync + 'static {
    /// Short lower-case name for logs and metrics: `stomp`, `http`, `remoting`.
    fn name(&self) -> &'static str;

    /// Whether a connection that begins with `prefix` (at least one byte, decrypted) speaks this wire.
    ///
    /// Asked only where several protocols share a port; must be pure and cheap.
    fn detect(&self, prefix: &[u8]) -> Detect;

    /// ALPN names, best first, that this wire answers to inside TLS.
    fn alpn(&self) -> &[&'static [u8]] {
        &[]
    }

    /// WebSocket sub-protocols, best first, that this wire answers to inside WebSocket messages.
    fn websocket_protocols(&self) -> &[&'static str] {
        &[]
    }

    /// Serves one connection to its end. Returns when the connection is closed, by whichever side.
    fn serve(self: Arc<Self>, conn: Connection, drain: Drain) -> BoxFuture<'static, ()>;

    /// The wire's own error for a client that speaks plain text where TLS is required; `None` closes without a word.
    fn plain_refused(&self) -> Option<Bytes> {
        None
    }
}
