//! What heads look like on the wire, before a lenient parser has made sense of them.
//!
//! Two servers in a row that read the same bytes differently let one client put words into another's mouth (request
//! smuggling). Hyper refuses most of what is ambiguous, but takes a bare line feed for a line end, one of two equal
//! lengths, and a chunked body over a `Content-Length` that it does not show afterwards. The one idea to know: the bytes
//! are looked at as they pass, without being kept, bodies are stepped over ([`crate::chunk_watch`] knows where one of
//! chunks ends), so that a head is seen wherever it begins; whoever answers a request asks what was seen of its head.

use crate::chunk_watch::{Chunks, Step};
use memchr::memchr;
use std::sync::OnceLock;

/// The longest name that is told apart.
const NAME: usize = 17;

const BARE_LINE_FEED: &str = "a line of the head ends without a carriage return";
const TWO_LENGTHS: &str = "Content-Length is given more than once";
const TWO_CODINGS: &str = "Transfer-Encoding is given more than once";
const LENGTH_AND_CODING: &str = "Content-Length and Transfer-Encoding exclude each other";
const NO_LENGTH: &str = "Content-Length is not a number";
const NO_END: &str = "the body of the request before has no clear end";

/// The first head of a connection that could be read in two ways: which request it is, and why. There is no second one,
/// because the connection is closed with its answer.
#[derive(Default)]
pub(crate) struct Verdict(OnceLock<(usize, &'static str)>);

impl Verdict {
    /// What is wrong with the head of the n-th request; the first is 1.
    pub fn of(&self, request: usize) -> Option<&'static str> {
        self.0.get().filter(|(first, _)| request >= *first).map(|(_, fault)| *fault)
    }
}

/// What the next byte belongs to.
#[derive(Default)]
enum Place {
    #[default]
    Head,
    /// So many bytes of a body are still to come.
    Body(u64),
    Chunks(Chunks),
    /// Nothing more is looked at.
    Lost,
}

/// What the value of a line is.
#[derive(Default, Clone, Copy)]
enum Field {
    #[default]
    Other,
    Length,
}

impl Line {
    /// Nothing of it has come.
    fn is_new(&self) -> bool {
        !self.has_begun && !self.after_return
    }
}

/// Whether a line that begins so can be one of interest, or an empty one.
fn is_of_interest(first: u8) -> bool {
    matches!(first, b'c' | b'C' | b't' | b'T' | b'\r' | b'\n')
}

/// Follows the lines of heads.
#[derive(Default)]
pub(crate) struct HeadWatch {
    place: Place,
    /// How many heads have ended.
    heads: usize,
    head: Head,
    line: Line,
}

/// What was seen of a head.
#[derive(Default)]
struct Head {
    has_begun: bool,
    fault: Option<&'static str>,
    lengths: u8,
    codings: u8,
    length: Option<u64>,
    length_has_ended: bool,
}

/// What was seen of a line.
#[derive(Default)]
struct Line {
    /// What it begins with, in lower case, as far as it is a name of interest.
    name: [u8; NAME],
    name_len: usize,
    /// Known after the colon.
    field: Option<Field>,
    has_begun: bool,
    after_return: bool,
}

impl HeadWatch {
    /// More bytes of the connection.
    pub fn feed(&mut self, mut bytes: &[u8], verdict: &Verdict) {
        while let Some((first, rest)) = bytes.split_first() {
            match &mut self.place {
                Place::Lost => return,
                // Of the rest of a line of no interest nothing matters but its end.
                Place::Head if matches!(self.line.field, Some(Field::Other)) => {
                    let end = memchr(b'\n', bytes);
                    let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
                    self.line.after_return =
                        line.last().map_or(self.line.after_return, |last| *last == b'\r');
                    if end.is_some() {
                        self.end_line(verdict);
                    }
                    bytes = rest.get(1..).unwrap_or_default();
                }
                Place::Head if self.line.is_new() && !is_of_interest(*first) => match memchr(b'\n', bytes) {
                    // Whole lines are stepped over; what comes in pieces is followed byte by byte.
                    Some(end) if end > 1 => {
                        self.line.has_begun = true;
                        self.line.after_return = bytes.get(end - 1) == Some(&b'\r');
                        self.end_line(verdict);
                        bytes = bytes.get(end + 1..).unwrap_or_default();
                    }
                    _ => {
                        bytes = rest;
                        self.head_byte(*first, verdict);
                    }
                },
                Place::Head => {
                    bytes = rest;
                    self.head_byte(*first, verdict);
                }
                Place::Body(left) => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= n as u64;
                    bytes = bytes.get(n..).unwrap_or_default();
                    if *left == 0 {
                        self.place = Place::Head;
                    }
                }
                Place::Chunks(chunks) => {
                    let (n, step) = chunks.feed(bytes);
                    bytes = bytes.get(n..).unwrap_or_default();
                    match step {
                        Step::Within => {}
                        Step::End => self.place = Place::Head,
                        Step::Lost => self.lose(self.heads + 1, NO_END, verdict),
                    }
                }
            }
        }
    }

    fn lose(&mut self, request: usize, fault: &'static str, verdict: &Verdict) {
        self.place = Place::Lost;
        let _ = verdict.0.set((request, fault));
    }

    fn head_byte(&mut self, byte: u8, verdict: &Verdict) {
        match byte {
            b'\n' => self.end_line(verdict),
            b'\r' => self.line.after_return = true,
            byte => {
                (self.line.after_return, self.line.has_begun) = (false, true);
                match self.line.field {
                    None => self.name_byte(byte),
                    Some(Field::Length) => self.head.length_byte(byte),
                    Some(Field::Other) => {}
                }
            }
        }
    }

    fn name_byte(&mut self, byte: u8) {
        let line = &mut self.line;
        match line.name.get_mut(line.name_len) {
            _ if byte == b':' => line.field = Some(self.head.named(line.name.get(..line.name_len))),
            Some(slot) => {
                *slot = byte.to_ascii_lowercase();
                line.name_len += 1;
            }
            // Longer than any name of interest.
            None => line.field = Some(Field::Other),
        }
    }

    fn end_line(&mut self, verdict: &Verdict) {
        let line = std::mem::take(&mut self.line);
        if !line.after_return {
            self.head.fault = Some(BARE_LINE_FEED);
        }
        if line.has_begun {
            self.head.has_begun = true;
        } else if self.head.has_begun {
            // Empty lines before a head belong to none; the one after it ends it.
            self.end_head(verdict);
        }
    }

    fn end_head(&mut self, verdict: &Verdict) {
        self.heads += 1;
        let head = std::mem::take(&mut self.head);
        match head.fault() {
            Some(fault) => self.lose(self.heads, fault, verdict),
            None if head.codings > 0 => self.place = Place::Chunks(Chunks::default()),
            None => match head.length {
                None | Some(0) => {}
                Some(length) => self.place = Place::Body(length),
            },
        }
    }
}

