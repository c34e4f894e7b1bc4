//! Putting aside what need not lie in the log: delayed messages whose time is far, halves that are old.
//!
//! It exists so that neither keeps the log for longer than its retention, nor fills the memory. The one idea to know:
//! first the messages are safe in their bucket, then one record says so; until it does, they wait where they were. A
//! half has no time of its own, so it is simply stored again, at the end of the log.

use super::fire::LOAD_BEFORE;
use super::log::{Item, blocking};
use super::{Broker, Inner};
use crate::core::catalog::{HALF_QUEUE, TIMER_QUEUE};
use crate::core::record::Record;
use crate::core::timers::{Key, Moved};
use sluice_model::{ErrorKind, Message, Millis, Result};
use sluice_store::{Aside, BucketId, Content, Durability, Entry, Log, LogQueue, Lsn, ReadLimits, record};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Timers looked at under one lock.
const AT_ONCE: usize = 8192;
/// Messages read ahead, and their bytes.
const AHEAD: usize = 1024;
const AHEAD_BYTES: usize = 1 << 20;
/// Bytes of messages put aside in one go, so that runs are long and memory is not.
const BYTES_AT_ONCE: usize = 16 << 20;
/// Room for them and one more, taken once: above 8 MiB the allocator gives memory back to the system at once.
const ROOM: usize = BYTES_AT_ONCE + (2 << 20);
/// And so many messages.
const MESSAGES_AT_ONCE: usize = 131_072;
/// With so many in memory they are put aside as they come: they are read while the system still has them in its cache.
pub(super) const MANY: usize = 65_536;
/// When fewer wait, what lies in the log for so long is put aside, if the log's retention is not shorter.
const OLD: Millis = 3_600_000;
/// How often is looked.
const EVERY: Duration = Duration::from_secs(60);
/// And how soon again when that was of little use.
const AGAIN: Duration = Duration::from_secs(5);
/// Halves carried forward at once.
const HALVES_AT_ONCE: usize = 256;

/// Messages read from the log, to be put into buckets. Used again and again, because asking for so much memory each time
/// leaves holes.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// By the buckets that they go to, once all have been read.
    messages: Vec<Far>,
    /// All from this position on and before that one have been read.
    from: Lsn,
    upto: Lsn,
    /// Damaged, or given up by a repair.
    lost: Vec<Key>,
}

/// One of them, and where in the batch's bytes it lies.
struct Far {
    start: Millis,
    key: Key,
    queue: LogQueue,
    at: u32,
    len: u32,
}

impl Batch {
    /// Goes on where it ended.
    fn begin(&mut self) {
        self.from = self.upto;
        self.bytes.clear();
        self.messages.clear();
        self.lost.clear();
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= BYTES_AT_ONCE || self.messages.len() >= MESSAGES_AT_ONCE
    }

    fn push(&mut self, start: Millis, key: Key, queue: LogQueue, message: &Message) {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(ROOM);
        }
        let at = self.bytes.len();
        record::encode(message, 0, &mut self.bytes);
        let len = self.bytes.len() - at;
        self.messages.push(Far { start, key, queue, at: at as u32, len: len as u32 });
    }

    /// Those of a bucket.
    fn of(&self, start: Millis) -> &[Far] {
        let from = self.messages.partition_point(|far| far.start < start);
        let rest = self.messages.get(from..).unwrap_or_default();
        rest.get(..rest.partition_point(|far| far.start == start)).unwrap_or_default()
    }

    fn aside<'a>(&'a self, far: &Far) -> Aside<'a> {
        let at = far.at as usize;
        let message = self.bytes.get(at..at + far.len as usize).unwrap_or_default();
        Aside { due: far.key.0, lsn: far.key.1, queue: far.queue, message }
    }
}

/// What lies behind a message in the queue of delayed ones: most likely, it is wanted next.
#[derive(Default)]
struct Ahead(VecDeque<Entry>);

impl Ahead {
    /// The entry at a position, which is never before the one that was asked for last.
    fn read_at(&mut self, log: &dyn Log, whole: &dyn Log, lsn: Lsn) -> Result<Option<Entry>> {
        while self.0.front().is_some_and(|entry| entry.lsn < lsn) {
            self.0.pop_front();
        }
        if self.0.front().is_some_and(|entry| entry.lsn == lsn) {
            return Ok(self.0.pop_front());
        }
        let Some(entry) = log.read_at(lsn)? else { return Ok(None) };
        let limits =
            ReadLimits { max_count: AHEAD, max_bytes: AHEAD_BYTES, max_examined: AHEAD, tag_hashes: None };
        // What is wrong with those behind is found out when they are wanted.
        let mut batch = whole.read_through(TIMER_QUEUE, entry.offset + 1, &limits).unwrap_or_default();
        batch.entries.retain(|entry| matches!(entry.content, Content::Message(_)));
        self.0 = batch.entries.into();
        Ok(Some(entry))
    }
}

