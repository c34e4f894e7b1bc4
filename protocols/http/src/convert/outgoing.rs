//! From the model to the wire: a message as JSON, and as a raw body with headers.
//!
//! `properties` shows the first text value of each name; where that is not all (a repeated name, a binary or null
//! value), the exact ordered list stands in `headers` beside it.

use super::incoming::{BinaryHeader, Header};
use super::{compact_json, plain_body, write_header_text};
use crate::call::OCTETS;
use crate::errors::Problem;
use crate::params::{self, format_time};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;
use sluice_model::{
    BodyCodec, Delivered, Headers, MessageId, MessageType, Millis, Protocol, StoredMessage, well_known,
};
use std::collections::HashSet;

/// Shown as fields of their own, or only the business of one wire.
const NOT_PROPERTIES: [&str; 4] =
    [well_known::CONTENT_TYPE, well_known::CORRELATION_ID, well_known::REPLY_TO, well_known::DESTINATION];

/// How bodies are shown in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyMode {
    /// Text when it is UTF-8, else Base64.
    Auto,
    /// As JSON when it is JSON, else as `Auto`.
    Json,
    /// Always Base64.
    Base64,
    /// Not at all.
    None,
}

impl BodyMode {
    pub fn parse(text: Option<&str>) -> Result<Self, Problem> {
        match text {
            None | Some("auto") => Ok(Self::Auto),
            Some("json") => Ok(Self::Json),
            Some("base64") => Ok(Self::Base64),
            Some("none") => Ok(Self::None),
            Some(other) => {
                Err(params::invalid("body", &format!("{other:?} is none of auto, json, base64, none")))
            }
        }
    }
}

/// What is said of a delivery.
#[derive(Clone, Copy)]
pub(crate) struct Lease<'a> {
    pub deliveries: u32,
    /// None when the delivery is settled already.
    pub handle: Option<(&'a str, Millis)>,
}

impl<'a> Lease<'a> {
    pub fn open(delivered: &'a Delivered) -> Self {
        let handle = Some((delivered.receipt.as_str(), delivered.invisible_until));
        Self { deliveries: delivered.attempt, handle }
    }

    pub fn settled(delivered: &Delivered) -> Self {
        Self { deliveries: delivered.attempt, handle: None }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
    message_id: &'a MessageId,
    topic: &'a str,
    queue: u32,
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sharding_key: Option<&'a str>,
    properties: Properties<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Vec<Header>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_codec: Option<&'static str>,
    #[serde(rename = "type")]
    kind: MessageType,
    born_at: String,
    stored_at: String,
    published_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    protocol: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    producer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_message_id: Option<&'a MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<u32>,
}

/// The first text value of each name.
struct Properties<'a>(Vec<(&'a str, &'a str)>);

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A message as one line of JSON. `event` is its place in a stream, for lines that have no other way to say it.
pub(crate) fn message_json(
    stored: &StoredMessage,
    lease: Option<Lease<'_>>,
    mode: BodyMode,
    event: Option<&str>,
    max_body: usize,
) -> Result<Box<RawValue>, Problem> {
    let mut view = view(stored, mode, max_body)?;
    view.event_id = event;
    if let Some(lease) = lease {
        view.deliveries = Some(lease.deliveries);
        view.handle = lease.handle.map(|(handle, _)| handle);
        view.lease_until = lease.handle.map(|(_, until)| format_time(until));
    }
    to_raw(&view)
}

/// A dead letter as one line of JSON.
pub(crate) fn dead_letter_json(
    stored: &StoredMessage,
    mode: BodyMode,
    max_body: usize,
) -> Result<Box<RawValue>, Problem> {
    let mut view = view(stored, mode, max_body)?;
    // Its place is the one in the dead-letter queue: that is where it can be read again.
    view.queue = stored.queue.0;
    view.offset = stored.offset;
    view.deliveries = Some(stored.message.attempt);
    view.reason = stored.message.headers.text("dead-letter-reason");
    view.original_message_id = Some(&stored.message.id);
    to_raw(&view)
}

/// A half message whose transaction's outcome is asked for. Its offset is the one among half messages.
pub(crate) fn check_json(
    stored: &StoredMessage,
    transaction: &str,
    checks: u32,
    mode: BodyMode,
    max_body: usize,
) -> Result<Box<RawValue>, Problem> {
    let mut view = view(stored, mode, max_body)?;
    view.transaction_id = Some(transaction);
    view.checks = Some(checks);
    to_raw(&view)
}

fn to_raw(value: &impl Serialize) -> Result<Box<RawValue>, Problem> {
    serde_json::value::to_raw_value(value).map_err(|e| Problem::from(sluice_model::Error::internal(e)))
}

fn view(stored: &StoredMessage, mode: BodyMode, max_body: usize) -> Result<View<'_>, Problem> {
    let message = &stored.message;
    let (queue, offset) = place(stored);
    let (properties, exact) = properties(&message.headers);
    let (body, body_base64, body_codec) = body(stored, mode, max_body)?;
    Ok(View {
        event_id: None,
        message_id: &message.id,
        topic: stored.original_topic().as_str(),
        queue,
        offset,
        tag: message.tag.as_deref(),
        keys: message.keys.iter().collect(),
        sharding_key: message.ordering_group.as_deref(),
        properties,
        headers: (!exact).then(|| header_list(&message.headers)),
        content_type: message.headers.text(well_known::CONTENT_TYPE),
        correlation_id: message.headers.text(well_known::CORRELATION_ID),
        reply_to: message.headers.text(well_known::REPLY_TO),
        key_base64: message.key.as_ref().map(|key| STANDARD.encode(key)),
        body,
        body_base64,
        body_codec,
        kind: message.kind,
        born_at: format_time(message.born),
        stored_at: format_time(stored.stored),
        published_at: format_time(stored.stored),
        deliver_at: message.deliver_at.map(format_time),
        expires_at: message.expires_at.map(format_time),
        protocol: protocol(message.provenance.protocol),
        producer: &message.provenance.principal,
        deliveries: None,
        handle: None,
        lease_until: None,
        reason: None,
        original_message_id: None,
        transaction_id: None,
        checks: None,
    })
}

