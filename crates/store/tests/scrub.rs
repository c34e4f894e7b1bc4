//! One wrong bit anywhere in what is sealed: whoever reads it, or the look that is taken at everything now and then, tells
//! where it is and whose messages are gone. What is not damaged is not said to be, and nothing is done before its time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step has to panic")]

use parking_lot::Mutex;
use proptest::prelude::*;
use sluice_model::units::{ByteSize, Span};
use sluice_model::{ErrorKind, ManualClock};
use sluice_store::sim::{Call, SimVfs};
use sluice_store::suite::{ALL, body, named, search};
use sluice_store::{
    Append, Config, Damage, Durability, LocalLog, Log, LogQueue, LostOffsets, Payload, Placed, Read,
    ReadLimits,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const PAGE: usize = 4096;
const MESSAGES: usize = 90;
const RATE: u64 = 64 << 10;

fn config() -> Config {
    Config {
        segment_size: ByteSize::kib(64),
        scrub_interval: Span::secs(3600),
        scrub_rate: ByteSize(RATE),
        ..Config::default()
    }
}

fn open(vfs: &SimVfs, clock: &Arc<ManualClock>) -> LocalLog {
    LocalLog::open_by_hand(Arc::new(vfs.clone()), Path::new("data"), config(), Arc::clone(clock) as _)
        .unwrap()
}

struct Sent {
    queue: u32,
    placed: Placed,
    text: String,
}

/// A closed log of several segments.
fn original() -> &'static (SimVfs, Vec<Sent>) {
    static ORIGINAL: OnceLock<(SimVfs, Vec<Sent>)> = OnceLock::new();
    ORIGINAL.get_or_init(|| {
        let vfs = SimVfs::seeded(1);
        let log = open(&vfs, &Arc::new(ManualClock::new(1)));
        let mut sent = Vec::new();
        for n in 0..MESSAGES {
            while log.keep_files() {}
            let (queue, text) = (n as u32 % 3, format!("{n}:{}", "y".repeat(n * 37 % 2500)));
            let message = named(&text);
            let payload = Payload::Message(&message);
            let append = Append { queue: LogQueue(queue), payload, stored: n as u64, reserved_space: false };
            let ticket = log.append(&[append], Durability::Sync).unwrap();
            sent.push(Sent { queue, placed: ticket.placed[0], text });
            log.commit();
            ticket.done.wait().unwrap();
        }
        log.close().unwrap();
        (vfs.kill(), sent)
    })
}

/// Looks at everything once; what was told, and the time that it took.
fn look(log: &LocalLog, clock: &ManualClock) -> (Vec<Damage>, u64) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    log.listen_to_damage(Arc::new(move |damage| listener.lock().push(damage.clone())));
    clock.advance(10 * MINUTE);
    let began = clock.now_ms();
    loop {
        let scrubbed = log.scrub().unwrap();
        if scrubbed.passes == 1 {
            break;
        }
        let again = scrubbed.again.unwrap();
        clock.advance(again - clock.now_ms());
    }
    let told = std::mem::take(&mut *told.lock());
    (told, clock.now_ms() - began)
}

trait Now {
    fn now_ms(&self) -> u64;
}

impl Now for ManualClock {
    fn now_ms(&self) -> u64 {
        sluice_model::Clock::now(self)
    }
}

fn start_of(path: &Path) -> u64 {
    u64::from_str_radix(path.file_stem().unwrap().to_str().unwrap(), 16).unwrap()
}

/// The sealed segments, without the one that the look itself has begun.
fn sealed(vfs: &SimVfs) -> Vec<PathBuf> {
    vfs.files().into_keys().filter(|path| path.starts_with("data/log")).collect()
}

fn read(log: &LocalLog, queue: u32, offset: u64) -> Result<Option<String>, ErrorKind> {
    let limits = ReadLimits { max_count: 1, ..ALL };
    let batch = match log.read(LogQueue(queue), offset, &limits).map_err(|e| e.kind())? {
        Read::Ready(batch) => batch,
        Read::Cold(cold) => cold().map_err(|e| e.kind())?,
    };
    Ok(batch.entries.iter().find(|entry| entry.offset == offset).map(body))
}

