//! A log without work sleeps: its threads are not scheduled at all.

#![allow(clippy::unwrap_used, reason = "a failed step has to panic")]

use sluice_model::SystemClock;
use sluice_model::units::ByteSize;
use sluice_store::suite::send;
use sluice_store::{Config, LocalLog};
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How often the threads of the log have been scheduled.
fn switches() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    let of_log = |path: &std::path::PathBuf| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.starts_with("log"))
    };
    let status = tasks.filter(of_log).map(|path| fs::read_to_string(path.join("status")).unwrap());
    let count = |status: String| -> u64 {
        let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
        lines.map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()).sum()
    };
    status.map(count).sum()
}

#[test]
fn an_idle_log_sleeps() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { segment_size: ByteSize::mib(1), ..Config::default() };
    let log = LocalLog::open(dir.path(), config, Arc::new(SystemClock)).unwrap();
    send(&log, 1, "x", 1);
    // After its mark and its prepared files there is nothing left to do: three quiet periods in a row are enough.
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut quiet = 0;
    while quiet < 3 {
        assert!(Instant::now() < deadline, "the log never comes to rest");
        let before = switches();
        assert!(before > 0, "the threads are known by their names");
        thread::sleep(Duration::from_millis(150));
        quiet = if switches() == before { quiet + 1 } else { 0 };
    }
}
