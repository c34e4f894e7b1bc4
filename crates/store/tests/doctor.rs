//! One wrong bit anywhere in what is sealed: the doctor tells where and what it costs, and a repair saves the rest.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step has to panic")]

use crc_fast::{CrcAlgorithm, checksum};
use sluice_model::units::ByteSize;
use sluice_model::{ErrorKind, ManualClock};
use sluice_store::doctor::{Inspection, inspect, repair};
use sluice_store::sim::SimVfs;
use sluice_store::suite::{ALL, body, named, search};
use sluice_store::vfs::Vfs as _;
use sluice_store::{
    Append, Config, Durability, LocalLog, Log, LogQueue, LostOffsets, OpenError, Payload, Placed, Read,
    ReadLimits,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DIR: &str = "data";
const PAGE: usize = 4096;

fn open(vfs: &SimVfs) -> Result<LocalLog, OpenError> {
    let config = Config { segment_size: ByteSize::kib(64), ..Config::default() };
    LocalLog::open_by_hand(Arc::new(vfs.clone()), Path::new(DIR), config, Arc::new(ManualClock::new(1)))
}

fn look(vfs: &SimVfs) -> Inspection {
    inspect(vfs, Path::new(DIR), &mut |_| {}).unwrap()
}

fn segments(vfs: &SimVfs) -> Vec<PathBuf> {
    vfs.files().into_keys().filter(|path| path.starts_with("data/log")).collect()
}

struct Sent {
    queue: u32,
    placed: Placed,
    text: String,
}

/// Messages of some size in two queues, closed in order or not.
fn store(count: usize, size: usize, closed: bool) -> (SimVfs, Vec<Sent>) {
    let vfs = SimVfs::seeded(1);
    let log = open(&vfs).unwrap();
    let mut sent = Vec::new();
    for n in 0..count {
        while log.keep_files() {}
        let (queue, text) = (n as u32 % 2, format!("{n}:{}", "y".repeat(size)));
        let message = named(&text);
        let append = Append {
            queue: LogQueue(queue),
            payload: Payload::Message(&message),
            stored: n as u64,
            reserved_space: false,
        };
        let ticket = log.append(&[append], Durability::Sync).unwrap();
        sent.push(Sent { queue, placed: ticket.placed[0], text });
        log.commit();
        ticket.done.wait().unwrap();
        if n == count / 2 {
            log.write_checkpoint(log.end(), b"half").unwrap();
        }
    }
    if closed {
        log.close().unwrap();
    }
    (vfs.kill(), sent)
}

/// Reads one message: its text, or that it is damaged.
fn read(log: &LocalLog, queue: u32, offset: u64) -> Result<Option<String>, ErrorKind> {
    let limits = ReadLimits { max_count: 1, ..ALL };
    let batch = match log.read(LogQueue(queue), offset, &limits).map_err(|e| e.kind())? {
        Read::Ready(batch) => batch,
        Read::Cold(cold) => cold().map_err(|e| e.kind())?,
    };
    Ok(batch.entries.iter().find(|entry| entry.offset == offset).map(body))
}

#[test]
fn a_sound_store_has_no_damage() {
    for closed in [true, false] {
        let (vfs, sent) = store(60, 3000, closed);
        let found = look(&vfs);
        assert!(found.damages.is_empty(), "{:?}", found.damages);
        assert!(found.segments >= 3 && found.entries as usize >= sent.len());
        let before = vfs.files();
        look(&vfs);
        assert_eq!(vfs.files(), before, "looking changes nothing");
    }
}

#[test]
fn every_flipped_bit_of_a_sealed_segment_is_told_and_never_ends_the_log() {
    let (vfs, sent) = store(6, 90, true);
    let segment = segments(&vfs)[0].clone();
    let len = vfs.files()[&segment].len();
    let last = sent.last().unwrap();
    let end = last.placed.lsn as usize + last.placed.size as usize;
    for at in 0..len {
        // Every bit of entries, of the rest one of each byte.
        let bits = if (PAGE..end).contains(&at) { 0..8 } else { at % 8..at % 8 + 1 };
        for bit in bits {
            let copy = vfs.kill();
            copy.edit(&segment, |bytes| bytes[at] ^= 1 << bit);
            told(&copy, &sent, &segment, at);
            readable(&copy, &sent, at);
        }
    }
}

fn told(vfs: &SimVfs, sent: &[Sent], segment: &Path, at: usize) {
    let found = look(vfs);
    let within =
        |s: &&Sent| (s.placed.lsn as usize..(s.placed.lsn + u64::from(s.placed.size)) as usize).contains(&at);
    let Some(damage) = found.damages.first() else {
        // Zeros behind a directory, or behind an entry up to a multiple of eight, hold nothing.
        let hold_nothing = found.notes.iter().any(|note| note.contains("padding"));
        let behind_directory =
            at > PAGE && at < vfs.files()[segment].len() - PAGE && sent.iter().find(within).is_none();
        assert!(hold_nothing || behind_directory, "byte {at} is not told: {:?}", found.notes);
        return;
    };
    assert_eq!(damage.file, segment);
    if let Some(hit) = sent.iter().find(within) {
        let lost = LostOffsets { queue: hit.queue, from: hit.placed.offset, to: hit.placed.offset + 1 };
        assert_eq!((damage.position, &damage.lost[..]), (hit.placed.lsn, &[lost][..]), "byte {at}");
    }
}

/// What can be read is right; what cannot is told as damage; nothing is missing.
fn readable(vfs: &SimVfs, sent: &[Sent], at: usize) {
    let log = match open(vfs) {
        Ok(log) => log,
        Err(OpenError::Damaged(_)) => return,
        Err(error) => panic!("byte {at}: {error}"),
    };
    for Sent { queue, placed, text } in sent {
        match read(&log, *queue, placed.offset) {
            Ok(found) => assert_eq!(found.as_ref(), Some(text), "byte {at}"),
            Err(kind) => assert_eq!(kind, ErrorKind::Corrupt, "byte {at}"),
        }
        let id = text.split(':').next().unwrap();
        match log.find(&search(id)).map_err(|error| error.kind()) {
            Ok(found) => {
                assert_eq!(found.entries.iter().map(body).collect::<Vec<_>>(), [text.as_str()], "byte {at}");
            }
            Err(kind) => assert_eq!(kind, ErrorKind::Corrupt, "byte {at}"),
        }
    }
}

/// After a repair the log opens, and holds all but what was told as lost.
fn repaired(vfs: &SimVfs, sent: &[Sent], lost: &[usize]) {
    let told = repair(vfs, Path::new(DIR), &mut |_| {}).unwrap();
    assert!(told.after.damages.is_empty(), "{:?}", told.after.damages);
    assert!(!told.aside.is_empty());
    for copy in &told.aside {
        assert!(vfs.files().contains_key(copy), "{}", copy.display());
    }
    let log = open(vfs).unwrap();
    for (n, Sent { queue, placed, text }) in sent.iter().enumerate() {
        let found = read(&log, *queue, placed.offset).unwrap();
        if lost.contains(&n) {
            assert_eq!(found, None, "{n}");
            assert!(log.read_at(placed.lsn).is_err(), "whoever waits for it learns that it is lost");
        } else {
            assert_eq!(found.as_ref(), Some(text), "{n}");
        }
    }
    let ranges = told.before.damages.iter().flat_map(|damage| &damage.lost);
    let counted: u64 = ranges.map(|lost| lost.to - lost.from).sum();
    assert_eq!(counted as usize, lost.len(), "{:?}", told.before.damages);
    // And it goes on.
    assert!(log.next_offset(LogQueue(0)) >= sent.len() as u64 / 2);
    log.close().unwrap();
    assert!(look(vfs).damages.is_empty());
    open(vfs).unwrap();
}

#[test]
fn entries_are_given_up_and_the_rest_is_kept() {
    for closed in [true, false] {
        let (vfs, sent) = store(60, 3000, closed);
        for n in [0, 1, 7, 30] {
            let copy = vfs.kill();
            let lsn = sent[n].placed.lsn;
            let start_of = |path: &PathBuf| u64::from_str_radix(path.file_stem()?.to_str()?, 16).ok();
            let segment = segments(&copy).into_iter().rfind(|path| start_of(path).unwrap() <= lsn).unwrap();
            let at = (lsn - start_of(&segment).unwrap()) as usize;
            copy.edit(&segment, |bytes| bytes[at + 100] ^= 4);
            let damage = look(&copy).damages.remove(0);
            assert_eq!((damage.position, damage.lsn), (at as u64, Some(lsn)));
            repaired(&copy, &sent, &[n]);
        }
    }
}

#[test]
fn a_missing_segment_a_header_and_the_stores_own_file_are_repaired() {
    let (vfs, sent) = store(60, 3000, true);
    let copy = vfs.kill();
    let paths = segments(&copy);
    copy.edit(&paths[1], |bytes| bytes[40] ^= 1);
    copy.edit(Path::new("data/store.meta"), |bytes| bytes.fill(7));
    assert_eq!(look(&copy).damages.len(), 2);
    assert!(open(&copy).is_err());
    repaired(&copy, &sent, &[]);

    let copy = vfs.kill();
    let bytes = copy.files()[&paths[1]].clone();
    copy.edit(&paths[1], |bytes| bytes.fill(0));
    assert!(matches!(open(&copy), Err(OpenError::Damaged(_))));
    let start = u64::from_str_radix(paths[1].file_stem().unwrap().to_str().unwrap(), 16).unwrap();
    let end = start + bytes.len() as u64;
    let gone = |s: &Sent| (start..end).contains(&s.placed.lsn) && paths.len() > 2;
    let next = u64::from_str_radix(paths[2].file_stem().unwrap().to_str().unwrap(), 16).unwrap();
    let lost: Vec<usize> =
        (0..sent.len()).filter(|n| gone(&sent[*n]) && sent[*n].placed.lsn < next).collect();
    let told = repair(&copy, Path::new(DIR), &mut |_| {}).unwrap();
    assert!(told.after.damages.is_empty(), "{:?}", told.after.damages);
    assert_eq!(told_as_lost(&told.before), places(&sent, |n| lost.contains(&n)), "{:?}", told.before.damages);
    let log = open(&copy).unwrap();
    for (n, s) in sent.iter().enumerate() {
        let wanted = if lost.contains(&n) { None } else { Some(s.text.clone()) };
        assert_eq!(read(&log, s.queue, s.placed.offset).unwrap(), wanted, "{n}");
    }
}

/// An entry's header whose checksum is wrong tells another epoch, and is good when nothing else says which one is right.
#[test]
fn one_entry_alone_does_not_tell_what_a_header_page_said() {
    let (vfs, sent) = store(60, 3000, true);
    let path = segments(&vfs)[1].clone();
    let start = start_of(&path);
    let first = sent.iter().position(|s| s.placed.lsn >= start).unwrap();
    let at = (sent[first].placed.lsn - start) as usize;
    vfs.edit(&path, |bytes| {
        bytes[40] ^= 1;
        bytes[at + 24] ^= 1;
    });
    let found = look(&vfs);
    let hurt: Vec<u64> = found.damages.iter().map(|damage| damage.position).collect();
    assert_eq!(hurt, [0, at as u64], "{:?}", found.damages);
    repaired(&vfs, &sent, &[first]);
}

/// What tells which store this is, besides its own file.
const NAMED_BY: [&str; 4] = ["headers", "footers", "checkpoints", "nothing"];

/// Takes from every file the name of its store, but from those of one kind.
fn unname(vfs: &SimVfs, but: &str) {
    vfs.edit(Path::new("data/store.meta"), |bytes| bytes.fill(7));
    for path in segments(vfs) {
        vfs.edit(&path, |bytes| {
            let footer = bytes.len() - PAGE;
            if but != "headers" {
                bytes[20] ^= 1;
            }
            if but != "footers" && bytes[footer..].starts_with(b"SLUICEFT") {
                bytes[footer + 20] ^= 1;
            }
        });
    }
    for path in vfs.files().into_keys().filter(|path| path.starts_with("data/ckpt")) {
        vfs.edit(&path, |bytes| bytes[20] ^= u8::from(but != "checkpoints"));
    }
}

#[test]
fn a_store_that_no_file_names_keeps_its_entries() {
    for closed in [true, false] {
        let (vfs, sent) = store(60, 3000, closed);
        for but in NAMED_BY {
            let copy = vfs.kill();
            unname(&copy, but);
            assert!(open(&copy).is_err(), "{but}");
            let found = look(&copy);
            let told = found.damages.iter().find(|damage| damage.file.ends_with("store.meta")).unwrap();
            assert_eq!(told.what.contains("a new name"), but == "nothing", "{but}: {told}");
            repaired(&copy, &sent, &[]);
        }
    }
}

#[test]
fn a_store_that_no_file_names_and_that_has_no_entry_is_beyond_repair() {
    let (vfs, _) = store(60, 3000, true);
    unname(&vfs, "nothing");
    segments(&vfs).iter().for_each(|path| vfs.edit(path, |bytes| bytes.fill(0)));
    let before = vfs.files();
    let told = repair(&vfs, Path::new(DIR), &mut |_| {}).unwrap();
    let [damage] = &told.after.damages[..] else { panic!("{:?}", told.after.damages) };
    assert!(damage.what.contains("no entry is left"), "{damage}");
    assert_eq!(vfs.files(), before, "nothing is changed");
}

/// Queues and offsets of some messages.
fn places(sent: &[Sent], which: impl Fn(usize) -> bool) -> BTreeSet<(u32, u64)> {
    (0..).zip(sent).filter(|(n, _)| which(*n)).map(|(_, s)| (s.queue, s.placed.offset)).collect()
}

/// Queues and offsets that are told as lost.
fn told_as_lost(found: &Inspection) -> BTreeSet<(u32, u64)> {
    let lost = found.damages.iter().flat_map(|damage| &damage.lost);
    lost.flat_map(|lost| (lost.from..lost.to).map(|offset| (lost.queue, offset))).collect()
}

fn start_of(path: &Path) -> u64 {
    u64::from_str_radix(path.file_stem().unwrap().to_str().unwrap(), 16).unwrap()
}

#[test]
fn what_a_removed_segment_held_is_told_to_the_offset() {
    for closed in [true, false] {
        let (vfs, sent) = store(60, 3000, closed);
        let paths = segments(&vfs);
        assert!(paths.len() > 2);
        // One in the middle: what comes behind it tells what is missing, from a sealed segment or the one that is written.
        for gone in 1..paths.len() - 1 {
            let copy = vfs.kill();
            copy.remove(&paths[gone]).unwrap();
            let (from, to) = (start_of(&paths[gone]), start_of(&paths[gone + 1]));
            let lost = |n: usize| (from..to).contains(&sent[n].placed.lsn);
            assert!(matches!(open(&copy), Err(OpenError::Damaged(_))));
            let found = look(&copy);
            let [damage] = &found.damages[..] else { panic!("{:?}", found.damages) };
            assert!(damage.what.contains("is missing"), "{damage}");
            assert_eq!(told_as_lost(&found), places(&sent, lost), "{damage}");
            let told = repair(&copy, Path::new(DIR), &mut |_| {}).unwrap();
            assert!(told.after.damages.is_empty(), "{:?}", told.after.damages);
            let log = open(&copy).unwrap();
            for (n, s) in sent.iter().enumerate() {
                let wanted = (!lost(n)).then(|| s.text.clone());
                assert_eq!(read(&log, s.queue, s.placed.offset).unwrap(), wanted, "{n}");
            }
        }
    }
}

#[test]
fn what_lay_behind_the_end_is_told_by_the_checkpoint() {
    let (vfs, sent) = store(60, 3000, true);
    let paths = segments(&vfs);
    paths[1..].iter().for_each(|path| vfs.remove(path).unwrap());
    let end = start_of(&paths[1]);
    assert!(sent[30].placed.lsn > end, "the checkpoint tells of more than what is left");
    assert!(open(&vfs).is_err());
    let told = repair(&vfs, Path::new(DIR), &mut |_| {}).unwrap();
    // Nothing that is left knows of what came behind the checkpoint.
    assert_eq!(told_as_lost(&told.before), places(&sent, |n| sent[n].placed.lsn >= end && n <= 30));
    assert!(told.after.damages.is_empty(), "{:?}", told.after.damages);
    assert_eq!(open(&vfs).unwrap().next_offset(LogQueue(0)), sent[30].placed.offset + 1);
}

#[test]
fn the_log_has_a_beginning_and_no_segment_twice() {
    let (vfs, _) = store(60, 3000, true);
    let paths = segments(&vfs);
    let beyond = |vfs: &SimVfs, what: &str| {
        let told = repair(vfs, Path::new(DIR), &mut |_| {}).unwrap();
        let [damage] = &told.after.damages[..] else { panic!("{:?}", told.after.damages) };
        assert!(damage.what.contains(what), "{damage}");
        assert!(open(vfs).is_err());
    };
    // Without a checkpoint, nobody knows what was before.
    let copy = vfs.kill();
    copy.remove(&paths[0]).unwrap();
    let checkpoints = copy.files().into_keys().filter(|path| path.starts_with("data/ckpt"));
    checkpoints.for_each(|path| copy.remove(&path).unwrap());
    beyond(&copy, "no checkpoint tells what it held");
    // The same entries in two files.
    let copy = vfs.kill();
    let within = start_of(&paths[1]) + 2 * PAGE as u64;
    let bytes = copy.files()[&paths[1]].clone();
    copy.put(&PathBuf::from(format!("data/log/{within:016x}.seg")), bytes);
    let found = look(&copy);
    assert!(found.damages.iter().any(|damage| damage.what.contains("overlaps")), "{:?}", found.damages);
}

/// A page says that it is of another version, with a checksum that is right.
fn of_version(page: &mut [u8], version: u32) {
    page[8..12].copy_from_slice(&version.to_le_bytes());
    page[12..16].fill(0);
    let crc = checksum(CrcAlgorithm::Crc32Iscsi, page) as u32;
    page[12..16].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn another_format_is_told_and_nothing_is_changed() {
    let (vfs, _) = store(6, 90, true);
    let kinds = ["data/log", "data/ckpt", "data/store.meta"];
    let kind = |kind: &&str| vfs.files().into_keys().find(|path| path.starts_with(kind)).unwrap();
    for path in kinds.iter().map(kind) {
        let copy = vfs.kill();
        copy.edit(&path, |bytes| match path.extension().unwrap().to_str() {
            Some("ck") => of_version(bytes, 99),
            _ => bytes.chunks_mut(PAGE).take(2).for_each(|page| of_version(page, 99)),
        });
        let before = copy.files();
        let inspected = inspect(&copy, Path::new(DIR), &mut |_| {}).map(|_| ());
        let repaired = repair(&copy, Path::new(DIR), &mut |_| {}).map(|_| ());
        for outcome in [inspected, repaired] {
            match outcome {
                Err(OpenError::OtherFormat { found: 99, path: told, .. }) => assert_eq!(told, path),
                other => panic!("{}: {other:?}", path.display()),
            }
        }
        assert_eq!(copy.files(), before, "{}", path.display());
    }
}

#[test]
fn a_torn_end_is_no_damage_and_a_running_broker_is_left_alone() {
    let (vfs, sent) = store(5, 100, false);
    let last = &sent[4];
    vfs.edit(&segments(&vfs)[0], |bytes| bytes[last.placed.lsn as usize + 70] ^= 1);
    assert!(look(&vfs).damages.is_empty());
    let log = open(&vfs).unwrap();
    assert!(matches!(inspect(&vfs, Path::new(DIR), &mut |_| {}), Err(OpenError::InUse { .. })));
    assert!(matches!(repair(&vfs, Path::new(DIR), &mut |_| {}), Err(OpenError::InUse { .. })));
    drop(log);
}
