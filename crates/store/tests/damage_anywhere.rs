//! Any byte of any file may be wrong: the log then refuses to start or tells the damage on reading, never panics, never
//! hands out a wrong message, and loses silently nothing but what lies at the torn end of an unclosed log.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step has to panic")]

use proptest::prelude::*;
use sluice_model::units::ByteSize;
use sluice_model::{ErrorKind, ManualClock};
use sluice_store::sim::SimVfs;
use sluice_store::suite::{ALL, body, send};
use sluice_store::{Batch, Config, LocalLog, Log, LogQueue, OpenError, Placed, Read, ReadLimits};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

const MESSAGES: usize = 90;

fn open(vfs: &SimVfs) -> Result<LocalLog, OpenError> {
    let config = Config { segment_size: ByteSize::kib(64), ..Config::default() };
    LocalLog::open_on(Arc::new(vfs.clone()), Path::new("data"), config, Arc::new(ManualClock::new(1)))
}

struct Original {
    vfs: SimVfs,
    sent: Vec<(u32, Placed, String)>,
}

/// A log of several segments with a checkpoint, closed in order or not.
fn original(closed: bool) -> &'static Original {
    static CLOSED: OnceLock<Original> = OnceLock::new();
    static KILLED: OnceLock<Original> = OnceLock::new();
    (if closed { &CLOSED } else { &KILLED }).get_or_init(|| {
        let vfs = SimVfs::new();
        let log = open(&vfs).unwrap();
        let mut sent = Vec::new();
        for n in 0..MESSAGES {
            let (queue, text) = (n as u32 % 2, format!("{n}:{}", "y".repeat(n * 37 % 2500)));
            sent.push((queue, send(&log, queue, &text, n as u64), text));
            if n == MESSAGES / 2 {
                log.write_checkpoint(log.end(), b"half").unwrap();
            }
        }
        if closed {
            log.close().unwrap();
        }
        Original { vfs: vfs.kill(), sent }
    })
}

#[derive(Debug, Clone)]
enum Harm {
    Flip(u8),
    Zero(usize),
    Cut,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        6 => (0u8..8).prop_map(Harm::Flip),
        2 => (1usize..600).prop_map(Harm::Zero),
        1 => Just(Harm::Cut),
    ]
}

/// Harms one of the files that count; returns which one, and where.
fn apply(
    vfs: &SimVfs,
    harm: &Harm,
    file: prop::sample::Index,
    at: prop::sample::Index,
) -> (PathBuf, Range<usize>) {
    let counts = |path: &PathBuf| !path.starts_with("data/pool") && !path.ends_with("LOCK");
    let files: Vec<_> = vfs.files().into_iter().filter(|(path, _)| counts(path)).collect();
    let (path, content) = &files[file.index(files.len())];
    // What lies behind the last written byte is as good as any of it.
    let used = content.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
    let at = at.index(used);
    let range = match harm {
        Harm::Flip(_) => at..at + 1,
        Harm::Zero(len) => at..(at + len).min(content.len()),
        Harm::Cut => at..content.len(),
    };
    vfs.edit(path, |bytes| match harm {
        Harm::Flip(bit) => bytes[at] ^= 1 << bit,
        Harm::Zero(_) => bytes[range.clone()].fill(0),
        Harm::Cut => bytes.truncate(at),
    });
    (path.clone(), range)
}

fn try_read(log: &LocalLog, queue: u32, from: u64) -> Option<Batch> {
    let limits = ReadLimits { max_count: 1, ..ALL };
    let outcome = log.read(LogQueue(queue), from, &limits).and_then(|read| match read {
        Read::Ready(batch) => Ok(batch),
        Read::Cold(cold) => cold(),
    });
    match outcome {
        Ok(batch) => Some(batch),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
            None
        }
    }
}

fn check(original: &Original, harmed: &Path, range: &Range<usize>, log: &LocalLog) {
    for (queue, placed, text) in &original.sent {
        let bounds = log.bounds(LogQueue(*queue));
        assert_eq!(bounds.min, 0);
        if placed.offset >= bounds.next {
            let name = harmed.file_stem().unwrap().to_str().unwrap();
            let start = u64::from_str_radix(name, 16).unwrap();
            let at = (placed.lsn - start) as usize;
            let touched = at < range.end && range.start < at + placed.size as usize;
            assert!(touched, "{placed:?} is lost though the damage at {range:?} does not touch it");
            continue;
        }
        if let Some(batch) = try_read(log, *queue, placed.offset) {
            let entry = &batch.entries[0];
            assert_eq!((entry.offset, entry.lsn, body(entry)), (placed.offset, placed.lsn, text.clone()));
        }
        match log.read_at(placed.lsn) {
            Ok(Some(entry)) => assert_eq!(&body(&entry), text),
            Ok(None) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
        }
    }
    let replayed = log.replay(0, &mut |_| {});
    assert!(replayed.is_ok() || replayed.is_err_and(|error| error.kind() == ErrorKind::Corrupt));
    let _ = log.checkpoint();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_harm_is_told_or_harmless(
        closed in any::<bool>(),
        harm in harm(),
        file in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
    ) {
        let original = original(closed);
        let vfs = original.vfs.kill();
        let (path, range) = apply(&vfs, &harm, file, at);
        match open(&vfs) {
            Ok(log) => check(original, &path, &range, &log),
            Err(OpenError::Damaged(_) | OpenError::OtherFormat { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}
