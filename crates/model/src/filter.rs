//! Which messages of a topic a consumer wants, already parsed.

use crate::{Error, Message, Result};
use bytestring::ByteString;

/// The most tags one subscription may name.
const MAX_TAGS: usize = 256;

/// A subscription's condition on messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Filter {
    /// Every message.
    #[default]
    All,
    /// Messages that carry one of these tags.
    Tags(Vec<ByteString>),
}

impl Filter {
    /// Parses a tag expression: `*`, nothing, or `a || b`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] when it names more than 256 tags.
    pub fn tags(expression: &str) -> Result<Self> {
        let expression = expression.trim();
        if expression.is_empty() || expression == "*" {
            return Ok(Self::All);
        }
        let tags: Vec<ByteString> =
            expression.split("||").map(str::trim).filter(|t| !t.is_empty()).map(ByteString::from).collect();
        match tags.len() {
            0 => Ok(Self::All),
            n if n > MAX_TAGS => {
                Err(Error::invalid(format!("a subscription may name at most {MAX_TAGS} tags, not {n}")))
            }
            _ if tags.iter().any(|t| t == "*") => Ok(Self::All),
            _ => Ok(Self::Tags(tags)),
        }
    }

    /// True when the message passes.
    pub fn matches(&self, message: &Message) -> bool {
        match self {
            Self::All => true,
            Self::Tags(tags) => message.tag.as_ref().is_some_and(|tag| tags.contains(tag)),
        }
    }

    /// The hashes an index entry's tag hash must be among, or nothing when every entry may pass.
    pub fn tag_hashes(&self) -> Option<Vec<u32>> {
        match self {
            Self::All => None,
            Self::Tags(tags) => Some(tags.iter().map(|t| tag_hash(t)).collect()),
        }
    }
}

/// The hash of a tag that indexes keep: Java's `String.hashCode`, over UTF-16 code units, because stock clients send
/// and compare exactly this number. 0 stands for "no tag".
pub fn tag_hash(tag: &str) -> u32 {
    tag.encode_utf16().fold(0u32, |h, unit| h.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_hash_is_the_number_that_java_clients_send() {
        // Values from the reference client.
        for (tag, hash) in [
            ("TagA", 2_598_919),
            ("TagB", 2_598_920),
            ("*", 42),
            ("a", 97),
            ("标签", 857_175),
            ("😀", 1_772_899),
        ] {
            assert_eq!(tag_hash(tag), hash, "{tag}");
        }
    }

    #[test]
    fn expressions_split_at_double_bars() {
        assert_eq!(Filter::tags(" a ||  b ").unwrap(), Filter::Tags(vec!["a".into(), "b".into()]));
        for all in ["", "*", " ", "||", "a || *"] {
            assert_eq!(Filter::tags(all).unwrap(), Filter::All, "{all:?}");
        }
    }
}
