//! From a command to a change: everything that can be wrong is found here, before the log.

use crate::change::{Command, FileContent, Kind};
use crate::directory::Directory;
use crate::role::{Role, Subject};
use crate::scram::Scram;
use crate::user::{User, check_name, check_secret};
use crate::{
    AclFile, GroupQuota, GroupQuotaSpec, NewScram, NewToken, Policy, ResourcePattern, RoleSpec,
    ScramMechanism, Secret, UserSpec, WhichSecret, password,
};
use parking_lot::RwLock;
use sluice_model::{Error, ErrorKind, Result};
use std::collections::{HashMap, HashSet};

/// All of them are kept in memory and in every checkpoint: about 400 bytes each.
const MAX_USERS: usize = 50_000;
/// Nobody keeps an overview of more; it bounds what one explanation lists.
const MAX_POLICIES_PER_SUBJECT: usize = 1_000;
/// All of them are kept in memory and in every checkpoint: about 200 bytes each.
const MAX_POLICIES: usize = 500_000;
/// One for each program that uses it; a bound on what is remembered.
const MAX_TOKENS_PER_USER: usize = 64;
/// A name for every kind of work; they are all shown at once.
const MAX_ROLES: usize = 1_000;
/// All of them are kept in memory; whoever needs more sets the quotas of users.
const MAX_GROUP_QUOTAS: usize = 10_000;
/// The administrator that a first start makes.
const ADMINISTRATOR: &str = "admin";

pub(super) fn plan(directory: &RwLock<Directory>, command: Command) -> Result<Kind> {
    match command {
        Command::PutUser(spec) => put_user(directory, spec),
        Command::DeleteUser(name) => delete_user(&directory.read(), name),
        Command::RotateSecret { user, secret } => rotate_secret(&directory.read(), &user, secret),
        Command::RemoveSecret { user, which } => remove_secret(&directory.read(), &user, which),
        Command::PutToken(token) => put_token(&directory.read(), token),
        Command::DeleteToken { user, id } => delete_token(&directory.read(), &user, &id),
        Command::PutScram(new) => put_scram(&directory.read(), new),
        Command::DeleteScram { user, mechanism } => delete_scram(&directory.read(), &user, mechanism),
        Command::PutRole(spec) => put_role(&directory.read(), spec),
        Command::DeleteRole(name) => delete_role(&directory.read(), name),
        Command::PutGroupQuota(spec) => put_group_quota(&directory.read(), spec),
        Command::PutPolicy(policy) => put_policy(&directory.read(), policy),
        Command::DeletePolicy { subject, resource } => delete_policy(&directory.read(), subject, resource),
        Command::ReplaceFile(file) => replace_file(directory, file),
        Command::Bootstrap { password } => bootstrap(directory, &password),
    }
}

fn put_user(directory: &RwLock<Directory>, spec: UserSpec) -> Result<Kind> {
    spec.check()?;
    let old = {
        let directory = directory.read();
        let old = directory.entry(&spec.name).map(|entry| entry.user.clone());
        if let Some(old) = &old {
            not_from_file(old)?;
        } else if directory.len() >= MAX_USERS {
            return Err(too_many_users());
        }
        old
    };
    // Hashed without the lock: others log in meanwhile.
    let user = merge(old.unwrap_or_else(|| User::new(&spec.name)), spec)?;
    let directory = directory.read();
    keys_are_free(&directory, &user)?;
    roles_exist(&user, |role| directory.role(role).is_some())?;
    if !(user.superuser && user.enabled) {
        not_the_last_superuser(&directory, &user.name)?;
    }
    Ok(Kind::PutUser(user))
}

fn merge(mut user: User, spec: UserSpec) -> Result<User> {
    user.superuser = spec.superuser.unwrap_or(user.superuser);
    user.enabled = spec.enabled.unwrap_or(user.enabled);
    if let Some(password) = &spec.password {
        // The operator's file is applied at every start; the same password keeps its hash, and the log its size.
        let text = password.expose().unwrap_or_default();
        let same = user.password_hash.as_deref().is_some_and(|hash| password::matches(hash, text));
        if !same {
            user.password_hash = Some(password::hash(text)?);
            user.scram.clear();
        }
        for mechanism in ScramMechanism::ALL {
            if user.scram_of(mechanism).is_none() {
                user.scram.push(Scram::new(mechanism, text));
            }
        }
    }
    if let Some(hash) = spec.password_hash {
        password::check_hash(&hash)?;
        if user.password_hash.as_ref() != Some(&hash) {
            // What is kept is of another password; of this one there is only the hash.
            user.scram.clear();
        }
        user.password_hash = Some(hash);
    }
    user.secret = spec.secret.or(user.secret);
    user.previous_secret = spec.previous_secret.or(user.previous_secret);
    user.access_keys = spec.access_keys.unwrap_or(user.access_keys);
    user.roles = spec.roles.unwrap_or(user.roles);
    user.roles.sort();
    user.roles.dedup();
    user.quota = spec.quota.unwrap_or(user.quota);
    Ok(user)
}

