//! Topics: list, read, make, change, delete.

use super::groups::Start;
use crate::call::{Call, json_response, no_content};
use crate::errors::{Code, Problem};
use crate::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::params::{self, format_time};
use crate::patch::merge_patch;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sluice_broker::{DeleteIf, DurabilitySetting, TopicSpec, TopicView};
use sluice_model::units::Span;
use sluice_model::{ErrorKind, MessageType, TopicName};

const READ: u8 = 4;
const WRITE: u8 = 2;

/// A topic's settings as JSON; what is left out keeps the default.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    queues: Option<u32>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<MessageType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    durability: Option<DurabilitySetting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<String>,
    #[serde(default)]
    attributes: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<Demand>,
}

/// Whether each call that publishes must have a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Demand {
    Optional,
    Required,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Queue {
    queue: u32,
    begin: u64,
    end: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Topic {
    name: String,
    #[serde(flatten)]
    settings: Settings,
    messages: u64,
    offsets: Vec<Queue>,
    created_at: String,
}

#[derive(Serialize)]
struct Topics {
    items: Vec<Topic>,
    next: Option<String>,
}

impl From<TopicView> for Topic {
    fn from(view: TopicView) -> Self {
        let offsets =
            (0..).zip(&view.bounds).map(|(queue, (begin, end))| Queue { queue, begin: *begin, end: *end });
        Self {
            name: view.name.to_string(),
            messages: view.bounds.iter().map(|(begin, end)| end.saturating_sub(*begin)).sum(),
            offsets: offsets.collect(),
            created_at: format_time(view.created),
            settings: Settings::from(&view.spec),
        }
    }
}

impl From<&TopicSpec> for Settings {
    fn from(spec: &TopicSpec) -> Self {
        let letters = [(READ, 'r'), (WRITE, 'w')];
        let permissions = letters.iter().filter(|(bit, _)| spec.perm & bit != 0).map(|(_, letter)| letter);
        Self {
            queues: Some(spec.queues),
            kind: spec.kind,
            durability: spec.durability,
            permissions: Some(permissions.collect()),
            attributes: free_attributes(spec),
            retention: spec.retention(),
            idempotency_key: Some(if spec.demands_key() { Demand::Required } else { Demand::Optional }),
        }
    }
}

impl Settings {
    /// Finds what is wrong whichever topic it is for.
    pub(super) fn check_form(&self) -> Result<(), Problem> {
        attributes(self.attributes.clone()).map(drop)
    }

    /// The settings as the broker takes them; `before` keeps what JSON cannot say.
    pub(super) fn spec(self, before: Option<&TopicSpec>, default_queues: u32) -> Result<TopicSpec, Problem> {
        let inherit = before.map_or(0, |spec| spec.perm & !(READ | WRITE));
        let perm = match self.permissions.as_deref() {
            None | Some("rw" | "wr") => READ | WRITE,
            Some("r") => READ,
            Some("w") => WRITE,
            Some("") => 0,
            Some(other) => {
                let detail = format!("{other:?} is none of rw, r, w and the empty text");
                return Err(Problem::new(Code::InvalidJson, detail).at("/permissions"));
            }
        };
        if let Some((before, wanted)) = before.zip(self.queues).filter(|(b, wanted)| *wanted < b.queues) {
            let detail =
                format!("the topic has {} queues, not {wanted}: they may grow, not shrink", before.queues);
            return Err(Problem::new(Code::SemanticError, detail).at("/queues"));
        }
        Ok(TopicSpec {
            // A topic never shrinks, so leaving the number out keeps it.
            queues: self.queues.or(before.map(|spec| spec.queues)).unwrap_or(default_queues),
            kind: self.kind,
            durability: self.durability,
            perm: perm | inherit,
            attributes: attributes(self.attributes)?,
        }
        .demanding_key(self.idempotency_key == Some(Demand::Required))
        .retaining(self.retention))
    }
}

/// What has no field of its own.
fn free_attributes(spec: &TopicSpec) -> Map<String, Value> {
    let free = spec.clone().demanding_key(false).retaining(None).attributes;
    free.into_iter().map(|(name, value)| (name, value.into())).collect()
}

/// Free attributes: texts.
pub(crate) fn attributes(attributes: Map<String, Value>) -> Result<Vec<(String, String)>, Problem> {
    let text =
        |(name, value): (String, Value)| match value {
            Value::String(text) => Ok((name, text)),
            _ => Err(Problem::new(Code::InvalidJson, format!("attribute {name:?} is not a text"))
                .at("/attributes")),
        };
    attributes.into_iter().map(text).collect()
}

pub(super) fn is_system(topic: &TopicName) -> bool {
    topic.retry_group().is_some() || topic.dead_letter_group().is_some()
}

/// `GET /v1/topics`
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let limit = call.query.number("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT) as usize;
    let prefix = call.query.get("prefix")?.unwrap_or_default();
    let system = call.query.flag("system")?.unwrap_or(false);
    let kind: Option<MessageType> = match call.query.get("type")? {
        None => None,
        Some(text) => Some(
            serde_json::from_value(Value::from(text))
                .map_err(|_| params::invalid("type", &format!("{text:?} is no message type")))?,
        ),
    };
    let mut after = call.query.get("cursor")?.map(str::to_owned);
    let session = call.session()?;
    let mut items: Vec<Topic> = Vec::new();
    loop {
        let page = call.broker().topics(session, after.as_deref(), MAX_LIMIT as usize)?;
        let last = page.len() < MAX_LIMIT as usize;
        after = page.last().map(|topic| topic.name.to_string());
        for topic in page {
            let wanted = call.lists(topic.name.as_str(), prefix)
                && (system || !is_system(&topic.name))
                && kind.is_none_or(|kind| topic.spec.kind == Some(kind));
            if wanted && items.len() == limit {
                let next = items.last().map(|topic| topic.name.clone());
                return json_response(StatusCode::OK, &Topics { items, next });
            }
            if wanted {
                items.push(topic.into());
            }
        }
        if last {
            return json_response(StatusCode::OK, &Topics { items, next: None });
        }
    }
}

/// `GET /v1/topics/{topic}`
pub(crate) async fn get(call: Call) -> Result<Response, Problem> {
    let view = call.broker().topic(call.session()?, &call.topic()?)?;
    json_response(StatusCode::OK, &Topic::from(view))
}

/// `PUT /v1/topics/{topic}`
pub(crate) async fn put(mut call: Call) -> Result<Response, Problem> {
    let topic = call.topic()?;
    let settings: Settings = call.json().await?;
    let session = call.session()?;
    let before = match call.broker().topic(session, &topic) {
        Ok(view) => Some(view.spec),
        // Who may not look at it may still be allowed to make it.
        Err(e) if matches!(e.kind(), ErrorKind::TopicNotFound | ErrorKind::PermissionDenied) => None,
        Err(e) => return Err(e.into()),
    };
    let spec = settings.spec(before.as_ref(), call.broker().tuned().default_queues)?;
    let created = call.broker().put_topic(session, &topic, spec).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    match call.broker().topic(session, &topic) {
        Ok(view) => json_response(status, &Topic::from(view)),
        // It is done; only the look at it is not allowed.
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            json_response(status, &json!({"name": topic.as_str()}))
        }
        Err(e) => Err(e.into()),
    }
}

