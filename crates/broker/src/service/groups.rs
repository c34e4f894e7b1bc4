//! Membership: who consumes in a group by queue, who is told when that changes, and who holds a queue's lock.

use super::{Broker, Inner};
use crate::core::members::ConnectionId;
use crate::{Joined, Member, Membership, Sharing, Subscription, TransactionCheck};
use parking_lot::Mutex;
use sluice_auth::{Action, Resource, Session};
use sluice_model::{Error, ErrorKind, GroupName, QueueId, Result, TopicName};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::Notify;

/// What the broker tells a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientEvent {
    /// The group's members or their subscriptions changed: share the queues anew.
    GroupChanged(GroupName),
    /// The outcome of a transaction is asked for.
    CheckTransaction(Box<TransactionCheck>),
}

/// Checks that a connection has not fetched; beyond, another one is asked.
const MAX_CHECKS: usize = 256;
/// Groups that one connection may produce as: more than any process has.
const MAX_PRODUCED: usize = 1000;

/// Events that a connection has not fetched: of changes one per group, and a bounded number of checks.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    changed: Mutex<BTreeSet<GroupName>>,
    /// Transactions to ask about, by their names.
    checks: Mutex<BTreeSet<u64>>,
    /// Who is asked, as which groups, once the connection says that it produces.
    producer: Mutex<Option<(Session, Vec<GroupName>)>>,
    notify: Notify,
}

impl Mailbox {
    /// True when there is room for a check and its client may be asked.
    pub(super) fn takes_checks(&self, may: impl FnOnce(&Session) -> bool) -> bool {
        self.checks.lock().len() < MAX_CHECKS
            && self.producer.lock().as_ref().is_some_and(|(session, _)| may(session))
    }

    pub(super) fn check(&self, transaction: u64) {
        self.checks.lock().insert(transaction);
        self.notify.notify_one();
    }
}

/// The connections that take part in groups.
pub(super) type Clients = HashMap<ConnectionId, Arc<Mailbox>>;

/// One client's connection as the broker knows it: its memberships and its events. Dropping it leaves every group.
pub struct Client {
    broker: Arc<Inner>,
    connection: ConnectionId,
    peer: SocketAddr,
    mailbox: Arc<Mailbox>,
}

impl Client {
    /// Takes part in a group, or says so again (a heartbeat). Makes the group, and its retry topic, when they are new.
    /// Permits: Sub on the group and on each topic.
    ///
    /// # Errors
    /// `PermissionDenied`, also for broadcasting in a group that forbids it; `Throttled` when the group is full, or over its
    /// quota of connections.
    pub fn join(&self, session: &Session, membership: Membership) -> Result<Joined> {
        let broker = &self.broker;
        broker.permit(session, &[Action::Sub], Resource::Group(&membership.group))?;
        for subscription in membership.subscriptions.iter().flatten() {
            broker.permit(session, &[Action::Sub], Resource::Topic(&subscription.topic))?;
        }
        let group = membership.group.clone();
        broker.auth.consume(session, &group)?;
        let joined = {
            let mut core = broker.core.lock();
            let known = broker.group_or_new(&mut core, &group, membership.start)?;
            if membership.sharing == Sharing::Broadcasting && !known.spec.broadcast {
                let text = format!("group {group} may not consume in broadcasting mode");
                return Err(Error::new(ErrorKind::PermissionDenied, text));
            }
            broker.make_topic(&mut core, &group.retry_topic(), 1)?;
            let now = broker.clock.now();
            core.members.join(self.connection, self.peer, membership, now, broker.config.max_members)?
        };
        if joined.changed {
            broker.tell_group(&group);
        }
        Ok(joined)
    }

    /// Leaves a group; the others are told.
    pub fn leave(&self, group: &GroupName) {
        self.broker.auth.leave(self.peer, group);
        let left = self.broker.core.lock().members.leave(self.connection, Some(group));
        left.iter().for_each(|g| self.broker.tell_group(g));
    }

    /// Produces as these groups and no others, or says so again (a heartbeat): it may be asked for the outcomes of
    /// their transactions. Whoever may not send to a message's topic is not asked about it.
    ///
    /// # Errors
    /// `InvalidArgument` for more than a thousand groups.
    pub fn produce_as(&self, session: &Session, groups: &[GroupName]) -> Result<()> {
        if groups.len() > MAX_PRODUCED {
            return Err(Error::invalid(format!("a connection produces as at most {MAX_PRODUCED} groups")));
        }
        let before = self.mailbox.producer.lock().replace((session.clone(), groups.to_vec()));
        let before = before.map(|(_, groups)| groups).unwrap_or_default();
        let now = self.broker.clock.now();
        let asks = {
            let mut core = self.broker.core.lock();
            for group in before.iter().filter(|group| !groups.contains(group)) {
                core.members.stops_producing(self.connection, group);
            }
            for group in groups {
                core.members.produces(self.connection, group, now);
            }
            let asking = groups.iter().filter(|group| core.transactions.ask_again(group));
            asking.count() > 0
        };
        if asks {
            self.broker.check_sooner.notify_one();
        }
        Ok(())
    }

