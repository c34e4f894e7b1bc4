//! The audit trail: logins, denials, changes of users and policies. What is kept in memory; all of it is in the log.

use crate::call::{Call, json_response};
use crate::errors::Problem;
use crate::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::params::format_time;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use sluice_auth::{AuditEvent, AuditKind};

#[derive(Serialize)]
struct Event {
    number: u64,
    at: String,
    count: u64,
    kind: AuditKind,
    user: String,
    from: Option<String>,
    detail: String,
}

#[derive(Serialize)]
struct Events {
    items: Vec<Event>,
    /// Always there, to ask for what comes later.
    next: Option<String>,
}

impl From<AuditEvent> for Event {
    fn from(event: AuditEvent) -> Self {
        Self {
            number: event.number,
            at: format_time(event.at),
            count: event.count,
            kind: event.kind,
            user: event.user,
            from: event.from.map(|from| from.to_string()),
            detail: event.detail,
        }
    }
}

/// `GET /v1/audit`
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let limit = call.query.number("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT) as usize;
    let after = call.query.number("after", 0..=u64::MAX)?.unwrap_or(0);
    let events = call.broker().audit(call.session()?, after, limit)?;
    let last = events.last().map_or(after, |event| event.number);
    let items = events.into_iter().map(Event::from).collect();
    json_response(StatusCode::OK, &Events { items, next: Some(last.to_string()) })
}
