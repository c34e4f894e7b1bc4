//! The deliveries of one group on one queue that are not settled: [`Window`].
//!
//! There may be a million of them, most of them leased one after the other and settled in any order. The one idea to know:
//! offsets are taken 64 together, in blocks: bits say which of them are here, their cells lie in one array, and only the
//! earliest time of a block is sorted by. So a delivery takes 24 bytes and a little, and settling one moves less than a
//! block.

use sluice_model::{Millis, Offset};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Offsets of a block: as many as a word has bits.
const BLOCK: u64 = 64;
/// Arrays with room for fewer cells keep it.
const SMALL: usize = 8;

/// One delivery that is not settled, and how often it has been made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    /// Leased until a time.
    Leased { attempt: u32, lease: u64, until: Millis },
    /// Leased as long as somebody is there.
    Held { attempt: u32, lease: u64, holder: u64 },
    /// To be delivered again, at the earliest at this time.
    Waiting { attempt: u32, visible_at: Millis },
}

impl Cell {
    pub(super) fn attempt(&self) -> u32 {
        match self {
            Self::Leased { attempt, .. } | Self::Held { attempt, .. } | Self::Waiting { attempt, .. } => {
                *attempt
            }
        }
    }

    /// When it may be delivered again.
    fn due(&self) -> Millis {
        match self {
            Self::Leased { until: time, .. } | Self::Waiting { visible_at: time, .. } => *time,
            Self::Held { .. } => Millis::MAX,
        }
    }

    fn is_leased(&self) -> bool {
        !matches!(self, Self::Waiting { .. })
    }
}

/// Leases of all groups and queues of this process, for `/metrics`: to count them there would take the core's lock for as
/// long as there are groups.
static ALL_LEASED: AtomicUsize = AtomicUsize::new(0);

/// Deliveries that consumers hold, of all groups together.
pub(crate) fn all_leased() -> usize {
    ALL_LEASED.load(Ordering::Relaxed)
}

/// How many cells are leased; whatever becomes of them, they are in the sum of all as long as they are here.
#[derive(Debug, Default)]
struct Leased(usize);

impl Leased {
    fn one_more(&mut self) {
        self.0 += 1;
        ALL_LEASED.fetch_add(1, Ordering::Relaxed);
    }

    fn one_less(&mut self) {
        if let Some(less) = self.0.checked_sub(1) {
            self.0 = less;
            ALL_LEASED.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        ALL_LEASED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// What an extended lease was called before, and until when that name is good.
#[derive(Debug, Clone, Copy)]
struct Earlier {
    bit: u32,
    lease: u64,
    until: Millis,
}

/// Neighbouring offsets.
#[derive(Debug)]
struct Block {
    /// Those that have a cell.
    present: u64,
    /// Those that may be delivered now.
    ready: u64,
    /// When the first of the others becomes ready, if one ever does.
    due: Millis,
    /// In the order of offsets.
    cells: Vec<Cell>,
    earlier: Vec<Earlier>,
}

/// What all blocks together are sorted by.
#[derive(Debug, Clone, Copy)]
struct Marks {
    due: Millis,
    is_ready: bool,
    is_empty: bool,
}

impl Default for Block {
    fn default() -> Self {
        Self { present: 0, ready: 0, due: Millis::MAX, cells: Vec::new(), earlier: Vec::new() }
    }
}

impl Block {
    fn marks(&self) -> Marks {
        Marks { due: self.due, is_ready: self.ready != 0, is_empty: self.present == 0 }
    }

    /// Where the cell of a bit is, or would be.
    fn place(&self, bit: u32) -> usize {
        (self.present & ((1 << bit) - 1)).count_ones() as usize
    }

    fn get(&self, bit: u32) -> Option<&Cell> {
        if self.present & 1 << bit == 0 { None } else { self.cells.get(self.place(bit)) }
    }

    /// Puts a cell where there is none.
    fn insert(&mut self, bit: u32, cell: Cell) {
        self.cells.insert(self.place(bit), cell);
        self.present |= 1 << bit;
        match cell.due() {
            0 => self.ready |= 1 << bit,
            due => self.due = self.due.min(due),
        }
    }

    fn remove(&mut self, bit: u32) -> Option<Cell> {
        if self.present & 1 << bit == 0 {
            return None;
        }
        let cell = self.cells.remove(self.place(bit));
        if self.cells.len() * 4 <= self.cells.capacity() && self.cells.capacity() > SMALL {
            self.cells.shrink_to(self.cells.len() * 2);
        }
        let was_ready = self.ready & 1 << bit != 0;
        (self.present, self.ready) = (self.present & !(1 << bit), self.ready & !(1 << bit));
        self.earlier.retain(|earlier| earlier.bit != bit);
        if !was_ready && cell.due() == self.due {
            self.look_for_due();
        }
        Some(cell)
    }

    fn each(&self) -> impl Iterator<Item = (u32, &Cell)> {
        bits(self.present).zip(&self.cells)
    }

    fn look_for_due(&mut self) {
        let known = self.due;
        let mut first = Millis::MAX;
        for (_, cell) in self.each().filter(|(bit, _)| self.ready & 1 << *bit == 0) {
            first = first.min(cell.due());
            if first <= known {
                break; // most end at the same time
            }
        }
        self.due = first;
    }

    fn come_back(&mut self, now: Millis) {
        let back = self.each().filter(|(_, cell)| cell.due() <= now);
        self.ready |= back.fold(0, |back, (bit, _)| back | 1 << bit);
        self.due = Millis::MAX;
        self.due = (self.each().filter(|(bit, _)| self.ready & 1 << *bit == 0))
            .fold(Millis::MAX, |first, (_, cell)| first.min(cell.due()));
    }
}

/// The numbers of the bits that are set.
fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(bit)
    })
}

