//! The delayed messages that wait for their time.
//!
//! Where they lie depends on how far their time is. Those due soon rest in the log, and only their due time, place and
//! target are here. Those due later are put aside into buckets, one file for each span of time, of which only the runs are
//! known here; when a bucket's time comes, its cells are loaded, part by part. The one idea to know: a bucket fires in
//! the order of due time and name, so how far it has come is one cursor, and the log's records alone say what counts.
//!
//! A timer that is not yet durable is in the list already, and cannot fire before its record is readable.

use super::saving::Before;
use serde::{Deserialize, Serialize};
use sluice_model::Millis;
use sluice_store::{BucketId, Cell, LogQueue, Lsn, Run, WholeRun, Window};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Bound, Range};

/// Where a timer stands in the order in which they fire.
pub(crate) type Key = (Millis, Lsn);

/// One waiting message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timer {
    /// When it is due.
    pub(crate) due: Millis,
    /// Where its record is, or was before it was put aside: what it is called.
    pub(crate) lsn: Lsn,
    /// The queue it will go to.
    pub(crate) target: LogQueue,
    /// Where it lies, when it has been put aside.
    pub(crate) aside: Option<(BucketId, Cell)>,
}

impl Timer {
    pub(crate) fn key(&self) -> Key {
        (self.due, self.lsn)
    }
}

/// That a run of messages was put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moved {
    /// The times that the bucket is for: from `start`, and before `end`.
    pub(crate) start: Millis,
    pub(crate) end: Millis,
    /// The end of the log when the bucket was made.
    pub(crate) made: Lsn,
    /// Where the run lies, and how many messages it has.
    pub(crate) at: u64,
    pub(crate) behind: u64,
    pub(crate) count: u32,
    /// It has those of the bucket's times that were appended from this position on, and before that one.
    pub(crate) from: Lsn,
    pub(crate) upto: Lsn,
    /// Those in it that waited no longer.
    pub(crate) gone: Vec<Key>,
}

/// A run, and up to where in the log its messages were appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    at: u64,
    count: u32,
    upto: Lsn,
}

/// A span of time whose messages were put aside.
#[derive(Debug)]
struct Bucket {
    end: Millis,
    made: Lsn,
    /// The file's length as far as it counts.
    len: u64,
    parts: Vec<Part>,
    /// How many still wait.
    left: u64,
    /// The last one that fired.
    cursor: Option<Key>,
    /// Those that were taken back.
    gone: BTreeSet<Key>,
    /// How far it has been loaded. Not stored: after a start nothing has.
    loaded: Option<Key>,
    /// All of it has been loaded, or it cannot be read. Not stored.
    is_exhausted: bool,
}

/// What to load next.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) bucket: BucketId,
    pub(crate) runs: Vec<Run>,
    pub(crate) window: Window,
    pub(crate) left: u64,
}

/// Waiting messages.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// Those that lie in the log, as they will fire.
    waiting: BTreeMap<Key, LogQueue>,
    /// The same, as they lie there.
    places: BTreeMap<Lsn, Millis>,
    /// By the first time they are for; they do not overlap.
    buckets: BTreeMap<Millis, Bucket>,
    /// What has been loaded of one bucket, in order.
    near: VecDeque<Cell>,
    near_of: Option<BucketId>,
    aside: u64,
    /// The end of the last bucket that something for a queue was put into.
    last: BTreeMap<LogQueue, Millis>,
    gone: usize,
    /// Buckets whose files are needed no more.
    done: Vec<BucketId>,
    /// Of those that lie in the log.
    before: Before<Key, LogQueue>,
}

impl Timers {
    pub(crate) fn insert(&mut self, due: Millis, lsn: Lsn, target: LogQueue) {
        let was = self.waiting.insert((due, lsn), target);
        self.before.note((due, lsn), || was);
        self.places.insert(lsn, due);
    }

    fn take_out(&mut self, key: Key) -> Option<LogQueue> {
        let target = self.waiting.remove(&key)?;
        self.before.note(key, || Some(target));
        self.places.remove(&key.1);
        Some(target)
    }

