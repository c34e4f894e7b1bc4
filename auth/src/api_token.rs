//! API tokens: long random passwords for programs, of which only a hash is kept.
//!
//! They begin with `slc_`, so that a scanner for leaked secrets can find them. A token has 238 random bits, so a plain
//! SHA-256 of it cannot be turned back, and finding it in a table by that hash tells nothing by its timing. It is shown
//! once, by whoever asked for [`NewToken::generate`].

use rand::RngExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sluice_model::{Error, Millis, Result};

/// What tokens begin with.
pub(crate) const PREFIX: &str = "slc_";
const RANDOM_CHARACTERS: usize = 40;
/// A line for people.
const MAX_LABEL: usize = 128;
/// As many bytes of the hash name a token in lists and commands.
const ID_BYTES: usize = 6;

pub(crate) type TokenHash = [u8; 32];

/// A token as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ApiToken {
    pub hash: TokenHash,
    pub label: String,
    pub created: Millis,
    pub expires: Option<Millis>,
}

/// A token as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiTokenView {
    /// Names it among the user's tokens.
    pub id: String,
    /// What its maker called it.
    pub label: String,
    /// When it was made.
    pub created: Millis,
    /// When it ends, if it does.
    pub expires: Option<Millis>,
}

/// A token that was just made, for [`crate::Command::PutToken`].
#[derive(Debug, Clone)]
pub struct NewToken {
    pub(crate) user: String,
    pub(crate) token: ApiToken,
}

impl NewToken {
    /// Makes a token for a user: the text to show once, and what to remember.
    pub fn generate(user: &str, label: &str, now: Millis, expires: Option<Millis>) -> (String, Self) {
        let random = rand::rng().sample_iter(rand::distr::Alphanumeric).take(RANDOM_CHARACTERS);
        let text: String = PREFIX.chars().chain(random.map(char::from)).collect();
        let token = ApiToken { hash: hash(&text), label: label.to_owned(), created: now, expires };
        (text, Self { user: user.to_owned(), token })
    }

    /// The id of a token, as it is listed, from its text.
    pub fn id_of(text: &str) -> String {
        id_of(&hash(text))
    }

    /// Its id, as it will be listed.
    pub fn id(&self) -> String {
        self.token.id()
    }

    pub(crate) fn check(&self) -> Result<()> {
        let label = &self.token.label;
        if label.is_empty() || label.len() > MAX_LABEL || label.chars().any(char::is_control) {
            return Err(Error::invalid(format!("a token's label is 1 to {MAX_LABEL} printable bytes")));
        }
        if self.token.expires.is_some_and(|end| end <= self.token.created) {
            return Err(Error::invalid("a token ends after it was made"));
        }
        Ok(())
    }
}

impl ApiToken {
    pub(crate) fn id(&self) -> String {
        id_of(&self.hash)
    }

    pub(crate) fn view(&self) -> ApiTokenView {
        ApiTokenView {
            id: self.id(),
            label: self.label.clone(),
            created: self.created,
            expires: self.expires,
        }
    }
}

fn id_of(hash: &TokenHash) -> String {
    hex::encode(hash.get(..ID_BYTES).unwrap_or_default())
}

/// True for what looks like a token of ours.
pub(crate) fn is_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}

pub(crate) fn hash(text: &str) -> TokenHash {
    Sha256::digest(text.as_bytes()).into()
}
