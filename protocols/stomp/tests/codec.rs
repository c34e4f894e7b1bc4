//! The decoder against the vectors of real clients, in one piece and byte by byte, and every limit.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::{Bytes, BytesMut};
use sluice_stomp::{Command, DecodeError, DecodeLimits, Decoder, Frame, Step, Version};

const LIMITS: DecodeLimits = DecodeLimits { line: 1024, headers: 10, head: 4096, body: 1 << 20 };

fn decoder(version: Option<Version>) -> Decoder {
    let mut decoder = Decoder::new(LIMITS);
    if let Some(version) = version {
        decoder.agree(version, LIMITS);
    }
    decoder
}

/// All frames of `bytes`, fed in portions of `portion` bytes.
fn feed(decoder: &mut Decoder, bytes: &[u8], portion: usize) -> Result<Vec<Frame>, DecodeError> {
    let mut buf = BytesMut::new();
    let mut frames = Vec::new();
    for part in bytes.chunks(portion) {
        buf.extend_from_slice(part);
        while let Step::Frame(frame) = decoder.decode(&mut buf).map_err(|r| r.error)? {
            frames.push(frame);
        }
    }
    assert!(buf.is_empty(), "left over: {buf:?}");
    Ok(frames)
}

/// Decodes in one piece and in small portions, which must agree.
fn decode(version: Option<Version>, bytes: &[u8]) -> Result<Vec<Frame>, DecodeError> {
    let whole = feed(&mut decoder(version), bytes, bytes.len().max(1));
    for portion in [1, 2, 3, 7] {
        assert_eq!(feed(&mut decoder(version), bytes, portion), whole, "in portions of {portion}");
    }
    whole
}

fn one(version: Option<Version>, bytes: &[u8]) -> Frame {
    let mut frames = decode(version, bytes).unwrap();
    assert_eq!(frames.len(), 1, "{frames:?}");
    frames.remove(0)
}

fn refused(version: Option<Version>, bytes: &[u8]) -> DecodeError {
    decode(version, bytes).expect_err("must be refused")
}

fn headers(frame: &Frame) -> Vec<(&str, &str)> {
    frame.headers.iter().map(|(n, v)| (&n[..], &v[..])).collect()
}

#[test]
fn transcripts_of_real_clients() {
    let stomp = one(
        None,
        b"STOMP\naccept-version:1.2\nhost:localhost\nlogin:guest\npasscode:pa\\ss:w\nheart-beat:10000,10000\n\n\0",
    );
    assert_eq!(stomp.command, Command::Stomp);
    assert_eq!(stomp.get("passcode").unwrap(), "pa\\ss:w", "never escaped, cut at the first colon");

    let frames = decode(
        Some(Version::V12),
        b"SUBSCRIBE\nid:0\ndestination:/queue/orders\nack:client-individual\nprefetch-count:10\nreceipt:r-sub\n\n\0\
          SEND\ndestination:/queue/orders\ncontent-type:text/plain\ncontent-length:5\ncolour:dark\\cred\nreceipt:r-1\n\nhello\0\n\
          NACK\nid:0-1\n\n\0\nDISCONNECT\nreceipt:bye\n\n\0",
    )
    .unwrap();
    let commands: Vec<_> = frames.iter().map(|f| f.command).collect();
    assert_eq!(commands, [Command::Subscribe, Command::Send, Command::Nack, Command::Disconnect]);
    assert_eq!(frames[1].get("colour").unwrap(), "dark:red");
    assert_eq!(frames[1].body, "hello");

    let ruby = one(
        Some(Version::V11),
        b"SUBSCRIBE\ndestination:/queue/x\nid:1\ncontent-length:0\ncontent-type:text/plain; charset=UTF-8\n\n\0",
    );
    assert_eq!(ruby.command, Command::Subscribe);
    let windows = one(Some(Version::V12), b"SEND\r\ndestination:/queue/x\r\n\r\nabc\0");
    assert_eq!((headers(&windows), &windows.body[..]), (vec![("destination", "/queue/x")], &b"abc"[..]));
    let perl = one(Some(Version::V10), b"SEND\ndestination:  /queue/a\ntransaction:1\nreceipt:2\n\nbody\0");
    assert_eq!(perl.get("destination").unwrap(), "/queue/a");
}

#[test]
fn noise_between_frames_is_skipped() {
    let frames =
        decode(Some(Version::V12), b"\n\n\r\n\0\0\nACK\nid:1\n\n\0\n\n\0\nACK\nid:2\n\n\0\r\n").unwrap();
    assert_eq!(frames.len(), 2);
    assert_eq!(refused(None, b"\rX"), DecodeError::CarriageReturn);
}

#[test]
fn bodies_are_bytes_and_end_where_they_say() {
    let measured = one(Some(Version::V12), b"SEND\ndestination:/queue/x\ncontent-length:3\n\nab\0\0");
    assert_eq!(measured.body, Bytes::from_static(b"ab\0"));
    assert_eq!(one(Some(Version::V11), b"SEND\nd:x\n\n\xff\xfe\0").body, Bytes::from_static(b"\xff\xfe"));
    assert_eq!(
        refused(Some(Version::V12), b"SEND\ncontent-length:2\n\nabc\0"),
        DecodeError::MissingNul,
        "more than it says"
    );
    for wrong in ["-1", "abc", "1.5", "", "99999999999999999999"] {
        let frame = format!("SEND\ncontent-length:{wrong}\n\nabc\0");
        assert_eq!(refused(Some(Version::V12), frame.as_bytes()), DecodeError::ContentLength, "{wrong:?}");
    }
}

