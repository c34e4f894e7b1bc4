//! Blocks of sealed segments in memory, for readers that are behind: [`Blocks`].
//!
//! It exists so that ten groups that catch up read the disk once, and so that what they read drives nothing else out: it
//! is a memory of its own, beside the tail, of a fixed size, and the system is told to keep none of it. The one idea to
//! know: whoever asks first for a block reads it, while the others that ask for it wait. Every entry is checked each time
//! it is taken out, as if it came from the disk.
//!
//! When nobody has come for any of them during a whole segment of the log, they go.
//!
//! What is asked for alone, a message here and there, is read without its block: the system's cache does for that.

use crate::Lsn;
use crate::vfs::VfsFile;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// What is read and kept together: large enough for a disk to be fast.
pub(crate) const BLOCK: u64 = 256 << 10;
/// Less than this part of a block is read by itself.
const SPARSE: u64 = 16;
/// So many blocks ahead of a reader are brought: see `ahead.rs`.
const AHEAD: u64 = 4;
/// And only where they are a small part of all that are kept.
const LEAST_FOR_AHEAD: usize = 8 * AHEAD as usize;

/// A segment and a block of its file.
type Key = (Lsn, u64);
/// A block, once somebody has read it.
type Place = Arc<Mutex<Option<Bytes>>>;

/// See the module.
pub(crate) struct Blocks {
    inner: Mutex<Inner>,
    /// How many blocks may be kept.
    most: usize,
}

#[derive(Default)]
struct Inner {
    blocks: HashMap<Key, Slot, foldhash::fast::RandomState>,
    /// In the order in which they are looked at when room is needed.
    order: VecDeque<Key>,
    /// Somebody has come for one since it was looked at.
    used: bool,
}

struct Slot {
    place: Place,
    /// Asked for again since it was looked at.
    wanted: bool,
    /// Brought ahead, and not asked for yet.
    ahead: bool,
}

impl Blocks {
    /// Keeps up to so many bytes; with less than a block it keeps nothing.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { inner: Mutex::default(), most: bytes / BLOCK as usize }
    }

    /// Reads from a sealed segment's file; fewer bytes only at its end.
    pub(crate) fn read(&self, segment: Lsn, file: &dyn VfsFile, from: u64, len: usize) -> io::Result<Bytes> {
        let end = from + len as u64;
        let (first, last) = (from / BLOCK, end.saturating_sub(1).max(from) / BLOCK);
        if self.most == 0 || (len as u64) < BLOCK / SPARSE && !self.has(segment, first) {
            return Ok(file.read_bytes(len, from)?.into());
        }
        let part = |block: &Bytes, number: u64| {
            let start = number * BLOCK;
            let cut = |at: u64| (at.saturating_sub(start) as usize).min(block.len());
            block.slice(cut(from)..cut(end))
        };
        if first == last {
            return Ok(part(&self.block(segment, file, first)?, first));
        }
        let mut bytes = Vec::with_capacity(len);
        for number in first..=last {
            bytes.extend_from_slice(&part(&self.block(segment, file, number)?, number));
        }
        Ok(bytes.into())
    }

    /// Lets go of everything that was of no use since this was called the last time.
    pub(crate) fn tidy(&self) {
        let mut inner = self.inner.lock();
        if !std::mem::take(&mut inner.used) {
            *inner = Inner::default();
        }
    }

    /// Which blocks to bring for someone who has got as far as this one: none for who has not come from the one before it.
    pub(crate) fn missing_ahead(&self, segment: Lsn, number: u64) -> Option<Range<u64>> {
        if self.most < LEAST_FOR_AHEAD {
            return None;
        }
        let inner = self.inner.lock();
        let has = |number| inner.blocks.contains_key(&(segment, number));
        if !has(number.checked_sub(1)?) {
            return None;
        }
        let first = (number + 1..=number + AHEAD).find(|&next| !has(next))?;
        Some(first..number + AHEAD + 1)
    }

    /// Brings a block before somebody asks for it. One that cannot be read is not there.
    pub(crate) fn bring(&self, segment: Lsn, file: &dyn VfsFile, number: u64) {
        let place = self.inner.lock().place_ahead((segment, number), self.most);
        if let Some(place) = place {
            let _ = Self::fill(&place, file, number);
        }
    }

    fn has(&self, segment: Lsn, number: u64) -> bool {
        self.inner.lock().blocks.contains_key(&(segment, number))
    }

    fn block(&self, segment: Lsn, file: &dyn VfsFile, number: u64) -> io::Result<Bytes> {
        let place = self.inner.lock().place((segment, number), self.most);
        Self::fill(&place, file, number)
    }

    fn fill(place: &Place, file: &dyn VfsFile, number: u64) -> io::Result<Bytes> {
        let mut place = place.lock();
        if let Some(block) = &*place {
            return Ok(block.clone());
        }
        let block = Bytes::from(file.read_bytes(BLOCK as usize, number * BLOCK)?);
        file.drop_cached(number * BLOCK, BLOCK);
        *place = Some(block.clone());
        Ok(block)
    }
}

