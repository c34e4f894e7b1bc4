//! Batches that are kept as their producer packed them: one entry of the log over as many offsets as they have messages.
//!
//! It exists so that what a producer packed and compressed once is checked once, stored once, and handed on as it is to
//! readers of the same wire. The one idea to know: everybody else reads through [`UnpackedLog`], which takes batches apart as
//! they are read, so that no rule of the broker ever meets one. What the bytes of a batch mean is a wire's business: it
//! brings a [`BatchFormat`].
//!
//! `head` is what the broker itself keeps of a batch, `place` tells the messages of one entry apart, `cache` keeps what was
//! taken apart last.

mod cache;
mod head;
mod place;
mod unpacked_log;

pub(crate) use head::{BatchIds, Head};
pub(crate) use place::{MAX_COUNT, MAX_LSN, locator};
pub(crate) use unpacked_log::UnpackedLog;

use crate::{Aborted, EndMark};
use bytes::Bytes;
use parking_lot::RwLock;
use sluice_model::{Message, Millis, Offset, Result, StoredMessage};
use std::sync::Arc;

/// What batches of one encoding mean.
pub trait BatchFormat: Send + Sync + 'static {
    /// Its number among the encodings of the log's entries.
    fn encoding(&self) -> u8;

    /// Takes apart a batch that was checked before it was stored, and that has `size` bytes then.
    ///
    /// # Errors
    /// `Corrupt` when it is not what it was.
    fn unpack(&self, batch: &Bytes, size: usize) -> Result<Box<dyn Unpacked>>;
}

/// The messages of a batch.
pub trait Unpacked: Send + Sync + 'static {
    /// The bytes of memory that this takes.
    fn memory(&self) -> usize;

    /// A message by its number from 0: all that its producer said. Nothing when there is none or it is not readable.
    fn message(&self, number: usize) -> Option<Message>;
}

/// A batch to be stored as it is, and what the broker has to know of it. Whoever makes one has looked at every byte.
#[derive(Debug, Clone)]
pub struct PackedBatch {
    /// See [`BatchFormat::encoding`].
    pub encoding: u8,
    /// The batch.
    pub bytes: Bytes,
    /// How many messages it has: no more than [`PackedBatch::MAX_COUNT`].
    pub count: u16,
    /// What it has unpacked.
    pub size: usize,
    /// When the youngest of its messages was made.
    pub newest: Millis,
    /// The hashes of its messages' keys.
    pub keys: Vec<u64>,
    /// The bytes of its messages' bodies, all together.
    pub bodies: usize,
    /// The largest body.
    pub max_body: usize,
    /// The largest headers of a message.
    pub max_headers_size: usize,
    /// The most headers of a message.
    pub max_headers: usize,
}

impl PackedBatch {
    /// Larger batches are stored message by message: the messages of one entry are told apart by so many numbers.
    pub const MAX_COUNT: usize = MAX_COUNT;
}

/// What is read of a queue for somebody who can take batches apart.
#[derive(Debug, Clone)]
pub enum Packed {
    /// A message that was stored by itself.
    Message(Box<StoredMessage>),
    /// A batch, as it was stored.
    Batch {
        /// See [`BatchFormat::encoding`].
        encoding: u8,
        /// The offset of its first message.
        offset: Offset,
        /// How many it has.
        count: u16,
        /// The batch.
        bytes: Bytes,
    },
    /// The end of a transaction: an offset without a message.
    End(EndMark),
}

impl Packed {
    /// The first offset.
    pub fn offset(&self) -> Offset {
        match self {
            Self::Message(message) => message.offset,
            Self::Batch { offset, .. } => *offset,
            Self::End(end) => end.offset,
        }
    }

    /// The offset after the last one.
    pub fn end(&self) -> Offset {
        match self {
            Self::Message(message) => message.offset + 1,
            Self::Batch { offset, count, .. } => offset + Offset::from(*count),
            Self::End(end) => end.offset + 1,
        }
    }
}

/// What a read of what is packed found: see [`crate::Broker::pull_packed`].
#[derive(Debug, Clone)]
pub struct PulledPacked {
    /// What lies there, by rising offset. The first may begin before the offset that was asked for.
    pub parts: Vec<Packed>,
    /// Where to read on.
    pub next: Offset,
    /// The queue's first offset.
    pub min: Offset,
    /// The offset after the queue's last one that is decided.
    pub stable: Offset,
    /// The offset after the queue's last one.
    pub max: Offset,
    /// Transactions that were aborted and have anything where this was read, by their first message.
    pub aborted: Vec<Aborted>,
}

/// The formats that are known.
#[derive(Clone, Default)]
pub(crate) struct Formats(Arc<RwLock<Vec<Arc<dyn BatchFormat>>>>);

impl Formats {
    pub(crate) fn add(&self, format: Arc<dyn BatchFormat>) {
        let mut formats = self.0.write();
        formats.retain(|known| known.encoding() != format.encoding());
        formats.push(format);
    }

    fn of(&self, encoding: u8) -> Option<Arc<dyn BatchFormat>> {
        self.0.read().iter().find(|format| format.encoding() == encoding).cloned()
    }
}
