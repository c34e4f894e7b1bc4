//! How far one group is on one queue: a cursor, and a window of deliveries below it that are not settled.
//!
//! ```text
//!   consumed …………|  window: leased, waiting or ready cells, consumed gaps  |  not yet delivered ……
//!            committed                                                   next
//! ```
//!
//! An offset in the window without a cell is consumed, so `committed` is the first cell, or `next`.

use sluice_model::{Millis, Offset};
use std::collections::{BTreeMap, BTreeSet};

/// One delivery that is not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    /// How often it has been delivered.
    attempt: u32,
    state: CellState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum CellState {
    /// Leased until a time, or by a holder. An extended lease's earlier id stays good until its own end.
    Leased { lease: u64, until: Until, previous: Option<(u64, Millis)> },
    /// To be delivered again, at the earliest at this time.
    Waiting { visible_at: Millis },
}

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

/// A group's progress on one queue.
#[derive(Debug, Default)]
pub(crate) struct GroupQueue {
    next: Offset,
    cells: BTreeMap<Offset, Cell>,
    /// When which cell becomes deliverable.
    due: BTreeSet<(Millis, Offset)>,
    /// Cells that are deliverable now.
    ready: BTreeSet<Offset>,
    leased: usize,
    /// When something was consumed last; 0 when nothing was.
    consumed_at: Millis,
    /// Somebody has leased whole ordering groups since the start: such a one may wait for a settlement.
    pub(crate) is_in_order: bool,
}

impl GroupQueue {
    pub(crate) fn starting_at(next: Offset) -> Self {
        Self { next, ..Self::default() }
    }

    /// Everything below is consumed.
    pub(crate) fn committed(&self) -> Offset {
        self.cells.first_key_value().map_or(self.next, |(offset, _)| *offset)
    }

    /// The first offset never delivered.
    pub(crate) fn next(&self) -> Offset {
        self.next
    }

    /// Somebody has a delivery under lease at this time.
    pub(crate) fn is_leased(&self, now: Millis) -> bool {
        let holds = |cell: &Cell| match cell.state {
            CellState::Leased { until: Until::Time(time), .. } => time > now,
            CellState::Leased { until: Until::Holder(_), .. } => true,
            CellState::Waiting { .. } => false,
        };
        self.leased > 0 && self.cells.values().any(holds)
    }

    /// When something was consumed last, as far as it is remembered.
    pub(crate) fn consumed_at(&self) -> Option<Millis> {
        (self.consumed_at > 0).then_some(self.consumed_at)
    }

    /// Something was consumed at this time.
    pub(crate) fn consumed(&mut self, at: Millis) {
        self.consumed_at = self.consumed_at.max(at);
    }

    /// Deliveries leased or waiting: what bounds the window.
    pub(crate) fn window(&self) -> usize {
        self.cells.len()
    }

    /// Deliveries that consumers hold at this moment.
    pub(crate) fn in_flight(&self) -> usize {
        self.leased
    }

    /// The first cells that may be delivered again at `now`, with the number of deliveries so far.
    pub(crate) fn ready(&mut self, now: Millis, limit: usize) -> Vec<(Offset, u32)> {
        while let Some((time, offset)) = self.due.first().copied().filter(|(time, _)| *time <= now) {
            self.due.remove(&(time, offset));
            self.ready.insert(offset);
        }
        self.ready.iter().take(limit).filter_map(|o| Some((*o, self.cells.get(o)?.attempt))).collect()
    }

