//! How a message looks on disk: the payload of an entry whose encoding is [`NATIVE`].
//!
//! It exists so that a stored message can be read without copying: body, headers and texts are slices of the record.
//! The one idea to know: a fixed part tells which optional fields follow and how long the two big ones are; the
//! encoding byte of the entry is the version, so a new layout gets a new encoding and the old reader stays.
//!
//! Little-endian:
//! ```text
//! present u32 | codec u8 | kind u8 | protocol u8 | 0 u8 | born u64 | flag i32 | attempt u32 | headers u32 | body u32
//! then, each only when its bit of `present` is set, in this order:
//!   deliver_at u64 | expires_at u64 | peer v4 (4 + 2) | peer v6 (16 + 2 + flow u32 + scope u32)
//!   origin: queue u32, offset u64, locator u64, topic text | key | keys | tag | ordering group | id | principal
//! then the headers and the body. A text is its length as u32 and its bytes.
//! ```
//! A batch, whose encoding is 2 or up, is kept behind what the indexes were told of it, and untouched:
//! ```text
//! keys u32 | hash of a word u64, for each | head u32 and its bytes | the batch
//! ```
//! Checksums, positions and times of storing belong to the entry around it: see `entry`.

use crate::log::{Content, Kind};
use bytes::{BufMut, Bytes};
use bytestring::ByteString;
use sluice_model::{
    BodyCodec, Error, ErrorKind, Headers, Keys, Message, MessageType, Origin, Position, Protocol, Provenance,
    QueueId, Result, TopicName,
};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The encoding byte of this layout.
pub const NATIVE: u8 = 1;

const FIXED: usize = 32;

mod bit {
    pub const BODY: u32 = 1;
    pub const DELIVER_AT: u32 = 1 << 1;
    pub const EXPIRES_AT: u32 = 1 << 2;
    pub const PEER_V4: u32 = 1 << 3;
    pub const PEER_V6: u32 = 1 << 4;
    pub const ORIGIN: u32 = 1 << 5;
    pub const KEY: u32 = 1 << 6;
    pub const KEYS: u32 = 1 << 7;
    pub const TAG: u32 = 1 << 8;
    pub const ORDERING_GROUP: u32 = 1 << 9;
    pub const ID: u32 = 1 << 10;
    pub const PRINCIPAL: u32 = 1 << 11;
    pub const ALL: u32 = (1 << 12) - 1;
}

/// The exact number of bytes that [`encode`] writes.
pub fn encoded_len(message: &Message) -> usize {
    let text = |present: bool, len: usize| if present { 4 + len } else { 0 };
    let peer = match message.provenance.peer {
        None => 0,
        Some(SocketAddr::V4(_)) => 6,
        Some(SocketAddr::V6(_)) => 26,
    };
    let fixed = |present: bool| if present { 8 } else { 0 };
    FIXED
        + fixed(message.deliver_at.is_some())
        + fixed(message.expires_at.is_some())
        + peer
        + message.origin.as_ref().map_or(0, |o| 24 + o.position.topic.as_str().len())
        + message.key.as_ref().map_or(0, |k| 4 + k.len())
        + text(!message.keys.is_empty(), message.keys.as_text().len())
        + message.tag.as_ref().map_or(0, |t| 4 + t.len())
        + message.ordering_group.as_ref().map_or(0, |g| 4 + g.len())
        + text(!message.id.is_empty(), message.id.len())
        + text(!message.provenance.principal.is_empty(), message.provenance.principal.len())
        + message.headers.encoded().len()
        + message.body.as_ref().map_or(0, Bytes::len)
}