/// `PATCH /v1/topics/{topic}`
pub(crate) async fn patch(mut call: Call) -> Result<Response, Problem> {
    let topic = call.topic()?;
    let patch: Value = call.json().await?;
    let session = call.session()?;
    let before = call.broker().topic(session, &topic)?.spec;
    let settings: Settings = merge_patch(&Settings::from(&before), patch)?;
    let spec = settings.spec(Some(&before), before.queues)?;
    call.broker().put_topic(session, &topic, spec).await?;
    json_response(StatusCode::OK, &Topic::from(call.broker().topic(session, &topic)?))
}

/// `DELETE /v1/topics/{topic}`
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    let topic = call.topic()?;
    if is_system(&topic) {
        return Err(Problem::new(Code::SystemTopic, "a retry or dead-letter topic goes with its group"));
    }
    let only = DeleteIf {
        empty: call.query.flag("ifEmpty")?.unwrap_or(false),
        unused: call.query.flag("ifUnused")?.unwrap_or(false),
        dry_run: call.query.flag("dryRun")?.unwrap_or(false),
    };
    call.broker().delete_topic_if(call.session()?, &topic, only).await?;
    Ok(no_content())
}

/// What a truncation lets go.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Truncate {
    before: Start,
}

#[derive(Serialize)]
struct Truncated {
    items: Vec<TruncatedQueue>,
    removed: u64,
}

#[derive(Serialize)]
struct TruncatedQueue {
    queue: u32,
    begin: u64,
    until: u64,
}

/// `POST /v1/topics/{topic}:truncate`
pub(crate) async fn truncate(mut call: Call) -> Result<Response, Problem> {
    let Some(name) = call.segment(0)?.strip_suffix(":truncate") else {
        return Err(Problem::new(Code::NotFound, "a topic can be asked to :truncate, and nothing else"));
    };
    let topic = call.topic_named(name)?;
    let dry_run = call.query.flag("dryRun")?.unwrap_or(false);
    let wanted: Truncate = call.json().await?;
    let cut = call.broker().truncate(call.session()?, &topic, wanted.before.into(), dry_run).await?;
    let items =
        cut.iter().map(|cut| TruncatedQueue { queue: cut.queue.0, begin: cut.begin, until: cut.until });
    let removed = cut.iter().map(|cut| cut.until.saturating_sub(cut.begin)).sum();
    json_response(StatusCode::OK, &Truncated { items: items.collect(), removed })
}
