//! The simulation of a whole node: builds it fast, but with every assertion, and runs seeds.
//!
//! The program is `crates/sim`. `SEED=n` replays one seed, with `SHOW=1` step by step.

use crate::shell::{self, Result, cargo, target};

pub fn build() -> Result {
    shell::run(cargo(&["build", "--quiet", "--profile", "sim", "--package", "sluice-sim"]))
}

/// Runs the fixed seeds, then fresh ones until the time is over.
pub fn run(minutes: u64, fixed: u64) -> Result {
    build()?;
    let program = target().join("sim").join("sluice-sim");
    let (fixed, seconds) = (fixed.to_string(), (minutes * 60).to_string());
    shell::run(shell::command(program, &["--fixed", &fixed, "--seconds", &seconds]))
}
