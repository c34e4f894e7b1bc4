//! Sending batches to one queue, by producers that may number them: a batch that is sent again is answered as the first
//! time, one that comes too early or from a producer that was replaced is refused.
//!
//! The one idea to know: judging and appending are one step under one lock, and the numbers are in the log in the atomic
//! group of the messages, before them.

use super::log::Item;
use super::produce::{cost_of, permit_send, refuse_halves};
use super::{Broker, Inner};
use crate::core::record::Record;
use crate::core::sequences::{Numbered, Verdict};
use crate::{Promise, QueueChoice, SendRequest, SequenceRefusal, SequencedRequest, SequencedSent};
use sluice_auth::Session;
use sluice_model::{Error, ErrorKind, Offset, Result};
use std::sync::atomic::Ordering;

/// The most messages of one batch: as many offsets as an entry of the log can cover.
const MAX_MESSAGES: usize = 65_535;

impl Broker {
    /// A number for a producer, which no other one has had or will have.
    ///
    /// # Errors
    /// None today.
    pub fn producer_id(&self) -> u64 {
        let inner = self.0.by_itself(); // nobody's data: no permit
        let boot = inner.core.lock().boot();
        u64::from(boot) << 32 | u64::from(inner.next_producer.fetch_add(1, Ordering::Relaxed))
    }

    /// Stores messages as one atomic group in one queue, at consecutive offsets, unless their producer numbers them and
    /// they are there already. Permit: Pub on the topic.
    ///
    /// # Errors
    /// As for [`Broker::send`]; `Throttled` for one that is there and not stored as safely as asked yet.
    pub fn send_sequenced(&self, session: &Session, request: SequencedRequest) -> Result<SequencedSent> {
        let name = request.topic.clone();
        let permit = permit_send(&self.0, session, &name)?;
        let inner = self.0.under(&permit);
        let count = request.messages.len();
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
        inner.auth.charge(session, cost_of(&send.messages))?;
        let numbered = request.sequence.map(|sequence| Numbered {
            producer: sequence.producer,
            epoch: sequence.epoch,
            first: sequence.first,
            count: count as u32,
        });
        let topic = inner.topic_to_write(&permit, &name, None)?;
        let sent = inner
            .plan_batch(&permit, &topic, send, inner.clock.now())
            .and_then(|plan| inner.append_numbered(&plan, numbered));
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
    fn append_numbered(
        &self,
        plan: &super::produce::Plan,
        numbered: Option<Numbered>,
    ) -> Result<SequencedSent> {
        let now = self.clock.now();
        let messages = plan.messages.iter().map(|message| Item::Message(plan.target, message));
        let first = |ticket: &sluice_store::Ticket, at: usize| {
            ticket.placed.get(at).map_or(0, |placed| placed.offset)
        };
        let Some(numbered) = numbered else {
            let items: Vec<_> = messages.collect();
            let ticket = self.append(&items, now, plan.durability, false)?;
            self.count_sent(plan);
            let offset = first(&ticket, 0);
            return Ok(SequencedSent::First(Promise::new(ticket.done, offset)));
        };
        let mut core = self.core.lock();
        match core.sequences.judge(plan.target, &numbered, now) {
            Verdict::Next => {}
            Verdict::Again(offset) => return self.again(plan, offset),
            Verdict::OldEpoch => return Ok(SequencedSent::Refused(SequenceRefusal::OldEpoch)),
            Verdict::Gap => return Ok(SequencedSent::Refused(SequenceRefusal::Gap)),
        }
        let record = Record::Numbered { queue: plan.target.0, batch: numbered };
        let items: Vec<_> = std::iter::once(Item::Record(&record)).chain(messages).collect();
        let ticket = self.append(&items, now, plan.durability, false)?;
        let offset = first(&ticket, 1);
        core.sequences.stored(plan.target, &numbered, offset, now);
        drop(core);
        self.count_sent(plan);
        Ok(SequencedSent::First(Promise::new(ticket.done, offset)))
    }

    /// What cannot be read yet is not as safe yet as the first sender asked.
    fn again(&self, plan: &super::produce::Plan, offset: Offset) -> Result<SequencedSent> {
        if offset + plan.messages.len() as u64 > self.log.bounds(plan.target).next {
            return Err(Error::new(ErrorKind::Throttled, "the same batch is being stored"));
        }
        self.counts.repeated.increment(1);
        Ok(SequencedSent::Again(offset))
    }
}
