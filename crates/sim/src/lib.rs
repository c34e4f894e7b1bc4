//! A whole node under simulated faults: broker, log and disk, driven by one number.
//!
//! It exists because no test bench can crash a machine ten thousand times in every way a disk can fail. The one idea to
//! know: everything that could differ between two runs (files, time, chance, threads) is simulated, so a seed that
//! breaks a promise breaks it again, step by step, until it is understood.
//!
//! | file | what |
//! |---|---|
//! | `steps` | what happens: the workload and the faults, chosen by the seed |
//! | `verbs` | the broker's verbs, each with what its answer has to be |
//! | `transactions` | messages that are prepared, and what becomes of them |
//! | `mending` | taking back, cutting off, sending dead letters again; looking on |
//! | `catalog` | topics and groups |
//! | `people` | users, roles and policies |
//! | `guests` | sessions of users, and connections, which end with them |
//! | `proofs` | how sessions begin: credentials with every request, exchanges |
//! | `settings` | settings that are changed at run time |
//! | `asking` | asking whether something would be done |
//! | `producing` | clients that are asked for the outcomes of transactions |
//! | `views` | looking at one topic, queue or group |
//! | `connected` | open connections |
//! | `members` | who takes part in groups, locks of queues, groups that another front-end gathers and what they commit |
//! | `waits` | who waits for queues, and messages by the time at which they were made |
//! | `ordered` | groups that consume in order |
//! | `readers` | cursors, the lives of messages, groups that are put somewhere |
//! | `numbered` | producers that number what they send |
//! | `named`, `spans`, `ends` | producers with names, whose transactions span queues and offsets: what they do, what that comes to, and the rules |
//! | `packs` | batches that are kept as they are sent, and what those see who take them apart |
//! | `spy` | a log between broker and log, which remembers what was appended |
//! | `model`, `record` | what the broker must know, as a naive fold over that |
//! | `check` | the rules that what is appended has to keep |
//! | `node` | the node, and what it has promised |
//! | `lives` | its crashes and starts, and what has to survive |
//! | `compare` | the broker beside the model |
//! | `tally` | what went wrong and what was looked at, counted |
//! | `damage` | the end of a seed: a disk that is itself wrong, and a repair |
//!
//! `cargo xtask sim` runs seeds; `SEED=n` replays one, with `SHOW=1` every step is printed.

mod asking;
mod catalog;
mod check;
mod compare;
mod connected;
mod damage;
mod ends;
mod guests;
mod lives;
mod members;
mod mending;
mod model;
mod named;
mod node;
mod numbered;
mod once;
mod ordered;
mod packs;
mod people;
mod producing;
mod proofs;
mod readers;
mod record;
mod settings;
mod spans;
mod spy;
mod steps;
mod tally;
mod trace;
mod transactions;
mod verbs;
mod views;
mod waits;

pub use tally::Tally;

use node::Node;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a seed led to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Everything that happened, as one number.
    pub trace: u64,
    /// Numbers for the report.
    pub tally: Tally,
    /// The promise that was broken, if one was.
    pub broken: Option<String>,
}

/// Runs one seed.
pub fn run(seed: u64, show: bool) -> Outcome {
    let mut node = match Node::new(seed, show) {
        Ok(node) => node,
        Err(broken) => return Outcome { trace: 0, tally: Tally::default(), broken: Some(broken) },
    };
    let lived = catch_unwind(AssertUnwindSafe(|| node.live()));
    let broken = match lived {
        Ok(outcome) => outcome.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Some(format!("a panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("?")))
        }
    };
    tally::add(&mut node.tally.faults, node.vfs.injected());
    Outcome { trace: node.trace.hash(), tally: node.tally, broken }
}
