//! The file operations that the log needs, as a trait, and the operating system's answer to it.
//!
//! It exists so that a whole log can run over [`crate::sim::SimVfs`], which loses unsynced writes, tears them and fails
//! on demand. The one idea to know: nothing outside this file touches a file, and every call may fail with any error.

use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use rustix::fs::{
    Advice, FallocateFlags, FlockOperation, OFlags, fadvise, fallocate, fdatasync, flock, statvfs,
};
use rustix::io::{Errno, pread};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::num::NonZeroU64;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// A file system.
pub trait Vfs: Send + Sync + 'static {
    /// Makes a folder and those above it.
    ///
    /// # Errors
    /// As the system reports.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// The names in a folder.
    ///
    /// # Errors
    /// As the system reports.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Opens a file for reading and writing; `create` makes it when it is not there.
    ///
    /// # Errors
    /// As the system reports.
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn VfsFile>>;
    /// Gives a file another name, replacing what is there.
    ///
    /// # Errors
    /// As the system reports.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Deletes a file.
    ///
    /// # Errors
    /// As the system reports.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and deletions in a folder survive a power cut.
    ///
    /// # Errors
    /// As the system reports.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the one lock of a file, without waiting, and writes our process number into it.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it.
    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>, LockError>;
    /// The size of the file system that holds `dir`, and the bytes of it that we may still take.
    ///
    /// # Errors
    /// As the system reports.
    fn space(&self, dir: &Path) -> io::Result<DiskSpace>;
    /// A number that nobody can foresee, for names and ids: the system's other gift.
    fn random(&self) -> u64 {
        rand::random()
    }
}

/// An open file.
pub trait VfsFile: Send + Sync {
    /// Reads up to `buf.len()` bytes at a position; fewer only at the end of the file.
    ///
    /// # Errors
    /// As the system reports.
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at a position.
    ///
    /// # Errors
    /// As the system reports.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Writes what follows what was written before, for someone who syncs it at once and keeps it in memory: past the
    /// system's cache where that is possible, and then no more than the disk's sectors that it reaches into. Behind the
    /// first `used` bytes are zeros, up to the end of a page of the system's cache, and nothing else is in the file.
    ///
    /// # Errors
    /// As the system reports.
    fn write_next(&self, bytes: &[u8], used: usize, position: u64) -> io::Result<()> {
        let _ = used;
        self.write_at(bytes, position)
    }
    /// Makes everything written, and the file's length, survive a power cut.
    ///
    /// # Errors
    /// As the system reports. After an error the written bytes must be taken for lost.
    fn sync(&self) -> io::Result<()>;
    /// The file's length.
    ///
    /// # Errors
    /// As the system reports.
    fn size(&self) -> io::Result<u64>;
    /// Cuts the file, or extends it by zeros.
    ///
    /// # Errors
    /// As the system reports.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Takes the space for `len` bytes from the file system.
    ///
    /// # Errors
    /// As the system reports.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Writes zeros between two positions, for someone who will not read them: past the system's cache where that is
    /// possible. What is left in the cache is little; [`VfsFile::sync`] makes all of it safe.
    ///
    /// # Errors
    /// As the system reports.
    fn write_zeros(&self, from: u64, to: u64) -> io::Result<()> {
        write_zeros_through(self, from, to)
    }
    /// Lets the system forget what it has of these bytes in its cache, so that the next read is of the disk, and so that
    /// those who read everything once do not drive out what others read often. Without effect where there is no cache.
    fn drop_cached(&self, _from: u64, _len: u64) {}
    /// So many bytes from a position on in memory of their own; fewer only at the end of the file.
    ///
    /// # Errors
    /// As the system reports.
    fn read_bytes(&self, len: usize, position: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let read = self.read_at(&mut bytes, position)?;
        bytes.truncate(read);
        Ok(bytes)
    }
    /// Lets the system begin to read these bytes, for someone who will ask for them soon.
    fn will_read(&self, _from: u64, _len: u64) {}
}

/// Writes zeros as everything else is written.
fn write_zeros_through(file: &(impl VfsFile + ?Sized), from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS];
    for at in (from..to).step_by(ZEROS) {
        file.write_at(&zeros[..(to - at).min(ZEROS as u64) as usize], at)?;
    }
    Ok(())
}

/// Zeros are written in this size at most.
const ZEROS: usize = 256 << 10;
/// What direct writes are aligned to, in memory and in the file: no disk in use asks for more.
const ALIGNMENT: usize = 4096;

/// The size of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// All of it.
    pub total: u64,
    /// What an unprivileged process may still take.
    pub available: u64,
}

impl DiskSpace {
    /// How full it is.
    pub(crate) fn used_per_mille(self) -> u16 {
        let used = self.total.saturating_sub(self.available);
        (used.saturating_mul(1000) / self.total.max(1)).min(1000) as u16
    }
}

/// Why a lock was not given.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it; its number, when it could be read.
    Held(Option<u32>),
    /// The system refused.
    Io(io::Error),
}

