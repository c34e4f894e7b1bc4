//! Groups that consume in order: of each ordering group one delivery at a time, whatever happens in between.

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
const MAX_ATTEMPTS: u32 = 3;

struct House {
    broker: Broker,
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    me: Session,
}

fn house_on(log: Arc<MemoryLog>, clock: Arc<ManualClock>) -> House {
    let config = Config { max_attempts: MAX_ATTEMPTS, ..Config::default() };
    let broker = Broker::open(log.clone(), Arc::new(Auth::open()), clock.clone(), config).unwrap();
    let me = broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
    House { broker, log, clock, me }
}

async fn house() -> House {
    let h = house_on(Arc::new(MemoryLog::new()), Arc::new(ManualClock::new(1_000_000)));
    let spec = GroupSpec::default().fifo(true);
    h.broker.put_group(&h.me, &GroupName::new("g").unwrap(), spec).await.unwrap();
    h
}

impl House {
    fn restart(self) -> Self {
        let (log, clock) = (Arc::new(self.log.reopen()), self.clock.clone());
        drop(self.broker);
        house_on(log, clock)
    }

    /// A message `a1` belongs to the ordering group `a`; one that begins with a digit to none.
    async fn send(&self, body: &str) {
        let ordered = body.starts_with(|c: char| c.is_ascii_alphabetic());
        let message = Message {
            body: Some(Bytes::copy_from_slice(body.as_bytes())),
            ordering_group: ordered.then(|| body[..1].into()),
            ..Message::default()
        };
        let request =
            SendRequest { create: Some(1), ..SendRequest::one(TopicName::new("t").unwrap(), message) };
        self.broker.send(&self.me, request).unwrap().await.unwrap();
    }

    async fn receive(&self, max: usize, wait: u64) -> Vec<Delivered> {
        self.lease(max, wait, Lease::For(Duration::from_millis(LEASE))).await
    }

    /// Receives whole ordering groups.
    async fn receive_whole(&self, max: usize, wait: u64) -> Vec<Delivered> {
        self.lease(max, wait, Lease::InOrder(Duration::from_millis(LEASE))).await
    }

    async fn lease(&self, max: usize, wait: u64, lease: Lease<'_>) -> Vec<Delivered> {
        let request = ReceiveRequest {
            group: &GroupName::new("g").unwrap(),
            topic: &TopicName::new("t").unwrap(),
            filter: &Filter::All,
            max,
            lease,
            wait: Duration::from_secs(wait),
            start: StartAt::Earliest,
            create: Some(1),
        };
        self.broker.receive(&self.me, &request).await.unwrap()
    }

    async fn ack(&self, delivered: &Delivered) {
        self.broker.ack(&self.me, &delivered.receipt).unwrap().await.unwrap();
    }
}

fn body(delivered: &Delivered) -> String {
    String::from_utf8(delivered.message.message.body_bytes().to_vec()).unwrap()
}

fn bodies(delivered: &[Delivered]) -> Vec<String> {
    delivered.iter().map(body).collect()
}

#[tokio::test]
async fn the_next_of_a_group_comes_when_the_one_before_is_settled() {
    let h = house().await;
    for body in ["a1", "b1", "a2", "1", "b2", "a3", "2"] {
        h.send(body).await;
    }
    let got = h.receive(10, 0).await;
    assert_eq!(bodies(&got), ["a1", "b1", "1", "2"]);
    assert!(h.receive(10, 0).await.is_empty());
    h.ack(&got[0]).await;
    assert_eq!(bodies(&h.receive(10, 0).await), ["a2"]);
    let h = h.restart();
    assert!(h.receive(10, 0).await.is_empty(), "the leases hold on");
    h.clock.advance(LEASE);
    let again = h.receive(10, 0).await;
    assert_eq!(bodies(&again), ["b1", "a2", "1", "2"], "in order, and still one of each");
    assert_eq!(again.iter().map(|d| d.attempt).collect::<Vec<_>>(), [2, 2, 2, 2]);
    h.ack(&again[0]).await;
    h.ack(&again[1]).await;
    assert_eq!(bodies(&h.receive(10, 0).await), ["b2", "a3"]);
}

#[tokio::test]
async fn a_failed_one_holds_up_its_own_group_only_and_not_for_ever() {
    let h = house().await;
    for body in ["a1", "a2", "b1"] {
        h.send(body).await;
    }
    for attempt in 1..=MAX_ATTEMPTS {
        let got = h.receive(1, 0).await;
        assert_eq!((bodies(&got), got[0].attempt), (vec!["a1".to_owned()], attempt));
        let delay = Some(Duration::from_secs(1));
        h.broker.nack(&h.me, &got[0].receipt, delay).unwrap().await.unwrap();
        if attempt == 1 {
            let other = h.receive(10, 0).await;
            assert_eq!(bodies(&other), ["b1"]);
            h.ack(&other[0]).await;
        }
        h.clock.advance(1000);
    }
    assert_eq!(bodies(&h.receive(10, 0).await), ["a2"], "the first is a dead letter");
}

