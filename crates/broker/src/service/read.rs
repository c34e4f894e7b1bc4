//! Reading by offset: what queue consumers, browsers and tails do. Nothing is leased and nothing is stored. Who consumes
//! (a group, a cursor) is not given what has expired; who only looks is.

use super::log::stored;
use super::produce::{cost_of, unknown_topic};
use super::{Broker, Inner};
use crate::core::catalog::Topic;
use crate::{PullRequest, Pulled, StartAt};
use sluice_auth::{Action, Cost, Session};
use sluice_model::{Error, Filter, Message, Millis, Offset, Result, StoredMessage, TopicName};
use sluice_store::{LogQueue, ReadLimits};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Index entries looked at in one pull when a filter skips most: as many as RocketMQ's 16,000 bytes of them.
const MAX_EXAMINED: usize = 800;
/// Messages read at once when a filter has to look inside them.
const LOOK_INSIDE: usize = 64;

/// A reading position in every queue of one topic, without a group: nothing is stored, nothing is shared.
#[derive(Debug, Clone)]
pub struct Cursor {
    /// The topic.
    pub topic: TopicName,
    /// Which messages.
    pub filter: Filter,
    /// The next offset of each queue.
    pub positions: Vec<Offset>,
}

impl Broker {
    /// Reads from a queue at an offset, waiting for data if asked and if the offset is the queue's end. Permits: Sub or
    /// Get on the topic, and Sub on the group when one is named. An offset outside the bounds gives no messages and
    /// `next` at the nearest bound. Cancel-safe.
    ///
    /// # Errors
    /// `TopicNotFound`; `Throttled` over a quota; `InvalidArgument` for a queue that the topic has not; `Corrupt` when stored bytes are damaged.
    pub async fn pull(&self, session: &Session, request: &PullRequest<'_>) -> Result<Pulled> {
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
        let deadline = Instant::now() + request.wait.min(inner.config.max_wait.0);
        let mut waiting = None;
        let mut offset = request.offset;
        loop {
            let pulled = inner.pull_once(request, offset, &topic, queue).await?;
            // What the filter passes over does not end the wait: a client that is told of it only asks again.
            let inside = (pulled.min..=pulled.max).contains(&offset);
            let at_end = pulled.next == pulled.max || pulled.next == offset;
            if !(pulled.messages.is_empty() && inside && at_end)
                || request.wait.is_zero()
                || Instant::now() >= deadline
            {
                inner.counts.pulled.increment(pulled.messages.len() as u64);
                let cost = cost_of(pulled.messages.iter().map(|stored| &stored.message));
                inner.auth.debit(session, cost);
                if let Some(group) = request.group {
                    inner.auth.debit_group(group, cost);
                }
                return Ok(pulled);
            }
            offset = pulled.next;
            // Register first, then look once more, then wait.
            match &waiting {
                None => waiting = Some(inner.arrivals.wait_on(vec![queue])),
                Some(waiting) => drop(timeout_at(deadline, waiting.arrival()).await),
            }
        }
    }

    /// The message whose record is at `locator`. Permit: Sub or Get on its topic.
    ///
    /// # Errors
    /// `MessageNotFound` when there is none (any more).
    pub async fn message_at(&self, session: &Session, locator: u64) -> Result<StoredMessage> {
        let message = self.0.by_itself().message_at(locator).await?; // its topic says whose permit is needed
        self.0.topic(session, &[Action::Sub, Action::Get], &message.topic)?;
        Ok(message)
    }

    /// A cursor over all queues of a topic. `create`: see [`crate::ReceiveRequest::create`]. Permit: Sub on the topic.
    ///
    /// # Errors
    /// `TopicNotFound` when the topic is unknown and may not be made.
    pub async fn cursor(
        &self,
        session: &Session,
        topic: &TopicName,
        filter: Filter,
        start: StartAt,
        create: Option<u32>,
    ) -> Result<Cursor> {
        let permit = self.0.topic(session, &[Action::Sub], topic)?;
        let inner = self.0.under(&permit);
        let queues = {
            let mut core = inner.core.lock();
            match core.catalog.topic(topic) {
                Some(topic) => {
                    topic.check_readable()?;
                    topic.queues.clone()
                }
                None if inner.may_create(create) => {
                    inner.make_topic(&mut core, topic, create.unwrap_or(0))?.queues.clone()
                }
                None => return Err(unknown_topic(topic)),
            }
        };
        let positions =
            queues.into_iter().map(|queue| inner.start_of(queue, start)).collect::<Result<_>>()?;
        Ok(Cursor { topic: topic.clone(), filter, positions })
    }

