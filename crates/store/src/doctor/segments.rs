//! Every byte of every segment: headers, entries, indexes, and that they follow each other.

use super::inspect::{Seen, damage};
use super::{Inspection, Wound};
use crate::checkpoint::Checkpoint;
use crate::entry::{EntryKind, flag};
use crate::error::{LostOffsets, OpenError};
use crate::keys;
use crate::log::Lsn;
use crate::recovery::{SealedParts, page, sealed_parts};
use crate::scan::{Scan, Scanned};
use crate::sealed::{self, Contents, Footer, Range};
use crate::segment::{Page, Segment, SegmentHeader, StoreId, VERSION, log_dir, segment_path};
use crate::vfs::{Vfs, VfsFile};
use crate::walk::{Hole, Reached, Walk};
use sluice_model::{Millis, Offset};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// See the module.
pub(super) struct Segments<'a> {
    vfs: &'a dyn Vfs,
    dir: &'a Path,
    store: StoreId,
    checkpoint: Option<Checkpoint>,
    visit: &'a mut dyn FnMut(Seen<'_>),
    /// The offset after the last one seen, for each queue.
    reached: Reached,
    /// The newest store time seen.
    stored: Millis,
    /// Nothing has been trimmed: every queue begins at 0.
    is_whole: bool,
    /// Where the segment before ends.
    end: Option<Lsn>,
    /// The part of the log that is missing before what is looked at.
    missing: Option<Missing>,
}

/// A part of the log that is missing. What it held is told by what comes first behind it.
struct Missing {
    /// Its number among the damages.
    damage: usize,
    /// Queues that came behind it already.
    seen: HashSet<u32>,
}