#[test]
fn what_a_nul_in_a_body_leaves_behind_is_thrown_away() {
    let mut decoder = decoder(Some(Version::V11));
    let bytes =
        b"SEND\ndestination:/queue/x\nsuppress_content_length:true\n\ntest_\0_length\0ACK\nid:1\n\n\0";
    let frames = feed(&mut decoder, bytes, 1).unwrap();
    assert_eq!(frames[0].body, "test_");
    assert_eq!(frames[1].command, Command::Ack);
    assert_eq!(decoder.junk(), 1);
}

#[test]
fn repeated_headers_are_kept_and_the_first_counts() {
    let frame = one(Some(Version::V12), b"SEND\ndestination:/queue/a\nx:1\ndestination:/queue/b\nx:2\n\nx\0");
    assert_eq!(frame.get("destination").unwrap(), "/queue/a");
    let all = [("destination", "/queue/a"), ("x", "1"), ("destination", "/queue/b"), ("x", "2")];
    assert_eq!(headers(&frame), all);
}

#[test]
fn escapes_differ_by_version() {
    let frame = b"ACK\nn\\cm:a\\nb\\\\c\\cd\n\n\0";
    assert_eq!(headers(&one(Some(Version::V10), frame)), [("n\\cm", "a\\nb\\\\c\\cd")]);
    for version in [Version::V11, Version::V12] {
        assert_eq!(headers(&one(Some(version), frame)), [("n:m", "a\nb\\c:d")]);
        assert_eq!(headers(&one(Some(version), b"ACK\na:\\r\n\n\0")), [("a", "\r")], "lenient in 1.1");
        assert_eq!(headers(&one(Some(version), b"ACK\na:b:c\nd:\n\n\0")), [("a", "b:c"), ("d", "")]);
        assert_eq!(headers(&one(Some(version), b"ACK\na: b \n\n\0")), [("a", " b ")], "no trimming");
        for wrong in ["\\t", "\\", "x\\0"] {
            let frame = format!("ACK\na:{wrong}\n\n\0");
            assert_eq!(refused(Some(version), frame.as_bytes()), DecodeError::Escape);
        }
    }
}

#[test]
fn carriage_returns_belong_to_the_line_end_only() {
    for version in Version::ALL {
        assert_eq!(headers(&one(Some(version), b"ACK\r\na:b\r\n\r\n\0")), [("a", "b")]);
    }
    assert_eq!(headers(&one(Some(Version::V11), b"ACK\na:b\rc\n\n\0")), [("a", "b\rc")]);
    assert_eq!(refused(Some(Version::V12), b"ACK\na:b\rc\n\n\0"), DecodeError::CarriageReturn);
}

#[test]
fn broken_heads_are_refused() {
    let v12 = Some(Version::V12);
    assert_eq!(refused(v12, b"send\n\n\0"), DecodeError::UnknownCommand);
    assert_eq!(refused(v12, b"GET / HTTP/1.1\r\n\r\n"), DecodeError::UnknownCommand);
    assert_eq!(refused(v12, b"MESSAGE\n\n\0"), DecodeError::UnknownCommand);
    assert_eq!(refused(v12, b"ACK\nid\n\n\0"), DecodeError::Header);
    assert_eq!(refused(v12, b"ACK\n:1\n\n\0"), DecodeError::Header);
    assert_eq!(refused(v12, b"ACK\nid:\xff\n\n\0"), DecodeError::Utf8);
    assert_eq!(refused(v12, b"ACK\nid:1\0"), DecodeError::NulInHead);
    assert_eq!(refused(v12, b"ACK\nid:1\n\nbody\0"), DecodeError::BodyNotAllowed);
    assert_eq!(refused(v12, b"ACK\nid:1\ncontent-length:4\n\nbody\0"), DecodeError::BodyNotAllowed);
}

#[test]
fn a_refused_body_still_names_the_receipt() {
    let mut buf = BytesMut::from(&b"SEND\nreceipt:r\ncontent-length:1\n\nxx"[..]);
    let refused = decoder(Some(Version::V12)).decode(&mut buf).unwrap_err();
    assert_eq!(refused.receipt.as_deref(), Some("r"));
}

/// The limit is noticed at the first byte beyond it, not when the frame is complete.
#[test]
fn limits_are_noticed_early() {
    let v12 = Some(Version::V12);
    assert_eq!(refused(v12, &[b'A'; 33]), DecodeError::CommandTooLong);
    let line = [&b"ACK\nx:"[..], &[b'y'; 1023]].concat();
    assert_eq!(refused(v12, &line), DecodeError::LineTooLong(1024));
    let many = format!("ACK\n{}zz", "a:b\n".repeat(10));
    assert_eq!(refused(v12, many.as_bytes()), DecodeError::TooManyHeaders(10));
    let just = format!("ACK\n{}\n\0", "a:b\n".repeat(10));
    assert_eq!(one(v12, just.as_bytes()).headers.len(), 10);
    let long = format!("ACK\n{}", format!("a:{}\n", "b".repeat(1000)).repeat(5));
    assert_eq!(refused(v12, long.as_bytes()), DecodeError::HeadTooLong(4096));
    assert_eq!(
        refused(v12, b"SEND\ncontent-length:1048577\n\n"),
        DecodeError::BodyTooLong(1 << 20),
        "before a byte of it has come"
    );
    let mut open = b"SEND\n\n".to_vec();
    open.resize(6 + (1 << 20) + 1, b'x');
    let mut buf = BytesMut::from(&open[..]);
    let error = decoder(v12).decode(&mut buf).unwrap_err().error;
    assert_eq!(error, DecodeError::BodyTooLong(1 << 20));
    buf = BytesMut::from(&open[..open.len() - 1]);
    assert_eq!(decoder(v12).decode(&mut buf), Ok(Step::Incomplete));
}
