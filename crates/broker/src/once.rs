//! Sending once: what is told of messages that may be sent again without being stored again.
//!
//! The one idea to know: a key names the intention, a digest of the content tells whether it is still the same one. The
//! digest is the wire's to make, because only the wire knows what the client said: a delay of ten minutes is the same
//! content a minute later, the time it amounts to is not.

use crate::{Promise, SendRequest, Sent};
use sha2::{Digest as _, Sha256};
use sluice_model::{Message, Millis};

/// What the sender calls the sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnceKey<'a> {
    /// A key of the sender's own: it is theirs alone, and belongs to the topic.
    Idempotency(&'a str),
    /// The id that the message is to have in its topic, whoever sends it.
    MessageId(&'a str),
}

/// Messages that are stored at most once, as one atomic group.
#[derive(Debug, Clone)]
pub struct OnceRequest<'a> {
    /// The messages.
    pub sends: Vec<SendRequest>,
    /// What the sending is called.
    pub key: OnceKey<'a>,
    /// What it says.
    pub content: ContentDigest,
}

/// What became of it.
pub enum OnceSent {
    /// This is the first time: it is stored.
    First(Promise<Vec<Sent>>),
    /// It was stored before, and is not stored again.
    Again(Vec<SentBefore>),
}

/// Where a message went the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentBefore {
    /// As it was answered.
    pub sent: Sent,
    /// When a delayed message was to be delivered.
    pub deliver_at: Option<Millis>,
}

/// Why a sending is refused for its key's sake: the source of the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnceRefusal {
    /// The key was used for something else.
    OtherContent,
    /// The first one is not answered yet.
    InProgress,
    /// There is no key, and the topic demands one.
    KeyRequired,
}

impl std::fmt::Display for OnceRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OtherContent => "the key was used for something else",
            Self::KeyRequired => "the topic takes only what is sent under an idempotency key",
            Self::InProgress => "what was first sent under this key is still being stored",
        })
    }
}

impl std::error::Error for OnceRefusal {}

/// A digest of what a sender said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentDigest(pub(crate) [u8; 16]);

/// Makes a [`ContentDigest`].
#[derive(Debug, Clone, Default)]
pub struct ContentHasher(Sha256);

impl ContentHasher {
    /// Adds a part. Parts do not run into each other.
    #[must_use]
    pub fn part(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a part that may be missing, which is something else than an empty one.
    #[must_use]
    pub fn maybe(self, bytes: Option<&[u8]>) -> Self {
        match bytes {
            Some(bytes) => self.part(&[1]).part(bytes),
            None => self.part(&[0]),
        }
    }

    /// Adds what a message carries. Its times and its id are not part of it: they may be given anew each time.
    #[must_use]
    pub fn message(self, message: &Message) -> Self {
        let Message { body, key, keys, tag, ordering_group, headers, .. } = message;
        let texts = self
            .maybe(body.as_deref())
            .maybe(key.as_deref())
            .maybe(tag.as_deref().map(str::as_bytes))
            .maybe(ordering_group.as_deref().map(str::as_bytes));
        let keys = keys.iter().fold(texts, |hasher, key| hasher.maybe(Some(key.as_bytes())));
        headers.iter().fold(keys.part(&[]), |hasher, (name, value)| hasher.part(name.as_bytes()).maybe(value))
    }

    /// The digest.
    pub fn finish(self) -> ContentDigest {
        ContentDigest(shortened(self.0))
    }
}

/// The first 128 bits.
fn shortened(hash: Sha256) -> [u8; 16] {
    let long: [u8; 32] = hash.finalize().into();
    std::array::from_fn(|at| long.get(at).copied().unwrap_or_default())
}
