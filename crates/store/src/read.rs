//! Answering reads: from the tail in memory when it is all there, from the files otherwise.
//!
//! The one idea to know: nothing that came from a disk leaves here unless its checksums, its position, its epoch and
//! its place in the queue are right; anything else is `Corrupt`, never an empty answer.

use crate::blocks::{BLOCK, Blocks, Cached};
use crate::entry::{ALIGN, EntryHeader, EntryKind, HEADER, MAX_HEADER, flag, payload_crc};
use crate::error::{Damage, LostOffsets};
use crate::index::{IndexEntry, Selection, select};
use crate::live::Place;
use crate::log::{Batch, Content, Entry, Kind, LogQueue, Lsn, Read, ReadLimits, StateEntry};
use crate::record;
use crate::scan::Scan;
use crate::sealed::{self, Range, RangeReader};
use crate::segment::Segment;
use crate::shared::Shared;
use crate::vfs::VfsFile;
use bytes::Bytes;
use sluice_model::{Error, ErrorKind, Millis, Offset, Result};
use std::io;
use std::sync::Arc;

/// Entries closer together than this are read in one go: cheaper than another call.
const NEAR: u64 = 32 << 10;
/// The most that is read in one go, one large entry aside.
const RUN: u64 = 1 << 20;

/// For whom is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Somebody who waits for it, and may well come back.
    Waiting,
    /// See [`crate::Log::read_through`].
    Passing,
}

impl Reader {
    fn blocks(self, shared: &Shared) -> &Blocks {
        match self {
            Self::Waiting => &shared.blocks,
            Self::Passing => &shared.passing,
        }
    }
}

/// [`ReadLimits`] that a cold read can take along.
struct OwnedLimits {
    max_count: usize,
    max_bytes: usize,
    max_examined: usize,
    tag_hashes: Option<Vec<u32>>,
}

impl OwnedLimits {
    fn of(limits: &ReadLimits<'_>) -> Self {
        Self {
            max_count: limits.max_count,
            max_bytes: limits.max_bytes,
            max_examined: limits.max_examined,
            tag_hashes: limits.tag_hashes.map(<[u32]>::to_vec),
        }
    }

    fn borrow(&self) -> ReadLimits<'_> {
        ReadLimits {
            max_count: self.max_count,
            max_bytes: self.max_bytes,
            max_examined: self.max_examined,
            tag_hashes: self.tag_hashes.as_deref(),
        }
    }
}

/// See [`crate::Log::read`].
pub(crate) fn read(
    shared: &Arc<Shared>,
    queue: LogQueue,
    from: Offset,
    limits: &ReadLimits<'_>,
    reader: Reader,
) -> Result<Read> {
    let (selection, readable) = {
        let queues = shared.queues.read();
        let bounds = queues.bounds(queue.0);
        let index = queues.get(queue.0).filter(|_| (bounds.min..bounds.next).contains(&from));
        let Some(index) = index else {
            return Ok(Read::Ready(Batch { entries: Vec::new(), next: from.clamp(bounds.min, bounds.next) }));
        };
        match index.place(from) {
            Place::Live(n) => (select(index.live.from(n), limits), bounds.next),
            Place::Sealed(range) => {
                let (shared, limits) = (Arc::clone(shared), OwnedLimits::of(limits));
                let cold = move || read_sealed(&shared, queue, range, from, &limits.borrow(), reader);
                return Ok(Read::Cold(Box::new(cold)));
            }
        }
    };
    let Selection { entries, next } = selection;
    let next = next.unwrap_or(readable);
    if let Some(bytes) = from_tail(shared, &entries, reader) {
        let entries = entries.iter().zip(bytes).map(|(index, bytes)| in_memory(queue, index, &bytes));
        return Ok(Read::Ready(Batch { entries: entries.collect::<Result<_>>()?, next }));
    }
    let shared = Arc::clone(shared);
    Ok(Read::Cold(Box::new(move || fetch(&shared, queue, &entries, next, reader))))
}

fn from_tail(shared: &Shared, entries: &[IndexEntry], reader: Reader) -> Option<Vec<Bytes>> {
    let mut tail = shared.tail.lock();
    let mut bytes = |entry: &IndexEntry| match reader {
        Reader::Waiting => tail.read(entry.lsn, entry.size as usize),
        Reader::Passing => tail.get(entry.lsn, entry.size as usize),
    };
    entries.iter().map(&mut bytes).collect()
}

