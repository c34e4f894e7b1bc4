//! What the log does when the disk is damaged, full, failing, or used by someone else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step has to panic")]

use crc_fast::{CrcAlgorithm, checksum};
use sluice_model::units::ByteSize;
use sluice_model::{ErrorKind, ManualClock};
use sluice_store::sim::{Call, SimVfs};
use sluice_store::suite::{ALL, append, body, message, patiently, read, read_all, send, state};
use sluice_store::vfs::Vfs as _;
use sluice_store::{
    Append, Config, Damage, Durability, LocalLog, Log, LogQueue, LostOffsets, OpenError, Read,
};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

const EIO: i32 = 5;
const EACCES: i32 = 13;

fn config() -> Config {
    Config { segment_size: ByteSize::kib(64), ..Config::default() }
}

fn try_open(vfs: &SimVfs, clock: &Arc<ManualClock>) -> Result<LocalLog, OpenError> {
    LocalLog::open_on(Arc::new(vfs.clone()), Path::new("data"), config(), Arc::clone(clock) as _)
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(1_000_000))
}

fn open(vfs: &SimVfs) -> LocalLog {
    try_open(vfs, &clock()).unwrap()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        thread::yield_now();
    }
}

fn segments(vfs: &SimVfs) -> Vec<PathBuf> {
    vfs.files().into_keys().filter(|path| path.starts_with("data/log")).collect()
}

fn bodies(log: &LocalLog, queue: u32) -> Vec<String> {
    read_all(log, queue).iter().map(body).collect()
}

/// How every entry begins.
const BEGIN: [u8; 2] = [0xFE, 2];
/// What the mark of an orderly end takes, which tells that everything is durable.
const MARK: u64 = 32;

/// A killed log with five messages, each known to be durable when the next was written, and where they lie.
fn five() -> (SimVfs, Vec<u64>) {
    let vfs = SimVfs::new();
    let log = open(&vfs);
    let places = (0..5).map(|n| send(&log, 1, &format!("message {n}"), 1).lsn).collect();
    (vfs.kill(), places)
}

fn damage(vfs: &SimVfs) -> Damage {
    let before: Vec<_> = vfs.files().into_iter().collect();
    let damage = match try_open(vfs, &clock()) {
        Err(OpenError::Damaged(damage)) => *damage,
        Err(other) => panic!("not told as damage: {other}"),
        Ok(_) => panic!("opened in spite of damage"),
    };
    assert!(vfs.files().into_iter().eq(before), "nothing is changed on disk");
    damage
}

#[test]
fn damage_before_acknowledged_data_is_told_exactly() {
    let (vfs, places) = five();
    let segment = segments(&vfs)[0].clone();
    for at in [places[1] + 3, places[1] + 26, places[1] + 40] {
        let copy = vfs.kill();
        copy.edit(&segment, |bytes| bytes[at as usize] ^= 0x10);
        let damage = damage(&copy);
        assert_eq!((&damage.file, damage.position, damage.lsn), (&segment, places[1], Some(places[1])));
        assert_eq!(damage.lost, [LostOffsets { queue: 1, from: 1, to: 2 }]);
        let text = damage.to_string();
        assert!(text.contains("queue 1 lacks offsets 1 to 1"), "{text}");
    }
}

#[test]
fn a_torn_end_is_cut_off_and_appending_goes_on() {
    let (vfs, places) = five();
    let segment = segments(&vfs)[0].clone();
    vfs.edit(&segment, |bytes| bytes[places[4] as usize + 40] ^= 1);
    let log = open(&vfs);
    assert_eq!(bodies(&log, 1), ["message 0", "message 1", "message 2", "message 3"]);
    assert_eq!(send(&log, 1, "after", 1).offset, 4);
    log.close().unwrap();
    assert_eq!(bodies(&open(&vfs), 1).last().unwrap(), "after");
}

#[test]
fn a_group_that_is_torn_is_dropped_whole() {
    let vfs = SimVfs::new();
    let log = open(&vfs);
    send(&log, 1, "first", 1);
    let parts = [message("one"), message("two"), message("three")];
    let group: Vec<Append<'_>> = parts.iter().map(|part| append(1, part, 1)).collect();
    let ticket = log.append(&group, Durability::Sync).unwrap();
    let last = ticket.placed[2].lsn;
    ticket.done.wait().unwrap();
    let vfs = vfs.kill();
    vfs.edit(&segments(&vfs)[0], |bytes| bytes[last as usize + 40] ^= 1);
    let log = open(&vfs);
    assert_eq!(bodies(&log, 1), ["first"]);
    assert_eq!(log.next_offset(LogQueue(1)), 1);
}

