//! Transactions: a message is prepared, stays invisible, and is delivered or dropped when its producer says so.
//!
//! The one idea to know: the half and its delivery are two records of the log. The decision and the copy that goes to
//! the queue are one atomic group, so a commit happens once however often it is told, and a crash leaves an open
//! transaction or an ended one, nothing between.
//!
//! Who is asked when nobody says so is `checks`.

use super::log::{Item, blocking, stored_as};
use super::produce::{cost_of, permit_send};
use super::{Broker, Inner};
use crate::core::catalog::{HALF_QUEUE, TIMER_QUEUE, Topic};
use crate::core::record::Record;
use crate::core::state::Core;
use crate::core::transactions::{Decision, Half, Known};
use crate::{EndTransaction, PrepareRequest, Promise, Sent, TransactionView};
use sluice_auth::{Action, Permit, Resource, Session};
use sluice_model::{
    Error, ErrorKind, Message, MessageType, Millis, QueueId, Result, StoredMessage, TopicName,
};
use sluice_store::{Done, Durability};
use std::sync::Arc;

impl Broker {
    /// Stores a message that stays invisible until [`Broker::end_transaction`]. What it gives names the half: its
    /// locator is what the transaction is called. Permit: Pub on the topic.
    ///
    /// # Errors
    /// As for [`Broker::send`]; `Throttled` when too many transactions are open.
    pub fn prepare(&self, session: &Session, request: PrepareRequest) -> Result<Promise<Vec<Sent>>> {
        let name = request.send.topic.clone();
        let permit = permit_send(&self.0, session, &name)?;
        let inner = self.0.under(&permit);
        if name.retry_group().is_some() || name.dead_letter_group().is_some() {
            return Err(Error::invalid("retries and dead letters are not part of transactions"));
        }
        let place = inner.auth.begin(session, None)?;
        inner.auth.charge(session, cost_of(&request.send.messages))?;
        let prepared = inner.prepare(&permit, request).map(|sent| sent.holding(place));
        if prepared.is_err() {
            inner.counts.refused.increment(1);
        }
        prepared
    }

    /// Ends a transaction. The same end told again is no error. Permit: Pub on the message's topic.
    ///
    /// # Errors
    /// `MessageNotFound` when no such transaction is known (any more); `Conflict` when it has ended the other way, or
    /// belongs to another group or offset.
    pub async fn end_transaction(&self, session: &Session, end: EndTransaction<'_>) -> Result<()> {
        let (half, topic) = {
            let inner = self.0.by_itself(); // its topic says whose permit is needed
            let core = inner.core.lock();
            let known = core.transactions.known(end.transaction).ok_or_else(|| unknown(end.transaction))?;
            let queue = match &known {
                Known::Open(half) => half.target(),
                Known::Decided(_, queue) => *queue,
            };
            let owner = core.catalog.owner(queue).map(|(topic, _)| Arc::clone(topic));
            (known, owner.ok_or_else(|| unknown(end.transaction))?)
        };
        let permit = self.0.topic(session, &[Action::Pub], &topic.name)?;
        let inner = self.0.under(&permit);
        match half {
            Known::Open(half) => inner.end(&topic, half, end).await,
            Known::Decided(decision, _) => {
                same(decision, end.commit)?;
                inner.told_again(end.transaction, decision, &topic).await
            }
        }
    }

