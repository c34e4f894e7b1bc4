//! The connections that are open now, for whoever runs the server.
//!
//! An operator asks who is connected, and from where. The one idea to know: an entry comes and goes with a connection's
//! place under the limits, so that there are never more entries than connections may be.
//!
//! Places are given in `limits.rs`. Who a connection acts for is not known here: front-ends tell it elsewhere, by number.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::limits::Limits;

/// One connection.
#[derive(Clone, Debug)]
pub struct OpenConnection {
    /// Counted from 1 in the order in which they came; no later one of this process has it again.
    pub number: u64,
    /// The client's address.
    pub peer: SocketAddr,
    /// Name of the listener that accepted it.
    pub listener: &'static str,
    /// When it was accepted.
    pub opened: Instant,
    /// What it speaks, once its first bytes have told.
    pub spoken: Option<Spoken>,
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// The protocol's name.
    pub protocol: &'static str,
    /// Whether it is inside TLS.
    pub tls: bool,
}

/// A handle to the list of connections; cloning is cheap.
#[derive(Clone)]
pub struct OpenConnections(pub(crate) Arc<Limits>);

impl OpenConnections {
    /// So many connections in the order of their numbers, from the first one after `number`.
    pub fn after(&self, number: u64, limit: usize) -> Vec<OpenConnection> {
        self.0.open_after(number, limit)
    }

    /// Tells the connection with this number to end, as at a shutdown: what is in flight is finished, and a client that
    /// takes it too slowly is cut off. False when there is none.
    pub fn close(&self, number: u64) -> bool {
        self.0.close(number)
    }
}
