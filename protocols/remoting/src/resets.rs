//! Groups that a tool has moved while their clients consume.
//!
//! A consumer keeps its place in memory, so moving the stored offset alone would be undone by its next commit. The one
//! idea to know: the queue's next pull is told that its offset is no good and where to go on, which every client obeys;
//! until then what clients commit there is not taken.

use parking_lot::Mutex;
use sluice_model::{GroupName, Millis, Offset, QueueId, TopicName};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// A client that has not pulled for as long as it may live without a heartbeat is gone, and starts from the store.
const KEPT: Millis = 120_000;

/// A group on a queue.
pub(crate) type Place = (GroupName, TopicName, QueueId);

/// What consumers have still to be told.
#[derive(Debug, Default)]
pub(crate) struct Resets {
    pending: Mutex<HashMap<Place, (Offset, Millis)>>,
    /// How many are pending, so that a pull looks no further when there are none.
    count: AtomicUsize,
    set: Notify,
}

impl Resets {
    /// Consumers of these places go on at these offsets.
    pub(crate) fn set(&self, places: impl IntoIterator<Item = (Place, Offset)>, now: Millis) {
        let mut pending = self.pending.lock();
        pending.retain(|_, (_, until)| *until > now);
        pending.extend(places.into_iter().map(|(place, offset)| (place, (offset, now + KEPT))));
        self.count.store(pending.len(), Ordering::Release);
        drop(pending);
        self.set.notify_waiters();
    }

    /// It did not happen.
    pub(crate) fn withdraw<'a>(&self, places: impl IntoIterator<Item = &'a Place>) {
        let mut pending = self.pending.lock();
        for place in places {
            pending.remove(place);
        }
        self.count.store(pending.len(), Ordering::Release);
    }

    /// Where a consumer has to go on, told once.
    pub(crate) fn take(&self, place: &Place, now: Millis) -> Option<Offset> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut pending = self.pending.lock();
        let taken = pending.remove(place);
        self.count.store(pending.len(), Ordering::Release);
        taken.filter(|(_, until)| *until > now).map(|(offset, _)| offset)
    }

    /// Whether the consumer of this place does not know yet that it was moved.
    pub(crate) fn is_pending(&self, place: &Place, now: Millis) -> bool {
        self.count.load(Ordering::Acquire) > 0
            && self.pending.lock().get(place).is_some_and(|(_, until)| *until > now)
    }

    /// Resolves at the next reset of any place. A reset after the call is not missed.
    pub(crate) fn next(&self) -> impl Future<Output = ()> + '_ {
        self.set.notified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_told_once_and_not_for_ever() {
        let place: Place = (GroupName::new("g").unwrap(), TopicName::new("t").unwrap(), QueueId(0));
        let other: Place = (place.0.clone(), place.1.clone(), QueueId(1));
        let resets = Resets::default();
        resets.set([(place.clone(), 7)], 1000);
        assert!(resets.is_pending(&place, 1001) && !resets.is_pending(&other, 1001));
        assert_eq!((resets.take(&other, 1001), resets.take(&place, 1001)), (None, Some(7)));
        assert_eq!((resets.take(&place, 1001), resets.is_pending(&place, 1001)), (None, false));
        resets.set([(place.clone(), 8)], 1000);
        assert!(!resets.is_pending(&place, 1000 + KEPT));
        assert_eq!(resets.take(&place, 1000 + KEPT), None);
        resets.set([(place.clone(), 9)], 1000);
        resets.withdraw([&place]);
        assert_eq!(resets.take(&place, 1001), None);
    }
}
