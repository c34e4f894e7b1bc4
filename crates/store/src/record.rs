//! How a message looks on disk: the payload of an entry whose encoding is [`NATIVE`].
//!
//! It exists so that a stored message can be read without copying: body, headers and texts are slices of the record.
//! The one idea to know: what most messages have little or nothing of takes no room. A mask tells which fields follow,
//! numbers are as long as they need be, and the body is what is left. The encoding byte of the entry is the version, so
//! a new layout gets a new encoding and the old reader stays.
//!
//! ```text
//! present u16 | codec (2 bits), kind (2 bits), protocol (3 bits), 0 | born, seen from the time of storing
//! then, each only when its bit of `present` is set, in this order:
//!   flag | attempt | deliver_at, expires_at, seen from the time of storing
//!   peer v4 (4 + 2) | peer v6 (16 + 2 + flow u32 + scope u32)
//!   origin: queue u32, offset u64, locator u64, topic text | key | keys | tag | ordering group | id | principal | headers
//! then the body.
//! ```
//! Fixed widths are little-endian. Other numbers are LEB128, those with a sign zigzag before. A text is its length and its
//! bytes. An id of hexadecimal digits, as most are, is kept as the bytes that they stand for.
//!
//! A batch, whose encoding is 2 or up, is kept behind what the indexes were told of it, and untouched:
//! ```text
//! keys u32 | hash of a word u64, for each | head u32 and its bytes | the batch
//! ```
//! Checksums, positions, lengths and times of storing belong to the entry around it: see `entry`.

use crate::bytes_at::put;
use crate::log::{Content, Kind};
use bytes::{BufMut, Bytes};
use bytestring::ByteString;
use sluice_model::{
    BodyCodec, Error, ErrorKind, Headers, Keys, Message, MessageId, MessageType, Millis, Origin, Position,
    Protocol, Provenance, QueueId, Result, TopicName,
};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// The encoding byte of this layout.
pub const NATIVE: u8 = 1;

/// The longest number.
const NUMBER: usize = 10;
const PEER: usize = 26;
/// The longest part that stands before the texts.
const MAX_HEAD: usize = 3 + 5 * NUMBER + PEER;

mod bit {
    pub const BODY: u16 = 1;
    pub const DELIVER_AT: u16 = 1 << 1;
    pub const EXPIRES_AT: u16 = 1 << 2;
    pub const PEER_V4: u16 = 1 << 3;
    pub const PEER_V6: u16 = 1 << 4;
    pub const ORIGIN: u16 = 1 << 5;
    pub const KEY: u16 = 1 << 6;
    pub const KEYS: u16 = 1 << 7;
    pub const TAG: u16 = 1 << 8;
    pub const ORDERING_GROUP: u16 = 1 << 9;
    pub const ID: u16 = 1 << 10;
    pub const PRINCIPAL: u16 = 1 << 11;
    pub const FLAG: u16 = 1 << 12;
    pub const ATTEMPT: u16 = 1 << 13;
    pub const HEADERS: u16 = 1 << 14;
    /// An id of hexadecimal digits.
    pub const HEX_ID: u16 = 1 << 15;
}

/// No more than this is what [`encode`] writes.
pub fn max_len(message: &Message) -> usize {
    const ORIGIN: usize = 20;
    let text = |len: usize| if len == 0 { 0 } else { NUMBER + len };
    MAX_HEAD
        + message.origin.as_ref().map_or(0, |o| ORIGIN + NUMBER + o.position.topic.as_str().len())
        + message.key.as_ref().map_or(0, |k| NUMBER + k.len())
        + text(message.keys.as_text().len())
        + message.tag.as_ref().map_or(0, |t| NUMBER + t.len())
        + message.ordering_group.as_ref().map_or(0, |g| NUMBER + g.len())
        + text(message.id.len())
        + text(message.provenance.principal.len())
        + text(message.headers.encoded().len())
        + message.body.as_ref().map_or(0, Bytes::len)
}

