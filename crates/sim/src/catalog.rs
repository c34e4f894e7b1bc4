//! Topics and groups: made, changed, made sure of, deleted if nobody would miss them; and what is told of them.

use crate::node::{Asked, Check, Node};
use crate::ordered::LINE;
use crate::steps::{BRIEF, group, topic};
use crate::tally;
use sluice_broker::{DeleteIf, GroupSpec, TopicSpec};
use sluice_model::units::Span;
use sluice_model::{ErrorKind, GroupName, Millis, Offset, TopicName};
use std::collections::BTreeSet;

/// What is told of a topic: its name, its settings, when it was made, and the bounds of its queues.
type TopicRow = (TopicName, TopicSpec, Millis, Vec<(Offset, Offset)>);
/// And of a group, with how many members it has, and the topics that it reads.
type GroupRow = (GroupName, GroupSpec, Millis, usize, BTreeSet<TopicName>);

impl Node {
    /// Something becomes of a topic that may go, or of a group.
    pub fn some_catalog(&mut self) -> Check {
        let (brief, line) = (topic(BRIEF)?, group(LINE)?);
        match self.dice.below(10) {
            0 | 1 if self.model.topics.contains_key(&brief) => self.delete_topic(&brief),
            2 => {
                let group = if self.dice.below(3) == 0 { self.some_stream()? } else { self.some_group()? };
                let dry_run = self.dice.below(4) == 0;
                self.delete_group(&group, dry_run)
            }
            3 | 4 => {
                let spec = GroupSpec::default().fifo(self.dice.below(4) > 0);
                self.put_group(&line, spec)
            }
            5 => self.delete_if_unmissed(&brief),
            6 => self.make_sure(&brief, &line),
            _ => {
                let queues = self.model.topics.get(&brief).map_or(1, |t| t.queues.len() as u32);
                // One that keeps its messages for longer than usual has the log keep those of the others, which are cut.
                let own = (self.dice.below(3) == 0).then(|| Span::secs(60 + self.dice.below(600)));
                self.put_topic(&brief, TopicSpec::with_queues((queues + 1).min(3)).retaining(own))
            }
        }
    }

    pub fn put_topic(&mut self, topic: &TopicName, spec: TopicSpec) -> Check {
        let (broker, me, topic) = (self.broker.clone(), self.me.clone(), topic.clone());
        let call = async move { broker.put_topic(&me, &topic, spec).await };
        self.begin_call("put topic", &Asked::default(), call, &[])
    }

    pub fn put_group(&mut self, group: &GroupName, spec: GroupSpec) -> Check {
        let (broker, me, group) = (self.broker.clone(), self.me.clone(), group.clone());
        let call = async move { broker.put_group(&me, &group, spec).await };
        self.begin_call("put group", &Asked::default(), call, &[])
    }

    fn delete_topic(&mut self, topic: &TopicName) -> Check {
        let (broker, me, topic) = (self.broker.clone(), self.me.clone(), topic.clone());
        let call = async move { broker.delete_topic(&me, &topic).await };
        self.begin_call("delete topic", &Asked::default(), call, &[ErrorKind::TopicNotFound])
    }

    /// What is not there is made; what is there stays as it is.
    fn make_sure(&mut self, topic: &TopicName, group: &GroupName) -> Check {
        let before = (self.model.topics.get(topic).cloned(), self.model.group(group).cloned());
        let made = self.broker.ensure_topic(&self.me, topic, 2);
        let made =
            made.and_then(|()| self.broker.ensure_group(&self.me, group, GroupSpec::default().fifo(true)));
        self.absorb(&Asked::default())?;
        self.trace.note(format_args!("make sure {}", made.is_ok()));
        let after = (self.model.topics.get(topic), self.model.group(group));
        let changed = before.0.as_ref().is_some_and(|before| after.0 != Some(before))
            || before.1.as_ref().is_some_and(|before| after.1 != Some(before));
        match made {
            _ if changed => Err(format!("{topic} or {group} is another after it was made sure of")),
            Ok(()) if after.0.is_none() || after.1.is_none() => {
                Err(format!("{topic} or {group} is not there although that was made sure of"))
            }
            Ok(()) => Ok(()),
            Err(error) => {
                let made = before.0.is_some() || self.may_make(Some(2));
                let expected: &[ErrorKind] = if made { &[] } else { &[ErrorKind::TopicNotFound] };
                self.refused("make sure", &error, expected)
            }
        }
    }

