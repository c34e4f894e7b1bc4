//! A policy: a user, a pattern of resources, actions, and whether they are allowed.
//!
//! How policies decide: a superuser passes; one matching deny refuses, whatever else matches; otherwise one matching
//! allow permits; nothing matching refuses. So the order of policies never matters, and a deny cannot be undone by
//! naming a resource more closely.

use crate::{Action, Actions, Resource, SourceNet};
use serde::{Deserialize, Serialize};
use sluice_model::{Error, GroupName, Result, TopicName};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A rule about one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The user's name.
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
    /// It may not be done, whatever else allows it.
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

    pub(crate) fn matches(&self, action: Action, target: Target<'_>, from: IpAddr) -> bool {
        self.actions.contains(action)
            && self.resource.matches(target)
            && (self.source_ips.is_empty() || self.source_ips.iter().any(|net| net.contains(from)))
    }
}

/// The outcome over all policies of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Allowed,
    Denied,
    NoMatch,
}

/// Decides for a user who is not a superuser.
pub(crate) fn decide(policies: &[Policy], action: Action, target: Target<'_>, from: IpAddr) -> Outcome {
    let mut outcome = Outcome::NoMatch;
    for policy in policies.iter().filter(|p| p.matches(action, target, from)) {
        match policy.decision {
            Decision::Deny => return Outcome::Denied,
            Decision::Allow => outcome = Outcome::Allowed,
        }
    }
    outcome
}

/// A resource as patterns see it: retry and dead-letter topics have become their group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    kind: ResourceKind,
    name: &'a str,
}

/// The prefixes of a group's own topics; the model makes such names but only as owned ones, and a check must not
/// allocate. A test holds them equal to the model's.
const GROUP_TOPIC_PREFIXES: [&str; 2] = ["%RETRY%", "%DLQ%"];

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
    fn matches(&self, target: Target<'_>) -> bool {
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
