//! Users, roles and policies: what the directory knows is what the changes that survived amount to.

use crate::node::{Asked, Check, Node, now};
use crate::tally;
use sluice_auth::{
    Action, AuditKind, Auth, Command, Config, Credentials, GroupQuotaSpec, Mode, NewToken, Policy, Quota,
    Resource, RoleSpec, Secret, Session, UserSpec,
};
use sluice_broker::{Broker, Removed};
use sluice_model::{Clock, Error, ErrorKind, Result};
use std::sync::Arc;

/// The one who may do everything, and makes the others.
pub const ME: &str = "sim";
const SECRET: &str = "no secret at all";
pub const USERS: u64 = 4;
const ROLES: u64 = 2;
/// What users sign with.
pub const SECRETS: [&str; 2] = ["the first secret", "the second secret"];
const RESOURCES: [&str; 4] = ["Topic:orders", "Topic:*", "Group:billing", "Cluster"];

/// A directory in which nobody is yet.
pub fn directory(clock: Arc<dyn Clock>) -> Check<Auth> {
    Auth::acl(Config::default(), clock).map_err(|error| format!("no directory: {error:?}"))
}

/// Makes the first user, as whoever runs the process does.
pub async fn bootstrap(broker: Broker) -> Result<()> {
    let (superuser, secret) = (Some(true), Some(Secret::new(SECRET)));
    let me = UserSpec { name: ME.to_owned(), superuser, secret, ..UserSpec::default() };
    broker.change_access_as_operator(Command::PutUser(me)).await
}

/// Logs it in.
pub fn login(broker: &Broker) -> Check<Session> {
    let me = Credentials::Password { user: ME, password: SECRET };
    if broker.auth().mode() != Mode::Acl {
        return Err("the broker asks nobody who it is".to_owned());
    }
    broker.login_now(me, ([127, 0, 0, 1], 1).into()).map_err(|error| format!("no session: {error:?}"))
}

impl Node {
    /// Half of the changes are about somebody who is in: they say more.
    fn some_command(&mut self) -> Check<Command> {
        let (user, role) = (format!("u{}", self.dice.below(USERS)), format!("r{}", self.dice.below(ROLES)));
        let guest = self.guests.get(self.dice.below(2 * self.guests.len() as u64) as usize);
        let user = guest.map(|guest| guest.user.clone()).filter(|name| name != ME).unwrap_or(user);
        let token = guest.map(|guest| NewToken::id_of(&guest.token)).unwrap_or_default();
        let resource = RESOURCES.get(self.dice.below(4) as usize).copied().unwrap_or_default();
        let resource = || resource.parse().map_err(|error| format!("{resource}: {error:?}"));
        Ok(match self.dice.below(12) {
            0..4 => {
                let roles = self.dice.coin().then(|| vec![role]);
                let (enabled, secret) = (Some(self.dice.coin()), self.some_secret().map(Secret::new));
                let connections = self.dice.coin().then(|| 1 + self.dice.below(2) as u32);
                let quota = Some(Quota { connections, ..Quota::default() });
                Command::PutUser(UserSpec {
                    name: user,
                    enabled,
                    roles,
                    secret,
                    quota,
                    ..UserSpec::default()
                })
            }
            4 => Command::DeleteUser(user),
            5 => Command::PutRole(RoleSpec { name: role, ..RoleSpec::default() }),
            6 => Command::DeleteRole(role),
            7 | 8 => {
                let actions = vec![if self.dice.coin() { "Pub" } else { "Sub" }.to_owned()];
                Command::PutPolicy(Policy {
                    subject: user,
                    resource: resource()?,
                    actions: actions.try_into().map_err(|error| format!("{error:?}"))?,
                    decision: Default::default(),
                    source_ips: Vec::new(),
                })
            }
            9 => {
                // Of a group that nobody is in: what it may receive is not what is looked at here.
                let (group, messages) = (format!("g{}", self.dice.below(2)), Some(1 + self.dice.below(9)));
                let quota = Quota { messages_per_second: messages, ..Quota::default() };
                Command::PutGroupQuota(GroupQuotaSpec { group, quota })
            }
            10 => Command::DeleteToken { user, id: token },
            _ => Command::DeletePolicy {
                subject: user,
                resource: self.dice.coin().then(resource).transpose()?,
            },
        })
    }

