//! Consuming under lease: which messages a consumer of a group gets, and for how long they are its own.
//!
//! A delivery is made in three steps for each queue: look under the lock at what could be delivered, read it without
//! the lock, claim under the lock what is still free. A future that is dropped in between has claimed nothing; what is
//! claimed is returned without another await.

use super::log::{Item, stored};
use super::produce::{cost_of, unknown_topic};
use super::{Broker, Inner};
use crate::core::catalog::{Group, Topic};
use crate::core::progress::Until;
use crate::core::record::{Record, Taker};
use crate::core::state::{Core, start_offset};
use crate::receipts::Receipt;
use crate::{Lease, ReceiveRequest, StartAt};
use sluice_auth::{Action, Session};
use sluice_model::{
    Delivered, Error, ErrorKind, Filter, Millis, Offset, QueueId, Result, StoredMessage, TopicName,
};
use sluice_store::{Batch, Durability, LogQueue, Read, ReadLimits};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Index entries looked at for one queue and receive, when a filter skips most.
const MAX_EXAMINED: usize = 4096;
/// New messages read at once when a filter has to look inside them.
const LOOK_INSIDE: usize = 64;

/// Keeps leases alive: as long as it lives, deliveries leased to it are its own. Dropping it returns them at once,
/// without counting them as failed.
pub struct Holder {
    broker: Arc<Inner>,
    number: u64,
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Holder({})", self.number)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.broker.return_held(self.number);
    }
}

impl Broker {
    /// A holder for leases that last as long as a connection.
    pub fn holder(&self) -> Holder {
        let inner = self.0.by_itself(); // what it holds was given under a permit
        Holder { broker: Arc::clone(inner), number: inner.next_number.fetch_add(1, Ordering::Relaxed) }
    }

    /// Hands out messages of one topic under lease: those that came back first, in order, then new ones. Messages of
    /// this topic that wait in the group's retry topic are among them. Permits: Sub on the topic and on the group.
    ///
    /// Gives an empty list when nothing came within `wait`, or nothing may come because a quota is used up for longer. Cancel-safe: dropping the future leases nothing.
    ///
    /// # Errors
    /// `TopicNotFound` when the topic is unknown and may not be made; `Throttled` over a quota, for those who do not
    /// wait; `PermissionDenied`, also when the group is
    /// disabled; `Corrupt` when stored bytes are damaged.
    pub async fn receive(&self, session: &Session, request: &ReceiveRequest<'_>) -> Result<Vec<Delivered>> {
        self.receive_up_to(session, request, usize::MAX).await
    }

    /// The same, and at most so many bytes of records; one message is always returned.
    ///
    /// # Errors
    /// As for [`Broker::receive`].
    pub async fn receive_up_to(
        &self,
        session: &Session,
        request: &ReceiveRequest<'_>,
        max_bytes: usize,
    ) -> Result<Vec<Delivered>> {
        self.0.topic(session, &[Action::Sub], request.topic)?;
        let permit = self.0.group(session, &[Action::Sub], request.group)?;
        let inner = self.0.under(&permit);
        if request.max == 0 {
            return Err(Error::invalid("a receive asks for at least one message"));
        }
        if let Lease::For(time) | Lease::InOrder(time) = request.lease
            && (time.is_zero() || time > inner.config.max_lease.0)
        {
            return Err(Error::invalid(format!("a lease lasts from 1ms to {}", inner.config.max_lease)));
        }
        let _place = inner.auth.begin(session, Some(request.group))?;
        let Some(wait) = self.within_quota(session, Some(request.group), request.wait).await? else {
            return Ok(Vec::new());
        };
        let request = ReceiveRequest { wait, ..request.clone() };
        let got = inner.receive(&Asking { request: &request, taker: Taker::of(session), max_bytes }).await?;
        let cost = cost_of(got.iter().map(|delivered| &delivered.message.message));
        inner.auth.debit(session, cost);
        inner.auth.debit_group(request.group, cost);
        Ok(got)
    }
}

/// A receive, and who asks.
pub(super) struct Asking<'a> {
    request: &'a ReceiveRequest<'a>,
    pub(super) taker: Taker,
    max_bytes: usize,
}

impl<'a> Deref for Asking<'a> {
    type Target = ReceiveRequest<'a>;

    fn deref(&self) -> &ReceiveRequest<'a> {
        self.request
    }
}

