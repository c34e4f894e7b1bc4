//! What happens to a message that could not be processed: another attempt later, or the dead-letter topic.

use super::log::{Item, blocking, stored};
use super::{Broker, Inner};
use crate::core::catalog::{Group, TIMER_QUEUE};
use crate::core::record::Record;
use crate::core::state::Core;
use sluice_auth::{Action, Session};
use sluice_model::{
    Error, ErrorKind, GroupName, Message, Millis, Origin, Position, QueueId, Result, StoredMessage,
};
use sluice_store::{Durability, LogQueue};
use std::sync::Arc;
use std::time::Duration;

/// The header of a dead letter that says why it is one.
pub(super) const REASON: &str = "dead-letter-reason";

/// How long a queue consumer's failed message waits when nobody says otherwise: RocketMQ's delay levels 3 to 18, in
/// seconds.
const STEPS: [u64; 16] = [10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];

impl Broker {
    /// Gives a message back that a queue consumer could not process: it comes again through the group's retry topic
    /// after `delay` (`None`: the group's step, else RocketMQ's), or goes to the dead-letter topic when its attempts
    /// (`max_attempts`, else the group's) are used up. Permit: Sub on the group.
    ///
    /// # Errors
    /// `GroupNotFound`; `MessageNotFound` when the locator leads to no message (any more).
    pub async fn send_back(
        &self,
        session: &Session,
        group: &GroupName,
        locator: u64,
        delay: Option<Duration>,
        max_attempts: Option<u32>,
    ) -> Result<()> {
        let permit = self.0.group(session, &[Action::Sub], group)?;
        let inner = self.0.under(&permit);
        let message = inner.message_at(locator).await?;
        match inner.send_back(group, message, delay, max_attempts)? {
            Some(done) => done.await,
            None => Ok(()),
        }
    }
}

impl Inner {
    /// How many deliveries a message of this group gets.
    pub(super) fn max_attempts(&self, group: &Group) -> u32 {
        group.spec.max_attempts.unwrap_or(self.config.max_attempts).max(1)
    }

    /// How long a failed message waits before its next delivery, when the consumer does not say.
    pub(super) fn step(group: &Group, attempt: u32) -> Option<Duration> {
        let last = group.spec.retry_delays.len().checked_sub(1)?;
        let step = (attempt.saturating_sub(1) as usize).min(last);
        group.spec.retry_delays.get(step).map(|s| s.0)
    }

    /// The message whose record is at a locator.
    pub(super) async fn message_at(&self, locator: u64) -> Result<StoredMessage> {
        let log = Arc::clone(&self.log);
        let entry = blocking(move || log.read_at(locator)).await?.ok_or_else(|| no_message(locator))?;
        let owner =
            self.core.lock().catalog.owner(entry.queue).map(|(topic, queue)| (Arc::clone(topic), queue));
        let (topic, queue) = owner.ok_or_else(|| no_message(locator))?;
        stored(&topic, queue, entry)
    }

    /// Nothing when there is nothing to be stored.
    fn send_back(
        &self,
        group: &GroupName,
        message: StoredMessage,
        delay: Option<Duration>,
        max_attempts: Option<u32>,
    ) -> Result<Option<sluice_store::Done>> {
        let now = self.clock.now();
        let mut core = self.core.lock();
        let Some(group) = core.catalog.group(group).cloned() else {
            return Err(Error::new(ErrorKind::GroupNotFound, format!("group \"{group}\" does not exist")));
        };
        // The attempts before this one are in the message; this one failed too.
        let attempt = message.message.attempt + 1;
        if message.message.attempt >= max_attempts.unwrap_or(self.max_attempts(&group)) {
            // The delivery that failed last counts too.
            let (queue, copies) = self.dead_letters(&mut core, &group, &[(message, 1)])?;
            if copies.is_empty() {
                return Ok(None); // a group without dead letters lets it go
            }
            let items: Vec<_> = copies.iter().map(|m| Item::Message(queue, m)).collect();
            let ticket = self.append(&items, now, Durability::Sync, true)?;
            self.counts.dead_lettered.increment(1);
            return Ok(Some(ticket.done));
        }
        let retry = self.make_topic(&mut core, &group.name.retry_topic(), 1)?;
        let Some(target) = retry.log_queue(QueueId(0)) else {
            return Err(Error::internal("a topic without queues"));
        };
        let step = STEPS[(attempt as usize - 1).min(STEPS.len() - 1)];
        let delay = delay.or_else(|| Self::step(&group, attempt)).unwrap_or(Duration::from_secs(step));
        let mut copy = moved(&message);
        copy.attempt = attempt;
        self.append_delayed(&mut core, target, copy, now, delay).map(Some)
    }

    fn append_delayed(
        &self,
        core: &mut Core,
        target: LogQueue,
        mut message: Message,
        now: Millis,
        delay: Duration,
    ) -> Result<sluice_store::Done> {
        let due = now + delay.as_millis() as u64;
        message.deliver_at = (due > now).then_some(due);
        if due <= now {
            return Ok(self.append(&[Item::Message(target, &message)], now, Durability::Sync, true)?.done);
        }
        let marker = Record::Delayed { target: target.0, due };
        let items = [Item::Record(&marker), Item::Message(TIMER_QUEUE, &message)];
        let ticket = self.append(&items, now, Durability::Sync, true)?;
        if let Some(placed) = ticket.placed.last() {
            core.delayed(due, placed.lsn, target);
            self.sooner.notify_one();
        }
        Ok(ticket.done)
    }

    /// The copies that go to the group's dead-letter topic, and its queue. Nothing is made when there are none.
    pub(super) fn dead_letters(
        &self,
        core: &mut Core,
        group: &Group,
        dead: &[(StoredMessage, u32)],
    ) -> Result<(LogQueue, Vec<Message>)> {
        self.dead_letters_for(core, group, dead, "no attempts left")
    }

    pub(super) fn dead_letters_for(
        &self,
        core: &mut Core,
        group: &Group,
        dead: &[(StoredMessage, u32)],
        reason: &str,
    ) -> Result<(LogQueue, Vec<Message>)> {
        if dead.is_empty() || !group.spec.keeps_dead_letters() {
            return Ok((LogQueue(0), Vec::new()));
        }
        let topic = self.make_topic(core, &group.name.dead_letter_topic(), 1)?;
        let Some(queue) = topic.log_queue(QueueId(0)) else {
            return Err(Error::internal("a topic without queues"));
        };
        let copies = dead.iter().map(|(message, deliveries)| {
            let mut copy = moved_for(message, reason)?;
            copy.attempt += deliveries;
            copy.deliver_at = None;
            Ok(copy)
        });
        Ok((queue, copies.collect::<Result<_>>()?))
    }
}

/// A copy for another queue, which says why it is there.
pub(super) fn moved_for(message: &StoredMessage, reason: &str) -> Result<Message> {
    let mut copy = moved(message);
    let mut headers = copy.headers.without(&[REASON]);
    headers.push(REASON, Some(reason.as_bytes()))?;
    copy.headers = headers.build();
    Ok(copy)
}

/// A copy for another queue, which remembers where the message first stood.
fn moved(message: &StoredMessage) -> Message {
    let mut copy = message.message.clone();
    if copy.origin.is_none() {
        let position =
            Position { topic: message.topic.clone(), queue: message.queue, offset: message.offset };
        copy.origin = Some(Box::new(Origin { position, locator: message.locator }));
    }
    copy
}

fn no_message(locator: u64) -> Error {
    Error::new(ErrorKind::MessageNotFound, format!("there is no message at {locator}"))
}
