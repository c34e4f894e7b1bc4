//! The broker under power cuts: a real process on a file system that forgets what was not synced.
//!
//! After `kill -9` the system still has what was written, so that proves nothing about syncs. The one idea to know: the data
//! folder lies on a file system of our own (FUSE) whose disk is the simulation's (`sluice_store::sim`), so the same torn,
//! lost and reordered writes and names that the simulation makes happen to real system calls of the real binary. Load,
//! ledger and comparison are those of `crash`; what may be lost by contract (acknowledgements that nobody waited for) is
//! forgotten there before it is compared.
//!
//! Mounting needs root, or `fusermount`; where it is not allowed, this says so and the simulation has to do (`sim`).

mod layer;

use crate::crash::{self, Ledger};
use crate::load::{Broker, Settings};
use crate::shell::{self, Result, target};
use layer::Mounted;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use sluice_store::sim::SimVfs;
use std::time::Duration;
use tempfile::TempDir;

/// Cut so long after the load began, in milliseconds.
const CUT_AFTER: std::ops::Range<u64> = 20..1500;

pub fn run(rounds: u32, seed: Option<u64>) -> Result {
    if !shell::broker().is_file() {
        shell::build_broker()?;
    }
    let seed = seed.unwrap_or_else(|| rand::rng().next_u64());
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    std::fs::create_dir_all(target())?;
    let folder = TempDir::with_prefix_in("power-", target())?;
    let at = folder.path().join("disk");
    std::fs::create_dir(&at)?;
    let mut disk = match Mounted::new(SimVfs::seeded(random.next_u64()), &at) {
        Ok(disk) => disk,
        Err(error) => {
            println!(
                "SKIPPED: no file system can be mounted here ({error}); `cargo xtask sim` cuts the power instead"
            );
            return Ok(());
        }
    };
    let mut settings = Settings::in_folder(folder.path());
    settings.set_data(at.join("data"));
    // Many small files: the steps between them are where names can be lost.
    settings.set("SLUICE_STORE__SEGMENT_SIZE", "2MiB");
    let ledger = Ledger::default();
    let mut broker = Broker::start(&settings)?;
    for round in 1..=rounds {
        let after = Duration::from_millis(random.random_range(CUT_AFTER));
        let cut = random.next_u64();
        let mut left = None;
        crash::load_until(&mut broker, &ledger, round, after, &mut random, |broker| {
            // From here on nothing reaches the disk, so nothing can be acknowledged.
            left = Some(disk.cut(cut));
            broker.kill()
        })?;
        drop(disk);
        let (left, unsynced) = left.ok_or("nothing was cut")?;
        disk = Mounted::new(left, &at)?;
        broker = Broker::start(&settings).map_err(|error| format!("round {round}, cut {cut}: {error}"))?;
        ledger.forget_unsynced();
        let wrong = crash::everything(&broker, &ledger)?;
        println!(
            "round {round:>2}: power cut after {after:>7.1?} with {unsynced} unsynced changes, ready again after {:>7.1?}; {ledger}",
            broker.ready_after()
        );
        if !wrong.is_empty() {
            wrong.iter().for_each(|sentence| println!("WRONG: {sentence}"));
            return Err(
                format!("{} contradictions; seed {seed}, round {round}, cut {cut}", wrong.len()).into()
            );
        }
    }
    let wrong = crash::drain(&broker, &ledger)?;
    println!("drained: {ledger}");
    wrong.iter().for_each(|sentence| println!("WRONG: {sentence}"));
    broker.kill()?;
    if wrong.is_empty() { Ok(()) } else { Err(format!("{} contradictions; seed {seed}", wrong.len()).into()) }
}
