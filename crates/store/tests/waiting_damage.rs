//! Damage in the files of delayed messages: every flipped bit is found and told with its place, by who looks from outside
//! and by who looks again while the log is open; a repair gives up what is lost and nothing else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step has to panic")]

use bytes::Bytes;
use sluice_model::units::ByteSize;
use sluice_model::{ManualClock, Message};
use sluice_store::doctor::{Seen, inspect, repair};
use sluice_store::sim::{Dice, SimVfs};
use sluice_store::{Aside, BucketId, Cell, Config, LocalLog, Log, LogQueue, Run, WholeRun, Window, record};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DIR: &str = "data";
const BUCKET: BucketId = BucketId { start: 1000, made: 4096 };
const ALL: Window = Window { after: None, until: u64::MAX };
/// Three blocks of cells and a bit, with its messages, is what a run has here.
const COUNT: u64 = 400;

fn open(vfs: &SimVfs) -> LocalLog {
    let clock = Arc::new(ManualClock::new(5000));
    let config = Config { segment_size: ByteSize::kib(64), ..Config::default() };
    LocalLog::open_by_hand(Arc::new(vfs.clone()), Path::new(DIR), config, clock).unwrap()
}

/// A store with two runs of one bucket.
fn store() -> (SimVfs, Vec<WholeRun>) {
    let vfs = SimVfs::new();
    let log = open(&vfs);
    let message = Message { body: Some(Bytes::from_static(b"body")), ..Message::default() };
    let mut encoded = Vec::new();
    record::encode(&message, 0, &mut encoded);
    let mut runs: Vec<WholeRun> = Vec::new();
    for n in 0..2u64 {
        let aside =
            |k| Aside { due: 1000 + k, lsn: n << 20 | k << 3, queue: LogQueue(16), message: &encoded };
        let mut messages: Vec<_> = (0..COUNT).map(aside).collect();
        let at = runs.last().map_or(0, |run| run.behind);
        let behind = log.buckets().put(BUCKET, at, &mut messages).unwrap();
        runs.push(WholeRun { bucket: BUCKET, at, behind, count: COUNT as u32, end: 2000 });
    }
    log.close().unwrap();
    drop(log);
    (vfs.kill(), runs)
}

fn path() -> PathBuf {
    Path::new(DIR).join("timer").join(format!("{:016x}-{:016x}.tb", BUCKET.start, BUCKET.made))
}

