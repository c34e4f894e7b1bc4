//! The store's own files around the segments: what identifies it, its checkpoints, what does not belong there.

use super::segments::Segments;
use super::{Inspection, Wound};
use crate::checkpoint::{self, Outcome};
use crate::error::{Damage, OpenError};
use crate::meta;
use crate::segment::{
    PAGE, Page, SegmentHeader, StoreId, VERSION, log_dir, pool_dir, segment_path, start_of_name,
};
use crate::vfs::{LockError, Vfs};
use std::path::Path;

/// Looks through the store in a folder, and hands every state entry and every checkpoint's content to `visit`, oldest
/// first, so that whoever understands them can name the queues. Changes nothing.
///
/// # Errors
/// `InUse` while a broker runs there, `OtherFormat` for a format of another version, and what the system reports. Damage is
/// no error.
pub fn inspect(vfs: &dyn Vfs, dir: &Path, visit: &mut dyn FnMut(Seen<'_>)) -> Result<Inspection, OpenError> {
    let _lock = lock(vfs, dir)?;
    look(vfs, dir, visit)
}

/// What [`inspect`] comes by.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// A checkpoint's content.
    Checkpoint(&'a [u8]),
    /// A state entry.
    State(&'a [u8]),
}

pub(crate) fn lock(vfs: &dyn Vfs, dir: &Path) -> Result<Box<dyn Send + Sync>, OpenError> {
    // The name is that of `open`.
    let path = dir.join("LOCK");
    vfs.lock(&path).map_err(|error| match error {
        LockError::Held(process) => OpenError::InUse { dir: dir.into(), process },
        LockError::Io(error) => OpenError::io(path, error),
    })
}

pub(crate) fn look(
    vfs: &dyn Vfs,
    dir: &Path,
    visit: &mut dyn FnMut(Seen<'_>),
) -> Result<Inspection, OpenError> {
    let mut found = Inspection::default();
    let names = vfs.list(&log_dir(dir)).map_err(|e| OpenError::io(log_dir(dir), e))?;
    let mut starts: Vec<_> = names.iter().filter_map(|name| start_of_name(name)).collect();
    starts.sort_unstable();
    for name in names.iter().filter(|name| start_of_name(name).is_none()) {
        found.notes.push(format!("log/{name} is no segment"));
    }
    let Some(store) = identity(vfs, dir, &starts, &mut found)? else {
        found.notes.push(format!("{} holds no store", dir.display()));
        return Ok(found);
    };
    found.store = Some(store);
    let told = checkpoints(vfs, dir, store, &mut found, visit)?;
    let pool = vfs.list(&pool_dir(dir)).map_err(|e| OpenError::io(pool_dir(dir), e))?;
    let known = |name: &&String| [".free", ".spare", ".tmp"].iter().any(|end| name.ends_with(end));
    for name in pool.iter().filter(|name| !known(name)) {
        found.notes.push(format!("pool/{name} is no prepared file"));
    }
    Segments::new(vfs, dir, store, told, visit).look(&starts, &mut found)?;
    Ok(found)
}

/// The store's id: from its own file, or when that is damaged from the segments.
fn identity(
    vfs: &dyn Vfs,
    dir: &Path,
    starts: &[u64],
    found: &mut Inspection,
) -> Result<Option<StoreId>, OpenError> {
    let path = dir.join("store.meta");
    let from_meta = match meta::read(vfs, dir) {
        Ok(store) => store,
        Err(OpenError::Damaged(_)) => None,
        Err(error) => return Err(error),
    };
    if let Some(store) = from_meta {
        if let Some(copy) = meta::bad_copy(vfs, dir)? {
            let what = format!("copy {copy} of 2 is not readable; the other one is good");
            found.hurt(damage(&path, (copy - 1) * PAGE, None, what), Wound::Meta);
        }
        return Ok(Some(store));
    }
    for start in starts {
        let path = segment_path(dir, *start);
        let file = vfs.open(&path, false).map_err(|e| OpenError::io(&path, e))?;
        let page = crate::recovery::page(&path, &*file, 0)?;
        if let Page::Good(header) = SegmentHeader::decode(&page) {
            let what = "it is missing or not readable, but there are segments";
            found.hurt(damage(&dir.join("store.meta"), 0, None, what), Wound::Meta);
            return Ok(Some(header.store));
        }
    }
    if !starts.is_empty() || path_exists(vfs, dir) {
        let what = "neither this file nor any segment tells which store this is";
        found.hurt(damage(&path, 0, None, what), Wound::Beyond);
    }
    Ok(None)
}

fn path_exists(vfs: &dyn Vfs, dir: &Path) -> bool {
    vfs.open(&dir.join("store.meta"), false).is_ok()
}

/// The checkpoints; up to where the newest good one tells.
fn checkpoints(
    vfs: &dyn Vfs,
    dir: &Path,
    store: StoreId,
    found: &mut Inspection,
    visit: &mut dyn FnMut(Seen<'_>),
) -> Result<Option<checkpoint::Checkpoint>, OpenError> {
    let folder = checkpoint::dir_of(dir);
    let failed = |e| OpenError::io(&folder, e);
    let mut newest = None;
    for at in checkpoint::list(vfs, dir).map_err(failed)? {
        let path = checkpoint::path_of(dir, at);
        match checkpoint::read(vfs, dir, store, at).map_err(failed)? {
            Outcome::Good(checkpoint) => {
                visit(Seen::Checkpoint(&checkpoint.state));
                newest = Some(checkpoint);
            }
            Outcome::Other(found) => return Err(OpenError::OtherFormat { path, found, known: VERSION }),
            Outcome::Unreadable(why) => {
                found.hurt(damage(&path, 0, Some(at), why), Wound::Checkpoint(path.clone()));
            }
        }
    }
    let names = vfs.list(&folder).map_err(failed)?;
    for name in names.iter().filter(|name| !name.ends_with(".ck")) {
        found.notes.push(format!("ckpt/{name} is no checkpoint in use"));
    }
    Ok(newest)
}

pub(super) fn damage(path: &Path, position: u64, lsn: Option<u64>, what: impl Into<String>) -> Damage {
    Damage { file: path.into(), position, lsn, what: what.into(), lost: Vec::new() }
}
