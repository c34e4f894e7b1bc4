//! Groups whose members a front-end gathers by its own rules, and the offsets that such members commit.
//!
//! How members take turns is a matter of their wire; that a group's queues are shared out by one set of rules at a time
//! is everybody's. The one idea to know: the front-end holds the group ([`Coordinated`]) for as long as members of its
//! own live in it. Meanwhile nobody else can join or receive, and nobody can hold a group that others are at work in.

use super::offsets::unknown_group;
use super::{Broker, Inner};
use crate::core::record::Record;
use crate::{Member, Promise, QueueCommit, QueueCommitted};
use sluice_auth::{Action, Session};
use sluice_model::{Error, ErrorKind, GroupName, Millis, QueueId, Result, TopicName};
use sluice_store::Durability;
use std::sync::Arc;

/// A group that a front-end gathers the members of. Dropping it lets the group go.
pub struct Coordinated {
    broker: Arc<Inner>,
    group: GroupName,
}

impl std::fmt::Debug for Coordinated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Coordinated({})", self.group)
    }
}

impl Coordinated {
    /// Who the members are: only shown.
    pub fn set_members(&self, members: Vec<Member>) {
        self.broker.core.lock().members.set_coordinated(&self.group, members);
    }
}

impl Drop for Coordinated {
    fn drop(&mut self) {
        self.broker.let_go(&self.group);
    }
}

impl Broker {
    /// Whether this session may consume as a member of the group: for requests that say only that a member lives.
    /// Permit: Sub on the group.
    ///
    /// # Errors
    /// `PermissionDenied`, also when the group is disabled.
    pub fn check_consume(&self, session: &Session, group: &GroupName) -> Result<()> {
        let permit = self.0.group(session, &[Action::Sub], group)?;
        let core = self.0.under(&permit).core.lock();
        match core.catalog.group(group) {
            Some(known) if !known.spec.enabled => {
                Err(Error::new(ErrorKind::PermissionDenied, format!("group {group} may not consume")))
            }
            _ => Ok(()),
        }
    }

    /// Holds a group for members that the caller gathers. It is not made by that: a group is made by its first commit.
    /// Permit: Sub on the group.
    ///
    /// # Errors
    /// `PermissionDenied`; `Conflict` while others are at work in the group: members that share its queues by other
    /// rules, or consumers with deliveries under lease.
    pub fn coordinate(&self, session: &Session, group: &GroupName) -> Result<Coordinated> {
        self.check_consume(session, group)?;
        let permit = self.0.group(session, &[Action::Sub], group)?;
        let inner = self.0.under(&permit);
        let now = inner.clock.now();
        let mut core = inner.core.lock();
        let number = core.catalog.group(group).map(|g| g.number);
        let leased = number.is_some_and(|number| {
            core.queues_read_by(number)
                .any(|queue| core.progress(number, queue).is_some_and(|progress| progress.is_leased(now)))
        });
        if leased {
            let text = format!("consumers of group {group} have deliveries under lease");
            return Err(Error::new(ErrorKind::Conflict, text));
        }
        core.members.coordinate(group)?;
        Ok(Coordinated { broker: Arc::clone(inner), group: group.clone() })
    }

    /// Stores a group's offsets on queues of one topic, with what the consumer writes beside them, as one change. As for
    /// [`Broker::commit_offset`] a lower one is a rewind, and an unknown group is made. What it gives resolves when it is
    /// on disk. Permits: Sub on the group and on the topic.
    ///
    /// # Errors
    /// `TopicNotFound`; `InvalidArgument` for a queue that the topic has not, and for a note that is too long.
    pub fn commit_offsets(
        &self,
        session: &Session,
        group: &GroupName,
        topic: &TopicName,
        commits: &[QueueCommit],
    ) -> Result<Promise<()>> {
        self.0.topic(session, &[Action::Sub], topic)?;
        let permit = self.0.group(session, &[Action::Sub], group)?;
        let inner = self.0.under(&permit);
        let now = inner.clock.now();
        let mut queues = Vec::with_capacity(commits.len());
        for commit in commits {
            if commit.note.len() > QueueCommit::MAX_NOTE {
                return Err(Error::invalid(format!("a note has at most {} bytes", QueueCommit::MAX_NOTE)));
            }
            queues.push((inner.queue_of(topic, commit.queue)?.1, commit));
        }
        let mut core = inner.core.lock();
        let number = inner.group_or_new(&mut core, group, crate::StartAt::default())?.number;
        let mut records = Vec::with_capacity(2 * queues.len());
        for (log, commit) in queues {
            let offset = commit.offset;
            // Written even when the group is there already: a delivery under lease may have begun there.
            records.push(Record::Offset { group: number, queue: log.0, offset });
            let (epoch, text) = (commit.epoch, commit.note.to_string());
            records.push(Record::Noted { group: number, queue: log.0, offset, epoch, text, at: now });
        }
        let ticket = inner.record(&mut core, &records, Durability::Sync)?;
        Ok(Promise::new(ticket.done, ()))
    }