fn hit(sent: &[Sent], segment: &Path, at: usize) -> Option<&'static Sent> {
    let lsn = start_of(segment) + at as u64;
    // Behind the entries lies the index; these positions of the log are in the next segment.
    let next =
        sealed(original_files()).into_iter().map(|path| start_of(&path)).find(|s| *s > start_of(segment));
    if next.is_some_and(|next| lsn >= next) {
        return None;
    }
    let inside = |s: &&Sent| (s.placed.lsn..s.placed.lsn + u64::from(s.placed.size)).contains(&lsn);
    let n = sent.iter().position(|s| inside(&s))?;
    original().1.get(n)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_flipped_bit_is_told_by_the_look_and_by_the_reader(
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let (vfs, sent) = original();
        let (vfs, clock) = (vfs.kill(), Arc::new(ManualClock::new(1)));
        let log = open(&vfs, &clock);
        let segments: Vec<PathBuf> = sealed(original_files());
        let segment = which.get(&segments);
        let len = vfs.files()[segment].len();
        let at = place.index(len);
        // While the log is open, as a disk does it.
        vfs.edit(segment, |bytes| bytes[at] ^= 1 << bit);

        // What cannot be read is told as damage, with its place, and nothing ends there.
        for s in sent {
            match read(&log, s.queue, s.placed.offset) {
                Ok(found) => prop_assert_eq!(found.as_ref(), Some(&s.text)),
                Err(kind) => prop_assert_eq!(kind, ErrorKind::Corrupt),
            }
            let id = s.text.split(':').next().unwrap();
            match log.find(&search(id)) {
                Ok(found) => prop_assert_eq!(found.entries.iter().map(body).collect::<Vec<_>>(), [s.text.as_str()]),
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Corrupt),
            }
        }
        let by_reading = log.damages();
        drop(log);
        let (vfs, clock) = (vfs.kill(), Arc::new(ManualClock::new(1)));
        let Ok(log) = LocalLog::open_by_hand(
            Arc::new(vfs.clone()), Path::new("data"), config(), Arc::clone(&clock) as _
        ) else {
            return Ok(()); // its header: the start refuses, which is telling too
        };
        let (by_looking, _) = look(&log, &clock);
        let hit = hit(sent, segment, at);
        if let Some(hit) = hit {
            let end = hit.placed.lsn + u64::from(hit.placed.size) - start_of(segment);
            let is_padding = at as u64 + 7 >= end && by_looking.is_empty() && by_reading.is_empty();
            if !is_padding {
                for told in [&by_looking, &by_reading] {
                    let damage = told.first().unwrap_or_else(|| panic!("byte {at}: {by_looking:?} {by_reading:?}"));
                    prop_assert_eq!(&damage.file, segment);
                    prop_assert_eq!(damage.position, hit.placed.lsn - start_of(segment));
                    let lost = LostOffsets {
                        queue: hit.queue, from: hit.placed.offset, to: hit.placed.offset + 1,
                    };
                    prop_assert_eq!(&damage.lost, &vec![lost]);
                }
            }
        }
        for damage in by_looking.iter().chain(&by_reading) {
            prop_assert_eq!(&damage.file, segment);
        }
    }
}

fn original_files() -> &'static SimVfs {
    &original().0
}

