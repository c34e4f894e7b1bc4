//! Topics, groups, users: making, changing, showing, removing.

use super::offsets::unknown_group;
use super::produce::unknown_topic;
use super::{Broker, Inner};
use crate::core::catalog::{Group, QueueBounds, Topic};
use crate::core::record::Record;
use crate::core::state::Core;
use crate::{DeleteIf, GroupHabits, GroupSpec, GroupView, StartAt, TopicSpec, TopicView};
use sluice_auth::{Action, AuditEvent, Change, Command, Explanation, NewToken, Resource, Session};
use sluice_model::{Error, ErrorKind, GroupName, Millis, Result, TopicName};
use sluice_store::{Durability, LogQueue};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

const SEE_TOPIC: [Action; 4] = [Action::Get, Action::Sub, Action::Pub, Action::List];
const SEE_GROUP: [Action; 3] = [Action::Get, Action::Sub, Action::List];

impl Broker {
    /// Makes a topic, or changes an existing one's settings; its queues may become more, not fewer. True when it is new.
    /// Permit: Create or Update on the topic.
    ///
    /// # Errors
    /// `InvalidArgument` for fewer queues than before or more than the limit; `Throttled` at the limit of topics.
    pub async fn put_topic(&self, session: &Session, topic: &TopicName, spec: TopicSpec) -> Result<bool> {
        // Whether it exists says which permit is needed.
        let exists = self.0.by_itself().core.lock().catalog.topic(topic).is_some();
        let permit = self.0.topic(session, &[if exists { Action::Update } else { Action::Create }], topic)?;
        let inner = self.0.under(&permit);
        let (new, done) = {
            let mut core = inner.core.lock();
            let new = core.catalog.topic(topic).is_none();
            (new, inner.write_topic(&mut core, topic, spec)?)
        };
        match done {
            Some(done) => done.await.map(|()| new),
            None => Ok(false),
        }
    }

    /// Makes an unknown topic with so many queues (0: the default) as auto-creation would; an existing one stays as it
    /// is. Permit: Pub, Sub or Create on the topic.
    ///
    /// # Errors
    /// `TopicNotFound` when auto-creation is off.
    pub fn ensure_topic(&self, session: &Session, topic: &TopicName, queues: u32) -> Result<()> {
        let permit = self.0.topic(session, &[Action::Pub, Action::Sub, Action::Create], topic)?;
        let inner = self.0.under(&permit);
        let mut core = inner.core.lock();
        if core.catalog.topic(topic).is_none() && !inner.tuned().auto_create {
            return Err(unknown_topic(topic));
        }
        inner.make_topic(&mut core, topic, queues).map(drop)
    }

    /// Deletes a topic with its messages and every group's progress on it. Permit: Delete on the topic.
    ///
    /// # Errors
    /// `TopicNotFound`.
    pub async fn delete_topic(&self, session: &Session, topic: &TopicName) -> Result<()> {
        self.delete_topic_if(session, topic, DeleteIf::default()).await
    }

    /// Deletes a topic as [`Broker::delete_topic`] does, if nobody would miss it. A message that is sent at the same
    /// moment may be lost with it. Permit: Delete on the topic.
    ///
    /// # Errors
    /// `TopicNotFound`; `Conflict` when a condition does not hold.
    pub async fn delete_topic_if(&self, session: &Session, topic: &TopicName, only: DeleteIf) -> Result<()> {
        let permit = self.0.topic(session, &[Action::Delete], topic)?;
        let inner = self.0.under(&permit);
        let (done, queues) = {
            let mut core = inner.core.lock();
            let queues = core.catalog.topic(topic).ok_or_else(|| unknown_topic(topic))?.queues.clone();
            inner.check_delete(&core, topic, &queues, only)?;
            if only.dry_run {
                return Ok(());
            }
            let record = Record::TopicGone(topic.clone());
            (inner.record(&mut core, &[record], Durability::Sync)?.done, queues)
        };
        // Waiting readers find that the topic is gone.
        inner.arrivals.arrived(&queues);
        done.await
    }

