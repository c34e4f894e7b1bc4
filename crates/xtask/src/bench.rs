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
    /// Remoting sends with access control and without.
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
        What::Access => access::measure(folder.path()),
    }
}

struct Row<'a> {
    name: &'a str,
    runs: Vec<Measured>,
}

fn throughput(folder: &Path) -> Result {
    std::fs::create_dir_all(folder)?;
    let broker = Broker::start(&Settings::in_folder(folder))?;
    let bare = bare::Server::start(&folder.join("bare"))?;
    let mut probe = probe::Probe::new(&folder.join("probe"))?;

    let wires: [(&str, &dyn Wire, SocketAddr); 4] = [
        ("socket to disk, bare", &Bare, bare.address()),
        ("remoting sends", &Remoting, broker.address("remoting")?),
        ("HTTP posts", &Http, broker.address("http")?),
        ("STOMP sends", &Stomp, broker.address("stomp")?),
    ];
    let load = |wire, address, duration| Load {
        address,
        wire,
        topic: "bench",
        connections: CONNECTIONS,
        depth: 1,
        body: BODY,
        duration,
    };
    for (_, wire, address) in wires {
        load(wire, address, WARM_UP).run()?;
    }
    let mut rows = vec![Row { name: "group commit, threads", runs: Vec::new() }];
    rows.extend(wires.map(|(name, ..)| Row { name, runs: Vec::new() }));
    for _ in 0..REPEATS {
        let mut measured = vec![probe.run(CONNECTIONS, BODY, EACH)?];
        for (name, wire, address) in wires {
            measured.push(load(wire, address, EACH).run().map_err(|error| format!("{name}: {error}"))?);
        }
        for (row, run) in rows.iter_mut().zip(measured) {
            row.runs.push(run);
        }
    }
    print(&mut rows);
    Ok(())
}

fn print(rows: &mut [Row<'_>]) {
    for row in rows.iter_mut() {
        row.runs.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    }
    let median = |row: &Row<'_>| row.runs.get(row.runs.len() / 2).map_or(0.0, |run| run.per_second);
    let limit = |at: usize| rows.get(at).map_or(f64::NAN, median);
    let (probe, bare) = (limit(0), limit(1));
    println!("\n{CONNECTIONS} connections x 1 in flight, {BODY} B, synced; medians of {REPEATS} x {EACH:?}");
    println!("{:<26}{:>10}{:>11}{:>11}{:>14}{:>10}", "", "msg/s", "p50", "p99", "of the probe", "of bare");
    for row in rows.iter() {
        let Some(run) = row.runs.get(row.runs.len() / 2) else { continue };
        println!(
            "{:<26}{:>10.0}{:>11}{:>11}{:>13.0}%{:>9.0}%",
            row.name,
            run.per_second,
            format!("{:.2} ms", run.p50.as_secs_f64() * 1000.0),
            format!("{:.2} ms", run.p99.as_secs_f64() * 1000.0),
            100.0 * run.per_second / probe,
            100.0 * run.per_second / bare,
        );
    }
    println!("target: remoting sends reach 50 % of the probe");
}
