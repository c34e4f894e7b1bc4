//! Sending at most once: the same key, again and again, before and after crashes.

#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use sluice_auth::{Auth, Credentials, Session};
use sluice_broker::*;
use sluice_model::*;
use sluice_store::{LocalLog, Log, MemoryLog};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

const START: Millis = 1_700_000_000_000;

struct House {
    broker: Broker,
    clock: Arc<ManualClock>,
    me: Session,
}

fn house(log: Arc<dyn Log>, clock: &Arc<ManualClock>, config: Config) -> House {
    let broker = Broker::open(log, Arc::new(Auth::open()), clock.clone(), config).unwrap();
    let me = broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
    House { broker, clock: clock.clone(), me }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(START))
}

fn text(body: &str) -> Message {
    Message { body: Some(Bytes::copy_from_slice(body.as_bytes())), ..Message::default() }
}

fn to(topic: &str, message: Message) -> SendRequest {
    SendRequest { create: Some(1), ..SendRequest::one(TopicName::new(topic).unwrap(), message) }
}

impl House {
    fn once(&self, key: OnceKey<'_>, sends: Vec<SendRequest>) -> Result<OnceSent> {
        let messages = sends.iter().flat_map(|send| &send.messages);
        let content = messages.fold(ContentHasher::default(), ContentHasher::message).finish();
        self.broker.send_once(&self.me, OnceRequest { sends, key, content })
    }

    /// The first answer.
    async fn first(&self, key: &str, sends: Vec<SendRequest>) -> Vec<Sent> {
        match self.once(OnceKey::Idempotency(key), sends).unwrap() {
            OnceSent::First(promise) => promise.await.unwrap(),
            OnceSent::Again(before) => panic!("known already: {before:?}"),
        }
    }

    /// A later answer.
    fn again(&self, key: &str, sends: Vec<SendRequest>) -> Vec<SentBefore> {
        match self.once(OnceKey::Idempotency(key), sends).unwrap() {
            OnceSent::First(_) => panic!("it was stored again"),
            OnceSent::Again(before) => before,
        }
    }

    fn refusal(&self, key: OnceKey<'_>, sends: Vec<SendRequest>) -> (ErrorKind, OnceRefusal) {
        let Err(error) = self.once(key, sends) else { panic!("it was not refused") };
        (error.kind(), *error.source().unwrap().downcast_ref().unwrap())
    }

    async fn stored(&self, topic: &str) -> usize {
        let topic = TopicName::new(topic).unwrap();
        let bounds = self.broker.bounds(&self.me, &topic, QueueId(0)).unwrap();
        (bounds.1 - bounds.0) as usize
    }
}

fn sent(before: Vec<SentBefore>) -> Vec<Sent> {
    before.into_iter().map(|before| before.sent).collect()
}

#[tokio::test]
async fn the_same_again_is_answered_as_the_first_time_and_stored_once() {
    let h = house(Arc::new(MemoryLog::new()), &clock(), Config::default());
    let first = h.first("k", vec![to("t", text("a"))]).await;
    h.clock.advance(1000);
    assert_eq!(sent(h.again("k", vec![to("t", text("a"))])), first);
    assert_eq!(
        h.refusal(OnceKey::Idempotency("k"), vec![to("t", text("b"))]),
        (ErrorKind::Conflict, OnceRefusal::OtherContent)
    );
    h.first("other", vec![to("t", text("a"))]).await;
    h.first("k", vec![to("u", text("a"))]).await;
    assert_eq!((h.stored("t").await, h.stored("u").await), (2, 1));
    for key in ["", &"x".repeat(256)] {
        let wrong = h.once(OnceKey::Idempotency(key), vec![to("t", text("a"))]);
        assert_eq!(wrong.err().unwrap().kind(), ErrorKind::InvalidArgument);
    }
}