    /// Deletes a topic if it is empty, or if no group reads it, or only asks whether it would.
    fn delete_if_unmissed(&mut self, topic: &TopicName) -> Check {
        let (empty, unused, dry_run) = (self.dice.coin(), self.dice.coin(), self.dice.below(4) == 0);
        let queues = self.model.topics.get(topic).map(|t| t.queues.clone()).unwrap_or_default();
        let holds = |queue: &u32| {
            let (min, next) = self.whole_bounds(*queue);
            min < next
        };
        let holds = queues.iter().any(holds)
            || self.model.timers.values().any(|timer| queues.contains(&timer.target));
        let is_read = self.model.progress.keys().any(|(_, queue)| queues.contains(queue))
            || self.model.groups.values().any(|group| self.live.is_subscribed(&group.name, topic));
        let is_missed = empty && holds || unused && is_read;
        // Of what was put aside, only the last time is known.
        let may_be_missed = is_missed || empty;
        let (broker, me, name) = (self.broker.clone(), self.me.clone(), topic.clone());
        let call =
            async move { broker.delete_topic_if(&me, &name, DeleteIf { empty, unused, dry_run }).await };
        let expected = [ErrorKind::TopicNotFound, ErrorKind::Conflict];
        let expected = if may_be_missed { &expected[..] } else { &expected[..1] };
        self.begin_call("delete topic if", &Asked::default(), call, expected)?;
        let is_gone = !queues.is_empty() && !self.model.topics.contains_key(topic);
        match is_gone && (is_missed || dry_run) {
            true => Err(format!("{topic} is deleted, but it is missed or nobody asked for it")),
            false => Ok(()),
        }
    }

    fn delete_group(&mut self, group: &GroupName, dry_run: bool) -> Check {
        let was_there = self.model.group(group).is_some();
        let (broker, me, name) = (self.broker.clone(), self.me.clone(), group.clone());
        let plainly = !dry_run && self.dice.coin();
        let call = async move {
            match plainly {
                true => broker.delete_group(&me, &name).await,
                false => broker.delete_group_if(&me, &name, dry_run).await,
            }
        };
        self.begin_call("delete group", &Asked::default(), call, &[ErrorKind::GroupNotFound])?;
        match dry_run && was_there && self.model.group(group).is_none() {
            true => Err(format!("{group} is deleted, and nobody asked for it")),
            false => Ok(()),
        }
    }

    /// The topics and groups that are told of are those of the model.
    pub fn compare_catalog(&mut self) -> Check {
        let topics = self.broker.topics(&self.me, None, usize::MAX).map_err(|error| format!("{error:?}"))?;
        let found: Vec<TopicRow> =
            topics.into_iter().map(|view| (view.name, view.spec, view.created, view.bounds)).collect();
        let wanted = self.model.topics.iter().map(|(name, topic)| {
            let bounds = topic.queues.iter().map(|queue| self.bounds(*queue)).collect();
            (name.clone(), topic.spec.clone(), topic.created, bounds)
        });
        let wanted: Vec<TopicRow> = wanted.collect();
        if found != wanted {
            return Err(format!("the topics are {found:?}, not {wanted:?}"));
        }
        let groups = self.broker.groups(&self.me, None, usize::MAX).map_err(|error| format!("{error:?}"))?;
        let found = groups.into_iter().map(|view| {
            (view.name, view.spec, view.created, view.members, view.topics.into_iter().collect())
        });
        let found: Vec<GroupRow> = found.collect();
        let mut wanted: Vec<GroupRow> = Vec::new();
        for (number, group) in &self.model.groups {
            let read = self.model.progress.keys().filter(|(of, _)| of == number);
            let topics = read.filter_map(|(_, queue)| Some(self.model.owner(*queue)?.0.clone())).collect();
            let members = self.live.members(&group.name).len();
            wanted.push((group.name.clone(), group.spec.clone(), group.created, members, topics));
        }
        wanted.sort_by(|a, b| a.0.cmp(&b.0));
        self.checked(tally::CATALOG);
        if found == wanted { Ok(()) } else { Err(format!("the groups are {found:?}, not {wanted:?}")) }
    }
}
