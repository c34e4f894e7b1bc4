//! The one request of such a member: it says that it lives, and what is new; it is told its epoch, and what is new.

use super::member::split;
use super::{Assigned, Assignor, Consumer, Member, Refusal, Topics};
use bytestring::ByteString;
use sluice_model::Millis;
use std::collections::BTreeSet;

/// The epoch of a member that joins.
const JOINING: i32 = 0;
/// The epoch of a member that leaves.
const LEAVING: i32 = -1;
/// The epoch of a static member that goes and comes back.
const AWAY: i32 = -2;

/// What a member says. What it leaves out is as it was.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beat {
    pub(crate) member: String,
    pub(crate) epoch: i32,
    pub(crate) instance: Option<String>,
    pub(crate) rack: Option<String>,
    pub(crate) client_id: ByteString,
    pub(crate) host: ByteString,
    pub(crate) rebalance_timeout: Option<Millis>,
    pub(crate) names: Option<BTreeSet<String>>,
    pub(crate) pattern: Option<String>,
    pub(crate) assignor: Option<String>,
    /// What it has at this moment.
    pub(crate) owned: Option<Assigned>,
}

/// What it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Beaten {
    pub(crate) member: String,
    pub(crate) epoch: i32,
    /// What it has from now on, when that is news.
    pub(crate) assigned: Option<Assigned>,
}

impl Consumer {
    /// A member's heartbeat; also its join, and its leave.
    pub(crate) fn heartbeat(
        &mut self,
        now: Millis,
        beat: Beat,
        topics: &dyn Topics,
    ) -> Result<Beaten, Refusal> {
        self.tick(now);
        let asked = match &beat.assignor {
            Some(name) => Some(Assignor::named(name).ok_or(Refusal::UnknownAssignor)?),
            None => None,
        };
        match beat.epoch {
            LEAVING | AWAY => return self.leave(now, &beat),
            ..LEAVING => return Err(Refusal::Invalid("no member has this epoch")),
            JOINING => self.join(&beat)?,
            _ => self.check(&beat)?,
        }
        let told_all = beat.epoch == JOINING || beat.names.is_some() || beat.owned.is_some();
        let session = self.limits.session;
        let Some(member) = self.members.get_mut(&beat.member) else { return Err(Refusal::UnknownMember) };
        member.deadline = now.saturating_add(session);
        let changed = listen(member, &beat, asked);
        if changed {
            self.revision += 1;
        }
        if self.look_at_topics(topics) || changed {
            self.share_out();
        }
        Ok(self.reconcile(now, &beat, told_all))
    }

    /// A member that comes, comes again after it gave everything up, or takes its instance's place.
    fn join(&mut self, beat: &Beat) -> Result<(), Refusal> {
        if beat.member.is_empty() {
            return Err(Refusal::Invalid("a member needs an id"));
        }
        if let Some(instance) = &beat.instance
            && let Some(owner) = self.instances.get(instance).filter(|owner| **owner != beat.member).cloned()
        {
            return self.take_place(&owner, instance, beat);
        }
        let is_full = self.members.len() >= self.limits.max_members;
        match self.members.get_mut(&beat.member) {
            Some(known) => {
                // It holds nothing any more, says one who joins.
                known.current.clear();
                known.revoking.clear();
                known.revoke_until = None;
                known.away = false;
            }
            None if is_full => return Err(Refusal::GroupFull),
            None => {
                let mut member = Member::new(beat.member.clone());
                member.instance = beat.instance.clone();
                if let Some(instance) = &beat.instance {
                    self.instances.insert(instance.clone(), beat.member.clone());
                }
                self.members.insert(beat.member.clone(), member);
            }
        }
        if let Some(member) = self.members.get_mut(&beat.member) {
            (member.epoch, member.previous_epoch) = (JOINING, JOINING);
        }
        Ok(())
    }

    /// Only the place of one that said that it goes and comes back is free.
    fn take_place(&mut self, owner: &str, instance: &str, beat: &Beat) -> Result<(), Refusal> {
        if !self.members.get(owner).is_some_and(|m| m.away) {
            return Err(Refusal::UnreleasedInstance);
        }
        let Some(mut member) = self.members.remove(owner) else { return Err(Refusal::UnknownMember) };
        member.id = beat.member.clone();
        member.away = false;
        member.current.clear();
        member.revoking.clear();
        member.revoke_until = None;
        (member.epoch, member.previous_epoch) = (JOINING, JOINING);
        self.instances.insert(instance.to_owned(), beat.member.clone());
        self.members.insert(beat.member.clone(), member);
        self.revision += 1;
        Ok(())
    }

