//! The settings of the log on disk, each with its default and its reason.

use serde::{Deserialize, Serialize};
use sluice_model::units::{ByteSize, Span};

/// Smaller segments would hold more headers than messages.
const MIN_SEGMENT: u64 = 64 << 10;
/// Positions within a segment are kept in 32 bits.
const MAX_SEGMENT: u64 = 2 << 30;

/// When an append that asks for [`crate::Durability::Sync`] counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flush {
    /// When it is on the disk.
    #[default]
    Sync,
    /// When the operating system has it: a power cut may lose the last 100 ms or 4 MiB that were acknowledged.
    Async,
}

/// Settings of the log on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `sync`: an acknowledged message is on the disk. `async` acknowledges once the operating system has it.
    pub flush: Flush,
    /// The size of one file of the log, 64 KiB to 2 GiB. It bounds what a start after a crash has to read, and is the
    /// grain in which old messages are deleted. The first files of a new log are smaller, so that it starts at once.
    pub segment_size: ByteSize,
    /// Files kept ready for what comes, 2 to 16, so that an append never waits for disk space: one whose space is only
    /// allocated, the others written with zeros, which makes syncs faster.
    pub ready_segments: usize,
    /// The most memory for the newest entries, from which consumers that keep up are served without reading the disk. An eighth
    /// of it is used in any case, more only while consumers that are a little behind come for it.
    pub tail_cache: ByteSize,
    /// The most memory for older entries, shared by all consumers that are behind: those that catch up together read the disk
    /// once. It is used while there are some. 0 leaves it to the system.
    pub block_cache: ByteSize,
    /// Bytes that may wait to be written; beyond, appends are refused as throttled. A second of a slow disk.
    pub max_pending: ByteSize,
    /// The largest record, all of a message's parts together. 4 MiB bodies fit four times, batches of 16 MiB once.
    pub max_entry: ByteSize,
    /// How full the file system may become, in per cent, before messages are refused. What is left is for
    /// acknowledgements and deletions, which free space, and for everyone else on the disk.
    pub disk_guard: u8,
    /// However large the disk is, messages are not refused while so much of it is free; 0 refuses them when nothing is.
    pub disk_spare: ByteSize,
    /// How long after the beginning of one look at everything stored the next one begins. Disks lose data that nobody reads;
    /// what is found is in the log, in `/metrics` and at `/v1/damages`.
    pub scrub_interval: Span,
    /// Bytes a second that such a look may read; 0 never looks. Little beside what a disk can do, so that nobody notices.
    pub scrub_rate: ByteSize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            flush: Flush::Sync,
            segment_size: ByteSize::mib(256),
            ready_segments: 2,
            tail_cache: ByteSize::mib(64),
            block_cache: ByteSize::mib(32),
            max_pending: ByteSize::mib(64),
            max_entry: ByteSize::mib(17),
            disk_guard: 90,
            disk_spare: ByteSize::mib(4096),
            scrub_interval: Span::secs(24 * 60 * 60),
            scrub_rate: ByteSize::mib(8),
        }
    }
}

impl Config {
    /// Bytes of a file system of `total` bytes that are left free: messages are refused rather than take them.
    pub fn kept_free(&self, total: u64) -> u64 {
        let share = u128::from(total) * u128::from(100 - self.disk_guard.min(100)) / 100;
        self.disk_spare.0.min(share as u64)
    }

    /// Says what is wrong with these settings, if anything is.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub fn check(&self) -> Result<(), String> {
        let size = self.segment_size.0;
        if !(MIN_SEGMENT..=MAX_SEGMENT).contains(&size) || !size.is_multiple_of(4096) {
            return Err(format!(
                "segment_size must be 64KiB to 2GiB and a multiple of 4KiB, not {}",
                self.segment_size
            ));
        }
        if !(2..=16).contains(&self.ready_segments) {
            return Err(format!("ready_segments must be 2 to 16, not {}", self.ready_segments));
        }
        if !(1..=100).contains(&self.disk_guard) {
            return Err(format!("disk_guard must be 1 to 100 per cent, not {}", self.disk_guard));
        }
        if self.max_entry.0 < 1024 || self.max_entry > ByteSize::mib(256) {
            return Err(format!("max_entry must be 1KiB to 256MiB, not {}", self.max_entry));
        }
        if self.max_pending.0 == 0 {
            return Err("max_pending must not be 0".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_disk_keeps_no_more_free_than_a_small_one_needs() {
        let (gib, config) = (1 << 30, Config::default());
        for (total, kept) in [(0, 0), (10 * gib, gib), (40 * gib, 4 * gib), (16_384 * gib, 4 * gib)] {
            assert_eq!(config.kept_free(total), kept, "of {total}");
        }
        assert_eq!(Config { disk_guard: 100, ..config.clone() }.kept_free(gib), 0);
        assert_eq!(Config { disk_spare: ByteSize(0), ..config }.kept_free(gib), 0);
        assert_eq!(
            Config { disk_spare: ByteSize(u64::MAX), ..Config::default() }.kept_free(u64::MAX),
            u64::MAX / 10
        );
    }
}
