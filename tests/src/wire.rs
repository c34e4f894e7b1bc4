//! What a stock client of any wire can do in a test, and what a message says whichever wire tells it.

/// A header that a wire has no meaning for, or one that every wire has a word for; a null value is `None`.
pub type Property = (String, Option<Vec<u8>>);

/// A message as a client received it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The body; `None` is a null one, where the wire tells it from an empty one.
    pub body: Option<Vec<u8>>,
    /// The tag.
    pub tag: Option<String>,
    /// The keys.
    pub keys: Vec<String>,
    /// The key of a Kafka record, where the wire says it by itself.
    pub key: Option<Vec<u8>>,
    /// The ordering group.
    pub group: Option<String>,
    /// Everything else that could be a user's, in order; `content-type`, `correlation-id` and `reply-to` among it.
    pub properties: Vec<Property>,
    /// When the producer made it, in milliseconds since 1970, if the wire says it.
    pub born: Option<u64>,
    /// When it is too old to be delivered, in milliseconds since 1970, if the wire says it.
    pub expires: Option<u64>,
    /// When it came, in milliseconds since 1970.
    pub at: u64,
}

/// A stock client of one wire.
pub trait Wire: Send {
    /// A message in this wire's own words.
    type Message: Send + Sync;

    /// Sends to a topic; returns when the broker has it.
    fn send(&mut self, topic: &str, message: &Self::Message);

    /// Receives up to `count` messages of a topic as this group, and acknowledges them.
    fn receive(&mut self, topic: &str, group: &str, count: usize) -> Vec<Seen>;
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
