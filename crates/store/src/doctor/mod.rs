//! Looking through a store from outside, while no broker runs: what is damaged, and what that costs.
//!
//! It exists because the log itself reads only what it needs. The one idea to know: everything that was ever written
//! has a checksum and a place that follows from its neighbours, so a look at all of it tells for each damaged byte
//! which entries are gone; and of those, the queues' offsets on both sides say which messages.
//!
//! [`inspect`] changes nothing. [`repair`] sets damaged files aside and gives up what cannot be read.

mod identity;
mod inspect;
mod repair;
mod segments;

pub use inspect::{Seen, inspect};
pub use repair::{Repaired, repair};

pub(crate) use inspect::{lock, look};

use crate::bucket_check::WholeRun;
use crate::error::Damage;
use crate::log::Lsn;
use crate::segment::StoreId;
use std::path::PathBuf;

/// What a look at a store found.
#[derive(Debug, Default)]
pub struct Inspection {
    /// Files of the log.
    pub segments: usize,
    /// Entries whose checksums are right.
    pub entries: u64,
    /// The bytes of the log that were read.
    pub bytes: u64,
    /// What is unusual, and no damage.
    pub notes: Vec<String>,
    /// What is damaged.
    pub damages: Vec<Damage>,
    /// What can be done about it, in the order of `damages`.
    wounds: Vec<Wound>,
    store: Option<StoreId>,
}

impl Inspection {
    fn hurt(&mut self, damage: Damage, wound: Wound) {
        self.damages.push(damage);
        self.wounds.push(wound);
    }
}

/// A damage, as a repair sees it.
#[derive(Debug)]
enum Wound {
    /// Of the two copies of what identifies the store, not both are good.
    Meta,
    /// A checkpoint; there is another one, or the log is read from its beginning.
    Checkpoint(PathBuf),
    /// The header page of a segment.
    Header { path: PathBuf, start: Lsn, epoch: u32 },
    /// The index of a segment, which can be made anew from its entries.
    Index { path: PathBuf },
    /// Entries that are not readable.
    Entries { path: PathBuf, start: Lsn, epoch: u32, from: Lsn, to: Lsn, stored: u64 },
    /// A whole segment.
    Missing { from: Lsn, to: Lsn, stored: u64 },
    /// A run of delayed messages.
    Waiting(WholeRun),
    /// Nothing can be done here.
    Beyond,
}
