//! The server: from a configuration to running front-ends, and back to a clean stop.
//!
//! It is the only crate that names every protocol. The one idea to know: this is a library with a small `main.rs` on
//! top, so that a test can start a whole server in its own process, on free ports.
//!
//! - `config` — the settings, their layers, their history; `cli` — flags and verbs
//! - `server` — [`Server`]: start, reload, shut down; `access` — the first users; `failure` — exit codes
//! - `doctor` — looking after a data folder while no broker runs; `backup` — a copy of it, also of a running one
//! - `dev_cert` — certificates for a first try
//! - `logging`, `recorder`, `signals` — what a process shares: its log, its numbers, its signals
//!
//! What a message is and what may be done with it is the business of `broker` and below.

pub mod access;
pub mod backup;
pub mod cli;
pub mod config;
mod connections;
pub mod dev_cert;
pub mod doctor;
pub mod failure;
pub mod logging;
mod recorder;
mod server;
pub mod signals;

pub use server::Server;
