//! What the operator decides about authentication: the section `[auth]` of the configuration.

use crate::{CertificateRule, Secret};
use serde::{Deserialize, Serialize};
use sluice_model::units::Span;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Whether clients must prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everyone may do everything. For loopback only, unless told otherwise in words.
    #[default]
    Open,
    /// Every client logs in, and policies decide.
    Acl,
}

/// The section `[auth]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `open` (everyone may do everything, on loopback only) or `acl` (users, policies).
    pub mode: Mode,
    /// Lets `open` listen beyond loopback, with a warning at every start.
    pub allow_open_network: bool,
    /// Starts although signing secrets in the log cannot be read because the data key is lost. They open nothing until
    /// they are made anew.
    pub accept_lost_secrets: bool,
    /// How far the time in a signed HTTP request may be from ours [15m], as the services expect whose signatures these
    /// are. Within it, a request that somebody overheard can be repeated as it is: use TLS.
    pub signature_window: Span,
    /// A file of users and policies, applied at start and on change. None: they live in the store alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Which user a client certificate stands for; the first rule that fits decides. None: the subject's common name.
    pub certificates: Vec<CertificateRule>,
    /// Issuers whose tokens (JWT) are accepted as Bearer credentials.
    pub jwt: Vec<JwtIssuer>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Open,
            allow_open_network: false,
            accept_lost_secrets: false,
            signature_window: Span::secs(15 * 60),
            file: None,
            certificates: Vec::new(),
            jwt: Vec::new(),
        }
    }
}

/// One issuer of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtIssuer {
    /// The claim `iss` of its tokens.
    pub issuer: String,
    /// What their claim `aud` must contain.
    pub audience: String,
    /// The signatures accepted. With one key they are all of its family; a JWKS document may have keys of several.
    pub algorithms: Vec<JwtAlgorithm>,
    /// The shared secret of HS256, HS384 or HS512; at least 32 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// A file with that secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// The public key of the other algorithms, as PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// A file with that key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key_file: Option<PathBuf>,
    /// A file with the issuer's public keys as a JWKS document, read again when a token names an unknown key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    /// The same document at a URL: `https`, or `http` on loopback. Fetched at start, every 5 minutes, and when a token
    /// names an unknown key, but then at most every 10 seconds. Redirects are not followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// A PEM file with the authorities that the URL is trusted by, in place of those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_ca_file: Option<PathBuf>,
    /// How far the issuer's clock may be from ours.
    #[serde(default = "leeway")]
    pub leeway: Span,
    /// The claim that names the user.
    #[serde(default = "user_claim")]
    pub user_claim: String,
    /// The claim that lists roles: the session has those of them that exist, beside the user's own. With one that
    /// exists, or one that stands in `roles`, the token's user need not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles_claim: Option<String>,
    /// Which user each role acts as when no user has the name of `user_claim`; the first role of the token that is
    /// listed here counts.
    #[serde(default)]
    pub roles: BTreeMap<String, String>,
}

/// A signature of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256: a shared secret.
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RS256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    RS384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    RS512,
    /// RSA PSS with SHA-256.
    PS256,
    /// RSA PSS with SHA-384.
    PS384,
    /// RSA PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

/// Machines with synchronised clocks differ by less; a minute forgives those without.
fn leeway() -> Span {
    Span::secs(60)
}

fn user_claim() -> String {
    "sub".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_reads_and_refuses_unknown_keys() {
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
        let text = r#"
            mode = "acl"
            file = "acl.toml"
            [[jwt]]
            issuer = "id.example"
            audience = "sluice"
            algorithms = ["RS256"]
            public_key_file = "id.pem"
        "#;
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(config.mode, Mode::Acl);
        assert_eq!((config.jwt[0].user_claim.as_str(), config.jwt[0].leeway), ("sub", Span::secs(60)));
        assert_eq!(toml::from_str::<Config>(&toml::to_string(&config).unwrap()).unwrap(), config);
        for unknown in ["modus = \"acl\"", "mode = \"closed\"", "[[jwt]]\nissuer = \"x\"\nkey = \"y\""] {
            assert!(toml::from_str::<Config>(unknown).is_err(), "{unknown}");
        }
    }
}