    /// One topic. Permit: Get, Sub, Pub or List on it.
    ///
    /// # Errors
    /// `TopicNotFound`.
    pub fn topic(&self, session: &Session, topic: &TopicName) -> Result<TopicView> {
        let permit = self.0.topic(session, &SEE_TOPIC, topic)?;
        let inner = self.0.under(&permit);
        let topic = inner.topic_of(topic)?;
        Ok(inner.view_topic(&topic))
    }

    /// The topics this session may see, by name, from the first one after `after`.
    ///
    /// # Errors
    /// None today; listing shows what may be seen and hides the rest.
    pub fn topics(&self, session: &Session, after: Option<&str>, limit: usize) -> Result<Vec<TopicView>> {
        let inner = self.0.by_itself(); // each topic is shown only under a permit of its own
        let topics: Vec<Arc<Topic>> = {
            let core = inner.core.lock();
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let visible = core.catalog.topics().range::<str, _>((from, Bound::Unbounded)).map(|(_, t)| t);
            let visible = visible.filter(|t| inner.may_see(session, &SEE_TOPIC, Resource::Topic(&t.name)));
            visible.take(limit).cloned().collect()
        };
        Ok(topics.iter().map(|t| inner.view_topic(t)).collect())
    }

    /// The bytes of log that each queue of a topic takes, in their order. Permit: Get, Sub, Pub or List on it.
    ///
    /// # Errors
    /// `TopicNotFound`.
    pub async fn queue_sizes(&self, session: &Session, topic: &TopicName) -> Result<Vec<u64>> {
        let permit = self.0.topic(session, &SEE_TOPIC, topic)?;
        let inner = self.0.under(&permit);
        let (queues, log) = (inner.topic_of(topic)?.queues.clone(), Arc::clone(&inner.whole));
        super::log::blocking(move || queues.into_iter().map(|queue| log.size(queue)).collect()).await
    }

    /// Makes a group, or changes it. True when it is new. Permit: Create or Update on the group.
    ///
    /// # Errors
    /// `Throttled` at the limit of groups; `InvalidArgument` for settings that make no sense.
    pub async fn put_group(&self, session: &Session, group: &GroupName, spec: GroupSpec) -> Result<bool> {
        // Whether it exists says which permit is needed.
        let exists = self.0.by_itself().core.lock().catalog.group(group).is_some();
        let permit = self.0.group(session, &[if exists { Action::Update } else { Action::Create }], group)?;
        let inner = self.0.under(&permit);
        check_group(&spec)?;
        let (new, done) = {
            let mut core = inner.core.lock();
            let known = core.catalog.group(group).cloned();
            if known.as_ref().is_some_and(|k| k.spec == spec) {
                return Ok(false);
            }
            (known.is_none(), inner.write_group(&mut core, group, spec)?)
        };
        done.await.map(|()| new)
    }

    /// Makes an unknown group with these settings, as a receive would with the default ones; an existing one stays as it
    /// is. Permit: Sub or Create on the group.
    ///
    /// # Errors
    /// As for [`Broker::put_group`].
    pub fn ensure_group(&self, session: &Session, group: &GroupName, spec: GroupSpec) -> Result<()> {
        let permit = self.0.group(session, &[Action::Sub, Action::Create], group)?;
        let inner = self.0.under(&permit);
        check_group(&spec)?;
        let mut core = inner.core.lock();
        if core.catalog.group(group).is_none() {
            // As for topics: what follows in the log waits for this record.
            drop(inner.write_group(&mut core, group, spec)?);
        }
        Ok(())
    }

    /// How a group's consumers receive when they do not say: asked for whoever asks next to receive, under a permit.
    pub fn habits(&self, group: &GroupName) -> Option<GroupHabits> {
        let inner = self.0.by_itself(); // shown to nobody: the receive that uses it needs its permits
        let core = inner.core.lock();
        let spec = &core.catalog.group(group)?.spec;
        Some(GroupHabits { lease: spec.lease(), subscription: spec.subscription() })
    }