/// Appends the message to `out`. The caller has checked that [`encoded_len`] is below its limit, which is below 4 GiB.
pub fn encode(message: &Message, out: &mut impl BufMut) {
    out.put_u32_le(present(message));
    out.put_u8(codec_number(message.codec));
    out.put_u8(kind_number(message.kind));
    out.put_u8(protocol_number(message.provenance.protocol));
    out.put_u8(0);
    out.put_u64_le(message.born);
    out.put_i32_le(message.flag);
    out.put_u32_le(message.attempt);
    out.put_u32_le(message.headers.encoded().len() as u32);
    out.put_u32_le(message.body.as_ref().map_or(0, Bytes::len) as u32);
    for time in [message.deliver_at, message.expires_at].into_iter().flatten() {
        out.put_u64_le(time);
    }
    put_peer(message.provenance.peer, out);
    if let Some(origin) = &message.origin {
        out.put_u32_le(origin.position.queue.0);
        out.put_u64_le(origin.position.offset);
        out.put_u64_le(origin.locator);
        put_text(origin.position.topic.as_str().as_bytes(), out);
    }
    let non_empty = |text: &ByteString| !text.is_empty();
    let texts: [Option<&[u8]>; 6] = [
        message.key.as_deref(),
        Some(message.keys.as_text()).filter(|t| non_empty(t)).map(|t| t.as_bytes().as_ref()),
        message.tag.as_ref().map(|t| t.as_bytes().as_ref()),
        message.ordering_group.as_ref().map(|g| g.as_bytes().as_ref()),
        Some(&message.id).filter(|t| non_empty(t)).map(|t| t.as_bytes().as_ref()),
        Some(&message.provenance.principal).filter(|t| non_empty(t)).map(|t| t.as_bytes().as_ref()),
    ];
    for text in texts.into_iter().flatten() {
        put_text(text, out);
    }
    out.put_slice(message.headers.encoded());
    out.put_slice(message.body_bytes());
}

fn present(message: &Message) -> u32 {
    let flag = |present: bool, bit: u32| if present { bit } else { 0 };
    flag(message.body.is_some(), bit::BODY)
        | flag(message.deliver_at.is_some(), bit::DELIVER_AT)
        | flag(message.expires_at.is_some(), bit::EXPIRES_AT)
        | flag(matches!(message.provenance.peer, Some(SocketAddr::V4(_))), bit::PEER_V4)
        | flag(matches!(message.provenance.peer, Some(SocketAddr::V6(_))), bit::PEER_V6)
        | flag(message.origin.is_some(), bit::ORIGIN)
        | flag(message.key.is_some(), bit::KEY)
        | flag(!message.keys.is_empty(), bit::KEYS)
        | flag(message.tag.is_some(), bit::TAG)
        | flag(message.ordering_group.is_some(), bit::ORDERING_GROUP)
        | flag(!message.id.is_empty(), bit::ID)
        | flag(!message.provenance.principal.is_empty(), bit::PRINCIPAL)
}

fn put_peer(peer: Option<SocketAddr>, out: &mut impl BufMut) {
    match peer {
        None => {}
        Some(SocketAddr::V4(peer)) => {
            out.put_slice(&peer.ip().octets());
            out.put_u16_le(peer.port());
        }
        Some(SocketAddr::V6(peer)) => {
            out.put_slice(&peer.ip().octets());
            out.put_u16_le(peer.port());
            out.put_u32_le(peer.flowinfo());
            out.put_u32_le(peer.scope_id());
        }
    }
}

fn put_text(text: &[u8], out: &mut impl BufMut) {
    out.put_u32_le(text.len() as u32);
    out.put_slice(text);
}

/// Reads a message back; everything in it is a slice of `bytes`.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when the bytes are not exactly one message.
pub fn decode(bytes: &Bytes) -> Result<Message> {
    read(bytes).ok_or_else(|| Error::new(ErrorKind::Corrupt, "a stored message is not readable"))
}

