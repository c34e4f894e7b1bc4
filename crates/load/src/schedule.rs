//! The open loop's schedule: when each request is meant to be sent, and who is free to send it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Requests at a fixed rate, whatever becomes of those before.
pub(crate) struct Schedule {
    began: Instant,
    per_second: f64,
    /// How many were due so far.
    due: u64,
    /// Intended times of those that nobody was free to send.
    waiting: VecDeque<Instant>,
    /// Places for a request, by connection.
    free: VecDeque<usize>,
}

impl Schedule {
    /// `depth` places on each connection, in turn.
    pub fn new(began: Instant, per_second: f64, connections: usize, depth: usize) -> Self {
        let free = (0..depth).flat_map(|_| 0..connections).collect();
        Self { began, per_second, due: 0, waiting: VecDeque::new(), free }
    }

    /// When the next request is due.
    pub fn next(&self) -> Instant {
        self.began + Duration::from_secs_f64(self.due as f64 / self.per_second)
    }

    /// Notes what is due by now.
    pub fn come_due(&mut self, now: Instant) {
        while self.next() <= now {
            self.waiting.push_back(self.next());
            self.due += 1;
        }
    }

    /// A connection that is free, and the intended time of the request that has waited the longest.
    pub fn take(&mut self) -> Option<(usize, Instant)> {
        let connection = *self.free.front()?;
        let intended = self.waiting.pop_front()?;
        self.free.pop_front();
        Some((connection, intended))
    }

    /// A request on this connection has been answered.
    pub fn give_back(&mut self, connection: usize) {
        self.free.push_back(connection);
    }

    /// Those that were due and are not sent.
    pub fn waiting(&self) -> impl Iterator<Item = Instant> + '_ {
        self.waiting.iter().copied()
    }

    pub fn due(&self) -> u64 {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_could_send_keeps_its_intended_time() {
        let began = Instant::now();
        let mut schedule = Schedule::new(began, 1000.0, 1, 1);
        schedule.come_due(began + Duration::from_micros(2500));
        assert_eq!(schedule.due(), 3);
        assert_eq!(schedule.take(), Some((0, began)));
        assert_eq!(schedule.take(), None, "the only place is taken");
        schedule.give_back(0);
        assert_eq!(schedule.take(), Some((0, began + Duration::from_millis(1))));
        assert_eq!(schedule.waiting().collect::<Vec<_>>(), [began + Duration::from_millis(2)]);
    }
}
