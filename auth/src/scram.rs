//! SCRAM (RFC 5802, RFC 7677): a password is proven without being sent, and the server proves that it knew it too.
//!
//! What is kept of a password for it cannot be turned back into the password, but is cheaper to guess at than its
//! argon2id hash; so it rests sealed like a signing secret, see `data_key`. The one idea to know: there is no I/O and
//! no directory here, only the two messages of a client, what they must say, and the arithmetic of the proof.
//!
//! Left out: channel binding (a client that insists is refused), and SASLprep, which clients leave out as well: a name
//! or password is compared byte by byte.

use crate::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use sluice_model::{Error, Result};
use std::fmt;
use subtle::ConstantTimeEq;

/// What RFC 7677 asks for at least, and the most that Kafka's tools ask for.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=16_384;
/// Between the two: some milliseconds for whoever logs in.
pub(crate) const DEFAULT_ITERATIONS: u32 = 8192;
const SALT: usize = 16;
const MAX_SALT: usize = 256;
/// The longest name in its longest spelling, a nonce, and as much again.
const MAX_MESSAGE: usize = 4096;
const MAX_NONCE: usize = 256;
/// 143 bits: no client sees the same challenge twice.
const NONCE: usize = 24;

/// Which hash a SCRAM exchange uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ScramMechanism {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

/// What is kept of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scram {
    pub mechanism: ScramMechanism,
    pub iterations: u32,
    pub salt: Vec<u8>,
    /// StoredKey and ServerKey, one after the other, as hexadecimal digits.
    pub keys: Secret,
}

/// That there is such a credential, as it may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ScramView {
    /// Which hash it is for.
    pub mechanism: ScramMechanism,
    /// How often it is hashed.
    pub iterations: u32,
}

/// A credential as Kafka's tools make it: they hash the password themselves.
#[derive(Debug, Clone)]
pub struct NewScram {
    /// The name of the user; it is made when there is none.
    pub user: String,
    /// Which hash it is for.
    pub mechanism: ScramMechanism,
    /// How often the password was hashed.
    pub iterations: u32,
    /// With what.
    pub salt: Vec<u8>,
    /// What came out: `SaltedPassword` of RFC 5802.
    pub salted_password: Vec<u8>,
}

impl ScramMechanism {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name in SASL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// What the credential of a user is sealed for. No access key has a colon.
    pub(crate) const fn seal(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256:",
            Self::Sha512 => "SCRAM-SHA-512:",
        }
    }

    const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for ScramMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl NewScram {
    /// The credential to keep.
    pub(crate) fn credential(&self) -> Result<Scram> {
        let Self { user, mechanism, iterations, salt, salted_password } = self;
        let wrong = |why: String| Err(Error::invalid(format!("user {user:?}: {mechanism}: {why}")));
        if !ITERATIONS.contains(iterations) {
            return wrong(format!(
                "there are {} to {} iterations, not {iterations}",
                ITERATIONS.start(),
                ITERATIONS.end()
            ));
        }
        if salt.is_empty() || salt.len() > MAX_SALT {
            return wrong(format!("a salt has 1 to {MAX_SALT} bytes, not {}", salt.len()));
        }
        if salted_password.len() != mechanism.length() {
            let (wanted, is) = (mechanism.length(), salted_password.len());
            return wrong(format!("a salted password has {wanted} bytes, not {is}"));
        }
        let keys = match mechanism {
            ScramMechanism::Sha256 => Keys::of::<Hmac<Sha256>, Sha256>(salted_password),
            ScramMechanism::Sha512 => Keys::of::<Hmac<Sha512>, Sha512>(salted_password),
        };
        Ok(Scram { mechanism: *mechanism, iterations: *iterations, salt: salt.clone(), keys: keys.text() })
    }
}

impl Scram {
    /// Hashes a new password: some milliseconds.
    pub(crate) fn new(mechanism: ScramMechanism, password: &str) -> Self {
        let salt: [u8; SALT] = rand::random();
        let keys = Keys::derive(mechanism, password, &salt, DEFAULT_ITERATIONS);
        Self { mechanism, iterations: DEFAULT_ITERATIONS, salt: salt.into(), keys: keys.text() }
    }

    pub(crate) fn view(&self) -> ScramView {
        ScramView { mechanism: self.mechanism, iterations: self.iterations }
    }

