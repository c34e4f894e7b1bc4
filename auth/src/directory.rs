//! All users and policies, indexed for the two questions asked most: who has this key, and what may this user do.

use crate::change::Kind;
use crate::judge::Asker;
use crate::rules::{RuleSet, Rules};
use crate::user::User;
use crate::{Policy, Principal, ResourcePattern};
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Directory {
    users: HashMap<String, Entry, RandomState>,
    /// Access key to user name. A key belongs to the first user that had it.
    keys: HashMap<String, String, RandomState>,
    last_id: u64,
    policies: usize,
}

pub(crate) struct Entry {
    pub user: User,
    /// Shared by all sessions of this user.
    pub principal: Arc<Principal>,
    /// The policies about it.
    pub rules: Rules,
}

impl Directory {
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.users.get(name)
    }

    pub(crate) fn owner_of_key(&self, key: &str) -> Option<&Entry> {
        self.users.get(self.keys.get(key)?)
    }

    /// All users, in no order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.users.values()
    }

    /// All users, by name.
    pub(crate) fn sorted(&self) -> Vec<&Entry> {
        let mut entries: Vec<_> = self.entries().collect();
        entries.sort_unstable_by(|a, b| a.user.name.cmp(&b.user.name));
        entries
    }

    /// How many policies there are.
    pub(crate) fn policies(&self) -> usize {
        self.policies
    }

    /// Every policy that may have a say for this asker.
    pub(crate) fn rules_about(&self, asker: Asker<'_>) -> Vec<&Policy> {
        self.entry(asker.name).into_iter().flat_map(|entry| entry.rules.iter()).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }

    pub(crate) fn apply(&mut self, change: &Kind) {
        match change {
            Kind::PutUser(user) => self.put_user(user),
            Kind::DeleteUser(name) => self.delete_user(name),
            Kind::PutPolicy { policy, from_file } => self.put_policy(policy, *from_file),
            Kind::DeletePolicy { subject, resource } => self.delete_policies(subject, resource.as_ref()),
            Kind::ReplaceFile { users, policies } => self.replace_file(users, policies),
        }
    }

    fn put_user(&mut self, user: &User) {
        match self.users.get_mut(&user.name) {
            Some(entry) => {
                let old = std::mem::replace(&mut entry.user, user.clone());
                for (key, _) in old.keys() {
                    if self.keys.get(key).is_some_and(|owner| *owner == user.name) {
                        self.keys.remove(key);
                    }
                }
            }
            None => {
                self.last_id += 1;
                let principal = Arc::new(Principal { name: user.name.as_str().into(), id: self.last_id });
                let entry = Entry { user: user.clone(), principal, rules: Rules::default() };
                self.users.insert(user.name.clone(), entry);
            }
        }
        for (key, _) in user.keys() {
            self.keys.entry(key.to_owned()).or_insert_with(|| user.name.clone());
        }
    }

    fn delete_user(&mut self, name: &str) {
        if let Some(entry) = self.users.remove(name) {
            self.policies -= entry.rules.len();
            for (key, _) in entry.user.keys() {
                if self.keys.get(key).is_some_and(|owner| owner == name) {
                    self.keys.remove(key);
                }
            }
        }
    }

    fn put_policy(&mut self, policy: &Policy, from_file: bool) {
        let Some(entry) = self.users.get_mut(&policy.subject) else { return };
        let before = entry.rules.len();
        if from_file {
            entry.rules.file.add(policy)
        } else {
            entry.rules.own.put(policy)
        }
        self.policies += entry.rules.len() - before;
    }

    fn delete_policies(&mut self, subject: &str, resource: Option<&ResourcePattern>) {
        let Some(entry) = self.users.get_mut(subject) else { return };
        let before = entry.rules.len();
        match resource {
            Some(resource) => entry.rules.own.remove(resource),
            None => entry.rules.own = RuleSet::default(),
        }
        self.policies -= before - entry.rules.len();
    }

    fn replace_file(&mut self, users: &[User], policies: &[Policy]) {
        let stay: HashSet<&str> = users.iter().map(|user| user.name.as_str()).collect();
        let gone: Vec<String> = self
            .entries()
            .filter(|entry| entry.user.from_file && !stay.contains(entry.user.name.as_str()))
            .map(|entry| entry.user.name.clone())
            .collect();
        for name in &gone {
            self.delete_user(name);
        }
        for user in users {
            self.put_user(user);
        }
        for entry in self.users.values_mut() {
            self.policies -= entry.rules.file.len();
            entry.rules.file = RuleSet::default();
        }
        for policy in policies {
            self.put_policy(policy, true);
        }
    }

    /// Changes that rebuild everything from nothing.
    pub(crate) fn snapshot(&self) -> Vec<Kind> {
        let entries = self.sorted();
        let mut changes: Vec<Kind> = entries.iter().map(|entry| Kind::PutUser(entry.user.clone())).collect();
        let put = |policy: &Policy, from_file| Kind::PutPolicy { policy: policy.clone(), from_file };
        for entry in entries {
            changes.extend(entry.rules.own.iter().map(|policy| put(policy, false)));
            changes.extend(entry.rules.file.iter().map(|policy| put(policy, true)));
        }
        changes
    }
}
