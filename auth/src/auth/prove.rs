//! From credentials to a proven identity: one function for each kind of proof.
//!
//! Every refusal has the same words and costs the same, whether the user is unknown or the secret wrong; the reason
//! travels as the error's source, for the trail alone.

use super::Acl;
use crate::directory::{Directory, Entry};
use crate::memo::Memo;
use crate::reason::Reason;
use crate::session::{EXTERNAL, Facts};
use crate::user::check_name;
use crate::{Credentials, Principal, Secret, Session, api_token, signature, token};
use bytestring::ByteString;
use sluice_model::{Error, ErrorKind, Millis, Result};
use std::net::SocketAddr;
use std::sync::Arc;

/// How many secrets one access key can have.
pub(super) const MAX_SECRETS: usize = 2;
/// How much is kept of a name that nothing proves, in characters.
const MAX_CLAIMED: usize = 64;

/// Whose proof it is, copied out of the directory so that no lock is held while a password is hashed.
pub(super) struct Claimed {
    principal: Arc<Principal>,
    enabled: bool,
    password_hash: Option<String>,
    pub(super) secrets: Vec<Secret>,
}

impl Acl {
    pub(super) fn prove(&self, credentials: Credentials<'_>) -> Result<Proof> {
        match credentials {
            Credentials::Anonymous => Err(Error::new(
                ErrorKind::Unauthenticated,
                "this broker asks for credentials, and none were given",
            )
            .with_source(Reason::NoCredentials)),
            Credentials::Password { user, password } if api_token::is_token(password) => {
                let proof = self.prove_api_token(password)?;
                if proof.principal.name == user { Ok(proof) } else { Err(refused(Reason::WrongSecret)) }
            }
            Credentials::Password { user, password } if self.is_jwt(password) => {
                let proof = self.prove_token(password)?;
                if proof.principal.name == user { Ok(proof) } else { Err(refused(Reason::WrongSecret)) }
            }
            Credentials::Password { user, password } => self.prove_password(user, password),
            Credentials::Hmac { access_key, algorithm, content, signature } => {
                let signs = |secret: &Secret| signature::verify(algorithm, secret, content, signature);
                self.prove_signature(access_key, signs)
            }
            Credentials::Request { access_key, key, texts, signature, signed_at } => {
                self.check_time(signed_at)?;
                let signs = |secret: &Secret| signature::verify_any(key, secret, texts, signature);
                self.prove_signature(access_key, signs)
            }
            Credentials::Bearer { token } if api_token::is_token(token) => self.prove_api_token(token),
            Credentials::Bearer { token } => self.prove_token(token),
            Credentials::Certificate { der } => {
                let named = self.certificates.name(der).ok_or_else(|| refused(Reason::InvalidCertificate))?;
                if self.clock.now() >= named.until {
                    return Err(refused(Reason::Expired));
                }
                let proof = Proof::of(self.named([named.user.as_str()])?);
                Ok(Proof { expires: Some(named.until), ..proof })
            }
        }
    }

    fn prove_api_token(&self, token: &str) -> Result<Proof> {
        let directory = self.directory.read();
        let (entry, token) =
            directory.owner_of_token(&api_token::hash(token)).ok_or_else(|| refused(Reason::UnknownUser))?;
        if token.expires.is_some_and(|end| self.clock.now() >= end) {
            let error = Error::new(ErrorKind::Unauthenticated, "the token has expired");
            return Err(error.with_source(Reason::Expired));
        }
        let principal = accept(Some(Claimed::new(entry, None, Vec::new())), true)?;
        let print = Some(directory.prints.token(&token.hash));
        Ok(Proof { expires: token.expires, print, ..Proof::of(principal) })
    }

