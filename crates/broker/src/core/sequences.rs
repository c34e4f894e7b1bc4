//! Producers that number what they send: which batches of each are in a queue already, so that one that is sent again is
//! not stored again.
//!
//! A producer's number, epoch and sequence go to the log in the atomic group of its messages, so that a crash leaves both
//! or neither. The one idea to know: per queue and producer the last [`KEPT`] batches are remembered with their offsets;
//! a batch must be the next one or one of these, and a producer of whom nothing is known may begin anywhere.

use serde::{Deserialize, Serialize};
use sluice_model::{Millis, Offset};
use sluice_store::LogQueue;
use std::collections::{HashMap, VecDeque};

/// Batches remembered of each producer: as many as clients have under way at once.
const KEPT: usize = 5;
/// Sequence numbers start anew after this one.
const LAST: u32 = i32::MAX as u32;

/// A producer's batch, as it numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbered {
    pub(crate) producer: u64,
    pub(crate) epoch: u16,
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl Numbered {
    fn last(&self) -> u32 {
        self.first.wrapping_add(self.count).wrapping_sub(1) & LAST
    }
}

/// What is to become of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Store it.
    Next,
    /// It begins at this offset already.
    Again(Offset),
    /// A newer epoch of the producer is at work.
    OldEpoch,
    /// One before it is missing, or it is too old to be known.
    Gap,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most producers, counted once for each queue.
    pub(crate) producers: usize,
    /// How long one is remembered after its last batch.
    pub(crate) window: Millis,
}

/// All producers that are remembered.
#[derive(Debug)]
pub(crate) struct Sequences {
    known: HashMap<(u32, u64), Producer, foldhash::fast::RandomState>,
    limits: Limits,
}

