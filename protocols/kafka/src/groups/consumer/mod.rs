//! The group whose partitions the broker shares out (KIP-848): members say what they want, and are told what they have.
//!
//! The one idea to know: nobody waits for anybody. The group has an *epoch*, one for every change of members, wishes or
//! partitions, and each epoch a *target* for every member. A member moves towards its target by its own heartbeats: it
//! is told what to give up, says that it has, and only then comes into the new epoch; and it is given a partition only
//! when no other member has it any more. So no partition is ever two members' own.
//!
//! - `heartbeat` — what a member says and is answered; `assignor` — who gets what; `member` — one of them

mod assignor;
mod heartbeat;
mod member;
#[cfg(test)]
mod tests;

pub(crate) use assignor::Assignor;
pub(crate) use heartbeat::{Beat, Beaten};
pub(crate) use member::{Assigned, Member};

use super::refusal::Refusal;
use assignor::Wish;
use sluice_model::Millis;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// What a group may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConsumerLimits {
    pub(crate) max_members: usize,
    /// How long a member may be silent.
    pub(crate) session: Millis,
}

/// The topics there are, as far as members may know.
pub(crate) trait Topics {
    /// A topic's id and how many partitions it has.
    fn find(&self, name: &str) -> Option<(Uuid, i32)>;
    /// The names that a pattern matches.
    fn matching(&self, pattern: &str) -> Vec<String>;
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Consumer {
    limits: ConsumerLimits,
    /// Rises with every change of members, wishes or partitions; targets are made anew with it.
    epoch: i32,
    members: BTreeMap<String, Member>,
    instances: HashMap<String, String>,
    /// The subscribed topics: id and number of partitions, by name.
    topics: BTreeMap<String, (Uuid, i32)>,
    assignor: Assignor,
    revision: u64,
}

impl Consumer {
    pub(crate) fn new(limits: ConsumerLimits) -> Self {
        Self {
            limits,
            epoch: 0,
            members: BTreeMap::new(),
            instances: HashMap::new(),
            topics: BTreeMap::new(),
            assignor: Assignor::default(),
            revision: 0,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn epoch(&self) -> i32 {
        self.epoch
    }

    pub(crate) fn assignor(&self) -> Assignor {
        self.assignor
    }

    /// Another number after the members or their wishes are others.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The members, by id.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// The name of a topic that is subscribed.
    pub(crate) fn topic_name(&self, id: &Uuid) -> Option<&str> {
        self.topics.iter().find(|(_, (of, _))| of == id).map(|(name, _)| name.as_str())
    }

    /// The name of its state.
    pub(crate) fn state_name(&self) -> &'static str {
        match self.members.is_empty() {
            true => "Empty",
            false if self.members.values().all(|m| m.epoch == self.epoch && m.is_settled()) => "Stable",
            false => "Reconciling",
        }
    }

    /// Lets the time that has passed take effect: members go that were silent, or did not give up what they were to.
    pub(crate) fn tick(&mut self, now: Millis) {
        let gone: Vec<String> =
            self.members.values().filter(|m| m.gone_from() <= now).map(|m| m.id.clone()).collect();
        gone.iter().for_each(|id| self.remove(id));
        if !gone.is_empty() {
            self.share_out();
        }
    }

    /// When [`Consumer::tick`] has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        self.members.values().map(Member::gone_from).min()
    }

    /// Whether a commit of offsets may be made in this name: by a member, in its epoch, or by anybody without one (below 0)
    /// while nobody is in the group.
    pub(crate) fn check_commit(&mut self, now: Millis, member: &str, epoch: i32) -> Result<(), Refusal> {
        self.tick(now);
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let Some(known) = self.members.get(member) else { return Err(Refusal::UnknownMember) };
        if epoch == known.epoch { Ok(()) } else { Err(Refusal::StaleEpoch) }
    }

    /// An operator takes a member out, which may be named by its instance alone.
    pub(crate) fn expel(&mut self, now: Millis, member: &str, instance: Option<&str>) -> Result<(), Refusal> {
        self.tick(now);
        let id = match instance.and_then(|instance| self.instances.get(instance)) {
            Some(owner) if member.is_empty() || owner == member => owner.clone(),
            Some(_) => return Err(Refusal::Fenced),
            None if instance.is_some() || !self.members.contains_key(member) => {
                return Err(Refusal::UnknownMember);
            }
            None => member.to_owned(),
        };
        self.remove(&id);
        self.share_out();
        Ok(())
    }

    /// Takes a member out; what it had is free.
    fn remove(&mut self, id: &str) {
        let Some(member) = self.members.remove(id) else { return };
        self.revision += 1;
        if let Some(instance) = &member.instance
            && self.instances.get(instance).is_some_and(|owner| owner == id)
        {
            self.instances.remove(instance);
        }
    }

    /// Looks at the subscribed topics anew. True when they are others, or have other partitions.
    fn look_at_topics(&mut self, topics: &dyn Topics) -> bool {
        for member in self.members.values_mut() {
            if let Some(pattern) = &member.pattern {
                member.matched = topics.matching(pattern).into_iter().collect();
            }
        }
        let wanted: BTreeSet<&str> = self.members.values().flat_map(Member::topics).collect();
        let found: BTreeMap<String, (Uuid, i32)> =
            wanted.into_iter().filter_map(|name| Some((name.to_owned(), topics.find(name)?))).collect();
        let changed = found != self.topics;
        self.topics = found;
        changed
    }

    /// Begins an epoch: everybody has a target in it.
    fn share_out(&mut self) {
        self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        self.assignor = self.most_wanted_assignor();
        let partitions: BTreeMap<Uuid, i32> = self.topics.values().copied().collect();
        let wishes: Vec<Wish<'_>> = self
            .members
            .values()
            .map(|m| Wish {
                topics: m.topics().filter_map(|name| Some(self.topics.get(name)?.0)).collect(),
                has: &m.target,
            })
            .collect();
        let targets = self.assignor.assign(&wishes, &partitions);
        for (member, target) in self.members.values_mut().zip(targets) {
            member.target = target;
        }
    }

    /// The way of sharing out that most members ask for.
    fn most_wanted_assignor(&self) -> Assignor {
        let asked = |assignor| self.members.values().filter(|m| m.assignor == Some(assignor)).count();
        if asked(Assignor::Range) > asked(Assignor::Uniform) { Assignor::Range } else { Assignor::Uniform }
    }

    /// Whether a partition is another member's, also when that one is to give it up.
    fn is_others(&self, member: &str, topic: &Uuid, partition: i32) -> bool {
        self.members.values().any(|m| m.id != member && m.holds(topic, partition))
    }
}
