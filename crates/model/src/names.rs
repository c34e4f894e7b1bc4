//! Names and positions, as types whose constructors validate, so that nobody validates twice.

use crate::{Error, Result};
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;

const RETRY_PREFIX: &str = "%RETRY%";
const DEAD_LETTER_PREFIX: &str = "%DLQ%";
/// RocketMQ stores a topic's length in one signed byte.
const MAX_TOPIC: usize = 127;
/// Topics made for a group carry its name after a prefix.
const MAX_GROUP_TOPIC: usize = 255;
/// As stock clients of version 4.9 allow.
const MAX_GROUP: usize = 240;

/// A topic's one canonical name: 1 to 127 of `[%|a-zA-Z0-9_-]` (255 for retry and dead-letter topics).
///
/// The alphabet is RocketMQ's; a wire with other names escapes them reversibly at the edge.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "ByteString", into = "ByteString")]
pub struct TopicName(ByteString);

/// A consumer or producer group's name: 1 to 240 of `[%|a-zA-Z0-9_-]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "ByteString", into = "ByteString")]
pub struct GroupName(ByteString);

impl TopicName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`], saying which rule it breaks.
    pub fn new(name: impl Into<ByteString>) -> Result<Self> {
        let name = name.into();
        let group_topic = name.starts_with(RETRY_PREFIX) || name.starts_with(DEAD_LETTER_PREFIX);
        check("topic", &name, if group_topic { MAX_GROUP_TOPIC } else { MAX_TOPIC })?;
        Ok(Self(name))
    }

    /// The group whose failed messages come back through this topic.
    pub fn retry_group(&self) -> Option<GroupName> {
        GroupName::new(self.0.strip_prefix(RETRY_PREFIX)?).ok()
    }

    /// The group whose dead letters rest in this topic.
    pub fn dead_letter_group(&self) -> Option<GroupName> {
        GroupName::new(self.0.strip_prefix(DEAD_LETTER_PREFIX)?).ok()
    }
}

impl GroupName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`], saying which rule it breaks.
    pub fn new(name: impl Into<ByteString>) -> Result<Self> {
        let name = name.into();
        check("group", &name, MAX_GROUP)?;
        Ok(Self(name))
    }

    /// Where this group's failed messages wait for their next attempt.
    pub fn retry_topic(&self) -> TopicName {
        TopicName(format!("{RETRY_PREFIX}{}", self.0).into())
    }

    /// Where this group's messages rest after the last attempt.
    pub fn dead_letter_topic(&self) -> TopicName {
        TopicName(format!("{DEAD_LETTER_PREFIX}{}", self.0).into())
    }
}

fn check(what: &str, name: &str, max: usize) -> Result<()> {
    if name.is_empty() || name.len() > max {
        return Err(Error::invalid(format!(
            "a {what} name must have 1 to {max} characters, not {}",
            name.len()
        )));
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '%' | '|' | '_' | '-'))) {
        None => Ok(()),
        Some(c) => Err(Error::invalid(format!(
            "a {what} name may not contain {c:?}; allowed are letters, digits, % | _ -"
        ))),
    }
}

macro_rules! name {
    ($type:ident) => {
        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name as shared text.
            pub fn as_bytestring(&self) -> &ByteString {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0[..])
            }
        }
        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<ByteString> for $type {
            type Error = Error;
            fn try_from(name: ByteString) -> Result<Self> {
                Self::new(name)
            }
        }
        impl From<$type> for ByteString {
            fn from(name: $type) -> ByteString {
                name.0
            }
        }
    };
}
name!(TopicName);
name!(GroupName);

/// A queue's number within its topic, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueueId(pub u32);

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A message's place in its queue, from 0, without gaps; the same number on every wire.
pub type Offset = u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_alphabet() {
        assert!(TopicName::new("orders-1_%|X").is_ok());
        for bad in ["", "a b", "a.b", "a/b", "ü", &"x".repeat(128)] {
            assert!(TopicName::new(bad).is_err(), "{bad:?}");
        }
        assert!(TopicName::new(format!("%RETRY%{}", "x".repeat(200))).is_ok());
        assert!(GroupName::new("x".repeat(241)).is_err());
    }

    #[test]
    fn group_topics_lead_back_to_their_group() {
        let group = GroupName::new("billing").unwrap();
        assert_eq!(group.retry_topic().as_str(), "%RETRY%billing");
        assert_eq!(group.retry_topic().retry_group(), Some(group.clone()));
        assert_eq!(group.dead_letter_topic().dead_letter_group(), Some(group));
        assert_eq!(TopicName::new("billing").unwrap().retry_group(), None);
    }
}
