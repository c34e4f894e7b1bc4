//! Where bytes rest: an append-only log of atomic groups, read by queue and offset.
//!
//! It exists so that one file's `fdatasync` decides what is acknowledged: messages and everything else the broker must
//! remember are entries of the same log. The one idea to know: appending assigns positions at once and in call order;
//! the returned [`Ticket`] resolves when the promise of the asked [`Durability`] holds, and only then readers see it.
//!
//! What a message means is the broker's business, who may append is `auth`'s; the store speaks logs and queue numbers.

mod ahead;
pub mod backup;
mod block_on;
mod blocks;
mod bucket_check;
mod buckets;
mod bytes_at;
mod checkpoint;
mod committer;
mod config;
mod crc;
mod damage;
pub mod doctor;
mod entries;
mod entry;
mod error;
mod index;
mod keeper;
mod keys;
mod live;
mod local;
mod log;
mod memory;
mod meta;
mod open;
mod over;
mod read;
pub mod record;
mod recovery;
mod scan;
mod scrub;
mod seal;
mod sealed;
mod segment;
mod shared;
pub mod sim;
mod sizes;
mod staging;
pub mod suite;
mod tail;
mod unhurried;
pub mod vfs;
mod wake;
mod walk;
mod writer;

pub use bucket_check::WholeRun;
pub use buckets::{Aside, BucketId, Buckets, Cell, Run, Window};
pub use config::{Config, Flush};
pub use error::{Damage, LostOffsets, LostWaiting, OpenError};
pub use local::LocalLog;
pub use log::*;
pub use memory::MemoryLog;
pub use unhurried::{Pace, Unhurried};
