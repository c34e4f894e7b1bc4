//! `sluice doctor` and `sluice repair`: looking after a data folder while no broker runs.
//!
//! What the store finds is told here in words, with topics by their names; what only the machine can tell (file system,
//! space, how long a sync takes, the clock) is looked at here.

use crate::config::Config;
use crate::failure::Failure;
use sluice_broker::{QueueNames, WaitingRuns};
use sluice_model::{Clock as _, SystemClock};
use sluice_store::doctor::{Inspection, Seen, inspect, repair};
use sluice_store::vfs::{OsVfs, Vfs as _};
use sluice_store::{Damage, LostWaiting, OpenError};
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a data folder holds.
const OURS: &[&str] = &[
    "store.meta",
    "store.meta.tmp",
    "LOCK",
    "BACKUP",
    "log",
    "ckpt",
    "pool",
    "timer",
    "damaged",
    crate::server::DATA_KEY_FILE,
];
/// Syncs that are timed; the median counts.
const PROBES: usize = 21;
/// No disk is faster: a sync that is does nothing.
const FASTEST: Duration = Duration::from_micros(20);
/// A disk that spins and seeks for every sync is faster.
const SLOWEST: Duration = Duration::from_millis(100);
/// A clock that shows less was never set: the first of January 2025.
const EARLIEST: u64 = 1_735_689_600_000;

/// Looks through the data folder and writes a report. Damage is a failure, so that scripts see it.
///
/// # Errors
/// `NotAvailable` while a broker runs there, `Damaged` when something is.
pub fn doctor(config: &Config, print: &mut dyn FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
    let dir = &config.data_dir;
    if !dir.join("log").is_dir() {
        return Err(Failure::Config(format!("{} holds no data", dir.display())));
    }
    let mut names = QueueNames::default();
    let found = look(dir, &mut names)?;
    print(&machine(config).map_err(|source| OpenError::Io { path: dir.clone(), source })?)?;
    print(&told(&found, &names))?;
    print(&strangers(dir).map_err(|source| OpenError::Io { path: dir.clone(), source })?)?;
    match found.damages.len() {
        0 => Ok(()),
        n => Err(Failure::Damaged(format!(
            "{} has {n} damaged place{}; `sluice repair --accept-loss` gives up what cannot be read",
            dir.display(),
            if n == 1 { "" } else { "s" }
        ))),
    }
}

/// Sets damaged files aside, gives up what cannot be read, and says what that was.
///
/// # Errors
/// As [`doctor`]; `Damaged` also when something is beyond repair.
pub fn mend(config: &Config, print: &mut dyn FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
    let dir = &config.data_dir;
    if !dir.join("log").is_dir() {
        return Err(Failure::Config(format!("{} holds no data", dir.display())));
    }
    // The names are learnt first: what is given up may have told some.
    let mut names = QueueNames::default();
    look(dir, &mut names)?;
    let done = repair(&OsVfs, dir, &mut seeing(&mut names))?;
    if done.before.damages.is_empty() {
        return print("nothing is damaged, and nothing was changed\n");
    }
    print(&told(&done.before, &names))?;
    for copy in &done.aside {
        print(&format!("kept aside: {}\n", copy.display()))?;
    }
    if done.after.damages.is_empty() {
        return print("repaired: the broker can start\n");
    }
    Err(Failure::Damaged(format!("beyond repair, so restore a backup:\n{}", told(&done.after, &names))))
}

fn look(dir: &Path, names: &mut QueueNames) -> Result<Inspection, Failure> {
    Ok(inspect(&OsVfs, dir, &mut seeing(names))?)
}

/// Learns names, and which delayed messages wait in files of their own.
fn seeing(names: &mut QueueNames) -> impl FnMut(Seen<'_>) {
    let mut runs = WaitingRuns::default();
    move |seen| match seen {
        Seen::Checkpoint(at, state) => {
            names.checkpoint(state);
            runs.checkpoint(at, state);
        }
        Seen::State(at, record) => {
            names.record(record);
            runs.record(at, record);
        }
        Seen::End(tell) => std::mem::take(&mut runs).runs().for_each(tell),
    }
}

fn told(found: &Inspection, names: &QueueNames) -> String {
    let mut text =
        format!("log: {} segments, {} entries, {} bytes\n", found.segments, found.entries, found.bytes);
    for note in &found.notes {
        let _ = writeln!(text, "note: {note}");
    }
    for damage in &found.damages {
        text.push_str(&one(damage, names));
    }
    if found.damages.is_empty() {
        text.push_str("nothing is damaged\n");
    }
    text
}

