//! A log whose files were changed: it opens or says what is wrong, and what it then reads it reads without a panic.
//!
//! The input is a list of changes: which file, where, what byte; the checksums around it are made right again in one
//! half of them, so that the readers behind the checksums are reached.
#![no_main]

use sluice_fuzz::{Files, reseal};
use sluice_model::{ErrorKind, ManualClock, Message};
use sluice_store::vfs::Vfs;
use sluice_store::{Append, Config, Durability, LocalLog, Log, LogQueue, Payload, Read, ReadLimits, Ticket};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const QUEUES: u32 = 3;
const CHANGE: usize = 8;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static WRITTEN: LazyLock<Files> = LazyLock::new(write);
    let files = WRITTEN.copy();
    for change in bytes.chunks_exact(CHANGE) {
        let at = u32::from_le_bytes([change[1], change[2], change[3], 0]) as usize;
        files.change(change[0].into(), |content| {
            if let Some(byte) = content.get_mut(at) {
                *byte = change[5];
                if change[4] % 2 == 0 {
                    reseal(content, at);
                }
            }
        });
    }
    if let Ok(log) = open(Arc::new(files)) {
        read_everything(&log);
        let _ = log.close();
    }
});

fn open(files: Arc<dyn Vfs>) -> Result<LocalLog, sluice_store::OpenError> {
    let config = Config { segment_size: sluice_model::units::ByteSize::kib(64), ..Config::default() };
    LocalLog::open_on(files, Path::new("store"), config, Arc::new(ManualClock::new(1_700_000_000_000)))
}

/// A store with sealed segments, an active one, and two checkpoints; left as a crash leaves it.
fn write() -> Files {
    let files = Arc::new(Files::default());
    let log = open(files.clone()).expect("a new store opens");
    for n in 0..300u32 {
        let body = vec![b'x'; 700].into();
        let message = Message { body: Some(body), tag: Some("tag".into()), ..Message::default() };
        let payload = match n % 3 {
            0 => Payload::Message(&message),
            1 => Payload::State(b"state"),
            _ => Payload::Batch {
                encoding: 2,
                count: 4,
                newest: 7,
                keys: &[1, 2],
                head: b"head",
                bytes: b"four records",
            },
        };
        let append =
            Append { queue: LogQueue(n % QUEUES), payload, stored: u64::from(n), reserved_space: false };
        let ticket = patiently(|| log.append(std::slice::from_ref(&append), Durability::Async));
        ticket.done.wait().expect("is done");
        if n % 100 == 99 {
            log.write_checkpoint(log.end(), b"what the broker remembers").expect("a checkpoint");
        }
    }
    files.copy()
}

/// Segments this small fill up faster than files are made; the log then asks for patience.
fn patiently(append: impl Fn() -> sluice_model::Result<Ticket>) -> Ticket {
    for _ in 0..10_000 {
        match append() {
            Err(error) if error.kind() == ErrorKind::Throttled => {
                std::thread::sleep(Duration::from_millis(1))
            }
            outcome => return outcome.expect("appends"),
        }
    }
    panic!("no file was made in ten seconds")
}

fn read_everything(log: &LocalLog) {
    for queue in (0..QUEUES).map(LogQueue) {
        let bounds = log.bounds(queue);
        let limits = ReadLimits { max_count: 50, max_bytes: 1 << 20, max_examined: 1000, tag_hashes: None };
        let mut from = bounds.min;
        while from < bounds.next {
            let batch = match log.read(queue, from, &limits) {
                Ok(Read::Ready(batch)) => batch,
                Ok(Read::Cold(read)) => match read() {
                    Ok(batch) => batch,
                    Err(_) => return,
                },
                Err(_) => return,
            };
            if batch.next <= from {
                return;
            }
            from = batch.next;
        }
        let _ = log.offset_at(queue, 100);
    }
    let _ = log.replay(0, &mut |_| {});
    let _ = log.checkpoint();
}
