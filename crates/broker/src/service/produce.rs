//! Sending: which queue a message goes to, what is refused, and how it reaches the log.

use super::gate::Gate;
use super::log::Item;
use super::once::refused;
use super::packed::PlannedBatch;
use super::{Broker, Inner};
use crate::core::catalog::{TIMER_QUEUE, Topic};
use crate::core::record::Record;
use crate::core::state::Core;
use crate::{Config, DurabilitySetting, OnceRefusal, Promise, QueueChoice, SendRequest, Sent, Work};
use sluice_auth::{Action, Cost, Permit, Resource, Session};
use sluice_model::{Error, ErrorKind, Headers, Message, MessageType, Millis, QueueId, Result, TopicName};
use sluice_store::{Durability, LogQueue, Ticket};
use std::sync::Arc;

/// RocketMQ's permission bit for writing.
const PERM_WRITE: u8 = 2;

impl Broker {
    /// Stores messages of one topic as one atomic group; several go to one queue, at consecutive offsets. A message
    /// whose `deliver_at` lies ahead waits until then. Permit: Pub on the topic.
    ///
    /// The messages are in the log, in call order, when this returns; the promise resolves when they are as safe as asked.
    ///
    /// # Errors
    /// `TopicNotFound` when the topic is unknown and may not be made; `TooLarge`, `InvalidArgument`, `Conflict` (not the
    /// topic's kind of message); `StorageFull`, `Throttled`, `Unavailable` from the log. Nothing was stored then.
    pub fn send(&self, session: &Session, request: SendRequest) -> Result<Promise<Vec<Sent>>> {
        let name = request.topic.clone();
        let permit = permit_send(&self.0, session, &name)?;
        let inner = self.0.under(&permit);
        refuse_halves(&request)?;
        let place = inner.auth.begin(session, None)?;
        inner.auth.charge(session, cost_of(&request.messages))?;
        inner.send(&permit, request).map(|sent| sent.holding(place))
    }

    /// Refuses what [`Broker::send`] would refuse for what the request is, and stores nothing.
    ///
    /// # Errors
    /// As for [`Broker::send`], except those of the log.
    pub fn check_send(&self, session: &Session, request: &SendRequest) -> Result<()> {
        let permit = permit_send(&self.0, session, &request.topic)?;
        let inner = self.0.under(&permit);
        refuse_halves(request)?;
        let known = inner.core.lock().catalog.topic(&request.topic).cloned();
        match known {
            Some(topic) => inner.plan(&permit, &topic, request.clone(), self.now()).map(drop),
            None if inner.may_create(request.create) => {
                inner.check_messages(None, &request.messages, self.now())?;
                inner.check_new(request)
            }
            None => Err(unknown_topic(&request.topic)),
        }
    }

    /// Sends to several topics and acknowledges deliveries as one atomic group: all of it happens, or nothing. Permits:
    /// Pub on each topic, Sub on each delivery's group.
    ///
    /// # Errors
    /// As for [`Broker::send`] and [`Broker::ack`]; nothing happened then.
    pub fn work(&self, session: &Session, work: Work) -> Result<Promise<Vec<Sent>>> {
        let now = self.now();
        let inner = self.0.by_itself(); // each part of the work asks for its own permit
        let mut plans = Vec::with_capacity(work.sends.len());
        for request in work.sends {
            let name = request.topic.clone();
            let permit = permit_send(&self.0, session, &name)?;
            refuse_halves(&request)?;
            let topic = inner.topic_to_write(&permit, &name, request.create)?;
            inner.refuse_without_key(&topic)?;
            plans.push(inner.plan(&permit, &topic, request, now)?);
        }
        let settled = inner.settlements(session, &work.acks, now)?;
        let place = inner.auth.begin(session, None)?;
        inner.auth.charge(session, cost_of(plans.iter().flat_map(|plan| &plan.messages)))?;
        inner.work(&plans, settled, now).map(|sent| sent.holding(place))
    }
}

