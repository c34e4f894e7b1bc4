//! Reading again what is sealed, a little at a time, to find damage before somebody needs what is damaged: [`Scrubber`].
//!
//! It exists because disks forget: a message that nobody has read for days may not be there when somebody does, and the
//! only copy that could replace it is a backup of before. The one idea to know: it is a state that is moved on by whoever
//! calls it in time (the broker's duties), for a second's worth of bytes at each call; between calls and between passes it
//! costs nothing. It reads the disk, not the system's cache.
//!
//! It looks at checksums, places and chains. Whether an index tells all that its segment holds is `doctor`'s question.

use crate::config::Config;
use crate::error::{Damage, LostOffsets};
use crate::keys;
use crate::log::{Lsn, Scrubbed};
use crate::sealed::{self, Footer, Range};
use crate::segment::{PAGE, Page, Segment, SegmentHeader};
use crate::shared::Shared;
use crate::vfs::VfsFile;
use crate::walk::Walk;
use sluice_model::Millis;
use std::io;
use std::ops::Bound;
use std::sync::Arc;

/// The first pass begins so long after a start, which has enough to do: a process that never lives as long as an interval
/// is to look at its data all the same.
const FIRST_AFTER: Millis = 10 * 60 * 1000;
/// At a time.
const SLICE: Millis = 1000;

/// See the module.
pub(crate) struct Scrubber {
    /// Nothing to do before.
    due: Millis,
    /// When the pass began; nothing between passes.
    begun: Option<Millis>,
    /// The segment that was looked at last.
    last: Option<Lsn>,
    now_at: Option<Current>,
}

/// A segment that is being looked at.
struct Current {
    // Held, so that its file is not used for something else meanwhile.
    segment: Arc<Segment>,
    file: Arc<dyn VfsFile>,
    footer: Footer,
    ranges: Vec<(u32, Range)>,
    walk: Walk,
}

impl Scrubber {
    pub(crate) fn new(now: Millis) -> Self {
        Self { due: now.saturating_add(FIRST_AFTER), begun: None, last: None, now_at: None }
    }

    /// See [`crate::Log::scrub`].
    pub(crate) fn step(&mut self, shared: &Shared) -> io::Result<Scrubbed> {
        let (now, Config { scrub_rate, scrub_interval, .. }) = (shared.clock.now(), &shared.config);
        if scrub_rate.0 == 0 {
            return Ok(Scrubbed::default());
        }
        if now < self.due {
            return Ok(Scrubbed { again: Some(self.due), ..Scrubbed::default() });
        }
        let begun = *self.begun.get_or_insert(now);
        let mut bytes = 0;
        while bytes < scrub_rate.0 {
            if self.now_at.is_none() && !self.next_segment(shared)? {
                self.due = begun.saturating_add(scrub_interval.as_millis()).max(now.saturating_add(SLICE));
                (self.begun, self.last) = (None, None);
                return Ok(Scrubbed { bytes, passes: 1, again: Some(self.due) });
            }
            let Some(current) = &mut self.now_at else { continue };
            bytes += current.read(scrub_rate.0 - bytes)?;
            if current.is_read() {
                let damages = current.finish()?;
                damages.iter().for_each(|damage| shared.damages.tell(damage));
                self.now_at = None;
            }
        }
        self.due = now.saturating_add(SLICE);
        Ok(Scrubbed { bytes, passes: 0, again: Some(self.due) })
    }

