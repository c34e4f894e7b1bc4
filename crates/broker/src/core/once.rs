//! What was sent under a key that may be told again: an idempotency key, or an id that the sender chose.
//!
//! A key is written in the atomic group of its messages, so that both survive a crash, or neither. The one idea to know:
//! only digests are kept, of the key within its scope and of what was sent; the first answer is put together from the
//! places of the messages. The oldest are forgotten when there are too many, or too old ones.

use serde::{Deserialize, Serialize};
use sluice_model::{Millis, Offset};
use sluice_store::{LogQueue, Lsn};
use std::collections::{HashMap, HashSet, VecDeque};

/// 128 bits of SHA-256.
pub(crate) type Digest = [u8; 16];

/// Where one message of a key went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct First {
    pub(crate) id: Box<str>,
    /// The queue it is for.
    pub(crate) target: u32,
    /// Its offset there; of a delayed one, the offset among waiting messages.
    pub(crate) offset: Offset,
    pub(crate) lsn: Lsn,
    /// When a delayed one is due.
    pub(crate) due: Option<Millis>,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    pub(crate) content: Digest,
    pub(crate) stored: Millis,
    pub(crate) messages: Box<[First]>,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most messages of all keys together.
    pub(crate) messages: usize,
    /// For how long.
    pub(crate) window: Millis,
}

impl Default for Limits {
    /// None, until the settings are told.
    fn default() -> Self {
        Self { messages: usize::MAX, window: Millis::MAX }
    }
}

/// All keys that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Once {
    known: HashMap<Digest, Known, foldhash::fast::RandomState>,
    /// Oldest first.
    order: VecDeque<Digest>,
    messages: usize,
    limits: Limits,
    saving: Option<Saved>,
}

/// How far a saving has come.
#[derive(Debug, Default)]
struct Saved {
    /// So many of those at the front have been taken.
    taken: usize,
    /// And so many behind them are still to be: what comes after the beginning is not part of it.
    left: usize,
    /// Those that were forgotten before they were taken.
    late: Vec<(Digest, Known)>,
}

