//! The codec against bytes of real clients, against itself, and against broken input.

#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use sluice_remoting::codec::{
    CodecError, Ext, Frame, Head, MAX_EXT, MAX_FRAME, MAX_HEADER, OUR_VERSION, Spelling, decode, encode,
};

/// The bytes of a file in `tests/golden`.
fn golden(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/{name}.hex", env!("CARGO_MANIFEST_DIR"));
    let text: String = std::fs::read_to_string(path).unwrap().split_whitespace().collect();
    hex::decode(text).unwrap()
}

fn whole(bytes: &[u8]) -> Frame {
    let mut buf = BytesMut::from(bytes);
    let frame = decode(&mut buf, MAX_FRAME).unwrap().unwrap();
    assert!(buf.is_empty());
    frame
}

fn fields(frame: &Frame) -> Vec<(String, String)> {
    frame.ext.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn a_request_reads_the_same_in_both_spellings() {
    for (name, spelling) in
        [("json-request-route", Spelling::Json), ("binary-request-route", Spelling::Binary)]
    {
        let frame = whole(&golden(name));
        let head = Head { code: 105, language: 0, version: 401, opaque: 7, flag: 0, remark: None };
        assert_eq!(frame.head, head, "{name}");
        assert_eq!(fields(&frame), pairs(&[("topic", "TopicTest")]), "{name}");
        assert_eq!(frame.spelling, spelling);
        assert!(frame.body.is_empty());
    }
}

#[test]
fn a_java_send_keeps_its_properties_and_body() {
    let frame = whole(&golden("json-request-send-v2"));
    assert_eq!((frame.head.code, frame.head.opaque, frame.head.version), (310, 11, 479));
    assert_eq!(frame.ext.get("b").unwrap(), "TopicTest");
    assert_eq!(frame.ext.get("i").unwrap(), "TAGS\u{1}TagA\u{2}");
    assert_eq!(frame.ext.get("n").unwrap(), "broker-a");
    assert_eq!(frame.ext.get("z"), None);
    assert_eq!(&frame.body[..], b"Hello RMQ");
}

#[test]
fn a_one_way_request_is_known_as_one() {
    let frame = whole(&golden("binary-oneway-update-offset"));
    assert!(frame.head.is_one_way());
    assert!(!frame.head.is_response());
    assert_eq!((frame.head.code, frame.head.opaque), (15, 13));
    let expected = pairs(&[("consumerGroup", "CG"), ("topic", "T"), ("queueId", "1"), ("commitOffset", "6")]);
    assert_eq!(fields(&frame), expected);
}

#[test]
fn answers_are_written_byte_for_byte_as_java_reads_them() {
    for name in ["json-response-send", "binary-response-no-route", "binary-response-heartbeat"] {
        let bytes = golden(name);
        let frame = whole(&bytes);
        assert!(frame.head.is_response());
        assert_eq!(frame.head.version, OUR_VERSION);
        assert_eq!(hex::encode(encode(&frame)), hex::encode(bytes), "{name}");
    }
    let frame = whole(&golden("json-response-pull-not-found"));
    assert_eq!(frame.head.code, 19);
    assert_eq!(frame.head.remark.as_deref(), Some("NO_MESSAGE_IN_QUEUE"));
}

#[test]
fn headers_of_lenient_clients_are_read() {
    let read = |json: &str| {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&(4 + json.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&(json.len() as u32).to_be_bytes());
        bytes.extend_from_slice(json.as_bytes());
        decode(&mut BytesMut::from(&bytes[..]), MAX_FRAME)
    };
    let go = r#"{"code":34,"language":"GO","version":317,"opaque":3,"flag":0,"remark":"","extFields":null}"#;
    let frame = read(go).unwrap().unwrap();
    assert_eq!((frame.head.code, frame.head.language, frame.head.remark), (34, 9, None));

    let odd = r#"{ "unknown":[{}], "code":"10", "language":"COBOL", "opaque":1,
        "extFields":{"a":5,"b":true,"c":null,"d":1.5,"\u0065":"\u00fc\n\ud83d\ude00"} }"#;
    let frame = read(odd).unwrap().unwrap();
    assert_eq!((frame.head.code, frame.head.language), (10, 7));
    assert_eq!(fields(&frame), pairs(&[("a", "5"), ("b", "true"), ("d", "1.5"), ("e", "ü\n😀")]));

    for broken in ["", "{", "[]", r#"{"code":"x"}"#, r#"{"code":1} x"#, r#"{"extFields":7}"#, "\u{1}"] {
        assert!(matches!(read(broken), Err(CodecError::Header(_))), "{broken:?}");
    }
    let fields = |n: usize| (0..n).map(|i| format!("\"{i}\":\"\"")).collect::<Vec<_>>().join(",");
    assert!(read(&format!("{{\"extFields\":{{{}}}}}", fields(MAX_EXT))).is_ok());
    assert!(read(&format!("{{\"extFields\":{{{}}}}}", fields(MAX_EXT + 1))).is_err());
}