    /// A group's offsets on one topic, or on all topics that this session may read, with what was written beside them.
    /// An unknown group has none. Permit: Sub or Get on the group, and on the topic when one is named.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub fn committed_offsets(
        &self,
        session: &Session,
        group: &GroupName,
        topic: Option<&TopicName>,
    ) -> Result<Vec<QueueCommitted>> {
        if let Some(topic) = topic {
            self.0.topic(session, &[Action::Sub, Action::Get], topic)?;
        }
        let permit = self.0.group(session, &[Action::Sub, Action::Get], group)?;
        let inner = self.0.under(&permit);
        let core = inner.core.lock();
        let Some(number) = core.catalog.group(group).map(|g| g.number) else { return Ok(Vec::new()) };
        let rows = core.queues_read_by(number).filter_map(|log| {
            let (owner, queue) = core.catalog.owner(log)?;
            let may = || {
                let resource = sluice_auth::Resource::Topic(&owner.name);
                inner.may_see(session, &[Action::Sub, Action::Get], resource)
            };
            if !topic.map_or_else(may, |topic| *topic == owner.name) {
                return None;
            }
            let offset = core.progress(number, log)?.committed();
            let note = core.notes.on(number, log, offset);
            Some(QueueCommitted {
                topic: owner.name.clone(),
                queue,
                offset,
                epoch: note.and_then(|note| note.epoch),
                note: note.map_or_else(Default::default, |note| note.text.as_str().into()),
            })
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by(|a, b| (&a.topic, a.queue).cmp(&(&b.topic, b.queue)));
        Ok(rows)
    }

    /// Forgets a group's place on queues of topics: it begins there anew, by its settings. A queue where it has none is
    /// no error; without any queue, the question is only whether the group's places may be forgotten. Permits: Update,
    /// Delete or Sub on the group, and Sub on each topic.
    ///
    /// # Errors
    /// `GroupNotFound`, `TopicNotFound`; `InvalidArgument` for a queue that the topic has not.
    pub fn forget_offsets(
        &self,
        session: &Session,
        group: &GroupName,
        places: &[(&TopicName, &[QueueId])],
    ) -> Result<Promise<()>> {
        let permit = self.0.group(session, &[Action::Update, Action::Delete, Action::Sub], group)?;
        let inner = self.0.under(&permit);
        let mut logs = Vec::new();
        for (topic, queues) in places {
            self.0.topic(session, &[Action::Sub], topic)?;
            for queue in *queues {
                logs.push(inner.queue_of(topic, *queue)?.1);
            }
        }
        let mut core = inner.core.lock();
        let number = core.catalog.group(group).ok_or_else(|| unknown_group(group))?.number;
        let records: Vec<_> =
            logs.iter().map(|queue| Record::OffsetGone { group: number, queue: queue.0 }).collect();
        if records.is_empty() {
            return Ok(Promise::kept(()));
        }
        let ticket = inner.record(&mut core, &records, Durability::Sync)?;
        Ok(Promise::new(ticket.done, ()))
    }
}

impl Inner {
    /// The last member has gone: from now on the group is idle.
    fn let_go(&self, group: &GroupName) {
        let mut core = self.core.lock();
        core.members.let_go(group);
        let Some(number) = core.catalog.group(group).map(|g| g.number) else { return };
        if core.notes.last_written().contains_key(&number) {
            let record = Record::Idle { group: number, at: self.clock.now() };
            if let Err(e) = self.record(&mut core, &[record], Durability::Async) {
                tracing::warn!(%group, error = ?e, "it was not noted that the group is idle");
            }
        }
    }

    /// Forgets groups whose members only ever committed offsets, are gone, and have been for too long. Groups with
    /// settings of their own, and those that were consumed in other ways since, stay.
    pub(super) fn expire_offsets(&self) {
        let now = self.clock.now();
        let before: Millis = now.saturating_sub(self.config.offsets_retention.as_millis());
        let mut core = self.core.lock();
        let idle: Vec<u32> =
            core.notes.last_written().into_iter().filter(|(_, at)| *at <= before).map(|(g, _)| g).collect();
        for number in idle {
            let Some(group) = core.catalog.group_by_number(number).cloned() else { continue };
            let noted_alone = core.queues_read_by(number).all(|queue| {
                let offset = core.progress(number, queue).map(|progress| progress.committed());
                offset.is_some_and(|offset| core.notes.on(number, queue, offset).is_some())
            });
            if core.members.count(&group.name) > 0
                || !noted_alone
                || group.spec != crate::GroupSpec::default()
            {
                continue;
            }
            match self.record(&mut core, &[Record::GroupGone(group.name.clone())], Durability::Async) {
                Ok(_) => {
                    tracing::info!(group = %group.name, "nobody used the group for too long: it is forgotten")
                }
                Err(e) => tracing::warn!(group = %group.name, error = ?e, "an idle group was not forgotten"),
            }
        }
    }
}