impl Once {
    pub(crate) fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// What was sent under a key, unless that was too long ago.
    pub(crate) fn get(&self, key: &Digest, now: Millis) -> Option<&Known> {
        self.known.get(key).filter(|known| !self.is_old(known, now))
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    pub(crate) fn insert(&mut self, key: Digest, known: Known) {
        let now = known.stored;
        while self.order.front().and_then(|key| self.known.get(key)).is_some_and(|k| self.is_old(k, now)) {
            self.forget_oldest();
        }
        self.messages += known.messages.len();
        if let Some(before) = self.known.insert(key, known) {
            // Only a clock that was set back lets an old one be here still.
            self.messages -= before.messages.len();
            self.leave_alone(|other| *other != key, Some((key, before)));
        }
        self.order.push_back(key);
        while self.messages > self.limits.messages && self.order.len() > 1 {
            self.forget_oldest();
        }
    }

    fn is_old(&self, known: &Known, now: Millis) -> bool {
        known.stored.saturating_add(self.limits.window) <= now
    }

    fn forget_oldest(&mut self) {
        let gone = self.order.pop_front().and_then(|key| Some((key, self.known.remove(&key)?)));
        self.messages -= gone.as_ref().map_or(0, |(_, known)| known.messages.len());
        if let Some(saving) = &mut self.saving {
            if saving.taken > 0 {
                saving.taken -= 1;
            } else if saving.left > 0 {
                saving.left -= 1;
                saving.late.extend(gone);
            }
        }
    }

    /// Lets all keys go but those to keep; one of them is known by its old content still, if at all.
    fn leave_alone(&mut self, keep: impl Fn(&Digest) -> bool, mut replaced: Option<(Digest, Known)>) {
        if let Some(saving) = &mut self.saving {
            let before = std::mem::take(saving);
            let end = before.taken + before.left;
            saving.late = before.late;
            for (n, key) in self.order.iter().enumerate().take(end) {
                match (n < before.taken, keep(key)) {
                    (true, stays) => saving.taken += usize::from(stays),
                    (false, true) => saving.left += 1,
                    (false, false) => {
                        let known = replaced.take_if(|(replaced, _)| replaced == key).map(|(_, known)| known);
                        let known = known.or_else(|| self.known.get(key).cloned());
                        saving.late.extend(known.map(|known| (*key, known)));
                    }
                }
            }
        }
        self.order.retain(keep);
    }

    /// A saving begins: of what is known now, oldest first.
    pub(crate) fn begin_save(&mut self) {
        self.saving = Some(Saved { left: self.order.len(), ..Saved::default() });
    }

    /// Takes the next part of it, at most so many; false when there is none any more.
    pub(crate) fn save_part(&mut self, some: usize, to: &mut Vec<(Digest, Known)>) -> bool {
        let Some(saving) = &mut self.saving else { return false };
        to.append(&mut saving.late);
        let now = some.min(saving.left);
        let part = self.order.range(saving.taken..saving.taken + now);
        to.extend(part.filter_map(|key| Some((*key, self.known.get(key)?.clone()))));
        (saving.taken, saving.left) = (saving.taken + now, saving.left - now);
        if saving.left == 0 {
            self.saving = None;
            return false;
        }
        true
    }

    /// Keys whose messages are all gone with these queues go too. Linear: topics are rarely deleted.
    pub(crate) fn forget(&mut self, queues: &[LogQueue]) {
        let gone =
            |known: &Known| known.messages.iter().all(|first| queues.contains(&LogQueue(first.target)));
        let all: HashSet<Digest> =
            self.known.iter().filter(|(_, known)| gone(known)).map(|(key, _)| *key).collect();
        self.leave_alone(|key| !all.contains(key), None);
        self.known.retain(|key, _| !all.contains(key));
        self.messages = self.known.values().map(|known| known.messages.len()).sum();
    }

    #[cfg(test)]
    fn save(&self) -> Vec<(Digest, Known)> {
        self.order.iter().filter_map(|key| Some((*key, self.known.get(key)?.clone()))).collect()
    }

    pub(crate) fn restore(saved: Vec<(Digest, Known)>) -> Self {
        let mut once = Self::default();
        saved.into_iter().for_each(|(key, known)| once.insert(key, known));
        once
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(target: u32) -> First {
        First { id: "id".into(), target, offset: 0, lsn: 64, due: None }
    }

    fn known(stored: Millis, messages: usize) -> Known {
        Known { content: [0; 16], stored, messages: vec![first(20); messages].into() }
    }

    fn keys(once: &Once) -> Vec<u8> {
        once.save().iter().map(|(key, _)| key[0]).collect()
    }

    #[test]
    fn the_oldest_go_by_number_and_by_age() {
        let mut once = Once::default();
        once.limit(Limits { messages: 4, window: 100 });
        for (key, at, messages) in [(1, 0, 1), (2, 10, 2), (3, 20, 1)] {
            once.insert([key; 16], known(at, messages));
        }
        assert_eq!(keys(&once), [1, 2, 3]);
        once.insert([4; 16], known(30, 1));
        assert_eq!((keys(&once), once.messages), (vec![2, 3, 4], 4));
        assert!(once.get(&[2; 16], 109).is_some() && once.get(&[2; 16], 110).is_none());
        once.insert([2; 16], known(115, 1));
        assert_eq!((keys(&once), once.messages), (vec![3, 4, 2], 3), "a key of long ago is a new one");
        once.insert([5; 16], known(125, 1));
        assert_eq!((keys(&once), once.len()), (vec![4, 2, 5], 3));
    }

    #[test]
    fn a_saving_tells_what_was_known_when_it_began_whatever_happens_meanwhile() {
        let mut once = Once::default();
        once.limit(Limits { messages: 200, window: 1000 });
        let key = |n: u8| [n; 16];
        (0..150).for_each(|n| {
            once.insert(key(n), Known { messages: [first(20 + u32::from(n % 5))].into(), ..known(0, 0) })
        });
        let (wanted, mut found) = (once.save(), Vec::new());
        once.begin_save();
        assert!(once.save_part(10, &mut found));
        // Forgotten because there are too many: those that were taken, and some that were not.
        (150..255).for_each(|n| once.insert(key(n), known(1, 1)));
        assert!(once.save_part(10, &mut found));
        once.forget(&[LogQueue(22)]);
        assert!(once.save_part(10, &mut found));
        // A key of before with another content; only a clock that was set back makes that possible.
        let again = once.order[60];
        once.insert(again, known(2, 1));
        assert!(once.save_part(10, &mut found));
        while once.save_part(10, &mut found) {}
        let sorted = |mut all: Vec<(Digest, Known)>| {
            all.sort_unstable_by_key(|(key, _)| *key);
            all
        };
        assert_eq!(sorted(found), sorted(wanted));
    }

    #[test]
    fn what_is_saved_comes_back_and_topics_take_theirs_along() {
        let mut once = Once::default();
        once.insert([1; 16], known(0, 2));
        once.insert([2; 16], known(5, 1));
        let bytes = postcard::to_stdvec(&once.save()).unwrap();
        let mut again = Once::restore(postcard::from_bytes(&bytes).unwrap());
        assert_eq!((again.save(), again.messages), (once.save(), 3));
        again.forget(&[LogQueue(21)]);
        assert_eq!(again.len(), 2);
        again.forget(&[LogQueue(20), LogQueue(21)]);
        assert_eq!((again.len(), again.messages, again.order.len()), (0, 0, 0));
    }
}
