//! A member of a classic group, what it asks and what it is answered.

use super::{Answer, NEW_MEMBER_PATIENCE};
use bytes::Bytes;
use bytestring::ByteString;
use sluice_model::Millis;

/// What a member says when it joins.
#[derive(Debug, Clone)]
pub(crate) struct Joining {
    /// Its id; empty when it has none yet.
    pub(crate) member: String,
    /// The id that a restarted process keeps.
    pub(crate) instance: Option<String>,
    pub(crate) client_id: ByteString,
    pub(crate) host: ByteString,
    /// How long it may be silent.
    pub(crate) session_timeout: Millis,
    /// How long it is waited for when members gather.
    pub(crate) rebalance_timeout: Millis,
    pub(crate) protocol_type: ByteString,
    /// The ways of sharing out that it knows, best first, each with what it says about itself.
    pub(crate) protocols: Vec<(ByteString, Bytes)>,
    /// A member without an id is given one and joins again.
    pub(crate) twice: bool,
    /// It understands that a leader need not share out anew.
    pub(crate) may_skip: bool,
}

/// What a join gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) generation: i32,
    pub(crate) protocol_type: ByteString,
    pub(crate) protocol: ByteString,
    pub(crate) leader: String,
    pub(crate) member: String,
    /// The leader shall not share out anew.
    pub(crate) skip: bool,
    /// All members, for the leader alone.
    pub(crate) members: Vec<JoinedMember>,
}

/// A member, as the leader is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) metadata: Bytes,
}

/// What a member says when it asks for its share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Syncing {
    pub(crate) member: String,
    pub(crate) instance: Option<String>,
    pub(crate) generation: i32,
    /// The kind of group and the way of sharing out that it believes in, when it says so.
    pub(crate) protocol_type: Option<ByteString>,
    pub(crate) protocol: Option<ByteString>,
    /// What each gets, from the leader.
    pub(crate) shares: Vec<(String, Bytes)>,
}

/// What a sync gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: ByteString,
    pub(crate) protocol: ByteString,
    pub(crate) share: Bytes,
}

/// A member.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) instance: Option<String>,
    pub(crate) client_id: ByteString,
    pub(crate) host: ByteString,
    pub(crate) session_timeout: Millis,
    pub(crate) rebalance_timeout: Millis,
    pub(crate) protocols: Vec<(ByteString, Bytes)>,
    /// What it works on.
    pub(crate) share: Bytes,
    /// When it counts as gone, unless it is heard before.
    pub(super) deadline: Millis,
    pub(super) joining: Option<Answer<Joined>>,
    pub(super) syncing: Option<Answer<Synced>>,
    /// It has asked for its share of this generation.
    pub(super) synced: bool,
    /// Until when it is waited for in its first join.
    pub(super) new_until: Option<Millis>,
    /// When it came, among all.
    pub(super) arrival: u64,
}

impl Member {
    pub(super) fn new(id: String, asks: &Joining, arrival: u64, now: Millis) -> Self {
        Self {
            id,
            instance: asks.instance.clone(),
            client_id: asks.client_id.clone(),
            host: asks.host.clone(),
            session_timeout: asks.session_timeout,
            rebalance_timeout: asks.rebalance_timeout,
            protocols: asks.protocols.clone(),
            share: Bytes::new(),
            deadline: now.saturating_add(asks.session_timeout),
            joining: None,
            syncing: None,
            synced: false,
            new_until: Some(now.saturating_add(NEW_MEMBER_PATIENCE)),
            arrival,
        }
    }

    pub(super) fn update(&mut self, asks: &Joining, now: Millis) {
        self.client_id = asks.client_id.clone();
        self.host = asks.host.clone();
        self.session_timeout = asks.session_timeout;
        self.rebalance_timeout = asks.rebalance_timeout;
        self.protocols = asks.protocols.clone();
        self.heard(now);
    }

    pub(super) fn heard(&mut self, now: Millis) {
        self.deadline = now.saturating_add(self.session_timeout);
    }

    /// What it says about itself under a way of sharing out.
    pub(crate) fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols.iter().find(|(name, _)| name == protocol).map_or_else(Bytes::new, |(_, m)| m.clone())
    }

    /// A member whose own request is parked cannot say that it lives, and need not, while its connection does.
    pub(super) fn is_parked(&self) -> bool {
        self.joining.as_ref().is_some_and(|answer| !answer.is_closed())
            || self.syncing.as_ref().is_some_and(|answer| !answer.is_closed())
    }

    pub(super) fn is_silent(&self, now: Millis) -> bool {
        match self.joining.as_ref().filter(|answer| !answer.is_closed()).and(self.new_until) {
            Some(until) => until <= now,
            None => !self.is_parked() && self.deadline <= now,
        }
    }

    /// When it should be looked at, whether it has fallen silent.
    pub(super) fn silent_from(&self) -> Millis {
        match (self.is_parked(), self.new_until) {
            (false, _) => self.deadline,
            (true, Some(until)) if self.joining.is_some() => until,
            (true, _) => Millis::MAX,
        }
    }
}
