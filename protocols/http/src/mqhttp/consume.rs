//! Consuming: messages under lease, in order or not, and what an answer says of each.
//!
//! The one idea to know: nothing to consume is the error `MessageNotExist`, never an empty list, because several SDKs fall
//! over an empty list.

use super::call::Call;
use super::faults::Fault;
use super::properties::Writer;
use super::publish::{body_digest, reserved};
use super::xml::write::{Document, answer};
use super::{handles, transactions, xml};
use crate::lease_guard::{LeaseGuard, Settle};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use sluice_broker::{GroupSpec, Lease, ReceiveRequest, StartAt};
use sluice_model::{Delivered, Filter, GroupName, Message, Millis, StoredMessage, well_known};
use std::time::Duration;

/// A lease shorter than a round trip helps nobody.
const MIN_LEASE: Duration = Duration::from_secs(1);
/// Says that a body could not be sent as it is.
const BODY_ENCODING: (&str, &str) = ("__BODYENCODING", "base64");
/// An empty body in Base64 would be empty, which one SDK takes for damage; this decodes to nothing as well.
const EMPTY_BODY: &str = " ";
/// Only the business of one wire.
const HIDDEN: [&str; 1] = [well_known::DESTINATION];

pub(super) async fn consume(call: &Call) -> Result<Response, Fault> {
    let config = &call.app.config.mq;
    let lease = |time: Duration| time.max(MIN_LEASE).min(call.broker().config().max_lease.0);
    match call.query.trans.as_str() {
        "" => receive(call, Lease::For(lease(config.invisible_time.0))).await,
        "order" => receive(call, Lease::InOrder(lease(config.order_invisible_time.0))).await,
        "pop" => transactions::checks(call).await,
        other => Err(Fault::invalid(format!("trans is {other:?}, not order or pop"))),
    }
}

async fn receive(call: &Call, lease: Lease<'_>) -> Result<Response, Fault> {
    let group = call.group()?;
    call.check_topic()?;
    let max_attempts = Some(call.app.config.mq.max_attempts.max(1));
    let spec = GroupSpec { start: StartAt::Earliest, max_attempts, ..GroupSpec::default() };
    call.broker().ensure_group(&call.session, &group, spec)?;
    let filter = Filter::tags(&call.query.tag)?;
    let request = ReceiveRequest {
        group: &group,
        topic: &call.topic,
        filter: &filter,
        max: call.query.messages,
        lease,
        wait: call.wait(),
        start: StartAt::Earliest,
        create: None,
    };
    let receive = async { Ok(call.broker().receive(&call.session, &request).await?) };
    let delivered = call.waiting(receive).await?;
    if delivered.is_empty() {
        return Err(Fault::nothing());
    }
    let guard =
        LeaseGuard::new(call.broker().clone(), call.session.clone(), &delivered, Settle::KeepWhenTaken);
    let shown: Vec<Shown<'_>> = delivered.iter().map(|delivered| shown(call, &group, delivered)).collect();
    Ok(guard.watch(messages(call, &shown)))
}

fn shown<'a>(call: &Call, group: &GroupName, delivered: &'a Delivered) -> Shown<'a> {
    Shown {
        message: &delivered.message,
        handle: handles::of_delivery(&delivered.receipt, &call.topic, group),
        first: first_delivery(call, group, &delivered.message, delivered.attempt),
        next: delivered.invisible_until,
        times: delivered.attempt,
    }
}

/// When a message was first delivered to a group. Of one that was first delivered by another wire, or long ago, it is only
/// known that it was not before it was stored.
pub(super) fn first_delivery(call: &Call, group: &GroupName, stored: &StoredMessage, attempt: u32) -> Millis {
    let id = stored.message.id.text();
    let (key, known) = ((group.as_str(), &*id), &call.app.mq.first_delivered);
    if attempt > 1 {
        return known.recall(key).unwrap_or(stored.stored);
    }
    let now = call.broker().now();
    known.remember(key, now);
    now
}

/// What an answer says of one message.
pub(super) struct Shown<'a> {
    pub message: &'a StoredMessage,
    pub handle: String,
    pub first: Millis,
    /// Until when the handle is good.
    pub next: Millis,
    pub times: u32,
}

