//! Making a backup, of a store that is open as well as of one that is not: [`take`].

use super::copy::{compare, copy};
use super::list::{List, Listed};
use super::pin::Pin;
use super::{BackupError, Copied, Manner, TIMERS, folders};
use crate::checkpoint::{self, Outcome};
use crate::doctor;
use crate::entry::flag;
use crate::error::OpenError;
use crate::log::Lsn;
use crate::meta;
use crate::recovery::{page, sealed_parts};
use crate::scan::Scan;
use crate::segment::{
    PAGE, Page, Segment, SegmentHeader, StoreId, VERSION, log_dir, segment_path, start_of_name,
};
use crate::vfs::{Vfs, VfsFile};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a broker may take to delete what it is deleting.
const PIN_WITHIN: Duration = Duration::from_secs(10);
const PIN_AGAIN: Duration = Duration::from_millis(20);
/// A start of the broker takes an empty segment away, and a checkpoint the oldest one: then everything is listed again.
const TRIES: usize = 5;

/// Copies the store in `dir`, and those of the files `beside` it that there are, to an empty folder. A broker may be at work
/// there; it deletes no segments meanwhile.
///
/// # Errors
/// See [`BackupError`]. What was copied until then stays, and is no backup.
pub fn take(
    vfs: &dyn Vfs,
    dir: &Path,
    beside: &[&str],
    to: &Path,
    manner: &mut Manner<'_>,
) -> Result<Copied, BackupError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |e| OpenError::io(path, e)
    };
    let store = meta::read(vfs, dir)?.ok_or_else(|| BackupError::NoStore(dir.into()))?;
    prepare(vfs, to)?;
    let _pin = pin(vfs, dir)?;
    let mut taking = Taking { vfs, dir, to, store, manner, list: List::default() };
    taking.file("store.meta", None).map_err(io(dir))?;
    for name in beside {
        match taking.file(name, None) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done.map_err(io(&dir.join(name)))?,
        }
    }
    for left in (0..TRIES).rev() {
        match taking.checkpoints_and_segments() {
            Err(BackupError::Open(OpenError::Io { source, .. }))
                if source.kind() == io::ErrorKind::NotFound && left > 0 => {}
            done => {
                done?;
                break;
            }
        }
    }
    let found = doctor::look(vfs, to, &mut |_| {})?;
    if !found.damages.is_empty() {
        return Err(BackupError::Damaged(found.damages));
    }
    taking.finish(found.entries)
}

/// Makes the folders of a copy, which must not hold anything yet.
pub(super) fn prepare(vfs: &dyn Vfs, to: &Path) -> Result<(), BackupError> {
    let io = |e| OpenError::io(to, e);
    match vfs.list(to) {
        Ok(names) if !names.is_empty() => return Err(BackupError::NotEmpty(to.into())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error).into()),
        _ => {}
    }
    folders(to).iter().try_for_each(|folder| vfs.create_dir_all(folder)).map_err(io)?;
    Ok(())
}

fn pin(vfs: &dyn Vfs, dir: &Path) -> Result<Pin, BackupError> {
    let begun = Instant::now();
    loop {
        match Pin::try_take(vfs, dir).map_err(|e| OpenError::io(dir, e))? {
            Some(pin) => return Ok(pin),
            None if begun.elapsed() > PIN_WITHIN => return Err(BackupError::Busy(dir.into())),
            None => std::thread::sleep(PIN_AGAIN),
        }
    }
}

struct Taking<'a, 'b> {
    vfs: &'a dyn Vfs,
    dir: &'a Path,
    to: &'a Path,
    store: StoreId,
    manner: &'a mut Manner<'b>,
    list: List,
}

impl Taking<'_, '_> {
    /// Copies a file, or so much of it.
    fn file(&mut self, name: &str, len: Option<u64>) -> io::Result<()> {
        let file = self.vfs.open(&self.dir.join(name), false)?;
        let len = match len {
            Some(len) => len,
            None => file.size()?,
        };
        let crc = copy(self.vfs, &*file, &self.to.join(name), len, self.manner)?;
        self.list.files.retain(|listed| listed.name != name); // of an earlier try
        self.list.files.push(Listed { name: name.into(), len, crc });
        Ok(())
    }