    /// A member must be known, be its instance, and be in the epoch it says; or in the one before, when the answer that
    /// told it of this one was lost.
    fn check(&self, beat: &Beat) -> Result<(), Refusal> {
        if let Some(instance) = &beat.instance {
            match self.instances.get(instance) {
                None => return Err(Refusal::UnknownMember),
                Some(owner) if *owner != beat.member => return Err(Refusal::Fenced),
                Some(_) => {}
            }
        }
        let member = self.members.get(&beat.member).ok_or(Refusal::UnknownMember)?;
        let has_no_more = |owned: &Assigned| split(owned, &member.current).1.is_empty();
        let answer_was_lost =
            beat.epoch == member.previous_epoch && beat.owned.as_ref().is_some_and(has_no_more);
        if beat.epoch == member.epoch || answer_was_lost { Ok(()) } else { Err(Refusal::FencedEpoch) }
    }

    fn leave(&mut self, now: Millis, beat: &Beat) -> Result<Beaten, Refusal> {
        if let Some(instance) = &beat.instance {
            match self.instances.get(instance) {
                None => return Err(Refusal::UnknownMember),
                Some(owner) if *owner != beat.member => return Err(Refusal::Fenced),
                Some(_) => {}
            }
        }
        let session = self.limits.session;
        let Some(member) = self.members.get_mut(&beat.member) else { return Err(Refusal::UnknownMember) };
        if beat.epoch == AWAY {
            if member.instance.is_none() {
                return Err(Refusal::Invalid("only a static member comes back"));
            }
            // Its place, and what it had, stay for as long as it may be silent.
            member.away = true;
            member.deadline = now.saturating_add(session);
            member.revoke_until = None;
        } else {
            self.remove(&beat.member);
            self.share_out();
        }
        Ok(Beaten { member: beat.member.clone(), epoch: beat.epoch, assigned: None })
    }

    /// The next step of a member towards its target.
    fn reconcile(&mut self, now: Millis, beat: &Beat, told_all: bool) -> Beaten {
        let id = &beat.member;
        let Some(member) = self.members.get(id) else {
            return Beaten { member: id.clone(), epoch: beat.epoch, assigned: None };
        };
        let (mut current, mut revoking) = (member.current.clone(), member.revoking.clone());
        let mut epoch = member.epoch;
        // What it no longer has it has given up.
        if let Some(owned) = &beat.owned {
            revoking = split(&revoking, owned).0;
        }
        if revoking.is_empty() {
            let (kept, to_revoke) = split(&current, &member.target);
            if to_revoke.is_empty() {
                for (topic, partitions) in &member.target {
                    for partition in partitions {
                        if !self.is_others(id, topic, *partition) {
                            current.entry(*topic).or_default().insert(*partition);
                        }
                    }
                }
                epoch = self.epoch;
            } else {
                (current, revoking) = (kept, to_revoke);
            }
        }
        let Some(member) = self.members.get_mut(id) else {
            return Beaten { member: id.clone(), epoch: beat.epoch, assigned: None };
        };
        member.revoke_until = match (revoking.is_empty(), member.revoke_until) {
            (true, _) => None,
            (false, Some(until)) => Some(until),
            (false, None) => Some(now.saturating_add(member.rebalance_timeout)),
        };
        if epoch != member.epoch {
            (member.previous_epoch, member.epoch) = (member.epoch, epoch);
        }
        let news = told_all || current != member.current;
        (member.current, member.revoking) = (current, revoking);
        Beaten { member: id.clone(), epoch: member.epoch, assigned: news.then(|| member.current.clone()) }
    }
}

/// Takes in what a member says of itself. True when that changes who gets what.
fn listen(member: &mut Member, beat: &Beat, assignor: Option<Assignor>) -> bool {
    let is_new = beat.epoch == JOINING;
    member.client_id = beat.client_id.clone();
    member.host = beat.host.clone();
    member.rack = beat.rack.clone().or_else(|| member.rack.take());
    if let Some(timeout) = beat.rebalance_timeout {
        member.rebalance_timeout = timeout;
    }
    let mut changed = is_new;
    if let Some(names) = &beat.names {
        changed |= member.names != *names;
        member.names = names.clone();
    }
    if let Some(pattern) = &beat.pattern {
        let pattern = (!pattern.is_empty()).then(|| pattern.clone());
        if member.pattern != pattern {
            changed = true;
            member.pattern = pattern;
            member.matched.clear();
        }
    }
    if let Some(assignor) = assignor {
        changed |= member.assignor != Some(assignor);
        member.assignor = Some(assignor);
    }
    changed
}