/// Where the producer's message stood first: a retried one lies elsewhere now.
fn place(stored: &StoredMessage) -> (u32, u64) {
    match &stored.message.origin {
        Some(origin) => (origin.position.queue.0, origin.position.offset),
        None => (stored.queue.0, stored.offset),
    }
}

/// The properties, and whether they say everything that the headers say.
fn properties(headers: &Headers) -> (Properties<'_>, bool) {
    let (mut shown, mut seen, mut exact) = (Vec::new(), HashSet::new(), true);
    for (name, value) in headers.iter() {
        let text = value.and_then(|v| std::str::from_utf8(v).ok());
        exact &= text.is_some() && seen.insert(name);
        if let Some(text) = text
            && !NOT_PROPERTIES.contains(&name)
            && !shown.iter().any(|(n, _)| *n == name)
        {
            shown.push((name, text));
        }
    }
    (Properties(shown), exact)
}

fn header_list(headers: &Headers) -> Vec<Header> {
    let entry = |(name, value): (&str, Option<&[u8]>)| {
        let name = name.to_owned();
        match value.map(std::str::from_utf8) {
            None => Header::Pair(name, None),
            Some(Ok(text)) => Header::Pair(name, Some(text.to_owned())),
            Some(Err(_)) => Header::Binary(BinaryHeader {
                name,
                value_base64: STANDARD.encode(value.unwrap_or_default()),
            }),
        }
    };
    headers.iter().map(entry).collect()
}

