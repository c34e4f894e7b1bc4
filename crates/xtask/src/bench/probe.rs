//! What the machine can do without a broker: group commit, where threads hand records to one writer, which drains, writes,
//! syncs and wakes; one append and its sync; bytes through the loopback; a file read from the disk.
//!
//! The file is written once beforehand, as the broker's segments are, so that a sync has no metadata to flush.

use crate::shell::Result;
use hdrhistogram::Histogram;
use parking_lot::{Condvar, Mutex};
use rustix::fs::fdatasync;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The size of the file: it is written round and round, so it need not hold a whole run.
pub const RUN: u64 = 256 << 20;

/// A file whose blocks exist already.
pub struct Prewritten {
    file: File,
    len: u64,
    at: u64,
}

impl Prewritten {
    pub fn new(path: &Path, len: u64) -> Result<Self> {
        let mut file = File::create(path)?;
        let zeros = vec![0; 1 << 20];
        for _ in 0..len >> 20 {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        Ok(Self { file, len, at: 0 })
    }

    /// Writes and syncs.
    pub fn commit(&mut self, bytes: &[u8]) -> Result {
        if self.at + bytes.len() as u64 > self.len {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at)?;
        fdatasync(&self.file)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// What came of a run.
pub struct Measured {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
}

pub struct Probe(Prewritten);

#[derive(Default)]
struct Queue {
    waiting: Mutex<Vec<usize>>,
    arrived: Condvar,
}

#[derive(Default)]
struct Producer {
    committed: Mutex<bool>,
    woken: Condvar,
}

impl Probe {
    pub fn new(path: &Path) -> Result<Self> {
        Ok(Self(Prewritten::new(path, RUN)?))
    }

    /// Each producer hands over `depth` records at a time, and waits for all of them.
    pub fn run(
        &mut self,
        producers: usize,
        depth: usize,
        record: usize,
        duration: Duration,
    ) -> Result<Measured> {
        let queue = Queue::default();
        let states: Vec<Producer> = (0..producers).map(|_| Producer::default()).collect();
        let stop = AtomicBool::new(false);
        let latencies = Mutex::new(Histogram::<u64>::new(3)?);
        let started = Instant::now();
        std::thread::scope(|scope| {
            for (at, state) in states.iter().enumerate() {
                let (queue, stop, latencies) = (&queue, &stop, &latencies);
                scope.spawn(move || {
                    let mut own = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        own.push(state.send(at, queue));
                    }
                    let mut all = latencies.lock();
                    // It grows to hold any value, so recording cannot fail.
                    own.iter().for_each(|took| all.record(took.as_nanos() as u64).unwrap_or_default());
                });
            }
            let written = self.write(&queue, &states, depth * (record + HEADER), started, duration);
            stop.store(true, Ordering::Relaxed);
            // Whoever still waits must see the end.
            states.iter().for_each(Producer::wake);
            written
        })?;
        let latencies = latencies.into_inner();
        let at = |quantile| Duration::from_nanos(latencies.value_at_quantile(quantile));
        let per_second = (depth as u64 * latencies.len()) as f64 / started.elapsed().as_secs_f64();
        Ok(Measured { per_second, p50: at(0.5), p99: at(0.99) })
    }

    fn write(
        &mut self,
        queue: &Queue,
        states: &[Producer],
        bytes: usize,
        started: Instant,
        duration: Duration,
    ) -> Result {
        let mut batch = Vec::new();
        while started.elapsed() < duration {
            {
                let mut waiting = queue.waiting.lock();
                if waiting.is_empty() {
                    queue.arrived.wait_for(&mut waiting, Duration::from_millis(10));
                }
                std::mem::swap(&mut *waiting, &mut batch);
            }
            if batch.is_empty() {
                continue;
            }
            self.0.commit(&vec![b'x'; batch.len() * bytes])?;
            batch.drain(..).filter_map(|at| states.get(at)).for_each(Producer::wake);
        }
        Ok(())
    }
}

/// What a record carries beside its body.
pub const HEADER: usize = 64;

impl Producer {
    fn send(&self, at: usize, queue: &Queue) -> Duration {
        let started = Instant::now();
        *self.committed.lock() = false;
        queue.waiting.lock().push(at);
        queue.arrived.notify_one();
        let mut committed = self.committed.lock();
        while !*committed {
            // The writer wakes everyone at the end too; the limit covers a wake-up before this wait.
            if self.woken.wait_for(&mut committed, Duration::from_secs(1)).timed_out() {
                break;
            }
        }
        started.elapsed()
    }

    fn wake(&self) {
        *self.committed.lock() = true;
        self.woken.notify_one();
    }
}

/// One thread that appends a record and syncs, again and again.
pub fn append_and_sync(path: &Path, record: usize, duration: Duration) -> Result<Measured> {
    let mut file = Prewritten::new(path, RUN)?;
    let mut latencies = Histogram::<u64>::new(3)?;
    let bytes = vec![b'x'; record + HEADER];
    let started = Instant::now();
    while started.elapsed() < duration {
        let began = Instant::now();
        file.commit(&bytes)?;
        latencies.record(began.elapsed().as_nanos() as u64)?;
    }
    let at = |quantile| Duration::from_nanos(latencies.value_at_quantile(quantile));
    Ok(Measured {
        per_second: latencies.len() as f64 / started.elapsed().as_secs_f64(),
        p50: at(0.5),
        p99: at(0.99),
    })
}

/// What is written and read at once.
const CHUNK: usize = 256 << 10;

/// Bytes a second from one thread to another through the loopback.
pub fn loopback(duration: Duration) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiver, _) = listener.accept()?;
    let sends = std::thread::spawn(move || {
        let (chunk, started) = (vec![b'x'; CHUNK], Instant::now());
        while started.elapsed() < duration {
            // The other side is there until this one ends.
            if sender.write_all(&chunk).is_err() {
                return;
            }
        }
    });
    let (mut chunk, mut bytes, started) = (vec![0; CHUNK], 0, Instant::now());
    loop {
        match receiver.read(&mut chunk)? {
            0 => break,
            n => bytes += n,
        }
    }
    let rate = bytes as f64 / started.elapsed().as_secs_f64();
    sends.join().map_err(|_| "the sender panicked")?;
    Ok(rate)
}

/// Bytes a second of a file that only the disk has, read from its beginning to its end.
pub fn sequential_read(folder: &Path) -> Result<f64> {
    const BYTES: u64 = 1 << 30;
    std::fs::create_dir_all(folder)?;
    let path = folder.join("file");
    drop(Prewritten::new(&path, BYTES)?);
    super::read_rate::let_go(folder)?;
    let (mut file, mut chunk, started) = (File::open(&path)?, vec![0; CHUNK], Instant::now());
    while file.read(&mut chunk)? > 0 {}
    let rate = BYTES as f64 / started.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}
