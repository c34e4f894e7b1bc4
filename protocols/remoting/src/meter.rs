//! How much there was in the last seconds and days.
//!
//! The one idea to know: a slot for each of the last ten minutes' seconds, written when something is counted, cleared
//! when its second comes round again. So counting costs a short lock and nothing ticks.

use parking_lot::Mutex;
use sluice_model::Millis;

const SLOTS: usize = 600;
const SECOND: Millis = 1000;
const DAY: Millis = 24 * 3600 * SECOND;

/// Counts.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Counted>);

#[derive(Debug)]
struct Counted {
    /// The second that each slot speaks of, and how much there was.
    slots: Vec<(u64, u64)>,
    total: u64,
    /// The day of the last count, and what there was before it and before the day before.
    day: u64,
    before_today: u64,
    before_yesterday: u64,
}

impl Default for Counted {
    fn default() -> Self {
        Self { slots: vec![(0, 0); SLOTS], total: 0, day: 0, before_today: 0, before_yesterday: 0 }
    }
}

/// What a look at a meter shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// In the last 10 seconds, minute, 10 minutes.
    pub(crate) last: [u64; 3],
    /// Since the start.
    pub(crate) total: u64,
    /// Of that, before this day (UTC), and before the one before.
    pub(crate) before_today: u64,
    pub(crate) before_yesterday: u64,
}

impl Meter {
    /// So many more.
    pub(crate) fn add(&self, count: u64, now: Millis) {
        let mut counted = self.0.lock();
        counted.turn_to(now / DAY);
        counted.total += count;
        let second = now / SECOND;
        if let Some(slot) = counted.slots.get_mut(second as usize % SLOTS) {
            *slot = if slot.0 == second { (second, slot.1 + count) } else { (second, count) };
        }
    }

    /// What there is to see.
    pub(crate) fn look(&self, now: Millis) -> Look {
        let mut counted = self.0.lock();
        counted.turn_to(now / DAY);
        let second = now / SECOND;
        let within = |seconds: u64| {
            let recent = counted.slots.iter().filter(|(at, _)| *at <= second && second - at < seconds);
            recent.map(|(_, count)| count).sum()
        };
        Look {
            last: [within(10), within(60), within(SLOTS as u64)],
            total: counted.total,
            before_today: counted.before_today,
            before_yesterday: counted.before_yesterday,
        }
    }
}

impl Counted {
    fn turn_to(&mut self, day: u64) {
        if day != self.day {
            self.before_yesterday = if day == self.day + 1 { self.before_today } else { self.total };
            self.before_today = self.total;
            self.day = day;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_is_not_shown_as_recent() {
        let meter = Meter::default();
        let noon = 20_000 * DAY + DAY / 2;
        meter.add(3, noon);
        meter.add(4, noon + 30 * SECOND);
        meter.add(5, noon + 39 * SECOND);
        assert_eq!(meter.look(noon + 39 * SECOND).last, [9, 12, 12]);
        assert_eq!(meter.look(noon + 70 * SECOND).last, [0, 9, 12]);
        // The slot of the first second comes round again.
        meter.add(1, noon + 600 * SECOND);
        assert_eq!(meter.look(noon + 600 * SECOND).last, [1, 1, 10]);
    }

    #[test]
    fn days_begin_at_midnight() {
        let meter = Meter::default();
        let day = 20_000 * DAY;
        meter.add(2, day + 1);
        meter.add(3, day + DAY);
        let look = meter.look(day + DAY + 1);
        assert_eq!((look.total, look.before_today, look.before_yesterday), (5, 2, 0));
        let look = meter.look(day + 2 * DAY);
        assert_eq!((look.total, look.before_today, look.before_yesterday), (5, 5, 2));
        let look = meter.look(day + 9 * DAY);
        assert_eq!((look.before_today, look.before_yesterday), (5, 5));
    }
}
