//! Who sent a request: each one carries its own proof.
//!
//! A signature covers the values of all fields, in the order of their names, and the body. The one idea to know: there
//! is no login on this wire, so no session outlives its request; only "nobody, and nobody need be" is remembered.

use crate::codec::Frame;
use crate::errors::Failure;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sluice_auth::{Credentials, HmacAlgorithm, Proven, Session};
use sluice_broker::Broker;
use std::cmp::Ordering;
use std::net::SocketAddr;

const ACCESS_KEY: &str = "AccessKey";
const SIGNATURE: &str = "Signature";
/// Clients up to V4_9_3 add this field after they have signed.
const UNIQUE_KEY_QUERY: &str = "_UNIQUE_KEY_QUERY";
const LAST_TO_ADD_IT_LATE: i32 = 399;
/// Longer than any signature that could be right, a SHA-1's.
const MAX_SIGNATURE: usize = 64;

/// One connection's way of telling who sends.
pub(crate) struct Authenticator {
    peer: SocketAddr,
    /// The verified certificate of the TLS handshake.
    certificate: Option<Vec<u8>>,
    /// Set once a request without proof was let in, which only an open broker does.
    anonymous: Option<Session>,
    /// Of the last request that was signed.
    proven: Proven,
    signed: Signed,
}

impl Authenticator {
    pub(crate) fn new(peer: SocketAddr, certificate: Option<Vec<u8>>) -> Self {
        Self { peer, certificate, anonymous: None, proven: Proven::default(), signed: Signed::default() }
    }

    /// Proves who sent this request.
    pub(crate) fn prove(&mut self, broker: &Broker, frame: &Frame) -> Result<Session, Failure> {
        if let Some(access_key) = frame.ext.get(ACCESS_KEY) {
            return self.prove_signature(broker, frame, access_key);
        }
        if let Some(session) = &self.anonymous {
            return Ok(session.clone());
        }
        if let Some(der) = &self.certificate {
            return Ok(broker.login_now(Credentials::Certificate { der }, self.peer)?);
        }
        let session = broker.login_now(Credentials::Anonymous, self.peer)?;
        self.anonymous = Some(session.clone());
        Ok(session)
    }

    fn prove_signature(
        &mut self,
        broker: &Broker,
        frame: &Frame,
        access_key: &str,
    ) -> Result<Session, Failure> {
        let signature = frame.ext.get(SIGNATURE).map(|s| &s[..]).unwrap_or_default();
        let mut room = [0; MAX_SIGNATURE];
        // What is no base64 is a wrong signature, and is answered as one.
        let length = STANDARD.decode_slice(signature, &mut room).unwrap_or_default();
        let signature = room.get(..length).unwrap_or_default();
        let content = [self.signed.gather(frame), &frame.body];
        let algorithm = HmacAlgorithm::Sha1;
        let credentials = Credentials::Hmac { access_key, algorithm, content: &content, signature };
        Ok(broker.login_again(&mut self.proven, credentials, self.peer)?)
    }
}

/// What a client signs of the fields of a request. Its room is kept from one request to the next.
#[derive(Default)]
pub(crate) struct Signed {
    /// The fields by name: how the name begins, and where the field is in the request.
    order: Vec<(u64, u16)>,
    text: Vec<u8>,
}

/// More is not kept: most requests have a few hundred bytes of fields.
const MAX_KEPT: usize = 4096;

impl Signed {
    /// The values of the fields in the order of their names.
    pub(crate) fn gather(&mut self, frame: &Frame) -> &[u8] {
        let Self { order, text } = self;
        order.clear();
        text.clear();
        text.shrink_to(MAX_KEPT);
        let signed_late = frame.head.version <= LAST_TO_ADD_IT_LATE;
        let fields = (0..).zip(frame.ext.iter());
        let signed = fields
            .filter(|(_, (name, _))| **name != SIGNATURE && !(signed_late && **name == UNIQUE_KEY_QUERY));
        order.extend(signed.map(|(at, (name, _))| (beginning(name), at)));
        let field = |at: u16| frame.ext.at(usize::from(at)).unwrap_or_default();
        let name = |at: u16| field(at).0;
        // One that came twice stays in the order in which it came.
        if order.iter().all(|(_, at)| is_plain(name(*at))) {
            order.sort_unstable_by(|(a, at), (b, other)| {
                a.cmp(b).then_with(|| name(*at).cmp(name(*other))).then(at.cmp(other))
            });
        } else {
            order.sort_unstable_by(|(_, at), (_, other)| {
                as_java_orders(name(*at), name(*other)).then(at.cmp(other))
            });
        }
        // A signed request in the compact spelling carries the fields of its header twice; the client signed a map.
        let mut following = order.iter().skip(1);
        for (first, at) in order.iter() {
            let next = following.next();
            if !next.is_some_and(|(other, next)| other == first && name(*next) == name(*at)) {
                text.extend_from_slice(field(*at).1.as_bytes());
            }
        }
        text
    }
}