/// Where a receive looks: one queue of the topic, or of the group's retry topic.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) topic: Arc<Topic>,
    pub(super) queue: QueueId,
    pub(super) log: LogQueue,
    retry: bool,
}

impl Source {
    /// Deliveries that failed before the message came to this queue: those of this group, if it is its retry topic. A
    /// dead letter that is read again starts anew.
    fn failed_before(&self, message: &StoredMessage) -> u32 {
        if self.retry { message.message.attempt } else { 0 }
    }
}

/// What could be delivered from a source.
struct Prospect {
    /// Deliveries that came back: first offset and how many follow it without a gap.
    returned: Vec<(Offset, usize)>,
    /// The cursor, when there may be messages after it and room in the window.
    cursor: Option<Offset>,
}

impl Inner {
    async fn receive(&self, request: &Asking<'_>) -> Result<Vec<Delivered>> {
        let deadline = Instant::now() + request.wait.min(self.config.max_wait.0);
        loop {
            let (group, sources) = self.sources(request)?;
            // Registered before looking, so that nothing arrives unseen.
            let waiting = match request.wait.is_zero() {
                true => None,
                false => Some(self.arrivals.wait_on(sources.iter().map(|s| s.log).collect())),
            };
            let mut got = Vec::new();
            let moved = self.receive_once(request, &group, &sources, &mut got).await?;
            if !got.is_empty() {
                self.counts.delivered.increment(got.len() as u64);
                return Ok(got);
            }
            if moved {
                // The filter passed over all that was read; there may be more.
                continue;
            }
            let Some(waiting) = waiting.filter(|_| Instant::now() < deadline) else { return Ok(got) };
            let until = self.next_return(&group, &sources).map_or(deadline, |t| deadline.min(t));
            let _ = tokio::time::timeout_at(until, waiting.arrival()).await;
        }
    }