/// Who may send. What goes to a group's retry or dead-letter topic comes from the group's own consumers.
pub(super) fn permit_send<'a>(gate: &Gate, session: &'a Session, topic: &'a TopicName) -> Result<Permit<'a>> {
    let of_group = topic.retry_group().is_some() || topic.dead_letter_group().is_some();
    gate.topic(session, &[if of_group { Action::Sub } else { Action::Pub }], topic)
}

/// Half messages have a verb of their own.
pub(super) fn refuse_halves(request: &SendRequest) -> Result<()> {
    match request.messages.iter().any(|m| m.kind == MessageType::Transaction) {
        true => Err(Error::invalid("a message of a transaction is prepared, not sent")),
        false => Ok(()),
    }
}

/// What messages take out of a quota.
pub(super) fn cost_of<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Cost {
    let sizes = messages.into_iter().map(|message| message.body.as_ref().map_or(0, |body| body.len() as u64));
    sizes.fold(Cost::default(), |cost, size| Cost { messages: cost.messages + 1, bytes: cost.bytes + size })
}

/// Messages ready for the log.
pub(super) struct Plan {
    pub(super) queue: QueueId,
    pub(super) target: LogQueue,
    pub(super) durability: Durability,
    pub(super) messages: Vec<Message>,
    /// In the place of messages.
    pub(super) packed: Option<Box<PlannedBatch>>,
}

impl Plan {
    /// How many messages there are, packed or not.
    pub(super) fn count(&self) -> u64 {
        let packed = self.packed.as_ref().map_or(0, |packed| u64::from(packed.batch.count));
        self.messages.len() as u64 + packed
    }

    /// What goes to the log.
    pub(super) fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let packed = self.packed.iter().map(|packed| Item::Packed(self.target, packed));
        self.messages.iter().map(|message| Item::Message(self.target, message)).chain(packed)
    }

    fn has_delayed(&self, now: Millis) -> bool {
        self.messages.iter().any(|m| is_delayed(m, now))
    }
}

fn is_delayed(message: &Message, now: Millis) -> bool {
    message.deliver_at.is_some_and(|at| at > now)
}

impl Inner {
    /// What is sent without a key could be stored twice, which not every topic takes. What a consumer gives back to its
    /// own group is no message of a sender's.
    pub(super) fn refuse_without_key(&self, topic: &Topic) -> Result<()> {
        let everywhere = self.config.require_key && topic.name.retry_group().is_none();
        match everywhere || topic.spec.demands_key() {
            true => Err(refused(ErrorKind::InvalidArgument, OnceRefusal::KeyRequired)),
            false => Ok(()),
        }
    }

    fn send(&self, permit: &Permit<'_>, request: SendRequest) -> Result<Promise<Vec<Sent>>> {
        let sent = self.store(permit, request);
        if sent.is_err() {
            self.counts.refused.increment(1);
        }
        sent
    }

    fn store(&self, permit: &Permit<'_>, request: SendRequest) -> Result<Promise<Vec<Sent>>> {
        let now = self.clock.now();
        let topic = self.topic_to_write(permit, &request.topic, request.create)?;
        self.refuse_without_key(&topic)?;
        let plan = self.plan(permit, &topic, request, now)?;
        if plan.has_delayed(now) {
            return self.append_plans(std::slice::from_ref(&plan), Vec::new(), now);
        }
        // The hot path: no state changes, so no lock is held.
        let items: Vec<_> = plan.messages.iter().map(|m| Item::Message(plan.target, m)).collect();
        let ticket = self.append(&items, now, plan.durability, false)?;
        self.count_sent(&plan);
        let sent = plan.messages.into_iter().zip(ticket.placed.iter());
        let sent = sent.map(|(message, placed)| Sent {
            id: message.id,
            queue: plan.queue,
            offset: placed.offset,
            locator: placed.lsn,
            stored: now,
            delayed: false,
        });
        Ok(Promise::new(ticket.done, sent.collect()))
    }

