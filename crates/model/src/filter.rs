//! Which messages of a topic a consumer wants, already parsed.
//!
//! The one idea to know: a filter is parsed once and then only asked. Tags can be told from an index entry's hash; an
//! SQL expression has to look at the message.
//!
//! - `lexer`, `parser` — text to a condition, with the column of every fault
//! - `expression` — the condition, and what it says of a message

mod expression;
mod lexer;
mod parser;

use crate::{Error, Message, Result};
use bytestring::ByteString;
use std::sync::Arc;

/// The most tags one subscription may name.
const MAX_TAGS: usize = 256;

/// The longest expression in bytes: its parse is kept, and evaluated for every message.
pub const MAX_SQL: usize = 16 * 1024;

/// A subscription's condition on messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Filter {
    /// Every message.
    #[default]
    All,
    /// Messages that carry one of these tags.
    Tags(Vec<ByteString>),
    /// Messages of which an SQL expression is true.
    Sql(Sql),
}

/// Whose names and habits an expression follows. The grammar is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dialect {
    /// RocketMQ's: `TAGS`, `KEYS` and properties by their names.
    #[default]
    RocketMq,
    /// JMS selectors: the names of JMS and of headers too, which may stand in double quotes.
    Jms,
}

/// An SQL-92 expression over a message's properties, parsed. Cloning shares it; two are equal when they are written
/// the same way.
#[derive(Debug, Clone)]
pub struct Sql(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    text: ByteString,
    dialect: Dialect,
    condition: expression::Condition,
}

impl Sql {
    /// Parses an expression.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`], with the column of the fault, for what is no expression or is too long.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self> {
        if text.len() > MAX_SQL {
            let len = text.len();
            return Err(Error::invalid(format!(
                "the SQL expression has {len} bytes; at most {MAX_SQL} are allowed"
            )));
        }
        let condition = parser::parse(text, dialect).map_err(|fault| {
            let parser::Fault { column, what } = fault;
            Error::invalid(format!("the SQL expression is wrong at column {column}: {what}"))
        })?;
        Ok(Self(Arc::new(Parsed { text: text.into(), dialect, condition })))
    }

    /// True when the expression is true of the message; neither when it is false nor when it is unknown.
    pub fn matches(&self, message: &Message) -> bool {
        self.0.condition.of(message) == Some(true)
    }

    /// The expression as it was written.
    pub fn text(&self) -> &ByteString {
        &self.0.text
    }
}

impl PartialEq for Sql {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.dialect == other.0.dialect && self.0.text == other.0.text)
    }
}

impl Eq for Sql {}

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

    /// Parses an SQL expression; see [`Sql::parse`].
    ///
    /// # Errors
    /// As for [`Sql::parse`].
    pub fn sql(expression: &str, dialect: Dialect) -> Result<Self> {
        Sql::parse(expression, dialect).map(Self::Sql)
    }

    /// True when only the message itself can tell whether it passes.
    pub fn looks_inside(&self) -> bool {
        matches!(self, Self::Sql(_))
    }

    /// True when the message passes.
    pub fn matches(&self, message: &Message) -> bool {
        match self {
            Self::All => true,
            Self::Tags(tags) => message.tag.as_ref().is_some_and(|tag| tags.contains(tag)),
            Self::Sql(sql) => sql.matches(message),
        }
    }

    /// The hashes an index entry's tag hash must be among, or nothing when every entry may pass.
    pub fn tag_hashes(&self) -> Option<Vec<u32>> {
        match self {
            Self::All | Self::Sql(_) => None,
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