/// The operating system's file system.
#[derive(Debug, Default, Clone, Copy)]
pub struct OsVfs;

impl Vfs for OsVfs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn VfsFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(create).truncate(false);
        options.mode(0o600).custom_flags(OFlags::CLOEXEC.bits() as i32);
        Ok(Arc::new(OsFile { file: options.open(path)?, direct: OnceLock::new(), next: Mutex::default() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>, LockError> {
        let open =
            || OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mut file = open().map_err(LockError::Io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let _ = file.read_to_string(&mut text);
                return Err(LockError::Held(text.trim().parse().ok()));
            }
            Err(error) => return Err(LockError::Io(error.into())),
        }
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(LockError::Io)?;
        Ok(Box::new(file))
    }

    fn space(&self, dir: &Path) -> io::Result<DiskSpace> {
        let stat = statvfs(dir)?;
        // What root keeps for itself counts as used: we cannot take it.
        let reserved = stat.f_bfree.saturating_sub(stat.f_bavail);
        Ok(DiskSpace {
            total: stat.f_blocks.saturating_sub(reserved) * stat.f_frsize,
            available: stat.f_bavail * stat.f_frsize,
        })
    }
}

struct OsFile {
    file: File,
    /// The same file past the system's cache, once it was asked for; nothing where the file system has no such way.
    direct: OnceLock<Option<File>>,
    next: Mutex<Next>,
}

impl OsFile {
    fn direct(&self) -> Option<&File> {
        let open = || {
            let flags = OFlags::CLOEXEC | OFlags::DIRECT;
            // By its number: whatever it is called by now.
            let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            OpenOptions::new().write(true).custom_flags(flags.bits() as i32).open(path).ok()
        };
        self.direct.get_or_init(open).as_ref()
    }
}

/// What direct writes that follow each other need: they begin and end where sectors do, and so does their memory.
struct Next {
    /// The size of what is written whole: as small as the disk allows.
    sector: Sector,
    /// How far the file is written, if what lies before that in its sector is known.
    end: Option<u64>,
    /// That.
    last: Vec<u8>,
    memory: Vec<u8>,
}

/// The sizes that there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sector {
    Small,
    Page,
    /// None of them is right: the file system finds out only with the first write that it cannot.
    None,
}

impl Default for Next {
    fn default() -> Self {
        Self { sector: Sector::Small, end: None, last: Vec::new(), memory: Vec::new() }
    }
}

impl Next {
    fn unit(&self) -> u64 {
        if self.sector == Sector::Small { 512 } else { ALIGNMENT as u64 }
    }

    /// Whether it could be written.
    fn write(&mut self, direct: &File, bytes: &[u8], position: u64) -> io::Result<bool> {
        while self.sector != Sector::None {
            if !position.is_multiple_of(self.unit()) && self.end != Some(position) {
                return Ok(false);
            }
            match self.try_write(direct, bytes, position) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    self.sector = if self.sector == Sector::Small { Sector::Page } else { Sector::None };
                    self.end = None;
                }
                outcome => return outcome.map(|()| true),
            }
        }
        Ok(false)
    }

    fn try_write(&mut self, direct: &File, mut bytes: &[u8], position: u64) -> io::Result<()> {
        let unit = self.unit() as usize;
        if self.memory.is_empty() {
            self.memory = vec![0; ZEROS + ALIGNMENT];
        }
        let start = self.memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        let memory = &mut self.memory[start..start + ZEROS];
        let mut filled = (position % unit as u64) as usize;
        memory[..filled].iter_mut().zip(&self.last).for_each(|(to, from)| *to = *from);
        let mut at = position - filled as u64;
        while !bytes.is_empty() {
            let (some, rest) = bytes.split_at(bytes.len().min(ZEROS - filled));
            memory[filled..filled + some.len()].copy_from_slice(some);
            let end = filled + some.len();
            let whole = end.next_multiple_of(unit);
            memory[end..whole].fill(0);
            direct.write_all_at(&memory[..whole], at)?;
            (at, bytes, filled) = (at + whole as u64, rest, 0);
        }
        Ok(())
    }

    /// Remembers what the next one has to write again.
    fn keep(&mut self, bytes: &[u8], position: u64) {
        let end = position + bytes.len() as u64;
        let over = (end % self.unit()) as usize;
        if over <= bytes.len() {
            self.last.clear();
            self.last.extend_from_slice(&bytes[bytes.len() - over..]);
        } else if self.end == Some(position) && self.last.len() + bytes.len() == over {
            self.last.extend_from_slice(bytes);
        } else {
            self.end = None;
            return;
        }
        self.end = Some(end);
    }
}

