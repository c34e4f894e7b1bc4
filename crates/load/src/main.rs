//! The load process: puts one kind of load on one address and prints what came of it as JSON.

use clap::Parser;
use sluice_load::wires::{Options, named};
use sluice_load::{Load, Pace, Report, Result};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
#[command(about = "Puts load on a broker and says what came of it", disable_help_subcommand = true)]
struct Arguments {
    /// remoting, remoting-pull, remoting-pop, http, stomp, stomp-cycle, kafka, kafka-fetch or bare.
    wire: String,
    /// Where the broker listens for it.
    address: SocketAddr,
    #[arg(long, default_value = "bench")]
    topic: String,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The most requests in flight on each connection.
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// Bytes of a message's body.
    #[arg(long, default_value_t = 1024)]
    body: usize,
    /// Messages of one request, on wires that have batches.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Queues of the topic, on wires that say to which a message goes.
    #[arg(long, default_value_t = 4)]
    queues: u32,
    /// Groups that read.
    #[arg(long, default_value_t = 1)]
    groups: usize,
    /// Requests a second, whatever is answered; without it, each answer is followed by the next request.
    #[arg(long)]
    rate: Option<f64>,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Seconds before that, which do not count.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String> {
    let options = Options {
        batch: arguments.batch.max(1),
        queues: arguments.queues.max(1),
        groups: arguments.groups.max(1),
    };
    let wire = named(&arguments.wire, options)?;
    let pace = match arguments.rate {
        None => Pace::Closed,
        Some(rate) if rate > 0.0 && rate.is_finite() => Pace::Open(rate),
        Some(rate) => return Err(format!("{rate} requests a second cannot be").into()),
    };
    let load = Load {
        address: arguments.address,
        wire: &*wire,
        topic: &arguments.topic,
        connections: arguments.connections,
        depth: arguments.depth,
        body: arguments.body,
        warm_up: Duration::try_from_secs_f64(arguments.warm_up)?,
        duration: Duration::try_from_secs_f64(arguments.seconds)?,
        pace,
    };
    let report: Report = load.run()?;
    Ok(serde_json::to_string(&report)?)
}
