//! The open loop: the highest rate that a server keeps up with, and what a request waits below it.

use super::subject::{Plan, Subject};
use crate::shell::Result;
use serde::Serialize;
use std::time::Duration;

/// Beyond this p99 a server has not kept up, whatever it answered in the end.
pub const BOUND: Duration = Duration::from_millis(100);
/// Steps of the search, each of which halves what is not known yet.
const STEPS: usize = 5;
/// The closed loop's rate is where the search begins, and this is as far as it goes above.
const ABOVE: f64 = 1.2;
const PARTS: [f64; 4] = [0.25, 0.5, 0.75, 0.9];

/// Of one server.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    pub name: String,
    /// Requests a second.
    pub sustained: f64,
    pub points: Vec<Point>,
}

/// Latencies at a part of the sustained rate: those of the run whose p99 is the median.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    pub part: f64,
    /// Messages a second.
    pub per_second: f64,
    pub p50: f64,
    pub p99: f64,
    pub p99_min: f64,
    pub p99_max: f64,
    pub quantiles: Vec<(f64, f64)>,
    pub cpu_us: f64,
    pub foreign: f64,
}

/// One curve for each, with their runs in turn.
pub fn measure(subjects: &[Subject], plan: &Plan) -> Result<Vec<Curve>> {
    let mut curves = Vec::new();
    for subject in subjects {
        let sustained = search(subject, plan)?;
        println!("{:<40} keeps up with {sustained:>8.0} requests/s", subject.name);
        curves.push(Curve { name: subject.name.clone(), sustained, points: Vec::new() });
    }
    for part in PARTS {
        let mut runs = vec![Vec::new(); subjects.len()];
        for _ in 0..plan.repeats {
            for ((subject, curve), runs) in subjects.iter().zip(&curves).zip(&mut runs) {
                runs.push(subject.measure(plan, Some(part * curve.sustained))?);
            }
        }
        for (curve, mut runs) in curves.iter_mut().zip(runs) {
            runs.sort_by(|a, b| a.load.p99.total_cmp(&b.load.p99));
            let Some((median, first, last)) = runs
                .get(runs.len() / 2)
                .zip(runs.first())
                .zip(runs.last())
                .map(|((median, first), last)| (median, first, last))
            else {
                continue;
            };
            curve.points.push(Point {
                part,
                per_second: median.load.per_second,
                p50: median.load.p50,
                p99: median.load.p99,
                p99_min: first.load.p99,
                p99_max: last.load.p99,
                quantiles: median.load.quantiles.clone(),
                cpu_us: median.cpu_us,
                foreign: median.foreign,
            });
        }
    }
    print(&curves);
    Ok(curves)
}

fn search(subject: &Subject, plan: &Plan) -> Result<f64> {
    let closed = subject.measure(plan, None)?.load;
    let most = closed.per_second / closed.per_request.max(f64::MIN_POSITIVE);
    let (mut low, mut high) = (0.0, ABOVE * most);
    let mut rate = 0.9 * most;
    for _ in 0..STEPS {
        if subject.measure(plan, Some(rate))?.load.is_sustained(BOUND) {
            low = rate;
        } else {
            high = rate;
        }
        rate = f64::midpoint(low, high);
    }
    if low == 0.0 {
        return Err(format!("{}: no rate is kept up with, down to {rate:.0}/s", subject.name).into());
    }
    Ok(low)
}

fn print(curves: &[Curve]) {
    println!("\nlatency from the intended time, in ms, at parts of the highest rate that is kept up with");
    println!(
        "{:<40}{:>7}{:>11}{:>9}{:>9}{:>21}{:>9}{:>9}",
        "", "of max", "messages/s", "p50", "p99", "(min to max)", "CPU us", "foreign"
    );
    for curve in curves {
        for point in &curve.points {
            println!(
                "{:<40}{:>6.0}%{:>11.0}{:>9.2}{:>9.2}{:>21}{:>9.2}{:>8.0}%",
                curve.name,
                100.0 * point.part,
                point.per_second,
                point.p50 / 1000.0,
                point.p99 / 1000.0,
                format!("({:.2} to {:.2})", point.p99_min / 1000.0, point.p99_max / 1000.0),
                point.cpu_us,
                100.0 * point.foreign
            );
        }
    }
}
