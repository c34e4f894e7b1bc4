//! A role: policies under one name, for all who have it.
//!
//! Policies name a role as subject with `Role:name`. A user has the roles of its record, and for the length of a
//! session those that its token claims. The rules of a user and of all its roles count alike: one deny among them
//! refuses, else one allow permits. So a role can be taken away to give less, and a deny cannot be escaped by another
//! role.

use crate::quota::Quota;
use crate::record::RoleRecord;
use crate::user::check_name;
use serde::{Deserialize, Serialize};
use sluice_model::Result;

/// How a policy's subject names a role; a user's name has no colon.
const PREFIX: &str = "Role:";

/// A role as an operator writes one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleSpec {
    /// The name, by the rules for names of users.
    pub name: String,
    /// How much all who have it may send and receive together. Left out: as before; an empty one takes limits away.
    pub quota: Option<Quota>,
}

/// A role as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "RoleRecord", into = "RoleRecord")]
pub(crate) struct Role {
    pub name: String,
    pub quota: Quota,
    /// Belongs to the operator's file, which alone may change it.
    pub from_file: bool,
}

/// A role as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleView {
    /// The name.
    pub name: String,
    /// How much all who have it may send and receive together.
    pub quota: Quota,
    /// Belongs to the operator's file.
    pub from_file: bool,
}

impl RoleSpec {
    /// A role of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), quota: None }
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_name("role", &self.name)?;
        self.quota.unwrap_or_default().check()
    }
}

impl Role {
    pub(crate) fn view(&self) -> RoleView {
        RoleView { name: self.name.clone(), quota: self.quota, from_file: self.from_file }
    }
}

/// Who a policy is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject<'a> {
    User(&'a str),
    Role(&'a str),
}

impl<'a> Subject<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        text.strip_prefix(PREFIX).map_or(Self::User(text), Self::Role)
    }
}

impl std::fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(name) => write!(f, "User:{name}"),
            Self::Role(name) => write!(f, "{PREFIX}{name}"),
        }
    }
}
