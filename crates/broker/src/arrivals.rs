//! Who waits for new messages in which queue.
//!
//! The log's thread names the queues that grew; everyone who waits on one of them is woken once and looks again. A
//! waiter registers first and looks after, so nothing arrives unseen.

use parking_lot::Mutex;
use sluice_store::LogQueue;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// All waiters, by queue and registration, so that coming and going costs the same however many wait.
#[derive(Debug, Default)]
pub(crate) struct Arrivals(Mutex<Waiters>);

#[derive(Debug, Default)]
struct Waiters {
    by_queue: Map<LogQueue, Map<u64, Arc<Notify>>>,
    next: u64,
}

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A registration; dropping it takes it back.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    arrivals: &'a Arrivals,
    queues: Vec<LogQueue>,
    number: u64,
    notify: Arc<Notify>,
}

impl Arrivals {
    /// Registers for the next arrival in any of these queues.
    pub(crate) fn wait_on(&self, queues: Vec<LogQueue>) -> Waiting<'_> {
        let notify = Arc::new(Notify::new());
        let mut waiters = self.0.lock();
        let number = waiters.next;
        waiters.next += 1;
        for queue in &queues {
            waiters.by_queue.entry(*queue).or_default().insert(number, Arc::clone(&notify));
        }
        Waiting { arrivals: self, queues, number, notify }
    }

    /// Wakes everyone who waits on one of these queues.
    pub(crate) fn arrived(&self, queues: &[LogQueue]) {
        let waiters = self.0.lock();
        for notify in queues.iter().filter_map(|q| waiters.by_queue.get(q)).flat_map(HashMap::values) {
            notify.notify_one();
        }
    }
}

impl Waiting<'_> {
    /// Resolves after the next arrival since the last time, or since the registration.
    pub(crate) async fn arrival(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiters = self.arrivals.0.lock();
        for queue in &self.queues {
            if let Some(here) = waiters.by_queue.get_mut(queue) {
                here.remove(&self.number);
                if here.is_empty() {
                    waiters.by_queue.remove(queue);
                }
            }
        }
    }
}
