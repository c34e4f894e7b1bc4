//! A group's dead letters, oldest first within each queue.

use crate::call::{Call, json_response};
use crate::convert::{BodyMode, dead_letter_json};
use crate::errors::Problem;
use crate::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::resume::Positions;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use sluice_broker::StartAt;
use sluice_model::{ErrorKind, Filter};
use std::time::Duration;

#[derive(Serialize)]
struct DeadLetters {
    items: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// `GET /v1/groups/{group}/dead-letters`
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let group = call.group()?;
    let session = call.session()?;
    let mode = BodyMode::parse(call.query.get("body")?)?;
    let limit = call.query.number("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT) as usize;
    let from = call.query.get("cursor")?.map(Positions::parse).transpose()?;
    call.broker().group(session, &group)?;
    let topic = group.dead_letter_topic();
    let cursor = call.broker().cursor(session, &topic, Filter::All, StartAt::Earliest, None).await;
    let mut cursor = match cursor {
        // Nothing has died yet.
        Err(e) if e.kind() == ErrorKind::TopicNotFound => {
            return json_response(StatusCode::OK, &DeadLetters { items: Vec::new(), next: None });
        }
        other => other?,
    };
    if let Some(from) = from {
        from.apply(&mut cursor.positions)?;
    }
    let letters = call.broker().poll(session, &mut cursor, limit, Duration::ZERO).await?;
    let max_body = call.broker().config().max_message_size.bytes();
    let items: Vec<_> =
        letters.iter().map(|m| dead_letter_json(m, mode, max_body)).collect::<Result<_, _>>()?;
    let next = (items.len() >= limit).then(|| Positions::from(&cursor.positions[..]).to_string());
    json_response(StatusCode::OK, &DeadLetters { items, next })
}
