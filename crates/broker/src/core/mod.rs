//! The broker's state as a fold over its log: no I/O, no clock of its own, never waits.
//!
//! A verb asks the core what a request amounts to (`plan_*`, given the time), appends the [`record::Record`]s it gets,
//! and applies them. At start the same records come back from the log and are applied again, so the state after a
//! crash is the state before it.

pub(crate) mod catalog;
pub(crate) mod life;
pub(crate) mod marks;
pub(crate) mod members;
pub(crate) mod notes;
pub(crate) mod once;
pub(crate) mod producers;
pub(crate) mod progress;
pub(crate) mod record;
pub(crate) mod saving;
pub(crate) mod sequences;
pub(crate) mod spans;
pub(crate) mod state;
pub(crate) mod table;
pub(crate) mod timers;
pub(crate) mod transactions;
pub(crate) mod window;