    /// None while it is sealed.
    pub(crate) fn keys(&self) -> Option<Keys> {
        let bytes = hex::decode(self.keys.expose()?).ok()?;
        let (stored, server) = bytes.split_at_checked(self.mechanism.length())?;
        (server.len() == stored.len()).then(|| Keys { stored: stored.into(), server: server.into() })
    }
}

/// What proofs are checked with, and made.
pub(crate) struct Keys {
    stored: Vec<u8>,
    server: Vec<u8>,
}

impl Keys {
    /// The keys of a password; this is what takes time.
    pub(crate) fn derive(mechanism: ScramMechanism, password: &str, salt: &[u8], iterations: u32) -> Self {
        let password = password.as_bytes();
        match mechanism {
            ScramMechanism::Sha256 => {
                Self::of::<Hmac<Sha256>, Sha256>(&salted::<Hmac<Sha256>>(password, salt, iterations))
            }
            ScramMechanism::Sha512 => {
                Self::of::<Hmac<Sha512>, Sha512>(&salted::<Hmac<Sha512>>(password, salt, iterations))
            }
        }
    }

    fn of<M: Mac + KeyInit, H: Digest>(salted: &[u8]) -> Self {
        let stored = H::digest(hmac::<M>(salted, &[b"Client Key"])).to_vec();
        Self { stored, server: hmac::<M>(salted, &[b"Server Key"]) }
    }

    fn text(&self) -> Secret {
        Secret::new(hex::encode(&self.stored) + &hex::encode(&self.server))
    }

    /// The server's signature when the proof is right.
    fn verify<M: Mac + KeyInit, H: Digest>(&self, said: &[&[u8]], proof: &[u8]) -> Option<Vec<u8>> {
        let mut key = hmac::<M>(&self.stored, said);
        if key.len() != proof.len() {
            return None;
        }
        key.iter_mut().zip(proof).for_each(|(signed, proof)| *signed ^= proof);
        let right: bool = H::digest(&key).as_slice().ct_eq(&self.stored).into();
        right.then(|| hmac::<M>(&self.server, said))
    }
}

/// An HMAC takes a key of any length, so the error cannot occur; nothing equals what it gives.
fn hmac<M: Mac + KeyInit>(key: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return Vec::new() };
    pieces.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().to_vec()
}

/// `Hi` of RFC 5802, which is PBKDF2 with one block of output.
fn salted<M: Mac + KeyInit + Clone>(password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let Ok(keyed) = <M as KeyInit>::new_from_slice(password) else { return Vec::new() };
    let mut last = keyed.clone().chain_update(salt).chain_update(1_u32.to_be_bytes()).finalize().into_bytes();
    let mut sum = last.clone();
    for _ in 1..iterations {
        last = keyed.clone().chain_update(&last).finalize().into_bytes();
        sum.iter_mut().zip(&last).for_each(|(sum, last)| *sum ^= last);
    }
    sum.to_vec()
}

/// The first message of a client.
#[derive(Debug)]
pub(crate) struct First<'a> {
    /// The header about channel binding, as it came.
    header: &'a str,
    bare: &'a str,
    pub user: String,
    nonce: &'a str,
}

impl<'a> First<'a> {
    pub(crate) fn parse(message: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok().filter(|text| text.len() <= MAX_MESSAGE)?;
        let (header, asked_as) = gs2_header(text)?;
        let bare = text.get(header.len()..)?;
        // A message that begins with m= asks for something that has to be understood.
        let (user, rest) = bare.strip_prefix("n=")?.split_once(',')?;
        let nonce = rest.strip_prefix("r=")?.split(',').next()?;
        let user = name(user)?;
        let is_own = asked_as.is_none_or(|asked_as| asked_as == user);
        (is_own && is_nonce(nonce)).then_some(Self { header, bare, user, nonce })
    }
}

/// The header of GS2 with its commas, and the identity it asks to act as. Without channel binding.
pub(crate) fn gs2_header(text: &str) -> Option<(&str, Option<String>)> {
    let rest = text.strip_prefix("n,").or_else(|| text.strip_prefix("y,"))?;
    let (identity, after) = rest.split_once(',')?;
    let asked_as = match identity {
        "" => None,
        _ => Some(name(identity.strip_prefix("a=")?)?),
    };
    Some((text.get(..text.len() - after.len())?, asked_as))
}

