//! Random histories of sending, receiving, settling, waiting and crashing, checked against what a careful clerk would
//! have noted down: nothing is lost, nothing is invented, nobody gets what another one holds, progress never goes back.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use proptest::prelude::*;
use sluice_auth::{Auth, Credentials, Session};
use sluice_broker::*;
use sluice_model::*;
use sluice_store::MemoryLog;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const LEASE: u64 = 1000;
const MAX_ATTEMPTS: u32 = 4;

#[derive(Debug, Clone)]
enum Step {
    Send,
    Receive { max: usize },
    Ack { pick: usize },
    Nack { pick: usize, delay: u64 },
    Release { pick: usize },
    Extend { pick: usize, lease: u64 },
    Wait { millis: u64 },
    Checkpoint,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Send),
        4 => (1..4usize).prop_map(|max| Step::Receive { max }),
        3 => (0..8usize).prop_map(|pick| Step::Ack { pick }),
        2 => (0..8usize, prop_oneof![Just(0), 1..1500u64]).prop_map(|(pick, delay)| Step::Nack { pick, delay }),
        1 => (0..8usize).prop_map(|pick| Step::Release { pick }),
        1 => (0..8usize, 1..3000u64).prop_map(|(pick, lease)| Step::Extend { pick, lease }),
        2 => (1..1200u64).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..120)
}

/// A delivery that the clerk believes to be good.
#[derive(Debug, Clone)]
struct Held {
    offset: Offset,
    receipt: ReceiptHandle,
    until: Millis,
}

struct Clerk {
    broker: Broker,
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    me: Session,
    sent: u64,
    held: Vec<Held>,
    acked: BTreeMap<Offset, bool>,
    deliveries: BTreeMap<Offset, u32>,
    committed: Offset,
}

fn open(log: &Arc<MemoryLog>, clock: &Arc<ManualClock>) -> (Broker, Session) {
    let config = Config { max_attempts: MAX_ATTEMPTS, ..Config::default() };
    let broker = Broker::open(log.clone(), Arc::new(Auth::open()), clock.clone(), config).unwrap();
    let me = broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
    (broker, me)
}

impl Clerk {
    fn new() -> Self {
        let (log, clock) = (Arc::new(MemoryLog::new()), Arc::new(ManualClock::new(1_000_000)));
        let (broker, me) = open(&log, &clock);
        Self {
            broker,
            log,
            clock,
            me,
            sent: 0,
            held: Vec::new(),
            acked: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            committed: 0,
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Send => self.send().await,
            Step::Receive { max } => self.receive(max).await,
            Step::Ack { pick } => {
                if let Some(held) = self.pick(pick) {
                    let good = held.until > self.clock.now();
                    let outcome = self.broker.ack(&self.me, &held.receipt);
                    assert_eq!(outcome.is_ok(), good, "{held:?}");
                    if let Ok(promise) = outcome {
                        promise.await.unwrap();
                        assert!(
                            self.acked.insert(held.offset, true).is_none(),
                            "acknowledged twice: {held:?}"
                        );
                    }
                }
            }
            Step::Nack { pick, delay } => {
                if let Some(held) = self.pick(pick) {
                    let delay = Some(Duration::from_millis(delay));
                    let _ = self.broker.nack(&self.me, &held.receipt, delay).map(drop);
                }
            }
            Step::Release { pick } => {
                if let Some(held) = self.pick(pick)
                    && self.broker.release(&self.me, &held.receipt).map(drop).is_ok()
                {
                    *self.deliveries.get_mut(&held.offset).unwrap() -= 1;
                }
            }
            Step::Extend { pick, lease } => {
                if let Some(mut held) = self.pick(pick) {
                    let lease = Duration::from_millis(lease);
                    if let Ok(promise) = self.broker.change_invisible(&self.me, &held.receipt, lease) {
                        let extended = promise.await.unwrap();
                        held.receipt = extended.receipt;
                        held.until = extended.until;
                        self.held.push(held);
                    }
                }
            }
            Step::Wait { millis } => self.clock.advance(millis),
            Step::Checkpoint => self.broker.checkpoint().unwrap(),
            Step::Crash => {
                self.log = Arc::new(self.log.reopen());
                (self.broker, self.me) = open(&self.log, &self.clock);
            }
        }
        self.progress_never_goes_back();
    }

