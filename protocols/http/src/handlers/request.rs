//! Request and reply: a message is published, and the call is answered with what its consumer says.
//!
//! The consumer finds in `replyTo` where its answer goes: a path of this server, so that one line of curl replies.

use super::publish::{Level, create, request, send_problem, sender};
use crate::call::{Call, OCTETS};
use crate::convert;
use crate::errors::{Code, Problem};
use crate::replies::Reply;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use sluice_auth::{Action, Resource};
use sluice_model::TopicName;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const SHORTEST: Duration = Duration::from_millis(1);
const CORRELATION: HeaderName = HeaderName::from_static("x-mq-correlation-id");
const REPLY_TO: HeaderName = HeaderName::from_static("x-mq-reply-to");
/// Properties of a reply pass through to the requester.
const PROPERTY: &str = "x-mq-prop-";
/// Groups looked at to tell whether anybody consumes a topic.
const GROUPS: usize = 1000;

/// `POST /v1/topics/{topic}/request`
pub(crate) async fn ask(mut call: Call) -> Result<Response, Problem> {
    let topic = call.topic()?;
    let longest = call.broker().config().max_wait.0;
    let timeout = call.query.span("timeout", SHORTEST..=longest)?.unwrap_or(DEFAULT_TIMEOUT.min(longest));
    if call.headers.contains_key(CORRELATION) || call.headers.contains_key(REPLY_TO) {
        let detail = "a request gets its correlation id and its reply-to from this call";
        return Err(Problem::new(Code::InvalidParameter, detail));
    }
    let create = create(&call)?;
    let limit = call.broker().config().max_message_size.bytes();
    let body = call.body.read(limit, Code::MessageTooLarge).await?;
    let _place = call.wait_place()?;
    let mut awaited = call.app.replies.expect(topic.clone());
    let reply_to = format!("/v1/replies/{}", awaited.correlation);
    for (name, value) in [(CORRELATION, &awaited.correlation), (REPLY_TO, &reply_to)] {
        call.headers.extend(HeaderValue::from_str(value).map(|value| (name, value)));
    }
    let ready = convert::from_raw(body, &call.headers, &call.query, &sender(&call)?)?;
    let level = Level { durability: None, wait: true };
    let deadline = Instant::now() + timeout;
    let session = call.session()?;
    let sent =
        call.broker().send(session, request(topic.clone(), ready, create, level)).map_err(send_problem)?;
    let sent = sent.await.map_err(|e| Problem::from(e).outcome_unknown())?;
    let id = sent.first().map(|sent| sent.id.to_string()).unwrap_or_default();
    let stored = |problem: Problem| problem.with("messageId", id.clone());
    tokio::select! {
        reply = awaited.reply() => Ok(answer(reply, &id)),
        () = sleep_until(deadline) => Err(stored(nobody(&call, &topic, timeout))),
        () = call.caller.drain.signaled() => {
            let detail = "the server stops; the request is stored, and its reply will find nobody";
            Err(stored(Problem::new(Code::Draining, detail)))
        }
        problem = call.revoked() => Err(stored(problem)),
    }
}

fn answer(reply: Reply, id: &str) -> Response {
    let mut headers = reply.headers;
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static(OCTETS));
    // As for every stored body: it must not run in this origin.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.extend(HeaderValue::from_str(id).map(|id| (HeaderName::from_static("x-mq-message-id"), id)));
    (StatusCode::OK, headers, reply.body).into_response()
}

/// Nobody replied in time: because nobody consumes the topic, as far as the requester may know.
fn nobody(call: &Call, topic: &TopicName, timeout: Duration) -> Problem {
    let groups = call.session().ok().and_then(|session| call.broker().groups(session, None, GROUPS).ok());
    let groups = groups.filter(|groups| (1..GROUPS).contains(&groups.len()));
    if groups.is_some_and(|groups| groups.iter().all(|group| !group.topics.contains(topic))) {
        return Problem::new(
            Code::NoConsumer,
            format!("no group consumes topic {topic}; the request is stored"),
        );
    }
    let span = sluice_model::units::Span(timeout);
    Problem::new(Code::ReplyTimeout, format!("no reply came within {span}; the request is stored"))
}

/// `POST /v1/replies/{correlation}`
pub(crate) async fn reply(mut call: Call) -> Result<Response, Problem> {
    let correlation = call.segment(0)?.to_owned();
    let gone = || Problem::new(Code::ReplyNotAwaited, "nobody waits for this reply, or not any more");
    let topic = call.app.replies.topic(&correlation).ok_or_else(gone)?;
    // Who may consume the request may answer it.
    call.broker().auth().permit(call.session()?, Action::Sub, Resource::Topic(&topic))?;
    let headers = passed_on(&call.headers)?;
    let limit = call.broker().config().max_message_size.bytes();
    let body = call.body.read(limit, Code::MessageTooLarge).await?;
    match call.app.replies.answer(&correlation, Reply { headers, body }) {
        true => Ok(StatusCode::ACCEPTED.into_response()),
        false => Err(gone()),
    }
}

/// What a reply says besides its body.
fn passed_on(headers: &HeaderMap) -> Result<HeaderMap, Problem> {
    let mut passed = HeaderMap::new();
    for (name, value) in headers {
        let is_form = || value.as_bytes().starts_with(convert::FORM.as_bytes());
        if name.as_str().starts_with(PROPERTY) || *name == header::CONTENT_TYPE && !is_form() {
            passed.append(name, value.clone());
        } else if name.as_str().starts_with("x-mq-") && *name != "x-mq-date" {
            return Err(Problem::new(Code::UnknownParameter, format!("a reply has no header {name:?}")));
        }
    }
    Ok(passed)
}