    /// Deletes a group and its progress. Its dead letters stay. Permit: Delete on the group.
    ///
    /// # Errors
    /// `GroupNotFound`.
    pub async fn delete_group(&self, session: &Session, group: &GroupName) -> Result<()> {
        self.delete_group_if(session, group, false).await
    }

    /// Deletes a group as [`Broker::delete_group`] does, or, with `dry_run`, only says whether it would. Permit: Delete on
    /// the group.
    ///
    /// # Errors
    /// `GroupNotFound`.
    pub async fn delete_group_if(&self, session: &Session, group: &GroupName, dry_run: bool) -> Result<()> {
        let permit = self.0.group(session, &[Action::Delete], group)?;
        let inner = self.0.under(&permit);
        let done = {
            let mut core = inner.core.lock();
            if core.catalog.group(group).is_none() {
                return Err(unknown_group(group));
            }
            if dry_run {
                return Ok(());
            }
            inner.record(&mut core, &[Record::GroupGone(group.clone())], Durability::Sync)?.done
        };
        done.await
    }

    /// One group. Permit: Get, Sub or List on it.
    ///
    /// # Errors
    /// `GroupNotFound`.
    pub fn group(&self, session: &Session, group: &GroupName) -> Result<GroupView> {
        let permit = self.0.group(session, &SEE_GROUP, group)?;
        let inner = self.0.under(&permit);
        let core = inner.core.lock();
        let group = core.catalog.group(group).ok_or_else(|| unknown_group(group))?;
        Ok(view_group(&core, group))
    }

    /// The groups this session may see, by name, from the first one after `after`.
    ///
    /// # Errors
    /// None today; listing shows what may be seen and hides the rest.
    pub fn groups(&self, session: &Session, after: Option<&str>, limit: usize) -> Result<Vec<GroupView>> {
        let inner = self.0.by_itself(); // each group is shown only under a permit of its own
        let core = inner.core.lock();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let visible = core.catalog.groups().range::<str, _>((from, Bound::Unbounded)).map(|(_, g)| g);
        let visible = visible.filter(|g| inner.may_see(session, &SEE_GROUP, Resource::Group(&g.name)));
        Ok(visible.take(limit).map(|g| view_group(&core, g)).collect())
    }

    /// Changes users or policies. Permit: Update on the cluster. Hashes passwords where blocking is allowed.
    ///
    /// # Errors
    /// `InvalidArgument` for a command that makes no sense.
    pub async fn change_access(&self, session: &Session, command: Command) -> Result<()> {
        self.0.cluster(session, &[Action::Update])?;
        self.write_access(Some(session), command).await
    }

    /// Makes an API token for a user and gives its text, which is nowhere afterwards. Permit: Update on the cluster.
    ///
    /// # Errors
    /// `InvalidArgument` for an unknown user, an empty label or an end that has passed; `TooLarge` for too many.
    pub async fn create_token(
        &self,
        session: &Session,
        user: &str,
        label: &str,
        expires: Option<Millis>,
    ) -> Result<String> {
        let (text, token) = NewToken::generate(user, label, self.now(), expires);
        self.change_access(session, Command::PutToken(token)).await?;
        Ok(text)
    }

