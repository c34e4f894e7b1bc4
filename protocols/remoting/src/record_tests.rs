//! Records and batches against the bytes that real decoders accept.

use super::*;
use crate::properties::{self, PropertyList};
use proptest::prelude::*;
use sluice_model::{Message, Provenance, QueueId, TopicName};

fn golden(text: &str) -> Vec<u8> {
    hex::decode(text.split_whitespace().collect::<String>()).unwrap()
}

fn stored(topic: &str, body: &'static [u8], born: &str) -> StoredMessage {
    StoredMessage {
        topic: TopicName::new(topic).unwrap(),
        queue: QueueId(0),
        offset: 0,
        locator: 0,
        size: 0,
        stored: 2,
        message: Message {
            born: 1,
            body: Some(Bytes::from_static(body)),
            provenance: Provenance { peer: Some(born.parse().unwrap()), ..Provenance::default() },
            ..Message::default()
        },
    }
}

fn record(stored: &StoredMessage, properties: &[(&str, &str)], host: &str) -> Vec<u8> {
    let mut list = PropertyList::default();
    for (name, value) in properties {
        assert!(list.push(name, value));
    }
    let mut records = Records::default();
    records.push(stored, &list, host.parse().unwrap());
    records.into_parts().concat()
}

#[test]
fn a_record_is_what_java_decodes() {
    let mut message = stored("TopicTest", b"Hello RMQ", "10.0.0.1:50001");
    message.queue = QueueId(3);
    message.offset = 42;
    message.locator = 1024;
    message.message.born = 1_700_000_000_000;
    message.stored = 1_700_000_000_005;
    let properties = [
        ("KEYS", "order-1"),
        ("UNIQ_KEY", "0A0000010D4018B4AAC21A2B3C4D0000"),
        ("TAGS", "TagA"),
        ("CLUSTER", "DefaultCluster"),
    ];
    let expected = golden(include_str!("../tests/golden/record-v1-ipv4.hex"));
    assert_eq!(hex::encode(record(&message, &properties, "127.0.0.1:10911")), hex::encode(expected));
}

#[test]
fn addresses_of_sixteen_bytes_set_their_flags() {
    let message = stored("T", b"x", "[::1]:1");
    let expected = golden(include_str!("../tests/golden/record-v1-ipv6.hex"));
    assert_eq!(hex::encode(record(&message, &[], "[2001:db8::1]:10911")), hex::encode(expected));
    let mapped = stored("T", b"x", "[::ffff:10.0.0.1]:1");
    let plain = stored("T", b"x", "10.0.0.1:1");
    let host = "127.0.0.1:10911";
    assert_eq!(record(&mapped, &[], host), record(&plain, &[], host));
}

#[test]
fn a_long_topic_takes_the_second_form() {
    let mut message = stored(&format!("%RETRY%{}", "g".repeat(125)), b"x", "1.2.3.4:1");
    message.message.attempt = 1;
    let expected = golden(include_str!("../tests/golden/record-v2-long-topic.hex"));
    assert_eq!(hex::encode(record(&message, &[("K", "v")], "1.2.3.4:10911")), hex::encode(expected));
}

#[test]
fn a_large_body_is_shared_and_stays_in_its_place() {
    let body: &'static [u8] = &[7; SHARED_BODY];
    let (large, small) = (stored("T", body, "1.2.3.4:1"), stored("T", b"small", "1.2.3.4:1"));
    let host = "127.0.0.1:1".parse().unwrap();
    let mut records = Records::default();
    for message in [&small, &large, &large, &small] {
        records.push(message, &PropertyList::default(), host);
    }
    let parts = records.into_parts();
    assert_eq!(parts.iter().filter(|p| p.as_ptr() == body.as_ptr()).count(), 2);
    let one = |m| record(m, &[], "127.0.0.1:1");
    assert_eq!(parts.concat(), [one(&small), one(&large), one(&large), one(&small)].concat());
}

#[test]
fn codecs_have_their_bits() {
    for codec in [BodyCodec::Plain, BodyCodec::Zlib, BodyCodec::Lz4, BodyCodec::Zstd] {
        let host = "127.0.0.1:1".parse().unwrap();
        assert_eq!(codec_of(sys_flag_of(&Message { codec, ..Message::default() }, host, host)), Some(codec));
    }
    assert_eq!(codec_of(1), Some(BodyCodec::Zlib));
    assert_eq!(codec_of(0x300), Some(BodyCodec::Plain));
    assert_eq!(codec_of(0x401), None);
}

#[test]
fn a_batch_comes_apart() {
    let body = Bytes::from(golden(include_str!("../tests/golden/batch-body.hex")));
    let items = parse_batch(&body, 2).unwrap();
    let [first, second] = &items[..] else { panic!("{items:?}") };
    assert_eq!((first.flag, &first.body[..]), (0, &b"a"[..]));
    assert_eq!(properties::parse(first.properties).collect::<Vec<_>>(), [("UNIQ_KEY", "AA")]);
    assert_eq!((second.flag, &second.body[..]), (5, &b"bc"[..]));
    assert_eq!(properties::parse(second.properties).collect::<Vec<_>>(), [("TAGS", "t"), ("WAIT", "true")]);

    assert!(parse_batch(&body, 1).is_err());
    assert!(parse_batch(&Bytes::new(), 9).is_err());
    let first_ends = 0x23;
    for cut in (1..body.len()).filter(|cut| *cut != first_ends) {
        assert!(parse_batch(&body.slice(..cut), 9).is_err(), "{cut}");
    }
}

proptest! {
    #[test]
    fn any_batch_body_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse_batch(&Bytes::from(bytes), 100);
    }
}