impl Broker {
    /// Puts delayed messages aside whose time is far, all of them: what [`Broker::run`] does when there are many or they
    /// are old. How many there were.
    ///
    /// # Errors
    /// What the log says; those that were put aside until then are.
    pub async fn put_far_aside(&self) -> Result<usize> {
        self.0.by_itself().put_far_aside().await
    }
}

impl Inner {
    pub(super) async fn move_timers(self: &Arc<Self>) {
        loop {
            tokio::select! {
                () = sleep(EVERY) => {}
                () = self.many_timers.notified() => {}
            }
            match self.has_far().await {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => {
                    tracing::warn!(?error, "the oldest delayed message could not be looked at");
                    continue;
                }
            }
            match self.put_far_aside().await {
                Ok(count) if count >= MANY / 4 => {}
                // What is left is near.
                Ok(_) => sleep(AGAIN).await,
                Err(error) => {
                    tracing::warn!(?error, "delayed messages could not be put aside and keep the log");
                    sleep(EVERY).await;
                }
            }
        }
    }

    /// Whether there are so many, or so old ones, that it is time.
    async fn has_far(&self) -> Result<bool> {
        let (count, first) = {
            let core = self.core.lock();
            (core.timers.in_log(), core.timers.earliest_record())
        };
        let Some(first) = first else { return Ok(false) };
        if count >= MANY {
            return Ok(true);
        }
        let log = Arc::clone(&self.log);
        let entry = blocking(move || log.read_at(first)).await?;
        let old = OLD.min(self.tuned().retention.as_millis() / 2);
        Ok(entry.is_some_and(|entry| entry.stored.saturating_add(old) < self.clock.now()))
    }

    async fn put_far_aside(self: &Arc<Self>) -> Result<usize> {
        let Some(moving) = self.crowd.move_on() else {
            return Ok(0); // two at once would write over each other
        };
        let count = self.put_all_aside().await?;
        moving.left(self.core.lock().timers.in_log());
        Ok(count)
    }

    async fn put_all_aside(self: &Arc<Self>) -> Result<usize> {
        let width = self.config.timer_bucket.as_millis().max(1);
        let (mut batch, mut all) = (Batch::default(), 0);
        loop {
            let rules = Arc::clone(self);
            batch = blocking(move || {
                rules.read_far(&mut batch, width);
                Ok(batch)
            })
            .await?;
            if batch.messages.is_empty() && batch.lost.is_empty() {
                return Ok(all);
            }
            let whole = Arc::new(batch);
            all += self.put_aside(&whole, width).await?;
            let upto = whole.upto;
            batch = Arc::into_inner(whole).unwrap_or_else(|| Batch { upto, ..Batch::default() });
        }
    }

    /// Reads the next ones that may be put aside, until there are enough, or one is not readable yet.
    fn read_far(&self, batch: &mut Batch, width: Millis) {
        batch.begin();
        // The buckets that are about to be loaded take none, nor does the one before.
        let due = (self.clock.now() + LOAD_BEFORE).next_multiple_of(width).saturating_add(width);
        let (mut ahead, mut after, mut goes_on) = (Ahead::default(), batch.from, true);
        while goes_on {
            let (far, next) = {
                let core = self.core.lock();
                let timers = &core.timers;
                let (far, next) = timers.far(due, after, AT_ONCE);
                let with_start =
                    |(key, queue): (Key, LogQueue)| (timers.bucket_for(key.0, width).0, key, queue);
                (far.into_iter().map(with_start).collect::<Vec<_>>(), next)
            };
            goes_on = far.into_iter().all(|(start, key, queue)| {
                !batch.is_full() && self.read_one(batch, &mut ahead, start, key, queue)
            });
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        batch.messages.sort_unstable_by_key(|far| far.start);
    }

    /// Reads one; false when that has to wait.
    fn read_one(
        &self,
        batch: &mut Batch,
        ahead: &mut Ahead,
        start: Millis,
        key: Key,
        queue: LogQueue,
    ) -> bool {
        match ahead.read_at(&*self.log, &*self.whole, key.1) {
            Ok(Some(Entry { content: Content::Message(message), .. })) => {
                batch.push(start, key, queue, &message);
            }
            Ok(None) if key.1 >= self.opened_at => return false,
            Err(error) if error.kind() != ErrorKind::Corrupt => return false,
            Ok(_) | Err(_) => batch.lost.push(key),
        }
        batch.upto = key.1 + 1;
        true
    }

    async fn put_aside(self: &Arc<Self>, batch: &Arc<Batch>, width: Millis) -> Result<usize> {
        self.give_up_damaged(&batch.lost)?;
        let put = |start: Option<&Millis>| {
            let (rules, of, start) = (Arc::clone(self), Arc::clone(batch), start.copied());
            blocking(move || start.map_or(Ok(0), |start| rules.put_bucket(&of, start, width)))
        };
        let mut count = 0;
        let mut starts: Vec<Millis> = batch.messages.iter().map(|far| far.start).collect();
        starts.dedup();
        // Disks make several files safe at once as quickly as one.
        for some in starts.chunks(8) {
            let at = |n: usize| put(some.get(n));
            let (a, b, c, d, e, f, g, h) =
                tokio::join!(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7));
            for done in [a, b, c, d, e, f, g, h] {
                count += done?;
            }
        }
        Ok(count)
    }