    fn some_secret(&mut self) -> Option<&'static str> {
        SECRETS.get(self.dice.below(2 * SECRETS.len() as u64) as usize).copied()
    }
}

/// What somebody asks of the directory, and how it is asked: the verb that is named for it says more than the command.
async fn change(broker: Broker, me: Session, command: Command, known: Known) -> Result<()> {
    let (found, wanted) = match command {
        Command::PutUser(spec) => (broker.put_user(&me, spec).await?, !known.is_there),
        Command::DeleteUser(name) => (broker.delete_user(&me, &name).await?, known.is_there),
        Command::PutRole(spec) => (broker.put_role(&me, spec).await?, !known.is_there),
        Command::DeleteRole(name) => (broker.delete_role(&me, &name).await?, known.is_there),
        Command::DeletePolicy { subject, resource } => {
            let removed = broker.delete_policies(&me, &subject, resource).await?;
            (removed == known.policies, true)
        }
        command => return broker.change_access(&me, command).await,
    };
    match found == wanted {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Internal, format!("told is {found}, not {wanted}"))),
    }
}

/// What a command is about, as it was before.
#[derive(Default)]
struct Known {
    is_there: bool,
    policies: Removed,
}

impl Known {
    fn of(directory: &Auth, command: &Command) -> Self {
        let has_user = |name: &str| directory.users().iter().any(|user| user.name == name);
        let has_role = |name: &str| directory.roles().iter().any(|role| role.name == name);
        let is_there = match command {
            Command::PutUser(UserSpec { name, .. }) | Command::DeleteUser(name) => has_user(name),
            Command::PutRole(RoleSpec { name, .. }) | Command::DeleteRole(name) => has_role(name),
            _ => true,
        };
        let removed = match command {
            Command::DeletePolicy { subject, resource } => {
                let policies = directory.policies().into_iter().filter(|policy| policy.subject == *subject);
                policies.filter(|p| resource.as_ref().is_none_or(|wanted| p.resource == *wanted)).count()
            }
            _ => 0,
        };
        Self { is_there, policies: Removed { removed, kept: 0 } }
    }
}

impl Node {
    /// The directory that the changes amount to.
    pub fn directory(&self) -> Check<Auth> {
        let wanted = directory(Arc::clone(&self.clock) as _)?;
        self.model.access.iter().for_each(|change| wanted.apply(change));
        Ok(wanted)
    }

    /// Somebody asks whether a change would be accepted, and makes it.
    pub fn some_access(&mut self) -> Check {
        let command = self.some_command()?;
        self.change_access(command)
    }

    pub fn change_access(&mut self, command: Command) -> Check {
        let before = self.directory()?;
        let known = Known::of(&before, &command);
        let refused = self.is_foretold(&before, &command, &known)?;
        let (changes, last) = (self.model.access.len(), self.last_event()?);
        let (broker, me, plainly) = (self.broker.clone(), self.me.clone(), self.dice.coin());
        let asked = Asked { access: true, ..Asked::default() };
        let expected = refused.as_slice();
        // Of the removal of what is not there, only the named verbs say that it is nothing.
        match plainly && known.is_there {
            true => {
                let call = async move { broker.change_access(&me, command).await };
                self.begin_call("change access", &asked, call, expected)?;
            }
            false => {
                self.begin_call("change access", &asked, change(broker, me, command, known), expected)?
            }
        }
        let changed = self.model.access.len() - changes;
        if refused.is_some() && changed > 0 {
            return Err(format!("a change is made that is refused as {refused:?}"));
        }
        self.is_noted(last, changed as u64)?;
        self.look_at_guests()
    }