    fn prove_token(&self, token: &str) -> Result<Proof> {
        let proven = self.issuers.verify(token, self.clock.now())?;
        let names = || proven.users.iter().map(String::as_str);
        let (known, has_role) = {
            let directory = self.directory.read();
            let known = names().any(|name| directory.entry(name).is_some());
            (known, proven.roles.iter().any(|role| directory.role(role).is_some()))
        };
        let principal = match proven.users.first() {
            Some(name) if !known && has_role && check_name("user", name).is_ok() => {
                Arc::new(Principal { name: name.as_str().into(), id: EXTERNAL })
            }
            _ => self.named(names())?,
        };
        Ok(Proof { expires: Some(proven.expires), roles: proven.roles.into(), ..Proof::of(principal) })
    }

    /// Programs that know only of names and passwords show a token as password. None of a person's looks like one.
    fn is_jwt(&self, password: &str) -> bool {
        !self.issuers.is_empty() && token::looks_like_one(password)
    }

    /// The user that a login by password is about: by name, or by access key, with that key's secret alone.
    pub(super) fn claimed(&self, name: &str) -> Option<Claimed> {
        let directory = self.directory.read();
        if let Some(entry) = directory.entry(name) {
            let secrets = entry.user.secrets_of(name).cloned().collect();
            return Some(Claimed::new(entry, entry.user.password_hash.clone(), secrets));
        }
        Self::claimed_key(&directory, name)
    }

    fn claimed_key(directory: &Directory, key: &str) -> Option<Claimed> {
        let entry = directory.owner_of_key(key)?;
        Some(Claimed::new(entry, None, entry.user.secrets_of(key).cloned().collect()))
    }

    pub(super) fn must_hash(&self, user: &str, password: &str) -> bool {
        if api_token::is_token(password) || self.is_jwt(password) {
            return false;
        }
        let Some(claimed) = self.claimed(user) else { return true };
        if claimed.secret(password).is_some() {
            return false;
        }
        let hash = claimed.password_hash.as_deref();
        !hash.is_some_and(|hash| self.passwords.remembers(user, hash, password, self.clock.now()))
    }

    fn prove_password(&self, user: &str, password: &str) -> Result<Proof> {
        let claimed = self.claimed(user);
        if let Some(secret) = claimed.as_ref().and_then(|claimed| claimed.secret(password)) {
            let print = self.directory.read().prints.secret(secret);
            return accept(claimed, true).map(|principal| Proof::new(principal, Some(print)));
        }
        let hash = claimed.as_ref().and_then(|claimed| claimed.password_hash.as_deref());
        let right = self.passwords.verify(user, hash, password, self.clock.now())?;
        let print = self.directory.read().prints.password(hash.unwrap_or_default());
        accept(claimed, right).map(|principal| Proof::new(principal, Some(print)))
    }

    /// What was signed long ago may have been overheard since.
    fn check_time(&self, signed_at: Millis) -> Result<()> {
        let (now, window) = (self.clock.now(), self.signature_window);
        if now.abs_diff(signed_at) <= window {
            return Ok(());
        }
        let said = format!(
            "the request was signed {} s {} this broker's time; at most {} s are forgiven",
            now.abs_diff(signed_at) / 1000,
            if signed_at < now { "before" } else { "after" },
            window / 1000
        );
        Err(Error::new(ErrorKind::Unauthenticated, said).with_source(Reason::Skewed))
    }

    fn prove_signature(&self, access_key: &str, signed_with: impl Fn(&Secret) -> bool) -> Result<Proof> {
        let directory = self.directory.read();
        let entry = directory.owner_of_key(access_key);
        // An unknown key is checked too, against secrets that no client has: every refusal costs the same.
        let unknown = Secret::new("");
        let mut tried = 0;
        let mut secrets = entry.into_iter().flat_map(|entry| entry.user.secrets_of(access_key));
        let right = secrets.by_ref().inspect(|_| tried += 1).find(|secret| signed_with(secret));
        let print = right.map(|secret| directory.prints.secret(secret));
        if print.is_none() {
            (tried..MAX_SECRETS).for_each(|_| _ = std::hint::black_box(signed_with(&unknown)));
        }
        let right = print.is_some();
        accept(entry.map(|entry| Claimed::new(entry, None, Vec::new())), right)
            .map(|principal| Proof::new(principal, print))
    }

