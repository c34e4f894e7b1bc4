//! [`Auth`]: the one place where identities are proven and permissions are checked.
//!
//! Two modes, one type: in `open` mode every login is anonymous and everything is permitted, in `acl` mode users and
//! policies decide. The caller need not know which. Checks take one read lock, never across an await, and no
//! allocation when they succeed.
//!
//! How a command becomes a change is in `plan.rs` beside this file.

mod plan;

use crate::change::{Change, Kind};
use crate::data_key::{self, DataKey};
use crate::directory::{Directory, Entry};
use crate::judge::{Asker, judge};
use crate::password::Passwords;
use crate::session::EXTERNAL;
use crate::token::Issuers;
use crate::user::check_name;
use crate::{
    Action, Command, Config, Credentials, Explanation, HmacAlgorithm, Mode, Permit, Policy, Principal,
    Resource, RoleView, Secret, Session, UserView, api_token, certificate, signature,
};
use parking_lot::RwLock;
use sluice_model::{Clock, Error, ErrorKind, Millis, Result};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// How many secrets one access key can have.
const MAX_SECRETS: usize = 2;

/// Users, policies and how identities are proven. Shared by `Arc`; everything takes `&self`.
pub struct Auth {
    /// None in `open` mode.
    acl: Option<Acl>,
    anonymous: Arc<Principal>,
}

struct Acl {
    clock: Arc<dyn Clock>,
    issuers: Issuers,
    passwords: Passwords,
    directory: RwLock<Directory>,
    /// None: secrets rest as they are, for logs in memory.
    data_key: Option<DataKey>,
}

/// Whose proof it is, copied out of the directory so that no lock is held while hashing.
struct Claimed {
    principal: Arc<Principal>,
    enabled: bool,
    password_hash: Option<String>,
    secrets: Vec<Secret>,
}

impl Auth {
    /// `auth.mode = "open"`: every login is anonymous, everything is permitted.
    pub fn open() -> Self {
        Self { acl: None, anonymous: Self::nobody() }
    }

    /// `auth.mode = "acl"`: users and policies decide, and there are none yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] when a token issuer is not configured right or its key cannot be read.
    pub fn acl(config: Config, clock: Arc<dyn Clock>) -> Result<Self> {
        let acl = Acl {
            clock,
            issuers: Issuers::new(&config)?,
            passwords: Passwords::new(),
            directory: RwLock::default(),
            data_key: None,
        };
        Ok(Self { acl: Some(acl), anonymous: Self::nobody() })
    }

    /// Seals signing secrets in changes and snapshots with this key, and opens them with it. Before anything is applied.
    pub fn with_data_key(mut self, key: DataKey) -> Self {
        if let Some(acl) = &mut self.acl {
            acl.data_key = Some(key);
        }
        self
    }

    /// Says so when the log has secrets that cannot be read: after a replay, before anyone logs in.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`], naming whose secrets, and the file to put back.
    pub fn check_secrets(&self) -> Result<()> {
        let Some(acl) = &self.acl else { return Ok(()) };
        let directory = acl.directory.read();
        let sealed = |entry: &&Entry| entry.user.secrets().any(|secret| secret.expose().is_none());
        let users: Vec<&str> = directory.entries().filter(sealed).map(|entry| &*entry.user.name).collect();
        match &acl.data_key {
            _ if users.is_empty() => Ok(()),
            Some(key) => Err(key.does_not_open(&users)),
            None => Err(data_key::no_key(&users)),
        }
    }

    fn nobody() -> Arc<Principal> {
        Arc::new(Principal { name: "".into(), id: 0 })
    }

    /// Which of the two this is.
    pub fn mode(&self) -> Mode {
        if self.acl.is_some() { Mode::Acl } else { Mode::Open }
    }

    /// True when [`Auth::login`] would hash a password, about 50 ms of one core: call it where blocking is allowed.
    pub fn is_costly(&self, credentials: &Credentials<'_>) -> bool {
        match (&self.acl, credentials) {
            (Some(acl), Credentials::Password { user, password }) => acl.must_hash(user, password),
            _ => false,
        }
    }

    /// Proves an identity.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthenticated`], with the same words for an unknown user as for a wrong password;
    /// [`ErrorKind::Throttled`] when too many passwords are being hashed.
    pub fn login(&self, credentials: Credentials<'_>, peer: SocketAddr) -> Result<Session> {
        let Some(acl) = &self.acl else {
            return Ok(Proof::of(self.anonymous.clone()).session(peer));
        };
        match acl.prove(credentials) {
            Ok(proof) => Ok(proof.session(peer)),
            Err(error) => {
                metrics::counter!("sluice_login_failures_total", "credentials" => kind_of(&credentials))
                    .increment(1);
                tracing::info!(%peer, credentials = kind_of(&credentials), reason = %error, "login refused");
                Err(error)
            }
        }
    }

