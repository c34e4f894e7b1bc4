//! Buckets in files beside the log: what [`LocalLog`] does of [`Buckets`].

use super::LocalLog;
use crate::backup::pin;
use crate::bucket_check::{self, WholeRun};
use crate::buckets::{self, Aside, BucketId, Buckets, Cell, NewRun, Run, RunReader, Window};
use crate::error::Damage;
use crate::vfs::VfsFile;
use sluice_model::{Error, ErrorKind, Message, Result};
use std::io;

impl LocalLog {
    fn bucket<T>(&self, bucket: BucketId, work: impl FnOnce(&dyn VfsFile) -> io::Result<T>) -> Result<T> {
        let shared = &self.shared;
        let file = match buckets::open(&*shared.vfs, &shared.dir, bucket, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.corrupt(bucket, 0, "it is missing"));
            }
            file => file.map_err(crate::read::unreadable)?,
        };
        work(&*file).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => self.corrupt(bucket, 0, &error.to_string()),
            _ => crate::read::unreadable(error),
        })
    }

    fn corrupt(&self, bucket: BucketId, position: u64, what: &str) -> Error {
        let file = buckets::path_of(&self.shared.dir, bucket);
        let what = format!("the messages that wait from {} on are damaged: {what}", bucket.start);
        let damage = Damage { file, position, lsn: None, what, lost: Vec::new(), waiting: Vec::new() };
        self.shared.damages.tell(&damage);
        Error::new(ErrorKind::Corrupt, "delayed messages are damaged").with_source(damage.to_string())
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

impl Buckets for LocalLog {
    fn put(&self, bucket: BucketId, at: u64, messages: &mut [Aside<'_>]) -> Result<u64> {
        self.check_open()?;
        let shared = &self.shared;
        let run = NewRun::new(shared.store, bucket, at, messages).map_err(Error::internal)?;
        let space = shared.vfs.space(&shared.dir).map_err(|e| self.fail("look at the disk's space", e))?;
        // Found out beforehand: a write that fails for want of space may leave a file whose syncs cannot be trusted.
        if space.available < run.len() * 2 {
            return Err(Error::new(ErrorKind::StorageFull, "the disk is full"));
        }
        let write = || {
            let file = buckets::open(&*shared.vfs, &shared.dir, bucket, at == 0)?;
            let mut position = at;
            run.write(|piece| {
                file.write_at(piece, position)?;
                position += piece.len() as u64;
                Ok(())
            })?;
            file.sync()
        };
        // As everywhere: what a failed sync has left behind is not written over, nor trusted.
        write().map_err(|error| self.fail("put delayed messages aside", error))?;
        Ok(at + run.len())
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
        let read = self.bucket(bucket, |file| buckets::read(file, cells))?;
        for (cell, _) in cells.iter().zip(&read).filter(|(_, read)| read.is_err()) {
            let (file, lost) = (buckets::path_of(&self.shared.dir, bucket), bucket_check::lost(cell));
            let what = "a delayed message fails its checksum".to_owned();
            let damage =
                Damage { file, position: cell.at, lsn: None, what, lost: Vec::new(), waiting: vec![lost] };
            self.shared.damages.tell(&damage);
        }
        Ok(read)
    }

    fn check(&self, run: &WholeRun) -> Result<u64> {
        let (shared, path) = (&self.shared, buckets::path_of(&self.shared.dir, run.bucket));
        let len = run.behind.saturating_sub(run.at);
        let damages = self.bucket(run.bucket, |file| {
            file.drop_cached(run.at, len); // the disk is meant, not the system's memory of it
            let damages = bucket_check::check(file, &path, shared.store, run);
            file.drop_cached(run.at, len);
            damages
        })?;
        damages.iter().for_each(|damage| shared.damages.tell(damage));
        Ok(len)
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
