//! Messages as bytes inside bodies: the record that consumers read, and the item that batch senders write.
//!
//! ```text
//! record := i32 size | i32 magic | i32 crc of body | i32 queue | i32 flag | i64 queue offset | i64 log offset
//!           i32 sysFlag | i64 born | host born | i64 stored | host stored | i32 attempts | i64 prepared offset
//!           i32 n, body | u8 (v2: i16) n, topic | i16 n, properties
//! host   := 4 or 16 bytes of address | i32 port
//! item   := u32 size | u32 magic | u32 crc | i32 flag | u32 n, body | i16 n, properties
//! ```
//!
//! The one idea to know: large bodies are not copied. A list of records is a list of parts, and a body that is worth it
//! is a part of its own, shared with the log.

use crate::properties::{MAX_PROPERTIES, PropertyList};
use bytes::{BufMut, Bytes, BytesMut};
use nom::multi::length_data;
use nom::number::complete::{be_i32, be_u16, be_u32};
use nom::{IResult, Parser};
use sluice_model::{BodyCodec, Message, MessageType, StoredMessage};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const MAGIC_V1: u32 = 0xDAA3_20A7;
/// As v1, with two bytes for the topic's length: only for topics over 127 bytes, because Go clients cannot read it.
const MAGIC_V2: u32 = 0xDAA3_20AB;
const MAX_TOPIC_V1: usize = 127;
/// Bodies of this size and more are shared, smaller ones are copied: a part costs about as much as 4 KiB.
const SHARED_BODY: usize = 4096;

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;

/// Bits of `sysFlag`.
pub(crate) mod sys_flag {
    pub(crate) const COMPRESSED: i32 = 1;
    /// What a message is in a transaction: nothing, or one of these.
    pub(crate) const TRANSACTION: i32 = 0xC;
    pub(crate) const PREPARED: i32 = 4;
    pub(crate) const COMMITTED: i32 = 8;
    pub(crate) const BORN_V6: i32 = 0x10;
    pub(crate) const STORED_V6: i32 = 0x20;
    pub(crate) const CODEC: i32 = 0x700;
    pub(crate) const LZ4: i32 = 0x100;
    pub(crate) const ZSTD: i32 = 0x200;
    pub(crate) const ZLIB: i32 = 0x300;
}

/// Records one after the other, as parts of a body.
#[derive(Debug, Default)]
pub(crate) struct Records {
    parts: Vec<Bytes>,
    open: BytesMut,
}

/// About as much as a message takes here beside its body.
const BESIDE_BODY: usize = 384;

impl Records {
    /// With room for these messages, so that they are not moved again and again.
    pub(crate) fn with_room_for<'a>(all: impl Iterator<Item = &'a StoredMessage>) -> Self {
        let copied = |len: usize| if len < SHARED_BODY { len } else { 0 };
        let bytes = all.map(|stored| BESIDE_BODY + copied(stored.message.body_bytes().len())).sum();
        Self { parts: Vec::new(), open: BytesMut::with_capacity(bytes) }
    }

    /// Adds a message as clients that reach the broker at `host` shall see it.
    pub(crate) fn push(&mut self, stored: &StoredMessage, properties: &PropertyList, host: SocketAddr) {
        let message = &stored.message;
        let body = message.body_or_empty();
        let topic = stored.topic.as_str();
        let properties = properties.as_bytes();
        let born = message
            .provenance
            .peer
            .map_or(NOWHERE, |peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()));
        let host = SocketAddr::new(host.ip().to_canonical(), host.port());
        let long_topic = topic.len() > MAX_TOPIC_V1;
        let size = 91
            + body.len()
            + topic.len()
            + usize::from(long_topic)
            + properties.len()
            + 12 * (usize::from(born.is_ipv6()) + usize::from(host.is_ipv6()));

        let out = &mut self.open;
        out.reserve(if body.len() < SHARED_BODY { size } else { size - body.len() });
        out.put_u32(size as u32);
        out.put_u32(if long_topic { MAGIC_V2 } else { MAGIC_V1 });
        out.put_u32(crc32(&body) & 0x7FFF_FFFF);
        out.put_u32(stored.queue.0);
        out.put_i32(message.flag);
        out.put_u64(stored.offset);
        out.put_u64(stored.locator);
        out.put_i32(sys_flag_of(message, born, host));
        out.put_u64(message.born);
        put_host(out, born);
        out.put_u64(stored.stored);
        put_host(out, host);
        out.put_u32(message.attempt);
        out.put_u64(0);
        out.put_u32(body.len() as u32);
        if body.len() < SHARED_BODY {
            out.put_slice(&body);
        } else {
            self.parts.push(self.open.split().freeze());
            self.parts.push(body);
        }
        let out = &mut self.open;
        if long_topic {
            out.put_u16(topic.len() as u16);
        } else {
            out.put_u8(topic.len() as u8);
        }
        out.put_slice(topic.as_bytes());
        out.put_u16(properties.len() as u16);
        out.put_slice(properties);
    }

    /// All parts in order.
    pub(crate) fn into_parts(mut self) -> Vec<Bytes> {
        if !self.open.is_empty() {
            self.parts.push(self.open.freeze());
        }
        self.parts
    }
}

