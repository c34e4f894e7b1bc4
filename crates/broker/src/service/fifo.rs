//! Consuming in order under lease: of each ordering group one delivery at a time, or, for who leases whole ordering
//! groups, one run of deliveries at a time.
//!
//! The one idea to know: nothing more is stored than for any group. The window's cells tell what is outstanding, and
//! the messages themselves tell whose ordering group that is; so each receive reads on from the first unsettled message
//! and takes the first of every ordering group that is free. What it passes over stays, as a delivery that came back.

use super::Inner;
use super::log::{Item, stored};
use super::receive::{Asking, Source, until};
use crate::Lease;
use crate::core::catalog::Group;
use crate::core::progress::{GroupQueue, Until};
use crate::core::record::{Record, Taker};
use crate::receipts::Receipt;
use bytestring::ByteString;
use sluice_model::{Delivered, Error, Millis, Offset, Result, StoredMessage};
use sluice_store::{Batch, Durability, ReadLimits};
use std::collections::HashSet;

/// Messages looked at from the first unsettled one on. An ordering group that is stuck holds up the others only when so
/// many messages wait behind it.
const LOOK_AT: usize = 1024;
/// Bytes of them.
const LOOK_AT_BYTES: usize = 32 << 20;

/// What keeps a message behind others. Who leases whole ordering groups keeps those without one in order, too: the empty
/// name stands for them.
fn ordering_group(message: &StoredMessage, whole: bool) -> Option<ByteString> {
    message.message.ordering_group.clone().or_else(|| whole.then(ByteString::new))
}

/// What becomes of the messages of one look, before it is written.
#[derive(Default)]
struct Look {
    /// With how often each has been delivered, this time counted.
    chosen: Vec<(StoredMessage, u32)>,
    dead: Vec<(StoredMessage, u32)>,
    /// New ones that wait for another of their ordering group.
    left: Vec<Offset>,
    /// Came back, and are not to be delivered again.
    settled: Vec<Offset>,
    /// The cursor afterwards.
    next: Offset,
    /// Who asks.
    taker: Option<Taker>,
}

impl Inner {
    /// Leases what may be delivered of one queue. True when something was settled or passed over.
    pub(super) async fn receive_in_order(
        &self,
        request: &Asking<'_>,
        group: &Group,
        source: &Source,
        got: &mut Vec<Delivered>,
        room: &mut usize,
    ) -> Result<bool> {
        let end = self.log.bounds(source.log).next;
        let Some(from) = self.core.lock().progress(group.number, source.log).map(GroupQueue::committed)
        else {
            return Ok(false);
        };
        if from >= end {
            return Ok(false);
        }
        let Some((batch, failed)) = self.look_at(got, source, from, end).await? else { return Ok(false) };
        let moved = self.claim_in_order(request, group, source, from, batch, got, room)?;
        match failed {
            Some(error) if got.is_empty() && !moved => Err(error),
            _ => Ok(moved),
        }
    }