/// Writes zeros past the system's cache.
fn write_zeros_to(direct: &File, from: u64, to: u64) -> io::Result<()> {
    // Of the program's image: pages that nobody writes to need neither memory nor clearing.
    static MEMORY: [u8; ZEROS + ALIGNMENT] = [0; ZEROS + ALIGNMENT];
    let start = MEMORY.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
    let zeros = &MEMORY[start..start + ZEROS];
    for at in (from..to).step_by(ZEROS) {
        direct.write_all_at(&zeros[..(to - at).min(ZEROS as u64) as usize], at)?;
    }
    Ok(())
}

impl VfsFile for OsFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], position + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn read_bytes(&self, len: usize, position: u64) -> io::Result<Vec<u8>> {
        // Memory that is filled by the system need not be cleared first: of what a cold read costs that is a sixth.
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let at = position + bytes.len() as u64;
            match pread(&self.file, spare_capacity(&mut bytes), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, position)
    }

    fn write_next(&self, bytes: &[u8], used: usize, position: u64) -> io::Result<()> {
        let Some(direct) = self.direct() else { return self.write_at(bytes, position) };
        let mut next = self.next.lock();
        let new = bytes.get(..used).unwrap_or(bytes);
        if !next.write(direct, new, position)? {
            self.write_at(bytes, position)?;
        }
        next.keep(new, position);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(fdatasync(&self.file)?)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), 0, len) {
            // Not every file system can: then the zeros that follow take the space.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    fn drop_cached(&self, from: u64, len: u64) {
        // A wish: where it is not granted, the cache is read.
        let _ = fadvise(&self.file, from, NonZeroU64::new(len), Advice::DontNeed);
    }

    fn will_read(&self, from: u64, len: u64) {
        let _ = fadvise(&self.file, from, NonZeroU64::new(len), Advice::WillNeed); // as above
    }

    fn write_zeros(&self, from: u64, to: u64) -> io::Result<()> {
        let aligned = (from | to).is_multiple_of(ALIGNMENT as u64);
        let past_the_cache = aligned.then(|| self.direct()).flatten();
        match past_the_cache.map(|direct| write_zeros_to(direct, from, to)) {
            // Some file systems find out only now that they cannot.
            None | Some(Err(_)) => {
                write_zeros_through(self, from, to)?;
                self.sync() // so that the log's own sync does not find much to do
            }
            Some(Ok(())) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside this program, where there is a disk: what is only in memory has no way past the cache.
    fn folder() -> tempfile::TempDir {
        let program = std::env::current_exe().unwrap();
        tempfile::tempdir_in(program.parent().unwrap()).unwrap()
    }

    #[test]
    fn what_follows_is_written_as_everything_else_and_nothing_else_is_touched() {
        const LEN: usize = 4 << 20;
        let folder = folder();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let file = OsVfs.open(&from, true).unwrap();
        file.set_len(LEN as u64).unwrap();
        // As files of the log are: opened under one name, written to under another.
        OsVfs.rename(&from, &to).unwrap();
        let mut wanted = vec![0; LEN];
        let (mut at, mut dice) = (4096, 7u64);
        let mut roll = |below: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (dice >> 33) % below
        };
        for n in 0..400u64 {
            let used = match roll(20) {
                0 => 300_000 + roll(300_000),
                1..5 => 1 + roll(30_000),
                5 => 512 - at as u64 % 512,
                _ => 1 + roll(1500),
            } as usize;
            if at + used + ALIGNMENT > LEN {
                break;
            }
            let mut bytes = vec![n as u8 + 1; used];
            bytes.resize(used + (at + used).next_multiple_of(ALIGNMENT) - (at + used), 0);
            match roll(10) {
                0 => file.write_at(&bytes, at as u64).unwrap(),
                _ => file.write_next(&bytes, used, at as u64).unwrap(),
            }
            wanted[at..at + bytes.len()].copy_from_slice(&bytes);
            at += used;
            if roll(4) == 0 {
                file.sync().unwrap();
            }
            if roll(30) == 0 {
                assert!(file.read_bytes(LEN, 0).unwrap() == wanted, "write {n}");
            }
        }
        assert!(at > LEN / 4);
        for file in [file, OsVfs.open(&to, false).unwrap()] {
            assert!(file.read_bytes(LEN, 0).unwrap() == wanted);
        }
    }

    #[test]
    fn the_first_size_that_the_file_system_takes_is_kept() {
        let folder = folder();
        let path = folder.path().join("file");
        // A file that is not open past the cache takes every size, and one that is only read none.
        let through = OpenOptions::new().write(true).create_new(true).open(&path).unwrap();
        let mut next = Next::default();
        assert!(next.write(&through, b"ab", 0).unwrap() && next.sector == Sector::Small);
        assert!(!next.write(&through, b"c", 5).unwrap(), "nothing is known of what lies before");
        next.keep(b"ab", 0);
        assert!(next.write(&through, b"c", 2).unwrap());
        assert_eq!(fs::read(&path).unwrap(), [b"abc".as_slice(), &[0; 509]].concat());
        assert!(next.write(&File::open(&path).unwrap(), b"c", 2).is_err(), "other errors are told");
    }
}
