//! Actions, resources, and the evidence of a passed check.

use crate::Session;
use sluice_model::{GroupName, TopicName};
use std::fmt;

/// What someone wants to do. The words are those of RocketMQ's ACL 2.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
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