    /// Produces no longer as this group.
    pub fn stop_producing(&self, group: &GroupName) {
        if let Some((_, groups)) = &mut *self.mailbox.producer.lock() {
            groups.retain(|known| known != group);
        }
        self.broker.core.lock().members.stops_producing(self.connection, group);
    }

    /// The next event. Repeated ones for one group are merged. Dropping the future loses no change of a group; a check
    /// that it was about to give comes again after the interval.
    pub async fn event(&self) -> ClientEvent {
        loop {
            let told = self.mailbox.notify.notified();
            if let Some(group) = self.mailbox.changed.lock().pop_first() {
                return ClientEvent::GroupChanged(group);
            }
            let check = self.mailbox.checks.lock().pop_first();
            if let Some(transaction) = check {
                match self.broker.check_for(transaction).await {
                    Some(check) => return ClientEvent::CheckTransaction(Box::new(check)),
                    None => continue,
                }
            }
            told.await;
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.broker.clients.lock().remove(&self.connection);
        self.broker.auth.gone(self.peer);
        let produced = self.mailbox.producer.lock().take();
        let left = {
            let mut core = self.broker.core.lock();
            for group in produced.into_iter().flat_map(|(_, groups)| groups) {
                core.members.stops_producing(self.connection, &group);
            }
            core.members.leave(self.connection, None)
        };
        left.iter().for_each(|g| self.broker.tell_group(g));
    }
}

impl Broker {
    /// Registers a connection that will join groups.
    pub fn client(&self, session: &Session) -> Client {
        let inner = self.0.by_itself(); // joining asks for the permits
        let connection = inner.next_number.fetch_add(1, Ordering::Relaxed);
        let mailbox = Arc::new(Mailbox::default());
        inner.clients.lock().insert(connection, Arc::clone(&mailbox));
        Client { broker: Arc::clone(inner), connection, peer: session.peer(), mailbox }
    }

    /// A group's live members. Permit: Sub or Get on the group.
    ///
    /// # Errors
    /// `PermissionDenied`. An unknown group has no members.
    pub fn members(&self, session: &Session, group: &GroupName) -> Result<Vec<Member>> {
        let permit = self.0.group(session, &[Action::Sub, Action::Get], group)?;
        let inner = self.0.under(&permit);
        Ok(inner.core.lock().members.of(group))
    }

    /// What the group's members told about this topic: the newest subscription. Permit: Sub on the group.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub fn subscription(
        &self,
        session: &Session,
        group: &GroupName,
        topic: &TopicName,
    ) -> Result<Option<Subscription>> {
        let permit = self.0.group(session, &[Action::Sub], group)?;
        let inner = self.0.under(&permit);
        Ok(inner.core.lock().members.subscription(group, topic))
    }

    /// Locks queues for one member of a group, so that it alone consumes them in order; returns those it now holds. A
    /// lock that is not renewed ends by itself. Permit: Sub on the group.
    ///
    /// # Errors
    /// `PermissionDenied`. Unknown queues are not locked.
    pub fn lock_queues(
        &self,
        session: &Session,
        group: &GroupName,
        client_id: &str,
        queues: &[(TopicName, QueueId)],
    ) -> Result<Vec<(TopicName, QueueId)>> {
        let permit = self.0.group(session, &[Action::Sub], group)?;
        let inner = self.0.under(&permit);
        let now = self.now();
        let since = now.saturating_sub(inner.config.queue_lock.as_millis());
        let mut core = inner.core.lock();
        let mut locked = Vec::with_capacity(queues.len());
        for (topic, queue) in queues {
            let log = core.catalog.topic(topic).and_then(|t| t.log_queue(*queue));
            if log.is_some_and(|log| core.members.lock(group, client_id, log, now, since)) {
                locked.push((topic.clone(), *queue));
            }
        }
        Ok(locked)
    }

    /// Frees queues that this member holds. Permit: Sub on the group.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub fn unlock_queues(
        &self,
        session: &Session,
        group: &GroupName,
        client_id: &str,
        queues: &[(TopicName, QueueId)],
    ) -> Result<()> {
        let permit = self.0.group(session, &[Action::Sub], group)?;
        let inner = self.0.under(&permit);
        let mut core = inner.core.lock();
        for (topic, queue) in queues {
            if let Some(log) = core.catalog.topic(topic).and_then(|t| t.log_queue(*queue)) {
                core.members.unlock(group, client_id, log);
            }
        }
        Ok(())
    }

    /// True when a member of the group holds a queue lock: such a group consumes in order. Permit: Sub on the group.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub fn has_queue_locks(&self, session: &Session, group: &GroupName) -> Result<bool> {
        let permit = self.0.group(session, &[Action::Sub], group)?;
        let inner = self.0.under(&permit);
        let since = self.now().saturating_sub(inner.config.queue_lock.as_millis());
        Ok(inner.core.lock().members.has_locks(group, since))
    }
}

impl Inner {
    /// Tells a group's members that it changed.
    pub(super) fn tell_group(&self, group: &GroupName) {
        let connections = self.core.lock().members.connections(group);
        let clients = self.clients.lock();
        for mailbox in connections.iter().filter_map(|c| clients.get(c)) {
            mailbox.changed.lock().insert(group.clone());
            mailbox.notify.notify_one();
        }
    }
}
