//! The broker beside the model: what is readable, where groups are, and what is left at the end.

use crate::asking::GATE;
use crate::node::{Check, Node, now};
use crate::ordered::lease_of;
use crate::tally;
use sluice_broker::{FindRequest, PullRequest, ReceiveRequest, SearchBy, StartAt};
use sluice_model::{ErrorKind, Filter, GroupName, Message, Offset, QueueId, StoredMessage, TopicName};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// At most so many messages at once.
const MANY: usize = 64;
/// Rounds of receiving until nothing may be left.
const ROUNDS: usize = 400;

impl Node {
    /// Compares everything that can be seen. What waits to be written is written first.
    pub fn compare(&mut self) -> Check {
        self.can_read();
        self.commit()?;
        if self.is_down() {
            return Ok(());
        }
        let topics: Vec<(TopicName, Vec<u32>)> =
            self.model.topics.iter().map(|(name, topic)| (name.clone(), topic.queues.clone())).collect();
        for (topic, queues) in topics {
            for (id, queue) in (0..).zip(queues) {
                self.compare_queue(&topic, QueueId(id), queue)?;
            }
        }
        self.compare_transactions()?;
        self.compare_catalog()?;
        self.compare_access()?;
        self.compare_notes()?;
        self.compare_named()?;
        self.compare_settings()?;
        self.compare_views()?;
        self.compare_progress()
    }

    fn compare_queue(&mut self, topic: &TopicName, id: QueueId, queue: u32) -> Check {
        let (min, next) = self.bounds(queue);
        let messages = self.model.queues.get(&queue).cloned().unwrap_or_default();
        let floor = self.model.floors.get(&queue).copied().unwrap_or_default();
        if min < floor {
            return Err(format!("{topic} {id} begins at {min}, but was cut off below {floor}"));
        }
        let gone =
            messages.range(floor.min(min)..min).find(|(_, stored)| !self.may_be_trimmed(stored.stored));
        if let Some((offset, _)) = gone {
            return Err(format!("offset {offset} of {topic} {id} is gone before its time"));
        }
        // By the model alone: what it says is decided can be read, whatever the log says that it holds.
        let stable = self.model.stable(queue, self.model.next_offset(queue)).max(min);
        let hidden = messages.iter().filter(|(_, stored)| self.model.is_hidden(stored));
        let hidden: BTreeSet<Offset> = hidden.map(|(offset, _)| *offset).collect();
        let mut wanted = messages.range(min..stable).filter(|(offset, _)| !hidden.contains(offset));
        let mut from = min;
        while from < next {
            let Some(pulled) = self.pull(topic, id, from, MANY)? else { return Ok(()) };
            for message in &pulled.messages {
                let same = wanted.next().is_some_and(|(offset, stored)| {
                    *offset == message.offset
                        && stored.locator == message.locator
                        && stored.is(&message.message)
                });
                if !same {
                    return Err(format!("{topic} {id}: offset {} is not what it should be", message.offset));
                }
            }
            for message in pulled.messages.first().into_iter().chain(pulled.messages.last()) {
                self.compare_found(topic, message)?;
            }
            if pulled.next <= from {
                return Err(format!("{topic} {id}: reading stands still at {from} before {next}"));
            }
            from = pulled.next;
        }
        match wanted.next() {
            Some((offset, _)) => Err(format!("{topic} {id}: offset {offset} is missing")),
            None => {
                self.checked(tally::OFFSETS);
                self.compare_packed(topic, id, queue)
            }
        }
    }

    /// A message is found by its id, in the segment that is written to as in sealed ones, before a crash and after.
    fn compare_found(&mut self, topic: &TopicName, wanted: &StoredMessage) -> Check {
        let id = &*wanted.message.id.text();
        let mut request = FindRequest::new(topic, id, SearchBy::Id, MANY);
        (request.from, request.to) = (wanted.stored, wanted.stored);
        let found = now(self.broker.find(&self.me, &request))?;
        let Some(found) = self.found("search", found)? else { return Ok(()) };
        self.checked(tally::FOUND);
        if found.messages.iter().filter(|message| *message == wanted).count() == 1 {
            return Ok(());
        }
        Err(format!("{topic}: {id} at {} is not found by its id, but {:?}", wanted.locator, found.messages))
    }