    /// One has fired, or was taken back.
    pub(crate) fn remove(&mut self, due: Millis, lsn: Lsn, fired: bool) {
        if self.take_out((due, lsn)).is_some() {
            return;
        }
        if self.near.front().is_some_and(|cell| (cell.due, cell.lsn) == (due, lsn)) {
            self.near.pop_front();
        }
        let Some((start, bucket)) = self.bucket_mut(due) else { return };
        let before = bucket.gone.len();
        if fired {
            bucket.cursor = bucket.cursor.max(Some((due, lsn)));
            while bucket.gone.first().copied().is_some_and(|key| Some(key) <= bucket.cursor) {
                bucket.gone.pop_first();
            }
        } else if !bucket.gone.insert((due, lsn)) {
            return;
        }
        bucket.left = bucket.left.saturating_sub(1);
        let (is_done, after) = (bucket.left == 0, bucket.gone.len());
        self.gone = (self.gone + after).saturating_sub(before);
        self.aside = self.aside.saturating_sub(1);
        if is_done {
            self.drop_bucket(start);
        }
    }

    fn bucket_mut(&mut self, due: Millis) -> Option<(Millis, &mut Bucket)> {
        let (start, bucket) = self.buckets.range_mut(..=due).next_back()?;
        (due < bucket.end).then_some((*start, bucket))
    }

    fn drop_bucket(&mut self, start: Millis) {
        if let Some(bucket) = self.buckets.remove(&start) {
            self.gone = self.gone.saturating_sub(bucket.gone.len());
            let id = BucketId { start, made: bucket.made };
            if self.near_of == Some(id) {
                (self.near, self.near_of) = (VecDeque::new(), None);
            }
            self.done.push(id);
        }
    }

    /// The queue that a message is for which waits in the log.
    pub(crate) fn target(&self, due: Millis, lsn: Lsn) -> Option<LogQueue> {
        self.waiting.get(&(due, lsn)).copied()
    }

    /// Whether one still waits.
    pub(crate) fn waits(&self, timer: &Timer) -> bool {
        let Some((bucket, _)) = &timer.aside else { return self.waiting.contains_key(&timer.key()) };
        let of = self.buckets.get(&bucket.start).filter(|of| of.made == bucket.made);
        of.is_some_and(|of| of.cursor < Some(timer.key()) && !of.gone.contains(&timer.key()))
    }

    /// Where to look for a message that was put aside: its bucket and the run that has it, if it is there.
    pub(crate) fn place(&self, due: Millis, lsn: Lsn) -> Option<(BucketId, Run)> {
        let (start, bucket) = self.buckets.range(..=due).next_back()?;
        if due >= bucket.end || bucket.cursor >= Some((due, lsn)) || bucket.gone.contains(&(due, lsn)) {
            return None;
        }
        let part = bucket.parts.get(bucket.parts.partition_point(|part| part.upto <= lsn))?;
        Some((BucketId { start: *start, made: bucket.made }, Run { at: part.at, count: part.count }))
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.aside as usize
    }

    /// How many wait in the log, and in memory with it.
    pub(crate) fn in_log(&self) -> usize {
        self.waiting.len()
    }

    /// How many are remembered as taken back.
    pub(crate) fn taken_back(&self) -> usize {
        self.gone
    }

