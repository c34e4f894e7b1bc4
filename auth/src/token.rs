//! Bearer tokens (JWT): a signature by a known issuer, for us, still valid, that names a user.
//!
//! The one idea: nothing of a token is believed before its signature is checked with the one key and the one family
//! of algorithms configured for its issuer, so `none`, a foreign algorithm, or a public key used as a shared secret
//! cannot pass.
//!
//! Issuers with several keys are in `key_set`.

mod key_set;

use crate::reason::Reason;
use crate::{Config, JwtAlgorithm, JwtIssuer};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, errors::ErrorKind as Cause};
use key_set::{KeyFile, KeySet};
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
    One(DecodingKey),
    Set(KeySet),
}

impl Keys {
    fn new(config: &JwtIssuer, algorithm: JwtAlgorithm) -> Result<Self> {
        if config.jwks_url.is_some() {
            return Err(Error::invalid(
                "jwks_url is not supported; have the document fetched into a file and name it with jwks_file",
            ));
        }
        let Some(path) = &config.jwks_file else { return key(config, algorithm).map(Self::One) };
        let others = (&config.secret, &config.secret_file, &config.public_key, &config.public_key_file);
        if !matches!(others, (None, None, None, None)) {
            return Err(Error::invalid("give jwks_file, or a key, not both"));
        }
        if algorithm == JwtAlgorithm::HS256 {
            return Err(Error::invalid("HS256 takes secret or secret_file: a JWKS document is public"));
        }
        KeySet::open(Box::new(KeyFile(path.clone())), algorithm).map(Self::Set)
    }

    fn select(&self, token: &str, now: Millis) -> Result<DecodingKey> {
        match self {
            Self::One(key) => Ok(key.clone()),
            Self::Set(set) => set.select(decode_header(token).map_err(explain)?.kid.as_deref(), now),
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
}

impl Issuer {
    fn new(config: &JwtIssuer) -> Result<Self> {
        let wrong = |why: &str| Error::invalid(format!("auth.jwt, issuer {:?}: {why}", config.issuer));
        let (Some(first), false) = (config.algorithms.first().copied(), config.audience.is_empty()) else {
            return Err(wrong("algorithms and audience may not be empty"));
        };
        if config.algorithms.iter().any(|other| *other != first) {
            return Err(wrong(
                "algorithms of different families cannot share a key; give each its own [[auth.jwt]]",
            ));
        }
        let algorithm = match first {
            JwtAlgorithm::HS256 => Algorithm::HS256,
            JwtAlgorithm::RS256 => Algorithm::RS256,
            JwtAlgorithm::ES256 => Algorithm::ES256,
            JwtAlgorithm::EdDSA => Algorithm::EdDSA,
        };
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        // Times are checked against the broker's clock, not the machine's.
        validation.validate_exp = false;
        Ok(Self {
            name: config.issuer.clone(),
            keys: Keys::new(config, first).map_err(|error| wrong(error.message()))?,
            validation,
            leeway: config.leeway.as_millis(),
            user_claim: config.user_claim.clone(),
            roles_claim: config.roles_claim.clone(),
            roles: config.roles.clone(),
        })
    }

    fn verify(&self, token: &str, now: Millis) -> Result<Proven> {
        let key = self.keys.select(token, now)?;
        let claims = decode::<Map<String, Value>>(token, &key, &self.validation).map_err(explain)?.claims;
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

fn key(config: &JwtIssuer, algorithm: JwtAlgorithm) -> Result<DecodingKey> {
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
        Error::invalid(format!("the public key does not fit {algorithm:?}: {error}"))
    };
    match (algorithm, secret, public) {
        (JwtAlgorithm::HS256, Some(secret), None) if secret.len() >= MIN_SECRET => {
            Ok(DecodingKey::from_secret(&secret))
        }
        (JwtAlgorithm::HS256, Some(_), None) => {
            Err(Error::invalid(format!("the secret has fewer than {MIN_SECRET} bytes")))
        }
        (JwtAlgorithm::HS256, ..) => {
            Err(Error::invalid("HS256 takes secret or secret_file, and no public key"))
        }
        (JwtAlgorithm::RS256, None, Some(pem)) => DecodingKey::from_rsa_pem(&pem).map_err(unusable),
        (JwtAlgorithm::ES256, None, Some(pem)) => DecodingKey::from_ec_pem(&pem).map_err(unusable),
        (JwtAlgorithm::EdDSA, None, Some(pem)) => DecodingKey::from_ed_pem(&pem).map_err(unusable),
        (other, ..) => {
            Err(Error::invalid(format!("{other:?} takes public_key or public_key_file, and no secret")))
        }
    }
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
