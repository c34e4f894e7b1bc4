//! One file of the log: its name, its header page, and what is known of it while the log is open.
//!
//! The log is one endless run of bytes cut into segments. The one idea to know: a position in the log (lsn) minus the
//! segment's start is the position in its file, so nothing has to be looked up to find an entry.
//!
//! ```text
//! 4 KiB header page | entries | index blocks | directory | keys | 4 KiB footer at the end of the file (sealed only)
//!
//! header page: 0 "SLUICESG" | 8 version u32 | 12 crc u32 | 16 store id 16 B | 32 start lsn u64 | 40 epoch u32
//!              48 file length u64 | 56 created u64, ms | zeros
//! ```
//! The footer and what lies before it are `sealed`.

use crate::Lsn;
use crate::bytes_at::{BytesAt as _, put};
use crate::crc::crc32c;
use crate::vfs::{Vfs, VfsFile};
use sluice_model::Millis;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The size of a header page and of a footer.
pub(crate) const PAGE: u64 = 4096;
/// The layout known here. 2: segments have an index of keys. 3: entries have a shorter header, and messages a shorter record. 4: an
/// entry says without a word that all before it is durable.
pub(crate) const VERSION: u32 = 4;
const MAGIC: [u8; 8] = *b"SLUICESG";
/// Where a page keeps its checksum.
pub(crate) const CRC_AT: usize = 12;

/// Which store a file belongs to.
pub(crate) type StoreId = [u8; 16];

/// The folder of segments.
pub(crate) fn log_dir(dir: &Path) -> PathBuf {
    dir.join("log")
}

/// The folder of files that wait to become segments.
pub(crate) fn pool_dir(dir: &Path) -> PathBuf {
    dir.join("pool")
}

/// The file of the segment that starts at `start`.
pub(crate) fn segment_path(dir: &Path, start: Lsn) -> PathBuf {
    log_dir(dir).join(format!("{start:016x}.seg"))
}

/// The start that a segment's file name tells.
pub(crate) fn start_of_name(name: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(".seg")?;
    if digits.len() != 16 { None } else { Lsn::from_str_radix(digits, 16).ok() }
}

/// The header page of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub store: StoreId,
    pub start: Lsn,
    pub epoch: u32,
    pub len: u64,
    pub created: Millis,
}

/// What a page that should be a header or footer turned out to be.
pub(crate) enum Page<T> {
    Good(T),
    /// Of another layout than the one known here.
    Other(u32),
    Unreadable,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = start_page(MAGIC);
        put(&mut page, 16, self.store);
        put(&mut page, 32, self.start.to_le_bytes());
        put(&mut page, 40, self.epoch.to_le_bytes());
        put(&mut page, 48, self.len.to_le_bytes());
        put(&mut page, 56, self.created.to_le_bytes());
        finish_page(page)
    }

    pub(crate) fn decode(page: &[u8]) -> Page<Self> {
        check_page(page, MAGIC, |page| Self {
            store: page.array_at(16),
            start: page.u64_at(32),
            epoch: page.u32_at(40),
            len: page.u64_at(48),
            created: page.u64_at(56),
        })
    }
}

/// A page with magic and version, its checksum still open.
pub(crate) fn start_page(magic: [u8; 8]) -> Vec<u8> {
    let mut page = vec![0; PAGE as usize];
    put(&mut page, 0, magic);
    put(&mut page, 8, VERSION.to_le_bytes());
    page
}

/// Fills the checksum in.
pub(crate) fn finish_page(mut page: Vec<u8>) -> Vec<u8> {
    let crc = crc32c(&page);
    put(&mut page, CRC_AT, crc.to_le_bytes());
    page
}

/// Checks magic, checksum and version, in this order, and reads the fields.
pub(crate) fn check_page<T>(page: &[u8], magic: [u8; 8], read: impl FnOnce(&[u8]) -> T) -> Page<T> {
    if page.len() != PAGE as usize || page.array_at(0) != magic {
        return Page::Unreadable;
    }
    let mut zeroed = page.to_vec();
    put(&mut zeroed, CRC_AT, [0; 4]);
    if crc32c(&zeroed) != page.u32_at(CRC_AT) {
        return Page::Unreadable;
    }
    match page.u32_at(8) {
        VERSION => Page::Good(read(page)),
        version => Page::Other(version),
    }
}

/// A segment of the open log.
pub(crate) struct Segment {
    pub start: Lsn,
    pub epoch: u32,
    pub path: PathBuf,
    /// Open while it is being filled; a sealed one is opened to be read, so that descriptors do not grow with the log.
    pub held: Option<Arc<dyn VfsFile>>,
    /// The length of the file.
    pub len: u64,
}

impl Segment {
    /// The position of the first entry.
    pub(crate) fn first(&self) -> Lsn {
        self.start + PAGE
    }

    /// Its file. One that has been trimmed away is not found.
    pub(crate) fn file(&self, vfs: &dyn Vfs) -> io::Result<Arc<dyn VfsFile>> {
        match &self.held {
            Some(file) => Ok(Arc::clone(file)),
            None => vfs.open(&self.path, false),
        }
    }

    /// Where a position of the log lies in the file.
    pub(crate) fn position(&self, lsn: Lsn) -> u64 {
        lsn.saturating_sub(self.start)
    }
}

/// Gives a prepared file, which lies at `from`, its place in the log. The header is safe before the file has its name,
/// and both are before any entry: so a segment that exists has a header, and the one before it is complete.
pub(crate) fn activate(
    vfs: &dyn Vfs,
    dir: &Path,
    store: StoreId,
    created: Millis,
    segment: &Segment,
    from: &Path,
) -> io::Result<()> {
    let header =
        SegmentHeader { store, start: segment.start, epoch: segment.epoch, len: segment.len, created };
    let file = segment.file(vfs)?;
    file.write_at(&header.encode(), 0)?;
    file.sync()?;
    vfs.rename(from, &segment.path)?;
    // In this order a power cut in between loses the file instead of keeping it under both names.
    vfs.sync_dir(&pool_dir(dir))?;
    vfs.sync_dir(&log_dir(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_page_comes_back_and_damage_is_noticed() {
        let header = SegmentHeader { store: [7; 16], start: 1 << 30, epoch: 5, len: 1 << 20, created: 3 };
        let page = header.encode();
        assert!(matches!(SegmentHeader::decode(&page), Page::Good(read) if read == header));
        for at in [0, 8, 12, 33, 4095] {
            let mut bad = page.clone();
            bad[at] ^= 1;
            assert!(matches!(SegmentHeader::decode(&bad), Page::Unreadable), "byte {at}");
        }
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut page = start_page(MAGIC);
        put(&mut page, 8, 1u32.to_le_bytes());
        assert!(matches!(SegmentHeader::decode(&finish_page(page)), Page::Other(1)));
    }

    #[test]
    fn names_tell_their_start() {
        let path = segment_path(Path::new("d"), 0xabc);
        assert_eq!(path, Path::new("d/log/0000000000000abc.seg"));
        assert_eq!(start_of_name("0000000000000abc.seg"), Some(0xabc));
        for other in ["abc.seg", "0000000000000abc.tmp", "000000000000zabc.seg"] {
            assert_eq!(start_of_name(other), None);
        }
    }
}