impl<'a> Segments<'a> {
    pub(super) fn new(
        vfs: &'a dyn Vfs,
        dir: &'a Path,
        store: StoreId,
        checkpoint: Option<Checkpoint>,
        visit: &'a mut dyn FnMut(Seen<'_>),
    ) -> Self {
        let reached = Reached::new();
        let (stored, is_whole, end, missing) = (0, false, None, None);
        Self { vfs, dir, store, checkpoint, visit, reached, stored, is_whole, end, missing }
    }

    pub(super) fn look(mut self, starts: &[Lsn], found: &mut Inspection) -> Result<(), OpenError> {
        // Where there is none at all, all that a checkpoint knows of may be lost.
        self.is_whole = starts.first().is_none_or(|start| *start == 0);
        for (n, start) in starts.iter().enumerate() {
            self.chain(*start, found);
            self.segment(*start, starts.get(n + 1).copied(), found)?;
            found.segments += 1;
        }
        let told = self.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.at);
        let end = self.end.unwrap_or(0);
        if told > end + crate::segment::PAGE {
            let what =
                format!("a checkpoint tells of entries up to log position {told}, but the log ends at {end}");
            let mut damage = damage(&log_dir(self.dir), 0, Some(end), what);
            damage.lost = self.beyond_the_end();
            found.hurt(damage, Wound::Missing { from: end, to: told, stored: self.stored });
        }
        Ok(())
    }

    /// What a checkpoint knows of queues that is not there.
    fn beyond_the_end(&self) -> Vec<LostOffsets> {
        let ends = self.checkpoint.iter().flat_map(|checkpoint| &checkpoint.ends);
        let lost = ends.filter_map(|end| {
            // Of a queue that nothing else tells of, all may have gone long before.
            let unknown = if self.is_whole { 0 } else { end.next };
            let from = self.reached.get(&end.queue).copied().unwrap_or(unknown);
            (from < end.next).then_some(LostOffsets { queue: end.queue, from, to: end.next })
        });
        lost.collect()
    }

    /// A queue comes for the first time behind a part that is missing: what is not there of it was in that.
    fn comes_after(&mut self, queue: u32, begins: Offset, found: &mut Inspection) {
        let Some(missing) = &mut self.missing else { return };
        if !missing.seen.insert(queue) {
            return;
        }
        let from = self.reached.get(&queue).copied().or(self.is_whole.then_some(0)).unwrap_or(begins);
        if let Some(damage) = found.damages.get_mut(missing.damage)
            && from < begins
        {
            damage.lost.push(LostOffsets { queue, from, to: begins });
        }
    }

    fn is_missing(&mut self, found: &Inspection) {
        self.missing = Some(Missing { damage: found.damages.len(), seen: HashSet::new() });
    }

    /// Segments follow each other, and reach back to what a checkpoint tells.
    fn chain(&mut self, start: Lsn, found: &mut Inspection) {
        let path = segment_path(self.dir, start);
        let (what, wound) = match self.end {
            Some(end) if end == start => return,
            Some(end) if end < start => {
                self.is_missing(found);
                let what = format!("the log between position {end} and this segment is missing");
                (what, Wound::Missing { from: end, to: start, stored: self.stored })
            }
            Some(end) => (format!("it overlaps the segment before, which ends at {end}"), Wound::Beyond),
            None if start == 0 || self.checkpoint.as_ref().is_some_and(|c| start <= c.at) => return,
            None => {
                let what = "the log before this segment is missing, and no checkpoint tells what it held";
                (what.to_owned(), Wound::Beyond)
            }
        };
        found.hurt(damage(&path, 0, Some(start), what), wound);
    }

    fn segment(&mut self, start: Lsn, next: Option<Lsn>, found: &mut Inspection) -> Result<(), OpenError> {
        let path = segment_path(self.dir, start);
        let failed = |e| OpenError::io(&path, e);
        let file = self.vfs.open(&path, false).map_err(failed)?;
        let len = file.size().map_err(failed)?;
        let epoch = match SegmentHeader::decode(&page(&path, &*file, 0)?) {
            Page::Good(header) if header.start == start && header.store == self.store => header.epoch,
            Page::Other(found) => return Err(OpenError::OtherFormat { path, found, known: VERSION }),
            Page::Good(_) | Page::Unreadable => {
                let told = Scan::new(Arc::clone(&file), start, None, len).told_epoch().map_err(failed)?;
                let Some(epoch) = told else {
                    return self.without_entries(&path, start, next, found);
                };
                let what = "its header page is not readable; its entries tell what it said";
                let wound = Wound::Header { path: path.clone(), start, epoch };
                found.hurt(damage(&path, 0, Some(start), what), wound);
                epoch
            }
        };
        let segment = Segment { start, epoch, path, held: Some(Arc::clone(&file)), len };
        let sealed = sealed_parts(&segment, &*file, self.store)?;
        if sealed.is_none() {
            footer(&segment, &*file, next.is_some(), found)?;
        }
        self.entries(&segment, &file, sealed.as_ref(), next, found)
    }

    /// A file in which there is nothing: what a power cut leaves of one that was just begun, or all of it is gone.
    fn without_entries(
        &mut self,
        path: &Path,
        start: Lsn,
        next: Option<Lsn>,
        found: &mut Inspection,
    ) -> Result<(), OpenError> {
        let Some(to) = next else {
            found.notes.push(format!("{} has not been begun; the next start removes it", path.display()));
            return Ok(());
        };
        let what = "nothing in it is readable";
        let wound = Wound::Missing { from: start, to, stored: self.stored };
        self.is_missing(found);
        found.hurt(damage(path, 0, Some(start), what), wound);
        self.end = next;
        Ok(())
    }

    fn entries(
        &mut self,
        segment: &Segment,
        file: &Arc<dyn VfsFile>,
        sealed: Option<&SealedParts>,
        next: Option<Lsn>,
        found: &mut Inspection,
    ) -> Result<(), OpenError> {
        let failed = |e| OpenError::io(&segment.path, e);
        let known_end = sealed.map(|(footer, _)| footer.end).or(next);
        let limit = known_end.map_or(segment.len, |end| segment.position(end).min(segment.len));
        let mut contents = Contents::default();
        // Where a queue begins in a sealed segment, nothing of it is lost in there before; offsets that were left out on
        // purpose, behind an unclean stop, are nobody's.
        for (queue, range) in sealed.iter().flat_map(|(_, ranges)| ranges) {
            self.comes_after(*queue, range.base, found);
            let reached = self.reached.entry(*queue).or_insert(range.base);
            *reached = range.base.max(*reached);
        }
        let before = self.missing.is_some().then(|| self.reached.clone());
        let reached = std::mem::take(&mut self.reached);
        let mut walk =
            Walk::new(segment, Arc::clone(file), known_end, limit, self.is_whole, reached, self.stored);
        while let Some(entry) = walk.next().map_err(failed)? {
            found.entries += 1;
            if let Some(before) = before.as_ref().filter(|_| walk.holes.is_empty()) {
                self.first_behind(before, &entry, found);
            }
            self.entry(segment, &entry, found);
            if entry.header.kind == EntryKind::Message {
                contents.add(&entry.header);
                contents.add_keys(segment.start, &entry.header, &entry.payload);
            }
        }
        found.bytes += limit;
        walk.finish(sealed.map(|(_, ranges)| &ranges[..]));
        let Walk { reached, stored, holes, end, .. } = walk;
        (self.reached, self.stored, self.end) = (reached, stored, Some(known_end.unwrap_or(end)));
        let is_whole = holes.is_empty();
        for hole in holes {
            if sealed.is_none() && known_end == Some(hole.to) {
                self.is_missing(found); // only what comes behind tells what it held
            }
            let damage = hole.damage(segment);
            let (path, start, epoch) = (segment.path.clone(), segment.start, segment.epoch);
            let Hole { from, to, stored, .. } = hole;
            found.hurt(damage, Wound::Entries { path, start, epoch, from, to, stored });
        }
        match sealed {
            Some((footer, ranges)) if is_whole => index(segment, &**file, footer, ranges, contents, found),
            _ => Ok(()),
        }
    }

    /// The same for the entries of a segment that is not sealed.
    fn first_behind(&mut self, before: &Reached, entry: &Scanned, found: &mut Inspection) {
        let (kind, queue, offset) = (entry.header.kind, entry.header.queue, entry.header.offset);
        if matches!(kind, EntryKind::Message | EntryKind::Gap) {
            // The walk has what was reached meanwhile.
            self.reached.extend(before.get(&queue).map(|reached| (queue, *reached)));
            self.comes_after(queue, offset, found);
        }
    }

    fn entry(&mut self, segment: &Segment, entry: &Scanned, found: &mut Inspection) {
        let place = || format!("{} at byte {}", segment.path.display(), segment.position(entry.header.lsn));
        if !entry.is_padded_right {
            found
                .notes
                .push(format!("{}: the padding behind the entry is not zero, which costs nothing", place()));
        }
        if entry.header.has(flag::LOST) {
            let size = entry.header.size();
            found.notes.push(format!("{}: {size} bytes were given up by a repair", place()));
        }
        if entry.header.kind == EntryKind::State {
            (self.visit)(Seen::State(entry.header.lsn, &entry.payload));
        }
    }
}

