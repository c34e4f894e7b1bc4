//! Making a data folder of a backup: [`restore`].

use super::copy::{compare, copy};
use super::list::{List, Listed};
use super::take::prepare;
use super::{BackupError, Copied, Manner, folders};
use crate::doctor;
use crate::error::OpenError;
use crate::segment::PAGE;
use crate::vfs::Vfs;
use std::path::Path;

/// Without it a folder with segments is refused by every start, so it comes last.
const LAST: &str = "store.meta";
const UNNAMED: &str = "store.meta.tmp";

/// Copies a backup to an empty folder, where a broker can then go on from it. Every file must have the checksum that it had
/// when the backup was made.
///
/// # Errors
/// See [`BackupError`]. What was copied until then stays, and no broker starts on it.
pub fn restore(
    vfs: &dyn Vfs,
    from: &Path,
    to: &Path,
    manner: &mut Manner<'_>,
) -> Result<Copied, BackupError> {
    let list = List::read(vfs, from)?;
    let no_backup = |why: String| BackupError::NoBackup { folder: from.into(), why };
    if !list.files.iter().any(|listed| listed.name == LAST) {
        return Err(no_backup(format!("its list of files has no {LAST}")));
    }
    prepare(vfs, to)?;
    let lock = doctor::lock(vfs, to)?;
    let (last, first): (Vec<&Listed>, Vec<&Listed>) =
        list.files.iter().partition(|listed| listed.name == LAST);
    for listed in first.into_iter().chain(last) {
        let source = from.join(&listed.name);
        // The last one gets its name only when it is found to be right, and all the others are safe.
        let is_last = listed.name == LAST;
        let copied = if is_last { to.join(UNNAMED) } else { to.join(&listed.name) };
        let file = vfs.open(&source, false).map_err(|e| OpenError::io(&source, e))?;
        let crc = copy(vfs, &*file, &copied, listed.len, manner).map_err(|e| OpenError::io(&source, e))?;
        if crc != listed.crc {
            return Err(no_backup(format!("{} has been changed or is damaged", listed.name)));
        }
        let len = file.size().map_err(|e| OpenError::io(&source, e))?;
        if len == listed.len + PAGE {
            // The last segment of a backup has an empty page behind its entries.
            let lengthen = || {
                let file = vfs.open(&copied, false)?;
                file.set_len(len)?;
                file.sync()
            };
            lengthen().map_err(|e| OpenError::io(&copied, e))?;
        }
        if is_last {
            let name = || {
                folders(to).iter().try_for_each(|folder| vfs.sync_dir(folder))?;
                vfs.rename(&copied, &to.join(LAST))
            };
            name().map_err(|e| OpenError::io(to, e))?;
        }
    }
    vfs.sync_dir(to).map_err(|e| OpenError::io(to, e))?;
    let found = doctor::look(vfs, to, &mut |_| {})?;
    if !found.damages.is_empty() {
        return Err(BackupError::Damaged(found.damages));
    }
    if manner.verify {
        for listed in &list.files {
            compare(vfs, &from.join(&listed.name), &to.join(&listed.name), listed, manner)?;
        }
    }
    drop(lock);
    let bytes = list.files.iter().map(|listed| listed.len).sum();
    Ok(Copied { files: list.files.len(), bytes, entries: found.entries, end: list.end })
}
