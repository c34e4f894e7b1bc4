//! The store's own files around the segments: what identifies it, its checkpoints, what does not belong there.

use super::identity::identity;
use super::segments::Segments;
use super::{Inspection, Wound};
use crate::bucket_check::{self, WholeRun};
use crate::buckets;
use crate::checkpoint::{self, Outcome};
use crate::error::{Damage, LostWaiting, OpenError};
use crate::log::Lsn;
use crate::segment::{StoreId, VERSION, log_dir, pool_dir, start_of_name};
use crate::vfs::{LockError, Vfs};
use std::io;
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
#[allow(missing_debug_implementations, reason = "a question has nothing to show")]
pub enum Seen<'a> {
    /// A checkpoint's content, and the position that it tells of.
    Checkpoint(Lsn, &'a [u8]),
    /// A state entry, and where it lies.
    State(Lsn, &'a [u8]),
    /// That was all. Whoever understood it tells which runs of delayed messages count: they are looked at then.
    End(&'a mut dyn FnMut(WholeRun)),
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
    Segments::new(vfs, dir, store, told, &mut *visit).look(&starts, &mut found)?;
    let mut runs = Vec::new();
    visit(Seen::End(&mut |run| runs.push(run)));
    waiting(vfs, dir, store, &runs, &mut found)?;
    Ok(found)
}

/// The files of delayed messages: all runs that count, to their last byte.
fn waiting(
    vfs: &dyn Vfs,
    dir: &Path,
    store: StoreId,
    runs: &[WholeRun],
    found: &mut Inspection,
) -> Result<(), OpenError> {
    let listed = buckets::list(vfs, dir).map_err(|e| OpenError::io(buckets::dir_of(dir), e))?;
    let names = vfs.list(&buckets::dir_of(dir)).unwrap_or_default(); // there is no such folder before it is needed
    let known = |name: &String| listed.iter().any(|b| buckets::path_of(dir, *b).ends_with(name));
    for name in names.iter().filter(|name| !known(name)) {
        found.notes.push(format!("timer/{name} is no file of delayed messages"));
    }
    for bucket in listed {
        if !runs.iter().any(|run| run.bucket == bucket) {
            let path = buckets::path_of(dir, bucket);
            found.notes.push(format!("{} has nothing that waits; the next start removes it", path.display()));
        }
    }
    for run in runs {
        let path = buckets::path_of(dir, run.bucket);
        let damages = match vfs.open(&path, false) {
            Ok(file) => {
                found.bytes += run.behind - run.at;
                bucket_check::check(&*file, &path, store, run).map_err(|e| OpenError::io(&path, e))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (from, to) = (run.bucket.start, run.end.saturating_sub(1));
                let waiting = vec![LostWaiting { queue: None, count: u64::from(run.count), from, to }];
                vec![Damage { waiting, ..damage(&path, run.at, None, "the file is missing") }]
            }
            Err(error) => return Err(OpenError::io(&path, error)),
        };
        for damage in damages {
            found.hurt(damage, Wound::Waiting(*run));
        }
    }
    Ok(())
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
                visit(Seen::Checkpoint(at, &checkpoint.state));
                newest = Some(checkpoint);
            }
            Outcome::Other(found) => return Err(OpenError::OtherFormat { path, found, known: VERSION }),
            Outcome::Unreadable(why) => {
                let what = format!("{why}; an older checkpoint or the log takes its place");
                found.hurt(damage(&path, 0, Some(at), what), Wound::Checkpoint(path.clone()));
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
    Damage { file: path.into(), position, lsn, what: what.into(), lost: Vec::new(), waiting: Vec::new() }
}
