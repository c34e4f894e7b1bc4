//! A line of Kafka's list of permissions, and the policy that it is part of.
//!
//! A policy speaks of several actions and addresses at once; Kafka's list has a line for each pair of them, and for each
//! kind of resource where the policy speaks of all.
//!
//! | Kafka's operation | actions |
//! |---|---|
//! | READ, WRITE, CREATE, DELETE, ALTER | Sub, Pub, Create, Delete, Update |
//! | DESCRIBE | Get, List |
//! | ALL | every one |
//! | others | no action says exactly this: refused |

use crate::names;
use sluice_auth::{Action, Actions, Decision, NamePattern, Policy, ResourceKind, ResourcePattern, SourceNet};
use sluice_model::{GroupName, TopicName};
use std::collections::BTreeSet;

/// Kinds of resources.
pub(super) const TOPIC: i8 = 2;
pub(super) const GROUP: i8 = 3;
pub(super) const CLUSTER: i8 = 4;
const CLUSTER_NAME: &str = "kafka-cluster";
/// Kinds of patterns.
pub(super) const LITERAL: i8 = 3;
pub(super) const PREFIXED: i8 = 4;
const EVERYTHING: &str = "*";
/// What is said of it.
pub(super) const DENY: i8 = 2;
pub(super) const ALLOW: i8 = 3;
/// Operations.
pub(super) const ALL: i8 = 2;
const OPERATIONS: [(i8, &[Action]); 6] = [
    (3, &[Action::Sub]),
    (4, &[Action::Pub]),
    (5, &[Action::Create]),
    (6, &[Action::Delete]),
    (7, &[Action::Update]),
    (8, &[Action::Get, Action::List]),
];
/// Operations that are part of others here, with the word for the other.
const PARTS: [(i8, &str); 4] = [
    (9, "brokers do not speak to each other"),
    (10, "settings are shown to those who may DESCRIBE"),
    (11, "settings are changed by those who may ALTER"),
    (12, "who may WRITE may do so idempotently"),
];

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Binding {
    pub kind: i8,
    pub name: String,
    pub pattern: i8,
    pub principal: String,
    pub host: String,
    pub operation: i8,
    pub permission: i8,
}

impl Binding {
    /// All lines of a policy.
    pub fn all_of(policy: &Policy) -> Vec<Self> {
        let permission = if policy.decision == Decision::Allow { ALLOW } else { DENY };
        let principal = match policy.subject.strip_prefix("Role:") {
            Some(_) => policy.subject.clone(),
            None => format!("User:{}", policy.subject),
        };
        let mut lines = Vec::new();
        for (kind, name, pattern) in resources(&policy.resource) {
            for host in hosts(&policy.source_ips) {
                for operation in operations(policy.actions) {
                    let (name, principal, host) = (name.clone(), principal.clone(), host.clone());
                    lines.push(Self { kind, name, pattern, principal, host, operation, permission });
                }
            }
        }
        lines
    }

    /// The policy that says this and nothing else.
    ///
    /// # Errors
    /// The words for what no policy can say.
    pub fn policy(&self) -> Result<Policy, String> {
        let decision = match self.permission {
            ALLOW => Decision::Allow,
            DENY => Decision::Deny,
            _ => return Err("a permission is ALLOW or DENY".to_owned()),
        };
        Ok(Policy {
            subject: subject(&self.principal)?,
            resource: self.resource()?,
            actions: actions(self.kind, self.operation)?,
            decision,
            source_ips: match &*self.host {
                EVERYTHING => Vec::new(),
                host => vec![host.parse::<SourceNet>().map_err(|error| error.message().to_owned())?],
            },
        })
    }

    fn resource(&self) -> Result<ResourcePattern, String> {
        let star = if self.pattern == PREFIXED { "*" } else { "" };
        if !matches!(self.pattern, LITERAL | PREFIXED) {
            return Err("a pattern is LITERAL or PREFIXED".to_owned());
        }
        let text = match (self.kind, &*self.name, self.pattern) {
            (TOPIC, EVERYTHING, LITERAL) => "Topic:*".to_owned(),
            (GROUP, EVERYTHING, LITERAL) => "Group:*".to_owned(),
            (CLUSTER, CLUSTER_NAME, LITERAL) => "Cluster".to_owned(),
            (CLUSTER, ..) => return Err(format!("the cluster is the LITERAL {CLUSTER_NAME}")),
            (TOPIC, name, _) => match names::topic(name) {
                Some(topic) => format!("Topic:{topic}{star}"),
                None => return Err(format!("{name:?} is not the name of a topic")),
            },
            (GROUP, name, _) => match names::group(name) {
                Some(group) => format!("Group:{group}{star}"),
                None => return Err(format!("{name:?} is not the name of a group")),
            },
            _ => return Err("policies are about topics, groups and the cluster".to_owned()),
        };
        text.parse().map_err(|error: sluice_model::Error| error.message().to_owned())
    }
}

