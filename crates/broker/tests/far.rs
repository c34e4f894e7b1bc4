//! Messages whose time is far, and halves that are old: put aside and carried, they wait and end as all others, and the log
//! need not keep them.

#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use sluice_auth::{Auth, Credentials, Session};
use sluice_broker::*;
use sluice_model::units::{ByteSize, Span};
use sluice_model::*;
use sluice_store::{Log, MemoryLog};
use std::sync::Arc;

const START: Millis = 1_700_000_000_000;
const DAY: Millis = 86_400_000;

struct House {
    broker: Broker,
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    me: Session,
}

fn house_on(log: Arc<MemoryLog>, clock: Arc<ManualClock>) -> House {
    let config = Config { max_half_age: Span::secs(30 * 86_400), max_recalled: 2, ..Config::default() };
    let broker = Broker::open(log.clone(), Arc::new(Auth::open()), clock.clone(), config).unwrap();
    let me = broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
    House { broker, log, clock, me }
}

fn house() -> House {
    house_on(Arc::new(MemoryLog::new()), Arc::new(ManualClock::new(START)))
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn text(body: &str) -> Message {
    Message { body: Some(Bytes::copy_from_slice(body.as_bytes())), ..Message::default() }
}

impl House {
    fn restart(self) -> Self {
        let (log, clock) = (Arc::new(self.log.reopen()), self.clock.clone());
        drop(self.broker);
        house_on(log, clock)
    }

    async fn send(&self, message: Message) -> Sent {
        let request = SendRequest { create: Some(1), ..SendRequest::one(topic("t"), message) };
        self.broker.send(&self.me, request).unwrap().await.unwrap().remove(0)
    }

    async fn later(&self, body: &str, due: Millis) -> Sent {
        self.send(Message { deliver_at: Some(due), ..text(body) }).await
    }

    async fn recall(&self, due: Millis, at: u64) -> Result<()> {
        self.broker.recall(&self.me, &topic("t"), due, at).await?.await
    }

    fn bodies(&self) -> Vec<String> {
        let (min, next) = self.broker.bounds(&self.me, &topic("t"), QueueId(0)).unwrap();
        let queue = self.log.read(sluice_store::LogQueue(16), min, &all()).unwrap();
        let sluice_store::Read::Ready(batch) = queue else { panic!("a memory log answers at once") };
        assert_eq!(batch.next, next);
        let body = |entry: &sluice_store::Entry| match &entry.content {
            sluice_store::Content::Message(message) => {
                String::from_utf8_lossy(message.body_bytes()).into_owned()
            }
            other => panic!("{other:?}"),
        };
        batch.entries.iter().map(body).collect()
    }

    /// Lets the log go as far as retention allows; the first position kept.
    async fn trim(&self) -> u64 {
        for _ in 0..2 {
            self.send(text("something")).await;
            self.broker.tidy().await;
        }
        self.log.trim(0, u64::MAX).unwrap()
    }
}

fn all() -> sluice_store::ReadLimits<'static> {
    sluice_store::ReadLimits { max_count: 1000, max_bytes: usize::MAX, max_examined: 1000, tag_hashes: None }
}

#[tokio::test]
async fn what_is_put_aside_fires_in_order_after_a_restart_and_once() {
    let h = house();
    let at = |hours: u64| START + hours * 3_600_000;
    h.later("soon", at(1)).await;
    for (body, due) in [("c", at(100) + 7), ("a", at(50)), ("d", at(39 * 24)), ("b", at(100) + 6)] {
        h.later(body, due).await;
    }
    assert_eq!(h.broker.put_far_aside().await.unwrap(), 4);
    assert_eq!(h.broker.put_far_aside().await.unwrap(), 0);
    let h = h.restart();
    h.broker.checkpoint().unwrap();
    let mut h = h.restart();
    let mut wanted: Vec<&str> = Vec::new();
    for (now, come) in [
        (at(49), vec!["soon"]),
        (at(50) - 1, vec![]),
        (at(50), vec!["a"]),
        (at(100) + 5, vec![]),
        // The broker was not there for a while.
        (at(200), vec!["b", "c"]),
        (at(40 * 24), vec!["d"]),
    ] {
        h.clock.set(now);
        h.broker.fire_due().await.unwrap();
        h.broker.fire_due().await.unwrap();
        wanted.extend(come);
        assert_eq!(h.bodies(), wanted, "{now}");
        h = h.restart();
        h.broker.fire_due().await.unwrap();
        assert_eq!(h.bodies(), wanted, "{now} after a restart");
    }
    h.broker.tidy().await;
    assert!(h.log.buckets().list().unwrap().is_empty(), "files that are done with are deleted");
}

#[tokio::test]
async fn what_is_put_aside_does_not_keep_the_log() {
    let h = house();
    h.later("far", START + 30 * DAY).await;
    h.clock.advance(4 * DAY);
    assert!(h.trim().await < 5000, "it lies in the log, which keeps it");
    h.broker.put_far_aside().await.unwrap();
    let kept = h.trim().await;
    h.clock.advance(4 * DAY);
    assert!(h.trim().await > kept);
    let h = h.restart();
    h.clock.advance(30 * DAY);
    h.broker.fire_due().await.unwrap();
    assert_eq!(h.bodies().last().unwrap(), "far");
}