    /// Reads from a queue, and takes note of what is shown; nothing when the disk has stopped.
    pub fn pull(
        &mut self,
        topic: &TopicName,
        id: QueueId,
        offset: Offset,
        max: usize,
    ) -> Check<Option<sluice_broker::Pulled>> {
        let request = PullRequest {
            topic,
            queue: id,
            offset,
            max,
            max_bytes: usize::MAX,
            filter: &Filter::All,
            group: None,
            wait: Duration::ZERO,
        };
        let mut pulled = now(self.broker.pull(&self.me, &request))?;
        if self.was_unreadable && pulled.as_ref().is_err_and(|e| e.kind() == ErrorKind::Unavailable) {
            self.can_read();
            pulled = now(self.broker.pull(&self.me, &request))?;
        }
        let Some(pulled) = self.found("pull", pulled)? else { return Ok(None) };
        let queue = self.model.topics.get(topic).and_then(|t| t.queues.get(id.0 as usize)).copied();
        let queue = queue.ok_or_else(|| format!("{topic} has no queue {id}"))?;
        for message in &pulled.messages {
            let body = message.message.body_or_empty();
            self.shown(queue, message.offset, message.locator, &body)?;
        }
        Ok(Some(pulled))
    }

    fn compare_progress(&mut self) -> Check {
        let groups: Vec<(u32, GroupName)> =
            self.model.groups.iter().map(|(number, group)| (*number, group.name.clone())).collect();
        for (number, name) in groups {
            let rows =
                self.broker.progress(&self.me, &name, None).map_err(|e| format!("no progress: {e:?}"))?;
            let mut found = BTreeMap::new();
            for row in rows {
                let topic = self.model.topics.get(&row.topic).ok_or("progress on an unknown topic")?;
                let queue = *topic.queues.get(row.queue.0 as usize).ok_or("progress on an unknown queue")?;
                found.insert(queue, (row.committed, row.in_flight));
            }
            let wanted: BTreeMap<u32, (Offset, usize)> = self
                .model
                .progress
                .iter()
                .filter(|((group, _), _)| *group == number)
                .map(|((_, queue), progress)| (*queue, (progress.committed(), progress.in_flight())))
                .collect();
            if found != wanted {
                return Err(format!("group {name} is at {found:?}, not at {wanted:?}"));
            }
            self.checked(tally::PROGRESS);
        }
        Ok(())
    }

    /// Lets time pass and everything be consumed: at the end nothing may be left, and nothing may be missing.
    pub fn drain(&mut self) -> Check {
        self.vfs.heal();
        self.vfs.set_capacity(1 << 40);
        (self.is_full, self.was_full, self.was_unreadable) = (false, false, false);
        // The holders' deliveries come back.
        let asked = self.all_held();
        self.holders.clear();
        self.absorb(&asked)?;
        self.live.clear();
        self.absorb(&crate::node::Asked::default())?;
        self.clock.advance(3600 * 1000);
        self.latest = self.latest.max(self.now());
        self.tune(vec![sluice_broker::Setting::AutoCreate(true)], &[])?;
        self.commit()?;
        self.accepts_again()?;
        self.give_all_up()?;
        self.end_overdue()?;
        if self.model.spans.named.values().any(|known| known.open.is_some()) {
            return Err("a transaction is open for longer than it may be".to_owned());
        }
        self.fire()?;
        self.commit()?;
        if !self.model.timers.is_empty() {
            return Err(format!("{} timers have not fired", self.model.timers.len()));
        }
        self.checked(tally::TIMERS_ONCE);
        let groups: Vec<GroupName> = self
            .model
            .groups
            .values()
            .map(|group| group.name.clone())
            .filter(|name| name.as_str() != GATE)
            .collect();
        let topics: Vec<TopicName> = self.model.topics.keys().cloned().collect();
        for group in &groups {
            for topic in topics.iter().filter(|t| {
                t.retry_group().is_none() && t.dead_letter_group().is_none() && !Self::is_undecided(t)
            }) {
                self.consume_all(group, topic)?;
            }
        }
        self.compare()?;
        self.nothing_is_missing()
    }

