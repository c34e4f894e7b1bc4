//! Publishing one message: the raw body is the message.

use super::{once, transactions};
use crate::call::{Call, JSON, TEXT};
use crate::convert::{self, Ready, Sender};
use crate::errors::{Code, Problem};
use crate::moment::Moment;
use crate::params;
use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, BytesMut};
use http::StatusCode;
use http::header::{self, HeaderValue};
use serde::Serialize;
use sluice_broker::{Durability, OnceRefusal, QueueChoice, SendRequest, Sent};
use sluice_model::{Error, ErrorKind, MessageId, TopicName};
use std::error::Error as _;

/// What a location and an answer take, mostly.
const ROOM: usize = 384;

/// When a publish is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    /// What it asks of the log; `None` is the topic's own level.
    pub durability: Option<Durability>,
    /// False: the answer comes before the message is safe.
    pub wait: bool,
}

impl Level {
    pub fn parse(text: Option<&str>) -> Result<Self, Problem> {
        let level = |durability, wait| Ok(Self { durability, wait });
        match text {
            None => level(None, true),
            Some("stored") => level(Some(Durability::Async), true),
            Some("synced") => level(Some(Durability::Sync), true),
            Some("none") => level(None, false),
            Some("quorum") => {
                Err(Problem::new(Code::Unsupported, "ack=quorum is not offered: there is one node"))
            }
            Some(other) => Err(params::invalid("ack", &format!("{other:?} is none of stored, synced, none"))),
        }
    }

    pub fn status(self) -> StatusCode {
        if self.wait { StatusCode::CREATED } else { StatusCode::ACCEPTED }
    }
}

/// Whether an unknown topic is created, as the broker asks it.
pub(crate) fn create(call: &Call) -> Result<Option<u32>, Problem> {
    Ok(call.query.flag("create")?.unwrap_or(true).then_some(0))
}

pub(crate) fn sender(call: &Call) -> Result<Sender, Problem> {
    let config = call.broker().config();
    Ok(Sender {
        now: call.broker().now(),
        provenance: call.provenance()?,
        max_delay: config.max_delay.0,
        max_body: config.max_message_size.bytes(),
    })
}

/// A failed send: the one conflict a send can have is that the topic takes another type of message.
pub(crate) fn send_problem(error: Error) -> Problem {
    let refusal = error.source().and_then(|source| source.downcast_ref::<OnceRefusal>());
    match error.kind() {
        _ if refusal == Some(&OnceRefusal::KeyRequired) => {
            Problem::new(Code::IdempotencyKeyRequired, error.message())
        }
        ErrorKind::Conflict => Problem::new(Code::TypeMismatch, error.message()),
        _ => error.into(),
    }
}

/// Where a message went, as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Published {
    pub message_id: MessageId,
    pub topic: TopicName,
    pub queue: u32,
    /// Absent while a delayed message waits: it has no place in its topic yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    pub stored_at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_at: Option<Moment>,
}

impl Published {
    pub fn new(topic: &TopicName, sent: &Sent, deliver_at: Option<u64>) -> Self {
        Self {
            message_id: sent.id.clone(),
            topic: topic.clone(),
            queue: sent.queue.0,
            offset: (!sent.delayed).then_some(sent.offset),
            stored_at: Moment(sent.stored),
            deliver_at: deliver_at.filter(|_| sent.delayed).map(Moment),
        }
    }

    /// Where the message can be read, when it can be read already.
    fn location(&self, out: &mut BytesMut) -> Option<HeaderValue> {
        let offset = self.offset?;
        out.put_slice(b"/v1/topics/");
        convert::segment(self.topic.as_str()).for_each(|part| out.put_slice(part.as_bytes()));
        out.put_slice(b"/queues/");
        out.put_slice(itoa::Buffer::new().format(self.queue).as_bytes());
        out.put_slice(b"/messages?offset=");
        out.put_slice(itoa::Buffer::new().format(offset).as_bytes());
        out.put_slice(b"&limit=1");
        HeaderValue::from_maybe_shared(out.split().freeze()).ok()
    }

