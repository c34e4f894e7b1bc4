//! What one subscription has sent and its client has not settled.
//!
//! Clients name a delivery by our `ack` id (1.2) or by the message's id (1.0, 1.1), settle several with one frame, and
//! may take a settlement back by aborting its transaction. The one idea to know: entries are numbered in the order of
//! sending and stay until they are really settled; a transaction only reserves them.

use crate::mail::Letter;
use bytestring::ByteString;
use parking_lot::Mutex;
use sluice_model::ReceiptHandle;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The deliveries of one subscription, shared between its task and the connection.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// How long a delivery may wait for its ACK.
    ack_timeout: Option<Duration>,
    state: Mutex<State>,
    /// Something was settled or is to be sent again.
    changed: Notify,
    /// A transaction gave deliveries back, which may be overdue.
    freed: Notify,
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
    /// When it has waited long enough for its ACK.
    overdue: Option<Instant>,
    /// The open transaction that has settled it.
    reserved_by: Option<ByteString>,
}

/// What settles a delivery.
#[derive(Debug, Clone)]
pub(crate) enum Claim {
    /// A lease of a group.
    Lease(ReceiptHandle),
    /// Nothing: a cursor has moved on already. Where to read the message if it is wanted again.
    Place(u64),
    /// Nothing: a letter is in nobody else's hands.
    Letter(Arc<Letter>),
}

/// A delivery without a lease that the client refused.
#[derive(Debug, Clone)]
pub(crate) struct Again {
    pub due: Instant,
    pub claim: Claim,
    /// Which delivery it will be.
    pub attempt: u32,
}

/// Deliveries that one frame settles, oldest first.
pub(crate) type Settled = Vec<(u64, Entry)>;

impl Ledger {
    /// A ledger whose deliveries are taken back after that time.
    pub fn new(ack_timeout: Option<Duration>) -> Self {
        Self { ack_timeout, ..Self::default() }
    }

    /// Notes a delivery that is about to be sent; returns its number.
    pub fn add(&self, message_id: ByteString, attempt: u32, claim: Claim) -> u64 {
        let mut state = self.state.lock();
        state.last += 1;
        let number = state.last;
        let overdue = self.ack_timeout.map(|time| Instant::now() + time);
        state.entries.insert(number, Entry { message_id, attempt, claim, overdue, reserved_by: None });
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
        drop(state);
        self.freed.notify_one();
    }

    /// Resolves when a delivery has waited too long for its ACK.
    pub async fn overdue(&self) {
        if self.ack_timeout.is_none() {
            return std::future::pending().await;
        }
        loop {
            // Deliveries are numbered as they were sent, so the first one that waits is the first to be overdue.
            let first = self.state.lock().entries.values().find(|entry| entry.reserved_by.is_none()).cloned();
            let Some(at) = first.and_then(|entry| entry.overdue) else {
                self.freed.notified().await;
                continue;
            };
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(at) => {}
                () = self.freed.notified() => continue,
            }
            if self.state.lock().next_overdue(Instant::now()).is_some() {
                return;
            }
        }
    }

    /// Takes out the deliveries that have waited too long.
    pub fn take_overdue(&self) -> Settled {
        let mut state = self.state.lock();
        let now = Instant::now();
        let mut taken = Vec::new();
        while let Some(number) = state.next_overdue(now) {
            taken.extend(state.entries.remove(&number).map(|entry| (number, entry)));
        }
        drop(state);
        self.changed.notify_one();
        taken
    }

    /// Takes out everything: the subscription ends.
    pub fn take_all(&self) -> (Settled, Vec<Again>) {
        let mut state = self.state.lock();
        let entries = std::mem::take(&mut state.entries);
        (entries.into_iter().collect(), std::mem::take(&mut state.again).into())
    }

    /// Has a message sent again.
    pub fn send_again(&self, claim: Claim, attempt: u32, delay: Duration) {
        let mut state = self.state.lock();
        state.again.push_back(Again { due: Instant::now() + delay, claim, attempt });
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
    /// The first delivery that has waited too long.
    fn next_overdue(&self, now: Instant) -> Option<u64> {
        let waiting = self.entries.iter().find(|(_, entry)| entry.reserved_by.is_none());
        waiting.filter(|(_, entry)| entry.overdue.is_some_and(|at| at <= now)).map(|(number, _)| *number)
    }

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