/// An entry whose bytes have never left memory: its header is read, its checksums are our own.
fn in_memory(queue: LogQueue, index: &IndexEntry, bytes: &Bytes) -> Result<Entry> {
    let header = EntryHeader::decode_own(bytes, index.lsn);
    let header = header.ok_or_else(|| {
        let what = format!("queue {} offset {}: its header in memory is wrong", queue.0, index.offset);
        Error::new(ErrorKind::Corrupt, "a stored message is damaged").with_source(what)
    })?;
    entry(&header, bytes)
}

fn entry(header: &EntryHeader, bytes: &Bytes) -> Result<Entry> {
    let payload = bytes.slice(header.header_len()..header.len as usize);
    let kind = if header.kind == EntryKind::State { Kind::State } else { Kind::Message };
    Ok(Entry {
        queue: LogQueue(header.queue),
        offset: header.offset,
        count: header.count,
        index: 0,
        lsn: header.lsn,
        size: header.size() as u32,
        stored: header.stored,
        content: record::content(kind, header.encoding, header.stored, &payload)?,
    })
}

fn read_sealed(
    shared: &Shared,
    queue: LogQueue,
    range: Range,
    from: Offset,
    limits: &ReadLimits<'_>,
    reader: Reader,
) -> Result<Batch> {
    let selection = with_range_through(reader.blocks(shared), shared, queue, range, |reader| {
        let first = reader.find(from)?;
        let mut entries = Vec::new();
        let mut n = first;
        loop {
            let selection = select(entries.iter().copied(), limits);
            if selection.next.is_some() || n >= range.count {
                return Ok(selection);
            }
            // As much again as there is: looking at it from the start again then costs little.
            for _ in 0..entries.len().max(128) {
                entries.extend(reader.entry(n)?);
                n += 1;
            }
        }
    })?;
    match selection {
        None => Ok(Batch { entries: Vec::new(), next: shared.queues.read().bounds(queue.0).min.max(from) }),
        Some(selection) => {
            fetch(shared, queue, &selection.entries, selection.next.unwrap_or(range.end), reader)
        }
    }
}

/// Does something with a queue's index entries in a sealed segment; nothing when the segment has been deleted.
pub(crate) fn with_range<T>(
    shared: &Shared,
    queue: LogQueue,
    range: Range,
    work: impl FnOnce(&mut RangeReader<'_>) -> io::Result<T>,
) -> Result<Option<T>> {
    with_range_through(&shared.blocks, shared, queue, range, work)
}

fn with_range_through<T>(
    blocks: &Blocks,
    shared: &Shared,
    queue: LogQueue,
    range: Range,
    work: impl FnOnce(&mut RangeReader<'_>) -> io::Result<T>,
) -> Result<Option<T>> {
    let known = shared.segments.read().get(&range.segment).cloned();
    let Some((segment, footer)) = known.and_then(|known| Some((known.segment, known.footer?))) else {
        return Ok(None);
    };
    let file = match segment.file(&*shared.vfs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(unreadable)?,
    };
    let cached = Cached { blocks, segment: segment.start, file: &*file };
    match work(&mut RangeReader::new(&cached, footer.blocks_at, range)) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let at = sealed::bad_block(&*file, &footer).map_err(unreadable)?.unwrap_or(footer.blocks_at);
            let lost = vec![LostOffsets { queue: queue.0, from: range.base, to: range.end }];
            Err(corrupt(shared, Damage { lost, ..damage(&segment, at, &format!("{error} is not readable")) }))
        }
        Err(error) => Err(unreadable(error)),
    }
}

/// Reads entries from the files. When their segment has been deleted meanwhile, the queue's bound tells where to go on.
fn fetch(
    shared: &Shared,
    queue: LogQueue,
    wanted: &[IndexEntry],
    next: Offset,
    reader: Reader,
) -> Result<Batch> {
    if reader == Reader::Waiting {
        let mut tail = shared.tail.lock();
        wanted.iter().for_each(|entry| tail.ask(entry.lsn, entry.size as usize));
    }
    let mut entries = Vec::with_capacity(wanted.len());
    let mut rest = wanted;
    while let Some(first) = rest.first() {
        let Some((segment, end)) = shared.segment_of(first.lsn) else {
            let min = shared.queues.read().bounds(queue.0).min;
            return Ok(Batch { entries, next: min.max(first.offset) });
        };
        let (run, behind) = rest.split_at(run_len(rest, &segment, end));
        rest = behind;
        match fetch_run(shared, queue, &segment, run, reader) {
            Ok(run) => entries.extend(run),
            Err(Fetch::Gone) => {
                let min = shared.queues.read().bounds(queue.0).min;
                return Ok(Batch { entries, next: min.max(first.offset) });
            }
            Err(Fetch::Failed(error)) => return Err(error),
        }
    }
    Ok(Batch { entries, next })
}

