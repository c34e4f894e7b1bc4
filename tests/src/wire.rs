//! What a stock client of any wire can do in a test.

/// A message to send.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// What this sample is for.
    pub name: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// The tag.
    pub tag: Option<&'static str>,
    /// The keys.
    pub keys: Vec<&'static str>,
    /// User properties, in order; a name may be repeated where the wire can say so.
    pub properties: Vec<(&'static str, &'static str)>,
    /// Not to be delivered sooner than this many milliseconds from now.
    pub delay_ms: Option<u64>,
}

/// A message as a client received it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The body.
    pub body: Vec<u8>,
    /// The tag.
    pub tag: Option<String>,
    /// The keys.
    pub keys: Vec<String>,
    /// Everything that could be a user's property, in order.
    pub properties: Vec<(String, String)>,
    /// When the producer made it, in milliseconds since 1970.
    pub born: u64,
    /// The id.
    pub id: String,
}

/// A stock client of one wire.
pub trait Wire {
    /// Its name in the table.
    fn name(&self) -> &'static str;

    /// Why this wire's client cannot send the sample, if it cannot.
    fn cannot_send(&self, sample: &Sample) -> Option<&'static str>;

    /// True when a receiver on this wire can see repeated names.
    fn shows_duplicates(&self) -> bool;

    /// Sends to a topic.
    fn send(&mut self, topic: &str, sample: &Sample);

    /// Receives up to `count` messages of a topic as this group, and acknowledges them.
    fn receive(&mut self, topic: &str, group: &str, count: usize) -> Vec<Seen>;
}
