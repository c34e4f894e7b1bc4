//! RocketMQ's own Java client as the load, on every broker the same.
//!
//! The client is the limit here, so what counts is what the server used for each message, and how long an answer or a
//! delivery took. The one idea to know: the program (`tests/interop/java`, its command `load`) starts, connects and warms up
//! by itself, and says when the part begins that counts.

use super::quiet::Watch;
use super::subject::{Plan, Sample};
use super::table::{Row, Table};
use super::usage;
use crate::shell::{Result, command, root};
use sluice_load::Report;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Whatever hangs ends then: the program's own limit, and the time that Maven may take for it.
const LIMIT_SECONDS: &str = "600";
/// What compiles while it runs has compiled by then.
const WARM_UP: Duration = Duration::from_secs(4);
const BODY: usize = 1024;

/// A broker, and who serves it.
pub struct Target {
    pub name: &'static str,
    pub name_server: SocketAddr,
    pub processes: Vec<u32>,
}

/// Sends as fast as 64 threads of one producer go, or with a `rate` also their consumption.
pub fn measure(title: &str, targets: &[Target], rate: Option<u32>, plan: &Plan) -> Result<Table> {
    let mut rows: Vec<Row> =
        targets.iter().map(|target| Row { name: target.name.to_owned(), runs: Vec::new() }).collect();
    for _ in 0..plan.repeats {
        for (target, row) in targets.iter().zip(&mut rows) {
            plan.gate.wait()?;
            row.runs.push(run(target, rate, plan.each).map_err(|error| format!("{}: {error}", target.name))?);
        }
    }
    let table = Table { title: title.to_owned(), rows };
    table.print();
    Ok(table)
}

fn run(target: &Target, rate: Option<u32>, each: Duration) -> Result<Sample> {
    static RUN: AtomicU32 = AtomicU32::new(0);
    let topic = format!("bench-java-{}", RUN.fetch_add(1, Ordering::Relaxed));
    let script = root().join("tests/interop/java/run.sh");
    let mut load = command("timeout", &[LIMIT_SECONDS]);
    load.arg(script).args(["--", "load", "--topic", &topic]);
    for (name, value) in [
        ("--body", BODY as u128),
        ("--rate", rate.unwrap_or(0).into()),
        ("--warm-up-ms", WARM_UP.as_millis()),
        ("--measured-ms", each.as_millis()),
    ] {
        load.arg(name).arg(value.to_string());
    }
    load.env("NAMESRV_ADDR", target.name_server.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = load.spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    if lines.next().transpose()?.as_deref() != Some("measuring") {
        return Err(format!("the Java client ended with {}", child.wait()?).into());
    }
    let (watch, before, began) = (Watch::start()?, usage::of(&target.processes)?, Instant::now());
    let said = lines.next().transpose()?.ok_or("the Java client said nothing of its load")?;
    let (after, took) = (usage::of(&target.processes)?, began.elapsed());
    let report = report(&serde_json::from_str(&said)?)?;
    let cpu = after.cpu.saturating_sub(before.cpu);
    let foreign = watch.foreign(cpu + Duration::from_secs_f64(report.own_cpu))?;
    child.wait()?;
    let messages = (report.per_second * took.as_secs_f64()).max(1.0);
    Ok(Sample {
        cpu_us: cpu.as_secs_f64() * 1e6 / messages,
        written_per_byte: after.written_per(&before, messages * BODY as f64),
        switches: after.switches.saturating_sub(before.switches) as f64 / messages,
        resident_mib: after.resident_kib as f64 / 1024.0,
        foreign,
        thrown_away: 0,
        load: report,
    })
}

/// What the program says, in the words of the other load generator.
fn report(said: &serde_json::Value) -> Result<Report> {
    let number = |name: &str| -> Result<f64> {
        let value = said.get(name).and_then(serde_json::Value::as_f64);
        value.ok_or_else(|| format!("the Java client said no {name}: {said}").into())
    };
    let (p50, p99, max) = (number("p500")?, number("p990")?, number("p1000")?);
    let (count, failed) = (number("count")?, number("failed")?);
    Ok(Report {
        per_second: number("per_second")?,
        per_request: 1.0,
        intended: None,
        left: failed as u64,
        left_part: failed / (count + failed).max(1.0),
        p50,
        p99,
        max,
        quantiles: vec![
            (0.5, p50),
            (0.9, number("p900")?),
            (0.99, p99),
            (0.999, number("p999")?),
            (1.0, max),
        ],
        count: count as u64,
        own_cpu: number("own_cpu")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_says() {
        let said = concat!(
            r#"{"count":3,"failed":1,"per_second":1.5,"p500":10.5,"p900":11.0,"p990":20.0,"p999":21,"p1000":30.0,"#,
            r#""own_cpu":0.5}"#
        );
        let report = report(&serde_json::from_str(said).unwrap()).unwrap();
        assert_eq!((report.count, report.left, report.left_part), (3, 1, 0.25));
        assert_eq!((report.p50, report.p99, report.max, report.own_cpu), (10.5, 20.0, 30.0, 0.5));
        assert!(super::report(&serde_json::json!({ "count": 1 })).is_err());
    }
}
