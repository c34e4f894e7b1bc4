//! The first barrier: members gather, and a generation begins.

use super::{Answer, Classic, Joined, JoinedMember, Joining, Member, Phase, Refusal};
use bytestring::ByteString;
use sluice_model::Millis;
use std::collections::BTreeMap;

impl Classic {
    /// A member joins, or joins again. It is answered at once, or with all others. `fresh` is the id it gets if it
    /// needs one.
    pub(crate) fn join(&mut self, now: Millis, asks: &Joining, fresh: String, answer: Answer<Joined>) {
        self.tick(now);
        if let Err((refusal, answer)) = self.try_join(now, asks, fresh, answer) {
            let _ = answer.send(Err(refusal)); // who asked may be gone
        }
    }

    fn try_join(
        &mut self,
        now: Millis,
        asks: &Joining,
        fresh: String,
        answer: Answer<Joined>,
    ) -> Result<(), (Refusal, Answer<Joined>)> {
        if let Err(refusal) = self.check_protocols(asks).and_then(|()| self.check_room(asks)) {
            return Err((refusal, answer));
        }
        if asks.member.is_empty() {
            return match &asks.instance {
                Some(instance) => match self.instances.get(instance).cloned() {
                    Some(before) => self.replace(now, asks, &before, fresh, answer),
                    None => self.add(now, asks, fresh, answer),
                },
                None if !asks.twice => self.add(now, asks, fresh, answer),
                None if self.is_full() => Err((Refusal::GroupFull, answer)),
                None => {
                    self.pending.insert(fresh.clone(), now.saturating_add(asks.session_timeout));
                    Err((Refusal::MemberIdRequired(fresh), answer))
                }
            };
        }
        if asks.instance.is_none() && self.pending.remove(&asks.member).is_some() {
            return self.add(now, asks, asks.member.clone(), answer);
        }
        match self.check_member(&asks.member, asks.instance.as_deref()) {
            Ok(()) => self.rejoin(now, asks, answer),
            Err(refusal) => Err((refusal, answer)),
        }
    }

    fn is_full(&self) -> bool {
        self.members.len() + self.pending.len() >= self.limits.max_members
    }

    /// What members say about themselves is kept, so there is only room for so much.
    fn check_room(&self, asks: &Joining) -> Result<(), Refusal> {
        let others = self.members.values().filter(|m| m.id != asks.member);
        let kept: usize = others.map(|m| bytes_of(&m.protocols)).sum();
        if kept.saturating_add(bytes_of(&asks.protocols)) > self.limits.max_metadata {
            return Err(Refusal::GroupFull);
        }
        Ok(())
    }

    /// All members must be of one kind, and know one way of sharing out in common.
    fn check_protocols(&self, asks: &Joining) -> Result<(), Refusal> {
        if asks.protocol_type.is_empty() || asks.protocols.is_empty() {
            return Err(Refusal::InconsistentProtocol);
        }
        if self.members.is_empty() {
            return Ok(());
        }
        let others: Vec<&Member> = self.members.values().filter(|m| m.id != asks.member).collect();
        let known_by_all =
            |name: &ByteString| others.iter().all(|m| m.protocols.iter().any(|(n, _)| n == name));
        if asks.protocol_type == self.protocol_type
            && asks.protocols.iter().any(|(name, _)| known_by_all(name))
        {
            Ok(())
        } else {
            Err(Refusal::InconsistentProtocol)
        }
    }

    /// Takes a new member in.
    fn add(
        &mut self,
        now: Millis,
        asks: &Joining,
        id: String,
        answer: Answer<Joined>,
    ) -> Result<(), (Refusal, Answer<Joined>)> {
        if self.is_full() {
            return Err((Refusal::GroupFull, answer));
        }
        if self.members.is_empty() {
            self.protocol_type = asks.protocol_type.clone();
        }
        self.arrivals += 1;
        self.revision += 1;
        let mut member = Member::new(id.clone(), asks, self.arrivals, now);
        member.joining = Some(answer);
        if let Some(instance) = &asks.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        self.members.insert(id, member);
        match self.phase {
            Phase::Preparing { gather: Some(limit), .. } => {
                let until = now.saturating_add(self.limits.initial_delay).min(limit);
                self.phase = Phase::Preparing { until, gather: Some(limit) };
            }
            Phase::Preparing { .. } => self.try_complete_join(now),
            Phase::Empty => self.gather(now),
            Phase::Completing | Phase::Stable => self.prepare(now),
        }
        Ok(())
    }