/// How many of the entries lie close enough together, and before the segment's end, to be read at once. What lies in one
/// block is handed out of it as it is; only an entry that goes over its end is put together, by itself.
fn run_len(entries: &[IndexEntry], segment: &Segment, segment_end: Lsn) -> usize {
    let Some(first) = entries.first() else { return 0 };
    let has_blocks = segment.held.is_none();
    let block = |lsn: Lsn| segment.position(lsn) / BLOCK;
    let near = |pair: &[IndexEntry]| {
        let [before, after] = pair else { return false };
        let end = before.lsn + u64::from(before.size);
        let after_end = after.lsn + u64::from(after.size);
        (end..segment_end).contains(&after.lsn)
            && after.lsn - end <= NEAR
            && after_end - first.lsn <= RUN
            && (!has_blocks || block(first.lsn) == block(after_end - 1))
    };
    1 + entries.windows(2).take_while(|pair| near(pair)).count()
}

enum Fetch {
    Gone,
    Failed(Error),
}

fn fetch_run(
    shared: &Shared,
    queue: LogQueue,
    segment: &Segment,
    run: &[IndexEntry],
    reader: Reader,
) -> Result<Vec<Entry>, Fetch> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(Vec::new()) };
    // An index that claims more than its file holds gets what there is; the entries' own checks then tell.
    let room = segment.len.saturating_sub(segment.position(first.lsn));
    let len = (last.lsn + u64::from(last.size)).saturating_sub(first.lsn).min(room) as usize;
    let file = segment.file(&*shared.vfs).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Fetch::Gone,
        _ => Fetch::Failed(unreadable(error)),
    })?;
    let bytes = match segment.held {
        // It is still being written to.
        Some(_) => read_past_blocks(&*file, segment.position(first.lsn), len),
        None => reader.blocks(shared).read(segment.start, &*file, segment.position(first.lsn), len),
    };
    let bytes = bytes.map_err(|error| Fetch::Failed(unreadable(error)))?;
    if reader == Reader::Waiting && segment.held.is_none() {
        read_ahead(shared, segment, &file, last.lsn);
    }
    let one = |index: &IndexEntry| {
        let at = index.lsn.wrapping_sub(first.lsn) as usize;
        let end = at.saturating_add(index.size as usize);
        let bytes = if end <= bytes.len() { bytes.slice(at..end) } else { Bytes::new() };
        checked(segment, index.lsn, &bytes)
            .filter(|header| header.queue == queue.0 && header.offset == index.offset)
            .ok_or_else(|| {
                let lost = vec![LostOffsets { queue: queue.0, from: index.offset, to: index.end() }];
                let place = damage(segment, segment.position(index.lsn), "the entry there is not readable");
                corrupt(shared, Damage { lsn: Some(index.lsn), lost, ..place })
            })
            .and_then(|header| entry(&header, &bytes))
    };
    run.iter().map(one).collect::<Result<_>>().map_err(Fetch::Failed)
}

/// Has the blocks behind the one with this entry brought, for who reads through a segment.
fn read_ahead(shared: &Shared, segment: &Segment, file: &Arc<dyn VfsFile>, lsn: Lsn) {
    let Some(blocks) = shared.blocks.missing_ahead(segment.start, segment.position(lsn) / BLOCK) else {
        return;
    };
    let end = segment.len.div_ceil(BLOCK).min(blocks.end);
    if blocks.start < end {
        shared.ahead.ask(segment.start, file, blocks.start..end);
    }
}

fn read_past_blocks(file: &dyn VfsFile, from: u64, len: usize) -> io::Result<Bytes> {
    Ok(file.read_bytes(len, from)?.into())
}

/// The header of an entry that begins here, when everything about it is right.
fn checked(segment: &Segment, lsn: Lsn, bytes: &Bytes) -> Option<EntryHeader> {
    let header = EntryHeader::decode(bytes, lsn)?;
    let payload = bytes.get(header.header_len()..header.len as usize)?;
    let good = header.epoch == segment.epoch && payload_crc(lsn, payload) == header.payload_crc;
    good.then_some(header)
}

/// See [`crate::Log::read_at`].
pub(crate) fn read_at(shared: &Shared, lsn: Lsn) -> Result<Option<Entry>> {
    look_at(shared, lsn, false)
}

