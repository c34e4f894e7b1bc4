//! The broker under `kill -9`: nothing it acknowledged may be missing afterwards, and nothing may have been made up.
//!
//! Eight connections send, receive and acknowledge over all wires; at a random moment the process is killed, and the
//! next one on the same folder is asked what it has. `ledger` knows what was tried and what was answered, `workers`
//! make the load, `inspect` compares.

mod inspect;
mod ledger;
mod workers;

use crate::load::{Broker, Settings};
use crate::shell::{self, Result, target};
pub use inspect::{drain, everything};
pub use ledger::Ledger;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Killed so long after the load began, in milliseconds: also while topics are being made.
const KILL_AFTER: std::ops::Range<u64> = 20..2000;

pub fn run(rounds: u32, minutes: Option<u64>, seed: Option<u64>) -> Result {
    if !shell::broker().is_file() {
        shell::build_broker()?;
    }
    let seed = seed.unwrap_or_else(|| rand::rng().next_u64());
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    std::fs::create_dir_all(target())?;
    let mut folder = TempDir::with_prefix_in("crash-", target())?;
    let settings = Settings::in_folder(folder.path());
    let ledger = Ledger::default();
    let limit = minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let mut wrong = Vec::new();

    let mut broker = Broker::start(&settings)?;
    for round in 1..=rounds {
        let after = Duration::from_millis(random.random_range(KILL_AFTER));
        load_until(&mut broker, &ledger, round, after, &mut random, Broker::kill)?;
        broker = Broker::start(&settings).map_err(|error| format!("round {round}: {error}"))?;
        wrong.extend(everything(&broker, &ledger)?);
        println!(
            "round {round:>2}: killed after {after:>7.1?}, ready again after {:>7.1?}; {ledger}",
            broker.ready_after()
        );
        if !wrong.is_empty() || limit.is_some_and(|limit| Instant::now() > limit) {
            break;
        }
    }
    if wrong.is_empty() {
        wrong.extend(drain(&broker, &ledger)?);
        println!("drained: {ledger}");
    }
    if wrong.is_empty() {
        return Ok(());
    }
    folder.disable_cleanup(true);
    wrong.iter().for_each(|sentence| println!("WRONG: {sentence}"));
    Err(format!("{} contradictions; the store is kept in {}", wrong.len(), folder.path().display()).into())
}

/// Lets the workers work, and ends the broker under their hands.
pub fn load_until(
    broker: &mut Broker,
    ledger: &Ledger,
    round: u32,
    after: Duration,
    random: &mut SmallRng,
    end: impl FnOnce(&mut Broker) -> Result,
) -> Result {
    let workers = workers::all(broker)?;
    let dying = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for (at, worker) in workers.into_iter().enumerate() {
            let (dying, seed) = (&dying, random.next_u64());
            running.push(scope.spawn(move || {
                let ended = worker.run(ledger, format!("r{round}w{at}"), SmallRng::seed_from_u64(seed));
                // Its connection breaks when the broker dies; before that it may not.
                match ended {
                    Err(error) if !dying.load(Ordering::SeqCst) => Err(format!("before the kill: {error}")),
                    _ => Ok(()),
                }
            }));
        }
        std::thread::sleep(after);
        dying.store(true, Ordering::SeqCst);
        end(broker)?;
        for worker in running {
            worker.join().map_err(|_| "a worker panicked")??;
        }
        Ok(())
    })
}
