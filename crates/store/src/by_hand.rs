//! A log without threads: whoever opened it says when it commits and when it prepares files.
//!
//! It exists so that a whole node can run in a simulation, on one thread and the same way each time. The one idea to
//! know: the very code of the log's threads runs here, one step at a time; where others would wait for a thread, the
//! step is made in place.

use super::LocalLog;
use crate::config::Config;
use crate::error::OpenError;
use crate::keeper::Keeper;
use crate::open;
use crate::vfs::Vfs;
use sluice_model::Clock;
use std::path::Path;
use std::sync::Arc;

impl LocalLog {
    /// Opens the log on a given file system, without threads. Reads are answered in place, and what has to be durable
    /// before a call returns is committed by that call.
    ///
    /// # Errors
    /// As [`LocalLog::open`].
    pub fn open_by_hand(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        config: Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let opened = open::open(vfs, dir, config, clock)?;
        let gaps = opened.gaps.clone();
        let log = Self::assemble(opened, Keeper::by_hand(), true);
        log.begin(dir, &gaps)?;
        Ok(log)
    }

    /// Commits what was appended, as the log's thread does when it is woken.
    pub fn commit(&self) {
        self.writer.lock().turn_here();
    }

    /// Does what the log's thread does when nothing came for a while: syncs, and marks the end.
    pub fn be_quiet(&self) {
        self.writer.lock().be_quiet();
    }

    /// Does one thing of those that the background thread does; false when there is nothing to do.
    pub fn keep_files(&self) -> bool {
        self.keeper.step(&self.shared)
    }
}
