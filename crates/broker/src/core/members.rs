//! Who takes part in which group at this moment, and who holds which queue's lock. Nothing of it is stored: clients
//! say it again.

use crate::{Joined, Member, Membership, Sharing, Subscription};
use bytestring::ByteString;
use sluice_model::{Error, ErrorKind, GroupName, Millis, Result, TopicName};
use sluice_store::LogQueue;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

/// A connection's number.
pub(crate) type ConnectionId = u64;

#[derive(Debug)]
struct Live {
    connection: ConnectionId,
    member: Member,
    /// False while the client has not told its subscriptions.
    told: bool,
}

#[derive(Debug)]
struct LiveGroup {
    sharing: Sharing,
    members: BTreeMap<ByteString, Live>,
    locks: HashMap<LogQueue, (ByteString, Millis)>,
    /// The members that a front-end gathers by its own rules, while it holds the group.
    coordinated: Option<Vec<Member>>,
}

impl LiveGroup {
    fn new(sharing: Sharing) -> Self {
        Self { sharing, members: BTreeMap::new(), locks: HashMap::new(), coordinated: None }
    }

    fn is_idle(&self) -> bool {
        self.members.is_empty() && self.locks.is_empty() && self.coordinated.is_none()
    }
}

/// All live members.
#[derive(Debug, Default)]
pub(crate) struct Members {
    groups: HashMap<GroupName, LiveGroup>,
    /// How many groups front-ends gather the members of.
    coordinated: usize,
    /// Which connections send messages as which group, and when they said so last.
    producers: BTreeMap<GroupName, BTreeMap<ConnectionId, Millis>>,
}

impl Members {
    /// Takes a member in, or hears of it again.
    pub(crate) fn join(
        &mut self,
        connection: ConnectionId,
        peer: SocketAddr,
        membership: Membership,
        now: Millis,
        max_members: usize,
    ) -> Result<Joined> {
        self.check_free(&membership.group)?;
        let group =
            self.groups.entry(membership.group.clone()).or_insert_with(|| LiveGroup::new(membership.sharing));
        let known = group.members.get(&membership.client_id);
        if known.is_none() && group.members.len() >= max_members {
            return Err(Error::new(
                ErrorKind::Throttled,
                format!("group {} has {max_members} members already", membership.group),
            ));
        }
        group.sharing = membership.sharing;
        let told = membership.subscriptions.is_some() || known.is_some_and(|k| k.told);
        let subscriptions = match (membership.subscriptions, known) {
            (Some(new), known) => merge(new, known.map(|k| &k.member.subscriptions)),
            (None, Some(known)) => known.member.subscriptions.clone(),
            (None, None) => Vec::new(),
        };
        let changed =
            known.is_none_or(|k| k.connection != connection || k.member.subscriptions != subscriptions);
        let member = Member {
            client_id: membership.client_id.clone(),
            peer,
            fetching: membership.fetching,
            sharing: membership.sharing,
            start: membership.start,
            agent: membership.agent,
            subscriptions,
            last_seen: now,
        };
        group.members.insert(membership.client_id, Live { connection, member, told });
        Ok(Joined { changed, subscriptions_known: told })
    }

