//! Bearer tokens (JWT): a signature by a known issuer, for us, still valid, that names a user.
//!
//! The one idea: nothing of a token is believed before its signature is checked with a key of its issuer, and with an
//! algorithm that is both allowed for the issuer and of that key's own family, so `none`, a foreign algorithm, or a public key used as a shared secret
//! cannot pass.
//!
//! Issuers with several keys are in `key_set`; how their documents come over the network is in `fetch`.

mod fetch;
mod key_set;

use crate::reason::Reason;
use crate::{Config, JwtAlgorithm, JwtIssuer};
use fetch::KeyUrl;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, errors::ErrorKind as Cause};
use key_set::{Key, KeySet, Source};
use serde::Deserialize;
use serde_json::{Map, Value};
use sluice_model::{Error, ErrorKind, Millis, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Tokens travel in one header; servers on the way cut off beyond this too.
const MAX_TOKEN: usize = 16 * 1024;
/// The hash's own size: a shorter secret can be guessed from one token, offline.
const MIN_SECRET: usize = 32;

/// A check looks each of them up; directories that put more into a token have a claim for ours alone.
const MAX_ROLES: usize = 64;

/// All issuers whose tokens are accepted.
pub(crate) struct Issuers(Vec<Issuer>);

struct Issuer {
    name: String,
    keys: Keys,
    validation: Validation,
    leeway: Millis,
    user_claim: String,
    roles_claim: Option<String>,
    roles: BTreeMap<String, String>,
}

enum Keys {
    One(Key),
    Set(KeySet),
}

impl Keys {
    fn new(config: &JwtIssuer) -> Result<Self> {
        let source = match (&config.jwks_file, &config.jwks_url) {
            (None, None) if config.jwks_ca_file.is_some() => {
                return Err(Error::invalid("jwks_ca_file goes with jwks_url"));
            }
            (None, None) => return key(config).map(Self::One),
            (Some(_), Some(_)) => return Err(Error::invalid("give jwks_file or jwks_url, not both")),
            (Some(_), None) if config.jwks_ca_file.is_some() => {
                return Err(Error::invalid("jwks_ca_file goes with jwks_url"));
            }
            (Some(path), None) => Source::File(path.clone()),
            (None, Some(url)) => Source::Url(Box::new(KeyUrl::new(url, config.jwks_ca_file.as_deref())?)),
        };
        let others = (&config.secret, &config.secret_file, &config.public_key, &config.public_key_file);
        if !matches!(others, (None, None, None, None)) {
            return Err(Error::invalid("give a JWKS document, or a key, not both"));
        }
        if config.algorithms.iter().any(|algorithm| algorithm.kind() == KeyKind::Secret) {
            return Err(Error::invalid("HS… takes secret or secret_file: a JWKS document is public"));
        }
        KeySet::open(source, &config.algorithms).map(Self::Set)
    }

    fn select(&self, kid: Option<&str>, now: Millis) -> Result<Key> {
        match self {
            Self::One(key) => Ok(key.clone()),
            Self::Set(set) => set.select(kid, now),
        }
    }
}

/// What one key can be: algorithms of one kind can share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    Secret,
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl JwtAlgorithm {
    fn kind(self) -> KeyKind {
        match self {
            Self::HS256 | Self::HS384 | Self::HS512 => KeyKind::Secret,
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512 => KeyKind::Rsa,
            Self::ES256 => KeyKind::P256,
            Self::ES384 => KeyKind::P384,
            Self::EdDSA => KeyKind::Ed25519,
        }
    }

    fn is_rsa(self) -> bool {
        self.kind() == KeyKind::Rsa
    }
}

impl From<JwtAlgorithm> for Algorithm {
    fn from(algorithm: JwtAlgorithm) -> Self {
        match algorithm {
            JwtAlgorithm::HS256 => Self::HS256,
            JwtAlgorithm::HS384 => Self::HS384,
            JwtAlgorithm::HS512 => Self::HS512,
            JwtAlgorithm::RS256 => Self::RS256,
            JwtAlgorithm::RS384 => Self::RS384,
            JwtAlgorithm::RS512 => Self::RS512,
            JwtAlgorithm::PS256 => Self::PS256,
            JwtAlgorithm::PS384 => Self::PS384,
            JwtAlgorithm::PS512 => Self::PS512,
            JwtAlgorithm::ES256 => Self::ES256,
            JwtAlgorithm::ES384 => Self::ES384,
            JwtAlgorithm::EdDSA => Self::EdDSA,
        }
    }
}

/// What a valid token says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proven {
    /// Names of users, the first that exists counts.
    pub users: Vec<String>,
    /// Roles that it claims.
    pub roles: Vec<String>,
    /// When the token ends, leeway included.
    pub expires: Millis,
}

