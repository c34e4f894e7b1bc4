//! What came of a run, as numbers and as JSON for whoever started it.

use crate::{Load, Pace, Result};
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which parts of the latencies are told.
const QUANTILES: [f64; 14] =
    [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999, 1.0];

/// Latencies are in microseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Messages answered a second.
    pub per_second: f64,
    /// Messages of one request.
    pub per_request: f64,
    /// In the open loop: requests that should have been sent a second.
    pub intended: Option<f64>,
    /// Requests that were due and not answered at the end.
    pub left: u64,
    /// Of all requests due, those that were left are this part.
    pub left_part: f64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    /// Quantile and latency.
    pub quantiles: Vec<(f64, f64)>,
    /// How many latencies there are.
    pub count: u64,
    /// What the load generator itself used of a processor, in seconds.
    pub own_cpu: f64,
}

impl Report {
    pub(crate) fn new(
        per_second: f64,
        per_request: f64,
        left: u64,
        due: Option<u64>,
        latencies: &Histogram<u64>,
        load: &Load<'_>,
    ) -> Self {
        let at = |quantile: f64| latencies.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            per_second,
            per_request,
            intended: match load.pace {
                Pace::Closed => None,
                Pace::Open(rate) => Some(rate),
            },
            left,
            left_part: due.map_or(0.0, |due| left as f64 / (due as f64).max(1.0)),
            p50: at(0.5),
            p99: at(0.99),
            max: latencies.max() as f64 / 1000.0,
            quantiles: QUANTILES.map(|quantile| (quantile, at(quantile))).to_vec(),
            count: latencies.len(),
            own_cpu: own_cpu().as_secs_f64(),
        }
    }

    /// A run at this rate could go on for ever: everything was sent in time, and what was left had just been sent.
    pub fn is_sustained(&self, bound: Duration) -> bool {
        let Some(intended) = self.intended else { return true };
        let kept_up = self.per_second >= 0.98 * intended * self.per_request;
        let fresh = self.left as f64 <= intended * bound.as_secs_f64();
        kept_up && fresh && self.p99 <= bound.as_secs_f64() * 1e6
    }

    /// Reads what a load process printed.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(serde_json::from_str(text).map_err(|error| format!("the load process said {text:?}: {error}"))?)
    }
}

/// User and system time of this process.
fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
