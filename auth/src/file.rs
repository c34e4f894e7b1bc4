//! The operator's file of users and policies, `acl.toml`.

use crate::{Policy, UserSpec};
use serde::Deserialize;
use sluice_model::{Error, Result};

/// The parsed and checked content of an ACL file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AclFile {
    /// The users of the file; they can be changed in the file alone.
    pub users: Vec<UserSpec>,
    /// Its policies, about its own users or about those in the store.
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
        for (at, user) in file.users.iter().enumerate() {
            user.check()?;
            if file.users.iter().skip(at + 1).any(|other| other.name == user.name) {
                return Err(Error::invalid(format!("user {:?} is given twice", user.name)));
            }
        }
        Ok(file)
    }
}