    /// Checks whether the session may do `action` to `resource`, as things are now.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`], naming who, what and why; [`ErrorKind::Unauthenticated`] when the token that
    /// the session was opened with has expired.
    pub fn permit<'a>(
        &self,
        session: &'a Session,
        action: Action,
        resource: Resource<'a>,
    ) -> Result<Permit<'a>> {
        if let Some(acl) = &self.acl {
            acl.check(session, action, resource)?;
        }
        Ok(Permit { session, action, resource })
    }

    /// What [`Auth::permit`] would say to `user` connected from this address, and why. For people: it lists every rule.
    pub fn explain(&self, user: &str, action: Action, resource: Resource<'_>, from: IpAddr) -> Explanation {
        let asker = Asker { name: user, id: None, roles: &[], from: from.to_canonical() };
        match &self.acl {
            Some(acl) => Explanation::of(&acl.directory.read(), asker, action, resource),
            None => Explanation::open(user, action, resource, asker.from),
        }
    }

    /// Validates an administrator's command and hashes its passwords (about 50 ms each): what to write to the log.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for what can never be, [`ErrorKind::Conflict`] and [`ErrorKind::AlreadyExists`]
    /// for what contradicts the users there are, [`ErrorKind::Unsupported`] in `open` mode.
    pub fn plan(&self, command: Command) -> Result<Change> {
        let Some(acl) = &self.acl else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "there are no users in auth.mode=open; set auth.mode=acl",
            ));
        };
        let mut kind = plan::plan(&acl.directory, command)?;
        if let Some(key) = &acl.data_key {
            kind.users_mut().iter_mut().for_each(|user| key.seal_user(user));
        }
        Ok(Change(kind))
    }

    /// Takes over a change that is in the log, now or on replay. In `open` mode nothing is remembered.
    pub fn apply(&self, change: &Change) {
        if let Some(acl) = &self.acl {
            let Some(key) = &acl.data_key else { return acl.directory.write().apply(&change.0) };
            let mut kind = change.0.clone();
            kind.users_mut().iter_mut().for_each(|user| key.open_user(user));
            acl.directory.write().apply(&kind);
        }
    }

    /// Changes that rebuild all users and policies from nothing, for a checkpoint.
    pub fn snapshot(&self) -> Vec<Change> {
        let mut kinds = self.read(Directory::snapshot);
        if let Some(key) = self.acl.as_ref().and_then(|acl| acl.data_key.as_ref()) {
            kinds.iter_mut().flat_map(Kind::users_mut).for_each(|user| key.seal_user(user));
        }
        kinds.into_iter().map(Change).collect()
    }

    /// All users, by name, without secrets.
    pub fn users(&self) -> Vec<UserView> {
        self.read(|directory| directory.sorted().iter().map(|entry| entry.user.view()).collect())
    }

    /// All roles, by name.
    pub fn roles(&self) -> Vec<RoleView> {
        self.read(|directory| directory.roles().values().map(|entry| entry.role.view()).collect())
    }

    /// All policies, by the name of their user, then those of roles.
    pub fn policies(&self) -> Vec<Policy> {
        self.read(|directory| directory.all_rules().flat_map(|rules| rules.iter().cloned()).collect())
    }

    fn read<T: Default>(&self, look: impl FnOnce(&Directory) -> T) -> T {
        self.acl.as_ref().map_or_else(T::default, |acl| look(&acl.directory.read()))
    }
}

impl Acl {
    fn prove(&self, credentials: Credentials<'_>) -> Result<Proof> {
        match credentials {
            Credentials::Anonymous => Err(Error::new(
                ErrorKind::Unauthenticated,
                "this broker asks for credentials, and none were given",
            )),
            Credentials::Password { user, password } if api_token::is_token(password) => {
                let proof = self.prove_api_token(password)?;
                if proof.principal.name == user { Ok(proof) } else { Err(refused()) }
            }
            Credentials::Password { user, password } => self.prove_password(user, password).map(Proof::of),
            Credentials::Hmac { access_key, algorithm, content, signature } => {
                self.prove_signature(access_key, algorithm, content, signature).map(Proof::of)
            }
            Credentials::Bearer { token } if api_token::is_token(token) => self.prove_api_token(token),
            Credentials::Bearer { token } => self.prove_token(token),
            Credentials::Certificate { der } => {
                let name = certificate::common_name(der).ok_or_else(refused)?;
                self.named([name.as_str()]).map(Proof::of)
            }
        }
    }

    fn prove_api_token(&self, token: &str) -> Result<Proof> {
        let directory = self.directory.read();
        let (entry, token) = directory.owner_of_token(&api_token::hash(token)).ok_or_else(refused)?;
        if token.expires.is_some_and(|end| self.clock.now() >= end) {
            return Err(Error::new(ErrorKind::Unauthenticated, "the token has expired"));
        }
        let principal = accept(Some(Claimed::new(entry, None, Vec::new())), true)?;
        Ok(Proof { expires: token.expires, ..Proof::of(principal) })
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
        Ok(Proof { principal, expires: Some(proven.expires), roles: proven.roles.into() })
    }

