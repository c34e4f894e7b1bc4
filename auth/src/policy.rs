//! A policy: a user or role, a pattern of resources, actions, and whether they are allowed.
//!
//! How policies decide: a superuser passes; of the policies that match, the one decides that names the resource most
//! closely ([`Closeness`]), and of several as close a deny before an allow; nothing matching refuses. A policy matches
//! when resource, action and source address all do: one that speaks of other actions or addresses has no say, however
//! close. So the order of policies never matters, a deny on everything can be opened for one topic, and a deny on one topic
//! holds against an allow on everything. The policies of a user's roles count like its own.

use crate::role::Subject;
use crate::{Action, Actions, Resource, SourceNet};
use serde::{Deserialize, Serialize};
use sluice_model::{Error, GroupName, Result, TopicName};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A rule about one user or role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The user's name, or `Role:` and the role's.
    pub subject: String,
    /// Which resources: `Topic:orders`, `Topic:orders*`, `Group:*`, `Cluster`, `*`.
    pub resource: ResourcePattern,
    /// Which actions: a list of `Pub`, `Sub`, `Create`, `Update`, `Delete`, `Get`, `List`, or `All`.
    pub actions: Actions,
    /// Allowed or denied.
    #[serde(default)]
    pub decision: Decision,
    /// From where; empty means from anywhere.
    #[serde(default)]
    pub source_ips: Vec<SourceNet>,
}

/// What a policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It may be done.
    #[default]
    Allow,
    /// It may not be done, unless a policy that names the resource more closely allows it.
    Deny,
}

/// The kind of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceKind {
    /// Topics.
    Topic,
    /// Groups.
    Group,
    /// The broker as a whole.
    Cluster,
}

/// A pattern of names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NamePattern {
    /// This name.
    Literal(String),
    /// Every name that starts so.
    Prefix(String),
    /// Every name.
    Any,
}

/// A pattern of resources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ResourcePattern {
    /// Everything.
    Any,
    /// Those of one kind with such a name. A cluster has no name: it is always [`NamePattern::Any`].
    Of(ResourceKind, NamePattern),
}

impl Policy {
    /// A policy that allows, from anywhere.
    ///
    /// # Errors
    /// [`sluice_model::ErrorKind::InvalidArgument`] when the pattern is not one.
    pub fn allow(subject: &str, resource: &str, actions: &[Action]) -> Result<Self> {
        Ok(Self {
            subject: subject.to_owned(),
            resource: resource.parse()?,
            actions: actions.iter().copied().collect(),
            decision: Decision::Allow,
            source_ips: Vec::new(),
        })
    }

    /// A policy that denies, from anywhere.
    ///
    /// # Errors
    /// [`sluice_model::ErrorKind::InvalidArgument`] when the pattern is not one.
    pub fn deny(subject: &str, resource: &str, actions: &[Action]) -> Result<Self> {
        Ok(Self { decision: Decision::Deny, ..Self::allow(subject, resource, actions)? })
    }

    /// True when it allows one of these to somebody from there, on any resource of that kind.
    pub(crate) fn allows_any(&self, of: &[(Action, ResourceKind)], from: IpAddr) -> bool {
        let about = |kind| match &self.resource {
            ResourcePattern::Any => true,
            ResourcePattern::Of(own, _) => *own == kind,
        };
        self.decision == Decision::Allow
            && of.iter().any(|(action, kind)| self.actions.contains(*action) && about(*kind))
            && self.is_from(from)
    }

    fn is_from(&self, from: IpAddr) -> bool {
        self.source_ips.is_empty() || self.source_ips.iter().any(|net| net.contains(from))
    }

    /// What it counts among others that match: the closest decides, and of several as close a deny.
    pub(crate) fn weight(&self) -> (Closeness, bool) {
        (self.resource.closeness(), self.decision == Decision::Deny)
    }

    /// What about the request it does not speak of; none when it matches.
    pub(crate) fn mismatch(&self, action: Action, target: Target<'_>, from: IpAddr) -> Option<Mismatch> {
        if !self.resource.matches(target) {
            Some(Mismatch::Resource)
        } else if !self.actions.contains(action) {
            Some(Mismatch::Action)
        } else if self.is_from(from) {
            None
        } else {
            Some(Mismatch::Source)
        }
    }
}

