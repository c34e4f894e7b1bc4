//! Batches that are kept as their producer packed them, beside a list of messages that knows nothing of batches.

#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use proptest::prelude::*;
use sluice_auth::{Auth, Credentials, Session};
use sluice_broker::*;
use sluice_model::*;
use sluice_store::{LocalLog, Log, MemoryLog, SearchBy};
use std::sync::Arc;
use std::time::Duration;

const START: Millis = 1_700_000_000_000;
const ENCODING: u8 = 9;

/// A format of lines: key, tag and body between commas.
struct Lines;

struct Taken(Vec<Message>);

impl BatchFormat for Lines {
    fn encoding(&self) -> u8 {
        ENCODING
    }

    fn unpack(&self, batch: &Bytes, size: usize) -> Result<Box<dyn Unpacked>> {
        assert_eq!(size, batch.len());
        let text = std::str::from_utf8(batch).unwrap();
        Ok(Box::new(Taken(text.lines().map(said).collect())))
    }
}

impl Unpacked for Taken {
    fn memory(&self) -> usize {
        100 * self.0.len()
    }

    fn message(&self, number: usize) -> Option<Message> {
        self.0.get(number).cloned()
    }
}

fn said(line: &str) -> Message {
    let [key, tag, body] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
    Message {
        keys: Keys::joined(key.to_owned()),
        tag: (!tag.is_empty()).then(|| tag.to_owned().into()),
        body: Some(Bytes::copy_from_slice(body.as_bytes())),
        born: START + body.len() as u64,
        ..Message::default()
    }
}

fn packed(lines: &[String]) -> PackedBatch {
    let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let messages: Vec<Message> = lines.iter().map(|line| said(line)).collect();
    let bodies = || messages.iter().map(|m| m.body_bytes().len());
    PackedBatch {
        encoding: ENCODING,
        count: lines.len() as u16,
        size: text.len(),
        newest: messages.iter().map(|m| m.born).max().unwrap(),
        keys: messages.iter().flat_map(|m| m.keys.iter().map(word_hash).collect::<Vec<_>>()).collect(),
        bodies: bodies().sum(),
        max_body: bodies().max().unwrap(),
        max_headers_size: 0,
        max_headers: 0,
        bytes: text.into(),
    }
}

struct House {
    broker: Broker,
    me: Session,
}

fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

impl House {
    fn on(log: Arc<dyn Log>, clock: Arc<ManualClock>) -> Self {
        let broker = Broker::open(log, Arc::new(Auth::open()), clock, Config::default()).unwrap();
        broker.know_batches(Arc::new(Lines));
        let me = broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
        Self { broker, me }
    }

    async fn send(&self, batch: PackedBatch, sequence: Option<Sequence>) -> Result<Offset> {
        let request = SequencedRequest {
            topic: topic(),
            queue: QueueId(0),
            messages: Vec::new(),
            packed: Some(batch),
            sequence,
            transaction: None,
            durability: None,
        };
        match self.broker.send_sequenced(&self.me, request)? {
            SequencedSent::First(promise) => promise.await,
            SequencedSent::Again(offset) => Ok(offset),
            SequencedSent::Refused(why) => panic!("{why:?}"),
        }
    }

    async fn plain(&self, line: &str) -> Sent {
        let send = SendRequest { create: Some(1), ..SendRequest::one(topic(), said(line)) };
        self.broker.send(&self.me, send).unwrap().await.unwrap().remove(0)
    }

    async fn pull(&self, offset: Offset, max: usize, filter: &Filter) -> Pulled {
        let topic = topic();
        let request = PullRequest {
            topic: &topic,
            queue: QueueId(0),
            offset,
            max,
            max_bytes: 1 << 20,
            filter,
            group: None,
            wait: Duration::ZERO,
        };
        self.broker.pull(&self.me, &request).await.unwrap()
    }

    async fn find(&self, by: SearchBy, word: &str, max: usize) -> Vec<StoredMessage> {
        let (topic, mut after, mut all) = (topic(), None, Vec::new());
        loop {
            let request = FindRequest { topic: &topic, by, word, from: 0, to: Millis::MAX, max, after };
            let found = self.broker.find(&self.me, &request).await.unwrap();
            assert!(found.messages.len() <= max, "{} of {max}", found.messages.len());
            all.extend(found.messages);
            match found.next {
                Some(next) => {
                    assert_ne!(after, Some(next), "it goes on");
                    after = Some(next);
                }
                None => return all,
            }
        }
    }

