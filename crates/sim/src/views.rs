//! What is told of one topic, one queue, one group: the same as the model, and as the lists say.

use crate::node::{Check, Node, now};
use crate::tally;
use sluice_broker::{GroupHabits, ProducerId};
use sluice_model::{ErrorKind, GroupName, Millis, Offset, QueueId, TopicName};
use std::collections::BTreeSet;

/// Who numbers what it sends: by what it is known, the number of its last message, when that was stored, and where its open
/// transaction begins.
type SenderRow = (u64, u16, u32, Millis, Option<Offset>);

impl Node {
    /// Looks at each topic, queue and group by itself.
    pub fn compare_views(&mut self) -> Check {
        let topics: Vec<(TopicName, Vec<u32>)> =
            self.model.topics.iter().map(|(name, topic)| (name.clone(), topic.queues.clone())).collect();
        let groups: Vec<GroupName> = self.model.groups.values().map(|group| group.name.clone()).collect();
        for (topic, queues) in &topics {
            self.compare_topic(topic, queues)?;
            self.compare_sizes(topic, queues)?;
            for (id, queue) in (0..).map(QueueId).zip(queues) {
                self.compare_bounds(topic, id, *queue)?;
                self.compare_senders(topic, id, *queue)?;
                groups.iter().try_for_each(|group| self.compare_committed(group, topic, id, *queue))?;
            }
        }
        groups.iter().try_for_each(|group| self.compare_group(group))?;
        self.compare_consumers()?;
        self.compare_unknown()?;
        self.nothing_is_damaged()?;
        self.checked(tally::VIEWS);
        Ok(())
    }

    fn compare_topic(&self, name: &TopicName, queues: &[u32]) -> Check {
        let view = self.broker.topic(&self.me, name).map_err(|error| format!("no {name}: {error:?}"))?;
        let bounds: Vec<_> = queues.iter().map(|queue| self.bounds(*queue)).collect();
        let topic = self.model.topics.get(name);
        let is_right = topic.is_some_and(|topic| {
            (&view.name, &view.spec, view.created) == (name, &topic.spec, topic.created)
                && view.bounds == bounds
        });
        if is_right { Ok(()) } else { Err(format!("{name} is {view:?}, not {topic:?} with {bounds:?}")) }
    }

    fn compare_group(&self, name: &GroupName) -> Check {
        let view = self.broker.group(&self.me, name).map_err(|error| format!("no {name}: {error:?}"))?;
        let (group, number) = (self.model.group(name), self.model.group_number(name));
        let read = self.model.progress.keys().filter(|(of, _)| Some(*of) == number);
        let read: BTreeSet<TopicName> =
            read.filter_map(|(_, queue)| Some(self.model.owner(*queue)?.0.clone())).collect();
        let members = self.live.members(name).len();
        let is_right = group.is_some_and(|group| {
            (&view.name, &view.spec, view.created) == (name, &group.spec, group.created)
                && view.members == members
                && view.topics.iter().eq(&read)
        });
        if !is_right {
            return Err(format!("{name} is {view:?}, not {group:?} with {members} members and {read:?}"));
        }
        let habits = |group: &crate::model::GroupState| {
            let (lease, subscription) = (group.spec.lease(), group.spec.subscription());
            GroupHabits { lease, subscription }
        };
        let (found, wanted) = (self.broker.habits(name), group.map(habits));
        if found == wanted { Ok(()) } else { Err(format!("{name} receives as {found:?}, not {wanted:?}")) }
    }

    fn compare_bounds(&self, topic: &TopicName, id: QueueId, queue: u32) -> Check {
        let failed = |error| format!("no bounds of {topic} {id}: {error:?}");
        let (min, end) = self.whole_bounds(queue);
        let stable = self.bounds(queue).1;
        let whole = self.broker.whole_bounds(&self.me, topic, id).map_err(failed)?;
        if (whole.min, whole.stable, whole.end) != (min, stable, end) {
            return Err(format!("{topic} {id} has {whole:?}, not {min}, {stable} and {end}"));
        }
        let bounds = self.broker.bounds(&self.me, topic, id).map_err(failed)?;
        match bounds == (min, stable) {
            true => Ok(()),
            false => Err(format!("{topic} {id} has {bounds:?}, not {min} to {stable}")),
        }
    }