    /// Reads what is looked at. One read ends with its segment, and an ordering group that is stuck there must not hold up
    /// those that lie behind. Why what follows cannot be read is told when nothing before it could be had.
    async fn look_at(
        &self,
        got: &[Delivered],
        source: &Source,
        from: Offset,
        end: Offset,
    ) -> Result<Option<(Batch, Option<Error>)>> {
        let limits = |count: usize, bytes: usize| ReadLimits {
            max_count: LOOK_AT - count,
            max_bytes: LOOK_AT_BYTES - bytes,
            max_examined: LOOK_AT - count,
            tag_hashes: None,
        };
        let Some(mut batch) = self.read_for(got, source.log, from, &limits(0, 0)).await? else {
            return Ok(None);
        };
        loop {
            let (count, bytes) =
                (batch.entries.len(), batch.entries.iter().map(|entry| entry.size as usize).sum());
            if batch.next >= end || count >= LOOK_AT || bytes >= LOOK_AT_BYTES {
                return Ok(Some((batch, None)));
            }
            match self.read_for(got, source.log, batch.next, &limits(count, bytes)).await {
                Ok(Some(more)) if more.next > batch.next => {
                    batch.next = more.next;
                    batch.entries.extend(more.entries);
                }
                Ok(_) => return Ok(Some((batch, None))),
                Err(error) => return Ok(Some((batch, Some(error)))),
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one step of receive_in_order, with its state")]
    fn claim_in_order(
        &self,
        request: &Asking<'_>,
        group: &Group,
        source: &Source,
        from: Offset,
        batch: Batch,
        got: &mut Vec<Delivered>,
        room: &mut usize,
    ) -> Result<bool> {
        let now = self.clock.now();
        let behind = batch.next;
        let first = batch.entries.first().map_or(behind, |entry| entry.offset);
        let entries = batch.entries.into_iter();
        let messages = entries.map(|entry| stored(&source.topic, source.queue, entry));
        let messages = messages.collect::<Result<Vec<_>>>()?;
        let mut core = self.core.lock();
        let id = core.new_lease();
        let Some(progress) = core.progress_mut(group.number, source.log) else { return Ok(false) };
        progress.ready(now, 0); // notes what has become deliverable
        if matches!(request.lease, Lease::InOrder(_)) {
            progress.leased_in_order();
        }
        if progress.committed() < from {
            return Ok(true); // the group was moved back meanwhile
        }
        if progress.is_out_from(behind) {
            return Ok(false); // of which ordering group that is, was not read
        }
        let cursor = progress.next();
        let wanted = request.max.min(self.config.max_fetch) - got.len();
        let mut look =
            Look { next: cursor.max(first), taker: Some(request.taker.clone()), ..Look::default() };
        // What retention took cannot come back.
        look.settled.extend((from..first).filter(|offset| progress.is_ready(*offset)));
        let max_attempts = self.max_attempts(group);
        self.choose(progress, messages, request, (wanted, *room), max_attempts, now, &mut look);
        look.left.retain(|offset| *offset < look.next);
        let until = until(request.lease, now);
        let moved = !look.settled.is_empty() || look.next > cursor;
        if look.chosen.is_empty() && look.dead.is_empty() && !moved {
            return Ok(false);
        }
        self.write_look(&mut core, group, source, &look, (id, until), now)?;
        let key = core.receipt_key.clone();
        for (message, attempt) in look.chosen {
            *room = room.saturating_sub(message.size as usize);
            let receipt =
                Receipt { group: group.number, queue: source.log, offset: message.offset, lease: id };
            let invisible_until = match until {
                Until::Time(time) => time,
                Until::Holder(_) => Millis::MAX,
            };
            let (receipt, redelivered) = (receipt.seal(&key), attempt > 1);
            got.push(Delivered { message, receipt, attempt, redelivered, invisible_until });
        }
        Ok(moved)
    }

    /// Takes the first message of every ordering group that has none outstanding, or the first ones.
    #[allow(clippy::too_many_arguments, reason = "one step of claim_in_order, with its state")]
    fn choose(
        &self,
        progress: &GroupQueue,
        messages: Vec<StoredMessage>,
        request: &Asking<'_>,
        (wanted, mut room): (usize, usize),
        max_attempts: u32,
        now: Millis,
        look: &mut Look,
    ) {
        let cursor = progress.next();
        let is_out = |offset| progress.attempts(offset).is_some() && !progress.is_ready(offset);
        let out = messages.iter().filter(|m| is_out(m.offset));
        let whole = matches!(request.lease, Lease::InOrder(_));
        let mut busy: HashSet<ByteString> = out.filter_map(|m| ordering_group(m, whole)).collect();
        let free = self.config.max_in_flight.saturating_sub(progress.window());
        for message in messages {
            if look.chosen.len() == wanted || room == 0 {
                return;
            }
            let offset = message.offset;
            let new = offset >= cursor;
            let before = match progress.attempts(offset) {
                Some(before) if progress.is_ready(offset) => before,
                None if new && look.chosen.len() + look.left.len() < free => 0,
                None if new => return,
                _ => continue, // outstanding, or consumed
            };
            let expired = message.message.expires_at.is_some_and(|at| at <= now);
            if expired || !request.filter.matches(&message.message) {
                if !new {
                    look.settled.push(offset);
                }
            } else if ordering_group(&message, whole).is_some_and(|group| busy.contains(&group)) {
                if new {
                    look.left.push(offset);
                }
                continue;
            } else if before >= max_attempts {
                if !new {
                    look.settled.push(offset);
                }
                look.dead.push((message, before));
            } else {
                if !whole {
                    busy.extend(ordering_group(&message, whole));
                }
                room = room.saturating_sub(message.size as usize);
                look.chosen.push((message, before + 1));
            }
            look.next = look.next.max(if new { offset + 1 } else { 0 });
        }
    }

    fn write_look(
        &self,
        core: &mut crate::core::state::Core,
        group: &Group,
        source: &Source,
        look: &Look,
        (lease, until): (u64, Until),
        now: Millis,
    ) -> Result<()> {
        let (number, queue) = (group.number, source.log.0);
        let (dead_queue, dead) = self.dead_letters(core, group, &look.dead)?;
        let left = look.left.iter().map(|offset| Record::Returned {
            group: number,
            queue,
            offset: *offset,
            visible_at: 0,
            attempt: 0,
        });
        let settled =
            look.settled.iter().map(|offset| Record::Settled { group: number, queue, offset: *offset });
        let records: Vec<_> = left.chain(settled).collect();
        let deliveries: Vec<_> =
            look.chosen.iter().map(|(message, attempt)| (message.offset, *attempt)).collect();
        let ends = match until {
            Until::Time(time) => time,
            Until::Holder(_) => 0,
        };
        let taken = Record::Lease {
            group: number,
            queue,
            next: look.next,
            until: ends,
            lease,
            deliveries: deliveries.clone(),
            taker: look.taker.clone(),
        };
        let copies = dead.iter().map(|message| Item::Message(dead_queue, message));
        let items: Vec<_> = copies.chain(records.iter().chain([&taken]).map(Item::Record)).collect();
        // As for every lease: losing it in a crash only brings the messages again.
        let _ = self.append(&items, now, Durability::Async, true)?;
        self.counts.dead_lettered.increment(dead.len() as u64);
        for record in &records {
            core.apply(record);
        }
        core.lease(number, source.log, look.next, Some(until), lease, &deliveries);
        Ok(())
    }
}