    fn work(&self, plans: &[Plan], settled: Vec<Record>, now: Millis) -> Result<Promise<Vec<Sent>>> {
        self.check_size(plans)?;
        if settled.len() > self.config.max_batch {
            return Err(too_large(format!("at most {} acknowledgements in one step", self.config.max_batch)));
        }
        if plans.is_empty() && settled.is_empty() {
            return Ok(Promise::kept(Vec::new()));
        }
        self.append_plans(plans, settled, now)
    }

    /// Refuses too many messages in one step.
    pub(super) fn check_size(&self, plans: &[Plan]) -> Result<()> {
        let messages: usize = plans.iter().map(|p| p.messages.len()).sum();
        if messages > self.config.max_batch {
            return Err(too_large(format!("at most {} messages in one step", self.config.max_batch)));
        }
        Ok(())
    }

    /// Appends everything as one atomic group together with the timers and settlements that it entails.
    fn append_plans(&self, plans: &[Plan], settled: Vec<Record>, now: Millis) -> Result<Promise<Vec<Sent>>> {
        let mut core = self.core.lock();
        self.still_held(&core, &settled)?;
        self.append_under(&mut core, plans, &settled, None, now)
    }

    /// The same under a lock that is held. `once` says that the messages are sent under a key.
    pub(super) fn append_under(
        &self,
        core: &mut Core,
        plans: &[Plan],
        settled: &[Record],
        once: Option<&Record>,
        now: Millis,
    ) -> Result<Promise<Vec<Sent>>> {
        let delayed: usize = plans.iter().flat_map(|p| &p.messages).filter(|m| is_delayed(m, now)).count();
        let too_many = core.timers.len() + delayed > self.config.max_timers
            || core.timers.in_log() + delayed > self.config.max_near_timers;
        if delayed > 0 && too_many {
            let text = format!("{} messages wait for their time already", core.timers.len());
            return Err(Error::new(ErrorKind::Throttled, text));
        }
        let markers: Vec<Option<Record>> = plans
            .iter()
            .flat_map(|p| p.messages.iter().map(|m| (p.target, m)))
            .map(|(target, m)| {
                let due = m.deliver_at.filter(|at| *at > now)?;
                Some(Record::Delayed { target: target.0, due })
            })
            .collect();
        let mut items: Vec<Item<'_>> = settled.iter().chain(once).map(Item::Record).collect();
        let mut at = Vec::with_capacity(markers.len());
        let each = plans.iter().flat_map(|p| p.messages.iter().map(move |m| (p, m)));
        for ((plan, message), marker) in each.zip(&markers) {
            if let Some(marker) = marker {
                items.push(Item::Record(marker));
            }
            at.push(items.len());
            items.push(Item::Message(if marker.is_some() { TIMER_QUEUE } else { plan.target }, message));
        }
        let durability = plans.iter().map(|p| p.durability).max().unwrap_or(Durability::Async);
        let ticket = self.append(&items, now, durability, false)?;
        core.at_time(now);
        for record in settled {
            self.carry_out(core.apply(record));
        }
        self.wake_in_order(core, settled);
        let sent = self.placed(core, plans, &markers, &at, &ticket, now);
        for plan in plans {
            self.count_sent(plan);
        }
        self.counts.settled.increment(settled.len() as u64);
        let held = (delayed > 0).then(|| self.crowd.held()).flatten();
        Ok(Promise::new(ticket.done, sent).held_by(held))
    }

    /// Says where each message went, and starts the timers.
    fn placed(
        &self,
        core: &mut Core,
        plans: &[Plan],
        markers: &[Option<Record>],
        at: &[usize],
        ticket: &Ticket,
        now: Millis,
    ) -> Vec<Sent> {
        let before = core.timers.next_in_log();
        let each = plans.iter().flat_map(|p| p.messages.iter().map(move |m| (p, m)));
        let places = at.iter().filter_map(|i| ticket.placed.get(*i));
        let mut sent = Vec::with_capacity(at.len());
        for (((plan, message), marker), placed) in each.zip(markers).zip(places) {
            if let Some(Record::Delayed { due, .. }) = marker {
                core.delayed(*due, placed.lsn, plan.target);
            }
            sent.push(Sent {
                id: message.id.clone(),
                queue: plan.queue,
                offset: placed.offset,
                locator: placed.lsn,
                stored: now,
                delayed: marker.is_some(),
            });
        }
        if core.timers.next_in_log() != before {
            self.sooner.notify_one();
        }
        let in_log = core.timers.in_log();
        self.crowd.is(in_log);
        if in_log >= super::far::MANY {
            self.many_timers.notify_one();
        }
        sent
    }