    /// The bytes of log that queues take are those of their entries. Of what was cut off, some may be counted still.
    fn compare_sizes(&mut self, topic: &TopicName, queues: &[u32]) -> Check {
        let sizes = now(self.broker.queue_sizes(&self.me, topic))?;
        let Some(sizes) = self.found("sizes of queues", sizes)? else { return Ok(()) };
        if sizes.len() != queues.len() {
            return Err(format!("{topic} has {} queues, not {}", sizes.len(), queues.len()));
        }
        for (queue, found) in queues.iter().zip(sizes) {
            let (min, _) = self.whole_bounds(*queue);
            let of = |from: Offset| {
                let entries = self.model.entries.get(queue).into_iter().flatten();
                entries.filter(|(_, (end, _))| *end > from).map(|(_, (_, size))| size).sum::<u64>()
            };
            let most = of(if self.model.floors.contains_key(queue) { 0 } else { min });
            if !(of(min)..=most).contains(&found) {
                return Err(format!(
                    "queue {queue} of {topic} takes {found} bytes, not {} to {most}",
                    of(min)
                ));
            }
        }
        Ok(())
    }

    fn compare_senders(&self, topic: &TopicName, id: QueueId, queue: u32) -> Check {
        let senders = self.broker.senders(&self.me, topic, id);
        let senders = senders.map_err(|error| format!("no senders to {topic} {id}: {error:?}"))?;
        let rows = senders.into_iter().map(|view| {
            let ProducerId { number, epoch } = view.id;
            (number, epoch, view.last, view.at, view.begin)
        });
        let mut found: Vec<SenderRow> = rows.collect();
        found.sort_unstable();
        let open = self.model.spans.queues.get(&queue).map(|here| &here.open);
        let own = self.model.numbered.range((queue, 0)..=(queue, u64::MAX));
        let wanted = own.filter_map(|((_, number), batches)| {
            let last = batches.last()?;
            let begin = open.and_then(|open| open.get(number)).copied();
            Some((*number, last.epoch, last.next() - 1, last.at, begin))
        });
        let wanted: Vec<SenderRow> = wanted.collect();
        match found == wanted {
            true => Ok(()),
            false => Err(format!("to {topic} {id} send {found:?}, not {wanted:?}")),
        }
    }

    fn compare_committed(&self, group: &GroupName, topic: &TopicName, id: QueueId, queue: u32) -> Check {
        let found =
            self.broker.committed(&self.me, group, topic, id).map_err(|error| format!("{error:?}"))?;
        let number = self.model.group_number(group);
        let progress = number.and_then(|number| self.model.progress.get(&(number, queue)));
        let wanted = progress.map(|progress| progress.committed());
        match found == wanted {
            true => Ok(()),
            false => Err(format!("{group} on {topic} {id} is at {found:?}, not at {wanted:?}")),
        }
    }

    /// Of what is not there, nothing is told.
    fn compare_unknown(&self) -> Check {
        let (topic, group) = (crate::steps::topic("nowhere")?, crate::steps::group("nobody")?);
        let of_topic = self.broker.topic(&self.me, &topic).map(drop).map_err(|error| error.kind());
        let of_group = self.broker.group(&self.me, &group).map(drop).map_err(|error| error.kind());
        let wanted = (Err(ErrorKind::TopicNotFound), Err(ErrorKind::GroupNotFound));
        if (of_topic, of_group) != wanted || self.broker.habits(&group).is_some() {
            return Err(format!("what is not there is told of: {of_topic:?}, {of_group:?}"));
        }
        Ok(())
    }

    /// A disk that keeps what it was told has no damage, whatever crashed.
    fn nothing_is_damaged(&self) -> Check {
        let damages = self.broker.damages(&self.me).map_err(|error| format!("no damages: {error:?}"))?;
        if damages.is_empty() { Ok(()) } else { Err(format!("nothing is damaged, but told is {damages:?}")) }
    }
}
