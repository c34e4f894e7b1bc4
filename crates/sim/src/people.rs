//! Users, roles and policies: what the directory knows is what the changes that survived amount to.

use crate::node::{Asked, Check, Node, now};
use crate::tally;
use sluice_auth::{Auth, Command, Config, Credentials, Policy, RoleSpec, Secret, Session, UserSpec};
use sluice_broker::Broker;
use sluice_model::{Clock, ErrorKind, Result};
use std::sync::Arc;

/// The one who may do everything, and makes the others.
const ME: &str = "sim";
const SECRET: &str = "no secret at all";
const USERS: u64 = 4;
const ROLES: u64 = 2;
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
    broker.login_now(me, ([127, 0, 0, 1], 1).into()).map_err(|error| format!("no session: {error:?}"))
}

impl Node {
    fn some_command(&mut self) -> Check<Command> {
        let (user, role) = (format!("u{}", self.dice.below(USERS)), format!("r{}", self.dice.below(ROLES)));
        let resource = RESOURCES.get(self.dice.below(4) as usize).copied().unwrap_or_default();
        let resource = || resource.parse().map_err(|error| format!("{resource}: {error:?}"));
        Ok(match self.dice.below(10) {
            0..4 => {
                let roles = self.dice.coin().then(|| vec![role]);
                let enabled = Some(self.dice.coin());
                Command::PutUser(UserSpec { name: user, enabled, roles, ..UserSpec::default() })
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
            _ => Command::DeletePolicy {
                subject: user,
                resource: self.dice.coin().then(resource).transpose()?,
            },
        })
    }

    /// Somebody changes who may do what.
    pub fn some_access(&mut self) -> Check {
        let command = self.some_command()?;
        let (broker, me) = (self.broker.clone(), self.me.clone());
        let call = async move { broker.change_access(&me, command).await };
        let asked = Asked { access: true, ..Asked::default() };
        self.begin_call("change access", &asked, call, &[ErrorKind::InvalidArgument, ErrorKind::Conflict])
    }

    /// The directory beside a fold over the changes.
    pub fn compare_access(&mut self) -> Check {
        let wanted = directory(Arc::clone(&self.clock) as _)?;
        self.model.access.iter().for_each(|change| wanted.apply(change));
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
        Ok(())
    }
}
