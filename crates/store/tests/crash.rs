//! The log against a naive model: random appends, reads, checkpoints, power cuts, kills and restarts.
//!
//! The model is a list of groups in call order. After a crash the log must hold a prefix of it that contains everything
//! acknowledged at its durability, whole groups only, every message at its place; and no offset that was ever readable
//! may be given to another message.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step has to panic")]

use proptest::prelude::*;
use sluice_model::ManualClock;
use sluice_model::units::ByteSize;
use sluice_store::sim::SimVfs;
use sluice_store::suite::{body, message, patiently, read_all};
use sluice_store::{
    Append, Config, Content, Done, Durability, LocalLog, Log, LogQueue, Payload, Placed, word_hash,
};
use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

const QUEUES: u32 = 3;

#[derive(Debug, Clone)]
enum Step {
    Append { entries: Vec<Entry>, durability: Durability },
    Await,
    Check,
    Checkpoint,
    Restart,
    Kill,
    PowerCut(u64),
}

#[derive(Debug, Clone)]
enum Entry {
    Message { queue: u32, len: usize },
    Batch { queue: u32, count: u16, len: usize },
    State { len: usize },
}

fn entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        4 => (0..QUEUES, 0usize..3000).prop_map(|(queue, len)| Entry::Message { queue, len }),
        2 => (0..QUEUES, 1_u16..50, 0usize..3000)
            .prop_map(|(queue, count, len)| Entry::Batch { queue, count, len }),
        1 => (0usize..300).prop_map(|len| Entry::State { len }),
    ]
}

fn step(sync_only: bool) -> impl Strategy<Value = Step> {
    let durability = if sync_only {
        Just(Durability::Sync).boxed()
    } else {
        prop_oneof![Just(Durability::Sync), Just(Durability::Async)].boxed()
    };
    prop_oneof![
        12 => (prop::collection::vec(entry(), 1..6), durability)
            .prop_map(|(entries, durability)| Step::Append { entries, durability }),
        3 => Just(Step::Await),
        2 => Just(Step::Check),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
        3 => any::<u64>().prop_map(Step::PowerCut),
    ]
}

/// One entry as the model knows it: messages with queue and offset.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    place: Option<(u32, u64)>,
    text: String,
}

struct Group {
    entries: Vec<Kept>,
    durability: Durability,
    done: Option<Done>,
    acked: bool,
}

struct Bench {
    vfs: SimVfs,
    log: LocalLog,
    groups: Vec<Group>,
    /// The offset after the last one that was ever readable, for each queue.
    seen: BTreeMap<u32, u64>,
    written: u64,
}

fn open(vfs: &SimVfs) -> LocalLog {
    let config =
        Config { segment_size: ByteSize::kib(64), tail_cache: ByteSize::kib(32), ..Config::default() };
    LocalLog::open_on(Arc::new(vfs.clone()), Path::new("data"), config, Arc::new(ManualClock::new(1)))
        .unwrap()
}