/// As one sentence: `deny Pub on Topic:orders for User:alice from 10.0.0.0/8`.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decision = if self.decision == Decision::Allow { "allow" } else { "deny" };
        let actions = Vec::from(self.actions).join(",");
        write!(f, "{decision} {actions} on {} for {}", self.resource, Subject::of(&self.subject))?;
        for (at, net) in self.source_ips.iter().enumerate() {
            write!(f, "{}{net}", if at == 0 { " from " } else { "," })?;
        }
        Ok(())
    }
}

/// Why a policy has no say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mismatch {
    Resource,
    Action,
    Source,
}

/// The outcome over all policies of one user, with the one that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome<'p> {
    Allowed(&'p Policy),
    Denied(&'p Policy),
    NoMatch,
}

/// Decides for a user who is not a superuser.
pub(crate) fn decide<'p>(
    policies: impl IntoIterator<Item = &'p Policy>,
    action: Action,
    target: Target<'_>,
    from: IpAddr,
) -> Outcome<'p> {
    let mut decides: Option<&'p Policy> = None;
    for policy in policies.into_iter().filter(|p| p.mismatch(action, target, from).is_none()) {
        if decides.is_none_or(|other| policy.weight() > other.weight()) {
            decides = Some(policy);
        }
    }
    match decides {
        Some(policy) if policy.decision == Decision::Deny => Outcome::Denied(policy),
        Some(policy) => Outcome::Allowed(policy),
        None => Outcome::NoMatch,
    }
}

/// How closely a pattern names what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Closeness {
    /// `*`
    Everything,
    /// `Topic:*`, `Group:*`, `Cluster`
    Kind,
    /// `Topic:orders*`, the more the longer.
    Prefix(usize),
    /// `Topic:orders`
    Name,
}

/// A resource as patterns see it: retry and dead-letter topics have become their group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub kind: ResourceKind,
    pub name: &'a str,
}

/// The prefixes of a group's own topics; the model makes such names but only as owned ones, and a check must not
/// allocate. A test holds them equal to the model's.
const GROUP_TOPIC_PREFIXES: [&str; 2] = ["%RETRY%", "%DLQ%"];

/// Topics to which clients send of their own accord, so that nobody should have to grant it: where the right to do so
/// follows from. Reading them does not follow, and nothing follows where a policy that matches the topic decides.
const FOLLOWING: [(&str, &[(Action, ResourceKind)]); 2] = [
    // A client's traces of what it sent and received.
    ("RMQ_SYS_TRACE_TOPIC", &[(Action::Pub, ResourceKind::Topic), (Action::Sub, ResourceKind::Group)]),
    // A consumer's answer to a request.
    ("DefaultCluster_REPLY_TOPIC", &[(Action::Sub, ResourceKind::Group)]),
];

/// What sending to this topic, or making it by sending, follows from; nothing for other topics and actions.
pub(crate) fn follows_from(action: Action, target: Target<'_>) -> &'static [(Action, ResourceKind)] {
    if target.kind != ResourceKind::Topic || !matches!(action, Action::Pub | Action::Create) {
        return &[];
    }
    FOLLOWING.iter().find(|(name, _)| *name == target.name).map_or(&[], |(_, from)| *from)
}

impl<'a> From<Resource<'a>> for Target<'a> {
    fn from(resource: Resource<'a>) -> Self {
        match resource {
            Resource::Topic(topic) => {
                let name = topic.as_str();
                match GROUP_TOPIC_PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
                    Some(group) => Self { kind: ResourceKind::Group, name: group },
                    None => Self { kind: ResourceKind::Topic, name },
                }
            }
            Resource::Group(group) => Self { kind: ResourceKind::Group, name: group.as_str() },
            Resource::Cluster => Self { kind: ResourceKind::Cluster, name: "" },
        }
    }
}

impl ResourcePattern {
    pub(crate) fn closeness(&self) -> Closeness {
        match self {
            Self::Any => Closeness::Everything,
            Self::Of(_, NamePattern::Any) => Closeness::Kind,
            Self::Of(_, NamePattern::Prefix(prefix)) => Closeness::Prefix(prefix.len()),
            Self::Of(_, NamePattern::Literal(_)) => Closeness::Name,
        }
    }