#[test]
fn every_byte_that_says_something_is_looked_at() {
    let (vfs, sent) = original();
    let segments = sealed(vfs);
    assert!(segments.len() >= 3, "{segments:?}");
    let segment = &segments[1];
    let len = vfs.files()[segment].len();
    let last = sent.iter().rfind(|s| s.placed.lsn < start_of(&segments[2])).unwrap();
    let entries_end = (last.placed.lsn + u64::from(last.placed.size) - start_of(segment)) as usize;
    let bytes = vfs.files()[segment].clone();
    let mut silent = Vec::new();
    for at in (0..len).step_by(13) {
        let (copy, clock) = (vfs.kill(), Arc::new(ManualClock::new(1)));
        let log = open(&copy, &clock);
        copy.edit(segment, |bytes| bytes[at] ^= 0x10);
        let (told, _) = look(&log, &clock);
        match told.first() {
            Some(damage) => assert_eq!(&damage.file, segment, "byte {at}"),
            None => silent.push(at),
        }
    }
    // Zeros up to a multiple of eight behind an entry, and what is left of the file behind the index.
    for at in silent {
        assert_eq!(bytes[at], 0, "byte {at} of {len}");
        let behind_index = at >= entries_end && at < len - PAGE;
        let padding = sent.iter().any(|s| {
            let end = (s.placed.lsn + u64::from(s.placed.size)).wrapping_sub(start_of(segment)) as usize;
            (end.saturating_sub(7)..end).contains(&at)
        });
        assert!(behind_index || padding, "byte {at} of {len}, entries end at {entries_end}");
    }
}

#[test]
fn a_sound_store_is_looked_at_in_its_time_and_not_before() {
    let (vfs, clock) = (original().0.kill(), Arc::new(ManualClock::new(1)));
    let log = open(&vfs, &clock);
    // A disk that must not be read, and is not.
    vfs.fail(Call::Open, 1, 5);
    vfs.fail(Call::Read, 1, 5);
    let first = log.scrub().unwrap();
    assert_eq!((first.bytes, first.passes, first.again), (0, 0, Some(1 + 10 * MINUTE)));
    vfs.heal();
    let (told, took) = look(&log, &clock);
    assert_eq!(told, []);
    let bytes: u64 = original().1.iter().map(|s| u64::from(s.placed.size)).sum();
    let (seconds, least) = (took / 1000, bytes / RATE);
    assert!((least..=least + 4).contains(&seconds), "{bytes} bytes in {seconds} s");
    // Nothing more until the next pass, an hour after this one began.
    let again = log.scrub().unwrap();
    assert_eq!((again.bytes, again.again), (0, Some(1 + 10 * MINUTE + HOUR)));
}

#[test]
fn a_rate_of_nothing_never_looks() {
    let (vfs, clock) = (original().0.kill(), Arc::new(ManualClock::new(1)));
    let config = Config { scrub_rate: ByteSize(0), ..config() };
    let log =
        LocalLog::open_by_hand(Arc::new(vfs), Path::new("data"), config, Arc::clone(&clock) as _).unwrap();
    clock.advance(100 * HOUR);
    assert_eq!(log.scrub().unwrap().again, None);
}

#[test]
fn damage_is_told_once_and_goes_with_its_segment() {
    let (vfs, sent) = original();
    let (vfs, clock) = (vfs.kill(), Arc::new(ManualClock::new(1)));
    let log = open(&vfs, &clock);
    let segment = sealed(vfs_of(&vfs))[0].clone();
    vfs.edit(&segment, |bytes| bytes[sent[0].placed.lsn as usize + 30] ^= 1);
    for _ in 0..3 {
        assert_eq!(read(&log, sent[0].queue, 0), Err(ErrorKind::Corrupt));
    }
    let (told, _) = look(&log, &clock);
    assert_eq!(told.len(), 0, "the reader has told it");
    assert_eq!(log.damages().len(), 1);
    assert!(log.damages()[0].to_string().contains("queue 0 lacks offsets 0 to 0"), "{}", log.damages()[0]);
    for state in [b"one", b"two"] {
        let append =
            Append { queue: LogQueue(0), payload: Payload::State(state), stored: 1, reserved_space: true };
        let ticket = log.append(&[append], Durability::Sync).unwrap();
        log.commit();
        ticket.done.wait().unwrap();
        log.write_checkpoint(log.end(), state).unwrap();
    }
    log.trim(u64::MAX, u64::MAX).unwrap();
    assert_eq!(log.damages(), []);
}

fn vfs_of(vfs: &SimVfs) -> &SimVfs {
    vfs
}
