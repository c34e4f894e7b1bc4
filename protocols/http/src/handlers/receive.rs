//! Receiving under lease: as a JSON list, or one raw message for shell loops.

use crate::attempts::Name;
use crate::call::{Call, JSON, OCTETS, json_response, no_content};
use crate::convert::{self, BodyMode, Lease, message_json, raw_message};
use crate::errors::{Code, Problem};
use crate::lease_guard::{LeaseGuard, Settle};
use crate::params::{self, parse_time};
use axum::response::Response;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::StatusCode;
use serde_json::value::RawValue;
use sluice_auth::{Action, Resource};
use sluice_broker::{Lease as LeaseTime, ReceiveRequest, StartAt};
use sluice_model::{Delivered, Filter, GroupName, TopicName};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(super) const MAX_MESSAGES: u64 = 256;
/// A lease shorter than a round trip helps nobody.
pub(crate) const MIN_LEASE: Duration = Duration::from_secs(1);
/// Each topic of a call waits for itself.
pub(crate) const MAX_TOPICS: usize = 16;
/// The longest name of an attempt.
const MAX_ATTEMPT: usize = 128;

/// `POST /v1/groups/{group}/receive`
pub(crate) async fn receive(mut call: Call) -> Result<Response, Problem> {
    let raw = match call.query.get("format")? {
        None => call.accept(&[JSON, OCTETS])? == OCTETS,
        Some("json") => false,
        Some("raw") => true,
        Some(other) => return Err(params::invalid("format", &format!("{other:?} is neither json nor raw"))),
    };
    let wanted = Wanted::of(&call, raw)?;
    let shown = Shown { raw, mode: BodyMode::parse(call.query.get("body")?)?, settle: wanted.settle };
    let attempt = attempt(&call, &wanted)?;
    if let Some(deliveries) = attempt.as_ref().and_then(|n| call.app.attempts.again(n, call.broker().now())) {
        wanted.check(&call)?;
        return shown.answer(&call, &deliveries);
    }
    call.forget_head();
    let (delivered, guard) = wanted.receive(&call).await?;
    let response = shown.answer(&call, &delivered)?;
    let guard = match attempt {
        Some(name) => guard.remember(Arc::clone(&call.app), name, delivered.into()),
        None => guard,
    };
    Ok(guard.watch(response))
}

/// How deliveries are shown.
struct Shown {
    raw: bool,
    mode: BodyMode,
    settle: Settle,
}

