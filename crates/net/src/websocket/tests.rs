//! Frames as a client may send them, good and bad, cut anywhere.

use bytes::{Bytes, BytesMut};

use super::{Control, Refused, Unframer, close_frame, message_head, ping, pong, websocket_accept};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CONTINUE: u8 = 0;
const FIN: u8 = 0x80;

/// A client's frame with its payload masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [7, 0x80, 0, 0xff];
    let mut out = vec![first];
    match payload.len() {
        n @ ..126 => out.push(0x80 | n as u8),
        n @ ..65_536 => {
            out.push(0x80 | 126);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    out.extend(mask);
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    out
}

/// Everything that comes of bytes that arrive in pieces of `step`.
fn read(bytes: &[u8], step: usize, max: usize) -> (Vec<u8>, Vec<Control>, Result<(), Refused>) {
    let (mut unframer, mut raw, mut plain) = (Unframer::new(max), BytesMut::new(), BytesMut::new());
    let mut controls = Vec::new();
    for piece in bytes.chunks(step) {
        raw.extend_from_slice(piece);
        loop {
            match unframer.next(&mut raw, &mut plain) {
                Ok(Some(control)) => controls.push(control),
                Ok(None) => break,
                Err(refused) => return (plain.to_vec(), controls, Err(refused)),
            }
        }
    }
    (plain.to_vec(), controls, Ok(()))
}

#[test]
fn messages_are_a_stream_wherever_they_are_cut() {
    let large = vec![b'x'; 70_000];
    let bytes = [
        frame(FIN | TEXT, "Grüße 🦀".as_bytes()),
        frame(TEXT, &"ü".as_bytes()[..1]), // a text in pieces, cut within a character
        frame(FIN | 9, b"are you there"),  // with a ping in between
        frame(CONTINUE, b""),
        frame(FIN | CONTINUE, &"ü".as_bytes()[1..]),
        frame(FIN | BINARY, &[0, 0xff, 0xc3]),
        frame(FIN | BINARY, &[9; 200]),
        frame(FIN | BINARY, &large),
        frame(FIN | 10, b"yes"),
        frame(FIN | 8, &[&1001u16.to_be_bytes()[..], b"bye"].concat()),
    ]
    .concat();
    let expected = ["Grüße 🦀ü".as_bytes(), &[0, 0xff, 0xc3], &[9; 200], &large].concat();
    for step in [1, 2, 3, 7, 64, 1000, bytes.len()] {
        let (plain, controls, end) = read(&bytes, step, 1 << 20);
        assert_eq!(end, Ok(()));
        assert!(plain == expected, "in pieces of {step}");
        let ping = Control::Ping(Bytes::from_static(b"are you there"));
        assert_eq!(controls, [ping, Control::Pong, Control::Close(Some(1001))]);
    }
}

#[test]
fn what_is_wrong_is_refused_with_its_code() {
    let masked_bit = |mut frame: Vec<u8>| {
        frame[1] &= 0x7f;
        frame
    };
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("not masked", masked_bit(frame(FIN | TEXT, b"hello")), 1002),
        ("reserved bit 1", frame(FIN | 0x40 | TEXT, b"hello"), 1002),
        ("reserved bit 2", frame(FIN | 0x20 | TEXT, b"hello"), 1002),
        ("reserved bit 3", frame(FIN | 0x10 | 9, b""), 1002),
        ("unknown data opcode", frame(FIN | 3, b"hello"), 1002),
        ("unknown control opcode", frame(FIN | 11, b""), 1002),
        ("nothing to continue", frame(FIN | CONTINUE, b"hello"), 1002),
        ("two messages at once", [frame(TEXT, b"a"), frame(FIN | TEXT, b"b")].concat(), 1002),
        ("continued after the end", [frame(FIN | TEXT, b"a"), frame(CONTINUE, b"b")].concat(), 1002),
        ("a ping in pieces", frame(9, b"x"), 1002),
        ("a large ping", frame(FIN | 9, &[0; 126]), 1002),
        ("a large close", frame(FIN | 8, &[3; 200]), 1002),
        ("half a close code", frame(FIN | 8, &[3]), 1002),
        ("a close code for nobody", frame(FIN | 8, &1005u16.to_be_bytes()), 1002),
        ("a close code out of range", frame(FIN | 8, &999u16.to_be_bytes()), 1002),
        ("a reason that is no text", frame(FIN | 8, &[3, 0xe8, 0xff]), 1007),
        ("no text", frame(FIN | TEXT, b"a\xff"), 1007),
        ("a text that ends in mid-character", frame(FIN | TEXT, b"a\xc3"), 1007),
        ("a surrogate in pieces", [frame(TEXT, b"\xed"), frame(FIN | CONTINUE, b"\xa0\x80")].concat(), 1007),
        ("a large frame", frame(FIN | BINARY, &[0; 1000])[..8].to_vec(), 1009),
        ("a length beyond all", [&[FIN | BINARY, 0xff][..], &[0xff; 8], &[0; 4]].concat(), 1009),
        ("a large message", [frame(BINARY, &[0; 200]), frame(CONTINUE, &[0; 60])].concat(), 1009),
        ("empty pieces without end", [frame(TEXT, b""), frame(CONTINUE, b"").repeat(50)].concat(), 1009),
    ];
    for (what, bytes, code) in cases {
        for step in [1, bytes.len()] {
            let (_, _, end) = read(&bytes, step, 256);
            assert_eq!(end.map_err(Refused::code), Err(code), "{what}");
        }
    }
}

#[test]
fn a_length_is_refused_before_its_bytes_come() {
    let head = &frame(FIN | BINARY, &[0; 70_000])[..14];
    assert_eq!(read(head, 14, 65_536).2, Err(Refused::TooLarge));
    assert_eq!(read(head, 14, 80_000).2, Ok(()));
}

#[test]
fn what_we_send_is_not_masked() {
    assert_eq!(&message_head(true, 5)[..], [0x81, 5]);
    assert_eq!(&message_head(false, 300)[..], [0x82, 126, 1, 44]);
    assert_eq!(&message_head(false, 65_536)[..], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(&ping()[..], [0x89, 0]);
    assert_eq!(&pong(b"hi")[..], b"\x8a\x02hi");
    assert_eq!(&close_frame(None, "")[..], [0x88, 0]);
    assert_eq!(&close_frame(Some(1001), "bye")[..], b"\x88\x05\x03\xe9bye");
    assert!(close_frame(Some(1002), &"long".repeat(100)).len() <= 2 + 125);
}

#[test]
fn the_key_of_the_specification() {
    assert_eq!(websocket_accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}
