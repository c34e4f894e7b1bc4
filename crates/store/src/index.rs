//! What a reader needs to know of a message without touching its record, and how a read chooses among such entries.
//!
//! It exists so that every log answers a read by the same rules: counts, bytes, tag filter and where to go on are
//! decided here, from index entries alone.

use crate::log::ReadLimits;
use crate::{Lsn, Payload};
use sluice_model::{Millis, Offset, tag_hash};

/// One message or batch of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub offset: Offset,
    pub lsn: Lsn,
    pub stored: Millis,
    pub size: u32,
    pub tag_hash: u32,
    pub count: u16,
    /// It was made before it was stored, or not noticeably later: see [`is_timely`].
    pub timely: bool,
    /// True when nothing is known of the tags inside, so that every tag filter lets it pass.
    pub opaque: bool,
}

impl IndexEntry {
    /// The offset after the last one it covers.
    pub(crate) fn end(&self) -> Offset {
        self.offset.saturating_add(Offset::from(self.count))
    }

    /// Whether it may have been made at `time` or later.
    pub(crate) fn may_be_born(&self, time: Millis) -> bool {
        !self.timely || self.stored.saturating_add(AHEAD) >= time
    }

    fn passes(&self, tag_hashes: Option<&[u32]>) -> bool {
        self.opaque || tag_hashes.is_none_or(|hashes| hashes.contains(&self.tag_hash))
    }
}

/// How far the clocks of producers may be ahead without being noticed.
pub(crate) const AHEAD: Millis = 1000;

/// Whether a payload's messages were made before they were stored, as good clocks have it. Of such entries the time of
/// storing tells which ones are too old for somebody who looks for a time of making.
pub(crate) fn is_timely(payload: &Payload<'_>, stored: Millis) -> bool {
    let newest = match payload {
        Payload::Message(message) => message.born,
        Payload::Batch { newest, .. } => *newest,
        Payload::State(_) => return false,
    };
    newest <= stored.saturating_add(AHEAD)
}

/// The tag hash that an index keeps for a payload, and whether it is opaque.
pub(crate) fn tag_of(payload: &Payload<'_>) -> (u32, bool) {
    match payload {
        Payload::Message(message) => (message.tag.as_deref().map_or(0, tag_hash), false),
        Payload::State(_) => (0, false),
        Payload::Batch { .. } => (0, true),
    }
}

/// What a read chose.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub entries: Vec<IndexEntry>,
    /// Where to read on; `None` when all entries there are have been examined.
    pub next: Option<Offset>,
}

/// Chooses from the entries of one queue, which start with the one that covers the wanted offset or comes after it.
pub(crate) fn select(entries: impl Iterator<Item = IndexEntry>, limits: &ReadLimits<'_>) -> Selection {
    let mut chosen = Selection::default();
    let (mut offsets, mut bytes) = (0usize, 0usize);
    for (examined, entry) in entries.enumerate() {
        let full = offsets >= limits.max_count.max(1) || examined >= limits.max_examined.max(1);
        let over = !chosen.entries.is_empty() && bytes + entry.size as usize > limits.max_bytes;
        let passes = entry.passes(limits.tag_hashes);
        if full || (passes && over) {
            chosen.next = Some(entry.offset);
            break;
        }
        if passes {
            bytes += entry.size as usize;
            offsets += usize::from(entry.count);
            chosen.entries.push(entry);
        }
    }
    chosen
}
