//! Which messages of a queue belong to transactions that span queues: those of open ones, which nobody may take for
//! certain yet, and those of aborted ones, which nobody ever may.
//!
//! The one idea to know: a transaction ends in a queue with a *marker*, an entry that has an offset of its own, in the
//! atomic group of the decision. Everything here follows from where batches and markers lie, and a transaction counts as
//! open until its marker can be read: so readers see an end exactly when it is safe, on every queue.
//!
//! Who produces and what a transaction holds besides messages is `producers`; what keeps readers from all this is
//! [`stable`](crate::stable).

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use serde::{Deserialize, Serialize};
use sluice_model::Offset;
use sluice_store::{Bounds, Content, Entry, LogQueue};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

/// The encoding of a marker among the entries of a queue.
pub(crate) const MARKER: u8 = 3;

/// What a marker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    pub(crate) producer: u64,
    pub(crate) epoch: u16,
    pub(crate) commit: bool,
}

impl Marker {
    /// The marker that an entry is, if it is one.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        match &entry.content {
            Content::Batch { encoding: MARKER, bytes, .. } => postcard::from_bytes(bytes).ok(),
            _ => None,
        }
    }
}

/// Whether an entry is no message.
pub(crate) fn is_marker(entry: &Entry) -> bool {
    matches!(entry.content, Content::Batch { encoding: MARKER, .. })
}

/// A part of a queue that a transaction took and that was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) producer: u64,
    /// The first message.
    pub(crate) first: Offset,
    /// The marker.
    pub(crate) last: Offset,
}

/// One queue's.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OfQueue {
    /// What each producer's open transaction has stored: from, and up to but not including.
    open: BTreeMap<u64, Vec<(Offset, Offset)>>,
    /// First message and marker of those that have ended and may not be known to be readable.
    ended: Vec<(Offset, Offset)>,
    /// Messages of aborted ones, by their first: up to but not including.
    hidden: BTreeMap<Offset, Offset>,
    /// Aborted ones, in the order of their markers.
    aborted: Vec<Taken>,
}

impl OfQueue {
    fn parts(&self) -> usize {
        let open: usize = self.open.values().map(Vec::len).sum();
        open + self.ended.len() + self.hidden.len() + self.aborted.len()
    }

    fn stable(&self, bounds: Bounds) -> Offset {
        let open = self.open.values().filter_map(|stretches| stretches.first()).map(|(from, _)| *from);
        let unseen = self.ended.iter().filter(|(_, marker)| *marker >= bounds.next).map(|(first, _)| *first);
        open.chain(unseen).min().unwrap_or(bounds.next).clamp(bounds.min, bounds.next)
    }
}

/// All queues'.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Spans {
    queues: HashMap<u32, OfQueue, foldhash::fast::RandomState>,
    /// How much is remembered.
    parts: usize,
}

/// What a checkpoint keeps.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedSpans(Vec<(u32, OfQueue)>);

impl Spans {
    pub(crate) fn parts(&self) -> usize {
        self.parts
    }

    fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    fn change<T>(&mut self, queue: LogQueue, change: impl FnOnce(&mut OfQueue) -> T) -> T {
        let here = self.queues.entry(queue.0).or_default();
        let before = here.parts();
        let done = change(here);
        let after = here.parts();
        if after == 0 {
            self.queues.remove(&queue.0);
        }
        self.parts = self.parts + after - before;
        done
    }

    /// Messages of a producer's open transaction have been appended.
    pub(crate) fn stored(&mut self, queue: LogQueue, producer: u64, first: Offset, count: u64) {
        self.change(queue, |here| {
            let stretches = here.open.entry(producer).or_default();
            match stretches.last_mut() {
                Some((_, end)) if *end == first => *end = first + count,
                _ => stretches.push((first, first + count)),
            }
        });
    }

    /// Whether the open transaction of a producer has messages in a queue, so that its end needs a marker there.
    pub(crate) fn is_open(&self, queue: LogQueue, producer: u64) -> bool {
        self.queues.get(&queue.0).is_some_and(|here| here.open.contains_key(&producer))
    }

    /// Where the open transaction of a producer begins in a queue.
    pub(crate) fn begin(&self, queue: LogQueue, producer: u64) -> Option<Offset> {
        let stretches = self.queues.get(&queue.0)?.open.get(&producer)?;
        stretches.first().map(|(from, _)| *from)
    }

