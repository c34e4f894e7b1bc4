//! A file system in memory that fails as real ones do: [`SimVfs`], for tests.
//!
//! It exists because no real disk loses power on demand. The one idea to know: what was written and what would survive
//! are kept apart; a sync carries the first over into the second, and [`SimVfs::power_cut`] keeps any part of what was
//! not synced, in any order: whole writes, none, single sectors, or the first bytes, and likewise for names of files.
//! Whatever goes wrong by that or by request is counted: [`SimVfs::injected`].
//!
//! A crash gives a new file system; whoever still uses the old one goes on without harm. What survives one is `power`, of
//! names `names`.

mod names;
mod power;

use self::names::Names;
pub use self::power::Dice;
use self::power::{Change, Inode};
use crate::vfs::{DiskSpace, LockError, Vfs, VfsFile};
use parking_lot::{Condvar, Mutex, MutexGuard};
use sluice_model::ManualClock;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    names: Names,
    dirs: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
    capacity: u64,
    next_inode: u64,
    faults: HashMap<Call, Fault>,
    hold_syncs: bool,
    /// What the system gives out as random numbers.
    entropy: Dice,
    /// Calls that change something until everything stops.
    until_stop: Option<u64>,
    /// Writes until one goes astray, and by how much.
    until_stray: Option<(u64, i64)>,
    /// Calls that take long.
    slow: HashMap<Call, Slow>,
    /// What went wrong so far, and how often.
    injected: BTreeMap<&'static str, u64>,
}

/// A call that takes long, by a clock that moves only when told to.
#[derive(Clone)]
struct Slow {
    nth: u64,
    takes: u64,
    clock: Arc<ManualClock>,
}

#[derive(Clone, Copy)]
struct Fault {
    nth: u64,
    error: i32,
    once: bool,
}

impl Default for World {
    fn default() -> Self {
        Self {
            inodes: HashMap::new(),
            names: Names::default(),
            dirs: BTreeSet::new(),
            locked: BTreeSet::new(),
            capacity: 1 << 40,
            next_inode: 1,
            faults: HashMap::new(),
            hold_syncs: false,
            entropy: Dice::new(0),
            until_stop: None,
            until_stray: None,
            slow: HashMap::new(),
            injected: BTreeMap::new(),
        }
    }
}

impl SimVfs {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty file system whose random numbers come from a seed.
    pub fn seeded(seed: u64) -> Self {
        let vfs = Self::default();
        vfs.0.world.lock().entropy = Dice::new(seed);
        vfs
    }

    /// Lets the `nth` call of a kind from now on (1 is the next), and every later one, fail with an error of the
    /// operating system.
    pub fn fail(&self, call: Call, nth: u64, error: i32) {
        self.0.world.lock().faults.insert(call, Fault { nth, error, once: false });
    }

    /// Lets only the `nth` call of a kind from now on fail.
    pub fn fail_once(&self, call: Call, nth: u64, error: i32) {
        self.0.world.lock().faults.insert(call, Fault { nth, error, once: true });
    }

    /// Lets everything stop in the middle of the `nth` call from now on that changes something, as when the process dies
    /// there: it and all later calls fail and change nothing more.
    pub fn stop_at(&self, nth: u64) {
        self.0.world.lock().until_stop = Some(nth);
    }

    /// Lets the `nth` call of a kind from now on take so many milliseconds of a clock.
    pub fn slow_down(&self, call: Call, nth: u64, takes: u64, clock: Arc<ManualClock>) {
        self.0.world.lock().slow.insert(call, Slow { nth, takes, clock });
    }

    /// Whether everything has stopped.
    pub fn has_stopped(&self) -> bool {
        self.0.world.lock().until_stop == Some(0)
    }

    /// Lets the disk put the `nth` write from now on at a wrong place in its file, so many bytes away. Those who read
    /// before the next crash do not notice: the system's cache has it right.
    pub fn stray(&self, nth: u64, by: i64) {
        self.0.world.lock().until_stray = Some((nth, by));
    }

    /// Lets calls of one kind succeed again.
    pub fn forgive(&self, call: Call) {
        self.0.world.lock().faults.remove(&call);
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

    /// What went wrong so far, and how often; crashes keep it.
    pub fn injected(&self) -> BTreeMap<&'static str, u64> {
        self.0.world.lock().injected.clone()
    }

    /// All files and their content.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = self.0.world.lock();
        let content = |number| world.inodes.get(&number).map(|i| i.data.clone()).unwrap_or_default();
        world.names.all().map(|(path, number)| (path.clone(), content(number))).collect()
    }

    /// Changes a file's content, on the disk too.
    pub fn edit(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.0.world.lock();
        let number = world.names.get(path);
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
        world.names.put(path, number);
    }

    fn enter(&self, call: Call) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.0.world.lock();
        while call == Call::Sync && world.hold_syncs {
            self.0.released.wait(&mut world);
        }
        if world.until_stop == Some(0) {
            return Err(stopped());
        }
        if let Some(slow) = world.slow.get_mut(&call) {
            slow.nth = slow.nth.saturating_sub(1);
            if slow.nth == 0 {
                slow.clock.advance(slow.takes);
                world.slow.remove(&call);
                world.tell("a call takes long");
            }
        }
        match world.faults.get_mut(&call) {
            Some(Fault { nth, error, once }) if *nth <= 1 => {
                let (error, once) = (*error, *once);
                if once {
                    world.faults.remove(&call);
                }
                world.tell(failure(call, error, once));
                Err(io::Error::from_raw_os_error(error))
            }
            Some(fault) => {
                fault.nth -= 1;
                Ok(world)
            }
            None => Ok(world),
        }
    }
}

