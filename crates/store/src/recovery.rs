//! Finding out, at start, what the log holds: everything acknowledged, or an exact report of what is damaged.
//!
//! The one idea to know: a place without a good entry is the torn end of the log only if nothing behind it was written
//! when that place was already known to be safe. Every entry tells what was known to be safe when it was written, so an
//! entry behind the bad place that counts it as safe proves damage. Then nothing is changed on disk and the start is
//! refused.
//!
//! [`survey`] looks and changes nothing; [`Survey::settle`] then closes the old segments, so that nothing is ever
//! appended behind a torn end. Where the limit lies: damage in the very last group looks like a torn write; the mark
//! that follows 100 ms of quiet leaves only the newest group exposed.

use crate::checkpoint::{self, Checkpoint, Outcome};
use crate::entry::{ALIGN, EntryHeader, EntryKind, MAX_LSN, MAX_OFFSET, flag};
use crate::error::{Damage, LostOffsets, OpenError};
use crate::live::QueueIndexes;
use crate::log::Lsn;
use crate::scan::{Scan, Scanned};
use crate::sealed::write::{Sealed, seal};
use crate::sealed::{Contents, Footer, Range};
use crate::segment::{
    PAGE, Page, Segment, SegmentHeader, StoreId, VERSION, log_dir, segment_path, start_of_name,
};
use crate::shared::Known;
use crate::vfs::{Vfs, VfsFile};
use sluice_model::Offset;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How far the offsets of queues with async entries move after an unclean stop: more than 4 MiB, the most that can be
/// unsynced, can hold. So no offset that a consumer has seen is given to another message.
pub(crate) const ASYNC_GAP: Offset = 65_536;

/// Written again at once.
const AT_ONCE: usize = 1 << 20;

/// What the log's folder holds.
pub(crate) struct Survey {
    pub checkpoint: Option<Checkpoint>,
    /// The positions of the readable checkpoints, oldest first.
    pub checkpoints: Vec<Lsn>,
    /// The end of every queue.
    pub ends: HashMap<u32, QueueEnd, foldhash::fast::RandomState>,
    /// The position after the last good entry.
    pub end: Lsn,
    /// The log was closed in order, or is new.
    pub clean: bool,
    bad_checkpoints: Vec<Lsn>,
    segments: Vec<Surveyed>,
    /// The offset after the last one that the segments so far hold, for each queue.
    reached: HashMap<u32, Offset, foldhash::fast::RandomState>,
    /// A file whose beginning was torn before it got an entry.
    empty: Option<PathBuf>,
}

/// The end of a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct QueueEnd {
    pub next: Offset,
    pub is_async: bool,
}

struct Surveyed {
    segment: Segment,
    state: State,
}

enum State {
    Sealed(Footer, Vec<(u32, Range)>),
    /// From `safe` on nothing tells that the entries are on the disk, and not only in the system's cache.
    Open {
        end: Lsn,
        safe: Lsn,
        contents: Contents,
        clean: bool,
    },
}

impl Surveyed {
    fn end(&self) -> Lsn {
        match &self.state {
            State::Sealed(footer, _) => footer.end,
            State::Open { end, .. } => *end,
        }
    }
}

/// Looks through the folder of a store. Changes nothing.
pub(crate) fn survey(vfs: &dyn Vfs, dir: &Path, store: StoreId) -> Result<Survey, OpenError> {
    let mut survey = Survey {
        checkpoint: None,
        checkpoints: Vec::new(),
        ends: HashMap::default(),
        end: 0,
        clean: true,
        bad_checkpoints: Vec::new(),
        segments: Vec::new(),
        reached: HashMap::default(),
        empty: None,
    };
    survey.read_checkpoints(vfs, dir, store)?;
    let names = vfs.list(&log_dir(dir)).map_err(|e| OpenError::io(log_dir(dir), e))?;
    let mut starts: Vec<Lsn> = names.iter().filter_map(|name| start_of_name(name)).collect();
    starts.sort_unstable();
    if let Some(start) = starts.iter().find(|start| **start > MAX_LSN || !start.is_multiple_of(ALIGN)) {
        let what = "no segment can start where its name says";
        return Err(OpenError::damaged(segment_path(dir, *start), 0, what));
    }
    for (n, start) in starts.iter().enumerate() {
        survey.add_segment(vfs, dir, store, *start, starts.get(n + 1).copied())?;
    }
    survey.check_against_checkpoint(dir)?;
    Ok(survey)
}