/// A name as SCRAM writes it: no comma, no equals sign but in the spellings of these two.
fn name(written: &str) -> Option<String> {
    let mut parts = written.split('=');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (character, rest) = part
            .strip_prefix("2C")
            .map(|rest| (',', rest))
            .or_else(|| Some(('=', part.strip_prefix("3D")?)))?;
        name.push(character);
        name.push_str(rest);
    }
    (!name.is_empty() && !name.contains('\0')).then_some(name)
}

fn is_nonce(text: &str) -> bool {
    (1..=MAX_NONCE).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// The salts of those of whom nothing is kept: always the same for a name, so that a challenge tells nothing.
pub(crate) struct Salts([u8; 32]);

impl Salts {
    /// Other ones with every start.
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    /// The same ones with every start.
    pub(crate) fn keyed(key: [u8; 32]) -> Self {
        Self(key)
    }

    pub(crate) fn of(&self, mechanism: ScramMechanism, name: &str) -> Vec<u8> {
        let mut salt = hmac::<Hmac<Sha256>>(&self.0, &[mechanism.seal().as_bytes(), name.as_bytes()]);
        salt.truncate(SALT);
        salt
    }
}

/// A challenge that was sent, waiting for its proof.
#[derive(Debug)]
pub(crate) struct Challenge {
    pub mechanism: ScramMechanism,
    pub user: String,
    pub salt: Vec<u8>,
    pub iterations: u32,
    header: String,
    first: String,
    /// The client's part of the nonce.
    client: String,
    nonce: String,
    text: String,
}

impl Challenge {
    pub(crate) fn new(mechanism: ScramMechanism, first: First<'_>, salt: Vec<u8>, iterations: u32) -> Self {
        let own: String =
            rand::rng().sample_iter(rand::distr::Alphanumeric).take(NONCE).map(char::from).collect();
        Self::with_nonce(mechanism, first, salt, iterations, &own)
    }

    fn with_nonce(
        mechanism: ScramMechanism,
        first: First<'_>,
        salt: Vec<u8>,
        iterations: u32,
        own: &str,
    ) -> Self {
        let nonce = format!("{}{own}", first.nonce);
        let text = format!("r={nonce},s={},i={iterations}", STANDARD.encode(&salt));
        let (header, bare, client) = (first.header.to_owned(), first.bare.to_owned(), first.nonce.to_owned());
        Self { mechanism, user: first.user, salt, iterations, header, first: bare, client, nonce, text }
    }

    /// What the client is sent.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The second message of the client; none when it is no answer to this challenge.
    pub(crate) fn answer<'a>(&'a self, message: &'a [u8]) -> Option<Answer<'a>> {
        let text = std::str::from_utf8(message).ok().filter(|text| text.len() <= MAX_MESSAGE)?;
        let (said, proof) = text.rsplit_once(",p=")?;
        let mut parts = said.split(',');
        let header = STANDARD.decode(parts.next()?.strip_prefix("c=")?).ok()?;
        let nonce = parts.next()?.strip_prefix("r=")?;
        // librdkafka before 2.6.1 puts its own part in front once more; both parts are proven as they are written.
        let is_ours = nonce == self.nonce || nonce.strip_prefix(&self.client) == Some(&self.nonce);
        if header != self.header.as_bytes() || !is_ours {
            return None;
        }
        Some(Answer { challenge: self, said, proof: STANDARD.decode(proof).ok()? })
    }
}

/// An answer to a challenge, with the proof to check.
pub(crate) struct Answer<'a> {
    challenge: &'a Challenge,
    said: &'a str,
    proof: Vec<u8>,
}

impl Answer<'_> {
    /// The last message to the client when the proof is right.
    pub(crate) fn verify(&self, keys: &Keys) -> Option<String> {
        let Challenge { mechanism, first, text, .. } = self.challenge;
        let said: [&[u8]; 5] = [first.as_bytes(), b",", text.as_bytes(), b",", self.said.as_bytes()];
        let signature = match mechanism {
            ScramMechanism::Sha256 => keys.verify::<Hmac<Sha256>, Sha256>(&said, &self.proof),
            ScramMechanism::Sha512 => keys.verify::<Hmac<Sha512>, Sha512>(&said, &self.proof),
        };
        signature.map(|signature| format!("v={}", STANDARD.encode(signature)))
    }
}

#[cfg(test)]
mod tests;