    /// The open transactions whose topics this session may see, from the one after `after` (0: all), of one topic or of
    /// all.
    ///
    /// # Errors
    /// None today; listing shows what may be seen and hides the rest.
    pub fn transactions(
        &self,
        session: &Session,
        topic: Option<&TopicName>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TransactionView>> {
        let inner = self.0.by_itself(); // each is shown only under a permit for its topic
        let core = inner.core.lock();
        let views = core.transactions.after(after).filter_map(|half| view(&core, half));
        let wanted = views.filter(|view| topic.is_none_or(|topic| *topic == view.topic));
        let seen = wanted
            .filter(|view| inner.may_see(session, &[Action::Pub, Action::Get], Resource::Topic(&view.topic)));
        Ok(seen.take(limit).collect())
    }
}

impl Inner {
    fn prepare(&self, permit: &Permit<'_>, request: PrepareRequest) -> Result<Promise<Vec<Sent>>> {
        let PrepareRequest { mut send, group, first_check } = request;
        let [message] = &mut send.messages[..] else {
            return Err(Error::invalid("a transaction has one message"));
        };
        message.kind = MessageType::Transaction;
        let now = self.clock.now();
        let name = send.topic.clone();
        let topic = self.topic_to_write(permit, &name, send.create)?;
        self.refuse_without_key(&topic)?;
        let plan = self.plan(permit, &topic, send, now)?;
        let Some(message) = plan.messages.first() else {
            return Err(Error::internal("a plan without a message"));
        };
        let first_check = first_check.unwrap_or(self.tuned().first_check.0).min(self.config.max_half_age.0);
        let check_at = now.saturating_add(first_check.as_millis() as Millis);
        let mut core = self.core.lock();
        if core.transactions.len() >= self.config.max_halves {
            let text = format!("{} transactions are open already", self.config.max_halves);
            return Err(Error::new(ErrorKind::Throttled, text));
        }
        let record = Record::Prepared { target: plan.target.0, group: group.clone(), check_at };
        let items = [Item::Record(&record), Item::Message(HALF_QUEUE, message)];
        let ticket = self.append(&items, now, plan.durability, false)?;
        let Some(placed) = ticket.placed.last().copied() else {
            return Err(Error::internal("the log did not say where the message went"));
        };
        let before = core.transactions.next_due();
        core.transactions.prepared(Half {
            lsn: placed.lsn,
            offset: placed.offset,
            target: plan.target.0,
            group,
            id: message.id.to_string(),
            prepared: now,
            checks: 0,
            next_check: check_at,
        });
        if core.transactions.next_due() != before {
            self.check_sooner.notify_one();
        }
        drop(core);
        self.count_sent(&plan);
        self.counts.prepared.increment(1);
        let sent = Sent {
            id: message.id.clone(),
            queue: plan.queue,
            offset: placed.offset,
            locator: placed.lsn,
            stored: now,
            delayed: false,
        };
        Ok(Promise::new(ticket.done, vec![sent]))
    }

    async fn end(&self, topic: &Topic, half: Half, end: EndTransaction<'_>) -> Result<()> {
        if end.group.is_some_and(|group| *group != half.group) {
            return Err(Error::new(ErrorKind::Conflict, "another producer group prepared this message"));
        }
        if end.offset.is_some_and(|offset| offset != half.offset) {
            return Err(Error::new(ErrorKind::Conflict, "the half message has another offset"));
        }
        let durability = topic.spec.durability.map_or(Durability::Sync, Durability::from);
        let done = if end.commit {
            let message = self.half_message(&half).await?.message;
            self.decide(&half, Decision::Committed, Some(&message), durability)?
        } else {
            self.decide(&half, Decision::RolledBack, None, durability)?
        };
        let counter = if end.commit { &self.counts.committed } else { &self.counts.rolled_back };
        match done {
            Some(done) => {
                counter.increment(1);
                done.await
            }
            // Somebody else was faster.
            None => {
                let known = self.core.lock().transactions.known(half.lsn);
                let Some(Known::Decided(decision, _)) = known else { return Err(unknown(half.lsn)) };
                same(decision, end.commit)?;
                self.told_again(half.lsn, decision, topic).await
            }
        }
    }

    /// Waits until a decision that was told before is safe: its answer is as good a promise as the first. The record is
    /// one that changes nothing, behind that of the decision.
    async fn told_again(&self, lsn: u64, decision: Decision, topic: &Topic) -> Result<()> {
        let durability = topic.spec.durability.map_or(Durability::Sync, Durability::from);
        let ticket = self.record(&mut self.core.lock(), &[Record::Decided { lsn, decision }], durability)?;
        ticket.done.await
    }

    /// Writes a decision and what it amounts to as one atomic group; nothing when the transaction has ended meanwhile.
    fn decide(
        &self,
        half: &Half,
        decision: Decision,
        message: Option<&Message>,
        durability: Durability,
    ) -> Result<Option<Done>> {
        let now = self.clock.now();
        let mut core = self.core.lock();
        if core.transactions.get(half.lsn).is_none() {
            return Ok(None);
        }
        let decided = Record::Decided { lsn: half.lsn, decision };
        let delayed = message
            .and_then(|message| message.deliver_at)
            .filter(|due| *due > now)
            .map(|due| (due, Record::Delayed { target: half.target, due }));
        let mut items = vec![Item::Record(&decided)];
        if let Some((_, marker)) = &delayed {
            items.push(Item::Record(marker));
        }
        if let Some(message) = message {
            let queue = if delayed.is_some() { TIMER_QUEUE } else { half.target() };
            items.push(Item::Message(queue, message));
        }
        let ticket = self.append(&items, now, durability, true)?;
        core.apply(&decided);
        if let (Some((due, _)), Some(placed)) = (&delayed, ticket.placed.last()) {
            core.delayed(*due, placed.lsn, half.target());
            self.sooner.notify_one();
        }
        Ok(Some(ticket.done))
    }