fn subject(principal: &str) -> Result<String, String> {
    match principal.split_once(':') {
        Some(("User", EVERYTHING)) => {
            Err("there is no policy about everybody; give the users a role".to_owned())
        }
        Some(("User", name)) if !name.is_empty() => Ok(name.to_owned()),
        Some(("Role", name)) if !name.is_empty() => Ok(principal.to_owned()),
        _ => Err(format!("{principal:?} is no principal; there are User:name and Role:name")),
    }
}

fn actions(kind: i8, operation: i8) -> Result<Actions, String> {
    let one = match OPERATIONS.iter().find(|(known, _)| *known == operation) {
        Some((_, actions)) => actions.iter().copied().collect(),
        None if operation == ALL => Actions::all(),
        None => {
            let why = PARTS.iter().find(|(known, _)| *known == operation);
            return Err(why.map_or("not an operation that can be permitted", |(_, why)| why).to_owned());
        }
    };
    let means_nothing = match (kind, operation) {
        (GROUP, 4) => "nothing is written to a group",
        (CLUSTER, 3 | 4) => "topics are read and written, not the cluster",
        (CLUSTER, 5 | 6) => "say CREATE or DELETE of the TOPIC * instead",
        _ => return Ok(one),
    };
    Err(means_nothing.to_owned())
}

fn operations(actions: Actions) -> Vec<i8> {
    if actions == Actions::all() {
        return vec![ALL];
    }
    let has_any = |of: &[Action]| of.iter().any(|action| actions.contains(*action));
    OPERATIONS.iter().filter(|(_, of)| has_any(of)).map(|(operation, _)| *operation).collect()
}

fn resources(pattern: &ResourcePattern) -> Vec<(i8, String, i8)> {
    let any = |kind| match kind {
        ResourceKind::Topic => (TOPIC, EVERYTHING.to_owned(), LITERAL),
        ResourceKind::Group => (GROUP, EVERYTHING.to_owned(), LITERAL),
        ResourceKind::Cluster => (CLUSTER, CLUSTER_NAME.to_owned(), LITERAL),
    };
    match pattern {
        ResourcePattern::Any => {
            [ResourceKind::Topic, ResourceKind::Group, ResourceKind::Cluster].map(any).into()
        }
        ResourcePattern::Of(kind, NamePattern::Any) => vec![any(*kind)],
        ResourcePattern::Of(kind, NamePattern::Literal(name)) => {
            vec![(number(*kind), spelled(*kind, name), LITERAL)]
        }
        ResourcePattern::Of(kind, NamePattern::Prefix(name)) => {
            vec![(number(*kind), spelled(*kind, name), PREFIXED)]
        }
    }
}

fn number(kind: ResourceKind) -> i8 {
    match kind {
        ResourceKind::Topic => TOPIC,
        ResourceKind::Group => GROUP,
        ResourceKind::Cluster => CLUSTER,
    }
}

/// A name as Kafka clients write it; one that they cannot write stays as it is.
fn spelled(kind: ResourceKind, name: &str) -> String {
    let theirs = match kind {
        ResourceKind::Topic => TopicName::new(name).ok().map(|topic| names::topic_name(&topic)),
        ResourceKind::Group => GroupName::new(name).ok().and_then(|group| names::group_id(&group)),
        ResourceKind::Cluster => None,
    };
    theirs.unwrap_or_else(|| name.to_owned())
}

fn hosts(nets: &[SourceNet]) -> Vec<String> {
    match nets {
        [] => vec![EVERYTHING.to_owned()],
        nets => nets.iter().map(|net| host(*net)).collect(),
    }
}

