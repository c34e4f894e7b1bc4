//! What is damaged of what is stored.

use crate::call::{Call, json_response};
use crate::errors::Problem;
use crate::page;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use sluice_broker::{DamageView, LostView};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Damage {
    file: String,
    position: u64,
    log_position: Option<u64>,
    what: String,
    lost: Vec<Lost>,
}

#[derive(Serialize)]
struct Lost {
    topic: Option<String>,
    queue: Option<u32>,
    of: String,
    from: u64,
    to: u64,
}

#[derive(Serialize)]
struct Damages {
    items: Vec<Damage>,
    next: Option<String>,
}

impl From<LostView> for Lost {
    fn from(lost: LostView) -> Self {
        Self {
            topic: lost.topic.map(|topic| topic.to_string()),
            queue: lost.queue.map(|queue| queue.0),
            of: lost.of,
            from: lost.from,
            to: lost.last,
        }
    }
}

impl From<DamageView> for Damage {
    fn from(damage: DamageView) -> Self {
        Self {
            file: damage.file.display().to_string(),
            position: damage.position,
            log_position: damage.log_position,
            what: damage.what,
            lost: damage.lost.into_iter().map(Lost::from).collect(),
        }
    }
}

/// `GET /v1/damages`
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let limit = page::limit(&call.query)?;
    // Nothing is ever put before what was found earlier.
    let after = call.query.number("cursor", 0..=u64::MAX)?.unwrap_or(0) as usize;
    let all = call.broker().damages(call.session()?)?;
    let next = after.saturating_add(limit);
    let next = (next < all.len()).then(|| next.to_string());
    let items = all.into_iter().skip(after).take(limit).map(Damage::from).collect();
    json_response(StatusCode::OK, &Damages { items, next })
}
