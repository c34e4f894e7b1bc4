//! Heart-beats: what was agreed, when a line feed is due, when a client is given up.
//!
//! The one idea to know: any byte is a sign of life, so deadlines follow from the last read and the last write, and a
//! busy connection sends no beats at all.

use sluice_model::units::Span;
use std::time::Duration;
use tokio::time::Instant;

/// The longest number a client may write; 11 days are long enough.
const MAX_DIGITS: usize = 9;

/// What a client wrote: how often it can send, and how often it wants to be sent to. Zero is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wish {
    pub can_send: u64,
    pub wants: u64,
}

/// The agreed heart-beats of one connection.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// Milliseconds: how often we send, and how often the client does; zero is never.
    sends: u64,
    expects: u64,
    tolerance: u32,
    /// When a beat was last tried: a full outbox is no reason to try at once again.
    tried: Instant,
    /// The client's silence until then was ours: we did not read.
    excused: Instant,
}

/// What a deadline brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// Send a line feed.
    Beat,
    /// Give the client up.
    Dead,
}

impl Wish {
    /// Reads the header `heart-beat`.
    pub fn parse(text: &str) -> Option<Self> {
        let (can_send, wants) = text.split_once(',')?;
        let number = |text: &str| {
            let text = text.trim();
            let fits = (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            fits.then(|| text.parse().ok()).flatten()
        };
        Some(Self { can_send: number(can_send)?, wants: number(wants)? })
    }
}

impl Heartbeat {
    /// Answers a wish: the same, but no interval below `floor`.
    pub fn agree(wish: Wish, floor: Span, tolerance: u32) -> Self {
        let raise = |interval: u64| if interval == 0 { 0 } else { interval.max(floor.as_millis()) };
        let now = Instant::now();
        let tolerance = tolerance.max(100);
        Self { sends: raise(wish.wants), expects: raise(wish.can_send), tolerance, tried: now, excused: now }
    }

    /// The header of CONNECTED.
    pub fn header(&self) -> String {
        format!("{},{}", self.sends, self.expects)
    }

    /// When something is due.
    pub fn next(&self, last_read: Instant, last_write: Instant) -> Option<Instant> {
        let beat = self.beat_at(last_write);
        let end = self.dead_at(last_read);
        beat.into_iter().chain(end).min()
    }

    /// What is due now. `busy`: requests of this client are still under way, so we may not have read what it sent.
    pub fn due(&mut self, now: Instant, last_read: Instant, last_write: Instant, busy: bool) -> Due {
        if self.dead_at(last_read).is_some_and(|at| at <= now) {
            if !busy {
                return Due::Dead;
            }
            self.excused = now;
        }
        if self.beat_at(last_write).is_some_and(|at| at <= now) {
            self.tried = now;
            return Due::Beat;
        }
        Due::Nothing
    }

    /// Half an interval of quiet, so that the client has its beat in time however its clock ticks.
    fn beat_at(&self, last_write: Instant) -> Option<Instant> {
        (self.sends > 0).then(|| last_write.max(self.tried) + Duration::from_millis(self.sends.div_ceil(2)))
    }

    fn dead_at(&self, last_read: Instant) -> Option<Instant> {
        let patience = self.expects * u64::from(self.tolerance) / 100;
        (self.expects > 0).then(|| last_read.max(self.excused) + Duration::from_millis(patience))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Span = Span::millis(500);

    #[test]
    fn wishes_are_two_short_numbers() {
        assert_eq!(Wish::parse("0,0"), Some(Wish::default()));
        assert_eq!(Wish::parse("1000, 2000"), Some(Wish { can_send: 1000, wants: 2000 }));
        for wrong in ["", "1000", "1000,", "a,b", "-1,0", "1,2,3", "1234567890,0", "1.5,0"] {
            assert_eq!(Wish::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn answers_mirror_wishes_above_the_floor() {
        let answer = |text| Heartbeat::agree(Wish::parse(text).unwrap(), FLOOR, 200).header();
        assert_eq!(answer("1000,2000"), "2000,1000");
        assert_eq!(answer("0,10"), "500,0");
        assert_eq!(answer("0,0"), "0,0");
    }

    #[test]
    fn beats_come_at_half_time_and_death_at_double_time() {
        let mut beat = Heartbeat::agree(Wish { can_send: 1000, wants: 1000 }, FLOOR, 200);
        let start = beat.tried;
        let ms = |n| start + Duration::from_millis(n);
        assert_eq!(beat.next(start, start), Some(ms(500)));
        assert_eq!(beat.due(ms(499), start, start, false), Due::Nothing);
        assert_eq!(beat.due(ms(500), start, start, false), Due::Beat);
        assert_eq!(beat.next(start, start), Some(ms(1000)), "a beat that found no room is not tried at once");
        assert_eq!(beat.due(ms(2000), start, ms(1900), false), Due::Dead);
        assert_eq!(beat.due(ms(2000), start, ms(1900), true), Due::Nothing);
        assert_eq!(beat.next(start, ms(10_000)), Some(ms(4000)), "silence that was ours is excused");
        assert_eq!(beat.due(ms(3999), ms(2500), ms(3999), false), Due::Nothing);
    }

    #[test]
    fn zero_is_never() {
        let beat = Heartbeat::agree(Wish::default(), FLOOR, 200);
        assert_eq!(beat.next(beat.tried, beat.tried), None);
    }
}