/// A segment without a good index: whether it never had one.
fn footer(
    segment: &Segment,
    file: &dyn VfsFile,
    has_next: bool,
    found: &mut Inspection,
) -> Result<(), OpenError> {
    let at = segment.len.saturating_sub(crate::segment::PAGE);
    let last = page(&segment.path, file, at)?;
    let stale = match Footer::decode(&last) {
        // Of an earlier life of the file.
        Page::Good(footer) => footer.start != segment.start || footer.epoch != segment.epoch,
        Page::Other(_) | Page::Unreadable => last.iter().all(|byte| *byte == 0),
    };
    if stale {
        if has_next {
            found.notes.push(format!("{} has no index yet; the next start makes it", segment.path.display()));
        }
        return Ok(());
    }
    let what = "its index is not readable; the next start makes it anew";
    let wound = Wound::Index { path: segment.path.clone() };
    found.hurt(damage(&segment.path, at, None, what), wound);
    Ok(())
}

/// The index of a segment tells what is there, and nothing else.
fn index(
    segment: &Segment,
    file: &dyn VfsFile,
    footer: &Footer,
    ranges: &[(u32, Range)],
    mut contents: Contents,
    found: &mut Inspection,
) -> Result<(), OpenError> {
    let failed = |e| OpenError::io(&segment.path, e);
    let mut hurt = |at: u64, what: &str| {
        let wound = Wound::Index { path: segment.path.clone() };
        found.hurt(damage(&segment.path, at, None, what), wound);
    };
    if let Some(at) = sealed::bad_block(file, footer).map_err(failed)? {
        hurt(at, "a block of its index is not readable");
        return Ok(());
    }
    for (queue, range) in ranges {
        let mut reader = sealed::RangeReader::new(file, footer.blocks_at, *range);
        let wanted = contents.queues.get(queue).map_or(&[][..], |part| &part.entries);
        let mut same = wanted.len() == range.count as usize;
        for (n, wanted) in (0..).zip(wanted) {
            same &= reader.entry(n).map_err(failed)?.as_ref() == Some(wanted);
        }
        if !same {
            hurt(footer.directory_at, "its index does not tell what it holds");
            return Ok(());
        }
    }
    if contents.queues.keys().any(|queue| !ranges.iter().any(|(known, _)| known == queue)) {
        hurt(footer.directory_at, "its index lacks a queue");
        return Ok(());
    }
    contents.keys.sort_unstable();
    contents.keys.dedup();
    if !keys::sealed::is_of(file, footer.keys(), &contents.keys).map_err(failed)? {
        hurt(footer.keys().at, "its index of keys does not tell what it holds");
    }
    Ok(())
}
