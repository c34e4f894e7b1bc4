//! Files of messages that wait for a time far ahead: [`Buckets`], on disk and in memory.
//!
//! It exists so that what waits for weeks neither keeps the log of weeks nor takes memory. The one idea to know: a
//! bucket is written in runs, each sorted by due time, and the log says which runs count; so a crash can leave bytes
//! that mean nothing, and never a message twice. Deciding what lies where, and when a file may go, is the broker's.
//!
//! ```text
//! timer/<bucket>.tb, runs one after the other:
//!   0 "SLUICETR" | 8 version u32 | 12 crc u32 over all else here | 16 store id | 32 start u64 | 40 made u64 | 48 at u64
//!   56 count u32 | 60 length u32
//!   blocks: up to 127 cells of 32 B | crc u32 | 0 u32
//!     cell: due u64 | lsn u64 | position u64 | length u32 | queue u32, rising by due and lsn
//!   records: crc u32 over all else | length u32 | due u64 | lsn u64 | message
//! ```

mod write;

pub(crate) use write::NewRun;

use crate::bucket_check::WholeRun;
use crate::bytes_at::{BytesAt as _, put};
use crate::crc::crc32c;
use crate::log::LogQueue;
use crate::segment::{StoreId, VERSION};
use crate::vfs::{Vfs, VfsFile};
use crate::{Lsn, record};
use bytes::Bytes;
use sluice_model::{Message, Millis};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"SLUICETR";
pub(crate) const HEADER: usize = 64;
pub(crate) const CELL: usize = 32;
pub(crate) const PER_BLOCK: u32 = 127;
pub(crate) const BLOCK_END: usize = 8;
pub(crate) const BLOCK: u64 = PER_BLOCK as u64 * CELL as u64 + BLOCK_END as u64;
pub(crate) const RECORD: usize = 24;
/// Records that lie one after the other are read in one go up to this size.
pub(crate) const RUN: u64 = 1 << 20;
/// The longest run: positions within one are kept in 32 bits.
pub(crate) const MAX_RUN: usize = 1 << 30;

/// What a bucket is called: never the same twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BucketId {
    /// The first time that it is for.
    pub start: Millis,
    /// The end of the log when it was made.
    pub made: Lsn,
}

/// A message to put aside.
#[derive(Debug, Clone, Copy)]
pub struct Aside<'a> {
    /// When it is due.
    pub due: Millis,
    /// Where its record was in the log: what it is called.
    pub lsn: Lsn,
    /// The queue that it is for.
    pub queue: LogQueue,
    /// The message, as [`record::encode`] writes it.
    pub message: &'a [u8],
}

/// Where a message lies in a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// When it is due.
    pub due: Millis,
    /// What it is called.
    pub lsn: Lsn,
    /// Its position in the file.
    pub at: u64,
    /// The length of its record.
    pub len: u32,
    /// The queue that it is for.
    pub queue: LogQueue,
}

impl Cell {
    /// The position behind its record.
    pub(crate) fn end(&self) -> u64 {
        self.at.saturating_add(u64::from(self.len))
    }
}

/// A run of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Where it begins.
    pub at: u64,
    /// How many messages it has.
    pub count: u32,
}

/// A part of a run to look at: what is due behind `after` (due time and name), and before `until`.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Those up to this one are passed over.
    pub after: Option<(Millis, Lsn)>,
    /// Nothing that is due then or later.
    pub until: Millis,
}

