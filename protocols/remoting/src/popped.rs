//! Which receipt a popped message has, for clients that name a delivery by its place.
//!
//! It exists because a client that has changed a lease makes a new check point by itself, and one that settles many at once
//! sends places alone; both leave the receipt out. The one idea to know: this is a memory of this process for as long as
//! the leases last. A delivery that it has forgotten comes again when its lease ends.

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
}

impl Popped {
    pub(crate) fn remember(&self, delivery: Delivery, receipt: ReceiptHandle, until: Millis, now: Millis) {
        let mut remembered = self.0.lock();
        if remembered.receipts.len() >= remembered.clean_at {
            remembered.receipts.retain(|_, (_, until)| *until > now);
            // So that cleaning up costs a constant time for each delivery.
            remembered.clean_at = (remembered.receipts.len() * 2).clamp(1024, MAX_REMEMBERED);
        }
        if remembered.receipts.len() < MAX_REMEMBERED {
            remembered.receipts.insert(delivery, (receipt, until));
        }
    }

    pub(crate) fn find(&self, delivery: &Delivery) -> Option<ReceiptHandle> {
        self.0.lock().receipts.get(delivery).map(|(receipt, _)| receipt.clone())
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
