//! Between Kafka's record and the model's message.
//!
//! | Kafka | model | |
//! |---|---|---|
//! | value, or null | body, or null | unpacked, where a RocketMQ producer packed it |
//! | key, or null | key, or null | one that is a word becomes the message's `keys`, too, so that other wires find it |
//! | headers | headers | in order, with duplicates, nulls and bytes |
//! | header `TAGS` | tag | stays a header, too |
//! | timestamp | born | |
//!
//! The one idea to know: what came in over Kafka goes out over Kafka bit by bit, and what another wire said and a record
//! has no field for becomes headers in front of the others: `TAGS`, `KEYS`, `rocketmq.msgid`.

use crate::batch::{BatchWriter, Record};
use sluice_auth::Session;
use sluice_broker::body;
use sluice_model::{Error, Keys, Message, Protocol, Provenance, Result, StoredMessage};

/// The header by which subscriptions of other wires select.
pub(crate) const TAGS: &str = "TAGS";
const KEYS: &str = "KEYS";
const MESSAGE_ID: &str = "rocketmq.msgid";
/// "No time", as producers of long ago have it.
pub(crate) const NO_TIMESTAMP: i64 = -1;
/// The longest key that is a word.
const MAX_WORD: usize = 255;

/// The message that a record is.
///
/// # Errors
/// `InvalidArgument` for a time before 1970.
pub(crate) fn to_message(record: Record, session: &Session) -> Result<Message> {
    let message = message_of(record)?;
    let provenance = Provenance {
        principal: session.principal().clone(),
        peer: Some(session.peer()),
        ..message.provenance
    };
    Ok(Message { provenance, ..message })
}

/// The same without the sender.
///
/// # Errors
/// As for [`to_message`].
pub(crate) fn message_of(record: Record) -> Result<Message> {
    let born = match record.timestamp {
        NO_TIMESTAMP => 0, // the broker takes its own time
        time => u64::try_from(time).map_err(|_| Error::invalid("a record's time lies before 1970"))?,
    };
    let keys =
        record.key.as_deref().and_then(word).map_or_else(Keys::none, |word| Keys::joined(word.to_owned()));
    let tag = record.headers.text(TAGS).filter(|tag| !tag.is_empty()).map(Into::into);
    let provenance = Provenance { protocol: Protocol::Kafka, ..Provenance::default() };
    Ok(Message {
        body: record.value,
        key: record.key,
        keys,
        tag,
        headers: record.headers,
        born,
        provenance,
        ..Message::default()
    })
}

fn text(text: &str) -> &[u8] {
    text.as_bytes()
}

/// A key that other wires can say: a text without blanks.
pub(crate) fn word(key: &[u8]) -> Option<&str> {
    let is_fine = |text: &&str| {
        !text.is_empty()
            && text.len() <= MAX_WORD
            && !text.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    std::str::from_utf8(key).ok().filter(is_fine)
}

/// Adds a message to a batch as the record it is to Kafka clients.
///
/// # Errors
/// What unpacking its body says; a body is not larger than `limit`.
pub(crate) fn push_record(writer: &mut BatchWriter, stored: &StoredMessage, limit: usize) -> Result<()> {
    let message = &stored.message;
    let body = body::plain(message, limit)?;
    let from_kafka = message.provenance.protocol == Protocol::Kafka;
    let mut headers: Vec<(&str, Option<&[u8]>)> = Vec::new();
    let id = message.id.text();
    let key = match (&message.key, &message.ordering_group) {
        (Some(key), _) => Some(&key[..]),
        (None, Some(group)) => Some(text(group)),
        (None, None) if !message.keys.is_empty() => Some(text(message.keys.as_text())),
        (None, None) => None,
    };
    if !from_kafka {
        let tag = message.tag.as_ref().map(|tag| (TAGS, Some(text(tag))));
        let keys = Some(text(message.keys.as_text())).filter(|keys| !keys.is_empty() && key != Some(*keys));
        headers.extend(tag);
        headers.extend(keys.map(|keys| (KEYS, Some(keys))));
        headers.push((MESSAGE_ID, Some(text(&id))));
    }
    headers.extend(message.headers.iter());
    let born = i64::try_from(message.born).unwrap_or(i64::MAX);
    writer.push(stored.offset as i64, born, key, body.as_deref(), &headers);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, Budget};
    use bytes::Bytes;
    use sluice_model::{Headers, QueueId, TopicName};

    fn stored(message: Message) -> StoredMessage {
        StoredMessage {
            topic: TopicName::new("t").unwrap(),
            queue: QueueId(0),
            offset: 5,
            locator: 64,
            size: 100,
            stored: 9,
            message,
        }
    }

    fn as_record(message: Message) -> Record {
        let mut writer = BatchWriter::new(5, message.born as i64, 0);
        push_record(&mut writer, &stored(message), 1 << 20).unwrap();
        let batch = Batch::take(&mut writer.finish(5)).unwrap();
        batch.records(&mut Budget::new(1 << 20)).unwrap().remove(0)
    }

    async fn session() -> Session {
        let broker = sluice_broker::Broker::in_memory();
        broker.login(sluice_auth::Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn what_kafka_says_comes_back_bit_by_bit() {
        let session = session().await;
        let mut headers = Headers::builder();
        for (name, value) in
            [("a", Some(&[0xFF, 0][..])), (TAGS, Some(b"red")), ("a", None), ("b", Some(b""))]
        {
            headers.push(name, value).unwrap();
        }
        let headers = headers.build();
        let bytes = |text: &'static [u8]| Some(Bytes::from_static(text));
        for (key, value) in [
            (None, None),
            (bytes(b""), bytes(b"")),
            (bytes(&[0xFF]), bytes(&[0, 0xFF])),
            (bytes(b"word"), bytes(b"v")),
        ] {
            let record = Record { timestamp: 7, offset_delta: 0, key, value, headers: headers.clone() };
            let message = to_message(record.clone(), &session).unwrap();
            assert_eq!(message.tag.as_deref(), Some("red"));
            assert_eq!(message.keys.as_text().is_empty(), record.key.as_deref() != Some(b"word"));
            assert_eq!(as_record(message), record);
        }
    }

    #[test]
    fn what_others_say_is_in_front() {
        let mut headers = Headers::builder();
        headers.push("x", Some(b"1")).unwrap();
        let message = Message {
            body: Some(Bytes::from_static(b"hello")),
            keys: Keys::joined("k1 k2"),
            tag: Some("red".into()),
            ordering_group: Some("g".into()),
            id: "ID".into(),
            headers: headers.build(),
            born: 3,
            ..Message::default()
        };
        let record = as_record(message);
        assert_eq!(record.key.as_deref(), Some(&b"g"[..]));
        let said: Vec<_> = record.headers.iter().map(|(n, v)| (n, v.unwrap())).collect();
        assert_eq!(said, [(TAGS, &b"red"[..]), (KEYS, b"k1 k2"), (MESSAGE_ID, b"ID"), ("x", b"1")]);
    }
}
