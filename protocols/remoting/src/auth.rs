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
}

impl Authenticator {
    pub(crate) fn new(peer: SocketAddr, certificate: Option<Vec<u8>>) -> Self {
        Self { peer, certificate, anonymous: None, proven: Proven::default() }
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
        let content = signed_content(frame);
        let algorithm = HmacAlgorithm::Sha1;
        let credentials = Credentials::Hmac { access_key, algorithm, content: &content, signature };
        Ok(broker.login_again(&mut self.proven, credentials, self.peer)?)
    }
}

/// The pieces that a client signs, in order.
pub(crate) fn signed_content(frame: &Frame) -> Vec<&[u8]> {
    let signed_late = frame.head.version <= LAST_TO_ADD_IT_LATE;
    let all = frame.ext.iter().map(|(name, value)| (&name[..], &value[..]));
    let mut fields: Vec<(&str, &str)> = Vec::with_capacity(frame.ext.len());
    fields.extend(all.filter(|(name, _)| *name != SIGNATURE && !(signed_late && *name == UNIQUE_KEY_QUERY)));
    if fields.iter().all(|(name, _)| is_plain(name)) {
        fields.sort_by(|(a, _), (b, _)| by_bytes(a, b));
    } else {
        fields.sort_by(|(a, _), (b, _)| as_java_orders(a, b));
    }
    // A signed request in the compact spelling carries the fields of its header twice; the client signed a map.
    fields.dedup_by(|later, kept| {
        let again = later.0 == kept.0;
        if again {
            *kept = *later;
        }
        again
    });
    fields.into_iter().map(|(_, value)| value.as_bytes()).chain([&frame.body[..]]).collect()
}

/// By bytes; most names differ within the first eight, which are compared as one number.
fn by_bytes(a: &str, b: &str) -> Ordering {
    let first = |name: &str| {
        let mut first = [0; 8];
        first.iter_mut().zip(name.bytes()).for_each(|(to, byte)| *to = byte);
        u64::from_be_bytes(first)
    };
    first(a).cmp(&first(b)).then_with(|| a.cmp(b))
}

/// By UTF-16 code units.
fn as_java_orders(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// Whether a name has none of the rarest characters: without them the order of the code units is that of the bytes.
fn is_plain(name: &str) -> bool {
    const FIRST_BYTE_OF_THE_RAREST: u8 = 0xEE;
    name.bytes().all(|byte| byte < FIRST_BYTE_OF_THE_RAREST)
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
        String::from_utf8(signed_content(&frame).concat()).unwrap()
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
                assert!(pair[0] < pair[1] && by_bytes(pair[0], pair[1]).is_lt(), "{pair:?}");
            }
        }
    }

    #[test]
    fn the_order_by_bytes_is_that_of_the_texts() {
        let names =
            ["", "\0", "a", "a\0", "a\0b", "aa", "abcdefg", "abcdefgh", "abcdefgh\0", "abcdefghi", "b", "é"];
        for a in names {
            for b in names {
                assert_eq!(by_bytes(a, b), a.cmp(b), "{a:?} {b:?}");
            }
        }
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
