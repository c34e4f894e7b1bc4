//! SEND to messages, and messages to MESSAGE.
//!
//! The one idea to know: what the sender's headers mean is put where every wire finds it (tag, keys, times), and what
//! they say stays in the ordered list, so that a STOMP subscriber sees what the STOMP sender wrote. Only the plain
//! spellings `tag`, `keys`, `message-group`, `expires` and a `timestamp` in milliseconds are taken out of the list: they are written anew
//! from the message, whichever wire it came by. Repeated ones stay in it, behind the first, which counts.

use crate::codec::FrameWriter;
use crate::destination::SentAs;
use crate::errors::Failure;
use crate::frame::{Frame, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytestring::ByteString;
use sluice_auth::Session;
use sluice_model::units::Span;
use sluice_model::{
    Error, Headers, Keys, Message, MessageType, Millis, Offset, Protocol, Provenance, QueueId, StoredMessage,
    well_known,
};
use sluice_net::Output;
use std::time::Duration;

/// What a SEND says to the broker alone; also what a MESSAGE carries, so that a MESSAGE can be sent again as it is.
const CONSUMED: [&str; 10] = [
    "destination",
    "receipt",
    "transaction",
    "content-length",
    "suppress_content_length",
    "id",
    "ack",
    "message-id",
    "subscription",
    "redelivered",
];
/// Most messages have no other headers; then no name that means something has to be looked for.
const PLAIN: [&str; 4] = ["destination", "receipt", "content-length", well_known::CONTENT_TYPE];
/// What a MESSAGE says first, whatever a sender called his own headers.
const SERVER: [&str; 6] =
    ["subscription", "message-id", "destination", "ack", "redelivered", "content-length"];

const TAG: [&str; 3] = ["tag", "tags", "x-tag"];
const KEYS: [&str; 3] = ["keys", "key", "message-key"];
const GROUP: [&str; 5] = ["message-group", "sharding-key", "JMSXGroupID", "_AMQ_GROUP_ID", "__SHARDINGKEY"];
const EXPIRY: [&str; 3] = ["expires", "expiration", "ttl"];
const DELAY: [&str; 4] = ["delay", "x-delay", "AMQ_SCHEDULED_DELAY", "delay-level"];
const DELIVER_AT: [&str; 4] =
    ["deliver-at", "__STARTDELIVERTIME", "_AMQ_SCHED_DELIVERY", "AMQ_SCHEDULED_TIME"];
/// The plain spellings: written anew on delivery.
const CANONICAL: [&str; 4] = ["tag", "keys", "message-group", "expires"];

/// Asked for by other brokers' clients, and not offered: silence would be a promise.
const REFUSED: [(&str, &str); 4] = [
    ("AMQ_SCHEDULED_PERIOD", "repeated delivery is not supported"),
    ("AMQ_SCHEDULED_REPEAT", "repeated delivery is not supported"),
    ("AMQ_SCHEDULED_CRON", "repeated delivery is not supported"),
    ("x-transaction", "two-phase transactions are not supported"),
];

/// RocketMQ's delay levels, 1 to 18, in seconds.
const DELAY_LEVELS: [u64; 18] =
    [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1200, 1800, 3600, 7200];

/// The message that a SEND is.
pub(crate) fn message(frame: Frame, session: &Session, now: Millis) -> Result<Message, Failure> {
    let said = match frame.headers.iter().all(|(name, _)| PLAIN.contains(&&name[..])) {
        true => Said::default(),
        false => Said::of(&frame, now)?,
    };
    let kind = match (&said.deliver_at, &said.ordering_group) {
        (Some(_), _) => MessageType::Delay,
        (None, Some(_)) => MessageType::Fifo,
        (None, None) => MessageType::Normal,
    };
    Ok(Message {
        keys: said.keys.map_or_else(Keys::none, Keys::joined),
        tag: said.tag,
        ordering_group: said.ordering_group,
        headers: headers(&frame, said.born.is_some())?,
        born: said.born.unwrap_or(now),
        deliver_at: said.deliver_at,
        expires_at: said.expires_at,
        kind,
        provenance: Provenance {
            protocol: Protocol::Stomp,
            principal: session.principal().clone(),
            peer: Some(session.peer()),
        },
        body: Some(frame.body),
        ..Message::default()
    })
}

/// What the headers of a SEND mean to the broker.
#[derive(Default)]
struct Said {
    keys: Option<ByteString>,
    tag: Option<ByteString>,
    ordering_group: Option<ByteString>,
    born: Option<Millis>,
    deliver_at: Option<Millis>,
    expires_at: Option<Millis>,
}

impl Said {
    fn of(frame: &Frame, now: Millis) -> Result<Self, Failure> {
        refuse(frame)?;
        Ok(Self {
            keys: meaning(frame, &KEYS),
            tag: meaning(frame, &TAG),
            ordering_group: meaning(frame, &GROUP),
            born: frame.get("timestamp").and_then(|text| milliseconds(text)),
            deliver_at: deliver_at(frame, now)?,
            expires_at: expires_at(frame, now)?,
        })
    }
}

fn refuse(frame: &Frame) -> Result<(), Failure> {
    for (name, why) in REFUSED {
        if frame.get(name).is_some() {
            return Err(Failure::unsupported(format!("{name}: {why}")));
        }
    }
    Ok(())
}

fn meaning(frame: &Frame, names: &[&str]) -> Option<ByteString> {
    frame.first_of(names).map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
}

fn headers(frame: &Frame, born: bool) -> Result<Headers, Failure> {
    let mut list = Headers::builder();
    let destination = frame.get("destination").map(|d| &d.as_bytes()[..]);
    list.push(well_known::DESTINATION, destination)?;
    for (at, (name, value)) in frame.headers.iter().enumerate() {
        let first = || frame.headers.iter().position(|(n, _)| n == name) == Some(at);
        let taken = CONSUMED.contains(&&name[..])
            || (CANONICAL.contains(&&name[..]) && !value.is_empty() && first())
            || *name == well_known::DESTINATION
            || (born && name == "timestamp");
        if !taken {
            list.push(name, Some(value.as_bytes()))?;
        }
    }
    Ok(list.build())
}

/// A point in time as Java programs write it; anything shorter is the sender's own affair.
fn milliseconds(text: &str) -> Option<Millis> {
    let digits = text.len() == 13 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A length of time: bare numbers are milliseconds, as on other brokers; units may be given.
pub(crate) fn span(name: &str, text: &str) -> Result<Duration, Failure> {
    let wrong = || {
        let detail = format!("{name} must be milliseconds or a duration like 10s, not {text:?}");
        Failure::from(Error::invalid(detail))
    };
    let text = text.trim();
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map(Duration::from_millis).map_err(|_| wrong());
    }
    text.parse::<Span>().map(|span| span.0).map_err(|_| wrong())
}

fn point(name: &str, text: &str) -> Result<Millis, Failure> {
    text.trim()
        .parse()
        .map_err(|_| Error::invalid(format!("{name} must be milliseconds since 1970, not {text:?}")).into())
}

fn after(now: Millis, wait: Duration) -> Millis {
    now.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

fn deliver_at(frame: &Frame, now: Millis) -> Result<Option<Millis>, Failure> {
    let at = match (frame.first_of(&DELAY), frame.first_of(&DELIVER_AT)) {
        (None, None) => return Ok(None),
        (Some((delay, _)), Some((at, _))) => {
            return Err(Error::invalid(format!("{delay} and {at} contradict each other; send one")).into());
        }
        (Some(("delay-level", text)), None) => after(now, level(text)?),
        (Some((name, text)), None) => after(now, span(name, text)?),
        (None, Some((name, text))) => point(name, text)?,
    };
    Ok((at > now).then_some(at))
}

fn level(text: &str) -> Result<Duration, Failure> {
    let seconds = match text.trim().parse::<usize>() {
        Ok(0) => Some(&0),
        Ok(level) => DELAY_LEVELS.get(level - 1),
        Err(_) => None,
    };
    let wrong = || Error::invalid(format!("delay-level must be 1 to 18, not {text:?}")).into();
    seconds.map(|seconds| Duration::from_secs(*seconds)).ok_or_else(wrong)
}

fn expires_at(frame: &Frame, now: Millis) -> Result<Option<Millis>, Failure> {
    match frame.first_of(&EXPIRY) {
        None => Ok(None),
        Some((name @ "expires", text)) => Ok(Some(point(name, text)?).filter(|at| *at > 0)), // 0: never
        Some((name, text)) => Ok(Some(after(now, span(name, text)?))),
    }
}

/// Where a message stands, and how often it has come.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub queue: QueueId,
    pub offset: Offset,
    pub attempt: u32,
}

/// A message on its way to one subscription.
pub(crate) struct Delivery<'a> {
    pub version: Version,
    /// The subscription's id, when the client gave one.
    pub subscription: Option<&'a str>,
    /// As the subscriber wrote it.
    pub destination: &'a str,
    /// It is a dead letter: not where it was sent.
    pub dead: bool,
    pub id: &'a str,
    pub message: &'a Message,
    /// The most that a packed body may hold.
    pub max_body: usize,
    /// Where it stands, where that is told.
    pub place: Option<Place>,
    /// The `ack` header, where it is wanted.
    pub ack: Option<String>,
    pub redelivered: bool,
}

