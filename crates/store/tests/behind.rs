//! Consumers that are behind: together they read the disk once, and they take nothing from those that keep up.

#![allow(clippy::unwrap_used)]

mod common {
    use sluice_store::vfs::{DiskSpace, LockError, OsVfs, Vfs, VfsFile};
    use std::io;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The system's files, and how many bytes were read of them.
    #[derive(Default, Clone)]
    pub struct CountingVfs {
        pub read: Arc<AtomicU64>,
    }

    struct CountingFile {
        file: Arc<dyn VfsFile>,
        read: Arc<AtomicU64>,
    }

    impl Vfs for CountingVfs {
        fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
            OsVfs.create_dir_all(dir)
        }

        fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
            OsVfs.list(dir)
        }

        fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn VfsFile>> {
            let file = OsVfs.open(path, create)?;
            Ok(Arc::new(CountingFile { file, read: Arc::clone(&self.read) }))
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            OsVfs.rename(from, to)
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            OsVfs.remove(path)
        }

        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            OsVfs.sync_dir(dir)
        }

        fn lock(&self, path: &Path) -> Result<Box<dyn Send + Sync>, LockError> {
            OsVfs.lock(path)
        }

        fn space(&self, dir: &Path) -> io::Result<DiskSpace> {
            OsVfs.space(dir)
        }
    }

    impl VfsFile for CountingFile {
        fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
            let read = self.file.read_at(buf, position)?;
            self.read.fetch_add(read as u64, Ordering::SeqCst);
            Ok(read)
        }

        fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
            self.file.write_at(bytes, position)
        }

        fn sync(&self) -> io::Result<()> {
            self.file.sync()
        }

        fn size(&self) -> io::Result<u64> {
            self.file.size()
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.file.set_len(len)
        }

        fn allocate(&self, len: u64) -> io::Result<()> {
            self.file.allocate(len)
        }
    }
}

use bytes::Bytes;
use common::CountingVfs;
use sluice_model::units::ByteSize;
use sluice_model::{Message, SystemClock};
use sluice_store::{Append, Batch, Config, Durability, LocalLog, Log, LogQueue, Payload, Read, ReadLimits};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const QUEUES: u32 = 4;
const MESSAGES: u64 = 40_000;
const BODY: usize = 1000;
const CACHE: u64 = 4 << 20;

fn append(log: &LocalLog, queue: u32, n: u64) -> sluice_store::Ticket {
    let mut body = vec![b'x'; BODY];
    body[..8].copy_from_slice(&n.to_le_bytes());
    let message = Message { body: Some(Bytes::from(body)), ..Message::default() };
    let payload = Payload::Message(&message);
    let append = Append { queue: LogQueue(queue), payload, stored: n, reserved_space: false };
    // Small segments are full before the next is ready.
    sluice_store::suite::patiently(log, &[append], Durability::Async)
}

/// A log of 40 MB in segments of 4 MiB, of which all but the last are sealed.
fn filled(dir: &std::path::Path, vfs: &CountingVfs) -> LocalLog {
    let config = Config {
        segment_size: ByteSize::mib(4),
        // Also while nobody reads, the tail keeps more of it than a segment holds.
        tail_cache: ByteSize::mib(64),
        block_cache: ByteSize(CACHE),
        max_entry: ByteSize::mib(1),
        ..Config::default()
    };
    let log = LocalLog::open_on(Arc::new(vfs.clone()), dir, config, Arc::new(SystemClock)).unwrap();
    for n in 0..MESSAGES {
        let ticket = append(&log, 1 + (n % u64::from(QUEUES)) as u32, n);
        // What is written at once has to be less than the tail keeps.
        if n % 256 == 0 {
            ticket.done.wait().unwrap();
        }
    }
    append(&log, 0, 0).done.wait().unwrap();
    log
}

fn read(log: &LocalLog, queue: u32, from: u64) -> Batch {
    let limits = ReadLimits { max_count: 64, max_bytes: 1 << 20, max_examined: 1000, tag_hashes: None };
    match log.read(LogQueue(queue), from, &limits).unwrap() {
        Read::Ready(batch) => batch,
        Read::Cold(read) => read().unwrap(),
    }
}

/// Reads a queue from its beginning; how many messages there were.
fn read_all(log: &LocalLog, queue: u32) -> u64 {
    let (mut from, mut count) = (0, 0);
    loop {
        let batch = read(log, queue, from);
        if batch.next == from {
            return count;
        }
        count += batch.entries.len() as u64;
        from = batch.next;
    }
}

#[test]
fn ten_groups_that_are_behind_read_the_disk_once() {
    let dir = tempfile::tempdir().unwrap();
    let vfs = CountingVfs::default();
    let log = filled(dir.path(), &vfs);
    let whole = log.space().log_bytes;
    vfs.read.store(0, Ordering::SeqCst);
    // In step, as groups that were stopped together: each of ten asks for the same part after the other.
    let mut from = [0; QUEUES as usize];
    let mut counts = [0; 10];
    loop {
        let mut moved = false;
        for (queue, from) in (1..).zip(&mut from) {
            let mut next = *from;
            for count in &mut counts {
                let batch = read(&log, queue, *from);
                *count += batch.entries.len() as u64;
                next = batch.next;
            }
            moved |= next != *from;
            *from = next;
        }
        if !moved {
            break;
        }
    }
    assert_eq!(counts, [MESSAGES; 10]);
    let read = vfs.read.load(Ordering::SeqCst);
    // The entries and their index once, a block here and there twice; what is not sealed yet is in the tail.
    assert!(read < whole * 5 / 4, "{read} bytes were read of a log of {whole}, ten times over");
}

#[test]
fn catching_up_takes_nothing_from_the_tail() {
    let dir = tempfile::tempdir().unwrap();
    let vfs = CountingVfs::default();
    let log = filled(dir.path(), &vfs);
    let end = log.bounds(LogQueue(1)).next;
    for _ in 0..3 {
        assert_eq!((1..=QUEUES).map(|queue| read_all(&log, queue)).sum::<u64>(), MESSAGES);
        vfs.read.store(0, Ordering::SeqCst);
        assert!(matches!(
            log.read(LogQueue(1), end - 10, &ReadLimits { max_count: 10, max_bytes: 1 << 20, max_examined: 10, tag_hashes: None }),
            Ok(Read::Ready(batch)) if batch.entries.len() == 10
        ));
        assert_eq!(vfs.read.load(Ordering::SeqCst), 0, "the newest messages come from memory");
    }
}
