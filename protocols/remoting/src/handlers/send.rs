//! SEND_MESSAGE (10, 310) and SEND_BATCH_MESSAGE (320).
//!
//! The one idea to know: the message is in the log when `handle` returns, in the order of the requests; only the answer
//! waits for the disk, so that all sends of one read share one sync.

use super::{Answer, Call, Result, recall, system, transactions};
use crate::codec::Ext;
use crate::codes::{request, response};
use crate::convert::{Arrival, Asides, RetryMarks, UNKNOWN_LOCATOR, check_delay, provenance, to_message};
use crate::errors::Failure;
use crate::ids::{offset_id, parse_offset_id};
use crate::node::Node;
use crate::record::parse_batch;
use crate::response::Response;
use bytestring::ByteString;
use sluice_broker::{Promise, QueueChoice, SendRequest, Sent};
use sluice_model::{GroupName, Message, Millis, Offset, Origin, Position, QueueId, TopicName};
use sluice_namesrv::AUTO_CREATE_QUEUES;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

/// Attempts of a message when neither the request nor the group says how many.
const STOCK_RETRIES: i64 = 16;

pub(super) fn handle(call: Call) -> Answer {
    let send = match Send::read(&call).and_then(|send| send.check().map(|()| send)) {
        Ok(send) => send,
        Err(failure) => return refuse(&call, failure),
    };
    if let Some(group) = send.topic.retry_group() {
        return Answer::Later(Box::pin(async move {
            let result = retry(&call, send, group).await;
            marked(&call.node, result.unwrap_or_else(Response::from))
        }));
    }
    let (promise, due) = match start(&call, &send) {
        Ok(started) => started,
        Err(failure) => return refuse(&call, failure),
    };
    // The request is in the log: what it was read into is free again before the answer.
    let (node, host) = (Arc::clone(&call.node), call.link.here.host);
    let recall = due.map(|due| (send.topic, due));
    Answer::Later(Box::pin(async move {
        let response = match promise.await {
            Ok(sent) => recallable(&node, recall, &sent, stored(host, &sent)),
            Err(error) => Failure::from(error).into(),
        };
        marked(&node, response)
    }))
}

/// The answer to a send that is refused, at the time when the client shall have it.
fn refuse(call: &Call, failure: Failure) -> Answer {
    let hold = failure.hold;
    let response = marked(&call.node, failure.into());
    if hold.is_zero() {
        return Answer::Ready(response);
    }
    let link = Arc::clone(&call.link);
    Answer::Later(Box::pin(async move {
        tokio::select! {
            () = tokio::time::sleep(hold) => {}
            () = link.closing() => {}
        }
        response
    }))
}

/// The fields of a send request.
struct Send {
    topic: TopicName,
    queue: i32,
    default_queues: i64,
    sys_flag: i32,
    born: i64,
    flag: i32,
    properties: ByteString,
    attempt: u32,
    max_retries: Option<i64>,
    batch: bool,
}

impl Send {
    fn read(call: &Call) -> Result<Self> {
        let code = call.frame.head.code;
        let names = if code == request::SEND_MESSAGE { &LONG } else { &SHORT };
        let ext = &call.frame.ext;
        let topic = ext.get(names.topic).ok_or_else(|| missing(names.topic))?;
        Ok(Self {
            topic: TopicName::new(topic.clone())?,
            queue: field(ext, names.queue)?.unwrap_or(-1),
            default_queues: field(ext, names.default_queues)?.unwrap_or(4),
            sys_flag: field(ext, names.sys_flag)?.unwrap_or(0),
            born: field(ext, names.born)?.ok_or_else(|| missing(names.born))?,
            flag: field(ext, names.flag)?.unwrap_or(0),
            properties: ext.get(names.properties).cloned().unwrap_or_default(),
            attempt: field(ext, names.attempt)?.unwrap_or(0),
            max_retries: field(ext, names.max_retries)?,
            batch: ext.get(names.batch).is_some_and(|b| b.eq_ignore_ascii_case("true")),
        })
    }