    /// What would happen to a hypothetical request, and which rule would decide. Permit: Get on the cluster.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub fn explain_access(
        &self,
        session: &Session,
        user: &str,
        action: Action,
        resource: Resource<'_>,
        from: IpAddr,
    ) -> Result<Explanation> {
        let permit = self.0.cluster(session, &[Action::Get])?;
        Ok(self.0.under(&permit).auth.explain(user, action, resource, from))
    }

    /// The audit trail after an event's number, the oldest first. Permit: Get on the cluster.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub fn audit(&self, session: &Session, after: u64, limit: usize) -> Result<Vec<AuditEvent>> {
        let permit = self.0.cluster(session, &[Action::Get])?;
        Ok(self.0.under(&permit).auth.audit(after, limit))
    }

    /// Changes users or policies as whoever runs the process says: the first administrator, the operator's file.
    ///
    /// # Errors
    /// As for [`Broker::change_access`].
    pub async fn change_access_as_operator(&self, command: Command) -> Result<()> {
        self.write_access(None, command).await
    }

    async fn write_access(&self, by: Option<&Session>, command: Command) -> Result<()> {
        let inner = self.0.by_itself(); // the callers have asked; whoever runs the process asks nobody
        let auth = Arc::clone(&inner.auth);
        let plan = move || {
            let change = auth.plan(command)?;
            let diff = auth.diff(&change);
            Ok((change, diff))
        };
        let (change, diff): (Change, Vec<String>) = super::log::blocking(plan).await?;
        if inner.auth.is_in_force(&change) {
            return Ok(());
        }
        let done = {
            let mut core = inner.core.lock();
            let record = Record::Access(Box::new(change.clone()));
            inner.record(&mut core, &[record], Durability::Sync)?.done
        };
        inner.auth.note_change(by, &change);
        diff.iter().for_each(|line| tracing::info!(target: "sluice::audit", change = line));
        done.await
    }
}

fn check_group(spec: &GroupSpec) -> Result<()> {
    match spec.max_attempts {
        Some(0) => Err(Error::invalid("a group delivers each message at least once")),
        _ => check_habits(spec),
    }
}

/// What a group remembers for its consumers has to be something that they could ask for.
fn check_habits(spec: &GroupSpec) -> Result<()> {
    let said = |wanted: &str| spec.attributes.iter().any(|(name, _)| name == wanted);
    if said("lease") && spec.lease().is_none_or(|lease| lease.0.is_zero()) {
        return Err(Error::invalid("the lease of a group is a length of time, like 2m"));
    }
    if said("subscription") && spec.subscription().is_empty() {
        return Err(Error::invalid("the subscription of a group is a list of topics, separated by blanks"));
    }
    Ok(())
}

impl Inner {
    fn check_delete(
        &self,
        core: &Core,
        topic: &TopicName,
        queues: &[LogQueue],
        only: DeleteIf,
    ) -> Result<()> {
        let holds = |queue: &LogQueue| {
            let bounds = self.whole.bounds(*queue);
            bounds.min < bounds.next
        };
        let waits = || core.timers.may_wait_for(queues);
        if only.empty && (queues.iter().any(holds) || waits()) {
            return Err(Error::new(ErrorKind::Conflict, format!("topic {topic} has messages")));
        }
        let subscribed =
            || core.catalog.groups().keys().any(|g| core.members.subscription(g, topic).is_some());
        if only.unused && (core.is_read(queues) || subscribed()) {
            return Err(Error::new(ErrorKind::Conflict, format!("topic {topic} is read by a group")));
        }
        Ok(())
    }

    pub(super) fn may_see(&self, session: &Session, actions: &[Action], resource: Resource<'_>) -> bool {
        actions.iter().any(|action| self.auth.may(session, *action, resource))
    }

    /// A topic that is there afterwards: as it is, or made with so many queues (0: the default).
    pub(super) fn make_topic(&self, core: &mut Core, name: &TopicName, queues: u32) -> Result<Arc<Topic>> {
        if let Some(topic) = core.catalog.topic(name) {
            return Ok(Arc::clone(topic));
        }
        let queues = if queues == 0 { self.tuned().default_queues } else { queues };
        // Whoever's message makes the topic waits for that message, and so for this record before it.
        let _ = self.write_topic(core, name, TopicSpec::with_queues(queues.min(self.config.max_queues)))?;
        core.catalog.topic(name).cloned().ok_or_else(|| unknown_topic(name))
    }

