//! Where appends go first: [`Staging`], the bytes that wait to be written and the positions already given away.
//!
//! It exists so that an append is one short critical section: it takes its place in the log, is encoded straight into
//! the buffer that will be written and kept for readers, and leaves. The one idea to know: what is decided here in call
//! order (positions, offsets, the end of a segment) is final; the log's thread only carries it out. See `writer`.

use crate::entry::{
    ALIGN, EntryHeader, EntryKind, MAX_HEADER, TOLD_EVERY, flag, max_record_size, payload_crc, storable,
};
use crate::index::{IndexEntry, is_timely, tag_of};
use crate::keys::{self, Key, LiveKeys};
use crate::log::{Append, Durability, Lsn, Payload, Placed, Places};
use crate::record;
use crate::sealed::index_size;
use crate::segment::{PAGE, Segment, segment_path};
use crate::vfs::VfsFile;
use bytes::{BufMut as _, Bytes, BytesMut};
use sluice_model::{Error, ErrorKind, Millis, Offset, Result};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Buffers are taken in this size; larger groups get one of their own.
const BLOCK: usize = 1 << 20;
/// The end of the last segment that messages leave to state: a sixteenth, at most this.
const MAX_RESERVE: u64 = 16 << 20;

/// How far the log has come in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    Closing,
    Closed,
}

/// A written file that waits to become a segment.
pub(crate) struct Ready {
    pub path: PathBuf,
    pub file: Arc<dyn VfsFile>,
    pub len: u64,
    /// All of it has been written before.
    pub written: bool,
}

/// The step from one segment to the next.
pub(crate) struct Roll {
    pub old: Arc<Segment>,
    /// The end of the old one, and the start of the new one.
    pub end: Lsn,
    /// The store times of the old one's entries.
    pub stored: Option<(Millis, Millis)>,
    pub new: Arc<Segment>,
    /// Where the new one's file lies until it is activated.
    pub from: PathBuf,
}

/// Bytes to write, all into one segment.
pub(crate) struct Piece {
    pub segment: Arc<Segment>,
    pub lsn: Lsn,
    /// How many of the bytes are entries. The rest are zeros up to the end of the page: the system need not read a page
    /// from the disk that is written whole.
    pub len: usize,
    pub bytes: Bytes,
}

/// A message that becomes readable when its bytes are safe.
pub(crate) struct Indexed {
    pub queue: u32,
    pub entry: IndexEntry,
    pub is_async: bool,
}

/// What waits to be written, taken at once.
#[derive(Default)]
pub(crate) struct Staged {
    pub pieces: Vec<Piece>,
    pub indexed: Vec<Indexed>,
    pub rolls: VecDeque<Roll>,
    /// Someone asked for a sync.
    pub sync: bool,
}

/// The end of a queue as appends see it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct QueueTail {
    pub next: Offset,
    /// It has ever had async entries.
    pub is_async: bool,
    /// An async entry of this run is on the disk, or on its way to a sync.
    announced: bool,
    /// The segment in which it last got an entry.
    segment: Option<Lsn>,
    pub forgotten: bool,
}

impl QueueTail {
    /// The tail of a queue as found at start.
    pub(crate) fn at(next: Offset, is_async: bool) -> Self {
        Self { next, is_async, ..Self::default() }
    }
}

/// The segment that is being filled.
pub(crate) struct Active {
    pub segment: Arc<Segment>,
    pub stored: Option<(Millis, Millis)>,
    entries: u64,
    queues: u64,
    keys: u64,
}

/// What a group takes.
#[derive(Clone, Copy)]
struct Size {
    bytes: u64,
    entries: u64,
    keys: u64,
}

impl Active {
    pub(crate) fn new(segment: Arc<Segment>) -> Self {
        Self { segment, stored: None, entries: 0, queues: 0, keys: 0 }
    }

    fn fits(&self, end: Lsn, size: Size, spare: u64) -> bool {
        let position = self.segment.position(end);
        let Size { bytes, entries, keys } = size;
        let index = index_size(self.entries + entries, self.queues + entries, self.keys + keys);
        position + bytes + spare + index <= self.segment.len
    }
}

/// Room for the marks of an idle and of a closed log.
const MARKS: u64 = 2 * MAX_HEADER as u64;

