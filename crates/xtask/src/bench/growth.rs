//! The growth curves: those of one process from the program `growth`, and the one that needs a network, of connections.

use super::subject::{Plan, Subject};
use super::table::Spread;
use super::usage;
use crate::load::wires::Remoting;
use crate::load::{Broker, Line, Settings, Wire};
use crate::shell::{self, Result, cargo, command, output, target};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scale {
    /// Seconds.
    Small,
    /// A minute or two.
    Medium,
    /// Some minutes and some gigabytes: as far as is promised.
    Full,
}

/// One curve, and what its slope may be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Growth {
    pub what: String,
    pub against: String,
    pub points: Vec<(f64, f64)>,
    pub exponent: f64,
    pub limit: Option<f64>,
    /// How much more one more takes, between the first size and the last, and how much it may.
    #[serde(default)]
    pub each: f64,
    #[serde(default)]
    pub most_each: Option<f64>,
}

/// The slope up to which something is unchanged.
const UNCHANGED: f64 = 0.1;
/// What a connection may take that nobody uses.
pub const IDLE_KIB: f64 = 16.0;

impl Growth {
    /// Nothing where nothing is promised.
    pub fn is_kept(&self) -> Option<bool> {
        let slope = self.limit.map(|limit| self.exponent <= limit);
        let each = self.most_each.map(|most| self.each <= most);
        [slope, each].into_iter().flatten().reduce(|a, b| a && b)
    }

    /// In words.
    pub fn promised(&self) -> String {
        let slope = self.limit.map(|limit| format!("<= {limit}"));
        let each = self.most_each.map(|most| format!("{:.1} each, <= {most}", self.each));
        [slope, each].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    fn print(&self) {
        let verdict = match self.is_kept() {
            Some(true) => format!("kept ({})", self.promised()),
            Some(false) => format!("NOT KEPT ({})", self.promised()),
            None => "printed only".to_owned(),
        };
        let points: Vec<String> = self.points.iter().map(|(x, y)| format!("{x:.0}: {y:.0}")).collect();
        println!(
            "{:<42} against {:<28} exponent {:>6.3}  {verdict:<40} {}",
            self.what,
            self.against,
            self.exponent,
            points.join(", ")
        );
    }
}

/// All of them.
pub fn measure(folder: &Path, scale: Scale, plan: &Plan) -> Result<Vec<Growth>> {
    shell::run(cargo(&["build", "--release", "--quiet", "--package", "sluice-bench", "--bin", "growth"]))?;
    let name = match scale {
        Scale::Small => "small",
        Scale::Medium => "medium",
        Scale::Full => "full",
    };
    let mut run = command(target().join("release/growth"), &[]);
    run.arg(folder.join("growth")).arg(name);
    let mut all: Vec<Growth> = serde_json::from_str(&output(run)?)?;
    all.extend(connections(&folder.join("connections"), scale, plan)?);
    println!();
    all.iter().for_each(Growth::print);
    Ok(all)
}

/// What is broken of what was promised.
pub fn verdict(all: &[Growth]) -> Result {
    let steep: Vec<String> = all
        .iter()
        .filter(|growth| growth.is_kept() == Some(false))
        .map(|growth| format!("{} against {}", growth.what, growth.against))
        .collect();
    if steep.is_empty() { Ok(()) } else { Err(format!("more than promised: {}", steep.join("; ")).into()) }
}

/// Idle connections beside 64 that send.
fn connections(folder: &Path, scale: Scale, plan: &Plan) -> Result<Vec<Growth>> {
    let counts: &[usize] = match scale {
        Scale::Small => &[10, 100, 1000],
        _ => &[10, 100, 1000, 10_000],
    };
    shell::raise_descriptor_limit();
    std::fs::create_dir_all(folder)?;
    let mut settings = Settings::in_folder(folder);
    for limit in ["NET__MAX_CONNECTIONS", "NET__MAX_CONNECTIONS_PER_IP"] {
        settings.set(&format!("SLUICE_{limit}"), "25000");
    }
    let broker = Broker::start(&settings)?;
    let sends = Subject::of(&broker, "remoting sends beside idle connections", "remoting", "remoting")?;
    sends.measure(plan, None)?;
    let mut idle: Vec<Line> = Vec::new();
    let (mut times, mut memory, mut kib) = (Vec::new(), Vec::new(), 0);
    for count in counts {
        let before = settled(broker.id())?;
        // Those from before are heard of again, so that nobody gives them up.
        idle.iter_mut().try_for_each(one_message)?;
        while idle.len() < *count {
            let mut line = Line::open(sends.address)?;
            one_message(&mut line)?;
            idle.push(line);
        }
        kib += settled(broker.id())?.saturating_sub(before);
        memory.push((*count as f64, kib.max(1) as f64));
        let cpu =
            (0..plan.repeats).map(|_| Ok(sends.measure(plan, None)?.cpu_us)).collect::<Result<Vec<_>>>()?;
        times.push((*count as f64, Spread::of(cpu).median));
    }
    let curve = |what: &str, points: Vec<(f64, f64)>, limit, most_each| Growth {
        what: what.to_owned(),
        against: "idle connections".to_owned(),
        exponent: slope(&points),
        each: each(&points),
        points,
        limit,
        most_each,
    };
    Ok(vec![
        curve("us of CPU of a send", times, Some(UNCHANGED), None),
        // The first hundred take what is free already, so a slope says nothing; what each takes is what is promised.
        curve("KiB resident", memory, None, Some(IDLE_KIB)),
    ])
}

/// Makes a connection one of a client that speaks.
fn one_message(line: &mut Line) -> Result {
    let mut request = Vec::new();
    Remoting.request("bench-idle", b"x", &mut request);
    line.write(&request)?;
    line.read(|bytes| Remoting.answer(bytes)).map(drop)
}

/// Resident memory, once it does not change for a moment.
fn settled(process: u32) -> Result<u64> {
    let mut last = usage::resident_kib(process)?;
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(250));
        let now = usage::resident_kib(process)?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last)
}

/// How much more one more takes.
fn each(points: &[(f64, f64)]) -> f64 {
    let ends = points.first().zip(points.last());
    ends.map_or(0.0, |((x, y), (last_x, last_y))| (last_y - y) / (last_x - x))
}

/// Of the line that fits best on logarithmic axes.
fn slope(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.max(1.0).ln(), y.max(1e-9).ln())).collect();
    let n = logs.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    logs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>()
        / logs.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_that_is_steeper_than_promised_is_an_error() {
        let points = vec![(1.0, 1.0), (10.0, 10.0), (100.0, 100.0)];
        assert!((slope(&points) - 1.0).abs() < 1e-9);
        let growth = |limit| Growth {
            what: "x".into(),
            against: "y".into(),
            points: points.clone(),
            exponent: slope(&points),
            limit,
            each: each(&points),
            most_each: None,
        };
        assert!(verdict(&[growth(Some(1.1)), growth(None)]).is_ok());
        assert!(verdict(&[growth(Some(0.1))]).is_err());
        let of_each = |most| Growth { most_each: Some(most), ..growth(None) };
        assert!(verdict(&[of_each(1.0)]).is_ok());
        assert!(verdict(&[of_each(0.9)]).is_err());
    }
}