    pub(crate) fn matches(&self, target: Target<'_>) -> bool {
        match self {
            Self::Any => true,
            Self::Of(kind, _) if *kind != target.kind => false,
            Self::Of(_, NamePattern::Literal(name)) => target.name == name,
            Self::Of(_, NamePattern::Prefix(prefix)) => target.name.starts_with(prefix.as_str()),
            Self::Of(_, NamePattern::Any) => true,
        }
    }
}

impl FromStr for ResourcePattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::invalid(format!("resource {text:?}: {why}"));
        let (kind, name) = match text {
            "*" => return Ok(Self::Any),
            "Cluster" => (ResourceKind::Cluster, "*"),
            _ => match text.split_once(':') {
                Some(("Topic", name)) => (ResourceKind::Topic, name),
                Some(("Group", name)) => (ResourceKind::Group, name),
                Some(("Cluster", "*")) => (ResourceKind::Cluster, "*"),
                _ => return Err(wrong("write Topic:name, Topic:prefix*, Topic:*, Group:…, Cluster or *")),
            },
        };
        let pattern = match name.strip_suffix('*') {
            Some("") => NamePattern::Any,
            Some(prefix) => NamePattern::Prefix(prefix.to_owned()),
            None => NamePattern::Literal(name.to_owned()),
        };
        // A pattern that no legal name can match is a mistake to report, not a rule to keep.
        let legal = match &pattern {
            NamePattern::Any => Ok(()),
            NamePattern::Literal(name) | NamePattern::Prefix(name) => match kind {
                ResourceKind::Topic if GROUP_TOPIC_PREFIXES.iter().any(|p| name.starts_with(p)) => {
                    return Err(wrong("a retry or dead-letter topic stands for its group: write Group:name"));
                }
                ResourceKind::Topic => TopicName::new(name.as_str()).map(drop),
                ResourceKind::Group | ResourceKind::Cluster => GroupName::new(name.as_str()).map(drop),
            },
        };
        legal.map_err(|error| wrong(error.message()))?;
        Ok(Self::Of(kind, pattern))
    }
}

impl fmt::Display for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Of(ResourceKind::Cluster, _) => f.write_str("Cluster"),
            Self::Of(kind, NamePattern::Literal(name)) => write!(f, "{kind:?}:{name}"),
            Self::Of(kind, NamePattern::Prefix(prefix)) => write!(f, "{kind:?}:{prefix}*"),
            Self::Of(kind, NamePattern::Any) => write!(f, "{kind:?}:*"),
        }
    }
}