    /// Reads on from a cursor and moves it, waiting for the first message. Messages of one queue come in order. An empty
    /// list means that nothing came within `wait`, or nothing may come because a quota is used up for longer. Cancel-safe:
    /// the cursor moves only when messages are returned.
    ///
    /// # Errors
    /// `TopicNotFound` when the topic is gone; `Throttled` over a quota, for those who do not wait; `Corrupt` when stored bytes are damaged.
    pub async fn poll(
        &self,
        session: &Session,
        cursor: &mut Cursor,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<StoredMessage>> {
        let name = cursor.topic.clone();
        let permit = self.0.topic(session, &[Action::Sub], &name)?;
        let inner = self.0.under(&permit);
        let Some(wait) = self.within_quota(session, None, wait).await? else { return Ok(Vec::new()) };
        let deadline = Instant::now() + wait;
        loop {
            let topic = inner.topic_of(&cursor.topic)?;
            topic.check_readable()?;
            let mut positions = cursor.positions.clone();
            // Queues that were added since hold only messages that came since.
            positions.resize(topic.queues.len().max(positions.len()), 0);
            let waiting = inner.arrivals.wait_on(topic.queues.clone());
            let messages = inner.poll_once(&topic, &mut positions, &cursor.filter, max).await?;
            let skipped = messages.is_empty() && positions != cursor.positions;
            cursor.positions = positions;
            if skipped {
                continue;
            }
            if !messages.is_empty() || Instant::now() >= deadline {
                inner.counts.pulled.increment(messages.len() as u64);
                inner.auth.debit(session, cost_of(messages.iter().map(|stored| &stored.message)));
                return Ok(messages);
            }
            let _ = timeout_at(deadline, waiting.arrival()).await;
        }
    }
}

pub(super) fn expired(message: &Message, now: Millis) -> bool {
    message.expires_at.is_some_and(|at| at <= now)
}

impl Inner {
    pub(super) fn topic_of(&self, name: &TopicName) -> Result<Arc<Topic>> {
        self.core.lock().catalog.topic(name).cloned().ok_or_else(|| unknown_topic(name))
    }

    /// A topic's queue, and its number in the log.
    pub(super) fn queue_of(
        &self,
        name: &TopicName,
        queue: sluice_model::QueueId,
    ) -> Result<(Arc<Topic>, LogQueue)> {
        let topic = self.topic_of(name)?;
        match topic.log_queue(queue) {
            Some(log) => Ok((topic, log)),
            None => Err(Error::invalid(format!(
                "topic {name} has no queue {queue}; it has {}",
                topic.queues.len()
            ))),
        }
    }

    async fn pull_once(
        &self,
        request: &PullRequest<'_>,
        offset: Offset,
        topic: &Topic,
        queue: LogQueue,
    ) -> Result<Pulled> {
        let hashes = request.filter.tag_hashes();
        let max = request.max.clamp(1, self.config.max_fetch);
        let mut room = request.max_bytes.min(self.config.max_fetch_size.bytes());
        let mut messages: Vec<StoredMessage> = Vec::new();
        let (mut next, mut examined) = (offset, 0);
        let consumed_at = request.group.map(|_| self.clock.now());
        loop {
            let wanted = max - messages.len();
            let inside = request.filter.looks_inside();
            let limits = ReadLimits {
                max_count: if inside { wanted.max(LOOK_INSIDE) } else { wanted },
                max_bytes: room,
                max_examined: MAX_EXAMINED.max(request.max.min(self.config.max_fetch)),
                tag_hashes: hashes.as_deref(),
            };
            let batch = self.read(queue, next, &limits).await?;
            examined += batch.entries.len();
            let read_on = inside && batch.next > next && !batch.entries.is_empty();
            next = batch.next;
            for entry in batch.entries {
                let after = entry.offset + u64::from(entry.count);
                let message = stored(topic, request.queue, entry)?;
                let stale = consumed_at.is_some_and(|now| expired(&message.message, now));
                if !stale && request.filter.matches(&message.message) {
                    room = room.saturating_sub(message.size as usize);
                    messages.push(message);
                    if messages.len() == max {
                        next = after;
                        break;
                    }
                }
            }
            if !read_on || messages.len() == max || room == 0 || examined >= MAX_EXAMINED {
                let bounds = self.log.bounds(queue);
                return Ok(Pulled { messages, next, min: bounds.min, max: bounds.next });
            }
        }
    }

    async fn poll_once(
        &self,
        topic: &Topic,
        positions: &mut [Offset],
        filter: &Filter,
        max: usize,
    ) -> Result<Vec<StoredMessage>> {
        let max = max.clamp(1, self.config.max_fetch);
        let hashes = filter.tag_hashes();
        let mut messages: Vec<StoredMessage> = Vec::new();
        let mut room = self.config.max_fetch_size.bytes();
        let now = self.clock.now();
        // Another queue goes first each time, so that a busy one does not starve the others.
        let turn =
            self.turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) as usize % topic.queues.len().max(1);
        let mut order: Vec<_> = topic.each_queue().collect();
        order.rotate_left(turn);
        for (id, queue) in order {
            let Some(position) = positions.get_mut(id.0 as usize) else { continue };
            if messages.len() >= max || room == 0 {
                break;
            }
            if self.log.bounds(queue).next <= *position {
                continue;
            }
            let limits = ReadLimits {
                max_count: max - messages.len(),
                max_bytes: room,
                max_examined: MAX_EXAMINED,
                tag_hashes: hashes.as_deref(),
            };
            let batch = self.read(queue, *position, &limits).await?;
            for entry in batch.entries {
                let message = stored(topic, id, entry)?;
                if !expired(&message.message, now) && filter.matches(&message.message) {
                    room = room.saturating_sub(message.size as usize);
                    messages.push(message);
                }
            }
            *position = batch.next;
        }
        Ok(messages)
    }

    /// One message by its place.
    pub(super) async fn message_in(&self, queue: LogQueue, offset: Offset) -> Result<StoredMessage> {
        let limits = ReadLimits { max_count: 1, max_bytes: usize::MAX, max_examined: 1, tag_hashes: None };
        let gone = || Error::new(sluice_model::ErrorKind::MessageNotFound, "the message is no longer kept");
        let batch = self.read(queue, offset, &limits).await?;
        let entry = batch.entries.into_iter().find(|e| e.offset == offset).ok_or_else(gone)?;
        let owner = self.core.lock().catalog.owner(queue).map(|(topic, id)| (Arc::clone(topic), id));
        let (topic, id) = owner.ok_or_else(gone)?;
        stored(&topic, id, entry)
    }
}
