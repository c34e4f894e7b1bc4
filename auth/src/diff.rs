//! What a new content of the operator's file changes, a line each, for the log: who reads it should not have to compare
//! two files. No secret is in it: of a user it says which parts are others now.

use crate::Policy;
use crate::change::{FileContent, Kind};
use crate::directory::Directory;
use crate::quota::GroupQuota;
use crate::role::Role;
use crate::user::User;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;

/// A person reads so many; the rest is counted.
const MAX_LINES: usize = 100;

/// The lines; none for what is no file.
pub(crate) fn of(directory: &Directory, change: &Kind) -> Vec<String> {
    let (file, groups): (&FileContent, &[GroupQuota]) = match change {
        Kind::ReplaceFile(file) => (file, &[]),
        Kind::ReplaceFileWithGroups(file, groups) => (file, groups),
        _ => return Vec::new(),
    };
    let mut lines = Vec::new();
    users(directory, file, &mut lines);
    let old = directory.roles().values().map(|entry| &entry.role).filter(|role| role.from_file);
    let named = |role: &'_ Role| format!("Role:{}", role.name);
    items(old, &file.roles, |role| &role.name, named, |_, _| "quota".to_owned(), &mut lines);
    let old = directory.groups().values().map(|entry| &entry.quota).filter(|group| group.from_file);
    let named = |group: &'_ GroupQuota| format!("quota of Group:{}", group.group);
    items(old, groups, |group| &group.group, named, |_, _| "limits".to_owned(), &mut lines);
    policies(directory, file, &mut lines);
    let more = lines.len().saturating_sub(MAX_LINES);
    lines.truncate(MAX_LINES);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

fn users(directory: &Directory, file: &FileContent, lines: &mut Vec<String>) {
    let old = directory.entries().map(|entry| &entry.user);
    let mut known: BTreeMap<&str, &User> = old.map(|user| (user.name.as_str(), user)).collect();
    for user in &file.users {
        match known.remove(user.name.as_str()) {
            None => lines.push(added(&format!("User:{}", user.name))),
            // One of the store's, which the file takes over.
            Some(old) if !old.from_file => {
                lines.push(changed(&format!("User:{}", user.name), "now of the file"))
            }
            Some(old) if old != user => {
                lines.push(changed(&format!("User:{}", user.name), &parts(old, user)))
            }
            Some(_) => {}
        }
    }
    lines.extend(
        known.values().filter(|user| user.from_file).map(|user| removed(&format!("User:{}", user.name))),
    );
}

/// Which parts of a user differ.
fn parts(old: &User, new: &User) -> String {
    let differs = [
        ("superuser", old.superuser != new.superuser),
        ("enabled", old.enabled != new.enabled),
        ("password", old.password_hash != new.password_hash),
        ("scram", old.scram != new.scram && old.password_hash == new.password_hash),
        ("secret", (&old.secret, &old.previous_secret) != (&new.secret, &new.previous_secret)),
        ("access keys", old.access_keys != new.access_keys),
        ("tokens", old.tokens != new.tokens),
        ("roles", old.roles != new.roles),
        ("quota", old.quota != new.quota),
    ];
    let names: Vec<&str> =
        differs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect();
    names.join(", ")
}

fn items<'i, T: PartialEq>(
    old: impl Iterator<Item = &'i T>,
    new: &'i [T],
    name: impl Fn(&'i T) -> &'i str,
    shown: impl Fn(&'i T) -> String,
    what: impl Fn(&T, &T) -> String,
    lines: &mut Vec<String>,
) {
    let mut known: BTreeMap<&str, &T> = old.map(|item| (name(item), item)).collect();
    for item in new {
        match known.remove(name(item)) {
            None => lines.push(added(&shown(item))),
            Some(old) if old != item => lines.push(changed(&shown(item), &what(old, item))),
            Some(_) => {}
        }
    }
    lines.extend(known.into_values().map(|item| removed(&shown(item))));
}

fn policies(directory: &Directory, file: &FileContent, lines: &mut Vec<String>) {
    let old: Vec<&Policy> = directory.all_rules().flat_map(|rules| rules.file.iter()).collect();
    let text = |policy: &&Policy| policy.to_string();
    let (before, after): (HashSet<String>, HashSet<String>) =
        (old.iter().map(text).collect(), file.policies.iter().map(|policy| text(&policy)).collect());
    let missing = |policy: &&Policy, there: &HashSet<String>| !there.contains(&text(policy));
    lines.extend(file.policies.iter().filter(|policy| missing(policy, &before)).map(|policy| added(policy)));
    lines.extend(old.into_iter().filter(|policy| missing(policy, &after)).map(|policy| removed(policy)));
}

fn added(what: &dyn Display) -> String {
    format!("+ {what}")
}

fn removed(what: &dyn Display) -> String {
    format!("- {what}")
}

fn changed(what: &dyn Display, how: &str) -> String {
    format!("~ {what}: {how}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AclFile, Auth, Command, Config};
    use sluice_model::ManualClock;
    use std::sync::Arc;

    const BEFORE: &str = r#"
        users = [
          { name = "stays", secret = "hunter2" }, { name = "goes", secret = "hunter2" },
          { name = "other", secret = "hunter2", roles = ["r"] },
        ]
        roles = [{ name = "r" }]
        groups = [{ group = "g", quota = { in_flight = 1 } }]
        policies = [
          { subject = "stays", resource = "Topic:t", actions = ["Pub"] },
          { subject = "Role:r", resource = "*", actions = ["Get"] },
        ]
    "#;
    const AFTER: &str = r#"
        users = [
          { name = "stays", secret = "hunter2" }, { name = "comes", secret = "hunter3" },
          { name = "other", secret = "hunter3", enabled = false, roles = ["r"] },
        ]
        roles = [{ name = "r", quota = { connections = 3 } }]
        groups = [{ group = "g", quota = { in_flight = 2 } }, { group = "h", quota = { in_flight = 1 } }]
        policies = [
          { subject = "stays", resource = "Topic:t", actions = ["Pub"], source_ips = ["10.0.0.1"] },
          { subject = "Role:r", resource = "*", actions = ["Get"] },
        ]
    "#;

    #[test]
    fn the_lines_say_what_comes_goes_and_changes_and_no_secret() {
        let auth = Auth::acl(Config::default(), Arc::new(ManualClock::new(0))).unwrap();
        let plan = |text: &str| auth.plan(Command::ReplaceFile(AclFile::parse(text).unwrap())).unwrap();
        let first = plan(BEFORE);
        assert_eq!(auth.diff(&first).len(), 7, "{:?}", auth.diff(&first));
        auth.apply(&first);
        assert!(auth.diff(&plan(BEFORE)).is_empty());
        let expected = [
            "+ User:comes",
            "~ User:other: enabled, secret",
            "- User:goes",
            "~ Role:r: quota",
            "~ quota of Group:g: limits",
            "+ quota of Group:h",
            "+ allow Pub on Topic:t for User:stays from 10.0.0.1/32",
            "- allow Pub on Topic:t for User:stays",
        ];
        assert_eq!(auth.diff(&plan(AFTER)), expected);
        let many: String = (0..MAX_LINES + 5).map(|n| format!("[[users]]\nname = \"u{n}\"\n")).collect();
        let lines = auth.diff(&plan(&many));
        assert_eq!((lines.len(), &*lines[MAX_LINES]), (MAX_LINES + 1, "and 12 more"));
    }
}
