//! Looking at a queue by offset: changes nothing, needs no group.

use crate::call::{Call, json_response};
use crate::convert::{self, BodyMode, message_json};
use crate::errors::{Code, Problem};
use crate::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::params;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use sluice_broker::PullRequest;
use sluice_model::{Error, ErrorKind, Offset, QueueId};
use std::time::Duration;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Browsed {
    messages: Vec<Box<RawValue>>,
    next_offset: Offset,
    begin_offset: Offset,
    end_offset: Offset,
    /// The next page's `offset`, while there is one.
    next: Option<String>,
}

/// Where a browse begins.
enum At {
    Offset(Offset),
    Earliest,
    Latest,
    /// So many before the end.
    Last(u64),
}

fn at(text: Option<&str>) -> Result<At, Problem> {
    match text {
        None | Some("earliest") => Ok(At::Earliest),
        Some("latest") => Ok(At::Latest),
        Some(text) => {
            let (last, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
            let number: u64 = digits.parse().map_err(|_| {
                params::invalid("offset", &format!("{text:?} is no offset, earliest, latest or -n"))
            })?;
            Ok(if last { At::Last(number) } else { At::Offset(number) })
        }
    }
}

/// A queue that the topic has not is no part of its path.
pub(super) fn no_queue(error: Error) -> Problem {
    match error.kind() {
        ErrorKind::InvalidArgument => Problem::new(Code::NotFound, error.message()),
        _ => error.into(),
    }
}

/// `GET /v1/topics/{topic}/queues/{queue}/messages`
pub(crate) async fn browse(call: Call) -> Result<Response, Problem> {
    let topic = call.topic()?;
    let queue = call.segment(1)?;
    let queue = QueueId(
        queue
            .parse()
            .map_err(|_| Problem::new(Code::InvalidName, format!("{queue:?} is no queue number")))?,
    );
    let mode = BodyMode::parse(call.query.get("body")?)?;
    let filter = convert::filter(&call.query, call.broker())?;
    let clamp = call.query.flag("clamp")?.unwrap_or(false);
    let config = call.broker().config();
    let wait = call.query.span("wait", Duration::ZERO..=config.max_wait.0)?.unwrap_or_default();
    let max = call.query.number("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT) as usize;
    let session = call.session()?;
    let (begin, end) = call.broker().bounds(session, &topic, queue).map_err(no_queue)?;
    let offset = match at(call.query.get("offset")?)? {
        At::Earliest => begin,
        At::Latest => end,
        At::Last(n) => end.saturating_sub(n).max(begin),
        At::Offset(offset) if offset < begin && clamp => begin,
        At::Offset(offset) if offset < begin => {
            let detail = format!(
                "offset {offset} lies before the first message kept, {begin}; clamp=true begins there"
            );
            return Err(Problem::new(Code::OffsetOutOfRange, detail)
                .with("beginOffset", begin)
                .with("endOffset", end));
        }
        At::Offset(offset) => offset,
    };
    let _place = (!wait.is_zero()).then(|| call.wait_place()).transpose()?;
    let mut request = PullRequest {
        topic: &topic,
        queue,
        offset,
        max: max.min(config.max_fetch),
        max_bytes: config.max_fetch_size.bytes(),
        filter: &filter,
        group: None,
        wait,
    };
    let waited = tokio::select! {
        pulled = call.broker().pull(session, &request) => Some(pulled?),
        () = call.caller.drain.signaled(), if !wait.is_zero() => None,
        problem = call.revoked(), if !wait.is_zero() => return Err(problem),
    };
    let pulled = match waited {
        Some(pulled) => pulled,
        None => {
            request.wait = Duration::ZERO;
            call.broker().pull(session, &request).await?
        }
    };
    let max_body = config.max_message_size.bytes();
    let messages = pulled.messages.iter().map(|m| message_json(m, None, mode, None, max_body));
    let messages = messages.collect::<Result<_, _>>()?;
    let next = (pulled.next < pulled.max).then(|| pulled.next.to_string());
    let (begin_offset, end_offset) = (pulled.min, pulled.max);
    json_response(
        StatusCode::OK,
        &Browsed { messages, next_offset: pulled.next, begin_offset, end_offset, next },
    )
}
