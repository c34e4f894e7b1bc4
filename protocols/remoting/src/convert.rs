//! Between this wire's message and the model's.
//!
//! A RocketMQ message is a body, a few numbers and a list of properties, some of which mean something to the broker.
//! The one idea to know: what has a meaning becomes a typed field, so that every other wire can say it; everything else
//! becomes a header, in order. On the way out it is the other way round, and what this wire cannot say (a null, an
//! empty value, bytes that are no text, a second value of one name) is left out or spelled in base64, as README.md says.

use crate::config::Config;
use crate::errors::Failure;
use crate::ids::offset_id;
use crate::properties::{self, MAX_PROPERTIES, PropertyList, name};
use crate::record::{codec_of, sys_flag};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use sluice_model::{
    Headers, HeadersBuilder, Keys, Message, MessageType, Millis, Origin, Protocol, Provenance, StoredMessage,
    well_known,
};
use sluice_namesrv::BrokerIdentity;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

/// Added to the name of a header whose value is no text.
const BASE64_SUFFIX: &str = ".base64";

/// In an origin whose record nobody knows; there is no message at the beginning of the log.
pub(crate) const UNKNOWN_LOCATOR: u64 = 0;

/// What a send request says of one message.
#[derive(Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) body: Bytes,
    pub(crate) properties: &'a str,
    pub(crate) sys_flag: i32,
    pub(crate) flag: i32,
    pub(crate) born: i64,
    pub(crate) attempt: u32,
}

/// What the properties of a retry say of the message it repeats.
#[derive(Debug, Default, Clone)]
pub(crate) struct RetryMarks {
    pub(crate) topic: Option<ByteString>,
    pub(crate) offset_id: Option<ByteString>,
}

/// What the properties say of the transaction that a message is half of.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct HalfMarks {
    /// The producer group, if it is named.
    pub(crate) group: Option<ByteString>,
    pub(crate) first_check: Option<Duration>,
}

/// What the properties say beside the message.
#[derive(Debug, Default, Clone)]
pub(crate) struct Asides {
    pub(crate) retry: RetryMarks,
    /// Set when the message is half a transaction.
    pub(crate) half: Option<HalfMarks>,
}

/// The model's message, and what its properties say beside it.
///
/// # Errors
/// `MESSAGE_ILLEGAL` for what can never be stored.
pub(crate) fn to_message(
    arrival: Arrival<'_>,
    config: &Config,
    now: Millis,
    from: &Provenance,
) -> Result<(Message, Asides), Failure> {
    if arrival.properties.len() > MAX_PROPERTIES {
        let n = arrival.properties.len();
        return Err(Failure::illegal(format!(
            "{n} bytes of properties are over the limit of {MAX_PROPERTIES}"
        )));
    }
    let codec = codec_of(arrival.sys_flag)
        .ok_or_else(|| Failure::illegal(format!("unknown compression in sysFlag {:#x}", arrival.sys_flag)))?;
    let mut reading = Reading::default();
    for (name, value) in properties::parse(arrival.properties) {
        reading.take(name, value)?;
    }
    let prepared = reading.transaction || arrival.sys_flag & sys_flag::TRANSACTION == sys_flag::PREPARED;
    let deliver_at = reading.due.at(config, now)?;
    let kind = match (deliver_at, &reading.message.ordering_group) {
        (Some(_), _) => MessageType::Delay,
        (None, Some(_)) => MessageType::Fifo,
        (None, None) => MessageType::Normal,
    };
    let message = Message {
        body: Some(arrival.body),
        codec,
        headers: reading.headers.build(),
        born: Millis::try_from(arrival.born).unwrap_or(now),
        deliver_at,
        kind,
        flag: arrival.flag,
        attempt: arrival.attempt,
        provenance: from.clone(),
        ..reading.message
    };
    Ok((message, Asides { retry: reading.retry, half: prepared.then_some(reading.half) }))
}

/// The sender of everything on one connection under one session.
pub(crate) fn provenance(principal: &ByteString, peer: SocketAddr) -> Provenance {
    Provenance { protocol: Protocol::Remoting, principal: principal.clone(), peer: Some(peer) }
}

/// A property list, as far as it is read.
#[derive(Default)]
struct Reading {
    message: Message,
    headers: HeadersBuilder,
    due: Due,
    retry: RetryMarks,
    transaction: bool,
    half: HalfMarks,
}