/// The first eight bytes as one number, in which most names differ; numbers are in the order of the texts.
fn beginning(name: &str) -> u64 {
    if let Some(first) = name.as_bytes().first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let number = name.bytes().fold(0, |number, byte| number << 8 | u64::from(byte));
    let missing = u64::BITS - 8 * name.len() as u32;
    number.checked_shl(missing).unwrap_or_default()
}

/// By UTF-16 code units.
fn as_java_orders(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// Whether a name has none of the rarest characters: without them the order of the code units is that of the bytes.
fn is_plain(name: &str) -> bool {
    const FIRST_BYTE_OF_THE_RAREST: u8 = 0xEE;
    name.is_ascii() || name.bytes().all(|byte| byte < FIRST_BYTE_OF_THE_RAREST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Ext, Head, Spelling};

    fn signed(fields: &[(&str, &str)], body: &'static str, version: i32) -> String {
        let mut ext = Ext::default();
        fields.iter().for_each(|(n, v)| ext.push(*n, *v));
        let head = Head { code: 14, language: 0, version, opaque: 1, flag: 0, remark: None };
        let frame = Frame { head, ext, body: body.into(), spelling: Spelling::Json };
        let mut signed = Signed::default();
        // What was gathered before leaves nothing behind.
        let other = Frame { ext: Ext::default(), body: "".into(), ..frame.clone() };
        assert_eq!(signed.gather(&frame), Signed::default().gather(&frame));
        assert_eq!(signed.gather(&other), b"");
        let content = [signed.gather(&frame), &frame.body].concat();
        String::from_utf8(content).unwrap()
    }

    #[test]
    fn values_are_signed_in_the_order_of_their_names() {
        let fields = [
            ("topic", "TopicTest"),
            ("queueId", "3"),
            ("Signature", "NgJdKugtVjM5x16GXyw0ZZdR+x0="),
            ("consumerGroup", "CG_A"),
            ("AccessKey", "rocketmq2"),
            ("commitOffset", "42"),
            ("bname", "broker-a"),
        ];
        assert_eq!(signed(&fields, "", 479), "rocketmq2broker-a42CG_A3TopicTest");
        assert_eq!(signed(&[("AccessKey", "rocketmq2")], "{}", 479), "rocketmq2{}");
    }

    #[test]
    fn names_are_ordered_as_java_orders_them() {
        let names =
            ["", "AccessKey", "a", "a1", "ab", "b", "é", "\u{d7ff}", "\u{1f600}", "\u{e000}", "\u{fb01}"];
        for pair in names.windows(2) {
            assert_eq!(as_java_orders(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(as_java_orders(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
            if is_plain(pair[0]) && is_plain(pair[1]) {
                assert!(pair[0] < pair[1] && beginning(pair[0]) <= beginning(pair[1]), "{pair:?}");
            }
        }
    }

    #[test]
    fn beginnings_are_in_the_order_of_the_texts() {
        let names =
            ["", "\0", "a", "a\0", "a\0b", "aa", "abcdefg", "abcdefgh", "abcdefgh\0", "abcdefghi", "b", "é"];
        for a in names {
            for b in names {
                let both = beginning(a).cmp(&beginning(b)).then_with(|| a.cmp(b));
                assert_eq!(both, a.cmp(b), "{a:?} {b:?}");
            }
        }
        assert_eq!(beginning("a"), u64::from(b'a') << 56);
        assert_eq!(beginning("abcdefghi"), u64::from_be_bytes(*b"abcdefgh"));
    }

    /// The order is that of the texts, whatever order they come in, and a field counts as often as in a map.
    #[test]
    fn any_order_of_fields_gives_the_same_text() {
        let mut fields: Vec<(String, String)> =
            (0..40).map(|n| (format!("field-{:02}", n * 7 % 40), format!("<{:02}>", n * 7 % 40))).collect();
        let expected: String = (0..40).map(|n| format!("<{n:02}>")).collect();
        for turn in 0..40 {
            fields.rotate_left(turn);
            let given: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (&n[..], &v[..])).collect();
            assert_eq!(signed(&given, "", 479), expected);
        }
        let twice = [("b", "1"), ("a", "2"), ("b", "3"), ("a", "4"), ("b", "5")];
        assert_eq!(signed(&twice, "", 479), "45");
        assert_eq!(signed(&[("é", "1"), ("\u{fb01}", "2"), ("é", "3"), ("\u{1f600}", "4")], "", 479), "342");
    }

    #[test]
    fn a_field_that_came_twice_is_signed_once() {
        let fields = [("topic", "first"), ("AccessKey", "a"), ("topic", "last"), ("AccessKey", "a")];
        assert_eq!(signed(&fields, "", 479), "alast");
    }

    #[test]
    fn old_clients_add_one_field_after_signing() {
        let fields = [("AccessKey", "a"), ("_UNIQUE_KEY_QUERY", "true")];
        assert_eq!(signed(&fields, "", 399), "a");
        assert_eq!(signed(&fields, "", 401), "atrue");
    }
}
