//! Actions, resources, and the evidence of a passed check.

use crate::Session;
use serde::{Deserialize, Serialize};
use sluice_model::{Error, GroupName, Result, TopicName};
use std::fmt;
use std::str::FromStr;

/// What someone wants to do. The words are those of RocketMQ's ACL 2.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// Send to a topic.
    Pub,
    /// Read from a topic, or as a group.
    Sub,
    /// Make a topic or group.
    Create,
    /// Change one.
    Update,
    /// Remove one.
    Delete,
    /// Look at one.
    Get,
    /// See which there are.
    List,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 7] =
        [Self::Pub, Self::Sub, Self::Create, Self::Update, Self::Delete, Self::Get, Self::List];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Action {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|action| action.to_string().eq_ignore_ascii_case(text)).ok_or_else(|| {
            Error::invalid(format!("{text:?} is no action; there are {:?} and All", Self::ALL))
        })
    }
}

/// A set of actions, written as a list of their names; `All` stands for every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Actions(u8);

impl Actions {
    /// Every action.
    pub fn all() -> Self {
        Action::ALL.into_iter().collect()
    }

    /// True when the action is in the set.
    pub fn contains(self, action: Action) -> bool {
        self.0 & action.bit() != 0
    }

    /// True when there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The actions, one by one.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().filter(move |action| self.contains(*action))
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        Self(actions.into_iter().fold(0, |bits, action| bits | action.bit()))
    }
}

impl TryFrom<Vec<String>> for Actions {
    type Error = Error;

    fn try_from(names: Vec<String>) -> Result<Self> {
        let (all, named): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.eq_ignore_ascii_case("All"));
        // A name that is none is refused beside All too: it may be a mistake in the list.
        let named: Self = named.into_iter().map(|name| name.parse::<Action>()).collect::<Result<_>>()?;
        Ok(if all.is_empty() { named } else { Self::all() })
    }
}

impl From<Actions> for Vec<String> {
    fn from(actions: Actions) -> Self {
        actions.iter().map(|action| action.to_string()).collect()
    }
}

/// What it is done to. A permit always speaks of one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A topic. A retry or dead-letter topic stands for its group.
    Topic(&'a TopicName),
    /// A group.
    Group(&'a GroupName),
    /// The broker as a whole: users, policies, settings, connections.
    Cluster,
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "Topic:{name}"),
            Self::Group(name) => write!(f, "Group:{name}"),
            Self::Cluster => f.write_str("Cluster"),
        }
    }
}

/// Evidence that a check passed. Only [`crate::Auth::permit`] makes one, and the broker's rules ask for it.
#[derive(Debug)]
pub struct Permit<'a> {
    pub(crate) session: &'a Session,
    pub(crate) action: Action,
    pub(crate) resource: Resource<'a>,
}

impl<'a> Permit<'a> {
    /// Who was permitted.
    pub fn session(&self) -> &'a Session {
        self.session
    }

    /// To do what.
    pub fn action(&self) -> Action {
        self.action
    }

    /// To which resource.
    pub fn resource(&self) -> Resource<'a> {
        self.resource
    }
}
