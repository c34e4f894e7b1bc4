//! A user: as an operator writes one, as it is remembered, as it may be shown.

use crate::Secret;
use crate::api_token::{ApiToken, ApiTokenView};
use crate::quota::Quota;
use crate::record::UserRecord;
use crate::scram::{Scram, ScramMechanism, ScramView};
use serde::{Deserialize, Serialize};
use sluice_model::{Error, Result};

/// Long enough for e-mail addresses and certificate names; a bound on what is remembered.
const MAX_NAME: usize = 128;
/// A bound on what a login makes the hash read.
pub(crate) const MAX_PASSWORD: usize = 1024;
/// Enough to rotate keys per machine; a bound on what is remembered.
const MAX_ACCESS_KEYS: usize = 64;
/// A check looks each of them up.
pub(crate) const MAX_ROLES_PER_USER: usize = 32;

/// A user as an operator writes one. What is left out stays as it is; a new user is enabled and no superuser.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSpec {
    /// The name, 1 to 128 characters without blanks, colons and control characters.
    pub name: String,
    /// Passes every check.
    pub superuser: Option<bool>,
    /// May log in.
    pub enabled: Option<bool>,
    /// The password; only its hashes are kept.
    pub password: Option<Secret>,
    /// The password's hash instead, as `$argon2id$…`; there is no SCRAM with it.
    pub password_hash: Option<String>,
    /// The signing secret that goes with the user's name as access key.
    pub secret: Option<Secret>,
    /// The secret before that one, accepted too while clients change over.
    pub previous_secret: Option<Secret>,
    /// Further access keys; the list replaces the earlier one.
    pub access_keys: Option<Vec<AccessKey>>,
    /// The roles it has; the list replaces the earlier one.
    pub roles: Option<Vec<String>>,
    /// How much it may send and receive; an empty one takes limits away.
    pub quota: Option<Quota>,
}

/// A name and a secret with which requests are signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// The public half.
    pub key: String,
    /// The signing secret.
    pub secret: Secret,
}

/// A user as it is remembered. In the log it is a list of facts, see `record`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "UserRecord", into = "UserRecord")]
pub(crate) struct User {
    pub name: String,
    pub superuser: bool,
    pub enabled: bool,
    pub password_hash: Option<String>,
    /// What is kept of a password for SCRAM, at most one for each mechanism.
    pub scram: Vec<Scram>,
    pub secret: Option<Secret>,
    /// Accepted like `secret` until it is removed.
    pub previous_secret: Option<Secret>,
    pub access_keys: Vec<AccessKey>,
    pub tokens: Vec<ApiToken>,
    /// Names of roles; one that does not exist gives nothing.
    pub roles: Vec<String>,
    pub quota: Quota,
    /// Belongs to the operator's file, which alone may change it.
    pub from_file: bool,
}

/// A user as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserView {
    /// The name.
    pub name: String,
    /// Passes every check.
    pub superuser: bool,
    /// May log in.
    pub enabled: bool,
    /// Has a password.
    pub has_password: bool,
    /// The SCRAM mechanisms that it can log in with by password.
    pub scram: Vec<ScramView>,
    /// The access keys, without their secrets; the name is among them when it has a secret.
    pub access_keys: Vec<String>,
    /// A rotation is under way: two secrets of the name are accepted.
    pub has_previous_secret: bool,
    /// API tokens, without what proves them.
    pub tokens: Vec<ApiTokenView>,
    /// The roles it has.
    pub roles: Vec<String>,
    /// How much it may send and receive.
    pub quota: Quota,
    /// Belongs to the operator's file.
    pub from_file: bool,
}

