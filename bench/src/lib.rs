//! What is measured inside one process, without a clock or without a network.
//!
//! Two programs share it. `trace` sends fixed requests through a front-end, the broker and the log, and is what counts of
//! instructions and allocations are taken of (`cargo xtask counts`). `growth` looks at what becomes slower or larger when
//! there is more of something (`cargo xtask bench growth`). The one idea to know: the trace's node has no threads, no disk
//! and no clock, so that it does the same each time.
//!
//! Throughput and latency are measured from outside, by `crates/xtask/src/bench` with `crates/load`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "measuring tools")]

pub mod allocations;
pub mod front_end;
pub mod growth;
pub mod traces;
