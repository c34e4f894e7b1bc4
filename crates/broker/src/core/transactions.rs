//! Half messages: stored, and invisible until their transaction is decided; and the decisions told lately.
//!
//! The messages rest in the log; only their place, target and the next check are here. The one idea to know: a half is
//! always in exactly one of two states. It *waits* for its next check, or it *asks*: its check is due and nobody could
//! be asked yet. Asking is not stored: after a start the check is due again.

use serde::{Deserialize, Serialize};
use sluice_model::{GroupName, Millis, Offset};
use sluice_store::{LogQueue, Lsn};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Decisions remembered, so that one told twice is answered the same way twice; about 50 bytes each.
const DECISIONS_KEPT: usize = 100_000;

/// A message whose transaction is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Half {
    /// Where its record is; what the transaction is called.
    pub(crate) lsn: Lsn,
    /// Its offset among the halves.
    pub(crate) offset: Offset,
    /// The queue it goes to when the transaction commits.
    pub(crate) target: u32,
    /// Whose instances are asked for the outcome.
    pub(crate) group: GroupName,
    /// The message's id.
    pub(crate) id: String,
    pub(crate) prepared: Millis,
    /// How often somebody was asked.
    pub(crate) checks: u32,
    /// When somebody is asked next.
    pub(crate) next_check: Millis,
}

impl Half {
    pub(crate) fn target(&self) -> LogQueue {
        LogQueue(self.target)
    }
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Decision {
    Committed,
    RolledBack,
    /// Nobody decided in time.
    GivenUp,
}

/// A transaction as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    Open(Half),
    Decided(Decision, LogQueue),
}

/// All halves, and the decisions told lately.
#[derive(Debug, Default)]
pub(crate) struct Transactions {
    open: BTreeMap<Lsn, Half>,
    /// When each half wants attention next.
    due: BTreeSet<(Millis, Lsn)>,
    due_of: HashMap<Lsn, Millis, foldhash::fast::RandomState>,
    asking: BTreeMap<GroupName, BTreeSet<Lsn>>,
    decided: BTreeMap<Lsn, (Decision, u32)>,
    /// Where the record of each open half lies, when it was stored there, and what the half is called.
    records: BTreeMap<Lsn, (Millis, Lsn)>,
    /// Where those lie that were carried forward.
    carried: BTreeMap<Lsn, Lsn>,
}

impl Transactions {
    pub(crate) fn prepared(&mut self, half: Half) {
        self.set_due(half.lsn, half.next_check);
        self.records.insert(half.lsn, (half.prepared, half.lsn));
        self.open.insert(half.lsn, half);
    }

    pub(crate) fn known(&self, lsn: Lsn) -> Option<Known> {
        let open = self.open.get(&lsn).cloned().map(Known::Open);
        open.or_else(|| self.decided.get(&lsn).map(|(how, queue)| Known::Decided(*how, LogQueue(*queue))))
    }

    pub(crate) fn get(&self, lsn: Lsn) -> Option<&Half> {
        self.open.get(&lsn)
    }

    /// Open ones after that one, by the order in which they were prepared.
    pub(crate) fn after(&self, lsn: Lsn) -> impl Iterator<Item = &Half> {
        self.open.range(lsn.saturating_add(1)..).map(|(_, half)| half)
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Somebody was asked; the next one is asked at `next`.
    pub(crate) fn asked(&mut self, lsn: Lsn, checks: u32, next: Millis) {
        self.stop_asking(lsn);
        if let Some(half) = self.open.get_mut(&lsn) {
            half.checks = checks;
            half.next_check = next;
            self.set_due(lsn, next);
        }
    }

    pub(crate) fn decided(&mut self, lsn: Lsn, decision: Decision) {
        if let Some(half) = self.remove(lsn) {
            self.decided.insert(lsn, (decision, half.target));
        }
        while self.decided.len() > DECISIONS_KEPT {
            self.decided.pop_first();
        }
    }

    /// Those that want attention at `now`, at most `limit`.
    pub(crate) fn due(&self, now: Millis, limit: usize) -> Vec<Half> {
        let due = self.due.iter().take_while(|(time, _)| *time <= now).take(limit);
        due.filter_map(|(_, lsn)| self.open.get(lsn).cloned()).collect()
    }

    /// When the next one wants attention.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.due.first().map(|(time, _)| *time)
    }

    /// Nobody could be asked; without an answer it is looked at again at `latest`.
    pub(crate) fn ask(&mut self, lsn: Lsn, latest: Millis) {
        if let Some(half) = self.open.get(&lsn) {
            self.asking.entry(half.group.clone()).or_default().insert(lsn);
            self.set_due(lsn, latest);
        }
    }

    /// Those of a group whose check is due and for which nobody could be asked.
    pub(crate) fn asking(&self, group: &GroupName) -> impl Iterator<Item = &Half> {
        self.asking.get(group).into_iter().flatten().filter_map(|lsn| self.open.get(lsn))
    }

    /// An instance of the group has come: what asks is due again. True when there is any.
    pub(crate) fn ask_again(&mut self, group: &GroupName) -> bool {
        let asking = self.asking.remove(group).unwrap_or_default();
        for lsn in &asking {
            if let Some(time) = self.open.get(lsn).map(|half| half.next_check) {
                self.set_due(*lsn, time);
            }
        }
        !asking.is_empty()
    }

    pub(crate) fn is_asking(&self, half: &Half) -> bool {
        self.asking.get(&half.group).is_some_and(|asking| asking.contains(&half.lsn))
    }