    /// A marker has been appended.
    pub(crate) fn marked(&mut self, queue: LogQueue, marker: &Marker, at: Offset) {
        self.change(queue, |here| {
            let Some(stretches) = here.open.remove(&marker.producer) else { return };
            let Some((first, _)) = stretches.first().copied() else { return };
            here.ended.push((first, at));
            if !marker.commit {
                here.hidden.extend(stretches);
                here.aborted.push(Taken { producer: marker.producer, first, last: at });
            }
        });
    }

    /// The offset below which everything is decided: where readers of what is certain stop.
    pub(crate) fn stable(&self, queue: LogQueue, bounds: Bounds) -> Offset {
        self.queues.get(&queue.0).map_or(bounds.next, |here| here.stable(bounds))
    }

    /// Where the aborted messages end that an offset is among.
    pub(crate) fn hidden_until(&self, queue: LogQueue, offset: Offset) -> Option<Offset> {
        let (_, end) = self.queues.get(&queue.0)?.hidden.range(..=offset).next_back()?;
        (*end > offset).then_some(*end)
    }

    /// Aborted transactions that have anything from one offset up to another, by their first message.
    pub(crate) fn aborted(&self, queue: LogQueue, from: Offset, to: Offset) -> Vec<Taken> {
        let Some(here) = self.queues.get(&queue.0) else { return Vec::new() };
        let begin = here.aborted.partition_point(|taken| taken.last < from);
        let rest = here.aborted.get(begin..).unwrap_or_default();
        let mut all: Vec<_> = rest.iter().filter(|taken| taken.first < to).copied().collect();
        all.sort_unstable_by_key(|taken| taken.first);
        all
    }

    /// What deleted queues held.
    pub(crate) fn forget(&mut self, queues: &[LogQueue]) {
        for queue in queues {
            self.change(*queue, |here| *here = OfQueue::default());
        }
    }

    /// Forgets what tells nobody anything: of messages that are no longer kept, and of ends that everybody can read.
    fn trim(&mut self, bounds: impl Fn(LogQueue) -> Bounds) {
        let queues: Vec<u32> = self.queues.keys().copied().collect();
        for queue in queues.into_iter().map(LogQueue) {
            let Bounds { min, next } = bounds(queue);
            self.change(queue, |here| {
                here.ended.retain(|(_, marker)| *marker >= next);
                here.hidden.retain(|_, end| *end > min);
                here.aborted.retain(|taken| taken.last >= min);
            });
        }
    }

    pub(crate) fn save(&self) -> SavedSpans {
        let mut all: Vec<_> = self.queues.iter().map(|(queue, here)| (*queue, here.clone())).collect();
        // The same in every run of a simulation.
        all.sort_unstable_by_key(|(queue, _)| *queue);
        SavedSpans(all)
    }

    pub(crate) fn restore(&mut self, saved: SavedSpans) {
        for (queue, known) in saved.0 {
            self.change(LogQueue(queue), |here| *here = known);
        }
    }
}

/// The spans, as the core writes them and readers look at them.
///
/// Whoever appends messages of a transaction holds [`SharedSpans::write`] around it, so that nobody reads them before they
/// are known to be such. Lock order: core → spans → log.
#[derive(Debug, Default)]
pub(crate) struct SharedSpans {
    spans: RwLock<Spans>,
    /// False while there are none: then readers need no lock.
    any: AtomicBool,
}

impl SharedSpans {
    /// What readers look at; nothing when there is nothing to look at.
    pub(crate) fn read(&self) -> Option<RwLockReadGuard<'_, Spans>> {
        self.any.load(Ordering::Acquire).then(|| self.spans.read())
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Spans> {
        let spans = self.spans.write();
        self.any.store(true, Ordering::Release);
        spans
    }

    pub(crate) fn trim(&self, bounds: impl Fn(LogQueue) -> Bounds) {
        let mut spans = self.spans.write();
        spans.trim(bounds);
        self.any.store(!spans.is_empty(), Ordering::Release);
    }

