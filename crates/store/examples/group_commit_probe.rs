//! How far the log is from what the disk and the scheduler allow.
//!
//! It measures, one after the other on the same disk, (a) a bare group commit: one thread for each producer, a shared
//! buffer, one thread that writes and syncs; and (b) `LocalLog` with as many tasks on one current-thread runtime, each
//! appending a message and awaiting its ticket, with a committer on that runtime or without. It prints both and their ratio.
//!
//! `cargo run --release -p sluice-store --example group_commit_probe -- [producers] [depth] [size] [seconds] [dir] [here|thread]`

#![allow(clippy::unwrap_used, reason = "a probe stops at the first error")]

use parking_lot::{Condvar, Mutex};
use sluice_model::{Message, SystemClock};
use sluice_store::suite::append;
use sluice_store::vfs::{OsVfs, Vfs, VfsFile};
use sluice_store::{Config, Durability, LocalLog, Log};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// The file of the bare probe is written round and round.
const FILE: u64 = 256 << 20;

#[derive(Clone)]
struct Args {
    producers: usize,
    depth: usize,
    size: usize,
    seconds: u64,
    dir: PathBuf,
    commit_here: bool,
}

fn args() -> Args {
    let mut args = std::env::args().skip(1);
    let mut number = |default: usize| args.next().map_or(default, |text| text.parse().unwrap());
    let (producers, depth, size, seconds) = (number(64), number(1), number(1024), number(3));
    let dir = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let commit_here = args.next().is_none_or(|writer| writer == "here");
    Args { producers, depth, size, seconds: seconds as u64, dir, commit_here }
}

fn main() {
    let args = args();
    let dir = tempfile::tempdir_in(&args.dir).unwrap();
    println!(
        "{} producers x {} in flight, {} bytes, {} s",
        args.producers, args.depth, args.size, args.seconds
    );
    let bare = report("bare group commit, a thread for each producer", || bare(&args, dir.path()));
    let name = if args.commit_here { "local log, committing here" } else { "local log, its own thread" };
    let log = report(name, || local_log(&args, dir.path()));
    println!("ratio {:.2}", log / bare);
}

/// Runs a probe and prints messages a second and CPU time a message.
fn report(name: &str, probe: impl FnOnce() -> u64) -> f64 {
    let (cpu, start) = (cpu_millis(), Instant::now());
    let count = probe();
    let (cpu, elapsed) = (cpu_millis() - cpu, start.elapsed().as_secs_f64());
    let rate = count as f64 / elapsed;
    println!("{name}: {:.1} k/s, {:.2} us CPU each", rate / 1e3, cpu as f64 * 1e3 / count as f64);
    rate
}

fn cpu_millis() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime, in hundredths of a second.
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10
}

struct Bare {
    staged: Mutex<(Vec<u8>, Vec<Thread>)>,
    work: Condvar,
    staged_end: AtomicU64,
    durable: AtomicU64,
    stop: AtomicBool,
}

fn bare(args: &Args, dir: &Path) -> u64 {
    let file = OsVfs.open(&dir.join("bare"), true).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..FILE >> 20).for_each(|n| file.write_at(&zeros, n << 20).unwrap());
    file.sync().unwrap();
    let shared = Arc::new(Bare {
        staged: Mutex::default(),
        work: Condvar::new(),
        staged_end: AtomicU64::new(0),
        durable: AtomicU64::new(0),
        stop: AtomicBool::new(false),
    });
    let writer = thread::spawn({
        let shared = Arc::clone(&shared);
        move || write_loop(&shared, &*file)
    });
    let producers: Vec<_> = (0..args.producers)
        .map(|_| {
            let (shared, args) = (Arc::clone(&shared), args.clone());
            thread::spawn(move || produce(&shared, &args))
        })
        .collect();
    thread::sleep(Duration::from_secs(args.seconds));
    shared.stop.store(true, Ordering::SeqCst);
    let count = producers.into_iter().map(|producer| producer.join().unwrap()).sum();
    drop(shared.staged.lock());
    shared.work.notify_one();
    writer.join().unwrap();
    count
}

fn produce(shared: &Bare, args: &Args) -> u64 {
    let record = vec![7; args.size + 64];
    let mut count = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let end = {
            let mut staged = shared.staged.lock();
            (0..args.depth).for_each(|_| staged.0.extend_from_slice(&record));
            staged.1.push(thread::current());
            if staged.1.len() == 1 {
                shared.work.notify_one();
            }
            let len = (record.len() * args.depth) as u64;
            shared.staged_end.fetch_add(len, Ordering::Relaxed) + len
        };
        while shared.durable.load(Ordering::Acquire) < end {
            thread::park();
        }
        count += args.depth as u64;
    }
    count
}

fn write_loop(shared: &Bare, file: &dyn VfsFile) {
    let (mut bytes, mut waiting) = (Vec::new(), Vec::new());
    let mut position = 0;
    loop {
        let end = {
            let mut staged = shared.staged.lock();
            while staged.0.is_empty() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                shared.work.wait_for(&mut staged, Duration::from_millis(10));
            }
            std::mem::swap(&mut staged.0, &mut bytes);
            std::mem::swap(&mut staged.1, &mut waiting);
            shared.staged_end.load(Ordering::Relaxed)
        };
        if position + bytes.len() as u64 > FILE {
            position = 0;
        }
        file.write_at(&bytes, position).unwrap();
        file.sync().unwrap();
        position += bytes.len() as u64;
        bytes.clear();
        shared.durable.store(end, Ordering::Release);
        waiting.drain(..).for_each(|thread: Thread| thread.unpark());
    }
}

fn local_log(args: &Args, dir: &Path) -> u64 {
    let log = Arc::new(LocalLog::open(&dir.join("data"), Config::default(), Arc::new(SystemClock)).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let count = runtime.block_on(async {
        if args.commit_here {
            tokio::spawn(log.committer().unwrap());
        }
        let tasks: Vec<_> = (0..args.producers)
            .map(|n| {
                let (log, stop, args) = (Arc::clone(&log), Arc::clone(&stop), args.clone());
                tokio::spawn(produce_async(log, stop, args, n as u32))
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(args.seconds)).await;
        stop.store(true, Ordering::SeqCst);
        let mut count = 0;
        for task in tasks {
            count += task.await.unwrap();
        }
        count
    });
    log.close().unwrap();
    count
}

async fn produce_async(log: Arc<LocalLog>, stop: Arc<AtomicBool>, args: Args, n: u32) -> u64 {
    let message = Message { body: Some(vec![7; args.size].into()), ..Message::default() };
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut tickets = Vec::with_capacity(args.depth);
        while tickets.len() < args.depth {
            match log.append(&[append(n % 8, &message, 1)], Durability::Sync) {
                Ok(ticket) => tickets.push(ticket),
                // The next file is still being prepared.
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
        for ticket in tickets {
            ticket.done.await.unwrap();
            count += 1;
        }
    }
    count
}
