//! From the wire to the model: a raw publish, and a message as JSON.

use super::{FORM, compact_json, read_header_text};
use crate::errors::{Code, Problem};
use crate::json::TextMap;
use crate::params::{self, Query, parse_span, parse_time};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{self, GetAll, HeaderName, HeaderValue};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sluice_model::units::Span;
use sluice_model::{
    Headers, HeadersBuilder, Keys, Message, MessageType, Millis, Provenance, QueueId, well_known,
};
use std::fmt;
use std::time::Duration;

/// What every message of one call has in common.
pub(crate) struct Sender {
    pub now: Millis,
    pub provenance: Provenance,
    /// The furthest delivery may lie ahead.
    pub max_delay: Duration,
    /// The largest body.
    pub max_body: usize,
}

/// A message ready to be sent.
#[derive(Debug)]
pub(crate) struct Ready {
    pub topic: Option<String>,
    pub queue: Option<QueueId>,
    pub message: Message,
    pub times: Times,
    /// The message's own idempotency key.
    pub dedup_id: Option<String>,
}

/// The times of a message as its sender said them, which its own are counted from.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    delay: Option<Duration>,
    deliver_at: Option<Millis>,
    ttl: Option<Duration>,
}

impl Times {
    /// All of them, in milliseconds.
    pub fn millis(&self) -> [Option<Millis>; 3] {
        [self.delay.map(millis), self.deliver_at, self.ttl.map(millis)]
    }
}

/// The metadata that both spellings share, before it is judged.
#[derive(Debug, Default)]
struct Metadata {
    tag: Option<String>,
    keys: Vec<String>,
    sharding_key: Option<String>,
    times: Times,
}

/// A message as JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct NewMessage {
    topic: Option<String>,
    #[serde(default, deserialize_with = "present")]
    body: Option<Box<RawValue>>,
    body_base64: Option<String>,
    tag: Option<String>,
    #[serde(default)]
    keys: Vec<String>,
    sharding_key: Option<String>,
    delay: Option<Span>,
    deliver_at: Option<Time>,
    ttl: Option<Span>,
    #[serde(default)]
    properties: TextMap,
    #[serde(default)]
    headers: Vec<Header>,
    content_type: Option<String>,
    correlation_id: Option<String>,
    reply_to: Option<String>,
    queue: Option<u32>,
    dedup_id: Option<String>,
}

/// One header as JSON: `["name", "text"]`, `["name", null]`, or with the binary value in Base64.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Header {
    Pair(String, Option<String>),
    Binary(BinaryHeader),
    Named(NamedHeader),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct BinaryHeader {
    pub name: String,
    pub value_base64: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedHeader {
    name: String,
    value: Option<String>,
}

/// A time as milliseconds or RFC 3339.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time(pub Millis);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Moment;
        impl Visitor<'_> for Moment {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time as RFC 3339 text or in milliseconds")
            }
            fn visit_u64<E: de::Error>(self, millis: u64) -> Result<Time, E> {
                Ok(Time(millis))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                parse_time(text).map(Time).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Moment)
    }
}

/// Tells `null` from a field that is left out.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// A message from JSON. A problem with status 422 concerns this message alone; any other one, the call.
pub(crate) fn from_json(new: NewMessage, sender: &Sender) -> Result<Ready, Problem> {
    let (body, is_json) = json_body(new.body.as_deref(), new.body_base64.as_deref())?;
    let mut headers = Headers::builder();
    let json = is_json.then(|| "application/json".to_owned());
    push_well_known(&mut headers, new.content_type.or(json), new.correlation_id, new.reply_to)?;
    for (name, value) in &new.properties.0 {
        headers.push(name, Some(value.as_bytes())).map_err(|e| Problem::from(e).at("/properties"))?;
    }
    for (at, header) in new.headers.iter().enumerate() {
        push_header(&mut headers, header).map_err(|problem| problem.at(format!("/headers/{at}")))?;
    }
    let metadata = Metadata {
        tag: new.tag,
        keys: new.keys,
        sharding_key: new.sharding_key,
        times: Times {
            delay: new.delay.map(|span| span.0),
            deliver_at: new.deliver_at.map(|time| time.0),
            ttl: new.ttl.map(|span| span.0),
        },
    };
    let times = metadata.times;
    let message = build(body, headers.build(), metadata, sender)?;
    let queue = new.queue.map(QueueId);
    Ok(Ready { topic: new.topic, queue, message, times, dedup_id: new.dedup_id })
}

