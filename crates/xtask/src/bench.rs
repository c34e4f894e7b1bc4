//! How fast the broker starts, what it costs when idle, and its throughput beside the limits of this machine.
//!
//! Absolute numbers say little on a shared machine, so everything is a ratio to two probes of the same minute: group
//! commit by threads without any network (`probe`), and a bare server that does nothing but bring a socket's bytes to
//! the disk before it answers (`bare`). Repeats are interleaved and the median counts.

mod access;
mod bare;
mod empty_http;
mod http;
mod idle;
mod peers;
mod probe;
mod stomp;
mod waiting;

use crate::load::frames::{Bare, Http, Remoting, Stomp, Wire};
use crate::load::{Broker, Load, Measured, Settings};
use crate::shell::{self, Result, target};
use clap::ValueEnum;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

pub use bare::serve;
pub use empty_http::serve as serve_empty_http;

/// What to measure.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum What {
    /// A minute or two: everything once, roughly.
    Smoke,
    /// Remoting sends alone, long enough to look at them with a profiler.
    Sends,
    /// The same sends with access control and without.
    Access,
    /// HTTP posts beside a server that does nothing but answer, and beside group commit.
    Http,
    /// STOMP sends, and messages sent, received and acknowledged; beside other brokers when `--peers` is given.
    Stomp,
    /// What thousands of clients that only wait cost.
    Waiting,
    /// The log and the timers by themselves: how many wait, how late they fire, what a checkpoint and a start cost.
    Log,
}

const CONNECTIONS: usize = 64;
const BODY: usize = 1024;
const REPEATS: usize = 3;
const EACH: Duration = Duration::from_secs(3);
/// Fills caches, the allocator and the pre-written files.
const WARM_UP: Duration = Duration::from_secs(1);

pub fn run(what: What, peers: Option<&Path>) -> Result {
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
        What::Http => http::measure(folder.path()),
        What::Stomp => stomp::measure(folder.path(), peers),
        What::Waiting => waiting::measure(folder.path()),
        What::Log => log(folder.path()),
    }
}

/// What needs no network: `crates/broker/examples/log_limits.rs`.
fn log(folder: &Path) -> Result {
    let example =
        ["run", "--quiet", "--release", "--package", "sluice-broker", "--example", "log_limits", "--"];
    let mut run = shell::cargo(&example);
    run.arg(folder);
    shell::run(run)
}

/// A wire, whom it reaches, and the processes that serve it.
struct Target<'a> {
    name: &'static str,
    wire: &'a dyn Wire,
    address: SocketAddr,
    processes: Vec<u32>,
}

impl Target<'_> {
    fn load(&self, depth: usize, duration: Duration) -> Result<Row> {
        // What an earlier run left on its topics is not for this one.
        static RUN: AtomicU32 = AtomicU32::new(0);
        let private = format!("bench-{}", RUN.fetch_add(1, Ordering::Relaxed));
        let load = Load {
            address: self.address,
            wire: self.wire,
            topic: if self.wire.is_private() { &private } else { "bench" },
            connections: CONNECTIONS,
            depth,
            body: BODY,
            duration,
        };
        let before = self.cpu()?;
        let measured = load.run().map_err(|error| format!("{}: {error}", self.name))?;
        let used = self.cpu()?.saturating_sub(before);
        let messages = measured.per_second * duration.as_secs_f64();
        Ok(Row { measured, cpu: Some(used.div_f64(messages.max(1.0))) })
    }

    fn cpu(&self) -> Result<Duration> {
        self.processes.iter().map(|process| cpu(*process)).sum()
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
    let target = Target { name: "remoting sends", wire: &Remoting, address, processes: vec![broker.id()] };
    for (depth, duration) in [(1, WARM_UP), (1, 4 * EACH), (32, 2 * EACH)] {
        let mut run = [(target.name, vec![target.load(depth, duration)?])];
        println!("\n{depth} in flight on each of {CONNECTIONS} connections");
        print(&mut run, &[]);
    }
    Ok(())
}

fn throughput(folder: &Path) -> Result {
    std::fs::create_dir_all(folder)?;
    let broker = Broker::start(&Settings::in_folder(folder))?;
    let bare = bare::Server::start(&folder.join("bare"))?;
    let mut probe = probe::Probe::new(&folder.join("probe"))?;

    let targets = [
        Target {
            name: "socket to disk, bare",
            wire: &Bare,
            address: bare.address(),
            processes: vec![bare.id()],
        },
        of(&broker, "remoting sends", &Remoting, "remoting")?,
        of(&broker, "HTTP posts", &Http, "http")?,
        of(&broker, "STOMP sends", &Stomp, "stomp")?,
    ];
    let mut rows = rounds(Some(&mut probe), &targets)?;
    println!("\n{CONNECTIONS} connections x 1 in flight, {BODY} B, synced; medians of {REPEATS} x {EACH:?}");
    print(&mut rows, &[(0, "of the probe"), (1, "of bare")]);
    println!(
        "first target: remoting sends reach 50 % of the probe; the bare server is what a network leaves of it"
    );
    Ok(())
}

/// All targets in turn, again and again, behind the probe when there is one.
fn rounds(
    mut probe: Option<&mut probe::Probe>,
    targets: &[Target<'_>],
) -> Result<Vec<(&'static str, Vec<Row>)>> {
    for target in targets {
        target.load(1, WARM_UP)?;
    }
    let mut rows = Vec::from_iter(probe.is_some().then(|| ("group commit, threads", Vec::new())));
    rows.extend(targets.iter().map(|target| (target.name, Vec::new())));
    for _ in 0..REPEATS {
        let mut round = Vec::new();
        if let Some(probe) = &mut probe {
            round.push(Row { measured: probe.run(CONNECTIONS, BODY, EACH)?, cpu: None });
        }
        for target in targets {
            round.push(target.load(1, EACH)?);
        }
        rows.iter_mut().zip(round).for_each(|((_, runs), run)| runs.push(run));
    }
    Ok(rows)
}

fn of<'a>(broker: &Broker, name: &'static str, wire: &'a dyn Wire, listener: &str) -> Result<Target<'a>> {
    Ok(Target { name, wire, address: broker.address(listener)?, processes: vec![broker.id()] })
}

/// The median run of each row, and what it is of some other rows.
fn print(rows: &mut [(&str, Vec<Row>)], compared: &[(usize, &str)]) {
    for (_, runs) in rows.iter_mut() {
        runs.sort_by(|a, b| a.measured.per_second.total_cmp(&b.measured.per_second));
    }
    let median = |row: usize| {
        let runs = rows.get(row).map_or(&[][..], |(_, runs)| runs);
        runs.get(runs.len() / 2).map_or(f64::NAN, |run| run.measured.per_second)
    };
    print!("{:<32}{:>10}{:>11}{:>11}{:>15}", "", "msg/s", "p50", "p99", "server CPU");
    compared.iter().for_each(|(_, name)| print!("{name:>16}"));
    println!();
    for (name, runs) in rows.iter() {
        let Some(Row { measured, cpu }) = runs.get(runs.len() / 2) else { continue };
        print!(
            "{:<32}{:>10.0}{:>11}{:>11}{:>15}",
            name,
            measured.per_second,
            format!("{:.2} ms", measured.p50.as_secs_f64() * 1000.0),
            format!("{:.2} ms", measured.p99.as_secs_f64() * 1000.0),
            cpu.map_or("".to_owned(), |cpu| format!("{:.1} us each", cpu.as_secs_f64() * 1e6)),
        );
        compared.iter().for_each(|(row, _)| print!("{:>16.2}", measured.per_second / median(*row)));
        println!();
    }
}