const NO_SPACE: i32 = 28;

/// Everything that can go wrong here, as [`SimVfs::injected`] calls it.
pub const FAULTS: [&str; 22] = [
    "write lost",
    "write cut short",
    "write torn by sectors of 512 B",
    "write torn by sectors of 4 KiB",
    "write overtaken by an earlier one",
    "new length lost",
    "creation of a file lost",
    "rename lost",
    "deletion lost",
    "everything stops in the middle of a call",
    "EIO of an open",
    "EIO of a read",
    "EIO of one write",
    "EIO of a write and all later ones",
    "EIO of one sync, and later ones succeed",
    "EIO of a sync and all later ones",
    "EIO of a folder's sync",
    "EIO of a rename or deletion",
    "ENOSPC of a call",
    "ENOSPC of a full disk",
    "a call takes long",
    "a write goes astray",
];

/// What a failure by request is called.
fn failure(call: Call, error: i32, once: bool) -> &'static str {
    match (call, once) {
        _ if error == NO_SPACE => "ENOSPC of a call",
        (Call::Open, _) => "EIO of an open",
        (Call::Read, _) => "EIO of a read",
        (Call::Write, true) => "EIO of one write",
        (Call::Write, false) => "EIO of a write and all later ones",
        (Call::Sync, true) => "EIO of one sync, and later ones succeed",
        (Call::Sync, false) => "EIO of a sync and all later ones",
        (Call::SyncDir, _) => "EIO of a folder's sync",
        (Call::Rename, _) => "EIO of a rename or deletion",
    }
}

fn stopped() -> io::Error {
    io::Error::other("everything has stopped")
}

impl World {
    /// Something goes wrong.
    fn tell(&mut self, what: &'static str) {
        *self.injected.entry(what).or_default() += 1;
    }

    /// Counts a call that changes something. An error says that everything stops here: what the call was to change may
    /// or may not have reached the disk.
    fn count(&mut self) -> io::Result<()> {
        match &mut self.until_stop {
            Some(left @ 1..) => {
                *left -= 1;
                if *left > 0 {
                    return Ok(());
                }
                self.tell("everything stops in the middle of a call");
                Err(stopped())
            }
            _ => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        self.names.all().filter_map(|(_, number)| self.inodes.get(&number)).map(|i| i.data.len() as u64).sum()
    }

    /// Where the disk puts a write.
    fn astray(&mut self, position: usize, len: usize, file: usize) -> usize {
        let Some((left, by)) = &mut self.until_stray else { return position };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return position;
        }
        let at = position as i64 + *by;
        self.until_stray = None;
        // Within the file, as a disk's mistake within one extent would be.
        let Some(at) = usize::try_from(at).ok().filter(|at| at + len <= file) else { return position };
        self.tell("a write goes astray");
        at
    }

    fn check_space(&mut self, more: u64) -> io::Result<()> {
        if self.used() + more > self.capacity {
            self.tell("ENOSPC of a full disk");
            return Err(io::Error::from_raw_os_error(NO_SPACE));
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
        let inside = world.names.all().map(|(path, _)| path).filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn VfsFile>> {
        let mut world = self.enter(Call::Open)?;
        let number = match world.names.get(path) {
            Some(number) => number,
            None if create => {
                let number = world.next_inode;
                world.next_inode += 1;
                world.inodes.insert(number, Inode::default());
                world.names.create(path, number);
                world.count()?;
                number
            }
            None => return Err(not_found()),
        };
        drop(world);
        Ok(Arc::new(SimFile { vfs: self.clone(), number }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.enter(Call::Rename)?;
        world.names.rename(from, to).ok_or_else(not_found)?;
        world.count()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.enter(Call::Rename)?;
        world.names.remove(path).ok_or_else(not_found)?;
        world.count()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.enter(Call::SyncDir)?;
        world.count()?;
        world.names.sync(dir);
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

    fn random(&self) -> u64 {
        self.0.world.lock().entropy.number()
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
        power::put(&mut inode.data, position as usize, bytes);
        let len = inode.data.len();
        let at = world.astray(position as usize, bytes.len(), len);
        if let Some(inode) = world.inodes.get_mut(&self.number) {
            inode.pending.push(Change::Write(at, bytes.to_vec()));
        }
        world.count()
    }

    fn sync(&self) -> io::Result<()> {
        let outcome = self.vfs.enter(Call::Sync).and_then(|mut world| world.count());
        if self.vfs.has_stopped() {
            return Err(stopped());
        }
        let mut world = self.vfs.0.world.lock();
        let inode = world.inodes.get_mut(&self.number).ok_or_else(not_found)?;
        // As on Linux: after a failed sync the pages count as clean, and a later sync succeeds without them.
        for change in std::mem::take(&mut inode.pending) {
            match change {
                _ if outcome.is_err() => {}
                Change::Resize(len) => inode.durable.resize(len, 0),
                Change::Write(at, bytes) => power::put(&mut inode.durable, at, &bytes),
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
        world.count()
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
        world.count()
    }
}
