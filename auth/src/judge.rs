//! The one decision: may this user do this to that, from there?
//!
//! [`crate::Auth::permit`] and [`crate::Auth::explain`] both end here, so an explanation cannot differ from what
//! happens. The verdict carries the rule that decided; the one who checks drops it, the one who explains shows it.

use crate::directory::{Directory, Entry};
use crate::policy::{Mismatch, Outcome, Target, decide, follows_from};
use crate::session::EXTERNAL;
use crate::{Action, Decision, Policy, Resource, Session};
use std::net::IpAddr;

/// Who asks: someone who has logged in, or a name that someone wonders about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub name: &'a str,
    /// Which user of this name logged in; none when it is a hypothetical one.
    pub id: Option<u64>,
    /// Which credential was shown, if that can be withdrawn.
    pub print: Option<u64>,
    /// Roles beside those of the user's record.
    pub roles: &'a [String],
    pub from: IpAddr,
}

impl<'a> Asker<'a> {
    pub(crate) fn of(session: &'a Session) -> Self {
        Self {
            name: &session.0.principal.name,
            id: Some(session.0.principal.id),
            print: session.0.print,
            roles: &session.0.roles,
            from: session.0.peer.ip().to_canonical(),
        }
    }
}

/// What is decided, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict<'d> {
    Superuser,
    Allowed(&'d Policy),
    /// Sending to this topic follows from what another rule allows.
    Follows(&'d Policy),
    Denied(&'d Policy),
    NoMatch,
    Disabled,
    /// There is no such user, or only a later one of the same name.
    Unknown,
    /// The password, secret or token that was shown has been changed or removed.
    Withdrawn,
}

impl Verdict<'_> {
    pub(crate) fn permits(self) -> bool {
        matches!(self, Self::Superuser | Self::Allowed(_) | Self::Follows(_))
    }
}

pub(crate) fn judge<'d>(
    directory: &'d Directory,
    asker: Asker<'d>,
    action: Action,
    resource: Resource<'d>,
) -> Verdict<'d> {
    let entry = match standing(directory, asker) {
        Ok(Some(entry)) if entry.user.superuser => return Verdict::Superuser,
        Ok(entry) => entry,
        Err(verdict) => return verdict,
    };
    let target = Target::from(resource);
    let rules = directory.rules_of(entry, asker.roles).flat_map(|rules| rules.candidates(target));
    match decide(rules, action, target, asker.from) {
        Outcome::Allowed(policy) => Verdict::Allowed(policy),
        Outcome::Denied(policy) => Verdict::Denied(policy),
        Outcome::NoMatch => {
            follows(directory, entry, asker, action, target).map_or(Verdict::NoMatch, Verdict::Follows)
        }
    }
}

/// Whether the address is why something is denied: another one might have done it.
pub(crate) fn is_about_address(
    directory: &Directory,
    asker: Asker<'_>,
    action: Action,
    resource: Resource<'_>,
    verdict: Verdict<'_>,
) -> bool {
    let target = Target::from(resource);
    let denied_by = match verdict {
        Verdict::Denied(policy) if !policy.source_ips.is_empty() => return true,
        Verdict::Denied(policy) => Some(policy),
        Verdict::NoMatch => None,
        _ => return false,
    };
    let entry = standing(directory, asker).ok().flatten();
    let mut rules = directory.rules_of(entry, asker.roles).flat_map(|rules| rules.candidates(target));
    rules.any(|rule| {
        rule.decision == Decision::Allow
            && denied_by.is_none_or(|policy| rule.weight() > policy.weight())
            && rule.mismatch(action, target, asker.from) == Some(Mismatch::Source)
    })
}

/// The rule that a right without a rule of its own follows from.
fn follows<'d>(
    directory: &'d Directory,
    entry: Option<&'d Entry>,
    asker: Asker<'d>,
    action: Action,
    target: Target<'_>,
) -> Option<&'d Policy> {
    let from = follows_from(action, target);
    if from.is_empty() {
        return None;
    }
    let mut rules = directory.rules_of(entry, asker.roles).flat_map(|rules| rules.iter());
    rules.find(|rule| rule.allows_any(from, asker.from))
}

/// The record of someone who may ask at all; none for someone who is known by roles alone.
pub(crate) fn standing<'d>(
    directory: &'d Directory,
    asker: Asker<'_>,
) -> Result<Option<&'d Entry>, Verdict<'d>> {
    let known = |print: u64, entry: &Entry| entry.prints.contains(&print);
    match (directory.entry(asker.name), asker.id) {
        (None, Some(EXTERNAL)) if asker.roles.iter().any(|role| directory.role(role).is_some()) => Ok(None),
        (None, _) => Err(Verdict::Unknown),
        (Some(entry), Some(id)) if id != entry.principal.id => Err(Verdict::Unknown),
        (Some(entry), _) if !entry.user.enabled => Err(Verdict::Disabled),
        (Some(entry), _) if asker.print.is_some_and(|print| !known(print, entry)) => Err(Verdict::Withdrawn),
        (Some(entry), _) => Ok(Some(entry)),
    }
}
