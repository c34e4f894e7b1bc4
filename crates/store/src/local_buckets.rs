//! Buckets in files beside the log: what [`LocalLog`] does of [`Buckets`].

use super::LocalLog;
use crate::backup::pin;
use crate::buckets::{self, Aside, BucketId, Buckets, Cell, Run, RunReader, Window};
use crate::vfs::VfsFile;
use sluice_model::{Error, ErrorKind, Message, Result};
use std::io;

impl LocalLog {
    fn bucket<T>(&self, bucket: BucketId, work: impl FnOnce(&dyn VfsFile) -> io::Result<T>) -> Result<T> {
        let shared = &self.shared;
        let file = match buckets::open(&*shared.vfs, &shared.dir, bucket, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(corrupt(bucket, "it is missing"));
            }
            file => file.map_err(crate::read::unreadable)?,
        };
        work(&*file).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => corrupt(bucket, &error.to_string()),
            _ => crate::read::unreadable(error),
        })
    }

    fn run<T>(
        &self,
        bucket: BucketId,
        run: Run,
        work: impl FnOnce(&mut RunReader<'_>) -> io::Result<T>,
    ) -> Result<T> {
        let store = self.shared.store;
        self.bucket(bucket, |file| work(&mut RunReader::new(file, store, bucket, run)?))
    }
}

fn corrupt(bucket: BucketId, what: &str) -> Error {
    let text = format!("the messages that wait from {} on are damaged", bucket.start);
    tracing::error!(bucket = bucket.start, made = bucket.made, what, "a file of delayed messages is damaged");
    Error::new(ErrorKind::Corrupt, text).with_source(what.to_owned())
}

impl Buckets for LocalLog {
    fn put(&self, bucket: BucketId, at: u64, messages: &mut [Aside<'_>]) -> Result<u64> {
        self.check_open()?;
        let shared = &self.shared;
        let bytes = buckets::encode(shared.store, bucket, at, messages).map_err(Error::internal)?;
        let space = shared.vfs.space(&shared.dir).map_err(|e| self.fail("look at the disk's space", e))?;
        // Found out beforehand: a write that fails for want of space may leave a file whose syncs cannot be trusted.
        if space.available < bytes.len() as u64 * 2 {
            return Err(Error::new(ErrorKind::StorageFull, "the disk is full"));
        }
        let write = || {
            let file = buckets::open(&*shared.vfs, &shared.dir, bucket, at == 0)?;
            file.write_at(&bytes, at)?;
            file.sync()
        };
        // As everywhere: what a failed sync has left behind is not written over, nor trusted.
        write().map_err(|error| self.fail("put delayed messages aside", error))?;
        Ok(at + bytes.len() as u64)
    }

    fn count(&self, bucket: BucketId, run: Run, window: Window) -> Result<u32> {
        self.run(bucket, run, |reader| reader.count(window))
    }

    fn cells(
        &self,
        bucket: BucketId,
        run: Run,
        window: Window,
        max: usize,
        cells: &mut Vec<Cell>,
    ) -> Result<()> {
        self.run(bucket, run, |reader| reader.cells(window, max, cells))
    }

    fn messages(&self, bucket: BucketId, cells: &[Cell]) -> Result<Vec<Result<Message>>> {
        self.bucket(bucket, |file| buckets::read(file, cells))
    }

    fn remove(&self, bucket: BucketId) -> Result<()> {
        let shared = &self.shared;
        let remove = || {
            let mut kept = self.kept_buckets.lock();
            kept.push(bucket);
            // While a backup is made, nothing that it may refer to is deleted: the next one removed takes these along.
            let Some(_pin) = pin::Pin::try_take(&*shared.vfs, &shared.dir)? else { return Ok(()) };
            kept.drain(..).try_for_each(|bucket| buckets::remove(&*shared.vfs, &shared.dir, bucket))
        };
        remove().map_err(|error| self.fail("delete a file of delayed messages", error))
    }

    fn list(&self) -> Result<Vec<BucketId>> {
        buckets::list(&*self.shared.vfs, &self.shared.dir).map_err(crate::read::unreadable)
    }
}
