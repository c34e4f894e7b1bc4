//! Sending batches to one queue, by producers that may number them: a batch that is sent again is answered as the first
//! time, one that comes too early or from a producer that was replaced is refused.
//!
//! The one idea to know: judging and appending are one step under one lock, and the numbers are in the log in the atomic
//! group of the messages, before them.

use super::log::Item;
use super::produce::{Plan, cost_of, permit_send, refuse_halves};
use super::producers::is_fenced;
use super::{Broker, Inner};
use crate::core::catalog::Topic;
use crate::core::record::Record;
use crate::core::sequences::{Numbered, Verdict};
use crate::{
    PackedBatch, PartOf, Promise, QueueChoice, SendRequest, SequenceRefusal, SequencedRequest, SequencedSent,
};
use sluice_auth::{Action, Cost, Permit, Session};
use sluice_model::{Error, ErrorKind, Offset, Result};
use std::sync::Arc;

/// The most messages of one batch: as many offsets as an entry of the log can cover.
const MAX_MESSAGES: usize = 65_535;

impl Broker {
    /// A number for a producer, which no other one has had or will have.
    ///
    /// # Errors
    /// None today.
    pub fn producer_id(&self) -> u64 {
        let inner = self.0.by_itself(); // nobody's data: no permit
        inner.new_producer_number(&inner.core.lock())
    }

    /// Stores messages as one atomic group in one queue, at consecutive offsets, unless their producer numbers them and
    /// they are there already. Permits: Pub on the topic, and on the group of the producer's name for what is part of a
    /// transaction.
    ///
    /// # Errors
    /// As for [`Broker::send`]; `Throttled` for one that is there and not stored as safely as asked yet. With a
    /// [`crate::TransactionRefusal`] as the source: what belongs to no transaction, and should.
    pub fn send_sequenced(&self, session: &Session, request: SequencedRequest) -> Result<SequencedSent> {
        let name = request.topic.clone();
        if let Some(part) = &request.transaction {
            self.0.group(session, &[Action::Pub], &part.producer)?;
        }
        let permit = permit_send(&self.0, session, &name)?;
        let inner = self.0.under(&permit);
        let count = request.packed.as_ref().map_or(request.messages.len(), |packed| packed.count.into());
        if count > MAX_MESSAGES {
            let text = format!("at most {MAX_MESSAGES} messages in one batch");
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        let send = SendRequest {
            topic: request.topic,
            messages: request.messages,
            queue: QueueChoice::Exactly(request.queue),
            create: None,
            durability: request.durability,
        };
        refuse_halves(&send)?;
        let place = inner.auth.begin(session, None)?;
        let cost = match &request.packed {
            Some(packed) => Cost { messages: u64::from(packed.count), bytes: packed.bodies as u64 },
            None => cost_of(&send.messages),
        };
        inner.auth.charge(session, cost)?;
        let numbered = request.sequence.map(|sequence| Numbered {
            producer: sequence.producer,
            epoch: sequence.epoch,
            first: sequence.first,
            count: count as u32,
        });
        let topic = inner.topic_to_write(&permit, &name, None)?;
        if numbered.is_none() {
            inner.refuse_without_key(&topic)?; // a number is as good as a key
        }
        let sent = inner
            .plan_any(&permit, &topic, send, request.packed)
            .and_then(|plan| inner.append_numbered(&plan, numbered, request.transaction.as_ref()));
        if sent.is_err() {
            inner.counts.refused.increment(1);
        }
        Ok(match sent? {
            SequencedSent::First(promise) => SequencedSent::First(promise.holding(place)),
            other => other,
        })
    }
}

impl Inner {
    fn plan_any(
        &self,
        permit: &Permit<'_>,
        topic: &Arc<Topic>,
        send: SendRequest,
        packed: Option<PackedBatch>,
    ) -> Result<Plan> {
        let now = self.clock.now();
        match packed {
            Some(_) if !send.messages.is_empty() => {
                Err(Error::invalid("messages, and a batch in their place"))
            }
            Some(packed) => self.plan_packed(permit, topic, send, packed, now),
            None => self.plan_batch(permit, topic, send, now),
        }
    }

    fn append_numbered(
        &self,
        plan: &Plan,
        numbered: Option<Numbered>,
        part: Option<&PartOf>,
    ) -> Result<SequencedSent> {
        let now = self.clock.now();
        let first = |ticket: &sluice_store::Ticket, at: usize| {
            ticket.placed.get(at).map_or(0, |placed| placed.offset)
        };
        let Some(numbered) = numbered else {
            if part.is_some() {
                return Err(Error::invalid("what is part of a transaction is numbered by its producer"));
            }
            let items: Vec<_> = plan.items().collect();
            let ticket = self.append(&items, now, plan.durability, false)?;
            self.count_sent(plan);
            let offset = first(&ticket, 0);
            return Ok(SequencedSent::First(Promise::new(ticket.done, offset)));
        };
        let mut core = self.core.lock();
        let joins = self.part(&core, plan.target, &numbered, part);
        match core.sequences.judge(plan.target, &numbered, now) {
            Verdict::Next => {}
            // A producer that was replaced learns just that.
            _ if joins.as_ref().is_err_and(is_fenced) => {}
            Verdict::Again(offset) => return self.again(plan, offset),
            Verdict::OldEpoch => return Ok(SequencedSent::Refused(SequenceRefusal::OldEpoch)),
            Verdict::Gap => return Ok(SequencedSent::Refused(SequenceRefusal::Gap)),
        }
        let record = Record::Numbered { queue: plan.target.0, batch: numbered };
        let joins = joins?.map(|change| Record::Producer(Box::new(change)));
        let records: Vec<_> = joins.iter().chain([&record]).map(Item::Record).collect();
        let before = records.len();
        let items: Vec<_> = records.into_iter().chain(plan.items()).collect();
        // Locked around the append, so that nobody reads the messages who does not know whose they are.
        let spans = part.is_some().then(|| Arc::clone(&core.spans));
        let mut spans = spans.as_ref().map(|spans| spans.write());
        let ticket = self.append(&items, now, plan.durability, false)?;
        let offset = first(&ticket, before);
        core.at_time(now);
        joins.iter().for_each(|record| self.carry_out(core.apply(record)));
        core.numbered(plan.target, &numbered, offset, now, spans.as_deref_mut());
        drop(spans);
        drop(core);
        if joins.is_some() {
            self.overdue_sooner.notify_one();
        }
        self.count_sent(plan);
        Ok(SequencedSent::First(Promise::new(ticket.done, offset)))
    }

    /// What cannot be read yet is not as safe yet as the first sender asked.
    fn again(&self, plan: &Plan, offset: Offset) -> Result<SequencedSent> {
        if offset + plan.count() > self.whole.bounds(plan.target).next {
            return Err(Error::new(ErrorKind::Throttled, "the same batch is being stored"));
        }
        self.counts.repeated.increment(1);
        Ok(SequencedSent::Again(offset))
    }
}
