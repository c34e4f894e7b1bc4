//! What the broker does by itself: fire timers, write checkpoints, trim the log, let silent members go.
//!
//! It sleeps until the next timer is due, and wakes once a minute for the rest; an idle broker does nothing.

use super::{Broker, Inner};
use crate::core::saving::Saving;
use metrics::{describe_gauge, gauge};
use parking_lot::MutexGuard;
use sluice_model::units::Span;
use sluice_model::{Millis, Result};
use sluice_store::{BucketId, Log, Lsn, Pace};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// The disk's fill, in per mille, from which on expired segments go at once.
const EARLY: u16 = 750;
/// And that from which on the oldest go although they have not expired, where that is allowed.
const FORCED: u16 = 850;
/// How often is looked while the disk is filling.
const PRESSED: Duration = Duration::from_secs(5);
/// A gauge: what `store.tail_cache` bounds.
const TAIL: &str = "sluice_store_tail_limit_bytes";
/// Items of the state taken under one lock: about 30 µs.
const AT_ONCE: usize = 1024;
/// Segments are let go one by one: so far ahead is looked for the end of the first.
const STEP: u64 = 16 << 20;

impl Broker {
    /// The background duties. Runs until it is dropped.
    pub async fn run(&self) {
        let broker = self.0.by_itself();
        tokio::join!(
            broker.fire_timers(),
            broker.move_timers(),
            broker.check_transactions(),
            broker.watch_transactions(),
            broker.keep_house(),
            broker.scrub()
        );
    }

    /// Writes a checkpoint now and deletes what retention lets go, as [`Broker::run`] does from time to time.
    pub async fn tidy(&self) {
        let broker = self.0.by_itself();
        broker.tidy_producers();
        broker.retain().await;
        broker.carry().await;
        broker.checkpoint_and_trim().await;
    }

    /// Writes a checkpoint now, as [`Broker::run`] does from time to time. Blocks.
    ///
    /// # Errors
    /// What the log says; the older checkpoint stays good.
    pub fn checkpoint(&self) -> Result<()> {
        self.0.by_itself().write_checkpoint()
    }

    /// Begins a checkpoint; its steps are the caller's to take.
    ///
    /// # Errors
    /// None that is known of.
    pub fn begin_checkpoint(&self) -> Result<CheckpointUnderWay> {
        let snapshot = Some(self.0.by_itself().begin_snapshot()?);
        Ok(CheckpointUnderWay { broker: self.clone(), snapshot })
    }
}

/// A checkpoint that is made step by step by whoever wants to do other things in between: a simulation.
#[allow(missing_debug_implementations, reason = "nothing in it can be shown")]
pub struct CheckpointUnderWay {
    broker: Broker,
    snapshot: Option<Snapshot>,
}

impl CheckpointUnderWay {
    /// Takes a part of the state, about so many items, or at last writes the checkpoint. False when that is done.
    ///
    /// # Errors
    /// What the log says; `Conflict` when another checkpoint was begun meanwhile.
    pub fn step(&mut self, items: usize) -> Result<bool> {
        let inner = self.broker.0.by_itself();
        let Some(snapshot) = &mut self.snapshot else { return Ok(false) };
        let more = inner.core.lock().save_part(&mut snapshot.state, items)?;
        if !more && let Some(snapshot) = self.snapshot.take() {
            inner.write(snapshot)?;
        }
        Ok(more)
    }
}

impl Inner {
    async fn keep_house(self: &Arc<Self>) {
        let every = Duration::from_millis(self.config.checkpoint_interval.as_millis().max(1000));
        let mut at = self.log.end();
        describe_gauge!(
            TAIL,
            "The most bytes of the newest entries of the log that are kept in memory, at present"
        );
        loop {
            gauge!(TAIL).set(self.log.space().tail_limit as f64);
            tokio::select! {
                () = sleep(every) => {}
                () = sleep(PRESSED), if self.log.space().used_per_mille >= EARLY => {}
                () = self.checkpoint_wanted.notified() => {}
            }
            self.expire_members();
            self.expire_offsets();
            self.tidy_producers();
            self.retain().await;
            self.carry().await;
            let end = self.log.end();
            // On a filling disk what retention lets go goes at once, and that needs a checkpoint behind it.
            if end != at || self.log.space().used_per_mille >= EARLY {
                at = end;
                self.checkpoint_and_trim().await;
            }
        }
    }

    async fn carry(self: &Arc<Self>) {
        if let Err(error) = self.carry_halves().await {
            tracing::warn!(
                ?error,
                "messages of open transactions could not be stored again and keep the log"
            );
        }
    }

    async fn checkpoint_and_trim(self: &Arc<Self>) {
        let rules = Arc::clone(self);
        let done = super::log::blocking(move || {
            let snapshot = rules.snapshot()?;
            let older_than = rules.clock.now().saturating_sub(snapshot.retention.as_millis());
            let (pinned, log) = (snapshot.pinned, &*rules.log);
            let at = rules.write(snapshot)?;
            let kept = log.trim(older_than, pinned)?;
            let limits = Room { size: rules.config.retention_size.0, forced: rules.config.forced_retention };
            limits.make(log, kept, pinned).map(|kept| (at, kept))
        });
        match done.await {
            Ok((at, kept)) => {
                self.counts.checkpoints.increment(1);
                tracing::debug!(at, kept, "checkpoint written");
            }
            Err(e) => tracing::warn!(error = ?e, "the checkpoint was not written"),
        }
    }

