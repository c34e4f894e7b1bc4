//! How members go: because they say so, or because they have fallen silent.

use super::{Classic, Phase, Refusal};
use sluice_model::Millis;

impl Classic {
    /// A member leaves. An operator names a static one by its instance alone.
    pub(crate) fn leave(&mut self, now: Millis, member: &str, instance: Option<&str>) -> Result<(), Refusal> {
        self.tick(now);
        let id = match instance {
            Some(instance) if member.is_empty() => {
                self.instances.get(instance).cloned().ok_or(Refusal::UnknownMember)?
            }
            _ => member.to_owned(),
        };
        if self.pending.remove(&id).is_some() {
            self.try_complete_join(now);
            return Ok(());
        }
        self.check_member(&id, instance)?;
        self.remove(&id);
        self.after_a_loss(now);
        Ok(())
    }

    /// Takes a member out; whatever it waits for is answered.
    pub(super) fn remove(&mut self, id: &str) {
        let Some(mut member) = self.members.remove(id) else { return };
        self.revision += 1;
        if let Some(instance) = &member.instance
            && self.instances.get(instance).is_some_and(|owner| owner == id)
        {
            self.instances.remove(instance);
        }
        if let Some(answer) = member.joining.take() {
            let _ = answer.send(Err(Refusal::UnknownMember));
        }
        if let Some(answer) = member.syncing.take() {
            let _ = answer.send(Err(Refusal::UnknownMember));
        }
    }

    /// What is due after members went.
    pub(super) fn after_a_loss(&mut self, now: Millis) {
        match self.phase {
            Phase::Empty => {}
            Phase::Preparing { .. } => self.try_complete_join(now),
            Phase::Completing | Phase::Stable => self.prepare(now),
        }
    }
}