impl Default for Sequences {
    /// No limits, until the settings are told.
    fn default() -> Self {
        let limits = Limits { producers: usize::MAX, window: Millis::MAX };
        Self { known: HashMap::default(), limits }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Producer {
    epoch: u16,
    /// First and last sequence number, and the first offset; oldest first.
    batches: VecDeque<(u32, u32, Offset)>,
    /// When the last one was stored.
    at: Millis,
}

/// What a checkpoint keeps.
pub(crate) type SavedSequences = Vec<(u32, u64, u16, Vec<(u32, u32, Offset)>, Millis)>;

impl Sequences {
    pub(crate) fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// What is to become of a batch.
    pub(crate) fn judge(&self, queue: LogQueue, batch: &Numbered, now: Millis) -> Verdict {
        let known = self.known.get(&(queue.0, batch.producer)).filter(|known| !self.is_old(known, now));
        let Some(known) = known else { return Verdict::Next };
        if batch.epoch < known.epoch {
            return Verdict::OldEpoch;
        }
        if batch.epoch > known.epoch {
            return if batch.first == 0 { Verdict::Next } else { Verdict::Gap };
        }
        let span = (batch.first, batch.last());
        if let Some((.., offset)) = known.batches.iter().find(|(first, last, _)| (*first, *last) == span) {
            return Verdict::Again(*offset);
        }
        match known.batches.back() {
            Some((_, last, _)) if last.wrapping_add(1) & LAST != batch.first => Verdict::Gap,
            _ => Verdict::Next,
        }
    }

    /// A batch has been appended, at this offset.
    pub(crate) fn stored(&mut self, queue: LogQueue, batch: &Numbered, offset: Offset, now: Millis) {
        if self.known.len() >= self.limits.producers {
            self.make_room(now);
        }
        let known = self.known.entry((queue.0, batch.producer));
        let known =
            known.or_insert_with(|| Producer { epoch: batch.epoch, batches: VecDeque::new(), at: now });
        if known.epoch != batch.epoch {
            known.epoch = batch.epoch;
            known.batches.clear();
        }
        if known.batches.len() == KEPT {
            known.batches.pop_front();
        }
        known.batches.push_back((batch.first, batch.last(), offset));
        known.at = now;
    }

    /// Who sends to a queue: number, epoch, last sequence number and when that was stored.
    pub(crate) fn of_queue(&self, queue: LogQueue) -> impl Iterator<Item = (u64, u16, u32, Millis)> {
        let here = self.known.iter().filter(move |((at, _), _)| *at == queue.0);
        here.filter_map(|((_, id), known)| Some((*id, known.epoch, known.batches.back()?.1, known.at)))
    }

    fn is_old(&self, known: &Producer, now: Millis) -> bool {
        known.at.saturating_add(self.limits.window) <= now
    }

    /// Forgets those who sent nothing for long; if that is not enough, the older half.
    fn make_room(&mut self, now: Millis) {
        let window = self.limits.window;
        self.known.retain(|_, known| known.at.saturating_add(window) > now);
        if self.known.len() >= self.limits.producers {
            let mut times: Vec<Millis> = self.known.values().map(|known| known.at).collect();
            let middle = times.len() / 2;
            let (_, median, _) = times.select_nth_unstable(middle);
            let median = *median;
            self.known.retain(|_, known| known.at > median);
        }
    }

    /// Producers of deleted queues go with them.
    pub(crate) fn forget(&mut self, queues: &[LogQueue]) {
        self.known.retain(|(queue, _), _| !queues.contains(&LogQueue(*queue)));
    }

    pub(crate) fn save(&self) -> SavedSequences {
        let each = self.known.iter();
        let mut saved: SavedSequences = each
            .map(|((queue, id), known)| {
                (*queue, *id, known.epoch, known.batches.iter().copied().collect(), known.at)
            })
            .collect();
        // The same in every run of a simulation.
        saved.sort_unstable_by_key(|(queue, id, ..)| (*queue, *id));
        saved
    }

    pub(crate) fn restore(&mut self, saved: SavedSequences) {
        for (queue, id, epoch, batches, at) in saved {
            self.known.insert((queue, id), Producer { epoch, batches: batches.into(), at });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: LogQueue = LogQueue(20);

    fn batch(epoch: u16, first: u32, count: u32) -> Numbered {
        Numbered { producer: 7, epoch, first, count }
    }

    #[test]
    fn the_next_one_is_stored_and_the_last_five_are_known() {
        let mut sequences = Sequences::default();
        for n in 0..7 {
            let next = batch(0, n * 10, 10);
            assert_eq!(sequences.judge(QUEUE, &next, 0), Verdict::Next);
            sequences.stored(QUEUE, &next, u64::from(n) * 10 + 100, 0);
        }
        assert_eq!(sequences.judge(QUEUE, &batch(0, 60, 10), 0), Verdict::Again(160));
        assert_eq!(sequences.judge(QUEUE, &batch(0, 20, 10), 0), Verdict::Again(120));
        assert_eq!(sequences.judge(QUEUE, &batch(0, 10, 10), 0), Verdict::Gap, "too old to be known");
        assert_eq!(sequences.judge(QUEUE, &batch(0, 80, 10), 0), Verdict::Gap);
        assert_eq!(sequences.judge(QUEUE, &batch(0, 60, 9), 0), Verdict::Gap);
        assert_eq!(sequences.judge(LogQueue(21), &batch(0, 80, 10), 0), Verdict::Next, "another queue");
    }

    #[test]
    fn epochs_rise_and_start_at_nought() {
        let mut sequences = Sequences::default();
        sequences.stored(QUEUE, &batch(3, 5, 1), 9, 0);
        assert_eq!(sequences.judge(QUEUE, &batch(2, 6, 1), 0), Verdict::OldEpoch);
        assert_eq!(sequences.judge(QUEUE, &batch(4, 6, 1), 0), Verdict::Gap);
        assert_eq!(sequences.judge(QUEUE, &batch(4, 0, 1), 0), Verdict::Next);
        sequences.stored(QUEUE, &batch(4, 0, 1), 10, 0);
        assert_eq!(sequences.judge(QUEUE, &batch(4, 1, 1), 0), Verdict::Next);
        assert_eq!(sequences.judge(QUEUE, &batch(3, 5, 1), 0), Verdict::OldEpoch);
    }

    #[test]
    fn numbers_start_anew_behind_the_last() {
        let mut sequences = Sequences::default();
        sequences.stored(QUEUE, &batch(0, LAST - 1, 4), 0, 0); // ..., LAST, 0, 1
        assert_eq!(sequences.judge(QUEUE, &batch(0, 2, 1), 0), Verdict::Next);
        assert_eq!(sequences.judge(QUEUE, &batch(0, LAST - 1, 4), 0), Verdict::Again(0));
    }

    #[test]
    fn the_silent_are_forgotten_and_there_is_a_limit() {
        let mut sequences = Sequences::default();
        sequences.limit(Limits { producers: 4, window: 100 });
        sequences.stored(QUEUE, &batch(1, 0, 1), 0, 0);
        assert_eq!(sequences.judge(QUEUE, &batch(0, 9, 1), 99), Verdict::OldEpoch);
        assert_eq!(sequences.judge(QUEUE, &batch(0, 9, 1), 100), Verdict::Next);
        for producer in 0..20 {
            sequences.stored(QUEUE, &Numbered { producer, ..batch(0, 0, 1) }, 0, 50 + producer);
            assert!(sequences.len() <= 4);
        }
        let saved = sequences.save();
        let mut again = Sequences::default();
        again.restore(saved.clone());
        assert_eq!(again.save(), saved);
        again.forget(&[QUEUE]);
        assert_eq!(again.len(), 0);
    }
}