    /// Refuses whoever would share a group's queues beside the members that a front-end gathers.
    pub(crate) fn check_free(&self, group: &GroupName) -> Result<()> {
        if self.coordinated == 0 || self.groups.get(group).is_none_or(|g| g.coordinated.is_none()) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!("group {group} has members that consume over another protocol at this moment"),
        ))
    }

    /// A front-end gathers the group's members from now on; not while others are at work in it.
    pub(crate) fn coordinate(&mut self, group: &GroupName) -> Result<()> {
        self.check_free(group)?;
        let live = self.groups.entry(group.clone()).or_insert_with(|| LiveGroup::new(Sharing::Clustering));
        if !live.members.is_empty() {
            let text = format!("group {group} has members that share its queues among themselves");
            return Err(Error::new(ErrorKind::Conflict, text));
        }
        live.coordinated = Some(Vec::new());
        self.coordinated += 1;
        Ok(())
    }

    /// Who the members are that a front-end gathers.
    pub(crate) fn set_coordinated(&mut self, group: &GroupName, members: Vec<Member>) {
        if let Some(known) = self.groups.get_mut(group).and_then(|g| g.coordinated.as_mut()) {
            *known = members;
        }
    }

    /// The front-end has no members in the group any more.
    pub(crate) fn let_go(&mut self, group: &GroupName) {
        let Some(live) = self.groups.get_mut(group) else { return };
        if live.coordinated.take().is_some() {
            self.coordinated = self.coordinated.saturating_sub(1);
        }
        if live.is_idle() {
            self.groups.remove(group);
        }
    }

    /// A connection sends messages as this group, or says so again.
    pub(crate) fn produces(&mut self, connection: ConnectionId, group: &GroupName, now: Millis) {
        match self.producers.get_mut(group) {
            Some(known) => drop(known.insert(connection, now)),
            None => drop(self.producers.insert(group.clone(), BTreeMap::from([(connection, now)]))),
        }
    }

    /// The connections that send messages as this group.
    pub(crate) fn producers(&self, group: &GroupName) -> Vec<ConnectionId> {
        self.producers.get(group).map_or_else(Vec::new, |known| known.keys().copied().collect())
    }

    /// A connection is no producer of this group any more.
    pub(crate) fn stops_producing(&mut self, connection: ConnectionId, group: &GroupName) {
        if let Some(known) = self.producers.get_mut(group) {
            known.remove(&connection);
            if known.is_empty() {
                self.producers.remove(group);
            }
        }
    }

    /// Lets a connection's members of one group, or of all, go. Returns the groups that lost one.
    pub(crate) fn leave(&mut self, connection: ConnectionId, group: Option<&GroupName>) -> Vec<GroupName> {
        self.drop_members(|name, live| live.connection == connection && group.is_none_or(|g| g == name))
    }

    /// Lets members go that were not heard of since `before`. Returns the groups that lost one.
    pub(crate) fn expire(&mut self, before: Millis) -> Vec<GroupName> {
        self.producers.retain(|_, known| {
            known.retain(|_, seen| *seen >= before);
            !known.is_empty()
        });
        self.drop_members(|_, live| live.member.last_seen < before)
    }

    fn drop_members(&mut self, gone: impl Fn(&GroupName, &Live) -> bool) -> Vec<GroupName> {
        let mut changed = Vec::new();
        self.groups.retain(|name, group| {
            let before = group.members.len();
            group.members.retain(|_, live| !gone(name, live));
            if group.members.len() != before {
                changed.push(name.clone());
            }
            !group.is_idle()
        });
        changed
    }

    /// The connections to tell when a group changes; none for a broadcasting one, where nobody shares.
    pub(crate) fn connections(&self, group: &GroupName) -> Vec<ConnectionId> {
        match self.groups.get(group) {
            Some(g) if g.sharing == Sharing::Clustering => g.members.values().map(|l| l.connection).collect(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn of(&self, group: &GroupName) -> Vec<Member> {
        self.groups.get(group).map_or_else(Vec::new, |g| {
            g.members.values().map(|l| &l.member).chain(g.coordinated.iter().flatten()).cloned().collect()
        })
    }

    pub(crate) fn count(&self, group: &GroupName) -> usize {
        self.groups.get(group).map_or(0, |g| g.members.len() + g.coordinated.as_ref().map_or(0, Vec::len))
    }

    /// What the group reads from a topic: the newest that any member told.
    pub(crate) fn subscription(&self, group: &GroupName, topic: &TopicName) -> Option<Subscription> {
        let members = self.groups.get(group)?.members.values();
        members
            .flat_map(|l| &l.member.subscriptions)
            .filter(|s| &s.topic == topic)
            .max_by_key(|s| s.version)
            .cloned()
    }

    /// Locks a queue for a member, unless another one's lock is younger than `since`.
    pub(crate) fn lock(
        &mut self,
        group: &GroupName,
        client_id: &str,
        queue: LogQueue,
        now: Millis,
        since: Millis,
    ) -> bool {
        let group = self.groups.entry(group.clone()).or_insert_with(|| LiveGroup::new(Sharing::Clustering));
        match group.locks.get(&queue) {
            Some((holder, locked)) if holder != client_id && *locked > since => false,
            _ => {
                group.locks.insert(queue, (client_id.into(), now));
                true
            }
        }
    }

    pub(crate) fn unlock(&mut self, group: &GroupName, client_id: &str, queue: LogQueue) {
        if let Some(group) = self.groups.get_mut(group)
            && group.locks.get(&queue).is_some_and(|(holder, _)| holder == client_id)
        {
            group.locks.remove(&queue);
        }
    }

    /// True when a lock younger than `since` exists in the group.
    pub(crate) fn has_locks(&self, group: &GroupName, since: Millis) -> bool {
        self.groups.get(group).is_some_and(|g| g.locks.values().any(|(_, locked)| *locked > since))
    }

    /// Forgets locks that nobody renewed since `before`.
    pub(crate) fn expire_locks(&mut self, before: Millis) {
        for group in self.groups.values_mut() {
            group.locks.retain(|_, (_, locked)| *locked > before);
        }
        self.groups.retain(|_, g| !g.is_idle());
    }
}

/// A subscription is replaced only by one of the same or a higher version.
fn merge(new: Vec<Subscription>, known: Option<&Vec<Subscription>>) -> Vec<Subscription> {
    let newer =
        |s: &Subscription| known?.iter().find(|k| k.topic == s.topic && k.version > s.version).cloned();
    new.into_iter().map(|s| newer(&s).unwrap_or(s)).collect()
}