    fn check(&self) -> Result<()> {
        if system::is_closed(self.topic.as_str()) {
            let text = format!("the topic {} belongs to the broker", self.topic);
            return Err(Failure::new(response::NO_PERMISSION, text));
        }
        if self.batch && self.topic.retry_group().is_some() {
            return Err(Failure::illegal("batch request does not support retry group"));
        }
        Ok(())
    }

    fn queue_choice(&self) -> QueueChoice {
        u32::try_from(self.queue).map_or(QueueChoice::Any, |queue| QueueChoice::Exactly(QueueId(queue)))
    }

    /// How many queues the topic gets if it is new.
    fn queues_to_create(&self) -> u32 {
        u32::try_from(self.default_queues).unwrap_or(0).clamp(1, AUTO_CREATE_QUEUES)
    }

    fn request(&self, message: Message) -> SendRequest {
        SendRequest {
            topic: self.topic.clone(),
            messages: vec![message],
            queue: self.queue_choice(),
            create: Some(self.queues_to_create()),
            durability: None,
        }
    }

    fn arrival<'a>(&'a self, call: &Call) -> Arrival<'a> {
        Arrival {
            body: call.frame.body.clone(),
            properties: &self.properties,
            sys_flag: self.sys_flag,
            flag: self.flag,
            born: self.born,
            attempt: self.attempt,
        }
    }
}

/// The names of the fields: the long ones of code 10, and the short ones of all others.
struct Names {
    topic: &'static str,
    default_queues: &'static str,
    queue: &'static str,
    sys_flag: &'static str,
    born: &'static str,
    flag: &'static str,
    properties: &'static str,
    attempt: &'static str,
    max_retries: &'static str,
    batch: &'static str,
}

const LONG: Names = Names {
    topic: "topic",
    default_queues: "defaultTopicQueueNums",
    queue: "queueId",
    sys_flag: "sysFlag",
    born: "bornTimestamp",
    flag: "flag",
    properties: "properties",
    attempt: "reconsumeTimes",
    max_retries: "maxReconsumeTimes",
    batch: "batch",
};
const SHORT: Names = Names {
    topic: "b",
    default_queues: "d",
    queue: "e",
    sys_flag: "f",
    born: "g",
    flag: "h",
    properties: "i",
    attempt: "j",
    max_retries: "l",
    batch: "m",
};

fn field<T: FromStr>(ext: &Ext, name: &str) -> Result<Option<T>> {
    match ext.get(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Failure::invalid(format!("the field {name} has no valid value: {text:?}"))),
        },
    }
}

fn missing(name: &str) -> Failure {
    Failure::invalid(format!("the field {name} is missing"))
}

/// Puts a message, or a batch of them, into the log; and says when a single one asks to be delivered.
fn start(call: &Call, send: &Send) -> Result<(Promise<Vec<Sent>>, Option<Millis>)> {
    if send.batch {
        let messages = batch(call, send)?;
        let (queue, create) = (send.queue_choice(), send.queues_to_create());
        return Ok((put(call, send.topic.clone(), messages, queue, create)?, None));
    }
    let (message, asides) = single(call, send)?;
    let due = message.deliver_at;
    let request = send.request(message);
    match asides.half {
        Some(half) => Ok((transactions::prepare(call, request, half)?, None)),
        None => Ok((call.node.broker.send(&call.session, request)?, due)),
    }
}

/// The answer, with what takes a message back that waits for its time.
fn recallable(
    node: &Node,
    recall: Option<(TopicName, Millis)>,
    sent: &[Sent],
    response: Response,
) -> Response {
    match (recall, sent) {
        (Some((topic, due)), [sent]) if sent.delayed => {
            response.field("recallHandle", recall::handle_of(node, &topic, due, sent))
        }
        _ => response,
    }
}

fn put(
    call: &Call,
    topic: TopicName,
    messages: Vec<Message>,
    queue: QueueChoice,
    create: u32,
) -> Result<Promise<Vec<Sent>>> {
    let request = SendRequest { topic, messages, queue, create: Some(create), durability: None };
    Ok(call.node.broker.send(&call.session, request)?)
}

