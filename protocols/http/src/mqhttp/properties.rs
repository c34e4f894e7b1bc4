//! The property string of this wire: `name:value|name:value|`, without any escape.
//!
//! SDKs refuse the separators before they send, and drop what they cannot split when they read. The one idea to know:
//! what another wire put into a name or value must not spoil its neighbours, so such a pair is left out, or written with
//! percent signs when the operator says so.

use super::faults::Fault;
use super::xml;
use std::borrow::Cow;

const PAIR_END: char = '|';
const NAME_END: char = ':';

/// The pairs of a string, in order. Some SDKs end the last one, some do not.
pub(super) fn parse(text: &str) -> Result<Vec<(&str, &str)>, Fault> {
    let pairs = text.split(PAIR_END).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| match pair.split_once(NAME_END) {
            Some((name, value)) if !name.is_empty() => Ok((name, value)),
            _ => Err(Fault::invalid("Properties is not like name:value|name:value|")),
        })
        .collect()
}

/// Writes a property string. Every pair is ended: one SDK loses the last one otherwise.
pub(super) struct Writer {
    text: String,
    escape: bool,
    /// Pairs that this wire cannot say.
    pub omitted: u64,
}

impl Writer {
    pub fn new(escape: bool) -> Self {
        Self { text: String::new(), escape, omitted: 0 }
    }

    pub fn push(&mut self, name: &str, value: &str) {
        let (Some(name), Some(value)) = (self.spell(name), self.spell(value)) else {
            self.omitted += 1;
            return;
        };
        if name.is_empty() || value.is_empty() {
            self.omitted += 1;
            return;
        }
        self.text.extend([name.as_ref(), ":", value.as_ref(), "|"]);
    }

    /// A value that is no text.
    pub fn omit(&mut self) {
        self.omitted += 1;
    }

    pub fn finish(self) -> String {
        self.text
    }

    fn spell<'a>(&self, text: &'a str) -> Option<Cow<'a, str>> {
        if !text.chars().all(xml::is_char) {
            return None;
        }
        match text.contains([PAIR_END, NAME_END]) {
            true if !self.escape => None,
            false if !(self.escape && text.contains('%')) => Some(text.into()),
            _ => Some(text.replace('%', "%25").replace(NAME_END, "%3A").replace(PAIR_END, "%7C").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        let wanted = [("KEYS", "order-17"), ("colour", "red")];
        assert_eq!(parse("KEYS:order-17|colour:red|").unwrap(), wanted);
        assert_eq!(parse("KEYS:order-17|colour:red").unwrap(), wanted);
        assert_eq!(parse("a:b:c").unwrap(), [("a", "b:c")]);
        assert!(parse("").unwrap().is_empty());
        for bad in ["a", ":a", "a:b|c"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_has_no_spelling_is_left_out_and_counted() {
        let write = |escape| {
            let mut writer = Writer::new(escape);
            for (name, value) in [
                ("a", "b"),
                ("url", "http://x"),
                ("x|y", "z"),
                ("half", "50%"),
                ("bell", "\u{7}"),
                ("none", ""),
            ] {
                writer.push(name, value);
            }
            (writer.omitted, writer.finish())
        };
        assert_eq!(write(false), (4, "a:b|half:50%|".to_owned()));
        assert_eq!(write(true), (2, "a:b|url:http%3A//x|x%7Cy:z|half:50%25|".to_owned()));
    }
}
