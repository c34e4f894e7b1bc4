//! The proof of one delivery: what ack, extend and dead-letter take.

use bytestring::ByteString;
use std::fmt;

/// An opaque, unforgeable text that names one delivery of one message to one group.
///
/// It is made and checked by the broker (a MAC over its fields); a front-end passes it through. It contains only
/// URL-safe characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ReceiptHandle(pub ByteString);

impl ReceiptHandle {
    /// The handle as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ReceiptHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0[..])
    }
}

impl From<&str> for ReceiptHandle {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}