    /// The first members of a group: wait a little for the others, so that not every one of them begins a generation.
    fn gather(&mut self, now: Millis) {
        let limit = now.saturating_add(self.longest_rebalance());
        let until = now.saturating_add(self.limits.initial_delay).min(limit);
        self.phase = Phase::Preparing { until, gather: Some(limit) };
        if until <= now {
            self.complete_join(now);
        }
    }

    /// A member that is known joins again.
    fn rejoin(
        &mut self,
        now: Millis,
        asks: &Joining,
        answer: Answer<Joined>,
    ) -> Result<(), (Refusal, Answer<Joined>)> {
        let is_leader = self.leader.as_ref() == Some(&asks.member);
        let Some(member) = self.members.get_mut(&asks.member) else {
            return Err((Refusal::UnknownMember, answer));
        };
        let same = member.protocols == asks.protocols;
        member.update(asks, now);
        match self.phase {
            // The answer to the last join was lost, or nothing is new.
            Phase::Completing if same => self.tell_current(&asks.member, answer),
            Phase::Stable if same && !is_leader => self.tell_current(&asks.member, answer),
            Phase::Completing | Phase::Stable => {
                member.joining = Some(answer);
                self.prepare(now);
            }
            Phase::Preparing { .. } => {
                // Who asked with the last one has gone on to this one.
                if let Some(earlier) = member.joining.replace(answer) {
                    let _ = earlier.send(Err(Refusal::Rebalancing));
                }
                self.try_complete_join(now);
            }
            Phase::Empty => return Err((Refusal::UnknownMember, answer)),
        }
        Ok(())
    }

    /// A restarted process takes its instance's place, under a new id. While its group works, nobody else notices.
    fn replace(
        &mut self,
        now: Millis,
        asks: &Joining,
        before: &str,
        id: String,
        answer: Answer<Joined>,
    ) -> Result<(), (Refusal, Answer<Joined>)> {
        let Some(mut member) = self.members.remove(before) else {
            return Err((Refusal::UnknownMember, answer));
        };
        if let Some(earlier) = member.joining.take() {
            let _ = earlier.send(Err(Refusal::Fenced));
        }
        if let Some(earlier) = member.syncing.take() {
            let _ = earlier.send(Err(Refusal::Fenced));
        }
        let chosen = self.protocol.clone().unwrap_or_default();
        let same = member.metadata(&chosen) == metadata_of(asks, &chosen);
        let was_leader = self.leader.as_deref() == Some(before);
        member.id = id.clone();
        self.revision += 1;
        member.update(asks, now);
        if let Some(instance) = &asks.instance {
            self.instances.insert(instance.clone(), id.clone());
        }
        if was_leader {
            self.leader = Some(id.clone());
        }
        self.members.insert(id.clone(), member);
        if self.phase == Phase::Stable && same && self.choose().as_ref() == self.protocol.as_ref() {
            let mut joined = self.current(&id);
            // One that cannot be told to leave the shares as they are is not told that it leads.
            joined.skip = was_leader && asks.may_skip;
            if was_leader && !asks.may_skip {
                joined.leader = before.to_owned();
                joined.members.clear();
            }
            let _ = answer.send(Ok(joined));
            return Ok(());
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.joining = Some(answer);
        }
        match self.phase {
            Phase::Preparing { .. } => self.try_complete_join(now),
            _ => self.prepare(now),
        }
        Ok(())
    }

    /// Gathers everybody anew.
    pub(super) fn prepare(&mut self, now: Millis) {
        for member in self.members.values_mut() {
            if let Some(answer) = member.syncing.take() {
                let _ = answer.send(Err(Refusal::Rebalancing));
                member.deadline = now.saturating_add(member.session_timeout);
            }
        }
        self.sync_until = None;
        let until = now.saturating_add(self.longest_rebalance());
        self.phase = Phase::Preparing { until, gather: None };
        self.try_complete_join(now);
    }