/// The body's bytes, and whether it was given as JSON that is no text.
fn json_body(body: Option<&RawValue>, base64: Option<&str>) -> Result<(Option<Bytes>, bool), Problem> {
    let wrong = |pointer: &str, detail: String| Problem::new(Code::InvalidJson, detail).at(pointer);
    match (body.map(RawValue::get), base64) {
        (Some("null"), None) => Ok((None, false)),
        (Some(text), None) if text.starts_with('"') => {
            let text: String = serde_json::from_str(text).map_err(|e| wrong("/body", e.to_string()))?;
            Ok((Some(text.into()), false))
        }
        (Some(json), None) => Ok((Some(compact_json(json).into()), true)),
        (None, Some(text)) => {
            let bytes =
                STANDARD.decode(text).map_err(|e| wrong("/bodyBase64", format!("not Base64: {e}")))?;
            Ok((Some(bytes.into()), false))
        }
        (None, None) => Err(wrong("", "give body or bodyBase64; \"body\":\"\" is an empty one".into())),
        (Some(_), Some(_)) => Err(wrong("", "give body or bodyBase64, not both".into())),
    }
}

fn push_header(headers: &mut HeadersBuilder, header: &Header) -> Result<(), Problem> {
    match header {
        Header::Pair(name, value) | Header::Named(NamedHeader { name, value }) => {
            headers.push(name, value.as_deref().map(str::as_bytes))?;
        }
        Header::Binary(BinaryHeader { name, value_base64 }) => {
            let value = STANDARD
                .decode(value_base64)
                .map_err(|e| Problem::new(Code::InvalidJson, format!("valueBase64 is not Base64: {e}")))?;
            headers.push(name, Some(&value))?;
        }
    }
    Ok(())
}

fn push_well_known(
    headers: &mut HeadersBuilder,
    content_type: Option<String>,
    correlation_id: Option<String>,
    reply_to: Option<String>,
) -> Result<(), Problem> {
    let all = [
        (well_known::CONTENT_TYPE, content_type),
        (well_known::CORRELATION_ID, correlation_id),
        (well_known::REPLY_TO, reply_to),
    ];
    for (name, value) in all {
        if let Some(value) = value {
            headers.push(name, Some(value.as_bytes()))?;
        }
    }
    Ok(())
}

/// A message from a raw publish: the body as it is, everything else from headers or query.
pub(crate) fn from_raw(
    body: Bytes,
    headers: &HeaderMap,
    query: &Query,
    sender: &Sender,
) -> Result<Ready, Problem> {
    // Most messages say nothing but their body; then no name has to be looked for.
    let has_own = headers.keys().any(|name| name.as_str().starts_with(OWN));
    let fields = RawFields { headers, query, has_own };
    let mut stored = Headers::builder();
    let content_type = fields.standard(&header::CONTENT_TYPE)?.filter(|value| {
        let media = value.split(';').next().unwrap_or_default().trim();
        !media.is_empty() && !media.eq_ignore_ascii_case(FORM)
    });
    let correlation_id = fields.one("x-mq-correlation-id", "correlationId")?;
    push_well_known(&mut stored, content_type, correlation_id, fields.one("x-mq-reply-to", "replyTo")?)?;
    fields.properties(&mut stored)?;
    if query.flag("keepEncoding")?.unwrap_or(false)
        && let Some(coding) = fields.standard(&header::CONTENT_ENCODING)?
    {
        stored.push("content-encoding", Some(coding.as_bytes()))?;
    }
    let metadata = Metadata {
        tag: fields.one("x-mq-tag", "tag")?,
        keys: fields.keys()?,
        sharding_key: fields.sharding_key()?,
        times: Times {
            delay: fields.span("x-mq-delay", "delay")?,
            deliver_at: fields
                .one("x-mq-deliver-at", "deliverAt")?
                .map(|text| parse_time(&text).map_err(|why| params::invalid("deliverAt", &why)))
                .transpose()?,
            ttl: fields.span("x-mq-ttl", "ttl")?,
        },
    };
    let times = metadata.times;
    let queue = query.number("queue", 0..=u64::from(u32::MAX))?.map(|q| QueueId(q as u32));
    let message = build(Some(body), stored.build(), metadata, sender)?;
    Ok(Ready { topic: None, queue, message, times, dedup_id: None })
}

struct RawFields<'a> {
    headers: &'a HeaderMap,
    query: &'a Query,
    /// Whether there is any header of ours.
    has_own: bool,
}