impl Reading {
    fn take(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        match name {
            name::TAGS => self.message.tag = Some(value.into()),
            name::KEYS => self.message.keys = Keys::joined(value),
            name::UNIQ_KEY => self.message.id = value.into(),
            name::SHARDING_KEY => self.message.ordering_group = Some(value.into()),
            name::DELAY => self.due.level = Some(number(name, value)?),
            name::TIMER_DELAY_SEC => self.due.delay_seconds = Some(number(name, value)?),
            name::TIMER_DELAY_MS => self.due.delay_millis = Some(number(name, value)?),
            name::TIMER_DELIVER_MS => self.due.at_millis = Some(number(name, value)?),
            name::TIMER_DEL_UNIQKEY => {
                return Err(Failure::illegal("delayed messages cannot be recalled here"));
            }
            name::TRAN_MSG => self.transaction = value.eq_ignore_ascii_case("true"),
            name::PGROUP => self.half.group = Some(value.into()),
            name::CHECK_IMMUNITY_TIME => {
                // -1 and the like leave it to the broker, as stock clients say it.
                let seconds = u64::try_from(number(name, value)?).ok();
                self.half.first_check = seconds.map(Duration::from_secs);
            }
            name::RETRY_TOPIC => self.retry.topic = Some(value.into()),
            name::ORIGIN_MESSAGE_ID => self.retry.offset_id = Some(value.into()),
            // To be stored before the answer is what every message gets; the others are written anew for each reader.
            name::WAIT if value == "true" => {}
            name::CLUSTER | name::MSG_REGION | name::TRACE_ON | name::MIN_OFFSET | name::MAX_OFFSET => {}
            name::POP_CK | name::RECONSUME_TIME | name::MAX_RECONSUME_TIMES => {}
            name::REAL_TOPIC | name::REAL_QID => {}
            name::INNER_NUM => return Err(Failure::illegal("inner batches are not offered by this broker")),
            name::CORRELATION_ID => self.header(well_known::CORRELATION_ID, value)?,
            other => self.header(other, value)?,
        }
        Ok(())
    }

    fn header(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        self.headers.push(name, Some(value.as_bytes())).map(drop).map_err(|e| Failure::illegal(e.message()))
    }
}

fn number(name: &str, value: &str) -> Result<i64, Failure> {
    value
        .trim()
        .parse()
        .map_err(|_| Failure::illegal(format!("the property {name} is not a number: {value:?}")))
}

/// When a message asks to be delivered. A level counts before a time.
#[derive(Default)]
struct Due {
    level: Option<i64>,
    delay_seconds: Option<i64>,
    delay_millis: Option<i64>,
    at_millis: Option<i64>,
}

impl Due {
    fn at(&self, config: &Config, now: Millis) -> Result<Option<Millis>, Failure> {
        if let Some(delay) = self.level.and_then(|level| config.delay_of(level)) {
            return Ok(Some(now.saturating_add(delay.as_millis())));
        }
        let now_signed = i64::try_from(now).unwrap_or(i64::MAX);
        let at = if let Some(seconds) = self.delay_seconds {
            seconds.saturating_mul(1000).saturating_add(now_signed)
        } else if let Some(millis) = self.delay_millis {
            millis.saturating_add(now_signed)
        } else if let Some(at) = self.at_millis {
            at
        } else {
            return Ok(None);
        };
        Ok((at > now_signed).then_some(at as Millis))
    }
}

/// How long the broker may be asked to hold a message back, as this wire refuses it.
pub(crate) fn check_delay(message: &Message, now: Millis, max: Millis) -> Result<(), Failure> {
    match message.deliver_at {
        Some(at) if at > now.saturating_add(max) => {
            Err(Failure::illegal(format!("timer message illegal, the delay is over the limit of {max} ms")))
        }
        _ => Ok(()),
    }
}

/// What this broker adds to every message it delivers.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    pub(crate) broker: BrokerIdentity,
    pub(crate) region: ByteString,
    /// What the list of every message begins with.
    of_all: PropertyList,
}

