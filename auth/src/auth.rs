//! [`Auth`]: the one place where identities are proven and permissions are checked.
//!
//! Two modes, one type: in `open` mode every login is anonymous and everything is permitted, in `acl` mode users and
//! policies decide. The caller need not know which. Checks take one read lock, never across an await, and no
//! allocation when they succeed.
//!
//! How credentials become an identity is in `prove.rs` beside this file, how a command becomes a change in `plan.rs`.

mod again;
mod plan;
mod prove;
mod sasl;

use crate::audit::Audit;
use crate::certificate::CertificateRules;
use crate::change::{Change, Kind};
use crate::consumers::Consumers;
use crate::data_key::{self, DataKey};
use crate::diff;
use crate::directory::{Directory, Entry, GroupEntry};
use crate::judge::{Asker, Verdict, is_about_address, judge, standing};
use crate::password::Passwords;
use crate::places::{self, Places, What};
use crate::reason::{AddressDenied, Reason};
use crate::scram::Salts;
use crate::slowdown::Slowdown;
use crate::token::Issuers;
use crate::{
    Action, AuditEvent, AuditKind, Command, Config, Cost, Credentials, Explanation, GroupQuota, Mode, Permit,
    Place, Policy, Principal, Resource, ResourcePattern, RoleView, Session, UserView,
};
pub use again::Proven;
use parking_lot::{Mutex, RwLock};
use prove::{Attempt, Proof};
use sluice_model::{Clock, Error, ErrorKind, GroupName, Millis, Result};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::watch;

/// Users, policies and how identities are proven. Shared by `Arc`; everything takes `&self`.
pub struct Auth {
    /// None in `open` mode.
    acl: Option<Acl>,
    /// Counts changes; told after they are in force.
    changes: watch::Sender<u64>,
    anonymous: Arc<Principal>,
    /// What `open` mode finds in the log and has no use for: kept as it is, so that a checkpoint written meanwhile does
    /// not lose the users of `acl` mode.
    unused: Mutex<Vec<Change>>,
}

struct Acl {
    clock: Arc<dyn Clock>,
    issuers: Issuers,
    certificates: CertificateRules,
    passwords: Passwords,
    salts: Salts,
    slowdown: Slowdown,
    audit: Audit,
    directory: RwLock<Directory>,
    /// None: secrets rest as they are, for logs in memory.
    data_key: Option<DataKey>,
    accept_lost_secrets: bool,
    signature_window: Millis,
    places: Arc<Places>,
    consumers: Consumers,
    /// Counts changes, while the directory is locked for them.
    version: AtomicU64,
    /// False while nobody has a quota: then charging costs nothing.
    has_quotas: AtomicBool,
}

impl Auth {
    /// `auth.mode = "open"`: every login is anonymous, everything is permitted.
    pub fn open() -> Self {
        Self::with(None)
    }

    /// `auth.mode = "acl"`: users and policies decide, and there are none yet.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] when a token issuer is not configured right or its key cannot be read, or a rule about
    /// certificates cannot be meant so.
    pub fn acl(config: Config, clock: Arc<dyn Clock>) -> Result<Self> {
        let acl = Acl {
            clock,
            issuers: Issuers::new(&config)?,
            certificates: CertificateRules::new(&config.certificates)?,
            passwords: Passwords::new(),
            salts: Salts::random(),
            slowdown: Slowdown::default(),
            audit: Audit::default(),
            directory: RwLock::default(),
            data_key: None,
            accept_lost_secrets: config.accept_lost_secrets,
            signature_window: config.signature_window.as_millis(),
            places: Arc::default(),
            consumers: Consumers::default(),
            version: AtomicU64::new(0),
            has_quotas: AtomicBool::new(false),
        };
        Ok(Self::with(Some(acl)))
    }

    /// Seals signing secrets in changes and snapshots with this key, and opens them with it. Before anything is applied.
    pub fn with_data_key(mut self, key: DataKey) -> Self {
        if let Some(acl) = &mut self.acl {
            acl.salts = key.salts();
            acl.data_key = Some(key);
        }
        self
    }

