//! What the broker does by itself: fire timers, write checkpoints, trim the log, let silent members go.
//!
//! It sleeps until the next timer is due, and wakes once a minute for the rest; an idle broker does nothing.

use super::log::Item;
use super::{Broker, Inner};
use crate::core::record::Record;
use crate::core::timers::Timer;
use sluice_model::{ErrorKind, Result};
use sluice_store::{Content, Durability};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// Timers fired between two looks at everything else.
const TIMERS_AT_ONCE: usize = 256;
/// A timer whose record is not durable yet, or a full disk, is tried again after this.
const TRY_AGAIN: Duration = Duration::from_millis(5);
const FULL_AGAIN: Duration = Duration::from_secs(1);
/// The longest sleep towards a due time: a wall clock that is set forward is noticed after at most this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

impl Broker {
    /// The background duties. Runs until it is dropped.
    pub async fn run(&self) {
        let broker = self.0.by_itself();
        tokio::join!(broker.fire_timers(), broker.check_transactions(), broker.keep_house(), broker.scrub());
    }

    /// Delivers the delayed messages that are due now: what [`Broker::run`] does at their times. For those who drive
    /// the clock themselves.
    ///
    /// # Errors
    /// What the log says; the messages stay due.
    pub async fn fire_due(&self) -> Result<()> {
        self.0.by_itself().fire_due().await.map(drop)
    }

    /// Writes a checkpoint now and deletes what retention lets go, as [`Broker::run`] does from time to time.
    pub async fn tidy(&self) {
        self.0.by_itself().retain().await;
        self.0.by_itself().checkpoint_and_trim().await;
    }

    /// Writes a checkpoint now, as [`Broker::run`] does from time to time. Blocks.
    ///
    /// # Errors
    /// What the log says; the older checkpoint stays good.
    pub fn checkpoint(&self) -> Result<()> {
        self.0.by_itself().write_checkpoint()
    }
}

impl Inner {
    async fn fire_timers(&self) {
        loop {
            let sooner = self.sooner.notified();
            let nap = match self.fire_due().await {
                Ok(Some(due)) => {
                    Duration::from_millis(due.saturating_sub(self.clock.now())).min(LONGEST_SLEEP)
                }
                Ok(None) => LONGEST_SLEEP * 60,
                Err(e) if e.kind() == ErrorKind::StorageFull => FULL_AGAIN,
                Err(e) => {
                    tracing::error!(error = ?e, "a delayed message could not be delivered to its queue");
                    FULL_AGAIN
                }
            };
            tokio::select! {
                () = sleep(nap) => {}
                () = sooner => {}
            }
        }
    }

    /// Fires what is due. Returns when the next timer is due.
    pub(super) async fn fire_due(&self) -> Result<Option<u64>> {
        loop {
            let now = self.clock.now();
            let due = self.core.lock().timers.due(now, TIMERS_AT_ONCE);
            if due.is_empty() {
                let core = self.core.lock();
                self.counts.timers.set(core.timers.len() as f64);
                return Ok(core.timers.next_due());
            }
            for timer in due {
                while !self.fire(timer).await? {
                    sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    /// Moves one delayed message to its queue. False when its record is not readable yet.
    async fn fire(&self, timer: Timer) -> Result<bool> {
        let fired = Record::Fired { due: timer.due, lsn: timer.lsn };
        let entry = match self.log.read_at(timer.lsn) {
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                // It will not get better, and must not hold up the others.
                tracing::error!(lsn = timer.lsn, error = ?e, "a delayed message is damaged on disk and is lost");
                let _ = self.record(&mut self.core.lock(), &[fired], Durability::Async)?;
                return Ok(true);
            }
            Err(e) => return Err(e),
            Ok(Some(entry)) => entry,
            // Timers pin the log, so a record that cannot be read is one that is not durable yet.
            Ok(None) if timer.lsn >= self.opened_at => return Ok(false),
            Ok(None) => {
                // What was there at the start was durable then: a repair has given it up.
                tracing::error!(lsn = timer.lsn, "a delayed message is not there any more and is lost");
                let _ = self.record(&mut self.core.lock(), &[fired], Durability::Async)?;
                return Ok(true);
            }
        };
        let Content::Message(message) = entry.content else { return Ok(true) };
        let mut core = self.core.lock();
        if core.timers.target(timer.due, timer.lsn).is_none() {
            return Ok(true); // recalled meanwhile
        }
        let target = core.catalog.owner(timer.target).map(|(topic, _)| topic.spec.durability);
        let durability = target.flatten().map_or(Durability::Sync, Durability::from);
        let items = [Item::Record(&fired), Item::Message(timer.target, &message)];
        // A topic that was deleted meanwhile takes its delayed messages with it.
        let items = if target.is_some() { &items[..] } else { &items[..1] };
        let _ = self.append(items, self.clock.now(), durability, false)?;
        core.apply(&fired);
        self.counts.fired.increment(1);
        Ok(true)
    }

    async fn keep_house(self: &Arc<Self>) {
        let every = Duration::from_millis(self.config.checkpoint_interval.as_millis().max(1000));
        let mut at = self.log.end();
        loop {
            tokio::select! {
                () = sleep(every) => {}
                () = self.checkpoint_wanted.notified() => {}
            }
            self.expire_members();
            self.expire_offsets();
            self.retain().await;
            let end = self.log.end();
            if end != at {
                at = end;
                self.checkpoint_and_trim().await;
            }
        }
    }

    async fn checkpoint_and_trim(&self) {
        // Serialising happens here, writing where blocking is allowed.
        let (at, state, pinned) = match self.snapshot() {
            Ok(snapshot) => snapshot,
            Err(e) => return tracing::error!(error = ?e, "no checkpoint could be made"),
        };
        let log = std::sync::Arc::clone(&self.log);
        let older_than = self.clock.now().saturating_sub(self.config.retention.as_millis());
        let done = super::log::blocking(move || {
            log.write_checkpoint(at, &state)?;
            log.trim(older_than, pinned)
        });
        match done.await {
            Ok(kept) => {
                self.counts.checkpoints.increment(1);
                tracing::debug!(at, kept, "checkpoint written");
            }
            Err(e) => tracing::warn!(error = ?e, "the checkpoint was not written"),
        }
    }

    /// Everything as of a position, and the earliest record still needed.
    fn snapshot(&self) -> Result<(u64, Vec<u8>, u64)> {
        let core = self.core.lock();
        let at = self.log.end();
        self.next_checkpoint.store(at.saturating_add(self.config.checkpoint_bytes.0), Ordering::Relaxed);
        let waiting = [core.timers.earliest_record(), core.transactions.earliest_record()];
        let pinned = waiting.into_iter().flatten().min().unwrap_or(at);
        Ok((at, core.save(self.auth.snapshot())?, pinned))
    }

    /// Writes a checkpoint now. Blocks.
    pub(super) fn write_checkpoint(&self) -> Result<()> {
        let (at, state, _) = self.snapshot()?;
        self.log.write_checkpoint(at, &state)
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
