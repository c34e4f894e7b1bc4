//! How far one group is on one queue: a cursor, and a window of deliveries below it that are not settled.
//!
//! ```text
//!   consumed …………|  window: leased, waiting or ready cells, consumed gaps  |  not yet delivered ……
//!            committed                                                   next
//! ```
//!
//! An offset in the window without a cell is consumed, so `committed` is the first cell, or `next`.

use super::window::{Cell, Window};
use sluice_model::{Millis, Offset};

/// When a lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// At this time.
    Time(Millis),
    /// When this holder is dropped.
    Holder(u64),
}

/// A cell as a checkpoint keeps it: offset, attempt, and when it is visible again. A lease that ends with its holder is
/// visible at once after a restart.
pub(crate) type SavedCell = (Offset, u32, Millis, u64);

/// A group's progress on one queue. Of the many that there are most have no window, and must be small.
#[derive(Debug, Default)]
pub(crate) struct GroupQueue {
    next: Offset,
    /// Nothing while it is empty.
    window: Option<Box<Window>>,
    marks: Marks,
}

/// When something was consumed last, 0 when nothing was, and whether somebody has leased whole ordering groups since the
/// start, in one word.
#[derive(Debug, Default, Clone, Copy)]
struct Marks(u64);

impl Marks {
    fn consumed_at(self) -> Millis {
        self.0 >> 1
    }

    fn consumed(&mut self, at: Millis) {
        self.0 = at.max(self.consumed_at()) << 1 | self.0 & 1;
    }
}

impl GroupQueue {
    pub(crate) fn starting_at(next: Offset) -> Self {
        Self { next, ..Self::default() }
    }

    /// Everything below is consumed.
    pub(crate) fn committed(&self) -> Offset {
        self.window.as_ref().and_then(|window| window.first()).unwrap_or(self.next)
    }

    /// The first offset never delivered.
    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    /// Somebody has a delivery under lease at this time.
    pub(crate) fn is_leased(&self, now: Millis) -> bool {
        let holds = |cell: &Cell| match cell {
            Cell::Leased { until, .. } => *until > now,
            Cell::Held { .. } => true,
            Cell::Waiting { .. } => false,
        };
        self.in_flight() > 0 && self.cells().any(|(_, cell)| holds(cell))
    }

    fn cells(&self) -> impl Iterator<Item = (Offset, &Cell)> {
        self.window.iter().flat_map(|window| window.iter())
    }

    fn cell(&self, offset: Offset) -> Option<&Cell> {
        self.window.as_ref()?.get(offset)
    }

    fn put(&mut self, offset: Offset, cell: Cell) {
        self.window.get_or_insert_default().insert(offset, cell);
    }

    /// When something was consumed last, as far as it is remembered.
    pub(crate) fn consumed_at(&self) -> Option<Millis> {
        Some(self.marks.consumed_at()).filter(|at| *at > 0)
    }

    /// Something was consumed at this time.
    pub(crate) fn consumed(&mut self, at: Millis) {
        self.marks.consumed(at);
    }

    /// Somebody has leased whole ordering groups since the start: such a one may wait for a settlement.
    pub(crate) fn is_in_order(&self) -> bool {
        self.marks.0 & 1 == 1
    }

    /// Somebody leases whole ordering groups.
    pub(crate) fn leased_in_order(&mut self) {
        self.marks.0 |= 1;
    }

    /// Deliveries leased or waiting: what bounds the window.
    pub(crate) fn window(&self) -> usize {
        self.window.as_ref().map_or(0, |window| window.len())
    }

    /// Deliveries that consumers hold at this moment.
    pub(crate) fn in_flight(&self) -> usize {
        self.window.as_ref().map_or(0, |window| window.leased())
    }

    /// The first cells that may be delivered again at `now`, with the number of deliveries so far.
    pub(crate) fn ready(&mut self, now: Millis, limit: usize) -> Vec<(Offset, u32)> {
        let Some(window) = &mut self.window else { return Vec::new() };
        window.come_back(now);
        window.ready().take(limit).map(|(offset, cell)| (offset, cell.attempt())).collect()
    }