    /// The group and the queues to look at, made when they are unknown and may be. A queue the group has never read
    /// gets its start now, so that what comes from here on is not missed.
    fn sources(&self, request: &Asking<'_>) -> Result<(Arc<Group>, Vec<Source>)> {
        let mut core = self.core.lock();
        let topic = match core.catalog.topic(request.topic) {
            Some(topic) => Arc::clone(topic),
            None if self.may_create(request.create) => {
                self.make_topic(&mut core, request.topic, request.create.unwrap_or(0))?
            }
            None => return Err(unknown_topic(request.topic)),
        };
        topic.check_readable()?;
        let group = self.group_or_new(&mut core, request.group, request.start)?;
        if !group.spec.enabled {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                format!("group {} may not consume", group.name),
            ));
        }
        let mut sources = each_source(&topic, false);
        if let Some(retry) = core.catalog.topic(&group.name.retry_topic()) {
            sources.extend(each_source(&Arc::clone(retry), true));
        }
        core.members.check_free(&group.name)?;
        self.start_queues(&mut core, &group, &topic, &sources)?;
        // Start at another queue each time, so that none waits behind a busy one; retries come first.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) as usize % topic.queues.len().max(1);
        sources[..topic.queues.len()].rotate_left(turn);
        sources.sort_by_key(|s| !s.retry);
        Ok((group, sources))
    }

    fn start_queues(&self, core: &mut Core, group: &Group, topic: &Topic, sources: &[Source]) -> Result<()> {
        let new: Vec<_> = sources.iter().filter(|s| core.progress(group.number, s.log).is_none()).collect();
        if new.is_empty() {
            return Ok(());
        }
        // A queue that was added to a topic the group reads already holds nothing the group has seen.
        let grown = topic.queues.iter().any(|q| core.progress(group.number, *q).is_some());
        let mut records = Vec::with_capacity(new.len());
        for source in new {
            let start = if grown || source.retry { StartAt::Earliest } else { group.spec.start };
            records.push(Record::Offset {
                group: group.number,
                queue: source.log.0,
                offset: self.start_of(source.log, start)?,
            });
        }
        let _ = self.record(core, &records, Durability::Async)?;
        Ok(())
    }

    /// Where `start` lies in a queue.
    pub(super) fn start_of(&self, queue: LogQueue, start: StartAt) -> Result<Offset> {
        let bounds = self.log.bounds(queue);
        let at_time = match start {
            StartAt::Time(time) => self.log.offset_at(queue, time)?,
            _ => 0,
        };
        Ok(start_offset(start, (bounds.min, bounds.next), |_| at_time))
    }

    /// Looks at each source once. True when a cursor moved.
    async fn receive_once(
        &self,
        request: &Asking<'_>,
        group: &Group,
        sources: &[Source],
        got: &mut Vec<Delivered>,
    ) -> Result<bool> {
        let max = request.max.min(self.config.max_fetch);
        let mut room = self.config.max_fetch_size.bytes().min(request.max_bytes).max(1);
        let mut moved = false;
        for source in sources {
            let in_order = group.spec.is_fifo() || matches!(request.lease, Lease::InOrder(_));
            if in_order && !source.retry {
                moved |= self.receive_in_order(request, group, source, got, &mut room).await?;
                if got.len() >= max || room == 0 {
                    return Ok(moved);
                }
                continue;
            }
            // In a retry topic messages of other topics may come first, and stay.
            let look_at = if source.retry { MAX_EXAMINED } else { max - got.len() };
            let prospect = self.prospect(group, source, look_at);
            for (mut offset, mut count) in prospect.returned {
                while count > 0 {
                    let limits = limits(count.min(max - got.len()), room, None);
                    let Some(batch) = self.read_for(got, source.log, offset, &limits).await? else {
                        return Ok(moved);
                    };
                    let read = batch.next.saturating_sub(offset);
                    // Nothing there means that retention took it, and that what follows it can be had.
                    moved |= batch.entries.is_empty() && read > 0;
                    // What is settled in place of being delivered leaves room for what follows it.
                    moved |=
                        self.claim(request, group, source, Some((offset, count)), batch, got, &mut room)?;
                    if got.len() >= max || room == 0 {
                        return Ok(moved);
                    }
                    let read = if read == 0 { count } else { count.min(read as usize) };
                    (offset, count) = (offset + read as u64, count - read);
                }
            }
            if let Some(cursor) = prospect.cursor {
                let hashes = if source.retry { None } else { request.filter.tag_hashes() };
                let wanted = max - got.len();
                let count = if request.filter.looks_inside() { wanted.max(LOOK_INSIDE) } else { wanted };
                let limits = limits(count, room, hashes.as_deref());
                let Some(batch) = self.read_for(got, source.log, cursor, &limits).await? else {
                    return Ok(moved);
                };
                moved |= batch.next > cursor;
                self.claim(request, group, source, None, batch, got, &mut room)?;
                if got.len() >= max || room == 0 {
                    return Ok(moved);
                }
            }
        }
        Ok(moved)
    }

    /// Reads; but once something is claimed, only what can be had without waiting.
    pub(super) async fn read_for(
        &self,
        got: &[Delivered],
        queue: LogQueue,
        from: Offset,
        limits: &ReadLimits<'_>,
    ) -> Result<Option<Batch>> {
        match self.log.read(queue, from, limits)? {
            Read::Ready(batch) => Ok(Some(batch)),
            Read::Cold(read) if got.is_empty() => super::log::blocking(read).await.map(Some),
            Read::Cold(_) => Ok(None),
        }
    }

    fn prospect(&self, group: &Group, source: &Source, max: usize) -> Prospect {
        let end = self.log.bounds(source.log).next;
        let now = self.clock.now();
        let mut core = self.core.lock();
        let Some(progress) = core.progress_mut(group.number, source.log) else {
            return Prospect { returned: Vec::new(), cursor: None };
        };
        let mut returned: Vec<(Offset, usize)> = Vec::new();
        for (offset, _) in progress.ready(now, max) {
            match returned.last_mut() {
                Some((first, count)) if *first + *count as u64 == offset => *count += 1,
                _ => returned.push((offset, 1)),
            }
        }
        let free = progress.window() < self.config.max_in_flight;
        let cursor = (free && progress.next() < end).then(|| progress.next());
        Prospect { returned, cursor }
    }

    /// Leases what is still free of a batch, and passes over what the consumer does not want. True when deliveries that
    /// came back were settled in place of being made.
    #[allow(clippy::too_many_arguments, reason = "one step of receive_once, with its state")]
    fn claim(
        &self,
        request: &Asking<'_>,
        group: &Group,
        source: &Source,
        returned: Option<(Offset, usize)>,
        batch: Batch,
        got: &mut Vec<Delivered>,
        room: &mut usize,
    ) -> Result<bool> {
        let now = self.clock.now();
        let mut core = self.core.lock();
        let until = until(request.lease, now);
        let mut claim = Claim::new(self, &mut core, group, source, returned, until, now);
        let wanted = request.max.min(self.config.max_fetch) - got.len();
        let mut next = batch.next;
        let mut left = *room;
        for entry in batch.entries {
            let (offset, size) = (entry.offset, entry.size as usize);
            let something = !got.is_empty() || !claim.chosen.is_empty();
            if claim.chosen.len() == wanted || something && size > left {
                next = offset;
                // The others are not asked for what is smaller: it would overtake.
                *room = if claim.chosen.len() == wanted { *room } else { 0 };
                break;
            }
            let message = stored(&source.topic, source.queue, entry)?;
            let before = claim.chosen.len();
            claim.consider(message, request.topic, request.filter)?;
            left = left.saturating_sub(if claim.chosen.len() > before { size } else { 0 });
        }
        claim.finish(next, &request.taker, got, room)
    }

    /// When a delivery may come back by itself.
    fn next_return(&self, group: &Group, sources: &[Source]) -> Option<Instant> {
        let core = self.core.lock();
        let next = sources.iter().filter_map(|s| core.progress(group.number, s.log)?.next_due()).min()?;
        // One more millisecond, so that the clock has surely passed it.
        Some(Instant::now() + Duration::from_millis(next.saturating_sub(self.clock.now()) + 1))
    }

    fn return_held(&self, holder: u64) {
        let mut core = self.core.lock();
        let held = core.held_by(holder);
        let mut queues = Vec::with_capacity(held.len());
        for (group, queue, deliveries) in held {
            let returns = deliveries.into_iter().map(|(offset, attempt)| Record::Returned {
                group,
                queue: queue.0,
                offset,
                visible_at: 0,
                attempt: attempt.saturating_sub(1),
            });
            let records: Vec<_> = returns.collect();
            if self.record(&mut core, &records, Durability::Async).is_err() {
                // The log has failed. In memory they come back all the same; after a restart they do in any case.
                for record in &records {
                    core.apply(record);
                }
            }
            queues.push(queue);
        }
        drop(core);
        self.arrivals.arrived(&queues);
    }
}