/// See the module.
pub(crate) struct Staging {
    pub phase: Phase,
    pub active: Active,
    pub tails: HashMap<u32, QueueTail, foldhash::fast::RandomState>,
    /// By which words the messages of segments are found that are not sealed yet.
    pub keys: LiveKeys,
    /// The position after the last entry.
    pub end: Lsn,
    /// Bytes encoded and not yet written.
    pub pending: usize,
    pub staged: Staged,
    pub ready: VecDeque<Ready>,
    /// Messages are refused.
    pub full: bool,
    /// What is staged is for the log's thread to commit, not for a committer.
    pub urgent: bool,
    /// The log's thread waits for work.
    pub asleep: bool,
    /// When the log's thread looks again although there is no work.
    pub look_at: Option<Instant>,
    block: BytesMut,
    /// What the last entry that told it said of what is durable, and where that entry lies.
    told: (Lsn, Lsn),
    limits: Limits,
    dir: PathBuf,
    epoch: u32,
}

/// What an append may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub max_entry: usize,
    /// The length of the smallest segment: every group has to fit into an empty one.
    pub min_segment: u64,
    pub max_pending: usize,
}

/// What an append led to.
pub(crate) struct Appended {
    pub places: Places,
    pub end: Lsn,
    /// What has to be waited for; more than was asked when an entry must be on disk to tell of async appends.
    pub durability: Durability,
    /// The length of the segment that it found full.
    pub filled: Option<u64>,
}

impl Staging {
    pub(crate) fn new(active: Arc<Segment>, dir: PathBuf, limits: Limits) -> Self {
        Self {
            phase: Phase::Open,
            end: active.first(),
            epoch: active.epoch,
            active: Active::new(active),
            tails: HashMap::default(),
            keys: LiveKeys::default(),
            pending: 0,
            staged: Staged::default(),
            ready: VecDeque::new(),
            full: false,
            urgent: false,
            asleep: false,
            look_at: None,
            block: BytesMut::new(),
            told: (0, 0),
            limits,
            dir,
        }
    }