pub(super) fn messages(call: &Call, shown: &[Shown<'_>]) -> Response {
    let mut document = Document::new("Messages");
    for shown in shown {
        document.open("Message");
        write(call, shown, &mut document);
        document.close("Message");
    }
    answer(StatusCode::OK, document)
}

fn write(call: &Call, shown: &Shown<'_>, document: &mut Document) {
    let message = &shown.message.message;
    let (body, encoded) = body(message, call.broker().config().max_message_size.bytes());
    let mut properties = Writer::new(call.app.config.mq.escape_properties);
    properties_of(message, &mut properties);
    if encoded {
        properties.push(BODY_ENCODING.0, BODY_ENCODING.1);
    }
    let mut omitted = properties.omitted;
    document.element("MessageId", &carried(&message.id.text()));
    document.element("MessageBodyMD5", &body_digest(body.as_bytes()));
    document.element("MessageBody", &body);
    document.element("ReceiptHandle", &shown.handle);
    document.number("PublishTime", shown.message.stored);
    document.number("FirstConsumeTime", shown.first);
    document.number("NextConsumeTime", shown.next);
    document.number("ConsumedTimes", shown.times.into());
    match message.tag.as_deref().filter(|tag| !tag.is_empty()) {
        Some(tag) if tag.chars().all(xml::is_char) => document.element("MessageTag", tag),
        Some(_) => omitted += 1,
        None => {}
    }
    let properties = properties.finish();
    if !properties.is_empty() {
        document.element("Properties", &properties);
    }
    if omitted > 0 {
        metrics::counter!("sluice_http_mq_omitted_total").increment(omitted);
    }
}

/// The body as a text, and whether it is Base64: what no XML can carry must not spoil the messages beside it.
fn body(message: &Message, limit: usize) -> (String, bool) {
    // A body that does not unpack is handed on as it lies there.
    let plain = sluice_broker::body::plain(message, limit).ok();
    let bytes = plain.map_or_else(|| message.body_or_empty(), Option::unwrap_or_default);
    if bytes.is_empty() {
        return (EMPTY_BODY.to_owned(), true);
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.chars().all(xml::is_char) => (text.to_owned(), false),
        _ => (STANDARD.encode(&bytes), true),
    }
}

fn properties_of(message: &Message, properties: &mut Writer) {
    if !message.keys.is_empty() {
        properties.push(reserved::KEYS, message.keys.as_text());
    }
    if let Some(key) = &message.ordering_group {
        properties.push(reserved::SHARDING_KEY, key);
    }
    if let Some(at) = message.deliver_at {
        properties.push(reserved::START_DELIVER_TIME, &at.to_string());
    }
    let ours = [reserved::KEYS, reserved::SHARDING_KEY, reserved::START_DELIVER_TIME, BODY_ENCODING.0];
    for (name, value) in message.headers.iter().filter(|(name, _)| !HIDDEN.contains(name)) {
        match value.map(std::str::from_utf8) {
            Some(Ok(value)) if !ours.contains(&name) => properties.push(name, value),
            _ => properties.omit(),
        }
    }
}

/// An id that another wire's client made up, as far as XML can carry it.
fn carried(id: &str) -> String {
    id.chars().map(|c| if xml::is_char(c) { c } else { '\u{FFFD}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_model::{BodyCodec, Headers};

    fn with_body(bytes: &'static [u8]) -> Message {
        Message { body: Some(bytes.into()), ..Message::default() }
    }

    #[test]
    fn bodies_that_xml_cannot_carry_are_base64() {
        assert_eq!(body(&with_body("grün\r\n€".as_bytes()), 100), ("grün\r\n€".into(), false));
        assert_eq!(body(&with_body(b"a\xff"), 100), ("Yf8=".into(), true));
        assert_eq!(body(&with_body(b"\x01"), 100), ("AQ==".into(), true));
        assert!(body(&with_body("\u{FFFE}".as_bytes()), 100).1);
        assert_eq!(body(&with_body(b""), 100), (" ".into(), true));
        assert_eq!(body(&Message::default(), 100), (" ".into(), true));
        let damaged = Message { codec: BodyCodec::Zlib, ..with_body(b"no zlib") };
        assert_eq!(body(&damaged, 100), ("no zlib".into(), false));
    }

    #[test]
    fn properties_of_other_wires_spoil_nothing() {
        let mut headers = Headers::builder();
        for (name, value) in [
            ("a", Some(&b"1"[..])),
            ("null", None),
            ("binary", Some(b"\xff")),
            ("url", Some(b"http://x")),
            ("KEYS", Some(b"not the keys")),
            (well_known::DESTINATION, Some(b"/queue/t")),
        ] {
            headers.push(name, value).unwrap();
        }
        let message = Message {
            headers: headers.build(),
            keys: sluice_model::Keys::joined("k1 k2"),
            ordering_group: Some("s".into()),
            deliver_at: Some(5),
            ..Message::default()
        };
        let mut writer = Writer::new(false);
        properties_of(&message, &mut writer);
        assert_eq!(writer.omitted, 4);
        assert_eq!(writer.finish(), "KEYS:k1 k2|__SHARDINGKEY:s|__STARTDELIVERTIME:5|a:1|");
    }
}
