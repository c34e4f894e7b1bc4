//! Batches as their producer packed them: sending one, and reading them as they are.
//!
//! The one idea to know: the broker does not look into a batch; whoever brings it says what the rules are about, and the
//! rules are the same as for messages that come one by one. How everybody else reads them is [`crate::packed`].

use super::log::{read_from, stored};
use super::produce::{Plan, check_sizes, cost_of};
use super::producers::end_of;
use super::read::expired;
use super::{Broker, Inner};
use crate::core::catalog::Topic;
use crate::core::spans::MARKER;
use crate::packed::{Head, MAX_LSN};
use crate::{BatchFormat, LogBounds, Packed, PackedBatch, PackedPull, PulledPacked, Reach, SendRequest};
use sluice_auth::{Action, Cost, Permit, Session};
use sluice_model::{Error, ErrorKind, MessageType, Millis, Result};
use sluice_store::{Content, Payload, ReadLimits};
use std::sync::Arc;

/// How far from the last position there may be batches at the sender's end have to do without: what is on its way.
const MARGIN: u64 = 1 << 40;

/// A batch ready for the log.
pub(super) struct PlannedBatch {
    pub(super) batch: PackedBatch,
    keys: Vec<u64>,
    head: Vec<u8>,
}

impl PlannedBatch {
    pub(super) fn payload(&self) -> Payload<'_> {
        let PackedBatch { encoding, count, newest, bytes, .. } = &self.batch;
        Payload::Batch {
            encoding: *encoding,
            count: *count,
            newest: *newest,
            keys: &self.keys,
            head: &self.head,
            bytes,
        }
    }
}

impl Broker {
    /// Tells what batches of an encoding mean, so that those in the log can be read.
    pub fn know_batches(&self, format: Arc<dyn BatchFormat>) {
        self.0.by_itself().formats.add(format); // nobody's data: no permit
    }

    /// Whether batches may still be stored as they are: until a log has come further than any does in practice.
    pub fn takes_packed(&self) -> bool {
        self.0.by_itself().log.end() < MAX_LSN - MARGIN // nobody's data: no permit
    }

    /// Reads from a queue at an offset, batches as they were stored. A batch that begins before the offset and has it is
    /// given whole. An offset outside the bounds gives nothing and `next` at the nearest bound. Permits: Sub or Get on the
    /// topic, and Sub on the group when one is named.
    ///
    /// # Errors
    /// As for [`Broker::pull`].
    pub async fn pull_packed(&self, session: &Session, request: &PackedPull<'_>) -> Result<PulledPacked> {
        let permit = self.0.topic(session, &[Action::Sub, Action::Get], request.topic)?;
        if let Some(group) = request.group {
            self.0.group(session, &[Action::Sub], group)?;
        }
        let inner = self.0.under(&permit);
        let _place = inner.auth.begin(session, request.group)?;
        inner.auth.charge(session, Cost::default())?;
        request.group.map_or(Ok(()), |group| inner.auth.charge_group(group))?;
        let (topic, queue) = inner.queue_of(request.topic, request.queue)?;
        topic.check_readable()?;
        // It is the bytes that bound an answer: what is many and small is read at once.
        let max = request.max.clamp(1, PackedBatch::MAX_COUNT.max(inner.config.max_fetch));
        let limits = ReadLimits {
            max_count: max,
            max_bytes: request.max_bytes.min(inner.config.max_fetch_size.bytes()),
            max_examined: max,
            tag_hashes: None,
        };
        let log = match request.reach {
            Reach::Decided => &*inner.packed,
            Reach::Everything => &*inner.whole,
        };
        let batch = read_from(log, queue, request.offset, &limits).await?;
        let consumed_at = request.group.map(|_| inner.clock.now());
        let (mut parts, mut cost) = (Vec::with_capacity(batch.entries.len()), Cost::default());
        for entry in batch.entries {
            let one = match entry.content {
                Content::Batch { encoding: MARKER, .. } => match end_of(&entry) {
                    Some(end) => Packed::End(end),
                    None => {
                        return Err(Error::new(
                            ErrorKind::Corrupt,
                            "the end of a transaction is not readable",
                        ));
                    }
                },
                Content::Batch { encoding, bytes, .. } => {
                    let (offset, count) = (entry.offset, entry.count);
                    cost = add(cost, Cost { messages: u64::from(count), bytes: bytes.len() as u64 });
                    Packed::Batch { encoding, offset, count, bytes }
                }
                _ => {
                    let message = stored(&topic, request.queue, entry)?;
                    if consumed_at.is_some_and(|now| expired(&message.message, now)) {
                        continue;
                    }
                    cost = add(cost, cost_of([&message.message]));
                    Packed::Message(Box::new(message))
                }
            };
            parts.push(one);
        }
        inner.counts.pulled.increment(cost.messages);
        inner.auth.debit(session, cost);
        if let Some(group) = request.group {
            inner.auth.debit_group(group, cost);
        }
        let LogBounds { min, stable, end } = inner.whole_bounds(queue);
        let aborted = inner.aborted(queue, request.offset, batch.next);
        Ok(PulledPacked { parts, next: batch.next, min, stable, max: end, aborted })
    }
}

fn add(a: Cost, b: Cost) -> Cost {
    Cost { messages: a.messages + b.messages, bytes: a.bytes + b.bytes }
}

impl Inner {
    /// Decides where a batch goes, and refuses what may not be stored.
    pub(super) fn plan_packed(
        &self,
        permit: &Permit<'_>,
        topic: &Arc<Topic>,
        request: SendRequest,
        mut batch: PackedBatch,
        now: Millis,
    ) -> Result<Plan> {
        let config = &self.config;
        if batch.count == 0 || usize::from(batch.count) > PackedBatch::MAX_COUNT {
            return Err(Error::invalid(format!("a batch has 1 to {} messages", PackedBatch::MAX_COUNT)));
        }
        if batch.count > 1 && batch.bodies > config.max_batch_size.bytes() {
            let text = format!("a batch may have at most {} of bodies", config.max_batch_size);
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        check_sizes(config, batch.max_body, batch.max_headers_size, batch.max_headers)?;
        if let Some(wanted) = topic.spec.kind.filter(|kind| *kind != MessageType::Normal) {
            let text = format!("topic {} takes only {wanted:?} messages, not Normal", topic.name);
            return Err(Error::new(ErrorKind::Conflict, text));
        }
        let session = permit.session();
        let id = self.batch_ids.next();
        let head = Head {
            id,
            size: batch.size,
            principal: (&**session.principal()).into(),
            peer: Some(session.peer()),
        };
        let mut keys = std::mem::take(&mut batch.keys);
        keys.reserve_exact(1);
        keys.push(id.hash());
        let packed = PlannedBatch { keys, head: head.encode()?, batch };
        let plan = self.plan_checked(permit, topic, request, now)?;
        Ok(Plan { packed: Some(Box::new(packed)), ..plan })
    }
}
