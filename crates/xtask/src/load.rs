//! A broker as a child process, and the smallest clients that can put load on it.
//!
//! The clients here speak just enough of each wire to send and to be answered: they measure and they crash. That the
//! wires are right is proven elsewhere, by stock clients.

mod broker;
mod client;
pub mod frames;
mod generator;

pub use broker::{Broker, Settings};
pub use client::{HttpClient, Line};
pub use generator::{Load, Measured};