impl Survey {
    fn read_checkpoints(&mut self, vfs: &dyn Vfs, dir: &Path, store: StoreId) -> Result<(), OpenError> {
        let failed = |e| OpenError::io(checkpoint::dir_of(dir), e);
        for at in checkpoint::list(vfs, dir).map_err(failed)? {
            match checkpoint::read(vfs, dir, store, at).map_err(failed)? {
                Outcome::Good(checkpoint) => {
                    self.checkpoints.push(at);
                    self.checkpoint = Some(checkpoint);
                }
                Outcome::Other(found) => {
                    let path = checkpoint::path_of(dir, at);
                    return Err(OpenError::OtherFormat { path, found, known: VERSION });
                }
                Outcome::Unreadable(why) => {
                    tracing::warn!(at, why, "a checkpoint is damaged; the one before is used");
                    self.bad_checkpoints.push(at);
                }
            }
        }
        for end in self.checkpoint.iter().flat_map(|checkpoint| &checkpoint.ends) {
            self.ends.insert(end.queue, QueueEnd { next: end.next, is_async: end.is_async });
        }
        Ok(())
    }

    fn add_segment(
        &mut self,
        vfs: &dyn Vfs,
        dir: &Path,
        store: StoreId,
        start: Lsn,
        next: Option<Lsn>,
    ) -> Result<(), OpenError> {
        let path = segment_path(dir, start);
        let file = vfs.open(&path, false).map_err(|e| OpenError::io(&path, e))?;
        let len = file.size().map_err(|e| OpenError::io(&path, e))?;
        let Some(header) = self.header(&path, &file, store, start, next.is_none(), len)? else {
            self.empty = Some(path);
            return Ok(());
        };
        self.check_start(&path, start)?;
        let segment = Segment { start, epoch: header.epoch, path, held: Some(Arc::clone(&file)), len };
        let state = match sealed_state(&segment, &*file, store)? {
            Some(sealed) => sealed,
            None => self.scan(&segment, file, next)?,
        };
        if let State::Sealed(footer, ranges) = &state {
            for (queue, range) in ranges {
                self.ascend(*queue, range.base, range.end).map_err(|what| {
                    let at = segment.position(footer.end);
                    damaged(&segment.path, at, footer.end, what, Vec::new())
                })?;
                self.go_on(*queue, range.end, range.is_async);
            }
        }
        let surveyed = Surveyed { segment, state };
        self.end = surveyed.end();
        match &surveyed.state {
            State::Sealed(footer, _) => self.clean = footer.clean,
            State::Open { end, clean, .. } if *end > surveyed.segment.first() => self.clean = *clean,
            State::Open { .. } => {}
        }
        self.segments.push(surveyed);
        Ok(())
    }

    /// The header of a segment; nothing for a last file that never became one.
    fn header(
        &self,
        path: &Path,
        file: &Arc<dyn VfsFile>,
        store: StoreId,
        start: Lsn,
        last: bool,
        len: u64,
    ) -> Result<Option<SegmentHeader>, OpenError> {
        match SegmentHeader::decode(&page(path, &**file, 0)?) {
            Page::Good(header) if header.start == start && header.store == store => return Ok(Some(header)),
            Page::Other(found) => {
                return Err(OpenError::OtherFormat { path: path.into(), found, known: VERSION });
            }
            Page::Good(_) | Page::Unreadable => {}
        }
        let entries = Scan::new(Arc::clone(file), start, None, len).search();
        if last && entries.map_err(|e| OpenError::io(path, e))?.is_none() {
            return Ok(None);
        }
        Err(damaged(path, 0, start, "its header page is not readable", Vec::new()))
    }

