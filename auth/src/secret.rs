//! Text that must not be shown: passwords and signing secrets.
//!
//! The one idea: `Debug` hides it, so that no log line can leak one by accident. Signing secrets are kept readable in
//! memory because an HMAC needs them, and sealed wherever they rest, see `data_key`; passwords are hashed by `password`
//! before anything is remembered.

use rand::RngExt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use std::fmt;
use subtle::ConstantTimeEq;

/// A secret text; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    Plain(String),
    /// Encrypted with the data key: on its way to the log, or read from there without the right key.
    Sealed(Vec<u8>),
}

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Form::Plain(text.into()))
    }

    pub(crate) fn sealed(bytes: Vec<u8>) -> Self {
        Self(Form::Sealed(bytes))
    }

    /// The text; none while it is sealed, and then nothing may be proven with it.
    pub(crate) fn expose(&self) -> Option<&str> {
        match &self.0 {
            Form::Plain(text) => Some(text),
            Form::Sealed(_) => None,
        }
    }

    pub(crate) fn sealed_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Form::Plain(_) => None,
            Form::Sealed(bytes) => Some(bytes),
        }
    }

    /// Compares in a time that depends on the lengths alone.
    pub(crate) fn matches(&self, shown: &str) -> bool {
        self.expose().is_some_and(|text| text.as_bytes().ct_eq(shown.as_bytes()).into())
    }
}

/// As configuration files have it. A sealed one has its own place in a record.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let text = self.expose().ok_or_else(|| ser::Error::custom("a sealed secret is no text"))?;
        to.serialize_str(text)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::new)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"***\"")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// A password for the administrator of a first start: 24 letters and digits, about 140 bits.
pub fn random_password() -> String {
    rand::rng().sample_iter(rand::distr::Alphanumeric).take(24).map(char::from).collect()
}