    /// Says so when the log has secrets that cannot be read: after a replay, before anyone logs in. With
    /// `auth.accept_lost_secrets` it is only a warning.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`], naming whose secrets, and the file to put back.
    pub fn check_secrets(&self) -> Result<()> {
        let Some(acl) = &self.acl else { return Ok(()) };
        let directory = acl.directory.read();
        let sealed = |entry: &&Entry| entry.user.secrets().any(|secret| secret.expose().is_none());
        let users: Vec<&str> = directory.entries().filter(sealed).map(|entry| &*entry.user.name).collect();
        let lost = match &acl.data_key {
            _ if users.is_empty() => return Ok(()),
            Some(key) => key.does_not_open(&users),
            None => data_key::no_key(&users),
        };
        if !acl.accept_lost_secrets {
            return Err(lost);
        }
        tracing::warn!(error = %lost, "started without them, as auth.accept_lost_secrets says");
        Ok(())
    }

    fn with(acl: Option<Acl>) -> Self {
        let anonymous = Arc::new(Principal { name: "".into(), id: 0 });
        Self { acl, changes: watch::Sender::new(0), anonymous, unused: Mutex::default() }
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
    /// [`ErrorKind::Throttled`] when too many passwords are being hashed, or this source has failed too often.
    pub fn login(&self, credentials: Credentials<'_>, peer: SocketAddr) -> Result<Session> {
        let Some(acl) = &self.acl else {
            return Ok(Proof::unneeded(self.anonymous.clone(), &credentials).session(peer));
        };
        acl.attempt(Attempt::of(&credentials), peer, || acl.prove(credentials))
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
        self.permit_any(session, &[action], resource)
    }

    /// The same for several actions of which each suffices. The first denial is the one that is told.
    ///
    /// # Errors
    /// As for [`Auth::permit`].
    pub fn permit_any<'a>(
        &self,
        session: &'a Session,
        actions: &[Action],
        resource: Resource<'a>,
    ) -> Result<Permit<'a>> {
        let Some(first) = actions.first() else { return Err(Error::internal("no action was asked for")) };
        let Some(acl) = &self.acl else { return Ok(Permit { session, action: *first, resource }) };
        let mut denial = None;
        for action in actions {
            match acl.check(session, *action, resource) {
                Ok(()) => return Ok(Permit { session, action: *action, resource }),
                Err(why) => denial = denial.or(Some(why)),
            }
        }
        Err(acl.denied(session, *first, resource, denial.unwrap_or(Denial::NoMatch)))
    }

    /// Whether [`Auth::permit`] would, asked by the broker for itself: nothing is denied to anyone, so nothing is noted.
    pub fn may(&self, session: &Session, action: Action, resource: Resource<'_>) -> bool {
        self.acl.as_ref().is_none_or(|acl| acl.check(session, action, resource).is_ok())
    }

    /// True when the session is over: its user was deleted or disabled, the password, secret or token it was opened with
    /// changed or removed, or its token has expired. Cheap: one look-up.
    pub fn revoked(&self, session: &Session) -> bool {
        self.acl.as_ref().is_some_and(|acl| {
            session.0.expires.is_some_and(|expires| acl.clock.now() >= expires)
                || standing(&acl.directory.read(), Asker::of(session)).is_err()
        })
    }

    /// Tells whenever users, roles or policies have changed: the moment to ask [`Auth::revoked`] for each connection.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Takes what a request will cost out of the quotas of the session's user and roles, before it is done.
    ///
    /// # Errors
    /// [`ErrorKind::Throttled`] with an [`OverQuota`](crate::OverQuota) as its source, while one of them is used up;
    /// nothing is taken then.
    pub fn charge(&self, session: &Session, cost: Cost) -> Result<()> {
        self.metered(|directory, now| {
            let meters = || directory.meters_of(Acl::record_of(directory, session), &session.0.roles);
            meters()
                .try_for_each(|(whose, meter)| meter.check(&whose, now))
                .inspect_err(count_throttled("rate"))?;
            meters().for_each(|(_, meter)| meter.take(cost, now));
            Ok(())
        })
        .unwrap_or(Ok(()))
    }

    /// Takes out what has been delivered, even beyond the quota: the next [`Auth::charge`] waits for it.
    pub fn debit(&self, session: &Session, cost: Cost) {
        self.metered(|directory, now| {
            let meters = directory.meters_of(Acl::record_of(directory, session), &session.0.roles);
            meters.for_each(|(_, meter)| meter.take(cost, now));
        });
    }

    /// Like [`Auth::charge`] for what a consumer group receives, before it does.
    ///
    /// # Errors
    /// As for [`Auth::charge`].
    pub fn charge_group(&self, group: &GroupName) -> Result<()> {
        self.metered(|directory, now| match directory.meter_of_group(group.as_str()) {
            Some((_, meter)) => {
                meter.check(&Resource::Group(group), now).inspect_err(count_throttled("rate"))
            }
            None => Ok(()),
        })
        .unwrap_or(Ok(()))
    }

    /// Like [`Auth::debit`] for what a consumer group has received.
    pub fn debit_group(&self, group: &GroupName, cost: Cost) {
        self.metered(|directory, now| {
            if let Some((_, meter)) = directory.meter_of_group(group.as_str()) {
                meter.take(cost, now);
            }
        });
    }

    /// A place among the connections of the session's user and roles, kept while the connection acts for it.
    ///
    /// # Errors
    /// [`ErrorKind::Throttled`] with an [`OverQuota`](crate::OverQuota) as its source, when there is none left.
    pub fn connect(&self, session: &Session) -> Result<Option<Place>> {
        let Some(acl) = &self.acl else { return Ok(None) };
        let directory = acl.directory.read();
        let entry = Acl::record_of(&directory, session);
        let whose = directory.quotas_of(&session.0.principal.name, entry, &session.0.roles);
        acl.places.take(What::Connections, whose).map(Some).inspect_err(count_throttled("connections"))
    }

    /// A place among the requests of the session's user and roles, and of a consumer group, kept until it is answered.
    ///
    /// # Errors
    /// As for [`Auth::connect`].
    pub fn begin(&self, session: &Session, group: Option<&GroupName>) -> Result<Option<Place>> {
        self.metered(|directory, _| {
            let entry = Acl::record_of(directory, session);
            let own = directory.quotas_of(&session.0.principal.name, entry, &session.0.roles);
            let own = own.map(|(whose, quota)| (whose.to_string(), quota));
            let group = group.and_then(|group| directory.groups().get(group.as_str()));
            group.map_or(Ok(()), |entry| self.enter(entry, session))?;
            let group = group.map(|entry| (format!("Group:{}", entry.quota.group), entry.quota.quota));
            let limited: Vec<_> = own.chain(group).filter(|(_, quota)| quota.in_flight.is_some()).collect();
            let Some(acl) = self.acl.as_ref().filter(|_| !limited.is_empty()) else { return Ok(None) };
            acl.places
                .take(What::Requests, limited.into_iter())
                .map(Some)
                .inspect_err(count_throttled("in_flight"))
        })
        .unwrap_or(Ok(None))
    }

    /// Counts the session's connection among those that consume in a group.
    ///
    /// # Errors
    /// As for [`Auth::connect`].
    pub fn consume(&self, session: &Session, group: &GroupName) -> Result<()> {
        let entered = self.metered(|directory, _| {
            directory.groups().get(group.as_str()).map_or(Ok(()), |entry| self.enter(entry, session))
        });
        entered.unwrap_or(Ok(()))
    }

    fn enter(&self, group: &GroupEntry, session: &Session) -> Result<()> {
        let GroupQuota { group, quota, .. } = &group.quota;
        let Some((acl, limit)) = self.acl.as_ref().zip(quota.connections) else { return Ok(()) };
        if acl.consumers.enter(group, session.0.peer, limit) {
            return Ok(());
        }
        Err(places::over(&format!("Group:{group}"), What::Connections, limit))
            .inspect_err(count_throttled("connections"))
    }

    /// The connection from this address consumes in the group no longer.
    pub fn leave(&self, from: SocketAddr, group: &GroupName) {
        if let Some(acl) = &self.acl {
            acl.consumers.leave(group.as_str(), from);
        }
    }

    /// The connection from this address has ended.
    pub fn gone(&self, from: SocketAddr) {
        if let Some(acl) = &self.acl {
            acl.consumers.gone(from);
        }
    }

    fn metered<T>(&self, with: impl FnOnce(&Directory, Millis) -> T) -> Option<T> {
        let acl = self.acl.as_ref().filter(|acl| acl.has_quotas.load(Ordering::Relaxed))?;
        Some(with(&acl.directory.read(), acl.clock.now()))
    }

    /// What a new content of the operator's file changes, a line each; nothing for other changes. Before it is applied.
    pub fn diff(&self, change: &Change) -> Vec<String> {
        self.read(|directory| {
            diff::of(directory, &self.acl.as_ref().map_or_else(|| change.0.clone(), |acl| acl.opened(change)))
        })
    }

    /// Notes in the audit trail that users or policies have changed. None: by the operator.
    pub fn note_change(&self, by: Option<&Session>, change: &Change) {
        if let Some(acl) = &self.acl {
            let (user, from) = by.map_or(("", None), |session| {
                (session.principal().as_ref(), Some(session.0.peer.ip().to_canonical()))
            });
            acl.audit.note(AuditKind::Changed, user, from, &change.to_string(), acl.clock.now());
        }
    }

    /// Fetches the keys of token issuers that have them behind a URL, again and again. Ends only when there are none.
    pub async fn keep_keys_fresh(&self) {
        if let Some(acl) = &self.acl {
            acl.issuers.keep_fresh().await;
        }
    }

    /// The audit trail after an event's number, the oldest first; 0 for all that is kept.
    pub fn audit(&self, after: u64, limit: usize) -> Vec<AuditEvent> {
        self.acl.as_ref().map_or_else(Vec::new, |acl| acl.audit.after(after, limit))
    }

    /// What [`Auth::permit`] would say to `user` connected from this address, and why. For people: it lists every rule.
    pub fn explain(&self, user: &str, action: Action, resource: Resource<'_>, from: IpAddr) -> Explanation {
        let asker = Asker { name: user, id: None, print: None, roles: &[], from: from.to_canonical() };
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

    /// True for a file of users and policies that says what is in force already: there is nothing to write. So a start
    /// with the same file does not make the log grow.
    pub fn is_in_force(&self, change: &Change) -> bool {
        let Some(acl) = &self.acl else { return false };
        match acl.opened(change) {
            Kind::ReplaceFile(file) => acl.directory.read().has_file(&file, &[]),
            Kind::ReplaceFileWithGroups(file, groups) => acl.directory.read().has_file(&file, &groups),
            _ => false,
        }
    }

    /// Takes over a change that is in the log, now or on replay. In `open` mode it is only kept.
    pub fn apply(&self, change: &Change) {
        let Some(acl) = &self.acl else { return self.unused.lock().push(change.clone()) };
        acl.slowdown.forgive_names();
        let kind = acl.opened(change);
        let mut directory = acl.directory.write();
        directory.apply(&kind);
        acl.version.fetch_add(1, Ordering::Release);
        if kind.may_change_quotas() {
            acl.has_quotas.store(directory.has_meters(), Ordering::Relaxed);
        }
        drop(directory);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Changes that rebuild all users and policies from nothing, for a checkpoint.
    pub fn snapshot(&self) -> Vec<Change> {
        let Some(acl) = &self.acl else { return self.unused.lock().clone() };
        let mut kinds = acl.directory.read().snapshot();
        if let Some(key) = &acl.data_key {
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

    /// The roles whose policies and quotas count for a session: those of its user, and those that its token adds.
    pub fn roles_of(&self, session: &Session) -> Vec<String> {
        self.read(|directory| {
            let roles = directory.roles_of(Acl::record_of(directory, session), &session.0.roles);
            roles.map(|entry| entry.role.name.clone()).collect()
        })
    }

    /// The quotas of consumer groups, by name.
    pub fn group_quotas(&self) -> Vec<GroupQuota> {
        self.read(|directory| directory.groups().values().map(|entry| entry.quota.clone()).collect())
    }

    /// The names of the consumer groups that have a quota; cheap while nobody has one.
    pub fn limited_groups(&self) -> Vec<String> {
        self.metered(|directory, _| directory.groups().keys().cloned().collect()).unwrap_or_default()
    }

    /// All policies, by the name of their user, then those of roles.
    pub fn policies(&self) -> Vec<Policy> {
        self.read(|directory| directory.all_rules().flat_map(|rules| rules.iter().cloned()).collect())
    }

    /// How many policies of a subject there are, all of them or those with this very pattern: those that can be removed,
    /// and those of the operator's file.
    pub fn count_policies(&self, subject: &str, resource: Option<&ResourcePattern>) -> (usize, usize) {
        self.read(|directory| {
            let meant = |policy: &&Policy| resource.is_none_or(|pattern| policy.resource == *pattern);
            directory.rules_about(subject).map_or((0, 0), |rules| {
                (rules.own.iter().filter(meant).count(), rules.file.iter().filter(meant).count())
            })
        })
    }

    fn read<T: Default>(&self, look: impl FnOnce(&Directory) -> T) -> T {
        self.acl.as_ref().map_or_else(T::default, |acl| look(&acl.directory.read()))
    }
}

impl Acl {
    /// Lets someone try to prove an identity, unless they have failed too often, and notes what came of it.
    fn attempt(
        &self,
        by: Attempt<'_>,
        peer: SocketAddr,
        prove: impl FnOnce() -> Result<Proof>,
    ) -> Result<Session> {
        let Attempt { name, kind, tried } = by;
        let (from, now) = (peer.ip().to_canonical(), self.clock.now());
        match self.slowdown.check(from, tried, now).and_then(|()| prove()) {
            Ok(proof) => {
                let session = proof.session(peer);
                self.audit.login(&session, now);
                Ok(session)
            }
            Err(error) => {
                let reason = Reason::of(&error);
                if !matches!(reason, Reason::Throttled | Reason::NoCredentials) {
                    self.slowdown.failed(from, tried, now);
                }
                let labels = [("credentials", kind), ("reason", reason.label())];
                metrics::counter!("sluice_login_failures_total", &labels).increment(1);
                self.audit.note(AuditKind::LoginFailed, name, Some(from), &format!("{kind}: {reason}"), now);
                Err(error)
            }
        }
    }

    /// A change with its secrets readable.
    fn opened(&self, change: &Change) -> Kind {
        let mut kind = change.0.clone();
        if let Some(key) = &self.data_key {
            kind.users_mut().iter_mut().for_each(|user| key.open_user(user));
        }
        kind
    }

    /// The record behind a session; none for someone who is known by roles alone, and for one who is gone.
    fn record_of<'d>(directory: &'d Directory, session: &Session) -> Option<&'d Entry> {
        directory
            .entry(&session.0.principal.name)
            .filter(|entry| entry.principal.id == session.0.principal.id)
    }

    fn check(&self, session: &Session, action: Action, resource: Resource<'_>) -> Result<(), Denial> {
        if session.0.expires.is_some_and(|expires| self.clock.now() >= expires) {
            return Err(Denial::Expired);
        }
        if session.0.memo.has(self.version.load(Ordering::Acquire), action, resource) {
            return Ok(());
        }
        let (directory, asker) = (self.directory.read(), Asker::of(session));
        match judge(&directory, asker, action, resource) {
            verdict if verdict.permits() => {
                // The version changes only while the directory is locked for writing.
                session.0.memo.put(self.version.load(Ordering::Acquire), action, resource);
                Ok(())
            }
            verdict if is_about_address(&directory, asker, action, resource, verdict) => {
                Err(if matches!(verdict, Verdict::Denied(_)) {
                    Denial::DeniedThere
                } else {
                    Denial::NoMatchThere
                })
            }
            Verdict::Denied(_) => Err(Denial::Denied),
            Verdict::Disabled | Verdict::Unknown => Err(Denial::NoUser),
            Verdict::Withdrawn => Err(Denial::Withdrawn),
            _ => Err(Denial::NoMatch),
        }
    }

    /// Counts and notes a denial, and puts it into words.
    fn denied(&self, session: &Session, action: Action, resource: Resource<'_>, denial: Denial) -> Error {
        let (name, from) = (&session.0.principal.name, session.0.peer.ip().to_canonical());
        let (reason, why) = denial.words();
        metrics::counter!("sluice_denials_total", "reason" => reason).increment(1);
        let message = format!("User:{name} has no permission to {action} {resource} from {from}, {why}");
        self.audit.note(AuditKind::Denied, name, Some(from), &message, self.clock.now());
        match denial {
            Denial::Expired | Denial::Withdrawn => Error::new(ErrorKind::Unauthenticated, why),
            Denial::DeniedThere | Denial::NoMatchThere => {
                Error::new(ErrorKind::PermissionDenied, message).with_source(AddressDenied)
            }
            _ => Error::new(ErrorKind::PermissionDenied, message),
        }
    }
}

/// Counts who was over which kind of quota.
fn count_throttled(quota: &'static str) -> impl Fn(&Error) {
    move |_| metrics::counter!("sluice_throttled_total", "quota" => quota).increment(1)
}

/// Why a session may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Denial {
    Denied,
    NoMatch,
    /// As above, and the address is why.
    DeniedThere,
    NoMatchThere,
    NoUser,
    Expired,
    Withdrawn,
}

impl Denial {
    /// The label of its metric, and the words of RocketMQ's brokers where they have some.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Denied => ("policy", "the decision is deny"),
            Self::NoMatch => ("no_policy", "no matched policies"),
            Self::DeniedThere => ("address", "the decision is deny"),
            Self::NoMatchThere => ("address", "no matched policies"),
            Self::NoUser => ("no_user", "the user is disabled or deleted"),
            Self::Expired => ("expired", "the token of this connection has expired"),
            Self::Withdrawn => {
                ("withdrawn", "the credentials of this connection have been changed or removed")
            }
        }
    }
}

#[cfg(test)]
mod tests;
