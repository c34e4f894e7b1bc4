//! Settling deliveries by their handles: ack, nack, extend, dead-letter; each handle for itself.

use super::receive::MIN_LEASE;
use crate::call::{Call, json_response, no_content};
use crate::errors::{Code, Problem};
use crate::params::{format_time, parse_span};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sluice_broker::Promise;
use sluice_model::units::Span;
use sluice_model::{ByteString, Error, ErrorKind, ReceiptHandle};
use std::time::Duration;

/// The most handles of one call.
const MAX_HANDLES: usize = 1000;
/// What a dead letter says when the consumer gives no reason.
const REJECTED: &str = "rejected by the consumer";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Handles {
    handles: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Nack {
    handles: Vec<String>,
    delay: Option<Span>,
    #[serde(default)]
    dead_letter: bool,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Extend {
    handles: Vec<String>,
    lease: Span,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SettleAll {
    #[serde(default)]
    ack: Vec<String>,
    #[serde(default)]
    nack: Vec<NackOne>,
    #[serde(default)]
    dead_letter: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NackOne {
    handle: String,
    delay: Option<Span>,
}

/// What became of one handle.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    /// The handle that works from now on.
    handle: String,
    /// The handle that was sent, where it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<String>,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Serialize)]
struct Outcomes {
    results: Vec<Outcome>,
}

impl Outcome {
    fn done(handle: String) -> Self {
        Self { handle, ok: true, ..Self::default() }
    }

    fn failed(handle: String, problem: &Problem) -> Self {
        let (code, detail) = (Some(problem.code().as_str()), Some(problem.detail().to_owned()));
        Self { handle, code, detail, ..Self::default() }
    }

    fn of(handle: String, outcome: Result<(), Problem>) -> Self {
        match outcome {
            Ok(()) => Self::done(handle),
            Err(problem) => Self::failed(handle, &problem),
        }
    }
}

/// A handle that was never given out is an unknown resource here.
fn handle_problem(error: Error) -> Problem {
    match error.kind() {
        ErrorKind::InvalidArgument => Problem::new(Code::UnknownHandle, error.message()),
        _ => error.into(),
    }
}

fn receipt(handle: &str) -> ReceiptHandle {
    ReceiptHandle::from(handle)
}

/// Settles every handle, then waits for all of them together: they share the log's next write.
async fn each<T: Unpin>(
    handles: Vec<String>,
    settle: impl Fn(&ReceiptHandle) -> Result<Promise<T>, Error>,
) -> Vec<(String, Result<T, Problem>)> {
    let started: Vec<_> = handles
        .into_iter()
        .map(|h| {
            let started = settle(&receipt(&h));
            (h, started)
        })
        .collect();
    let mut outcomes = Vec::with_capacity(started.len());
    for (handle, started) in started {
        let outcome = match started {
            Ok(promise) => promise.await.map_err(handle_problem),
            Err(error) => Err(handle_problem(error)),
        };
        outcomes.push((handle, outcome));
    }
    outcomes
}

/// Refuses too many handles, and a group that does not exist.
fn check(call: &Call, handles: usize) -> Result<(), Problem> {
    if handles > MAX_HANDLES {
        let detail = format!("at most {MAX_HANDLES} handles at once, not {handles}");
        return Err(Problem::new(Code::BatchTooLarge, detail).with("limit", MAX_HANDLES as u64));
    }
    call.broker().group(call.session()?, &call.group()?)?;
    Ok(())
}

fn results(results: Vec<Outcome>) -> Result<Response, Problem> {
    json_response(StatusCode::OK, &Outcomes { results })
}

async fn ack_all(call: &Call, handles: Vec<String>) -> Result<Vec<Outcome>, Problem> {
    let session = call.session()?;
    let receipts: Vec<ReceiptHandle> = handles.iter().map(|handle| receipt(handle)).collect();
    let outcomes = call.broker().ack_all(session, &receipts)?.await?;
    let outcomes = outcomes.into_iter().map(|outcome| outcome.map_err(handle_problem));
    Ok(settled(call, handles.into_iter().zip(outcomes).collect()))
}

async fn nack_all(
    call: &Call,
    handles: Vec<String>,
    delay: Option<Duration>,
) -> Result<Vec<Outcome>, Problem> {
    let session = call.session()?;
    let outcomes = each(handles, |receipt| call.broker().nack(session, receipt, delay)).await;
    Ok(settled(call, outcomes))
}

async fn bury_all(call: &Call, handles: Vec<String>, reason: &str) -> Result<Vec<Outcome>, Problem> {
    let session = call.session()?;
    let mut outcomes = Vec::with_capacity(handles.len());
    for handle in handles {
        let outcome = call.broker().dead_letter(session, &receipt(&handle), reason).await;
        outcomes.push((handle, outcome.map_err(handle_problem)));
    }
    Ok(settled(call, outcomes))
}

fn settled(call: &Call, outcomes: Vec<(String, Result<(), Problem>)>) -> Vec<Outcome> {
    let mut settled = Vec::with_capacity(outcomes.len());
    for (handle, outcome) in outcomes {
        if outcome.is_ok() {
            call.app.settled(&ByteString::from(handle.as_str()));
        }
        settled.push(Outcome::of(handle, outcome));
    }
    settled
}

/// `POST /v1/groups/{group}/ack`
pub(crate) async fn ack(mut call: Call) -> Result<Response, Problem> {
    let Handles { handles } = call.json().await?;
    check(&call, handles.len())?;
    results(ack_all(&call, handles).await?)
}

/// `POST /v1/groups/{group}/nack`
pub(crate) async fn nack(mut call: Call) -> Result<Response, Problem> {
    let nack: Nack = call.json().await?;
    check(&call, nack.handles.len())?;
    if nack.dead_letter {
        if nack.delay.is_some() {
            return Err(Problem::new(Code::InvalidParameter, "a dead letter has no delay").at("/delay"));
        }
        return results(bury_all(&call, nack.handles, nack.reason.as_deref().unwrap_or(REJECTED)).await?);
    }
    if nack.reason.is_some() {
        return Err(Problem::new(Code::InvalidParameter, "a reason goes with deadLetter").at("/reason"));
    }
    results(nack_all(&call, nack.handles, nack.delay.map(|d| d.0)).await?)
}

/// `POST /v1/groups/{group}/extend`
pub(crate) async fn extend(mut call: Call) -> Result<Response, Problem> {
    let Extend { handles, lease } = call.json().await?;
    check(&call, handles.len())?;
    let lease = parse_span(&lease.to_string(), MIN_LEASE..=call.broker().config().max_lease.0)
        .map_err(|why| Problem::new(Code::InvalidParameter, why).at("/lease"))?;
    let session = call.session()?;
    let outcomes = each(handles, |receipt| call.broker().change_invisible(session, receipt, lease)).await;
    let outcomes = outcomes.into_iter().map(|(previous, outcome)| match outcome {
        Err(problem) => Outcome::failed(previous, &problem),
        Ok(extended) => {
            call.app.attempts.arrived(&previous.as_str().into());
            call.app.credits.extended(&previous.as_str().into(), &extended.receipt.0, extended.until);
            Outcome {
                previous: Some(previous),
                lease_until: Some(format_time(extended.until)),
                ..Outcome::done(extended.receipt.as_str().to_owned())
            }
        }
    });
    results(outcomes.collect())
}

/// `POST /v1/groups/{group}/settle`: the answers stand in the order ack, nack, deadLetter.
pub(crate) async fn settle(mut call: Call) -> Result<Response, Problem> {
    let all: SettleAll = call.json().await?;
    check(&call, all.ack.len() + all.nack.len() + all.dead_letter.len())?;
    let named = |action, outcomes: Vec<Outcome>| {
        outcomes.into_iter().map(move |outcome| Outcome { action: Some(action), ..outcome })
    };
    let mut outcomes: Vec<Outcome> = named("ack", ack_all(&call, all.ack).await?).collect();
    for NackOne { handle, delay } in all.nack {
        outcomes.extend(named("nack", nack_all(&call, vec![handle], delay.map(|d| d.0)).await?));
    }
    outcomes.extend(named("deadLetter", bury_all(&call, all.dead_letter, REJECTED).await?));
    results(outcomes)
}

/// `DELETE /v1/messages/{handle}`
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    let handle = call.segment(0)?;
    let promise = call.broker().ack(call.session()?, &receipt(handle)).map_err(handle_problem)?;
    promise.await.map_err(handle_problem)?;
    call.app.settled(&handle.into());
    Ok(no_content())
}