    /// The first of these users that exists.
    fn named<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<Arc<Principal>> {
        let directory = self.directory.read();
        let claimed = names.into_iter().find_map(|name| directory.entry(name));
        accept(claimed.map(|entry| Claimed::new(entry, None, Vec::new())), true)
    }
}

/// What a login has proven.
pub(super) struct Proof {
    principal: Arc<Principal>,
    expires: Option<Millis>,
    print: Option<u64>,
    roles: Arc<[String]>,
    claimed: ByteString,
}

impl Proof {
    pub(super) fn of(principal: Arc<Principal>) -> Self {
        Self { principal, expires: None, print: None, roles: Arc::default(), claimed: ByteString::new() }
    }

    pub(super) fn new(principal: Arc<Principal>, print: Option<u64>) -> Self {
        Self { print, ..Self::of(principal) }
    }

    /// Of whom nothing is proven; whoever gave a name and a password is still called by that name.
    pub(super) fn unneeded(anonymous: Arc<Principal>, credentials: &Credentials<'_>) -> Self {
        let claimed = match credentials {
            Credentials::Password { user, .. } if !user.is_empty() => {
                let name: String = user.chars().take(MAX_CLAIMED).collect();
                format!("{name} (unproven)").into()
            }
            _ => ByteString::new(),
        };
        Self { claimed, ..Self::of(anonymous) }
    }

    pub(super) fn session(self, peer: SocketAddr) -> Session {
        let Self { principal, expires, print, roles, claimed } = self;
        Session(Arc::new(Facts { principal, claimed, peer, expires, print, roles, memo: Memo::default() }))
    }
}

impl Claimed {
    fn new(entry: &Entry, password_hash: Option<String>, secrets: Vec<Secret>) -> Self {
        Self { principal: entry.principal.clone(), enabled: entry.user.enabled, password_hash, secrets }
    }

    /// The secret that this is.
    fn secret(&self, shown: &str) -> Option<&Secret> {
        self.secrets.iter().find(|secret| secret.matches(shown))
    }
}

pub(super) fn accept(claimed: Option<Claimed>, right: bool) -> Result<Arc<Principal>> {
    match claimed {
        Some(claimed) if right && claimed.enabled => Ok(claimed.principal),
        Some(_) if right => Err(refused(Reason::Disabled)),
        Some(_) => Err(refused(Reason::WrongSecret)),
        None => Err(refused(Reason::UnknownUser)),
    }
}

/// One text for everything that can be wrong: it must not tell which users there are.
pub(super) fn refused(reason: Reason) -> Error {
    Error::new(ErrorKind::Unauthenticated, "unknown user, or wrong password or signature").with_source(reason)
}

/// Who says to be whom, before it is proven.
pub(super) struct Attempt<'a> {
    /// Empty when the credentials tell only once they are proven.
    pub(super) name: &'a str,
    pub(super) kind: &'static str,
    /// What counts as the name when it fails.
    pub(super) tried: &'a [u8],
}

impl<'a> Attempt<'a> {
    pub(super) fn of(credentials: &Credentials<'a>) -> Self {
        let (name, tried) = match credentials {
            Credentials::Password { user: name, .. }
            | Credentials::Hmac { access_key: name, .. }
            | Credentials::Request { access_key: name, .. } => (*name, name.as_bytes()),
            Credentials::Anonymous => ("", &[][..]),
            Credentials::Bearer { token } => ("", token.as_bytes()),
            Credentials::Certificate { der } => ("", *der),
        };
        Self { name, kind: kind_of(credentials), tried }
    }

    pub(super) fn named(name: &'a str, kind: &'static str) -> Self {
        Self { name, kind, tried: name.as_bytes() }
    }
}

fn kind_of(credentials: &Credentials<'_>) -> &'static str {
    match credentials {
        Credentials::Anonymous => "none",
        Credentials::Password { .. } => "password",
        Credentials::Hmac { .. } | Credentials::Request { .. } => "hmac",
        Credentials::Bearer { .. } => "bearer",
        Credentials::Certificate { .. } => "certificate",
    }
}
