//! What the tests of a whole server share: a server in this process, and the stock clients of each wire behind one trait.
//!
//! The clients are other people's: the Java client of RocketMQ, `stomp.py`, `curl`. Our own client would prove nothing.

mod server;
mod tool;
mod wire;
pub mod wires;

pub use server::TestServer;
pub use tool::Tool;
pub use wire::{Property, Seen, Wire, now};

use std::path::{Path, PathBuf};

/// The repository's folder.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the repository").to_owned()
}
