//! A broker in one thread, and how its work is timed.

use bytes::Bytes;
use sluice_auth::{Auth, Credentials, Session};
use sluice_broker::{Broker, Config, QueueChoice, SendRequest, TopicSpec};
use sluice_model::units::ByteSize;
use sluice_model::{GroupName, ManualClock, Message, QueueId, TopicName};
use sluice_store::LocalLog;
use sluice_store::vfs::OsVfs;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

pub const NOW: u64 = 1_700_000_000_000;
/// Short stretches, of which the quickest counts.
const STRETCHES: usize = 40;
/// Calls of one stretch.
pub const CALLS: usize = 256;

pub struct Node {
    pub log: Arc<LocalLog>,
    pub broker: Broker,
    pub me: Session,
}

impl Node {
    pub fn open(folder: &Path) -> Self {
        let clock = Arc::new(ManualClock::new(NOW));
        // Caches of messages are bounded, and would hide what is asked about.
        let store = sluice_store::Config {
            segment_size: ByteSize::mib(64),
            tail_cache: ByteSize::kib(64),
            block_cache: ByteSize::mib(1),
            ..sluice_store::Config::default()
        };
        let log = LocalLog::open_by_hand(Arc::new(OsVfs), folder, store, clock.clone()).unwrap();
        let log = Arc::new(log);
        let config = Config {
            max_topics: 200_000,
            max_groups: 200_000,
            max_in_flight: 2_000_000,
            max_near_timers: 30_000_000,
            max_timers: 30_000_000,
            ..Config::default()
        };
        let broker = Broker::open(log.clone(), Arc::new(Auth::open()), clock, config).unwrap();
        let me = broker.login_now(Credentials::Anonymous, ([127, 0, 0, 1], 1).into()).unwrap();
        Self { log, broker, me }
    }

    /// Polls a future and commits what it waits for.
    pub fn done<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        for _ in 0..1000 {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return value;
            }
            self.commit();
        }
        panic!("a call does not end");
    }

    pub fn commit(&self) {
        self.log.commit();
        while self.log.keep_files() {}
    }

    pub fn topic(&self, name: &str, queues: u32) -> TopicName {
        let name = TopicName::new(name).unwrap();
        self.done(self.broker.put_topic(&self.me, &name, TopicSpec::with_queues(queues))).unwrap();
        name
    }

    pub fn send(&self, topic: &TopicName, queue: u32, message: Message) {
        let (topic, queue) = (topic.clone(), QueueChoice::Exactly(QueueId(queue)));
        let request = SendRequest { topic, messages: vec![message], queue, create: None, durability: None };
        drop(self.broker.send(&self.me, request).unwrap());
    }

    /// So many messages of one batch after the other.
    pub fn fill(&self, topic: &TopicName, queue: u32, count: usize, body: usize) {
        let message = message(body);
        let mut left = count;
        while left > 0 {
            let batch = left.min(500);
            left -= batch;
            let (topic, queue) = (topic.clone(), QueueChoice::Exactly(QueueId(queue)));
            let messages = vec![message.clone(); batch];
            drop(
                self.broker
                    .send(&self.me, SendRequest { topic, messages, queue, create: None, durability: None })
                    .unwrap(),
            );
            self.commit();
        }
    }

    /// Nanoseconds of one call, in the quickest of many stretches. What is written meanwhile is committed outside.
    pub fn time(&self, mut call: impl FnMut(usize)) -> f64 {
        let mut best = Duration::MAX;
        for stretch in 0..STRETCHES {
            let began = Instant::now();
            for at in 0..CALLS {
                call(stretch * CALLS + at);
            }
            best = best.min(began.elapsed());
            self.commit();
        }
        best.as_nanos() as f64 / CALLS as f64
    }
}

pub fn message(body: usize) -> Message {
    Message { body: Some(Bytes::from(vec![b'x'; body])), ..Message::default() }
}

pub fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

/// Runs one size after the other, each in a folder that is gone afterwards.
pub fn sizes<T>(folder: &Path, sizes: &[usize], mut run: impl FnMut(&Node, usize) -> T) -> Vec<(f64, T)> {
    let mut found = Vec::new();
    for size in sizes {
        let folder = folder.join(size.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let node = Node::open(&folder);
        found.push((*size as f64, run(&node, *size)));
        drop(node);
        std::fs::remove_dir_all(&folder).unwrap();
    }
    found
}

/// One curve of several that were measured together.
pub fn column<const N: usize>(found: &[(f64, [f64; N])], at: usize) -> Vec<(f64, f64)> {
    found.iter().map(|(x, values)| (*x, values[at])).collect()
}