impl Head {
    fn named(&mut self, name: Option<&[u8]>) -> Field {
        match name {
            Some(b"content-length") => {
                self.lengths = self.lengths.saturating_add(1);
                return Field::Length;
            }
            Some(b"transfer-encoding") => self.codings = self.codings.saturating_add(1),
            _ => {}
        }
        Field::Other
    }

    /// A length is digits, with blanks around them.
    fn length_byte(&mut self, byte: u8) {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
        match (digit, byte) {
            (Some(digit), _) if !self.length_has_ended => {
                let length = self.length.unwrap_or(0).checked_mul(10).and_then(|n| n.checked_add(digit));
                self.length = length;
                if length.is_none() {
                    self.fault = Some(NO_LENGTH);
                }
            }
            (None, b' ' | b'\t') => self.length_has_ended = self.length.is_some(),
            _ => self.fault = Some(NO_LENGTH),
        }
    }

    fn fault(&self) -> Option<&'static str> {
        match (self.lengths, self.codings) {
            _ if self.fault == Some(BARE_LINE_FEED) => self.fault,
            (2.., _) => Some(TWO_LENGTHS),
            (1.., 1..) => Some(LENGTH_AND_CODING),
            (_, 2..) => Some(TWO_CODINGS),
            (1.., _) if self.length.is_none() => Some(NO_LENGTH),
            _ => self.fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first request that is refused.
    fn seen(bytes: &str) -> Option<usize> {
        let whole = Verdict::default();
        HeadWatch::default().feed(bytes.as_bytes(), &whole);
        let bytewise = Verdict::default();
        let mut watch = HeadWatch::default();
        bytes.bytes().for_each(|byte| watch.feed(&[byte], &bytewise));
        assert_eq!(bytewise.0.get(), whole.0.get());
        whole.0.get().map(|(request, _)| *request)
    }

    const WRONG: [&str; 9] = [
        "GET / HTTP/1.1\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\n",
        "\r\n\r\nGET / HTTP/1.1\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 5\r\nCONTENT-LENGTH: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ncontent-length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\ncontent-length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n",
    ];
    const GOOD: [&str; 5] = [
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length:  5 \r\nX-Content-Length: 6\r\n\r\na\nb\nc",
        "GET / HTTP/1.1\r\nX: content-length: 5\r\n\r\n",
        "\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\n\n\n\r\nA \r\n0123456789\r\n0\r\nT: a\nb\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];

    #[test]
    fn ambiguous_heads_are_told_and_others_are_not() {
        assert_eq!(seen(&GOOD.concat()), None);
        for wrong in WRONG {
            assert_eq!(seen(wrong), Some(1), "{wrong:?}");
        }
    }

    #[test]
    fn a_head_is_seen_behind_any_body() {
        for good in GOOD {
            for wrong in WRONG {
                assert_eq!(seen(&format!("{good}{wrong}")), Some(2), "{good:?} {wrong:?}");
            }
        }
    }

    #[test]
    fn nothing_is_a_head_behind_a_body_without_end() {
        for chunks in
            ["x\r\n", "1\nab", "1\r\na0\r\n\r\n", "0\r\n\rx", "ffffffffffffffffff\r\n", "\r\n", "1;a\n"]
        {
            let bytes = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
            assert_eq!(seen(&bytes), Some(2), "{chunks:?}");
        }
    }

    #[test]
    fn whoever_comes_before_is_not_to_blame() {
        let verdict = Verdict::default();
        HeadWatch::default().feed([GOOD[1], WRONG[0]].concat().as_bytes(), &verdict);
        assert_eq!(
            (verdict.of(1), verdict.of(2), verdict.of(3)),
            (None, Some(BARE_LINE_FEED), Some(BARE_LINE_FEED))
        );
    }
}
