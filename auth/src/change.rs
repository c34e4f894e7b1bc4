//! What an administrator asks, and what the broker's log remembers of it.
//!
//! [`crate::Auth::plan`] turns a [`Command`] into a [`Change`]: passwords are hashed and doubts are settled before
//! anything is written, so applying a change needs no clock, no randomness, and cannot fail.

use crate::quota::{GroupQuota, GroupQuotaSpec};
use crate::record::UserV1;
use crate::role::{Role, Subject};
use crate::user::User;
use crate::{
    AclFile, NewScram, NewToken, Policy, ResourcePattern, RoleSpec, ScramMechanism, Secret, UserSpec,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an administrator asks.
#[derive(Debug, Clone)]
pub enum Command {
    /// Makes a user, or changes one.
    PutUser(UserSpec),
    /// Removes a user and the policies about it.
    DeleteUser(String),
    /// Gives a user a new secret; the one it had is accepted too until [`Command::RemoveSecret`].
    RotateSecret {
        /// The user's name.
        user: String,
        /// The new secret.
        secret: Secret,
    },
    /// Ends one of a user's two secrets, or its password, at once.
    RemoveSecret {
        /// The user's name.
        user: String,
        /// Which one.
        which: WhichSecret,
    },
    /// Gives a user an API token, see [`NewToken::generate`].
    PutToken(NewToken),
    /// Ends an API token at once.
    DeleteToken {
        /// The user's name.
        user: String,
        /// The token's id, as it is listed.
        id: String,
    },
    /// Lets a user log in by SCRAM with a password of its own; makes the user when there is none.
    PutScram(NewScram),
    /// Ends that.
    DeleteScram {
        /// The user's name.
        user: String,
        /// Of which mechanism.
        mechanism: ScramMechanism,
    },
    /// Makes a role, or changes one.
    PutRole(RoleSpec),
    /// Removes a role that nobody has, and the policies about it.
    DeleteRole(String),
    /// Limits what a consumer group receives.
    PutGroupQuota(GroupQuotaSpec),
    /// Makes a policy, or replaces the one with the same subject, resource and decision.
    PutPolicy(Policy),
    /// Removes the policies of a subject, all of them or those with this very resource pattern.
    DeletePolicy {
        /// The user's name, or `Role:` and the role's.
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

/// What a user proves itself with, besides tokens and certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhichSecret {
    /// The newer secret. If there is another, that one takes its place.
    Current,
    /// The older secret.
    Previous,
    /// The password.
    Password,
}

/// A decided command, to be written to the log and then applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change(pub(crate) Kind);

/// Append only: the order is the encoding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Read, never written any more.
    PutUserV1(UserV1),
    DeleteUser(String),
    PutPolicy {
        policy: Policy,
        from_file: bool,
    },
    DeletePolicy {
        subject: String,
        resource: Option<ResourcePattern>,
    },
    /// Read, never written any more.
    ReplaceFileV1 {
        users: Vec<UserV1>,
        policies: Vec<Policy>,
    },
    PutUser(User),
    ReplaceFile(FileContent),
    PutRole(Role),
    DeleteRole(String),
    /// An empty quota takes it away.
    PutGroupQuota(GroupQuota),
    /// Written only when the file limits groups.
    ReplaceFileWithGroups(FileContent, Vec<GroupQuota>),
}

/// All that the operator's file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileContent {
    pub roles: Vec<Role>,
    pub users: Vec<User>,
    pub policies: Vec<Policy>,
}

impl Kind {
    /// True for changes of users and roles.
    pub(crate) fn may_change_quotas(&self) -> bool {
        !matches!(self, Self::PutPolicy { .. } | Self::DeletePolicy { .. })
    }

    /// The users whose secrets it carries.
    pub(crate) fn users_mut(&mut self) -> &mut [User] {
        match self {
            Self::PutUser(user) => std::slice::from_mut(user),
            Self::ReplaceFile(file) | Self::ReplaceFileWithGroups(file, _) => &mut file.users,
            _ => &mut [],
        }
    }
}

/// For the audit log: what changed, without secrets.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::PutUserV1(user) => write!(f, "put User:{}", user.name()),
            Kind::PutUser(user) => write!(f, "put User:{}", user.name),
            Kind::DeleteUser(name) => write!(f, "delete User:{name}"),
            Kind::PutRole(role) => write!(f, "put Role:{}", role.name),
            Kind::DeleteRole(name) => write!(f, "delete Role:{name}"),
            Kind::PutPolicy { policy, .. } => write!(f, "put policy: {policy}"),
            Kind::DeletePolicy { subject, resource: Some(resource) } => {
                write!(f, "delete policies of {} on {resource}", Subject::of(subject))
            }
            Kind::DeletePolicy { subject, resource: None } => {
                write!(f, "delete policies of {}", Subject::of(subject))
            }
            Kind::ReplaceFileV1 { users, policies } => {
                write!(f, "replace the file's {} users and {} policies", users.len(), policies.len())
            }
            Kind::PutGroupQuota(group) if group.quota.is_none() => {
                write!(f, "delete quota of Group:{}", group.group)
            }
            Kind::PutGroupQuota(group) => write!(f, "put quota of Group:{}", group.group),
            Kind::ReplaceFile(file) | Kind::ReplaceFileWithGroups(file, _) => {
                let (roles, users, policies) = (file.roles.len(), file.users.len(), file.policies.len());
                write!(f, "replace the file's {users} users, {roles} roles and {policies} policies")
            }
        }
    }
}
