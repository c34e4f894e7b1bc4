//! Copying a file, and comparing two.

use super::list::Listed;
use super::{BackupError, Manner};
use crate::error::OpenError;
use crate::vfs::{Vfs, VfsFile};
use crc_fast::{CrcAlgorithm, Digest};
use std::io;
use std::path::Path;

/// Copied, or compared, at once.
const AT_ONCE: u64 = 1 << 20;

/// Copies the first `len` bytes and makes them safe. Returns their checksum.
pub(super) fn copy(
    vfs: &dyn Vfs,
    from: &dyn VfsFile,
    to: &Path,
    len: u64,
    manner: &mut Manner<'_>,
) -> io::Result<u32> {
    let copy = vfs.open(to, true)?;
    let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
    let mut at = 0;
    while at < len {
        let bytes = read(from, at, AT_ONCE.min(len - at))?;
        crc.update(&bytes);
        copy.write_at(&bytes, at)?;
        at += bytes.len() as u64;
        (manner.pace)(bytes.len() as u64);
    }
    copy.sync()?;
    Ok(crc.finalize() as u32)
}

/// Compares the first bytes of two files, as they are on the disk.
pub(super) fn compare(
    vfs: &dyn Vfs,
    original: &Path,
    copy: &Path,
    listed: &Listed,
    manner: &mut Manner<'_>,
) -> Result<(), BackupError> {
    let open = |path: &Path| {
        let file = vfs.open(path, false).map_err(|e| OpenError::io(path, e))?;
        file.drop_cached(0, listed.len);
        Ok::<_, OpenError>(file)
    };
    let right = open(copy)?;
    let left = match open(original) {
        // A newer checkpoint has taken the place of this one; its checksum is left to compare with.
        Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return compare_checksum(&*right, original, copy, listed, manner);
        }
        left => left?,
    };
    let mut at = 0;
    while at < listed.len {
        let len = AT_ONCE.min(listed.len - at);
        let left = read(&*left, at, len).map_err(|e| OpenError::io(original, e))?;
        let right = read(&*right, at, len).map_err(|e| OpenError::io(copy, e))?;
        if let Some(n) = left.iter().zip(&right).position(|(left, right)| left != right) {
            let position = at + n as u64;
            return Err(BackupError::Differs { original: original.into(), copy: copy.into(), position });
        }
        at += len;
        (manner.pace)(len);
    }
    Ok(())
}

fn compare_checksum(
    file: &dyn VfsFile,
    original: &Path,
    copy: &Path,
    listed: &Listed,
    manner: &mut Manner<'_>,
) -> Result<(), BackupError> {
    let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
    let mut at = 0;
    while at < listed.len {
        let bytes = read(file, at, AT_ONCE.min(listed.len - at)).map_err(|e| OpenError::io(copy, e))?;
        crc.update(&bytes);
        at += bytes.len() as u64;
        (manner.pace)(bytes.len() as u64);
    }
    if crc.finalize() as u32 != listed.crc {
        return Err(BackupError::Differs { original: original.into(), copy: copy.into(), position: 0 });
    }
    Ok(())
}

fn read(file: &dyn VfsFile, at: u64, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    if file.read_at(&mut bytes, at)? != bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}
