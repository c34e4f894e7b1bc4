//! The messaging rules, and the one service that every front-end calls.
//!
//! It exists so that a rule is written once and holds on every wire. The one idea to know: a verb of [`Broker`] asks
//! for the [`sluice_auth::Permit`], lets the sans-I/O core decide which log entries the request amounts to, appends
//! them as one atomic group, and hands back a promise that resolves when they are as safe as asked.
//!
//! There is no socket, frame or status code here (front-ends), no file (store), no secret (auth).

mod arrivals;
pub mod body;
mod chance;
mod config;
mod core;
mod counts;
mod filters;
mod ids;
mod once;
mod packed;
mod producing;
mod promise;
mod queries;
mod queue_names;
mod receipts;
mod request;
mod service;
mod stable;
mod tuned;
mod waiting_runs;

pub use chance::Chance;
pub use config::Config;
pub use once::*;
pub use packed::{BatchFormat, Packed, PackedBatch, PulledPacked, Unpacked};
pub use producing::*;
pub use promise::Promise;
pub use queries::*;
pub use queue_names::QueueNames;
pub use request::*;
pub use service::{
    BornAt, Broker, CheckpointUnderWay, Client, ClientEvent, ConnectionList, ConnectionView, Coordinated,
    Cursor, DamageView, Holder, LostView, SessionWatch, Verb,
};
pub use sluice_store::{Durability, word_hash};
pub use tuned::{Setting, Tuned};
pub use waiting_runs::WaitingRuns;