/// Appends a message that is stored at this time to `out`. The caller has checked that [`max_len`] is below its limit,
/// which is below 4 GiB.
pub fn encode(message: &Message, stored: Millis, out: &mut impl BufMut) {
    // Put together first: each piece that is put asks whether there is room.
    let mut head = Head::default();
    head.put(present(message).to_le_bytes());
    let (codec, kind) = (codec_number(message.codec), kind_number(message.kind));
    head.put([codec | kind << 2 | protocol_number(message.provenance.protocol) << 4]);
    head.put_seen_from(stored, message.born);
    if message.flag != 0 {
        head.put_number(zigzag(message.flag.into()));
    }
    if message.attempt != 0 {
        head.put_number(message.attempt.into());
    }
    for time in [message.deliver_at, message.expires_at].into_iter().flatten() {
        head.put_seen_from(stored, time);
    }
    head.put_peer(message.provenance.peer);
    out.put_slice(head.bytes());
    if let Some(origin) = &message.origin {
        out.put_u32_le(origin.position.queue.0);
        out.put_u64_le(origin.position.offset);
        out.put_u64_le(origin.locator);
        put_text(origin.position.topic.as_str().as_bytes(), out);
    }
    let (keys, id) = (message.keys.as_text().as_bytes(), message.id.bytes());
    let id_text = id.is_none().then(|| message.id.text());
    let texts: [Option<&[u8]>; 7] = [
        message.key.as_deref(),
        Some(keys.as_ref()).filter(|text| !text.is_empty()),
        message.tag.as_ref().map(|t| t.as_bytes().as_ref()),
        message.ordering_group.as_ref().map(|g| g.as_bytes().as_ref()),
        id.or(id_text.as_ref().map(|text| text.as_bytes()).filter(|text| !text.is_empty())),
        Some(message.provenance.principal.as_bytes().as_ref()).filter(|text| !text.is_empty()),
        Some(message.headers.encoded().as_ref()).filter(|headers| !headers.is_empty()),
    ];
    for text in texts.into_iter().flatten() {
        put_text(text, out);
    }
    out.put_slice(message.body_bytes());
}

fn present(message: &Message) -> u16 {
    let flag = |present: bool, bit: u16| if present { bit } else { 0 };
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
        | flag(message.flag != 0, bit::FLAG)
        | flag(message.attempt != 0, bit::ATTEMPT)
        | flag(!message.headers.encoded().is_empty(), bit::HEADERS)
        | flag(message.id.bytes().is_some(), bit::HEX_ID)
}

/// What stands before the texts.
struct Head {
    bytes: [u8; MAX_HEAD],
    len: usize,
}

impl Default for Head {
    fn default() -> Self {
        Self { bytes: [0; MAX_HEAD], len: 0 }
    }
}

