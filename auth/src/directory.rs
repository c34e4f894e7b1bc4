//! All users and policies, indexed for the two questions asked most: who has this key, and what may this user do.

use crate::api_token::{ApiToken, TokenHash};
use crate::change::{FileContent, Kind};
use crate::quota::{GroupQuota, Meter, Quota};
use crate::role::{Role, Subject};
use crate::rules::{RuleSet, Rules};
use crate::user::User;
use crate::{Policy, Principal, ResourcePattern, Secret};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasher;
use std::iter;
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Directory {
    users: HashMap<String, Entry, RandomState>,
    /// Access key to user name. A key belongs to the first user that had it.
    keys: HashMap<String, String, RandomState>,
    /// The hash of an API token to user name.
    tokens: HashMap<TokenHash, String, RandomState>,
    roles: BTreeMap<String, RoleEntry>,
    groups: BTreeMap<String, GroupEntry>,
    pub prints: Prints,
    last_id: u64,
    policies: usize,
    meters: usize,
}

pub(crate) struct Entry {
    pub user: User,
    /// Shared by all sessions of this user.
    pub principal: Arc<Principal>,
    /// The prints of all its credentials, to tell whether a session's is still among them.
    pub prints: Vec<u64>,
    meter: Option<Meter>,
    /// The policies about it.
    pub rules: Rules,
}

/// Makes prints: keyed hashes by which a session remembers its credential without having it. Not for proving anything.
#[derive(Default)]
pub(crate) struct Prints(std::hash::RandomState);

impl Prints {
    pub(crate) fn password(&self, hash: &str) -> u64 {
        self.0.hash_one(("password", hash))
    }

    pub(crate) fn secret(&self, secret: &Secret) -> u64 {
        self.0.hash_one(("secret", secret.expose()))
    }

    pub(crate) fn token(&self, hash: &TokenHash) -> u64 {
        self.0.hash_one(("token", hash))
    }

    fn of(&self, user: &User) -> Vec<u64> {
        let password = user.password_hash.iter().map(|hash| self.password(hash));
        let secrets = user.secrets().map(|secret| self.secret(secret));
        password.chain(secrets).chain(user.tokens.iter().map(|token| self.token(&token.hash))).collect()
    }
}

pub(crate) struct RoleEntry {
    pub role: Role,
    pub rules: Rules,
    meter: Option<Meter>,
}

pub(crate) struct GroupEntry {
    pub quota: GroupQuota,
    meter: Option<Meter>,
}

/// A meter that measures something else starts anew; one that stays keeps what was used.
fn renew(meter: &mut Option<Meter>, quota: Quota) {
    if meter.as_ref().map_or(Quota::default(), |meter| meter.quota) != quota {
        *meter = Meter::new(quota);
    }
}

impl Directory {
    pub(crate) fn entry(&self, name: &str) -> Option<&Entry> {
        self.users.get(name)
    }

    pub(crate) fn owner_of_key(&self, key: &str) -> Option<&Entry> {
        self.users.get(self.keys.get(key)?)
    }

