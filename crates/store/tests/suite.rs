//! The conformance suite on every log there is.

#![allow(clippy::unwrap_used, reason = "a failed step has to panic")]

use sluice_model::SystemClock;
use sluice_model::units::ByteSize;
use sluice_store::suite::{self, Subject};
use sluice_store::{Config, Flush, LocalLog, Log, MemoryLog};
use std::sync::Arc;

struct InMemory(Arc<MemoryLog>);

impl Subject for InMemory {
    fn log(&self) -> Arc<dyn Log> {
        self.0.clone()
    }

    fn restart(&mut self) {
        self.0.close().unwrap();
        self.0 = Arc::new(self.0.reopen());
    }
}

struct OnDisk {
    dir: tempfile::TempDir,
    config: Config,
    log: Arc<LocalLog>,
}

impl OnDisk {
    fn new(config: &Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(LocalLog::open(dir.path(), config.clone(), Arc::new(SystemClock)).unwrap());
        Self { dir, config: config.clone(), log }
    }
}

impl Subject for OnDisk {
    fn log(&self) -> Arc<dyn Log> {
        self.log.clone()
    }

    fn restart(&mut self) {
        self.log.close().unwrap();
        let log = LocalLog::open(self.dir.path(), self.config.clone(), Arc::new(SystemClock)).unwrap();
        self.log = Arc::new(log);
    }
}

#[test]
fn memory_log() {
    suite::run(|| Box::new(InMemory(Arc::new(MemoryLog::new()))));
}

#[test]
fn local_log_in_small_segments() {
    let config = Config { segment_size: ByteSize::kib(128), ..Config::default() };
    suite::run(|| Box::new(OnDisk::new(&config)));
}

#[test]
fn local_log_that_always_reads_the_disk() {
    let config =
        Config { segment_size: ByteSize::kib(256), tail_cache: ByteSize::kib(0), ..Config::default() };
    suite::run(|| Box::new(OnDisk::new(&config)));
}

#[test]
fn local_log_that_acknowledges_before_it_syncs() {
    let config = Config { segment_size: ByteSize::kib(192), flush: Flush::Async, ..Config::default() };
    suite::run(|| Box::new(OnDisk::new(&config)));
}

#[test]
fn large_messages_come_back() {
    let config = Config { segment_size: ByteSize::mib(16), ..Config::default() };
    let mut subject = OnDisk::new(&config);
    let lens = [4 << 20, 1, (1 << 20) + 1, 0, 300_000, 4 << 20, 2_000_000, 1 << 20, 4 << 20];
    let text = |n: usize| format!("{n}").repeat(lens[n]);
    for n in 0..lens.len() {
        suite::send(&*subject.log, 1, &text(n), 1);
    }
    for _ in 0..2 {
        let entries = suite::read_all(&*subject.log, 1);
        assert_eq!(entries.len(), lens.len());
        assert!(entries.iter().enumerate().all(|(n, entry)| suite::body(entry) == text(n)));
        subject.restart();
    }
}
