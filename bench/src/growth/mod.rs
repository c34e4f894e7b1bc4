//! What becomes slower, or larger, when there is more of something: each a run of four or five sizes.
//!
//! A broker is driven in one thread, and its log commits when it is told to. What is timed is the broker's own work, and
//! of many short stretches the quickest counts: whatever else the machine does can only make one slower. Memory is what is
//! allocated, counted exactly.
//!
//! The one idea to know: a promise is an exponent. "Unchanged" is a slope of 0.1 at most on logarithmic axes, "in
//! proportion" one of 1.1; absolute times are printed beside it and promise nothing. Of memory it is promised too how many
//! bytes one more item takes.

mod backlog;
mod groups;
mod leases;
mod node;
mod polls;
mod queues;
mod sizes;
mod timers;

use serde_json::{Value, json};
use std::path::Path;

/// The slope up to which something is unchanged.
pub const UNCHANGED: f64 = 0.1;
/// The slope up to which something is in proportion.
pub const IN_PROPORTION: f64 = 1.1;

/// One curve.
pub struct Growth {
    pub what: &'static str,
    pub against: &'static str,
    pub points: Vec<(f64, f64)>,
    /// What is promised, where something is.
    pub limit: Option<f64>,
    /// How much more one more may take, where that is promised.
    pub most_each: Option<f64>,
}

/// How far to go.
#[derive(Clone, Copy, PartialEq)]
pub enum Scale {
    /// Seconds: to try it, and in the tests.
    Small,
    /// A minute: most of the way.
    Medium,
    /// Some minutes and some gigabytes: as far as is promised.
    Full,
}

/// A curve's name and how it is measured, in a folder of its own.
type Run = fn(&Path, Scale) -> Vec<Growth>;

pub const RUNS: [(&str, Run); 7] = [
    ("queues", queues::run),
    ("groups", groups::run),
    ("leases", leases::run),
    ("timers", timers::run),
    ("sizes", sizes::run),
    ("polls", polls::run),
    ("backlog", backlog::run),
];

impl Growth {
    /// The slope of the line that fits best on logarithmic axes.
    pub fn exponent(&self) -> f64 {
        let logs: Vec<(f64, f64)> =
            self.points.iter().map(|(x, y)| (x.max(1.0).ln(), y.max(1e-9).ln())).collect();
        let n = logs.len() as f64;
        let (mean_x, mean_y) =
            (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
        let covariance: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        let variance: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        covariance / variance
    }

    /// How much more one more takes: between the first size and the last.
    pub fn each(&self) -> f64 {
        let Some(((x, y), (last_x, last_y))) = self.points.first().zip(self.points.last()) else {
            return 0.0;
        };
        (last_y - y) / (last_x - x)
    }

    /// What is broken of what is promised.
    pub fn broken(&self) -> Option<String> {
        let (what, exponent, each) = (self.what, self.exponent(), self.each());
        let points = &self.points;
        if self.limit.is_some_and(|limit| exponent > limit) {
            return Some(format!("{what}: exponent {exponent:.3}, {points:?}"));
        }
        self.most_each
            .filter(|most| each > *most)
            .map(|most| format!("{what}: {each:.1} each, not {most}, {points:?}"))
    }

    pub fn to_json(&self) -> Value {
        json!({
            "what": self.what, "against": self.against, "points": self.points,
            "exponent": self.exponent(), "limit": self.limit, "each": self.each(), "most_each": self.most_each,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_is_the_slope() {
        let growth = |f: fn(f64) -> f64| Growth {
            what: "",
            against: "",
            points: [1.0, 10.0, 100.0, 1000.0].map(|x| (x, f(x))).to_vec(),
            limit: None,
            most_each: Some(3.0),
        };
        assert!((growth(|x| 3.0 * x).exponent() - 1.0).abs() < 1e-9);
        assert!(growth(|_| 7.0).exponent().abs() < 1e-9);
        assert!((growth(f64::sqrt).exponent() - 0.5).abs() < 1e-9);
        assert!(growth(|x| 5.0 + 3.0 * x).broken().is_none() && growth(|x| 3.1 * x).broken().is_some());
    }
}