impl Delivery<'_> {
    /// The MESSAGE frame.
    ///
    /// # Errors
    /// `Corrupt` or `TooLarge` when the body cannot be unpacked.
    pub fn to_frame(&self) -> Result<Output, Error> {
        let message = self.message;
        let body = sluice_broker::body::plain(message, self.max_body)?.unwrap_or_default();
        let mut frame = FrameWriter::before(self.version, "MESSAGE", &body);
        if let Some(subscription) = self.subscription {
            frame.header("subscription", subscription);
        }
        frame.header("message-id", self.id);
        self.write_destination(&mut frame);
        if let Some(ack) = self.ack.as_deref().filter(|_| self.version == Version::V12) {
            frame.header("ack", ack);
        }
        frame.header("redelivered", if self.redelivered { "true" } else { "false" });
        if let Some(content_type) = message.headers.text(well_known::CONTENT_TYPE) {
            frame.header("content-type", content_type);
        }
        frame.header("content-length", itoa::Buffer::new().format(body.len()));
        write_fields(&mut frame, message);
        if let Some(place) = &self.place {
            write_place(&mut frame, message, place);
        }
        write_list(&mut frame, &message.headers);
        Ok(frame.finish_with(body))
    }

    /// The sender's own words, or the subscriber's when the sender had none.
    fn write_destination(&self, frame: &mut FrameWriter) {
        match self.message.headers.text(well_known::DESTINATION) {
            Some(sent_to) if !self.dead => frame.header("destination", sent_to),
            Some(sent_to) => {
                frame.header("destination", self.destination).header("original-destination", sent_to)
            }
            None => frame.header("destination", self.destination),
        };
    }
}

