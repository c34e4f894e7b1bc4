//! Moments remembered for a while: hints that may be forgotten, in bounded memory.
//!
//! The one idea to know: there are two generations. When the younger is full the older is dropped, so that what is used
//! again and again costs no list to keep in order.

use parking_lot::Mutex;
use sluice_model::Millis;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

/// Entries of one generation; about 24 bytes each.
const ENTRIES: usize = 65_536;

#[derive(Default)]
pub(super) struct Recent {
    hasher: RandomState,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<u64, Millis>,
    old: HashMap<u64, Millis>,
}

impl Recent {
    pub fn remember(&self, key: impl Hash, moment: Millis) {
        let key = self.hasher.hash_one(key);
        let mut generations = self.generations.lock();
        if generations.young.len() >= ENTRIES {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(key, moment);
    }

    pub fn recall(&self, key: impl Hash) -> Option<Millis> {
        let key = self.hasher.hash_one(key);
        let generations = self.generations.lock();
        generations.young.get(&key).or_else(|| generations.old.get(&key)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recent_is_known_and_the_rest_forgotten() {
        let recent = Recent::default();
        for n in 0..3 * ENTRIES {
            recent.remember(("key", n), n as Millis);
        }
        assert_eq!(recent.recall(("key", 3 * ENTRIES - 1)), Some(3 * ENTRIES as Millis - 1));
        assert_eq!(recent.recall(("key", 2 * ENTRIES - 1)), Some(2 * ENTRIES as Millis - 1));
        assert_eq!(recent.recall(("key", 0)), None);
        let generations = recent.generations.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * ENTRIES);
    }
}
