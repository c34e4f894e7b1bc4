//! A group's place in each queue, shared by every wire.

use super::{Broker, Inner};
use crate::core::catalog::Topic;
use crate::core::record::Record;
use crate::core::state::Core;
use crate::{LogBounds, OffsetMoved, Progress, Promise, SetOffset, StartAt};
use sluice_auth::{Action, Session};
use sluice_model::{Error, ErrorKind, GroupName, Millis, Offset, QueueId, Result, TopicName};
use sluice_store::{Durability, LogQueue};
use std::sync::Arc;

impl Broker {
    /// Stores a group's offset on a queue: everything below is consumed. A lower one than before is a rewind. Makes the
    /// group when it is unknown. Permit: Sub on the group.
    ///
    /// # Errors
    /// `TopicNotFound`; `InvalidArgument` for a queue that the topic has not.
    pub fn commit_offset(
        &self,
        session: &Session,
        group: &GroupName,
        topic: &TopicName,
        queue: QueueId,
        offset: Offset,
    ) -> Result<Promise<()>> {
        let permit = self.0.group(session, &[Action::Sub, Action::Update], group)?;
        let inner = self.0.under(&permit);
        let (_, log) = inner.queue_of(topic, queue)?;
        let mut core = inner.core.lock();
        let group = inner.group_or_new(&mut core, group, StartAt::default())?;
        if core.progress(group.number, log).is_some_and(|p| p.committed() == offset && p.next() == offset) {
            return Ok(Promise::kept(()));
        }
        let record = Record::Offset { group: group.number, queue: log.0, offset };
        let ticket = inner.record(&mut core, &[record], Durability::Async)?;
        Ok(Promise::new(ticket.done, ()))
    }

    /// Puts a group at several places at once: all of them, or none. Returns its progress on everything. Permit: Sub or
    /// Update on the group.
    ///
    /// # Errors
    /// `GroupNotFound`, `TopicNotFound`; `InvalidArgument` for a queue that the topic has not; `Conflict` with an
    /// [`OffsetMoved`] as its source when the group is not where it was expected to be.
    pub async fn set_offsets(
        &self,
        session: &Session,
        group: &GroupName,
        places: &[SetOffset],
        dry_run: bool,
    ) -> Result<Vec<Progress>> {
        let permit = self.0.group(session, &[Action::Sub, Action::Update], group)?;
        let inner = self.0.under(&permit);
        let queues = places.iter().map(|place| Ok(inner.queue_of(&place.topic, place.queue)?.1));
        let queues: Vec<LogQueue> = queues.collect::<Result<_>>()?;
        let (progress, done) = inner.place_group(group, places, &queues, dry_run)?;
        if let Some(done) = done {
            done.await?;
            inner.arrivals.arrived(&queues);
        }
        Ok(progress)
    }

    /// A group's offset on a queue, if it has any. Permit: Sub or Get on the group.
    ///
    /// # Errors
    /// `PermissionDenied`. An unknown group, topic or queue has no offset.
    pub fn committed(
        &self,
        session: &Session,
        group: &GroupName,
        topic: &TopicName,
        queue: QueueId,
    ) -> Result<Option<Offset>> {
        let permit = self.0.group(session, &[Action::Sub, Action::Get], group)?;
        let inner = self.0.under(&permit);
        let core = inner.core.lock();
        let number = core.catalog.group(group).map(|g| g.number);
        let log = core.catalog.topic(topic).and_then(|t| t.log_queue(queue));
        Ok(number.zip(log).and_then(|(number, log)| core.progress(number, log)).map(|p| p.committed()))
    }

    /// A queue's first offset kept, and the one of the next message. Permit: Pub, Sub or Get on the topic.
    ///
    /// # Errors
    /// `TopicNotFound`; `InvalidArgument` for a queue that the topic has not.
    pub fn bounds(&self, session: &Session, topic: &TopicName, queue: QueueId) -> Result<(Offset, Offset)> {
        let permit = self.0.topic(session, &[Action::Sub, Action::Get, Action::Pub], topic)?;
        let inner = self.0.under(&permit);
        let (_, log) = inner.queue_of(topic, queue)?;
        let bounds = inner.log.bounds(log);
        Ok((bounds.min, bounds.next))
    }

    /// The same, as who reads everything sees it, and where what is decided ends. Permit: Pub, Sub or Get on the topic.
    ///
    /// # Errors
    /// `TopicNotFound`; `InvalidArgument` for a queue that the topic has not.
    pub fn whole_bounds(&self, session: &Session, topic: &TopicName, queue: QueueId) -> Result<LogBounds> {
        let permit = self.0.topic(session, &[Action::Sub, Action::Get, Action::Pub], topic)?;
        let inner = self.0.under(&permit);
        let (_, log) = inner.queue_of(topic, queue)?;
        Ok(inner.whole_bounds(log))
    }

    /// The first offset stored at `time` or later; the queue's end when there is none. Permit: Sub or Get on the topic.
    ///
    /// # Errors
    /// `TopicNotFound`; `InvalidArgument` for a queue that the topic has not.
    pub async fn offset_at(
        &self,
        session: &Session,
        topic: &TopicName,
        queue: QueueId,
        time: Millis,
    ) -> Result<Offset> {
        let permit = self.0.topic(session, &[Action::Sub, Action::Get], topic)?;
        let inner = self.0.under(&permit);
        let (_, queue) = inner.queue_of(topic, queue)?;
        let log = Arc::clone(&inner.log);
        super::log::blocking(move || log.offset_at(queue, time)).await
    }