    /// Segments follow each other without a hole, and reach back to what the checkpoint tells.
    fn check_start(&self, path: &Path, start: Lsn) -> Result<(), OpenError> {
        let what = match (self.segments.last(), &self.checkpoint) {
            (Some(before), _) if before.end() == start => return Ok(()),
            (Some(before), _) => {
                let what = format!(
                    "the segment ends at log position {} but the next one starts at {start}",
                    before.end()
                );
                let path = &before.segment.path;
                let at = before.segment.position(before.end());
                return Err(damaged(path, at, before.end(), what, Vec::new()));
            }
            (None, None) if start == 0 => return Ok(()),
            (None, None) => {
                "the log before this segment is missing, and no checkpoint tells what it held".to_owned()
            }
            (None, Some(checkpoint)) if start <= checkpoint.at => return Ok(()),
            (None, Some(checkpoint)) => {
                format!("the log between the checkpoint at {} and this segment is missing", checkpoint.at)
            }
        };
        Err(damaged(path, 0, start, what, Vec::new()))
    }

    /// The offsets of a queue only rise. Where they do not, good checksums tell of a fault in what wrote them, or of
    /// bytes that belong elsewhere; nothing behind can be trusted, and none of it is thrown away.
    fn ascend(&mut self, queue: u32, from: Offset, to: Offset) -> Result<(), String> {
        let reached = self.reached.entry(queue).or_default();
        if from < *reached || to < from || to > MAX_OFFSET {
            return Err(format!(
                "queue {queue} goes on from offset {from} to {to}, but it had reached {reached}"
            ));
        }
        *reached = to;
        Ok(())
    }

    fn go_on(&mut self, queue: u32, next: Offset, is_async: bool) {
        let end = self.ends.entry(queue).or_default();
        end.next = end.next.max(next);
        end.is_async |= is_async;
    }

    /// Reads a segment that has no index of its own. Only whole groups count.
    fn scan(
        &mut self,
        segment: &Segment,
        file: Arc<dyn VfsFile>,
        next: Option<Lsn>,
    ) -> Result<State, OpenError> {
        let failed = |e| OpenError::io(&segment.path, e);
        let limit = next.map_or(segment.len, |next| next.saturating_sub(segment.start).min(segment.len));
        let mut scan = Scan::new(file, segment.start, Some(segment.epoch), limit);
        let mut contents = Contents::default();
        let mut group = Vec::new();
        let mut keys = 0;
        let mut end = scan.lsn();
        let mut safe = end;
        let mut clean = false;
        while let Some(scanned) = scan.next().map_err(failed)? {
            let header = scanned.header;
            group.push(header);
            contents.add_keys(segment.start, &header, &scanned.payload);
            if header.has(flag::MORE) {
                continue;
            }
            keys = contents.keys.len();
            end = scan.lsn();
            safe = safe.max(header.durable.min(end));
            clean = header.kind == EntryKind::Mark && header.has(flag::CLEAN);
            for header in group.drain(..) {
                self.take(&header).map_err(|what| {
                    damaged(&segment.path, segment.position(header.lsn), header.lsn, what, Vec::new())
                })?;
                contents.add(&header);
            }
        }
        // Those of a group that is not whole.
        contents.keys.truncate(keys);
        match next {
            Some(next) if next != end => {
                let what =
                    format!("its entries should reach to log position {next}, where the next segment starts");
                Err(damaged(&segment.path, segment.position(end), end, what, Vec::new()))
            }
            Some(_) => Ok(State::Open { end, safe, contents, clean }),
            None => {
                self.refuse_damage(segment, &mut scan, end)?;
                Ok(State::Open { end, safe, contents, clean })
            }
        }
    }

