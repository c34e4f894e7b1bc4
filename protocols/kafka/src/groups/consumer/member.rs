//! A member whose partitions the broker shares out.

use super::assignor::Assignor;
use bytestring::ByteString;
use sluice_model::Millis;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Partitions by topic.
pub(crate) type Assigned = BTreeMap<Uuid, BTreeSet<i32>>;

/// A member.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance: Option<String>,
    pub(crate) rack: Option<String>,
    pub(crate) client_id: ByteString,
    pub(crate) host: ByteString,
    /// The topics it names.
    pub(crate) names: BTreeSet<String>,
    /// The pattern of topics that it names, and what matched last.
    pub(crate) pattern: Option<String>,
    pub(super) matched: BTreeSet<String>,
    pub(super) assignor: Option<Assignor>,
    /// How long it may take to give up what it is told to.
    pub(super) rebalance_timeout: Millis,
    /// The epoch that it is in, and the one it was in before.
    pub(crate) epoch: i32,
    pub(super) previous_epoch: i32,
    /// What it shall have.
    pub(crate) target: Assigned,
    /// What it has, as it was told.
    pub(crate) current: Assigned,
    /// What it had, was told to give up, and may still use.
    pub(super) revoking: Assigned,
    /// When it counts as gone, unless it is heard before.
    pub(super) deadline: Millis,
    /// Until when it must have given up what it was told to.
    pub(super) revoke_until: Option<Millis>,
    /// It is a static member that said that it comes back.
    pub(super) away: bool,
}

impl Member {
    pub(super) fn new(id: String) -> Self {
        Self {
            id,
            instance: None,
            rack: None,
            client_id: ByteString::new(),
            host: ByteString::new(),
            names: BTreeSet::new(),
            pattern: None,
            matched: BTreeSet::new(),
            assignor: None,
            rebalance_timeout: 0,
            epoch: 0,
            previous_epoch: 0,
            target: Assigned::new(),
            current: Assigned::new(),
            revoking: Assigned::new(),
            deadline: 0,
            revoke_until: None,
            away: false,
        }
    }

    /// The topics it wants.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &str> {
        self.names.union(&self.matched).map(String::as_str)
    }

    /// It has what it shall have.
    pub(super) fn is_settled(&self) -> bool {
        self.revoking.is_empty() && self.current == self.target
    }

    pub(super) fn holds(&self, topic: &Uuid, partition: i32) -> bool {
        let has = |assigned: &Assigned| assigned.get(topic).is_some_and(|of| of.contains(&partition));
        has(&self.current) || has(&self.revoking)
    }

    pub(super) fn gone_from(&self) -> Millis {
        self.revoke_until.map_or(self.deadline, |until| until.min(self.deadline))
    }
}

/// Those of `of` that are in `other`, or those that are not.
pub(super) fn split(of: &Assigned, other: &Assigned) -> (Assigned, Assigned) {
    let (mut both, mut rest) = (Assigned::new(), Assigned::new());
    for (topic, partitions) in of {
        for partition in partitions {
            let is_in = other.get(topic).is_some_and(|p| p.contains(partition));
            let to = if is_in { &mut both } else { &mut rest };
            to.entry(*topic).or_default().insert(*partition);
        }
    }
    (both, rest)
}