    /// When the next one of those that lie in the log is due.
    pub(crate) fn next_in_log(&self) -> Option<Millis> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// The first time for which there is something to do: one is due, or a bucket is for it that may have to be loaded.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        let bucket =
            |(start, bucket): (&Millis, &Bucket)| bucket.loaded.map_or(*start, |(due, _)| due.max(*start));
        // What comes behind the loaded ones is looked at when they have fired.
        let before = self.near_of.filter(|_| !self.near.is_empty()).map_or(Millis::MAX, |id| id.start);
        let next = self.buckets.range(..before).find(|(_, bucket)| !bucket.is_exhausted);
        [self.next_exact(), next.map(bucket)].into_iter().flatten().min()
    }

    /// When the next one of those that lie in the log or have been loaded is due.
    pub(crate) fn next_exact(&self) -> Option<Millis> {
        let near = self.near.front().map(|cell| cell.due);
        [self.next_in_log(), near].into_iter().flatten().min()
    }

    /// Those due at `now`, at most `limit`, in the order they are due.
    pub(crate) fn due(&self, now: Millis, limit: usize) -> Vec<Timer> {
        let in_log = self.waiting.iter().map(|((due, lsn), target)| Timer {
            due: *due,
            lsn: *lsn,
            target: *target,
            aside: None,
        });
        let near = self.near_of.into_iter().flat_map(|bucket| {
            self.near.iter().map(move |cell| Timer {
                due: cell.due,
                lsn: cell.lsn,
                target: cell.queue,
                aside: Some((bucket, *cell)),
            })
        });
        let (mut in_log, mut near) = (in_log.peekable(), near.peekable());
        let mut due = Vec::new();
        while due.len() < limit {
            let in_log_first = match (in_log.peek(), near.peek()) {
                (Some(a), Some(b)) => a.key() < b.key(),
                (a, _) => a.is_some(),
            };
            let next = if in_log_first { in_log.next() } else { near.next() };
            match next.filter(|timer| timer.due <= now) {
                Some(timer) => due.push(timer),
                None => break,
            }
        }
        due
    }

    /// What has to be loaded so that everything due before `until` is known, if anything has.
    pub(crate) fn next_load(&mut self, until: Millis) -> Option<Load> {
        let (start, bucket) = self.buckets.iter().find(|(_, bucket)| !bucket.is_exhausted)?;
        let id = BucketId { start: *start, made: bucket.made };
        // What is loaded fires first, unless this comes before it.
        let before = self.near_of.filter(|_| !self.near.is_empty()).map_or(Millis::MAX, |near| near.start);
        if *start >= until.min(before) {
            return None;
        }
        let after = bucket.loaded.max(bucket.cursor);
        let load = Load {
            bucket: id,
            runs: bucket.parts.iter().map(|part| Run { at: part.at, count: part.count }).collect(),
            window: Window { after, until: bucket.end },
            left: bucket.left,
        };
        // The clock was set back, and this one comes before: what was loaded waits again.
        if let Some(other) = self.near_of.filter(|other| *other != id && !self.near.is_empty())
            && let Some(other) = self.buckets.get_mut(&other.start)
        {
            (other.loaded, other.is_exhausted) = (None, false);
        }
        (self.near, self.near_of) = (VecDeque::new(), None);
        Some(load)
    }

    /// Cells of a bucket, in order: all up to and with `bound`; nothing more when `bound` is nothing.
    pub(crate) fn loaded(&mut self, id: BucketId, cells: Vec<Cell>, bound: Option<Key>) {
        let Some(bucket) = self.buckets.get_mut(&id.start).filter(|bucket| bucket.made == id.made) else {
            return; // all of it was taken back meanwhile
        };
        let cursor = bucket.cursor;
        let waits = |cell: &Cell| {
            let key = (cell.due, cell.lsn);
            Some(key) > cursor && !bucket.gone.contains(&key)
        };
        self.near = cells.into_iter().filter(waits).collect();
        bucket.loaded = bound.or(bucket.loaded);
        bucket.is_exhausted = bound.is_none();
        self.near_of = Some(id);
    }

    /// The first loaded ones that wait no longer go.
    pub(crate) fn skip_gone(&mut self) {
        let Some(bucket) = self.near_of.and_then(|id| self.buckets.get(&id.start)) else { return };
        let is_gone = |key| Some(key) <= bucket.cursor || bucket.gone.contains(&key);
        while self.near.front().is_some_and(|cell| is_gone((cell.due, cell.lsn))) {
            self.near.pop_front();
        }
    }

    /// Those in the log from a position on that may be put aside because they are due at `from` or later, as they lie
    /// there; at most `limit` are looked at. And where to go on.
    pub(crate) fn far(&self, from: Millis, after: Lsn, limit: usize) -> (Vec<(Key, LogQueue)>, Option<Lsn>) {
        let mut next = None;
        let mut far = Vec::new();
        for (lsn, due) in self.places.range(after..).take(limit) {
            next = Some(lsn + 1);
            if *due >= from && self.takes(*due) {
                far.extend(self.waiting.get(&(*due, *lsn)).map(|target| ((*due, *lsn), *target)));
            }
        }
        (far, next)
    }

    /// Whether a bucket for this time may still get messages, or can be made.
    fn takes(&self, due: Millis) -> bool {
        let bucket = self.buckets.range(..=due).next_back().filter(|(_, bucket)| due < bucket.end);
        bucket.is_none_or(|(_, bucket)| {
            bucket.cursor.is_none() && bucket.loaded.is_none() && !bucket.is_exhausted
        })
    }

    /// The bucket for a time, of this width where there is none yet: its times, what made it, and its length.
    pub(crate) fn bucket_for(&self, due: Millis, width: Millis) -> (Millis, Millis, Option<Lsn>, u64) {
        let before = self.buckets.range(..=due).next_back();
        if let Some((start, bucket)) = before.filter(|(_, bucket)| due < bucket.end) {
            return (*start, bucket.end, Some(bucket.made), bucket.len);
        }
        let start = due - due % width.max(1);
        let after = self.buckets.range(due..).next().map_or(Millis::MAX, |(start, _)| *start);
        let start = before.map_or(start, |(_, bucket)| bucket.end.max(start));
        (start, start.saturating_add(width.max(1) - start % width.max(1)).min(after), None, 0)
    }

    /// Those of a run that wait no longer.
    pub(crate) fn gone_of(&self, run: &[Key]) -> Vec<Key> {
        run.iter().filter(|key| !self.waiting.contains_key(*key)).copied().collect()
    }

    /// Those that a run has to have: due at these times, appended between these positions.
    pub(crate) fn movable(&self, due: Range<Millis>, appended: Range<Lsn>) -> Vec<Key> {
        let range = self.waiting.range((due.start, 0)..(due.end, 0));
        range.map(|(key, _)| *key).filter(|(_, lsn)| appended.contains(lsn)).collect()
    }

    /// A run was put aside.
    pub(crate) fn moved(&mut self, moved: &Moved) {
        let keys = self.movable(moved.start..moved.end, moved.from..moved.upto);
        for key in &keys {
            if let Some(target) = self.take_out(*key) {
                let last = self.last.entry(target).or_default();
                *last = moved.end.max(*last);
            }
        }
        let bucket = self.buckets.entry(moved.start).or_insert_with(|| Bucket {
            end: moved.end,
            made: moved.made,
            len: 0,
            parts: Vec::new(),
            left: 0,
            cursor: None,
            gone: BTreeSet::new(),
            loaded: None,
            is_exhausted: false,
        });
        bucket.parts.push(Part { at: moved.at, count: moved.count, upto: moved.upto });
        bucket.len = moved.behind;
        // What has been loaded of it does not have these.
        (bucket.loaded, bucket.is_exhausted) = (None, false);
        if self.near_of == Some(BucketId { start: moved.start, made: moved.made }) {
            (self.near, self.near_of) = (VecDeque::new(), None);
        }
        bucket.left += keys.len() as u64;
        let before = bucket.gone.len();
        bucket.gone.extend(moved.gone.iter().copied());
        self.gone += bucket.gone.len() - before;
        self.aside += keys.len() as u64;
    }

    /// The earliest record that must not be trimmed.
    pub(crate) fn earliest_record(&self) -> Option<Lsn> {
        self.places.first_key_value().map(|(lsn, _)| *lsn)
    }

    /// All runs that count, whole.
    pub(crate) fn runs(&self) -> Vec<WholeRun> {
        let of = |(start, bucket): (&Millis, &Bucket)| {
            let id = BucketId { start: *start, made: bucket.made };
            let ends = bucket.parts.iter().skip(1).map(|part| part.at).chain([bucket.len]);
            let parts = bucket.parts.iter().zip(ends);
            let end = bucket.end;
            parts
                .map(|(part, behind)| WholeRun { bucket: id, at: part.at, behind, count: part.count, end })
                .collect::<Vec<_>>()
        };
        self.buckets.iter().flat_map(of).collect()
    }

    /// Whether a bucket's file has anything that counts.
    pub(crate) fn has_bucket(&self, id: BucketId) -> bool {
        self.buckets.get(&id.start).is_some_and(|bucket| bucket.made == id.made)
    }

    /// The buckets whose files are needed no more, since this was asked the last time.
    pub(crate) fn take_done(&mut self) -> Vec<BucketId> {
        std::mem::take(&mut self.done)
    }

    /// Whether messages may wait for one of these queues. Of those that were put aside only the last bucket is known.
    pub(crate) fn may_wait_for(&self, queues: &[LogQueue]) -> bool {
        let first = self.buckets.first_key_value().map(|(start, _)| *start);
        let aside = |queue| first.zip(self.last.get(queue)).is_some_and(|(first, last)| first < *last);
        queues.iter().any(aside) || self.waiting.values().any(|target| queues.contains(target))
    }

    /// A saving of those that lie in the log begins.
    pub(crate) fn begin_save(&mut self) {
        self.before.begin();
    }

    /// Takes the next part of it, at most so many; false when there is none any more.
    pub(crate) fn save_part(&mut self, some: usize, to: &mut Vec<(Millis, Lsn, u32)>) -> bool {
        let from = self.before.upto().map_or(Bound::Unbounded, Bound::Excluded);
        let mut seen = None;
        for (key, target) in self.waiting.range((from, Bound::Unbounded)).take(some) {
            if !self.before.has(key) {
                to.push((key.0, key.1, target.0));
            }
            seen = Some(*key);
        }
        if let Some(seen) = seen {
            self.before.taken(seen);
            return true;
        }
        to.extend(self.before.end().map(|((due, lsn), target)| (due, lsn, target.0)));
        false
    }

    pub(crate) fn save(&self) -> SavedBuckets {
        let saved = |(start, bucket): (&Millis, &Bucket)| SavedBucket {
            start: *start,
            end: bucket.end,
            made: bucket.made,
            len: bucket.len,
            parts: bucket.parts.clone(),
            left: bucket.left,
            cursor: bucket.cursor,
            gone: bucket.gone.iter().copied().collect(),
        };
        let last = self.last.iter().map(|(queue, last)| (queue.0, *last)).collect();
        SavedBuckets { buckets: self.buckets.iter().map(saved).collect(), last }
    }

    /// What was put aside comes back.
    pub(crate) fn restore(&mut self, saved: SavedBuckets) {
        self.last = saved.last.into_iter().map(|(queue, last)| (LogQueue(queue), last)).collect();
        for saved in saved.buckets {
            self.aside += saved.left;
            self.gone += saved.gone.len();
            let bucket = Bucket {
                end: saved.end,
                made: saved.made,
                len: saved.len,
                parts: saved.parts,
                left: saved.left,
                cursor: saved.cursor,
                gone: saved.gone.into_iter().collect(),
                loaded: None,
                is_exhausted: false,
            };
            self.buckets.insert(saved.start, bucket);
        }
    }
}

