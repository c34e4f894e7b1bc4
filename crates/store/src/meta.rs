//! `store.meta`: which store a folder holds, and in which format.
//!
//! ```text
//! two equal pages: 0 "SLUICEMT" | 8 version u32 | 12 crc u32 | 16 store id 16 B | 32 created u64, ms | zeros
//! ```
//! A folder with segments and no readable copy is damaged, never new.

use crate::bytes_at::{BytesAt as _, put};
use crate::error::OpenError;
use crate::segment::{PAGE, Page, StoreId, VERSION, check_page, finish_page, start_page};
use crate::vfs::Vfs;
use sluice_model::Millis;
use std::io;
use std::path::Path;

const MAGIC: [u8; 8] = *b"SLUICEMT";
const NAME: &str = "store.meta";
const TEMPORARY: &str = "store.meta.tmp";

/// Reads the store's id; nothing in a folder that holds no store yet.
pub(crate) fn read(vfs: &dyn Vfs, dir: &Path) -> Result<Option<StoreId>, OpenError> {
    let path = dir.join(NAME);
    let file = match vfs.open(&path, false) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::io(path, error)),
    };
    let mut other = None;
    for copy in 0..2 {
        let mut page = vec![0; PAGE as usize];
        let read = file.read_at(&mut page, copy * PAGE).map_err(|e| OpenError::io(&path, e))?;
        match check_page(&page[..read], MAGIC, |page| page.array_at(16)) {
            Page::Good(store) => return Ok(Some(store)),
            Page::Other(version) => other = Some(version),
            Page::Unreadable => {}
        }
    }
    match other {
        Some(found) => Err(OpenError::OtherFormat { path, found, known: VERSION }),
        None => Err(OpenError::damaged(path, 0, "neither of its two copies is readable")),
    }
}

/// The number of a copy that is not readable, when one is not.
pub(crate) fn bad_copy(vfs: &dyn Vfs, dir: &Path) -> Result<Option<u64>, OpenError> {
    let path = dir.join(NAME);
    let file = vfs.open(&path, false).map_err(|e| OpenError::io(&path, e))?;
    for copy in 0..2 {
        let mut page = vec![0; PAGE as usize];
        let read = file.read_at(&mut page, copy * PAGE).map_err(|e| OpenError::io(&path, e))?;
        if !matches!(check_page(&page[..read], MAGIC, |_| ()), Page::Good(())) {
            return Ok(Some(copy + 1));
        }
    }
    Ok(None)
}

/// What a new store is called.
pub(crate) fn new_id(vfs: &dyn Vfs) -> StoreId {
    let (high, low) = (vfs.random(), vfs.random());
    (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
}

/// Writes it, for a new store.
pub(crate) fn create(vfs: &dyn Vfs, dir: &Path, store: StoreId, created: Millis) -> Result<(), OpenError> {
    let mut page = start_page(MAGIC);
    put(&mut page, 16, store);
    put(&mut page, 32, created.to_le_bytes());
    let page = finish_page(page);
    let temporary = dir.join(TEMPORARY);
    let write = || {
        let file = vfs.open(&temporary, true)?;
        file.set_len(0)?;
        file.write_at(&page, 0)?;
        file.write_at(&page, PAGE)?;
        file.sync()?;
        vfs.rename(&temporary, &dir.join(NAME))?;
        vfs.sync_dir(dir)
    };
    write().map_err(|error| OpenError::io(dir.join(NAME), error))
}
