//! What we write can be read: by our own decoder in every version, and by an independent one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use sluice_stomp::{DecodeLimits, Decoder, FrameWriter, Step, Version};
use stomp_parser::headers::{DecodableValue, HeaderValue};
use stomp_parser::server::ServerFrame;

const LIMITS: DecodeLimits = DecodeLimits { line: 4096, headers: 100, head: 65_536, body: 1 << 20 };

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(Version::ALL.to_vec())
}

fn text() -> impl Strategy<Value = String> {
    vec(
        prop_oneof![Just(':'), Just('\n'), Just('\r'), Just('\\'), Just('n'), Just('ü'), any::<char>()],
        1..12,
    )
    .prop_map(|chars| chars.into_iter().filter(|c| *c != '\0').collect::<String>())
    .prop_filter("not empty", |text| !text.is_empty())
}

/// Whether this version can say it and the receiver gets it back unchanged.
fn carried(version: Version, name: &str, value: &str) -> bool {
    match version {
        Version::V10 => {
            !name.contains([':', '\n', '\r'])
                && !value.contains('\n')
                && !value.ends_with('\r')
                && value.trim_ascii_start() == value
        }
        Version::V11 => !value.ends_with('\r') && !name.ends_with('\r'),
        Version::V12 => true,
    }
}

fn decode(version: Version, wire: &[u8], portions: &[usize]) -> (Vec<(String, String)>, Bytes) {
    let mut decoder = Decoder::new(LIMITS);
    decoder.agree(version, LIMITS);
    let (mut buf, mut rest, mut sizes) = (BytesMut::new(), wire, portions.iter().cycle());
    while !rest.is_empty() {
        let (part, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        buf.extend_from_slice(part);
        rest = after;
        if let Step::Frame(frame) = decoder.decode(&mut buf).unwrap() {
            let headers = frame.headers.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            return (headers, frame.body);
        }
    }
    panic!("no frame in {:?}", Bytes::copy_from_slice(wire));
}

fn decoded(header: &impl DecodableValue) -> String {
    header.decoded_value().unwrap().to_string()
}

proptest! {
    #[test]
    fn frames_come_back_in_every_version_and_any_portions(
        version in version(),
        headers in vec((text(), text()), 0..6),
        body in vec(any::<u8>(), 0..6000),
        portions in vec(1usize..400, 1..8),
    ) {
        let headers: Vec<_> = headers.into_iter().filter(|(n, v)| carried(version, n, v)).collect();
        let mut frame = FrameWriter::new(version, "SEND");
        frame.header("content-length", &body.len().to_string());
        for (name, value) in &headers {
            frame.header(name, value);
        }
        let wire = frame.finish_with(body.clone().into()).to_bytes();
        let (got, got_body) = decode(version, &wire, &portions);
        prop_assert_eq!(&got[1..], &headers[..]);
        prop_assert_eq!(&got_body[..], &body[..]);
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_never_grow(version in version(), bytes in vec(any::<u8>(), 0..2000)) {
        let mut decoder = Decoder::new(LIMITS);
        decoder.agree(version, LIMITS);
        let mut buf = BytesMut::from(&bytes[..]);
        while let Ok(Step::Frame(_)) = decoder.decode(&mut buf) {}
        prop_assert!(buf.len() <= bytes.len());
    }

    /// The independent decoder knows 1.2 only.
    #[test]
    fn an_independent_decoder_reads_our_messages(
        headers in vec(("[a-z]{1,8}-x", text()), 0..6),
        body in vec(any::<u8>(), 1..6000),
    ) {
        let mut frame = FrameWriter::new(Version::V12, "MESSAGE");
        frame.header("subscription", "0").header("message-id", "1").header("destination", "/queue/a:b");
        frame.header("content-length", &body.len().to_string());
        for (name, value) in &headers {
            frame.header(name, value);
        }
        let wire = frame.finish_with(body.clone().into()).to_bytes();
        // It takes exactly one frame; the LF behind it is a heart-beat.
        let one = wire.strip_suffix(b"\n").unwrap().to_vec();
        let Ok(ServerFrame::Message(message)) = ServerFrame::try_from(one) else {
            return Err(TestCaseError::fail("not a MESSAGE"));
        };
        prop_assert_eq!(decoded(message.destination()), "/queue/a:b");
        prop_assert_eq!(message.body(), Some(&body[..]));
        let custom: Vec<_> = message
            .custom
            .iter()
            .map(|h| (h.header_name().to_owned(), decoded(h)))
            .collect();
        prop_assert_eq!(custom, headers);
    }
}

#[test]
fn what_a_version_cannot_say_is_left_out() {
    let wire = |version| {
        let mut frame = FrameWriter::new(version, "MESSAGE");
        frame.header("a", "x\ny").header("b:c", "1").header("d", "").header("e", "x\0y").header("f", "z\r");
        frame.finish().to_bytes()
    };
    assert_eq!(wire(Version::V10), "MESSAGE\nf:z\n\n\0\n");
    assert_eq!(wire(Version::V11), "MESSAGE\na:x\\ny\nb\\cc:1\nd:\nf:z\n\n\0\n");
    assert_eq!(wire(Version::V12), "MESSAGE\na:x\\ny\nb\\cc:1\nd:\nf:z\\r\n\n\0\n");
}

#[test]
fn frames_before_an_agreement_are_never_escaped() {
    let mut frame = FrameWriter::raw("ERROR");
    frame.header("message", "a:b\\c\nd");
    assert_eq!(frame.finish().to_bytes(), "ERROR\nmessage:a:b\\c d\n\n\0\n");
}
