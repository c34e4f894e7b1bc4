//! The newest bytes of the log in memory: [`Tail`], a ring of the buffers that were written.
//!
//! It exists so that consumers that keep up never read the disk: what they get are slices of the very buffers that the
//! appends were encoded into. Older entries are read from the file: see `read`. How much is kept depends on who reads: see
//! [`limit`].
//!
//! The one idea to know: a buffer is filled up to a page behind each piece, so it is pages that are counted. With few
//! senders a piece is one short message, and the rest of its page is memory all the same.

mod limit;

use crate::Lsn;
use crate::segment::PAGE;
use bytes::Bytes;
use limit::Limit;
use std::collections::VecDeque;

/// The memory that so many bytes keep.
fn held(len: usize) -> usize {
    len.next_multiple_of(PAGE as usize)
}

/// See the module.
pub(crate) struct Tail {
    pieces: VecDeque<(Lsn, Bytes)>,
    bytes: usize,
    limit: Limit,
}

impl Tail {
    /// Never keeps more than so many bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { pieces: VecDeque::new(), bytes: 0, limit: Limit::new(most) }
    }

    /// Adds the next piece, and lets go of the oldest ones above the limit.
    pub(crate) fn push(&mut self, lsn: Lsn, bytes: Bytes) {
        let new = held(bytes.len());
        self.limit.append(lsn, new);
        self.bytes += new;
        self.pieces.push_back((lsn, bytes));
        while self.bytes > self.limit.bytes() {
            let Some((_, oldest)) = self.pieces.pop_front() else { break };
            self.bytes -= held(oldest.len());
        }
    }

    /// The bytes at a position, when they are all here, for a reader who [asks](Tail::ask) for them.
    pub(crate) fn read(&mut self, lsn: Lsn, len: usize) -> Option<Bytes> {
        let bytes = self.get(lsn, len)?;
        self.ask(lsn, len);
        Some(bytes)
    }

    /// A reader wants bytes, here or not: what many want is kept.
    pub(crate) fn ask(&mut self, lsn: Lsn, len: usize) {
        self.limit.ask(lsn, held(len));
    }

    /// How many bytes are kept at the most, at present.
    pub(crate) fn limit(&self) -> usize {
        self.limit.bytes()
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
        let mut tail = Tail::new(8 * 2 * PAGE as usize);
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

    #[test]
    fn what_readers_come_back_for_is_kept() {
        let piece = Bytes::from(vec![0; PAGE as usize]);
        let mut tail = Tail::new(64 * PAGE as usize);
        let missed = |tail: &mut Tail, behind: u64, from: u64| {
            let mut missed = 0;
            for n in from..from + 200 {
                tail.push(n * PAGE, piece.clone());
                let lsn = n.saturating_sub(behind) * PAGE;
                if tail.read(lsn, 100).is_none() {
                    missed += 1;
                    tail.ask(lsn, 100);
                }
            }
            missed
        };
        assert_eq!(missed(&mut tail, 5, 0), 0);
        assert_eq!(tail.pieces.len(), 8);
        assert!((20..40).contains(&missed(&mut tail, 30, 200)), "until as much has come again");
        assert_eq!(missed(&mut tail, 30, 400), 0);
        assert_eq!(missed(&mut tail, 100, 600), 200);
        for n in 800..2000 {
            tail.push(n * PAGE, piece.clone());
        }
        assert_eq!((tail.pieces.len(), tail.limit()), (8, 8 * PAGE as usize));
    }
}
