//! Taking turns: subscribers of one group share messages one by one.
//!
//! Left to a race, one subscriber would take a whole burst while its neighbour idles. The one idea to know: of all
//! subscribers in this process that could take a message of a group, only one has a receive open at a time, and the
//! turn goes round.

use parking_lot::Mutex;
use sluice_model::{GroupName, TopicName};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The turns of every group that has a subscriber.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    turns: Mutex<HashMap<(GroupName, TopicName), Weak<Turn>>>,
}

/// Whose turn it is in one group.
#[derive(Debug)]
pub(crate) struct Turn {
    seat: Semaphore,
    waiting: AtomicUsize,
}

impl Turns {
    /// The turn of a group on a topic.
    pub fn of(&self, group: &GroupName, topic: &TopicName) -> Arc<Turn> {
        let mut turns = self.turns.lock();
        let key = (group.clone(), topic.clone());
        if let Some(turn) = turns.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        if turns.len() == turns.capacity() {
            turns.retain(|_, turn| turn.strong_count() > 0); // forget those without subscribers before growing
        }
        let turn = Arc::new(Turn { seat: Semaphore::new(1), waiting: AtomicUsize::new(0) });
        turns.insert(key, Arc::downgrade(&turn));
        turn
    }
}

impl Turn {
    /// Waits for the turn, first come first served. `None` only if the turn was abolished.
    pub async fn take(&self) -> Option<SemaphorePermit<'_>> {
        let _waiting = Waiting::new(&self.waiting);
        self.seat.acquire().await.ok()
    }

    /// Whether others wait for their turn.
    pub fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
