//! What the log and the timers can do by themselves, without a network: how many delayed messages wait in how much memory,
//! how fast and how late they fire, what a checkpoint does to senders, and how long a start after a crash takes.
//!
//! `cargo xtask bench log` runs it; `log_limits FOLDER timers 20000000` one part of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measuring tool"
)]

use bytes::Bytes;
use hdrhistogram::Histogram;
use sluice_auth::{Auth, Credentials, Session};
use sluice_broker::{Broker, Config, PullRequest, QueueChoice, SendRequest, TopicSpec};
use sluice_model::units::Span;
use sluice_model::{Filter, Message, Millis, QueueId, SystemClock, TopicName};
use sluice_store::LocalLog;
use std::path::Path;
use std::process::{Command, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// As in the binary: how much memory is kept back is the allocator's habit.
#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// As in the binary, too.
#[allow(
    unsafe_code,
    reason = "the allocator looks for its settings under this name, and nothing else has it"
)]
#[unsafe(export_name = "_rjem_malloc_conf")]
#[used]
static SETTINGS: &[u8] = b"narenas_ratio:1,dirty_decay_ms:1000\0";

const DAY: Millis = 86_400_000;
const BATCH: u64 = 100;

struct Node {
    broker: Broker,
    me: Session,
}

impl Node {
    fn open(folder: &Path, config: Config) -> Self {
        let log = LocalLog::open(folder, sluice_store::Config::default(), Arc::new(SystemClock)).unwrap();
        let broker =
            Broker::open(Arc::new(log), Arc::new(Auth::open()), Arc::new(SystemClock), config).unwrap();
        let me = broker.login_now(Credentials::Anonymous, ([127, 0, 0, 1], 1).into()).unwrap();
        Self { broker, me }
    }

    async fn topic(&self, name: &str) -> TopicName {
        let name = TopicName::new(name).unwrap();
        self.broker.put_topic(&self.me, &name, TopicSpec::with_queues(1)).await.unwrap();
        name
    }

    fn sending(&self, topic: &TopicName, messages: Vec<Message>) -> SendRequest {
        let (topic, queue) = (topic.clone(), QueueChoice::Exactly(QueueId(0)));
        SendRequest { topic, messages, queue, create: None, durability: None }
    }

    async fn send(&self, topic: &TopicName, messages: Vec<Message>) {
        loop {
            match self.broker.send(&self.me, self.sending(topic, messages.clone())) {
                Ok(promise) => return drop(promise.await.unwrap()),
                Err(_) => sleep(Duration::from_millis(5)).await,
            }
        }
    }

    fn next(&self, topic: &TopicName) -> u64 {
        self.broker.bounds(&self.me, topic, QueueId(0)).unwrap().1
    }
}

fn later(due: Millis, body: usize) -> Message {
    Message { body: Some(Bytes::from(vec![b'x'; body])), deliver_at: Some(due), ..Message::default() }
}

/// Resident memory, in MiB: now, and at the most.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    (of("VmRSS"), of("VmHWM"))
}