    /// What is said of a change before it is made: why it would be refused.
    fn is_foretold(&mut self, before: &Auth, command: &Command, known: &Known) -> Check<Option<ErrorKind>> {
        let appended = self.history.len();
        let told = now(self.broker.check_access(&self.me, command.clone()))?;
        let refused = before.plan(command.clone()).err().map(|error| error.kind());
        let wanted = match (refused, known.is_there) {
            (_, false) if is_removal(command) => Ok(false),
            (Some(kind), _) => Err(kind),
            (None, _) => Ok(true),
        };
        let counted = match command {
            Command::DeletePolicy { subject, resource } => {
                now(self.broker.count_policies(&self.me, subject, resource.clone()))?.ok()
            }
            _ => Some(known.policies),
        };
        self.absorb(&Asked::default())?;
        self.checked(tally::CHECKED);
        let told = told.map_err(|error| error.kind());
        if told != wanted || counted != Some(known.policies) || self.history.len() != appended {
            return Err(format!("{command:?} is told as {told:?} and {counted:?}, and should be {wanted:?}"));
        }
        Ok(wanted.err())
    }

    /// The number of the newest event of the audit trail.
    fn last_event(&self) -> Check<u64> {
        let all =
            self.broker.audit(&self.me, 0, usize::MAX).map_err(|error| format!("no trail: {error:?}"))?;
        Ok(all.last().map_or(0, |event| event.number))
    }

    /// Since then so many changes were made, and each is in the trail with who made it.
    fn is_noted(&mut self, last: u64, changes: u64) -> Check {
        let new = self.broker.audit(&self.me, last, usize::MAX).map_err(|error| format!("{error:?}"))?;
        let is_mine = new.iter().all(|event| event.kind == AuditKind::Changed && event.user == ME);
        let numbered = new.last().map_or(last, |event| event.number);
        self.checked(tally::ACCESS);
        match is_mine && numbered == last + changes {
            true => Ok(()),
            false => Err(format!("{changes} changes of {ME} are noted as {new:?} behind {last}")),
        }
    }

    /// What a user may, and by which rule.
    pub fn explain(&mut self, user: &str) -> Check {
        let (wanted, topic) = (self.directory()?, crate::steps::topic("orders")?);
        let action = if self.dice.coin() { Action::Pub } else { Action::Get };
        let resource = if self.dice.coin() { Resource::Topic(&topic) } else { Resource::Cluster };
        let from = std::net::Ipv4Addr::LOCALHOST.into();
        let found = self.broker.explain_access(&self.me, user, action, resource, from);
        let found = found.map_err(|error| format!("no explanation: {error:?}"))?;
        let wanted = wanted.explain(user, action, resource, from);
        self.checked(tally::ACCESS);
        if found == wanted { Ok(()) } else { Err(format!("{user} {action:?}: {found:?}, not {wanted:?}")) }
    }

    /// The directory beside a fold over the changes.
    pub fn compare_access(&mut self) -> Check {
        let wanted = self.directory()?;
        let (broker, me) = (self.broker.clone(), self.me.clone());
        let failed = |error| format!("the directory cannot be looked at: {error:?}");
        let users = now(broker.users(&me, None, usize::MAX))?.map_err(failed)?;
        let policies = now(broker.policies(&me, None))?.map_err(failed)?;
        self.checked(tally::ACCESS);
        if users != wanted.users() {
            return Err(format!("the users are {users:?}, not {:?}", wanted.users()));
        }
        if policies != wanted.policies() {
            return Err(format!("the policies are {policies:?}, not {:?}", wanted.policies()));
        }
        let (roles, quotas) = (broker.roles(&me).map_err(failed)?, broker.group_quotas(&me).map_err(failed)?);
        if roles != wanted.roles() || quotas != wanted.group_quotas() {
            return Err(format!("the roles are {roles:?}, and the quotas {quotas:?}"));
        }
        for n in 0..USERS {
            let name = format!("u{n}");
            let found = now(broker.user(&me, &name))?.map_err(failed)?;
            if found.as_ref() != users.iter().find(|user| user.name == name) {
                return Err(format!("{name} is {found:?}"));
            }
        }
        Ok(())
    }
}

fn is_removal(command: &Command) -> bool {
    matches!(command, Command::DeleteUser(_) | Command::DeleteRole(_))
}
