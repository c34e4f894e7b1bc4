//! Settling deliveries: consumed, failed, given back, kept longer, dead.

use super::log::{Item, stored};
use super::{Broker, Inner};
use crate::core::catalog::Group;
use crate::core::record::Record;
use crate::core::state::Core;
use crate::receipts::Receipt;
use crate::{Extended, Promise};
use foldhash::fast::RandomState;
use sluice_auth::{Action, Resource, Session};
use sluice_model::{Error, ErrorKind, Millis, ReceiptHandle, Result, StoredMessage};
use sluice_store::{Done, Durability, LogQueue, Read, ReadLimits};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// What a nack without a delay of a group without steps waits.
const NO_DELAY: Duration = Duration::ZERO;
/// Settled under one lock.
const AT_ONCE: usize = 256;

impl Broker {
    /// The state, for handles: `held` asks for the permit, once the handle has told the group.
    fn settling(&self) -> &Inner {
        self.0.by_itself()
    }

    /// Settles a delivery as consumed. Permit (as for everything here): Sub on the delivery's group.
    ///
    /// An acknowledgement that a power cut loses brings the message again; it never loses one.
    ///
    /// # Errors
    /// `InvalidArgument` for a text that is no handle; `ReceiptExpired` when the lease has ended or the delivery is
    /// settled already.
    pub fn ack(&self, session: &Session, receipt: &ReceiptHandle) -> Result<Promise<()>> {
        let (mut core, held) = self.settling().held(session, receipt)?;
        let settled = [held.settled()];
        let ticket = self.settling().record(&mut core, &settled, Durability::Async)?;
        self.settling().wake_in_order(&core, &settled);
        self.settling().counts.settled.increment(1);
        Ok(Promise::new(ticket.done, ()))
    }

    /// Settles several deliveries as consumed, each for itself as [`Broker::ack`] does, but in one step of the log. Says of
    /// each, in order, whether it was held; of one that is named twice, the first time.
    ///
    /// # Errors
    /// Of all of them: what the log says. Of one: as for [`Broker::ack`].
    pub fn ack_all(&self, session: &Session, receipts: &[ReceiptHandle]) -> Result<Promise<Vec<Result<()>>>> {
        let inner = self.settling();
        let mut outcomes = Vec::with_capacity(receipts.len());
        let mut last = None;
        for some in receipts.chunks(AT_ONCE) {
            let (mut core, now) = (inner.core.lock(), inner.clock.now());
            let mut settled = Vec::with_capacity(some.len());
            let mut seen = HashSet::with_capacity_and_hasher(some.len(), RandomState::default());
            for handle in some {
                let held = inner.held_in(&core, session, handle, now);
                let held = held.and_then(|held| {
                    let Receipt { group, queue, offset, .. } = held.receipt;
                    if seen.insert((group, queue, offset)) { Ok(held) } else { Err(expired()) }
                });
                outcomes.push(held.map(|held| settled.push(held.settled())));
            }
            if settled.is_empty() {
                continue;
            }
            last = Some(inner.record(&mut core, &settled, Durability::Async)?.done);
            inner.wake_in_order(&core, &settled);
            inner.counts.settled.increment(settled.len() as u64);
        }
        // What the last one waits for comes behind all before it.
        Ok(match last {
            Some(done) => Promise::new(done, outcomes),
            None => Promise::kept(outcomes),
        })
    }

    /// Gives a delivery back as failed: it is delivered again after `delay` (`None`: the group's step, else at once), or
    /// goes to the dead-letter topic when it was the last attempt.
    ///
    /// # Errors
    /// As for [`Broker::ack`].
    pub fn nack(
        &self,
        session: &Session,
        receipt: &ReceiptHandle,
        delay: Option<Duration>,
    ) -> Result<Promise<()>> {
        let (mut core, held) = self.settling().held(session, receipt)?;
        if held.attempt >= self.settling().max_attempts(&held.group)
            && let Some(message) = self.settling().in_memory(&core, &held)?
        {
            let done = self.settling().bury(&mut core, &held, message, "no attempts left")?;
            return Ok(Promise::new(done, ()));
        }
        // A last attempt whose message is not in memory: the next receive buries it in place of delivering it.
        let delay = delay.or_else(|| Inner::step(&held.group, held.attempt)).unwrap_or(NO_DELAY);
        let delay = delay.min(self.settling().config.max_lease.0).as_millis() as u64;
        let visible_at = if delay == 0 { 0 } else { self.now() + delay };
        self.settling().put_back(&mut core, &held, visible_at, held.attempt)
    }