type ShownBody = (Option<Box<RawValue>>, Option<String>, Option<&'static str>);

fn body(stored: &StoredMessage, mode: BodyMode, max_body: usize) -> Result<ShownBody, Problem> {
    let message = &stored.message;
    if mode == BodyMode::None {
        return Ok((None, None, None));
    }
    if message.body.is_none() {
        return Ok((Some(to_raw(&())?), None, None));
    }
    let Ok(bytes) = plain_body(message, max_body) else {
        // One damaged body must not hide the messages around it: it is shown as it lies there, and named.
        return Ok((None, Some(STANDARD.encode(message.body_bytes())), Some(codec(message.codec))));
    };
    match std::str::from_utf8(&bytes) {
        Ok(text) if mode == BodyMode::Json => match serde_json::from_str::<&RawValue>(text) {
            Ok(json) => Ok((RawValue::from_string(compact_json(json.get())).ok(), None, None)),
            Err(_) => Ok((Some(to_raw(&text)?), None, None)),
        },
        Ok(text) if mode == BodyMode::Auto => Ok((Some(to_raw(&text)?), None, None)),
        _ => Ok((None, Some(STANDARD.encode(&bytes)), None)),
    }
}

fn codec(codec: BodyCodec) -> &'static str {
    match codec {
        BodyCodec::Plain => "plain",
        BodyCodec::Zlib => "zlib",
        BodyCodec::Lz4 => "lz4",
        BodyCodec::Zstd => "zstd",
    }
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Internal => "internal",
        Protocol::Remoting => "remoting",
        Protocol::Grpc => "grpc",
        Protocol::Http => "http",
        Protocol::Stomp => "stomp",
        Protocol::Kafka => "kafka",
    }
}

/// One delivery as a raw body with its metadata in headers.
pub(crate) fn raw_message(
    stored: &StoredMessage,
    lease: Lease<'_>,
    max_body: usize,
) -> Result<Response, Problem> {
    let message = &stored.message;
    let bytes: Bytes = plain_body(message, max_body)?;
    let mut head = RawHead { headers: HeaderMap::new(), omitted: 0 };
    let content_type =
        message.headers.text(well_known::CONTENT_TYPE).and_then(|v| HeaderValue::from_str(v).ok());
    head.headers.insert(header::CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static(OCTETS)));
    // A stored page must not run in this origin, whatever type its sender gave it.
    head.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    head.headers
        .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    let (queue, offset) = place(stored);
    head.put("x-mq-message-id", &message.id.text());
    head.put("x-mq-topic", stored.original_topic().as_str());
    head.put("x-mq-queue", &queue.to_string());
    head.put("x-mq-offset", &offset.to_string());
    head.put_some("x-mq-tag", message.tag.as_deref());
    for key in message.keys.iter() {
        head.put("x-mq-key", key);
    }
    head.put_some("x-mq-sharding-key", message.ordering_group.as_deref());
    head.put_some("x-mq-correlation-id", message.headers.text(well_known::CORRELATION_ID));
    head.put_some("x-mq-reply-to", message.headers.text(well_known::REPLY_TO));
    head.put("x-mq-born-at", &format_time(message.born));
    head.put("x-mq-stored-at", &format_time(stored.stored));
    head.put_some("x-mq-deliver-at", message.deliver_at.map(format_time).as_deref());
    head.put("x-mq-protocol", protocol(message.provenance.protocol));
    head.put("x-mq-deliveries", &lease.deliveries.to_string());
    if let Some((handle, until)) = lease.handle {
        head.put("x-mq-handle", handle);
        head.put("x-mq-lease-until", &format_time(until));
    }
    if message.body.is_none() {
        head.put("x-mq-body", "null");
    }
    head.properties(&message.headers);
    Ok((StatusCode::OK, head.finish(), bytes).into_response())
}

struct RawHead {
    headers: HeaderMap,
    /// Properties that a header cannot say.
    omitted: usize,
}

impl RawHead {
    fn put(&mut self, name: &'static str, text: &str) {
        if let Ok(value) = HeaderValue::from_str(&write_header_text(text)) {
            self.headers.append(HeaderName::from_static(name), value);
        }
    }

    fn put_some(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.put(name, text);
        }
    }

    fn properties(&mut self, headers: &Headers) {
        for (name, value) in headers.iter().filter(|(name, _)| !NOT_PROPERTIES.contains(name)) {
            let name = HeaderName::from_bytes(format!("x-mq-prop-{name}").as_bytes());
            let text = value.and_then(|v| std::str::from_utf8(v).ok()).map(write_header_text);
            let value = text.and_then(|text| HeaderValue::from_str(&text).ok());
            match (name, value) {
                (Ok(name), Some(value)) => {
                    self.headers.append(name, value);
                }
                _ => self.omitted += 1,
            }
        }
    }

    fn finish(mut self) -> HeaderMap {
        if self.omitted > 0 {
            self.put("x-mq-omitted", &self.omitted.to_string());
        }
        self.headers
    }
}
