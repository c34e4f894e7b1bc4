//! The documents of this wire: `read` what clients send, `write` what they can parse.

pub(super) mod read;
pub(super) mod write;

/// True for what XML 1.0 can carry at all, escaped or not.
pub(super) fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}
