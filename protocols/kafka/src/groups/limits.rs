//! What groups may cost, and the times they go by.

use serde::{Deserialize, Serialize};
use sluice_model::Millis;
use sluice_model::units::{ByteSize, Span};

/// What can be set about groups. Defaults in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupLimits {
    /// Groups that have members at one time [10000].
    pub max_live: usize,
    /// Members of one group, and ids given to members that are still to come [1000: the leader is told of all of them in
    /// one answer].
    pub max_members: usize,
    /// What all members of one group say about themselves, together [32MiB]: it is kept, and told to the leader.
    pub max_metadata: ByteSize,
    /// The shortest time after which a silent member counts as gone [6s, as in Kafka]: shorter ones make groups that
    /// never rest.
    pub min_session: Span,
    /// The longest such time [30m, as in Kafka].
    pub max_session: Span,
    /// How long the first members of an empty group are waited for, so that not each of them begins a generation [0s:
    /// a lone consumer begins at once. Kafka waits 3s].
    pub initial_delay: Span,
    /// How often members whose partitions the broker shares out are to say that they live [5s, as in Kafka].
    pub heartbeat: Span,
    /// After which silence such a member counts as gone [45s, as in Kafka].
    pub session: Span,
}

impl Default for GroupLimits {
    fn default() -> Self {
        Self {
            max_live: 10_000,
            max_members: 1000,
            max_metadata: ByteSize::mib(32),
            min_session: Span::secs(6),
            max_session: Span::secs(1800),
            initial_delay: Span::secs(0),
            heartbeat: Span::secs(5),
            session: Span::secs(45),
        }
    }
}

impl GroupLimits {
    /// A session timeout as asked for, if it may be had.
    pub(super) fn session(&self, asked: i32) -> Option<Millis> {
        let asked = Millis::try_from(asked).ok()?;
        (self.min_session.as_millis()..=self.max_session.as_millis()).contains(&asked).then_some(asked)
    }
}