/// One address bare, as Kafka's lists have it.
fn host(net: SourceNet) -> String {
    let text = net.to_string();
    let bare =
        text.strip_suffix("/32").filter(|bare| !bare.contains(':')).or_else(|| text.strip_suffix("/128"));
    bare.map(str::to_owned).unwrap_or(text)
}

/// A policy that says what both say.
///
/// # Errors
/// The words for why there is none: a policy's actions hold from all of its addresses.
pub(super) fn joined(known: &Policy, more: &Policy) -> Result<Policy, String> {
    let union: Actions = known.actions.iter().chain(more.actions.iter()).collect();
    let sources =
        |policy: &Policy| policy.source_ips.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    if sources(known) == sources(more) {
        return Ok(Policy { actions: union, ..known.clone() });
    }
    let (anywhere, both) =
        (sources(known).is_empty() || sources(more).is_empty(), known.actions == more.actions);
    if anywhere || !both {
        return Err(format!("all that a policy says holds from the same addresses, and there is: {known}"));
    }
    let mut joined = known.clone();
    joined.source_ips.extend(more.source_ips.iter().filter(|net| !known.source_ips.contains(net)));
    Ok(joined)
}

/// What is left of a policy without some of its lines; none when nothing is.
///
/// # Errors
/// The words for why what is left is no policy.
pub(super) fn without(policy: &Policy, gone: &BTreeSet<Binding>) -> Result<Option<Policy>, String> {
    let left: BTreeSet<Binding> =
        Binding::all_of(policy).into_iter().filter(|line| !gone.contains(line)).collect();
    if left.is_empty() {
        return Ok(None);
    }
    let operations: BTreeSet<i8> = left.iter().map(|line| line.operation).collect();
    let hosts: BTreeSet<&str> = left.iter().map(|line| &*line.host).collect();
    if policy.resource == ResourcePattern::Any || operations.len() * hosts.len() != left.len() {
        return Err(format!("only part of what one policy says at once: {policy}"));
    }
    let stays = |action: &Action| {
        operations.contains(&ALL)
            || OPERATIONS.iter().any(|(operation, of)| of.contains(action) && operations.contains(operation))
    };
    let nets = policy.source_ips.iter().copied().filter(|net| hosts.contains(&*host(*net)));
    Ok(Some(Policy {
        actions: policy.actions.iter().filter(stays).collect(),
        source_ips: nets.collect(),
        ..policy.clone()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::{select, subsequence};

    fn line(kind: i8, name: &str, operation: i8) -> Binding {
        Binding {
            kind,
            name: name.into(),
            pattern: LITERAL,
            principal: "User:alice".into(),
            host: "*".into(),
            operation,
            permission: ALLOW,
        }
    }

    #[test]
    fn what_no_policy_can_say_is_refused() {
        let refused = [
            (Binding { principal: "User:*".into(), ..line(TOPIC, "t", 3) }, "everybody"),
            (Binding { principal: "alice".into(), ..line(TOPIC, "t", 3) }, "no principal"),
            (Binding { host: "example.com".into(), ..line(TOPIC, "t", 3) }, "not an address"),
            (Binding { pattern: 2, ..line(TOPIC, "t", 3) }, "LITERAL or PREFIXED"),
            (Binding { permission: 1, ..line(TOPIC, "t", 3) }, "ALLOW or DENY"),
            (line(TOPIC, "t", 10), "DESCRIBE"),
            (line(TOPIC, "t", 11), "ALTER"),
            (line(TOPIC, "t", 12), "WRITE"),
            (line(TOPIC, "t", 1), "not an operation"),
            (line(TOPIC, "a b", 3), "not the name"),
            (line(TOPIC, "..25RETRY..25g", 3), "Group:name"),
            (line(GROUP, "g", 4), "nothing is written"),
            (line(CLUSTER, "kafka-cluster", 5), "TOPIC *"),
            (line(CLUSTER, "mine", 8), "kafka-cluster"),
            (line(5, "t", 3), "topics, groups and the cluster"),
        ];
        for (line, words) in refused {
            let why = line.policy().unwrap_err();
            assert!(why.contains(words), "{line:?}: {why}");
        }
    }

    #[test]
    fn a_policy_on_everything_has_a_line_for_each_kind() {
        let policy = Policy::allow("Role:ops", "*", &Action::ALL).unwrap();
        let lines = Binding::all_of(&policy);
        let shown: Vec<_> = lines.iter().map(|l| (l.kind, &*l.name, l.operation, &*l.principal)).collect();
        let ops = "Role:ops";
        assert_eq!(
            shown,
            [(TOPIC, "*", ALL, ops), (GROUP, "*", ALL, ops), (CLUSTER, "kafka-cluster", ALL, ops)]
        );
        let one: BTreeSet<_> = lines.iter().take(1).cloned().collect();
        assert!(without(&policy, &one).unwrap_err().contains("only part"));
        assert_eq!(without(&policy, &lines.into_iter().collect()), Ok(None));
    }

    #[test]
    fn policies_are_joined_where_one_says_it_all() {
        let at = |actions: &[Action], nets: &[&str]| Policy {
            source_ips: nets.iter().map(|net| net.parse().unwrap()).collect(),
            ..Policy::allow("a", "Topic:t", actions).unwrap()
        };
        let (read, write) = ([Action::Sub], [Action::Pub]);
        let joined = |a: &Policy, b: &Policy| joined(a, b).ok().map(|joined| joined.to_string());
        assert_eq!(
            joined(&at(&read, &[]), &at(&write, &[])).unwrap(),
            at(&[Action::Pub, Action::Sub], &[]).to_string()
        );
        let (here, there) = (at(&read, &["10.0.0.1"]), at(&read, &["10.0.0.2"]));
        assert_eq!(joined(&here, &there).unwrap(), at(&read, &["10.0.0.1", "10.0.0.2"]).to_string());
        assert_eq!(joined(&at(&read, &[]), &here), None, "from anywhere already, but not as it was said");
        assert_eq!(joined(&here, &at(&write, &["10.0.0.2"])), None);
    }

    fn policy() -> impl Strategy<Value = Policy> {
        let resources = vec!["Topic:t", "Topic:a%2Eb*", "Topic:*", "Group:g", "Group:x%20*", "Cluster", "*"];
        let nets = vec!["10.0.0.1", "10.0.0.0/8", "2001:db8::1"];
        let actions = subsequence(Action::ALL.to_vec(), 1..=7);
        (select(resources), actions, subsequence(nets, 0..=3), any::<bool>()).prop_map(
            |(resource, actions, nets, allows)| Policy {
                source_ips: nets.into_iter().map(|net| net.parse().unwrap()).collect(),
                decision: if allows { Decision::Allow } else { Decision::Deny },
                ..Policy::allow("alice", resource, &actions).unwrap()
            },
        )
    }

    proptest! {
        /// What is shown, said again by itself, is part of the policy; and with nothing taken away all of it is left.
        #[test]
        fn each_line_says_part_of_its_policy(policy in policy()) {
            prop_assert_eq!(without(&policy, &BTreeSet::new()).unwrap_or(Some(policy.clone())), Some(policy.clone()));
            for line in Binding::all_of(&policy) {
                let Ok(own) = line.policy() else { continue };
                prop_assert_eq!((&own.subject, own.decision), (&policy.subject, policy.decision));
                prop_assert!(policy.resource == ResourcePattern::Any || own.resource == policy.resource);
                prop_assert!(own.source_ips.iter().all(|net| policy.source_ips.contains(net)));
                prop_assert_eq!(own.source_ips.is_empty(), policy.source_ips.is_empty());
                // DESCRIBE is Get and List, and is shown for either.
                let looks = own.actions.contains(Action::Get);
                prop_assert!(looks || own.actions.iter().all(|action| policy.actions.contains(action)));
                prop_assert_eq!(Binding::all_of(&own), vec![line]);
            }
        }

        /// Taking lines away takes these and no others.
        #[test]
        fn what_is_taken_away_is_gone_and_nothing_else(policy in policy(), picked in any::<u64>()) {
            let all = Binding::all_of(&policy);
            let gone: BTreeSet<_> =
                all.iter().enumerate().filter(|(at, _)| picked >> (at % 64) & 1 == 1).map(|(_, l)| l.clone()).collect();
            let wanted: Vec<_> = all.into_iter().filter(|line| !gone.contains(line)).collect();
            match without(&policy, &gone) {
                Ok(None) => prop_assert!(wanted.is_empty()),
                Ok(Some(left)) => prop_assert_eq!(Binding::all_of(&left), wanted),
                Err(_) => prop_assert!(!wanted.is_empty()),
            }
        }
    }
}
