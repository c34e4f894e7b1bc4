//! What a crash leaves: the part of [`SimVfs`] that decides what of the unsynced survives.
//!
//! The one idea to know: when only the process ends, the system's cache stays, and so does the difference between cache
//! and disk; when the power fails, only the disk's part is left, and of what was on its way any piece.

use super::{Shared, SimVfs, World};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;

/// What a disk writes at once: one of these, for the whole disk.
const SECTORS: [usize; 2] = [512, 4096];
/// What it is called that a write is there in part, by sectors of the one size or the other.
const TORN: [&str; 2] = ["write torn by sectors of 512 B", "write torn by sectors of 4 KiB"];

/// A file.
#[derive(Clone, Default)]
pub(super) struct Inode {
    pub data: Vec<u8>,
    pub durable: Vec<u8>,
    pub pending: Vec<Change>,
}

/// Something that was done to a file since its last sync.
#[derive(Clone)]
pub(super) enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

/// Numbers from a seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 when that is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.number() % n.max(1)
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

impl SimVfs {
    /// What is left when the power fails now; the seed decides about everything that was not synced.
    pub fn power_cut(&self, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut world = self.0.world.lock().clone();
        let World { names, inodes, injected, .. } = &mut world;
        let mut tell = |what| *injected.entry(what).or_default() += 1;
        names.lose_power(&mut dice, &mut tell);
        let size = dice.below(2) as usize;
        let mut numbers: Vec<u64> = inodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            if let Some(inode) = inodes.get_mut(&number) {
                inode.lose_power(&mut dice, size, &mut tell);
            }
        }
        Self::restarted(world)
    }

    /// How many changes were not synced: writes, new lengths, and names that came or went.
    pub fn unsynced(&self) -> u32 {
        let world = self.0.world.lock();
        (world.names.unsynced() + world.inodes.values().map(|inode| inode.pending.len()).sum::<usize>())
            as u32
    }

    /// What is left when the power fails now, and exactly those of the unsynced changes reach the disk whose bits are set:
    /// names first, then the files' changes. Those of one file do in the order in which they were made, or the last first.
    pub fn power_cut_keeping(&self, mut subset: u64, backwards: bool) -> Self {
        let mut world = self.0.world.lock().clone();
        let mut kept = || {
            let bit = subset & 1 == 1;
            subset >>= 1;
            bit
        };
        world.names.lose_power_keeping(&mut kept);
        let mut numbers: Vec<u64> = world.inodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            let Some(inode) = world.inodes.get_mut(&number) else { continue };
            let mut left = std::mem::take(&mut inode.pending);
            left.retain(|_| kept());
            if backwards {
                left.reverse();
            }
            left.iter().for_each(|change| change.carry_out(&mut inode.durable));
            inode.data = inode.durable.clone();
        }
        Self::restarted(world)
    }

    /// What is left when only the process ends now: everything that was written.
    pub fn kill(&self) -> Self {
        let mut world = self.0.world.lock().clone();
        world.inodes.values_mut().for_each(Inode::settle);
        world.names.settle();
        Self::restarted(world)
    }

    /// What is left when only the process ends now, as [`SimVfs::kill`]; but what was not synced is still not, and a power
    /// cut that follows may take it.
    pub fn restart(&self) -> Self {
        Self::restarted(self.0.world.lock().clone())
    }

    fn restarted(mut world: World) -> Self {
        let used = world.names.inodes();
        world.inodes.retain(|number, _| used.contains(number));
        world.locked.clear();
        world.faults.clear();
        world.hold_syncs = false;
        world.until_stop = None;
        world.until_stray = None;
        world.slow.clear();
        Self(Arc::new(Shared { world: Mutex::new(world), released: Condvar::new() }))
    }
}

impl Change {
    fn carry_out(&self, data: &mut Vec<u8>) {
        match self {
            Self::Resize(len) => data.resize(*len, 0),
            Self::Write(at, bytes) => put(data, *at, bytes),
        }
    }
}

impl Inode {
    pub(super) fn settle(&mut self) {
        self.durable = self.data.clone();
        self.pending.clear();
    }

    fn lose_power(&mut self, dice: &mut Dice, size: usize, tell: &mut impl FnMut(&'static str)) {
        let mut left = Vec::new();
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Resize(_) if dice.coin() => left.push(change),
                Change::Resize(_) => tell("new length lost"),
                Change::Write(at, bytes) => survive(&mut left, at, &bytes, dice, size, tell),
            }
        }
        let mut durable = self.durable.clone();
        left.iter().for_each(|change| change.carry_out(&mut durable));
        // The disk may have carried them out in any order; where they overlap, that makes a difference.
        if left.len() > 1 && dice.below(3) == 0 {
            for n in (1..left.len()).rev() {
                left.swap(n, dice.below(n as u64 + 1) as usize);
            }
            left.iter().for_each(|change| change.carry_out(&mut self.durable));
            if self.durable != durable {
                tell("write overtaken by an earlier one");
            }
        } else {
            self.durable = durable;
        }
        self.data = self.durable.clone();
    }
}

/// Lets some part of an unsynced write survive.
fn survive(
    left: &mut Vec<Change>,
    at: usize,
    bytes: &[u8],
    dice: &mut Dice,
    size: usize,
    tell: &mut impl FnMut(&'static str),
) {
    match dice.below(4) {
        0 => tell("write lost"),
        1 => left.push(Change::Write(at, bytes.to_vec())),
        2 => {
            let kept = dice.below(bytes.len() as u64 + 1) as usize;
            tell("write cut short");
            left.push(Change::Write(at, bytes[..kept].to_vec()));
        }
        _ => {
            let (sector, mut from, mut kept) = (SECTORS[size], 0, 0);
            while from < bytes.len() {
                // Sectors lie at multiples of their size in the file, wherever the write began.
                let to = (sector - (at + from) % sector + from).min(bytes.len());
                if dice.coin() {
                    kept += to - from;
                    left.push(Change::Write(at + from, bytes[from..to].to_vec()));
                }
                from = to;
            }
            match kept {
                0 => tell("write lost"),
                kept if kept < bytes.len() => tell(TORN[size]),
                _ => {}
            }
        }
    }
}

pub(super) fn put(data: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if data.len() < at + bytes.len() {
        data.resize(at + bytes.len(), 0);
    }
    data[at..at + bytes.len()].copy_from_slice(bytes);
}
