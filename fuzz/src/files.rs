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
const ENTRY: usize = 64;

/// Makes the checksums right again around a changed byte, as if a broken program had written it: otherwise every input
/// would end at the first checksum. Pages have theirs at 12, entries' headers at 8; see the store's drawings.
pub fn reseal(content: &mut [u8], changed: usize) {
    let page = changed / PAGE * PAGE;
    if let Some(page) = content.get_mut(page..page + PAGE)
        && page.starts_with(b"SLUICE")
    {
        seal(page, 12);
    }
    let Some(signature) = entry_signature(content) else { return };
    let first = changed.saturating_sub(ENTRY - 1).next_multiple_of(8);
    for at in (first..=changed).step_by(8) {
        if let Some(header) = content.get_mut(at..at + ENTRY)
            && header.starts_with(&signature)
        {
            seal(header, 8);
        }
    }
}

/// A segment's first entry stands behind its first page.
fn entry_signature(content: &[u8]) -> Option<[u8; 4]> {
    content.get(PAGE..PAGE + 4)?.try_into().ok().filter(|signature| *signature != [0; 4])
}

fn seal(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32;
    bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}
