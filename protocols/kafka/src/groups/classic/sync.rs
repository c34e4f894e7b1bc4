//! The second barrier: the leader says what each gets, and everybody gets it.

use super::{Answer, Classic, Phase, Refusal, Synced, Syncing};
use sluice_model::Millis;
use std::collections::HashMap;

impl Classic {
    /// A member asks for its share; the leader brings all of them.
    pub(crate) fn sync(&mut self, now: Millis, asks: Syncing, answer: Answer<Synced>) {
        self.tick(now);
        if let Err((refusal, answer)) = self.try_sync(now, asks, answer) {
            let _ = answer.send(Err(refusal)); // who asked may be gone
        }
    }

    fn try_sync(
        &mut self,
        now: Millis,
        asks: Syncing,
        answer: Answer<Synced>,
    ) -> Result<(), (Refusal, Answer<Synced>)> {
        if let Err(refusal) = self.check_sync(&asks) {
            return Err((refusal, answer));
        }
        let Some(member) = self.members.get_mut(&asks.member) else {
            return Err((Refusal::UnknownMember, answer));
        };
        match self.phase {
            Phase::Empty => return Err((Refusal::UnknownMember, answer)),
            Phase::Preparing { .. } => return Err((Refusal::Rebalancing, answer)),
            Phase::Completing => {
                member.heard(now);
                member.synced = true;
                if let Some(earlier) = member.syncing.replace(answer) {
                    let _ = earlier.send(Err(Refusal::Rebalancing));
                }
                if self.leader.as_ref() == Some(&asks.member) {
                    self.share_out(now, asks.shares);
                }
            }
            Phase::Stable => {
                member.heard(now);
                member.synced = true;
                let share = member.share.clone();
                let _ = answer.send(Ok(self.synced(share)));
                self.forget_sync_deadline();
            }
        }
        Ok(())
    }

    fn check_sync(&self, asks: &Syncing) -> Result<(), Refusal> {
        self.check_member(&asks.member, asks.instance.as_deref())?;
        self.check_generation(asks.generation)?;
        let same_type = asks.protocol_type.as_ref().is_none_or(|t| *t == self.protocol_type);
        let same_protocol = asks.protocol.as_ref().is_none_or(|p| Some(p) == self.protocol.as_ref());
        if same_type && same_protocol { Ok(()) } else { Err(Refusal::InconsistentProtocol) }
    }

    /// The shares are not written down: after a restart of the broker every member joins anew, and until then works on
    /// under offsets that only a live generation may move.
    fn share_out(&mut self, now: Millis, shares: Vec<(String, bytes::Bytes)>) {
        let mut shares: HashMap<String, bytes::Bytes> = shares.into_iter().collect();
        self.phase = Phase::Stable;
        let mut waiting = Vec::new();
        for member in self.members.values_mut() {
            member.share = shares.remove(&member.id).unwrap_or_default();
            if let Some(answer) = member.syncing.take() {
                member.heard(now);
                waiting.push((member.share.clone(), answer));
            }
        }
        for (share, answer) in waiting {
            let _ = answer.send(Ok(self.synced(share)));
        }
        self.forget_sync_deadline();
    }

    fn synced(&self, share: bytes::Bytes) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone().unwrap_or_default(),
            share,
        }
    }

    fn forget_sync_deadline(&mut self) {
        if self.phase == Phase::Stable && self.members.values().all(|m| m.synced) {
            self.sync_until = None;
        }
    }

    /// Lets those go who joined and never asked for their share.
    pub(super) fn drop_unsynced(&mut self, now: Millis) {
        self.sync_until = None;
        let late: Vec<String> = self.members.values().filter(|m| !m.synced).map(|m| m.id.clone()).collect();
        late.iter().for_each(|id| self.remove(id));
        if !late.is_empty() {
            self.after_a_loss(now);
        }
    }
}
