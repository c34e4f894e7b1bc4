//! A broker as a child process, clients for it, and the load generator as a process of its own.
//!
//! The clients here speak just enough of each wire to send and to be answered: they measure and they crash. That the
//! wires are right is proven elsewhere, by stock clients. The wires themselves are in `crates/load`.

mod broker;
mod client;
mod process;

pub use broker::{Broker, Settings};
pub use client::{HttpClient, Line};
pub use process::{Order, Shape, build as build_generator};
pub use sluice_load::{Wire, wires};