#[test]
fn lengths_over_the_limits_are_refused_before_their_bytes_arrive() {
    let refused = |bytes: &[u8]| decode(&mut BytesMut::from(bytes), MAX_FRAME).unwrap_err();
    assert!(matches!(refused(&[1, 0, 0, 0]), CodecError::FrameTooLarge(..)));
    assert!(matches!(refused(&[0xFF; 4]), CodecError::FrameTooLarge(..)));
    assert!(matches!(refused(&[0, 0, 0, 8, 0, 0, 0, 5]), CodecError::HeaderLength(5)));
    assert!(matches!(refused(&[0, 0, 0, 0, 0, 0, 0, 0]), CodecError::HeaderLength(0)));
    let long = (MAX_HEADER as u32 + 1).to_be_bytes();
    assert!(matches!(refused(&[&[0, 0xFF, 0xFF, 0], &long[..]].concat()), CodecError::HeaderLength(_)));
    assert_eq!(refused(&[0, 0, 0, 4, 2, 0, 0, 0]), CodecError::UnknownSpelling(2));
    let frame = golden("json-request-send-v2");
    let small = decode(&mut BytesMut::from(&frame[..]), frame.len() - 1);
    assert!(matches!(small, Err(CodecError::FrameTooLarge(..))));
    assert!(decode(&mut BytesMut::from(&frame[..]), frame.len()).is_ok());
}

#[test]
fn bytes_may_come_one_by_one_and_frames_together() {
    let names = ["json-request-send-v2", "binary-request-route", "binary-oneway-update-offset"];
    let all: Vec<u8> = names.iter().flat_map(|n| golden(n)).collect();
    let mut buf = BytesMut::new();
    let mut codes = Vec::new();
    for byte in &all {
        buf.extend_from_slice(&[*byte]);
        while let Some(frame) = decode(&mut buf, MAX_FRAME).unwrap() {
            codes.push(frame.head.code);
        }
    }
    assert_eq!(codes, [310, 105, 15]);
    let mut buf = BytesMut::from(&all[..]);
    for code in [310, 105, 15] {
        assert_eq!(decode(&mut buf, MAX_FRAME).unwrap().unwrap().head.code, code);
    }
    assert!(decode(&mut buf, MAX_FRAME).unwrap().is_none());
}

fn frames() -> impl Strategy<Value = Frame> {
    let head =
        (0..0x7FFFi32, 0..14u8, 0..0x7FFFi32, any::<i32>(), any::<i32>(), proptest::option::of(".{1,20}"))
            .prop_map(|(code, language, version, opaque, flag, remark)| Head {
                code,
                language,
                version,
                opaque,
                flag,
                remark: remark.map(Into::into),
            });
    let ext = proptest::collection::vec((".{1,12}", ".{1,40}"), 0..20).prop_map(|fields| {
        let mut ext = Ext::default();
        fields.into_iter().for_each(|(n, v)| ext.push(n, v));
        ext
    });
    let body = proptest::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    let spelling = prop_oneof![Just(Spelling::Json), Just(Spelling::Binary)];
    (head, ext, body, spelling).prop_map(|(head, ext, body, spelling)| Frame { head, ext, body, spelling })
}

proptest! {
    #[test]
    fn what_is_written_is_read(frame in frames()) {
        prop_assert_eq!(whole(&encode(&frame)), frame);
    }

    #[test]
    fn a_cut_frame_is_incomplete(frame in frames(), cut in any::<prop::sample::Index>()) {
        let bytes = encode(&frame);
        let mut buf = BytesMut::from(&bytes[..cut.index(bytes.len())]);
        prop_assert_eq!(decode(&mut buf, MAX_FRAME), Ok(None));
    }

    #[test]
    fn any_bytes_are_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), small in any::<bool>()) {
        if small && bytes.len() >= 8 {
            let length = bytes.len() as u32 - 4;
            bytes[..4].copy_from_slice(&length.to_be_bytes());
            bytes[4] &= 1;
            bytes[5..7].fill(0);
        }
        let mut buf = BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = decode(&mut buf, MAX_FRAME) {}
    }
}