    /// A half message as it lies in the log, under the topic and queue it is for.
    pub(super) async fn half_message(&self, half: &Half) -> Result<StoredMessage> {
        let (log, lsn) = (Arc::clone(&self.log), half.lsn);
        let at = self.core.lock().transactions.place(lsn);
        let not_yet = || Error::new(ErrorKind::Unavailable, "the half message is not readable yet");
        let entry = blocking(move || log.read_at(at)).await?.ok_or_else(not_yet)?;
        let owner = {
            let core = self.core.lock();
            core.catalog.owner(half.target()).map(|(topic, queue)| (topic.name.clone(), queue))
        };
        let (topic, queue) = owner.ok_or_else(|| unknown(lsn))?;
        let mut message = stored_as(topic, queue, entry)?;
        // One that was carried forward is called as before.
        (message.locator, message.offset, message.stored) = (lsn, half.offset, half.prepared);
        Ok(message)
    }

    /// Gives a transaction up that nobody has decided: its message goes where an operator finds it.
    pub(super) async fn give_up(&self, half: &Half) -> Result<()> {
        let message = match self.half_message(half).await {
            Ok(message) => Some(message),
            // It will not get better, and must not hold up the others.
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                tracing::error!(lsn = half.lsn, error = ?e, "a half message is damaged on disk and is lost");
                None
            }
            Err(e) => return Err(e),
        };
        let now = self.clock.now();
        let mut core = self.core.lock();
        if core.transactions.get(half.lsn).is_none() {
            return Ok(());
        }
        let decided = Record::Decided { lsn: half.lsn, decision: Decision::GivenUp };
        let copy = message.map(|message| self.undecided(&mut core, half, &message)).transpose()?;
        let mut items = vec![Item::Record(&decided)];
        if let Some((queue, copy)) = &copy {
            items.push(Item::Message(*queue, copy));
        }
        let _ = self.append(&items, now, Durability::Sync, true)?;
        core.apply(&decided);
        self.counts.given_up.increment(1);
        tracing::warn!(group = %half.group, id = half.id, checks = half.checks, "nobody decided a transaction in time");
        Ok(())
    }

    fn undecided(
        &self,
        core: &mut Core,
        half: &Half,
        message: &StoredMessage,
    ) -> Result<(sluice_store::LogQueue, Message)> {
        let topic = self.make_topic(core, &TopicName::new(UNDECIDED)?, 1)?;
        let queue = topic.log_queue(QueueId(0)).ok_or_else(|| Error::internal("a topic without queues"))?;
        let reason = format!("no outcome after {} checks of {}", half.checks, half.group);
        let mut copy = super::retry::moved_for(message, &reason)?;
        copy.deliver_at = None;
        Ok((queue, copy))
    }
}

/// Where messages go whose transaction nobody has decided: the name that RocketMQ's operators know.
const UNDECIDED: &str = "TRANS_CHECK_MAX_TIME_TOPIC";

fn view(core: &Core, half: &Half) -> Option<TransactionView> {
    let (topic, queue) = core.catalog.owner(half.target())?;
    Some(TransactionView {
        transaction: half.lsn,
        id: half.id.as_str().into(),
        topic: topic.name.clone(),
        queue,
        group: half.group.clone(),
        prepared: half.prepared,
        checks: half.checks,
        next_check: half.next_check,
        asking: core.transactions.is_asking(half),
    })
}

fn same(decision: Decision, commit: bool) -> Result<()> {
    let was = match decision {
        Decision::Committed if commit => return Ok(()),
        Decision::RolledBack if !commit => return Ok(()),
        Decision::Committed => "committed",
        Decision::RolledBack => "rolled back",
        Decision::GivenUp => "given up: nobody decided it in time",
    };
    Err(Error::new(ErrorKind::Conflict, format!("the transaction has been {was}")))
}

fn unknown(transaction: u64) -> Error {
    Error::new(ErrorKind::MessageNotFound, format!("no transaction {transaction} is known"))
}
