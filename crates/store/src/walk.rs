//! Walking through the entries of a segment, past those that are not readable: [`Walk`].
//!
//! It exists because the doctor and the scrubber ask the same question: which entries are gone? The one idea to know: where
//! only what follows a header is wrong, the header says what it was; else the queues' offsets on both sides of the hole do.

use crate::entry::{EntryHeader, EntryKind};
use crate::error::{Damage, LostOffsets};
use crate::log::Lsn;
use crate::scan::{Scan, Scanned};
use crate::sealed::Range;
use crate::segment::Segment;
use crate::vfs::VfsFile;
use sluice_model::{Millis, Offset};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

/// The offset after the last one seen, for each queue.
pub(crate) type Reached = HashMap<u32, Offset>;

/// A run of bytes without a good entry.
pub(crate) struct Hole {
    pub from: Lsn,
    pub to: Lsn,
    pub lost: Vec<LostOffsets>,
    /// The newest store time before it.
    pub stored: Millis,
}

impl Hole {
    /// The same as a report.
    pub(crate) fn damage(&self, segment: &Segment) -> Damage {
        let unknown = match self.lost.is_empty() {
            true => "; no message is missing, but changes of offsets, leases or settings may be",
            false => "",
        };
        Damage {
            file: segment.path.clone(),
            position: segment.position(self.from),
            lsn: Some(self.from),
            what: format!("the entries up to log position {} are not readable{unknown}", self.to),
            lost: self.lost.clone(),
            waiting: Vec::new(),
        }
    }
}

/// See the module.
pub(crate) struct Walk {
    scan: Scan,
    /// Where the entries end, when something outside of them tells.
    known_end: Option<Lsn>,
    /// Queues that were not seen yet begin at 0.
    is_whole: bool,
    pub reached: Reached,
    pub stored: Millis,
    pub holes: Vec<Hole>,
    /// Everything before was known to be safe, as the newest entry says.
    safe: Lsn,
    /// The position after the last good entry.
    pub end: Lsn,
}

impl Walk {
    /// Walks through a segment, whose first bytes up to `limit` hold entries.
    pub(crate) fn new(
        segment: &Segment,
        file: Arc<dyn VfsFile>,
        known_end: Option<Lsn>,
        limit: u64,
        is_whole: bool,
        reached: Reached,
        stored: Millis,
    ) -> Self {
        let scan = Scan::new(file, segment.start, Some(segment.epoch), limit);
        let end = scan.lsn();
        Self { scan, known_end, is_whole, reached, stored, holes: Vec::new(), safe: 0, end }
    }

    /// Where it is.
    pub(crate) fn lsn(&self) -> Lsn {
        self.scan.lsn()
    }

    /// The next good entry; nothing when there is none any more.
    pub(crate) fn next(&mut self) -> io::Result<Option<Scanned>> {
        loop {
            if let Some(entry) = self.scan.next()? {
                return Ok(Some(self.see(entry)));
            }
            let from = self.scan.lsn();
            if let Some(header) = self.scan.header()? {
                let lost = self.lost(&header);
                self.holes.push(Hole { from, to: header.end(), lost, stored: self.stored });
                self.scan.seek(header.end());
                continue;
            }
            let found = self.scan.search()?;
            let to = found.as_ref().map_or(self.known_end.unwrap_or(from), |entry| entry.header.lsn);
            if to > from {
                self.holes.push(Hole { from, to, lost: Vec::new(), stored: self.stored });
            }
            return Ok(found.map(|entry| self.see(entry)));
        }
    }

    fn see(&mut self, entry: Scanned) -> Scanned {
        let EntryHeader { kind, queue, offset, durable, stored, .. } = entry.header;
        self.end = entry.header.end();
        self.safe = self.safe.max(durable);
        self.stored = self.stored.max(stored);
        let to = match kind {
            EntryKind::State | EntryKind::Mark => return entry,
            EntryKind::Message => entry.header.index_entry().end(),
            EntryKind::Gap => offset,
        };
        let before = self.reached.insert(queue, to).or(self.is_whole.then_some(0));
        if let (EntryKind::Message, Some(hole), Some(from)) = (kind, self.holes.last_mut(), before)
            && from < offset
        {
            hole.lost.push(LostOffsets { queue, from, to: offset });
        }
        entry
    }

    /// What an entry was, of which only the header is good.
    fn lost(&mut self, header: &EntryHeader) -> Vec<LostOffsets> {
        if header.kind != EntryKind::Message {
            return Vec::new();
        }
        let (queue, from, to) = (header.queue, header.offset, header.index_entry().end());
        self.reached.insert(queue, to);
        vec![LostOffsets { queue, from, to }]
    }

    /// Nothing more will come. In a segment that is not sealed, what nothing behind it knows to be safe is a torn end; the
    /// index of one that is tells of what no entry does any more.
    pub(crate) fn finish(&mut self, sealed: Option<&[(u32, Range)]>) {
        let (known, safe) = (self.known_end.is_some(), self.safe);
        self.holes.retain(|hole| known || hole.from < safe);
        for (queue, range) in sealed.into_iter().flatten() {
            let reached = self.reached.get(queue).copied().unwrap_or(range.base);
            let from = reached.max(range.base);
            if let Some(hole) = self.holes.last_mut().filter(|_| from < range.end) {
                hole.lost.push(LostOffsets { queue: *queue, from, to: range.end });
            }
            self.reached.insert(*queue, reached.max(range.end));
        }
    }
}
