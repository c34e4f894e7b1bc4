//! The server: from a configuration to running front-ends, and back to a clean stop.
//!
//! It is the only crate that names every protocol. The one idea to know: this is a library with a small `main.rs` on
//! top, so that a test can start a whole server in its own process, on free ports.

pub mod config;
