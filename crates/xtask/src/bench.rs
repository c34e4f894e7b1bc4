//! How fast the broker starts, what it costs when idle, and its throughput beside the limits of this machine.
//!
//! Absolute numbers say little on a shared machine, so everything is a ratio to two probes of the same minute: group
//! commit by threads without any network (`probe`), and a bare server that does nothing but bring a socket's bytes to
//! the disk before it answers (`bare`). Repeats are interleaved and the median counts.

mod access;
mod bare;
mod idle;
mod probe;

use crate::load::frames::{Bare, Http, Remoting, Stomp, Wire};
use crate::load::{Broker, Load, Measured, Settings};
use crate::shell::{self, Result, target};
use clap::ValueEnum;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

pub use bare::serve;

/// What to measure.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum What {
    /// A minute or two: everything once, roughly.
    Smoke,
    /// Remoting sends alone, long enough to look at them with a profiler.
    Sends,
    /// The same sends with access control and without.
    Access,
}

const CONNECTIONS: usize = 64;
const BODY: usize = 1024;
const REPEATS: usize = 3;
const EACH: Duration = Duration::from_secs(3);
/// Fills caches, the allocator and the pre-written files.
const WARM_UP: Duration = Duration::from_secs(1);

pub fn run(what: What) -> Result {
    shell::build_broker()?;
    // Beside the build, not in /tmp: that may be memory, where a sync costs nothing.
    std::fs::create_dir_all(target())?;
    let folder = TempDir::with_prefix_in("bench-", target())?;
    match what {
        What::Smoke => {
            idle::measure(&folder.path().join("idle"))?;
            throughput(&folder.path().join("load"))
        }
        What::Sends => sends(folder.path()),
        What::Access => access::measure(folder.path()),
    }
}

/// A wire, whom it reaches, and the process that serves it.
struct Target<'a> {
    name: &'static str,
    wire: &'a dyn Wire,
    address: SocketAddr,
    process: u32,
}

impl Target<'_> {
    fn load(&self, depth: usize, duration: Duration) -> Result<Row> {
        let load = Load {
            address: self.address,
            wire: self.wire,
            topic: "bench",
            connections: CONNECTIONS,
            depth,
            body: BODY,
            duration,
        };
        let before = cpu(self.process)?;
        let measured = load.run().map_err(|error| format!("{}: {error}", self.name))?;
        let used = cpu(self.process)?.saturating_sub(before);
        let messages = measured.per_second * duration.as_secs_f64();
        Ok(Row { measured, cpu: Some(used.div_f64(messages.max(1.0))) })
    }
}

/// One run, and what the server used of the processor for each message.
struct Row {
    measured: Measured,
    cpu: Option<Duration>,
}

/// The time on a processor that a process has used.
fn cpu(process: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in brackets, may hold spaces; user and system time are the 12th and 13th field behind it.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse().unwrap_or(0)).sum();
    Ok(Duration::from_millis(10 * ticks))
}

fn sends(folder: &Path) -> Result {
    let broker = Broker::start(&Settings::in_folder(folder))?;
    println!("the broker is process {}", broker.id());
    let address = broker.address("remoting")?;
    let target = Target { name: "remoting sends", wire: &Remoting, address, process: broker.id() };
    for (depth, duration) in [(1, WARM_UP), (1, 4 * EACH), (32, 2 * EACH)] {
        let mut run = [(target.name, vec![target.load(depth, duration)?])];
        println!("\n{depth} in flight on each of {CONNECTIONS} connections");
        print(&mut run);
    }
    Ok(())
}

fn throughput(folder: &Path) -> Result {
    std::fs::create_dir_all(folder)?;
    let broker = Broker::start(&Settings::in_folder(folder))?;
    let bare = bare::Server::start(&folder.join("bare"))?;
    let mut probe = probe::Probe::new(&folder.join("probe"))?;

    let targets = [
        Target { name: "socket to disk, bare", wire: &Bare, address: bare.address(), process: bare.id() },
        of(&broker, "remoting sends", &Remoting, "remoting")?,
        of(&broker, "HTTP posts", &Http, "http")?,
        of(&broker, "STOMP sends", &Stomp, "stomp")?,
    ];
    for target in &targets {
        target.load(1, WARM_UP)?;
    }
    let mut rows = vec![("group commit, threads", Vec::new())];
    rows.extend(targets.iter().map(|target| (target.name, Vec::new())));
    for _ in 0..REPEATS {
        let mut round = vec![Row { measured: probe.run(CONNECTIONS, BODY, EACH)?, cpu: None }];
        for target in &targets {
            round.push(target.load(1, EACH)?);
        }
        rows.iter_mut().zip(round).for_each(|((_, runs), run)| runs.push(run));
    }
    println!("\n{CONNECTIONS} connections x 1 in flight, {BODY} B, synced; medians of {REPEATS} x {EACH:?}");
    print(&mut rows);
    println!(
        "first target: remoting sends reach 50 % of the probe; the bare server is what a network leaves of it"
    );
    Ok(())
}

fn of<'a>(broker: &Broker, name: &'static str, wire: &'a dyn Wire, listener: &str) -> Result<Target<'a>> {
    Ok(Target { name, wire, address: broker.address(listener)?, process: broker.id() })
}

/// The median run of each row; the first row is the probe and the second the bare server.
fn print(rows: &mut [(&str, Vec<Row>)]) {
    for (_, runs) in rows.iter_mut() {
        runs.sort_by(|a, b| a.measured.per_second.total_cmp(&b.measured.per_second));
    }
    let median = |(_, runs): &(&str, Vec<Row>)| {
        runs.get(runs.len() / 2).map_or(f64::NAN, |run| run.measured.per_second)
    };
    let limit = |at: usize| rows.get(at).filter(|_| rows.len() > 2).map_or(f64::NAN, median);
    let (probe, bare) = (limit(0), limit(1));
    println!(
        "{:<26}{:>10}{:>11}{:>11}{:>15}{:>14}{:>10}",
        "", "msg/s", "p50", "p99", "server CPU", "of the probe", "of bare"
    );
    for (name, runs) in rows.iter() {
        let Some(Row { measured, cpu }) = runs.get(runs.len() / 2) else { continue };
        println!(
            "{:<26}{:>10.0}{:>11}{:>11}{:>15}{:>13.0}%{:>9.0}%",
            name,
            measured.per_second,
            format!("{:.2} ms", measured.p50.as_secs_f64() * 1000.0),
            format!("{:.2} ms", measured.p99.as_secs_f64() * 1000.0),
            cpu.map_or("".to_owned(), |cpu| format!("{:.1} us each", cpu.as_secs_f64() * 1e6)),
            100.0 * measured.per_second / probe,
            100.0 * measured.per_second / bare,
        );
    }
}