#[tokio::test]
async fn what_is_put_aside_can_be_taken_back() {
    let h = house();
    let due = START + 5 * DAY;
    let mut sent = Vec::new();
    for n in 0..4 {
        sent.push(h.later(&n.to_string(), due).await);
    }
    h.recall(due, sent[0].locator).await.unwrap();
    h.broker.put_far_aside().await.unwrap();
    for (due, at) in [(due + 1, sent[1].locator), (due, sent[1].locator + 8), (due, sent[0].locator)] {
        assert_eq!(h.recall(due, at).await.unwrap_err().kind(), ErrorKind::MessageNotFound);
    }
    h.recall(due, sent[1].locator).await.unwrap();
    assert_eq!(h.recall(due, sent[1].locator).await.unwrap_err().kind(), ErrorKind::MessageNotFound);
    let h = h.restart();
    h.recall(due, sent[3].locator).await.unwrap();
    // What has to be remembered is bounded.
    let error = h.recall(due, sent[2].locator).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    h.clock.set(due);
    h.broker.fire_due().await.unwrap();
    assert_eq!(h.bodies(), ["2"]);
    assert!(h.recall(due, sent[2].locator).await.is_err(), "delivered");
    h.broker.tidy().await;
    assert!(h.log.buckets().list().unwrap().is_empty());
}

#[tokio::test]
async fn a_clock_that_is_set_makes_nothing_early_and_loses_nothing() {
    let h = house();
    let due = START + 2 * DAY;
    h.later("first", due).await;
    h.broker.put_far_aside().await.unwrap();
    // Forward, so that the bucket is opened, and back before it fires.
    h.clock.set(due - 1000);
    h.broker.fire_due().await.unwrap();
    h.clock.set(START);
    h.broker.fire_due().await.unwrap();
    // Its bucket has been looked into: what comes now for the same hour waits in the log.
    h.later("second", due + 1).await;
    assert_eq!(h.broker.put_far_aside().await.unwrap(), 0);
    // One of an earlier bucket comes first.
    h.later("before", due - DAY).await;
    assert_eq!(h.broker.put_far_aside().await.unwrap(), 1);
    h.clock.set(due - DAY);
    h.broker.fire_due().await.unwrap();
    assert_eq!(h.bodies(), ["before"]);
    h.clock.set(due + 1);
    h.broker.fire_due().await.unwrap();
    assert_eq!(h.bodies(), ["before", "first", "second"]);
}

#[tokio::test]
async fn a_topic_that_is_gone_takes_what_was_put_aside_along() {
    let h = house();
    h.later("gone", START + 2 * DAY).await;
    h.broker.put_far_aside().await.unwrap();
    let only = DeleteIf { empty: true, ..DeleteIf::default() };
    assert!(h.broker.delete_topic_if(&h.me, &topic("t"), only).await.is_err(), "a message waits for it");
    h.broker.delete_topic(&h.me, &topic("t")).await.unwrap();
    h.clock.advance(3 * DAY);
    h.broker.fire_due().await.unwrap();
    h.broker.tidy().await;
    assert!(h.log.buckets().list().unwrap().is_empty());
}

#[tokio::test]
async fn halves_that_are_old_are_carried_forward() {
    let h = house();
    let prepare = async |h: &House, body: &str| {
        let send = SendRequest { create: Some(1), ..SendRequest::one(topic("t"), text(body)) };
        let request = PrepareRequest { send, group: GroupName::new("p").unwrap(), first_check: None };
        h.broker.prepare(&h.me, request).unwrap().await.unwrap().remove(0)
    };
    let [kept, dropped] = [prepare(&h, "kept").await, prepare(&h, "dropped").await];
    let mut h = h;
    let mut first = 0;
    for _ in 0..3 {
        h.clock.advance(4 * DAY);
        let kept = h.trim().await;
        assert!(kept > first, "the log goes on without what is open");
        first = kept;
        h = h.restart();
    }
    assert!(first > dropped.locator);
    let open = h.broker.transactions(&h.me, None, 0, 10).unwrap();
    assert_eq!(open.iter().map(|t| t.transaction).collect::<Vec<_>>(), [kept.locator, dropped.locator]);
    for (half, commit) in [(&kept, true), (&dropped, false)] {
        let offset = Some(half.offset);
        let end = EndTransaction { transaction: half.locator, commit, group: None, offset };
        h.broker.end_transaction(&h.me, end).await.unwrap();
    }
    let bodies = h.bodies();
    assert_eq!(bodies.iter().filter(|body| *body == "kept").count(), 1);
    assert!(!bodies.contains(&"dropped".to_owned()));
    h.clock.advance(4 * DAY);
    let before = h.trim().await;
    assert!(before > first, "nothing is left to be kept");
}

#[tokio::test]
async fn a_topic_keeps_no_more_than_its_size() {
    let h = house();
    for n in 0..20 {
        h.send(text(&format!("{n:1000}"))).await;
    }
    let spec = TopicSpec::with_queues(1).keeping(Some(ByteSize(5500)));
    h.broker.put_topic(&h.me, &topic("t"), spec).await.unwrap();
    h.broker.tidy().await;
    let (min, next) = h.broker.bounds(&h.me, &topic("t"), QueueId(0)).unwrap();
    // A record is a little more than its body.
    assert!((15..=17).contains(&min) && next == 20, "{min} {next}");
    let h = h.restart();
    assert_eq!(h.broker.bounds(&h.me, &topic("t"), QueueId(0)).unwrap(), (min, next));
    let mut wrong = TopicSpec::with_queues(1);
    wrong.attributes.push(("retention_size".into(), "much".into()));
    let error = h.broker.put_topic(&h.me, &topic("t"), wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}