/// Files of messages put aside. Every call may block on the disk.
pub trait Buckets: Send + Sync {
    /// Writes a run at a position of a bucket's file, over whatever lies from there on, and makes it safe. Returns the
    /// position behind it. The messages may come in any order.
    ///
    /// # Errors
    /// `StorageFull` when there is no space; `Unavailable` when the log has failed.
    fn put(&self, bucket: BucketId, at: u64, messages: &mut [Aside<'_>]) -> sluice_model::Result<u64>;

    /// How many messages of a run lie in a window.
    ///
    /// # Errors
    /// `Corrupt` when the run's index is damaged.
    fn count(&self, bucket: BucketId, run: Run, window: Window) -> sluice_model::Result<u32>;

    /// Adds those of a run that lie in a window to `cells`, at most `max`, in their order.
    ///
    /// # Errors
    /// `Corrupt` when the run's index is damaged.
    fn cells(
        &self,
        bucket: BucketId,
        run: Run,
        window: Window,
        max: usize,
        cells: &mut Vec<Cell>,
    ) -> sluice_model::Result<()>;

    /// Reads messages, each in its place; `Corrupt` for those that are damaged.
    ///
    /// # Errors
    /// `Unavailable` when the disk cannot be read.
    fn messages(
        &self,
        bucket: BucketId,
        cells: &[Cell],
    ) -> sluice_model::Result<Vec<sluice_model::Result<Message>>>;

    /// Reads all of a run again, tells what is damaged of it to those who [listen](crate::Log::listen_to_damage), and
    /// returns how many bytes that took.
    ///
    /// # Errors
    /// `Unavailable` when the disk cannot be read.
    fn check(&self, run: &WholeRun) -> sluice_model::Result<u64>;

    /// Deletes a bucket's file, if it is there.
    ///
    /// # Errors
    /// `Unavailable` when the system refuses.
    fn remove(&self, bucket: BucketId) -> sluice_model::Result<()>;

    /// The buckets of which there are files.
    ///
    /// # Errors
    /// `Unavailable` when the system refuses.
    fn list(&self) -> sluice_model::Result<Vec<BucketId>>;
}

/// The folder of buckets.
pub(crate) fn dir_of(dir: &Path) -> PathBuf {
    dir.join("timer")
}

pub(crate) fn path_of(dir: &Path, bucket: BucketId) -> PathBuf {
    dir_of(dir).join(format!("{:016x}-{:016x}.tb", bucket.start, bucket.made))
}

fn bucket_of(name: &str) -> Option<BucketId> {
    let (start, made) = name.strip_suffix(".tb")?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some(BucketId { start: number(start)?, made: number(made)? })
}

/// The buckets in a folder.
pub(crate) fn list(vfs: &dyn Vfs, dir: &Path) -> io::Result<Vec<BucketId>> {
    let mut buckets: Vec<BucketId> =
        vfs.list(&dir_of(dir))?.iter().filter_map(|name| bucket_of(name)).collect();
    buckets.sort_unstable();
    Ok(buckets)
}

/// Opens a bucket's file; one that is made now is there after a power cut too.
pub(crate) fn open(
    vfs: &dyn Vfs,
    dir: &Path,
    bucket: BucketId,
    create: bool,
) -> io::Result<Arc<dyn VfsFile>> {
    let file = vfs.open(&path_of(dir, bucket), create)?;
    if create {
        vfs.sync_dir(&dir_of(dir))?;
    }
    Ok(file)
}

/// Deletes a bucket's file.
pub(crate) fn remove(vfs: &dyn Vfs, dir: &Path, bucket: BucketId) -> io::Result<()> {
    match vfs.remove(&path_of(dir, bucket)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.and_then(|()| vfs.sync_dir(&dir_of(dir))),
    }
}

pub(crate) fn cells_len(count: usize) -> usize {
    count * CELL + count.div_ceil(PER_BLOCK as usize) * BLOCK_END
}

pub(crate) fn header(store: StoreId, bucket: BucketId, at: u64, count: u32, len: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    put(&mut header, 0, MAGIC);
    put(&mut header, 8, VERSION.to_le_bytes());
    put(&mut header, 16, store);
    put(&mut header, 32, bucket.start.to_le_bytes());
    put(&mut header, 40, bucket.made.to_le_bytes());
    put(&mut header, 48, at.to_le_bytes());
    put(&mut header, 56, count.to_le_bytes());
    put(&mut header, 60, len.to_le_bytes());
    let crc = crc32c(&header);
    put(&mut header, 12, crc.to_le_bytes());
    header
}

/// Which store a bucket's file belongs to, when its first header is readable.
pub(crate) fn store_of(vfs: &dyn Vfs, dir: &Path, bucket: BucketId) -> io::Result<Option<StoreId>> {
    let mut bytes = [0; HEADER];
    let read = open(vfs, dir, bucket, false)?.read_at(&mut bytes, 0)?;
    let store = bytes.array_at(16);
    let wanted = header(store, bucket, 0, bytes.u32_at(56), bytes.u32_at(60));
    Ok((read == HEADER && bytes == wanted).then_some(store))
}

fn damaged(at: u64, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} at byte {at}"))
}

/// A cell as it lies in a block.
pub(crate) fn cell_at(block: &[u8], at: usize) -> Cell {
    Cell {
        due: block.u64_at(at),
        lsn: block.u64_at(at + 8),
        at: block.u64_at(at + 16),
        len: block.u32_at(at + 24),
        queue: LogQueue(block.u32_at(at + 28)),
    }
}

/// Looks through the cells of one run.
pub(crate) struct RunReader<'a> {
    file: &'a dyn VfsFile,
    run: Run,
    block: Option<(u32, Vec<u8>)>,
}

