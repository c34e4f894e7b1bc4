//! A message in its three states: as sent, as stored, as delivered.

use crate::{
    Error, ErrorKind, Headers, MessageId, Millis, Offset, QueueId, ReceiptHandle, Result, TopicName,
};
use bytes::Bytes;
use bytestring::ByteString;
use std::net::SocketAddr;

/// What kind of handling a message asks for. A topic may fix its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MessageType {
    /// Delivered as soon as it is stored.
    #[default]
    Normal,
    /// Delivered in order within its ordering group.
    Fifo,
    /// Delivered at its time.
    Delay,
    /// Delivered when its transaction commits.
    Transaction,
}

/// How the stored body is packed. Producers of RocketMQ may compress; every other wire sees the plain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyCodec {
    /// As it is.
    #[default]
    Plain,
    /// zlib (RFC 1950).
    Zlib,
    /// The LZ4 frame format.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// The wire a message came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Made by the broker itself.
    #[default]
    Internal,
    /// RocketMQ's TCP protocol.
    Remoting,
    /// RocketMQ 5's gRPC.
    Grpc,
    /// HTTP.
    Http,
    /// STOMP.
    Stomp,
    /// Kafka.
    Kafka,
}

/// Who sent a message, and from where: what the trace shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The wire.
    pub protocol: Protocol,
    /// The proven identity's name, empty when anonymous. One that an open broker was only given reads `name (unproven)`.
    pub principal: ByteString,
    /// The sender's address.
    pub peer: Option<SocketAddr>,
}

/// A place in the log, by topic, queue and offset.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// The topic.
    pub topic: TopicName,
    /// The queue within the topic.
    pub queue: QueueId,
    /// The offset within the queue.
    pub offset: Offset,
}

/// Where a message first stood before a retry, a dead letter or a timer moved it, and under which id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its first place.
    pub position: Position,
    /// The locator (lsn) of its first record, from which wires derive ids.
    pub locator: u64,
}

/// The keys of a message: words by which it can be found. Kept as one text, words separated by one blank, as RocketMQ
/// carries them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keys(ByteString);

impl Keys {
    /// No key.
    pub const fn none() -> Self {
        Self(ByteString::from_static(""))
    }

    /// Keys already joined by blanks.
    pub fn joined(text: impl Into<ByteString>) -> Self {
        Self(text.into())
    }

    /// Keys from a list.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a key that is empty or contains a blank: joined keys could not be told apart.
    pub fn from_list<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut text = String::new();
        for key in keys {
            if key.is_empty() || key.contains(' ') {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    format!("key {key:?} is empty or contains a blank"),
                ));
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(key);
        }
        Ok(Self(text.into()))
    }

    /// The keys, one by one.
    pub fn iter(&self) -> impl Iterator<Item = &str> + '_ {
        self.0.split(' ').filter(|k| !k.is_empty())
    }

    /// The joined text.
    pub fn as_text(&self) -> &ByteString {
        &self.0
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A message as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// The content; `None` is Kafka's tombstone, which is not an empty body.
    pub body: Option<Bytes>,
    /// How the body is packed.
    pub codec: BodyCodec,
    /// Kafka's key: bytes.
    pub key: Option<Bytes>,
    /// RocketMQ's keys: words.
    pub keys: Keys,
    /// The one tag that subscriptions select by.
    pub tag: Option<ByteString>,
    /// Messages of one ordering group keep their order (RocketMQ's sharding key or message group).
    pub ordering_group: Option<ByteString>,
    /// Everything else the sender said, in order.
    pub headers: Headers,
    /// When the producer made it, by the producer's clock.
    pub born: Millis,
    /// Not to be delivered before this time.
    pub deliver_at: Option<Millis>,
    /// Not to be delivered after this time.
    pub expires_at: Option<Millis>,
    /// What handling it asks for.
    pub kind: MessageType,
    /// The producer's unique key, or one that the broker gives; the `messageId` that every wire shows.
    pub id: MessageId,
    /// An opaque number of the producer's.
    pub flag: i32,
    /// How often delivery has failed before: 0 the first time.
    pub attempt: u32,
    /// Where it first stood, when this is a retry or a dead letter.
    pub origin: Option<Box<Origin>>,
    /// Who sent it.
    pub provenance: Provenance,
}

impl Message {
    /// The body's bytes; a null body reads as empty.
    pub fn body_bytes(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// Kafka's key where it is not among the keys: it is bytes, and they are words.
    pub fn unworded_key(&self) -> Option<&Bytes> {
        self.key.as_ref().filter(|key| self.keys.is_empty() || **key != *self.keys.as_text().as_bytes())
    }

    /// The body, shared; a null body reads as empty.
    pub fn body_or_empty(&self) -> Bytes {
        self.body.clone().unwrap_or_default()
    }
}

/// A message with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// The topic it lies in (a retry topic for a retried message).
    pub topic: TopicName,
    /// The queue within the topic.
    pub queue: QueueId,
    /// The offset within the queue.
    pub offset: Offset,
    /// Its record's place in the log, a stable number from which wires derive ids.
    pub locator: u64,
    /// The size of its record in bytes.
    pub size: u32,
    /// When the broker stored it.
    pub stored: Millis,
    /// The message.
    pub message: Message,
}

impl StoredMessage {
    /// The topic the producer sent it to: the original one for a retry or a dead letter.
    pub fn original_topic(&self) -> &TopicName {
        self.message.origin.as_ref().map_or(&self.topic, |o| &o.position.topic)
    }
}

/// A message handed to a consumer under a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The message and its place.
    pub message: StoredMessage,
    /// What settles this delivery.
    pub receipt: ReceiptHandle,
    /// Which delivery this is, from 1. Those that came back uncounted are not counted.
    pub attempt: u32,
    /// Whether it was handed to some consumer of the group before, counted or not.
    pub redelivered: bool,
    /// Until when no other consumer of the group gets it.
    pub invisible_until: Millis,
}
