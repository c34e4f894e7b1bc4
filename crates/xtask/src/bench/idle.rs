//! What the broker costs while nobody uses it.

use super::usage::{resident_kib, voluntary_switches as switches};
use crate::load::{Broker, Settings};
use crate::shell::Result;
use std::fs;
use std::path::Path;
use std::time::Duration;

const STARTS: usize = 5;
/// Starting has the next files of the log written ahead, a few seconds of work that ends.
const SETTLE: Duration = Duration::from_secs(20);
const WATCHED: Duration = Duration::from_secs(10);

pub fn measure(folder: &Path) -> Result {
    let mut starts = Vec::new();
    for n in 0..STARTS {
        let folder = folder.join(n.to_string());
        fs::create_dir_all(&folder)?;
        starts.push(Broker::start(&Settings::in_folder(&folder))?.ready_after());
    }
    starts.sort();
    let median = starts.get(STARTS / 2).copied().unwrap_or_default();
    println!("start to ready, empty store   {:>8.1} ms   (target < 100)", median.as_secs_f64() * 1000.0);

    fs::create_dir_all(folder.join("idle"))?;
    let broker = Broker::start(&Settings::in_folder(&folder.join("idle")))?;
    std::thread::sleep(SETTLE);
    let before = switches(broker.id())?;
    std::thread::sleep(WATCHED);
    let wake_ups = switches(broker.id())?.saturating_sub(before) as f64 / WATCHED.as_secs_f64();
    println!(
        "resident memory, idle         {:>8.1} MiB  (target < 30)",
        resident_kib(broker.id())? as f64 / 1024.0
    );
    println!("wake-ups per second, idle     {wake_ups:>8.1}      (target <= 1)");
    Ok(())
}
