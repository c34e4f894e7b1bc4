//! Whether the machine is quiet enough to measure on.
//!
//! Nobody else may use the processors while something is measured, and where others do, nobody notices from the numbers
//! alone. So what others used is a number beside each run: a run begins when they use little, and one in which they used
//! too much is thrown away.

use super::usage;
use crate::shell::Result;
use std::time::{Duration, Instant};

/// Others may use so much of all processors before a run begins.
const BEFORE: f64 = 0.08;
/// And so much during one that counts.
pub const DURING: f64 = 0.12;
const LOOK: Duration = Duration::from_millis(500);

/// How much noise is borne with.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    /// Runs on a noisy machine count, too: to try the bench itself.
    pub accepts_noise: bool,
    /// How long to wait for quiet before a run.
    pub patience: Duration,
}

impl Gate {
    /// Waits until the machine is quiet, or no longer.
    pub fn wait(&self) -> Result {
        let until = Instant::now() + self.patience;
        while !self.accepts_noise && Instant::now() < until {
            let watch = Watch::start()?;
            std::thread::sleep(LOOK);
            if watch.foreign(Duration::ZERO)? < BEFORE {
                return Ok(());
            }
        }
        Ok(())
    }

    pub fn bears(&self, foreign: f64) -> bool {
        self.accepts_noise || foreign <= DURING
    }
}

/// Watches the processors from now on.
pub struct Watch {
    busy: Duration,
    all: Duration,
}

impl Watch {
    pub fn start() -> Result<Self> {
        let (busy, all) = usage::machine()?;
        Ok(Self { busy, all })
    }

    /// The part of all processors that others used, when we used `own`.
    pub fn foreign(&self, own: Duration) -> Result<f64> {
        let (busy, all) = usage::machine()?;
        let others = (busy - self.busy).saturating_sub(own);
        Ok(others.as_secs_f64() / (all - self.all).as_secs_f64().max(0.001))
    }
}
