//! A group's dead letters, oldest first within each queue, and giving them to the group again.

use crate::call::{Call, json_response};
use crate::convert::{BodyMode, dead_letter_json};
use crate::errors::{Code, Problem};
use crate::page;
use crate::resume::Positions;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sluice_broker::RedriveRequest;

/// The most ids named by one call, and the most letters redriven by it: each is read and written anew.
const MAX_REDRIVE: usize = 1000;

#[derive(Serialize)]
struct DeadLetters {
    items: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// Which letters to redrive.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redrive {
    ids: Option<Vec<String>>,
    #[serde(default)]
    all: bool,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Redriven {
    redriven: usize,
    /// Ids of which there is no dead letter (any more).
    missing: Vec<String>,
    /// There are more than the limit: ask again.
    more: bool,
}

/// `GET /v1/groups/{group}/dead-letters`
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let group = call.group()?;
    let session = call.session()?;
    let mode = BodyMode::parse(call.query.get("body")?)?;
    let limit = page::limit(&call.query)?;
    let from = call.query.get("cursor")?.map(Positions::parse).transpose()?;
    let from = from.map_or_else(Vec::new, Positions::into_offsets);
    let (letters, next) = call.broker().dead_letters(session, &group, from, limit).await?;
    let max_body = call.broker().config().max_message_size.bytes();
    let items: Vec<_> =
        letters.iter().map(|m| dead_letter_json(m, mode, max_body)).collect::<Result<_, _>>()?;
    let next = (items.len() >= limit).then(|| Positions::from(&next[..]).to_string());
    json_response(StatusCode::OK, &DeadLetters { items, next })
}

/// `POST /v1/groups/{group}/dead-letters:redrive`: may be repeated until nothing is left.
pub(crate) async fn redrive(mut call: Call) -> Result<Response, Problem> {
    let group = call.group()?;
    let dry_run = call.query.flag("dryRun")?.unwrap_or(false);
    let Redrive { ids, all, limit } = call.json().await?;
    if ids.is_some() == all {
        return Err(Problem::new(Code::InvalidJson, "say which ones: ids, or \"all\":true"));
    }
    let count = ids.as_ref().map_or(0, Vec::len);
    if count > MAX_REDRIVE {
        let detail = format!("at most {MAX_REDRIVE} ids at once, not {count}");
        return Err(Problem::new(Code::BatchTooLarge, detail).with("limit", MAX_REDRIVE as u64));
    }
    let limit = limit.unwrap_or(MAX_REDRIVE);
    if !(1..=MAX_REDRIVE).contains(&limit) {
        let detail = format!("limit is from 1 to {MAX_REDRIVE}; ask again for more");
        return Err(Problem::new(Code::InvalidJson, detail).at("/limit"));
    }
    let request = RedriveRequest { group: &group, ids: ids.as_deref(), limit, dry_run };
    let done = call.broker().redrive(call.session()?, &request).await?;
    let status = if dry_run { StatusCode::OK } else { StatusCode::ACCEPTED };
    json_response(status, &Redriven { redriven: done.redriven, missing: done.missing, more: done.more })
}
