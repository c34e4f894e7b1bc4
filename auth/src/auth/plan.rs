//! From a command to a change: everything that can be wrong is found here, before the log.

use crate::change::{Command, Kind};
use crate::directory::Directory;
use crate::user::User;
use crate::{AclFile, Policy, ResourcePattern, Secret, UserSpec, password};
use parking_lot::RwLock;
use sluice_model::{Error, ErrorKind, Result};
use std::collections::{HashMap, HashSet};

/// All of them are kept in memory and in every checkpoint: about 400 bytes each.
const MAX_USERS: usize = 50_000;
/// Nobody keeps an overview of more; it bounds what one explanation lists.
const MAX_POLICIES_PER_USER: usize = 1_000;
/// All of them are kept in memory and in every checkpoint: about 200 bytes each.
const MAX_POLICIES: usize = 500_000;
/// The administrator that a first start makes.
const ADMINISTRATOR: &str = "admin";

pub(super) fn plan(directory: &RwLock<Directory>, command: Command) -> Result<Kind> {
    match command {
        Command::PutUser(spec) => put_user(directory, spec),
        Command::DeleteUser(name) => delete_user(&directory.read(), name),
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
            return Err(Error::new(ErrorKind::TooLarge, format!("there are {MAX_USERS} users already")));
        }
        old
    };
    // Hashed without the lock: others log in meanwhile.
    let user = merge(old.unwrap_or_else(|| User::new(&spec.name)), spec)?;
    let directory = directory.read();
    keys_are_free(&directory, &user)?;
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
        let same =
            user.password_hash.as_deref().is_some_and(|hash| password::matches(hash, password.expose()));
        if !same {
            user.password_hash = Some(password::hash(password.expose())?);
        }
    }
    if let Some(hash) = spec.password_hash {
        password::check_hash(&hash)?;
        user.password_hash = Some(hash);
    }
    user.secret = spec.secret.or(user.secret);
    user.access_keys = spec.access_keys.unwrap_or(user.access_keys);
    Ok(user)
}

fn delete_user(directory: &Directory, name: String) -> Result<Kind> {
    if let Some(entry) = directory.entry(&name) {
        not_from_file(&entry.user)?;
        not_the_last_superuser(directory, &name)?;
    }
    Ok(Kind::DeleteUser(name))
}

fn put_policy(directory: &Directory, policy: Policy) -> Result<Kind> {
    check_policy(&policy)?;
    let Some(entry) = directory.entry(&policy.subject) else {
        return Err(unknown_subject(&policy.subject));
    };
    if entry.rules.len() >= MAX_POLICIES_PER_USER {
        return Err(too_many_policies(&policy.subject));
    }
    if directory.policies() >= MAX_POLICIES {
        return Err(too_many_policies_in_all());
    }
    Ok(Kind::PutPolicy { policy, from_file: false })
}

fn delete_policy(directory: &Directory, subject: String, resource: Option<ResourcePattern>) -> Result<Kind> {
    if directory.entry(&subject).is_none() {
        return Err(unknown_subject(&subject));
    }
    Ok(Kind::DeletePolicy { subject, resource })
}

fn replace_file(directory: &RwLock<Directory>, file: AclFile) -> Result<Kind> {
    let mut users = Vec::with_capacity(file.users.len());
    for spec in file.users {
        spec.check()?;
        // The file says all there is about its users; only the hash is carried over, see `merge`.
        let mut user = User::new(&spec.name);
        user.from_file = true;
        user.password_hash =
            directory.read().entry(&spec.name).and_then(|entry| entry.user.password_hash.clone());
        let has_password = spec.password.is_some() || spec.password_hash.is_some();
        let mut user = merge(user, spec)?;
        user.password_hash = user.password_hash.filter(|_| has_password);
        users.push(user);
    }
    let directory = directory.read();
    let others = directory.entries().filter(|entry| !entry.user.from_file).count();
    if others + users.len() > MAX_USERS {
        return Err(Error::new(ErrorKind::TooLarge, format!("there may be {MAX_USERS} users at most")));
    }
    file_keys_are_free(&directory, &users)?;
    let names: HashSet<&str> = users.iter().map(|user| user.name.as_str()).collect();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for policy in &file.policies {
        check_policy(policy)?;
        let stays = directory.entry(&policy.subject).is_some_and(|entry| !entry.user.from_file);
        if !stays && !names.contains(policy.subject.as_str()) {
            return Err(unknown_subject(&policy.subject));
        }
        let count = counts.entry(&policy.subject).or_default();
        *count += 1;
        if *count > MAX_POLICIES_PER_USER {
            return Err(too_many_policies(&policy.subject));
        }
    }
    let own: usize = directory.entries().map(|entry| entry.rules.own.len()).sum();
    if own + file.policies.len() > MAX_POLICIES {
        return Err(too_many_policies_in_all());
    }
    Ok(Kind::ReplaceFile { users, policies: file.policies })
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
    for (key, _) in user.keys() {
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
        for (key, _) in user.keys() {
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

fn unknown_subject(name: &str) -> Error {
    Error::invalid(format!("the subject does not exist: User:{name}"))
}

fn too_many_policies_in_all() -> Error {
    Error::new(ErrorKind::TooLarge, format!("there may be {MAX_POLICIES} policies at most"))
}

fn too_many_policies(name: &str) -> Error {
    Error::new(ErrorKind::TooLarge, format!("User:{name} may have {MAX_POLICIES_PER_USER} policies at most"))
}