    /// Everything as of a position. Others go on meanwhile: the core's lock is held for a part at a time. Not for a thread
    /// that serves them.
    fn snapshot(&self) -> Result<Snapshot> {
        let mut snapshot = self.begin_snapshot()?;
        let mut pace = Pace::begin();
        loop {
            pace.rest();
            snapshot.state.make_room(AT_ONCE);
            let mut core = self.core.lock();
            let more = core.save_part(&mut snapshot.state, AT_ONCE)?;
            // Whoever waits comes first.
            MutexGuard::unlock_fair(core);
            if !more {
                return Ok(snapshot);
            }
        }
    }

    fn begin_snapshot(&self) -> Result<Snapshot> {
        let mut core = self.core.lock();
        let at = self.log.end();
        self.next_checkpoint.store(at.saturating_add(self.config.checkpoint_bytes.0), Ordering::Relaxed);
        let waiting = [core.timers.earliest_record(), core.transactions.earliest_record()];
        let pinned = waiting.into_iter().flatten().min().unwrap_or(at);
        let state = core.begin_save(self.auth.snapshot())?;
        let own = core.catalog.topics().values().filter_map(|topic| topic.spec.retention());
        let longest = own.map(|own| own.0).max().unwrap_or_default();
        let retention = Span(self.tuned().retention.0.max(longest));
        Ok(Snapshot { at, state, pinned, unused: core.timers.take_done(), retention })
    }

    /// Writes a checkpoint now. Blocks.
    pub(super) fn write_checkpoint(&self) -> Result<()> {
        self.snapshot().and_then(|snapshot| self.write(snapshot)).map(drop)
    }

    fn write(&self, Snapshot { at, state, unused, .. }: Snapshot) -> Result<Lsn> {
        self.log.write_checkpoint(at, &state.encode()?)?;
        // Only now: that nothing in these files counts any more is as safe as the checkpoint.
        unused.into_iter().try_for_each(|bucket| self.log.buckets().remove(bucket))?;
        Ok(at)
    }

    fn expire_members(&self) {
        let now = self.clock.now();
        let silent = {
            let mut core = self.core.lock();
            core.members.expire_locks(now.saturating_sub(self.config.queue_lock.as_millis()));
            core.members.expire(now.saturating_sub(self.config.member_timeout.as_millis()))
        };
        for group in silent {
            tracing::info!(%group, "a member was silent for too long and has left");
            self.tell_group(&group);
        }
    }
}

/// Everything as of a position.
struct Snapshot {
    at: u64,
    state: Saving,
    /// The earliest record still needed.
    pinned: u64,
    /// Files that are of no use once this is safe. After a failure the next start finds them.
    unused: Vec<BucketId>,
    /// How long the most patient topic keeps its messages, and so the log.
    retention: Span,
}

/// What is let go before its time.
struct Room {
    /// More bytes of log are not kept; 0 is no limit.
    size: u64,
    /// A disk that is nearly full is a reason too.
    forced: bool,
}

impl Room {
    /// Lets the oldest segments go, one by one, while there are too many. Returns the first position kept.
    fn make(&self, log: &dyn Log, mut kept: Lsn, pinned: Lsn) -> Result<Lsn> {
        loop {
            let space = log.space();
            let too_much = self.size > 0 && space.log_bytes > self.size;
            let is_full = self.forced && space.used_per_mille >= FORCED;
            if !(too_much || is_full) {
                return Ok(kept);
            }
            let mut limit = kept;
            let next = loop {
                limit = limit.saturating_add(STEP);
                let next = log.trim(Millis::MAX, limit.min(pinned))?;
                if next != kept || limit >= pinned {
                    break next;
                }
            };
            if next == kept {
                return Ok(kept); // the rest is needed, or not sealed yet
            }
            tracing::warn!(
                kept = next,
                space.used_per_mille,
                "the oldest messages were let go before their time"
            );
            kept = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_model::Message;
    use sluice_store::{Append, Durability, LogQueue, MemoryLog, Payload};

    #[test]
    fn the_oldest_go_while_there_is_too_much() {
        let log = MemoryLog::new();
        let message = Message { body: Some(vec![b'x'; 1 << 20].into()), ..Message::default() };
        for _ in 0..64 {
            let payload = Payload::Message(&message);
            let append = Append { queue: LogQueue(16), payload, stored: 5, reserved_space: false };
            drop(log.append(&[append], Durability::Sync).unwrap());
        }
        let end = log.end();
        for at in [end - (1 << 21), end] {
            log.write_checkpoint(at, b"").unwrap();
        }
        let kept = log.trim(0, end).unwrap();
        let none = Room { size: 0, forced: false };
        assert_eq!(none.make(&log, kept, end).unwrap(), kept);
        let room = Room { size: 20 << 20, forced: false };
        let kept = room.make(&log, kept, end).unwrap();
        assert!(log.space().log_bytes <= 20 << 20 && kept < end, "{} left", log.space().log_bytes);
        // What is needed stays, whatever the limit.
        let room = Room { size: 1, forced: false };
        assert_eq!(room.make(&log, kept, kept).unwrap(), kept);
    }
}
