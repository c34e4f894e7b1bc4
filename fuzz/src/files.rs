//! A file system in memory, to open a log on files that are not as they were written.

use parking_lot::Mutex;
use sluice_store::vfs::{DiskSpace, LockError, Vfs, VfsFile};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Content = Arc<Mutex<Vec<u8>>>;

/// All files, by path.
#[derive(Default)]
pub struct Files(Mutex<BTreeMap<PathBuf, Content>>);

impl Files {
    /// A copy that shares nothing.
    pub fn copy(&self) -> Self {
        let files = self.0.lock();
        let copies =
            files.iter().map(|(path, content)| (path.clone(), Arc::new(Mutex::new(content.lock().clone()))));
        Self(Mutex::new(copies.collect()))
    }

    /// Changes the content of the n-th file, counted round and round.
    pub fn change(&self, n: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let files = self.0.lock();
        if let Some(content) = files.values().nth(n % files.len().max(1)) {
            change(&mut content.lock());
        }
    }
}

impl Vfs for Files {
    fn create_dir_all(&self, _dir: &Path) -> Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let files = self.0.lock();
        let names =
            files.keys().filter(|path| path.parent() == Some(dir)).filter_map(|path| path.file_name());
        Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
    }

    fn open(&self, path: &Path, create: bool) -> Result<Arc<dyn VfsFile>> {
        let mut files = self.0.lock();
        match files.get(path) {
            Some(content) => Ok(Arc::new(OpenFile(content.clone()))),
            None if create => Ok(Arc::new(OpenFile(files.entry(path.into()).or_default().clone()))),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut files = self.0.lock();
        let content = files.remove(from).ok_or_else(|| Error::from(ErrorKind::NotFound))?;
        files.insert(to.into(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.0.lock().remove(path).map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _dir: &Path) -> Result<()> {
        Ok(())
    }

    fn lock(&self, _path: &Path) -> std::result::Result<Box<dyn Send + Sync>, LockError> {
        Ok(Box::new(()))
    }

    fn space(&self, _dir: &Path) -> Result<DiskSpace> {
        Ok(DiskSpace { total: 1 << 40, available: 1 << 39 })
    }
}

struct OpenFile(Content);

impl VfsFile for OpenFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> Result<usize> {
        let content = self.0.lock();
        let rest = content.get(position as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> Result<()> {
        let mut content = self.0.lock();
        let end = position as usize + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[position as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn size(&self) -> Result<u64> {
        Ok(self.0.lock().len() as u64)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.0.lock().resize(len as usize, 0);
        Ok(())
    }

    fn allocate(&self, len: u64) -> Result<()> {
        let mut content = self.0.lock();
        let len = content.len().max(len as usize);
        content.resize(len, 0);
        Ok(())
    }
}

const PAGE: usize = 4096;
const HEADER: usize = 32;
const MAX_HEADER: usize = 44;
const SIGNATURE: [u8; 2] = [0xFE, 2];

/// Makes the checksums right again around a changed byte, as if a broken program had written it: otherwise every input
/// would end at the first checksum. Pages have theirs at 12, entries' headers at 24; see the store's drawings.
pub fn reseal(content: &mut [u8], changed: usize) {
    let page = changed / PAGE * PAGE;
    if let Some(page) = content.get_mut(page..page + PAGE)
        && page.starts_with(b"SLUICE")
    {
        seal(page, 12);
    }
    // A segment's first page says where in the log it begins, and its epoch.
    let Some(first) = content.first_chunk::<PAGE>().filter(|page| page.starts_with(b"SLUICESG")) else {
        return;
    };
    let (start, epoch) = (u64::from_le_bytes(part(first, 32)), u32::from_le_bytes(part(first, 40)));
    let first = changed.saturating_sub(MAX_HEADER - 1).next_multiple_of(4).max(PAGE);
    for at in (first..=changed).step_by(4) {
        let Some(fixed) = content.get(at..at + HEADER).filter(|fixed| fixed.starts_with(&SIGNATURE)) else {
            continue;
        };
        let words = [fixed[2] >> 5 & 1, fixed[23] >> 6 & 1, fixed[23] >> 7];
        let len = HEADER + 4 * words.iter().map(|word| usize::from(*word)).sum::<usize>();
        if let Some(header) = content.get_mut(at..at + len) {
            header[24..28].fill(0);
            let position = start.wrapping_add(at as u64).to_le_bytes();
            let sum = crc(&[&position, &header[..]].concat()) ^ epoch;
            header[24..28].copy_from_slice(&sum.to_le_bytes());
        }
    }
}

fn part<const N: usize>(page: &[u8; PAGE], at: usize) -> [u8; N] {
    std::array::from_fn(|n| page[at + n])
}

fn seal(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let crc = crc(bytes);
    bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

fn crc(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}
