//! Writing the state down while it changes: [`Saving`], and what each large table needs for it, [`Before`].
//!
//! A checkpoint tells the state as of one position of the log, and a large table takes longer to write down than anyone
//! may wait for the core's lock. So it is taken part by part, and the lock is free in between. The one idea to know:
//! whatever is about to change, and has not been taken yet, is noted as it was when the saving began; what was noted is
//! left out of the parts and comes at their end.

use super::catalog::{Group, Topic};
use super::once::{Digest, Known};
use super::state::Snapshot;
use super::table::{ProgressKey, SavedProgress};
use sluice_auth::Change;
use sluice_model::{Error, Millis, Result};
use sluice_store::{Lsn, Unhurried};
use std::collections::BTreeMap;
use std::sync::Arc;

/// About what a delayed message takes in it.
const TIMER: usize = 12;

/// A checkpoint's content, of which the large tables come part by part: see [`super::state::Core::save_part`].
#[derive(Debug)]
pub(crate) struct Saving {
    /// Of all savings, this one.
    pub(crate) number: u64,
    pub(crate) boot: u32,
    pub(crate) receipt_key: [u8; 32],
    pub(crate) counters: (u32, u32),
    pub(crate) topics: Vec<Arc<Topic>>,
    pub(crate) groups: Vec<Arc<Group>>,
    pub(crate) access: Vec<Change>,
    pub(crate) timers: Vec<(Millis, Lsn, u32)>,
    pub(crate) progress: Vec<(ProgressKey, SavedProgress)>,
    pub(crate) once: Vec<(Digest, Known)>,
    pub(crate) stage: Stage,
    /// What is small, encoded at once, in the order in which it lies in the file; what is above comes in between.
    pub(crate) transactions: Vec<u8>,
    pub(crate) marks: Vec<u8>,
    pub(crate) rest: Vec<u8>,
}

/// The table that is being taken.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    Timers,
    Progress,
    Once,
}

impl Stage {
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Timers => Self::Progress,
            Self::Progress | Self::Once => Self::Once,
        }
    }
}

impl Saving {
    /// Makes room for a part, so that nobody waits while memory is asked for.
    pub(crate) fn make_room(&mut self, items: usize) {
        match self.stage {
            Stage::Timers => self.timers.reserve(items),
            Stage::Progress => self.progress.reserve(items),
            Stage::Once => self.once.reserve(items),
        }
    }

    /// The checkpoint's content. Takes a while: not for who holds a lock.
    pub(crate) fn encode(mut self) -> Result<Vec<u8>> {
        // The same in every run of a simulation.
        self.progress.sort_unstable_by_key(|(key, _)| *key);
        let consumed =
            |((group, queue), (.., at)): &(ProgressKey, SavedProgress)| Some((*group, queue.0, (*at)?));
        let consumed: Vec<(u32, u32, Millis)> = self.progress.iter().filter_map(consumed).collect();
        let progress = self.progress.into_iter();
        let snapshot = Snapshot {
            boot: self.boot,
            receipt_key: self.receipt_key,
            counters: self.counters,
            topics: (self.topics.iter())
                .map(|t| (t.name.clone(), t.spec.clone(), t.queues.iter().map(|q| q.0).collect(), t.created))
                .collect(),
            groups: (self.groups.iter())
                .map(|g| (g.name.clone(), g.number, g.spec.clone(), g.created))
                .collect(),
            progress: progress
                .map(|((group, queue), (next, cells, _))| (group, queue.0, next, cells))
                .collect(),
            timers: self.timers,
            access: self.access,
        };
        let bytes = Unhurried::with_capacity(self.rest.len() + snapshot.timers.len() * TIMER);
        let mut bytes = postcard::to_extend(&snapshot, bytes).map_err(Error::internal)?;
        drop(snapshot);
        bytes.extend(self.transactions);
        let mut bytes = postcard::to_extend(&self.once, bytes).map_err(Error::internal)?;
        bytes.extend(self.marks);
        let mut bytes = postcard::to_extend(&consumed, bytes).map_err(Error::internal)?;
        bytes.extend(self.rest);
        Ok(bytes.into_bytes())
    }
}

/// What was where when a saving began, of what has changed since and was not taken before.
#[derive(Debug)]
pub(crate) struct Before<K, S> {
    /// Nothing while nothing is saved.
    noted: Option<BTreeMap<K, Option<S>>>,
    /// Everything up to here has been taken.
    upto: Option<K>,
}

impl<K, S> Default for Before<K, S> {
    fn default() -> Self {
        Self { noted: None, upto: None }
    }
}

impl<K: Ord + Copy, S> Before<K, S> {
    /// A saving begins; one that was not brought to its end is forgotten.
    pub(crate) fn begin(&mut self) {
        (self.noted, self.upto) = (Some(BTreeMap::new()), None);
    }

    /// What is at this key is about to change.
    pub(crate) fn note(&mut self, key: K, was: impl FnOnce() -> Option<S>) {
        let is_taken = self.upto.is_some_and(|upto| key <= upto);
        if let Some(noted) = self.noted.as_mut().filter(|_| !is_taken) {
            noted.entry(key).or_insert_with(was);
        }
    }

    /// Up to where parts have been taken.
    pub(crate) fn upto(&self) -> Option<K> {
        self.upto
    }

    /// Whether a part leaves this key out.
    pub(crate) fn has(&self, key: &K) -> bool {
        self.noted.as_ref().is_some_and(|noted| noted.contains_key(key))
    }

    /// Everything up to this key has been taken.
    pub(crate) fn taken(&mut self, upto: K) {
        self.upto = Some(upto);
    }

    /// All parts have been taken: what comes behind them.
    pub(crate) fn end(&mut self) -> impl Iterator<Item = (K, S)> + use<K, S> {
        self.upto = None;
        let noted = self.noted.take().unwrap_or_default();
        noted.into_iter().filter_map(|(key, was)| Some((key, was?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_noted_as_it_was_unless_it_was_taken() {
        let mut before: Before<u32, &str> = Before::default();
        before.note(1, || unreachable!("nothing is saved"));
        before.begin();
        before.note(5, || Some("five"));
        before.note(5, || unreachable!("it is noted already"));
        before.note(6, || None);
        before.taken(3);
        before.note(3, || unreachable!("it was taken"));
        before.note(4, || Some("four"));
        assert!(before.has(&6) && !before.has(&3));
        assert_eq!(before.end().collect::<Vec<_>>(), [(4, "four"), (5, "five")]);
        assert!(!before.has(&5) && before.end().next().is_none());
    }
}