    /// Gives a delivery back untouched, at once, without counting it as an attempt.
    ///
    /// # Errors
    /// As for [`Broker::ack`].
    pub fn release(&self, session: &Session, receipt: &ReceiptHandle) -> Result<Promise<()>> {
        let (mut core, held) = self.settling().held(session, receipt)?;
        self.settling().put_back(&mut core, &held, 0, held.attempt.saturating_sub(1))
    }

    /// Sets the lease's end to `lease` from now. A lease that ends with its holder ends at that time from now on.
    ///
    /// # Errors
    /// As for [`Broker::ack`]; `InvalidArgument` for a lease over the limit.
    pub fn change_invisible(
        &self,
        session: &Session,
        receipt: &ReceiptHandle,
        lease: Duration,
    ) -> Result<Promise<Extended>> {
        if lease.is_zero() || lease > self.settling().config.max_lease.0 {
            return Err(Error::invalid(format!(
                "a lease lasts from 1ms to {}",
                self.settling().config.max_lease
            )));
        }
        let until = self.now() + lease.as_millis() as u64;
        let (mut core, held) = self.settling().held(session, receipt)?;
        let lease = core.new_lease();
        let Receipt { group, queue, offset, .. } = held.receipt;
        let record = Record::Extended { group, queue: queue.0, offset, until, lease };
        let ticket = self.settling().record(&mut core, &[record], Durability::Async)?;
        let receipt = Receipt { lease, ..held.receipt }.seal(&core.receipt_key);
        Ok(Promise::new(ticket.done, Extended { receipt, until }))
    }

    /// Sends a delivery to the group's dead-letter topic and settles it, as one atomic group.
    ///
    /// # Errors
    /// As for [`Broker::ack`]; `MessageNotFound` when the message is no longer kept.
    pub async fn dead_letter(&self, session: &Session, receipt: &ReceiptHandle, reason: &str) -> Result<()> {
        let (queue, offset) = {
            let (_core, held) = self.settling().held(session, receipt)?;
            (held.receipt.queue, held.receipt.offset)
        };
        let message = self.settling().message_in(queue, offset).await?;
        let done = {
            let (mut core, held) = self.settling().held(session, receipt)?;
            self.settling().bury(&mut core, &held, message, reason)?
        };
        done.await
    }
}

/// A delivery whose lease holds.
pub(super) struct Held {
    receipt: Receipt,
    group: Arc<Group>,
    attempt: u32,
}

impl Held {
    fn settled(&self) -> Record {
        let Receipt { group, queue, offset, .. } = self.receipt;
        Record::Settled { group, queue: queue.0, offset }
    }
}

type CoreGuard<'a> = parking_lot::MutexGuard<'a, Core>;

impl Inner {
    /// Opens a handle, asks for the permit, and looks whether the lease holds.
    fn held(&self, session: &Session, handle: &ReceiptHandle) -> Result<(CoreGuard<'_>, Held)> {
        let core = self.core.lock();
        let held = self.held_in(&core, session, handle, self.clock.now())?;
        Ok((core, held))
    }

    fn held_in(&self, core: &Core, session: &Session, handle: &ReceiptHandle, now: Millis) -> Result<Held> {
        let receipt = Receipt::open(&core.receipt_key, handle)?;
        let group = core.catalog.group_by_number(receipt.group).cloned().ok_or_else(expired)?;
        self.permit(session, &[Action::Sub], Resource::Group(&group.name))?;
        let progress = core.progress(receipt.group, receipt.queue).ok_or_else(expired)?;
        let attempt = progress.held(receipt.offset, receipt.lease, now).ok_or_else(expired)?;
        Ok(Held { receipt, group, attempt })
    }

