//! The classic group: its members gather, one of them shares out the work, and nobody works in two generations at once.
//!
//! The one idea to know: a join and a sync are *barriers*. Whoever arrives is parked with the other end of its answer;
//! when everybody is there, or the time for it is over, all are answered at once. What members say about themselves and
//! what the leader gives each is opaque here: cooperative sharing is two rounds of the same barriers, and is the
//! clients' business.
//!
//! ```text
//!   Empty ──join──> Preparing ──all joined, or time over──> Completing ──leader's sync──> Stable
//!     ^                 │  ^                                    │                           │
//!     └──nobody left────┘  └─────── join, leave, silence ───────┴───────────────────────────┘
//! ```
//!
//! Nothing waits in here and nothing asks for the time: [`Classic::tick`] says that time has passed, and
//! [`Classic::next_deadline`] when it should be said again.
//!
//! - `join` — the first barrier; `sync` — the second; `leave` — how members go; `member` — one of them

mod join;
mod leave;
mod member;
mod sync;
#[cfg(test)]
mod tests;

pub(crate) use member::{Joined, JoinedMember, Joining, Member, Synced, Syncing};

use super::refusal::Refusal;
use bytestring::ByteString;
use sluice_model::Millis;
use std::collections::{BTreeMap, HashMap};
use tokio::sync::oneshot;

/// The other end of an answer.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, Refusal>>;

/// A new member that waits in a join cannot say that it lives; after this long it is given up (as other brokers do).
const NEW_MEMBER_PATIENCE: Millis = 5 * 60_000;

/// What a group may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClassicLimits {
    /// Members, and ids given to members that have not come yet.
    pub(crate) max_members: usize,
    /// What all members together say about themselves, in bytes.
    pub(crate) max_metadata: usize,
    /// How long the first members of an empty group are waited for.
    pub(crate) initial_delay: Millis,
}

/// Where a group stands between two generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nobody is here.
    Empty,
    /// Members gather until a time. For the first members of an empty group that time moves on with every arrival, up
    /// to the limit, and is waited for.
    Preparing { until: Millis, gather: Option<Millis> },
    /// All are told their generation; the leader shares out.
    Completing,
    /// All know their share.
    Stable,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Classic {
    limits: ClassicLimits,
    phase: Phase,
    generation: i32,
    protocol_type: ByteString,
    protocol: Option<ByteString>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// Which member an instance id stands for.
    instances: HashMap<String, String>,
    /// Ids given to members that shall join under them, and until when.
    pending: BTreeMap<String, Millis>,
    /// Until when all members must have asked for their share of this generation.
    sync_until: Option<Millis>,
    arrivals: u64,
    /// Counts what changes of the members.
    revision: u64,
}

impl Classic {
    pub(crate) fn new(limits: ClassicLimits) -> Self {
        Self {
            limits,
            phase: Phase::Empty,
            generation: 0,
            protocol_type: ByteString::new(),
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: HashMap::new(),
            pending: BTreeMap::new(),
            sync_until: None,
            arrivals: 0,
            revision: 0,
        }
    }

    /// Nobody is here, and nobody is expected.
    pub(crate) fn is_over(&self) -> bool {
        self.members.is_empty() && self.pending.is_empty()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn protocol_type(&self) -> &ByteString {
        &self.protocol_type
    }

    pub(crate) fn protocol(&self) -> Option<&ByteString> {
        self.protocol.as_ref()
    }

    /// Another number after the members, or what they say about themselves, are others.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The members, by id.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Lets the time that has passed take effect.
    pub(crate) fn tick(&mut self, now: Millis) {
        let before = self.pending.len();
        self.pending.retain(|_, until| *until > now);
        let pending_went = self.pending.len() != before;
        let silent: Vec<String> =
            self.members.values().filter(|m| m.is_silent(now)).map(|m| m.id.clone()).collect();
        for id in &silent {
            self.remove(id);
        }
        if !silent.is_empty() {
            self.after_a_loss(now);
        } else if pending_went {
            self.try_complete_join(now);
        }
        match self.phase {
            Phase::Preparing { until, .. } if until <= now => self.complete_join(now),
            Phase::Completing | Phase::Stable if self.sync_until.is_some_and(|until| until <= now) => {
                self.drop_unsynced(now);
            }
            _ => {}
        }
    }

    /// When [`Classic::tick`] has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        let pending = self.pending.values().min().copied();
        let silence = self.members.values().map(Member::silent_from).min();
        let barrier = match self.phase {
            Phase::Empty => None,
            Phase::Preparing { until, .. } => Some(until),
            Phase::Completing | Phase::Stable => self.sync_until,
        };
        [pending, silence, barrier].into_iter().flatten().min()
    }

    /// A member says that it lives.
    pub(crate) fn heartbeat(
        &mut self,
        now: Millis,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), Refusal> {
        self.tick(now);
        self.check_member(member, instance)?;
        self.check_generation(generation)?;
        self.refresh(member, now);
        match self.phase {
            Phase::Empty => Err(Refusal::UnknownMember),
            Phase::Preparing { .. } => Err(Refusal::Rebalancing),
            Phase::Completing | Phase::Stable => Ok(()),
        }
    }

    /// Whether a commit of offsets may be made in this name. Without a generation (below 0) only a group that nobody is in
    /// takes it, whatever the name: some clients have made themselves one.
    pub(crate) fn check_commit(
        &mut self,
        now: Millis,
        member: &str,
        instance: Option<&str>,
        generation: i32,
    ) -> Result<(), Refusal> {
        self.tick(now);
        if generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        self.check_member(member, instance)?;
        self.check_generation(generation)?;
        self.refresh(member, now);
        match self.phase {
            Phase::Empty => Err(Refusal::UnknownMember),
            Phase::Completing => Err(Refusal::Rebalancing),
            Phase::Preparing { .. } | Phase::Stable => Ok(()),
        }
    }

    fn check_generation(&self, generation: i32) -> Result<(), Refusal> {
        if generation == self.generation { Ok(()) } else { Err(Refusal::IllegalGeneration) }
    }

    /// A member must be known, and be the one its instance id stands for.
    fn check_member(&self, member: &str, instance: Option<&str>) -> Result<(), Refusal> {
        if let Some(instance) = instance {
            match self.instances.get(instance) {
                None => return Err(Refusal::UnknownMember),
                Some(owner) if owner != member => return Err(Refusal::Fenced),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member) { Ok(()) } else { Err(Refusal::UnknownMember) }
    }

    fn refresh(&mut self, member: &str, now: Millis) {
        if let Some(member) = self.members.get_mut(member) {
            member.heard(now);
        }
    }

    /// The longest time that a member asks to be waited for.
    fn longest_rebalance(&self) -> Millis {
        self.members.values().map(|m| m.rebalance_timeout).max().unwrap_or(0)
    }
}