fn split(offset: Offset) -> (u64, u32) {
    (offset / BLOCK, (offset % BLOCK) as u32)
}

fn joined(block: u64, bit: u32) -> Offset {
    block * BLOCK + Offset::from(bit)
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Window {
    blocks: BTreeMap<u64, Box<Block>>,
    /// Blocks of which something becomes ready, by when that is.
    due: BTreeSet<(Millis, u64)>,
    /// Blocks of which something is ready.
    ready: BTreeSet<u64>,
    len: usize,
    leased: Leased,
}

impl Window {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn leased(&self) -> usize {
        self.leased.0
    }

    pub(super) fn first(&self) -> Option<Offset> {
        let (number, block) = self.blocks.first_key_value()?;
        Some(joined(*number, block.present.trailing_zeros()))
    }

    pub(super) fn get(&self, offset: Offset) -> Option<&Cell> {
        let (number, bit) = split(offset);
        self.blocks.get(&number)?.get(bit)
    }

    /// All of them, as they lie in the queue.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Offset, &Cell)> {
        self.blocks
            .iter()
            .flat_map(|(number, block)| block.each().map(move |(bit, cell)| (joined(*number, bit), cell)))
    }

    /// What an extended lease was called before, and until when that is good.
    pub(super) fn earlier(&self, offset: Offset) -> Option<(u64, Millis)> {
        let (number, bit) = split(offset);
        let earlier = self.blocks.get(&number)?.earlier.iter().find(|earlier| earlier.bit == bit)?;
        Some((earlier.lease, earlier.until))
    }

    /// Keeps in step what is known of all blocks, after one was changed.
    fn changed(&mut self, number: u64, was: Marks, is: Marks) {
        if was.due != is.due {
            if was.due != Millis::MAX {
                self.due.remove(&(was.due, number));
            }
            if is.due != Millis::MAX {
                self.due.insert((is.due, number));
            }
        }
        match (was.is_ready, is.is_ready) {
            (false, true) => drop(self.ready.insert(number)),
            (true, false) => drop(self.ready.remove(&number)),
            _ => {}
        }
        if is.is_empty {
            self.blocks.remove(&number);
        }
    }

    /// Puts a cell there, whatever was there before.
    pub(super) fn insert(&mut self, offset: Offset, cell: Cell) {
        let (number, bit) = split(offset);
        let block = self.blocks.entry(number).or_default();
        let before = block.marks();
        let was = block.remove(bit);
        block.insert(bit, cell);
        let after = block.marks();
        self.changed(number, before, after);
        self.count(was.as_ref(), Some(&cell));
    }

    /// The same, for a lease that was extended.
    pub(super) fn extend(&mut self, offset: Offset, cell: Cell, earlier: Option<(u64, Millis)>) {
        self.insert(offset, cell);
        let (number, bit) = split(offset);
        if let Some(((lease, until), block)) = earlier.zip(self.blocks.get_mut(&number)) {
            block.earlier.push(Earlier { bit, lease, until });
        }
    }

    pub(super) fn remove(&mut self, offset: Offset) {
        let (number, bit) = split(offset);
        let Some(block) = self.blocks.get_mut(&number) else { return };
        let before = block.marks();
        let was = block.remove(bit);
        let after = block.marks();
        self.changed(number, before, after);
        self.count(was.as_ref(), None);
    }

    fn count(&mut self, was: Option<&Cell>, is: Option<&Cell>) {
        self.len = (self.len + usize::from(is.is_some())).saturating_sub(usize::from(was.is_some()));
        if was.is_some_and(Cell::is_leased) {
            self.leased.one_less();
        }
        if is.is_some_and(Cell::is_leased) {
            self.leased.one_more();
        }
    }

    /// What is due at `now` becomes ready, and stays so.
    pub(super) fn come_back(&mut self, now: Millis) {
        while let Some((_, number)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            let Some(block) = self.blocks.get_mut(&number) else { return };
            let before = block.marks();
            block.come_back(now);
            let after = block.marks();
            self.changed(number, before, after);
        }
    }

    /// What is ready, as it lies in the queue.
    pub(super) fn ready(&self) -> impl Iterator<Item = (Offset, &Cell)> {
        let blocks = self.ready.iter().filter_map(|number| Some((*number, self.blocks.get(number)?)));
        blocks.flat_map(|(number, block)| {
            bits(block.ready).filter_map(move |bit| Some((joined(number, bit), block.get(bit)?)))
        })
    }

    pub(super) fn is_ready(&self, offset: Offset) -> bool {
        let (number, bit) = split(offset);
        self.blocks.get(&number).is_some_and(|block| block.ready & 1 << bit != 0)
    }

    /// Whether there is one from an offset on that is not ready.
    pub(super) fn is_out_from(&self, offset: Offset) -> bool {
        let (first, bit) = split(offset);
        self.blocks.range(first..).any(|(number, block)| {
            let from = if *number == first { u64::MAX << bit } else { u64::MAX };
            block.present & !block.ready & from != 0
        })
    }

    /// When the next one becomes ready that is not.
    pub(super) fn next_due(&self) -> Option<Millis> {
        self.due.first().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leased(until: Millis) -> Cell {
        Cell::Leased { attempt: 1, lease: 7, until }
    }

    #[test]
    fn a_cell_is_small() {
        assert_eq!(size_of::<Cell>(), 24);
    }

    /// What the window has to do, said simply.
    #[derive(Default)]
    struct Simple(BTreeMap<Offset, (Cell, bool)>);

    impl Simple {
        fn come_back(&mut self, now: Millis) {
            self.0.values_mut().for_each(|(cell, ready)| *ready |= cell.due() <= now);
        }
    }

    #[test]
    fn it_does_what_a_simple_one_does() {
        let (mut window, mut simple) = (Window::default(), Simple::default());
        let mut random = 1u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for step in 0..20_000u64 {
            let offset = next(400);
            match next(8) {
                0..=2 => {
                    let cell = match next(4) {
                        0 => Cell::Waiting { attempt: 2, visible_at: next(2) * (step + next(50)) },
                        1 => Cell::Held { attempt: 1, lease: step, holder: 3 },
                        _ => leased(step + next(100)),
                    };
                    window.insert(offset, cell);
                    simple.0.insert(offset, (cell, cell.due() == 0));
                }
                3 => {
                    window.come_back(step);
                    simple.come_back(step);
                }
                _ => {
                    window.remove(offset);
                    simple.0.remove(&offset);
                }
            }
            let due = simple.0.values().filter(|(cell, ready)| !ready && cell.due() < Millis::MAX);
            assert_eq!(window.next_due(), due.map(|(cell, _)| cell.due()).min());
            assert_eq!(window.len(), simple.0.len());
            assert_eq!(window.leased(), simple.0.values().filter(|(cell, _)| cell.is_leased()).count());
            assert_eq!(window.first(), simple.0.keys().next().copied());
            assert_eq!(window.get(offset), simple.0.get(&offset).map(|(cell, _)| cell));
            assert_eq!(window.is_out_from(offset), simple.0.range(offset..).any(|(_, (_, ready))| !ready));
            if step % 16 == 0 {
                let all: Vec<_> = simple.0.iter().map(|(offset, (cell, _))| (*offset, cell)).collect();
                assert_eq!(window.iter().collect::<Vec<_>>(), all);
                let ready: Vec<_> = simple.0.iter().filter(|(_, (_, ready))| *ready).collect();
                let ready: Vec<_> = ready.into_iter().map(|(offset, (cell, _))| (*offset, cell)).collect();
                assert_eq!(window.ready().collect::<Vec<_>>(), ready);
            }
        }
    }

    #[test]
    fn what_was_known_of_a_lease_goes_with_it() {
        let mut window = Window::default();
        window.insert(70, leased(100));
        window.extend(70, leased(200), Some((7, 100)));
        assert_eq!((window.earlier(70), window.earlier(6)), (Some((7, 100)), None));
        window.insert(70, leased(300));
        assert_eq!(window.earlier(70), None);
        window.remove(70);
        assert!(window.blocks.is_empty() && window.due.is_empty() && window.len() == 0);
    }
}
