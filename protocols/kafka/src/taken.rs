//! What one partition gives to a fetch: stored batches as they are, and between them batches made of messages that came by
//! other wires.
//!
//! The one idea to know: readers go on behind the last offset of a batch, so a batch that is made covers what lies between
//! it and the next one, whether it has records there or not.

use crate::batch::BatchWriter;
use crate::convert;
use crate::errors::Code;
use crate::packed;
use crate::pieces::Pieces;
use crate::transactions::control_batch;
use sluice_broker::{Aborted, Packed, PulledPacked};
use sluice_model::{Offset, StoredMessage};

/// See the module.
pub(crate) struct Taken {
    out: Pieces,
    /// A batch in the making.
    writer: Option<BatchWriter>,
    /// The offset behind what was taken.
    pub next: Offset,
    /// Transactions that were aborted and have anything there, by their first message.
    pub aborted: Vec<Aborted>,
    /// The largest body of a message once it is unpacked.
    max_body: usize,
    /// The most bytes that one part has taken.
    largest: usize,
    /// The first part is taken whatever its size.
    first: bool,
}

impl Taken {
    /// Of an answer's first records one part is taken whatever its size, so that readers get on; no other may exceed the
    /// room, because clients make room for what they ask for.
    pub fn new(from: Offset, max_body: usize, first: bool) -> Self {
        let (out, aborted) = (Pieces::default(), Vec::new());
        Self { out, writer: None, next: from, aborted, max_body, largest: 0, first }
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.out.len() + self.writer.as_ref().map_or(0, BatchWriter::len)
    }

    /// Whether one more part, as large as the largest, would be too much: what is read in vain costs the disk, and quotas.
    pub fn is_full(&self, room: usize) -> bool {
        self.len() > 0 && self.len() + self.largest > room
    }

    pub fn largest(&self) -> usize {
        self.largest
    }

    /// Takes what was read, up to so many bytes. False when there was no room for all.
    ///
    /// # Errors
    /// What unpacking a body says, or a batch of another wire's.
    pub fn take(&mut self, pulled: PulledPacked, room: usize) -> Result<bool, Code> {
        for aborted in pulled.aborted {
            if !self.aborted.contains(&aborted) {
                self.aborted.push(aborted);
            }
        }
        for part in pulled.parts {
            let (offset, end, before) = (part.offset(), part.end(), self.len());
            match part {
                Packed::Message(message) => {
                    if !self.message(&message, room)? {
                        return Ok(false);
                    }
                }
                Packed::Batch { encoding: packed::ENCODING, bytes, .. } => {
                    if !self.fits(bytes.len(), room) {
                        return Ok(false);
                    }
                    self.close(offset);
                    packed::put(&mut self.out, &bytes, offset);
                }
                Packed::Batch { .. } => return Err(Code::Unknown),
                Packed::End(mark) => {
                    let bytes = control_batch(&mark);
                    if !self.fits(bytes.len(), room) {
                        return Ok(false);
                    }
                    self.close(offset);
                    self.out.push(bytes);
                }
            }
            self.next = end;
            self.largest = self.largest.max(self.len().saturating_sub(before));
        }
        self.next = self.next.max(pulled.next);
        Ok(true)
    }

    fn fits(&self, more: usize, room: usize) -> bool {
        self.first && self.len() == 0 || self.len() + more <= room
    }

    /// Adds a message; false when it does not fit, which is known when it is written.
    fn message(&mut self, message: &StoredMessage, room: usize) -> Result<bool, Code> {
        let (may_exceed, before) = (self.first && self.len() == 0, self.out.len());
        let mut writer = self.writer.take().unwrap_or_else(|| {
            let born = i64::try_from(message.message.born).unwrap_or(i64::MAX);
            BatchWriter::new(message.offset as i64, born, 0)
        });
        let len = writer.len();
        convert::push_record(&mut writer, message, self.max_body)
            .map_err(|error| Code::of_partition(&error))?;
        let fits = may_exceed || before + writer.len() <= room;
        if !fits {
            writer.take_back(len);
        }
        self.writer = Some(writer).filter(|writer| !writer.is_empty());
        Ok(fits)
    }

    /// Ends a batch in the making before this offset.
    fn close(&mut self, end: Offset) {
        if let Some(writer) = self.writer.take() {
            self.out.push(writer.finish(end as i64 - 1));
        }
    }

    /// All of it.
    pub fn finish(mut self) -> Pieces {
        self.close(self.next);
        self.out
    }
}
