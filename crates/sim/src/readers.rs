//! Cursors, which nobody stores, and the lives of messages, told from what lies in the log.

use crate::node::{Asked, Check, Node, now};
use crate::tally;
use sluice_broker::{Cursor, SetOffset, StartAt, TraceRequest};
use sluice_model::{ErrorKind, Filter, GroupName, QueueId, TopicName};
use std::time::Duration;

/// Cursors at most.
const CURSORS: usize = 4;

impl Node {
    /// A cursor is made, or read on from.
    pub fn some_cursor(&mut self, topic: &TopicName) -> Check {
        if self.cursors.len() < CURSORS && self.dice.below(3) == 0 {
            let filter = if self.dice.below(3) == 0 { Filter::Tags(vec!["red".into()]) } else { Filter::All };
            let start = if self.dice.coin() { StartAt::Earliest } else { StartAt::Latest };
            let cursor = now(self.broker.cursor(&self.me, topic, filter, start, None))?;
            return match cursor {
                Ok(cursor) => {
                    self.cursors.push(cursor);
                    Ok(())
                }
                Err(error) => self.refused("cursor", &error, &[ErrorKind::TopicNotFound]),
            };
        }
        if self.cursors.is_empty() {
            return Ok(());
        }
        let n = self.dice.below(self.cursors.len() as u64) as usize;
        let mut cursor = self.cursors.swap_remove(n);
        let (before, max) = (cursor.positions.clone(), 1 + self.dice.below(8) as usize);
        let (broker, me) = (self.broker.clone(), self.me.clone());
        let read = now(broker.poll(&me, &mut cursor, max, Duration::ZERO))?;
        let messages = match read {
            Ok(messages) => messages,
            Err(error) => return self.refused("poll", &error, &[ErrorKind::TopicNotFound]),
        };
        self.trace.note(format_args!("poll {} {}", cursor.topic, messages.len()));
        for message in &messages {
            let queue = self.queue_of(&cursor.topic, message.queue)?;
            self.shown(queue, message.offset, message.locator, &message.message.body_or_empty())?;
        }
        let got: Vec<_> = messages.iter().map(|message| (message.queue, message.offset)).collect();
        self.passed_over(&cursor, &before, &got)?;
        self.cursors.push(cursor);
        Ok(())
    }

    fn queue_of(&self, topic: &TopicName, id: QueueId) -> Check<u32> {
        let queues = self.model.topics.get(topic).map(|topic| &topic.queues);
        queues
            .and_then(|queues| queues.get(id.0 as usize))
            .copied()
            .ok_or_else(|| format!("{topic} has no queue {id}"))
    }

    /// What lies between a cursor's old place and its new one was given, in order, or was not wanted.
    fn passed_over(&mut self, cursor: &Cursor, before: &[u64], got: &[(QueueId, u64)]) -> Check {
        for (id, to) in (0..).zip(&cursor.positions) {
            let Ok(queue) = self.queue_of(&cursor.topic, QueueId(id)) else { continue };
            let from = before.get(id as usize).copied().unwrap_or(0).max(self.bounds(queue).0);
            let given: Vec<u64> =
                got.iter().filter(|(of, _)| of.0 == id).map(|(_, offset)| *offset).collect();
            let now = self.now();
            let messages = self.model.queues.get(&queue).into_iter();
            let wanted = messages.flat_map(|all| all.range(from..(*to).max(from))).filter(|(_, stored)| {
                let stale = stored.message.expires_at.is_some_and(|at| at <= now);
                !stale && !self.model.is_hidden(stored) && cursor.filter.matches(&stored.message)
            });
            let wanted: Vec<u64> = wanted.map(|(offset, _)| *offset).collect();
            if given != wanted {
                let topic = &cursor.topic;
                return Err(format!(
                    "a cursor on {topic} {id} from {from} to {to} gives {given:?}, not {wanted:?}"
                ));
            }
        }
        self.checked(tally::READ_COMMITTED);
        Ok(())
    }

    /// Asks for the life of some message that can be read.
    pub fn some_trace(&mut self, topic: &TopicName) -> Check {
        self.commit()?;
        let Some(queue) = self.first_queue(topic).filter(|_| !self.is_down()) else { return Ok(()) };
        let (min, next) = self.bounds(queue);
        let some = min + self.dice.below(next - min);
        let messages = self.model.queues.get(&queue).into_iter().flat_map(|all| all.range(some..next));
        // The ids of what is packed are the broker's.
        let mut messages = messages.filter(|(_, stored)| !stored.packed && !self.model.is_hidden(stored));
        let Some((id, lsn)) = messages.next().map(|(_, m)| (m.message.id.clone(), m.locator)) else {
            return Ok(());
        };
        let request = TraceRequest { topic: Some(topic), id: &id.text(), after: None };
        let told = now(self.broker.trace(&self.me.clone(), &request))?;
        self.trace.note(format_args!("trace {id}"));
        self.checked(tally::FOUND);
        match told {
            Ok(told) if told.messages.iter().any(|m| m.locator == lsn) && !told.events.is_empty() => Ok(()),
            Ok(told) => Err(format!("the life of {id} at {lsn} is told as {told:?}")),
            Err(error) => self.refused("trace", &error, &[]),
        }
    }

    /// A group is put at a place, if it is where it is expected to be.
    pub fn set_offset(&mut self, group: &GroupName, topic: &TopicName) -> Check {
        let Some(queue) = self.first_queue(topic) else { return Ok(()) };
        let (min, next) = self.bounds(queue);
        let offset = min + self.dice.below(next - min + 1);
        let number = self.model.group_number(group);
        let place = |node: &Self| {
            let progress = node.model.progress.get(&(number?, queue));
            progress.map(|progress| progress.committed())
        };
        let (known, dry_run) = (place(self), self.dice.below(4) == 0);
        let expected = match self.dice.below(3) {
            0 => None,
            1 => known,
            _ => Some(self.dice.below(next + 1)),
        };
        let places = vec![SetOffset { topic: topic.clone(), queue: QueueId(0), offset, expected }];
        let (broker, me, group) = (self.broker.clone(), self.me.clone(), group.clone());
        let call = async move { broker.set_offsets(&me, &group, &places, dry_run).await };
        let kinds = [ErrorKind::TopicNotFound, ErrorKind::GroupNotFound, ErrorKind::Conflict];
        let is_met = expected.is_none() || expected == known;
        let kinds = if is_met { &kinds[..2] } else { &kinds[..] };
        self.begin_call("set offset", &Asked { moves: true, ..Asked::default() }, call, kinds)?;
        let after = place(self);
        let right = if !is_met || dry_run { after == known } else { after == known || after == Some(offset) };
        if right {
            Ok(())
        } else {
            Err(format!("a group is put from {known:?} to {after:?}, and not {offset}"))
        }
    }
}