fn seeing(runs: &[WholeRun]) -> impl FnMut(Seen<'_>) + '_ {
    |seen| {
        if let Seen::End(tell) = seen {
            runs.iter().copied().for_each(tell);
        }
    }
}

fn cells(log: &LocalLog, run: &WholeRun) -> Vec<Cell> {
    let mut cells = Vec::new();
    log.buckets().cells(BUCKET, Run { at: run.at, count: run.count }, ALL, usize::MAX, &mut cells).unwrap();
    cells
}

/// Four bytes behind each block's checksum mean nothing.
fn is_filler(at: u64, run: &WholeRun) -> bool {
    let ends = [127, 254, 381, 400].into_iter().zip(1u64..);
    ends.map(|(cells, blocks)| run.at + 64 + cells * 32 + blocks * 8).any(|end| (end - 4..end).contains(&at))
}

#[test]
fn a_flipped_bit_anywhere_is_found_told_and_given_up() {
    let (vfs, runs) = store();
    let nothing = inspect(&vfs.kill(), Path::new(DIR), &mut seeing(&runs)).unwrap();
    assert!(nothing.damages.is_empty(), "{:?}", nothing.damages);
    let mut dice = Dice::new(7);
    for at in (0..runs[1].behind).step_by(61) {
        let harmed = vfs.kill();
        let bit = 1 << dice.below(8);
        harmed.edit(&path(), |bytes| bytes[at as usize] ^= bit);
        let run = runs.iter().find(|run| (run.at..run.behind).contains(&at)).unwrap();
        let found = inspect(&harmed.kill(), Path::new(DIR), &mut seeing(&runs)).unwrap();
        if is_filler(at, run) {
            assert!(found.damages.is_empty());
            continue;
        }
        let [damage] = &found.damages[..] else { panic!("byte {at}: {:?}", found.damages) };
        assert_eq!(damage.file, path());
        assert!(damage.position <= at && at - damage.position < 5000, "byte {at}: {damage}");
        let [lost] = &damage.waiting[..] else { panic!("byte {at}: {damage:?}") };
        assert!(lost.count > 0 && lost.from >= 1000 && lost.to < 2000 && lost.from <= lost.to, "{lost:?}");

        // The same by who looks while the log is open.
        let log = open(&harmed.kill());
        runs.iter().for_each(|run| assert!(log.buckets().check(run).unwrap() > 0));
        assert_eq!(log.damages(), found.damages);
        drop(log);

        let told = repair(&harmed, Path::new(DIR), &mut seeing(&runs)).unwrap();
        assert!(
            told.after.damages.is_empty() && told.aside.len() == 1,
            "byte {at}: {:?}",
            told.after.damages
        );
        let log = open(&harmed);
        for run in &runs {
            let cells = cells(&log, run);
            assert_eq!(cells.len() as u64, COUNT);
            assert!(cells.is_sorted_by_key(|cell| (cell.due, cell.lsn)), "byte {at}");
            let kept: Vec<Cell> = cells.into_iter().filter(|cell| cell.queue == LogQueue(16)).collect();
            let read = log.buckets().messages(BUCKET, &kept).unwrap();
            assert!(read.iter().all(|m| m.as_ref().is_ok_and(|m| m.body_bytes() == b"body")));
            // A header costs nothing; of the rest goes what was told.
            let lost = if damage.position == run.at { 0 } else { lost.count };
            let lost = if (run.at..run.behind).contains(&at) { lost } else { 0 };
            assert_eq!(kept.len() as u64, COUNT - lost, "byte {at}");
        }
    }
}

#[test]
fn a_file_that_is_cut_off_or_missing_is_damage_and_no_end() {
    let (vfs, runs) = store();
    let cut = vfs.kill();
    cut.edit(&path(), |bytes| bytes.truncate(runs[1].at as usize + 70));
    let found = inspect(&cut.kill(), Path::new(DIR), &mut seeing(&runs)).unwrap();
    assert_eq!(found.damages.iter().flat_map(|d| &d.waiting).map(|lost| lost.count).sum::<u64>(), COUNT);
    let told = repair(&cut, Path::new(DIR), &mut seeing(&runs)).unwrap();
    assert!(told.after.damages.is_empty(), "{:?}", told.after.damages);
    assert!(cells(&open(&cut), &runs[1]).iter().all(|cell| cell.queue == LogQueue(0)));

    let gone = vfs.kill();
    sluice_store::vfs::Vfs::remove(&gone, &path()).unwrap();
    let found = inspect(&gone.kill(), Path::new(DIR), &mut seeing(&runs)).unwrap();
    assert_eq!(found.damages.len(), 2);
    let told = repair(&gone, Path::new(DIR), &mut seeing(&runs)).unwrap();
    assert!(told.after.damages.is_empty(), "{:?}", told.after.damages);
    assert_eq!(cells(&open(&gone), &runs[0]).len() as u64, COUNT);

    // What no record tells of is no damage.
    let found = inspect(&vfs, Path::new(DIR), &mut |_| {}).unwrap();
    assert!(found.damages.is_empty() && found.notes.iter().any(|note| note.contains("nothing that waits")));
}

#[test]
fn what_waits_tells_which_store_this_is_where_nothing_else_does() {
    let (vfs, runs) = store();
    vfs.edit(Path::new("data/store.meta"), |bytes| bytes.fill(7));
    for segment in vfs.files().into_keys().filter(|path| path.starts_with("data/log")) {
        // Header and, where there is one, footer.
        vfs.edit(&segment, |bytes| {
            let footer = bytes.len() - 4096;
            [20, footer + 20].into_iter().for_each(|at| bytes[at] ^= 1);
        });
    }
    // Under another name it would not be this store's.
    let told = repair(&vfs, Path::new(DIR), &mut seeing(&runs)).unwrap();
    let what = told.before.damages.first().map(|damage| damage.what.as_str());
    assert_eq!(what, Some("it is missing or not readable; other files tell what it said"));
    assert!(told.before.damages.iter().all(|damage| damage.waiting.is_empty()), "{:?}", told.before.damages);
    assert!(told.after.damages.is_empty(), "{:?}", told.after.damages);
    let log = open(&vfs);
    runs.iter().for_each(|run| assert_eq!(cells(&log, run).len() as u64, COUNT));
}