/// The birthplace of a message that no client sent.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

fn crc32(body: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, body) as u32
}

fn sys_flag_of(message: &Message, born: SocketAddr, host: SocketAddr) -> i32 {
    let transaction = if message.kind == MessageType::Transaction { sys_flag::COMMITTED } else { 0 };
    let codec = match message.codec {
        BodyCodec::Plain => 0,
        BodyCodec::Zlib => sys_flag::COMPRESSED | sys_flag::ZLIB,
        BodyCodec::Lz4 => sys_flag::COMPRESSED | sys_flag::LZ4,
        BodyCodec::Zstd => sys_flag::COMPRESSED | sys_flag::ZSTD,
    };
    let born = if born.is_ipv6() { sys_flag::BORN_V6 } else { 0 };
    let host = if host.is_ipv6() { sys_flag::STORED_V6 } else { 0 };
    transaction | codec | born | host
}

/// How a body with this `sysFlag` is packed; nothing for a kind that does not exist.
pub(crate) fn codec_of(flag: i32) -> Option<BodyCodec> {
    if flag & sys_flag::COMPRESSED == 0 {
        return Some(BodyCodec::Plain);
    }
    match flag & sys_flag::CODEC {
        // Clients before 4.9.3 know only one kind and do not name it.
        0 | sys_flag::ZLIB => Some(BodyCodec::Zlib),
        sys_flag::LZ4 => Some(BodyCodec::Lz4),
        sys_flag::ZSTD => Some(BodyCodec::Zstd),
        _ => None,
    }
}

fn put_host(out: &mut BytesMut, host: SocketAddr) {
    match host.ip() {
        IpAddr::V4(ip) => out.put_slice(&ip.octets()),
        IpAddr::V6(ip) => out.put_slice(&ip.octets()),
    }
    out.put_u32(host.port().into());
}

/// One message of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BatchItem<'a> {
    pub(crate) flag: i32,
    pub(crate) body: Bytes,
    pub(crate) properties: &'a str,
}

/// Takes a batch body apart; the messages' bodies are slices of it. At most `max` items.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn parse_batch(body: &Bytes, max: usize) -> Result<Vec<BatchItem<'_>>, String> {
    let mut items = Vec::new();
    let mut rest = &body[..];
    while !rest.is_empty() {
        if items.len() == max {
            return Err(format!("a batch may have at most {max} messages"));
        }
        let (after, (flag, item, properties)) =
            batch_item(rest).map_err(|_| format!("message {} of the batch is cut short", items.len()))?;
        if properties.len() > MAX_PROPERTIES {
            return Err(format!(
                "message {} of the batch has over {MAX_PROPERTIES} bytes of properties",
                items.len()
            ));
        }
        let properties = std::str::from_utf8(properties)
            .map_err(|_| format!("the properties of message {} of the batch are not UTF-8", items.len()))?;
        items.push(BatchItem { flag, body: body.slice_ref(item), properties });
        rest = after;
    }
    if items.is_empty() { Err("a batch without messages".into()) } else { Ok(items) }
}

/// Flag, body and properties.
type RawItem<'a> = (i32, &'a [u8], &'a [u8]);

fn batch_item(input: &[u8]) -> IResult<&[u8], RawItem<'_>> {
    let (rest, item) = length_data(be_u32.map(|size: u32| size.saturating_sub(4))).parse(input)?;
    let (_, (_magic, _crc, flag, body, properties)) =
        (be_u32, be_u32, be_i32, length_data(be_u32), length_data(be_u16)).parse(item)?;
    Ok((rest, (flag, body, properties)))
}
