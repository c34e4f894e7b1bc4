//! Receiving under lease: as a JSON list, or one raw message for shell loops.

use crate::call::{Call, JSON, OCTETS, json_response, no_content};
use crate::convert::{self, BodyMode, Lease, message_json, raw_message};
use crate::errors::{Code, Problem};
use crate::lease_guard::{LeaseGuard, Settle};
use crate::params::{self, parse_time};
use axum::response::Response;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::StatusCode;
use serde_json::value::RawValue;
use sluice_broker::{Lease as LeaseTime, ReceiveRequest, StartAt};
use sluice_model::{Delivered, Filter, GroupName, TopicName};
use std::time::Duration;

pub(super) const MAX_MESSAGES: u64 = 256;
/// A lease shorter than a round trip helps nobody.
pub(crate) const MIN_LEASE: Duration = Duration::from_secs(1);
/// Each topic of a call waits for itself.
const MAX_TOPICS: usize = 16;

/// `POST /v1/groups/{group}/receive`
pub(crate) async fn receive(call: Call) -> Result<Response, Problem> {
    let raw = match call.query.get("format")? {
        None => call.accept(&[JSON, OCTETS])? == OCTETS,
        Some("json") => false,
        Some("raw") => true,
        Some(other) => return Err(params::invalid("format", &format!("{other:?} is neither json nor raw"))),
    };
    let mode = BodyMode::parse(call.query.get("body")?)?;
    let auto = auto_ack(&call)?;
    let max = call.query.number("max", 1..=MAX_MESSAGES)?.unwrap_or(1);
    if raw && max > 1 {
        return Err(params::invalid("max", "a raw answer is one message"));
    }
    let delivered = deliveries(&call, max as usize).await?;
    let max_body = call.broker().config().max_message_size.bytes();
    let settle = if auto { Settle::AckWhenTaken } else { Settle::KeepWhenTaken };
    let guard = LeaseGuard::new(call.broker().clone(), call.session()?.clone(), &delivered, settle);
    let lease = |delivery| if auto { Lease::settled(delivery) } else { Lease::open(delivery) };
    if raw {
        let Some(first) = delivered.first() else { return Ok(no_content()) };
        return Ok(guard.watch(raw_message(&first.message, lease(first), max_body)?));
    }
    let messages: Vec<Box<RawValue>> = delivered
        .iter()
        .map(|d| message_json(&d.message, Some(lease(d)), mode, None, max_body))
        .collect::<Result<_, _>>()?;
    Ok(guard.watch(json_response(StatusCode::OK, &Messages { messages })?))
}

#[derive(serde::Serialize)]
struct Messages {
    messages: Vec<Box<RawValue>>,
}

/// True for `ack=auto`.
pub(crate) fn auto_ack(call: &Call) -> Result<bool, Problem> {
    match call.query.get("ack")? {
        None | Some("manual") => Ok(false),
        Some("auto") => Ok(true),
        Some(other) => Err(params::invalid("ack", &format!("{other:?} is neither manual nor auto"))),
    }
}

/// The lease that a call asks for.
pub(crate) fn lease(call: &Call) -> Result<Duration, Problem> {
    let longest = call.broker().config().max_lease.0;
    Ok(call.query.span("lease", MIN_LEASE..=longest)?.unwrap_or(call.app.config.default_lease.0.min(longest)))
}

/// Where a group that does not exist yet begins.
pub(crate) fn start(call: &Call, otherwise: StartAt) -> Result<StartAt, Problem> {
    call.query.get("from")?.map_or(Ok(otherwise), |text| start_at("from", text))
}

/// `earliest`, `latest`, or a time.
pub(crate) fn start_at(name: &str, text: &str) -> Result<StartAt, Problem> {
    match text {
        "earliest" => Ok(StartAt::Earliest),
        "latest" => Ok(StartAt::Latest),
        time => parse_time(time)
            .map(StartAt::Time)
            .map_err(|why| params::invalid(name, &format!("{why}; or earliest, latest"))),
    }
}

/// What is common to the receives of one call.
struct Wanted {
    group: GroupName,
    filter: Filter,
    max: usize,
    lease: Duration,
    wait: Duration,
    start: StartAt,
}

async fn deliveries(call: &Call, max: usize) -> Result<Vec<Delivered>, Problem> {
    let topics: Vec<TopicName> = call.query.all("topic").map(convert::topic).collect::<Result<_, _>>()?;
    if topics.is_empty() {
        return Err(Problem::new(Code::MissingParameter, "the parameter \"topic\" is missing"));
    }
    if topics.len() > MAX_TOPICS {
        return Err(params::invalid("topic", &format!("at most {MAX_TOPICS} topics at once")));
    }
    let wanted = Wanted {
        group: call.group()?,
        filter: convert::filter(&call.query, call.broker())?,
        max,
        lease: lease(call)?,
        wait: call
            .query
            .span("wait", Duration::ZERO..=call.broker().config().max_wait.0)?
            .unwrap_or_default(),
        start: start(call, StartAt::Earliest)?,
    };
    let _place = (!wanted.wait.is_zero()).then(|| call.wait_place()).transpose()?;
    tokio::select! {
        delivered = first_of(call, &topics, &wanted) => delivered,
        () = call.caller.drain.signaled(), if !wanted.wait.is_zero() => Ok(Vec::new()),
        problem = call.revoked(), if !wanted.wait.is_zero() => Err(problem),
    }
}

/// What the first of the topics that has anything gives. The others lease nothing: receiving is cancel-safe.
async fn first_of(call: &Call, topics: &[TopicName], wanted: &Wanted) -> Result<Vec<Delivered>, Problem> {
    let session = call.session()?;
    let requests: Vec<_> = topics
        .iter()
        .map(|topic| ReceiveRequest {
            group: &wanted.group,
            topic,
            filter: &wanted.filter,
            max: wanted.max,
            lease: LeaseTime::For(wanted.lease),
            wait: wanted.wait,
            start: wanted.start,
            create: None,
        })
        .collect();
    let mut receives: FuturesUnordered<_> =
        requests.iter().map(|r| call.broker().receive(session, r)).collect();
    while let Some(delivered) = receives.next().await {
        let delivered = delivered?;
        if !delivered.is_empty() {
            return Ok(delivered);
        }
    }
    Ok(Vec::new())
}
