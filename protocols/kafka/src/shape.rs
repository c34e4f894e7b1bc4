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

/// Elements of all arrays of one request together; a fetch of ten thousand partitions has as many.
const MAX_ELEMENTS: usize = 200_000;
/// What ends a shape behind which there may be bytes.
const STAR: &str = " *";
/// Tagged fields of one request; Kafka defines three at most.
const MAX_TAGS: usize = 64;

/// Whether `body` holds what a request of this shape and version must, and nothing behind it. A shape that ends in a star
/// lets something be there: librdkafka's question for all topics has three bytes too many, and Kafka does not mind.
pub(crate) fn fits(shape: &str, body: &[u8], version: i16, flexible: bool) -> bool {
    rest(shape, body, version, flexible).is_some_and(|rest| rest == 0 || shape.ends_with(STAR))
}

/// How many bytes are behind it.
pub(crate) fn rest(shape: &str, body: &[u8], version: i16, flexible: bool) -> Option<usize> {
    let shape = shape.strip_suffix(STAR).unwrap_or(shape);
    let mut walk = Walk { body, version, flexible, elements: MAX_ELEMENTS, tags: MAX_TAGS };
    walk.fields(shape)?;
    Some(walk.body.len())
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
    fn fields(&mut self, mut shape: &str) -> Option<()> {
        while let Some((field, rest)) = next_field(shape) {
            let (range, kind) =
                field.split_once(':').filter(|(range, _)| !range.contains('[')).unwrap_or(("", field));
            if contains(range, self.version) {
                self.kind(kind)?;
            }
            shape = rest;
        }
        if self.flexible { self.tag_section() } else { Some(()) }
    }

    fn kind(&mut self, kind: &str) -> Option<()> {
        match kind {
            "b" => self.skip(1),
            "h" => self.skip(2),
            "i" => self.skip(4),
            "l" => self.skip(8),
            "u" => self.skip(16),
            "s" | "y" => {
                let length = self.length(kind == "s")?;
                self.skip(length.unwrap_or(0))
            }
            _ => self.array(kind.strip_prefix('[')?.strip_suffix(']')?),
        }
    }

    fn array(&mut self, element: &str) -> Option<()> {
        let count = self.length(false)?.unwrap_or(0);
        self.elements = self.elements.checked_sub(count)?;
        for _ in 0..count {
            match is_struct(element) {
                true => self.fields(element)?,
                false => self.kind(element)?,
            }
        }
        Some(())
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

fn contains(range: &str, version: i16) -> bool {
    let number = |text: &str| text.parse::<i16>().ok();
    match (range.strip_suffix('+'), range.strip_prefix('-'), range.split_once('-')) {
        _ if range.is_empty() => true,
        (Some(from), ..) => number(from).is_some_and(|from| version >= from),
        (_, Some(to), _) => number(to).is_some_and(|to| version <= to),
        (_, _, Some((from, to))) => {
            number(from).is_some_and(|from| version >= from) && number(to).is_some_and(|to| version <= to)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(rest("-3:h 4+:i 2-4:b", &[0; 7], version, false), Some(7 - size));
            assert_eq!(rest("-3:h 4+:i 2-4:b", &vec![0; size - 1], version, false), None);
        }
    }
}
