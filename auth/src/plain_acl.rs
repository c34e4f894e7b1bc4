//! The import of a `plain_acl.yml`, the users and permissions of RocketMQ's ACL 1.0.
//!
//! There, an account's permission on a resource is what is listed for it, else the account's default. Here, a
//! policy speaks of some actions, and of the others less specific ones do. So each default becomes an allow on every topic
//! or group, and each listed permission an allow on its resource and a deny of what the default would give beyond it. What cannot be said here is not dropped silently
//! but told in [`PlainAcl::notes`].
//!
//! How the file is read is in `yaml` beside this file.

mod yaml;

use crate::{AclFile, Action, Decision, Policy, UserSpec};
use sluice_model::{Error, Result};
use yaml::{Entry, Node};

/// In ACL 1.0 every account may send its traces.
const TRACE_TOPIC: &str = "RMQ_SYS_TRACE_TOPIC";

/// What was found in a `plain_acl.yml`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlainAcl {
    /// Its accounts as users, its permissions as policies.
    pub file: AclFile,
    /// What it says that has no counterpart, a sentence each, for whoever runs the import.
    pub notes: Vec<String>,
}

/// The permissions of ACL 1.0. A reader may also look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Permission {
    publish: bool,
    subscribe: bool,
}

impl Permission {
    fn parse(text: &str, line: usize) -> Result<Self> {
        let one = |word: &str| match word.trim() {
            "DENY" => Ok(Self::default()),
            "PUB" => Ok(Self { publish: true, subscribe: false }),
            "SUB" => Ok(Self { publish: false, subscribe: true }),
            "ANY" => Ok(Self { publish: true, subscribe: true }),
            other => Err(wrong(
                line,
                &format!("{other:?} is no permission; there are DENY, PUB, SUB, PUB|SUB and ANY"),
            )),
        };
        text.split('|').map(one).try_fold(Self::default(), |sum, next| {
            let next = next?;
            Ok(Self { publish: sum.publish || next.publish, subscribe: sum.subscribe || next.subscribe })
        })
    }

    fn without(self, other: Self) -> Self {
        Self { publish: self.publish && !other.publish, subscribe: self.subscribe && !other.subscribe }
    }

    fn actions(self) -> Vec<Action> {
        let publish = self.publish.then_some(Action::Pub);
        publish.into_iter().chain(self.subscribe.then_some(Action::Sub)).collect()
    }
}

impl PlainAcl {
    /// Reads the text of a `plain_acl.yml`.
    ///
    /// # Errors
    /// `InvalidArgument` with the line, for what is no such file as for unknown keys and wrong values.
    pub fn parse(text: &str) -> Result<Self> {
        let mut acl = Self::default();
        for entry in yaml::parse(text)?.entries()? {
            match entry.key.as_str() {
                "globalWhiteRemoteAddresses" => acl.global_addresses(entry)?,
                "accounts" => {
                    for account in entry.value.items(entry.line)? {
                        acl.account(account)?;
                    }
                }
                // RocketMQ's own book-keeping.
                "dataVersion" => {}
                _ => return Err(unknown(entry)),
            }
        }
        Ok(acl)
    }

    fn global_addresses(&mut self, entry: &Entry) -> Result<()> {
        let addresses = entry.value.items(entry.line)?.iter().map(|item| item.scalar(entry.line));
        let addresses = addresses.collect::<Result<Vec<_>>>()?;
        if !addresses.is_empty() {
            self.notes.push(format!(
                "globalWhiteRemoteAddresses ({}) is left out: nobody passes here without credentials",
                addresses.join(", ")
            ));
        }
        Ok(())
    }

