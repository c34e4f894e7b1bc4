//! Lets one log line through in a while.
//!
//! What clients can cause at will must not fill the disk; the metrics count every case.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const EVERY: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(crate) struct LogGate {
    last: Mutex<Option<Instant>>,
}

impl LogGate {
    pub(crate) fn opens(&self) -> bool {
        let now = Instant::now();
        let mut last = self.last.lock();
        if last.is_some_and(|last| now.duration_since(last) < EVERY) {
            return false;
        }
        *last = Some(now);
        true
    }
}