impl Bench {
    fn new() -> Self {
        let vfs = SimVfs::new();
        let log = open(&vfs);
        Self { vfs, log, groups: Vec::new(), seen: BTreeMap::new(), written: 0 }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Append { entries, durability } => self.append(entries, *durability),
            Step::Await => self.await_all(),
            Step::Check => self.check(),
            Step::Checkpoint => {
                let at = self.log.end();
                self.log.write_checkpoint(at, b"state").unwrap();
                assert_eq!(self.log.checkpoint().unwrap().unwrap().0, at);
                self.note_acked();
            }
            Step::Restart => {
                self.check();
                let before: Vec<u64> = (0..QUEUES).map(|q| self.log.next_offset(LogQueue(q))).collect();
                self.log.close().unwrap();
                self.log = open(&self.vfs);
                self.recovered(true);
                let after: Vec<u64> = (0..QUEUES).map(|q| self.log.next_offset(LogQueue(q))).collect();
                assert_eq!(before, after, "a restart in order moves nothing");
            }
            Step::Kill => {
                self.note_acked();
                let vfs = self.vfs.kill();
                self.reopen(vfs, true);
            }
            Step::PowerCut(seed) => {
                self.note_acked();
                let vfs = self.vfs.power_cut(*seed);
                self.reopen(vfs, false);
            }
        }
    }

    fn append(&mut self, entries: &[Entry], durability: Durability) {
        let texts: Vec<String> = entries
            .iter()
            .map(|entry| {
                self.written += 1;
                let (Entry::Message { len, .. } | Entry::Batch { len, .. } | Entry::State { len }) = entry;
                format!("{}:{}", self.written, "x".repeat(*len))
            })
            .collect();
        let keys = [word_hash("batches")];
        let messages: Vec<_> = texts.iter().map(|text| message(text)).collect();
        let group: Vec<Append<'_>> = entries
            .iter()
            .zip(texts.iter().zip(&messages))
            .map(|(entry, (text, message))| {
                let (queue, payload) = match entry {
                    Entry::Message { queue, .. } => (*queue, Payload::Message(message)),
                    Entry::Batch { queue, count, .. } => {
                        let (encoding, count, bytes) = (2, *count, text.as_bytes());
                        let (newest, keys, head) = (self.written, &keys[..], &b"head"[..]);
                        (*queue, Payload::Batch { encoding, count, newest, keys, head, bytes })
                    }
                    Entry::State { .. } => (0, Payload::State(text.as_bytes())),
                };
                Append { queue: LogQueue(queue), payload, stored: self.written, reserved_space: false }
            })
            .collect();
        let ticket = patiently(&self.log, &group, durability);
        let kept = |(entry, (placed, text)): (&Entry, (&Placed, String))| Kept {
            place: match entry {
                Entry::Message { queue, .. } | Entry::Batch { queue, .. } => Some((*queue, placed.offset)),
                Entry::State { .. } => None,
            },
            text,
        };
        let entries: Vec<Kept> = entries.iter().zip(ticket.placed.iter().zip(texts)).map(kept).collect();
        for (queue, offset) in entries.iter().filter_map(|entry| entry.place) {
            let seen = self.seen.get(&queue).copied().unwrap_or(0);
            assert!(
                offset >= seen,
                "offset {offset} of queue {queue} was readable before as another message"
            );
        }
        self.groups.push(Group { entries, durability, done: Some(ticket.done), acked: false });
    }

    fn await_all(&mut self) {
        for group in &mut self.groups {
            if let Some(done) = group.done.take() {
                done.wait().unwrap();
                group.acked = true;
            }
        }
    }

    /// Looks, without waiting, which groups are acknowledged and how far queues are readable.
    fn note_acked(&mut self) {
        for group in &mut self.groups {
            if let Some(done) = &mut group.done
                && Pin::new(done).poll(&mut Context::from_waker(Waker::noop())).is_ready()
            {
                group.acked = true;
                group.done = None;
            }
        }
        for queue in 0..QUEUES {
            let next = self.log.bounds(LogQueue(queue)).next;
            let seen = self.seen.entry(queue).or_default();
            *seen = next.max(*seen);
        }
    }

    fn check(&mut self) {
        self.await_all();
        self.note_acked();
        self.compare();
    }

    fn reopen(&mut self, vfs: SimVfs, written_survives: bool) {
        self.vfs = vfs;
        self.log = open(&self.vfs);
        self.recovered(written_survives);
    }

    /// Takes over what survived, and checks that it is what had to.
    fn recovered(&mut self, written_survives: bool) {
        let all: Vec<Kept> = replayed(&self.log);
        let mut rest = &all[..];
        let mut survived = 0;
        for group in &self.groups {
            match rest.strip_prefix(&group.entries[..]) {
                Some(behind) => rest = behind,
                None => break,
            }
            survived += 1;
        }
        assert!(rest.is_empty(), "what is there is a prefix of what was appended, in whole groups");
        for group in &self.groups[survived..] {
            let must = group.acked && (written_survives || group.durability == Durability::Sync);
            let places: Vec<_> = group.entries.iter().map(|entry| entry.place).collect();
            assert!(!must, "an acknowledged group is missing: {places:?}");
        }
        self.groups.truncate(survived);
        for group in &mut self.groups {
            // Whatever a restart found stays: it has been made safe.
            (group.acked, group.done, group.durability) = (true, None, Durability::Sync);
        }
        for queue in 0..QUEUES {
            let next = self.log.next_offset(LogQueue(queue));
            assert!(next >= self.seen.get(&queue).copied().unwrap_or(0), "queue {queue} goes back to {next}");
            assert_eq!(self.log.bounds(LogQueue(queue)).next, next);
        }
        self.compare();
    }

    fn compare(&self) {
        for queue in 0..QUEUES {
            let there: Vec<Kept> = read_all(&self.log, queue)
                .iter()
                .map(|entry| Kept { place: Some((queue, entry.offset)), text: body(entry) })
                .collect();
            let wanted: Vec<Kept> = self
                .groups
                .iter()
                .flat_map(|group| &group.entries)
                .filter(|entry| entry.place.is_some_and(|(of, _)| of == queue))
                .cloned()
                .collect();
            let offsets = |all: &[Kept]| all.iter().filter_map(|entry| entry.place).collect::<Vec<_>>();
            assert!(there == wanted, "queue {queue}: {:?}, not {:?}", offsets(&there), offsets(&wanted));
        }
    }
}

fn replayed(log: &LocalLog) -> Vec<Kept> {
    let mut all = Vec::new();
    log.replay(0, &mut |entry| {
        all.push(match &entry.content {
            Content::State(bytes) => Kept { place: None, text: String::from_utf8(bytes.to_vec()).unwrap() },
            _ => Kept { place: Some((entry.queue.0, entry.offset)), text: body(&entry) },
        });
    })
    .unwrap();
    all
}

fn run(steps: &[Step]) {
    let mut bench = Bench::new();
    steps.iter().for_each(|step| bench.run(step));
    bench.run(&Step::Check);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn synced_appends_survive_every_crash(steps in prop::collection::vec(step(true), 1..40)) {
        run(&steps);
    }

    #[test]
    fn mixed_appends_survive_as_promised(steps in prop::collection::vec(step(false), 1..40)) {
        run(&steps);
    }
}
