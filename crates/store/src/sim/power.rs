//! What a crash leaves: the part of [`SimVfs`] that decides what of the unsynced survives.
//!
//! The one idea to know: when only the process ends, the system's cache stays, and so does the difference between cache
//! and disk; when the power fails, only the disk's part is left, and of what was on its way any piece.

use super::{Shared, SimVfs, World};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// What a disk writes at once: one of these, for the whole disk.
const SECTORS: [usize; 2] = [512, 4096];

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
        let paths: BTreeSet<PathBuf> =
            world.names.keys().chain(world.durable_names.keys()).cloned().collect();
        for path in paths {
            let (now, durable) = (world.names.get(&path).copied(), world.durable_names.get(&path).copied());
            let kept = if now == durable || dice.coin() { now } else { durable };
            match kept {
                Some(inode) => world.names.insert(path, inode),
                None => world.names.remove(&path),
            };
        }
        world.durable_names = world.names.clone();
        let sector = SECTORS[dice.below(2) as usize];
        let mut numbers: Vec<u64> = world.inodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            if let Some(inode) = world.inodes.get_mut(&number) {
                inode.lose_power(&mut dice, sector);
            }
        }
        Self::restarted(world)
    }

    /// How many changes were not synced: writes, new lengths, and names that came or went.
    pub fn unsynced(&self) -> u32 {
        let world = self.0.world.lock();
        let names = world.changed_names().len();
        (names + world.inodes.values().map(|inode| inode.pending.len()).sum::<usize>()) as u32
    }

    /// What is left when the power fails now, and exactly those of the unsynced changes reach the disk whose bits are set:
    /// names first, then the files' changes in the order they were made.
    pub fn power_cut_keeping(&self, mut subset: u64) -> Self {
        let mut world = self.0.world.lock().clone();
        let mut kept = || {
            let bit = subset & 1 == 1;
            subset >>= 1;
            bit
        };
        for path in world.changed_names() {
            if !kept() {
                match world.durable_names.get(&path).copied() {
                    Some(inode) => world.names.insert(path, inode),
                    None => world.names.remove(&path),
                };
            }
        }
        world.durable_names = world.names.clone();
        let mut numbers: Vec<u64> = world.inodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            let Some(inode) = world.inodes.get_mut(&number) else { continue };
            for change in std::mem::take(&mut inode.pending) {
                match (kept(), change) {
                    (false, _) => {}
                    (true, Change::Resize(len)) => inode.durable.resize(len, 0),
                    (true, Change::Write(at, bytes)) => put(&mut inode.durable, at, &bytes),
                }
            }
            inode.data = inode.durable.clone();
        }
        Self::restarted(world)
    }

    /// What is left when only the process ends now: everything that was written.
    pub fn kill(&self) -> Self {
        let mut world = self.0.world.lock().clone();
        world.inodes.values_mut().for_each(Inode::settle);
        world.durable_names = world.names.clone();
        Self::restarted(world)
    }

    /// What is left when only the process ends now, as [`SimVfs::kill`]; but what was not synced is still not, and a power
    /// cut that follows may take it.
    pub fn restart(&self) -> Self {
        Self::restarted(self.0.world.lock().clone())
    }

    fn restarted(mut world: World) -> Self {
        let used: BTreeSet<u64> = world.names.values().chain(world.durable_names.values()).copied().collect();
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

impl World {
    /// The names that are not on the disk as they are.
    fn changed_names(&self) -> Vec<PathBuf> {
        let all: BTreeSet<&PathBuf> = self.names.keys().chain(self.durable_names.keys()).collect();
        let changed = all.into_iter().filter(|path| self.names.get(*path) != self.durable_names.get(*path));
        changed.cloned().collect()
    }
}

impl Inode {
    pub(super) fn settle(&mut self) {
        self.durable = self.data.clone();
        self.pending.clear();
    }

    fn lose_power(&mut self, dice: &mut Dice, sector: usize) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Resize(len) if dice.coin() => self.durable.resize(len, 0),
                Change::Resize(_) => {}
                Change::Write(at, bytes) => survive(&mut self.durable, at, &bytes, dice, sector),
            }
        }
        self.data = self.durable.clone();
    }
}

/// Lets some part of an unsynced write survive.
fn survive(durable: &mut Vec<u8>, at: usize, bytes: &[u8], dice: &mut Dice, sector: usize) {
    match dice.below(4) {
        0 => {}
        1 => put(durable, at, bytes),
        2 => put(durable, at, &bytes[..dice.below(bytes.len() as u64 + 1) as usize]),
        _ => {
            let mut from = 0;
            while from < bytes.len() {
                // Sectors lie at multiples of their size in the file, wherever the write began.
                let to = (sector - (at + from) % sector + from).min(bytes.len());
                if dice.coin() {
                    put(durable, at + from, &bytes[from..to]);
                }
                from = to;
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
