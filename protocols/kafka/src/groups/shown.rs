//! What of a group's members is shown to others: on other wires, and to operators.

use super::classic::{Classic, Phase};
use super::live::Kind;
use super::names_in;
use bytestring::ByteString;
use sluice_broker::{Fetching, Member, Sharing, StartAt, Subscription};
use sluice_model::{Filter, Millis, TopicName};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

/// What changes when the members do.
pub(super) fn state(kind: &Kind) -> (u64, usize) {
    match kind {
        Kind::New => (0, 0),
        Kind::Classic(group) => (group.revision(), group.members().count()),
        Kind::Consumer(group) => (group.revision(), group.members().count()),
    }
}

/// The members, as every wire shows them.
pub(super) fn members(kind: &Kind, now: Millis) -> Vec<Member> {
    let of = |id: &str, host: &str, agent: &ByteString, topics: BTreeSet<TopicName>| Member {
        client_id: id.into(),
        peer: peer(host),
        fetching: Fetching::Pull,
        sharing: Sharing::Clustering,
        start: StartAt::Latest,
        agent: agent.clone(),
        subscriptions: topics
            .into_iter()
            .map(|topic| Subscription { topic, filter: Filter::All, expression: "*".into(), version: 0 })
            .collect(),
        last_seen: now,
    };
    match kind {
        Kind::New => Vec::new(),
        Kind::Classic(group) => group
            .members()
            .map(|m| of(&m.id, &m.host, &m.client_id, topics_of(group, m.metadata(&chosen(group)).as_ref())))
            .collect(),
        Kind::Consumer(group) => group
            .members()
            .map(|m| of(&m.id, &m.host, &m.client_id, m.topics().filter_map(crate::names::topic).collect()))
            .collect(),
    }
}

/// Whether a client of this name at this host is a member.
pub(super) fn has_member(kind: &Kind, host: &str, client_id: &str) -> bool {
    match kind {
        Kind::New => false,
        Kind::Classic(group) => group.members().any(|m| *m.host == *host && *m.client_id == *client_id),
        Kind::Consumer(group) => group.members().any(|m| *m.host == *host && *m.client_id == *client_id),
    }
}

fn chosen(group: &Classic) -> ByteString {
    group.protocol().cloned().unwrap_or_default()
}

/// What a member of consumers says that it reads; nothing of other kinds of groups.
fn topics_of(group: &Classic, metadata: &[u8]) -> BTreeSet<TopicName> {
    if group.protocol_type() != names_in::CONSUMER {
        return BTreeSet::new();
    }
    names_in::subscription(metadata).into_iter().filter_map(|name| crate::names::topic(&name)).collect()
}

/// The topics that live members of a group read, by the names their clients use.
pub(super) fn subscribed(kind: &Kind) -> BTreeSet<String> {
    match kind {
        Kind::New => BTreeSet::new(),
        Kind::Classic(group) if group.protocol_type() == names_in::CONSUMER => {
            let protocol = chosen(group);
            group.members().flat_map(|m| names_in::subscription(&m.metadata(&protocol))).collect()
        }
        Kind::Classic(_) => BTreeSet::new(),
        Kind::Consumer(group) => group.members().flat_map(|m| m.topics().map(str::to_owned)).collect(),
    }
}

/// The name of a group's state.
pub(super) fn state_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::New => "Empty",
        Kind::Classic(group) => match group.phase() {
            Phase::Empty => "Empty",
            Phase::Preparing { .. } => "PreparingRebalance",
            Phase::Completing => "CompletingRebalance",
            Phase::Stable => "Stable",
        },
        Kind::Consumer(group) => group.state_name(),
    }
}

/// Clients are remembered as the wire shows them, with a slash in front.
fn peer(host: &str) -> SocketAddr {
    let ip = host.trim_start_matches('/').parse().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    SocketAddr::new(ip, 0)
}