    /// The halves for these queues go with them.
    pub(crate) fn forget(&mut self, queues: &[LogQueue]) {
        let gone: Vec<Lsn> =
            self.open.values().filter(|half| queues.contains(&half.target())).map(|half| half.lsn).collect();
        for lsn in gone {
            self.remove(lsn);
        }
    }

    /// The earliest record that must not be trimmed.
    pub(crate) fn earliest_record(&self) -> Option<Lsn> {
        self.records.first_key_value().map(|(lsn, _)| *lsn)
    }

    /// Where the message of a half lies.
    pub(crate) fn place(&self, lsn: Lsn) -> Lsn {
        self.carried.get(&lsn).copied().unwrap_or(lsn)
    }

    /// Those whose records were stored before a time, at most `limit`, the first ones first.
    pub(crate) fn older_than(&self, time: Millis, limit: usize) -> Vec<Half> {
        let old = self.records.values().take_while(|(stored, _)| *stored < time).take(limit);
        old.filter_map(|(_, lsn)| self.open.get(lsn).cloned()).collect()
    }

    /// The message of a half lies at another place from now on.
    pub(crate) fn carried(&mut self, lsn: Lsn, at: Lsn, stored: Millis) {
        if self.open.contains_key(&lsn) {
            self.records.remove(&self.place(lsn));
            self.records.insert(at, (stored, lsn));
            self.carried.insert(lsn, at);
        }
    }

    /// Where those lie that were carried forward, and since when.
    pub(crate) fn save_places(&self) -> Vec<(Lsn, Lsn, Millis)> {
        let stored = |at: &Lsn| self.records.get(at).map_or(0, |(stored, _)| *stored);
        self.carried.iter().map(|(lsn, at)| (*lsn, *at, stored(at))).collect()
    }

    pub(crate) fn restore_places(&mut self, places: Vec<(Lsn, Lsn, Millis)>) {
        places.into_iter().for_each(|(lsn, at, stored)| self.carried(lsn, at, stored));
    }

    fn remove(&mut self, lsn: Lsn) -> Option<Half> {
        self.stop_asking(lsn);
        self.records.remove(&self.place(lsn));
        self.carried.remove(&lsn);
        if let Some(time) = self.due_of.remove(&lsn) {
            self.due.remove(&(time, lsn));
        }
        self.open.remove(&lsn)
    }

    fn stop_asking(&mut self, lsn: Lsn) {
        if let Some(group) = self.open.get(&lsn).map(|half| &half.group)
            && let Some(asking) = self.asking.get_mut(group)
        {
            asking.remove(&lsn);
            if asking.is_empty() {
                let group = group.clone();
                self.asking.remove(&group);
            }
        }
    }

    fn set_due(&mut self, lsn: Lsn, time: Millis) {
        if let Some(before) = self.due_of.insert(lsn, time) {
            self.due.remove(&(before, lsn));
        }
        self.due.insert((time, lsn));
    }

    pub(crate) fn save(&self) -> Saved {
        let decided = self.decided.iter().map(|(lsn, (decision, queue))| (*lsn, *decision, *queue));
        Saved { open: self.open.values().cloned().collect(), decided: decided.collect() }
    }

    pub(crate) fn restore(saved: Saved) -> Self {
        let mut transactions = Self::default();
        saved.open.into_iter().for_each(|half| transactions.prepared(half));
        transactions.decided =
            saved.decided.into_iter().map(|(lsn, how, queue)| (lsn, (how, queue))).collect();
        transactions
    }
}

/// As a checkpoint keeps them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Saved {
    open: Vec<Half>,
    decided: Vec<(Lsn, Decision, u32)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(lsn: Lsn, next_check: Millis) -> Half {
        let group = GroupName::new("p").unwrap();
        Half { lsn, offset: 0, target: 20, group, id: "id".into(), prepared: 0, checks: 0, next_check }
    }

    #[test]
    fn a_half_waits_asks_and_is_decided() {
        let group = GroupName::new("p").unwrap();
        let mut all = Transactions::default();
        all.prepared(half(100, 6));
        all.prepared(half(200, 7));
        assert_eq!(all.next_due(), Some(6));
        assert_eq!(all.due(6, 10), [half(100, 6)]);
        all.ask(100, 1000);
        assert_eq!((all.next_due(), all.asking(&group).count()), (Some(7), 1));
        assert!(all.ask_again(&group) && !all.ask_again(&group));
        assert_eq!((all.next_due(), all.asking(&group).count()), (Some(6), 0));
        all.ask(100, 1000);
        all.asked(100, 1, 36);
        assert_eq!((all.next_due(), all.asking(&group).count()), (Some(7), 0));
        assert_eq!(all.earliest_record(), Some(100));
        all.decided(100, Decision::Committed);
        assert_eq!(all.known(100), Some(Known::Decided(Decision::Committed, LogQueue(20))));
        assert_eq!((all.len(), all.earliest_record(), all.next_due()), (1, Some(200), Some(7)));
        all.decided(100, Decision::RolledBack);
        assert_eq!(all.known(100), Some(Known::Decided(Decision::Committed, LogQueue(20))));
        all.forget(&[LogQueue(20)]);
        assert_eq!((all.len(), all.next_due(), all.known(200)), (0, None, None));
    }

    #[test]
    fn asking_is_due_again_after_a_start() {
        let mut all = Transactions::default();
        all.prepared(half(100, 6));
        all.ask(100, 1000);
        all.prepared(half(200, 7));
        all.decided(200, Decision::GivenUp);
        let saved = postcard::to_stdvec(&all.save()).unwrap();
        let again = Transactions::restore(postcard::from_bytes(&saved).unwrap());
        assert_eq!(again.next_due(), Some(6));
        assert_eq!(again.known(200), Some(Known::Decided(Decision::GivenUp, LogQueue(20))));
    }
}