impl RawFields<'_> {
    /// A header that may be given once.
    fn standard(&self, name: &HeaderName) -> Result<Option<String>, Problem> {
        Self::single(name.as_str(), self.headers.get_all(name))
    }

    /// One of ours that may be given once.
    fn header(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.has_own {
            true => Self::single(name, self.headers.get_all(name)),
            false => Ok(None),
        }
    }

    fn single(name: &str, values: GetAll<'_, HeaderValue>) -> Result<Option<String>, Problem> {
        let mut values = values.iter();
        let first = values.next().map(|v| read_header_text(v.as_bytes())).transpose()?;
        match values.next() {
            None => Ok(first),
            Some(_) => Err(params::invalid(name, "the header is given more than once")),
        }
    }

    /// A field that is given as a header or in the query, not both.
    fn one(&self, header: &str, query: &str) -> Result<Option<String>, Problem> {
        match (self.header(header)?, self.query.get(query)?) {
            (Some(_), Some(_)) => Err(params::invalid(query, &format!("it is given as header {header} too"))),
            (found, None) => Ok(found),
            (None, found) => Ok(found.map(str::to_owned)),
        }
    }

    fn span(&self, header: &str, query: &str) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.one(header, query)? else { return Ok(None) };
        parse_span(&text, Duration::ZERO..=Duration::MAX)
            .map(Some)
            .map_err(|why| params::invalid(query, &why))
    }

    fn keys(&self) -> Result<Vec<String>, Problem> {
        let mut texts = Vec::new();
        if self.has_own {
            for value in self.headers.get_all("x-mq-key") {
                texts.push(read_header_text(value.as_bytes())?);
            }
        }
        texts.extend(self.query.all("key").map(str::to_owned));
        let keys = texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|key| !key.is_empty());
        Ok(keys.map(str::to_owned).collect())
    }

    fn sharding_key(&self) -> Result<Option<String>, Problem> {
        match (self.header("x-mq-group")?, self.one("x-mq-sharding-key", "shardingKey")?) {
            (Some(_), Some(_)) => Err(params::invalid("shardingKey", "it is given as header x-mq-group too")),
            (found, None) | (None, found) => Ok(found),
        }
    }

    fn properties(&self, stored: &mut HeadersBuilder) -> Result<(), Problem> {
        for (name, value) in self.headers {
            if let Some(name) = name.as_str().strip_prefix("x-mq-prop-") {
                stored.push(name, Some(read_header_text(value.as_bytes())?.as_bytes()))?;
            } else if name.as_str().starts_with(OWN) && !KNOWN_HEADERS.contains(&name.as_str()) {
                return Err(Problem::new(Code::UnknownParameter, format!("unknown header {name:?}")));
            }
        }
        for (name, value) in self.query.pairs() {
            if let Some(name) = name.strip_prefix("prop.") {
                stored.push(name, Some(value.as_bytes()))?;
            }
        }
        Ok(())
    }
}

/// What the headers of ours begin with.
const OWN: &str = "x-mq-";

/// The `X-MQ-` headers of a raw publish; another one is a misspelling, not to be ignored.
const KNOWN_HEADERS: [&str; 10] = [
    "x-mq-namespace",
    "x-mq-tag",
    "x-mq-key",
    "x-mq-group",
    "x-mq-sharding-key",
    "x-mq-delay",
    "x-mq-deliver-at",
    "x-mq-ttl",
    "x-mq-correlation-id",
    "x-mq-reply-to",
];

fn build(
    body: Option<Bytes>,
    headers: Headers,
    metadata: Metadata,
    sender: &Sender,
) -> Result<Message, Problem> {
    if body.as_ref().is_some_and(|body| body.len() > sender.max_body) {
        let detail = format!("the body is larger than {} bytes", sender.max_body);
        return Err(Problem::new(Code::MessageTooLarge, detail).with("limit", sender.max_body as u64));
    }
    let keys = Keys::from_list(metadata.keys.iter().map(String::as_str))
        .map_err(|e| Problem::new(Code::InvalidKey, e.message()).at("/keys"))?;
    let deliver_at = deliver_at(&metadata.times, sender)?;
    let ordering_group = metadata.sharding_key.filter(|key| !key.is_empty());
    let kind = match (deliver_at, &ordering_group) {
        (Some(_), _) => MessageType::Delay,
        (None, Some(_)) => MessageType::Fifo,
        (None, None) => MessageType::Normal,
    };
    Ok(Message {
        body,
        keys,
        tag: metadata.tag.filter(|tag| !tag.is_empty()).map(Into::into),
        ordering_group: ordering_group.map(Into::into),
        headers,
        born: sender.now,
        deliver_at,
        expires_at: metadata.times.ttl.map(|ttl| sender.now.saturating_add(millis(ttl))),
        kind,
        provenance: sender.provenance.clone(),
        ..Message::default()
    })
}

fn deliver_at(times: &Times, sender: &Sender) -> Result<Option<Millis>, Problem> {
    let at = match (times.delay, times.deliver_at) {
        (Some(_), Some(_)) => {
            return Err(Problem::new(Code::InvalidParameter, "give delay or deliverAt, not both"));
        }
        (Some(delay), None) => sender.now.saturating_add(millis(delay)),
        (None, Some(at)) => at,
        (None, None) => return Ok(None),
    };
    if at.saturating_sub(sender.now) > millis(sender.max_delay) {
        let detail = format!("delivery may lie at most {} ahead", Span(sender.max_delay));
        return Err(Problem::new(Code::DelayTooLong, detail).at("/delay"));
    }
    Ok(Some(at))
}

fn millis(span: Duration) -> Millis {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