    /// Everything is as in the list, whoever reads and however.
    async fn check(&self, list: &[String], begin: usize) {
        let bounds = self.broker.bounds(&self.me, &topic(), QueueId(0)).unwrap();
        assert_eq!(bounds, (begin as u64, list.len() as u64));
        for max in [1, 3, 100] {
            let mut at = begin as Offset;
            while at < list.len() as Offset {
                let pulled = self.pull(at, max, &Filter::All).await;
                assert!(!pulled.messages.is_empty() && pulled.messages.len() <= max);
                for message in pulled.messages {
                    let wanted = said(&list[message.offset as usize]);
                    assert_eq!((message.offset, message.message.body_bytes()), (at, wanted.body_bytes()));
                    assert_eq!((&message.message.keys, &message.message.tag), (&wanted.keys, &wanted.tag));
                    let again = self.broker.message_at(&self.me, message.locator).await.unwrap();
                    assert_eq!((again.offset, &again.message), (message.offset, &message.message));
                    let found = self.find(SearchBy::Id, &message.message.id.text(), 10).await;
                    assert_eq!(found.iter().map(|m| m.offset).collect::<Vec<_>>(), [message.offset]);
                    at += 1;
                }
                assert_eq!(pulled.next, at);
            }
        }
        let kept = || list.iter().enumerate().skip(begin);
        for tag in ["red", "blue"] {
            let filter = Filter::tags(tag).unwrap();
            let (mut seen, mut at) = (Vec::new(), begin as Offset);
            while at < list.len() as Offset {
                let pulled = self.pull(at, 2, &filter).await;
                seen.extend(pulled.messages.iter().map(|m| m.offset as usize));
                assert!(pulled.next > at);
                at = pulled.next;
            }
            let wanted: Vec<usize> =
                kept().filter(|(_, line)| line.contains(&format!(",{tag},"))).map(|(at, _)| at).collect();
            assert_eq!(seen, wanted, "{tag}");
        }
        for (key, max) in [("k1", 1), ("k2", 3), ("k3", 100)] {
            let found = self.find(SearchBy::KeyOrId, key, max).await;
            let found: Vec<usize> = found.iter().map(|m| m.offset as usize).collect();
            let mut wanted: Vec<usize> =
                kept().filter(|(_, line)| line.starts_with(&format!("{key},"))).map(|(at, _)| at).collect();
            wanted.reverse();
            assert_eq!(found, wanted, "{key}");
        }
        for age in 0..4 {
            let since = START + age;
            let found =
                self.broker.born_at(&self.me, &topic(), QueueId(0), BornAt::From(since)).await.unwrap();
            let wanted = kept().find(|(_, line)| said(line).born >= since);
            assert_eq!(found, wanted.map(|(at, line)| (at as Offset, said(line).born)), "{age}");
        }
        let newest = self.broker.born_at(&self.me, &topic(), QueueId(0), BornAt::Newest).await.unwrap();
        let wanted = kept().map(|(_, line)| said(line).born).max();
        assert_eq!(newest.map(|(_, born)| born), wanted);
        self.check_packed(list, begin).await;
    }

