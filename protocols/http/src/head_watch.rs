//! What a head looks like on the wire, before a lenient parser has made sense of it.
//!
//! Two servers in a row that read the same bytes differently let one client put words into another's mouth (request
//! smuggling). Hyper refuses most of what is ambiguous, but takes a bare line feed for a line end, one of two equal
//! lengths, and a chunked body over a `Content-Length` that it does not show afterwards. The one idea to know: the bytes
//! of a head are looked at as they pass, without being kept, and whoever answers the request asks what was seen.

use std::sync::atomic::{AtomicU8, Ordering};

/// The longest name that is told apart.
const NAME: usize = 17;

const BARE_LINE_FEED: u8 = 2;
const TWO_LENGTHS: u8 = 4;
const LENGTH_AND_CODING: u8 = 8;

/// What was seen of the last whole head; taken by who answers it.
#[derive(Default)]
pub(crate) struct Verdict(AtomicU8);

impl Verdict {
    /// What is wrong with the head that is being answered. One that came while another was being answered was not seen.
    pub fn take(&self) -> Option<&'static str> {
        let seen = self.0.swap(0, Ordering::AcqRel);
        if seen & BARE_LINE_FEED != 0 {
            Some("a line of the head ends without a carriage return")
        } else if seen & TWO_LENGTHS != 0 {
            Some("Content-Length is given more than once")
        } else if seen & LENGTH_AND_CODING != 0 {
            Some("Content-Length and Transfer-Encoding exclude each other")
        } else {
            None
        }
    }
}

/// Follows the lines of a head.
#[derive(Default)]
pub(crate) struct HeadWatch {
    watching: bool,
    faults: u8,
    lengths: u8,
    codings: u8,
    /// The name that the line begins with, in lower case, as far as it is one of interest.
    name: [u8; NAME],
    name_len: usize,
    has_name: bool,
    is_empty: bool,
    after_return: bool,
}

impl HeadWatch {
    /// The next byte is the first of a head.
    pub fn begin(&mut self) {
        *self = Self { watching: true, is_empty: true, ..Self::default() };
    }

    /// More bytes of it; what follows the head is not looked at.
    pub fn feed(&mut self, bytes: &[u8], verdict: &Verdict) {
        for byte in bytes {
            if !self.watching {
                return;
            }
            match byte {
                b'\n' => self.end_line(verdict),
                b'\r' => self.after_return = true,
                byte => {
                    self.after_return = false;
                    self.is_empty = false;
                    self.name_byte(*byte);
                }
            }
        }
    }

    fn name_byte(&mut self, byte: u8) {
        if self.has_name {
            return;
        }
        match self.name.get_mut(self.name_len) {
            _ if byte == b':' => self.has_name = true,
            Some(slot) => {
                *slot = byte.to_ascii_lowercase();
                self.name_len += 1;
            }
            // Longer than any name of interest.
            None => self.name_len = NAME + 1,
        }
    }

    fn end_line(&mut self, verdict: &Verdict) {
        if !self.after_return {
            self.faults |= BARE_LINE_FEED;
        }
        match self.name.get(..self.name_len).filter(|_| self.has_name) {
            Some(b"content-length") => self.lengths = self.lengths.saturating_add(1),
            Some(b"transfer-encoding") => self.codings = self.codings.saturating_add(1),
            _ => {}
        }
        if self.is_empty {
            self.end_head(verdict);
        }
        (self.name_len, self.has_name, self.is_empty, self.after_return) = (0, false, true, false);
    }

    fn end_head(&mut self, verdict: &Verdict) {
        self.watching = false;
        let two = if self.lengths > 1 { TWO_LENGTHS } else { 0 };
        let both = if self.lengths > 0 && self.codings > 0 { LENGTH_AND_CODING } else { 0 };
        verdict.0.store(self.faults | two | both, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(head: &str) -> Option<&'static str> {
        let whole = Verdict::default();
        let mut watch = HeadWatch::default();
        watch.begin();
        watch.feed(head.as_bytes(), &whole);
        let bytewise = Verdict::default();
        watch.begin();
        head.bytes().for_each(|byte| watch.feed(&[byte], &bytewise));
        let found = whole.take();
        assert_eq!(bytewise.take(), found);
        found
    }

    #[test]
    fn ambiguous_heads_are_told_and_others_are_not() {
        let good = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX-Content-Length: 6\r\n\r\na\nb\nc";
        assert_eq!(seen(good), None);
        assert_eq!(
            seen("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX: content-length: 5\r\n\r\n"),
            None
        );
        for wrong in [
            "GET / HTTP/1.1\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n\n",
            "GET / HTTP/1.1\r\nContent-Length: 5\r\nCONTENT-LENGTH: 5\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ncontent-length: 5\r\n\r\n",
            "GET / HTTP/1.1\r\ncontent-length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(seen(wrong).is_some(), "{wrong:?}");
        }
    }
}
