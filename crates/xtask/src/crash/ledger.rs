//! What was tried, and what the broker said about it.

use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::SmallRng;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// A queue of a topic.
pub type Queue = (String, u32);

/// Shared by all workers, kept over all rounds.
#[derive(Default)]
pub struct Ledger(Mutex<Entries>);

#[derive(Default)]
pub struct Entries {
    /// Every body that may appear, with its topic.
    pub sent: HashMap<String, String>,
    /// Those whose sending was acknowledged, with the place that the answer named, when it named one.
    pub acknowledged: HashMap<String, Option<(u32, u64)>>,
    /// What was found where, and how far each queue has been looked at.
    pub found: HashMap<String, (Queue, u64)>,
    pub ends: HashMap<Queue, u64>,
    /// By group: what was received, and what of it was settled.
    pub received: HashMap<String, HashSet<String>>,
    pub settled: HashMap<String, HashSet<String>>,
    /// By group and queue: the highest committed offset that the broker has told.
    pub committed: HashMap<(String, Queue), u64>,
    /// Settled deliveries that came again.
    pub repeated: Vec<String>,
}

impl Ledger {
    pub fn lock(&self) -> parking_lot::MutexGuard<'_, Entries> {
        self.0.lock()
    }

    /// Forgets what a power cut may undo: settled deliveries may come again, and offsets that were committed on the way may
    /// have been lost.
    pub fn forget_unsynced(&self) {
        let mut entries = self.lock();
        entries.settled.clear();
        entries.repeated.clear();
        entries.committed.clear();
    }
}

impl Entries {
    pub fn receive(&mut self, group: &str, body: &str) {
        if self.settled.get(group).is_some_and(|settled| settled.contains(body)) {
            self.repeated.push(format!("{group} got {:?} again, which it had settled", id(body)));
        }
        self.received.entry(group.to_owned()).or_default().insert(body.to_owned());
    }

    pub fn settle(&mut self, group: &str, body: &str) {
        self.settled.entry(group.to_owned()).or_default().insert(body.to_owned());
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.lock();
        let count = |of: &HashMap<String, HashSet<String>>| of.values().map(HashSet::len).sum::<usize>();
        write!(
            f,
            "{} sent, {} acknowledged, {} found, {} received, {} settled",
            entries.sent.len(),
            entries.acknowledged.len(),
            entries.found.len(),
            count(&entries.received),
            count(&entries.settled)
        )
    }
}

/// A body that is like no other: its id, and as much filling as chance says; now and then it spans several blocks.
pub fn body(id: &str, random: &mut SmallRng) -> String {
    let filling = if random.random_ratio(1, 50) {
        random.random_range(10_000..70_000)
    } else {
        random.random_range(0..1500)
    };
    let mut body = format!("{id} ");
    body.extend((0..filling).map(|_| char::from(random.random_range(b'a'..=b'z'))));
    body
}

/// The id at the start of a body.
pub fn id(body: &str) -> &str {
    body.split(' ').next().unwrap_or_default()
}
