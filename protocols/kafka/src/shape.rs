//! The shapes of requests: a look at a body before it is decoded.
//!
//! The library that decodes makes room for as many elements as an array claims to have, and thirty bytes may claim two
//! thousand million. So a body is walked first, by a description of its shape, and only one that holds what it claims is
//! decoded. A shape is a row of fields, each with the versions that have it:
//!
//! ```text
//! shape := field*              field := [range ':'] kind          range := '4+' | '-3' | '4-7'
//! kind  := b 1 byte | h 2 | i 4 | l 8 | u 16 | s text or null | y bytes or null | '[' shape ']' array, perhaps null
//! ```
//! Every array's element and the body itself end with tags in flexible versions. An element has at least one byte on the
//! wire and costs a few dozen in memory, so [`MAX_ELEMENTS`] bounds what a large request can cost.

use bytes::{Buf, Bytes};
use std::sync::OnceLock;

/// Elements of all arrays of one request together; a fetch of ten thousand partitions has as many.
const MAX_ELEMENTS: usize = 200_000;
/// What ends a shape behind which there may be bytes.
const STAR: &str = " *";
/// Tagged fields of one request; Kafka defines three at most.
const MAX_TAGS: usize = 64;

/// See the module. Its text is read once, when it is first needed.
pub(crate) struct Shape {
    text: &'static str,
    fields: OnceLock<Option<Box<[Field]>>>,
}

struct Field {
    versions: (i16, i16),
    kind: Kind,
}

enum Kind {
    Fixed(usize),
    /// Of the plain form's two kinds of lengths.
    Text,
    Bytes,
    /// Elements that are bare.
    Bare(Box<Self>),
    Structs(Box<[Field]>),
}

impl Shape {
    pub const fn new(text: &'static str) -> Self {
        Self { text, fields: OnceLock::new() }
    }

    /// Whether `body` holds what a request of this shape and version must, and nothing behind it. A shape that ends in a
    /// star lets something be there: librdkafka's question for all topics has three bytes too many, and Kafka does not mind.
    pub fn fits(&self, body: &[u8], version: i16, flexible: bool) -> bool {
        self.rest(body, version, flexible).is_some_and(|rest| rest == 0 || self.text.ends_with(STAR))
    }

    /// How many bytes are behind it.
    pub fn rest(&self, body: &[u8], version: i16, flexible: bool) -> Option<usize> {
        let text = self.text.strip_suffix(STAR).unwrap_or(self.text);
        let fields = self.fields.get_or_init(|| fields_of(text)).as_deref()?;
        let mut walk = Walk { body, version, flexible, elements: MAX_ELEMENTS, tags: MAX_TAGS };
        walk.fields(fields)?;
        Some(walk.body.len())
    }
}

/// Takes the tags of a request's header off the front of its body.
pub(crate) fn skip_tags(body: &mut Bytes) -> Option<()> {
    let mut walk = Walk { body, version: 0, flexible: true, elements: 0, tags: MAX_TAGS };
    walk.tag_section()?;
    let rest = walk.body.len();
    body.advance(body.len().checked_sub(rest)?);
    Some(())
}

struct Walk<'a> {
    body: &'a [u8],
    version: i16,
    flexible: bool,
    elements: usize,
    tags: usize,
}

impl Walk<'_> {
    /// The fields of a struct, and its tags.
    fn fields(&mut self, fields: &[Field]) -> Option<()> {
        for Field { versions: (from, to), kind } in fields {
            if (*from..=*to).contains(&self.version) {
                self.kind(kind)?;
            }
        }
        if self.flexible { self.tag_section() } else { Some(()) }
    }

    fn kind(&mut self, kind: &Kind) -> Option<()> {
        match kind {
            Kind::Fixed(bytes) => self.skip(*bytes),
            Kind::Text | Kind::Bytes => {
                let length = self.length(matches!(kind, Kind::Text))?;
                self.skip(length.unwrap_or(0))
            }
            Kind::Bare(kind) => (0..self.count()?).try_for_each(|_| self.kind(kind)),
            Kind::Structs(fields) => (0..self.count()?).try_for_each(|_| self.fields(fields)),
        }
    }

    /// Of an array's elements.
    fn count(&mut self) -> Option<usize> {
        let count = self.length(false)?.unwrap_or(0);
        self.elements = self.elements.checked_sub(count)?;
        Some(count)
    }

    /// A length or a count; `Some(None)` is null.
    fn length(&mut self, is_text: bool) -> Option<Option<usize>> {
        let length = match (self.flexible, is_text) {
            (true, _) => i64::from(self.varint()?) - 1,
            (false, true) => i64::from(self.body.try_get_i16().ok()?),
            (false, false) => i64::from(self.body.try_get_i32().ok()?),
        };
        match length {
            -1 => Some(None),
            length => usize::try_from(length).ok().filter(|n| *n <= self.body.len()).map(Some),
        }
    }

    fn tag_section(&mut self) -> Option<()> {
        let count = self.varint()? as usize;
        self.tags = self.tags.checked_sub(count)?;
        for _ in 0..count {
            self.varint()?;
            let length = self.varint()? as usize;
            self.skip(length)?;
        }
        Some(())
    }

    fn varint(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.body.try_get_u8().ok()?;
            value |= u32::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.body = self.body.get(bytes..)?;
        Some(())
    }
}

