//! The keys of an issuer that has several and changes them: a JWKS document, read again when needed.
//!
//! The one idea: a token's `kid` is compared, never looked up: it names no path, no table, no address. A token with an
//! unknown `kid` makes the document be read again, but not more often than [`MIN_REFRESH`], so that nobody can make the
//! broker read all day. A file is read at once; a URL by [`KeySet::keep_fresh`] alone, so that no login waits for the
//! network: the token is refused until the document is there.

use super::fetch::KeyUrl;
use super::refused;
use crate::JwtAlgorithm;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::Mutex;
use sluice_model::{Error, ErrorKind, Millis, Result};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// An issuer changes keys days ahead; tokens with unknown ones are mistakes or attacks.
const MIN_REFRESH: Millis = 10_000;
/// A key that was taken out is trusted no longer than this.
const MAX_AGE: Millis = 300_000;
/// A server that takes longer is down.
const FETCH_TIME: Duration = Duration::from_secs(10);
/// Issuers have two or three.
const MAX_KEYS: usize = 64;
/// Room for [`MAX_KEYS`] with certificate chains.
pub(super) const MAX_DOCUMENT: usize = 1 << 20;

/// A key, and the algorithms it is believed with: never one of another family.
#[derive(Clone)]
pub(crate) struct Key {
    pub key: DecodingKey,
    pub algorithms: Vec<Algorithm>,
}

/// Where a document of keys comes from.
pub(crate) enum Source {
    /// A file, which something else keeps fresh.
    File(PathBuf),
    /// A URL, boxed for its size.
    Url(Box<KeyUrl>),
}

pub(crate) struct KeySet {
    source: Source,
    algorithms: Vec<JwtAlgorithm>,
    state: Mutex<State>,
    wanted: Notify,
    pace: Pace,
}

/// How often and how long a URL is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub shortest: Duration,
    pub longest: Duration,
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let [shortest, longest] = [MIN_REFRESH, MAX_AGE].map(Duration::from_millis);
        Self { shortest, longest, patience: FETCH_TIME }
    }
}

struct State {
    keys: Vec<(Option<String>, Key)>,
    /// When the file was last asked for, with success or not. None: by the start, which has no clock.
    asked: Option<Millis>,
}

impl KeySet {
    /// # Errors
    /// `InvalidArgument` when the file cannot be read or has no key for one of the algorithms. A URL is not asked yet:
    /// an issuer that is down must not keep the broker down.
    pub(crate) fn open(source: Source, algorithms: &[JwtAlgorithm]) -> Result<Self> {
        let keys = match &source {
            Source::File(path) => parse(&read(path)?, algorithms)?,
            Source::Url(_) => Vec::new(),
        };
        let state = Mutex::new(State { keys, asked: None });
        Ok(Self {
            source,
            algorithms: algorithms.to_vec(),
            state,
            wanted: Notify::new(),
            pace: Pace::default(),
        })
    }

    #[cfg(test)]
    pub(crate) fn with_pace(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// The key that a token says it was signed with; without a word from the token, the only one there is.
    pub(crate) fn select(&self, kid: Option<&str>, now: Millis) -> Result<Key> {
        let mut state = self.state.lock();
        let found = find(&state.keys, kid);
        match &self.source {
            Source::Url(_) if found.is_none() => self.wanted.notify_one(),
            Source::Url(_) => {}
            Source::File(path) => {
                let asked = *state.asked.get_or_insert(now);
                let age = now.saturating_sub(asked);
                if age >= MAX_AGE || (found.is_none() && age >= MIN_REFRESH) {
                    state.asked = Some(now);
                    match read(path).and_then(|document| parse(&document, &self.algorithms)) {
                        Ok(keys) => state.keys = keys,
                        Err(error) => tracing::warn!(%error, "keys of a token issuer stay as they were"),
                    }
                }
            }
        }
        find(&state.keys, kid).ok_or_else(|| match kid {
            Some(_) => refused("its key (kid) is not known"),
            None => refused("it does not say which key it was signed with (kid)"),
        })
    }

    /// Fetches the document of a URL now, when an unknown key is named, and when it has become old. Never ends.
    pub(crate) async fn keep_fresh(&self, issuer: &str) {
        let Source::Url(url) = &self.source else { return };
        loop {
            let fetched = timeout(self.pace.patience, url.fetch()).await.unwrap_or_else(|_| {
                Err(Error::new(ErrorKind::Unavailable, "the document did not come in time"))
            });
            let parsed = fetched.and_then(|document| parse(&document, &self.algorithms));
            let result = if parsed.is_ok() { "ok" } else { "failed" };
            let labels = [("issuer", issuer.to_owned()), ("result", result.to_owned())];
            metrics::counter!("sluice_jwks_fetches_total", &labels).increment(1);
            let worked = match parsed {
                Ok(keys) => {
                    self.state.lock().keys = keys;
                    true
                }
                Err(error) => {
                    tracing::warn!(%error, issuer, "keys of a token issuer stay as they were");
                    false
                }
            };
            sleep(self.pace.shortest).await;
            if worked {
                let _ = timeout(self.pace.longest.saturating_sub(self.pace.shortest), self.wanted.notified())
                    .await;
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let wrong = |error: std::io::Error| Error::invalid(format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(wrong)?;
    file.take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() > MAX_DOCUMENT {
        return Err(Error::invalid(format!("{} is larger than 1 MiB", path.display())));
    }
    Ok(bytes)
}

fn find(keys: &[(Option<String>, Key)], kid: Option<&str>) -> Option<Key> {
    match (kid, keys) {
        (Some(_), _) => keys.iter().find(|(own, _)| own.as_deref() == kid).map(|(_, key)| key.clone()),
        (None, [(_, only)]) => Some(only.clone()),
        (None, _) => None,
    }
}

/// The keys of the document that fit one of the algorithms. Others are left out: issuers list several kinds in one
/// document, and a key that cannot be read is no reason to lose the others.
fn parse(document: &[u8], algorithms: &[JwtAlgorithm]) -> Result<Vec<(Option<String>, Key)>> {
    let set: JwkSet = serde_json::from_slice(document)
        .map_err(|error| Error::invalid(format!("this is no JWKS document: {error}")))?;
    let key = |jwk: &Jwk| {
        let fitting: Vec<Algorithm> =
            algorithms.iter().filter(|algorithm| fits(jwk, **algorithm)).map(|fit| (*fit).into()).collect();
        let key = DecodingKey::from_jwk(jwk).ok().filter(|_| !fitting.is_empty())?;
        Some((jwk.common.key_id.clone(), Key { key, algorithms: fitting }))
    };
    let keys: Vec<_> = set.keys.iter().filter_map(key).take(MAX_KEYS).collect();
    if keys.is_empty() {
        let names: Vec<String> = algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect();
        return Err(Error::invalid(format!("the JWKS document has no key for {}", names.join(" or "))));
    }
    Ok(keys)
}

fn fits(jwk: &Jwk, algorithm: JwtAlgorithm) -> bool {
    use JwtAlgorithm::{ES256, ES384, EdDSA};
    let kind = match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), algorithm) => algorithm.is_rsa(),
        (AlgorithmParameters::EllipticCurve(key), ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::EllipticCurve(key), ES384) => key.curve == EllipticCurve::P384,
        (AlgorithmParameters::OctetKeyPair(key), EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    let named = jwk.common.key_algorithm.as_ref().map(|named| format!("{named:?}"));
    kind && !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_)))
        && named.is_none_or(|named| named == format!("{algorithm:?}"))
}
