//! The progress of all groups on all queues: [`ProgressTable`], a table that can be saved while it changes.
//!
//! The one idea to know: it is kept in [`SHARDS`] shards, so that a saving can take it shard by shard.

use super::progress::{GroupQueue, SavedCell};
use super::saving::Before;
use sluice_model::{Millis, Offset};
use sluice_store::LogQueue;
use std::collections::HashMap;

/// A group and a log queue.
pub(crate) type ProgressKey = (u32, LogQueue);

/// So many that one of a million entries is taken in under a millisecond, so few that empty ones cost nothing.
const SHARDS: usize = 256;

/// What a saving keeps of one: the cursor, the cells, and when something was consumed last.
pub(crate) type SavedProgress = (Offset, Vec<SavedCell>, Option<Millis>);

type Shard = HashMap<ProgressKey, GroupQueue, foldhash::fast::RandomState>;

/// See the module.
#[derive(Debug)]
pub(crate) struct ProgressTable {
    shards: Box<[Shard]>,
    before: Before<(usize, ProgressKey), SavedProgress>,
}

impl Default for ProgressTable {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect(), before: Before::default() }
    }
}

/// The greatest key there is: of a whole shard that has been taken.
const LAST: ProgressKey = (u32::MAX, LogQueue(u32::MAX));

fn shard_of((group, queue): ProgressKey) -> usize {
    (group.wrapping_mul(31) ^ queue.0) as usize % SHARDS
}

fn saved(progress: &GroupQueue) -> SavedProgress {
    let (next, cells) = progress.save();
    (next, cells, progress.consumed_at())
}

impl ProgressTable {
    fn shard(&self, key: ProgressKey) -> Option<&Shard> {
        self.shards.get(shard_of(key))
    }

    /// The shard of an entry that is about to change.
    fn changing(&mut self, key: ProgressKey) -> Option<&mut Shard> {
        let shard = shard_of(key);
        let of = self.shards.get_mut(shard)?;
        self.before.note((shard, key), || of.get(&key).map(saved));
        Some(of)
    }

    pub(crate) fn get(&self, key: ProgressKey) -> Option<&GroupQueue> {
        self.shard(key)?.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: ProgressKey) -> Option<&mut GroupQueue> {
        self.changing(key)?.get_mut(&key)
    }

    /// What is there, or what is made now.
    pub(crate) fn get_or_insert(
        &mut self,
        key: ProgressKey,
        make: impl FnOnce() -> GroupQueue,
    ) -> &mut GroupQueue {
        let n = shard_of(key);
        let shard = &mut self.shards[n]; // there are so many, and the number is a rest
        self.before.note((n, key), || shard.get(&key).map(saved));
        shard.entry(key).or_insert_with(make)
    }

    /// Puts one there, whatever was there before.
    pub(crate) fn insert(&mut self, key: ProgressKey, progress: GroupQueue) {
        if let Some(shard) = self.changing(key) {
            shard.insert(key, progress);
        }
    }

    pub(crate) fn remove(&mut self, key: ProgressKey) {
        if let Some(shard) = self.changing(key) {
            shard.remove(&key);
        }
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ProgressKey, &GroupQueue)> {
        self.shards.iter().flatten()
    }

    /// A saving begins.
    pub(crate) fn begin_save(&mut self) {
        self.before.begin();
    }

    /// Takes the next part of it, about so many cells and entries; false when there is none any more.
    pub(crate) fn save_part(&mut self, some: usize, to: &mut Vec<(ProgressKey, SavedProgress)>) -> bool {
        let first = self.before.upto().map_or(0, |(shard, _)| shard + 1);
        let mut left = some;
        for (n, shard) in self.shards.iter().enumerate().skip(first) {
            if left == 0 {
                return true;
            }
            for (key, progress) in shard.iter().filter(|(key, _)| !self.before.has(&(n, **key))) {
                left = left.saturating_sub(progress.window());
                to.push((*key, saved(progress)));
            }
            left = left.saturating_sub(1 + shard.len());
            self.before.taken((n, LAST));
        }
        to.extend(self.before.end().map(|((_, key), was)| (key, was)));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> ProgressKey {
        (n % 7, LogQueue(n))
    }

    #[test]
    fn a_saving_tells_what_was_there_when_it_began_whatever_happens_meanwhile() {
        let mut table = ProgressTable::default();
        for n in 0..2000 {
            table.insert(key(n), GroupQueue::starting_at(u64::from(n)));
        }
        let mut found = Vec::new();
        table.begin_save();
        let (mut n, mut parts) = (0, 0);
        while table.save_part(100, &mut found) {
            // Of everything some change, go and come: what was taken as well as what was not.
            for n in (n..2000).step_by(37) {
                match n % 3 {
                    0 => table.remove(key(n)),
                    1 => table.insert(key(n + 5000), GroupQueue::starting_at(1)),
                    _ => table.get_mut(key(n)).unwrap().advance(9_999),
                }
            }
            (n, parts) = (n + 1, parts + 1);
        }
        assert!(parts > 10, "only {parts} parts");
        found.sort_unstable_by_key(|((_, queue), _)| *queue);
        let wanted: Vec<_> = (0..2000).map(|n| (key(n), (u64::from(n), Vec::new(), None))).collect();
        assert_eq!(found, wanted);
        table.begin_save();
        let mut again = Vec::new();
        while table.save_part(1000, &mut again) {}
        assert_eq!(again.len(), table.iter().count());
    }
}
