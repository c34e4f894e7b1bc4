//! Runs seeds of the simulation: a fixed set, then fresh ones until the time is over.

#![allow(clippy::print_stdout, reason = "a command line tool")]

use clap::Parser;
use parking_lot::Mutex;
use sluice_sim::{Tally, run};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Crash a whole node in every way a disk can fail, and look whether it kept its promises.
///
/// `SEED=n` replays one seed, twice, and says whether both runs were the same; `SHOW=1` prints what happens.
#[derive(Parser)]
struct Arguments {
    /// Seeds 0 to n are always run.
    #[arg(long, default_value_t = 200)]
    fixed: u64,
    /// After that, fresh seeds for so many seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Threads, each with its own seeds.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Stop after so many broken seeds.
    #[arg(long, default_value_t = 10)]
    most: usize,
}

/// In so many seeds every fault strikes, and every promise is looked at.
const ENOUGH: u64 = 5000;

#[derive(Default)]
struct Sum {
    seeds: u64,
    tally: Tally,
    broken: Vec<(u64, String)>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seed) = std::env::var("SEED").ok().and_then(|text| text.parse().ok()) {
        return replay(seed);
    }
    std::panic::set_hook(Box::new(|_| {}));
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1 << 32, |now| now.as_nanos() as u64);
    let (begun, end) = (Instant::now(), Duration::from_secs(arguments.seconds));
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= arguments.fixed && begun.elapsed() >= end {
                        return;
                    }
                    let seed = if n < arguments.fixed { n } else { fresh.wrapping_add(n) };
                    let outcome = run(seed, false);
                    let mut sum = sum.lock();
                    sum.add(seed, outcome.tally, outcome.broken);
                    if sum.broken.len() >= arguments.most {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    report(&sum.into_inner(), begun.elapsed())
}

impl Sum {
    fn add(&mut self, seed: u64, tally: Tally, broken: Option<String>) {
        self.seeds += 1;
        self.tally += tally;
        if let Some(broken) = broken {
            println!("SEED={seed} breaks a promise: {broken}");
            self.broken.push((seed, broken));
        }
    }
}

fn report(sum: &Sum, took: Duration) -> ExitCode {
    let Sum { seeds, tally, broken } = sum;
    let (checks, broken) = (tally.checks(), broken.len());
    let Tally { steps, crashes, messages, deliveries, .. } = tally;
    let table = tally.table();
    table.iter().for_each(|(what, count)| println!("{count:>12}  {what}"));
    println!(
        "{seeds} seeds in {took:.0?}: {crashes} crashes, {steps} steps, {messages} messages, {deliveries} deliveries, {checks} checks; {broken} broken",
    );
    let missing = table.iter().filter(|(_, count)| *count == 0 && *seeds >= ENOUGH);
    let missing: Vec<_> = missing.map(|(what, _)| *what).collect();
    if !missing.is_empty() {
        println!("never: {missing:?}");
    }
    if broken == 0 && missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64) -> ExitCode {
    let show = std::env::var_os("SHOW").is_some();
    let (first, second) = (run(seed, show), run(seed, false));
    let same = first.trace == second.trace && first.broken == second.broken;
    println!("trace {:016x}, {}", first.trace, if same { "the same again" } else { "NOT the same again" });
    match first.broken {
        Some(broken) => {
            println!("SEED={seed} breaks a promise: {broken}");
            ExitCode::FAILURE
        }
        None if same => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}