    /// Writes one run, and says so in the log.
    fn put_bucket(&self, batch: &Batch, start: Millis, width: Millis) -> Result<usize> {
        let mut asides: Vec<Aside<'_>> = batch.of(start).iter().map(|far| batch.aside(far)).collect();
        let (start, end, made, at) = self.core.lock().timers.bucket_for(start, width);
        let made = made.unwrap_or_else(|| self.log.end());
        let bucket = BucketId { start, made };
        let behind = self.log.buckets().put(bucket, at, &mut asides)?;
        let keys: Vec<Key> = asides.iter().map(|aside| (aside.due, aside.lsn)).collect();
        let mut core = self.core.lock();
        let gone = core.timers.gone_of(&keys);
        let (from, upto, count) = (batch.from, batch.upto, keys.len() as u32);
        let left: Vec<Key> = keys.into_iter().filter(|key| gone.binary_search(key).is_err()).collect();
        // What the record says must be what was written. It is not when the bucket was closed for some of them: then all
        // stay where they are.
        if left.is_empty() || left != core.timers.movable(start..end, from..upto) {
            return Ok(0);
        }
        let moved = Moved { start, end, made, at, behind, count, from, upto, gone };
        let left = left.len();
        let _ = self.record(&mut core, &[Record::Moved(Box::new(moved))], Durability::Async)?;
        self.crowd.is(core.timers.in_log());
        Ok(left)
    }

    fn give_up_damaged(&self, lost: &[Key]) -> Result<()> {
        for (due, lsn) in lost {
            tracing::error!(lsn, "a delayed message is damaged on disk, or not there any more, and is lost");
            let fired = Record::Fired { due: *due, lsn: *lsn };
            let _ = self.record(&mut self.core.lock(), &[fired], Durability::Async)?;
        }
        Ok(())
    }

    /// Stores halves again that would keep the log for longer than its retention.
    pub(super) async fn carry_halves(self: &Arc<Self>) -> Result<()> {
        loop {
            let before = self.clock.now().saturating_sub(self.tuned().retention.as_millis());
            let old = self.core.lock().transactions.older_than(before, HALVES_AT_ONCE);
            if old.is_empty() {
                return Ok(());
            }
            let mut carried = false;
            for half in &old {
                let at = self.core.lock().transactions.place(half.lsn);
                let log = Arc::clone(&self.log);
                let entry = match blocking(move || log.read_at(at)).await {
                    Ok(entry) => entry,
                    // Found out, and told, when it is decided.
                    Err(error) if error.kind() == ErrorKind::Corrupt => None,
                    Err(error) => return Err(error),
                };
                let Some(Content::Message(message)) = entry.map(|entry| entry.content) else { continue };
                let mut core = self.core.lock();
                if core.transactions.get(half.lsn).is_none() {
                    continue;
                }
                let record = Record::Carried { lsn: half.lsn };
                let items = [Item::Record(&record), Item::Message(HALF_QUEUE, &message)];
                let now = self.clock.now();
                let ticket = self.append(&items, now, Durability::Async, true)?;
                if let Some(placed) = ticket.placed.last() {
                    core.transactions.carried(half.lsn, placed.lsn, now);
                    carried = true;
                }
            }
            if !carried {
                return Ok(());
            }
        }
    }
}