    /// What settles these deliveries, for an atomic step.
    pub(super) fn settlements(
        &self,
        session: &Session,
        handles: &[ReceiptHandle],
        now: Millis,
    ) -> Result<Vec<Record>> {
        let core = self.core.lock();
        handles.iter().map(|h| Ok(self.held_in(&core, session, h, now)?.settled())).collect()
    }

    /// Refuses a step whose deliveries were settled by someone else since they were looked at.
    pub(super) fn still_held(&self, core: &Core, settled: &[Record]) -> Result<()> {
        let open = settled.iter().all(|record| match record {
            Record::Settled { group, queue, offset } => core
                .progress(*group, LogQueue(*queue))
                .is_some_and(|p| p.attempts(*offset).is_some() && !p.is_ready(*offset)),
            _ => true,
        });
        if open { Ok(()) } else { Err(expired()) }
    }

    /// Consumers in order wait for a settlement as others do for a message.
    pub(super) fn wake_in_order(&self, core: &Core, settled: &[Record]) {
        let freed = settled.iter().filter_map(|record| match record {
            Record::Settled { group, queue, .. } => {
                let queue = LogQueue(*queue);
                let leased_in_order = || core.progress(*group, queue).is_some_and(|p| p.is_in_order());
                let in_order = core.catalog.group_by_number(*group)?.spec.is_fifo() || leased_in_order();
                in_order.then_some(queue)
            }
            _ => None,
        });
        let freed: Vec<_> = freed.collect();
        if !freed.is_empty() {
            self.arrivals.arrived(&freed);
        }
    }

    /// The message of a delivery, when it can be had without waiting.
    fn in_memory(&self, core: &Core, held: &Held) -> Result<Option<StoredMessage>> {
        let Receipt { queue, offset, .. } = held.receipt;
        let limits = ReadLimits { max_count: 1, max_bytes: usize::MAX, max_examined: 1, tag_hashes: None };
        let (Read::Ready(batch), Some((topic, id))) =
            (self.log.read(queue, offset, &limits)?, core.catalog.owner(queue))
        else {
            return Ok(None);
        };
        batch.entries.into_iter().find(|e| e.offset == offset).map(|e| stored(topic, id, e)).transpose()
    }

    /// Moves a delivery to the dead-letter topic and settles it, as one atomic group.
    fn bury(&self, core: &mut Core, held: &Held, message: StoredMessage, reason: &str) -> Result<Done> {
        let (queue, copies) = self.dead_letters_for(core, &held.group, &[(message, held.attempt)], reason)?;
        let settled = held.settled();
        let copies_made = copies.len() as u64;
        let copies = copies.iter().map(|m| Item::Message(queue, m));
        let items: Vec<_> = copies.chain([Item::Record(&settled)]).collect();
        let ticket = self.append(&items, self.clock.now(), Durability::Sync, true)?;
        self.carry_out(core.apply(&settled));
        self.wake_in_order(core, std::slice::from_ref(&settled));
        self.counts.dead_lettered.increment(copies_made);
        Ok(ticket.done)
    }

    fn put_back(
        &self,
        core: &mut Core,
        held: &Held,
        visible_at: Millis,
        attempt: u32,
    ) -> Result<Promise<()>> {
        let Receipt { group, queue, offset, .. } = held.receipt;
        let record = Record::Returned { group, queue: queue.0, offset, visible_at, attempt };
        let ticket = self.record(core, &[record], Durability::Async)?;
        self.counts.returned.increment(1);
        // Waiting receives look again: at once, or to wait for the new time.
        self.arrivals.arrived(&[queue]);
        Ok(Promise::new(ticket.done, ()))
    }
}

fn expired() -> Error {
    Error::new(ErrorKind::ReceiptExpired, "the delivery's lease has ended, or it is settled already")
}