    pub(super) fn count_sent(&self, plan: &Plan) {
        let packed = plan.packed.as_ref().map_or(0, |packed| packed.batch.bodies as u64);
        let bodies: u64 = plan.messages.iter().map(|m| m.body_bytes().len() as u64).sum();
        self.counts.sent.increment(plan.count());
        self.counts.sent_bytes.increment(bodies + packed);
    }

    /// Decides queue, ids and times, and refuses what may not be stored.
    pub(super) fn plan(
        &self,
        permit: &Permit<'_>,
        topic: &Arc<Topic>,
        request: SendRequest,
        now: Millis,
    ) -> Result<Plan> {
        self.check_messages(Some(topic), &request.messages, now)?;
        self.plan_checked(permit, topic, request, now)
    }

    /// The same for a batch that may have more messages than others.
    pub(super) fn plan_batch(
        &self,
        permit: &Permit<'_>,
        topic: &Arc<Topic>,
        request: SendRequest,
        now: Millis,
    ) -> Result<Plan> {
        self.check_bodies(Some(topic), &request.messages, now)?;
        self.plan_checked(permit, topic, request, now)
    }

    pub(super) fn plan_checked(
        &self,
        permit: &Permit<'_>,
        topic: &Arc<Topic>,
        request: SendRequest,
        now: Millis,
    ) -> Result<Plan> {
        let mut messages = request.messages;
        if topic.spec.perm & PERM_WRITE == 0 {
            return Err(Error::new(
                ErrorKind::PermissionDenied,
                format!("topic {} takes no messages", topic.name),
            ));
        }
        let queue = match (request.queue, messages.first().and_then(|m| m.ordering_group.as_ref())) {
            (QueueChoice::Exactly(queue), _) => queue,
            (QueueChoice::Any, Some(group)) => by_ordering_group(group.as_bytes(), topic.queues.len()),
            (QueueChoice::Any, None) => topic.next_in_turn(),
        };
        let Some(target) = topic.log_queue(queue) else {
            let text = format!("topic {} has no queue {queue}; it has {}", topic.name, topic.queues.len());
            return Err(Error::invalid(text));
        };
        let session = permit.session();
        for message in &mut messages {
            if message.id.is_empty() {
                message.id = self.ids.next(now);
            }
            if message.born == 0 {
                message.born = now;
            }
            message.provenance.principal = session.shown_name().clone();
            message.provenance.peer = message.provenance.peer.or(Some(session.peer()));
        }
        let durability = topic.spec.durability.map_or(Durability::Sync, Durability::from);
        let durability = request.durability.map_or(durability, |asked| asked.max(durability));
        Ok(Plan { queue, target, durability, messages, packed: None })
    }

    fn check_messages(&self, topic: Option<&Topic>, messages: &[Message], now: Millis) -> Result<()> {
        if messages.len() > self.config.max_batch {
            return Err(too_large(format!("at most {} messages in one batch", self.config.max_batch)));
        }
        self.check_bodies(topic, messages, now)
    }

    fn check_bodies(&self, topic: Option<&Topic>, messages: &[Message], now: Millis) -> Result<()> {
        let config = &self.config;
        if messages.is_empty() {
            return Err(Error::invalid("nothing to send"));
        }
        let total: usize = messages.iter().map(|m| m.body_bytes().len()).sum();
        if messages.len() > 1 && total > config.max_batch_size.bytes() {
            return Err(too_large(format!("a batch may have at most {} of bodies", config.max_batch_size)));
        }
        messages.iter().try_for_each(|m| check_message(config, topic, m, now))
    }

    pub(super) fn may_create(&self, create: Option<u32>) -> bool {
        create.is_some() && self.tuned().auto_create
    }

