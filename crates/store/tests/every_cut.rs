//! Small workloads, and every way in which a power cut can end them: after each call that changes the disk, with every
//! subset of what was not synced then, in order and the last first.
//!
//! What the random tests meet by chance is met here for certain. The one idea to know: a subset is a number, whose bits
//! say which unsynced changes reached the disk.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step has to panic")]

use sluice_model::ManualClock;
use sluice_model::units::ByteSize;
use sluice_store::sim::SimVfs;
use sluice_store::suite::{body, message, named, read_all, search};
use sluice_store::{Append, Config, Done, Durability, LocalLog, Log, LogQueue, Payload};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

/// With more unsynced changes than this, the subsets are too many; the workloads stay below.
const MOST: u32 = 12;
/// Calls after which no workload here changes anything more.
const CALLS: u64 = 400;

fn open(vfs: &SimVfs) -> Result<LocalLog, sluice_store::OpenError> {
    let config = Config { segment_size: ByteSize::kib(64), ..Config::default() };
    LocalLog::open_by_hand(Arc::new(vfs.clone()), Path::new("data"), config, Arc::new(ManualClock::new(1)))
}

/// What is done, one after the other.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Messages in one atomic group.
    Send(usize, Durability),
    Commit,
    Quiet,
    Checkpoint,
    /// The background prepares and seals files.
    Keep,
    Close,
}

#[derive(Default)]
struct Sent {
    /// Each group's texts, its durability, and whether it was acknowledged.
    groups: Vec<(Vec<String>, Durability, bool)>,
    waiting: Vec<(usize, Done)>,
    checkpoints: usize,
}

impl Sent {
    fn take(&mut self, log: &LocalLog, step: Step, size: usize) {
        match step {
            Step::Send(count, durability) => {
                let n = self.groups.len();
                let texts: Vec<String> =
                    (0..count).map(|part| format!("{n}.{part}:{}", "x".repeat(size))).collect();
                let messages: Vec<_> = texts.iter().map(|text| named(text)).collect();
                let append = |m| Append {
                    queue: LogQueue(1),
                    payload: Payload::Message(m),
                    stored: 1,
                    reserved_space: false,
                };
                let group: Vec<Append<'_>> = messages.iter().map(append).collect();
                if let Ok(ticket) = log.append(&group, durability) {
                    self.waiting.push((n, ticket.done));
                    self.groups.push((texts, durability, false));
                }
            }
            Step::Commit => log.commit(),
            Step::Quiet => log.be_quiet(),
            Step::Checkpoint => {
                self.checkpoints += usize::from(log.write_checkpoint(log.end(), b"state").is_ok())
            }
            Step::Keep => while log.keep_files() {},
            Step::Close => drop(log.close()),
        }
        let groups = &mut self.groups;
        self.waiting.retain_mut(|(n, done)| {
            match Pin::new(done).poll(&mut Context::from_waker(Waker::noop())) {
                std::task::Poll::Ready(Ok(())) => {
                    groups[*n].2 = true;
                    false
                }
                std::task::Poll::Ready(Err(_)) => false,
                std::task::Poll::Pending => true,
            }
        });
    }

    /// What is there is a prefix, in whole groups, with all that was acknowledged as synced.
    fn check(&self, vfs: &SimVfs, what: &str) {
        let log = open(vfs).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found: Vec<String> = read_all(&log, 1).iter().map(body).collect();
        let mut rest = &found[..];
        let mut survived = 0;
        for (texts, ..) in &self.groups {
            let Some(behind) = rest.strip_prefix(&texts[..]) else { break };
            (rest, survived) = (behind, survived + 1);
        }
        assert!(rest.is_empty(), "{what}: not a prefix in whole groups: {} messages", found.len());
        let lost = self.groups[survived..]
            .iter()
            .any(|(_, durability, acked)| *acked && *durability == Durability::Sync);
        assert!(!lost, "{what}: only {survived} groups are left");
        // What is there is found by its words, and nothing else is.
        let newest: Vec<String> = log.find(&search("all")).unwrap().entries.iter().map(body).collect();
        assert!(newest.iter().rev().eq(&found), "{what}: {newest:?}");
        for text in &found {
            let id = text.split(':').next().unwrap();
            let entries = log.find(&search(id)).unwrap().entries;
            assert_eq!(entries.iter().map(body).collect::<Vec<_>>(), [text.as_str()], "{what}");
        }
        assert!(self.checkpoints == 0 || log.checkpoint().unwrap().is_some(), "{what}: no checkpoint");
        // And it goes on from there.
        let after = message("after");
        let append = Append {
            queue: LogQueue(1),
            payload: Payload::Message(&after),
            stored: 1,
            reserved_space: false,
        };
        let ticket = log.append(&[append], Durability::Sync).unwrap();
        log.commit();
        ticket.done.wait().unwrap();
    }
}

/// Cuts the power after each call, and lets each subset survive. Returns how many recoveries that were.
fn every_cut(steps: &[Step], size: usize) -> u64 {
    let mut recoveries = 0;
    for nth in 1..CALLS {
        let vfs = SimVfs::seeded(7);
        let log = open(&vfs).unwrap();
        vfs.stop_at(nth);
        let mut sent = Sent::default();
        for step in steps {
            if vfs.has_stopped() {
                break;
            }
            sent.take(&log, *step, size);
        }
        let ended = !vfs.has_stopped();
        let unsynced = vfs.unsynced();
        assert!(unsynced <= MOST, "{unsynced} unsynced changes after {nth} calls");
        for subset in 0..1u64 << unsynced {
            let what = format!("{steps:?}, call {nth}, subset {subset:b}");
            let (left, other) = (vfs.power_cut_keeping(subset, false), vfs.power_cut_keeping(subset, true));
            sent.check(&left, &what);
            recoveries += 1;
            // Nearly always the same: changes that overlap are few.
            if vfs.power_cut_keeping(subset, false).files() != other.files() {
                sent.check(&other, &format!("{what}, backwards"));
                recoveries += 1;
            }
        }
        if ended {
            return recoveries;
        }
    }
    panic!("the workload does not come to its end");
}

use Durability::{Async, Sync};
use Step::{Checkpoint, Close, Commit, Keep, Quiet, Send};

#[test]
fn synced_groups() {
    let steps = [Send(1, Sync), Send(2, Sync), Commit, Send(3, Sync), Commit, Send(1, Sync), Commit];
    assert!(every_cut(&steps, 700) > 8);
}

#[test]
fn groups_that_are_synced_later() {
    let steps =
        [Send(1, Async), Commit, Send(2, Async), Commit, Send(1, Async), Commit, Send(1, Sync), Commit];
    assert!(every_cut(&steps, 1500) > 8);
    assert!(
        every_cut(&[Send(1, Async), Commit, Send(1, Async), Commit, Quiet, Send(2, Sync), Commit], 90) > 8
    );
}

#[test]
fn the_step_to_the_next_segment() {
    let steps = [
        Keep,
        Send(2, Sync),
        Commit,
        Send(2, Sync),
        Commit,
        Send(2, Sync),
        Commit,
        Keep,
        Send(1, Sync),
        Commit,
    ];
    assert!(every_cut(&steps, 14_000) > 100);
}

#[test]
fn a_checkpoint_and_the_end() {
    let steps =
        [Send(1, Sync), Commit, Checkpoint, Send(1, Sync), Commit, Checkpoint, Checkpoint, Quiet, Close];
    assert!(every_cut(&steps, 300) > 50);
}
