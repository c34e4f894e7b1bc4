//! Looking at every byte of the runs of delayed messages, and giving up what cannot be read of them.
//!
//! The one idea to know: the log says which runs there are and how long they are, so nothing in a file is taken for its
//! end. A message whose cell or record is not readable is given up by a cell for no queue: when its time comes, it is told
//! to be gone, and those around it go where they belong.

use crate::buckets::{self, BLOCK, BLOCK_END, BucketId, CELL, Cell, HEADER, PER_BLOCK, RECORD, RUN};
use crate::bytes_at::{BytesAt as _, put};
use crate::crc::crc32c;
use crate::error::{Damage, LostWaiting};
use crate::log::LogQueue;
use crate::segment::StoreId;
use crate::vfs::VfsFile;
use bytes::Bytes;
use sluice_model::Millis;
use std::io;
use std::path::Path;

/// The queue of messages that were given up.
pub(crate) const NOWHERE: LogQueue = LogQueue(0);

/// A run that counts, as the log tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeRun {
    /// Its bucket.
    pub bucket: BucketId,
    /// Where it begins.
    pub at: u64,
    /// Where what follows it begins.
    pub behind: u64,
    /// How many messages it has.
    pub count: u32,
    /// Its messages are due before this time, and not before its bucket begins.
    pub end: Millis,
}

impl WholeRun {
    fn header(&self, store: StoreId) -> [u8; HEADER] {
        buckets::header(store, self.bucket, self.at, self.count, (self.behind - self.at) as u32)
    }

    fn block_at(&self, number: u32) -> u64 {
        self.at + HEADER as u64 + u64::from(number) * BLOCK
    }

    fn cells_in(&self, number: u32) -> usize {
        self.count.saturating_sub(number * PER_BLOCK).min(PER_BLOCK) as usize
    }

    fn records_at(&self) -> u64 {
        self.at + (HEADER + buckets::cells_len(self.count as usize)) as u64
    }
}

/// A message whose cell is good, and nothing else.
pub(crate) fn lost(cell: &Cell) -> LostWaiting {
    LostWaiting { queue: Some(cell.queue.0), count: 1, from: cell.due, to: cell.due }
}

/// A block of cells: nothing when it is not readable.
fn block(file: &dyn VfsFile, run: &WholeRun, number: u32) -> io::Result<Option<Vec<Cell>>> {
    let cells = run.cells_in(number);
    let mut bytes = vec![0; cells * CELL + BLOCK_END];
    let read = file.read_at(&mut bytes, run.block_at(number))?;
    let good = read == bytes.len()
        && crc32c(bytes.get(..cells * CELL).unwrap_or_default()) == bytes.u32_at(cells * CELL);
    Ok(good.then(|| (0..cells).map(|n| buckets::cell_at(&bytes, n * CELL)).collect()))
}

/// What is damaged of a run.
pub(crate) fn check(
    file: &dyn VfsFile,
    path: &Path,
    store: StoreId,
    run: &WholeRun,
) -> io::Result<Vec<Damage>> {
    let mut damages = Vec::new();
    let mut tell = |position: u64, what: &str, lost: LostWaiting| {
        let (file, what) = (path.to_path_buf(), what.to_owned());
        damages.push(Damage { file, position, lsn: None, what, lost: Vec::new(), waiting: vec![lost] });
    };
    let mut header = [0; HEADER];
    if file.read_at(&mut header, run.at)? != HEADER || header != run.header(store) {
        let (from, to) = (run.bucket.start, run.end.saturating_sub(1));
        let lost = LostWaiting { queue: None, count: u64::from(run.count), from, to };
        tell(run.at, "the header of a run of delayed messages is not readable", lost);
    }
    let mut last = run.bucket.start;
    let mut open: Option<(u64, LostWaiting)> = None;
    for number in 0..run.count.div_ceil(PER_BLOCK) {
        let Some(cells) = block(file, run, number)? else {
            let lost =
                LostWaiting { queue: None, count: run.cells_in(number) as u64, from: last, to: run.end - 1 };
            match &mut open {
                Some((_, before)) => before.count += lost.count,
                None => open = Some((run.block_at(number), lost)),
            }
            continue;
        };
        if let Some((at, lost)) = open.take() {
            let to = cells.first().map_or(run.end - 1, |cell| cell.due);
            tell(at, "a block of the index of delayed messages is not readable", LostWaiting { to, ..lost });
        }
        for (cell, is_good) in cells.iter().zip(records(file, &cells)?) {
            if !is_good && cell.queue != NOWHERE {
                tell(cell.at, "a delayed message fails its checksum", lost(cell));
            }
        }
        last = cells.last().map_or(last, |cell| cell.due);
    }
    if let Some((at, lost)) = open {
        tell(at, "a block of the index of delayed messages is not readable", lost);
    }
    Ok(damages)
}

