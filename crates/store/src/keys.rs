//! By which words a message is found: its id and its keys, as hashes.
//!
//! It exists so that asking for a key reads a few blocks of each file instead of all messages. The one idea to know: a
//! [`Key`] only says where a message with such a word may lie; whoever finds one reads the message and compares the words
//! themselves, so a hash that meets another costs a read and never a wrong answer.
//!
//! The keys of segments that are not sealed yet are in memory ([`LiveKeys`]); sealing sorts them into the segment's file
//! (`sealed`), and `search` looks through both. Those of a batch are told with it: the store never looks inside.

pub(crate) mod sealed;
pub(crate) mod search;

use crate::log::{Lsn, Payload, SearchBy};
use crc_fast::crc64_nvme;
use sluice_model::Message;
use std::collections::VecDeque;
use std::sync::Arc;

/// Keys taken together: few enough to be copied while appends wait.
const CHUNK: usize = 4096;

/// That a message with a word of this hash lies here. Ordered as sealed segments have them: by hash, then by place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub hash: u64,
    /// How far behind the start of its segment.
    pub at: u32,
    pub queue: u32,
}

/// The hash of a word, the same in every version of this program: it lies on the disk.
pub fn hash_of(word: &str) -> u64 {
    // A checksum keeps words apart, but its bits are not evenly spread; this does that, and loses nothing.
    let mut hash = crc64_nvme(word.as_bytes());
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ (hash >> 31)
}

/// Hands out the words that a message is found by.
fn each_word(message: &Message, mut visit: impl FnMut(&str)) {
    if !message.id.is_empty() {
        visit(&message.id.text());
    }
    message.keys.iter().for_each(visit);
}

/// How many keys a payload has.
pub(crate) fn count(payload: &Payload<'_>) -> u64 {
    match payload {
        Payload::Message(message) => u64::from(!message.id.is_empty()) + message.keys.iter().count() as u64,
        Payload::Batch { keys, .. } => keys.len() as u64,
        Payload::State(_) => 0,
    }
}

/// Hands out the hash of each word of a payload.
pub(crate) fn each_hash(payload: &Payload<'_>, mut visit: impl FnMut(u64)) {
    match payload {
        Payload::Message(message) => each_word(message, |word| visit(hash_of(word))),
        Payload::Batch { keys, .. } => keys.iter().copied().for_each(visit),
        Payload::State(_) => {}
    }
}

/// True when this message is one that was searched for.
pub(crate) fn is_meant(message: &Message, word: &str, by: SearchBy) -> bool {
    !word.is_empty()
        && (message.id == word || (by == SearchBy::KeyOrId && message.keys.iter().any(|key| key == word)))
}

/// Keys in the order of the log.
pub(crate) type Chunks = Vec<Arc<Vec<Key>>>;

/// The keys of the segments that are not sealed. What they take is bounded with the segments: each key has a place
/// reserved in the index of its own, which is no smaller.
#[derive(Default)]
pub(crate) struct LiveKeys {
    segments: VecDeque<SegmentKeys>,
}

struct SegmentKeys {
    start: Lsn,
    full: Chunks,
    open: Vec<Key>,
}

impl SegmentKeys {
    fn chunks(&self) -> Chunks {
        let open = (!self.open.is_empty()).then(|| Arc::new(self.open.clone()));
        self.full.iter().cloned().chain(open).collect()
    }
}

impl LiveKeys {
    /// Adds a key of the newest segment.
    pub(crate) fn push(&mut self, segment: Lsn, key: Key) {
        if self.segments.back().is_none_or(|newest| newest.start != segment) {
            self.segments.push_back(SegmentKeys { start: segment, full: Vec::new(), open: Vec::new() });
        }
        let Some(newest) = self.segments.back_mut() else { return };
        newest.open.push(key);
        if newest.open.len() == CHUNK {
            let full = std::mem::replace(&mut newest.open, Vec::with_capacity(CHUNK));
            newest.full.push(Arc::new(full));
        }
    }

    /// The keys of one segment.
    pub(crate) fn of(&self, segment: Lsn) -> Chunks {
        self.segments.iter().find(|keys| keys.start == segment).map_or_else(Vec::new, SegmentKeys::chunks)
    }

    /// The keys of every segment that is not sealed.
    pub(crate) fn all(&self) -> Vec<(Lsn, Chunks)> {
        self.segments.iter().map(|keys| (keys.start, keys.chunks())).collect()
    }

    /// Lets go of a segment's keys: its file has them.
    pub(crate) fn remove(&mut self, segment: Lsn) {
        self.segments.retain(|keys| keys.start != segment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_model::Keys;

    #[test]
    fn the_hash_of_a_word_never_changes() {
        let hashes = ["", "a", "order-4711", "0A0000010D4018B4AAC21A2B3C4D0000"].map(hash_of);
        assert_eq!(
            hashes,
            [0, 12_728_774_164_636_380_943, 14_131_251_455_916_713_454, 5_463_604_653_700_439_432]
        );
    }

    #[test]
    fn a_message_is_meant_by_its_words_alone() {
        let message = Message { id: "id".into(), keys: Keys::joined("a  b"), ..Message::default() };
        assert_eq!(count(&Payload::Message(&message)), 3);
        for (word, by_id, by_key) in [("id", true, true), ("a", false, true), ("", false, false)] {
            assert_eq!(is_meant(&message, word, SearchBy::Id), by_id, "{word}");
            assert_eq!(is_meant(&message, word, SearchBy::KeyOrId), by_key, "{word}");
        }
    }

    #[test]
    fn keys_stay_in_order_and_go_with_their_segment() {
        let mut live = LiveKeys::default();
        let key = |at| Key { hash: u64::from(at) * 7, at, queue: 1 };
        for at in 0..CHUNK as u32 + 5 {
            live.push(0, key(at));
        }
        live.push(1 << 20, key(9));
        let first: Vec<Key> = live.of(0).iter().flat_map(|chunk| chunk.iter().copied()).collect();
        assert_eq!(first, (0..CHUNK as u32 + 5).map(key).collect::<Vec<_>>());
        assert_eq!(live.all().len(), 2);
        live.remove(0);
        assert!(live.of(0).is_empty());
        assert_eq!(live.of(1 << 20).len(), 1);
    }
}
