//! The batches that were taken apart last: [`Cache`].
//!
//! It exists so that who reads message by message (a lease of one, a browser) does not have the same batch taken apart for
//! each of them.

use super::Unpacked;
use parking_lot::Mutex;
use sluice_store::Lsn;
use std::collections::VecDeque;
use std::sync::Arc;

/// What is kept, all together: readers of a few queues find their batches again. One that is larger is kept alone.
const MAX_BYTES: usize = 16 << 20;
/// And so many, that looking through them stays cheap.
const MAX_BATCHES: usize = 64;

/// See the module.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Kept>);

/// The one used last is last.
#[derive(Default)]
struct Kept {
    batches: VecDeque<(Lsn, Arc<dyn Unpacked>)>,
    bytes: usize,
}

impl Cache {
    pub(crate) fn get(&self, lsn: Lsn) -> Option<Arc<dyn Unpacked>> {
        let mut kept = self.0.lock();
        let at = kept.batches.iter().rposition(|(known, _)| *known == lsn)?;
        let found = kept.batches.remove(at)?;
        let batch = Arc::clone(&found.1);
        kept.batches.push_back(found);
        Some(batch)
    }

    pub(crate) fn put(&self, lsn: Lsn, batch: &Arc<dyn Unpacked>) {
        let mut kept = self.0.lock();
        if kept.batches.iter().any(|(known, _)| *known == lsn) {
            return;
        }
        kept.bytes += batch.memory();
        kept.batches.push_back((lsn, Arc::clone(batch)));
        while kept.batches.len() > 1 && (kept.bytes > MAX_BYTES || kept.batches.len() > MAX_BATCHES) {
            let Some((_, oldest)) = kept.batches.pop_front() else { break };
            kept.bytes -= oldest.memory();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_model::Message;

    struct Sized(usize);

    impl Unpacked for Sized {
        fn memory(&self) -> usize {
            self.0
        }

        fn message(&self, _: usize) -> Option<Message> {
            None
        }
    }

    #[test]
    fn what_was_used_last_is_kept_within_limits() {
        let cache = Cache::default();
        let put = |lsn, bytes| cache.put(lsn, &(Arc::new(Sized(bytes)) as Arc<dyn Unpacked>));
        put(1, MAX_BYTES / 2);
        put(2, MAX_BYTES / 2);
        assert!(cache.get(1).is_some());
        put(3, MAX_BYTES / 2);
        assert_eq!([1, 2, 3].map(|lsn| cache.get(lsn).is_some()), [true, false, true]);
        put(4, 2 * MAX_BYTES);
        assert_eq!([1, 3, 4].map(|lsn| cache.get(lsn).is_some()), [false, false, true]);
        (10..10 + 2 * MAX_BATCHES as u64).for_each(|lsn| put(lsn, 1));
        assert_eq!(cache.0.lock().batches.len(), MAX_BATCHES);
        assert_eq!(cache.0.lock().bytes, MAX_BATCHES);
    }
}
