//! The audit trail: who logged in, who was refused and why, what was denied, who changed users and policies.
//!
//! Every event goes to the log under the target `sluice::audit`, for whoever keeps it, and the newest ones stay in
//! memory for whoever looks now. No event has a secret: texts come from `Display` of types that hide them. Clients that
//! prove themselves with every request would fill the trail with logins, so a user's login from one address is noted
//! once a minute; the same event again is counted, not repeated.

use crate::Session;
use parking_lot::Mutex;
use serde::Serialize;
use sluice_model::Millis;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// A few hours of a quiet broker, about 1 MiB.
const MAX_EVENTS: usize = 4096;
/// Names and reasons are shorter; what a stranger sends as a name may be not.
const MAX_TEXT: usize = 256;
/// A login of the same user from the same address within this time is not news.
const SAME_LOGIN: Millis = 60_000;
/// More users and addresses than this in a minute: then some logins are noted twice.
const MAX_RECENT_LOGINS: usize = 4096;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditKind {
    /// Somebody has proven who they are.
    Login,
    /// Somebody has not.
    LoginFailed,
    /// A request was not permitted.
    Denied,
    /// Users, roles or policies were changed.
    Changed,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditEvent {
    /// Rises with every event; to ask for what came after.
    pub number: u64,
    /// When it happened last.
    pub at: Millis,
    /// How often in a row.
    pub count: u64,
    /// What happened.
    pub kind: AuditKind,
    /// Who did it, or claimed to be who; empty when that is unknown.
    pub user: String,
    /// From where; none for the operator.
    pub from: Option<IpAddr>,
    /// Why, or what.
    pub detail: String,
}

#[derive(Default)]
pub(crate) struct Audit(Mutex<Trail>);

#[derive(Default)]
struct Trail {
    events: VecDeque<AuditEvent>,
    last_number: u64,
    recent_logins: HashMap<(u64, IpAddr), Millis>,
}

impl Audit {
    pub(crate) fn login(&self, session: &Session, now: Millis) {
        let from = session.0.peer.ip().to_canonical();
        {
            let recent = &mut self.0.lock().recent_logins;
            let key = (session.0.principal.id, from);
            if recent.get(&key).is_some_and(|seen| now.saturating_sub(*seen) < SAME_LOGIN) {
                return;
            }
            if recent.len() >= MAX_RECENT_LOGINS {
                recent.retain(|_, seen| now.saturating_sub(*seen) < SAME_LOGIN);
            }
            if recent.len() >= MAX_RECENT_LOGINS {
                recent.clear();
            }
            recent.insert(key, now);
        }
        self.note(AuditKind::Login, session.principal(), Some(from), "", now);
    }

    pub(crate) fn note(&self, kind: AuditKind, user: &str, from: Option<IpAddr>, detail: &str, now: Millis) {
        let (user, detail) = (cut(user), cut(detail));
        tracing::info!(target: "sluice::audit", ?kind, user, ?from, detail);
        let mut trail = self.0.lock();
        trail.last_number += 1;
        let number = trail.last_number;
        if let Some(last) = trail.events.back_mut()
            && (last.kind, last.from, &*last.user, &*last.detail) == (kind, from, user, detail)
        {
            (last.number, last.at, last.count) = (number, now, last.count + 1);
            return;
        }
        if trail.events.len() >= MAX_EVENTS {
            trail.events.pop_front();
        }
        let (user, detail) = (user.to_owned(), detail.to_owned());
        trail.events.push_back(AuditEvent { number, at: now, count: 1, kind, user, from, detail });
    }

    /// Events after that number, the oldest first.
    pub(crate) fn after(&self, number: u64, limit: usize) -> Vec<AuditEvent> {
        let trail = self.0.lock();
        trail.events.iter().filter(|event| event.number > number).take(limit).cloned().collect()
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trail_is_bounded_and_counts_what_repeats() {
        let audit = Audit::default();
        for n in 0..MAX_EVENTS as u64 + 10 {
            audit.note(AuditKind::Denied, &format!("user{n}"), None, "d", n);
        }
        let all = audit.after(0, usize::MAX);
        assert_eq!((all.len(), all[0].number), (MAX_EVENTS, 11));
        assert_eq!(audit.after(all[5].number, 2), all[6..8]);

        audit.note(AuditKind::Denied, &"é".repeat(1000), None, "d", 1);
        audit.note(AuditKind::Denied, &"é".repeat(1000), None, "d", 2);
        let last = audit.after(all[MAX_EVENTS - 1].number, 10);
        assert_eq!((last.len(), last[0].count, last[0].at, last[0].user.len()), (1, 2, 2, MAX_TEXT));
    }
}