    /// The user of an API token, and the token.
    pub(crate) fn owner_of_token(&self, hash: &TokenHash) -> Option<(&Entry, &ApiToken)> {
        let entry = self.users.get(self.tokens.get(hash)?)?;
        Some((entry, entry.user.tokens.iter().find(|token| token.hash == *hash)?))
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

    /// The rules of all users by name, then those of all roles.
    pub(crate) fn all_rules(&self) -> impl Iterator<Item = &Rules> {
        let of_users = self.sorted().into_iter().map(|entry| &entry.rules);
        of_users.chain(self.roles.values().map(|entry| &entry.rules))
    }

    /// How many policies there are.
    pub(crate) fn policies(&self) -> usize {
        self.policies
    }

    pub(crate) fn role(&self, name: &str) -> Option<&RoleEntry> {
        self.roles.get(name)
    }

    pub(crate) fn roles(&self) -> &BTreeMap<String, RoleEntry> {
        &self.roles
    }

    /// The rules of a user and of its roles, those that a token adds included.
    pub(crate) fn rules_of<'s>(
        &'s self,
        entry: Option<&'s Entry>,
        more_roles: &'s [String],
    ) -> impl Iterator<Item = &'s Rules> {
        let roles = self.roles_of(entry, more_roles).map(|role| &role.rules);
        entry.map(|entry| &entry.rules).into_iter().chain(roles)
    }

    /// The meters that what a user does must pass, and whose each is.
    pub(crate) fn meters_of<'s>(
        &'s self,
        entry: Option<&'s Entry>,
        more_roles: &'s [String],
    ) -> impl Iterator<Item = (Subject<'s>, &'s Meter)> {
        let own = entry.and_then(|entry| Some((Subject::User(&entry.user.name), entry.meter.as_ref()?)));
        let roles = self.roles_of(entry, more_roles);
        own.into_iter()
            .chain(roles.filter_map(|role| Some((Subject::Role(&role.role.name), role.meter.as_ref()?))))
    }

    /// A group's quota and its meter, when it is limited.
    pub(crate) fn meter_of_group(&self, group: &str) -> Option<(&GroupQuota, &Meter)> {
        let entry = self.groups.get(group)?;
        Some((&entry.quota, entry.meter.as_ref()?))
    }

    /// Whose places what a user does takes, with each one's limits; those without limits too.
    pub(crate) fn quotas_of<'s>(
        &'s self,
        name: &'s str,
        entry: Option<&'s Entry>,
        more_roles: &'s [String],
    ) -> impl Iterator<Item = (Subject<'s>, Quota)> {
        let own = (Subject::User(name), entry.map_or(Quota::default(), |entry| entry.user.quota));
        let roles = self.roles_of(entry, more_roles);
        iter::once(own).chain(roles.map(|role| (Subject::Role(&role.role.name), role.role.quota)))
    }

    pub(crate) fn groups(&self) -> &BTreeMap<String, GroupEntry> {
        &self.groups
    }

    /// True when somebody is limited.
    pub(crate) fn has_meters(&self) -> bool {
        self.meters > 0 || !self.groups.is_empty()
    }

    pub(crate) fn roles_of<'s>(
        &'s self,
        entry: Option<&'s Entry>,
        more_roles: &'s [String],
    ) -> impl Iterator<Item = &'s RoleEntry> {
        let own = entry.map_or(&[] as &[String], |entry| &entry.user.roles);
        // A role that both the record and the token name is one role.
        let more = more_roles.iter().filter(|role| !own.contains(role));
        own.iter().chain(more).filter_map(|role| self.role(role))
    }

    /// The rules about a policy's subject.
    pub(crate) fn rules_about(&self, subject: &str) -> Option<&Rules> {
        match Subject::of(subject) {
            Subject::User(name) => self.users.get(name).map(|entry| &entry.rules),
            Subject::Role(name) => self.roles.get(name).map(|entry| &entry.rules),
        }
    }

    fn rules_about_mut(&mut self, subject: &str) -> Option<&mut Rules> {
        match Subject::of(subject) {
            Subject::User(name) => self.users.get_mut(name).map(|entry| &mut entry.rules),
            Subject::Role(name) => self.roles.get_mut(name).map(|entry| &mut entry.rules),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }

    pub(crate) fn apply(&mut self, change: &Kind) {
        match change {
            Kind::PutUserV1(user) => self.put_user(&user.clone().into()),
            Kind::PutUser(user) => self.put_user(user),
            Kind::PutRole(role) => self.put_role(role),
            Kind::DeleteRole(name) => self.delete_role(name),
            Kind::DeleteUser(name) => self.delete_user(name),
            Kind::PutPolicy { policy, from_file } => self.put_policy(policy, *from_file),
            Kind::DeletePolicy { subject, resource } => self.delete_policies(subject, resource.as_ref()),
            Kind::ReplaceFileV1 { users, policies } => {
                let users: Vec<User> = users.iter().cloned().map(User::from).collect();
                self.replace_file(&[], &users, policies);
                self.keep_file_groups(&[]);
            }
            Kind::ReplaceFile(file) => {
                self.replace_file(&file.roles, &file.users, &file.policies);
                self.keep_file_groups(&[]);
            }
            Kind::ReplaceFileWithGroups(file, groups) => {
                self.replace_file(&file.roles, &file.users, &file.policies);
                self.keep_file_groups(groups);
            }
            Kind::PutGroupQuota(group) => self.put_group(group),
        }
    }

    fn put_user(&mut self, user: &User) {
        let prints = self.prints.of(user);
        match self.users.get_mut(&user.name) {
            Some(entry) => {
                entry.prints = prints;
                self.meters -= usize::from(entry.meter.is_some());
                renew(&mut entry.meter, user.quota);
                self.meters += usize::from(entry.meter.is_some());
                let old = std::mem::replace(&mut entry.user, user.clone());
                old.tokens.iter().for_each(|token| drop(self.tokens.remove(&token.hash)));
                for key in old.keys() {
                    if self.keys.get(key).is_some_and(|owner| *owner == user.name) {
                        self.keys.remove(key);
                    }
                }
            }
            None => {
                self.last_id += 1;
                let principal = Arc::new(Principal { name: user.name.as_str().into(), id: self.last_id });
                let entry = Entry {
                    user: user.clone(),
                    principal,
                    prints,
                    meter: Meter::new(user.quota),
                    rules: Rules::default(),
                };
                self.meters += usize::from(entry.meter.is_some());
                self.users.insert(user.name.clone(), entry);
            }
        }
        for token in &user.tokens {
            self.tokens.insert(token.hash, user.name.clone());
        }
        for key in user.keys() {
            self.keys.entry(key.to_owned()).or_insert_with(|| user.name.clone());
        }
    }

    fn delete_user(&mut self, name: &str) {
        if let Some(entry) = self.users.remove(name) {
            self.policies -= entry.rules.len();
            self.meters -= usize::from(entry.meter.is_some());
            entry.user.tokens.iter().for_each(|token| drop(self.tokens.remove(&token.hash)));
            for key in entry.user.keys() {
                if self.keys.get(key).is_some_and(|owner| owner == name) {
                    self.keys.remove(key);
                }
            }
        }
    }

    fn put_role(&mut self, role: &Role) {
        match self.roles.get_mut(&role.name) {
            Some(entry) => {
                self.meters -= usize::from(entry.meter.is_some());
                renew(&mut entry.meter, role.quota);
                self.meters += usize::from(entry.meter.is_some());
                entry.role = role.clone();
            }
            None => {
                let (role, meter) = (role.clone(), Meter::new(role.quota));
                let entry = RoleEntry { role, meter, rules: Rules::default() };
                self.meters += usize::from(entry.meter.is_some());
                self.roles.insert(entry.role.name.clone(), entry);
            }
        }
    }

    fn delete_role(&mut self, name: &str) {
        if let Some(entry) = self.roles.remove(name) {
            self.policies -= entry.rules.len();
            self.meters -= usize::from(entry.meter.is_some());
        }
    }

    fn put_policy(&mut self, policy: &Policy, from_file: bool) {
        let Some(rules) = self.rules_about_mut(&policy.subject) else { return };
        let before = rules.len();
        if from_file {
            rules.file.add(policy)
        } else {
            rules.own.put(policy)
        }
        let added = rules.len() - before;
        self.policies += added;
    }

    fn delete_policies(&mut self, subject: &str, resource: Option<&ResourcePattern>) {
        let Some(rules) = self.rules_about_mut(subject) else { return };
        let before = rules.len();
        match resource {
            Some(resource) => rules.own.remove(resource),
            None => rules.own = RuleSet::default(),
        }
        let removed = before - rules.len();
        self.policies -= removed;
    }

    fn replace_file(&mut self, roles: &[Role], users: &[User], policies: &[Policy]) {
        self.keep_file_roles(roles);
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
        let of_users = self.users.values_mut().map(|entry| &mut entry.rules);
        let of_roles = self.roles.values_mut().map(|entry| &mut entry.rules);
        for rules in of_users.chain(of_roles) {
            self.policies -= rules.file.len();
            rules.file = RuleSet::default();
        }
        for policy in policies {
            self.put_policy(policy, true);
        }
    }

    fn put_group(&mut self, new: &GroupQuota) {
        if new.quota.is_none() {
            self.groups.remove(&new.group);
            return;
        }
        match self.groups.get_mut(&new.group) {
            Some(entry) => {
                renew(&mut entry.meter, new.quota);
                entry.quota = new.clone();
            }
            None => {
                let entry = GroupEntry { quota: new.clone(), meter: Meter::new(new.quota) };
                self.groups.insert(new.group.clone(), entry);
            }
        }
    }

    /// Makes these the quotas of the file.
    fn keep_file_groups(&mut self, groups: &[GroupQuota]) {
        let stay: HashSet<&str> = groups.iter().map(|group| group.group.as_str()).collect();
        self.groups.retain(|name, entry| !entry.quota.from_file || stay.contains(name.as_str()));
        groups.iter().for_each(|group| self.put_group(group));
    }

    fn has_file_groups(&self, groups: &[GroupQuota]) -> bool {
        self.groups.values().filter(|entry| entry.quota.from_file).count() == groups.len()
            && groups.iter().all(|group| self.groups.get(&group.group).is_some_and(|own| own.quota == *group))
    }

    /// True when the operator's file says what is in force already.
    pub(crate) fn has_file(&self, file: &FileContent, groups: &[GroupQuota]) -> bool {
        let users = self.users.values().filter(|entry| entry.user.from_file).count();
        let roles = self.roles.values().filter(|entry| entry.role.from_file).count();
        let policies: usize = self.all_rules().map(|rules| rules.file.len()).sum();
        let mut by_subject: HashMap<&str, Vec<&Policy>> = HashMap::new();
        file.policies.iter().for_each(|policy| by_subject.entry(&policy.subject).or_default().push(policy));
        self.has_file_groups(groups)
            && (users, roles, policies) == (file.users.len(), file.roles.len(), file.policies.len())
            && file.users.iter().all(|user| self.entry(&user.name).is_some_and(|entry| entry.user == *user))
            && file.roles.iter().all(|role| self.role(&role.name).is_some_and(|entry| entry.role == *role))
            && by_subject.iter().all(|(subject, policies)| {
                let rules = self.rules_about(subject);
                rules.is_some_and(|rules| rules.file.iter().eq(policies.iter().copied()))
            })
    }

    /// Makes these the roles of the file.
    fn keep_file_roles(&mut self, roles: &[Role]) {
        let stay: HashSet<&str> = roles.iter().map(|role| role.name.as_str()).collect();
        let old = self.roles.values().map(|entry| &entry.role).filter(|role| role.from_file);
        let gone: Vec<String> =
            old.map(|role| role.name.clone()).filter(|name| !stay.contains(name.as_str())).collect();
        gone.iter().for_each(|name| self.delete_role(name));
        roles.iter().for_each(|role| self.put_role(role));
    }

    /// Changes that rebuild everything from nothing.
    pub(crate) fn snapshot(&self) -> Vec<Kind> {
        let mut changes: Vec<Kind> =
            self.roles.values().map(|entry| Kind::PutRole(entry.role.clone())).collect();
        changes.extend(self.sorted().into_iter().map(|entry| Kind::PutUser(entry.user.clone())));
        let put = |policy: &Policy, from_file| Kind::PutPolicy { policy: policy.clone(), from_file };
        changes.extend(self.groups.values().map(|entry| Kind::PutGroupQuota(entry.quota.clone())));
        for rules in self.all_rules() {
            changes.extend(rules.own.iter().map(|policy| put(policy, false)));
            changes.extend(rules.file.iter().map(|policy| put(policy, true)));
        }
        changes
    }
}