impl Issuers {
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let mut issuers = Vec::new();
        for issuer in &config.jwt {
            if issuers.iter().any(|known: &Issuer| known.name == issuer.issuer) {
                return Err(Error::invalid(format!("auth.jwt: issuer {:?} is given twice", issuer.issuer)));
            }
            issuers.push(Issuer::new(issuer)?);
        }
        Ok(Self(issuers))
    }

    pub(crate) fn verify(&self, token: &str, now: Millis) -> Result<Proven> {
        #[derive(Deserialize)]
        struct Claim {
            iss: String,
        }
        if token.len() > MAX_TOKEN {
            return Err(refused("it is too long"));
        }
        // Read before the signature is checked, but only to choose the key it is checked with.
        let claim: Claim = jsonwebtoken::dangerous::insecure_decode_claims(token)
            .map_err(|_| refused("it is no JWT with an issuer"))?;
        let issuer = self.0.iter().find(|known| known.name == claim.iss);
        issuer.ok_or_else(|| refused("its issuer is not known"))?.verify(token, now)
    }

    /// True when no token can be right.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps the documents of keys fresh that come from URLs. Never ends while there are some.
    pub(crate) async fn keep_fresh(&self) {
        let sets = self.0.iter().filter_map(|issuer| match &issuer.keys {
            Keys::Set(set) => Some(set.keep_fresh(&issuer.name)),
            Keys::One(_) => None,
        });
        futures_util::future::join_all(sets).await;
    }
}

impl Issuer {
    fn new(config: &JwtIssuer) -> Result<Self> {
        let wrong = |why: &str| Error::invalid(format!("auth.jwt, issuer {:?}: {why}", config.issuer));
        if config.algorithms.is_empty() || config.audience.is_empty() {
            return Err(wrong("algorithms and audience may not be empty"));
        }
        // The algorithms are those of the key that a token chooses, see `verify`.
        let mut validation = Validation::default();
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // Times are checked against the broker's clock, not the machine's.
        validation.validate_exp = false;
        Ok(Self {
            name: config.issuer.clone(),
            keys: Keys::new(config).map_err(|error| wrong(error.message()))?,
            validation,
            leeway: config.leeway.as_millis(),
            user_claim: config.user_claim.clone(),
            roles_claim: config.roles_claim.clone(),
            roles: config.roles.clone(),
        })
    }

    fn verify(&self, token: &str, now: Millis) -> Result<Proven> {
        let header = decode_header(token).map_err(explain)?;
        if header.crit.is_some() {
            return Err(refused("it asks for an extension (crit) that is not known"));
        }
        let Key { key, algorithms } = self.keys.select(header.kid.as_deref(), now)?;
        let validation = Validation { algorithms, ..self.validation.clone() };
        let claims = decode::<Map<String, Value>>(token, &key, &validation).map_err(explain)?.claims;
        let expires =
            millis(claims.get("exp")).ok_or_else(|| refused("it has no end"))?.saturating_add(self.leeway);
        if now >= expires {
            return Err(refused("it has expired").with_source(Reason::Expired));
        }
        if millis(claims.get("nbf")).is_some_and(|from| from > now.saturating_add(self.leeway)) {
            return Err(refused("it is not valid yet"));
        }
        let mut users = Vec::new();
        users.extend(claims.get(&self.user_claim).and_then(Value::as_str).map(str::to_owned));
        let roles = self.roles_claim.as_ref().and_then(|name| claims.get(name));
        let roles: Vec<&str> = roles.into_iter().flat_map(words).take(MAX_ROLES).collect();
        users.extend(roles.iter().find_map(|role| self.roles.get(*role)).cloned());
        Ok(Proven { users, roles: roles.into_iter().map(str::to_owned).collect(), expires })
    }
}

