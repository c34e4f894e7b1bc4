//! A file system in memory that fails as real ones do: [`SimVfs`], for tests.
//!
//! It exists because no real disk loses power on demand. The one idea to know: what was written and what would survive
//! are kept apart; a sync carries the first over into the second, and [`SimVfs::power_cut`] keeps any part of what was
//! not synced: whole writes, none, single sectors, or the first bytes, and likewise for names of files.
//!
//! A crash gives a new file system; whoever still uses the old one goes on without harm.

use crate::vfs::{DiskSpace, LockError, Vfs, VfsFile};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is written at once by a disk.
const SECTOR: usize = 512;

/// A kind of call that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// Opening a file.
    Open,
    /// Reading from a file.
    Read,
    /// Writing to a file, or changing its length.
    Write,
    /// Syncing a file.
    Sync,
    /// Syncing a folder.
    SyncDir,
    /// Renaming or deleting a file.
    Rename,
}

/// A file system in memory. Clones share it.
#[derive(Clone, Default)]
pub struct SimVfs(Arc<Shared>);

#[derive(Default)]
struct Shared {
    world: Mutex<World>,
    released: Condvar,
}

#[derive(Clone)]
struct World {
    inodes: HashMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    dirs: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
    capacity: u64,
    next_inode: u64,
    faults: HashMap<Call, (u64, i32)>,
    hold_syncs: bool,
}

impl Default for World {
    fn default() -> Self {
        Self {
            inodes: HashMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            dirs: BTreeSet::new(),
            locked: BTreeSet::new(),
            capacity: 1 << 40,
            next_inode: 1,
            faults: HashMap::new(),
            hold_syncs: false,
        }
    }
}

#[derive(Clone, Default)]
struct Inode {
    data: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

/// Numbers from a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}

impl SimVfs {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is left when the power fails now; the seed decides about everything that was not synced.
    pub fn power_cut(&self, seed: u64) -> Self {
        let mut dice = Dice(seed);
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
        let mut numbers: Vec<u64> = world.inodes.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            if let Some(inode) = world.inodes.get_mut(&number) {
                inode.lose_power(&mut dice);
            }
        }
        Self::restarted(world)
    }

    /// What is left when only the process ends now: everything that was written.
    pub fn kill(&self) -> Self {
        let mut world = self.0.world.lock().clone();
        world.inodes.values_mut().for_each(Inode::settle);
        Self::restarted(world)
    }

    fn restarted(mut world: World) -> Self {
        let used: BTreeSet<u64> = world.names.values().copied().collect();
        world.inodes.retain(|number, _| used.contains(number));
        world.durable_names = world.names.clone();
        world.locked.clear();
        world.faults.clear();
        world.hold_syncs = false;
        Self(Arc::new(Shared { world: Mutex::new(world), released: Condvar::new() }))
    }

    /// Lets the `nth` call of a kind from now on (1 is the next), and every later one, fail with an error of the
    /// operating system.
    pub fn fail(&self, call: Call, nth: u64, error: i32) {
        self.0.world.lock().faults.insert(call, (nth, error));
    }

    /// Lets calls succeed again.
    pub fn heal(&self) {
        self.0.world.lock().faults.clear();
    }

    /// Holds all syncs of files until they are released.
    pub fn hold_syncs(&self, hold: bool) {
        self.0.world.lock().hold_syncs = hold;
        self.0.released.notify_all();
    }

    /// Sets the size of the file system.
    pub fn set_capacity(&self, bytes: u64) {
        self.0.world.lock().capacity = bytes;
    }

    /// The bytes that are taken.
    pub fn used(&self) -> u64 {
        self.0.world.lock().used()
    }

    /// All files and their content.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = self.0.world.lock();
        let content = |number: &u64| world.inodes.get(number).map(|i| i.data.clone()).unwrap_or_default();
        world.names.iter().map(|(path, number)| (path.clone(), content(number))).collect()
    }

    /// Changes a file's content, on the disk too.
    pub fn edit(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.0.world.lock();
        let number = world.names.get(path).copied();
        if let Some(inode) = number.and_then(|number| world.inodes.get_mut(&number)) {
            inode.settle();
            change(&mut inode.data);
            inode.durable = inode.data.clone();
        }
    }

    /// Puts a file there, on the disk too.
    pub fn put(&self, path: &Path, content: Vec<u8>) {
        let mut world = self.0.world.lock();
        let number = world.next_inode;
        world.next_inode += 1;
        world.inodes.insert(number, Inode { durable: content.clone(), data: content, pending: Vec::new() });
        world.names.insert(path.into(), number);
        world.durable_names.insert(path.into(), number);
    }

    fn enter(&self, call: Call) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.0.world.lock();
        while call == Call::Sync && world.hold_syncs {
            self.0.released.wait(&mut world);
        }
        match world.faults.get_mut(&call) {
            Some((nth, error)) if *nth <= 1 => Err(io::Error::from_raw_os_error(*error)),
            Some((nth, _)) => {
                *nth -= 1;
                Ok(world)
            }
            None => Ok(world),
        }
    }
}

impl Inode {
    fn settle(&mut self) {
        self.durable = self.data.clone();
        self.pending.clear();
    }

    fn lose_power(&mut self, dice: &mut Dice) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Resize(len) if dice.coin() => self.durable.resize(len, 0),
                Change::Resize(_) => {}
                Change::Write(at, bytes) => survive(&mut self.durable, at, &bytes, dice),
            }
        }
        self.data = self.durable.clone();
    }
}