    /// The user that a login by password is about: by name, or by access key, with that key's secret alone.
    fn claimed(&self, name: &str) -> Option<Claimed> {
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

    fn must_hash(&self, user: &str, password: &str) -> bool {
        let Some(claimed) = self.claimed(user) else { return !api_token::is_token(password) };
        if claimed.has_secret(password) || api_token::is_token(password) {
            return false;
        }
        let hash = claimed.password_hash.as_deref();
        !hash.is_some_and(|hash| self.passwords.remembers(user, hash, password, self.clock.now()))
    }

    fn prove_password(&self, user: &str, password: &str) -> Result<Arc<Principal>> {
        let claimed = self.claimed(user);
        let right = claimed.as_ref().is_some_and(|claimed| claimed.has_secret(password)) || {
            let hash = claimed.as_ref().and_then(|claimed| claimed.password_hash.as_deref());
            self.passwords.verify(user, hash, password, self.clock.now())?
        };
        accept(claimed, right)
    }

    fn prove_signature(
        &self,
        access_key: &str,
        algorithm: HmacAlgorithm,
        content: &[&[u8]],
        signed: &[u8],
    ) -> Result<Arc<Principal>> {
        let claimed = Self::claimed_key(&self.directory.read(), access_key);
        // An unknown key is checked too, against secrets that no client has: every refusal costs the same.
        let unknown = Secret::new("");
        let secrets = claimed.as_ref().map_or(&[] as &[Secret], |claimed| &claimed.secrets);
        let signed_with = |secret: &Secret| signature::verify(algorithm, secret, content, signed);
        let right = secrets.iter().any(signed_with);
        if !right {
            (secrets.len()..MAX_SECRETS).for_each(|_| _ = std::hint::black_box(signed_with(&unknown)));
        }
        accept(claimed, right)
    }

    /// The first of these users that exists.
    fn named<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<Arc<Principal>> {
        let directory = self.directory.read();
        let claimed = names.into_iter().find_map(|name| directory.entry(name));
        accept(claimed.map(|entry| Claimed::new(entry, None, Vec::new())), true)
    }

    fn check(&self, session: &Session, action: Action, resource: Resource<'_>) -> Result<()> {
        if session.expires.is_some_and(|expires| self.clock.now() >= expires) {
            return Err(Error::new(ErrorKind::Unauthenticated, "the token of this connection has expired"));
        }
        let why = {
            let directory = self.directory.read();
            let verdict = judge(&directory, Asker::of(session), action, resource);
            if verdict.permits() {
                return Ok(());
            }
            verdict.why()
        };
        Err(denied(session, action, resource, why))
    }
}

/// What a login has proven.
struct Proof {
    principal: Arc<Principal>,
    expires: Option<Millis>,
    roles: Arc<[String]>,
}

impl Proof {
    fn of(principal: Arc<Principal>) -> Self {
        Self { principal, expires: None, roles: Arc::default() }
    }

    fn session(self, peer: SocketAddr) -> Session {
        Session { principal: self.principal, peer, expires: self.expires, roles: self.roles }
    }
}

impl Claimed {
    fn new(entry: &Entry, password_hash: Option<String>, secrets: Vec<Secret>) -> Self {
        Self { principal: entry.principal.clone(), enabled: entry.user.enabled, password_hash, secrets }
    }

    fn has_secret(&self, shown: &str) -> bool {
        self.secrets.iter().any(|secret| secret.matches(shown))
    }
}

fn accept(claimed: Option<Claimed>, right: bool) -> Result<Arc<Principal>> {
    match claimed {
        Some(claimed) if right && claimed.enabled => Ok(claimed.principal),
        _ => Err(refused()),
    }
}

/// One text for everything that can be wrong: it must not tell which users there are.
fn refused() -> Error {
    Error::new(ErrorKind::Unauthenticated, "unknown user, or wrong password or signature")
}

fn denied(session: &Session, action: Action, resource: Resource<'_>, why: &str) -> Error {
    let (name, from) = (&session.principal.name, session.peer.ip().to_canonical());
    let message = format!("User:{name} has no permission to {action} {resource} from {from}, {why}");
    Error::new(ErrorKind::PermissionDenied, message)
}

fn kind_of(credentials: &Credentials<'_>) -> &'static str {
    match credentials {
        Credentials::Anonymous => "none",
        Credentials::Password { .. } => "password",
        Credentials::Hmac { .. } => "hmac",
        Credentials::Bearer { .. } => "bearer",
        Credentials::Certificate { .. } => "certificate",
    }
}

#[cfg(test)]
mod tests;