    /// When the next cell becomes deliverable that is not yet.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.due.first().map(|(time, _)| *time)
    }

    /// True while this cell may be delivered again.
    pub(crate) fn is_ready(&self, offset: Offset) -> bool {
        self.ready.contains(&offset)
    }

    /// How often an unsettled delivery has been made.
    pub(crate) fn attempts(&self, offset: Offset) -> Option<u32> {
        self.cells.get(&offset).map(|c| c.attempt)
    }

    /// Everything below `offset` is consumed, and nothing from it on.
    pub(crate) fn set(&mut self, offset: Offset) {
        if offset <= self.next {
            let gone: Vec<_> = self.cells.range(offset..).map(|(o, _)| *o).collect();
            gone.into_iter().for_each(|o| self.remove(o));
        }
        let consumed: Vec<_> = self.cells.range(..offset).map(|(o, _)| *o).collect();
        consumed.into_iter().for_each(|o| self.remove(o));
        self.next = offset;
    }

    /// Leases a delivery; `attempt` counts this one.
    pub(crate) fn lease(&mut self, offset: Offset, attempt: u32, lease: u64, until: Until) {
        self.remove(offset);
        if let Until::Time(time) = until {
            self.due.insert((time, offset));
        }
        self.leased += 1;
        self.cells
            .insert(offset, Cell { attempt, state: CellState::Leased { lease, until, previous: None } });
    }

    /// Moves the cursor on; offsets passed over without a cell count as consumed.
    pub(crate) fn advance(&mut self, next: Offset) {
        self.next = self.next.max(next);
    }

    /// Makes a delivery visible again at a time.
    pub(crate) fn put_back(&mut self, offset: Offset, attempt: u32, visible_at: Millis) {
        self.remove(offset);
        if visible_at == 0 {
            self.ready.insert(offset);
        } else {
            self.due.insert((visible_at, offset));
        }
        self.cells.insert(offset, Cell { attempt, state: CellState::Waiting { visible_at } });
    }

    /// Extends a lease under a new id; the old one stays good until its own end.
    pub(crate) fn extend(&mut self, offset: Offset, lease: u64, until: Millis) {
        let Some(Cell { attempt, state }) = self.cells.get(&offset).cloned() else { return };
        let previous = match state {
            CellState::Leased { lease, until: Until::Time(time), .. } => Some((lease, time)),
            _ => None,
        };
        self.lease(offset, attempt, lease, Until::Time(until));
        if let Some(Cell { state: CellState::Leased { previous: slot, .. }, .. }) =
            self.cells.get_mut(&offset)
        {
            *slot = previous;
        }
    }

    /// The delivery is consumed.
    pub(crate) fn settle(&mut self, offset: Offset) {
        self.remove(offset);
    }

    /// The number of deliveries so far, when this lease is the current one and has not ended.
    pub(crate) fn held(&self, offset: Offset, lease: u64, now: Millis) -> Option<u32> {
        let cell = self.cells.get(&offset)?;
        let CellState::Leased { lease: current, until, previous } = &cell.state else { return None };
        let good = match (until, previous) {
            (Until::Holder(_), _) if *current == lease => true,
            (Until::Time(time), _) if *current == lease => *time > now,
            (_, Some((id, time))) if *id == lease => *time > now,
            _ => false,
        };
        good.then_some(cell.attempt)
    }

    /// The cells that a holder holds, with the number of deliveries so far.
    pub(crate) fn held_by(&self, holder: u64) -> Vec<(Offset, u32)> {
        self.cells
            .iter()
            .filter(
                |(_, c)| matches!(c.state, CellState::Leased { until: Until::Holder(h), .. } if h == holder),
            )
            .map(|(offset, c)| (*offset, c.attempt))
            .collect()
    }

    fn remove(&mut self, offset: Offset) {
        let Some(cell) = self.cells.remove(&offset) else { return };
        self.ready.remove(&offset);
        match cell.state {
            CellState::Leased { until, .. } => {
                self.leased = self.leased.saturating_sub(1);
                if let Until::Time(time) = until {
                    self.due.remove(&(time, offset));
                }
            }
            CellState::Waiting { visible_at } => {
                self.due.remove(&(visible_at, offset));
            }
        }
    }

    /// What a checkpoint keeps: the cursor and the cells.
    pub(crate) fn save(&self) -> (Offset, Vec<SavedCell>) {
        let cells = self.cells.iter().map(|(offset, cell)| match cell.state {
            CellState::Leased { lease, until: Until::Time(time), .. } => (*offset, cell.attempt, time, lease),
            CellState::Leased { until: Until::Holder(_), .. } => (*offset, cell.attempt, 0, 0),
            CellState::Waiting { visible_at } => (*offset, cell.attempt, visible_at, 0),
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