/// Lets some part of an unsynced write survive.
fn survive(durable: &mut Vec<u8>, at: usize, bytes: &[u8], dice: &mut Dice) {
    match dice.below(4) {
        0 => {}
        1 => put(durable, at, bytes),
        2 => put(durable, at, &bytes[..dice.below(bytes.len() as u64 + 1) as usize]),
        _ => {
            let mut from = 0;
            while from < bytes.len() {
                // Sectors lie at multiples of their size in the file, wherever the write began.
                let to = (SECTOR - (at + from) % SECTOR + from).min(bytes.len());
                if dice.coin() {
                    put(durable, at + from, &bytes[from..to]);
                }
                from = to;
            }
        }
    }
}

fn put(data: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if data.len() < at + bytes.len() {
        data.resize(at + bytes.len(), 0);
    }
    data[at..at + bytes.len()].copy_from_slice(bytes);
}

impl World {
    fn used(&self) -> u64 {
        self.names.values().filter_map(|number| self.inodes.get(number)).map(|i| i.data.len() as u64).sum()
    }

    fn check_space(&self, more: u64) -> io::Result<()> {
        if self.used() + more > self.capacity {
            return Err(io::Error::from_raw_os_error(28));
        }
        Ok(())
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Vfs for SimVfs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.world.lock().dirs.insert(dir.into());
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let world = self.0.world.lock();
        let inside = world.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn VfsFile>> {
        let mut world = self.enter(Call::Open)?;
        let number = match world.names.get(path) {
            Some(number) => *number,
            None if create => {
                let number = world.next_inode;
                world.next_inode += 1;
                world.inodes.insert(number, Inode::default());
                world.names.insert(path.into(), number);
                number
            }
            None => return Err(not_found()),
        };
        drop(world);
        Ok(Arc::new(SimFile { vfs: self.clone(), number }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.enter(Call::Rename)?;
        let number = world.names.remove(from).ok_or_else(not_found)?;
        world.names.insert(to.into(), number);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.enter(Call::Rename)?;
        world.names.remove(path).map(drop).ok_or_else(not_found)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.enter(Call::SyncDir)?;
        let here = |path: &PathBuf| path.parent() == Some(dir);
        let names: Vec<_> =
            world.names.iter().filter(|(path, _)| here(path)).map(|(p, n)| (p.clone(), *n)).collect();
        world.durable_names.retain(|path, _| !here(path));
        world.durable_names.extend(names);
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>, LockError> {
        let mut world = self.0.world.lock();
        if !world.locked.insert(path.into()) {
            return Err(LockError::Held(Some(std::process::id())));
        }
        drop(world);
        Ok(Box::new(SimLock { vfs: self.clone(), path: path.into() }))
    }

    fn space(&self, _: &Path) -> io::Result<DiskSpace> {
        let world = self.0.world.lock();
        Ok(DiskSpace { total: world.capacity, available: world.capacity.saturating_sub(world.used()) })
    }
}

struct SimLock {
    vfs: SimVfs,
    path: PathBuf,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.vfs.0.world.lock().locked.remove(&self.path);
    }
}

struct SimFile {
    vfs: SimVfs,
    number: u64,
}

impl VfsFile for SimFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let world = self.vfs.enter(Call::Read)?;
        let inode = world.inodes.get(&self.number).ok_or_else(not_found)?;
        let from = (position as usize).min(inode.data.len());
        let n = buf.len().min(inode.data.len() - from);
        buf[..n].copy_from_slice(&inode.data[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let mut world = self.vfs.enter(Call::Write)?;
        let len = world.inodes.get(&self.number).map_or(0, |inode| inode.data.len() as u64);
        world.check_space((position + bytes.len() as u64).saturating_sub(len))?;
        let inode = world.inodes.get_mut(&self.number).ok_or_else(not_found)?;
        put(&mut inode.data, position as usize, bytes);
        inode.pending.push(Change::Write(position as usize, bytes.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let outcome = self.vfs.enter(Call::Sync).map(drop);
        let mut world = self.vfs.0.world.lock();
        let inode = world.inodes.get_mut(&self.number).ok_or_else(not_found)?;
        // As on Linux: after a failed sync the pages count as clean, and a later sync succeeds without them.
        for change in std::mem::take(&mut inode.pending) {
            match change {
                _ if outcome.is_err() => {}
                Change::Resize(len) => inode.durable.resize(len, 0),
                Change::Write(at, bytes) => put(&mut inode.durable, at, &bytes),
            }
        }
        outcome
    }

    fn size(&self) -> io::Result<u64> {
        let world = self.vfs.0.world.lock();
        world.inodes.get(&self.number).map(|inode| inode.data.len() as u64).ok_or_else(not_found)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut world = self.vfs.enter(Call::Write)?;
        let inode = world.inodes.get_mut(&self.number).ok_or_else(not_found)?;
        inode.data.resize(len as usize, 0);
        inode.pending.push(Change::Resize(len as usize));
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut world = self.vfs.enter(Call::Write)?;
        let before = world.inodes.get(&self.number).map_or(0, |inode| inode.data.len() as u64);
        world.check_space(len.saturating_sub(before))?;
        let inode = world.inodes.get_mut(&self.number).ok_or_else(not_found)?;
        if before < len {
            inode.data.resize(len as usize, 0);
            inode.pending.push(Change::Resize(len as usize));
        }
        Ok(())
    }
}
