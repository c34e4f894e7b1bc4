//! Bytes to requests, and responses to bytes. Pure: no socket, no broker.
//!
//! ```text
//! request  := length i32 | api key i16 | version i16 | correlation i32 | client id (i16 length) | [tags] | body
//! response := length i32 | correlation i32 | [tags] | body                                        (big-endian)
//! ```
//! Tags are there in flexible versions, except in the response to ApiVersions, which a client of any age must read.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use sluice_net::Detect;

/// Before the length may be believed, nothing is allocated: Kafka's own requests are never larger than this.
const LARGEST_HEAD: usize = 64 << 10;

/// A request whose body is still to be decoded.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub key: i16,
    pub version: i16,
    pub correlation: i32,
    /// What the client calls itself; not checked to be UTF-8 here.
    pub client_id: Option<Bytes>,
    /// What follows the client id: tags, in flexible versions, and the body.
    pub rest: Bytes,
}

/// What the front of the buffer is.
#[derive(Debug)]
pub(crate) enum Step {
    Frame(Bytes),
    Incomplete,
    /// A length no request has: another protocol, or damage.
    Malformed,
}

/// Takes one frame, without its length, off the buffer.
pub(crate) fn take_frame(buf: &mut BytesMut, max: usize) -> Step {
    let Some(length) = buf.first_chunk::<4>() else { return Step::Incomplete };
    let Some(length) = usize::try_from(i32::from_be_bytes(*length)).ok().filter(|n| *n <= max) else {
        return Step::Malformed;
    };
    if buf.len() < 4 + length {
        return Step::Incomplete;
    }
    buf.advance(4);
    Step::Frame(buf.split_to(length).freeze())
}

impl Call {
    /// Reads the header; nothing when it is cut short or its client id is too long.
    pub fn parse(mut frame: Bytes) -> Option<Self> {
        let (key, version) = (frame.try_get_i16().ok()?, frame.try_get_i16().ok()?);
        let correlation = frame.try_get_i32().ok()?;
        let client_id = match frame.try_get_i16().ok()? {
            -1 => None,
            length => {
                let length = usize::try_from(length).ok().filter(|n| *n <= frame.len().min(LARGEST_HEAD))?;
                Some(frame.split_to(length))
            }
        };
        Some(Self { key, version, correlation, client_id, rest: frame })
    }

    /// What the client calls itself, for people.
    pub fn client_name(&self) -> &str {
        self.client_id.as_deref().and_then(|id| std::str::from_utf8(id).ok()).unwrap_or_default()
    }
}

/// Begins a response; [`finish_response`] fills in the length.
pub(crate) fn begin_response(correlation: i32, has_tags: bool, room: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(room + 9);
    out.put_i32(0);
    out.put_i32(correlation);
    if has_tags {
        out.put_u8(0);
    }
    out
}

/// The response, whose `more` bytes follow in parts of their own.
pub(crate) fn finish_response(mut out: BytesMut, more: usize) -> Bytes {
    let length = (out.len() + more).saturating_sub(4);
    if let Some(head) = out.get_mut(..4) {
        head.copy_from_slice(&(length as i32).to_be_bytes());
    }
    out.freeze()
}

/// The first request of a Kafka client: its length, then ApiVersions, Metadata or SaslHandshake of a version there is.
/// Where RocketMQ has the length of its header, that would be a length beyond the frame.
pub(crate) fn detect(prefix: &[u8]) -> Detect {
    const FIRST: [(u8, u8); 3] = [(18, 9), (3, 20), (17, 1)];
    if prefix.first().is_some_and(|b| *b != 0) || prefix.get(4).is_some_and(|b| *b != 0) {
        return Detect::No;
    }
    let Some((words, _)) = prefix.split_first_chunk::<8>() else { return Detect::More };
    let length = u32::from_be_bytes([words[0], words[1], words[2], words[3]]);
    let known = FIRST.iter().any(|(key, newest)| words[5] == *key && words[6] == 0 && words[7] <= *newest);
    match known && (10..0x03_0000).contains(&length) {
        true => Detect::Yes,
        false => Detect::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> BytesMut {
        let mut buf = BytesMut::new();
        buf.put_i32(body.len() as i32);
        buf.put_slice(body);
        buf
    }

    #[test]
    fn frames_come_off_one_by_one() {
        let mut buf = frame(&[1; 10]);
        buf.unsplit(frame(&[2; 9]));
        assert!(matches!(take_frame(&mut buf, 100), Step::Frame(f) if f == [1; 10][..]));
        let mut cut = buf.clone();
        cut.truncate(6);
        assert!(matches!(take_frame(&mut cut, 100), Step::Incomplete));
        assert!(matches!(take_frame(&mut buf, 100), Step::Frame(f) if f == [2; 9][..]));
        assert!(matches!(take_frame(&mut buf, 100), Step::Incomplete));
    }

    #[test]
    fn lengths_no_request_has_are_refused_before_their_bytes_come() {
        for bytes in [&b"GET / HTTP/1.1"[..], &[0xFF; 8], &[0, 0, 0, 101, 0]] {
            assert!(matches!(take_frame(&mut BytesMut::from(bytes), 100), Step::Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn headers_are_read_and_cut_ones_are_not() {
        let head = [0, 18, 0, 3, 0, 0, 0, 7, 0, 2, b'm', b'e', 9];
        let call = Call::parse(Bytes::from_static(&[0, 18, 0, 3, 0, 0, 0, 7, 0, 2, b'm', b'e', 9])).unwrap();
        assert_eq!((call.key, call.version, call.correlation, call.client_name()), (18, 3, 7, "me"));
        assert_eq!(call.rest, [9][..]);
        for cut in 0..12 {
            assert!(Call::parse(Bytes::copy_from_slice(&head[..cut])).is_none(), "{cut}");
        }
        let none = Call::parse(Bytes::from_static(&[0, 18, 0, 0, 0, 0, 0, 7, 0xFF, 0xFF])).unwrap();
        assert_eq!(none.client_name(), "");
        assert!(Call::parse(Bytes::from_static(&[0, 18, 0, 0, 0, 0, 0, 7, 0xFF, 0xFE])).is_none());
    }

    #[test]
    fn kafka_is_told_from_others() {
        for (prefix, answer) in [
            (&[0, 0, 0, 30, 0, 18, 0, 3, 0][..], Detect::Yes),
            (&[0, 0, 0, 30, 0, 3, 0, 12], Detect::Yes),
            (&[0, 0, 0, 30, 0, 18], Detect::More),
            (&[], Detect::More),
            (&[0, 0, 0, 30, 0, 0, 0, 3], Detect::No),
            (&[0, 0, 1, 0, 0, 0, 0, 0xB4, b'{'], Detect::No), // RocketMQ, JSON
            (&[0, 0, 1, 0, 1, 0, 0, 0xB4, 0], Detect::No),    // RocketMQ, its own encoding
            (b"CONNECT\n", Detect::No),
            (b"GET / HT", Detect::No),
        ] {
            assert_eq!(detect(prefix), answer, "{prefix:?}");
        }
    }
}