/// The content of an entry from its payload.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when a message is not readable.
pub(crate) fn content(kind: Kind, encoding: u8, payload: &Bytes) -> Result<Content> {
    Ok(match (kind, encoding) {
        (Kind::State, _) => Content::State(payload.clone()),
        (Kind::Message, NATIVE) => Content::Message(Box::new(decode(payload)?)),
        (Kind::Message, encoding) => {
            let mut cursor = Cursor { bytes: payload, at: 0 };
            let parts = cursor.batch_keys().and_then(|_| Some((cursor.binary()?, cursor.rest()?)));
            let (head, bytes) =
                parts.ok_or_else(|| Error::new(ErrorKind::Corrupt, "a stored batch is not readable"))?;
            Content::Batch { encoding, head, bytes }
        }
    })
}

/// The exact number of bytes that [`encode_batch`] writes.
pub(crate) fn batch_len(keys: &[u64], head: &[u8], bytes: &[u8]) -> usize {
    4 + size_of_val(keys) + 4 + head.len() + bytes.len()
}

/// Appends a batch to `out`. The caller has checked [`batch_len`].
pub(crate) fn encode_batch(keys: &[u64], head: &[u8], bytes: &[u8], out: &mut impl BufMut) {
    out.put_u32_le(keys.len() as u32);
    keys.iter().for_each(|key| out.put_u64_le(*key));
    put_text(head, out);
    out.put_slice(bytes);
}

/// Hands out the hash of each word by which messages of a stored batch are found. One that cannot be read has none.
pub(crate) fn each_batch_key(payload: &Bytes, mut visit: impl FnMut(u64)) {
    let keys = Cursor { bytes: payload, at: 0 }.batch_keys().unwrap_or_default();
    let (keys, _) = keys.as_chunks::<8>();
    keys.iter().for_each(|key| visit(u64::from_le_bytes(*key)));
}

/// Refuses a batch that could not be told from a message, or that covers nothing.
pub(crate) fn check_batch(encoding: u8, count: u16) -> Result<()> {
    if encoding <= NATIVE || count == 0 {
        return Err(Error::invalid(format!("a batch of encoding {encoding} with {count} messages")));
    }
    Ok(())
}

/// The refusal of a payload over its limit.
pub(crate) fn too_large(len: usize, max: usize) -> Error {
    Error::new(ErrorKind::TooLarge, format!("a record of {len} bytes is over the limit of {max}"))
}

fn read(bytes: &Bytes) -> Option<Message> {
    let mut cursor = Cursor { bytes, at: 0 };
    let present = cursor.u32()?;
    let [codec, kind, protocol, zero] = cursor.array()?;
    if present & !bit::ALL != 0 || zero != 0 {
        return None;
    }
    let has = |bit: u32| present & bit != 0;
    let born = cursor.u64()?;
    let flag = i32::from_le_bytes(cursor.array()?);
    let attempt = cursor.u32()?;
    let headers_len = cursor.u32()? as usize;
    let body_len = cursor.u32()? as usize;
    let message = Message {
        codec: codec_of(codec)?,
        kind: kind_of(kind)?,
        born,
        flag,
        attempt,
        deliver_at: cursor.when(has(bit::DELIVER_AT), Cursor::u64)?,
        expires_at: cursor.when(has(bit::EXPIRES_AT), Cursor::u64)?,
        provenance: Provenance {
            protocol: protocol_of(protocol)?,
            peer: cursor.peer(has(bit::PEER_V4), has(bit::PEER_V6))?,
            principal: ByteString::new(),
        },
        origin: cursor.when(has(bit::ORIGIN), Cursor::origin)?,
        key: cursor.when(has(bit::KEY), Cursor::binary)?,
        keys: Keys::joined(cursor.when(has(bit::KEYS), Cursor::text)?.unwrap_or_default()),
        tag: cursor.when(has(bit::TAG), Cursor::text)?,
        ordering_group: cursor.when(has(bit::ORDERING_GROUP), Cursor::text)?,
        id: cursor.when(has(bit::ID), Cursor::text)?.unwrap_or_default(),
        ..Message::default()
    };
    let principal = cursor.when(has(bit::PRINCIPAL), Cursor::text)?.unwrap_or_default();
    let headers = Headers::from_encoded(cursor.slice(headers_len)?).ok()?;
    let body = cursor.slice(body_len)?;
    if cursor.at != bytes.len() || (!has(bit::BODY) && body_len != 0) {
        return None;
    }
    let body = has(bit::BODY).then_some(body);
    Some(Message { headers, body, provenance: Provenance { principal, ..message.provenance }, ..message })
}