/// When a lease that begins now ends.
pub(super) fn until(lease: Lease<'_>, now: Millis) -> Until {
    match lease {
        Lease::For(time) | Lease::InOrder(time) => Until::Time(now + time.as_millis() as u64),
        Lease::Held(holder) => Until::Holder(holder.number),
    }
}

fn each_source(topic: &Arc<Topic>, retry: bool) -> Vec<Source> {
    topic.each_queue().map(|(queue, log)| Source { topic: Arc::clone(topic), queue, log, retry }).collect()
}

fn limits(max_count: usize, max_bytes: usize, tag_hashes: Option<&[u32]>) -> ReadLimits<'_> {
    ReadLimits { max_count, max_bytes, max_examined: MAX_EXAMINED, tag_hashes }
}

/// One batch being claimed for one consumer, under the core's lock.
struct Claim<'a> {
    broker: &'a Inner,
    core: &'a mut Core,
    group: &'a Group,
    source: &'a Source,
    /// Set when the batch is a run of deliveries that came back, and not new ones at the cursor.
    returned: Option<(Offset, usize)>,
    until: Until,
    now: Millis,
    lease: u64,
    max_attempts: u32,
    chosen: Vec<(StoredMessage, u32)>,
    /// Deliveries of other topics in the retry topic: they stay, for a receive of theirs.
    left: Vec<Offset>,
    /// Came back, and are not to be delivered again: expired, not wanted.
    dropped: Vec<Offset>,
    /// Out of attempts.
    dead: Vec<(StoredMessage, u32)>,
    /// Offsets of the run that were read.
    seen: Vec<Offset>,
}

