//! Groups whose members want different things.
//!
//! Clients of this wire share a group's queues among all its members, whatever each of them subscribes to. So what one
//! wants lies in queues of another who does not want it, and is lost to the group; stock brokers lose it in silence.
//! The one idea to know: each member gets what it subscribes to from its own queues, and more cannot be done here, so
//! the group is reported: in the log with members and expressions, in a metric, and in what tools are shown.

use parking_lot::Mutex;
use sluice_broker::{Fetching, Member};
use sluice_model::{GroupName, TopicName};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// Members named for one expression; the others are counted.
const MAX_NAMED: usize = 3;
/// What a member wants from a topic that it does not subscribe to.
const NOTHING: &str = "nothing";

/// What the members of a group want from one topic, when they do not agree: who wants what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) topic: TopicName,
    wanted: BTreeMap<String, Vec<String>>,
}

/// As `TagA (client-1), TagB (client-2, client-3)`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (expression, clients)) in self.wanted.iter().enumerate() {
            let named: Vec<&str> = clients.iter().take(MAX_NAMED).map(String::as_str).collect();
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{expression} ({}", named.join(", "))?;
            match clients.len().saturating_sub(MAX_NAMED) {
                0 => f.write_str(")")?,
                more => write!(f, " and {more} more)")?,
            }
        }
        Ok(())
    }
}

/// On which topics the members do not agree. One that has not told its subscriptions has no say, nor has one that gets
/// messages one by one instead of sharing queues.
pub(crate) fn differences(members: &[Member]) -> Vec<Difference> {
    let sharing = |m: &&Member| m.fetching != Fetching::Lease && !m.subscriptions.is_empty();
    let members: Vec<&Member> = members.iter().filter(sharing).collect();
    let mut topics: BTreeMap<&TopicName, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for subscription in members.iter().flat_map(|m| &m.subscriptions) {
        topics.entry(&subscription.topic).or_default();
    }
    for (topic, wanted) in &mut topics {
        for member in &members {
            let wants = member.subscriptions.iter().find(|s| s.topic == **topic);
            let expression = wants.map_or(NOTHING, |s| match &s.expression[..] {
                "" => "*",
                expression => expression,
            });
            wanted.entry(expression.to_owned()).or_default().push(member.client_id.to_string());
        }
    }
    let differ = topics.into_iter().filter(|(_, wanted)| wanted.len() > 1);
    differ.map(|(topic, wanted)| Difference { topic: topic.clone(), wanted }).collect()
}

/// The groups that are known to differ, with the words in which that was told.
#[derive(Debug, Default)]
pub(crate) struct Differing(Mutex<HashMap<GroupName, Told>>);

#[derive(Debug)]
struct Told {
    words: String,
    /// Somebody has left: it may be over.
    doubtful: bool,
}

impl Differing {
    /// Whether a heartbeat in this group is a reason to look, although it changed nothing.
    pub(crate) fn is_doubtful(&self, group: &GroupName) -> bool {
        self.0.lock().get(group).is_some_and(|told| told.doubtful)
    }

    /// A member of this group has left.
    pub(crate) fn left(&self, group: &GroupName) {
        if let Some(told) = self.0.lock().get_mut(group) {
            told.doubtful = true;
        }
    }

    /// Looks at a group's members, and tells what is new.
    pub(crate) fn look(&self, group: &GroupName, members: &[Member]) {
        let differences: Vec<String> =
            differences(members).iter().map(|d| format!("{}: {d}", d.topic)).collect();
        let words = differences.join("; ");
        let mut groups = self.0.lock();
        let before = groups.get(group).map(|told| told.words.as_str()).unwrap_or_default();
        if words.is_empty() {
            if groups.remove(group).is_some() {
                tracing::info!(%group, "the group's members subscribe to the same again");
            }
        } else {
            if before != words {
                tracing::warn!(
                    %group,
                    differences = words,
                    "members of a group subscribe to different things: each gets what it wants from its own queues only, \
                     and what lies in another's is lost to it"
                );
            }
            groups.insert(group.clone(), Told { words, doubtful: false });
        }
        metrics::gauge!("sluice_groups_with_different_subscriptions").set(groups.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_broker::{Sharing, StartAt, Subscription};
    use sluice_model::Filter;

    fn member(client_id: &str, subscriptions: &[(&str, &str)]) -> Member {
        let subscription = |(topic, expression): &(&str, &str)| Subscription {
            topic: TopicName::new(topic.to_string()).unwrap(),
            filter: Filter::All,
            expression: expression.to_string().into(),
            version: 1,
        };
        Member {
            client_id: client_id.into(),
            peer: "10.0.0.1:1".parse().unwrap(),
            fetching: Fetching::Push,
            sharing: Sharing::Clustering,
            start: StartAt::Earliest,
            agent: "JAVA 479".into(),
            subscriptions: subscriptions.iter().map(subscription).collect(),
            last_seen: 0,
        }
    }

    fn told(members: &[Member]) -> Vec<String> {
        differences(members).iter().map(|d| format!("{}: {d}", d.topic)).collect()
    }

    #[test]
    fn who_wants_what_is_named() {
        let (a, b) = (member("a", &[("T", "x"), ("U", "*")]), member("b", &[("T", "x"), ("U", "")]));
        assert_eq!(told(&[a.clone(), b.clone(), member("quiet", &[])]), Vec::<String>::new());
        let c = member("c", &[("T", "y")]);
        assert_eq!(told(&[a, b, c]), ["T: x (a, b), y (c)", "U: * (a, b), nothing (c)"]);
        let leased = Member { fetching: Fetching::Lease, ..member("l", &[("T", "z")]) };
        assert_eq!(told(&[member("a", &[("T", "x")]), leased]), Vec::<String>::new());
        let many: Vec<Member> = (0..5).map(|n| member(&n.to_string(), &[("T", "x")])).collect();
        let many = [many, vec![member("c", &[("T", "y")])]].concat();
        assert_eq!(told(&many), ["T: x (0, 1, 2 and 2 more), y (c)"]);
    }

    #[test]
    fn a_group_is_reported_until_it_agrees() {
        let (differing, group) = (Differing::default(), GroupName::new("g").unwrap());
        let (a, b) = (member("a", &[("T", "x")]), member("b", &[("T", "y")]));
        differing.look(&group, &[a.clone(), b]);
        assert!(!differing.is_doubtful(&group));
        differing.left(&group);
        assert!(differing.is_doubtful(&group));
        differing.look(&group, &[a]);
        differing.left(&group);
        assert!(!differing.is_doubtful(&group), "it is no longer known as one");
    }
}
