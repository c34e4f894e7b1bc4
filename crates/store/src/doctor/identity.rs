//! Which store this is: what its own file says, or, where that is gone, whatever else says it.
//!
//! The one idea to know: the name only keeps the files of two stores apart. Entries do not carry it, so where no file tells it any
//! more, those that are sound are used under a new one, and nothing is lost by that.

use super::inspect::damage;
use super::{Inspection, Wound};
use crate::error::OpenError;
use crate::recovery::page;
use crate::scan::Scan;
use crate::sealed::Footer;
use crate::segment::{PAGE, Page, SegmentHeader, StoreId, segment_path};
use crate::vfs::Vfs;
use crate::{buckets, checkpoint, meta};
use std::path::Path;
use std::sync::Arc;

const FILE: &str = "store.meta";

/// The store's id, or that there is no store; and what is damaged of what should tell it.
pub(super) fn identity(
    vfs: &dyn Vfs,
    dir: &Path,
    starts: &[u64],
    found: &mut Inspection,
) -> Result<Option<StoreId>, OpenError> {
    let path = dir.join(FILE);
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
    let store = match of_segments(vfs, dir, starts)? {
        Some(store) => Some((store, "the segments tell what it said")),
        None => of_others(vfs, dir)?.map(|store| (store, "other files tell what it said")),
    };
    if let Some((store, who)) = store {
        let what = format!("it is missing or not readable; {who}");
        found.hurt(damage(&path, 0, None, what), Wound::Meta);
        return Ok(Some(store));
    }
    if has_entries(vfs, dir, starts)? {
        let what = "neither this file nor any other tells which store this is; a repair gives it a new name, \
                    under which its entries are as good as before";
        found.hurt(damage(&path, 0, None, what), Wound::Meta);
        return Ok(Some(meta::new_id(vfs)));
    }
    if !starts.is_empty() || vfs.open(&path, false).is_ok() {
        let what = "no file tells which store this is, and no entry is left";
        found.hurt(damage(&path, 0, None, what), Wound::Beyond);
    }
    Ok(None)
}

/// What a segment's header says, or its footer.
fn of_segments(vfs: &dyn Vfs, dir: &Path, starts: &[u64]) -> Result<Option<StoreId>, OpenError> {
    for start in starts {
        let path = segment_path(dir, *start);
        let failed = |e| OpenError::io(&path, e);
        let file = vfs.open(&path, false).map_err(failed)?;
        if let Page::Good(header) = SegmentHeader::decode(&page(&path, &*file, 0)?) {
            return Ok(Some(header.store));
        }
        let last = file.size().map_err(failed)?.saturating_sub(PAGE);
        if let Page::Good(footer) = Footer::decode(&page(&path, &*file, last)?)
            && footer.start == *start
        {
            return Ok(Some(footer.store));
        }
    }
    Ok(None)
}

/// What a checkpoint says, or a file of delayed messages.
fn of_others(vfs: &dyn Vfs, dir: &Path) -> Result<Option<StoreId>, OpenError> {
    let failed = |e| OpenError::io(checkpoint::dir_of(dir), e);
    for at in checkpoint::list(vfs, dir).map_err(failed)? {
        if let Some(store) = checkpoint::store_of(vfs, dir, at).map_err(failed)? {
            return Ok(Some(store));
        }
    }
    let failed = |e| OpenError::io(buckets::dir_of(dir), e);
    for bucket in buckets::list(vfs, dir).map_err(failed)? {
        if let Some(store) = buckets::store_of(vfs, dir, bucket).map_err(failed)? {
            return Ok(Some(store));
        }
    }
    Ok(None)
}

fn has_entries(vfs: &dyn Vfs, dir: &Path, starts: &[u64]) -> Result<bool, OpenError> {
    for start in starts {
        let path = segment_path(dir, *start);
        let look = || {
            let file = vfs.open(&path, false)?;
            let len = file.size()?;
            Scan::new(Arc::clone(&file), *start, None, len).search()
        };
        if look().map_err(|e| OpenError::io(&path, e))?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