    /// Takes over where an entry's queue goes on.
    fn take(&mut self, header: &EntryHeader) -> Result<(), String> {
        let (to, is_async) = match header.kind {
            EntryKind::Message if header.count == 0 => {
                return Err(format!("a message of queue {} has no offset", header.queue));
            }
            EntryKind::Message => (header.index_entry().end(), header.has(flag::ASYNC)),
            EntryKind::Gap => (header.offset, true),
            EntryKind::State | EntryKind::Mark => return Ok(()),
        };
        self.ascend(header.queue, header.offset, to)?;
        self.go_on(header.queue, to, is_async);
        Ok(())
    }

    /// Searches behind the end of good entries for one that was written when that end was already safe.
    fn refuse_damage(&self, segment: &Segment, scan: &mut Scan, end: Lsn) -> Result<(), OpenError> {
        let failed = |e| OpenError::io(&segment.path, e);
        let mut proof = None;
        let mut behind: BTreeMap<u32, Offset> = BTreeMap::new();
        while let Some(Scanned { header, .. }) = scan.search().map_err(failed)? {
            if header.durable > end {
                proof.get_or_insert(header.lsn);
            }
            if header.kind == EntryKind::Message {
                behind.entry(header.queue).or_insert(header.offset);
            }
        }
        let Some(proof) = proof else { return Ok(()) };
        let lost = behind.into_iter().filter_map(|(queue, to)| {
            let from = self.ends.get(&queue).map_or(0, |end| end.next);
            (from < to).then_some(LostOffsets { queue, from, to })
        });
        let what = format!(
            "an entry there is not readable, and the entry at log position {proof} proves that it was acknowledged"
        );
        Err(damaged(&segment.path, segment.position(end), end, what, lost.collect()))
    }

    fn check_against_checkpoint(&self, dir: &Path) -> Result<(), OpenError> {
        if let (None, Some(bad)) = (&self.checkpoint, self.bad_checkpoints.last())
            && self.segments.first().is_some_and(|first| first.segment.start != 0)
        {
            return Err(OpenError::damaged(checkpoint::path_of(dir, *bad), 0, "no checkpoint is readable"));
        }
        let Some(checkpoint) = &self.checkpoint else { return Ok(()) };
        // Right behind the header of a segment that got no entry, a checkpoint is in order when that segment is gone.
        if checkpoint.at <= self.end || checkpoint.at == self.end + PAGE {
            return Ok(());
        }
        let what = format!("a checkpoint tells of entries up to log position {}", checkpoint.at);
        Err(match self.segments.last() {
            Some(last) => {
                damaged(&last.segment.path, last.segment.position(self.end), self.end, what, Vec::new())
            }
            None => OpenError::damaged(log_dir(dir), 0, format!("there are no segments, but {what}")),
        })
    }

    /// Closes the old segments: seals those that are not, at the end of their good entries, and removes empty ones.
    pub(crate) fn settle(
        &mut self,
        vfs: &dyn Vfs,
        dir: &Path,
        store: StoreId,
    ) -> Result<(BTreeMap<Lsn, Known>, QueueIndexes), OpenError> {
        // What an earlier life could not make safe any more: the names of the store's own files.
        vfs.sync_dir(dir).map_err(|e| OpenError::io(dir, e))?;
        self.remove_leftovers(vfs, dir)?;
        let mut segments = BTreeMap::new();
        let mut queues = QueueIndexes::default();
        let count = self.segments.len();
        for (n, surveyed) in std::mem::take(&mut self.segments).into_iter().enumerate() {
            let Surveyed { segment, state } = surveyed;
            let failed = |e| OpenError::io(&segment.path, e);
            let Sealed { footer, ranges, len } = match state {
                State::Sealed(footer, ranges) => Sealed { footer, ranges, len: segment.len },
                State::Open { end, .. } if end == segment.first() => {
                    self.end = segment.start;
                    remove(vfs, dir, &segment.path).map_err(failed)?;
                    continue;
                }
                State::Open { end, safe, contents, clean } => {
                    write_again(vfs, &segment, safe, end).map_err(failed)?;
                    let last = n + 1 == count;
                    seal(vfs, &segment, store, end, clean, last, contents.unsealed()).map_err(failed)?
                }
            };
            for (queue, range) in ranges {
                queues.add_range(queue, range);
            }
            let Segment { start, epoch, path, .. } = segment;
            let segment = Arc::new(Segment { start, epoch, path, held: None, len });
            segments.insert(start, Known { segment, footer: Some(footer) });
        }
        Ok((segments, queues))
    }