    /// Appends a group. `durable` is what is known to be on the disk.
    pub(crate) fn append(
        &mut self,
        group: &[Append<'_>],
        durability: Durability,
        durable: Lsn,
    ) -> Result<Appended> {
        let size = self.admit(group)?;
        let filled = self.make_room(size, group)?;
        self.reserve(size.bytes as usize);
        let (durability, is_async) = self.effective(group, durability);
        let last = group.len().saturating_sub(1);
        let before = self.end;
        let places = group
            .iter()
            .enumerate()
            .map(|(n, append)| {
                let more = if n < last { flag::MORE } else { 0 };
                let flags = more | if is_async { flag::ASYNC } else { 0 };
                self.put(append, flags, durable)
            })
            .collect();
        self.staged.sync |= durability == Durability::Sync;
        self.pending += (self.end - before) as usize;
        Ok(Appended { places, end: self.end, durability, filled })
    }

    /// Checks a group against the limits; what it will take.
    fn admit(&self, group: &[Append<'_>]) -> Result<Size> {
        if self.phase != Phase::Open {
            return Err(Error::new(ErrorKind::Unavailable, "the log is closed"));
        }
        let mut all = Size { bytes: 0, entries: group.len() as u64, keys: 0 };
        for append in group {
            let size = max_record_size(payload_len(&append.payload));
            if size > self.limits.max_entry {
                return Err(record::too_large(size, self.limits.max_entry));
            }
            if let Payload::Batch { encoding, count, .. } = append.payload {
                record::check_batch(encoding, count)?;
            }
            let state = matches!(append.payload, Payload::State(_));
            if !state && self.tails.get(&append.queue.0).is_some_and(|tail| tail.forgotten) {
                return Err(Error::new(ErrorKind::Conflict, format!("queue {} was deleted", append.queue.0)));
            }
            all.bytes += size as u64;
            all.keys += keys::count(&append.payload);
        }
        let index = index_size(all.entries, all.entries, all.keys);
        let room = self.limits.min_segment.saturating_sub(PAGE + MARKS + index);
        if all.bytes > room {
            return Err(record::too_large(all.bytes as usize, room as usize));
        }
        if self.pending > 0 && self.pending + all.bytes as usize > self.limits.max_pending {
            return Err(Error::new(ErrorKind::Throttled, "too many bytes wait to be written"));
        }
        Ok(all)
    }

    /// Goes to the next segment when the group does not fit into this one; the length of the one that is full.
    fn make_room(&mut self, size: Size, group: &[Append<'_>]) -> Result<Option<u64>> {
        if group.is_empty() {
            return Ok(None);
        }
        let reserved = group.iter().all(|append| append.reserved_space);
        if self.full && !reserved {
            return Err(storage_full());
        }
        // Without a next segment the end of this one is for what has to survive a full disk.
        let reserve = if reserved || !self.ready.is_empty() { 0 } else { self.reserve_len() };
        if self.active.fits(self.end, size, MARKS + reserve) {
            return Ok(None);
        }
        let best = self.ready.iter().position(|ready| ready.written).unwrap_or(0);
        match self.ready.remove(best) {
            Some(ready) => {
                let filled = self.active.segment.len;
                self.roll(ready);
                Ok(Some(filled))
            }
            None if self.full => Err(storage_full()),
            None => Err(Error::new(ErrorKind::Throttled, "the next file of the log is still being prepared")),
        }
    }

    fn reserve_len(&self) -> u64 {
        (self.active.segment.len / 16).min(MAX_RESERVE)
    }

    fn roll(&mut self, ready: Ready) {
        self.flush_block();
        let new = Arc::new(Segment {
            start: self.end,
            epoch: self.epoch,
            path: segment_path(&self.dir, self.end),
            held: Some(ready.file),
            len: ready.len,
        });
        let old = std::mem::replace(&mut self.active, Active::new(Arc::clone(&new)));
        self.staged.rolls.push_back(Roll {
            old: old.segment,
            end: self.end,
            stored: old.stored,
            from: ready.path,
            new: Arc::clone(&new),
        });
        self.end = new.first();
    }

    /// Makes sure that a group gets one contiguous buffer.
    fn reserve(&mut self, bytes: usize) {
        let room = bytes + PAGE as usize;
        if self.block.capacity() - self.block.len() >= room {
            return;
        }
        self.flush_block();
        if self.block.capacity() < room {
            self.block = BytesMut::with_capacity(room.max(BLOCK));
        }
    }

    fn flush_block(&mut self) {
        if !self.block.is_empty() {
            let segment = Arc::clone(&self.active.segment);
            let (len, end) = (self.block.len(), segment.position(self.end));
            let page_end = end.next_multiple_of(PAGE).min(segment.len);
            self.block.put_bytes(0, page_end.saturating_sub(end) as usize);
            let (lsn, bytes) = (self.end - len as u64, self.block.split().freeze());
            self.staged.pieces.push(Piece { segment, lsn, len, bytes });
        }
    }

    /// An async append is only as good as recovery's knowledge that it may be missing: a queue's first one of a run is
    /// therefore synced, so that an entry which tells of it is on the disk.
    fn effective(&mut self, group: &[Append<'_>], durability: Durability) -> (Durability, bool) {
        if durability == Durability::Sync {
            return (Durability::Sync, false);
        }
        let mut known = true;
        for append in group.iter().filter(|a| !matches!(a.payload, Payload::State(_))) {
            let tail = self.tails.entry(append.queue.0).or_default();
            known &= tail.announced;
            tail.announced = true;
            tail.is_async = true;
        }
        (if known { Durability::Async } else { Durability::Sync }, true)
    }

    fn put(&mut self, append: &Append<'_>, flags: u8, durable: Lsn) -> Placed {
        let (kind, encoding, count) = match append.payload {
            Payload::Message(_) => (EntryKind::Message, record::NATIVE, 1),
            Payload::State(_) => (EntryKind::State, 0, 0),
            Payload::Batch { encoding, count, .. } => (EntryKind::Message, encoding, count),
        };
        let (tag_hash, opaque) = tag_of(&append.payload);
        let stored = storable(append.stored);
        let timely = is_timely(&append.payload, stored);
        let marks = if opaque { flag::OPAQUE } else { 0 } | if timely { flag::TIMELY } else { 0 };
        let header = EntryHeader {
            len: 0,
            payload_crc: 0,
            lsn: self.end,
            epoch: self.epoch,
            queue: if kind == EntryKind::State { 0 } else { append.queue.0 },
            offset: 0,
            stored,
            count,
            encoding,
            kind,
            flags: flags | marks,
            durable,
            tag_hash,
        };
        if kind == EntryKind::State {
            return self.write(header, Some(&append.payload));
        }
        let segment = self.active.segment.start;
        let tail = self.tails.entry(append.queue.0).or_default();
        let offset = tail.next;
        tail.next += Offset::from(count);
        self.active.entries += 1;
        if tail.segment.replace(segment) != Some(segment) {
            self.active.queues += 1;
        }
        let placed = self.write(EntryHeader { offset, ..header }, Some(&append.payload));
        let entry = IndexEntry {
            offset,
            lsn: placed.lsn,
            stored,
            size: placed.size,
            tag_hash,
            count,
            timely,
            opaque,
        };
        let at = placed.lsn.saturating_sub(segment) as u32;
        let (keys, active) = (&mut self.keys, &mut self.active);
        keys::each_hash(&append.payload, |hash| {
            keys.push(segment, Key { hash, at, queue: append.queue.0 });
            active.keys += 1;
        });
        let is_async = flags & flag::ASYNC != 0;
        self.staged.indexed.push(Indexed { queue: append.queue.0, entry, is_async });
        placed
    }

    fn write(&mut self, mut header: EntryHeader, payload: Option<&Payload<'_>>) -> Placed {
        if header.durable == self.told.0 && header.lsn - self.told.1 < TOLD_EVERY {
            header.durable = 0;
        } else {
            self.told = (header.durable, header.lsn);
        }
        let (at, head) = (self.block.len(), header.header_len());
        self.block.put_bytes(0, head);
        match payload {
            Some(Payload::Message(message)) => record::encode(message, header.stored, &mut self.block),
            Some(Payload::State(bytes)) => self.block.put_slice(bytes),
            Some(Payload::Batch { keys, head, bytes, .. }) => {
                record::encode_batch(keys, head, bytes, &mut self.block);
            }
            None => {}
        }
        let len = self.block.len() - at;
        header.len = len as u32;
        let (head, body) = self.block[at..].split_at_mut(head);
        header.payload_crc = payload_crc(header.lsn, body);
        header.encode(head);
        let size = len.next_multiple_of(ALIGN as usize);
        self.block.put_bytes(0, size - len);
        self.end += size as u64;
        let (min, max) = self.active.stored.unwrap_or((header.stored, header.stored));
        self.active.stored = Some((min.min(header.stored), max.max(header.stored)));
        Placed { offset: header.offset, lsn: header.lsn, size: size as u32 }
    }

    /// Appends an entry without content, if there is room. Marks take the newest store time, so that they age with
    /// what they stand behind.
    pub(crate) fn put_empty(&mut self, kind: EntryKind, flags: u8, queue: u32, offset: Offset, durable: Lsn) {
        let spare = if flags & flag::CLEAN != 0 { 0 } else { MAX_HEADER as u64 };
        if !self.active.fits(self.end, Size { bytes: MAX_HEADER as u64, entries: 0, keys: 0 }, spare) {
            return;
        }
        self.reserve(MAX_HEADER);
        let header = EntryHeader {
            len: 0,
            payload_crc: 0,
            lsn: self.end,
            epoch: self.epoch,
            queue,
            offset,
            stored: self.active.stored.map_or(0, |(_, max)| max),
            count: 0,
            encoding: 0,
            kind,
            flags,
            durable,
            tag_hash: 0,
        };
        let placed = self.write(header, None);
        self.pending += placed.size as usize;
        self.staged.sync = true;
    }

    /// True when there is something to commit.
    pub(crate) fn has_work(&self) -> bool {
        self.staged.sync || !self.block.is_empty() || !self.staged.pieces.is_empty()
    }

    /// Takes everything that waits.
    pub(crate) fn take(&mut self) -> (Staged, Lsn) {
        self.flush_block();
        self.urgent = false;
        (std::mem::take(&mut self.staged), self.end)
    }
}

/// What a payload takes at most.
fn payload_len(payload: &Payload<'_>) -> usize {
    match payload {
        Payload::Message(message) => record::max_len(message),
        Payload::State(bytes) => bytes.len(),
        Payload::Batch { keys, head, bytes, .. } => record::batch_len(keys, head, bytes),
    }
}

pub(crate) fn storage_full() -> Error {
    Error::new(ErrorKind::StorageFull, "the disk is full")
}
