//! How many deliveries of a group stream are not settled yet: what `maxInFlight` bounds.
//!
//! A stream hands out leases on one connection; they are settled by other calls, from anywhere. The one idea to know:
//! each handed-out handle is filed here under its stream until it is settled or its lease has ended, and the stream
//! waits when it has too many.

use parking_lot::Mutex;
use sluice_model::{ByteString, Millis};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// Every stream's open handles, found by handle.
#[derive(Default)]
pub struct Credits {
    streams: Mutex<HashMap<ByteString, Arc<StreamCredit>>>,
}

/// One stream's open handles with the end of each lease.
#[derive(Default)]
pub struct StreamCredit {
    open: Mutex<HashMap<ByteString, Millis>>,
    settled: Notify,
}

impl Credits {
    /// Files a handed-out delivery.
    pub fn opened(&self, stream: &Arc<StreamCredit>, handle: &ByteString, until: Millis) {
        stream.open.lock().insert(handle.clone(), until);
        self.streams.lock().insert(handle.clone(), Arc::clone(stream));
    }

    /// A delivery was settled, by whichever call.
    pub fn settled(&self, handle: &ByteString) {
        let Some(stream) = self.streams.lock().remove(handle) else { return };
        stream.open.lock().remove(handle);
        stream.settled.notify_one();
    }

    /// A lease was extended under a new handle.
    pub fn extended(&self, old: &ByteString, new: &ByteString, until: Millis) {
        let stream = self.streams.lock().remove(old);
        if let Some(stream) = stream {
            stream.open.lock().remove(old);
            self.opened(&stream, new, until);
        }
    }

    /// Forgets what a closed stream, or ended leases, left behind.
    pub fn forget(&self, stream: &StreamCredit, ended_by: Millis) {
        let mut ended = Vec::new();
        stream.open.lock().retain(|handle, until| {
            let keep = *until > ended_by;
            if !keep {
                ended.push(handle.clone());
            }
            keep
        });
        let mut streams = self.streams.lock();
        for handle in &ended {
            streams.remove(handle);
        }
    }
}

impl StreamCredit {
    /// How many deliveries are open.
    pub fn open(&self) -> usize {
        self.open.lock().len()
    }

    /// When the first open lease ends.
    pub fn next_end(&self) -> Option<Millis> {
        self.open.lock().values().min().copied()
    }

    /// Resolves when a delivery was settled since the last call.
    pub async fn settled(&self) {
        self.settled.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_comes_back_by_settling_extending_and_ending() {
        let credits = Credits::default();
        let stream = Arc::new(StreamCredit::default());
        for (handle, until) in [("a", 10), ("b", 20), ("c", 30)] {
            credits.opened(&stream, &handle.into(), until);
        }
        assert_eq!((stream.open(), stream.next_end()), (3, Some(10)));
        credits.settled(&"a".into());
        credits.settled(&"a".into());
        assert_eq!((stream.open(), stream.next_end()), (2, Some(20)));
        credits.extended(&"b".into(), &"b2".into(), 50);
        assert_eq!((stream.open(), stream.next_end()), (2, Some(30)));
        credits.forget(&stream, 30);
        assert_eq!((stream.open(), stream.next_end()), (1, Some(50)));
        credits.settled(&"b2".into());
        assert!(credits.streams.lock().is_empty());
    }
}