/// A group like any other: the lease alone says that it is in order.
async fn plain_house() -> House {
    house_on(Arc::new(MemoryLog::new()), Arc::new(ManualClock::new(1_000_000)))
}

#[tokio::test]
async fn whole_ordering_groups_are_leased_in_runs() {
    let h = plain_house().await;
    for body in ["a1", "a2", "b1", "1", "a3", "2", "b2"] {
        h.send(body).await;
    }
    let got = h.receive_whole(3, 0).await;
    assert_eq!(bodies(&got), ["a1", "a2", "b1"]);
    assert_eq!(
        bodies(&h.receive_whole(10, 0).await),
        ["1", "2"],
        "what has no ordering group is one together"
    );
    assert!(h.receive_whole(10, 0).await.is_empty());
    h.ack(&got[1]).await;
    assert!(h.receive_whole(10, 0).await.is_empty(), "a1 is outstanding still");
    h.ack(&got[2]).await;
    assert_eq!(bodies(&h.receive_whole(10, 0).await), ["b2"]);
    h.clock.advance(LEASE);
    let again = h.receive_whole(10, 0).await;
    assert_eq!(bodies(&again), ["a1", "1", "a3", "2", "b2"], "the settled a2 does not come back");
    assert_eq!(again.iter().map(|d| d.attempt).collect::<Vec<_>>(), [2, 2, 1, 2, 2]);
}

#[tokio::test]
async fn a_run_that_fails_often_enough_makes_way() {
    let h = plain_house().await;
    for body in ["a1", "a2"] {
        h.send(body).await;
    }
    for attempt in 1..=MAX_ATTEMPTS {
        let got = h.receive_whole(1, 0).await;
        assert_eq!((bodies(&got), got[0].attempt), (vec!["a1".to_owned()], attempt));
        h.clock.advance(LEASE);
    }
    assert_eq!(bodies(&h.receive_whole(10, 0).await), ["a2"]);
}

#[tokio::test]
async fn a_settlement_wakes_who_waits_for_a_whole_group() {
    let h = plain_house().await;
    for body in ["a1", "a2", "a3"] {
        h.send(body).await;
    }
    let first = h.receive_whole(2, 0).await;
    let (next, ()) = tokio::join!(h.receive_whole(10, 60), async {
        tokio::task::yield_now().await;
        h.ack(&first[0]).await;
        tokio::task::yield_now().await;
        h.ack(&first[1]).await;
    });
    assert_eq!(bodies(&next), ["a3"]);
}

#[tokio::test]
async fn an_unknown_group_is_made_with_settings_and_a_known_one_kept() {
    let h = plain_house().await;
    let group = GroupName::new("new").unwrap();
    let often = GroupSpec { max_attempts: Some(288), ..GroupSpec::default() };
    h.broker.ensure_group(&h.me, &group, often.clone()).unwrap();
    h.broker.ensure_group(&h.me, &group, GroupSpec::default()).unwrap();
    assert_eq!(h.broker.group(&h.me, &group).unwrap().spec, often);
    let never = GroupSpec { max_attempts: Some(0), ..GroupSpec::default() };
    assert!(h.broker.ensure_group(&h.me, &group, never).is_err());
}

#[tokio::test]
async fn a_settlement_wakes_who_waits_for_it() {
    let h = house().await;
    for body in ["a1", "a2", "a3"] {
        h.send(body).await;
    }
    let first = h.receive(10, 0).await;
    let (second, ()) = tokio::join!(h.receive(10, 60), async {
        tokio::task::yield_now().await;
        h.ack(&first[0]).await;
    });
    assert_eq!(bodies(&second), ["a2"]);
    let (third, ()) = tokio::join!(h.receive(10, 60), async {
        tokio::task::yield_now().await;
        h.broker.dead_letter(&h.me, &second[0].receipt, "no").await.unwrap();
    });
    assert_eq!(bodies(&third), ["a3"]);
}