/// The buckets as a checkpoint keeps them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct SavedBuckets {
    buckets: Vec<SavedBucket>,
    last: Vec<(u32, Millis)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedBucket {
    start: Millis,
    end: Millis,
    made: Lsn,
    len: u64,
    parts: Vec<Part>,
    left: u64,
    cursor: Option<Key>,
    gone: Vec<Key>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const Q: LogQueue = LogQueue(20);

    #[test]
    fn a_saving_tells_what_waited_when_it_began_whatever_happens_meanwhile() {
        let mut timers = Timers::default();
        (0..1000).for_each(|n| timers.insert(n * 7 % 1000, n * 8, Q));
        let wanted: Vec<_> = timers.waiting.keys().map(|(due, lsn)| (*due, *lsn, Q.0)).collect();
        let mut found = Vec::new();
        timers.begin_save();
        let mut n = 0;
        while timers.save_part(100, &mut found) {
            n += 1;
            // Some fire, some are put aside, some come: before the place that has been reached, and behind it.
            (0..20).for_each(|k| {
                timers.remove((n * 31 + k * 50) % 1000 * 7 % 1000, (n * 31 + k * 50) % 1000 * 8, true)
            });
            timers.insert(n * 90 + 1, 100_000 + n, Q);
            if n == 3 {
                timers.moved(&Moved { upto: 8000, ..moved(700, 0, 100) });
            }
        }
        assert!(n > 8 && timers.waiting.len() < 900);
        found.sort_unstable();
        assert_eq!(found, wanted);
    }

    fn moved(start: Millis, upto: Lsn, count: u32) -> Moved {
        let (at, behind) = (0, 100);
        Moved { start, end: start + 100, made: 4096, at, behind, count, from: 0, upto, gone: Vec::new() }
    }

    fn cell(due: Millis, lsn: Lsn) -> Cell {
        Cell { due, lsn, at: lsn, len: 1, queue: Q }
    }

    fn keys(timers: &[Timer]) -> Vec<Key> {
        timers.iter().map(Timer::key).collect()
    }

    #[test]
    fn what_is_put_aside_is_loaded_and_fires_in_order() {
        let mut timers = Timers::default();
        for (due, lsn) in [(110, 8), (120, 16), (105, 24), (115, 32)] {
            timers.insert(due, lsn, Q);
        }
        timers.moved(&moved(100, 24, 2));
        assert_eq!((timers.len(), timers.in_log(), timers.earliest_record()), (4, 2, Some(24)));
        assert_eq!((timers.next_due(), timers.next_in_log()), (Some(100), Some(105)));
        assert!(timers.next_load(100).is_none());
        let load = timers.next_load(101).unwrap();
        assert_eq!((load.left, load.runs.len(), load.window.after), (2, 1, None));
        timers.loaded(load.bucket, vec![cell(110, 8), cell(120, 16)], None);
        assert_eq!(keys(&timers.due(115, 10)), [(105, 24), (110, 8), (115, 32)]);
        assert_eq!(keys(&timers.due(1000, 10)).len(), 4);
        for (due, lsn) in [(105, 24), (110, 8)] {
            timers.remove(due, lsn, true);
        }
        assert_eq!((timers.len(), timers.place(110, 8)), (2, None));
        assert!(timers.place(120, 16).is_some() && timers.place(120, 24).is_none());
        timers.remove(120, 16, true);
        assert_eq!((timers.take_done().len(), timers.has_bucket(load.bucket), timers.len()), (1, false, 1));
    }

    #[test]
    fn one_that_was_taken_back_never_fires() {
        let mut timers = Timers::default();
        (1..=3).for_each(|n| timers.insert(100 + n, n * 8, Q));
        timers.moved(&moved(100, 100, 3));
        timers.remove(102, 16, false);
        timers.remove(102, 16, false);
        assert_eq!((timers.len(), timers.taken_back()), (2, 1));
        let load = timers.next_load(200).unwrap();
        timers.loaded(load.bucket, vec![cell(101, 8), cell(102, 16), cell(103, 24)], None);
        timers.remove(101, 8, false);
        timers.skip_gone();
        let due = timers.due(200, 9);
        assert_eq!(keys(&due), [(103, 24)]);
        assert!(timers.waits(&due[0]));
        timers.remove(103, 24, false);
        assert!(!timers.waits(&due[0]));
        assert_eq!((timers.len(), timers.taken_back(), timers.next_due()), (0, 0, None));
    }

    #[test]
    fn a_bucket_that_has_been_looked_into_gets_no_more() {
        let mut timers = Timers::default();
        (1..=3).for_each(|n| timers.insert(100 + n, n * 8, Q));
        assert_eq!(timers.far(102, 0, 10).0.len(), 2);
        assert_eq!(timers.far(100, 9, 1), (vec![((102, 16), Q)], Some(17)));
        timers.moved(&moved(100, 9, 1));
        assert_eq!(timers.far(100, 0, 10).0.len(), 2);
        let load = timers.next_load(200).unwrap();
        timers.loaded(load.bucket, vec![cell(101, 8)], None);
        assert_eq!(timers.far(100, 0, 10), (Vec::new(), Some(25)));
    }

    #[test]
    fn buckets_never_overlap() {
        let mut timers = Timers::default();
        assert_eq!(timers.bucket_for(150, 100), (100, 200, None, 0));
        timers.insert(150, 8, Q);
        timers.moved(&moved(100, 9, 1));
        assert_eq!(timers.bucket_for(199, 100), (100, 200, Some(4096), 100));
        // Another width, after a change of settings.
        assert_eq!(timers.bucket_for(220, 300), (200, 300, None, 0));
        assert_eq!(timers.bucket_for(50, 300), (0, 100, None, 0));
    }

    #[test]
    fn a_checkpoint_keeps_the_buckets() {
        let mut timers = Timers::default();
        (1..=3).for_each(|n| timers.insert(100 + n, n * 8, Q));
        timers.moved(&Moved { gone: vec![(104, 32)], ..moved(100, 100, 4) });
        timers.remove(102, 16, false);
        assert!(timers.may_wait_for(&[Q]) && !timers.may_wait_for(&[LogQueue(21)]));
        let saved = postcard::to_stdvec(&timers.save()).unwrap();
        let mut again = Timers::default();
        again.restore(postcard::from_bytes(&saved).unwrap());
        assert!(again.may_wait_for(&[Q]));
        assert_eq!((again.len(), again.taken_back()), (2, 2));
        assert!(again.place(101, 8).is_some() && again.place(102, 16).is_none());
    }

    #[test]
    fn a_clock_set_back_brings_an_earlier_bucket_first() {
        let mut timers = Timers::default();
        timers.insert(150, 8, Q);
        timers.moved(&moved(100, 9, 1));
        let late = timers.next_load(200).unwrap();
        timers.loaded(late.bucket, vec![cell(150, 8)], None);
        timers.insert(50, 16, Q);
        timers.moved(&moved(0, 17, 1));
        let early = timers.next_load(60).unwrap();
        assert_eq!(early.bucket.start, 0);
        timers.loaded(early.bucket, vec![cell(50, 16)], None);
        assert_eq!(keys(&timers.due(1000, 9)), [(50, 16)]);
        assert!(timers.next_load(200).is_none(), "the other one waits for its turn");
        timers.remove(50, 16, true);
        assert_eq!(timers.next_load(200).unwrap().bucket, late.bucket);
    }
}
