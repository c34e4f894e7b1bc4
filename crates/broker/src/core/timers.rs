//! The delayed messages that wait for their time.
//!
//! Only their due time, place and target are here; the messages rest in the log. A timer that is not yet durable is in
//! the list already, and cannot fire before its record is readable.

use sluice_model::Millis;
use sluice_store::{LogQueue, Lsn};
use std::collections::BTreeMap;

/// Waiting messages by due time.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeMap<(Millis, Lsn), LogQueue>);

/// One waiting message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timer {
    /// When it is due.
    pub(crate) due: Millis,
    /// Where its record is.
    pub(crate) lsn: Lsn,
    /// The queue it will go to.
    pub(crate) target: LogQueue,
}

impl Timers {
    pub(crate) fn insert(&mut self, timer: Timer) {
        self.0.insert((timer.due, timer.lsn), timer.target);
    }

    pub(crate) fn remove(&mut self, due: Millis, lsn: Lsn) {
        self.0.remove(&(due, lsn));
    }

    /// The queue that a waiting message is for.
    pub(crate) fn target(&self, due: Millis, lsn: Lsn) -> Option<LogQueue> {
        self.0.get(&(due, lsn)).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// When the next one is due.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.0.first_key_value().map(|((due, _), _)| *due)
    }

    /// Those due at `now`, at most `limit`, in the order they are due.
    pub(crate) fn due(&self, now: Millis, limit: usize) -> Vec<Timer> {
        self.iter().take_while(|t| t.due <= now).take(limit).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Timer> + '_ {
        self.0.iter().map(|((due, lsn), target)| Timer { due: *due, lsn: *lsn, target: *target })
    }

    /// The earliest record that must not be trimmed. Linear: called once a minute.
    pub(crate) fn earliest_record(&self) -> Option<Lsn> {
        self.0.keys().map(|(_, lsn)| *lsn).min()
    }
}