impl<'a> RunReader<'a> {
    /// Opens a run. An invalid-data error says that it is not there as it was written.
    pub(crate) fn new(file: &'a dyn VfsFile, store: StoreId, bucket: BucketId, run: Run) -> io::Result<Self> {
        let mut bytes = [0; HEADER];
        let read = file.read_at(&mut bytes, run.at)?;
        let wanted = header(store, bucket, run.at, run.count, bytes.u32_at(60));
        if read != HEADER || bytes != wanted {
            return Err(damaged(run.at, "the header of a run"));
        }
        Ok(Self { file, run, block: None })
    }

    fn cell(&mut self, n: u32) -> io::Result<Option<Cell>> {
        if n >= self.run.count {
            return Ok(None);
        }
        let number = n / PER_BLOCK;
        if self.block.as_ref().is_none_or(|(loaded, _)| *loaded != number) {
            let cells = (self.run.count - number * PER_BLOCK).min(PER_BLOCK) as usize;
            let mut bytes = vec![0; cells * CELL + BLOCK_END];
            let at = self.run.at + HEADER as u64 + u64::from(number) * BLOCK;
            let read = self.file.read_at(&mut bytes, at)?;
            let crc = crc32c(bytes.get(..cells * CELL).unwrap_or_default());
            if read != bytes.len() || crc != bytes.u32_at(cells * CELL) {
                return Err(damaged(at, "a block of cells"));
            }
            self.block = Some((number, bytes));
        }
        let at = (n % PER_BLOCK) as usize * CELL;
        Ok(self.block.as_ref().map(|(_, block)| cell_at(block, at)))
    }

