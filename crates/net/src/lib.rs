//! Sockets in, connections out: listeners, TLS, protocol detection, limits, drain and the one loop for framed wires.
//!
//! Every front-end gets its connections from here, so that no front-end polices itself: what is accepted, how long
//! a client may dawdle, how much it may hold in memory and how the server says goodbye is decided once, in this
//! crate. The one idea to know: a front-end implements [`Protocol`] and is handed a [`Connection`] (plain or TLS, it
//! cannot tell) together with a [`Drain`]; a wire made of frames then calls [`serve_framed`] and only decodes,
//! handles and encodes; the same loop serves it inside WebSocket messages ([`Connection::into_websocket`]).
//!
//! Nothing here knows what a message is. Wires live in `protocols/*`; the binary that lists them is `crates/server`.

mod accept;
mod advertised;
mod config;
mod connection;
mod counts;
mod descriptors;
mod detect;
mod drain;
mod error;
mod framed;
mod greet;
mod limits;
mod listen_addr;
mod log_gate;
mod network;
mod open_connections;
mod protocol;
mod reactors;
mod tls;
mod turns;
mod units;
mod websocket;

pub use advertised::{Advertised, Asked};
pub use config::{CertificateFiles, ClientAuth, Config, MinTlsVersion, TlsConfig, TlsMode};
pub use connection::{Connection, TlsFacts, TlsVersion};
pub use descriptors::raise_descriptor_limit;
pub use drain::Drain;
pub use error::Error;
pub use framed::{
    Closed, Closing, Decoded, Flow, FramedHandler, FramedLimits, Order, Outbox, Outcome, Output, Reply,
    SendError, Written, serve_framed,
};
pub use futures_util::future::BoxFuture;
pub use listen_addr::ListenAddr;
pub use network::{BoundListener, Network};
pub use open_connections::{OpenConnection, OpenConnections, Spoken};
pub use protocol::{Detect, Protocol};
pub use reactors::Reactors;
pub use websocket::websocket_accept;
