//! A backup is the log as it was at one moment, with everything acknowledged before; and nothing damaged passes for one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step has to panic")]

use sluice_model::units::ByteSize;
use sluice_model::{ManualClock, SystemClock};
use sluice_store::backup::{BackupError, Copied, Manner, restore, take};
use sluice_store::sim::SimVfs;
use sluice_store::suite::{append, body, message, patiently, read_all, send};
use sluice_store::vfs::{OsVfs, Vfs};
use sluice_store::{Config, Durability, LocalLog, Log};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const DATA: &str = "data";
const BACKUP: &str = "backup";
const AGAIN: &str = "again";
const PAGE: usize = 4096;

fn config() -> Config {
    Config { segment_size: ByteSize::kib(64), ..Config::default() }
}

fn backup_of(vfs: &dyn Vfs, dir: &Path, to: &Path) -> Result<Copied, BackupError> {
    take(vfs, dir, &["secrets.key"], to, &mut Manner { verify: true, pace: &mut |_| {} })
}

fn restored(vfs: &dyn Vfs, from: &Path, to: &Path) -> Result<Copied, BackupError> {
    restore(vfs, from, to, &mut Manner { verify: true, pace: &mut |_| {} })
}

#[test]
fn a_log_under_load_is_copied_as_of_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let log = LocalLog::open(&dir.path().join(DATA), config(), Arc::new(SystemClock)).unwrap();
    let (acknowledged, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                // Two entries of one atomic group: the copy has both or none.
                let texts = [format!("{n}.a:{}", "x".repeat(n * 31 % 3000)), format!("{n}.b")];
                let messages = texts.each_ref().map(|text| message(text));
                let group = messages.each_ref().map(|message| append(1, message, n as u64));
                patiently(&log, &group, Durability::Sync).done.wait().unwrap();
                acknowledged.store(n + 1, Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            let mut at = 0;
            while !stop.load(Ordering::SeqCst) {
                if acknowledged.load(Ordering::SeqCst) >= at + 10 {
                    at = acknowledged.load(Ordering::SeqCst);
                    log.write_checkpoint(log.end(), b"state").unwrap();
                }
                std::thread::yield_now();
            }
        });
        // Also when a step here fails, so that the failure is seen.
        let _ends = Ends(&stop);
        for round in 0..6 {
            while acknowledged.load(Ordering::SeqCst) < 40 * (round + 1) {
                std::thread::yield_now();
            }
            let before = acknowledged.load(Ordering::SeqCst);
            let (to, again) = (dir.path().join(format!("b{round}")), dir.path().join(format!("r{round}")));
            let made = backup_of(&OsVfs, &dir.path().join(DATA), &to).unwrap();
            assert_eq!(restored(&OsVfs, &to, &again).unwrap(), made);
            let copy = LocalLog::open(&again, config(), Arc::new(SystemClock)).unwrap();
            assert!(copy.checkpoint().unwrap().is_some());
            let found: Vec<String> = read_all(&copy, 1)
                .iter()
                .map(|entry| body(entry).split(':').next().unwrap().into())
                .collect();
            let wanted: Vec<String> =
                (0..found.len() / 2).flat_map(|n| [format!("{n}.a"), format!("{n}.b")]).collect();
            assert_eq!(found, wanted, "whole groups in order, and nothing else");
            assert!(found.len() >= 2 * before, "{} of {before} groups", found.len());
            assert!(send(&copy, 1, "after", 9).offset >= found.len() as u64, "and it goes on");
        }
    });
}

/// Ends what waits for it.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn nothing_is_deleted_while_a_backup_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join(DATA);
    let log = LocalLog::open(&data, config(), Arc::new(SystemClock)).unwrap();
    for n in 0..120 {
        send(&log, 1, &format!("{n}{}", "x".repeat(3000)), 1);
    }
    log.write_checkpoint(log.end(), b"one").unwrap();
    send(&log, 1, "between", 1);
    log.write_checkpoint(log.end(), b"two").unwrap();
    let mut kept = Vec::new();
    let mut trim = |_| kept.push(log.trim(u64::MAX, u64::MAX).unwrap());
    let manner = &mut Manner { verify: false, pace: &mut trim };
    take(&OsVfs, &data, &[], &dir.path().join(BACKUP), manner).unwrap();
    assert!(kept.len() > 3 && kept.iter().all(|first| *first == 0), "{kept:?}");
    assert!(log.trim(u64::MAX, u64::MAX).unwrap() > 0, "afterwards it is");
    let copied = restored(&OsVfs, &dir.path().join(BACKUP), &dir.path().join(AGAIN)).unwrap();
    assert!(copied.entries >= 120);
}

/// A closed or killed log of several segments with a checkpoint, and a file that the store does not know.
fn left(closed: bool) -> SimVfs {
    let vfs = SimVfs::seeded(3);
    let log =
        LocalLog::open_on(Arc::new(vfs.clone()), Path::new(DATA), config(), Arc::new(ManualClock::new(1)));
    let log = log.unwrap();
    for n in 0..60 {
        send(&log, n % 2, &format!("{n}:{}", "y".repeat(3000)), 1);
        if n == 30 {
            log.write_checkpoint(log.end(), b"half").unwrap();
        }
    }
    if closed {
        log.close().unwrap();
    }
    vfs.put(Path::new("data/secrets.key"), b"key".to_vec());
    vfs.put(Path::new("data/timer/1-2.tb"), vec![9; 5000]);
    vfs.kill()
}

