//! Taking waiting messages back, cutting queues off, sending dead letters again; and looking, which changes nothing.

use crate::node::{Asked, Check, Node, now};
use crate::tally;
use sluice_broker::{RedriveRequest, StartAt};
use sluice_model::{ErrorKind, GroupName, QueueId, TopicName};
use std::collections::BTreeSet;

impl Node {
    /// Takes a message back that waits for its time, or once waited for it.
    pub fn some_recall(&mut self) -> Check {
        let n = self.dice.below(self.waiting.len() as u64) as usize;
        let Some((topic, due, lsn)) = self.waiting.get(n).cloned() else { return Ok(()) };
        if self.dice.below(4) > 0 {
            self.waiting.swap_remove(n);
        }
        let waits =
            self.model.timers.get(&(due, lsn)).is_some_and(|timer| {
                self.model.owner(timer.target).is_some_and(|(owner, ..)| *owner == topic)
            });
        let recalled = now(self.broker.recall(&self.me.clone(), &topic, due, lsn))?;
        let groups = self.absorb(&Asked { recalls: Some((due, lsn)), ..Asked::default() })?;
        self.trace.note(format_args!("recall {due} {lsn} {waits}"));
        match recalled {
            Ok(promise) if waits => {
                self.promised(promise, &groups, Vec::new());
                Ok(())
            }
            Ok(_) => Err(format!("the message at {lsn} is taken back, but does not wait")),
            Err(error) => {
                let expected: &[ErrorKind] = if waits { &[] } else { &[ErrorKind::MessageNotFound] };
                self.refused("recall", &error, expected)
            }
        }
    }

    /// Delayed messages whose time is far are put aside, those that are written already.
    pub fn put_aside(&mut self) -> Check {
        // What is not written yet stays.
        if self.dice.below(4) > 0 {
            self.commit()?;
        }
        let aside = now(self.broker.put_far_aside())?;
        self.absorb(&Asked::default())?;
        self.trace.note(format_args!("put aside {:?}", aside.as_ref().ok()));
        match aside {
            Ok(_) => Ok(()),
            Err(error) => self.refused("put aside", &error, &[]),
        }
    }

    pub fn truncate(&mut self, topic: &TopicName, to: StartAt) -> Check {
        let (broker, me, topic) = (self.broker.clone(), self.me.clone(), topic.clone());
        let call = async move { broker.truncate(&me, &topic, to, false).await };
        let asked = Asked { cuts: true, ..Asked::default() };
        self.begin_call("truncate", &asked, call, &[ErrorKind::TopicNotFound])
    }

    /// Cuts one queue at an offset, or at its end.
    pub fn truncate_queue(&mut self, topic: &TopicName) -> Check {
        let Some(queue) = self.first_queue(topic) else { return Ok(()) };
        let (min, next) = self.bounds(queue);
        // Rather little, so that something is left.
        let below = (self.dice.below(8) > 0).then(|| min + self.dice.below((next - min) / 4 + 2));
        let (broker, me, topic) = (self.broker.clone(), self.me.clone(), topic.clone());
        let call = async move { broker.truncate_queue(&me, &topic, QueueId(0), below).await };
        let expected: &[ErrorKind] =
            if below.is_some_and(|below| below > next) { &[ErrorKind::OffsetOutOfRange] } else { &[] };
        self.begin_call("truncate queue", &Asked { cuts: true, ..Asked::default() }, call, expected)
    }

    pub fn redrive(&mut self, group: &GroupName) -> Check {
        self.commit()?;
        let (broker, me, group) = (self.broker.clone(), self.me.clone(), group.clone());
        let call = async move {
            let request = RedriveRequest { group: &group, ids: None, limit: 16, dry_run: false };
            match broker.redrive(&me, &request).await {
                // Deleted between two of its steps.
                Err(error) if error.kind() == ErrorKind::GroupNotFound => Ok(()),
                done => done.map(drop),
            }
        };
        self.begin_call("redrive", &Asked::default(), call, &[ErrorKind::GroupNotFound])
    }

    /// What can be looked at is what the model says.
    pub fn some_look(&mut self, topic: &TopicName, group: &GroupName) -> Check {
        self.can_read();
        self.commit()?;
        if self.is_down() {
            return Ok(());
        }
        self.compare_transactions()?;
        self.look_at_letters(group)?;
        self.look_at_times(topic)
    }

    /// The dead letters of a group are those that died and were not sent again.
    fn look_at_letters(&mut self, group: &GroupName) -> Check {
        let Some(queue) =
            self.model.topics.get(&group.dead_letter_topic()).and_then(|t| t.queues.first()).copied()
        else {
            return Ok(());
        };
        if self.model.group_number(group).is_none() {
            return Ok(());
        }
        let letters = now(self.broker.dead_letters(&self.me.clone(), group, Vec::new(), usize::MAX))?;
        let Some((letters, _)) = self.found("dead letters", letters)? else { return Ok(()) };
        let found: BTreeSet<u64> = letters.iter().map(|letter| letter.offset).collect();
        let (min, next) = self.bounds(queue);
        let stored = self.model.queues.get(&queue).into_iter().flat_map(|messages| messages.range(min..next));
        let wanted: BTreeSet<u64> = stored
            .map(|(offset, _)| *offset)
            .filter(|offset| !self.model.redriven.contains(&(queue, *offset)))
            .collect();
        self.checked(tally::DEAD_LETTERS);
        if found == wanted {
            Ok(())
        } else {
            Err(format!("{group} has the dead letters {found:?}, not {wanted:?}"))
        }
    }

    /// A time leads to the first message stored then or later, and every message lies where it says.
    fn look_at_times(&mut self, topic: &TopicName) -> Check {
        let Some(queue) = self.model.topics.get(topic).and_then(|t| t.queues.first()).copied() else {
            return Ok(());
        };
        let time = self.now().saturating_sub(self.dice.below(120_000));
        let at = now(self.broker.offset_at(&self.me.clone(), topic, QueueId(0), time))?;
        let Some(at) = self.found("offset of a time", at)? else { return Ok(()) };
        let (min, next) = self.bounds(queue);
        let messages = self.model.queues.get(&queue).cloned().unwrap_or_default();
        let mut visible = messages.range(min..next).filter(|(_, stored)| !self.model.is_hidden(stored));
        let wanted = visible.find(|(_, stored)| stored.stored >= time);
        let wanted_at = wanted.map_or(next, |(offset, _)| *offset);
        self.checked(tally::FOUND);
        // What is cut off still counts: then it is the first that can be read. So do aborted messages and the ends of
        // transactions, behind which a clock that was set back may have stored earlier ones.
        let is_visible = |offset: u64| messages.get(&offset).is_some_and(|s| !self.model.is_hidden(s));
        let hidden = messages.range(..min).any(|(_, stored)| stored.stored >= time);
        if at != wanted_at && (at > wanted_at || is_visible(at)) && !(hidden && at == min) {
            return Err(format!("{topic} at {time} begins at {at}, not at {wanted_at} ({min}, {next})"));
        }
        let Some((_, stored)) = wanted else { return Ok(()) };
        let found = now(self.broker.message_at(&self.me.clone(), stored.locator))?;
        match self.found("message at a place", found)? {
            Some(found) if !stored.is(&found.message) => {
                Err(format!("the message at {} is {found:?}", stored.locator))
            }
            _ => Ok(()),
        }
    }
}
