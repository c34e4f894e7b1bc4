//! Giving up what cannot be read, so that the rest can be used again: [`repair`].
//!
//! The one idea to know: positions in the log are places in files, so nothing is moved. Where entries are not readable,
//! marks take their place that say so; what can be made anew from what is left (indexes, header pages, the store's own
//! file) is made anew. Every file that is changed is copied to `damaged/` first.

use super::inspect::{Seen, lock, look};
use super::{Inspection, Wound};
use crate::bucket_check;
use crate::buckets;
use crate::entry::{EntryHeader, EntryKind, HEADER, flag, payload_crc};
use crate::error::OpenError;
use crate::log::Lsn;
use crate::meta;
use crate::segment::{PAGE, SegmentHeader, StoreId, log_dir, pool_dir, segment_path};
use crate::vfs::{Vfs, VfsFile};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Copied, or marked as lost, at once.
const AT_ONCE: u64 = 1 << 20;

/// What a repair did.
#[derive(Debug)]
pub struct Repaired {
    /// What was found before.
    pub before: Inspection,
    /// The copies of the files that were changed.
    pub aside: Vec<PathBuf>,
    /// What was found afterwards: without damage, unless something is beyond repair.
    pub after: Inspection,
}

/// Sets damaged files aside and gives up what cannot be read. `visit` is shown everything twice, as by [`super::inspect`]:
/// before, and afterwards.
///
/// # Errors
/// As [`super::inspect`].
pub fn repair(vfs: &dyn Vfs, dir: &Path, visit: &mut dyn FnMut(Seen<'_>)) -> Result<Repaired, OpenError> {
    let _lock = lock(vfs, dir)?;
    let before = look(vfs, dir, visit)?;
    let mut repair = Repair { vfs, dir, aside: BTreeSet::new(), copies: Vec::new() };
    if let Some(store) = before.store {
        for wound in &before.wounds {
            repair.treat(wound, store).map_err(|error| OpenError::io(dir, error))?;
        }
    }
    let copies = repair.copies;
    let after = look(vfs, dir, visit)?;
    Ok(Repaired { before, aside: copies, after })
}

struct Repair<'a> {
    vfs: &'a dyn Vfs,
    dir: &'a Path,
    /// Copied already.
    aside: BTreeSet<PathBuf>,
    copies: Vec<PathBuf>,
}

impl Repair<'_> {
    fn treat(&mut self, wound: &Wound, store: StoreId) -> io::Result<()> {
        match wound {
            Wound::Beyond => Ok(()),
            Wound::Checkpoint(path) => {
                self.set_aside(path)?;
                self.vfs.remove(path)?;
                self.vfs.sync_dir(path.parent().unwrap_or(self.dir))
            }
            Wound::Meta => {
                let path = self.dir.join("store.meta");
                if self.vfs.open(&path, false).is_ok() {
                    self.set_aside(&path)?;
                }
                meta::create(self.vfs, self.dir, store, 0)
                    .map_err(|error| io::Error::other(error.to_string()))
            }
            Wound::Header { path, start, epoch } => {
                self.set_aside(path)?;
                let file = self.vfs.open(path, false)?;
                let len = file.size()?;
                let header = SegmentHeader { store, start: *start, epoch: *epoch, len, created: 0 };
                file.write_at(&header.encode(), 0)?;
                file.sync()
            }
            Wound::Index { path } => {
                self.set_aside(path)?;
                let file = self.vfs.open(path, false)?;
                drop_index(&*file)?;
                file.sync()
            }
            Wound::Entries { path, start, epoch, from, to, stored } => {
                self.set_aside(path)?;
                let file = self.vfs.open(path, false)?;
                drop_index(&*file)?;
                give_up(&*file, *start, *epoch, (*from, *to), *stored)?;
                file.sync()
            }
            Wound::Missing { from, to, stored } => self.stand_in(store, *from, *to, *stored),
            Wound::Waiting(run) => {
                let path = buckets::path_of(self.dir, run.bucket);
                if self.vfs.open(&path, false).is_ok() {
                    self.set_aside(&path)?;
                }
                let file = buckets::open(self.vfs, self.dir, run.bucket, true)?;
                bucket_check::give_up(&*file, store, run)?;
                file.sync()
            }
        }
    }

    /// A segment in the place of one that is gone.
    fn stand_in(&mut self, store: StoreId, from: Lsn, to: Lsn, stored: u64) -> io::Result<()> {
        let path = segment_path(self.dir, from);
        if self.vfs.open(&path, false).is_ok() {
            self.set_aside(&path)?;
        }
        let temporary = pool_dir(self.dir).join(format!("{:016x}.tmp", self.vfs.random()));
        let file = self.vfs.open(&temporary, true)?;
        // The page behind the marks is where an index would be.
        let (epoch, len) = (self.vfs.random() as u32, to - from + PAGE);
        file.set_len(len)?;
        let header = SegmentHeader { store, start: from, epoch, len, created: 0 };
        file.write_at(&header.encode(), 0)?;
        give_up(&*file, from, epoch, (from + PAGE, to), stored)?;
        file.sync()?;
        self.vfs.rename(&temporary, &path)?;
        self.vfs.sync_dir(&pool_dir(self.dir))?;
        self.vfs.sync_dir(&log_dir(self.dir))
    }

    /// Copies a file to `damaged/`, once.
    fn set_aside(&mut self, path: &Path) -> io::Result<()> {
        if !self.aside.insert(path.to_path_buf()) {
            return Ok(());
        }
        let folder = self.dir.join("damaged");
        self.vfs.create_dir_all(&folder)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let copy = folder.join(format!("{name}.{:08x}", self.vfs.random() as u32));
        let (from, to) = (self.vfs.open(path, false)?, self.vfs.open(&copy, true)?);
        let (mut at, len) = (0, from.size()?);
        while at < len {
            let mut bytes = vec![0; AT_ONCE.min(len - at) as usize];
            let read = from.read_at(&mut bytes, at)?;
            bytes.truncate(read);
            if bytes.is_empty() {
                break;
            }
            to.write_at(&bytes, at)?;
            at += bytes.len() as u64;
        }
        to.sync()?;
        self.vfs.sync_dir(&folder)?;
        self.vfs.sync_dir(self.dir)?;
        self.copies.push(copy);
        Ok(())
    }
}

/// The next start makes the index anew where there is no footer.
fn drop_index(file: &dyn VfsFile) -> io::Result<()> {
    let len = file.size()?;
    if len >= 2 * PAGE { file.write_at(&[0; PAGE as usize], len - PAGE) } else { Ok(()) }
}

/// Puts marks in the place of what is lost.
fn give_up(
    file: &dyn VfsFile,
    start: Lsn,
    epoch: u32,
    (from, to): (Lsn, Lsn),
    stored: u64,
) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let left = to - at;
        // What is left over has to be large enough for a mark of its own.
        let len = if left <= AT_ONCE { left } else { AT_ONCE.min(left - HEADER as u64) };
        let payload = vec![0; (len as usize).saturating_sub(HEADER)];
        let header = EntryHeader {
            len: len as u32,
            payload_crc: payload_crc(at, &payload),
            lsn: at,
            epoch,
            queue: 0,
            offset: 0,
            stored,
            count: 0,
            encoding: 0,
            kind: EntryKind::Mark,
            flags: flag::LOST,
            durable: 0,
            tag_hash: 0,
        };
        let mut head = [0; HEADER];
        header.encode(&mut head);
        file.write_at(&head, at - start)?;
        file.write_at(&payload, at - start + HEADER as u64)?;
        at += len;
    }
    Ok(())
}