fn read(vfs: &SimVfs, dir: &str) -> Vec<Vec<String>> {
    let log =
        LocalLog::open_on(Arc::new(vfs.clone()), Path::new(dir), config(), Arc::new(ManualClock::new(1)));
    let log = log.unwrap();
    (0..2).map(|queue| read_all(&log, queue).iter().map(body).collect()).collect()
}

#[test]
fn a_store_that_nobody_has_open_comes_back_the_same() {
    for closed in [true, false] {
        let vfs = left(closed);
        let made = backup_of(&vfs, Path::new(DATA), Path::new(BACKUP)).unwrap();
        let files = vfs.files();
        assert_eq!(restored(&vfs, Path::new(BACKUP), Path::new(AGAIN)).unwrap(), made);
        for name in ["store.meta", "secrets.key", "timer/1-2.tb"] {
            assert_eq!(
                vfs.files()[&Path::new(AGAIN).join(name)],
                files[&Path::new(DATA).join(name)],
                "{name}"
            );
        }
        assert_eq!(read(&vfs, AGAIN), read(&vfs, DATA));
    }
}

#[test]
fn any_changed_byte_of_a_backup_is_noticed() {
    let vfs = left(false);
    backup_of(&vfs, Path::new(DATA), Path::new(BACKUP)).unwrap();
    let files: Vec<(PathBuf, usize)> = vfs
        .files()
        .into_iter()
        .filter(|(path, bytes)| path.starts_with(BACKUP) && !bytes.is_empty())
        .map(|(path, bytes)| (path, bytes.len()))
        .collect();
    assert!(files.len() > 5, "{files:?}");
    for (path, len) in files {
        // Behind the last segment's entries lies an empty page, which is not copied.
        let len = if path.extension().is_some_and(|end| end == "seg") { len - PAGE } else { len };
        for at in [0, len / 3, len / 2, len - 1] {
            let copy = vfs.kill();
            copy.edit(&path, |bytes| bytes[at] ^= 0x20);
            let outcome = restored(&copy, Path::new(BACKUP), Path::new(AGAIN));
            assert!(matches!(outcome, Err(BackupError::NoBackup { .. })), "{} byte {at}", path.display());
            let opened = LocalLog::open_on(
                Arc::new(copy.clone()),
                Path::new(AGAIN),
                config(),
                Arc::new(ManualClock::new(1)),
            );
            // Nothing but what was never begun passes for a store.
            assert!(
                opened.is_err()
                    || opened.is_ok_and(|log| (0..2).all(|queue| read_all(&log, queue).is_empty()))
            );
        }
        let copy = vfs.kill();
        copy.remove(&path).unwrap();
        assert!(restored(&copy, Path::new(BACKUP), Path::new(AGAIN)).is_err(), "{}", path.display());
    }
}

#[test]
fn damage_is_not_carried_into_a_backup() {
    let vfs = left(true);
    let segment = vfs.files().into_keys().find(|path| path.starts_with("data/log")).unwrap();
    vfs.edit(&segment, |bytes| bytes[5000] ^= 1);
    let Err(BackupError::Damaged(damages)) = backup_of(&vfs, Path::new(DATA), Path::new(BACKUP)) else {
        panic!("a damaged store was copied");
    };
    assert_eq!(damages[0].lost.len(), 1, "{damages:?}");
    let outcome = restored(&vfs, Path::new(BACKUP), Path::new(AGAIN));
    assert!(matches!(outcome, Err(BackupError::NoBackup { .. })), "it has no list");
}

#[test]
fn only_an_empty_folder_is_written_to_and_only_one_backup_made_at_a_time() {
    let vfs = left(true);
    let (data, backup, again) = (Path::new(DATA), Path::new(BACKUP), Path::new(AGAIN));
    assert!(matches!(backup_of(&vfs, data, data), Err(BackupError::NotEmpty(_))));
    assert!(matches!(backup_of(&vfs, again, backup), Err(BackupError::NoStore(_))));
    let pin = vfs.lock(Path::new("data/BACKUP")).unwrap();
    assert!(matches!(backup_of(&vfs, data, &backup.join("busy")), Err(BackupError::Busy(_))));
    drop(pin);
    backup_of(&vfs, data, backup).unwrap();
    assert!(matches!(restored(&vfs, backup, data), Err(BackupError::NotEmpty(_))));
    assert!(matches!(restored(&vfs, data, again), Err(BackupError::NoBackup { .. })));
    restored(&vfs, backup, again).unwrap();
    assert!(matches!(restored(&vfs, backup, again), Err(BackupError::NotEmpty(_))));
}

#[test]
fn a_power_cut_leaves_a_whole_copy_or_none() {
    let vfs = left(true);
    let wanted = read(&vfs.kill(), DATA);
    for nth in (1..400).step_by(3) {
        let vfs = vfs.kill();
        vfs.stop_at(nth);
        let ended = backup_of(&vfs, Path::new(DATA), Path::new(BACKUP)).is_ok();
        let vfs = vfs.power_cut(nth);
        match restored(&vfs, Path::new(BACKUP), Path::new(AGAIN)) {
            Ok(_) => assert_eq!(read(&vfs, AGAIN), wanted, "call {nth}"),
            Err(error) => assert!(!ended, "call {nth}: {error}"),
        }
        if ended {
            return;
        }
    }
    panic!("it takes more calls");
}