fn single(call: &Call, send: &Send) -> Result<(Message, Asides)> {
    let (broker, config) = (&call.node.broker, &call.node.config);
    let now = broker.now();
    let from = provenance(call.session.principal(), call.link.peer);
    let (message, marks) = to_message(send.arrival(call), config, now, &from)?;
    check_delay(&message, now, broker.config().max_delay.as_millis())?;
    Ok((message, marks))
}

fn batch(call: &Call, send: &Send) -> Result<Vec<Message>> {
    let (broker, config) = (&call.node.broker, &call.node.config);
    let now = broker.now();
    let from = provenance(call.session.principal(), call.link.peer);
    let items = parse_batch(&call.frame.body, broker.config().max_batch).map_err(Failure::illegal)?;
    items
        .into_iter()
        .map(|item| {
            let arrival = Arrival {
                body: item.body,
                properties: item.properties,
                flag: item.flag,
                ..send.arrival(call)
            };
            let (message, asides) = to_message(arrival, config, now, &from)?;
            match message.deliver_at {
                _ if asides.half.is_some() => Err(Failure::illegal("a batch cannot be half a transaction")),
                None => Ok(message),
                Some(_) => Err(Failure::illegal("messages of a batch cannot be delayed")),
            }
        })
        .collect()
}

/// A consumer sends a message again that it could not process: to its retry topic, or to where dead letters rest.
async fn retry(call: &Call, send: Send, group: GroupName) -> Result<Response> {
    let (mut message, asides) = single(call, &send)?;
    message.origin = origin(call, &asides.retry).await.map(Box::new);
    let broker = &call.node.broker;
    let max = send.max_retries.unwrap_or(STOCK_RETRIES);
    // A group that holds queue locks consumes in order: it retries by itself, and sends only what it gives up.
    let dead = i64::from(send.attempt) > max || broker.has_queue_locks(&call.session, &group)?;
    let topic = if dead {
        message.deliver_at = None;
        group.dead_letter_topic()
    } else {
        send.topic.clone()
    };
    let promise = put(call, topic, vec![message], QueueChoice::Any, 1)?;
    Ok(stored(call.link.here.host, &promise.await?))
}

/// Where the message first stood, as far as the sender can say. Clients name it by the offset id that they were shown, or
/// else by the unique key, which looks the same and leads nowhere.
async fn origin(call: &Call, marks: &RetryMarks) -> Option<Origin> {
    let topic = marks.topic.clone().and_then(|topic| TopicName::new(topic).ok());
    let named = marks.offset_id.as_ref().and_then(|id| parse_offset_id(id));
    if let Some((_, locator)) = named
        && let Ok(first) = call.node.broker.message_at(&call.session, locator).await
    {
        let position = Position { topic: first.topic, queue: first.queue, offset: first.offset };
        let origin = first.message.origin.map_or(Origin { position, locator }, |origin| *origin);
        if topic.as_ref().is_none_or(|topic| *topic == origin.position.topic) {
            return Some(origin);
        }
    }
    let position = Position { topic: topic?, queue: QueueId(0), offset: Offset::default() };
    Some(Origin { position, locator: UNKNOWN_LOCATOR })
}

fn stored(host: SocketAddr, sent: &[Sent]) -> Response {
    let Some(first) = sent.first() else { return Response::success() };
    let mut ids = offset_id(host, first.locator);
    for more in sent.iter().skip(1) {
        ids.push(',');
        ids.push_str(&offset_id(host, more.locator));
    }
    Response::success()
        .field("msgId", ids)
        .field("queueId", first.queue.0)
        .field("queueOffset", first.offset)
        .field("transactionId", first.id.clone())
}

/// Every answer to a send has these two fields, failures too: clients read them without looking at the code.
fn marked(node: &Node, response: Response) -> Response {
    response.field("MSG_REGION", node.marks.region.clone()).field("TRACE_ON", "true")
}
