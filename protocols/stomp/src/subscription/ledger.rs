//! What one subscription has sent and its client has not settled.
//!
//! Clients name a delivery by our `ack` id (1.2) or by the message's id (1.0, 1.1), settle several with one frame, and
//! may take a settlement back by aborting its transaction. The one idea to know: entries are numbered in the order of
//! sending and stay until they are really settled; a transaction only reserves them.

use bytestring::ByteString;
use parking_lot::Mutex;
use sluice_model::ReceiptHandle;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The deliveries of one subscription, shared between its task and the connection.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    /// Something was settled or is to be sent again.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    entries: BTreeMap<u64, Entry>,
    again: VecDeque<Again>,
}

/// One delivery.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub message_id: ByteString,
    /// Which delivery of this message it was, from 1.
    pub attempt: u32,
    pub claim: Claim,
    /// The open transaction that has settled it.
    pub reserved_by: Option<ByteString>,
}

/// What settles a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Claim {
    /// A lease of a group.
    Lease(ReceiptHandle),
    /// Nothing: a cursor has moved on already. Where to read the message if it is wanted again.
    Place(u64),
}

/// A delivery of a cursor that the client refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Again {
    pub due: Instant,
    pub locator: u64,
    /// Which delivery it will be.
    pub attempt: u32,
}

/// Deliveries that one frame settles, oldest first.
pub(crate) type Settled = Vec<(u64, Entry)>;

impl Ledger {
    /// Notes a delivery that is about to be sent; returns its number.
    pub fn add(&self, message_id: ByteString, attempt: u32, claim: Claim) -> u64 {
        let mut state = self.state.lock();
        state.last += 1;
        let number = state.last;
        state.entries.insert(number, Entry { message_id, attempt, claim, reserved_by: None });
        number
    }

    /// The number of the oldest delivery of that message.
    pub fn find(&self, message_id: &str) -> Option<u64> {
        let state = self.state.lock();
        state.entries.iter().find(|(_, entry)| entry.message_id == message_id).map(|(number, _)| *number)
    }

    /// Takes out delivery `number`, and the earlier ones if `cumulative`; what a transaction reserved stays.
    /// `None` when there is no such delivery, or it is reserved.
    pub fn settle(&self, number: u64, cumulative: bool) -> Option<Settled> {
        let mut state = self.state.lock();
        let numbers = state.selection(number, cumulative)?;
        let settled =
            numbers.into_iter().filter_map(|n| state.entries.remove(&n).map(|entry| (n, entry))).collect();
        drop(state);
        self.changed.notify_one();
        Some(settled)
    }

    /// Like `settle`, for the end of a transaction: the deliveries stay until then.
    pub fn reserve(&self, number: u64, cumulative: bool, transaction: &ByteString) -> Option<Settled> {
        let mut state = self.state.lock();
        let numbers = state.selection(number, cumulative)?;
        let mut reserved = Vec::with_capacity(numbers.len());
        for n in numbers {
            if let Some(entry) = state.entries.get_mut(&n) {
                entry.reserved_by = Some(transaction.clone());
                reserved.push((n, entry.clone()));
            }
        }
        Some(reserved)
    }

    /// Takes out what a transaction had reserved.
    pub fn remove(&self, numbers: impl IntoIterator<Item = u64>) {
        let mut state = self.state.lock();
        for number in numbers {
            state.entries.remove(&number);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Gives back what a transaction had reserved.
    pub fn unreserve(&self, transaction: &str) {
        let mut state = self.state.lock();
        for entry in state.entries.values_mut() {
            entry.reserved_by.take_if(|by| *by == transaction);
        }
    }

    /// Has a cursor's message sent again.
    pub fn send_again(&self, locator: u64, attempt: u32, delay: Duration) {
        let mut state = self.state.lock();
        state.again.push_back(Again { due: Instant::now() + delay, locator, attempt });
        drop(state);
        self.changed.notify_one();
    }

    /// A message that is due again.
    pub fn take_due(&self) -> Option<Again> {
        let mut state = self.state.lock();
        let now = Instant::now();
        let at = state.again.iter().position(|again| again.due <= now)?;
        state.again.remove(at)
    }

    /// Deliveries under way, those to come again included.
    pub fn len(&self) -> usize {
        let state = self.state.lock();
        state.entries.len() + state.again.len()
    }

    /// Resolves when fewer than `window` deliveries are under way, or one is due again.
    pub async fn room(&self, window: usize) {
        while self.len() >= window && !self.changed_or_due().await {}
    }

    /// Resolves when a message is due again.
    pub async fn due(&self) {
        while !self.changed_or_due().await {}
    }

    /// Waits for a change; true when a message is due again.
    async fn changed_or_due(&self) -> bool {
        let next = self.state.lock().again.iter().map(|again| again.due).min();
        let Some(due) = next else {
            self.changed.notified().await;
            return false;
        };
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(due) => true,
            () = self.changed.notified() => false,
        }
    }
}

impl State {
    fn selection(&self, number: u64, cumulative: bool) -> Option<Vec<u64>> {
        self.entries.get(&number).filter(|entry| entry.reserved_by.is_none())?;
        let first = if cumulative { 0 } else { number };
        let free = self.entries.range(first..=number).filter(|(_, entry)| entry.reserved_by.is_none());
        Some(free.map(|(number, _)| *number).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(ids: &[&str]) -> Ledger {
        let ledger = Ledger::default();
        for id in ids {
            ledger.add((*id).into(), 1, Claim::Place(0));
        }
        ledger
    }

    fn numbers(settled: Option<Settled>) -> Option<Vec<u64>> {
        settled.map(|s| s.into_iter().map(|(n, _)| n).collect())
    }

    #[test]
    fn a_cumulative_settlement_takes_earlier_ones_and_leaves_gaps_alone() {
        let ledger = ledger(&["a", "b", "c", "d"]);
        assert_eq!(numbers(ledger.settle(2, false)), Some(vec![2]));
        assert_eq!(numbers(ledger.settle(2, false)), None, "settled already");
        assert_eq!(numbers(ledger.settle(3, true)), Some(vec![1, 3]));
        assert_eq!(ledger.len(), 1);
    }

    #[test]
    fn what_a_transaction_reserved_comes_back_under_the_same_number() {
        let ledger = ledger(&["a", "b"]);
        assert_eq!(numbers(ledger.reserve(2, true, &"t".into())), Some(vec![1, 2]));
        assert_eq!(numbers(ledger.settle(1, false)), None, "reserved");
        ledger.unreserve("other");
        assert_eq!(numbers(ledger.settle(1, false)), None);
        ledger.unreserve("t");
        assert_eq!(numbers(ledger.settle(1, false)), Some(vec![1]));
    }

    #[test]
    fn the_oldest_delivery_of_a_message_is_found() {
        let ledger = ledger(&["a", "b", "a"]);
        assert_eq!(ledger.find("a"), Some(1));
        assert_eq!(ledger.find("x"), None);
    }
}
