//! What was sent under a key that may be told again: an idempotency key, or an id that the sender chose.
//!
//! A key is written in the atomic group of its messages, so that both survive a crash, or neither. The one idea to know:
//! only digests are kept, of the key within its scope and of what was sent; the first answer is put together from the
//! places of the messages. The oldest are forgotten when there are too many, or too old ones.

use serde::{Deserialize, Serialize};
use sluice_model::{Millis, Offset};
use sluice_store::{LogQueue, Lsn};
use std::collections::{HashMap, VecDeque};

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
            self.order.retain(|other| *other != key);
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
        let gone = self.order.pop_front().and_then(|key| self.known.remove(&key));
        self.messages -= gone.map_or(0, |known| known.messages.len());
    }

    /// Keys whose messages are all gone with these queues go too. Linear: topics are rarely deleted.
    pub(crate) fn forget(&mut self, queues: &[LogQueue]) {
        let gone =
            |known: &Known| known.messages.iter().all(|first| queues.contains(&LogQueue(first.target)));
        self.known.retain(|_, known| !gone(known));
        self.order.retain(|key| self.known.contains_key(key));
        self.messages = self.known.values().map(|known| known.messages.len()).sum();
    }

    /// Oldest first.
    pub(crate) fn save(&self) -> Vec<(Digest, Known)> {
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

    fn known(stored: Millis, messages: usize) -> Known {
        let first = First { id: "id".into(), target: 20, offset: 0, lsn: 64, due: None };
        Known { content: [0; 16], stored, messages: vec![first; messages].into() }
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
