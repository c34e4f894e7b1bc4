//! SASL: one exchange of tokens that proves an identity, for wires that carry it as their own kind of frame.
//!
//! The one idea to know: an exchange is a value that each step consumes; a challenge gives it back, and after a refusal
//! there is nothing left to go on with. There is no I/O here; the steps are taken by [`crate::Auth::sasl_step`].

use crate::Session;
use crate::scram::{Challenge, ScramMechanism, gs2_header};
use sluice_model::Error;
use std::fmt;
use std::str::FromStr;

/// A token (JWT) has its claims, an API token 44 characters, a password 1024.
const MAX_TOKEN: usize = 64 * 1024;

/// How an identity may be proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslMechanism {
    /// A name and a password in the clear (RFC 4616): for connections with TLS.
    Plain,
    /// The password is proven and not sent (RFC 7677).
    ScramSha256,
    /// The same with the longer hash.
    ScramSha512,
    /// A token (RFC 7628).
    OAuthBearer,
}

impl SaslMechanism {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Plain, Self::ScramSha256, Self::ScramSha512, Self::OAuthBearer];

    /// Its name in the registry of mechanisms.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => ScramMechanism::Sha256.name(),
            Self::ScramSha512 => ScramMechanism::Sha512.name(),
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SaslMechanism {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let named = Self::ALL.into_iter().find(|mechanism| mechanism.name() == text);
        named.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::invalid(format!("there is no SASL mechanism of this name; there are {names}"))
        })
    }
}

/// One exchange, waiting for the client's next token.
#[derive(Debug)]
pub struct SaslExchange(pub(crate) State);

#[derive(Debug)]
pub(crate) enum State {
    First(SaslMechanism),
    Proof(Box<Challenge>),
    /// Refused; the client was told why and has to say that it has understood.
    Refused(Error),
}

impl SaslExchange {
    /// Nothing was said yet.
    pub fn new(mechanism: SaslMechanism) -> Self {
        Self(State::First(mechanism))
    }

    /// True when the next step may hash a password: take it where blocking is allowed.
    pub fn is_costly(&self) -> bool {
        matches!(self.0, State::First(SaslMechanism::Plain) | State::Proof(_))
    }
}

/// What follows from a client's token.
#[derive(Debug)]
pub enum SaslStep {
    /// To be sent; the client answers.
    Challenge(Vec<u8>, SaslExchange),
    /// Proven.
    Done {
        /// Who it is.
        session: Session,
        /// To be sent; empty for most mechanisms.
        last: Vec<u8>,
    },
}

/// The name and the password of a PLAIN token. Nobody acts for somebody else.
pub(crate) fn plain(token: &[u8]) -> Option<(&str, &str)> {
    let text = text(token)?;
    let (asked_as, rest) = text.split_once('\0')?;
    let (user, password) = rest.split_once('\0')?;
    let is_own = asked_as.is_empty() || asked_as == user;
    (is_own && !user.is_empty() && !password.contains('\0')).then_some((user, password))
}

/// The token of an OAUTHBEARER message, and the identity it asks to act as.
pub(crate) fn bearer(message: &[u8]) -> Option<(&str, Option<String>)> {
    let text = text(message)?;
    let (header, asked_as) = gs2_header(text)?;
    let pairs = text.get(header.len()..)?.strip_prefix('\u{1}')?.strip_suffix("\u{1}\u{1}")?;
    let mut token = None;
    for pair in pairs.split('\u{1}') {
        let (key, value) = pair.split_once('=')?;
        if key == "auth" && token.replace(bearer_of(value)?).is_some() {
            return None;
        }
    }
    Some((token?, asked_as))
}

fn bearer_of(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("Bearer") && !token.is_empty()).then_some(token)
}

fn text(token: &[u8]) -> Option<&str> {
    std::str::from_utf8(token).ok().filter(|text| text.len() <= MAX_TOKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_are_known_by_their_names() {
        for mechanism in SaslMechanism::ALL {
            assert_eq!(mechanism.name().parse::<SaslMechanism>().unwrap(), mechanism);
        }
        for unknown in ["plain", "", "GSSAPI", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS"] {
            assert!(unknown.parse::<SaslMechanism>().is_err(), "{unknown}");
        }
    }

    #[test]
    fn plain_tokens() {
        assert_eq!(plain(b"\0alice\0secret"), Some(("alice", "secret")));
        assert_eq!(plain(b"alice\0alice\0secret"), Some(("alice", "secret")));
        assert_eq!(plain(b"\0alice\0"), Some(("alice", "")));
        for wrong in
            [&b"bob\0alice\0secret"[..], b"alice\0secret", b"\0\0secret", b"\0alice", b"", b"\0a\0b\0c"]
        {
            assert_eq!(plain(wrong), None, "{wrong:?}");
        }
        assert_eq!(plain(b"\0alice\0\xff"), None);
        assert_eq!(plain(&[b"\0alice\0".as_slice(), &vec![b'x'; MAX_TOKEN]].concat()), None);
    }

    #[test]
    fn bearer_messages() {
        let read = |message: &[u8]| bearer(message).map(|(token, asked_as)| (token.to_owned(), asked_as));
        assert_eq!(read(b"n,,\x01auth=Bearer t.o.k\x01\x01"), Some(("t.o.k".into(), None)));
        assert_eq!(
            read(b"n,a=alice,\x01host=h\x01auth=bearer  t\x01traceId=1\x01\x01"),
            Some(("t".into(), Some("alice".into())))
        );
        for wrong in [
            &b"n,,\x01auth=Bearer t\x01"[..],
            b"n,,auth=Bearer t\x01\x01",
            b"n,,\x01auth=Basic t\x01\x01",
            b"n,,\x01auth=Bearer \x01\x01",
            b"n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01",
            b"n,,\x01host=h\x01\x01",
            b"n,,\x01noise\x01auth=Bearer t\x01\x01",
            b"p=x,,\x01auth=Bearer t\x01\x01",
            b"n,,\x01\x01",
            b"\x01",
            b"",
        ] {
            assert_eq!(read(wrong), None, "{:?}", String::from_utf8_lossy(wrong));
        }
    }
}
