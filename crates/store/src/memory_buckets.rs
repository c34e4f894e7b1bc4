//! Buckets in memory: the bytes that would lie in files, read by the same code.

use super::MemoryLog;
use crate::bucket_check::WholeRun;
use crate::buckets::{self, Aside, BucketId, Buckets, Cell, NewRun, Run, RunReader, Window};
use crate::segment::StoreId;
use crate::vfs::VfsFile;
use sluice_model::{Error, ErrorKind, Message, Result};
use std::io;

const STORE: StoreId = [0; 16];

/// Bytes that are read as a file is.
struct Bytes(Vec<u8>);

impl VfsFile for Bytes {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        let from = (position as usize).min(self.0.len());
        let n = buf.len().min(self.0.len() - from);
        buf[..n].copy_from_slice(&self.0[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

fn corrupt(error: io::Error) -> Error {
    Error::new(ErrorKind::Corrupt, "the messages that wait in a bucket are damaged").with_source(error)
}

impl MemoryLog {
    fn bucket(&self, bucket: BucketId) -> Bytes {
        Bytes(self.content.lock().buckets.get(&bucket).cloned().unwrap_or_default())
    }
}

impl Buckets for MemoryLog {
    fn put(&self, bucket: BucketId, at: u64, messages: &mut [Aside<'_>]) -> Result<u64> {
        let run = NewRun::new(STORE, bucket, at, messages).map_err(Error::internal)?;
        let mut content = self.content.lock();
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        if content.full {
            return Err(Error::new(ErrorKind::StorageFull, "the disk is full"));
        }
        let bytes = content.buckets.entry(bucket).or_default();
        bytes.resize(at as usize, 0);
        run.write(|piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })
        .map_err(Error::internal)?;
        Ok(bytes.len() as u64)
    }

    fn count(&self, bucket: BucketId, run: Run, window: Window) -> Result<u32> {
        let file = self.bucket(bucket);
        let reader = RunReader::new(&file, STORE, bucket, run);
        reader.and_then(|mut reader| reader.count(window)).map_err(corrupt)
    }

    fn cells(
        &self,
        bucket: BucketId,
        run: Run,
        window: Window,
        max: usize,
        cells: &mut Vec<Cell>,
    ) -> Result<()> {
        let file = self.bucket(bucket);
        let reader = RunReader::new(&file, STORE, bucket, run);
        reader.and_then(|mut reader| reader.cells(window, max, cells)).map_err(corrupt)
    }

    fn messages(&self, bucket: BucketId, cells: &[Cell]) -> Result<Vec<Result<Message>>> {
        buckets::read(&self.bucket(bucket), cells).map_err(corrupt)
    }

    fn check(&self, _run: &WholeRun) -> Result<u64> {
        Ok(0) // memory is not looked at again
    }

    fn remove(&self, bucket: BucketId) -> Result<()> {
        self.content.lock().buckets.remove(&bucket);
        Ok(())
    }

    fn list(&self) -> Result<Vec<BucketId>> {
        Ok(self.content.lock().buckets.keys().copied().collect())
    }
}