    fn write_topic(
        &self,
        core: &mut Core,
        name: &TopicName,
        spec: TopicSpec,
    ) -> Result<Option<sluice_store::Done>> {
        let known = core.catalog.topic(name).cloned();
        if known.as_ref().is_some_and(|k| k.spec == spec) {
            return Ok(None);
        }
        let have: &[_] = known.as_ref().map_or(&[], |k| &k.queues);
        if spec.queues == 0 || spec.queues > self.config.max_queues {
            return Err(Error::invalid(format!("a topic has 1 to {} queues", self.config.max_queues)));
        }
        if (spec.queues as usize) < have.len() {
            let text = format!("topic {name} has {} queues; their number may grow, not shrink", have.len());
            return Err(Error::invalid(text));
        }
        self.check_retention(&spec)?;
        if known.is_none() && core.catalog.topics().len() >= self.config.max_topics {
            let text = format!("there are {} topics already", self.config.max_topics);
            return Err(Error::new(ErrorKind::Throttled, text));
        }
        let queues = core.catalog.numbers_for(have, spec.queues);
        let created = known.map_or_else(|| self.clock.now(), |k| k.created);
        let record = Record::Topic { name: name.clone(), spec, queues, created };
        let ticket = self.record(core, &[record], Durability::Sync)?;
        tracing::info!(topic = %name, "topic written");
        Ok(Some(ticket.done))
    }

    /// What one topic keeps for long, the log keeps for all.
    fn check_retention(&self, spec: &TopicSpec) -> Result<()> {
        if spec.has_retention_size() && spec.retention_size().is_none_or(|size| size.0 == 0) {
            return Err(Error::invalid("the retention size of a topic is a number of bytes, like 1GiB"));
        }
        match (spec.retention(), spec.has_retention()) {
            (Some(own), _) if own.0 > self.config.longest_retention().0 || own.0.is_zero() => {
                let most = self.config.longest_retention();
                Err(Error::invalid(format!(
                    "a topic keeps its messages for up to {most} (broker.max_retention)"
                )))
            }
            (None, true) => Err(Error::invalid("the retention of a topic is a length of time, like 12h")),
            _ => Ok(()),
        }
    }

    /// A group that is there afterwards: as it is, or made to begin at `start`.
    pub(super) fn group_or_new(
        &self,
        core: &mut Core,
        name: &GroupName,
        start: StartAt,
    ) -> Result<Arc<Group>> {
        if let Some(group) = core.catalog.group(name) {
            return Ok(Arc::clone(group));
        }
        // As for topics: what follows in the log waits for this record.
        drop(self.write_group(core, name, GroupSpec { start, ..GroupSpec::default() })?);
        core.catalog.group(name).cloned().ok_or_else(|| unknown_group(name))
    }

    fn write_group(&self, core: &mut Core, name: &GroupName, spec: GroupSpec) -> Result<sluice_store::Done> {
        let known = core.catalog.group(name).cloned();
        if known.is_none() && core.catalog.groups().len() >= self.config.max_groups {
            let text = format!("there are {} groups already", self.config.max_groups);
            return Err(Error::new(ErrorKind::Throttled, text));
        }
        let number = known.as_ref().map_or_else(|| core.catalog.next_group_number(), |k| k.number);
        let created = known.map_or_else(|| self.clock.now(), |k| k.created);
        let record = Record::Group { name: name.clone(), number, spec, created };
        let ticket = self.record(core, &[record], Durability::Sync)?;
        tracing::info!(group = %name, "group written");
        Ok(ticket.done)
    }

    fn view_topic(&self, topic: &Topic) -> TopicView {
        let bounds: QueueBounds = topic
            .queues
            .iter()
            .map(|q| {
                let bounds = self.log.bounds(*q);
                (bounds.min, bounds.next)
            })
            .collect();
        TopicView { name: topic.name.clone(), spec: topic.spec.clone(), bounds, created: topic.created }
    }
}

fn view_group(core: &Core, group: &Group) -> GroupView {
    let read = core.queues_read_by(group.number).filter_map(|q| Some(core.catalog.owner(q)?.0.name.clone()));
    let topics: BTreeSet<TopicName> = read.collect();
    GroupView {
        name: group.name.clone(),
        spec: group.spec.clone(),
        members: core.members.count(&group.name),
        topics: topics.into_iter().collect(),
        created: group.created,
    }
}
