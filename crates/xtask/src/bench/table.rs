//! Rows of repeated runs, and ratios between them beside what was promised.

use super::subject::{Plan, Sample, Subject};
use crate::shell::Result;
use serde::Serialize;

/// What was measured together, in turn.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    pub title: String,
    pub rows: Vec<Row>,
}

/// The same run again and again.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub name: String,
    pub runs: Vec<Sample>,
}

/// Of several values of the same.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// A number beside the one that was promised.
#[derive(Debug, Clone, Serialize)]
pub struct Ratio {
    pub what: String,
    pub reached: f64,
    pub target: f64,
    /// Otherwise it is a limit from above.
    pub at_least: bool,
}

impl Table {
    /// All subjects in turn, again and again; each second round backwards, for who comes second finds another disk.
    pub fn measure(title: &str, subjects: &[Subject], plan: &Plan) -> Result<Self> {
        let mut rows: Vec<Row> =
            subjects.iter().map(|subject| Row { name: subject.name.clone(), runs: Vec::new() }).collect();
        // Fills caches, allocators, and whatever compiles while it runs.
        for subject in subjects {
            subject.measure(
                &Plan { gate: super::quiet::Gate { accepts_noise: true, ..plan.gate }, ..*plan },
                None,
            )?;
        }
        for round in 0..plan.repeats {
            let mut order: Vec<usize> = (0..subjects.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for at in order {
                let (Some(subject), Some(row)) = (subjects.get(at), rows.get_mut(at)) else { continue };
                row.runs.push(subject.measure(plan, None)?);
            }
        }
        let table = Self { title: title.to_owned(), rows };
        table.print();
        Ok(table)
    }

    pub fn row(&self, name: &str) -> Result<&Row> {
        self.rows.iter().find(|row| row.name == name).ok_or_else(|| format!("no row {name}").into())
    }

    /// What one row reached, as a part of another.
    pub fn ratio(&self, of: &str, by: &str, value: fn(&Sample) -> f64) -> Result<f64> {
        Ok(self.row(of)?.spread(value).median / self.row(by)?.spread(value).median)
    }

    pub fn print(&self) {
        println!("\n{}", self.title);
        println!(
            "{:<40}{:>10}{:>21}{:>9}{:>9}{:>9}{:>9}{:>8}{:>8}{:>9}",
            "",
            "msg/s",
            "(min to max)",
            "p50 ms",
            "p99 ms",
            "CPU us",
            "switches",
            "written",
            "MiB",
            "foreign"
        );
        for row in &self.rows {
            let rate = row.spread(rate);
            let of = |value: fn(&Sample) -> f64| row.spread(value).median;
            println!(
                "{:<40}{:>10.0}{:>21}{:>9.2}{:>9.2}{:>9.2}{:>9.2}{:>8.2}{:>8.0}{:>8.0}%{}",
                row.name,
                rate.median,
                format!("({:.0} to {:.0})", rate.min, rate.max),
                of(p50) / 1000.0,
                of(p99) / 1000.0,
                of(cpu),
                of(|sample| sample.switches),
                of(|sample| sample.written_per_byte),
                of(resident),
                100.0 * row.spread(|sample| sample.foreign).max,
                row.noise(),
            );
        }
    }
}

impl Row {
    pub fn spread(&self, value: impl Fn(&Sample) -> f64) -> Spread {
        Spread::of(self.runs.iter().map(value).collect())
    }

    /// What to say of a row that is not to be trusted.
    fn noise(&self) -> String {
        let noisy = self.runs.iter().filter(|run| run.foreign > super::quiet::DURING).count();
        let thrown: usize = self.runs.iter().map(|run| run.thrown_away).sum();
        match (noisy, thrown) {
            (0, 0) => String::new(),
            (0, thrown) => format!("  ({thrown} noisy runs thrown away)"),
            (noisy, _) => format!("  NOISY: {noisy} of {} runs", self.runs.len()),
        }
    }
}

impl Spread {
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |at: usize| values.get(at).copied().unwrap_or(f64::NAN);
        Self { median: at(values.len() / 2), min: at(0), max: at(values.len().saturating_sub(1)) }
    }
}

impl Ratio {
    pub fn at_least(what: impl Into<String>, reached: f64, target: f64) -> Self {
        Self { what: what.into(), reached, target, at_least: true }
    }

    pub fn at_most(what: impl Into<String>, reached: f64, target: f64) -> Self {
        Self { what: what.into(), reached, target, at_least: false }
    }

    pub fn is_reached(&self) -> bool {
        if self.at_least { self.reached >= self.target } else { self.reached <= self.target }
    }

    pub fn print_all(ratios: &[Self]) {
        println!();
        for ratio in ratios {
            let sign = if ratio.at_least { ">=" } else { "<=" };
            let mark = if ratio.is_reached() { "reached" } else { "NOT reached" };
            println!("{:<78}{:>9.3}  target {sign} {:<8.3}{mark}", ratio.what, ratio.reached, ratio.target);
        }
    }
}

pub fn rate(sample: &Sample) -> f64 {
    sample.load.per_second
}

pub fn cpu(sample: &Sample) -> f64 {
    sample.cpu_us
}

pub fn p50(sample: &Sample) -> f64 {
    sample.load.p50
}

pub fn p99(sample: &Sample) -> f64 {
    sample.load.p99
}

pub fn resident(sample: &Sample) -> f64 {
    sample.resident_mib
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert!(Ratio::at_most("x", 1.0, 1.0).is_reached() && !Ratio::at_least("x", 0.9, 1.0).is_reached());
    }
}
