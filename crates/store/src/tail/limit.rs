//! How much of the tail is worth its memory: [`Limit`].
//!
//! It exists because readers that keep up need a few megabytes, and most logs have no others: what is kept for those that
//! fall a little behind is kept only where there are some. The one idea to know: what readers ask for behind the part that is
//! kept in any case raises the limit by as many bytes, whether it was there or not, and each append lowers it a little. So
//! a part that is read stays, and grows as fast as it is asked for, and one that nobody reads goes.
//!
//! Time is counted in bytes appended: an idle log keeps what it has, and the same calls always have the same effect.

use crate::Lsn;
use std::collections::VecDeque;

/// The part of the most that is kept in any case.
const LEAST: usize = 8;
/// A part that is kept for readers pays when at least one in so many of its bytes is asked for.
const WORTH: usize = 16;
/// Positions are known to this part of the most.
const GRAIN: usize = 64;

/// See the module.
pub(super) struct Limit {
    least: usize,
    most: usize,
    now: usize,
    /// All bytes ever kept.
    appended: u64,
    /// Positions, and what had been appended before them: oldest first, as far back as the limit may reach.
    marks: VecDeque<(Lsn, u64)>,
    /// What lies from here on is far enough within the least.
    near: Lsn,
}

impl Limit {
    /// At most so many bytes are ever kept.
    pub(super) fn new(most: usize) -> Self {
        let least = most / LEAST;
        Self { least, most, now: least, appended: 0, marks: VecDeque::new(), near: 0 }
    }

    /// How many bytes are to be kept now.
    pub(super) fn bytes(&self) -> usize {
        self.now
    }

    /// Bytes come to be kept, from a position on.
    pub(super) fn append(&mut self, lsn: Lsn, bytes: usize) {
        let grain = (self.most / GRAIN) as u64;
        let before = self.appended;
        self.appended += bytes as u64;
        if self.marks.back().is_none_or(|(_, at)| before - at >= grain) {
            self.mark(lsn, before);
        }
        self.now = self.now.saturating_sub(bytes / WORTH).max(self.least);
    }

    fn mark(&mut self, lsn: Lsn, at: u64) {
        self.marks.push_back((lsn, at));
        // The last one that is too far back stays, for those that lie behind it.
        while self.marks.get(1).is_some_and(|(_, at)| self.behind(*at) > self.most) {
            self.marks.pop_front();
        }
        let far = self.marks.partition_point(|(_, at)| with_room(self.behind(*at)) > self.least);
        self.near = self.marks.get(far).map_or(Lsn::MAX, |(lsn, _)| *lsn);
    }

    /// How many bytes have to be kept for what came when so much had been appended.
    fn behind(&self, at: u64) -> usize {
        usize::try_from(self.appended - at).unwrap_or(usize::MAX)
    }

    /// Somebody reads so many bytes at a position.
    pub(super) fn ask(&mut self, lsn: Lsn, bytes: usize) {
        if lsn >= self.near {
            return;
        }
        let before = self.marks.partition_point(|(at, _)| *at <= lsn);
        let Some((_, at)) = before.checked_sub(1).and_then(|n| self.marks.get(n)) else { return };
        let behind = self.behind(*at);
        if behind <= self.most {
            let enough = with_room(behind).min(self.most);
            self.now = self.now.max(enough.min(self.now + bytes));
        }
    }
}

/// Whoever is so far behind is a little further behind the next time.
fn with_room(bytes: usize) -> usize {
    bytes.saturating_add(bytes / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 64 << 20;
    const PIECE: usize = 64 << 10;

    struct Log {
        limit: Limit,
        end: Lsn,
    }

    impl Log {
        fn new() -> Self {
            Self { limit: Limit::new(MOST), end: 4096 }
        }

        fn append(&mut self, bytes: usize) {
            for _ in 0..bytes / PIECE {
                self.limit.append(self.end, PIECE);
                self.end += PIECE as u64;
            }
        }

        /// Appends, and each time reads what lies so far behind.
        fn read_behind(&mut self, behind: usize, bytes: usize) {
            for _ in 0..bytes / PIECE {
                self.append(PIECE);
                self.limit.ask(self.end - behind as u64, PIECE);
            }
        }
    }

    #[test]
    fn it_is_small_while_readers_keep_up() {
        let mut log = Log::new();
        log.append(MOST);
        for behind in [PIECE, 1 << 20, 5 << 20] {
            log.read_behind(behind, 2 * MOST);
            assert_eq!(log.limit.bytes(), MOST / LEAST, "{behind}");
        }
    }

    #[test]
    fn it_reaches_those_who_are_a_little_behind_and_no_further() {
        for behind in [8 << 20, 20 << 20, 40 << 20, 60 << 20] {
            let mut log = Log::new();
            log.append(MOST);
            // So much has to be appended before it can be in memory, whatever the limit is.
            log.read_behind(behind, 2 * behind);
            let limit = log.limit.bytes();
            assert!((behind..=MOST.min(2 * behind)).contains(&limit), "{behind} {limit}");
            log.read_behind(behind, 4 * MOST);
            assert!(log.limit.bytes() >= behind, "it stays for as long as it is wanted");
        }
    }

    #[test]
    fn who_is_too_far_behind_or_asks_for_little_changes_nothing() {
        let mut log = Log::new();
        log.append(4 * MOST);
        log.read_behind(MOST + (2 << 20), MOST);
        log.limit.ask(0, 1 << 20);
        log.limit.ask(4095, 1 << 20);
        assert_eq!(log.limit.bytes(), MOST / LEAST);
        for _ in 0..100 {
            log.append(1 << 20);
            log.limit.ask(log.end - (30 << 20), 4096);
        }
        assert!(log.limit.bytes() <= MOST / LEAST + 4096);
    }

    #[test]
    fn it_goes_back_when_nobody_wants_it_any_more() {
        let mut log = Log::new();
        log.append(MOST);
        log.read_behind(60 << 20, 2 * MOST);
        let high = log.limit.bytes();
        log.append(MOST);
        assert!((high - MOST / WORTH - PIECE..high).contains(&log.limit.bytes()), "not at once");
        log.append(WORTH * MOST);
        assert_eq!(log.limit.bytes(), MOST / LEAST);
    }

    #[test]
    fn a_piece_that_is_larger_than_the_least_counts_at_once() {
        let mut limit = Limit::new(MOST);
        for n in 0..10 {
            limit.append(n * (20 << 20), 20 << 20);
            limit.ask(n * (20 << 20), 20 << 20);
        }
        assert!((20 << 20..=MOST).contains(&limit.bytes()));
    }

    #[test]
    fn it_remembers_little() {
        let mut log = Log::new();
        log.append(10 * MOST);
        assert!(log.limit.marks.len() <= GRAIN + 2);
        let mut none = Limit::new(0);
        none.append(0, 4096);
        none.append(4096, 4096);
        none.ask(0, 4096);
        assert_eq!((none.bytes(), none.marks.len()), (0, 1));
    }
}
