//! All users and policies, indexed for the two questions asked most: who has this key, and what may this user do.

use crate::change::Kind;
use crate::judge::Asker;
use crate::user::User;
use crate::{Policy, Principal, ResourcePattern};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Directory {
    users: BTreeMap<String, Entry>,
    /// Access key to user name. A key belongs to the first user that had it.
    keys: HashMap<String, String>,
    last_id: u64,
}

pub(crate) struct Entry {
    pub user: User,
    /// Shared by all sessions of this user.
    pub principal: Arc<Principal>,
    /// The policies about it, those of the operator's file last.
    pub policies: Vec<Policy>,
    /// How many of them are the file's.
    pub from_file: usize,
}

impl Directory {
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.users.get(name)
    }

    pub(crate) fn owner_of_key(&self, key: &str) -> Option<&Entry> {
        self.users.get(self.keys.get(key)?)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.users.values()
    }

    /// Every policy that may have a say for this asker.
    pub(crate) fn rules_about(&self, asker: Asker<'_>) -> Vec<&Policy> {
        self.entry(asker.name).into_iter().flat_map(|entry| &entry.policies).collect()
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
                let entry = Entry { user: user.clone(), principal, policies: Vec::new(), from_file: 0 };
                self.users.insert(user.name.clone(), entry);
            }
        }
        for (key, _) in user.keys() {
            self.keys.entry(key.to_owned()).or_insert_with(|| user.name.clone());
        }
    }

    fn delete_user(&mut self, name: &str) {
        if let Some(entry) = self.users.remove(name) {
            for (key, _) in entry.user.keys() {
                if self.keys.get(key).is_some_and(|owner| owner == name) {
                    self.keys.remove(key);
                }
            }
        }
    }

    fn put_policy(&mut self, policy: &Policy, from_file: bool) {
        let Some(entry) = self.users.get_mut(&policy.subject) else { return };
        if from_file {
            entry.policies.push(policy.clone());
            entry.from_file += 1;
            return;
        }
        let own = entry.policies.len() - entry.from_file;
        let same = |p: &&mut Policy| p.resource == policy.resource && p.decision == policy.decision;
        match entry.policies.iter_mut().take(own).find(same) {
            Some(old) => *old = policy.clone(),
            None => entry.policies.insert(own, policy.clone()),
        }
    }

    fn delete_policies(&mut self, subject: &str, resource: Option<&ResourcePattern>) {
        let Some(entry) = self.users.get_mut(subject) else { return };
        let own = entry.policies.len() - entry.from_file;
        let mut at = 0;
        entry.policies.retain(|policy| {
            at += 1;
            at > own || resource.is_some_and(|resource| policy.resource != *resource)
        });
    }

    fn replace_file(&mut self, users: &[User], policies: &[Policy]) {
        let gone: Vec<String> = self
            .users
            .values()
            .filter(|entry| entry.user.from_file && users.iter().all(|user| user.name != entry.user.name))
            .map(|entry| entry.user.name.clone())
            .collect();
        for name in &gone {
            self.delete_user(name);
        }
        for user in users {
            self.put_user(user);
        }
        for entry in self.users.values_mut() {
            entry.policies.truncate(entry.policies.len() - entry.from_file);
            entry.from_file = 0;
        }
        for policy in policies {
            self.put_policy(policy, true);
        }
    }

    /// Changes that rebuild everything from nothing.
    pub(crate) fn snapshot(&self) -> Vec<Kind> {
        let mut changes: Vec<Kind> = self.entries().map(|entry| Kind::PutUser(entry.user.clone())).collect();
        for entry in self.entries() {
            let own = entry.policies.len() - entry.from_file;
            changes.extend(
                entry
                    .policies
                    .iter()
                    .enumerate()
                    .map(|(at, policy)| Kind::PutPolicy { policy: policy.clone(), from_file: at >= own }),
            );
        }
        changes
    }
}