impl Shown {
    fn answer(&self, call: &Call, delivered: &[Delivered]) -> Result<Response, Problem> {
        let max_body = call.broker().config().max_message_size.bytes();
        let lease = |delivery| match self.settle {
            Settle::AckWhenTaken => Lease::settled(delivery),
            Settle::KeepWhenTaken => Lease::open(delivery),
        };
        if self.raw {
            let Some(first) = delivered.first() else { return Ok(no_content()) };
            return raw_message(&first.message, lease(first), max_body);
        }
        let each =
            delivered.iter().map(|d| message_json(&d.message, Some(lease(d)), self.mode, None, max_body));
        let messages: Vec<Box<RawValue>> = each.collect::<Result<_, _>>()?;
        json_response(StatusCode::OK, &Messages { messages })
    }
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

/// The lease that a call asks for, else the group's, else everybody's.
pub(crate) fn lease(call: &Call, group: &GroupName) -> Result<Duration, Problem> {
    let longest = call.broker().config().max_lease.0;
    if let Some(lease) = call.query.span("lease", MIN_LEASE..=longest)? {
        return Ok(lease);
    }
    let own = call.broker().habits(group).and_then(|habits| habits.lease);
    Ok(own.unwrap_or(call.app.config.default_lease).0.max(MIN_LEASE).min(longest))
}

/// The topics that a call names, else those that the group receives from.
pub(crate) fn topics(call: &Call, group: &GroupName) -> Result<Vec<TopicName>, Problem> {
    let named = call.query.all("topic").map(|name| call.topic_named(name));
    let mut topics: Vec<TopicName> = named.collect::<Result<_, _>>()?;
    if topics.is_empty() {
        topics = call.broker().habits(group).map(|habits| habits.subscription).unwrap_or_default();
    }
    if topics.is_empty() {
        let detail = "the parameter \"topic\" is missing, and the group has no subscription";
        return Err(Problem::new(Code::MissingParameter, detail));
    }
    if topics.len() > MAX_TOPICS {
        return Err(params::invalid("topic", &format!("at most {MAX_TOPICS} topics at once")));
    }
    Ok(topics)
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

/// The name under which the answer can be asked for again.
fn attempt(call: &Call, wanted: &Wanted) -> Result<Option<Name>, Problem> {
    let Some(attempt) = call.query.get("attempt")? else { return Ok(None) };
    if !(1..=MAX_ATTEMPT).contains(&attempt.len()) {
        return Err(params::invalid("attempt", &format!("it has 1 to {MAX_ATTEMPT} bytes")));
    }
    if wanted.settle == Settle::AckWhenTaken {
        return Err(params::invalid("attempt", "with ack=auto there is no lease to come back to"));
    }
    let topics: Vec<&str> = wanted.topics.iter().map(TopicName::as_str).collect();
    let whose = format!("{} {}", wanted.group, topics.join(" "));
    Ok(Some((call.session()?.principal().clone(), whose, attempt.to_owned())))
}

/// What a call asks for.
struct Wanted {
    group: GroupName,
    topics: Vec<TopicName>,
    filter: Filter,
    max: usize,
    max_bytes: Option<usize>,
    lease: Duration,
    in_order: bool,
    wait: Duration,
    /// Not to be answered with fewer, for this long after the first.
    linger: Option<(usize, Duration)>,
    start: StartAt,
    settle: Settle,
}

impl Wanted {
    fn of(call: &Call, raw: bool) -> Result<Self, Problem> {
        let group = call.group()?;
        let topics = topics(call, &group)?;
        let auto = auto_ack(call)?;
        let max = call.query.number("max", 1..=MAX_MESSAGES)?.unwrap_or(1) as usize;
        if raw && max > 1 {
            return Err(params::invalid("max", "a raw answer is one message"));
        }
        let config = call.broker().config();
        let most = config.max_fetch_size.0;
        let longest = config.max_wait.0;
        let wait = call.query.span("wait", Duration::ZERO..=longest)?.unwrap_or_default();
        let lease = lease(call, &group)?;
        Ok(Self {
            group,
            topics,
            filter: convert::filter(&call.query, call.broker())?,
            max,
            max_bytes: call.query.number("maxBytes", 1..=most)?.map(|bytes| bytes as usize),
            lease,
            in_order: in_order(call)?,
            wait,
            linger: linger(call, max, wait, lease)?,
            start: start(call, StartAt::Earliest)?,
            settle: if auto { Settle::AckWhenTaken } else { Settle::KeepWhenTaken },
        })
    }

    /// What was received before is shown again only to who still may receive.
    fn check(&self, call: &Call) -> Result<(), Problem> {
        let (auth, session) = (call.broker().auth(), call.session()?);
        auth.permit(session, Action::Sub, Resource::Group(&self.group))?;
        for topic in &self.topics {
            auth.permit(session, Action::Sub, Resource::Topic(topic))?;
        }
        Ok(())
    }

    /// Receives, and guards what was leased.
    async fn receive(&self, call: &Call) -> Result<(Vec<Delivered>, LeaseGuard), Problem> {
        let waits = !self.wait.is_zero();
        let _place = (waits || self.linger.is_some()).then(|| call.wait_place()).transpose()?;
        let mut got = tokio::select! {
            got = self.first_of(call, self.wait, self.max, self.max_bytes) => got?,
            () = call.caller.drain.signaled(), if waits => Vec::new(),
            problem = call.revoked(), if waits => return Err(problem),
        };
        let session = call.session()?.clone();
        let mut guard = LeaseGuard::new(call.broker().clone(), session, &got, self.settle);
        let Some((at_least, linger)) = self.linger else { return Ok((got, guard)) };
        let until = Instant::now() + linger;
        while !got.is_empty() && got.len() < at_least {
            let left = until.saturating_duration_since(Instant::now());
            let room = self.max_bytes.map(|most| most.saturating_sub(size(&got)));
            if left.is_zero() || room == Some(0) {
                break;
            }
            let more = tokio::select! {
                more = self.first_of(call, left, self.max - got.len(), room) => more?,
                () = call.caller.drain.signaled() => break,
                problem = call.revoked() => return Err(problem),
            };
            if more.is_empty() {
                break;
            }
            guard.also(&more);
            got.extend(more);
        }
        Ok((got, guard))
    }

    /// What the first of the topics that has anything gives. The others lease nothing: receiving is cancel-safe.
    async fn first_of(
        &self,
        call: &Call,
        wait: Duration,
        max: usize,
        max_bytes: Option<usize>,
    ) -> Result<Vec<Delivered>, Problem> {
        let session = call.session()?;
        let lease = match self.in_order {
            true => LeaseTime::InOrder(self.lease),
            false => LeaseTime::For(self.lease),
        };
        let request = |topic| ReceiveRequest {
            group: &self.group,
            topic,
            filter: &self.filter,
            max,
            lease,
            wait,
            start: self.start,
            create: None,
        };
        let requests: Vec<_> = self.topics.iter().map(request).collect();
        let one = |request| call.broker().receive_up_to(session, request, max_bytes.unwrap_or(usize::MAX));
        if let [only] = &requests[..] {
            return Ok(one(only).await?);
        }
        let mut receives: FuturesUnordered<_> = requests.iter().map(one).collect();
        while let Some(delivered) = receives.next().await {
            let delivered = delivered?;
            if !delivered.is_empty() {
                return Ok(delivered);
            }
        }
        Ok(Vec::new())
    }
}

fn size(delivered: &[Delivered]) -> usize {
    delivered.iter().map(|delivered| delivered.message.size as usize).sum()
}

/// True for `order=fifo`; a group that consumes in order does so without.
fn in_order(call: &Call) -> Result<bool, Problem> {
    match call.query.get("order")? {
        None => Ok(false),
        Some("fifo") => Ok(true),
        Some(other) => Err(params::invalid("order", &format!("{other:?} is not fifo"))),
    }
}

/// How many messages an answer should have, and how long it waits for them after the first.
fn linger(
    call: &Call,
    max: usize,
    wait: Duration,
    lease: Duration,
) -> Result<Option<(usize, Duration)>, Problem> {
    let longest = call.broker().config().max_wait.0;
    let at_least = call.query.number("minBatch", 1..=max as u64)?.map(|n| n as usize);
    let linger = call.query.span("linger", Duration::ZERO..=longest)?;
    let (at_least, linger) = match (at_least, linger) {
        (None, None) => return Ok(None),
        (at_least, Some(linger)) => (at_least.unwrap_or(max), linger),
        (Some(_), None) if wait.is_zero() => {
            return Err(params::invalid("minBatch", "it needs a time to wait for so many: linger, or wait"));
        }
        (Some(at_least), None) => (at_least, wait),
    };
    if linger >= lease {
        return Err(params::invalid("linger", "the first lease would end before the answer is given"));
    }
    Ok(Some((at_least, linger)))
}
