//! The operator's file of users and policies, `acl.toml`.

use crate::{GroupQuotaSpec, Policy, RoleSpec, UserSpec};
use serde::{Deserialize, Serialize};
use sluice_model::{Error, Result};
use std::collections::HashSet;

/// The parsed and checked content of an ACL file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AclFile {
    /// The users of the file; they can be changed in the file alone.
    pub users: Vec<UserSpec>,
    /// The roles of the file.
    pub roles: Vec<RoleSpec>,
    /// The quotas of consumer groups.
    pub groups: Vec<GroupQuotaSpec>,
    /// Its policies, about its own users and roles or about those in the store.
    pub policies: Vec<Policy>,
}

impl AclFile {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`sluice_model::ErrorKind::InvalidArgument`] with the line, for unknown keys as for wrong values.
    pub fn parse(toml: &str) -> Result<Self> {
        let file: Self = toml::from_str(toml).map_err(|error| {
            // Not the error's own text: it quotes the line, which may hold a password.
            let before = toml.get(..error.span().map_or(0, |span| span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            Error::invalid(format!("line {line}: {}", error.message()))
        })?;
        let mut names = HashSet::new();
        for user in &file.users {
            user.check()?;
            if !names.insert(&user.name) {
                return Err(Error::invalid(format!("user {:?} is given twice", user.name)));
            }
        }
        let mut roles = HashSet::new();
        for role in &file.roles {
            role.check()?;
            if !roles.insert(&role.name) {
                return Err(Error::invalid(format!("role {:?} is given twice", role.name)));
            }
        }
        let mut groups = HashSet::new();
        for group in &file.groups {
            group.check()?;
            if !groups.insert(&group.group) {
                return Err(Error::invalid(format!("the quota of group {:?} is given twice", group.group)));
            }
        }
        Ok(file)
    }

    /// The text of a file that says the same, secrets included.
    ///
    /// # Errors
    /// `Internal`, which would be a defect of ours.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Auth, Command, Config};
    use sluice_model::SystemClock;
    use std::sync::Arc;

    #[test]
    fn the_sample_parses_and_applies() {
        let text = include_str!("../../conf/acl.toml");
        let file = AclFile::parse(text).unwrap();
        assert!(file.users.len() >= 2 && file.policies.len() >= 3);
        let auth = Auth::acl(Config::default(), Arc::new(SystemClock)).unwrap();
        auth.plan(Command::ReplaceFile(file)).unwrap();
    }

    #[test]
    fn mistakes_are_named_with_their_line_and_without_secrets() {
        let user = "[[users]]\nname = \"a\"\n";
        for (text, expected) in [
            ("[[users]]\nname = \"a\"\npasword = \"hunter2\"".to_owned(), "line 3: unknown field `pasword`"),
            ("[[user]]\nname = \"a\"".to_owned(), "line 1: unknown field `user`"),
            (format!("{user}password = 7"), "line 3: invalid type: integer `7`"),
            ("[[roles]]\nname = \"r\"\n".repeat(2), "role \"r\" is given twice"),
            ("[[groups]]\ngroup = \"g\"\nquota = { in_flight = 1 }\n".repeat(2), "group \"g\" is given twice"),
            ("[[groups]]\ngroup = \"g\"\nquota = { connections = 0 }\n".to_owned(), "a quota of 0"),
            (format!("{user}{user}"), "user \"a\" is given twice"),
            (format!("{user}password = \"p\"\npassword_hash = \"h\""), "not both"),
            ("[[policies]]\nsubject = \"a\"\nresource = \"Topic:a*b\"\nactions = [\"Pub\"]".to_owned(), "line 3: resource"),
            ("[[policies]]\nsubject = \"a\"\nresource = \"*\"\nactions = [\"Fly\"]".to_owned(), "line 4: \"Fly\" is no action"),
            ("[[policies]]\nsubject = \"a\"\nresource = \"*\"\nactions = [\"Pub\"]\nsource_ips = [\"ten\"]".to_owned(), "line 5: \"ten\""),
        ] {
            let error = AclFile::parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error:?} lacks {expected:?}");
            assert!(!error.contains("hunter2"));
        }
    }
}
