//! Why the network could not be set up. After that, nothing fails but single connections.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use thiserror::Error;

/// What can go wrong before the first connection.
#[derive(Debug, Error)]
pub enum Error {
    /// The address is taken, not ours, or needs a right that this process lacks.
    #[error("cannot listen on {address} for {listener}: {source}")]
    Bind { listener: &'static str, address: String, source: io::Error },

    /// A host name in a listen value did not resolve.
    #[error("cannot resolve {address} for {listener}: {source}")]
    Resolve { listener: &'static str, address: String, source: io::Error },

    /// A certificate, key or client CA file cannot be used.
    #[error("tls file {path}: {reason}")]
    TlsFile { path: PathBuf, reason: String },

    /// The TLS settings contradict each other.
    #[error("tls settings: {0}")]
    TlsSettings(String),

    /// The operating system refused a thread or a runtime.
    #[error("cannot start a reactor: {0}")]
    Reactor(io::Error),

    /// A socket that was just bound cannot be used.
    #[error("cannot accept on {address}: {source}")]
    Accept { address: SocketAddr, source: io::Error },
}
