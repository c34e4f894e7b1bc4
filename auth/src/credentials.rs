//! What a client can show.

use sluice_model::Millis;

/// The hash of an HMAC signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HmacAlgorithm {
    /// HMAC-SHA1: RocketMQ clients and the cloud's HTTP SDKs.
    Sha1,
    /// HMAC-SHA256.
    Sha256,
}

/// What a request's text is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningKey<'a> {
    /// The secret itself, with this hash.
    Secret(HmacAlgorithm),
    /// A key derived for a day and a place, as in AWS Signature Version 4: the hash of `prefix` and the secret signs
    /// the first part of the scope, the result signs the next, and so on. All of them are HMAC-SHA256.
    Scoped { prefix: &'a str, scope: &'a [&'a str] },
}

/// Proof of identity as a front-end found it where its wire keeps it.
#[derive(Clone, Copy)]
pub enum Credentials<'a> {
    /// Nothing was shown.
    Anonymous,
    /// A name and a password (Basic, STOMP's login and passcode). The password may also be the user's secret.
    Password { user: &'a str, password: &'a str },
    /// A signature over `content`'s pieces, joined without separators, with the secret of `access_key`.
    Hmac { access_key: &'a str, algorithm: HmacAlgorithm, content: &'a [&'a [u8]], signature: &'a [u8] },
    /// A signed request with the time at which its client made it. Clients differ in how they write down what they
    /// sign, so it suffices that one of `texts` is what was signed; all of them must say the same to the broker.
    Request {
        access_key: &'a str,
        key: SigningKey<'a>,
        texts: &'a [String],
        signature: &'a [u8],
        signed_at: Millis,
    },
    /// A JWT.
    Bearer { token: &'a str },
    /// A client certificate that the TLS layer has verified: DER bytes.
    Certificate { der: &'a [u8] },
}
