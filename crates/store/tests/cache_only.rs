//! After a sync has failed, the system's cache shows what the disk does not have. A start that believes it must make it
//! true before anyone sees it.

#![allow(clippy::unwrap_used, reason = "a failed step has to panic")]

use sluice_model::ManualClock;
use sluice_model::units::ByteSize;
use sluice_store::sim::{Call, SimVfs};
use sluice_store::suite::{body, message, read_all};
use sluice_store::{Append, Config, Durability, LocalLog, Log, LogQueue, Payload};
use std::path::Path;
use std::sync::Arc;

const EIO: i32 = 5;

fn open(vfs: &SimVfs) -> LocalLog {
    let config = Config { segment_size: ByteSize::kib(64), ..Config::default() };
    LocalLog::open_by_hand(Arc::new(vfs.clone()), Path::new("data"), config, Arc::new(ManualClock::new(1)))
        .unwrap()
}

fn send(log: &LocalLog, text: &str) -> sluice_model::Result<()> {
    let message = message(text);
    let payload = Payload::Message(&message);
    let append = Append { queue: LogQueue(1), payload, stored: 1, reserved_space: false };
    let ticket = log.append(&[append], Durability::Sync)?;
    log.commit();
    ticket.done.wait()
}

#[test]
fn what_a_start_finds_in_the_cache_alone_is_on_the_disk_afterwards() {
    let vfs = SimVfs::new();
    let log = open(&vfs);
    send(&log, "safe").unwrap();
    vfs.fail_once(Call::Sync, 1, EIO);
    assert!(send(&log, "in the cache").is_err());
    let vfs = vfs.restart();
    let log = open(&vfs);
    let found: Vec<String> = read_all(&log, 1).iter().map(body).collect();
    assert_eq!(found, ["safe", "in the cache"], "the process ended, the cache is there");
    for seed in 0..20 {
        let log = open(&vfs.power_cut(seed));
        let left: Vec<String> = read_all(&log, 1).iter().map(body).collect();
        assert_eq!(left, found, "seed {seed}: what was readable is gone");
    }
}