    /// Who can take batches apart is given them as they were sent.
    async fn check_packed(&self, list: &[String], begin: usize) {
        let topic = topic();
        let mut at = begin as Offset;
        while at < list.len() as Offset {
            let request = PackedPull {
                topic: &topic,
                queue: QueueId(0),
                offset: at,
                max: 5,
                max_bytes: 1 << 20,
                group: None,
                reach: Reach::Decided,
            };
            let pulled = self.broker.pull_packed(&self.me, &request).await.unwrap();
            for part in pulled.parts {
                assert!(part.offset() <= at && part.end() > at);
                let lines = &list[part.offset() as usize..part.end() as usize];
                match &part {
                    Packed::Message(message) => {
                        assert_eq!(message.message.body_bytes(), said(&lines[0]).body_bytes());
                    }
                    Packed::Batch { bytes, .. } => assert_eq!(bytes, &packed(lines).bytes),
                    Packed::End(_) => panic!("there are no transactions"),
                }
                at = part.end();
            }
            assert_eq!(pulled.next, at);
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Plain(String),
    Packed(Vec<String>),
    Cut(prop::sample::Index),
    Restart,
}

fn line() -> impl Strategy<Value = String> {
    ("k[1-3]", prop_oneof![Just(""), Just("red"), Just("blue")], "[a-z]{0,3}")
        .prop_map(|(key, tag, body)| format!("{key},{tag},{body}"))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => line().prop_map(Step::Plain),
        4 => prop::collection::vec(line(), 1..9).prop_map(Step::Packed),
        1 => any::<prop::sample::Index>().prop_map(Step::Cut),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn everybody_reads_what_was_sent(steps in prop::collection::vec(step(), 1..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let clock = Arc::new(ManualClock::new(START));
            let mut log = Arc::new(MemoryLog::new());
            let mut house = House::on(log.clone(), clock.clone());
            let (mut list, mut begin) = (vec!["k0,,first".to_owned()], 0);
            house.plain(&list[0]).await;
            for step in steps {
                match step {
                    Step::Plain(line) => {
                        assert_eq!(house.plain(&line).await.offset, list.len() as Offset);
                        list.push(line);
                    }
                    Step::Packed(lines) => {
                        assert_eq!(house.send(packed(&lines), None).await.unwrap(), list.len() as Offset);
                        list.extend(lines);
                    }
                    Step::Cut(to) => {
                        begin = begin.max(to.index(list.len()));
                        let (topic, below) = (topic(), Some(begin as u64));
                        let cut = house.broker.truncate_queue(&house.me, &topic, QueueId(0), below);
                        assert_eq!(cut.await.unwrap(), begin as u64);
                    }
                    Step::Restart => {
                        log = Arc::new(log.reopen());
                        house = House::on(log.clone(), clock.clone());
                    }
                }
            }
            house.check(&list, begin).await;
        });
    }
}

fn lines(count: usize, body: &str) -> Vec<String> {
    (0..count).map(|n| format!("k{},,{body}", n % 3)).collect()
}

#[tokio::test]
async fn a_lease_is_of_one_message_and_a_batch_on_the_disk_is_read_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(START));
    let open =
        || Arc::new(LocalLog::open(dir.path(), sluice_store::Config::default(), clock.clone()).unwrap());
    let list = lines(40, "abc");
    {
        let house = House::on(open(), clock.clone());
        house.plain(&list[0]).await;
        house.send(packed(&list[1..]), None).await.unwrap();
        house.broker.close().unwrap();
    }
    let house = House::on(open(), clock.clone());
    house.check(&list, 0).await;
    let (group, topic) = (GroupName::new("g").unwrap(), topic());
    let mut seen = Vec::new();
    while seen.len() < list.len() {
        let request = ReceiveRequest {
            group: &group,
            topic: &topic,
            filter: &Filter::All,
            max: 7,
            lease: Lease::For(Duration::from_secs(60)),
            wait: Duration::ZERO,
            start: StartAt::Earliest,
            create: None,
        };
        let delivered = house.broker.receive(&house.me, &request).await.unwrap();
        assert!(!delivered.is_empty());
        for one in delivered {
            seen.push(one.message.offset);
            house.broker.ack(&house.me, &one.receipt).unwrap().await.unwrap();
        }
    }
    assert_eq!(seen, (0..list.len() as Offset).collect::<Vec<_>>());
    house.broker.close().unwrap();
}

#[tokio::test]
async fn a_numbered_batch_that_is_sent_again_is_known_after_a_restart() {
    let clock = Arc::new(ManualClock::new(START));
    let log = Arc::new(MemoryLog::new());
    let house = House::on(log.clone(), clock.clone());
    house.plain("k0,,first").await;
    let number = |first| Some(Sequence { producer: 77, epoch: 0, first });
    let two = lines(2, "x");
    assert_eq!(house.send(packed(&two), number(0)).await.unwrap(), 1);
    assert_eq!(house.send(packed(&two), number(2)).await.unwrap(), 3);
    assert_eq!(house.send(packed(&two), number(0)).await.unwrap(), 1);
    let log = Arc::new(log.reopen());
    let house = House::on(log.clone(), clock.clone());
    assert_eq!(house.send(packed(&two), number(0)).await.unwrap(), 1, "replayed");
    assert_eq!(house.send(packed(&two), number(2)).await.unwrap(), 3);
    assert_eq!(house.send(packed(&two), number(4)).await.unwrap(), 5);
    house.broker.close().unwrap();
    let house = House::on(Arc::new(log.reopen()), clock);
    assert_eq!(house.send(packed(&two), number(4)).await.unwrap(), 5, "out of the checkpoint");
    assert_eq!(house.send(packed(&two), number(6)).await.unwrap(), 7);
}

#[tokio::test]
async fn what_is_too_large_is_refused_as_it_is_one_by_one() {
    let house = House::on(Arc::new(MemoryLog::new()), Arc::new(ManualClock::new(START)));
    house.plain("k0,,first").await;
    let good = packed(&lines(2, "x"));
    for bad in [
        PackedBatch { max_body: 5 << 20, ..good.clone() },
        PackedBatch { bodies: 17 << 20, ..good.clone() },
        PackedBatch { max_headers: 1001, ..good.clone() },
        PackedBatch { max_headers_size: 1 << 16, ..good.clone() },
    ] {
        assert_eq!(house.send(bad, None).await.unwrap_err().kind(), ErrorKind::TooLarge);
    }
    for count in [0, PackedBatch::MAX_COUNT as u16 + 1] {
        let bad = PackedBatch { count, ..good.clone() };
        assert_eq!(house.send(bad, None).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(house.send(good, None).await.unwrap(), 1);
}