    /// Goes to the next sealed segment; false when there is none.
    fn next_segment(&mut self, shared: &Shared) -> io::Result<bool> {
        loop {
            let from = self.last.map_or(Bound::Unbounded, Bound::Excluded);
            let next = {
                let segments = shared.segments.read();
                let mut rest = segments.range((from, Bound::Unbounded));
                rest.find_map(|(start, known)| Some((*start, Arc::clone(&known.segment), known.footer?)))
            };
            let Some((start, segment, footer)) = next else { return Ok(false) };
            self.last = Some(start);
            let file = match segment.file(&*shared.vfs) {
                // Retention was quicker.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            file.drop_cached(0, segment.len);
            match Current::open(Arc::clone(&segment), file, footer)? {
                Ok(current) => {
                    self.now_at = Some(current);
                    return Ok(true);
                }
                Err(damage) => shared.damages.tell(&damage),
            }
        }
    }
}

impl Current {
    /// Looks at the pages at both ends and at the directory; without it nothing tells what the segment should hold.
    fn open(
        segment: Arc<Segment>,
        file: Arc<dyn VfsFile>,
        footer: Footer,
    ) -> io::Result<Result<Self, Damage>> {
        let page = |at| {
            let mut page = vec![0; PAGE as usize];
            let read = file.read_at(&mut page, at)?;
            page.truncate(read);
            io::Result::Ok(page)
        };
        let header = SegmentHeader::decode(&page(0)?);
        if !matches!(header, Page::Good(header) if header.start == segment.start && header.epoch == segment.epoch)
        {
            return Ok(Err(damage(&segment, 0, "its header page is not readable")));
        }
        let footer_at = segment.len.saturating_sub(PAGE);
        if !matches!(Footer::decode(&page(footer_at)?), Page::Good(read) if read == footer) {
            return Ok(Err(damage(&segment, footer_at, "the page at its end is not readable")));
        }
        let Some(ranges) = footer.directory(&*file)? else {
            return Ok(Err(damage(
                &segment,
                footer.directory_at,
                "the directory of its index is not readable",
            )));
        };
        let reached = ranges.iter().map(|(queue, range)| (*queue, range.base)).collect();
        let limit = segment.position(footer.end).min(segment.len);
        let walk = Walk::new(&segment, Arc::clone(&file), Some(footer.end), limit, false, reached, 0);
        Ok(Ok(Self { segment, file, footer, ranges, walk }))
    }

    /// Reads entries, about so many bytes of them. Returns how many it were.
    fn read(&mut self, bytes: u64) -> io::Result<u64> {
        let from = self.walk.lsn();
        while self.walk.lsn() - from < bytes && self.walk.next()?.is_some() {}
        let read = self.walk.lsn() - from;
        self.file.drop_cached(self.segment.position(from), read);
        Ok(read.max(1)) // where nothing is readable, the way is short but not free
    }

    fn is_read(&self) -> bool {
        self.walk.lsn() >= self.footer.end || self.walk.holes.last().is_some_and(|h| h.to >= self.footer.end)
    }

    /// What is damaged of the segment, its index included.
    fn finish(&mut self) -> io::Result<Vec<Damage>> {
        self.walk.finish(Some(&self.ranges));
        let mut damages: Vec<Damage> =
            self.walk.holes.iter().map(|hole| hole.damage(&self.segment)).collect();
        let block = sealed::bad_block(&*self.file, &self.footer)?;
        damages.extend(block.map(|at| Damage {
            lost: unreachable(&self.footer, &self.ranges, at),
            ..damage(
                &self.segment,
                at,
                "a block of its index is not readable: the messages are there, but not found",
            )
        }));
        let page = keys::sealed::bad_page(&*self.file, self.footer.keys())?;
        damages
            .extend(page.map(|at| damage(&self.segment, at, "a page of its index of keys is not readable")));
        let index = self.footer.blocks_at;
        self.file.drop_cached(index, self.segment.len.saturating_sub(index));
        Ok(damages)
    }
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

/// The offsets whose index entries may lie in a block.
fn unreachable(footer: &Footer, ranges: &[(u32, Range)], block_at: u64) -> Vec<LostOffsets> {
    let in_block = |range: &Range| sealed::blocks_of(footer, range).contains(&block_at);
    let ranges = ranges.iter().filter(|(_, range)| in_block(range));
    ranges.map(|(queue, range)| LostOffsets { queue: *queue, from: range.base, to: range.end }).collect()
}
