//! The life of a message, as it is told: each thing that can happen to one, in order, and nothing else.

#![allow(clippy::unwrap_used)]

use sluice_auth::{Auth, Credentials, Session};
use sluice_broker::*;
use sluice_model::*;
use sluice_store::MemoryLog;
use std::sync::Arc;
use std::time::Duration;

struct World {
    broker: Broker,
    clock: Arc<ManualClock>,
    me: Session,
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name.to_owned()).unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::new(name.to_owned()).unwrap()
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(1_000_000));
        let config = Config { max_attempts: 2, ..Config::default() };
        let broker = Broker::open(Arc::new(MemoryLog::new()), Arc::new(Auth::open()), clock.clone(), config);
        let broker = broker.unwrap();
        let me = broker.login_now(Credentials::Anonymous, "127.0.0.1:7".parse().unwrap()).unwrap();
        Self { broker, clock, me }
    }

    async fn topic(&self, name: &str) -> TopicName {
        let name = topic(name);
        self.broker.put_topic(&self.me, &name, TopicSpec::with_queues(1)).await.unwrap();
        name
    }

    async fn send(&self, to: &str, message: Message) -> Sent {
        let sent = self.broker.send(&self.me, SendRequest::one(topic(to), message)).unwrap();
        sent.await.unwrap().remove(0)
    }

    async fn receive(&self, from: &str, as_group: &str, filter: Filter) -> Vec<Delivered> {
        let request = ReceiveRequest {
            group: &group(as_group),
            topic: &topic(from),
            filter: &filter,
            max: 10,
            lease: Lease::For(Duration::from_secs(30)),
            wait: Duration::ZERO,
            start: StartAt::Earliest,
            create: None,
        };
        self.broker.receive(&self.me, &request).await.unwrap()
    }

    async fn trace(&self, of: &str, id: &str) -> Trace {
        let of = topic(of);
        let request = TraceRequest { topic: Some(&of), id, after: None };
        let trace = self.broker.trace(&self.me, &request).await.unwrap();
        assert_eq!(trace.next, None);
        let anywhere = TraceRequest { topic: None, ..request };
        assert_eq!(self.broker.trace(&self.me, &anywhere).await.unwrap().events, trace.events);
        trace
    }

    /// What happened, in short.
    async fn story(&self, of: &str, id: &str) -> Vec<String> {
        let tell = |event: &TraceEvent| {
            let seconds = (event.at - 1_000_000) / 1000;
            let group = event.group.as_ref().map(|group| format!(" {group}")).unwrap_or_default();
            let step = match &event.step {
                TraceStep::Delivered { attempt, taker, .. } => {
                    assert_eq!(taker.as_ref().unwrap().1.port(), 7);
                    format!("delivered {attempt}")
                }
                TraceStep::DeadLettered { reason } => format!("dead: {reason}"),
                TraceStep::Delayed { until } => format!("delayed {}", (until - 1_000_000) / 1000),
                TraceStep::Retried { attempts, until } => {
                    format!("retried {attempts} {}", (until - 1_000_000) / 1000)
                }
                TraceStep::Returned { attempts, .. } => format!("returned {attempts}"),
                step => format!("{step:?}").split(' ').next().unwrap().to_lowercase(),
            };
            format!("{seconds}{group} {step}")
        };
        self.trace(of, id).await.events.iter().map(tell).collect()
    }
}

fn named(id: &str) -> Message {
    Message { id: id.to_owned().into(), body: Some("x".into()), tag: Some("a".into()), ..Message::default() }
}

