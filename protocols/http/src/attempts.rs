//! Answers to receives that carry an `attempt`: whoever repeats it gets the same deliveries.
//!
//! An answer may be lost after the connection took it, and its leases then keep the messages from everyone. The one idea
//! to know: an attempt is remembered from the moment that its answer was taken until its first delivery is settled, which
//! shows that the answer arrived, or its leases end. It is a help, not a promise: a restart forgets it, and so does a
//! shortage of room; the messages then come again when their leases end.

use bytestring::ByteString;
use parking_lot::Mutex;
use sluice_model::{Delivered, Millis};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Whose attempt it is, for what, and what it is called.
pub(crate) type Name = (ByteString, String, String);

/// All attempts that are remembered.
pub struct Attempts {
    known: Mutex<Known>,
    max: usize,
    max_bytes: usize,
}

#[derive(Default)]
struct Known {
    by_name: HashMap<Name, u64>,
    by_handle: HashMap<ByteString, u64>,
    /// In the order in which they were answered.
    answers: BTreeMap<u64, Answer>,
    bytes: usize,
    last: u64,
}

struct Answer {
    name: Name,
    deliveries: Arc<[Delivered]>,
    until: Millis,
}

impl Answer {
    fn bytes(&self) -> usize {
        self.deliveries.iter().map(|delivered| delivered.message.size as usize).sum()
    }
}

impl Attempts {
    pub fn new(max: usize, max_bytes: usize) -> Self {
        Self { known: Mutex::default(), max, max_bytes }
    }

    /// What the attempt was answered, as long as all of it is leased.
    pub(crate) fn again(&self, name: &Name, now: Millis) -> Option<Arc<[Delivered]>> {
        let mut known = self.known.lock();
        let number = *known.by_name.get(name)?;
        let answer = known.answers.get(&number)?;
        if answer.until > now {
            return Some(Arc::clone(&answer.deliveries));
        }
        known.forget(number);
        None
    }

    /// The connection has taken the answer.
    pub(crate) fn answered(&self, name: Name, deliveries: Arc<[Delivered]>) {
        let Some(until) = deliveries.iter().map(|delivered| delivered.invisible_until).min() else { return };
        let mut known = self.known.lock();
        if let Some(before) = known.by_name.get(&name).copied() {
            known.forget(before);
        }
        known.last += 1;
        let (number, answer) = (known.last, Answer { name, deliveries, until });
        known.bytes += answer.bytes();
        known.by_name.insert(answer.name.clone(), number);
        for delivered in answer.deliveries.iter() {
            known.by_handle.insert(delivered.receipt.0.clone(), number);
        }
        known.answers.insert(number, answer);
        while known.answers.len() > self.max || known.bytes > self.max_bytes {
            let Some(oldest) = known.answers.first_key_value().map(|(number, _)| *number) else { break };
            known.forget(oldest);
        }
    }

    /// A delivery was settled, or its lease changed: its answer has arrived.
    pub fn arrived(&self, handle: &ByteString) {
        let mut known = self.known.lock();
        if let Some(number) = known.by_handle.get(handle).copied() {
            known.forget(number);
        }
    }
}

impl Known {
    fn forget(&mut self, number: u64) {
        let Some(answer) = self.answers.remove(&number) else { return };
        self.bytes -= answer.bytes();
        self.by_name.remove(&answer.name);
        for delivered in answer.deliveries.iter() {
            self.by_handle.remove(&delivered.receipt.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_model::{Message, QueueId, ReceiptHandle, StoredMessage, TopicName};

    fn delivered(handle: &str, size: u32, until: Millis) -> Delivered {
        let message = StoredMessage {
            topic: TopicName::new("t").unwrap(),
            queue: QueueId(0),
            offset: 0,
            locator: 0,
            size,
            stored: 0,
            message: Message::default(),
        };
        let receipt = ReceiptHandle::from(handle);
        Delivered { message, receipt, attempt: 1, redelivered: false, invisible_until: until }
    }

    fn name(attempt: &str) -> Name {
        ("me".into(), "g".into(), attempt.into())
    }

    fn answer(attempts: &Attempts, attempt: &str, handles: &[&str], until: Millis) {
        let deliveries = handles.iter().map(|handle| delivered(handle, 10, until)).collect();
        attempts.answered(name(attempt), deliveries);
    }

    #[test]
    fn an_answer_is_given_again_until_it_has_arrived_or_its_leases_end() {
        let attempts = Attempts::new(10, 1000);
        answer(&attempts, "1", &["a", "b"], 100);
        answer(&attempts, "2", &["c"], 100);
        assert_eq!(attempts.again(&name("1"), 99).unwrap().len(), 2);
        attempts.arrived(&"b".into());
        assert!(attempts.again(&name("1"), 99).is_none());
        assert!(attempts.again(&name("2"), 100).is_none());
        let known = attempts.known.lock();
        assert!(known.by_handle.is_empty() && known.by_name.is_empty() && known.answers.is_empty());
        assert_eq!(known.bytes, 0);
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let attempts = Attempts::new(2, 35);
        for (attempt, handle) in [("1", "a"), ("2", "b"), ("3", "c")] {
            answer(&attempts, attempt, &[handle], 100);
        }
        assert!(attempts.again(&name("1"), 0).is_none() && attempts.again(&name("2"), 0).is_some());
        answer(&attempts, "4", &["d", "e"], 100);
        assert!(attempts.again(&name("2"), 0).is_none() && attempts.again(&name("3"), 0).is_some());
        answer(&attempts, "3", &["f"], 100);
        assert_eq!(attempts.known.lock().bytes, 30);
    }
}