fn delete_user(directory: &Directory, name: String) -> Result<Kind> {
    if let Some(entry) = directory.entry(&name) {
        not_from_file(&entry.user)?;
        not_the_last_superuser(directory, &name)?;
    }
    Ok(Kind::DeleteUser(name))
}

/// A user to change, as it is.
fn own_user(directory: &Directory, name: &str) -> Result<User> {
    let entry = directory.entry(name).ok_or_else(|| unknown_subject(name))?;
    not_from_file(&entry.user)?;
    Ok(entry.user.clone())
}

fn rotate_secret(directory: &Directory, name: &str, secret: Secret) -> Result<Kind> {
    check_secret(&format!("user {name:?}: the secret"), &secret)?;
    let mut user = own_user(directory, name)?;
    if user.previous_secret.is_some() {
        let message = format!("User:{name} has two secrets; remove one of them first");
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    user.previous_secret = user.secret.replace(secret);
    keys_are_free(directory, &user)?;
    Ok(Kind::PutUser(user))
}

fn remove_secret(directory: &Directory, name: &str, which: WhichSecret) -> Result<Kind> {
    let mut user = own_user(directory, name)?;
    let had = match which {
        WhichSecret::Current => std::mem::replace(&mut user.secret, user.previous_secret.take()).is_some(),
        WhichSecret::Previous => user.previous_secret.take().is_some(),
        WhichSecret::Password => {
            user.scram.clear();
            user.password_hash.take().is_some()
        }
    };
    if !had {
        let what = if which == WhichSecret::Password { "password" } else { "such secret" };
        return Err(Error::invalid(format!("User:{name} has no {what}")));
    }
    Ok(Kind::PutUser(user))
}

fn put_token(directory: &Directory, new: NewToken) -> Result<Kind> {
    new.check()?;
    let mut user = own_user(directory, &new.user)?;
    if user.tokens.len() >= MAX_TOKENS_PER_USER {
        let message = format!("User:{} may have {MAX_TOKENS_PER_USER} tokens at most", user.name);
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    user.tokens.push(new.token);
    Ok(Kind::PutUser(user))
}

fn delete_token(directory: &Directory, name: &str, id: &str) -> Result<Kind> {
    let mut user = own_user(directory, name)?;
    let before = user.tokens.len();
    user.tokens.retain(|token| token.id() != id);
    if user.tokens.len() == before {
        return Err(Error::invalid(format!("User:{name} has no token {id:?}")));
    }
    Ok(Kind::PutUser(user))
}

fn put_scram(directory: &Directory, new: NewScram) -> Result<Kind> {
    let kept = new.credential()?;
    check_name("user", &new.user)?;
    let mut user = match directory.entry(&new.user) {
        Some(_) => own_user(directory, &new.user)?,
        None if directory.len() >= MAX_USERS => return Err(too_many_users()),
        None => User::new(&new.user),
    };
    user.scram.retain(|old| old.mechanism != kept.mechanism);
    user.scram.push(kept);
    user.scram.sort_by_key(|kept| kept.mechanism);
    keys_are_free(directory, &user)?;
    Ok(Kind::PutUser(user))
}

fn delete_scram(directory: &Directory, name: &str, mechanism: ScramMechanism) -> Result<Kind> {
    let mut user = own_user(directory, name)?;
    let before = user.scram.len();
    user.scram.retain(|kept| kept.mechanism != mechanism);
    if user.scram.len() == before {
        return Err(Error::invalid(format!("User:{name} has nothing for {mechanism}")));
    }
    Ok(Kind::PutUser(user))
}

fn put_role(directory: &Directory, spec: RoleSpec) -> Result<Kind> {
    spec.check()?;
    let old = directory.role(&spec.name);
    match old {
        Some(old) => role_not_from_file(&old.role)?,
        None if directory.roles().len() >= MAX_ROLES => return Err(too_many_roles()),
        None => {}
    }
    let quota = spec.quota.or(old.map(|old| old.role.quota)).unwrap_or_default();
    Ok(Kind::PutRole(Role { name: spec.name, quota, from_file: false }))
}

fn delete_role(directory: &Directory, name: String) -> Result<Kind> {
    if let Some(entry) = directory.role(&name) {
        role_not_from_file(&entry.role)?;
    }
    if let Some(entry) = directory.entries().find(|entry| entry.user.roles.contains(&name)) {
        let message = format!("User:{} has Role:{name}; take it away first", entry.user.name);
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    Ok(Kind::DeleteRole(name))
}

fn put_group_quota(directory: &Directory, spec: GroupQuotaSpec) -> Result<Kind> {
    spec.check()?;
    match directory.groups().get(&spec.group) {
        Some(entry) if entry.quota.from_file => {
            let message = format!("the quota of Group:{} belongs to the file of auth.file", spec.group);
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        None if directory.groups().len() >= MAX_GROUP_QUOTAS => {
            return Err(Error::new(ErrorKind::TooLarge, too_many_group_quotas()));
        }
        _ => {}
    }
    Ok(Kind::PutGroupQuota(GroupQuota { group: spec.group, quota: spec.quota, from_file: false }))
}

fn too_many_group_quotas() -> String {
    format!("there may be quotas of {MAX_GROUP_QUOTAS} groups at most")
}

/// A role that a user has must be there: a mistyped name would silently give nothing.
fn roles_exist(user: &User, exists: impl Fn(&str) -> bool) -> Result<()> {
    match user.roles.iter().find(|role| !exists(role)) {
        Some(role) => Err(Error::invalid(format!("User:{}: there is no Role:{role}", user.name))),
        None => Ok(()),
    }
}

fn put_policy(directory: &Directory, policy: Policy) -> Result<Kind> {
    check_policy(&policy)?;
    let Some(rules) = directory.rules_about(&policy.subject) else {
        return Err(unknown_subject(&policy.subject));
    };
    if rules.len() >= MAX_POLICIES_PER_SUBJECT {
        return Err(too_many_policies(&policy.subject));
    }
    if directory.policies() >= MAX_POLICIES {
        return Err(too_many_policies_in_all());
    }
    Ok(Kind::PutPolicy { policy, from_file: false })
}

fn delete_policy(directory: &Directory, subject: String, resource: Option<ResourcePattern>) -> Result<Kind> {
    if directory.rules_about(&subject).is_none() {
        return Err(unknown_subject(&subject));
    }
    Ok(Kind::DeletePolicy { subject, resource })
}

fn replace_file(directory: &RwLock<Directory>, file: AclFile) -> Result<Kind> {
    let mut users = Vec::with_capacity(file.users.len());
    for spec in file.users {
        spec.check()?;
        // The file says all there is about its users; only what was hashed is carried over, see `merge`.
        let mut user = User::new(&spec.name);
        user.from_file = true;
        if let Some(entry) = directory.read().entry(&spec.name) {
            user.password_hash = entry.user.password_hash.clone();
            user.scram = entry.user.scram.clone();
        }
        let has_password = spec.password.is_some() || spec.password_hash.is_some();
        let mut user = merge(user, spec)?;
        if !has_password {
            (user.password_hash, user.scram) = (None, Vec::new());
        }
        users.push(user);
    }
    let directory = directory.read();
    let others = directory.entries().filter(|entry| !entry.user.from_file).count();
    if others + users.len() > MAX_USERS {
        return Err(too_many_users());
    }
    file_keys_are_free(&directory, &users)?;
    let names: HashSet<&str> = users.iter().map(|user| user.name.as_str()).collect();
    let roles = file_roles(&directory, file.roles)?;
    let role_names: HashSet<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    let has_role = |name: &str| {
        role_names.contains(name) || directory.role(name).is_some_and(|entry| !entry.role.from_file)
    };
    users.iter().try_for_each(|user| roles_exist(user, has_role))?;
    let has_user =
        |name: &str| names.contains(name) || directory.entry(name).is_some_and(|entry| !entry.user.from_file);
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for policy in &file.policies {
        check_policy(policy)?;
        let exists = match Subject::of(&policy.subject) {
            Subject::User(name) => has_user(name),
            Subject::Role(name) => has_role(name),
        };
        if !exists {
            return Err(unknown_subject(&policy.subject));
        }
        let count = counts.entry(&policy.subject).or_default();
        *count += 1;
        if *count > MAX_POLICIES_PER_SUBJECT {
            return Err(too_many_policies(&policy.subject));
        }
    }
    let own: usize = directory.entries().map(|entry| entry.rules.own.len()).sum();
    if own + file.policies.len() > MAX_POLICIES {
        return Err(too_many_policies_in_all());
    }
    let groups = file_groups(&directory, file.groups)?;
    let content = FileContent { roles, users, policies: file.policies };
    Ok(match groups.is_empty() {
        true => Kind::ReplaceFile(content),
        false => Kind::ReplaceFileWithGroups(content, groups),
    })
}

fn file_groups(directory: &Directory, specs: Vec<GroupQuotaSpec>) -> Result<Vec<GroupQuota>> {
    let others = directory.groups().values().filter(|entry| !entry.quota.from_file).count();
    if others + specs.len() > MAX_GROUP_QUOTAS {
        return Err(Error::new(ErrorKind::TooLarge, too_many_group_quotas()));
    }
    let group = |spec: GroupQuotaSpec| {
        spec.check().map(|()| GroupQuota { group: spec.group, quota: spec.quota, from_file: true })
    };
    specs.into_iter().filter(|spec| !spec.quota.is_none()).map(group).collect()
}

fn file_roles(directory: &Directory, specs: Vec<RoleSpec>) -> Result<Vec<Role>> {
    let others = directory.roles().values().filter(|entry| !entry.role.from_file).count();
    if others + specs.len() > MAX_ROLES {
        return Err(too_many_roles());
    }
    let role = |spec: RoleSpec| {
        let quota = spec.quota.unwrap_or_default();
        spec.check().map(|()| Role { name: spec.name, quota, from_file: true })
    };
    specs.into_iter().map(role).collect()
}

fn bootstrap(directory: &RwLock<Directory>, password: &Secret) -> Result<Kind> {
    let spec = UserSpec {
        password: Some(password.clone()),
        superuser: Some(true),
        ..UserSpec::named(ADMINISTRATOR)
    };
    spec.check()?;
    if directory.read().len() > 0 {
        return Err(Error::new(ErrorKind::Conflict, "there are users already; ask one of the superusers"));
    }
    merge(User::new(ADMINISTRATOR), spec).map(Kind::PutUser)
}

fn check_policy(policy: &Policy) -> Result<()> {
    if policy.actions.is_empty() {
        return Err(Error::invalid(format!("a policy of User:{} names no action", policy.subject)));
    }
    Ok(())
}

/// Whose key it is must be clear; a user's name counts as its key.
fn keys_are_free(directory: &Directory, user: &User) -> Result<()> {
    for key in user.keys() {
        let holders = directory.owner_of_key(key).into_iter().chain(directory.entry(key));
        if holders.into_iter().any(|other| other.user.name != user.name) {
            return Err(key_is_taken(key));
        }
    }
    Ok(())
}

/// The same for the users of a new file. Those of the file that it replaces do not count.
fn file_keys_are_free(directory: &Directory, users: &[User]) -> Result<()> {
    let names: HashSet<&str> = users.iter().map(|user| user.name.as_str()).collect();
    let mut seen = HashMap::new();
    for user in users {
        for key in user.keys() {
            let holders = directory.owner_of_key(key).into_iter().chain(directory.entry(key));
            let stays = |other: &User| {
                !other.from_file && !names.contains(other.name.as_str()) && other.name != user.name
            };
            let taken = holders.into_iter().any(|other| stays(&other.user));
            if taken || (key != user.name && names.contains(key)) {
                return Err(key_is_taken(key));
            }
            if seen.insert(key, &user.name).is_some() {
                return Err(Error::invalid(format!("access key {key:?} is given to two users")));
            }
        }
    }
    Ok(())
}

fn key_is_taken(key: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("access key {key:?} belongs to another user"))
}

fn not_from_file(user: &User) -> Result<()> {
    if user.from_file {
        let message = format!("User:{} comes from the file of auth.file; change it there", user.name);
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    Ok(())
}

/// Nobody could undo it.
fn not_the_last_superuser(directory: &Directory, name: &str) -> Result<()> {
    let able = |user: &User| user.superuser && user.enabled;
    if !directory.entry(name).is_some_and(|entry| able(&entry.user)) {
        return Ok(());
    }
    if !directory.entries().any(|entry| able(&entry.user) && entry.user.name != name) {
        let message = format!("User:{name} is the last superuser; make another one first");
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    Ok(())
}

fn role_not_from_file(role: &Role) -> Result<()> {
    if role.from_file {
        let message = format!("Role:{} comes from the file of auth.file; change it there", role.name);
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    Ok(())
}

fn unknown_subject(subject: &str) -> Error {
    Error::invalid(format!("the subject does not exist: {}", Subject::of(subject)))
}

fn too_many_users() -> Error {
    Error::new(ErrorKind::TooLarge, format!("there may be {MAX_USERS} users at most"))
}

fn too_many_roles() -> Error {
    Error::new(ErrorKind::TooLarge, format!("there may be {MAX_ROLES} roles at most"))
}

fn too_many_policies_in_all() -> Error {
    Error::new(ErrorKind::TooLarge, format!("there may be {MAX_POLICIES} policies at most"))
}

fn too_many_policies(subject: &str) -> Error {
    let message = format!("{} may have {MAX_POLICIES_PER_SUBJECT} policies at most", Subject::of(subject));
    Error::new(ErrorKind::TooLarge, message)
}