    /// Once there is space again, messages are accepted without a restart. The append that is refused last has the log
    /// look at the space.
    fn accepts_again(&mut self) -> Check {
        for last in [false, true] {
            let topic = TopicName::new("orders").map_err(|e| format!("{e:?}"))?;
            let message = self.message();
            let sent = self.broker.send(
                &self.me.clone(),
                sluice_broker::SendRequest::one(topic, Message { deliver_at: None, ..message }),
            );
            self.absorb(&crate::node::Asked::default())?;
            match sent {
                Err(error) if last => return Err(format!("there is space, but: {error:?}")),
                _ => while self.spy.log.keep_files() {},
            }
        }
        if !self.broker.accepts_messages() {
            return Err("there is space, but told is that messages are refused".to_owned());
        }
        self.commit()
    }

    fn consume_all(&mut self, group: &GroupName, topic: &TopicName) -> Check {
        for _ in 0..ROUNDS {
            while self.spy.log.keep_files() {}
            self.commit()?;
            let request = ReceiveRequest {
                group,
                topic,
                filter: &Filter::All,
                max: MANY,
                lease: lease_of(group, Duration::from_secs(30)),
                wait: Duration::ZERO,
                start: StartAt::Earliest,
                create: None,
            };
            if self.receive(&request, None)? == 0 && self.receive(&request, None)? == 0 {
                return Ok(());
            }
            while let Some(receipt) = self.receipts.pop() {
                self.ack(&receipt)?;
            }
        }
        Err(format!("group {group} never comes to the end of {topic}"))
    }

    /// Every acknowledged message is in its topic once; or it is old, or its topic was deleted.
    fn nothing_is_missing(&mut self) -> Check {
        let mut count: BTreeMap<u64, u32> = BTreeMap::new();
        let mut undecided: BTreeMap<u64, u32> = BTreeMap::new();
        for (queue, messages) in &self.model.queues {
            let of = self.model.owner(*queue).map(|(topic, ..)| topic);
            if of.is_some_and(Self::is_undecided) {
                for stored in messages.values() {
                    *undecided.entry(crate::verbs::number_of(&stored.message)).or_default() += 1;
                }
            } else if of.is_some_and(|t| t.retry_group().is_none() && t.dead_letter_group().is_none()) {
                for stored in messages.values() {
                    *count.entry(crate::verbs::number_of(&stored.message)).or_default() += 1;
                }
            }
        }
        for number in self.acknowledged() {
            let found = count.get(&number).copied().unwrap_or(0);
            let wanted = u32::from(!self.model.recalled.contains(&number));
            if found != wanted && !self.may_be_elsewhere(number) {
                return Err(format!("message {number} is there {found} times"));
            }
        }
        for (number, (wanted, given_up)) in self.outcomes() {
            let in_topics = count.get(&number).copied().unwrap_or(0);
            let apart = undecided.get(&number).copied().unwrap_or(0);
            let right =
                if given_up { in_topics == 0 && apart == wanted } else { apart == 0 && in_topics == wanted };
            let recalled = self.model.recalled.contains(&number);
            if !right && !recalled && !self.may_be_elsewhere(number) {
                return Err(format!(
                    "message {number} of a transaction is there {in_topics} times, {apart} undecided"
                ));
            }
        }
        self.checked(tally::NOTHING_LOST);
        Ok(())
    }

    fn may_be_elsewhere(&self, number: u64) -> bool {
        // What went to a topic that was deleted since, or waited for one.
        self.doomed.contains(&number)
    }
}
