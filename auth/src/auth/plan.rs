//! From a command to a change: everything that can be wrong is found here, before the log.

use crate::change::{Command, Kind};
use crate::directory::Directory;
use crate::user::User;
use crate::{AclFile, Policy, ResourcePattern, Secret, UserSpec, password};
use parking_lot::RwLock;
use sluice_model::{Error, ErrorKind, Result};

/// All of them are kept in memory and in every checkpoint.
const MAX_USERS: usize = 10_000;
/// A check looks at all policies of its user.
const MAX_POLICIES_PER_USER: usize = 1_000;
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
    keys_are_free(&directory, &user, &[])?;
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
    if entry.policies.len() >= MAX_POLICIES_PER_USER {
        return Err(too_many_policies(&policy.subject));
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
    for (at, user) in users.iter().enumerate() {
        keys_are_free(&directory, user, &users)?;
        let earlier = users.iter().take(at).flat_map(User::keys).map(|(key, _)| key);
        if let Some(key) = earlier.into_iter().find(|key| user.keys().any(|(own, _)| own == *key)) {
            return Err(Error::invalid(format!("access key {key:?} is given to two users")));
        }
    }
    for policy in &file.policies {
        check_policy(policy)?;
        let stays = directory.entry(&policy.subject).is_some_and(|entry| !entry.user.from_file);
        if !stays && users.iter().all(|user| user.name != policy.subject) {
            return Err(unknown_subject(&policy.subject));
        }
        if file.policies.iter().filter(|other| other.subject == policy.subject).count()
            > MAX_POLICIES_PER_USER
        {
            return Err(too_many_policies(&policy.subject));
        }
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

/// Whose key it is must be clear; a user's name counts as its key. Users of the file that is being replaced do not
/// count: `file` says what they will be.
fn keys_are_free(directory: &Directory, user: &User, file: &[User]) -> Result<()> {
    for (key, _) in user.keys() {
        let by_key = directory.owner_of_key(key);
        let by_name = directory.entry(key);
        let other = by_key.into_iter().chain(by_name).map(|entry| &entry.user).find(|other| {
            let replaced =
                user.from_file && (other.from_file || file.iter().any(|new| new.name == other.name));
            other.name != user.name && !replaced
        });
        if other.is_some() || file.iter().any(|other| other.name == key && other.name != user.name) {
            let message = format!("access key {key:?} belongs to another user");
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
    }
    Ok(())
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
    let able = directory.entries().map(|entry| &entry.user).filter(|user| user.superuser && user.enabled);
    // There is at most one user of a name, so this is true when that one is the only one.
    if able.map(|user| user.name.as_str()).eq([name]) {
        let message = format!("User:{name} is the last superuser; make another one first");
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    Ok(())
}

fn unknown_subject(name: &str) -> Error {
    Error::invalid(format!("the subject does not exist: User:{name}"))
}

fn too_many_policies(name: &str) -> Error {
    Error::new(ErrorKind::TooLarge, format!("User:{name} may have {MAX_POLICIES_PER_USER} policies at most"))
}