#[test]
fn the_mark_after_a_quiet_time_exposes_damage_of_the_last_entry() {
    let vfs = SimVfs::new();
    let log = open(&vfs);
    let placed = send(&log, 1, "the last one", 1);
    let (place, end) = (placed.lsn, placed.lsn as usize + placed.size as usize);
    until("a mark", || vfs.kill().files()[&segments(&vfs)[0]][end..].starts_with(&BEGIN));
    let vfs = vfs.kill();
    let segment = segments(&vfs)[0].clone();
    vfs.edit(&segment, |bytes| bytes[end - 5] ^= 1);
    assert_eq!(damage(&vfs).position, place);
}

#[test]
fn a_missing_segment_and_a_lost_header_are_damage() {
    let vfs = SimVfs::new();
    let log = open(&vfs);
    for n in 0..60 {
        send(&log, 1, &format!("{n}{}", "x".repeat(3000)), 1);
    }
    let vfs = vfs.kill();
    let all = segments(&vfs);
    assert!(all.len() >= 3, "{all:?}");
    for missing in [&all[0], &all[1]] {
        let copy = vfs.kill();
        sluice_store::vfs::Vfs::remove(&copy, missing).unwrap();
        damage(&copy);
    }
    for broken in [&all[0], all.last().unwrap()] {
        let copy = vfs.kill();
        copy.edit(broken, |bytes| bytes[20] ^= 1);
        assert_eq!((damage(&copy).file, damage(&copy).position), (broken.clone(), 0));
    }
}

