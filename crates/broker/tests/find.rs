//! Finding messages by a word: what is found, what is not yet, and that a search goes on where it ended.

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

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(1_000_000));
        let (log, auth) = (Arc::new(MemoryLog::new()), Arc::new(Auth::open()));
        let broker = Broker::open(log, auth, clock.clone(), Config::default()).unwrap();
        let me = broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
        Self { broker, clock, me }
    }

    async fn send(&self, to: &str, id: &str, keys: &str, body: &str) {
        self.send_at(to, id, keys, body, None).await;
    }

    async fn send_at(&self, to: &str, id: &str, keys: &str, body: &str, deliver_at: Option<Millis>) {
        let message = Message {
            id: id.to_owned().into(),
            keys: Keys::joined(keys.to_owned()),
            body: Some(body.to_owned().into()),
            deliver_at,
            ..Message::default()
        };
        let sent = self.broker.send(&self.me, SendRequest::one(topic(to), message)).unwrap();
        sent.await.unwrap();
    }

    async fn found(&self, request: FindRequest<'_>) -> Vec<String> {
        let found = self.broker.find(&self.me, &request).await.unwrap();
        assert_eq!(found.next, None);
        let text = |m: &StoredMessage| String::from_utf8(m.message.body_bytes().to_vec()).unwrap();
        found.messages.iter().map(text).collect()
    }
}

#[tokio::test]
async fn messages_of_the_topic_are_found_newest_first() {
    let world = World::new();
    for n in 0..20 {
        world.send("orders", &format!("id-{n}"), &format!("all order-{}", n % 5), &n.to_string()).await;
        world.send("others", &format!("id-{n}"), "all", "of another topic").await;
        world.clock.advance(10);
    }
    let orders = topic("orders");
    let new = |word, by| FindRequest::new(&orders, word, by, 100);
    assert_eq!(world.found(new("order-3", SearchBy::KeyOrId)).await, ["18", "13", "8", "3"]);
    assert_eq!(world.found(new("id-7", SearchBy::KeyOrId)).await, ["7"]);
    assert_eq!(world.found(new("id-7", SearchBy::Id)).await, ["7"]);
    assert!(world.found(new("order-3", SearchBy::Id)).await.is_empty(), "a key is no id");
    let window = FindRequest { from: 1_000_080, to: 1_000_130, ..new("order-3", SearchBy::KeyOrId) };
    assert_eq!(world.found(window).await, ["13", "8"]);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let part = FindRequest { max: 7, after, ..new("all", SearchBy::KeyOrId) };
        let found = world.broker.find(&world.me, &part).await.unwrap();
        seen.extend(found.messages.iter().map(|m| m.message.id.to_string()));
        after = found.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..20).rev().map(|n| format!("id-{n}")).collect::<Vec<_>>());
    let kind = |word, name: &str| {
        let (world, name) = (&world, topic(name));
        async move {
            let request = FindRequest::new(&name, word, SearchBy::Id, 1);
            world.broker.find(&world.me, &request).await.unwrap_err().kind()
        }
    };
    assert_eq!(kind("", "orders").await, ErrorKind::InvalidArgument);
    assert_eq!(kind("x", "unknown").await, ErrorKind::TopicNotFound);
}

#[tokio::test]
async fn what_waits_is_found_when_it_has_come() {
    let world = World::new();
    world.send_at("orders", "later", "k", "later", Some(1_005_000)).await;
    let orders = topic("orders");
    let request = FindRequest::new(&orders, "later", SearchBy::Id, 10);
    assert!(world.found(request).await.is_empty());
    world.clock.advance(6000);
    world.broker.fire_due().await.unwrap();
    assert_eq!(world.found(request).await, ["later"]);
    let group = GroupName::new("g").unwrap();
    let send = SendRequest::one(orders.clone(), Message { id: "half".into(), ..Message::default() });
    let half = PrepareRequest { send, group, first_check: Some(Duration::from_secs(60)) };
    let half = world.broker.prepare(&world.me, half).unwrap().await.unwrap().remove(0);
    let request = FindRequest::new(&orders, "half", SearchBy::Id, 10);
    assert!(world.found(request).await.is_empty());
    let end = EndTransaction { transaction: half.locator, commit: true, group: None, offset: None };
    world.broker.end_transaction(&world.me, end).await.unwrap();
    assert_eq!(world.found(request).await.len(), 1);
}