impl Inner {
    fn place(&mut self, key: Key, most: usize) -> Place {
        self.used = true;
        if let Some(slot) = self.blocks.get_mut(&key) {
            slot.wanted = !std::mem::take(&mut slot.ahead);
            return Arc::clone(&slot.place);
        }
        self.add(key, most, false)
    }

    /// A place for what nobody has asked for yet; none when there is one.
    fn place_ahead(&mut self, key: Key, most: usize) -> Option<Place> {
        (!self.blocks.contains_key(&key)).then(|| self.add(key, most, true))
    }

    fn add(&mut self, key: Key, most: usize, ahead: bool) -> Place {
        while self.blocks.len() >= most {
            let Some(oldest) = self.order.pop_front() else { break };
            let stays = |slot: &mut Slot| std::mem::take(&mut slot.wanted) | std::mem::take(&mut slot.ahead);
            if self.blocks.get_mut(&oldest).is_some_and(stays) {
                self.order.push_back(oldest); // once more round, as others may come for it too
            } else {
                self.blocks.remove(&oldest);
            }
        }
        let place = Place::default();
        self.blocks.insert(key, Slot { place: Arc::clone(&place), wanted: false, ahead });
        self.order.push_back(key);
        place
    }
}

/// A sealed segment's file, read through the blocks: its index is read again and again by those who catch up.
pub(crate) struct Cached<'a> {
    pub blocks: &'a Blocks,
    pub segment: Lsn,
    pub file: &'a dyn VfsFile,
}

