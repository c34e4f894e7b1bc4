//! A log that remembers what was appended to it: [`Spy`] between the broker and the real log.
//!
//! It exists because what has to survive a crash is exactly a prefix of what was appended: with the list at hand, every
//! check after a crash is a comparison.

use bytes::Bytes;
use parking_lot::Mutex;
use sluice_model::{Message, Millis, Offset, Result};
use sluice_store::{Append, Durability, LocalLog, Log, Lsn, Payload, Ticket, pass_on};
use std::ops::Range;

/// An atomic group as it was appended.
#[derive(Debug, Clone)]
pub struct Group {
    pub begin: Lsn,
    pub end: Lsn,
    pub durability: Durability,
    pub stored: Millis,
    pub items: Vec<Item>,
}

/// An entry of it.
#[derive(Debug, Clone)]
pub enum Item {
    Message {
        queue: u32,
        offset: Offset,
        lsn: Lsn,
        size: u32,
        message: Box<Message>,
    },
    State {
        lsn: Lsn,
        bytes: Bytes,
    },
    Batch {
        queue: u32,
        offset: Offset,
        lsn: Lsn,
        size: u32,
        count: u16,
        encoding: u8,
        head: Bytes,
        bytes: Bytes,
    },
}

impl Item {
    pub fn lsn(&self) -> Lsn {
        match self {
            Self::Message { lsn, .. } | Self::State { lsn, .. } | Self::Batch { lsn, .. } => *lsn,
        }
    }

    /// Its queue and its offsets, if it has any.
    pub fn place(&self) -> Option<(u32, Range<Offset>)> {
        match self {
            Self::Message { queue, offset, .. } => Some((*queue, *offset..*offset + 1)),
            Self::Batch { queue, offset, count, .. } => {
                Some((*queue, *offset..*offset + Offset::from(*count)))
            }
            Self::State { .. } => None,
        }
    }

    /// The bytes of log that it takes in its queue.
    pub fn size(&self) -> u64 {
        match self {
            Self::Message { size, .. } | Self::Batch { size, .. } => u64::from(*size),
            Self::State { .. } => 0,
        }
    }
}

/// See the module.
pub struct Spy {
    pub log: LocalLog,
    new: Mutex<Vec<Group>>,
    trimmed: Mutex<Millis>,
    /// The times up to which it was asked to let go, since that was asked for.
    trims: Mutex<Vec<Millis>>,
}

impl Spy {
    pub fn new(log: LocalLog) -> Self {
        Self { log, new: Mutex::default(), trimmed: Mutex::default(), trims: Mutex::default() }
    }

    /// What was appended since this was asked the last time.
    pub fn take(&self) -> Vec<Group> {
        std::mem::take(&mut *self.new.lock())
    }

    /// Before which times messages were let go since this was asked the last time.
    pub fn trims(&self) -> Vec<Millis> {
        std::mem::take(&mut *self.trims.lock())
    }

    /// Messages stored before this time may have been deleted.
    pub fn trimmed_before(&self) -> Millis {
        *self.trimmed.lock()
    }
}

impl Log for Spy {
    fn append(&self, group: &[Append<'_>], durability: Durability) -> Result<Ticket> {
        let ticket = self.log.append(group, durability)?;
        let items = group.iter().zip(ticket.placed.iter()).map(|(append, placed)| match &append.payload {
            Payload::Message(message) => Item::Message {
                queue: append.queue.0,
                offset: placed.offset,
                lsn: placed.lsn,
                size: placed.size,
                message: Box::new((*message).clone()),
            },
            Payload::State(bytes) => Item::State { lsn: placed.lsn, bytes: Bytes::copy_from_slice(bytes) },
            Payload::Batch { encoding, count, head, bytes, .. } => Item::Batch {
                queue: append.queue.0,
                offset: placed.offset,
                lsn: placed.lsn,
                size: placed.size,
                count: *count,
                encoding: *encoding,
                head: Bytes::copy_from_slice(head),
                bytes: Bytes::copy_from_slice(bytes),
            },
        });
        let (Some(first), Some(last)) = (ticket.placed.first(), ticket.placed.last()) else {
            return Ok(ticket);
        };
        self.new.lock().push(Group {
            begin: first.lsn,
            end: last.lsn + u64::from(last.size),
            durability,
            stored: group.first().map_or(0, |append| append.stored),
            items: items.collect(),
        });
        Ok(ticket)
    }

    fn trim(&self, older_than: Millis, pinned: Lsn) -> Result<Lsn> {
        let mut trimmed = self.trimmed.lock();
        *trimmed = older_than.max(*trimmed);
        drop(trimmed);
        self.trims.lock().push(older_than);
        self.log.trim(older_than, pinned)
    }

    pass_on!(log:
        end, bounds, next_offset, read, read_at, offset_at, offset_keeping, size, maybe_born, find,
        states, listen, forget, cut, replay, checkpoint, write_checkpoint, buckets, space, scrub,
        damages, listen_to_damage, failed, close);
}
