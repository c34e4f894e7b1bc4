//! The keys of an issuer that has several and changes them: a JWKS document, read again when needed.
//!
//! The one idea: a token's `kid` is compared, never looked up: it names no path, no table, no address. A token with an
//! unknown `kid` makes the document be read again, but not more often than [`MIN_REFRESH`], so that nobody can make the
//! broker read all day.

use super::{explain, refused};
use crate::JwtAlgorithm;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use parking_lot::Mutex;
use sluice_model::{Error, Millis, Result};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// An issuer changes keys days ahead; tokens with unknown ones are mistakes or attacks.
const MIN_REFRESH: Millis = 10_000;
/// A key that was taken out is trusted no longer than this.
const MAX_AGE: Millis = 300_000;
/// Issuers have two or three.
const MAX_KEYS: usize = 64;
/// Room for [`MAX_KEYS`] with certificate chains.
const MAX_DOCUMENT: u64 = 1 << 20;

/// Where a document of keys comes from.
pub(crate) trait KeySource: Send + Sync {
    /// The document as it is now, of 1 MiB at most.
    fn read(&self) -> Result<Vec<u8>>;
}

/// A file, which something else keeps fresh.
pub(crate) struct KeyFile(pub PathBuf);

impl KeySource for KeyFile {
    fn read(&self) -> Result<Vec<u8>> {
        let wrong = |error: std::io::Error| Error::invalid(format!("{}: {error}", self.0.display()));
        let mut bytes = Vec::new();
        let file = File::open(&self.0).map_err(wrong)?;
        file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).map_err(wrong)?;
        if bytes.len() as u64 > MAX_DOCUMENT {
            return Err(Error::invalid(format!("{} is larger than 1 MiB", self.0.display())));
        }
        Ok(bytes)
    }
}

pub(crate) struct KeySet {
    source: Box<dyn KeySource>,
    algorithm: JwtAlgorithm,
    state: Mutex<State>,
}

struct State {
    keys: Vec<(Option<String>, DecodingKey)>,
    /// When the document was last asked for, with success or not. None: by the start, which has no clock.
    asked: Option<Millis>,
}

impl KeySet {
    /// # Errors
    /// `InvalidArgument` when the document cannot be read or has no key for the algorithm.
    pub(crate) fn open(source: Box<dyn KeySource>, algorithm: JwtAlgorithm) -> Result<Self> {
        let keys = parse(&source.read()?, algorithm)?;
        Ok(Self { source, algorithm, state: Mutex::new(State { keys, asked: None }) })
    }

    /// The key that a token says it was signed with; without a word from the token, the only one there is.
    pub(crate) fn select(&self, kid: Option<&str>, now: Millis) -> Result<DecodingKey> {
        let mut state = self.state.lock();
        let asked = *state.asked.get_or_insert(now);
        let age = now.saturating_sub(asked);
        let found = find(&state.keys, kid);
        if age >= MAX_AGE || (found.is_none() && age >= MIN_REFRESH) {
            state.asked = Some(now);
            match self.source.read().and_then(|document| parse(&document, self.algorithm)) {
                Ok(keys) => state.keys = keys,
                Err(error) => tracing::warn!(%error, "keys of a token issuer stay as they were"),
            }
        }
        find(&state.keys, kid).ok_or_else(|| match kid {
            Some(_) => refused("its key (kid) is not known"),
            None => refused("it does not say which key it was signed with (kid)"),
        })
    }
}

fn find(keys: &[(Option<String>, DecodingKey)], kid: Option<&str>) -> Option<DecodingKey> {
    match (kid, keys) {
        (Some(_), _) => keys.iter().find(|(own, _)| own.as_deref() == kid).map(|(_, key)| key.clone()),
        (None, [(_, only)]) => Some(only.clone()),
        (None, _) => None,
    }
}

/// The keys of the document that fit the algorithm. Others are left out: issuers list several kinds in one document.
fn parse(document: &[u8], algorithm: JwtAlgorithm) -> Result<Vec<(Option<String>, DecodingKey)>> {
    let set: JwkSet = serde_json::from_slice(document)
        .map_err(|error| Error::invalid(format!("this is no JWKS document: {error}")))?;
    let fitting = set.keys.iter().filter(|jwk| fits(jwk, algorithm)).take(MAX_KEYS);
    let keys = fitting
        .map(|jwk| Ok((jwk.common.key_id.clone(), DecodingKey::from_jwk(jwk).map_err(explain)?)))
        .collect::<Result<Vec<_>>>()?;
    if keys.is_empty() {
        return Err(Error::invalid(format!("the JWKS document has no key for {algorithm:?}")));
    }
    Ok(keys)
}

fn fits(jwk: &Jwk, algorithm: JwtAlgorithm) -> bool {
    let kind = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), JwtAlgorithm::RS256) => true,
        (AlgorithmParameters::EllipticCurve(key), JwtAlgorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::OctetKeyPair(key), JwtAlgorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    let named = jwk.common.key_algorithm.as_ref().map(|named| format!("{named:?}"));
    kind && !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_)))
        && named.is_none_or(|named| named == format!("{algorithm:?}"))
}