    /// The checkpoints first: the log then reaches further than they tell.
    fn checkpoints_and_segments(&mut self) -> Result<(), BackupError> {
        for at in checkpoint::list(self.vfs, self.dir).map_err(|e| OpenError::io(self.dir, e))? {
            match self.checkpoint(at) {
                // A newer one has taken its place. It tells less than the log that is copied, as this one does.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => done.map_err(|e| OpenError::io(checkpoint::path_of(self.dir, at), e))?,
            }
        }
        let kept = |listed: &Listed| listed.name.starts_with("ckpt/");
        let some = checkpoint::list(self.vfs, self.dir).map_err(|e| OpenError::io(self.dir, e))?;
        if !some.is_empty() && !self.list.files.iter().any(kept) {
            return Err(OpenError::io(checkpoint::dir_of(self.dir), io::ErrorKind::NotFound.into()).into());
        }
        let folder = log_dir(self.dir);
        let names = self.vfs.list(&folder).map_err(|e| OpenError::io(&folder, e))?;
        let mut starts: Vec<Lsn> = names.iter().filter_map(|name| start_of_name(name)).collect();
        starts.sort_unstable();
        for (n, start) in starts.iter().enumerate() {
            self.segment(*start, starts.get(n + 1).copied())?;
        }
        self.timers()
    }

    /// After the log: what it refers to was written before.
    fn timers(&mut self) -> Result<(), BackupError> {
        let folder = self.dir.join(TIMERS);
        let names = match self.vfs.list(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            names => names.map_err(|e| OpenError::io(&folder, e))?,
        };
        for name in names {
            self.file(&format!("{TIMERS}/{name}"), None).map_err(|e| OpenError::io(folder.join(&name), e))?;
        }
        Ok(())
    }

    fn checkpoint(&mut self, at: Lsn) -> io::Result<()> {
        match checkpoint::read(self.vfs, self.dir, self.store, at)? {
            // A start falls back to the older one as well.
            Outcome::Unreadable(why) => {
                tracing::warn!(at, why, "a damaged checkpoint is not copied");
                Ok(())
            }
            Outcome::Good(_) | Outcome::Other(_) => self.file(&format!("ckpt/{at:016x}.ck"), None),
        }
    }

    fn segment(&mut self, start: Lsn, next: Option<Lsn>) -> Result<(), OpenError> {
        let path = segment_path(self.dir, start);
        let failed = |e| OpenError::io(&path, e);
        let file = self.vfs.open(&path, false).map_err(failed)?;
        let len = file.size().map_err(failed)?;
        let header = match SegmentHeader::decode(&page(&path, &*file, 0)?) {
            Page::Good(header) if header.start == start && header.store == self.store => header,
            Page::Other(found) => return Err(OpenError::OtherFormat { path, found, known: VERSION }),
            Page::Good(_) | Page::Unreadable => {
                return Err(OpenError::damaged(path, 0, "its header page is not readable"));
            }
        };
        let name = format!("log/{start:016x}.seg");
        let segment = Segment { start, epoch: header.epoch, path: path.clone(), held: None, len };
        if let Some((footer, _)) = sealed_parts(&segment, &*file, self.store)? {
            self.list.end = footer.end;
            self.file(&name, Some(len)).map_err(failed)?;
            file.drop_cached(0, len);
            return Ok(());
        }
        let end = end_of_groups(&file, &segment, next).map_err(failed)?;
        if next.is_some_and(|next| next != end) {
            let what = "its entries do not reach to the next segment";
            return Err(OpenError::damaged(path, segment.position(end), what));
        }
        self.list.end = end;
        self.file(&name, Some(segment.position(end))).map_err(failed)?;
        // What looks for a footer at the end of the file finds none.
        let copy = self.to.join(&name);
        let lengthen = || {
            let file = self.vfs.open(&copy, false)?;
            file.set_len(segment.position(end) + PAGE)?;
            file.sync()
        };
        lengthen().map_err(|e| OpenError::io(&copy, e))
    }

    /// Makes all names safe and the list last, and compares when that is wanted.
    fn finish(self, entries: u64) -> Result<Copied, BackupError> {
        let Self { vfs, dir, to, manner, list, .. } = self;
        for folder in folders(to) {
            vfs.sync_dir(&folder).map_err(|e| OpenError::io(folder, e))?;
        }
        if manner.verify {
            for listed in &list.files {
                compare(vfs, &dir.join(&listed.name), &to.join(&listed.name), listed, manner)?;
            }
        }
        list.write(vfs, to).map_err(|e| OpenError::io(to, e))?;
        let bytes = list.files.iter().map(|listed| listed.len).sum();
        Ok(Copied { files: list.files.len(), bytes, entries, end: list.end })
    }
}

/// The end of the last whole group of a segment that has no index yet. Nothing before it changes any more.
fn end_of_groups(file: &Arc<dyn VfsFile>, segment: &Segment, next: Option<Lsn>) -> io::Result<Lsn> {
    let limit = next.map_or(segment.len, |next| segment.position(next).min(segment.len));
    let mut scan = Scan::new(Arc::clone(file), segment.start, Some(segment.epoch), limit);
    let mut end = scan.lsn();
    while let Some(scanned) = scan.next()? {
        if !scanned.header.has(flag::MORE) {
            end = scan.lsn();
        }
    }
    Ok(end)
}
