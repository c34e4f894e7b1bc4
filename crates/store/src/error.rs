//! Why a log could not be opened, told so that the server can choose its exit code.

use crate::Lsn;
use sluice_model::{Millis, Offset};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the folder.
    #[error("the data folder {dir} is in use by another broker{}", pid(*.process))]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The other process's number, when it could be read.
        process: Option<u32>,
    },
    /// The system does not let us read or write there.
    #[error("the data folder is not accessible: {path}: {source}")]
    NotPermitted {
        /// What could not be opened.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Stored data is damaged. Nothing was changed on disk.
    #[error("{0}")]
    Damaged(Box<Damage>),
    /// The data was written by a version with another format. Nothing was changed on disk.
    #[error("{path} has format version {found}; this program reads and writes format version {known} only")]
    OtherFormat {
        /// The file that says so.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The one known here.
        known: u32,
    },
    /// The settings do not make sense.
    #[error("store: {0}")]
    Config(String),
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io {
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

fn pid(process: Option<u32>) -> String {
    process.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

impl OpenError {
    /// Tells a refusal from other failures of a file operation.
    pub(crate) fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotPermitted { path, source }
            }
            _ => Self::Io { path, source },
        }
    }

    pub(crate) fn damaged(file: impl Into<PathBuf>, position: u64, what: impl Into<String>) -> Self {
        let damage = Damage {
            file: file.into(),
            position,
            lsn: None,
            what: what.into(),
            lost: Vec::new(),
            waiting: Vec::new(),
        };
        Self::Damaged(Box::new(damage))
    }
}

/// Where stored data is damaged, and what is known to be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The damaged file.
    pub file: PathBuf,
    /// The first unreadable byte within it.
    pub position: u64,
    /// The same as a position in the log, when the file is part of it.
    pub lsn: Option<Lsn>,
    /// What was found.
    pub what: String,
    /// Offsets that entries behind the damage show to be missing.
    pub lost: Vec<LostOffsets>,
    /// Delayed messages that are lost with it.
    pub waiting: Vec<LostWaiting>,
}

/// Delayed messages that are not readable any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostWaiting {
    /// The number in the log of the queue that they are for; nothing when that is not readable either.
    pub queue: Option<u32>,
    /// How many.
    pub count: u64,
    /// None of them is due earlier.
    pub from: Millis,
    /// And none later.
    pub to: Millis,
}

/// Offsets of one queue that are not readable any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostOffsets {
    /// The queue's number in the log.
    pub queue: u32,
    /// The first missing offset.
    pub from: Offset,
    /// The first offset behind that is readable again.
    pub to: Offset,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is damaged at byte {}", self.file.display(), self.position)?;
        if let Some(lsn) = self.lsn {
            write!(f, " (log position {lsn})")?;
        }
        write!(f, ": {}", self.what)?;
        for lost in &self.lost {
            write!(f, "; queue {} lacks offsets {} to {}", lost.queue, lost.from, lost.to.saturating_sub(1))?;
        }
        for lost in &self.waiting {
            write!(f, "; {} delayed messages due from {} to {}", lost.count, lost.from, lost.to)?;
        }
        Ok(())
    }
}
