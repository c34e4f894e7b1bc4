//! What can be asked about messages that are stored: which ones have this word, and what became of one.

use sluice_model::{Millis, StoredMessage, TopicName};
pub use sluice_store::SearchBy;

/// A search for messages of one topic by a word, newest first.
#[derive(Debug, Clone, Copy)]
pub struct FindRequest<'a> {
    /// The topic.
    pub topic: &'a TopicName,
    /// The id or key, exactly.
    pub word: &'a str,
    /// Whether it is the message's id, or may be one of its keys as well.
    pub by: SearchBy,
    /// Only messages stored at this time or later.
    pub from: Millis,
    /// Only messages stored at this time or earlier.
    pub to: Millis,
    /// Where to search on: [`Found::next`] of the search before.
    pub after: Option<u64>,
    /// At most so many messages.
    pub max: usize,
}

impl<'a> FindRequest<'a> {
    /// Every message of the topic with this word, whenever it was stored.
    pub fn new(topic: &'a TopicName, word: &'a str, by: SearchBy, max: usize) -> Self {
        Self { topic, word, by, from: 0, to: Millis::MAX, after: None, max }
    }
}

/// What a search found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The messages, newest first. There may be none although `next` leads on: then much was looked at in vain.
    pub messages: Vec<StoredMessage>,
    /// Where to search on, while there may be more. It says nothing to anybody else.
    pub next: Option<u64>,
}
