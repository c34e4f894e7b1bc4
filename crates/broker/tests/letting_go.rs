//! Dead letters that go to their group again, and messages that are let go: by truncation, by a topic's own retention,
//! by groups that keep no dead letters.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use sluice_auth::{Auth, Credentials, Session};
use sluice_broker::*;
use sluice_model::units::Span;
use sluice_model::*;
use sluice_store::MemoryLog;
use std::sync::Arc;
use std::time::Duration;

const START: Millis = 1_700_000_000_000;

struct House {
    broker: Broker,
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    me: Session,
}

fn house_on(log: Arc<MemoryLog>, clock: Arc<ManualClock>) -> House {
    let broker = Broker::open(log.clone(), Arc::new(Auth::open()), clock.clone(), Config::default()).unwrap();
    let me = broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
    House { broker, log, clock, me }
}

fn house() -> House {
    house_on(Arc::new(MemoryLog::new()), Arc::new(ManualClock::new(START)))
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn group() -> GroupName {
    GroupName::new("g").unwrap()
}

impl House {
    /// After a crash, from the log alone or from a checkpoint.
    fn restart(self, checkpoint: bool) -> Self {
        if checkpoint {
            self.broker.checkpoint().unwrap();
        }
        let (log, clock) = (Arc::new(self.log.reopen()), self.clock.clone());
        drop(self.broker);
        house_on(log, clock)
    }

    async fn send(&self, body: &str) -> String {
        let message = Message { body: Some(Bytes::copy_from_slice(body.as_bytes())), ..Message::default() };
        let request = SendRequest { create: Some(1), ..SendRequest::one(topic("t"), message) };
        self.broker.send(&self.me, request).unwrap().await.unwrap().remove(0).id.to_string()
    }

    async fn receive(&self) -> Vec<Delivered> {
        let (group, topic) = (group(), topic("t"));
        let request = ReceiveRequest {
            group: &group,
            topic: &topic,
            filter: &Filter::All,
            max: 100,
            lease: Lease::For(Duration::from_secs(30)),
            wait: Duration::ZERO,
            start: StartAt::Earliest,
            create: Some(1),
        };
        self.broker.receive(&self.me, &request).await.unwrap()
    }

    /// Sends messages, and lets the group fail them for good.
    async fn die(&self, bodies: &[&str]) -> Vec<String> {
        let mut ids = Vec::new();
        for body in bodies {
            ids.push(self.send(body).await);
        }
        for delivered in self.receive().await {
            self.broker.dead_letter(&self.me, &delivered.receipt, "broken").await.unwrap();
        }
        ids
    }

    async fn letters(&self) -> Vec<String> {
        let letters = self.broker.dead_letters(&self.me, &group(), Vec::new(), 100).await.unwrap().0;
        letters.iter().map(|letter| text(&letter.message)).collect()
    }

    async fn redrive(&self, ids: Option<&[String]>, limit: usize) -> Redriven {
        let group = group();
        let request = RedriveRequest { group: &group, ids, limit, dry_run: false };
        self.broker.redrive(&self.me, &request).await.unwrap()
    }

    fn bounds(&self) -> (Offset, Offset) {
        self.broker.bounds(&self.me, &topic("t"), QueueId(0)).unwrap()
    }
}

fn text(message: &Message) -> String {
    String::from_utf8(message.body_bytes().to_vec()).unwrap()
}

fn bodies(delivered: &[Delivered]) -> Vec<String> {
    delivered.iter().map(|d| text(&d.message.message)).collect()
}

#[tokio::test]
async fn letters_come_to_their_group_again_and_only_once() {
    for checkpoint in [false, true] {
        let h = house();
        h.die(&["a", "b", "c"]).await;
        assert_eq!(h.letters().await, ["a", "b", "c"]);
        let first = h.redrive(None, 2).await;
        assert_eq!((first.redriven, first.more), (2, true));
        assert_eq!(h.letters().await, ["c"]);

        let h = h.restart(checkpoint);
        assert_eq!(h.letters().await, ["c"], "what was redriven stays so");
        let again = h.receive().await;
        assert_eq!(bodies(&again), ["a", "b"]);
        assert_eq!(again[0].attempt, 1, "with all its attempts");
        assert_eq!(h.redrive(None, 100).await, Redriven { redriven: 1, ..Redriven::default() });
        assert_eq!(h.redrive(None, 100).await, Redriven::default());
        assert_eq!(bodies(&h.receive().await), ["c"]);

        // It may die once more, and is then a letter once more.
        h.broker.dead_letter(&h.me, &again[0].receipt, "broken again").await.unwrap();
        assert_eq!(h.letters().await, ["a"]);
    }
}

#[tokio::test]
async fn letters_are_redriven_by_their_ids() {
    let h = house();
    let ids = h.die(&["a", "b", "c"]).await;
    let wanted = [ids[1].clone(), "no-such-id".to_owned()];
    let done = h.redrive(Some(&wanted), 100).await;
    assert_eq!(done, Redriven { redriven: 1, missing: vec!["no-such-id".to_owned()], more: false });
    assert_eq!(h.letters().await, ["a", "c"]);
    assert_eq!(h.redrive(Some(&wanted[..1]), 100).await.missing, [ids[1].clone()], "it is none any more");
    assert_eq!(bodies(&h.receive().await), ["b"]);

    let group = group();
    let request = RedriveRequest { group: &group, ids: None, limit: 100, dry_run: true };
    assert_eq!(h.broker.redrive(&h.me, &request).await.unwrap().redriven, 2);
    assert_eq!(h.letters().await, ["a", "c"], "a dry run changes nothing");
}

#[tokio::test]
async fn a_group_without_dead_letters_lets_go() {
    let h = house();
    let spec = GroupSpec { max_attempts: Some(1), ..GroupSpec::default() }.dead_letters(false);
    h.broker.put_group(&h.me, &group(), spec).await.unwrap();
    h.send("a").await;
    h.send("b").await;
    let got = h.receive().await;
    h.broker.nack(&h.me, &got[0].receipt, None).unwrap().await.unwrap();
    h.broker.dead_letter(&h.me, &got[1].receipt, "broken").await.unwrap();
    assert!(h.receive().await.is_empty() && h.letters().await.is_empty());
    assert_eq!(h.broker.progress(&h.me, &group(), None).unwrap()[0].lag(), 0);
}

#[tokio::test]
async fn the_steps_of_a_group_survive_a_restart() {
    for checkpoint in [false, true] {
        let h = house();
        let spec =
            GroupSpec { retry_delays: vec![Span::secs(10), Span::millis(90_500)], ..GroupSpec::default() };
        h.broker.put_group(&h.me, &group(), spec.clone()).await.unwrap();
        let h = h.restart(checkpoint);
        assert_eq!(h.broker.group(&h.me, &group()).unwrap().spec, spec);
    }
}

#[tokio::test]
async fn what_is_truncated_is_gone_for_good() {
    for checkpoint in [false, true] {
        let h = house();
        for body in ["a", "b", "c"] {
            h.send(body).await;
            h.clock.advance(1000);
        }
        let cut = |to, dry_run| {
            let (broker, me) = (h.broker.clone(), h.me.clone());
            async move { broker.truncate(&me, &topic("t"), to, dry_run).await.unwrap() }
        };
        let told = cut(StartAt::Time(START + 1000), true).await;
        assert_eq!(told, [Truncated { queue: QueueId(0), begin: 0, until: 1 }]);
        assert_eq!(h.bounds(), (0, 3), "a dry run changes nothing");
        cut(StartAt::Time(START + 1000), false).await;
        assert_eq!(h.bounds(), (1, 3));
        let h = h.restart(checkpoint);
        assert_eq!(h.bounds(), (1, 3));
        assert_eq!(bodies(&h.receive().await), ["b", "c"]);
        h.broker.truncate(&h.me, &topic("t"), StartAt::Latest, false).await.unwrap();
        assert_eq!(h.bounds(), (3, 3));
        h.send("d").await;
        assert_eq!(h.bounds(), (3, 4));
    }
}

#[tokio::test]
async fn a_topic_keeps_its_messages_as_long_as_it_says() {
    let h = house();
    h.send("old").await;
    let spec = |retention| TopicSpec::with_queues(1).retaining(Some(retention));
    h.broker.put_topic(&h.me, &topic("t"), spec(Span::secs(3600))).await.unwrap();
    h.clock.advance(3_000_000);
    h.send("young").await;
    h.broker.tidy().await;
    assert_eq!(h.bounds(), (0, 2));
    h.clock.advance(700_000);
    h.broker.tidy().await;
    assert_eq!(h.bounds(), (1, 2));
    let too_long = h.broker.put_topic(&h.me, &topic("t"), spec(Span::secs(31 * 86_400))).await;
    assert_eq!(too_long.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn a_topic_may_keep_its_messages_longer_than_the_others_do() {
    let h = house();
    let days = |days: u64| days * 86_400_000;
    h.send("kept").await;
    let patient = TopicSpec::with_queues(1).retaining(Some(Span::millis(days(10))));
    h.broker.put_topic(&h.me, &topic("t"), patient).await.unwrap();
    let other = SendRequest::one(topic("other"), Message { body: Some("gone".into()), ..Message::default() });
    let other = SendRequest { create: Some(1), ..other };
    h.broker.send(&h.me, other).unwrap().await.unwrap();
    let others = || h.broker.bounds(&h.me, &topic("other"), QueueId(0)).unwrap();
    h.clock.advance(days(4));
    h.broker.tidy().await;
    assert_eq!((h.bounds(), others()), ((0, 1), (1, 1)), "three days are the rule for all who say nothing");
    assert_eq!(bodies(&h.receive().await), ["kept"]);
    h.clock.advance(days(7));
    h.broker.tidy().await;
    assert_eq!(h.bounds(), (1, 1));
}

#[tokio::test]
async fn a_topic_is_deleted_only_if_nobody_misses_it() {
    let h = house();
    h.send("a").await;
    let delete = |only: DeleteIf| {
        let (broker, me) = (h.broker.clone(), h.me.clone());
        async move { broker.delete_topic_if(&me, &topic("t"), only).await.map_err(|e| e.kind()) }
    };
    let (empty, unused) =
        (DeleteIf { empty: true, ..DeleteIf::default() }, DeleteIf { unused: true, ..DeleteIf::default() });
    assert_eq!(delete(empty).await, Err(ErrorKind::Conflict));
    assert_eq!(delete(DeleteIf { dry_run: true, ..unused }).await, Ok(()));
    h.receive().await;
    assert_eq!(delete(unused).await, Err(ErrorKind::Conflict));
    h.broker.truncate(&h.me, &topic("t"), StartAt::Latest, false).await.unwrap();
    assert_eq!(delete(empty).await, Ok(()));
    assert_eq!(delete(empty).await, Err(ErrorKind::TopicNotFound));
}