impl User {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            superuser: false,
            enabled: true,
            password_hash: None,
            scram: Vec::new(),
            secret: None,
            previous_secret: None,
            access_keys: Vec::new(),
            tokens: Vec::new(),
            roles: Vec::new(),
            quota: Quota::default(),
            from_file: false,
        }
    }

    /// Each access key once; the name comes first when it has a secret.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let named = self.secret.is_some() || self.previous_secret.is_some();
        let own = named.then_some(self.name.as_str());
        own.into_iter().chain(self.access_keys.iter().map(|k| k.key.as_str()))
    }

    /// The secrets that an access key may sign with, the current one first.
    pub(crate) fn secrets_of(&self, key: &str) -> impl Iterator<Item = &Secret> {
        let own =
            [&self.secret, &self.previous_secret].into_iter().flatten().filter(move |_| key == self.name);
        own.chain(self.access_keys.iter().filter(move |own| own.key == key).map(|own| &own.secret))
    }

    /// Every secret.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let own = [&self.secret, &self.previous_secret].into_iter().flatten();
        let kept = self.scram.iter().map(|scram| &scram.keys);
        own.chain(self.access_keys.iter().map(|own| &own.secret)).chain(kept)
    }

    /// What is kept of a password for this mechanism.
    pub(crate) fn scram_of(&self, mechanism: ScramMechanism) -> Option<&Scram> {
        self.scram.iter().find(|scram| scram.mechanism == mechanism)
    }

    /// Every secret with what it is sealed for.
    pub(crate) fn secrets_mut(&mut self) -> impl Iterator<Item = (&str, &mut Secret)> {
        let own = [&mut self.secret, &mut self.previous_secret].into_iter().flatten();
        let own = own.map(|secret| ("", secret));
        let keys = self.access_keys.iter_mut().map(|own| (own.key.as_str(), &mut own.secret));
        own.chain(keys).chain(self.scram.iter_mut().map(|scram| (scram.mechanism.seal(), &mut scram.keys)))
    }

    pub(crate) fn view(&self) -> UserView {
        UserView {
            name: self.name.clone(),
            superuser: self.superuser,
            enabled: self.enabled,
            has_password: self.password_hash.is_some(),
            scram: self.scram.iter().map(Scram::view).collect(),
            has_previous_secret: self.previous_secret.is_some(),
            access_keys: self.keys().map(str::to_owned).collect(),
            tokens: self.tokens.iter().map(ApiToken::view).collect(),
            roles: self.roles.clone(),
            quota: self.quota,
            from_file: self.from_file,
        }
    }
}

impl UserSpec {
    /// A user of this name, everything else left out.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_name("user", &self.name)?;
        let of = |what: &str| format!("user {:?}: {what}", self.name);
        if self.password.is_some() && self.password_hash.is_some() {
            return Err(Error::invalid(of("give password or password_hash, not both")));
        }
        if let Some(password) = &self.password {
            check_secret(&of("the password"), password)?;
        }
        for secret in [&self.secret, &self.previous_secret].into_iter().flatten() {
            check_secret(&of("the secret"), secret)?;
        }
        let keys = self.access_keys.as_deref().unwrap_or_default();
        if keys.len() > MAX_ACCESS_KEYS {
            return Err(Error::invalid(of(&format!("at most {MAX_ACCESS_KEYS} access keys"))));
        }
        for (at, key) in keys.iter().enumerate() {
            check_name("access key", &key.key)?;
            check_secret(&of(&format!("the secret of access key {:?}", key.key)), &key.secret)?;
            if key.key == self.name || keys.iter().skip(at + 1).any(|other| other.key == key.key) {
                return Err(Error::invalid(of(&format!("access key {:?} is given twice", key.key))));
            }
        }
        let roles = self.roles.as_deref().unwrap_or_default();
        if roles.len() > MAX_ROLES_PER_USER {
            return Err(Error::invalid(of(&format!("at most {MAX_ROLES_PER_USER} roles"))));
        }
        roles.iter().try_for_each(|role| check_name("role", role))?;
        self.quota.unwrap_or_default().check()
    }
}

pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    let length = name.chars().count();
    if length == 0 || length > MAX_NAME {
        return Err(Error::invalid(format!("a {what} name has 1 to {MAX_NAME} characters, not {length}")));
    }
    match name.chars().find(|c| c.is_whitespace() || c.is_control() || *c == ':') {
        None => Ok(()),
        Some(c) => Err(Error::invalid(format!("a {what} name may not contain {c:?}"))),
    }
}

pub(crate) fn check_secret(what: &str, secret: &Secret) -> Result<()> {
    match secret.expose().map_or(0, str::len) {
        1..=MAX_PASSWORD => Ok(()),
        length => Err(Error::invalid(format!("{what} has 1 to {MAX_PASSWORD} bytes, not {length}"))),
    }
}
