//! Keeping segments from being deleted while they are copied: [`Pin`].
//!
//! The one idea to know: the pin is the system's lock of a file in the data folder, so whoever copies and whoever deletes
//! may be different processes, and it ends with whoever holds it. Deleting can wait; a copy cannot.

use crate::vfs::{LockError, Vfs};
use std::io;
use std::path::Path;

const NAME: &str = "BACKUP";

/// While one is held, nobody else has one.
pub(crate) struct Pin(#[allow(dead_code, reason = "what counts is when it is dropped")] Box<dyn Send + Sync>);

impl Pin {
    /// Takes the pin, unless somebody else has it.
    pub(crate) fn try_take(vfs: &dyn Vfs, dir: &Path) -> io::Result<Option<Self>> {
        match vfs.lock(&dir.join(NAME)) {
            Ok(lock) => Ok(Some(Self(lock))),
            Err(LockError::Held(_)) => Ok(None),
            Err(LockError::Io(error)) => Err(error),
        }
    }
}
