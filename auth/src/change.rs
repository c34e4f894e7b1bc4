//! What an administrator asks, and what the broker's log remembers of it.
//!
//! [`crate::Auth::plan`] turns a [`Command`] into a [`Change`]: passwords are hashed and doubts are settled before
//! anything is written, so applying a change needs no clock, no randomness, and cannot fail.

use crate::user::User;
use crate::{AclFile, Policy, ResourcePattern, Secret, UserSpec};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an administrator asks.
#[derive(Debug, Clone)]
pub enum Command {
    /// Makes a user, or changes one.
    PutUser(UserSpec),
    /// Removes a user and the policies about it.
    DeleteUser(String),
    /// Makes a policy, or replaces the one with the same subject, resource and decision.
    PutPolicy(Policy),
    /// Removes the policies of a subject, all of them or those with this very resource pattern.
    DeletePolicy {
        /// The user's name.
        subject: String,
        /// The pattern as it was given.
        resource: Option<ResourcePattern>,
    },
    /// Makes the content of the operator's file what it now is.
    ReplaceFile(AclFile),
    /// Makes the administrator of a first start; refused when there is any user.
    Bootstrap {
        /// Their password.
        password: Secret,
    },
}

/// A decided command, to be written to the log and then applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change(pub(crate) Kind);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    PutUser(User),
    DeleteUser(String),
    PutPolicy { policy: Policy, from_file: bool },
    DeletePolicy { subject: String, resource: Option<ResourcePattern> },
    ReplaceFile { users: Vec<User>, policies: Vec<Policy> },
}

/// For the audit log: what changed, without secrets.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::PutUser(user) => write!(f, "put User:{}", user.name),
            Kind::DeleteUser(name) => write!(f, "delete User:{name}"),
            Kind::PutPolicy { policy, .. } => {
                write!(
                    f,
                    "put policy of User:{} on {}: {:?}",
                    policy.subject, policy.resource, policy.decision
                )
            }
            Kind::DeletePolicy { subject, resource: Some(resource) } => {
                write!(f, "delete policies of User:{subject} on {resource}")
            }
            Kind::DeletePolicy { subject, resource: None } => write!(f, "delete policies of User:{subject}"),
            Kind::ReplaceFile { users, policies } => {
                write!(f, "replace the file's {} users and {} policies", users.len(), policies.len())
            }
        }
    }
}