#[tokio::test]
async fn a_stuck_group_holds_up_nobody_in_the_next_file_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let settings = sluice_store::Config {
        segment_size: units::ByteSize::kib(64),
        tail_cache: units::ByteSize::kib(32),
        ..sluice_store::Config::default()
    };
    let clock = Arc::new(ManualClock::new(1_000_000));
    let log = sluice_store::LocalLog::open(folder.path(), settings, clock.clone()).unwrap();
    let broker =
        Broker::open(Arc::new(log), Arc::new(Auth::open()), clock.clone(), Config::default()).unwrap();
    let me = broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
    let h = House { broker, log: Arc::new(MemoryLog::new()), clock, me };
    h.broker.put_group(&h.me, &GroupName::new("g").unwrap(), GroupSpec::default().fifo(true)).await.unwrap();
    // Some files of one group, and behind them another.
    for n in 0..300 {
        h.send(&format!("a{n:01000}")).await;
    }
    h.send("b1").await;
    let got = h.receive(10, 0).await;
    assert_eq!(got.iter().map(|d| body(d)[..1].to_owned()).collect::<Vec<_>>(), ["a", "b"]);
    h.ack(&got[0]).await;
    let got = h.receive(10, 0).await;
    assert_eq!((got.len(), got[0].message.offset), (1, 1));
    h.broker.close().unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Send { group: usize },
    Receive { max: usize },
    Ack { pick: usize },
    Nack { pick: usize, delay: u64 },
    Wait { millis: u64 },
    Checkpoint,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..4usize).prop_map(|group| Step::Send { group }),
        4 => (1..5usize).prop_map(|max| Step::Receive { max }),
        4 => (0..6usize).prop_map(|pick| Step::Ack { pick }),
        2 => (0..6usize, prop_oneof![Just(0), 1..1500u64]).prop_map(|(pick, delay)| Step::Nack { pick, delay }),
        2 => (1..700u64).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..100)
}

/// What the clerk knows of one message.
#[derive(Debug, Clone, Default)]
struct Note {
    attempts: u32,
    /// Until when somebody may have it, or nobody may.
    busy_until: Millis,
    done: bool,
}

/// Messages by ordering group, each in the order in which it was sent.
type Notes = BTreeMap<char, Vec<Note>>;

fn place(body: &str) -> (char, usize) {
    (body.chars().next().unwrap(), body[1..].parse().unwrap())
}

async fn run(steps: Vec<Step>) {
    let mut h = house().await;
    let mut notes = Notes::new();
    let mut held: Vec<Delivered> = Vec::new();
    for step in steps {
        let now = h.clock.now();
        match step {
            Step::Send { group } => {
                let name = ['a', 'b', 'c', 'd'][group];
                let of = notes.entry(name).or_default();
                of.push(Note::default());
                h.send(&format!("{name}{}", of.len() - 1)).await;
            }
            Step::Receive { max } => {
                // Whoever is out of attempts is buried when it would be delivered once more.
                for of in notes.values_mut() {
                    while let Some(first) = of.iter_mut().find(|n| !n.done) {
                        if first.attempts < MAX_ATTEMPTS || first.busy_until > now {
                            break;
                        }
                        first.done = true;
                    }
                }
                let got = h.receive(max, 0).await;
                for delivered in &got {
                    let (group, number) = place(&body(delivered));
                    let of = notes.get_mut(&group).unwrap();
                    let first = of.iter().position(|n| !n.done).unwrap();
                    assert_eq!(number, first, "not the first of {group} that is open");
                    let note = &mut of[number];
                    assert!(note.busy_until <= now, "{group}{number} is outstanding");
                    note.attempts += 1;
                    note.busy_until = now + LEASE;
                    assert_eq!(delivered.attempt, note.attempts);
                }
                let free = |of: &Vec<Note>| of.iter().find(|n| !n.done).is_some_and(|n| n.busy_until <= now);
                if got.len() < max {
                    let missed: Vec<_> = notes.iter().filter(|(_, of)| free(of)).collect();
                    assert!(missed.is_empty(), "free and not delivered: {missed:?}");
                }
                held.extend(got);
            }
            Step::Ack { pick } if pick < held.len() => {
                let delivered = held.swap_remove(pick);
                let outcome = h.broker.ack(&h.me, &delivered.receipt);
                assert_eq!(outcome.is_ok(), delivered.invisible_until > now);
                if let Ok(promise) = outcome {
                    promise.await.unwrap();
                    let (group, number) = place(&body(&delivered));
                    notes.get_mut(&group).unwrap()[number].done = true;
                }
            }
            Step::Nack { pick, delay } if pick < held.len() => {
                let delivered = held.swap_remove(pick);
                let outcome = h.broker.nack(&h.me, &delivered.receipt, Some(Duration::from_millis(delay)));
                if let Ok(promise) = outcome {
                    promise.await.unwrap();
                    let (group, number) = place(&body(&delivered));
                    let note = &mut notes.get_mut(&group).unwrap()[number];
                    note.busy_until = now + delay;
                    note.done = note.attempts >= MAX_ATTEMPTS;
                }
            }
            Step::Ack { .. } | Step::Nack { .. } => {}
            Step::Wait { millis } => h.clock.advance(millis),
            Step::Checkpoint => h.broker.checkpoint().unwrap(),
            Step::Crash => h = h.restart(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_group_is_consumed_one_by_one_and_in_order(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(steps));
    }
}