impl TryFrom<String> for ResourcePattern {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ResourcePattern> for String {
    fn from(pattern: ResourcePattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::select;

    #[test]
    fn patterns_read_as_they_are_written() {
        for text in
            ["*", "Topic:*", "Topic:orders", "Topic:orders*", "Group:g", "Group:g*", "Group:*", "Cluster"]
        {
            assert_eq!(text.parse::<ResourcePattern>().unwrap().to_string(), text);
        }
        assert_eq!("Cluster:*".parse::<ResourcePattern>().unwrap().to_string(), "Cluster");
        for bad in [
            "",
            "topic:x",
            "Topic:",
            "Topic:a*b",
            "Topic:a b",
            "Cluster:c",
            "orders",
            "Topic:%RETRY%g",
            "Topic:%DLQ%*",
        ] {
            assert!(bad.parse::<ResourcePattern>().is_err(), "{bad:?}");
        }
    }

    /// The prefixes are written down twice; the model's are the truth.
    #[test]
    fn group_topics_are_those_of_the_model() {
        let group = GroupName::new("g").unwrap();
        for topic in [group.retry_topic(), group.dead_letter_topic()] {
            assert_eq!(Target::from(Resource::Topic(&topic)), Target::from(Resource::Group(&group)));
        }
    }

    const NAMES: [&str; 5] = ["a", "ab", "abc", "b", "%RETRY%a"];
    const PATTERNS: [&str; 8] =
        ["*", "Topic:*", "Topic:a*", "Topic:ab*", "Topic:ab", "Group:a", "Group:*", "Cluster"];
    const NETS: [&str; 3] = ["10.0.0.0/8", "10.0.0.1", "::/0"];

    fn policies() -> impl Strategy<Value = Vec<Policy>> {
        let actions = proptest::sample::subsequence(Action::ALL.to_vec(), 1..=7);
        let nets = proptest::sample::subsequence(NETS.to_vec(), 0..=3);
        let policy = (select(&PATTERNS[..]), actions, any::<bool>(), nets).prop_map(
            |(resource, actions, deny, nets)| Policy {
                decision: if deny { Decision::Deny } else { Decision::Allow },
                source_ips: nets.into_iter().map(|net| net.parse().unwrap()).collect(),
                ..Policy::allow("u", resource, &actions).unwrap()
            },
        );
        proptest::collection::vec(policy, 0..6)
    }

    /// What decides among policies that match, as the example of a user whom it concerns: each line in any order.
    #[test]
    fn the_closest_decides_and_of_several_as_close_a_deny() {
        const ALLOW: bool = true;
        const DENY: bool = false;
        // What there is, for sending to the topic `orders-eu` from 10.0.0.1; the place in the list of what decides.
        type Line = (&'static [(bool, &'static str)], Option<usize>);
        let lines: [Line; 14] = [
            (&[], None),
            (&[(ALLOW, "Topic:orders-us")], None),
            (&[(DENY, "*"), (ALLOW, "Topic:*")], Some(1)),
            (&[(ALLOW, "*"), (DENY, "Topic:*")], Some(1)),
            (&[(DENY, "Topic:*"), (ALLOW, "Topic:o*")], Some(1)),
            (&[(DENY, "Topic:o*"), (ALLOW, "Topic:orders*")], Some(1)),
            (&[(ALLOW, "Topic:o*"), (DENY, "Topic:orders*")], Some(1)),
            (&[(DENY, "Topic:orders*"), (ALLOW, "Topic:orders-eu")], Some(1)),
            (&[(ALLOW, "Topic:orders*"), (DENY, "Topic:orders-eu")], Some(1)),
            (&[(ALLOW, "Topic:orders-eu"), (DENY, "Topic:orders-eu")], Some(1)),
            (&[(ALLOW, "Topic:orders*"), (DENY, "Topic:orders*")], Some(1)),
            (&[(ALLOW, "*"), (DENY, "*")], Some(1)),
            (&[(DENY, "Group:*"), (DENY, "Cluster"), (ALLOW, "*")], Some(2)),
            // A prefix of the same letters is not the name, and does not match less than `Topic:*` does.
            (&[(DENY, "*"), (ALLOW, "Topic:*"), (DENY, "Topic:orders-eu*")], Some(2)),
        ];
        let topic = TopicName::new("orders-eu").unwrap();
        let (target, from) = (Target::from(Resource::Topic(&topic)), "10.0.0.1".parse().unwrap());
        for (line, expected) in lines {
            let policy = |(allow, resource): &(bool, &str)| match allow {
                true => Policy::allow("u", resource, &[Action::Pub]).unwrap(),
                false => Policy::deny("u", resource, &[Action::Pub]).unwrap(),
            };
            let policies: Vec<Policy> = line.iter().map(policy).collect();
            for turned in [false, true] {
                let mut inquired: Vec<&Policy> = policies.iter().collect();
                if turned {
                    inquired.reverse();
                }
                let decided = match decide(inquired, Action::Pub, target, from) {
                    Outcome::Allowed(policy) | Outcome::Denied(policy) => Some(policy),
                    Outcome::NoMatch => None,
                };
                assert_eq!(decided, expected.map(|at| &policies[at]), "{line:?}");
            }
        }
    }