impl Marks {
    pub(crate) fn new(broker: BrokerIdentity, region: ByteString) -> Self {
        let mut of_all = PropertyList::default();
        of_all.push(name::CLUSTER, &broker.cluster);
        of_all.push(name::MSG_REGION, &region);
        of_all.push(name::TRACE_ON, "true");
        Self { broker, region, of_all }
    }
}

/// The property list of a stored message, for clients that reach the broker at `host`.
pub(crate) fn to_properties(stored: &StoredMessage, marks: &Marks, host: SocketAddr) -> PropertyList {
    let list = PropertyList::with_capacity(256 + stored.message.headers.encoded().len());
    add_properties(list, stored, marks, host)
}

/// The same, behind what `list` has already.
pub(crate) fn add_properties(
    mut list: PropertyList,
    stored: &StoredMessage,
    marks: &Marks,
    host: SocketAddr,
) -> PropertyList {
    let message = &stored.message;
    // What clients cannot do without comes first: what does not fit is left out.
    list.append(&marks.of_all);
    list.push_id(name::UNIQ_KEY, &message.id);
    if message.kind == MessageType::Transaction {
        list.push(name::TRAN_MSG, "true");
    }
    if let Some(origin) = &message.origin {
        push_origin(&mut list, origin, message, host);
    }
    // On stock brokers a retry waits elsewhere; this is where it went then.
    if stored.topic.retry_group().is_some() {
        list.push(name::REAL_TOPIC, stored.topic.as_str());
        list.push(name::REAL_QID, &stored.queue.0.to_string());
    }
    if let Some(tag) = &message.tag {
        list.push(name::TAGS, tag);
    }
    if !message.keys.is_empty() {
        list.push(name::KEYS, message.keys.as_text());
    }
    if let Some(group) = &message.ordering_group {
        list.push(name::SHARDING_KEY, group);
    }
    if let Some(key) = message.unworded_key() {
        list.push(well_known::RECORD_KEY, &STANDARD.encode(key));
    }
    push_headers(&mut list, &message.headers);
    list
}

/// Where a message that failed first stood. A consumer that sends it on by itself, as those in order do with what they give
/// up, names it by its unique key, and says how often it failed.
fn push_origin(list: &mut PropertyList, origin: &Origin, message: &Message, host: SocketAddr) {
    list.push(name::RETRY_TOPIC, origin.position.topic.as_str());
    if origin.locator == UNKNOWN_LOCATOR {
        list.push_id(name::ORIGIN_MESSAGE_ID, &message.id);
        list.push(name::RECONSUME_TIME, &message.attempt.to_string());
    } else {
        list.push(name::ORIGIN_MESSAGE_ID, &offset_id(host, origin.locator));
    }
}

fn push_headers(list: &mut PropertyList, headers: &Headers) {
    let mut seen = HashSet::new();
    for (name, value) in headers.iter() {
        let Some(value) = value.filter(|_| !is_reserved(name) && seen.insert(name)) else { continue };
        match std::str::from_utf8(value) {
            Ok(text) if properties::is_plain(text) => {
                if name == well_known::CORRELATION_ID {
                    list.push(name::CORRELATION_ID, text);
                }
                list.push(name, text);
            }
            _ => {
                list.push(&format!("{name}{BASE64_SUFFIX}"), &STANDARD.encode(value));
            }
        }
    }
}

/// Names under which this wire says typed fields: a header of another wire must not pass for one.
fn is_reserved(name: &str) -> bool {
    [
        name::TAGS,
        name::KEYS,
        name::UNIQ_KEY,
        name::SHARDING_KEY,
        name::DELAY,
        name::TIMER_DELAY_SEC,
        name::TIMER_DELAY_MS,
        name::TIMER_DELIVER_MS,
        name::TIMER_DEL_UNIQKEY,
        name::TRAN_MSG,
        name::PGROUP,
        name::CHECK_IMMUNITY_TIME,
        name::RETRY_TOPIC,
        name::ORIGIN_MESSAGE_ID,
        name::REAL_TOPIC,
        name::REAL_QID,
        name::RECONSUME_TIME,
        name::MAX_RECONSUME_TIMES,
        name::CLUSTER,
        name::MSG_REGION,
        name::TRACE_ON,
        name::MIN_OFFSET,
        name::MAX_OFFSET,
        name::POP_CK,
        name::INNER_NUM,
        name::CORRELATION_ID,
    ]
    .contains(&name)
}
