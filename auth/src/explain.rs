//! Why a request is allowed or denied: which rule decided, and why the others did not.
//!
//! For people who wonder. It asks the same [`judge`] as a real request and only adds words, so it cannot say anything
//! else than what would happen; a property test holds the two together.

use crate::directory::Directory;
use crate::judge::{Asker, Verdict, judge};
use crate::policy::{Mismatch, Target};
use crate::{Action, Decision, Policy, Resource};
use serde::Serialize;
use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;

/// The answer to: may this user do that, and why?
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What would happen.
    pub decision: Decision,
    /// What decided, in words.
    pub reason: String,
    /// The question, in words.
    pub question: String,
    /// Every rule that was looked at, the deciding one first.
    pub rules: Vec<RuleNote>,
}

/// What one rule had to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleNote {
    /// The rule.
    pub rule: Policy,
    /// Its part in the decision.
    pub part: RulePart,
}

/// The part of one rule in a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RulePart {
    /// It decided.
    Decided,
    /// It matches too; another one names the resource more closely, or as closely and denies, or says the same.
    Outvoted,
    /// It speaks of other actions.
    OtherAction,
    /// It speaks of other resources.
    OtherResource,
    /// It speaks of other source addresses.
    OtherSource,
}

impl fmt::Display for RulePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decided => "decides",
            Self::Outvoted => "matches too, and one as specific or more decides",
            Self::OtherAction => "is about other actions",
            Self::OtherResource => "is about other resources",
            Self::OtherSource => "is about other source addresses",
        })
    }
}

/// Several lines for a terminal.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decision = if self.decision == Decision::Allow { "allowed" } else { "denied" };
        write!(f, "{}: {decision}, because {}", self.question, self.reason)?;
        for note in &self.rules {
            write!(f, "\n  {}: {}", note.rule, note.part)?;
        }
        Ok(())
    }
}

impl Explanation {
    /// Where everyone may do everything.
    pub(crate) fn open(user: &str, action: Action, resource: Resource<'_>, from: IpAddr) -> Self {
        Self {
            decision: Decision::Allow,
            reason: "auth.mode is open: everyone may do everything".into(),
            question: question(user, action, resource, from),
            rules: Vec::new(),
        }
    }

    pub(crate) fn of(
        directory: &Directory,
        asker: Asker<'_>,
        action: Action,
        resource: Resource<'_>,
    ) -> Self {
        let verdict = judge(directory, asker, action, resource);
        let decided_by = match verdict {
            Verdict::Allowed(policy) | Verdict::Follows(policy) | Verdict::Denied(policy) => Some(policy),
            _ => None,
        };
        let target = Target::from(resource);
        let looked_at = match verdict {
            Verdict::Allowed(_) | Verdict::Follows(_) | Verdict::Denied(_) | Verdict::NoMatch => {
                let rules = directory.rules_of(directory.entry(asker.name), asker.roles);
                rules.flat_map(|rules| rules.iter()).collect()
            }
            _ => Vec::new(),
        };
        let mut rules: Vec<RuleNote> = looked_at
            .into_iter()
            .map(|rule| {
                let decided = decided_by.is_some_and(|by| std::ptr::eq(by, rule));
                let part = match rule.mismatch(action, target, asker.from) {
                    _ if decided => RulePart::Decided,
                    None => RulePart::Outvoted,
                    Some(Mismatch::Action) => RulePart::OtherAction,
                    Some(Mismatch::Resource) => RulePart::OtherResource,
                    Some(Mismatch::Source) => RulePart::OtherSource,
                };
                RuleNote { rule: rule.clone(), part }
            })
            .collect();
        rules.sort_by_key(|note| (note.part as u8, Reverse(note.rule.weight())));
        Self {
            decision: if verdict.permits() { Decision::Allow } else { Decision::Deny },
            reason: reason(verdict, asker),
            question: question(asker.name, action, resource, asker.from),
            rules,
        }
    }
}

fn question(user: &str, action: Action, resource: Resource<'_>, from: IpAddr) -> String {
    format!("User:{user} {action} {resource} from {from}")
}

fn reason(verdict: Verdict<'_>, asker: Asker<'_>) -> String {
    let name = asker.name;
    match verdict {
        Verdict::Superuser => format!("User:{name} is a superuser, and policies are not looked at"),
        Verdict::Allowed(policy) => {
            format!("{policy}, and no policy that matches is more specific, or as specific and denies")
        }
        Verdict::Follows(policy) => format!("{policy}, and sending to this topic follows from that"),
        Verdict::Denied(policy) => format!("{policy}, and no policy that matches is more specific"),
        Verdict::NoMatch => {
            format!("no policy about User:{name} or its roles matches, and what is not allowed is denied")
        }
        Verdict::Disabled => format!("User:{name} is disabled"),
        Verdict::Unknown => format!("there is no User:{name}"),
        Verdict::Withdrawn => format!("what User:{name} logged in with is no longer valid"),
    }
}

#[cfg(test)]
mod tests;