/// The entry at a position that an index leads to: where there is something else, it is damaged.
pub(crate) fn read_known(shared: &Shared, lsn: Lsn) -> Result<Option<Entry>> {
    look_at(shared, lsn, true)
}

fn look_at(shared: &Shared, lsn: Lsn, is_known: bool) -> Result<Option<Entry>> {
    if !lsn.is_multiple_of(ALIGN) || lsn.saturating_add(HEADER as u64) > shared.visible() {
        return Ok(None);
    }
    let Some((segment, next)) = shared.segment_of(lsn) else { return Ok(None) };
    let (segment, end) = (&segment, next.min(shared.visible()));
    if lsn < segment.first() || lsn + HEADER as u64 > end {
        return Ok(None);
    }
    let bytes = |len: usize| {
        let cached = shared.tail.lock().get(lsn, len);
        if cached.is_some() { Ok(cached) } else { bytes_of(shared, segment, lsn, len) }
    };
    // Any number may be asked for: what does not look like an entry of this segment is none.
    let Some(head) = bytes(MAX_HEADER.min((end - lsn) as usize))? else { return Ok(None) };
    let header = EntryHeader::decode(&head, lsn).filter(|h| h.epoch == segment.epoch && h.end() <= end);
    let Some(header) = header else {
        return if is_known || head.starts_with(&crate::entry::SIGNATURE) {
            Err(corrupt_at(shared, segment, lsn))
        } else {
            Ok(None)
        };
    };
    if header.has(flag::LOST) {
        return Err(corrupt_at(shared, segment, lsn));
    }
    let hidden = match header.kind {
        EntryKind::Message => shared.queues.read().is_hidden(header.queue, header.index_entry().end()),
        EntryKind::State => false,
        EntryKind::Mark | EntryKind::Gap => true,
    };
    if hidden {
        return Ok(None);
    }
    let len = header.len as usize;
    let Some(bytes) = bytes(len)? else { return Ok(None) };
    shared.tail.lock().ask(lsn, len);
    let header = checked(segment, lsn, &bytes).ok_or_else(|| corrupt_at(shared, segment, lsn))?;
    entry(&header, &bytes).map(Some)
}

fn bytes_of(shared: &Shared, segment: &Segment, lsn: Lsn, len: usize) -> Result<Option<Bytes>> {
    let file = match segment.file(&*shared.vfs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(unreadable)?,
    };
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, segment.position(lsn)).map_err(unreadable)?;
    bytes.truncate(read);
    Ok(Some(bytes.into()))
}

/// See [`crate::Log::offset_at`].
pub(crate) fn offset_at(shared: &Shared, queue: LogQueue, time: Millis) -> Result<Offset> {
    let (ranges, live, bounds) = {
        let queues = shared.queues.read();
        let Some(index) = queues.get(queue.0) else { return Ok(0) };
        let ranges: Vec<Range> = index.ranges.iter().filter(|r| r.max_stored >= time).copied().collect();
        let live = index.first_stored(time).map(|entry| entry.offset);
        (ranges, live, queues.bounds(queue.0))
    };
    for range in ranges {
        let found = with_range(shared, queue, range, |reader| reader.first_stored(time))?;
        if let Some(entry) = found.flatten() {
            return Ok(entry.offset.max(bounds.min));
        }
    }
    Ok(live.map_or(bounds.next, |offset| offset.max(bounds.min)))
}

/// See [`crate::Log::maybe_born`].
pub(crate) fn maybe_born(shared: &Shared, queue: LogQueue, from: Offset, time: Millis) -> Result<Offset> {
    let (ranges, live, bounds) = {
        let queues = shared.queues.read();
        let Some(index) = queues.get(queue.0) else { return Ok(from) };
        let wanted = |range: &&Range| range.end > from && range.may_be_born(time);
        let ranges: Vec<Range> = index.ranges.iter().filter(wanted).copied().collect();
        (ranges, queues.maybe_born(queue.0, from, time), queues.bounds(queue.0))
    };
    for range in ranges {
        let found = with_range(shared, queue, range, |reader| reader.maybe_born(from, time))?;
        if let Some(entry) = found.flatten() {
            return Ok(entry.offset.max(from).max(bounds.min));
        }
    }
    Ok(live.unwrap_or(bounds.next).max(from).max(bounds.min))
}

