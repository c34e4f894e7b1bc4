//! Reading a segment's entries one after the other, trusting nothing: [`Scan`].
//!
//! It exists because recovery and replay ask the same question: what is the next good entry, and where do good entries
//! end? What an end means (torn tail or damage) is decided in `recovery`.

use crate::entry::{ALIGN, EntryHeader, EntryKind, HEADER, MAX_HEADER, SIGNATURE, payload_crc};
use crate::segment::PAGE;
use crate::{Lsn, vfs::VfsFile};
use bytes::Bytes;
use memchr::memmem;
use std::io;
use std::sync::Arc;

/// Read at once: large enough for the disk, small enough to be thrown away.
const WINDOW: usize = 1 << 20;
/// What the disk is asked for beforehand, so that it reads while what it has read is looked at.
const AHEAD: u64 = 4 << 20;

/// An entry whose checksums are right.
pub(crate) struct Scanned {
    pub header: EntryHeader,
    pub payload: Bytes,
    /// The bytes that fill it up to a multiple of 4 are zeros, as they were written.
    pub is_padded_right: bool,
}

/// Walks through the entries of one segment.
pub(crate) struct Scan {
    file: Arc<dyn VfsFile>,
    start: Lsn,
    epoch: Option<u32>,
    /// The next position in the file.
    position: u64,
    /// The end of what may be read.
    limit: u64,
    window: Bytes,
    window_at: u64,
}

impl Scan {
    /// Walks from the first entry up to the position `limit` in the file. Entries of another epoch are not good; without one
    /// those of every epoch are.
    pub(crate) fn new(file: Arc<dyn VfsFile>, start: Lsn, epoch: Option<u32>, limit: u64) -> Self {
        Self { file, start, epoch, position: PAGE, limit, window: Bytes::new(), window_at: 0 }
    }

    /// Goes to a position of the log, where an entry must begin.
    pub(crate) fn seek(&mut self, lsn: Lsn) {
        self.position = PAGE.max(lsn.saturating_sub(self.start));
    }

    /// The position of the log where the next entry would be.
    pub(crate) fn lsn(&self) -> Lsn {
        self.start + self.position
    }

    /// The next entry; nothing at the first place where there is no good one.
    pub(crate) fn next(&mut self) -> io::Result<Option<Scanned>> {
        let Some(scanned) = self.entry_at(self.position)? else { return Ok(None) };
        self.position += scanned.header.size();
        Ok(Some(scanned))
    }

    /// The header of the next entry, and its content when it is of this kind: of others it is not even looked at.
    /// Nothing at the first place where there is no good one.
    pub(crate) fn skim(&mut self, kind: EntryKind) -> io::Result<Option<(EntryHeader, Option<Bytes>)>> {
        match self.header_at(self.position)? {
            Some(header) if header.kind == kind => {
                Ok(self.next()?.map(|scanned| (header, Some(scanned.payload))))
            }
            Some(header) => {
                self.position += header.size();
                Ok(Some((header, None)))
            }
            None => Ok(None),
        }
    }

    /// Searches for a good entry at or behind the present position, and goes behind it.
    pub(crate) fn search(&mut self) -> io::Result<Option<Scanned>> {
        let mut position = self.position.next_multiple_of(ALIGN);
        while let Some(found) = self.signature_from(position)? {
            if let Some(scanned) = self.entry_at(found)? {
                self.position = found + scanned.header.size();
                return Ok(Some(scanned));
            }
            position = found + ALIGN;
        }
        Ok(None)
    }

    /// The epoch of the segment, as its entries tell it, behind the present position: as two in a row agree, since a header with
    /// a wrong bit tells another one and is otherwise good. Where no two do, what the first one says; nothing without entries.
    pub(crate) fn told_epoch(&mut self) -> io::Result<Option<u32>> {
        let (mut first, mut last) = (None, None);
        while let Some(Scanned { header: EntryHeader { epoch, .. }, .. }) = self.search()? {
            if last.replace(epoch) == Some(epoch) {
                return Ok(last);
            }
            first = first.or(last);
        }
        Ok(first)
    }

    fn signature_from(&mut self, mut position: u64) -> io::Result<Option<u64>> {
        while position + HEADER as u64 <= self.limit {
            let len = WINDOW.min((self.limit - position) as usize);
            let Some(bytes) = self.bytes(position, len)? else { return Ok(None) };
            // Entries lie at multiples of this, and so does the window.
            if let Some(n) = memmem::find_iter(&bytes, &SIGNATURE).find(|n| n.is_multiple_of(ALIGN as usize))
            {
                return Ok(Some(position + n as u64));
            }
            position += (len as u64).next_multiple_of(ALIGN);
        }
        Ok(None)
    }

    /// The header of the next entry, when that is good, whatever follows it.
    pub(crate) fn header(&mut self) -> io::Result<Option<EntryHeader>> {
        self.header_at(self.position)
    }

    fn header_at(&mut self, position: u64) -> io::Result<Option<EntryHeader>> {
        let left = self.limit.saturating_sub(position);
        let Some(head) = self.bytes(position, MAX_HEADER.min(left as usize))? else { return Ok(None) };
        Ok(EntryHeader::decode(&head, self.start + position)
            .filter(|header| self.epoch.is_none_or(|epoch| epoch == header.epoch) && header.size() <= left))
    }

    fn entry_at(&mut self, position: u64) -> io::Result<Option<Scanned>> {
        let Some(header) = self.header_at(position)? else { return Ok(None) };
        let Some(entry) = self.bytes(position, header.size() as usize)? else { return Ok(None) };
        let payload = entry.slice(header.header_len()..header.len as usize);
        let is_padded_right = entry.iter().skip(header.len as usize).all(|byte| *byte == 0);
        if payload_crc(header.lsn, &payload) != header.payload_crc {
            return Ok(None);
        }
        Ok(Some(Scanned { header, payload, is_padded_right }))
    }

    /// Bytes of the file, through the window; nothing when they reach beyond the limit or the file's end.
    fn bytes(&mut self, position: u64, len: usize) -> io::Result<Option<Bytes>> {
        if position + len as u64 > self.limit {
            return Ok(None);
        }
        let inside =
            position >= self.window_at && position + len as u64 <= self.window_at + self.window.len() as u64;
        if !inside {
            let size = len.max(WINDOW).min((self.limit - position) as usize);
            self.file.will_read(position + size as u64, AHEAD);
            // The memory of the last one, if nobody needs it any more: a new one is paid for page by page.
            let mut window = std::mem::take(&mut self.window).try_into_mut().unwrap_or_default();
            window.resize(size, 0);
            let read = self.file.read_at(&mut window, position)?;
            window.truncate(read);
            self.window = window.freeze();
            self.window_at = position;
        }
        let at = (position - self.window_at) as usize;
        Ok((at + len <= self.window.len()).then(|| self.window.slice(at..at + len)))
    }
}