fn one(damage: &Damage, names: &QueueNames) -> String {
    let mut text = format!("DAMAGED: {} at byte {}", damage.file.display(), damage.position);
    if let Some(lsn) = damage.lsn {
        let _ = write!(text, " (log position {lsn})");
    }
    let _ = writeln!(text, ": {}", damage.what);
    for lost in &damage.lost {
        let (name, last) = (names.name(lost.queue), lost.to.saturating_sub(1));
        let _ = writeln!(text, "  lost: {name}, offsets {} to {last}", lost.from);
    }
    for LostWaiting { queue, count, from, to } in &damage.waiting {
        let of = queue.map_or_else(|| "of topics that are not known any more".to_owned(), |q| names.name(q));
        let _ =
            writeln!(text, "  lost: {count} delayed messages, {of}, due from {from} to {to} (ms since 1970)");
    }
    text
}

/// What lies in the folder and is none of ours.
fn strangers(dir: &Path) -> io::Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !OURS.contains(&&*name) {
            let _ = writeln!(text, "note: {name} is none of the broker's files"); // writing to a String cannot fail
        }
    }
    Ok(text)
}

/// What the machine has to say.
fn machine(config: &Config) -> io::Result<String> {
    let dir = &config.data_dir;
    let stat = rustix::fs::statfs(dir)?;
    let space = OsVfs.space(dir)?;
    let mut text = format!("file system: {}\n", kind(stat.f_type as u64));
    text.push_str(&free(space.available, space.total, config.store.kept_free(space.total)));
    text.push_str(&sync(sync_time(dir)?));
    if SystemClock.now() < EARLIEST {
        text.push_str("clock: WARNING: it shows a time before this program was written\n");
    }
    Ok(text)
}

/// How much of the disk is free, and whether that is less than a broker leaves.
fn free(available: u64, total: u64, kept: u64) -> String {
    let percent = available.saturating_mul(100) / total.max(1);
    let little =
        if available < kept || available == 0 { " WARNING: a broker refuses messages here" } else { "" };
    format!("free space: {} MiB, {percent}% of the disk{little}\n", available >> 20)
}

/// Whether a disk can take so long for a sync.
fn sync(time: Duration) -> String {
    let odd = match time {
        time if time < FASTEST => " WARNING: too fast to be true, the disk may not keep what it was told to",
        time if time > SLOWEST => {
            " WARNING: too slow for a disk that is well, and whoever sends waits for it"
        }
        _ => "",
    };
    format!("sync of 4 KiB: {} us{odd}\n", time.as_micros())
}

/// How long writing 4 KiB and syncing them takes: the median.
fn sync_time(dir: &Path) -> io::Result<Duration> {
    let path = dir.join("doctor.probe");
    let probe = || -> io::Result<Duration> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        let page = [7; 4096];
        let mut times = Vec::with_capacity(PROBES);
        for _ in 0..PROBES {
            let begun = Instant::now();
            file.write_all_at(&page, 0)?;
            file.sync_data()?;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        Ok(times.get(PROBES / 2).copied().unwrap_or_default())
    };
    let time = probe();
    let removed = fs::remove_file(&path);
    let time = time?;
    removed.map(|()| time)
}

/// The names of file systems by their numbers in Linux, and what to know of them.
fn kind(number: u64) -> String {
    let name = match number {
        0xEF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs: it copies on write, so syncs are slower; `chattr +C` on the folder helps",
        0x2FC1_2FC1 => "zfs: it copies on write, so syncs are slower",
        0x0102_1994 => "tmpfs WARNING: it is in memory, nothing survives a power cut",
        0x794C_7630 => "overlay: of a container; mount a volume for data",
        0x6969 => "nfs WARNING: locks and syncs are only as good as the server",
        0x6573_5546 => "fuse",
        _ => return format!("number {number:#x}, not known here"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_cannot_be_as_it_says_is_told() {
        for (micros, word) in [(5, "too fast"), (19, "too fast"), (100_001, "too slow")] {
            let text = sync(Duration::from_micros(micros));
            assert!(text.contains(&format!("{micros} us WARNING: {word}")), "{text}");
        }
        for micros in [20, 150, 9_000, 100_000] {
            assert_eq!(sync(Duration::from_micros(micros)), format!("sync of 4 KiB: {micros} us\n"));
        }
    }

    #[test]
    fn little_space_is_told() {
        let (mib, disk) = (1 << 20, 1000 << 20);
        assert_eq!(free(100 * mib, disk, 100 * mib), "free space: 100 MiB, 10% of the disk\n");
        let little = free(99 * mib, disk, 100 * mib);
        assert!(little.contains("99 MiB, 9% of the disk WARNING: a broker refuses messages"), "{little}");
        assert!(free(0, 0, 0).contains("WARNING"));
    }

    #[test]
    fn file_systems_that_keep_nothing_or_copy_on_write_are_told() {
        assert_eq!(kind(0xEF53), "ext4");
        assert!(kind(0x0102_1994).contains("tmpfs WARNING"));
        assert!(kind(0x6969).contains("nfs WARNING"));
        for copies in [0x9123_683E, 0x2FC1_2FC1] {
            assert!(kind(copies).contains("copies on write"));
        }
        assert_eq!(kind(0x1234), "number 0x1234, not known here");
    }
}