impl Head {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        put(&mut self.bytes, self.len, bytes);
        self.len += N;
    }

    fn put_number(&mut self, number: u64) {
        each_byte(number, |byte| self.put([byte]));
    }

    /// Any two times: the difference wraps around, and back.
    fn put_seen_from(&mut self, stored: Millis, time: Millis) {
        self.put_number(zigzag(stored.wrapping_sub(time) as i64));
    }

    fn put_peer(&mut self, peer: Option<SocketAddr>) {
        match peer {
            None => {}
            Some(SocketAddr::V4(peer)) => {
                self.put(peer.ip().octets());
                self.put(peer.port().to_le_bytes());
            }
            Some(SocketAddr::V6(peer)) => {
                self.put(peer.ip().octets());
                self.put(peer.port().to_le_bytes());
                self.put(peer.flowinfo().to_le_bytes());
                self.put(peer.scope_id().to_le_bytes());
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

fn put_text(text: &[u8], out: &mut impl BufMut) {
    each_byte(text.len() as u64, |byte| out.put_u8(byte));
    out.put_slice(text);
}

/// Hands out the bytes of a number.
fn each_byte(mut number: u64, mut put: impl FnMut(u8)) {
    while number > 0x7F {
        put(number as u8 | 0x80);
        number >>= 7;
    }
    put(number as u8);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Reads a message back that was stored at this time; all in it that is long is a slice of `bytes`.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when the bytes are not a message.
pub fn decode(bytes: &Bytes, stored: Millis) -> Result<Message> {
    read(bytes, stored).ok_or_else(|| Error::new(ErrorKind::Corrupt, "a stored message is not readable"))
}

/// The content of an entry that was stored at this time, from its payload.
///
/// # Errors
/// [`ErrorKind::Corrupt`] when a message is not readable.
pub(crate) fn content(kind: Kind, encoding: u8, stored: Millis, payload: &Bytes) -> Result<Content> {
    Ok(match (kind, encoding) {
        (Kind::State, _) => Content::State(payload.clone()),
        (Kind::Message, NATIVE) => Content::Message(Box::new(decode(payload, stored)?)),
        (Kind::Message, encoding) => {
            let mut cursor = Cursor { bytes: payload, at: 0 };
            let parts = cursor.batch_keys().and_then(|_| Some((cursor.batch_head()?, cursor.rest()?)));
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
    out.put_u32_le(head.len() as u32);
    out.put_slice(head);
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

fn read(bytes: &Bytes, stored: Millis) -> Option<Message> {
    let mut cursor = Cursor { bytes, at: 0 };
    let present = u16::from_le_bytes(cursor.array()?);
    let [shape] = cursor.array()?;
    let has = |bit: u16| present & bit != 0;
    let message = Message {
        codec: codec_of(shape & 3)?,
        kind: kind_of(shape >> 2 & 3)?,
        born: cursor.seen_from(stored)?,
        flag: cursor.when(has(bit::FLAG), Cursor::flag)?.unwrap_or(0),
        attempt: cursor.when(has(bit::ATTEMPT), Cursor::attempt)?.unwrap_or(0),
        deliver_at: cursor.when(has(bit::DELIVER_AT), |cursor| cursor.seen_from(stored))?,
        expires_at: cursor.when(has(bit::EXPIRES_AT), |cursor| cursor.seen_from(stored))?,
        provenance: Provenance {
            protocol: protocol_of(shape >> 4)?,
            peer: cursor.peer(has(bit::PEER_V4), has(bit::PEER_V6))?,
            principal: ByteString::new(),
        },
        origin: cursor.when(has(bit::ORIGIN), Cursor::origin)?,
        key: cursor.when(has(bit::KEY), Cursor::binary)?,
        keys: Keys::joined(cursor.when(has(bit::KEYS), Cursor::text)?.unwrap_or_default()),
        tag: cursor.when(has(bit::TAG), Cursor::text)?,
        ordering_group: cursor.when(has(bit::ORDERING_GROUP), Cursor::text)?,
        id: match has(bit::HEX_ID) {
            true => cursor.id()?,
            false => cursor.when(has(bit::ID), Cursor::text)?.map(MessageId::from).unwrap_or_default(),
        },
        ..Message::default()
    };
    let principal = cursor.when(has(bit::PRINCIPAL), Cursor::text)?.unwrap_or_default();
    let headers = cursor.when(has(bit::HEADERS), Cursor::binary)?.unwrap_or_default();
    let headers = Headers::from_encoded(headers).ok()?;
    let body = cursor.rest()?;
    if !has(bit::BODY) && !body.is_empty() {
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

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7F);
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn seen_from(&mut self, stored: Millis) -> Option<Millis> {
        Some(stored.wrapping_sub(unzigzag(self.number()?) as u64))
    }

    fn flag(&mut self) -> Option<i32> {
        unzigzag(self.number()?).try_into().ok()
    }

    fn attempt(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn binary(&mut self) -> Option<Bytes> {
        let len = self.number()?.try_into().ok()?;
        self.slice(len)
    }

    /// An id, which is kept in place: no slice is shared for it.
    fn id(&mut self) -> Option<MessageId> {
        let len: usize = self.number()?.try_into().ok()?;
        let id = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(MessageId::of_bytes(id))
    }

    fn batch_head(&mut self) -> Option<Bytes> {
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
