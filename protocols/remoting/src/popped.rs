//! Which receipt a popped message has, for clients that name a delivery by its place.
//!
//! It exists because a client that has changed a lease makes a new check point by itself, and one that settles many at once
//! sends places alone; both leave the receipt out. The one idea to know: this is a memory of this process for as long as
//! the leases last, or until they are settled. A delivery that it has forgotten comes again when its lease ends.

use parking_lot::Mutex;
use sluice_model::{GroupName, Millis, Offset, QueueId, ReceiptHandle, TopicName};
use std::collections::HashMap;

/// The most that is remembered: about 50 MiB. Receipts beyond travel with the messages alone.
const MAX_REMEMBERED: usize = 1 << 18;

/// A delivery as this wire names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Delivery {
    pub(crate) group: GroupName,
    pub(crate) topic: TopicName,
    /// It comes from the group's retries, whose offsets are others.
    pub(crate) retry: bool,
    pub(crate) queue: QueueId,
    pub(crate) offset: Offset,
}

/// The deliveries whose leases may still run.
#[derive(Debug, Default)]
pub(crate) struct Popped(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    receipts: HashMap<Delivery, (ReceiptHandle, Millis)>,
    /// How many there may be before those whose leases have ended are looked for.
    clean_at: usize,
    /// How many more are passed over before that is done again when there was no room.
    pass_over: usize,
}

impl Popped {
    pub(crate) fn remember(&self, delivery: Delivery, receipt: ReceiptHandle, until: Millis, now: Millis) {
        let mut remembered = self.0.lock();
        let is_full = remembered.receipts.len() >= remembered.clean_at && !remembered.make_room(now);
        // An older receipt of the same delivery is of no use any more.
        if is_full && !remembered.receipts.contains_key(&delivery) {
            return;
        }
        remembered.receipts.insert(delivery, (receipt, until));
    }

    /// The delivery is settled, if this is its receipt still.
    pub(crate) fn forget(&self, delivery: &Delivery, receipt: &ReceiptHandle) {
        let mut remembered = self.0.lock();
        if remembered.receipts.get(delivery).is_some_and(|(known, _)| known == receipt) {
            remembered.receipts.remove(delivery);
        }
    }

    pub(crate) fn find(&self, delivery: &Delivery) -> Option<ReceiptHandle> {
        self.0.lock().receipts.get(delivery).map(|(receipt, _)| receipt.clone())
    }
}

impl Remembered {
    /// Lets those go whose leases have ended, at a cost that is constant for each delivery; whether there is room now.
    fn make_room(&mut self, now: Millis) -> bool {
        if self.pass_over > 0 {
            self.pass_over -= 1;
            return false;
        }
        self.receipts.retain(|_, (_, until)| *until > now);
        let left = self.receipts.len();
        self.clean_at = (left * 2).clamp(1024, MAX_REMEMBERED);
        self.pass_over = if left < MAX_REMEMBERED { 0 } else { MAX_REMEMBERED / 4 };
        left < MAX_REMEMBERED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(offset: Offset) -> Delivery {
        let (group, topic) = (GroupName::new("CG").unwrap(), TopicName::new("T").unwrap());
        Delivery { group, topic, retry: false, queue: QueueId(0), offset }
    }

    #[test]
    fn what_is_settled_is_forgotten_by_its_receipt() {
        let popped = Popped::default();
        popped.remember(delivery(1), "first".into(), 100, 0);
        popped.forget(&delivery(1), &"another".into());
        assert_eq!(popped.find(&delivery(1)), Some("first".into()));
        popped.forget(&delivery(1), &"first".into());
        assert_eq!(popped.find(&delivery(1)), None);
    }

    #[test]
    fn when_all_places_are_taken_room_is_looked_for_now_and_then() {
        let popped = Popped::default();
        for offset in 0..MAX_REMEMBERED as u64 {
            popped.remember(delivery(offset), "first".into(), 100, 0);
        }
        // Looked for in vain.
        popped.remember(delivery(1 << 40), "more".into(), 300, 50);
        assert_eq!(popped.0.lock().pass_over, MAX_REMEMBERED / 4);
        popped.remember(delivery(7), "again".into(), 100, 50);
        assert_eq!(popped.find(&delivery(7)), Some("again".into()));
        for offset in 2..=MAX_REMEMBERED as u64 / 4 {
            popped.remember(delivery((1 << 40) + offset), "more".into(), 300, 200);
        }
        assert_eq!(popped.0.lock().receipts.len(), MAX_REMEMBERED);
        popped.remember(delivery(1 << 50), "last".into(), 300, 200);
        assert_eq!(popped.find(&delivery(1 << 50)), Some("last".into()));
        assert_eq!(popped.0.lock().receipts.len(), 1);
    }

    #[test]
    fn what_has_ended_is_forgotten_when_room_is_needed() {
        let popped = Popped::default();
        for offset in 0..1024 {
            popped.remember(delivery(offset), "old".into(), 100, 0);
        }
        popped.remember(delivery(5000), "new".into(), 300, 200);
        assert_eq!(popped.find(&delivery(3)), None);
        assert_eq!(popped.find(&delivery(5000)), Some("new".into()));
        assert_eq!(popped.find(&Delivery { retry: true, ..delivery(5000) }), None);
    }
}