/// So many wait for up to 40 days.
async fn timers(folder: &Path, count: u64) {
    let config = Config { max_timers: count as usize + 1, ..Config::default() };
    let node = Arc::new(Node::open(folder, config));
    let topic = node.topic("later").await;
    let background = node.broker.clone();
    let duties = tokio::spawn(async move { background.run().await });
    let (before, _) = memory();
    let (begun, now) = (Instant::now(), node.broker.now());
    let next = Arc::new(AtomicU64::new(0));
    let senders: Vec<_> = (0..16)
        .map(|_| {
            let (node, topic, next) = (Arc::clone(&node), topic.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let first = next.fetch_add(BATCH, Ordering::Relaxed);
                    if first >= count {
                        return;
                    }
                    // Spread over 40 days, in no order.
                    let due = |n: u64| now + DAY / 4 + n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (39 * DAY);
                    node.send(&topic, (first..first + BATCH).map(|n| later(due(n), 100)).collect()).await;
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let took = begun.elapsed();
    println!(
        "timers: {count} messages of 100 B for 40 days sent at {:.0} a second",
        count as f64 / took.as_secs_f64()
    );
    let begun = Instant::now();
    duties.abort();
    let _ = duties.await; // whatever it was putting aside it does no longer
    while node.broker.put_far_aside().await.unwrap() > 0 {}
    let took = begun.elapsed();
    let (after, most) = memory();
    // The allocator gives back to the system within ten seconds what nobody uses.
    sleep(Duration::from_secs(15)).await;
    let (later, _) = memory();
    println!(
        "timers: the rest put aside in {took:.1?}; memory {before} MiB before, {most} MiB at the most, {after} MiB with all waiting, {later} MiB a while later",
    );
    let begun = Instant::now();
    node.broker.checkpoint().unwrap();
    println!("timers: a checkpoint takes {:.1?}", begun.elapsed());
    node.broker.close().unwrap();
}

/// So many are due in the same second.
async fn firing(folder: &Path, count: u64, aside: bool) {
    let config = Config { timer_bucket: Span::secs(10), ..Config::default() };
    let node = Arc::new(Node::open(folder, config));
    let topic = node.topic("now").await;
    // Those that are to be put aside are due far enough ahead.
    let due = node.broker.now() + if aside { 130_000 } else { 20_000 };
    for first in (0..count).step_by(BATCH as usize) {
        let _ = first;
        node.send(&topic, (0..BATCH).map(|n| later(due + n, 1024)).collect()).await;
    }
    if aside {
        let moved = node.broker.put_far_aside().await.unwrap();
        assert!(moved as u64 >= count / 2, "only {moved} were put aside");
    }
    let background = node.broker.clone();
    let duties = tokio::spawn(async move { background.run().await });
    while node.broker.now() < due {
        sleep(Duration::from_millis(5)).await;
    }
    let begun = Instant::now();
    while node.next(&topic) < count {
        sleep(Duration::from_millis(2)).await;
    }
    let took = begun.elapsed();
    let from = if aside { "a bucket" } else { "the log" };
    println!(
        "firing: {count} of 1 KiB due in one moment, from {from}, at {:.0} a second",
        count as f64 / took.as_secs_f64()
    );
    duties.abort();
    node.broker.close().unwrap();
}

/// How late messages are, sent at a fixed rate and due two to four seconds later.
async fn lateness(folder: &Path, rate: u64, seconds: u64) {
    let node = Arc::new(Node::open(folder, Config::default()));
    let topic = node.topic("soon").await;
    let background = node.broker.clone();
    let duties = tokio::spawn(async move { background.run().await });
    let begun = Instant::now();
    let sender = {
        let (node, topic) = (Arc::clone(&node), topic.clone());
        tokio::spawn(async move {
            let each = Duration::from_micros(10_000);
            for n in 0..seconds * 100 {
                // When it is meant to be sent, whatever came before.
                let at = begun + each * n as u32;
                tokio::time::sleep_until(at.into()).await;
                let due = node.broker.now() + 2000 + (n * 7919) % 2000;
                let messages = (0..rate / 100).map(|_| later(due, 1024)).collect();
                drop(node.broker.send(&node.me, node.sending(&topic, messages)).unwrap());
            }
        })
    };
    let mut late: Histogram<u64> = Histogram::new(3).unwrap();
    let (mut offset, count) = (0, rate / 100 * seconds * 100);
    while offset < count {
        let request = PullRequest {
            topic: &topic,
            queue: QueueId(0),
            offset,
            max: 1000,
            max_bytes: usize::MAX,
            filter: &Filter::All,
            group: None,
            wait: Duration::from_secs(10),
        };
        let pulled = node.broker.pull(&node.me, &request).await.unwrap();
        let now = node.broker.now();
        for message in &pulled.messages {
            let due = message.message.deliver_at.unwrap();
            assert!(message.stored >= due, "early");
            late.record(now - due).unwrap();
        }
        offset = pulled.next;
    }
    sender.await.unwrap();
    println!(
        "lateness: {count} at {rate} a second, open loop: p50 {} ms, p99 {} ms, p99.9 {} ms, most {} ms",
        late.value_at_quantile(0.5),
        late.value_at_quantile(0.99),
        late.value_at_quantile(0.999),
        late.max()
    );
    duties.abort();
    node.broker.close().unwrap();
}

/// What senders notice of checkpoints, with much to be written down.
async fn checkpoints(folder: &Path, waiting: u64) {
    let node = Arc::new(Node::open(folder, Config::default()));
    let topic = node.topic("busy").await;
    let later_on = node.topic("later").await;
    let now = node.broker.now();
    for first in (0..waiting).step_by(BATCH as usize) {
        node.send(&later_on, (first..first + BATCH).map(|n| later(now + DAY + n, 10)).collect()).await;
    }
    let (busy, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> = (0..32)
        .map(|_| {
            let (node, topic, busy, stop) =
                (Arc::clone(&node), topic.clone(), Arc::clone(&busy), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut latencies = [Histogram::<u64>::new(3).unwrap(), Histogram::<u64>::new(3).unwrap()];
                while !stop.load(Ordering::Relaxed) {
                    let (begun, before) = (Instant::now(), busy.load(Ordering::SeqCst));
                    let message = Message { body: Some(Bytes::from(vec![b'x'; 1024])), ..Message::default() };
                    node.send(&topic, vec![message]).await;
                    let during = before % 2 == 1 || busy.load(Ordering::SeqCst) != before;
                    latencies[usize::from(during)].record(begun.elapsed().as_micros() as u64).unwrap();
                }
                latencies
            })
        })
        .collect();
    for _ in 0..20 {
        sleep(Duration::from_millis(400)).await;
        busy.fetch_add(1, Ordering::SeqCst);
        let broker = node.broker.clone();
        tokio::task::spawn_blocking(move || broker.checkpoint().unwrap()).await.unwrap();
        busy.fetch_add(1, Ordering::SeqCst);
    }
    stop.store(true, Ordering::Relaxed);
    let mut all = [Histogram::<u64>::new(3).unwrap(), Histogram::<u64>::new(3).unwrap()];
    for sender in senders {
        for (all, one) in all.iter_mut().zip(sender.await.unwrap()) {
            all.add(one).unwrap();
        }
    }
    let [without, during] = all.map(|h| (h.len(), h.value_at_quantile(0.5), h.value_at_quantile(0.99)));
    println!(
        "checkpoints: sends without {} at p50 {} µs, p99 {} µs; during one {} at p50 {} µs, p99 {} µs: ×{:.2}, with {waiting} timers in memory",
        without.0,
        without.1,
        without.2,
        during.0,
        during.1,
        during.2,
        during.2 as f64 / without.2 as f64
    );
    node.broker.close().unwrap();
}

/// Fills the segment that is written to, and ends as a killed process does.
async fn fill(folder: &Path) {
    let node = Node::open(folder, Config::default());
    let topic = node.topic("full").await;
    for _ in 0..560u64 << 10 >> 7 {
        let message = || Message { body: Some(Bytes::from(vec![b'x'; 1024])), ..Message::default() };
        node.send(&topic, (0..128).map(|_| message()).collect()).await;
    }
    println!("recovery: the log is filled to {} MiB", node.next(&topic) >> 10);
    exit(0);
}

fn recovery(folder: &Path) {
    let me = std::env::current_exe().unwrap();
    assert!(Command::new(me).arg(folder).arg("fill").status().unwrap().success());
    for _ in 0..2 {
        let begun = Instant::now();
        let node = Node::open(folder, Config::default());
        println!("recovery: ready {:.2?} after a start on what a killed process left", begun.elapsed());
        node.broker.close().unwrap();
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let folder = Path::new(arguments.get(1).expect("a folder"));
    let what = arguments.get(2).map_or("all", String::as_str);
    let count = |default| arguments.get(3).and_then(|text| text.parse().ok()).unwrap_or(default);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let is = |part: &str| what == part || what == "all";
    if what == "fill" {
        runtime.block_on(fill(folder));
    }
    if is("lateness") {
        runtime.block_on(lateness(&folder.join("lateness"), count(5000), 15));
    }
    if is("firing") {
        runtime.block_on(firing(&folder.join("firing"), count(200_000), false));
        runtime.block_on(firing(&folder.join("aside"), count(200_000), true));
    }
    if is("checkpoints") {
        runtime.block_on(checkpoints(&folder.join("checkpoints"), count(100_000)));
    }
    if is("recovery") {
        recovery(&folder.join("recovery"));
    }
    if is("timers") {
        runtime.block_on(timers(&folder.join("timers"), count(2_000_000)));
    }
}