    fn partition(&mut self, before: impl Fn(&Cell) -> bool) -> io::Result<u32> {
        let (mut low, mut high) = (0, self.run.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.cell(middle)? {
                Some(cell) if before(&cell) => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    fn range(&mut self, window: Window) -> io::Result<(u32, u32)> {
        let first = match window.after {
            Some(after) => self.partition(|cell| (cell.due, cell.lsn) <= after)?,
            None => 0,
        };
        let end = self.partition(|cell| cell.due < window.until)?;
        Ok((first, end.max(first)))
    }

    pub(crate) fn count(&mut self, window: Window) -> io::Result<u32> {
        self.range(window).map(|(first, end)| end - first)
    }

    pub(crate) fn cells(&mut self, window: Window, max: usize, cells: &mut Vec<Cell>) -> io::Result<()> {
        let (first, end) = self.range(window)?;
        for n in (first..end).take(max) {
            cells.extend(self.cell(n)?);
        }
        Ok(())
    }
}

/// Reads messages: those that lie one after the other in one go.
pub(crate) fn read(file: &dyn VfsFile, cells: &[Cell]) -> io::Result<Vec<sluice_model::Result<Message>>> {
    let mut messages = Vec::with_capacity(cells.len());
    let mut rest = cells;
    while let Some(first) = rest.first() {
        let follows = |pair: &[Cell]| {
            let [before, after] = pair else { return false };
            after.at == before.at + u64::from(before.len) && after.at + u64::from(after.len) - first.at <= RUN
        };
        let (run, behind) = rest.split_at(1 + rest.windows(2).take_while(|pair| follows(pair)).count());
        rest = behind;
        let len: usize = run.iter().map(|cell| cell.len as usize).sum();
        let mut bytes = vec![0; len];
        let read = file.read_at(&mut bytes, first.at)?;
        bytes.truncate(read);
        let bytes = Bytes::from(bytes);
        for cell in run {
            let from = (cell.at - first.at) as usize;
            let to = from + cell.len as usize;
            let record = if to <= bytes.len() { bytes.slice(from..to) } else { Bytes::new() };
            messages.push(message(cell, &record));
        }
    }
    Ok(messages)
}

/// Whether a record is the one that a cell means, as it was written.
pub(crate) fn is_good(cell: &Cell, record: &Bytes) -> bool {
    record.len() >= RECORD
        && crc32c(record.get(4..).unwrap_or_default()) == record.u32_at(0)
        && record.u32_at(4) as usize == record.len() - RECORD
        && (record.u64_at(8), record.u64_at(16)) == (cell.due, cell.lsn)
}

fn message(cell: &Cell, record: &Bytes) -> sluice_model::Result<Message> {
    if !is_good(cell, record) {
        let text = format!("the message at byte {} of its bucket fails its checksum", cell.at);
        return Err(sluice_model::Error::new(sluice_model::ErrorKind::Corrupt, text));
    }
    record::decode(&record.slice(RECORD..), 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimVfs;

    const STORE: StoreId = [7; 16];
    const BUCKET: BucketId = BucketId { start: 1000, made: 4096 };

    fn file_of(count: u32) -> (Arc<dyn VfsFile>, Run, usize) {
        let message = Message { body: Some(Bytes::from_static(b"body")), ..Message::default() };
        let mut encoded = Vec::new();
        record::encode(&message, 0, &mut encoded);
        // Given backwards, three of each due time.
        let mut asides: Vec<Aside<'_>> = (0..count)
            .rev()
            .map(|n| Aside {
                due: 1000 + u64::from(n / 3),
                lsn: u64::from(n) * 8,
                queue: LogQueue(n),
                message: &encoded,
            })
            .collect();
        let file = SimVfs::new().open(Path::new("bucket"), true).unwrap();
        let run = NewRun::new(STORE, BUCKET, 0, &mut asides).unwrap();
        let mut len = 0;
        run.write(|piece| {
            file.write_at(piece, len)?;
            len += piece.len() as u64;
            Ok(())
        })
        .unwrap();
        assert_eq!(len, run.len());
        (file, Run { at: 0, count }, len as usize)
    }

    fn all(file: &dyn VfsFile, run: Run, window: Window, max: usize) -> io::Result<Vec<u32>> {
        let mut reader = RunReader::new(file, STORE, BUCKET, run)?;
        let mut cells = Vec::new();
        reader.cells(window, max, &mut cells)?;
        Ok(cells.iter().map(|cell| cell.queue.0).collect())
    }

    #[test]
    fn a_run_is_sorted_and_looked_through_by_time() {
        // The last one is written in several pieces.
        for count in [1, 126, 127, 128, 1000, 10_000] {
            let (file, run, _) = file_of(count);
            let whole = Window { after: None, until: u64::MAX };
            assert_eq!(all(&*file, run, whole, usize::MAX).unwrap(), (0..count).collect::<Vec<_>>());
            let part = Window { after: Some((1000, 8)), until: 1002 };
            assert_eq!(
                all(&*file, run, part, usize::MAX).unwrap(),
                (2..count.clamp(2, 6)).collect::<Vec<_>>()
            );
            assert_eq!(all(&*file, run, part, 1).unwrap().len(), usize::from(count > 2));
            let mut reader = RunReader::new(&*file, STORE, BUCKET, run).unwrap();
            assert_eq!(reader.count(part).unwrap(), count.min(6).saturating_sub(2));
            let mut cells = Vec::new();
            reader.cells(whole, usize::MAX, &mut cells).unwrap();
            let messages = read(&*file, &cells).unwrap();
            assert!(messages.iter().all(|m| m.as_ref().is_ok_and(|m| m.body_bytes() == b"body")));
            assert_eq!(messages.len(), count as usize);
        }
    }

    #[test]
    fn every_flipped_byte_is_told() {
        let (_, run, len) = file_of(200);
        let whole = Window { after: None, until: u64::MAX };
        for at in 0..len {
            let (file, ..) = file_of(200);
            let mut byte = [0];
            file.read_at(&mut byte, at as u64).unwrap();
            file.write_at(&[byte[0] ^ 4], at as u64).unwrap();
            let outcome = RunReader::new(&*file, STORE, BUCKET, run).and_then(|mut reader| {
                let mut cells = Vec::new();
                reader.cells(whole, usize::MAX, &mut cells)?;
                read(&*file, &cells)
            });
            let good = |messages: &Vec<sluice_model::Result<Message>>| {
                messages.iter().all(|m| m.as_ref().is_ok_and(|m| m.body_bytes() == b"body"))
            };
            // The four bytes behind a block's checksum mean nothing.
            let filler = [HEADER + BLOCK as usize - 4, HEADER + cells_len(200) - 4]
                .iter()
                .any(|from| (*from..from + 4).contains(&at));
            assert_eq!(outcome.as_ref().is_ok_and(good), filler, "byte {at}");
        }
    }

    #[test]
    fn another_run_is_not_taken_for_it() {
        let (file, run, _) = file_of(5);
        let other = BucketId { made: 8192, ..BUCKET };
        assert!(RunReader::new(&*file, STORE, BUCKET, run).is_ok());
        assert!(RunReader::new(&*file, STORE, other, run).is_err());
        assert!(RunReader::new(&*file, [8; 16], BUCKET, run).is_err());
        assert!(RunReader::new(&*file, STORE, BUCKET, Run { count: 4, ..run }).is_err());
    }

    #[test]
    fn names_are_read_back() {
        let path = path_of(Path::new("d"), BUCKET);
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(bucket_of(&name), Some(BUCKET));
        assert_eq!((bucket_of("x.tb"), bucket_of("1-2.tmp")), (None, None));
    }
}
