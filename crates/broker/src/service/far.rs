//! Putting aside what need not lie in the log: delayed messages whose time is far, halves that are old.
//!
//! It exists so that neither keeps the log for longer than its retention, nor fills the memory. The one idea to know:
//! first the messages are safe in their bucket, then one record says so; until it does, they wait where they were. A
//! half has no time of its own, so it is simply stored again, at the end of the log.

use super::fire::LOAD_BEFORE;
use super::log::{Item, blocking};
use super::{Broker, Inner};
use crate::core::catalog::HALF_QUEUE;
use crate::core::record::Record;
use crate::core::timers::{Key, Moved};
use sluice_model::{ErrorKind, Millis, Result};
use sluice_store::{Aside, BucketId, Content, Durability, Entry, LogQueue, Lsn, record};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// Timers looked at under one lock.
const AT_ONCE: usize = 8192;
/// Bytes of messages put aside in one go, so that runs are long and memory is not.
const BYTES_AT_ONCE: usize = 32 << 20;
/// And so many messages.
const MESSAGES_AT_ONCE: usize = 262_144;
/// With so many in memory they are put aside as they come.
pub(super) const MANY: usize = 262_144;
/// When fewer wait, what lies in the log for so long is put aside, if the log's retention is not shorter.
const OLD: Millis = 3_600_000;
/// How often is looked.
const EVERY: Duration = Duration::from_secs(60);
/// And how soon again when that was of little use.
const AGAIN: Duration = Duration::from_secs(5);
/// Halves carried forward at once.
const HALVES_AT_ONCE: usize = 256;

/// Messages read from the log, by the bucket that they go to.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    buckets: BTreeMap<Millis, Vec<(Key, LogQueue, Range<usize>)>>,
    count: usize,
    /// All from this position on and before that one have been read.
    from: Lsn,
    upto: Lsn,
    /// Damaged, or given up by a repair.
    lost: Vec<Key>,
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
        let old = OLD.min(self.config.retention.as_millis() / 2);
        Ok(entry.is_some_and(|entry| entry.stored.saturating_add(old) < self.clock.now()))
    }

    async fn put_far_aside(self: &Arc<Self>) -> Result<usize> {
        if self.moving.swap(true, Ordering::SeqCst) {
            return Ok(0); // two at once would write over each other
        }
        let done = self.put_all_aside().await;
        self.moving.store(false, Ordering::SeqCst);
        done
    }

    async fn put_all_aside(self: &Arc<Self>) -> Result<usize> {
        let width = self.config.timer_bucket.as_millis().max(1);
        let (mut from, mut all) = (0, 0);
        loop {
            let far = self.far(width, from);
            let rules = Arc::clone(self);
            let batch = blocking(move || Ok(rules.read_far(&far, from, width))).await?;
            if batch.count + batch.lost.len() == 0 {
                return Ok(all);
            }
            from = batch.upto;
            all += self.put_aside(batch).await?;
        }
    }

    /// The next ones that may be put aside, as they lie in the log.
    fn far(&self, width: Millis, mut after: Lsn) -> Vec<(Key, LogQueue)> {
        // The buckets that are about to be loaded take none, nor does the one before.
        let from = (self.clock.now() + LOAD_BEFORE).next_multiple_of(width).saturating_add(width);
        let mut far = Vec::new();
        while far.len() < MESSAGES_AT_ONCE {
            let (some, next) = self.core.lock().timers.far(from, after, AT_ONCE);
            far.extend(some);
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        far
    }

    /// Reads them until there are enough bytes, or one is not readable yet.
    fn read_far(&self, far: &[(Key, LogQueue)], from: Lsn, width: Millis) -> Batch {
        let mut batch = Batch { from, upto: from, ..Batch::default() };
        for ((due, lsn), target) in far {
            if batch.bytes.len() >= BYTES_AT_ONCE {
                return batch;
            }
            match self.log.read_at(*lsn) {
                Ok(Some(Entry { content: Content::Message(message), .. })) => {
                    let from = batch.bytes.len();
                    record::encode(&message, &mut batch.bytes);
                    let (start, ..) = self.core.lock().timers.bucket_for(*due, width);
                    let bucket = batch.buckets.entry(start).or_default();
                    bucket.push(((*due, *lsn), *target, from..batch.bytes.len()));
                    batch.count += 1;
                }
                Ok(None) if *lsn >= self.opened_at => return batch,
                Err(error) if error.kind() != ErrorKind::Corrupt => return batch,
                Ok(_) | Err(_) => batch.lost.push((*due, *lsn)),
            }
            batch.upto = lsn + 1;
        }
        batch
    }

    async fn put_aside(self: &Arc<Self>, batch: Batch) -> Result<usize> {
        self.give_up_damaged(&batch.lost)?;
        let width = self.config.timer_bucket.as_millis().max(1);
        let batch = Arc::new(batch);
        let mut count = 0;
        for start in batch.buckets.keys().copied() {
            let (rules, of) = (Arc::clone(self), Arc::clone(&batch));
            count += blocking(move || rules.put_bucket(&of, start, width)).await?;
        }
        Ok(count)
    }

    /// Writes one run, and says so in the log.
    fn put_bucket(&self, batch: &Batch, start: Millis, width: Millis) -> Result<usize> {
        let Some(messages) = batch.buckets.get(&start) else { return Ok(0) };
        let (start, end, made, at) = self.core.lock().timers.bucket_for(start, width);
        let made = made.unwrap_or_else(|| self.log.end());
        let mut asides: Vec<Aside<'_>> = messages
            .iter()
            .map(|((due, lsn), queue, at)| Aside {
                due: *due,
                lsn: *lsn,
                queue: *queue,
                message: batch.bytes.get(at.clone()).unwrap_or_default(),
            })
            .collect();
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
            let before = self.clock.now().saturating_sub(self.config.retention.as_millis());
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
