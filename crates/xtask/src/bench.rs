//! How fast the broker starts, what it costs when idle, its throughput and latency beside the limits of this machine and
//! beside other brokers, and what grows.
//!
//! Absolute numbers say little on a shared machine, so everything is a ratio to a probe or to another broker of the same
//! minutes. The one idea to know: a run is made by `subject`, with what the server used and what others used of the
//! machine; runs of one `table` take turns, and the median counts, with the least and the most beside it. `curve` is the
//! open loop, where latency counts from the intended time. `bench/README.md` says what the numbers mean.

mod access;
mod bare;
mod curve;
mod empty_http;
mod growth;
mod http;
mod idle;
mod java_client;
mod kafka;
mod page;
mod peers;
mod plot;
mod probe;
mod quiet;
mod ratios;
mod read_rate;
mod results;
mod rocketmq;
mod stomp;
mod subject;
mod table;
mod usage;
mod waiting;

use crate::load::{Broker, Settings, build_generator};
use crate::shell::{self, Result, target};
use clap::{Args, ValueEnum};
use quiet::Gate;
use results::Results;
use std::path::{Path, PathBuf};
use std::time::Duration;
use subject::{Plan, Subject};
use table::{Ratio, Table};
use tempfile::TempDir;

pub use bare::serve;
pub use empty_http::serve as serve_empty_http;

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// A minute or two: everything once, roughly.
    Smoke,
    /// Remoting sends alone, long enough to look at them with a profiler.
    Sends,
    /// The same sends with access control and without.
    Access,
    /// HTTP posts beside a server that does nothing but answer, and beside group commit.
    Http,
    /// STOMP sends, and messages sent, received and acknowledged; beside RabbitMQ and ActiveMQ with `--peers`.
    Stomp,
    /// RocketMQ sends and pulls; beside Apache RocketMQ with `--peers`.
    Rocketmq,
    /// Kafka batches and fetches; beside Apache Kafka with `--peers`.
    Kafka,
    /// What thousands of clients that only wait cost.
    Waiting,
    /// The log and the timers by themselves: how many wait, how late they fire, what a checkpoint and a start cost.
    Log,
    /// What is promised of the machine's limits, each beside its probe.
    Ratios,
    /// Every wire in an open loop: the highest rate that is kept up with, and latencies below it.
    Open,
    /// What becomes slower or larger when there is more of something.
    Growth,
    /// Ratios, open loop, HTTP, other brokers and growth in one go.
    Full,
}

/// How to measure it.
#[derive(Debug, Args)]
pub struct Options {
    /// The folder with the scripts that start other brokers to compare with.
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Seconds of one run.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Runs of each, of which the median counts.
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Runs count although others use the machine: to try the bench itself.
    #[arg(long)]
    accept_noise: bool,
    /// How far growth goes.
    #[arg(long, value_enum, default_value = "medium")]
    scale: growth::Scale,
    /// The name of the result files; without it, nothing is written.
    #[arg(long)]
    name: Option<String>,
    /// Where they are written, if not in bench/results.
    #[arg(long)]
    results: Option<PathBuf>,
}

/// Fills caches, the allocator and the pre-written files.
const WARM_UP: Duration = Duration::from_secs(1);
/// How long a run waits for the machine to be quiet.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn run(what: What, options: &Options) -> Result {
    shell::build_broker()?;
    build_generator()?;
    // Beside the build, not in /tmp: that may be memory, where a sync costs nothing.
    std::fs::create_dir_all(target())?;
    let folder = TempDir::with_prefix_in("bench-", target())?;
    let gate = Gate { accepts_noise: options.accept_noise, patience: PATIENCE };
    let plan = Plan {
        each: Duration::try_from_secs_f64(options.seconds)?,
        warm_up: WARM_UP,
        repeats: options.repeats.max(1),
        gate,
    };
    let mut results = Results::new();
    let measured = all(what, folder.path(), &plan, options, &mut results);
    match &options.name {
        Some(name) => results.finish(name, options.results.as_deref())?,
        None => Ratio::print_all(&results.ratios),
    }
    measured?;
    growth::verdict(&results.growth)
}

/// What was measured before something failed is kept.
fn all(what: What, folder: &Path, plan: &Plan, options: &Options, results: &mut Results) -> Result {
    let peers = options.peers.as_deref();
    let part = |name: &str| -> Result<PathBuf> {
        let part = folder.join(name);
        std::fs::create_dir_all(&part)?;
        Ok(part)
    };
    let is = |one: What| what == one || what == What::Full;
    match what {
        What::Smoke => {
            idle::measure(&part("idle")?)?;
            throughput(&part("load")?, results)?;
        }
        What::Sends => sends(folder)?,
        What::Access => access::measure(folder)?,
        What::Waiting => waiting::measure(folder)?,
        What::Log => log(folder)?,
        _ => {}
    }
    if is(What::Ratios) {
        ratios::measure(&part("ratios")?, plan, results)?;
    }
    if is(What::Http) {
        http::measure(&part("http")?, plan, results)?;
    }
    if is(What::Rocketmq) {
        rocketmq::measure(&part("rocketmq-ours")?, peers, plan, results)?;
    }
    if is(What::Stomp) {
        stomp::measure(&part("stomp-ours")?, peers, plan, results)?;
    }
    if is(What::Kafka) {
        kafka::measure(&part("kafka-ours")?, peers, plan, results)?;
    }
    if is(What::Open) {
        open(&part("open")?, plan, results)?;
    }
    if is(What::Growth) {
        results.growth = growth::measure(&part("growth")?, options.scale, plan)?;
    }
    Ok(())
}

