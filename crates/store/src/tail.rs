//! The newest bytes of the log in memory: [`Tail`], a ring of the buffers that were written.
//!
//! It exists so that consumers that keep up never read the disk: what they get are slices of the very buffers that the
//! appends were encoded into. Older entries are read from the file: see `cold`.
//!
//! The one idea to know: a buffer is filled up to a page behind each piece, so it is pages that are counted. With few
//! senders a piece is one short message, and the rest of its page is memory all the same.

use crate::Lsn;
use crate::segment::PAGE;
use bytes::Bytes;
use std::collections::VecDeque;

/// The memory that a piece keeps.
fn held(piece: &Bytes) -> usize {
    piece.len().next_multiple_of(PAGE as usize)
}

/// See the module.
pub(crate) struct Tail {
    pieces: VecDeque<(Lsn, Bytes)>,
    bytes: usize,
    limit: usize,
}

impl Tail {
    pub(crate) fn new(limit: usize) -> Self {
        Self { pieces: VecDeque::new(), bytes: 0, limit }
    }

    /// Adds the next piece, and lets go of the oldest ones above the limit.
    pub(crate) fn push(&mut self, lsn: Lsn, bytes: Bytes) {
        self.bytes += held(&bytes);
        self.pieces.push_back((lsn, bytes));
        while self.bytes > self.limit {
            let Some((_, oldest)) = self.pieces.pop_front() else { break };
            self.bytes -= held(&oldest);
        }
    }

    /// The bytes at a position, when they are all here.
    pub(crate) fn get(&self, lsn: Lsn, len: usize) -> Option<Bytes> {
        let behind = self.pieces.partition_point(|(start, _)| *start <= lsn);
        let (start, piece) = self.pieces.get(behind.checked_sub(1)?)?;
        let at = usize::try_from(lsn - start).ok()?;
        let end = at.checked_add(len).filter(|end| *end <= piece.len())?;
        Some(piece.slice(at..end))
    }

    /// The oldest position that is here; everything kept by anyone when nothing is.
    pub(crate) fn first(&self) -> Option<Lsn> {
        self.pieces.front().map(|(lsn, _)| *lsn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_come_from_one_piece_and_the_oldest_go_first() {
        let mut tail = Tail::new(2 * PAGE as usize);
        tail.push(0, Bytes::from_static(b"01234567"));
        tail.push(100, Bytes::from_static(b"abcdefgh"));
        assert_eq!(tail.get(2, 3).unwrap(), "234");
        assert_eq!(tail.get(104, 4).unwrap(), "efgh");
        for (lsn, len) in [(6, 3), (50, 1), (99, 2), (106, 3), (200, 1)] {
            assert_eq!(tail.get(lsn, len), None, "{lsn} {len}");
        }
        tail.push(108, Bytes::from_static(b"x"));
        assert_eq!(tail.get(2, 3), None);
        assert_eq!(tail.first(), Some(100));
    }
}