impl VfsFile for Cached<'_> {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let number = position / BLOCK;
        // An index is small beside what it leads to, and is asked for in pieces: its blocks are always kept.
        if self.blocks.most == 0 || (position + buf.len() as u64).div_ceil(BLOCK) > number + 1 {
            return self.file.read_at(buf, position);
        }
        let block = self.blocks.block(self.segment, self.file, number)?;
        let from = ((position - number * BLOCK) as usize).min(block.len());
        let bytes = block.slice(from..(from + buf.len()).min(block.len()));
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Bytes that say where they are, and count how many of them were read.
    #[derive(Default)]
    struct Counting {
        read: AtomicU64,
        len: u64,
    }

    impl VfsFile for Counting {
        fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
            let len = (self.len.saturating_sub(position) as usize).min(buf.len());
            for (at, byte) in (position..).zip(&mut buf[..len]) {
                *byte = (at / 7) as u8;
            }
            self.read.fetch_add(len as u64, Ordering::SeqCst);
            Ok(len)
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
            unreachable!()
        }

        fn sync(&self) -> io::Result<()> {
            unreachable!()
        }

        fn size(&self) -> io::Result<u64> {
            Ok(self.len)
        }

        fn set_len(&self, _: u64) -> io::Result<()> {
            unreachable!()
        }

        fn allocate(&self, _: u64) -> io::Result<()> {
            unreachable!()
        }
    }

    fn right(bytes: &[u8], from: u64) -> bool {
        (from..).zip(bytes).all(|(at, byte)| *byte == (at / 7) as u8)
    }

    #[test]
    fn what_is_read_is_what_lies_there() {
        let file = Counting { len: 3 * BLOCK + 100, ..Counting::default() };
        let blocks = Blocks::new(2 * BLOCK as usize);
        for (from, len, got) in [
            (0, 10, 10),
            (5, 100_000, 100_000),
            (BLOCK - 5, 20_000, 20_000),
            (BLOCK / 2, 3 * BLOCK as usize, 2 * BLOCK as usize + BLOCK as usize / 2 + 100),
            (3 * BLOCK, 50_000, 100),
            (4 * BLOCK, 50_000, 0),
        ] {
            let bytes = blocks.read(0, &file, from, len).unwrap();
            assert_eq!(bytes.len(), got, "{from} {len}");
            assert!(right(&bytes, from), "{from} {len}");
        }
        assert!(blocks.inner.lock().blocks.len() <= 2);
    }

    #[test]
    fn many_readers_at_once_read_a_block_once() {
        let file = Counting { len: 64 * BLOCK, ..Counting::default() };
        let blocks = Blocks::new(8 * BLOCK as usize);
        std::thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    for n in 0..8 {
                        let from = n * BLOCK;
                        assert!(right(&blocks.read(0, &file, from, 100_000).unwrap(), from));
                    }
                });
            }
        });
        assert_eq!(file.read.load(Ordering::SeqCst), 8 * BLOCK);
    }

    #[test]
    fn who_goes_on_is_read_ahead_for_and_what_was_brought_stays_until_it_is_read() {
        let file = Counting { len: 400 * BLOCK, ..Counting::default() };
        let blocks = Blocks::new(LEAST_FOR_AHEAD * BLOCK as usize);
        let len = BLOCK as usize / 2;
        for number in 0..200 {
            assert!(right(&blocks.read(0, &file, number * BLOCK, len).unwrap(), number * BLOCK));
            assert!(right(&blocks.read(0, &file, number * BLOCK, len).unwrap(), number * BLOCK));
            let missing = blocks.missing_ahead(0, number);
            match number {
                0 => assert_eq!(missing, None),
                1 => assert_eq!(missing, Some(2..6)),
                _ => assert_eq!(missing, Some(number + AHEAD..number + AHEAD + 1)),
            }
            missing.into_iter().flatten().for_each(|next| blocks.bring(0, &file, next));
        }
        assert_eq!(file.read.load(Ordering::SeqCst), (200 + AHEAD) * BLOCK, "each of them once");
        assert_eq!(Blocks::new(8 * BLOCK as usize).missing_ahead(0, 3), None);
    }

    #[test]
    fn what_nobody_comes_for_goes() {
        let file = Counting { len: 64 * BLOCK, ..Counting::default() };
        let blocks = Blocks::new(8 * BLOCK as usize);
        for _ in 0..3 {
            assert!(right(&blocks.read(0, &file, 0, 100_000).unwrap(), 0));
            blocks.tidy();
        }
        assert_eq!(file.read.load(Ordering::SeqCst), BLOCK, "each time somebody had come for it");
        blocks.tidy();
        assert!(!blocks.has(0, 0));
        assert!(right(&blocks.read(0, &file, 0, 100_000).unwrap(), 0));
    }

    #[test]
    fn a_message_by_itself_costs_no_block() {
        let file = Counting { len: 64 * BLOCK, ..Counting::default() };
        let blocks = Blocks::new(8 * BLOCK as usize);
        assert!(right(&blocks.read(0, &file, 1000, 1000).unwrap(), 1000));
        assert_eq!(file.read.load(Ordering::SeqCst), 1000);
        assert!(Blocks::new(0).read(0, &file, 0, 1 << 20).is_ok());
    }
}