    /// A policy on other actions or from elsewhere does not decide, however closely it names the resource.
    #[test]
    fn what_does_not_match_has_no_say() {
        let everything = Policy::allow("u", "*", &Action::ALL).unwrap();
        let reading = Policy::deny("u", "Topic:orders", &[Action::Sub]).unwrap();
        let elsewhere = Policy {
            source_ips: vec!["192.168.0.0/16".parse().unwrap()],
            ..Policy::deny("u", "Topic:orders", &[Action::Pub]).unwrap()
        };
        let policies = [everything, reading, elsewhere];
        let topic = TopicName::new("orders").unwrap();
        let asked = |action, from: &str| {
            said(&policies, action, Target::from(Resource::Topic(&topic)), from.parse().unwrap())
        };
        assert_eq!(asked(Action::Pub, "10.0.0.1"), Some(Decision::Allow));
        assert_eq!(asked(Action::Pub, "192.168.1.1"), Some(Decision::Deny));
        assert_eq!(asked(Action::Sub, "10.0.0.1"), Some(Decision::Deny));
    }

    /// The rule in other words: strings compared the slow way, one class of patterns after the other.
    fn naive(policies: &[Policy], action: Action, kind: &str, name: &str, from: IpAddr) -> Option<Decision> {
        let applies = |p: &&Policy| {
            let pattern = p.resource.to_string();
            let full = if kind == "Cluster" { "Cluster".to_owned() } else { format!("{kind}:{name}") };
            let resource = match pattern.strip_suffix('*') {
                Some(start) => full.starts_with(start),
                None => full == pattern,
            };
            resource
                && p.actions.iter().any(|a| a == action)
                && (p.source_ips.is_empty() || p.source_ips.iter().any(|net| net.contains(from)))
        };
        // Closer patterns are longer, and a name without a star is closer than with one.
        let written = |p: &Policy| match p.resource.to_string() {
            text if text == "Cluster" => (1, 0),
            text if text == "*" => (0, 0),
            text if text.ends_with(":*") => (1, 0),
            text if text.ends_with('*') => (2, text.len()),
            text => (3, text.len()),
        };
        let closest = policies.iter().filter(applies).map(written).max()?;
        let decisions: Vec<_> =
            policies.iter().filter(applies).filter(|p| written(p) == closest).map(|p| p.decision).collect();
        [Decision::Deny, Decision::Allow].into_iter().find(|decision| decisions.contains(decision))
    }

    fn said(policies: &[Policy], action: Action, target: Target<'_>, from: IpAddr) -> Option<Decision> {
        match decide(policies, action, target, from) {
            Outcome::Allowed(policy) | Outcome::Denied(policy) => Some(policy.decision),
            Outcome::NoMatch => None,
        }
    }

    proptest! {
        #[test]
        fn the_closest_class_decides_and_in_it_a_deny(
            policies in policies(),
            action in select(&Action::ALL[..]),
            name in select(&NAMES[..]),
            from in select(&["10.0.0.1", "10.2.2.2", "192.168.0.1", "::1"][..]),
        ) {
            let from: IpAddr = from.parse().unwrap();
            let topic = TopicName::new(name).unwrap();
            let got = said(&policies, action, Target::from(Resource::Topic(&topic)), from);
            let (kind, name) = name.strip_prefix("%RETRY%").map_or(("Topic", name), |group| ("Group", group));
            prop_assert_eq!(got, naive(&policies, action, kind, name, from));

            let mut turned = policies.clone();
            turned.reverse();
            prop_assert_eq!(got, said(&turned, action, Target::from(Resource::Topic(&topic)), from));

            let cluster = said(&policies, action, Target::from(Resource::Cluster), from);
            prop_assert_eq!(cluster, naive(&policies, action, "Cluster", "", from));
        }

        #[test]
        fn another_deny_never_permits_and_another_allow_never_forbids(
            policies in policies(),
            extra in policies(),
            action in select(&Action::ALL[..]),
        ) {
            let from: IpAddr = "10.0.0.1".parse().unwrap();
            let topic = TopicName::new("ab").unwrap();
            let target = Target::from(Resource::Topic(&topic));
            let before = said(&policies, action, target, from);
            for policy in extra {
                let more: Vec<Policy> = policies.iter().cloned().chain([policy.clone()]).collect();
                let after = said(&more, action, target, from);
                match policy.decision {
                    Decision::Deny => prop_assert!(after == Some(Decision::Deny) || after == before),
                    Decision::Allow => prop_assert!(after == Some(Decision::Allow) || after == before),
                }
            }
        }
    }
}
