//! What a client can show.

/// The hash of an HMAC signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HmacAlgorithm {
    /// HMAC-SHA1: RocketMQ clients and the cloud's HTTP SDKs.
    Sha1,
    /// HMAC-SHA256.
    Sha256,
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
    /// A JWT.
    Bearer { token: &'a str },
    /// A client certificate that the TLS layer has verified: DER bytes.
    Certificate { der: &'a [u8] },
}