impl<'a> Claim<'a> {
    fn new(
        broker: &'a Inner,
        core: &'a mut Core,
        group: &'a Group,
        source: &'a Source,
        returned: Option<(Offset, usize)>,
        until: Until,
        now: Millis,
    ) -> Self {
        let lease = core.new_lease();
        let max_attempts = broker.max_attempts(group);
        Self {
            broker,
            core,
            group,
            source,
            returned,
            until,
            now,
            lease,
            max_attempts,
            chosen: Vec::new(),
            left: Vec::new(),
            dropped: Vec::new(),
            dead: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn is_ready(&self, offset: Offset) -> bool {
        self.core.progress(self.group.number, self.source.log).is_some_and(|p| p.is_ready(offset))
    }

    /// Sorts one message: to be delivered, passed over, left, or dead.
    fn consider(&mut self, message: StoredMessage, topic: &TopicName, filter: &Filter) -> Result<()> {
        let offset = message.offset;
        let Some(progress) = self.core.progress(self.group.number, self.source.log) else { return Ok(()) };
        let before = match self.returned {
            Some((first, count)) if !(first..first + count as u64).contains(&offset) => return Ok(()),
            Some(_) => match progress.is_ready(offset).then(|| progress.attempts(offset)).flatten() {
                Some(attempts) => attempts,
                None => return Ok(()),
            },
            // Another consumer was faster.
            None if offset < progress.next() => return Ok(()),
            None => 0,
        };
        self.seen.push(offset);
        let expired = message.message.expires_at.is_some_and(|at| at <= self.now);
        if self.source.retry && message.original_topic() != topic {
            self.left.push(offset);
        } else if expired || !filter.matches(&message.message) {
            self.dropped.push(offset);
        } else if self.source.failed_before(&message) + before >= self.max_attempts {
            self.dead.push((message, before));
        } else {
            self.chosen.push((message, before + 1));
        }
        Ok(())
    }

    /// Writes the lease and everything else that the batch amounts to, and hands the deliveries over.
    fn finish(self, next: Offset, taker: &Taker, got: &mut Vec<Delivered>, room: &mut usize) -> Result<bool> {
        let (group, queue) = (self.group.number, self.source.log);
        let (dead_queue, dead) = self.broker.dead_letters(self.core, self.group, &self.dead)?;
        let mut records = Vec::new();
        match self.returned {
            // What retention took cannot come back: a read below the first offset kept finds nothing, and says where to go on.
            Some((first, count)) if next > first && self.seen.is_empty() => {
                let trimmed = (first..next.min(first + count as u64)).filter(|o| self.is_ready(*o));
                records.extend(trimmed.map(|offset| Record::Settled { group, queue: queue.0, offset }));
            }
            Some(_) => {
                let gone = self.dropped.iter().copied().chain(self.dead.iter().map(|(m, _)| m.offset));
                records.extend(gone.map(|offset| Record::Settled { group, queue: queue.0, offset }));
            }
            None => records.extend(self.left.iter().map(|offset| Record::Returned {
                group,
                queue: queue.0,
                offset: *offset,
                visible_at: 0,
                attempt: 0,
            })),
        }
        let deliveries: Vec<(Offset, u32)> =
            self.chosen.iter().map(|(m, attempt)| (m.offset, *attempt)).collect();
        let cursor = self.core.progress(group, queue).map_or(next, |p| p.next());
        let next = if self.returned.is_some() { cursor } else { next.max(cursor) };
        let lease = Record::Lease {
            group,
            queue: queue.0,
            next,
            until: match self.until {
                Until::Time(time) => time,
                Until::Holder(_) => 0,
            },
            lease: self.lease,
            deliveries,
            taker: Some(taker.clone()),
        };
        let settled = records.iter().any(|record| matches!(record, Record::Settled { .. }));
        let Record::Lease { deliveries, .. } = &lease else { return Ok(false) };
        if deliveries.is_empty() && records.is_empty() && next == cursor {
            return Ok(false);
        }
        let copies = dead.iter().map(|message| Item::Message(dead_queue, message));
        let items: Vec<_> = copies.chain(records.iter().chain([&lease]).map(Item::Record)).collect();
        // Losing a lease record in a crash only brings the message again: nobody waits for it.
        let _ = self.broker.append(&items, self.now, Durability::Async, true)?;
        self.broker.counts.dead_lettered.increment(dead.len() as u64);
        for record in &records {
            self.core.apply(record);
        }
        self.core.lease(group, queue, next, Some(self.until), self.lease, deliveries);
        let key = self.core.receipt_key.clone();
        for (message, attempt) in self.chosen {
            *room = room.saturating_sub(message.size as usize);
            let receipt = Receipt { group, queue, offset: message.offset, lease: self.lease }.seal(&key);
            let attempt = self.source.failed_before(&message) + attempt;
            let redelivered = self.returned.is_some() || attempt > 1;
            let invisible_until = match self.until {
                Until::Time(time) => time,
                Until::Holder(_) => Millis::MAX,
            };
            got.push(Delivered { message, receipt, attempt, redelivered, invisible_until });
        }
        Ok(settled)
    }
}