    fn account(&mut self, node: &Node) -> Result<()> {
        let mut account = Account::default();
        let entries = node.entries()?;
        for entry in entries {
            account.read(entry)?;
        }
        let line = entries.first().map_or(0, |entry| entry.line);
        let name = account.access_key.clone().ok_or_else(|| wrong(line, "an account has no accessKey"))?;
        let secret = account.secret_key.take().ok_or_else(|| wrong(line, "the account has no secretKey"))?;
        let user = UserSpec {
            superuser: account.admin.then_some(true),
            secret: Some(secret.into()),
            ..UserSpec::named(&name)
        };
        user.check().map_err(|error| wrong(line, error.message()))?;
        if self.file.users.iter().any(|other| other.name == name) {
            return Err(wrong(line, &format!("account {name:?} is given twice")));
        }
        self.file.users.push(user);
        if let Some(addresses) = &account.white_address {
            self.notes.push(format!(
                "whiteRemoteAddress of {name} ({addresses}) is left out: it would let clients in without a signature"
            ));
        }
        if account.admin {
            if !account.topics.is_empty() || !account.groups.is_empty() {
                self.notes.push(format!(
                    "{name} is an administrator and may do everything; its lists are left out"
                ));
            }
            return Ok(());
        }
        self.permissions(&name, "Topic", account.default_topic, &account.topics)?;
        self.permissions(&name, "Group", account.default_group, &account.groups)?;
        self.file.policies.push(Policy::allow(&name, &format!("Topic:{TRACE_TOPIC}"), &[Action::Pub])?);
        Ok(())
    }

    fn permissions(&mut self, user: &str, kind: &str, default: Permission, listed: &[Listed]) -> Result<()> {
        let policies = &mut self.file.policies;
        let mut push = |name: &str, permission: Permission, decision, line| -> Result<()> {
            let mut actions = permission.actions();
            if actions.is_empty() {
                return Ok(());
            }
            if decision == Decision::Allow {
                actions.push(Action::Get);
            }
            let policy = Policy::allow(user, &format!("{kind}:{name}"), &actions);
            let policy = policy.map_err(|error| wrong(line, error.message()))?;
            policies.push(Policy { decision, ..policy });
            Ok(())
        };
        push("*", default, Decision::Allow, 0)?;
        for Listed { name, permission, line } in listed {
            if name.contains('*') {
                return Err(wrong(*line, &format!("{name:?} is no name")));
            }
            push(name, *permission, Decision::Allow, *line)?;
            push(name, default.without(*permission), Decision::Deny, *line)?;
        }
        Ok(())
    }
}

/// One entry of topicPerms or groupPerms.
#[derive(Debug)]
struct Listed {
    name: String,
    permission: Permission,
    line: usize,
}

#[derive(Debug, Default)]
struct Account {
    access_key: Option<String>,
    secret_key: Option<String>,
    white_address: Option<String>,
    admin: bool,
    default_topic: Permission,
    default_group: Permission,
    topics: Vec<Listed>,
    groups: Vec<Listed>,
}

impl Account {
    fn read(&mut self, entry: &Entry) -> Result<()> {
        let (line, value) = (entry.line, &entry.value);
        match entry.key.as_str() {
            "accessKey" => self.access_key = filled(value.scalar(line)?),
            "secretKey" => self.secret_key = filled(value.scalar(line)?),
            "whiteRemoteAddress" => self.white_address = filled(value.scalar(line)?),
            "admin" => {
                self.admin = match value.scalar(line)? {
                    "true" => true,
                    "false" | "" => false,
                    other => return Err(wrong(line, &format!("admin is true or false, not {other:?}"))),
                }
            }
            "defaultTopicPerm" => self.default_topic = default_permission(value.scalar(line)?, line)?,
            "defaultGroupPerm" => self.default_group = default_permission(value.scalar(line)?, line)?,
            "topicPerms" => self.topics = listed(value, line)?,
            "groupPerms" => self.groups = listed(value, line)?,
            _ => return Err(unknown(entry)),
        }
        Ok(())
    }
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Left empty, it denies.
fn default_permission(text: &str, line: usize) -> Result<Permission> {
    if text.is_empty() { Ok(Permission::default()) } else { Permission::parse(text, line) }
}

fn listed(value: &Node, line: usize) -> Result<Vec<Listed>> {
    let one = |item: &Node| {
        let text = item.scalar(line)?;
        let (name, permission) =
            text.split_once('=').ok_or_else(|| wrong(line, &format!("{text:?} is not like name=PUB|SUB")))?;
        let permission = Permission::parse(permission, line)?;
        Ok(Listed { name: name.trim().to_owned(), permission, line })
    };
    value.items(line)?.iter().map(one).collect()
}

fn unknown(entry: &Entry) -> Error {
    wrong(entry.line, &format!("unknown key {:?}", entry.key))
}

fn wrong(line: usize, why: &str) -> Error {
    Error::invalid(format!("line {line}: {why}"))
}

#[cfg(test)]
mod tests;