/// Whether the records of some cells, which lie one after the other, are as they were written.
fn records(file: &dyn VfsFile, cells: &[Cell]) -> io::Result<Vec<bool>> {
    let mut good = Vec::with_capacity(cells.len());
    let mut rest = cells;
    while let Some(first) = rest.first() {
        let near = rest.iter().take_while(|cell| cell.at >= first.at && cell.end() - first.at <= RUN).count();
        let (part, behind) = rest.split_at(near.max(1));
        rest = behind;
        let end = part.iter().map(Cell::end).max().unwrap_or(first.at);
        let mut bytes = vec![0; (end - first.at).min(buckets::MAX_RUN as u64) as usize];
        let read = file.read_at(&mut bytes, first.at)?;
        bytes.truncate(read);
        let bytes = Bytes::from(bytes);
        good.extend(part.iter().map(|cell| {
            let from = (cell.at - first.at) as usize;
            let to = from + cell.len as usize;
            to <= bytes.len() && buckets::is_good(cell, &bytes.slice(from..to))
        }));
    }
    Ok(good)
}

/// Makes a run usable again: its header and its blocks are written anew, and cells of what is lost are for no queue.
pub(crate) fn give_up(file: &dyn VfsFile, store: StoreId, run: &WholeRun) -> io::Result<()> {
    let (mut key, mut at) = ((run.bucket.start, 0), run.records_at());
    for number in 0..run.count.div_ceil(PER_BLOCK) {
        let cells = match block(file, run, number)? {
            Some(mut cells) => {
                let good = records(file, &cells)?;
                cells
                    .iter_mut()
                    .zip(good)
                    .filter(|(_, good)| !good)
                    .for_each(|(cell, _)| cell.queue = NOWHERE);
                cells
            }
            // Names of their own, in order, and before those of the next block as far as there is room.
            None => (0..run.cells_in(number))
                .map(|_| {
                    key.1 += 1;
                    Cell { due: key.0, lsn: key.1, at, len: RECORD as u32, queue: NOWHERE }
                })
                .collect(),
        };
        if let Some(last) = cells.last() {
            (key, at) = ((last.due, last.lsn), last.end());
        }
        file.write_at(&encode(&cells), run.block_at(number))?;
    }
    file.write_at(&run.header(store), run.at)
}

fn encode(cells: &[Cell]) -> Vec<u8> {
    let mut bytes = vec![0; cells.len() * CELL + BLOCK_END];
    for (cell, at) in cells.iter().zip((0..).step_by(CELL)) {
        put(&mut bytes, at, cell.due.to_le_bytes());
        put(&mut bytes, at + 8, cell.lsn.to_le_bytes());
        put(&mut bytes, at + 16, cell.at.to_le_bytes());
        put(&mut bytes, at + 24, cell.len.to_le_bytes());
        put(&mut bytes, at + 28, cell.queue.0.to_le_bytes());
    }
    let crc = crc32c(bytes.get(..cells.len() * CELL).unwrap_or_default());
    put(&mut bytes, cells.len() * CELL, crc.to_le_bytes());
    bytes
}