/// See [`crate::Log::replay`].
pub(crate) fn replay(shared: &Shared, from: Lsn, visit: &mut dyn FnMut(Entry)) -> Result<()> {
    let visible = shared.visible();
    let segments: Vec<_> = shared.segments.read().values().map(|known| Arc::clone(&known.segment)).collect();
    let ends: Vec<Lsn> = segments.iter().skip(1).map(|next| next.start).chain([visible]).collect();
    for (segment, end) in segments.into_iter().zip(ends) {
        if end <= from.max(segment.first()) {
            continue;
        }
        let file = segment.file(&*shared.vfs).map_err(unreadable)?;
        let mut scan = Scan::new(file, segment.start, Some(segment.epoch), segment.position(end));
        scan.seek(from);
        while let Some(scanned) = scan.next().map_err(unreadable)? {
            let kind = match scanned.header.kind {
                EntryKind::Message => Kind::Message,
                EntryKind::State => Kind::State,
                EntryKind::Mark | EntryKind::Gap => continue,
            };
            let header = scanned.header;
            let content: Content = record::content(kind, header.encoding, header.stored, &scanned.payload)?;
            visit(Entry {
                queue: LogQueue(header.queue),
                offset: header.offset,
                count: header.count,
                index: 0,
                lsn: header.lsn,
                size: header.size() as u32,
                stored: header.stored,
                content,
            });
        }
        if scan.lsn() != end {
            return Err(corrupt_at(shared, &segment, scan.lsn()));
        }
    }
    Ok(())
}

/// See [`crate::Log::states`].
pub(crate) fn states(
    shared: &Shared,
    from: Lsn,
    max_bytes: u64,
    visit: &mut dyn FnMut(StateEntry<'_>),
) -> Result<Lsn> {
    let visible = shared.visible();
    let segments: Vec<_> = shared.segments.read().values().map(|known| Arc::clone(&known.segment)).collect();
    let ends: Vec<Lsn> = segments.iter().skip(1).map(|next| next.start).chain([visible]).collect();
    let mut left = max_bytes;
    let mut seen = from;
    for (segment, end) in segments.into_iter().zip(ends) {
        if end <= from.max(segment.first()) {
            continue;
        }
        if left == 0 {
            return Ok(seen);
        }
        let file = match segment.file(&*shared.vfs) {
            // Retention has taken it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file.map_err(unreadable)?,
        };
        let mut scan = Scan::new(file, segment.start, Some(segment.epoch), segment.position(end));
        scan.seek(from);
        let begun = scan.lsn();
        if begun == from && scan.header().map_err(unreadable)?.is_none() {
            return Err(Error::invalid(format!("no entry of the log begins at {from}")));
        }
        let (mut group, mut more) = (begun, false);
        while let Some((header, payload)) = scan.skim(EntryKind::State).map_err(unreadable)? {
            group = if more { group } else { header.lsn };
            more = header.has(flag::MORE);
            if let Some(bytes) = payload {
                visit(StateEntry { lsn: header.lsn, group, stored: header.stored, bytes: &bytes });
            }
            if !more && scan.lsn() - begun >= left {
                return Ok(scan.lsn());
            }
        }
        if scan.lsn() != end {
            return Err(corrupt_at(shared, &segment, scan.lsn()));
        }
        left = left.saturating_sub(end - begun);
        seen = end;
    }
    Ok(seen)
}

/// Damage that was come upon: told to whoever listens, and to who asked for what is damaged.
fn corrupt(shared: &Shared, damage: Damage) -> Error {
    shared.damages.tell(&damage);
    Error::new(ErrorKind::Corrupt, "a stored message is damaged").with_source(damage.to_string())
}

fn corrupt_at(shared: &Shared, segment: &Segment, lsn: Lsn) -> Error {
    let place = damage(segment, segment.position(lsn), "the entry there is not readable");
    corrupt(shared, Damage { lsn: Some(lsn), ..place })
}

pub(crate) fn corrupt_index(shared: &Shared, segment: &Segment, at: u64, what: &io::Error) -> Error {
    let damage = damage(segment, at, &format!("{what} is not readable"));
    shared.damages.tell(&damage);
    Error::new(ErrorKind::Corrupt, "an index of stored messages is damaged").with_source(damage.to_string())
}

fn damage(segment: &Segment, position: u64, what: &str) -> Damage {
    Damage {
        file: segment.path.clone(),
        position,
        lsn: None,
        what: what.into(),
        lost: Vec::new(),
        waiting: Vec::new(),
    }
}

pub(crate) fn unreadable(error: io::Error) -> Error {
    tracing::error!(%error, "the disk cannot be read");
    Error::new(ErrorKind::Unavailable, "the disk cannot be read").with_source(error)
}
