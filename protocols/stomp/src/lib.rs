//! STOMP 1.0, 1.1 and 1.2: the wire that scripts speak.
//!
//! It turns frames into verbs of [`sluice_broker::Broker`] and keeps what only this wire knows: subscriptions,
//! transactions, heart-beats. The one idea to know: frames of a connection are carried out in their order, and what
//! has to wait for the log waits as a future, so that a thousand pipelined SENDs share a few syncs and are answered
//! in order.
//!
//! - `frame`, `codec` — bytes to frames and back, without any meaning
//! - `session` — one connection's state, from CONNECT to goodbye; `client` — what exists once it is logged in
//! - `handlers` — one file per command; `subscription` — the push side; `transactions` — what waits for COMMIT
//! - `destination`, `convert`, `errors` — names, messages and failures, to and from the model
//! - `durable`, `mail` — what outlives a connection's subscriptions, and what does not outlive the connection
//! - `websocket` — what is different inside WebSocket messages; `heartbeat`, `config`, `wire`
//!
//! There is no message rule here (broker), no socket and no TLS (net).

mod client;
mod codec;
mod config;
mod convert;
mod destination;
mod durable;
mod errors;
mod frame;
mod handlers;
mod heartbeat;
mod mail;
mod session;
mod subscription;
mod transactions;
mod websocket;
mod wire;

pub use codec::{DecodeError, DecodeLimits, Decoder, FrameWriter, Refused, Step};
pub use config::Config;
pub use destination::{Destination, Role, display_name};
pub use frame::{Command, Frame, Version};

use bytes::Bytes;
use sluice_broker::Broker;
use sluice_net::{BoxFuture, Connection, Detect, Drain, Order, Protocol, serve_framed};
use std::sync::Arc;
use wire::Wire;

/// The front-end.
pub struct Stomp {
    wire: Arc<Wire>,
}

impl Stomp {
    /// A front-end to this broker.
    pub fn new(broker: Broker, mut config: Config) -> Self {
        // The decoder refuses first, in the wire's words; the loop's own guard must not come before it.
        let frame = config.max_head.bytes() + broker.config().max_message_size.bytes();
        config.connection.max_frame = config.connection.max_frame.max(frame.saturating_add(64 << 10));
        Self { wire: Arc::new(Wire::new(broker, config)) }
    }
}

impl Protocol for Stomp {
    fn name(&self) -> &'static str {
        "stomp"
    }

    fn detect(&self, prefix: &[u8]) -> Detect {
        detect(prefix)
    }

    fn websocket_protocols(&self) -> &[&'static str] {
        websocket::PROTOCOLS
    }

    fn serve(self: Arc<Self>, conn: Connection, drain: Drain) -> BoxFuture<'static, ()> {
        let session = session::StompSession::new(self.wire.clone(), &conn);
        let limits = self.wire.config.connection.clone();
        Box::pin(serve_framed(conn, session, Order::InOrder, limits, drain))
    }

    fn plain_refused(&self) -> Option<Bytes> {
        let detail = "this port takes TLS connections only";
        Some(errors::error_frame(None, "TLS required", detail, None, &[]).to_bytes())
    }
}

/// `CONNECT` or `STOMP` and the end of the line, perhaps after empty lines; `CONNECT ` is for an HTTP proxy.
fn detect(prefix: &[u8]) -> Detect {
    let noise = prefix.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
    let words = prefix.get(noise..).unwrap_or_default();
    if noise > 0 && prefix.contains(&b'\n') {
        return Detect::Yes; // no other wire begins with an empty line
    }
    for command in [&b"CONNECT"[..], b"STOMP"] {
        match words.strip_prefix(command) {
            Some([b'\n' | b'\r', ..]) => return Detect::Yes,
            Some([]) => return Detect::More,
            None if command.starts_with(words) => return Detect::More,
            _ => {}
        }
    }
    Detect::No
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stomp_is_told_from_http_and_others() {
        for (prefix, answer) in [
            ("CONNECT\n", Detect::Yes),
            ("CONNECT\r\n", Detect::Yes),
            ("STOMP\naccept", Detect::Yes),
            ("\nCONN", Detect::Yes),
            ("CONNECT", Detect::More),
            ("CON", Detect::More),
            ("S", Detect::More),
            ("\r", Detect::More),
            ("CONNECT host:443 HTTP/1.1\r\n", Detect::No),
            ("GET / HTTP/1.1", Detect::No),
            ("SEND\n", Detect::No),
            ("\u{16}\u{3}", Detect::No),
        ] {
            assert_eq!(detect(prefix.as_bytes()), answer, "{prefix:?}");
        }
    }
}
