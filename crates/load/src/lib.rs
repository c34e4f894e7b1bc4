//! The load generator: one program for all wires, in a closed loop or by a schedule.
//!
//! It exists so that every broker is measured by the same code, as a process of its own whose cost is not the broker's.
//! The one idea to know: in the open loop a request has an intended time, and its latency counts from there, whether or
//! not anybody was ready to send it; a server that stalls cannot make the load wait for it and so look fast.
//!
//! - `wire` — what the generator needs of a wire; `wires` — requests and answers as bytes, written by hand
//! - `socket` — one connection; `load` — the loop, open or closed; `report` — what came of it
//!
//! What is measured beside it, and against what, is `crates/xtask/src/bench`.

#[cfg(feature = "generator")]
mod load;
#[cfg(feature = "generator")]
mod report;
#[cfg(feature = "generator")]
mod schedule;
#[cfg(feature = "generator")]
mod socket;
mod wire;
pub mod wires;

#[cfg(feature = "generator")]
pub use load::{Load, Pace};
#[cfg(feature = "generator")]
pub use report::Report;
pub use wire::{Wire, contains, find, length_prefixed};

use std::error::Error;

pub type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;