    /// When the next cell becomes deliverable that is not yet.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.window.as_ref()?.next_due()
    }

    /// True while this cell may be delivered again.
    pub(crate) fn is_ready(&self, offset: Offset) -> bool {
        self.window.as_ref().is_some_and(|window| window.is_ready(offset))
    }

    /// Somebody has a delivery from an offset on, or it waits for its time.
    pub(crate) fn is_out_from(&self, offset: Offset) -> bool {
        self.window.as_ref().is_some_and(|window| window.is_out_from(offset))
    }

    /// How often an unsettled delivery has been made.
    pub(crate) fn attempts(&self, offset: Offset) -> Option<u32> {
        self.cell(offset).map(Cell::attempt)
    }

    /// Everything below `offset` is consumed, and nothing from it on.
    pub(crate) fn set(&mut self, offset: Offset) {
        let is_back = offset <= self.next;
        let gone: Vec<_> = self.cells().map(|(o, _)| o).filter(|o| *o < offset || is_back).collect();
        gone.into_iter().for_each(|o| self.settle(o));
        self.next = offset;
    }

    /// Leases a delivery; `attempt` counts this one.
    pub(crate) fn lease(&mut self, offset: Offset, attempt: u32, lease: u64, until: Until) {
        let cell = match until {
            Until::Time(until) => Cell::Leased { attempt, lease, until },
            Until::Holder(holder) => Cell::Held { attempt, lease, holder },
        };
        self.put(offset, cell);
    }

    /// Moves the cursor on; offsets passed over without a cell count as consumed.
    pub(crate) fn advance(&mut self, next: Offset) {
        self.next = self.next.max(next);
    }

    /// Makes a delivery visible again at a time.
    pub(crate) fn put_back(&mut self, offset: Offset, attempt: u32, visible_at: Millis) {
        self.put(offset, Cell::Waiting { attempt, visible_at });
    }

    /// Extends a lease under a new id; the old one stays good until its own end.
    pub(crate) fn extend(&mut self, offset: Offset, lease: u64, until: Millis) {
        let Some(window) = &mut self.window else { return };
        let Some(cell) = window.get(offset) else { return };
        let earlier = match cell {
            Cell::Leased { lease, until, .. } => Some((*lease, *until)),
            _ => None,
        };
        let attempt = cell.attempt();
        window.extend(offset, Cell::Leased { attempt, lease, until }, earlier);
    }

    /// The delivery is consumed.
    pub(crate) fn settle(&mut self, offset: Offset) {
        let Some(window) = &mut self.window else { return };
        window.remove(offset);
        if window.len() == 0 {
            self.window = None;
        }
    }

    /// The number of deliveries so far, when this lease is the current one and has not ended.
    pub(crate) fn held(&self, offset: Offset, lease: u64, now: Millis) -> Option<u32> {
        let window = self.window.as_ref()?;
        let cell = window.get(offset)?;
        let good = match cell {
            Cell::Held { lease: current, .. } => *current == lease,
            Cell::Leased { lease: current, until, .. } if *current == lease => *until > now,
            Cell::Leased { .. } => {
                window.earlier(offset).is_some_and(|(id, until)| id == lease && until > now)
            }
            Cell::Waiting { .. } => false,
        };
        good.then_some(cell.attempt())
    }

    /// The cells that a holder holds, with the number of deliveries so far.
    pub(crate) fn held_by(&self, by: u64) -> Vec<(Offset, u32)> {
        let held = |cell: &Cell| matches!(cell, Cell::Held { holder, .. } if *holder == by);
        self.cells().filter(|(_, cell)| held(cell)).map(|(offset, cell)| (offset, cell.attempt())).collect()
    }

    /// What a checkpoint keeps: the cursor and the cells.
    pub(crate) fn save(&self) -> (Offset, Vec<SavedCell>) {
        let cells = self.cells().map(|(offset, cell)| match *cell {
            Cell::Leased { attempt, lease, until } => (offset, attempt, until, lease),
            Cell::Held { attempt, .. } => (offset, attempt, 0, 0),
            Cell::Waiting { attempt, visible_at } => (offset, attempt, visible_at, 0),
        });
        (self.next, cells.collect())
    }

    pub(crate) fn restore(next: Offset, cells: Vec<SavedCell>) -> Self {
        let mut queue = Self::starting_at(next);
        for (offset, attempt, time, lease) in cells {
            match lease {
                0 => queue.put_back(offset, attempt, time),
                _ => queue.lease(offset, attempt, lease, Until::Time(time)),
            }
        }
        queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_follows_the_first_unsettled_delivery() {
        let mut q = GroupQueue::starting_at(10);
        for offset in 10..13 {
            q.lease(offset, 1, 7, Until::Time(100));
        }
        q.advance(13);
        q.settle(11);
        assert_eq!((q.committed(), q.in_flight()), (10, 2));
        q.settle(10);
        assert_eq!(q.committed(), 12);
        q.settle(12);
        assert_eq!((q.committed(), q.in_flight()), (13, 0));
    }

    #[test]
    fn a_lease_ends_at_its_time_and_no_sooner() {
        let mut q = GroupQueue::starting_at(0);
        q.lease(0, 1, 7, Until::Time(100));
        q.advance(1);
        assert!(q.ready(99, 10).is_empty());
        assert_eq!(q.held(0, 7, 99), Some(1));
        assert_eq!(q.held(0, 7, 100), None);
        assert_eq!(q.ready(100, 10), [(0, 1)]);
        q.lease(0, 2, 8, Until::Time(200));
        assert_eq!(q.held(0, 7, 150), None, "an earlier delivery's handle is worthless");
        assert_eq!(q.held(0, 8, 150), Some(2));
        assert!(q.ready(150, 10).is_empty());
    }

    #[test]
    fn an_extended_lease_keeps_its_old_handle_until_its_own_end() {
        let mut q = GroupQueue::starting_at(0);
        q.lease(0, 1, 7, Until::Time(100));
        q.extend(0, 8, 300);
        assert_eq!(q.held(0, 7, 99), Some(1));
        assert_eq!(q.held(0, 7, 100), None);
        assert_eq!(q.held(0, 8, 299), Some(1));
        assert!(q.ready(299, 10).is_empty());
        assert_eq!(q.ready(300, 10), [(0, 1)]);
    }

    #[test]
    fn a_rewind_forgets_the_window() {
        let mut q = GroupQueue::starting_at(5);
        q.lease(5, 1, 7, Until::Holder(1));
        q.put_back(6, 1, 50);
        q.advance(7);
        q.set(2);
        assert_eq!((q.committed(), q.next(), q.window(), q.in_flight()), (2, 2, 0, 0));
        assert_eq!(q.next_due(), None);
    }

    #[test]
    fn what_has_no_window_is_small() {
        assert_eq!(size_of::<GroupQueue>(), 24);
        let mut q = GroupQueue::starting_at(5);
        q.consumed(77);
        q.leased_in_order();
        q.consumed(70);
        assert_eq!((q.consumed_at(), q.is_in_order()), (Some(77), true));
        q.lease(5, 1, 7, Until::Time(100));
        assert!(q.window.is_some());
        q.settle(5);
        assert!(q.window.is_none());
    }

    #[test]
    fn saving_and_restoring_keeps_attempts_and_ends_holders() {
        let mut q = GroupQueue::starting_at(0);
        q.lease(0, 3, 7, Until::Time(100));
        q.lease(1, 2, 8, Until::Holder(1));
        q.put_back(2, 4, 60);
        q.advance(3);
        let (next, cells) = q.save();
        let mut q = GroupQueue::restore(next, cells);
        assert_eq!(q.ready(0, 10), [(1, 2)]);
        assert_eq!(q.held(0, 7, 99), Some(3));
        assert_eq!(q.ready(60, 10), [(1, 2), (2, 4)]);
    }
}
