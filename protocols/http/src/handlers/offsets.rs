//! A group's progress: reading it, setting it, moving it.

use super::receive::start_at;
use crate::call::{Call, json_response};
use crate::convert::Time;
use crate::errors::{Code, Problem};
use crate::params::{Query, format_time};
use crate::{page, params};
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sluice_broker::{OffsetMoved, Progress, SetOffset, StartAt};
use sluice_model::{Error, ErrorKind, GroupName, Offset, QueueId, TopicName};
use std::error::Error as _;

/// The most offsets set by one call.
const MAX_OFFSETS: usize = 1024;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    topic: String,
    queue: u32,
    committed: Offset,
    begin: Offset,
    end: Offset,
    lag: u64,
    in_flight: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_consumed_at: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Offsets {
    items: Vec<Item>,
    total_lag: u64,
    next: Option<String>,
}

#[derive(Serialize)]
struct TopicOffsets {
    items: Vec<TopicOffset>,
    next: Option<String>,
}

#[derive(Serialize)]
struct TopicOffset {
    queue: u32,
    offset: Offset,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SetOffsets {
    offsets: Vec<NewOffset>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOffset {
    topic: String,
    queue: u32,
    offset: Offset,
    /// Where the group has to be.
    expected: Option<Offset>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ResetOffsets {
    topic: String,
    to: String,
    timestamp: Option<Time>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    dry_run: bool,
}

/// A page's key: topics by name, their queues by number.
fn key(p: &Progress) -> (&str, u32) {
    (p.topic.as_str(), p.queue.0)
}

/// One page of a group's progress; the lag is that of all of it.
fn page_of(mut progress: Vec<Progress>, query: &Query) -> Result<Response, Problem> {
    let total_lag = progress.iter().map(Progress::lag).sum();
    let limit = page::limit(query)?;
    if let Some(cursor) = query.get("cursor")? {
        let place = cursor.rsplit_once(':').and_then(|(topic, queue)| Some((topic, queue.parse().ok()?)));
        let place = place.ok_or_else(|| params::invalid("cursor", "it is not the `next` of a page"))?;
        progress.retain(|p| key(p) > place);
    }
    let more = progress.len() > limit;
    progress.truncate(limit);
    let next = progress.last().filter(|_| more).map(|p| format!("{}:{}", p.topic, p.queue.0));
    respond(progress, total_lag, next)
}

fn answer(progress: Vec<Progress>) -> Result<Response, Problem> {
    let total_lag = progress.iter().map(Progress::lag).sum();
    respond(progress, total_lag, None)
}

fn respond(progress: Vec<Progress>, total_lag: u64, next: Option<String>) -> Result<Response, Problem> {
    json_response(StatusCode::OK, &Offsets { next, ..Offsets::of(progress, total_lag) })
}

impl Offsets {
    /// All of a group's progress on a topic.
    pub(super) fn on(call: &Call, group: &GroupName, topic: &TopicName) -> Result<Self, Problem> {
        let progress = call.broker().progress(call.session()?, group, Some(topic))?;
        let total_lag = progress.iter().map(Progress::lag).sum();
        Ok(Self::of(progress, total_lag))
    }

    fn of(progress: Vec<Progress>, total_lag: u64) -> Self {
        let items = progress.into_iter().map(|p| Item {
            lag: p.lag(),
            topic: p.topic.to_string(),
            queue: p.queue.0,
            committed: p.committed,
            begin: p.min,
            end: p.end,
            in_flight: p.in_flight,
            last_consumed_at: p.last_consumed.map(format_time),
        });
        Self { items: items.collect(), total_lag, next: None }
    }
}

/// `GET /v1/groups/{group}/offsets`
pub(crate) async fn get(call: Call) -> Result<Response, Problem> {
    let group = call.group()?;
    let topic = call.topic_asked()?;
    let session = call.session()?;
    call.broker().group(session, &group)?;
    page_of(call.broker().progress(session, &group, topic.as_ref())?, &call.query)
}

/// Members would go on from where they are and write that over what is set here.
fn refuse_active(call: &Call, group: &GroupName, force: bool) -> Result<(), Problem> {
    let members = call.broker().group(call.session()?, group)?.members;
    if members > 0 && !force {
        let detail = format!("the group has {members} members; stop them, or say \"force\":true");
        return Err(Problem::new(Code::GroupActive, detail));
    }
    Ok(())
}

/// A place that is well said, in a queue that the topic has not.
fn unfit(error: Error) -> Problem {
    match error.kind() {
        ErrorKind::InvalidArgument => Problem::new(Code::SemanticError, error.message()),
        _ => error.into(),
    }
}

/// `PUT /v1/groups/{group}/offsets`
pub(crate) async fn set(mut call: Call) -> Result<Response, Problem> {
    let group = call.group()?;
    let new: SetOffsets = call.json().await?;
    if new.offsets.len() > MAX_OFFSETS {
        return Err(Problem::new(Code::BatchTooLarge, format!("at most {MAX_OFFSETS} offsets at once")));
    }
    refuse_active(&call, &group, new.force)?;
    let session = call.session()?;
    // All of them are checked before any is set.
    let mut wanted = Vec::with_capacity(new.offsets.len());
    for (at, NewOffset { topic, queue, offset, expected }) in new.offsets.into_iter().enumerate() {
        let pointer = format!("/offsets/{at}");
        let topic = call.topic_named(&topic).map_err(|problem| problem.at(format!("{pointer}/topic")))?;
        let (begin, end) =
            call.broker().bounds(session, &topic, QueueId(queue)).map_err(|e| unfit(e).at(&pointer))?;
        if !(begin..=end).contains(&offset) {
            let detail = format!("offset {offset} is not between {begin} and {end}");
            return Err(Problem::new(Code::OffsetOutOfRange, detail).at(pointer));
        }
        wanted.push(SetOffset { topic, queue: QueueId(queue), offset, expected });
    }
    answer(call.broker().set_offsets(session, &group, &wanted, new.dry_run).await.map_err(moved)?)
}

/// A group that is not where the caller last saw it is a condition that does not hold.
fn moved(error: Error) -> Problem {
    let moved = error.source().and_then(|source| source.downcast_ref::<OffsetMoved>()).copied();
    match moved {
        Some(OffsetMoved { at, committed }) => Problem::new(Code::PreconditionFailed, error.message())
            .at(format!("/offsets/{at}/expected"))
            .with("committed", committed),
        None => Problem::from(error).outcome_unknown(),
    }
}

/// `POST /v1/groups/{group}/offsets:reset`
pub(crate) async fn reset(mut call: Call) -> Result<Response, Problem> {
    let group = call.group()?;
    let reset: ResetOffsets = call.json().await?;
    let topic = call.topic_named(&reset.topic).map_err(|problem| problem.at("/topic"))?;
    let to = match (reset.to.as_str(), reset.timestamp) {
        ("earliest", None) => StartAt::Earliest,
        ("latest", None) => StartAt::Latest,
        ("timestamp", Some(time)) => StartAt::Time(time.0),
        ("timestamp", None) => {
            return Err(Problem::new(Code::InvalidJson, "timestamp is missing").at("/timestamp"));
        }
        ("earliest" | "latest", Some(_)) => {
            return Err(Problem::new(Code::InvalidJson, "a timestamp goes with \"to\":\"timestamp\"")
                .at("/timestamp"));
        }
        (other, _) => {
            let detail = format!("{other:?} is none of earliest, latest, timestamp");
            return Err(Problem::new(Code::InvalidJson, detail).at("/to"));
        }
    };
    // A dry run disturbs nobody.
    refuse_active(&call, &group, reset.force || reset.dry_run)?;
    answer(call.broker().reset_offsets(call.session()?, &group, &topic, to, reset.dry_run).await?)
}

/// `GET /v1/topics/{topic}/offsets`
pub(crate) async fn at_time(call: Call) -> Result<Response, Problem> {
    let topic = call.topic()?;
    let at = start_at("time", call.query.required("time")?)?;
    let session = call.session()?;
    let view = call.broker().topic(session, &topic)?;
    let mut items = Vec::with_capacity(view.bounds.len());
    for (queue, (begin, end)) in (0..).zip(view.bounds) {
        let offset = match at {
            StartAt::Earliest => begin,
            StartAt::Latest => end,
            StartAt::Time(time) => call.broker().offset_at(session, &topic, QueueId(queue), time).await?,
        };
        items.push(TopicOffset { queue, offset });
    }
    // A topic has few queues, so that one page holds the most there can be.
    let limit = page::limit(&call.query)?;
    let after = call.query.number("cursor", 0..=u64::from(u32::MAX))?;
    items.retain(|item| after.is_none_or(|after| u64::from(item.queue) > after));
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|item| item.queue.to_string());
    json_response(StatusCode::OK, &TopicOffsets { items, next })
}