#[test]
fn damage_in_a_sealed_segment_is_told_by_the_read() {
    let vfs = SimVfs::new();
    let log = open(&vfs);
    let places: Vec<u64> = (0..5).map(|n| send(&log, 1, &format!("message {n}"), 1).lsn).collect();
    log.close().unwrap();
    vfs.edit(&segments(&vfs)[0], |bytes| bytes[places[2] as usize + 40] ^= 1);
    let log = open(&vfs);
    let Read::Cold(cold) = log.read(LogQueue(1), 0, &ALL).unwrap() else { panic!("not from the disk") };
    assert_eq!(cold().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(log.read_at(places[2]).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(read(&log, 1, 3, &ALL).entries.len(), 2, "what is behind can be read");
    assert_eq!(log.replay(0, &mut |_| {}).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_damaged_index_is_told_by_the_read() {
    let vfs = SimVfs::new();
    let log = open(&vfs);
    let placed = send(&log, 1, "message", 1);
    log.close().unwrap();
    // Behind the record and the mark of the orderly end lies the first index block.
    let block = (placed.lsn + u64::from(placed.size) + MARK) as usize;
    vfs.edit(&segments(&vfs)[0], |bytes| bytes[block + 9] ^= 1);
    let log = open(&vfs);
    let Read::Cold(cold) = log.read(LogQueue(1), 0, &ALL).unwrap() else { panic!("not from the disk") };
    assert_eq!(cold().unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn a_damaged_footer_is_written_anew() {
    let vfs = SimVfs::new();
    let log = open(&vfs);
    send(&log, 1, "message", 1);
    log.close().unwrap();
    vfs.edit(&segments(&vfs)[0], |bytes| *bytes.last_mut().unwrap() ^= 1);
    for _ in 0..2 {
        let log = open(&vfs);
        assert_eq!(bodies(&log, 1), ["message"]);
        log.close().unwrap();
    }
}

#[test]
fn a_broken_newest_checkpoint_falls_back_to_the_older() {
    let vfs = SimVfs::new();
    let log = open(&vfs);
    for n in 0..3 {
        send(&log, 1, "x", 1);
        log.write_checkpoint(log.end(), format!("state {n}").as_bytes()).unwrap();
    }
    log.close().unwrap();
    let checkpoints: Vec<PathBuf> =
        vfs.files().into_keys().filter(|path| path.starts_with("data/ckpt")).collect();
    assert_eq!(checkpoints.len(), 2, "the newest two are kept");
    vfs.edit(&checkpoints[1], |bytes| *bytes.last_mut().unwrap() ^= 1);
    let log = open(&vfs);
    assert_eq!(log.checkpoint().unwrap().unwrap().1, "state 1");
    send(&log, 1, "x", 1);
    log.write_checkpoint(log.end(), b"state 3").unwrap();
    log.close().unwrap();
    assert_eq!(open(&vfs).checkpoint().unwrap().unwrap().1, "state 3");
}

#[test]
fn a_start_that_stops_halfway_can_be_repeated() {
    for empty in [true, false] {
        let vfs = SimVfs::new();
        let log = open(&vfs);
        if !empty {
            send(&log, 1, "x", 1);
            log.close().unwrap();
        }
        let vfs = vfs.kill();
        let log = open(&vfs);
        log.write_checkpoint(log.end(), b"state").unwrap();
        drop(log);
        for call in [Call::Rename, Call::Write, Call::Sync, Call::SyncDir, Call::Open] {
            for nth in 1..12 {
                let vfs = vfs.kill();
                vfs.fail(call, nth, EIO);
                let first = try_open(&vfs, &clock());
                let left = vfs.power_cut(nth);
                drop(first);
                assert_eq!(bodies(&open(&left), 1).len(), usize::from(!empty));
            }
        }
    }
}

#[test]
fn a_second_opener_is_told_so() {
    let vfs = SimVfs::new();
    let log = open(&vfs);
    assert!(matches!(try_open(&vfs, &clock()), Err(OpenError::InUse { .. })));
    log.close().unwrap();
    open(&vfs);

    let dir = tempfile::tempdir().unwrap();
    let log = LocalLog::open(dir.path(), config(), clock()).unwrap();
    let second = LocalLog::open(dir.path(), config(), clock());
    let process = match second {
        Err(OpenError::InUse { process, .. }) => process,
        _ => panic!("opened twice"),
    };
    assert_eq!(process, Some(std::process::id()));
    drop(log);
    LocalLog::open(dir.path(), config(), clock()).unwrap();
}

#[test]
fn a_refusal_of_the_system_is_told_from_other_failures() {
    for (error, denied) in [(EACCES, true), (EIO, false)] {
        let vfs = SimVfs::new();
        vfs.fail(Call::Open, 1, error);
        match try_open(&vfs, &clock()) {
            Err(OpenError::NotPermitted { .. }) => assert!(denied),
            Err(OpenError::Io { .. }) => assert!(!denied),
            _ => panic!("neither"),
        }
    }
}

#[test]
fn another_format_is_not_touched() {
    let vfs = SimVfs::new();
    open(&vfs).close().unwrap();
    let known = u32::from_le_bytes(vfs.files()[Path::new("data/store.meta")][8..12].try_into().unwrap());
    // The one before, and one of a time to come.
    for version in [known - 1, known + 7] {
        of_another_format(known, version);
    }
}

fn of_another_format(known: u32, version: u32) {
    let other = |bytes: &mut Vec<u8>, page: std::ops::Range<usize>| {
        let page = &mut bytes[page];
        page[8..12].copy_from_slice(&version.to_le_bytes());
        page[12..16].fill(0);
        let crc = checksum(CrcAlgorithm::Crc32Iscsi, page) as u32;
        page[12..16].copy_from_slice(&crc.to_le_bytes());
    };
    let vfs = SimVfs::new();
    let log = open(&vfs);
    send(&log, 1, "x", 1);
    log.write_checkpoint(log.end(), b"state").unwrap();
    log.close().unwrap();
    let paths: Vec<PathBuf> = vfs.files().into_keys().filter(|path| !path.starts_with("data/pool")).collect();
    for path in paths.iter().filter(|path| !path.ends_with("LOCK")) {
        let copy = vfs.kill();
        let checkpoint = path.starts_with("data/ckpt");
        copy.edit(path, |bytes| {
            let len = bytes.len();
            other(bytes, 0..if checkpoint { len } else { 4096 });
            if path.ends_with("store.meta") {
                other(bytes, 4096..8192);
            }
        });
        let before = copy.files();
        match try_open(&copy, &clock()) {
            Err(error @ OpenError::OtherFormat { found, known: told, .. }) => {
                assert_eq!((found, told), (version, known));
                let said = format!(
                    "has format version {version}; this program reads and writes format version {known} only"
                );
                assert!(error.to_string().contains(&said), "{error}");
            }
            Err(other) => panic!("{}: {other}", path.display()),
            Ok(_) => panic!("{}: opened", path.display()),
        }
        assert_eq!(copy.files(), before, "nothing is changed on disk");
    }
    vfs.edit(Path::new("data/store.meta"), |bytes| bytes.fill(0));
    assert!(matches!(try_open(&vfs, &clock()), Err(OpenError::Damaged(_))));
}

#[test]
fn one_copy_of_the_format_is_enough() {
    let vfs = SimVfs::new();
    open(&vfs).close().unwrap();
    vfs.edit(Path::new("data/store.meta"), |bytes| bytes[..4096].fill(0));
    open(&vfs);
}

#[test]
fn a_failed_sync_is_final() {
    for call in [Call::Sync, Call::Write] {
        let vfs = SimVfs::new();
        let log = open(&vfs);
        send(&log, 1, "safe", 1);
        until("the next file", || {
            !vfs.files().keys().all(|path| path.extension().is_none_or(|e| e != "free"))
        });
        let mut failed = log.failed();
        assert!(failed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        vfs.fail(call, 1, EIO);
        let ticket = log.append(&[append(1, &message("lost"), 1)], Durability::Sync).unwrap();
        assert_eq!(ticket.done.wait().unwrap_err().kind(), ErrorKind::Unavailable);
        vfs.heal();
        let refused = log.append(&[append(1, &message("late"), 1)], Durability::Sync);
        assert_eq!(refused.err().unwrap().kind(), ErrorKind::Unavailable, "there is no second try");
        let reason = match Pin::new(&mut failed).poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(reason) => format!("{reason:?}"),
            std::task::Poll::Pending => panic!("the failure is not told"),
        };
        assert!(reason.contains("data/log/"), "{reason}");
        assert_eq!(log.bounds(LogQueue(1)).next, 1, "what is not safe is not readable");
        assert_eq!(bodies(&log, 1), ["safe"], "what is safe can be read");
        assert!(log.close().is_err());
        let log = open(&vfs.power_cut(7));
        assert_eq!(bodies(&log, 1)[0], "safe");
    }
}

#[test]
fn nothing_is_readable_before_it_is_safe() {
    let vfs = SimVfs::new();
    let log = open(&vfs);
    vfs.hold_syncs(true);
    let mut ticket = log.append(&[append(1, &message("x"), 1)], Durability::Sync).unwrap();
    let lsn = ticket.placed[0].lsn;
    // Written, but not synced: the bytes are in the file.
    until("the write", || vfs.files()[&segments(&vfs)[0]][lsn as usize..].starts_with(&BEGIN));
    assert!(Pin::new(&mut ticket.done).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(log.bounds(LogQueue(1)).next, 0);
    assert_eq!(log.next_offset(LogQueue(1)), 1);
    assert!(read(&log, 1, 0, &ALL).entries.is_empty());
    assert!(log.read_at(lsn).unwrap().is_none());
    vfs.hold_syncs(false);
    ticket.done.wait().unwrap();
    assert_eq!(bodies(&log, 1), ["x"]);
}

#[test]
fn a_full_disk_refuses_messages_keeps_state_and_recovers() {
    let clock = clock();
    let vfs = SimVfs::new();
    vfs.set_capacity(400 << 10);
    let log = try_open(&vfs, &clock).unwrap();
    let filler = message(&"x".repeat(3000));
    let mut sent = 0u64;
    until("a full disk", || match log.append(&[append(1, &filler, 1)], Durability::Sync) {
        Ok(ticket) => {
            ticket.done.wait().unwrap();
            sent += 1;
            false
        }
        Err(error) if error.kind() == ErrorKind::StorageFull => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Throttled);
            false
        }
    });
    assert!(!log.space().accepts_messages);
    assert_eq!(log.bounds(LogQueue(1)).next, sent, "everything acknowledged is there");
    for n in 0..20 {
        patiently(&log, &[state(format!("ack {n}").as_bytes())], Durability::Sync).done.wait().unwrap();
    }
    let both = [state(b"ack"), append(2, &filler, 1)];
    let refused = log.append(&both, Durability::Sync).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::StorageFull, "a group with a message is a message");

    vfs.set_capacity(4 << 20);
    until("acceptance", || {
        clock.advance(1001);
        match log.append(&[append(1, &filler, 1)], Durability::Sync) {
            Ok(ticket) => ticket.done.wait().map(|()| sent += 1).is_ok(),
            Err(_) => false,
        }
    });
    assert!(log.space().accepts_messages);
    log.close().unwrap();
    let log = try_open(&vfs, &clock).unwrap();
    assert_eq!(log.bounds(LogQueue(1)).next, sent);
}

#[test]
fn the_guard_counts_what_others_take() {
    let clock = clock();
    let vfs = SimVfs::new();
    vfs.set_capacity(1 << 20);
    let log = try_open(&vfs, &clock).unwrap();
    send(&log, 1, "x", 1);
    vfs.set_capacity(vfs.used() + 1000);
    clock.advance(1001);
    until("the guard", || {
        clock.advance(1001);
        log.append(&[append(1, &message("x"), 1)], Durability::Sync)
            .is_err_and(|error| error.kind() == ErrorKind::StorageFull)
    });
    assert!(log.space().used_per_mille > 900);
}

#[test]
fn what_others_take_of_a_large_disk_is_no_reason_to_refuse() {
    let clock = clock();
    let vfs = SimVfs::new();
    vfs.open(Path::new("of others"), true).unwrap().set_len(8 << 20).unwrap();
    let config = Config { disk_spare: ByteSize::kib(1), ..config() };
    let log = LocalLog::open_on(Arc::new(vfs.clone()), Path::new("data"), config, clock.clone()).unwrap();
    send(&log, 1, "x", 1);
    // Room for every file that the log may want meanwhile, and far less than a tenth.
    vfs.set_capacity(vfs.used() + (512 << 10));
    clock.advance(1001);
    send(&log, 1, "y", 1);
    until("a look", || log.space().used_per_mille > 900);
    send(&log, 1, "z", 1);
    assert!(log.space().accepts_messages);
}

#[test]
fn too_many_waiting_bytes_are_throttled() {
    let vfs = SimVfs::new();
    let config = Config { max_pending: ByteSize::kib(8), ..config() };
    let log = LocalLog::open_on(Arc::new(vfs.clone()), Path::new("data"), config, clock()).unwrap();
    vfs.hold_syncs(true);
    let filler = message(&"x".repeat(3000));
    let mut tickets = Vec::new();
    until("a refusal", || match log.append(&[append(1, &filler, 1)], Durability::Sync) {
        Ok(ticket) => {
            tickets.push(ticket);
            assert!(tickets.len() < 10);
            false
        }
        Err(error) => error.kind() == ErrorKind::Throttled,
    });
    vfs.hold_syncs(false);
    tickets.into_iter().for_each(|ticket| ticket.done.wait().unwrap());
    send(&log, 1, "goes on", 1);
}

#[test]
fn trimmed_files_are_used_again_or_deleted() {
    let vfs = SimVfs::new();
    let log = open(&vfs);
    for round in 0..6 {
        for n in 0..60 {
            send(&log, 1, &format!("{n}{}", "x".repeat(3000)), round);
        }
        for _ in 0..2 {
            log.append(&[], Durability::Sync).unwrap().done.wait().unwrap();
            send(&log, 1, "x", round);
            log.write_checkpoint(log.end(), b"state").unwrap();
        }
        until("sealing", || {
            log.trim(u64::MAX, u64::MAX).unwrap();
            segments(&vfs).len() <= 2
        });
    }
    let kept = log.bounds(LogQueue(1));
    assert!(kept.next - kept.min < 100, "{kept:?}");
    for seed in 0..20 {
        // Old entries in files that are used again are never taken for new ones.
        let log = open(&vfs.power_cut(seed));
        assert_eq!(log.bounds(LogQueue(1)), kept);
        assert_eq!(read_all(&log, 1).len() as u64, kept.next - kept.min);
    }
    log.close().unwrap();
    assert!(vfs.used() < 12 * (64 << 10), "{}", vfs.used());
    assert_eq!(open(&vfs).bounds(LogQueue(1)), kept);
}

/// A file prepared while a deleted segment's comes back would be written for nothing.
#[test]
fn nothing_is_prepared_while_deleted_files_come_back() {
    let vfs = SimVfs::new();
    let open = LocalLog::open_by_hand(Arc::new(vfs.clone()), Path::new("data"), config(), clock());
    let log = open.unwrap();
    let send = || {
        let filler = message(&"x".repeat(3000));
        let ticket = log.append(&[append(1, &filler, 1)], Durability::Sync).unwrap();
        log.commit();
        ticket.done.wait().unwrap();
        while log.keep_files() {}
    };
    // Fills one segment, as far as the middle of the next.
    let fill = || {
        let before = segments(&vfs).pop();
        while segments(&vfs).pop() == before {
            send();
        }
        (0..8).for_each(|_| send());
    };
    let prepared = || {
        let blank = |bytes: &Vec<u8>| bytes.iter().all(|byte| *byte == 0);
        let files = vfs.files();
        let pool: Vec<bool> = files
            .iter()
            .filter(|(path, _)| path.starts_with("data/pool"))
            .map(|(_, bytes)| blank(bytes))
            .collect();
        (pool.len(), pool.iter().filter(|blank| **blank).count())
    };
    fill();
    fill();
    assert_eq!(prepared(), (2, 2), "nothing is deleted: files are prepared");
    for round in 0..6 {
        fill();
        log.write_checkpoint(log.end(), b"state").unwrap();
        log.write_checkpoint(log.end(), b"state").unwrap();
        let (ready, blank) = prepared();
        // The second file is there already in the first round, and the first one is used up in the second.
        assert!(round < 2 || (ready, blank) == (1, 0), "{round}: {ready} files, {blank} prepared");
        log.trim(u64::MAX, log.end() - (100 << 10)).unwrap();
        assert_eq!(prepared().0, 2, "{round}");
    }
    fill();
    fill();
    assert_eq!(prepared(), (2, 2), "none came back, so files are prepared again");
}

#[test]
fn async_queues_move_on_after_an_unclean_stop_only() {
    let vfs = SimVfs::new();
    let log = open(&vfs);
    let sent = message("x");
    log.append(&[append(1, &sent, 1)], Durability::Async).unwrap().done.wait().unwrap();
    send(&log, 2, "y", 1);
    log.close().unwrap();
    let log = open(&vfs);
    assert_eq!(log.next_offset(LogQueue(1)), 1);
    log.append(&[append(1, &sent, 1)], Durability::Async).unwrap().done.wait().unwrap();
    let vfs = vfs.power_cut(3);
    let log = open(&vfs);
    assert_eq!(log.next_offset(LogQueue(1)), 2 + 65_536);
    assert_eq!(log.next_offset(LogQueue(2)), 1, "synced queues stay");
    assert_eq!(read(&log, 1, 10, &ALL).next, 2 + 65_536, "reads skip the gap");
    assert_eq!(send(&log, 1, "z", 1).offset, 2 + 65_536);
    let found = read(&log, 1, 2, &ALL);
    assert_eq!((body(&found.entries[0]), found.entries[0].offset), ("z".into(), 2 + 65_536));
    log.close().unwrap();
    let log = open(&vfs);
    assert_eq!(bodies(&log, 1), ["x", "x", "z"]);
    assert_eq!(log.next_offset(LogQueue(1)), 3 + 65_536);
}

#[test]
fn async_acknowledges_before_the_sync_which_comes_by_itself() {
    let vfs = SimVfs::new();
    let log = open(&vfs);
    let sent = message("x");
    let first = log.append(&[append(1, &sent, 1)], Durability::Async).unwrap();
    first.done.wait().unwrap();
    vfs.hold_syncs(true);
    let second = log.append(&[append(1, &sent, 1)], Durability::Async).unwrap();
    let lsn = second.placed[0].lsn as usize;
    let range = lsn..lsn + second.placed[0].size as usize;
    second.done.wait().unwrap();
    assert_eq!(log.bounds(LogQueue(1)).next, 2, "readable when acknowledged");
    let segment = segments(&vfs)[0].clone();
    let written = vfs.files()[&segment][range.clone()].to_vec();
    let survives = |seed| vfs.power_cut(seed).files()[&segment][range.clone()] == written;
    assert!(!(0..64).all(survives), "not yet safe");
    vfs.hold_syncs(false);
    until("the sync", || (0..64).all(survives));
}

#[test]
fn settings_without_sense_are_refused() {
    for bad in [
        Config { segment_size: ByteSize(1), ..Config::default() },
        Config { disk_guard: 0, ..Config::default() },
        Config { ready_segments: 1, ..Config::default() },
        Config { max_entry: ByteSize(0), ..Config::default() },
        Config { max_pending: ByteSize(0), ..Config::default() },
    ] {
        let opened = LocalLog::open_on(Arc::new(SimVfs::new()), Path::new("data"), bad, clock());
        assert!(matches!(opened, Err(OpenError::Config(_))));
    }
}
