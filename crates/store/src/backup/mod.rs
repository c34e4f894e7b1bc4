//! A copy of a store that another folder, another disk, another machine can go on from: [`take`] and [`restore`].
//!
//! It exists because files of a log that is being written cannot simply be copied. The one idea to know: all but the last
//! segment never change, and of the last one nothing changes before its end; so a copy that goes up to the end of one whole
//! group is the log as it was at that moment, and holds everything acknowledged before the copy began. All that must not
//! happen meanwhile is that segments are deleted: the [`Pin`](pin::Pin) keeps a running broker from that.
//!
//! A backup is laid out as a data folder, with a `list` of its files and their checksums beside. What a start makes of the
//! files is `recovery`'s business; whether they are sound, `doctor`'s.

mod copy;
mod list;
pub(crate) mod pin;
mod restore;
mod take;

pub use restore::restore;
pub use take::take;

use crate::checkpoint;
use crate::error::{Damage, OpenError};
use crate::log::Lsn;
use crate::segment::{log_dir, pool_dir};
use std::path::{Path, PathBuf};

/// What a backup holds, or what was restored from one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// How many files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The entries of the log that they hold.
    pub entries: u64,
    /// The position that the log reaches.
    pub end: Lsn,
}

/// How a copy is made.
pub struct Manner<'a> {
    /// Read both sides again afterwards, from the disk, and compare them.
    pub verify: bool,
    /// Called after so many bytes: whoever wants a rate waits here.
    pub pace: &'a mut dyn FnMut(u64),
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It would mix with what is there.
    #[error("{0} is not empty")]
    NotEmpty(PathBuf),
    /// There is nothing to copy.
    #[error("{0} holds no data")]
    NoStore(PathBuf),
    /// This folder is not what [`take`] makes, or it did not get to its end.
    #[error("{folder} is no complete backup: {why}")]
    NoBackup {
        /// The folder.
        folder: PathBuf,
        /// What is missing or wrong.
        why: String,
    },
    /// Another backup is being made.
    #[error("another backup of {0} is being made")]
    Busy(PathBuf),
    /// What was copied is damaged, and so is what it was copied from, as far as can be told.
    #[error("the copy is damaged, so it does not count as one: {}", told(.0))]
    Damaged(Vec<Damage>),
    /// A byte of the copy is not that of the original.
    #[error("{copy} differs from {original} at byte {position}")]
    Differs {
        /// The original.
        original: PathBuf,
        /// The copy.
        copy: PathBuf,
        /// The first byte that differs.
        position: u64,
    },
    /// A file operation failed, or the format is another one.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Messages that wait for a time far ahead; what counts of these files is told by the log, and written before it is.
const TIMERS: &str = "timer";

/// The folders of a store.
fn folders(dir: &Path) -> [PathBuf; 5] {
    [log_dir(dir), checkpoint::dir_of(dir), pool_dir(dir), dir.join(TIMERS), dir.to_path_buf()]
}

fn told(damages: &[Damage]) -> String {
    damages.iter().map(Damage::to_string).collect::<Vec<_>>().join("; ")
}