    /// Refuses a queue that a topic would not have which is made for the request.
    fn check_new(&self, request: &SendRequest) -> Result<()> {
        let queues = request.create.filter(|queues| *queues > 0).unwrap_or(self.tuned().default_queues);
        match request.queue {
            QueueChoice::Exactly(QueueId(queue)) if queue >= queues.min(self.config.max_queues) => Err(
                Error::invalid(format!("topic {} will have no queue {queue}, but {queues}", request.topic)),
            ),
            _ => Ok(()),
        }
    }

    /// The topic to write to, made if it is unknown and may be.
    pub(super) fn topic_to_write(
        &self,
        permit: &Permit<'_>,
        name: &TopicName,
        create: Option<u32>,
    ) -> Result<Arc<Topic>> {
        debug_assert!(matches!(permit.resource(), Resource::Topic(t) if t == name));
        let mut core = self.core.lock();
        if let Some(topic) = core.catalog.topic(name) {
            return Ok(Arc::clone(topic));
        }
        if name.retry_group().is_some() || name.dead_letter_group().is_some() {
            return self.make_topic(&mut core, name, 1);
        }
        match create {
            Some(queues) if self.tuned().auto_create => self.make_topic(&mut core, name, queues),
            _ => Err(unknown_topic(name)),
        }
    }
}

/// Refuses what is too large of a message.
pub(super) fn check_sizes(config: &Config, body: usize, headers: usize, number: usize) -> Result<()> {
    if body > config.max_message_size.bytes() {
        return Err(too_large(format!(
            "the body has {body} bytes; at most {} are allowed",
            config.max_message_size
        )));
    }
    if headers > config.max_headers_size.bytes() {
        return Err(too_large(format!(
            "the headers have {headers} bytes; at most {} are allowed",
            config.max_headers_size
        )));
    }
    if number > config.max_headers {
        return Err(too_large(format!("at most {} headers are allowed", config.max_headers)));
    }
    Ok(())
}

fn check_message(config: &Config, topic: Option<&Topic>, message: &Message, now: Millis) -> Result<()> {
    check_sizes(config, message.body_bytes().len(), headers_size(&message.headers), message.headers.len())?;
    if message.deliver_at.is_some_and(|at| at > now.saturating_add(config.max_delay.as_millis())) {
        return Err(Error::invalid(format!(
            "the delivery time lies further ahead than {}",
            config.max_delay
        )));
    }
    let kind = kind_of(message, now);
    match topic.and_then(|t| t.spec.kind.map(|kind| (t, kind))) {
        Some((t, wanted)) if wanted != kind => {
            let text = format!("topic {} takes only {wanted:?} messages, not {kind:?}", t.name);
            Err(Error::new(ErrorKind::Conflict, text))
        }
        _ => Ok(()),
    }
}

/// What handling a message asks for, by what it carries.
fn kind_of(message: &Message, now: Millis) -> MessageType {
    match message.kind {
        MessageType::Transaction => MessageType::Transaction,
        _ if is_delayed(message, now) => MessageType::Delay,
        _ if message.ordering_group.is_some() => MessageType::Fifo,
        kind => kind,
    }
}

fn headers_size(headers: &Headers) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum()
}

/// FNV-1a: a hash that no library update changes, so that an ordering group finds its queue again after a restart.
fn by_ordering_group(group: &[u8], queues: usize) -> QueueId {
    let hash = group
        .iter()
        .fold(0xCBF2_9CE4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01B3));
    QueueId((hash % queues.max(1) as u64) as u32)
}

fn too_large(text: String) -> Error {
    Error::new(ErrorKind::TooLarge, text)
}

pub(super) fn unknown_topic(name: &TopicName) -> Error {
    Error::new(ErrorKind::TopicNotFound, format!("topic \"{name}\" does not exist"))
}

impl From<DurabilitySetting> for Durability {
    fn from(setting: DurabilitySetting) -> Self {
        match setting {
            DurabilitySetting::Async => Self::Async,
            DurabilitySetting::Sync => Self::Sync,
        }
    }
}
