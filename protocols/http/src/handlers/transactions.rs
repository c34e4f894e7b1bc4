//! Transactions: prepare a message, end it, and ask what became of the ones that nobody ended.
//!
//! The one idea to know: a program over HTTP is not connected, so it cannot be asked. It comes for the questions
//! itself, as the group that prepared, and answers by ending the transaction.

use super::publish::send_problem;
use super::receive::MAX_MESSAGES;
use crate::call::{Call, JSON, TEXT, json_response, no_content};
use crate::convert::{BodyMode, check_json};
use crate::errors::{Code, Problem};
use crate::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::params::{self, format_time};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header;
use serde::Serialize;
use serde_json::value::RawValue;
use sluice_broker::{EndTransaction, PrepareRequest, SendRequest, TransactionView};
use sluice_model::{Error, ErrorKind, GroupName, Millis};
use std::time::Duration;

/// The producer group of those who name none.
const DEFAULT_GROUP: &str = "HTTP";
/// As the first check of the cloud's clients: sooner asks about what is still under way, later is a day's matter.
const CHECK_AFTER: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// What a publish says of its transaction.
pub(super) struct Plan {
    group: GroupName,
    first_check: Option<Duration>,
}

impl Plan {
    /// Nothing for an ordinary message.
    pub(super) fn of(call: &Call) -> Result<Option<Self>, Problem> {
        match call.query.get("transaction")? {
            None => {
                let stray = ["producerGroup", "checkAfter"]
                    .into_iter()
                    .find(|name| call.query.all(name).next().is_some());
                stray.map_or(Ok(None), |name| Err(params::invalid(name, "it goes with transaction=prepare")))
            }
            Some("prepare") if call.query.get("ack")?.is_some() => Err(params::invalid(
                "ack",
                "a prepared message is answered once it is as safe as its topic demands",
            )),
            Some("prepare") => Ok(Some(Self {
                group: call.group_named(call.query.get("producerGroup")?.unwrap_or(DEFAULT_GROUP))?,
                first_check: call.query.span("checkAfter", CHECK_AFTER)?,
            })),
            Some(other) => Err(params::invalid("transaction", &format!("{other:?} is not prepare"))),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Prepared {
    transaction_id: String,
    message_id: String,
    topic: String,
    queue: u32,
    prepared_at: String,
    expires_at: String,
}

/// The rest of a publish with `transaction=prepare`.
pub(super) async fn prepare(
    call: &Call,
    plan: Plan,
    send: SendRequest,
    format: &str,
) -> Result<Response, Problem> {
    let topic = send.topic.to_string();
    let request = PrepareRequest { send, group: plan.group, first_check: plan.first_check };
    let promise = call.broker().prepare(call.session()?, request).map_err(send_problem)?;
    let sent = promise.await.map_err(|e| Problem::from(e).outcome_unknown())?;
    let sent = sent
        .first()
        .ok_or_else(|| Problem::new(Code::Internal, "the log did not say where the message went"))?;
    let prepared = Prepared {
        transaction_id: id_of(sent.locator),
        message_id: sent.id.to_string(),
        topic,
        queue: sent.queue.0,
        prepared_at: format_time(sent.stored),
        expires_at: format_time(expiry(call, sent.stored)),
    };
    if format == TEXT {
        let text = format!("{}\n", prepared.transaction_id);
        return Ok((StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)
            .into_response());
    }
    json_response(StatusCode::ACCEPTED, &prepared)
}

fn expiry(call: &Call, prepared: Millis) -> Millis {
    prepared.saturating_add(call.broker().config().max_half_age.as_millis())
}

fn id_of(transaction: u64) -> String {
    format!("{transaction:016x}")
}

fn transaction_of(id: &str) -> Option<u64> {
    u64::from_str_radix(id, 16).ok().filter(|_| id.len() == 16)
}

/// `POST /v1/transactions/{id}:commit` and `:rollback`
pub(crate) async fn end(call: Call) -> Result<Response, Problem> {
    let path = call.segment(0)?;
    let (id, commit) = match path.rsplit_once(':') {
        Some((id, "commit")) => (id, true),
        Some((id, "rollback")) => (id, false),
        _ => {
            let text = format!("{path:?} does not end in :commit or :rollback");
            return Err(Problem::new(Code::NotFound, text));
        }
    };
    let unknown = || Problem::new(Code::TransactionNotFound, format!("no transaction {id:?} is known"));
    let transaction = transaction_of(id).ok_or_else(unknown)?;
    let end = EndTransaction { transaction, commit, group: None, offset: None };
    let ended = call.broker().end_transaction(call.session()?, end).await;
    ended.map_err(|error: Error| match error.kind() {
        ErrorKind::MessageNotFound => unknown(),
        ErrorKind::Conflict => Problem::new(Code::TransactionDecided, error.message()),
        _ => error.into(),
    })?;
    Ok(no_content())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Transaction {
    transaction_id: String,
    message_id: String,
    topic: String,
    queue: u32,
    producer_group: String,
    prepared_at: String,
    expires_at: String,
    checks: u32,
    check_at: String,
    asking: bool,
}

impl Transaction {
    fn of(view: &TransactionView, expires: Millis) -> Self {
        Self {
            transaction_id: id_of(view.transaction),
            message_id: view.id.to_string(),
            topic: view.topic.to_string(),
            queue: view.queue.0,
            producer_group: view.group.to_string(),
            prepared_at: format_time(view.prepared),
            expires_at: format_time(expires),
            checks: view.checks,
            check_at: format_time(view.next_check),
            asking: view.asking,
        }
    }
}

#[derive(Serialize)]
struct Transactions {
    items: Vec<Transaction>,
    next: Option<String>,
}

/// `GET /v1/transactions`: the open ones, oldest first.
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let topic = call.topic_asked()?;
    let limit = call.query.number("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT) as usize;
    let after = match call.query.get("cursor")? {
        None => 0,
        Some(cursor) => {
            transaction_of(cursor).ok_or_else(|| params::invalid("cursor", "it is none that a page gave"))?
        }
    };
    let views = call.broker().transactions(call.session()?, topic.as_ref(), after, limit)?;
    let next = views.last().filter(|_| views.len() == limit).map(|view| id_of(view.transaction));
    let items = views.iter().map(|view| Transaction::of(view, expiry(&call, view.prepared))).collect();
    json_response(StatusCode::OK, &Transactions { items, next })
}

#[derive(Serialize)]
struct Checks {
    messages: Vec<Box<RawValue>>,
}

/// `POST /v1/producer-groups/{group}/checks:receive`
pub(crate) async fn checks(call: Call) -> Result<Response, Problem> {
    call.accept(&[JSON])?;
    let group = call.group()?;
    let mode = BodyMode::parse(call.query.get("body")?)?;
    let max = call.query.number("max", 1..=MAX_MESSAGES)?.unwrap_or(1) as usize;
    let longest = call.broker().config().max_wait.0;
    let wait = call.query.span("wait", Duration::ZERO..=longest)?.unwrap_or_default();
    let _place = (!wait.is_zero()).then(|| call.wait_place()).transpose()?;
    let checks = tokio::select! {
        checks = call.broker().receive_checks(call.session()?, &group, max, wait) => checks?,
        () = call.caller.drain.signaled(), if !wait.is_zero() => Vec::new(),
        problem = call.revoked(), if !wait.is_zero() => return Err(problem),
    };
    let max_body = call.broker().config().max_message_size.bytes();
    let messages = checks
        .iter()
        .map(|check| check_json(&check.message, &id_of(check.transaction), check.checks, mode, max_body));
    json_response(StatusCode::OK, &Checks { messages: messages.collect::<Result<_, _>>()? })
}