/// What the message says in its fields, unless a header of the sender's says the same.
fn write_fields(frame: &mut FrameWriter, message: &Message) {
    if message.headers.get("timestamp").is_none() {
        frame.header("timestamp", itoa::Buffer::new().format(message.born));
    }
    let fields = [
        (TAG.as_slice(), message.tag.as_deref()),
        (KEYS.as_slice(), Some(&message.keys.as_text()[..]).filter(|keys| !keys.is_empty())),
        (GROUP.as_slice(), message.ordering_group.as_deref()),
    ];
    for (names, value) in fields {
        let (Some(value), Some(name)) = (value, names.first()) else { continue };
        // A header of the plain spelling is a second one: the field goes first, as it was sent.
        let said = names.iter().skip(1).any(|name| message.headers.text(name) == Some(value));
        if !said {
            frame.header(name, value);
        }
    }
    if let Some(at) = message.expires_at {
        frame.header("expires", itoa::Buffer::new().format(at));
    }
    if let Some(key) = message.unworded_key() {
        frame.header(well_known::RECORD_KEY, &STANDARD.encode(key));
    }
}

fn write_place(frame: &mut FrameWriter, message: &Message, place: &Place) {
    let mut digits = itoa::Buffer::new();
    frame.header("rocketmq-queue-id", digits.format(place.queue.0));
    frame.header("rocketmq-offset", digits.format(place.offset));
    if let Some(tag) = &message.tag {
        frame.header("rocketmq-tags", tag);
    }
    let keys = message.keys.as_text();
    if !keys.is_empty() {
        frame.header("rocketmq-keys", keys);
    }
    frame.header("delivery-count", digits.format(place.attempt));
}

fn write_list(frame: &mut FrameWriter, headers: &Headers) {
    let mut content_type_said = false;
    for (name, value) in headers.iter() {
        let Some(value) = value.and_then(|v| std::str::from_utf8(v).ok()) else { continue };
        if name == well_known::CONTENT_TYPE && !content_type_said {
            content_type_said = true;
            continue;
        }
        // A stock client looks for "content-length" anywhere in a line.
        let server = SERVER.contains(&name) || name.ends_with("content-length");
        if !server && name != well_known::DESTINATION {
            frame.header(name, value);
        }
    }
}

/// The id that every wire shows; the record's place where there is none, or none that fits in a header.
pub(crate) fn message_id(message: &StoredMessage) -> ByteString {
    let id = &message.message.id;
    if !id.is_empty() && id.text().bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        return id.to_text();
    }
    let locator = message.message.origin.as_ref().map_or(message.locator, |origin| origin.locator);
    format!("{locator:016X}").into()
}

/// Where a STOMP sender sent it, in the sender's own words.
pub(crate) fn sent_to(message: &Message) -> Option<&str> {
    message.headers.text(well_known::DESTINATION)
}

/// How a STOMP sender addressed it, if a STOMP client sent it.
pub(crate) fn sent_as(message: &Message) -> Option<SentAs> {
    sent_to(message).map(SentAs::of)
}
