//! The tasks of this repository: `cargo xtask verify`, `fix`, `test`, `fuzz`, `sim`, `crash`, `power`, `bench`, `counts`.
//!
//! It exists so that the README, the continuous integration and everyone's terminal run the same code, and so that a
//! rule worth having is a check that names the better way.
//!
//! - `verify` — what is checked without running anything; `fix` repairs what can be repaired
//! - `suite` — the one command that installs what the tests need and runs every test
//! - `fuzz`, `sim`, `crash`, `power`, `bench` — decoders under random bytes, a node on a simulated disk, the broker under
//!   `kill -9` and under power cuts, and how fast it is
//! - `counts` — what a message costs in instructions, allocations and system calls, without a clock
//! - `load` — a broker as a child process, and the smallest clients that can put load on it

mod bench;
mod counts;
mod crash;
mod fuzz;
mod load;
mod power;
mod shell;
mod sim;
mod suite;
mod verify;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "The tasks of this repository", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Check formatting, lints, dependencies, words, sizes, reasons, examples and paths.
    Verify {
        /// Only these checks.
        checks: Vec<String>,
    },
    /// Format, and apply what clippy can repair.
    Fix,
    /// Install what the tests need and run them: all, unit, interop, examples, fuzz, sim, crash or counts.
    Test {
        /// Which part.
        #[arg(default_value = "all")]
        part: suite::Part,
    },
    /// Build the fuzz targets and run them.
    Fuzz {
        /// Only these targets.
        targets: Vec<String>,
        /// How long each target runs; 0 only replays the corpus.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Only build them.
        #[arg(long)]
        build: bool,
    },
    /// Crash a simulated node in every way a disk can fail, and look whether it keeps its promises. SEED=n replays a seed.
    Sim {
        /// How long fresh seeds are tried after the fixed ones.
        #[arg(long, default_value_t = 3)]
        minutes: u64,
        /// How many fixed seeds are run first.
        #[arg(long, default_value_t = 500)]
        fixed: u64,
        /// Only build it.
        #[arg(long)]
        build: bool,
    },
    /// Kill the broker under load, again and again, and look for what was lost.
    Crash {
        /// How often.
        #[arg(long, default_value_t = 20)]
        rounds: u32,
        /// At most so long, whatever rounds are left.
        #[arg(long)]
        minutes: Option<u64>,
        /// Repeats the random choices of an earlier run.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Cut the broker's power under load, on a file system that forgets what was not synced, and look for what was lost.
    Power {
        /// How often.
        #[arg(long, default_value_t = 20)]
        rounds: u32,
        /// Repeats the random choices of an earlier run.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Measure start, idle cost and throughput, beside the limits of this machine.
    Bench {
        /// What to measure.
        #[arg(default_value = "smoke")]
        what: bench::What,
        #[command(flatten)]
        options: bench::Options,
    },
    /// Count instructions, allocations, system calls and bytes for a message, and compare them with those that are kept.
    Counts {
        /// Which of them.
        #[arg(default_value = "all")]
        what: counts::What,
        /// Keep these from now on.
        #[arg(long)]
        renew: bool,
    },
    /// The HTTP server that the broker is compared with; `bench` starts it.
    #[command(hide = true)]
    EmptyHttpServer,
    /// The server that the broker is compared with; `bench` starts it.
    #[command(hide = true)]
    BareServer {
        /// The file it writes; without one it answers at once.
        file: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Verify { checks } => verify::verify(&checks),
        Task::Fix => verify::fix(),
        Task::Test { part } => suite::run(part),
        Task::Fuzz { build: true, .. } => fuzz::build(),
        Task::Fuzz { targets, seconds, .. } => fuzz::run(&targets, seconds),
        Task::Sim { build: true, .. } => sim::build(),
        Task::Sim { minutes, fixed, .. } => sim::run(minutes, fixed),
        Task::Crash { rounds, minutes, seed } => crash::run(rounds, minutes, seed),
        Task::Power { rounds, seed } => power::run(rounds, seed),
        Task::Bench { what, options } => bench::run(what, &options),
        Task::Counts { what, renew } => counts::run(what, renew),
        Task::EmptyHttpServer => bench::serve_empty_http(),
        Task::BareServer { file } => bench::serve(file.as_deref()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