#[tokio::test]
async fn what_is_refused_is_not_remembered() {
    let h = house(Arc::new(MemoryLog::new()), &clock(), Config::default());
    let nowhere = SendRequest { create: None, ..to("t", text("a")) };
    let refused = h.once(OnceKey::Idempotency("k"), vec![nowhere]).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::TopicNotFound);
    h.first("k", vec![to("t", text("a"))]).await;
}

#[tokio::test]
async fn an_id_of_the_senders_is_the_messages_id() {
    let h = house(Arc::new(MemoryLog::new()), &clock(), Config::default());
    let named = || vec![to("t", Message { id: "order-17".into(), ..text("a") })];
    let OnceSent::First(promise) = h.once(OnceKey::MessageId("order-17"), named()).unwrap() else { panic!() };
    let first = promise.await.unwrap();
    assert_eq!(first[0].id, "order-17");
    let OnceSent::Again(before) = h.once(OnceKey::MessageId("order-17"), named()).unwrap() else { panic!() };
    assert_eq!(sent(before), first);
    h.first("order-17", named()).await;
}

#[tokio::test]
async fn several_topics_and_delays_come_back_after_a_crash_with_and_without_a_checkpoint() {
    for checkpoint in [false, true] {
        let (log, clock) = (Arc::new(MemoryLog::new()), clock());
        let h = house(log.clone(), &clock, Config::default());
        let due = START + 60_000;
        let sends = || {
            let later = Message { deliver_at: Some(due), ..text("later") };
            vec![to("t", text("a")), to("u", later), to("t", text("c"))]
        };
        let first = h.first("k", sends()).await;
        assert_eq!(first.iter().map(|s| s.delayed).collect::<Vec<_>>(), [false, true, false]);
        h.first("other", vec![to("t", text("d"))]).await;
        if checkpoint {
            h.broker.checkpoint().unwrap();
        }
        let h = house(Arc::new(log.reopen()), &clock, Config::default());
        clock.advance(120_000);
        let before = h.again("k", sends());
        assert_eq!(before.iter().map(|b| b.deliver_at).collect::<Vec<_>>(), [None, Some(due), None]);
        assert_eq!(sent(before), first);
        h.again("other", vec![to("t", text("d"))]);
        assert_eq!(h.stored("t").await, 3);
    }
}

#[tokio::test]
async fn a_killed_process_keeps_the_key_with_its_message_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let config = sluice_store::Config::default();
        Arc::new(LocalLog::open(folder.path(), config, Arc::new(SystemClock)).unwrap())
    };
    let clock = clock();
    let h = house(open(), &clock, Config::default());
    let first = h.first("k", vec![to("t", text("a"))]).await;
    // Nothing is closed: the next one finds what a dead process leaves.
    drop(h);
    let h = house(open(), &clock, Config::default());
    assert_eq!(sent(h.again("k", vec![to("t", text("a"))])), first);
    assert_eq!(h.stored("t").await, 1);
    h.broker.close().unwrap();
    let h = house(open(), &clock, Config::default());
    assert_eq!(sent(h.again("k", vec![to("t", text("a"))])), first, "from the checkpoint");
}

#[tokio::test]
async fn keys_are_forgotten_by_age_and_by_number() {
    let config =
        Config { once_window: sluice_model::units::Span::secs(60), max_once: 3, ..Config::default() };
    let (log, clock) = (Arc::new(MemoryLog::new()), clock());
    let h = house(log.clone(), &clock, config.clone());
    h.first("a", vec![to("t", text("a"))]).await;
    clock.advance(59_999);
    h.again("a", vec![to("t", text("a"))]);
    clock.advance(1);
    h.first("a", vec![to("t", text("a"))]).await;
    for key in ["b", "c", "d"] {
        h.first(key, vec![to("t", text("a"))]).await;
    }
    h.again("b", vec![to("t", text("a"))]);
    let h = house(Arc::new(log.reopen()), &clock, config);
    h.again("b", vec![to("t", text("a"))]);
    h.first("a", vec![to("t", text("a"))]).await;
}

