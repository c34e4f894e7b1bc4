//! Which runs of delayed messages count, for those who look at a store while no broker runs.

use crate::core::record::Record;
use crate::core::state::Core;
use sluice_store::{BucketId, Lsn, WholeRun};
use std::collections::BTreeMap;

/// Runs, learnt from checkpoints and the records behind the newest one, in the order in which they were written.
#[derive(Debug, Default)]
pub struct WaitingRuns {
    at: Lsn,
    runs: BTreeMap<(BucketId, u64), WholeRun>,
}

impl WaitingRuns {
    /// Learns from a checkpoint, which tells of everything up to a position. One that cannot be read teaches nothing.
    pub fn checkpoint(&mut self, at: Lsn, state: &[u8]) {
        let Ok((core, _)) = Core::load(state) else { return };
        self.at = at;
        self.runs = core.timers.runs().into_iter().map(|run| ((run.bucket, run.at), run)).collect();
    }

    /// Learns from a record at a position. A file is deleted only after a checkpoint that does not know it any more, so all
    /// that is put aside behind one is there.
    pub fn record(&mut self, at: Lsn, bytes: &[u8]) {
        if at < self.at {
            return;
        }
        if let Ok(Record::Moved(moved)) = Record::decode(bytes) {
            let bucket = BucketId { start: moved.start, made: moved.made };
            let (at, behind, count, end) = (moved.at, moved.behind, moved.count, moved.end);
            self.runs.insert((bucket, at), WholeRun { bucket, at, behind, count, end });
        }
    }

    /// The runs.
    pub fn runs(&self) -> impl Iterator<Item = WholeRun> + '_ {
        self.runs.values().copied()
    }
}