    fn pick(&mut self, pick: usize) -> Option<Held> {
        let n = self.held.len();
        (n > 0).then(|| self.held.remove(pick % n))
    }

    async fn send(&mut self) {
        let body = Bytes::from(self.sent.to_string());
        let message = Message { body: Some(body), ..Message::default() };
        let request =
            SendRequest { create: Some(1), ..SendRequest::one(TopicName::new("t").unwrap(), message) };
        let sent = self.broker.send(&self.me, request).unwrap().await.unwrap();
        assert_eq!(sent[0].offset, self.sent, "offsets have no gaps and are never used twice");
        self.sent += 1;
    }

    async fn receive(&mut self, max: usize) {
        let request = ReceiveRequest {
            group: &GroupName::new("g").unwrap(),
            topic: &TopicName::new("t").unwrap(),
            filter: &Filter::All,
            max,
            lease: Lease::For(Duration::from_millis(LEASE)),
            wait: Duration::ZERO,
            start: StartAt::Earliest,
            create: Some(1),
        };
        let now = self.clock.now();
        for got in self.broker.receive(&self.me, &request).await.unwrap() {
            let offset = got.message.offset;
            assert_eq!(
                got.message.message.body_bytes(),
                offset.to_string().as_bytes(),
                "nothing is mixed up"
            );
            assert!(!self.acked.contains_key(&offset), "delivered after it was acknowledged: {offset}");
            let owner = self.held.iter().find(|h| h.offset == offset && h.until > now);
            assert!(owner.is_none(), "{offset} is held by another until {owner:?}");
            self.held.retain(|h| h.offset != offset);
            let deliveries = self.deliveries.entry(offset).or_default();
            *deliveries += 1;
            assert!(got.attempt <= MAX_ATTEMPTS);
            assert_eq!(got.attempt, *deliveries, "attempts of {offset} are counted right, also over a crash");
            self.held.push(Held { offset, receipt: got.receipt, until: got.invisible_until });
        }
    }

    fn progress_never_goes_back(&mut self) {
        let (g, t) = (GroupName::new("g").unwrap(), TopicName::new("t").unwrap());
        let committed = self.broker.committed(&self.me, &g, &t, QueueId(0)).unwrap().unwrap_or(0);
        assert!(committed >= self.committed, "{committed} < {}", self.committed);
        self.committed = committed;
    }

    /// In the end everything that was sent has been acknowledged or lies in the dead-letter topic, once.
    async fn settle_everything(&mut self) {
        for _ in 0..=MAX_ATTEMPTS * 2 {
            self.clock.advance(10_000);
            self.held.clear();
            loop {
                let before = self.held.len();
                self.receive(100).await;
                if self.held.len() == before {
                    break;
                }
            }
            for held in std::mem::take(&mut self.held) {
                self.broker.ack(&self.me, &held.receipt).unwrap().await.unwrap();
                self.acked.insert(held.offset, true);
            }
        }
        let mut dead = Vec::new();
        let dlq = TopicName::new("%DLQ%g").unwrap();
        if let Ok(mut cursor) = self.broker.cursor(&self.me, &dlq, Filter::All, StartAt::Earliest, None).await
        {
            loop {
                let got = self.broker.poll(&self.me, &mut cursor, 1000, Duration::ZERO).await.unwrap();
                if got.is_empty() {
                    break;
                }
                dead.extend(got.into_iter().map(|m| m.message.origin.unwrap().position.offset));
            }
        }
        let mut all: Vec<Offset> = self.acked.keys().copied().chain(dead).collect();
        all.sort_unstable();
        assert_eq!(all, (0..self.sent).collect::<Vec<_>>(), "acknowledged and dead letters, each once");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_message_is_settled_exactly_once(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut clerk = Clerk::new();
            for step in steps {
                clerk.step(step).await;
            }
            clerk.settle_everything().await;
        });
    }
}