    fn remove_leftovers(&mut self, vfs: &dyn Vfs, dir: &Path) -> Result<(), OpenError> {
        if let Some(path) = self.empty.take() {
            remove(vfs, dir, &path).map_err(|e| OpenError::io(&path, e))?;
        }
        for at in std::mem::take(&mut self.bad_checkpoints) {
            // Kept aside: whoever looks into the damage may want it.
            let path = checkpoint::path_of(dir, at);
            vfs.rename(&path, &path.with_extension("ck.bad")).map_err(|e| OpenError::io(&path, e))?;
        }
        Ok(())
    }
}

/// Writes entries again that were found. When a sync fails, the system counts what it could not write as written, and
/// serves it from its cache until the power fails: only what is written anew is carried to the disk by the next sync.
fn write_again(vfs: &dyn Vfs, segment: &Segment, from: Lsn, to: Lsn) -> io::Result<()> {
    let file = segment.file(vfs)?;
    let (mut at, end) = (segment.position(from), segment.position(to));
    let mut bytes = vec![0; (end.saturating_sub(at) as usize).min(AT_ONCE)];
    while at < end {
        let part = &mut bytes[..AT_ONCE.min((end - at) as usize)];
        if file.read_at(part, at)? != part.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(part, at)?;
        at += part.len() as u64;
    }
    Ok(())
}

fn sealed_state(segment: &Segment, file: &dyn VfsFile, store: StoreId) -> Result<Option<State>, OpenError> {
    let sealed = sealed_parts(segment, file, store)?;
    Ok(sealed.map(|(footer, ranges)| State::Sealed(footer, ranges)))
}

/// A footer, and what its directory says of each queue.
pub(crate) type SealedParts = (Footer, Vec<(u32, Range)>);

/// The footer of a segment and its directory, when it is sealed and both are good.
pub(crate) fn sealed_parts(
    segment: &Segment,
    file: &dyn VfsFile,
    store: StoreId,
) -> Result<Option<SealedParts>, OpenError> {
    if segment.len < 2 * PAGE {
        return Ok(None);
    }
    let footer = match Footer::decode(&page(&segment.path, file, segment.len - PAGE)?) {
        Page::Good(footer) => footer,
        Page::Other(found) => {
            return Err(OpenError::OtherFormat { path: segment.path.clone(), found, known: VERSION });
        }
        Page::Unreadable => return Ok(None),
    };
    if footer.start != segment.start || footer.epoch != segment.epoch || footer.store != store {
        return Ok(None);
    }
    let directory = footer.directory(file).map_err(|e| OpenError::io(&segment.path, e))?;
    Ok(directory.map(|ranges| (footer, ranges)))
}

pub(crate) fn page(path: &Path, file: &dyn VfsFile, at: u64) -> Result<Vec<u8>, OpenError> {
    let mut page = vec![0; PAGE as usize];
    let read = file.read_at(&mut page, at).map_err(|e| OpenError::io(path, e))?;
    page.truncate(read);
    Ok(page)
}

fn remove(vfs: &dyn Vfs, dir: &Path, path: &Path) -> io::Result<()> {
    vfs.remove(path)?;
    vfs.sync_dir(&log_dir(dir))
}

fn damaged(
    path: &Path,
    position: u64,
    lsn: Lsn,
    what: impl Into<String>,
    lost: Vec<LostOffsets>,
) -> OpenError {
    let damage =
        Damage { file: path.into(), position, lsn: Some(lsn), what: what.into(), lost, waiting: Vec::new() };
    OpenError::Damaged(Box::new(damage))
}