    /// The same JSON as that of batches, by hand: every publish is answered with one, and the general way costs several times
    /// as much. Topics and times have no letter that JSON escapes; ids are the sender's own now and then.
    fn write(&self, out: &mut BytesMut) -> serde_json::Result<()> {
        let mut number = itoa::Buffer::new();
        out.put_slice(b"{\"messageId\":");
        serde_json::to_writer((&mut *out).writer(), &*self.message_id.text())?;
        out.put_slice(b",\"topic\":\"");
        out.put_slice(self.topic.as_str().as_bytes());
        out.put_slice(b"\",\"queue\":");
        out.put_slice(number.format(self.queue).as_bytes());
        if let Some(offset) = self.offset {
            out.put_slice(b",\"offset\":");
            out.put_slice(number.format(offset).as_bytes());
        }
        let times =
            [(&b",\"storedAt\":\""[..], Some(self.stored_at)), (&b",\"deliverAt\":\""[..], self.deliver_at)];
        for (name, moment) in times {
            let Some(moment) = moment else { continue };
            out.put_slice(name);
            out.put_slice(moment.to_text().as_str().as_bytes());
            out.put_u8(b'"');
        }
        out.put_slice(b"}\n");
        Ok(())
    }
}

/// `POST` and `PUT /v1/topics/{topic}/messages`
pub(crate) async fn raw(mut call: Call) -> Result<Response, Problem> {
    let topic = call.topic()?;
    let format = call.accept(&[JSON, TEXT])?;
    let level = Level::parse(call.query.get("ack")?)?;
    let create = create(&call)?;
    let limit = call.broker().config().max_message_size.bytes();
    let body = call.body.read(limit, Code::MessageTooLarge).await?;
    let ready = convert::from_raw(body, &call.headers, &call.query, &sender(&call)?)?;
    let key = once::idempotency_key(&call)?;
    if let Some(plan) = transactions::Plan::of(&call)? {
        if key.is_some() {
            let detail = "transactions take no Idempotency-Key: prepare again, and end the one that is known";
            return Err(Problem::new(Code::SemanticError, detail));
        }
        let request = request(topic, ready, create, level);
        return Box::pin(transactions::prepare(&call, plan, request, format)).await;
    }
    if let Some(key) = key {
        let key = once::Named::Key(key);
        return Box::pin(once::raw(&call, key, topic, ready, (create, level), format)).await;
    }
    let deliver_at = ready.message.deliver_at;
    let promise = call
        .broker()
        .send(call.session()?, request(topic.clone(), ready, create, level))
        .map_err(send_problem)?;
    let sent = match level.wait {
        true => promise.await.map_err(|e| Problem::from(e).outcome_unknown())?,
        false => promise.preview().cloned().unwrap_or_default(),
    };
    let sent = sent
        .first()
        .ok_or_else(|| Problem::new(Code::Internal, "the log did not say where the message went"))?;
    answer(&Published::new(&topic, sent, deliver_at), level.status(), format)
}

pub(crate) fn request(topic: TopicName, ready: Ready, create: Option<u32>, level: Level) -> SendRequest {
    SendRequest {
        topic,
        messages: vec![ready.message],
        queue: ready.queue.map_or(QueueChoice::Any, QueueChoice::Exactly),
        create,
        durability: level.durability,
    }
}

pub(crate) fn answer(published: &Published, status: StatusCode, format: &str) -> Result<Response, Problem> {
    let mut out = BytesMut::with_capacity(ROOM);
    let location = published.location(&mut out);
    let media = match format {
        TEXT => {
            out.put_slice(published.message_id.text().as_bytes());
            out.put_u8(b'\n');
            "text/plain; charset=utf-8"
        }
        _ => {
            published.write(&mut out).map_err(|error| Problem::from(Error::internal(error)))?;
            JSON
        }
    };
    let mut response = Response::new(Body::from(out.freeze()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_written_as_batches_write_it() {
        for (id, offset, deliver_at) in [
            ("7F00", Some(5), None),
            ("a \"b\" \u{1} ü", None, Some(Moment(u64::MAX))),
            ("", Some(u64::MAX), None),
        ] {
            let published = Published {
                message_id: id.into(),
                topic: TopicName::new("%RETRY%g-1_|x").unwrap(),
                queue: u32::MAX,
                offset,
                stored_at: Moment(1_767_686_400_123),
                deliver_at,
            };
            let mut out = BytesMut::new();
            published.write(&mut out).unwrap();
            assert_eq!(out, format!("{}\n", serde_json::to_string(&published).unwrap()));
        }
    }
}
