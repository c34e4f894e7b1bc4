//! A thread that runs tasks commits what they append, and leaves to the log's thread what would hold them up.

#![allow(clippy::unwrap_used, reason = "a failed step has to panic")]

use parking_lot::Mutex;
use sluice_model::SystemClock;
use sluice_model::units::ByteSize;
use sluice_store::suite::{append, message};
use sluice_store::vfs::{DiskSpace, LockError, OsVfs, Vfs, VfsFile};
use sluice_store::{Config, Durability, LocalLog, Log, LogQueue};
use std::io;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread::{self, ThreadId};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// A disk whose syncs are as slow as wanted, with a note of who asked for them.
#[derive(Default)]
struct Watched {
    syncs: Mutex<Vec<ThreadId>>,
    slow: Mutex<Duration>,
}

struct WatchedVfs(Arc<Watched>);

struct WatchedFile(Arc<Watched>, Arc<dyn VfsFile>);

impl Vfs for WatchedVfs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        OsVfs.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        OsVfs.list(dir)
    }
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn VfsFile>> {
        Ok(Arc::new(WatchedFile(Arc::clone(&self.0), OsVfs.open(path, create)?)))
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

impl VfsFile for WatchedFile {
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.1.read_at(buf, position)
    }
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.1.write_at(bytes, position)
    }
    fn sync(&self) -> io::Result<()> {
        // How long a real disk takes here is not ours to say, and nothing is read after a crash.
        let slow = *self.0.slow.lock();
        thread::sleep(slow);
        self.0.syncs.lock().push(thread::current().id());
        Ok(())
    }
    fn size(&self) -> io::Result<u64> {
        self.1.size()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.1.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.1.allocate(len)
    }
}

fn open(dir: &Path) -> (Arc<LocalLog>, Arc<Watched>) {
    let watched = Arc::<Watched>::default();
    let vfs = Arc::new(WatchedVfs(Arc::clone(&watched)));
    let config = Config { segment_size: ByteSize::mib(4), ..Config::default() };
    (Arc::new(LocalLog::open_on(vfs, dir, config, Arc::new(SystemClock)).unwrap()), watched)
}

/// Runs on one thread that has a committer.
fn with_committer(log: &Arc<LocalLog>, work: impl AsyncFnOnce(JoinHandle<()>)) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let committer = tokio::spawn(log.committer().unwrap());
        tokio::task::yield_now().await;
        timeout(PATIENCE, work(committer)).await.unwrap();
    });
}

async fn send(log: &Arc<LocalLog>, count: usize, body: &str) {
    let sends = (0..count).map(|_| {
        let log = Arc::clone(log);
        let body = body.to_owned();
        tokio::spawn(async move {
            let ticket = log.append(&[append(1, &message(&body), 1)], Durability::Sync).unwrap();
            ticket.done.await.unwrap();
        })
    });
    for sent in sends.collect::<Vec<_>>() {
        sent.await.unwrap();
    }
}

#[test]
fn what_tasks_append_together_is_one_sync_on_their_thread() {
    let dir = tempfile::tempdir().unwrap();
    let (log, watched) = open(dir.path());
    with_committer(&log, async |_| {
        // On a machine that is busy with other things a sync may seem slow; then the log's thread is right to take over.
        for _ in 0..50 {
            watched.syncs.lock().clear();
            send(&log, 20, "x").await;
            let here = thread::current().id();
            if *watched.syncs.lock() == [here] {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{:?} was never one sync on this thread", watched.syncs.lock());
    });
    log.close().unwrap();
}

#[test]
fn of_two_threads_that_commit_neither_waits_for_the_logs_thread() {
    let dir = tempfile::tempdir().unwrap();
    let (log, watched) = open(dir.path());
    *watched.slow.lock() = Duration::from_millis(2);
    // As above: on a busy machine the log's thread may be right to take over now and then.
    for _ in 0..50 {
        watched.syncs.lock().clear();
        let together = Arc::new(Barrier::new(2));
        let both = [Duration::ZERO, Duration::from_micros(500)].map(|after| {
            let (log, together) = (Arc::clone(&log), Arc::clone(&together));
            thread::spawn(move || {
                with_committer(&log, async |_| {
                    for _ in 0..10 {
                        // The second one comes while the first one syncs, and after that nobody comes.
                        together.wait();
                        thread::sleep(after);
                        send(&log, 1, "x").await;
                    }
                    together.wait();
                });
                thread::current().id()
            })
        });
        let both = both.map(|thread| thread.join().unwrap());
        // One is the mark of the quiet time before.
        let by_others = watched.syncs.lock().iter().filter(|who| !both.contains(who)).count();
        if by_others <= 1 {
            return log.close().unwrap();
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("the log's thread had to commit each time");
}

#[test]
fn a_slow_disk_is_left_to_the_logs_thread() {
    let dir = tempfile::tempdir().unwrap();
    let (log, watched) = open(dir.path());
    *watched.slow.lock() = Duration::from_millis(5);
    with_committer(&log, async |_| {
        send(&log, 1, "this one may be slow here").await;
        watched.syncs.lock().clear();
        for _ in 0..5 {
            send(&log, 3, "x").await;
        }
        let here = thread::current().id();
        assert!(watched.syncs.lock().iter().all(|thread| *thread != here));
    });
    log.close().unwrap();
}

#[test]
fn large_groups_are_left_to_the_logs_thread() {
    let dir = tempfile::tempdir().unwrap();
    let (log, watched) = open(dir.path());
    with_committer(&log, async |_| {
        let body = "x".repeat(1 << 20);
        watched.syncs.lock().clear();
        send(&log, 2, &body).await;
        let here = thread::current().id();
        assert!(watched.syncs.lock().iter().all(|thread| *thread != here));
    });
    log.close().unwrap();
}

#[test]
fn a_committer_that_is_gone_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    with_committer(&log, async |committer| {
        let ticket = log.append(&[append(1, &message("x"), 1)], Durability::Sync).unwrap();
        committer.abort();
        ticket.done.await.unwrap();
        send(&log, 5, "y").await;
    });
    assert_eq!(log.bounds(LogQueue(1)).next, 6);
    log.close().unwrap();
}

#[test]
fn segments_follow_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    let body = "x".repeat(100_000);
    let mut sent = 0;
    with_committer(&log, async |_| {
        while sent < 120 {
            match log.append(&[append(1, &message(&body), 1)], Durability::Sync) {
                Ok(ticket) => {
                    ticket.done.await.unwrap();
                    sent += 1;
                }
                // The next file is being prepared.
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    });
    assert_eq!(log.bounds(LogQueue(1)).next, 120);
    log.close().unwrap();
}