struct Cursor<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Cursor<'_> {
    fn slice(&mut self, len: usize) -> Option<Bytes> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len())?;
        let slice = self.bytes.slice(self.at..end);
        self.at = end;
        Some(slice)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let array = *self.bytes.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(array)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn binary(&mut self) -> Option<Bytes> {
        let len = self.u32()? as usize;
        self.slice(len)
    }

    fn rest(&mut self) -> Option<Bytes> {
        self.slice(self.bytes.len().checked_sub(self.at)?)
    }

    fn batch_keys(&mut self) -> Option<Bytes> {
        let count = self.u32()? as usize;
        self.slice(count.checked_mul(8)?)
    }

    fn text(&mut self) -> Option<ByteString> {
        ByteString::try_from(self.binary()?).ok()
    }

    /// A field that may be absent: the outer option is whether the bytes are readable.
    fn when<T>(&mut self, present: bool, field: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if present { field(self).map(Some) } else { Some(None) }
    }

    fn origin(&mut self) -> Option<Box<Origin>> {
        let queue = QueueId(self.u32()?);
        let offset = self.u64()?;
        let locator = self.u64()?;
        let topic = TopicName::new(self.text()?).ok()?;
        Some(Box::new(Origin { position: Position { topic, queue, offset }, locator }))
    }

    fn peer(&mut self, v4: bool, v6: bool) -> Option<Option<SocketAddr>> {
        match (v4, v6) {
            (false, false) => Some(None),
            (true, false) => {
                let ip = Ipv4Addr::from(self.array::<4>()?);
                let port = u16::from_le_bytes(self.array()?);
                Some(Some(SocketAddrV4::new(ip, port).into()))
            }
            (false, true) => {
                let ip = Ipv6Addr::from(self.array::<16>()?);
                let port = u16::from_le_bytes(self.array()?);
                let (flow, scope) = (self.u32()?, self.u32()?);
                Some(Some(SocketAddrV6::new(ip, port, flow, scope).into()))
            }
            (true, true) => None,
        }
    }
}

fn codec_number(codec: BodyCodec) -> u8 {
    match codec {
        BodyCodec::Plain => 0,
        BodyCodec::Zlib => 1,
        BodyCodec::Lz4 => 2,
        BodyCodec::Zstd => 3,
    }
}

fn codec_of(number: u8) -> Option<BodyCodec> {
    [BodyCodec::Plain, BodyCodec::Zlib, BodyCodec::Lz4, BodyCodec::Zstd].get(usize::from(number)).copied()
}

fn kind_number(kind: MessageType) -> u8 {
    match kind {
        MessageType::Normal => 0,
        MessageType::Fifo => 1,
        MessageType::Delay => 2,
        MessageType::Transaction => 3,
    }
}

fn kind_of(number: u8) -> Option<MessageType> {
    let all = [MessageType::Normal, MessageType::Fifo, MessageType::Delay, MessageType::Transaction];
    all.get(usize::from(number)).copied()
}

fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Internal => 0,
        Protocol::Remoting => 1,
        Protocol::Grpc => 2,
        Protocol::Http => 3,
        Protocol::Stomp => 4,
        Protocol::Kafka => 5,
    }
}

fn protocol_of(number: u8) -> Option<Protocol> {
    let all = [
        Protocol::Internal,
        Protocol::Remoting,
        Protocol::Grpc,
        Protocol::Http,
        Protocol::Stomp,
        Protocol::Kafka,
    ];
    all.get(usize::from(number)).copied()
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
