//! Writing a run of messages into a bucket's file.
//!
//! The one idea to know: all of a run is known before its first byte is written, so it goes to the file piece by piece, and
//! what several threads write at once takes little memory however long their runs are.

use super::{Aside, BLOCK, BucketId, HEADER, MAX_RUN, PER_BLOCK, RECORD, cells_len, header};
use crate::bytes_at::put;
use crate::crc::crc32c;
use crate::segment::StoreId;
use std::io;

/// Bytes that are written at once.
const PIECE: usize = 256 << 10;

/// A run that is to be written.
pub(crate) struct NewRun<'a, 'b> {
    store: StoreId,
    bucket: BucketId,
    at: u64,
    /// In their order.
    messages: &'a [Aside<'b>],
    len: usize,
}

impl<'a, 'b> NewRun<'a, 'b> {
    /// Puts messages into their order; an error when they are too many for one run.
    pub(crate) fn new(
        store: StoreId,
        bucket: BucketId,
        at: u64,
        messages: &'a mut [Aside<'b>],
    ) -> io::Result<Self> {
        messages.sort_unstable_by_key(|message| (message.due, message.lsn));
        let records = messages.iter().map(|message| RECORD + message.message.len()).sum::<usize>();
        let len = HEADER + cells_len(messages.len()) + records;
        match len {
            ..=MAX_RUN => Ok(Self { store, bucket, at, messages, len }),
            _ => Err(io::Error::other(format!("a run of {len} bytes"))),
        }
    }

    /// How many bytes it takes.
    pub(crate) fn len(&self) -> u64 {
        self.len as u64
    }

    /// Hands it out piece by piece, as it lies in a file: several are written at once, and each may be large.
    pub(crate) fn write(&self, mut put_piece: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let count = self.messages.len();
        let mut bytes = Vec::with_capacity(self.len.min(PIECE + (BLOCK as usize)));
        let mut hand_out = |bytes: &mut Vec<u8>, all: bool| match all || bytes.len() >= PIECE {
            true => put_piece(bytes).map(|()| bytes.clear()),
            false => Ok(()),
        };
        bytes.extend_from_slice(&header(self.store, self.bucket, self.at, count as u32, self.len as u32));
        let mut position = self.at + (HEADER + cells_len(count)) as u64;
        for messages in self.messages.chunks(PER_BLOCK as usize) {
            position = put_block(&mut bytes, messages, position);
            hand_out(&mut bytes, false)?;
        }
        for message in self.messages {
            put_record(&mut bytes, message);
            hand_out(&mut bytes, false)?;
        }
        hand_out(&mut bytes, true)
    }
}

/// Adds a block of cells whose first record lies at a position; the position behind the last.
fn put_block(bytes: &mut Vec<u8>, messages: &[Aside<'_>], mut position: u64) -> u64 {
    let from = bytes.len();
    for message in messages {
        let len = (RECORD + message.message.len()) as u32;
        bytes.extend_from_slice(&message.due.to_le_bytes());
        bytes.extend_from_slice(&message.lsn.to_le_bytes());
        bytes.extend_from_slice(&position.to_le_bytes());
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&message.queue.0.to_le_bytes());
        position += u64::from(len);
    }
    let crc = crc32c(bytes.get(from..).unwrap_or_default());
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    position
}

fn put_record(bytes: &mut Vec<u8>, message: &Aside<'_>) {
    let from = bytes.len();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(message.message.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&message.due.to_le_bytes());
    bytes.extend_from_slice(&message.lsn.to_le_bytes());
    bytes.extend_from_slice(message.message);
    let crc = crc32c(bytes.get(from + 4..).unwrap_or_default());
    put(bytes, from, crc.to_le_bytes());
}