/// True for three parts of which the first is an object in Base64, as a JWT's header is.
pub(crate) fn looks_like_one(text: &str) -> bool {
    text.starts_with("eyJ") && text.split('.').count() == 3
}

/// Roles come as a list, or as one text with blanks like the claim `scope`.
fn words(roles: &Value) -> Vec<&str> {
    match roles {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        Value::String(text) => text.split_whitespace().collect(),
        _ => Vec::new(),
    }
}

/// Seconds since the epoch, perhaps with a fraction.
fn millis(claim: Option<&Value>) -> Option<Millis> {
    let seconds = claim?.as_f64()?;
    (seconds >= 0.0).then_some((seconds * 1000.0) as Millis)
}

fn key(config: &JwtIssuer) -> Result<Key> {
    let [first, others @ ..] = &config.algorithms[..] else {
        return Err(Error::invalid("there is no algorithm"));
    };
    let kind = first.kind();
    if others.iter().any(|other| other.kind() != kind) {
        return Err(Error::invalid(
            "algorithms of different families cannot share a key; give each its own [[auth.jwt]]",
        ));
    }
    let secret = match (&config.secret, &config.secret_file) {
        (Some(secret), None) => secret.expose().map(|text| text.as_bytes().to_vec()),
        (None, Some(path)) => Some(read(path)?.trim_ascii_end().to_vec()),
        (None, None) => None,
        (Some(_), Some(_)) => return Err(Error::invalid("give secret or secret_file, not both")),
    };
    let public = match (&config.public_key, &config.public_key_file) {
        (Some(pem), None) => Some(pem.as_bytes().to_vec()),
        (None, Some(path)) => Some(read(path)?),
        (None, None) => None,
        (Some(_), Some(_)) => return Err(Error::invalid("give public_key or public_key_file, not both")),
    };
    let unusable = |error: jsonwebtoken::errors::Error| {
        Error::invalid(format!("the public key does not fit {first:?}: {error}"))
    };
    let key = match (kind, secret, public) {
        (KeyKind::Secret, Some(secret), None) if secret.len() >= MIN_SECRET => {
            DecodingKey::from_secret(&secret)
        }
        (KeyKind::Secret, Some(_), None) => {
            return Err(Error::invalid(format!("the secret has fewer than {MIN_SECRET} bytes")));
        }
        (KeyKind::Secret, ..) => {
            return Err(Error::invalid(format!("{first:?} takes secret or secret_file, and no public key")));
        }
        (KeyKind::Rsa, None, Some(pem)) => DecodingKey::from_rsa_pem(&pem).map_err(unusable)?,
        (KeyKind::P256 | KeyKind::P384, None, Some(pem)) => {
            DecodingKey::from_ec_pem(&pem).map_err(unusable)?
        }
        (KeyKind::Ed25519, None, Some(pem)) => DecodingKey::from_ed_pem(&pem).map_err(unusable)?,
        _ => {
            return Err(Error::invalid(format!(
                "{first:?} takes public_key or public_key_file, and no secret"
            )));
        }
    };
    Ok(Key { key, algorithms: config.algorithms.iter().map(|algorithm| (*algorithm).into()).collect() })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::invalid(format!("{}: {error}", path.display())))
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Unauthenticated, format!("the token is not accepted: {why}"))
}

fn explain(error: jsonwebtoken::errors::Error) -> Error {
    let why = match error.kind() {
        Cause::InvalidSignature => "its signature is wrong",
        Cause::InvalidAlgorithm => "its algorithm is not allowed for this issuer",
        Cause::InvalidAudience => "it is meant for someone else",
        Cause::MissingRequiredClaim(_) => "it lacks a claim; exp, iss and aud are required",
        _ => "it is malformed",
    };
    refused(why).with_source(error)
}

#[cfg(test)]
mod tests;