    /// A group's progress on one topic, or on all that it has progress on. Permit: Sub or Get on the group.
    ///
    /// # Errors
    /// `GroupNotFound`, `TopicNotFound`.
    pub fn progress(
        &self,
        session: &Session,
        group: &GroupName,
        topic: Option<&TopicName>,
    ) -> Result<Vec<Progress>> {
        let permit = self.0.group(session, &[Action::Sub, Action::Get], group)?;
        let inner = self.0.under(&permit);
        if let Some(topic) = topic {
            inner.topic_of(topic)?;
        }
        let core = inner.core.lock();
        let number = core.catalog.group(group).ok_or_else(|| unknown_group(group))?.number;
        Ok(inner.progress_of(&core, number, topic))
    }

    /// Moves a group on a topic to `to`; with `dry_run` it only says where that is. Returns the progress as it is then.
    /// Permit: Update on the group, or Sub.
    ///
    /// # Errors
    /// `GroupNotFound`, `TopicNotFound`.
    pub async fn reset_offsets(
        &self,
        session: &Session,
        group: &GroupName,
        topic: &TopicName,
        to: StartAt,
        dry_run: bool,
    ) -> Result<Vec<Progress>> {
        let permit = self.0.group(session, &[Action::Update, Action::Sub], group)?;
        let inner = self.0.under(&permit);
        let topic = inner.topic_of(topic)?;
        let rules = Arc::clone(inner);
        let queues = topic.queues.clone();
        let starts = super::log::blocking(move || {
            queues.into_iter().map(|q| Ok((q, rules.start_of(q, to)?))).collect::<Result<Vec<_>>>()
        });
        let starts = starts.await?;
        let (progress, done) = inner.move_group(group, &topic, &starts, dry_run)?;
        if let Some(done) = done {
            done.await?;
            inner.arrivals.arrived(&topic.queues);
        }
        Ok(progress)
    }
}

impl Inner {
    fn place_group(
        &self,
        group: &GroupName,
        places: &[SetOffset],
        queues: &[LogQueue],
        dry_run: bool,
    ) -> Result<(Vec<Progress>, Option<sluice_store::Done>)> {
        let mut core = self.core.lock();
        let number = core.catalog.group(group).ok_or_else(|| unknown_group(group))?.number;
        for (at, (place, queue)) in places.iter().zip(queues).enumerate() {
            let committed = core.progress(number, *queue).map(|progress| progress.committed());
            if place.expected.is_some() && place.expected != committed {
                let moved = OffsetMoved { at, committed };
                return Err(Error::new(ErrorKind::Conflict, moved.to_string()).with_source(moved));
            }
        }
        if dry_run {
            let mut progress = self.progress_of(&core, number, None);
            for (place, queue) in places.iter().zip(queues) {
                progress.retain(|p| p.topic != place.topic || p.queue != place.queue);
                progress.push(self.would_be(&place.topic, place.queue, *queue, place.offset));
            }
            progress.sort_by(|a, b| (&a.topic, a.queue).cmp(&(&b.topic, b.queue)));
            return Ok((progress, None));
        }
        let records = places.iter().zip(queues);
        let records: Vec<_> = records
            .map(|(place, queue)| Record::Offset { group: number, queue: queue.0, offset: place.offset })
            .collect();
        let ticket = self.record(&mut core, &records, Durability::Sync)?;
        Ok((self.progress_of(&core, number, None), Some(ticket.done)))
    }

    /// What a group's progress on a queue would be at this offset.
    fn would_be(&self, topic: &TopicName, queue: QueueId, log: LogQueue, offset: Offset) -> Progress {
        let bounds = self.log.bounds(log);
        Progress {
            topic: topic.clone(),
            queue,
            committed: offset,
            min: bounds.min,
            end: bounds.next,
            in_flight: 0,
            last_consumed: None,
        }
    }

    fn move_group(
        &self,
        group: &GroupName,
        topic: &Topic,
        starts: &[(LogQueue, Offset)],
        dry_run: bool,
    ) -> Result<(Vec<Progress>, Option<sluice_store::Done>)> {
        let mut core = self.core.lock();
        let number = core.catalog.group(group).ok_or_else(|| unknown_group(group))?.number;
        if dry_run {
            let would_be = topic.each_queue().zip(starts);
            let would_be =
                would_be.map(|((queue, log), (_, offset))| self.would_be(&topic.name, queue, log, *offset));
            return Ok((would_be.collect(), None));
        }
        let records: Vec<_> = starts
            .iter()
            .map(|(q, offset)| Record::Offset { group: number, queue: q.0, offset: *offset })
            .collect();
        let ticket = self.record(&mut core, &records, Durability::Sync)?;
        Ok((self.progress_of(&core, number, Some(&topic.name)), Some(ticket.done)))
    }

    fn progress_of(&self, core: &Core, group: u32, topic: Option<&TopicName>) -> Vec<Progress> {
        let rows = core.queues_read_by(group).filter_map(|log| {
            let (owner, queue) = core.catalog.owner(log)?;
            let progress = core.progress(group, log)?;
            let bounds = self.log.bounds(log);
            topic.is_none_or(|t| *t == owner.name).then(|| Progress {
                topic: owner.name.clone(),
                queue,
                committed: progress.committed(),
                min: bounds.min,
                end: bounds.next,
                in_flight: progress.in_flight(),
                last_consumed: progress.consumed_at(),
            })
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by(|a, b| (&a.topic, a.queue).cmp(&(&b.topic, b.queue)));
        rows
    }
}

pub(super) fn unknown_group(group: &GroupName) -> Error {
    Error::new(ErrorKind::GroupNotFound, format!("group \"{group}\" does not exist"))
}