    pub(crate) fn parts(&self) -> usize {
        self.read().map_or(0, |spans| spans.parts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUEUE: LogQueue = LogQueue(20);

    fn marker(producer: u64, commit: bool) -> Marker {
        Marker { producer, epoch: 0, commit }
    }

    fn bounds(next: Offset) -> Bounds {
        Bounds { min: 0, next }
    }

    #[test]
    fn what_is_stable_ends_before_the_oldest_open_one_and_before_an_end_that_cannot_be_read() {
        let mut spans = Spans::default();
        assert_eq!(spans.stable(QUEUE, bounds(9)), 9);
        spans.stored(QUEUE, 1, 3, 2);
        spans.stored(QUEUE, 2, 5, 1);
        spans.stored(QUEUE, 1, 6, 1);
        assert_eq!(spans.stable(QUEUE, bounds(7)), 3);
        assert_eq!(spans.begin(QUEUE, 2), Some(5));
        spans.marked(QUEUE, &marker(1, true), 7);
        assert_eq!(spans.stable(QUEUE, bounds(7)), 3, "the marker cannot be read yet");
        assert_eq!(spans.stable(QUEUE, bounds(8)), 5);
        spans.marked(QUEUE, &marker(2, false), 8);
        assert_eq!((spans.stable(QUEUE, bounds(8)), spans.stable(QUEUE, bounds(9))), (5, 9));
        assert_eq!([4, 5, 6].map(|at| spans.hidden_until(QUEUE, at)), [None, Some(6), None]);
        assert_eq!(spans.aborted(QUEUE, 0, 9), [Taken { producer: 2, first: 5, last: 8 }]);
        assert_eq!((spans.aborted(QUEUE, 9, 20), spans.aborted(QUEUE, 0, 5)), (vec![], vec![]));
    }

    #[test]
    fn what_tells_nobody_anything_is_forgotten() {
        let mut spans = Spans::default();
        spans.stored(QUEUE, 1, 0, 1);
        spans.marked(QUEUE, &marker(1, true), 1);
        spans.stored(QUEUE, 1, 2, 1);
        spans.marked(QUEUE, &marker(1, false), 3);
        assert_eq!(spans.parts(), 4);
        spans.trim(|_| bounds(3));
        assert_eq!(spans.parts(), 3, "the second end cannot be read yet");
        spans.trim(|_| bounds(4));
        assert_eq!(spans.parts(), 2);
        spans.trim(|_| Bounds { min: 4, next: 4 });
        assert!(spans.is_empty() && spans.parts() == 0);
        spans.stored(QUEUE, 1, 4, 1);
        spans.forget(&[QUEUE]);
        assert!(spans.is_empty() && spans.parts() == 0);
    }

    /// What a queue holds, said the long way.
    #[derive(Debug, Clone, Copy)]
    enum Held {
        Plain,
        Of(u64, usize),
        Marker,
    }

    proptest! {
        /// Three producers take turns in one queue; what is stable and what is hidden is as a naive reader finds it.
        #[test]
        fn readers_see_what_was_committed(steps in prop::collection::vec((0_u64..4, 0_u8..5), 0..60)) {
            let (mut spans, mut queue) = (Spans::default(), Vec::new());
            let (mut round, mut outcome) = ([0_usize; 4], HashMap::new());
            for (producer, what) in steps {
                let at = queue.len() as Offset;
                match (producer, what) {
                    (0, _) => queue.push(Held::Plain),
                    (producer, 0 | 1) if spans.is_open(QUEUE, producer) => {
                        spans.marked(QUEUE, &marker(producer, what == 0), at);
                        outcome.insert((producer, round[producer as usize]), what == 0);
                        round[producer as usize] += 1;
                        queue.push(Held::Marker);
                    }
                    (producer, count) => {
                        spans.stored(QUEUE, producer, at, u64::from(count) + 1);
                        let held = Held::Of(producer, round[producer as usize]);
                        queue.extend(vec![held; usize::from(count) + 1]);
                    }
                }
                let mut again = Spans::default();
                again.restore(postcard::from_bytes(&postcard::to_stdvec(&spans.save()).unwrap()).unwrap());
                prop_assert_eq!(&again, &spans);
                let open = |held: &Held| matches!(held, Held::Of(p, r) if !outcome.contains_key(&(*p, *r)));
                let stable = queue.iter().position(open).unwrap_or(queue.len());
                prop_assert_eq!(spans.stable(QUEUE, bounds(queue.len() as Offset)), stable as Offset);
                for (at, held) in queue.iter().enumerate() {
                    let gone = matches!(held, Held::Of(p, r) if outcome.get(&(*p, *r)) == Some(&false));
                    prop_assert_eq!(spans.hidden_until(QUEUE, at as Offset).is_some(), gone, "{}", at);
                }
            }
        }
    }
}
