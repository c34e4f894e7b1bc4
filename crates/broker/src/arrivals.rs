//! Who waits for new messages in which queue.
//!
//! The log's thread names the queues that grew; everyone who waits on one of them is woken once and looks again. A
//! waiter registers first and looks after, so nothing arrives unseen.

use parking_lot::Mutex;
use sluice_store::LogQueue;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// All waiters, by queue.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    waiting: Mutex<HashMap<LogQueue, Vec<Arc<Notify>>, foldhash::fast::RandomState>>,
}

/// A registration; dropping it takes it back.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    arrivals: &'a Arrivals,
    queues: Vec<LogQueue>,
    notify: Arc<Notify>,
}

impl Arrivals {
    /// Registers for the next arrival in any of these queues.
    pub(crate) fn wait_on(&self, queues: Vec<LogQueue>) -> Waiting<'_> {
        let notify = Arc::new(Notify::new());
        let mut waiting = self.waiting.lock();
        for queue in &queues {
            waiting.entry(*queue).or_default().push(Arc::clone(&notify));
        }
        Waiting { arrivals: self, queues, notify }
    }

    /// Wakes everyone who waits on one of these queues.
    pub(crate) fn arrived(&self, queues: &[LogQueue]) {
        let waiting = self.waiting.lock();
        for notify in queues.iter().filter_map(|q| waiting.get(q)).flatten() {
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
        let mut waiting = self.arrivals.waiting.lock();
        for queue in &self.queues {
            if let Some(list) = waiting.get_mut(queue) {
                list.retain(|n| !Arc::ptr_eq(n, &self.notify));
                if list.is_empty() {
                    waiting.remove(queue);
                }
            }
        }
    }
}