#[tokio::test]
async fn deliveries_under_lease_are_told_with_their_ends() {
    let world = World::new();
    world.topic("t").await;
    world.send("t", named("other")).await;
    let sent = world.send("t", named("m")).await;
    assert!(world.receive("t", "picky", Filter::tags("b").unwrap()).await.is_empty());
    world.clock.advance(1000);
    for delivered in world.receive("t", "g", Filter::All).await {
        world
            .broker
            .nack(&world.me, &delivered.receipt, Some(Duration::from_secs(1)))
            .unwrap()
            .await
            .unwrap();
    }
    world.clock.advance(2000);
    let held = world.receive("t", "g", Filter::All).await.remove(1);
    let held = world.broker.change_invisible(&world.me, &held.receipt, Duration::from_secs(60)).unwrap();
    let held = held.await.unwrap();
    world.clock.advance(1000);
    world.broker.ack(&world.me, &held.receipt).unwrap().await.unwrap();
    let story = world.story("t", "m").await;
    let expected = [
        "0 stored",
        "0 picky passedover",
        "1 g delivered 1",
        "1 g returned 1",
        "3 g delivered 2",
        "3 g extended",
        "4 g acknowledged",
    ];
    assert_eq!(story, expected);
    let trace = world.trace("t", "m").await;
    assert_eq!((trace.topic.as_str(), trace.messages.len()), ("t", 1));
    assert!(trace.events.iter().all(|e| e.locator == sent.locator && e.offset == Some(1)));
    let kind = |id, of: &str| {
        let (world, of) = (&world, topic(of));
        async move {
            let request = TraceRequest { topic: Some(&of), id, after: None };
            world.broker.trace(&world.me, &request).await.unwrap_err().kind()
        }
    };
    assert_eq!(kind("nobody", "t").await, ErrorKind::MessageNotFound);
    assert_eq!(kind("", "t").await, ErrorKind::InvalidArgument);
    assert_eq!(kind("m", "unknown").await, ErrorKind::TopicNotFound);
    world.topic("u").await;
    assert_eq!(kind("m", "u").await, ErrorKind::MessageNotFound);
    let of = topic("t");
    let wrong = TraceRequest { topic: Some(&of), id: "m", after: Some(sent.locator + 8) };
    assert_eq!(world.broker.trace(&world.me, &wrong).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn a_message_that_fails_ends_among_the_dead() {
    let world = World::new();
    world.topic("t").await;
    world.send("t", named("m")).await;
    for _ in 0..2 {
        let delivered = world.receive("t", "g", Filter::All).await.remove(0);
        world.broker.nack(&world.me, &delivered.receipt, None).unwrap().await.unwrap();
        world.clock.advance(1000);
    }
    let story = world.story("t", "m").await;
    let expected =
        ["0 stored", "0 g delivered 1", "0 g returned 1", "1 g delivered 2", "1 g dead: no attempts left"];
    assert_eq!(story, expected);
    let trace = world.trace("t", "m").await;
    let lies = |n: usize| trace.messages[n].topic.to_string();
    assert_eq!((trace.messages.len(), lies(0), lies(1)), (2, "t".to_owned(), "%DLQ%g".to_owned()));
    assert_eq!(trace.events.last().unwrap().locator, trace.messages[1].locator);
}

#[tokio::test]
async fn queue_consumers_say_that_they_are_done_and_what_failed() {
    let world = World::new();
    let t = world.topic("t").await;
    let sent = world.send("t", named("m")).await;
    let g = group("g");
    world.broker.commit_offset(&world.me, &g, &t, QueueId(0), 0).unwrap().await.unwrap();
    let seconds = |n| Some(Duration::from_secs(n));
    world.broker.send_back(&world.me, &g, sent.locator, seconds(10), None).await.unwrap();
    world.broker.commit_offset(&world.me, &g, &t, QueueId(0), 1).unwrap().await.unwrap();
    world.clock.advance(11_000);
    world.broker.fire_due().await.unwrap();
    let retry = g.retry_topic();
    let retried = FindRequest::new(&retry, "m", SearchBy::Id, 1);
    let retried = world.broker.find(&world.me, &retried).await.unwrap().messages.remove(0);
    world.broker.send_back(&world.me, &g, retried.locator, seconds(10), Some(1)).await.unwrap();
    world.broker.commit_offset(&world.me, &g, &retry, QueueId(0), 1).unwrap().await.unwrap();
    world.broker.commit_offset(&world.me, &g, &t, QueueId(0), 0).unwrap().await.unwrap();
    let expected = [
        "0 stored",
        "0 g retried 1 10",
        "0 g offsetbehind",
        "11 g retried 1 11",
        "11 g dead: no attempts left",
        "11 g offsetbehind",
        "11 g offsetbefore",
    ];
    assert_eq!(world.story("t", "m").await, expected);
    // Asked by the id alone, it is still a message of the topic that it was sent to.
    let request = TraceRequest { topic: None, id: "m", after: None };
    assert_eq!(world.broker.trace(&world.me, &request).await.unwrap().topic, t);
}

#[tokio::test]
async fn what_waits_is_told_before_and_after() {
    let world = World::new();
    let t = world.topic("t").await;
    let later = |id| Message { deliver_at: Some(1_005_000), ..named(id) };
    world.send("t", later("late")).await;
    assert_eq!(world.story("t", "late").await, ["0 delayed 5"]);
    let back = world.send("t", later("back")).await;
    world.broker.recall(&world.me, &t, 1_005_000, back.locator).await.unwrap().await.unwrap();
    world.clock.advance(6000);
    world.broker.fire_due().await.unwrap();
    assert_eq!(world.story("t", "late").await, ["0 delayed 5", "6 stored"]);
    assert_eq!(world.story("t", "back").await, ["0 delayed 5", "0 recalled"]);
    for (id, commit) in [("kept", true), ("dropped", false)] {
        let send = SendRequest::one(t.clone(), named(id));
        let half = PrepareRequest { send, group: group("p"), first_check: None };
        let half = world.broker.prepare(&world.me, half).unwrap().await.unwrap().remove(0);
        assert_eq!(world.story("t", id).await, ["6 p prepared"]);
        let end = EndTransaction { transaction: half.locator, commit, group: None, offset: None };
        world.broker.end_transaction(&world.me, end).await.unwrap();
    }
    assert_eq!(world.story("t", "kept").await, ["6 prepared", "6 committed", "6 stored"]);
    assert_eq!(world.story("t", "dropped").await, ["6 prepared", "6 rolledback"]);
}