/// What a broker for long runs keeps, in GiB.
const KEPT: u32 = 4;

/// A broker for long runs: it keeps the newest few gigabytes, and does not mind who else fills the disk.
fn start(folder: &Path) -> Result<Broker> {
    start_keeping(folder, KEPT)
}

/// One that keeps about so many GiB.
fn start_keeping(folder: &Path, gib: u32) -> Result<Broker> {
    let mut settings = Settings::in_folder(folder);
    settings.set("SLUICE_BROKER__RETENTION_SIZE", format!("{gib}GiB"));
    settings.set("SLUICE_STORE__DISK_GUARD", "98");
    Broker::start(&settings)
}

/// Sends twice what the broker keeps, so that files of deleted segments are written again from then on, as on any broker
/// that has run for a while. The probes' files have been written before, too.
fn fill_up(broker: &Broker, gib: u32, plan: &Plan) -> Result {
    let sends = Subject::of(broker, "", "remoting", "remoting")?.shaped(|shape| shape.depth = 32);
    let sends = sends.on_topic("bench-before");
    let plan = Plan { each: Duration::from_secs(4), ..*plan };
    let mut left = 2.0 * f64::from(gib) * f64::from(1 << 30);
    while left > 0.0 {
        let sample = sends.measure(&plan, None)?;
        left -= sample.load.per_second * plan.each.as_secs_f64() * sends.shape.body as f64;
    }
    Ok(())
}

/// What needs no network: `crates/broker/examples/log_limits.rs`.
fn log(folder: &Path) -> Result {
    let example =
        ["run", "--quiet", "--release", "--package", "sluice-broker", "--example", "log_limits", "--"];
    let mut run = shell::cargo(&example);
    run.arg(folder);
    shell::run(run)
}

fn sends(folder: &Path) -> Result {
    let broker = start(folder)?;
    println!("the broker is process {}", broker.id());
    let gate = Gate { accepts_noise: true, patience: Duration::ZERO };
    let plan = Plan { each: Duration::from_secs(10), warm_up: WARM_UP, repeats: 1, gate };
    for depth in [1, 32] {
        let subject = Subject::of(&broker, "remoting sends", "remoting", "remoting")?;
        let subject = subject.shaped(|shape| shape.depth = depth);
        Table::measure(&format!("{depth} in flight on each of 64 connections"), &[subject], &plan)?;
    }
    Ok(())
}

/// Every wire once in a closed loop, whatever else the machine does.
fn throughput(folder: &Path, results: &mut Results) -> Result {
    let gate = Gate { accepts_noise: true, patience: Duration::ZERO };
    let plan = Plan { each: Duration::from_secs(3), warm_up: WARM_UP, repeats: 3, gate };
    let broker = start(folder)?;
    let bare = bare::Server::start(&folder.join("bare"))?;
    const BARE: &str = "socket to disk, bare";
    const SENDS: &str = "remoting sends";
    let subjects = [
        Subject::at(BARE, "bare", bare.address(), vec![bare.id()]),
        Subject::of(&broker, SENDS, "remoting", "remoting")?,
        Subject::of(&broker, "HTTP posts", "http", "http")?,
        Subject::of(&broker, "STOMP sends", "stomp", "stomp")?,
        Subject::of(&broker, "Kafka, batches of one", "kafka", "kafka")?,
    ];
    let table = Table::measure("64 connections x 1 in flight, 1 KiB, synced", &subjects, &plan)?;
    let threads = probe::Probe::new(&folder.join("probe"))?.run(64, 1, 1024, plan.each)?.per_second;
    let rate = |what| -> Result<f64> { Ok(table.row(what)?.spread(table::rate).median) };
    let (sends, limit) = (rate(SENDS)?, rate(BARE)?);
    println!(
        "group commit by threads, without a network: {threads:.0}/s; the bare server is what a network leaves of it"
    );
    println!("remoting sends, of group commit by threads: {:.3}", sends / threads);
    results.ratios.push(Ratio::at_least(
        "remoting sends, of the bare server's group commit",
        sends / limit,
        0.5,
    ));
    results.tables.push(table);
    Ok(())
}

/// 64 connections, on wires that answer one after the other with one in flight, else with 32.
fn open(folder: &Path, plan: &Plan, results: &mut Results) -> Result {
    let broker = start(folder)?;
    let bare = bare::Server::start(&folder.join("bare"))?;
    let subjects = [
        Subject::at("socket to disk, bare", "bare", bare.address(), vec![bare.id()]),
        Subject::of(&broker, "remoting sends, 64x1", "remoting", "remoting")?,
        Subject::of(&broker, "remoting sends, 64x32", "remoting", "remoting")?.shaped(|s| s.depth = 32),
        Subject::of(&broker, "HTTP posts, 64x1", "http", "http")?,
        Subject::of(&broker, "STOMP sends, 64x1", "stomp", "stomp")?,
        Subject::of(&broker, "Kafka, batches of 64, 4x5", "kafka", "kafka")?.shaped(|shape| {
            shape.connections = 4;
            shape.depth = 5;
            shape.batch = 64;
        }),
    ];
    results.curves.extend(curve::measure(&subjects, plan)?);
    Ok(())
}
