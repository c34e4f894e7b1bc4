//! Whole sessions over real sockets, on a broker in memory.

mod acks;
mod client;
mod connecting;
mod delivery;
mod endings;
mod limits;
mod sending;
mod transactions;