/// A shape's fields; nothing when it is none.
fn fields_of(mut text: &str) -> Option<Box<[Field]>> {
    let mut fields = Vec::new();
    while let Some((field, rest)) = next_field(text) {
        let (range, kind) =
            field.split_once(':').filter(|(range, _)| !range.contains('[')).unwrap_or(("", field));
        fields.push(Field { versions: versions(range)?, kind: kind_of(kind)? });
        text = rest;
    }
    Some(fields.into())
}

fn kind_of(text: &str) -> Option<Kind> {
    Some(match text {
        "b" => Kind::Fixed(1),
        "h" => Kind::Fixed(2),
        "i" => Kind::Fixed(4),
        "l" => Kind::Fixed(8),
        "u" => Kind::Fixed(16),
        "s" => Kind::Text,
        "y" => Kind::Bytes,
        _ => {
            let element = text.strip_prefix('[')?.strip_suffix(']')?;
            match is_struct(element) {
                true => Kind::Structs(fields_of(element)?),
                false => Kind::Bare(Box::new(kind_of(element)?)),
            }
        }
    })
}

/// An array of numbers or texts has them bare; a struct with a single such field is written `[s ]`.
fn is_struct(element: &str) -> bool {
    element.contains([' ', ':', '['])
}

/// The first field, and what follows it. A bracket is not cut.
fn next_field(shape: &str) -> Option<(&str, &str)> {
    let shape = shape.trim_start();
    let mut depth = 0_usize;
    for (at, byte) in shape.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b' ' if depth == 0 => return Some(shape.split_at(at)),
            _ => {}
        }
    }
    Some((shape, "")).filter(|(field, _)| !field.is_empty())
}

fn versions(range: &str) -> Option<(i16, i16)> {
    let number = |text: &str| text.parse::<i16>().ok();
    Some(match (range.strip_suffix('+'), range.strip_prefix('-'), range.split_once('-')) {
        _ if range.is_empty() => (i16::MIN, i16::MAX),
        (Some(from), ..) => (number(from)?, i16::MAX),
        (_, Some(to), _) => (i16::MIN, number(to)?),
        (_, _, Some((from, to))) => (number(from)?, number(to)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(text: &'static str, body: &[u8], version: i16, flexible: bool) -> bool {
        Shape::new(text).fits(body, version, flexible)
    }

    #[test]
    fn an_array_that_claims_gigabytes_is_not_believed() {
        let plain = [0x7F, 0xFF, 0xFF, 0xF0, 0, 1, b'a'];
        assert!(!fits("[s ]", &plain, 0, false));
        assert!(!fits("[s ]", &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 2, b'a', 0], 9, true));
        assert!(fits("[s ]", &[0, 0, 0, 1, 0, 1, b'a'], 0, false));
        assert!(fits("[s ]", &[2, 2, b'a', 0, 0], 9, true));
        assert!(fits("[s]", &[2, 2, b'a', 0], 9, true));
        assert!(fits("[s]", &[0xFF; 4], 0, false), "null");
    }

    #[test]
    fn bytes_behind_are_refused_except_behind_a_star() {
        assert!(!fits("b b", &[0; 3], 0, false));
        assert!(fits("b b *", &[0; 3], 0, false));
        assert!(!fits("b b *", &[0; 1], 0, false));
    }

    #[test]
    fn versions_choose_fields() {
        for (version, size) in [(1, 2), (3, 3), (4, 5), (5, 4)] {
            assert_eq!(Shape::new("-3:h 4+:i 2-4:b").rest(&[0; 7], version, false), Some(7 - size));
            assert_eq!(Shape::new("-3:h 4+:i 2-4:b").rest(&vec![0; size - 1], version, false), None);
        }
    }
}
