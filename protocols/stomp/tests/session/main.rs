//! Whole sessions over real sockets, on a broker in memory.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod acks;
mod client;
mod connecting;
mod delivery;
mod dialects;
mod durable;
mod endings;
mod habits;
mod hostile;
mod identity;
mod limits;
mod missing;
mod sending;
mod temporary;
mod timeouts;
mod transactions;