#[tokio::test]
async fn a_topic_takes_its_keys_along() {
    let (log, clock) = (Arc::new(MemoryLog::new()), clock());
    let h = house(log.clone(), &clock, Config::default());
    h.first("k", vec![to("t", text("a"))]).await;
    h.first("both", vec![to("t", text("a")), to("u", text("b"))]).await;
    h.broker.delete_topic(&h.me, &TopicName::new("t").unwrap()).await.unwrap();
    let h = house(Arc::new(log.reopen()), &clock, Config::default());
    let half_gone = h.once(OnceKey::Idempotency("both"), vec![to("t", text("a")), to("u", text("b"))]);
    assert_eq!(half_gone.err().unwrap().kind(), ErrorKind::TopicNotFound);
    h.first("k", vec![to("t", text("a"))]).await;
}

#[tokio::test]
async fn of_a_hundred_at_once_one_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let config = sluice_store::Config::default();
    let log = Arc::new(LocalLog::open(folder.path(), config, Arc::new(SystemClock)).unwrap());
    let h = Arc::new(house(log, &clock(), Config::default()));
    let mut senders = Vec::new();
    for _ in 0..100 {
        let h = Arc::clone(&h);
        senders.push(std::thread::spawn(move || {
            let key = OnceKey::Idempotency("k");
            match h.once(key, vec![to("t", text("a"))]) {
                Ok(OnceSent::First(promise)) => Some(promise),
                Ok(OnceSent::Again(_)) => None,
                Err(error) => {
                    let why: &OnceRefusal = error.source().unwrap().downcast_ref().unwrap();
                    assert_eq!((error.kind(), *why), (ErrorKind::Unavailable, OnceRefusal::InProgress));
                    None
                }
            }
        }));
    }
    let mut firsts: Vec<_> = senders.into_iter().filter_map(|s| s.join().unwrap()).collect();
    assert_eq!(firsts.len(), 1);
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, firsts.remove(0)).await.unwrap().unwrap();
    h.again("k", vec![to("t", text("a"))]);
    assert_eq!(h.stored("t").await, 1);
}

#[tokio::test]
async fn a_broker_or_a_topic_may_take_only_what_has_a_key() {
    let everywhere = Config { require_key: true, ..Config::default() };
    for (config, demanded) in [(everywhere, false), (Config::default(), true)] {
        let h = house(Arc::new(MemoryLog::new()), &clock(), config);
        let spec = TopicSpec::with_queues(1).demanding_key(demanded);
        h.broker.put_topic(&h.me, &TopicName::new("t").unwrap(), spec).await.unwrap();
        let why = |error: Error| *error.source().unwrap().downcast_ref::<OnceRefusal>().unwrap();
        let plain = h.broker.send(&h.me, to("t", text("a"))).err().unwrap();
        assert_eq!((plain.kind(), why(plain)), (ErrorKind::InvalidArgument, OnceRefusal::KeyRequired));
        let work = Work { sends: vec![to("t", text("a"))], ..Work::default() };
        assert_eq!(why(h.broker.work(&h.me, work).err().unwrap()), OnceRefusal::KeyRequired);
        h.first("k", vec![to("t", text("a"))]).await;
        let batch = |sequence| SequencedRequest {
            topic: TopicName::new("t").unwrap(),
            queue: QueueId(0),
            messages: vec![text("b")],
            packed: None,
            sequence,
            transaction: None,
            durability: None,
        };
        let unnumbered = h.broker.send_sequenced(&h.me, batch(None)).err().unwrap();
        assert_eq!(why(unnumbered), OnceRefusal::KeyRequired);
        let number = Sequence { producer: h.broker.producer_id(), epoch: 0, first: 0 };
        let numbered = h.broker.send_sequenced(&h.me, batch(Some(number)));
        let Ok(SequencedSent::First(promise)) = numbered else { panic!("a number is as good as a key") };
        promise.await.unwrap();
        assert_eq!(h.stored("t").await, 2);
    }
}