    /// Begins the generation when nobody is missing.
    pub(super) fn try_complete_join(&mut self, now: Millis) {
        let nobody = self.members.is_empty();
        let all = self.pending.is_empty() && self.members.values().all(|m| m.joining.is_some());
        match self.phase {
            Phase::Preparing { gather: None, .. } if all || nobody => self.complete_join(now),
            Phase::Preparing { gather: Some(_), .. } if nobody => self.complete_join(now),
            _ => {}
        }
    }

    /// Begins the generation with those who are there. A static member that is missing keeps its place until it has
    /// been silent for too long.
    pub(super) fn complete_join(&mut self, now: Millis) {
        let missing: Vec<String> = self
            .members
            .values()
            .filter(|m| m.joining.is_none() && m.instance.is_none())
            .map(|m| m.id.clone())
            .collect();
        missing.iter().for_each(|id| self.remove(id));
        if self.members.is_empty() {
            self.generation = next(self.generation);
            self.phase = Phase::Empty;
            (self.protocol, self.leader, self.sync_until) = (None, None, None);
            return;
        }
        if !self.elect() {
            let until = now.saturating_add(self.longest_rebalance());
            self.phase = Phase::Preparing { until, gather: None };
            return;
        }
        self.generation = next(self.generation);
        self.protocol = self.choose();
        self.revision += 1;
        self.sync_until = Some(now.saturating_add(self.longest_rebalance()));
        self.phase = Phase::Completing;
        let there: Vec<String> = self.members.keys().cloned().collect();
        for id in there {
            let joined = self.current(&id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            member.synced = false;
            if let Some(answer) = member.joining.take() {
                member.heard(now);
                member.new_until = None;
                let _ = answer.send(Ok(joined)); // a client that is gone falls silent
            }
        }
    }

    /// The leader stays while it is there; else the first who came and is there leads. False when nobody is there.
    fn elect(&mut self) -> bool {
        let is_there = |id: &String| self.members.get(id).is_some_and(|m| m.joining.is_some());
        if self.leader.as_ref().is_some_and(is_there) {
            return true;
        }
        let first = self.members.values().filter(|m| m.joining.is_some()).min_by_key(|m| m.arrival);
        match first.map(|m| m.id.clone()) {
            Some(id) => self.leader = Some(id),
            None => return false,
        }
        true
    }

    /// The way of sharing out that most members like best, of those that all know.
    fn choose(&self) -> Option<ByteString> {
        let mut votes: BTreeMap<&ByteString, usize> = BTreeMap::new();
        let all_know =
            |name: &ByteString| self.members.values().all(|m| m.protocols.iter().any(|(n, _)| n == name));
        for member in self.members.values() {
            if let Some((name, _)) = member.protocols.iter().find(|(name, _)| all_know(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(name, _)| name.clone())
    }

    fn tell_current(&self, member: &str, answer: Answer<Joined>) {
        let _ = answer.send(Ok(self.current(member)));
    }

    /// The generation as this member is told of it.
    fn current(&self, member: &str) -> Joined {
        let protocol = self.protocol.clone().unwrap_or_default();
        let leads = self.leader.as_deref() == Some(member);
        let members = self.members.values().filter(|_| leads).map(|m| JoinedMember {
            member: m.id.clone(),
            instance: m.instance.clone(),
            metadata: m.metadata(&protocol),
        });
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member: member.to_owned(),
            skip: false,
            members: members.collect(),
            protocol,
        }
    }
}

fn bytes_of(protocols: &[(ByteString, bytes::Bytes)]) -> usize {
    protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum()
}

fn metadata_of(asks: &Joining, protocol: &str) -> bytes::Bytes {
    asks.protocols
        .iter()
        .find(|(name, _)| name == protocol)
        .map_or_else(bytes::Bytes::new, |(_, m)| m.clone())
}

/// Generations are positive on the wire.
fn next(generation: i32) -> i32 {
    generation.checked_add(1).unwrap_or(1)
}
