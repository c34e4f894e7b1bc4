//! Transactions over several queues, told as stories on a clock that moves only when told to; and random histories of
//! them, with crashes and checkpoints, against what a careful clerk would have noted down.

#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use proptest::prelude::*;
use sluice_auth::{Auth, Credentials, Session};
use sluice_broker::*;
use sluice_model::*;
use sluice_store::MemoryLog;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const START: Millis = 1_700_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);

struct House {
    broker: Broker,
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    me: Session,
}

fn house() -> House {
    let house = house_on(Arc::new(MemoryLog::new()), Arc::new(ManualClock::new(START)));
    house.broker.ensure_topic(&house.me, &topic("t"), 2).unwrap();
    house
}

fn house_on(log: Arc<MemoryLog>, clock: Arc<ManualClock>) -> House {
    let broker = Broker::open(log.clone(), Arc::new(Auth::open()), clock.clone(), Config::default()).unwrap();
    let me = broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
    House { broker, log, clock, me }
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

/// A producer at work: what it is known by, and the next number of each queue.
#[derive(Debug, Clone)]
struct Hand {
    name: GroupName,
    id: ProducerId,
    next: BTreeMap<u32, u32>,
}

impl Hand {
    fn speaker(&self) -> Speaker<'_> {
        Speaker { name: &self.name, id: self.id }
    }
}

impl House {
    /// The same house after a crash.
    fn restart(self) -> Self {
        let log = Arc::new(self.log.reopen());
        let clock = self.clock.clone();
        drop(self.broker);
        house_on(log, clock)
    }

    async fn name(&self, name: &str) -> Hand {
        let name = group(name);
        let request = NameProducer { name: &name, timeout: MINUTE, was: None };
        let id = self.broker.name_producer(&self.me, &request).unwrap().await.unwrap();
        Hand { name, id, next: BTreeMap::new() }
    }

    async fn join(&self, hand: &Hand, queue: u32) -> Result<()> {
        let places = [(topic("t"), QueueId(queue))];
        self.broker.join_transaction(&self.me, &hand.speaker(), &places, &[])?.await
    }

    async fn send(&self, hand: &mut Hand, queue: u32, bodies: &[&str], joins: bool) -> Result<Offset> {
        let first = *hand.next.get(&queue).unwrap_or(&0);
        let ProducerId { number: producer, epoch } = hand.id;
        let messages = bodies.iter().map(|body| Message {
            body: Some(Bytes::copy_from_slice(body.as_bytes())),
            keys: Keys::joined("key"),
            ..Message::default()
        });
        let request = SequencedRequest {
            topic: topic("t"),
            queue: QueueId(queue),
            messages: messages.collect(),
            packed: None,
            sequence: Some(Sequence { producer, epoch, first }),
            transaction: Some(PartOf { producer: hand.name.clone(), joins }),
            durability: None,
        };
        match self.broker.send_sequenced(&self.me, request)? {
            SequencedSent::First(promise) => {
                hand.next.insert(queue, first + bodies.len() as u32);
                promise.await
            }
            SequencedSent::Again(offset) => Ok(offset),
            SequencedSent::Refused(why) => Err(Error::invalid(format!("{why:?}"))),
        }
    }

    async fn plain(&self, queue: u32, body: &str) {
        let message = Message { body: Some(Bytes::copy_from_slice(body.as_bytes())), ..Message::default() };
        let request = SendRequest {
            queue: QueueChoice::Exactly(QueueId(queue)),
            ..SendRequest::one(topic("t"), message)
        };
        self.broker.send(&self.me, request).unwrap().await.unwrap();
    }

    async fn end(&self, hand: &Hand, commit: bool) -> Result<ProducerId> {
        self.broker.decide_transaction(&self.me, &hand.speaker(), commit, false)?.await
    }

    async fn promise(&self, hand: &Hand, of: &str, queue: u32, offset: Offset) -> Result<()> {
        let commit = QueueCommit { queue: QueueId(queue), offset, epoch: None, note: "n".into() };
        let commits = (&[commit][..], false);
        self.broker.promise_offsets(&self.me, &hand.speaker(), &group(of), &topic("t"), commits)?.await
    }

    /// What a reader by offset finds in a queue.
    async fn read(&self, queue: u32) -> Vec<String> {
        let (mut found, mut offset) = (Vec::new(), 0);
        loop {
            let request = PullRequest {
                topic: &topic("t"),
                queue: QueueId(queue),
                offset,
                max: 3,
                max_bytes: 1 << 20,
                filter: &Filter::All,
                group: None,
                wait: Duration::ZERO,
            };
            let pulled = self.broker.pull(&self.me, &request).await.unwrap();
            found.extend(pulled.messages.iter().map(body));
            if pulled.next == pulled.max || pulled.next == offset {
                return found;
            }
            offset = pulled.next;
        }
    }

    /// What a group is given under lease, and acknowledges.
    async fn receive(&self, of: &str) -> Vec<String> {
        let request = ReceiveRequest {
            topic: &topic("t"),
            group: &group(of),
            filter: &Filter::All,
            max: 100,
            wait: Duration::ZERO,
            lease: Lease::For(MINUTE),
            start: StartAt::Earliest,
            create: None,
        };
        let got = self.broker.receive(&self.me, &request).await.unwrap();
        let mut bodies: Vec<_> = got.iter().map(|delivered| body(&delivered.message)).collect();
        bodies.sort();
        bodies
    }

    fn bounds(&self, queue: u32) -> (Offset, Offset) {
        self.broker.bounds(&self.me, &topic("t"), QueueId(queue)).unwrap()
    }

    fn committed(&self, of: &str, queue: u32) -> Option<Offset> {
        self.broker.committed(&self.me, &group(of), &topic("t"), QueueId(queue)).unwrap()
    }
}

fn body(message: &StoredMessage) -> String {
    String::from_utf8(message.message.body_bytes().to_vec()).unwrap()
}

fn why(error: &Error) -> Option<TransactionRefusal> {
    TransactionRefusal::of(error)
}

#[tokio::test]
async fn nobody_sees_what_is_not_decided_and_nobody_ever_what_was_aborted() {
    let h = house();
    let (mut a, mut b) = (h.name("a").await, h.name("b").await);
    h.join(&a, 0).await.unwrap();
    h.join(&a, 1).await.unwrap();
    h.join(&b, 0).await.unwrap();
    h.plain(0, "before").await;
    assert_eq!(h.send(&mut a, 0, &["a0", "a1"], false).await.unwrap(), 1);
    assert_eq!(h.send(&mut b, 0, &["b0"], false).await.unwrap(), 3);
    assert_eq!(h.send(&mut a, 1, &["a2"], false).await.unwrap(), 0);
    h.plain(0, "behind").await;
    assert_eq!((h.read(0).await, h.read(1).await), (vec!["before".to_owned()], vec![]));
    assert_eq!((h.bounds(0), h.bounds(1)), ((0, 1), (0, 0)));
    assert_eq!(h.receive("g").await, ["before"]);
    h.end(&a, true).await.unwrap();
    assert_eq!(
        (h.read(0).await, h.read(1).await),
        (vec!["before".into(), "a0".into(), "a1".into()], vec!["a2".to_owned()])
    );
    h.end(&b, false).await.unwrap();
    let all = ["before", "a0", "a1", "behind"];
    assert_eq!(h.read(0).await, all);
    assert_eq!(h.receive("g").await, ["a0", "a1", "a2", "behind"]);
    assert_eq!(h.bounds(0), (0, 7), "five messages, one of them taken back, and two ends");
    let found =
        h.broker.find(&h.me, &FindRequest::new(&topic("t"), "key", SearchBy::KeyOrId, 10)).await.unwrap();
    assert_eq!(found.messages.len(), 3, "the aborted one is not found");
    let h = h.restart();
    assert_eq!((h.read(0).await, h.bounds(0)), (all.map(str::to_owned).to_vec(), (0, 7)));
    h.broker.checkpoint().unwrap();
    let h = h.restart();
    assert_eq!((h.read(0).await, h.bounds(0)), (all.map(str::to_owned).to_vec(), (0, 7)));
}

#[tokio::test]
async fn a_reader_that_waits_is_woken_by_the_end() {
    let h = house();
    let mut a = h.name("a").await;
    h.join(&a, 0).await.unwrap();
    h.send(&mut a, 0, &["a0"], false).await.unwrap();
    let (name, t) = (Filter::All, topic("t"));
    let request = PullRequest {
        topic: &t,
        queue: QueueId(0),
        offset: 0,
        max: 3,
        max_bytes: 1 << 20,
        filter: &name,
        group: None,
        wait: Duration::from_secs(20),
    };
    let (pulled, ended) = tokio::join!(h.broker.pull(&h.me, &request), async {
        tokio::task::yield_now().await;
        h.end(&a, true).await
    });
    ended.unwrap();
    assert_eq!(pulled.unwrap().messages.len(), 1);
}

#[tokio::test]
async fn offsets_hold_when_the_transaction_does() {
    let h = house();
    let a = h.name("a").await;
    let state = h.promise(&a, "g", 0, 5).await.unwrap_err();
    assert_eq!(why(&state), Some(TransactionRefusal::State), "the group is no part of it yet");
    for (commit, offset, expected) in [(false, 5, None), (true, 7, Some(7)), (false, 9, Some(7))] {
        h.broker.join_transaction(&h.me, &a.speaker(), &[], &[group("g")]).unwrap().await.unwrap();
        h.promise(&a, "g", 0, offset).await.unwrap();
        let before = h.committed("g", 0);
        assert_eq!(h.broker.unsettled_offsets(&h.me, &group("g")).unwrap(), [(topic("t"), QueueId(0))]);
        h.end(&a, commit).await.unwrap();
        assert_eq!(h.broker.unsettled_offsets(&h.me, &group("g")).unwrap(), []);
        assert_eq!((h.committed("g", 0), before == expected || commit), (expected, true));
    }
    let h = h.restart();
    let known = h.broker.committed_offsets(&h.me, &group("g"), None).unwrap();
    assert_eq!((known.len(), known[0].offset, &*known[0].note), (1, 7, "n"));
}

#[tokio::test]
async fn a_zombie_can_do_nothing_and_its_transaction_is_aborted() {
    let h = house();
    let mut old = h.name("a").await;
    h.join(&old, 0).await.unwrap();
    h.send(&mut old, 0, &["zombie"], false).await.unwrap();
    let mut new = h.name("a").await;
    assert_eq!((new.id.number, new.id.epoch), (old.id.number, old.id.epoch + 1));
    assert_eq!((h.read(0).await, h.bounds(0)), (vec![], (0, 2)));
    for refused in [
        h.join(&old, 0).await.unwrap_err(),
        h.send(&mut old, 0, &["late"], true).await.unwrap_err(),
        h.end(&old, true).await.unwrap_err(),
        h.promise(&old, "g", 0, 5).await.unwrap_err(),
    ] {
        assert_eq!(why(&refused), Some(TransactionRefusal::Fenced));
    }
    h.join(&new, 0).await.unwrap();
    h.send(&mut new, 0, &["alive"], false).await.unwrap();
    h.end(&new, true).await.unwrap();
    assert_eq!(h.read(0).await, ["alive"]);
}

#[tokio::test]
async fn what_comes_late_is_in_no_transaction() {
    let h = house();
    let mut a = h.name("a").await;
    h.join(&a, 0).await.unwrap();
    h.send(&mut a, 0, &["one"], false).await.unwrap();
    h.end(&a, true).await.unwrap();
    // Sent before the end and arrived behind it: the queue is no part of any transaction now.
    let late = h.send(&mut a, 0, &["late"], false).await.unwrap_err();
    assert_eq!(why(&late), Some(TransactionRefusal::State));
    // A batch that is sent again is answered as the first time, also then.
    let mut again = Hand { next: BTreeMap::new(), ..a.clone() };
    assert_eq!(h.send(&mut again, 0, &["one"], false).await.unwrap(), 0);
    // With an epoch for each transaction it is refused even if the next one has the queue.
    h.send(&mut a, 0, &["two"], true).await.unwrap();
    let before = a.clone();
    a.id = h.broker.decide_transaction(&h.me, &a.speaker(), true, true).unwrap().await.unwrap();
    assert_eq!(a.id.epoch, before.id.epoch + 1);
    let told_again =
        h.broker.decide_transaction(&h.me, &before.speaker(), true, true).unwrap().await.unwrap();
    assert_eq!(told_again, a.id, "the answer was lost");
    a.next.clear();
    h.send(&mut a, 0, &["three"], true).await.unwrap();
    let late = h.send(&mut before.clone(), 0, &["late"], true).await.unwrap_err();
    assert_eq!(why(&late), Some(TransactionRefusal::Fenced));
    h.broker.decide_transaction(&h.me, &a.speaker(), true, true).unwrap().await.unwrap();
    assert_eq!(h.read(0).await, ["one", "two", "three"]);
    // And outside of transactions it may send nothing.
    let plain = SequencedRequest {
        topic: topic("t"),
        queue: QueueId(0),
        messages: vec![Message::default()],
        packed: None,
        sequence: Some(Sequence { producer: a.id.number, epoch: a.id.epoch + 1, first: 0 }),
        transaction: None,
        durability: None,
    };
    let refused = h.broker.send_sequenced(&h.me, plain).err().unwrap();
    assert_eq!(why(&refused), Some(TransactionRefusal::State));
}

#[tokio::test]
async fn what_is_open_for_too_long_is_aborted_and_its_producer_is_out() {
    let h = house();
    let mut a = h.name("a").await;
    h.join(&a, 0).await.unwrap();
    h.send(&mut a, 0, &["slow"], false).await.unwrap();
    h.clock.advance(59_999);
    h.broker.end_overdue().unwrap();
    assert_eq!(h.bounds(0), (0, 0));
    let h = h.restart();
    h.clock.advance(1);
    h.broker.end_overdue().unwrap();
    assert_eq!((h.bounds(0), h.read(0).await), ((0, 2), vec![]));
    assert_eq!(why(&h.end(&a, true).await.unwrap_err()), Some(TransactionRefusal::Fenced));
    let views = h.broker.named_producers(&h.me).unwrap();
    assert_eq!((views.len(), views[0].since, views[0].id.epoch), (1, None, a.id.epoch + 1));
    let name = group("a");
    for timeout in [Duration::ZERO, MINUTE * 16] {
        let request = NameProducer { name: &name, timeout, was: None };
        let refused = h.broker.name_producer(&h.me, &request).err().unwrap();
        assert_eq!(why(&refused), Some(TransactionRefusal::Timeout));
    }
}

#[tokio::test]
async fn names_that_nobody_uses_are_forgotten_and_deleted_topics_leave_nothing() {
    let h = house();
    let mut a = h.name("a").await;
    h.name("idle").await;
    h.clock.advance(7 * 86_400_000 - 1);
    h.join(&a, 0).await.unwrap();
    h.send(&mut a, 0, &["open"], false).await.unwrap();
    h.clock.advance(1);
    h.broker.tidy().await;
    let names: Vec<_> = h.broker.named_producers(&h.me).unwrap().into_iter().map(|view| view.name).collect();
    assert_eq!(names, [group("a")]);
    h.broker.delete_topic(&h.me, &topic("t")).await.unwrap();
    h.broker.ensure_topic(&h.me, &topic("t"), 2).unwrap();
    h.end(&a, true).await.unwrap();
    assert_eq!((h.bounds(0), h.read(0).await), ((0, 0), vec![]));
}

/// What may happen in a history.
#[derive(Debug, Clone)]
enum Step {
    Name(usize),
    Send(usize, u32, u8),
    Plain(u32),
    Promise(usize, u32, Offset),
    End(usize, bool, bool),
    Wait(u64),
    Crash,
    Checkpoint,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0_usize..3).prop_map(Step::Name),
        8 => (0_usize..3, 0_u32..2, 1_u8..4).prop_map(|(who, queue, count)| Step::Send(who, queue, count)),
        2 => (0_u32..2).prop_map(Step::Plain),
        2 => (0_usize..3, 0_u32..2, 0_u64..9).prop_map(|(who, queue, at)| Step::Promise(who, queue, at)),
        5 => (0_usize..3, any::<bool>(), any::<bool>()).prop_map(|(who, commit, anew)| Step::End(who, commit, anew)),
        1 => (1_u64..40_000).prop_map(Step::Wait),
        1 => Just(Step::Crash),
        1 => Just(Step::Checkpoint),
    ]
}

/// What the clerk knows of a transaction.
#[derive(Debug, Default)]
struct Noted {
    since: Option<Millis>,
    number: u64,
    queues: BTreeSet<u32>,
    offsets: BTreeMap<u32, Offset>,
}

/// Everything in a queue: a body and whose transaction it is in, or nothing for an end.
type Line = Option<(String, Option<u64>)>;

#[derive(Debug, Default)]
struct Clerk {
    queues: [Vec<Line>; 2],
    open: [Noted; 3],
    outcomes: BTreeMap<u64, bool>,
    group: BTreeMap<u32, Offset>,
    number: u64,
}

impl Clerk {
    fn open(&mut self, who: usize, now: Millis) -> u64 {
        if self.open[who].since.is_none() {
            self.number += 1;
            self.open[who] = Noted { since: Some(now), number: self.number, ..Noted::default() };
        }
        self.open[who].number
    }

    fn end(&mut self, who: usize, commit: bool) {
        let noted = std::mem::take(&mut self.open[who]);
        noted.queues.iter().for_each(|queue| self.queues[*queue as usize].push(None));
        self.outcomes.insert(noted.number, commit);
        if commit {
            self.group.extend(noted.offsets);
        }
    }

    fn readable(&self, queue: usize) -> (Vec<String>, Offset) {
        let open = |line: &Line| matches!(line, Some((_, Some(n))) if !self.outcomes.contains_key(n));
        let stable = self.queues[queue].iter().position(open).unwrap_or(self.queues[queue].len());
        let lines = self.queues[queue][..stable].iter().flatten();
        let shown = lines.filter(|(_, of)| of.is_none_or(|n| self.outcomes[&n]));
        (shown.map(|(body, _)| body.clone()).collect(), stable as Offset)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn readers_see_what_the_clerk_noted(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let names = ["a", "b", "c"];
            let (mut h, mut clerk) = (house(), Clerk::default());
            let mut hands = Vec::new();
            for name in names {
                hands.push(h.name(name).await);
            }
            for (at, step) in steps.into_iter().enumerate() {
                let now = h.broker.now();
                match step {
                    Step::Name(who) => {
                        if clerk.open[who].since.is_some() {
                            clerk.end(who, false);
                        }
                        hands[who] = h.name(names[who]).await;
                    }
                    Step::Send(who, queue, count) => {
                        let number = clerk.open(who, now);
                        let bodies: Vec<_> = (0..count).map(|n| format!("{at}.{n}")).collect();
                        let refs: Vec<_> = bodies.iter().map(String::as_str).collect();
                        let offset = h.send(&mut hands[who], queue, &refs, true).await.unwrap();
                        assert_eq!(offset as usize, clerk.queues[queue as usize].len());
                        let lines = bodies.into_iter().map(|body| Some((body, Some(number))));
                        clerk.queues[queue as usize].extend(lines);
                        clerk.open[who].queues.insert(queue);
                    }
                    Step::Plain(queue) => {
                        h.plain(queue, &format!("{at}")).await;
                        clerk.queues[queue as usize].push(Some((format!("{at}"), None)));
                    }
                    Step::Promise(who, queue, offset) => {
                        let commit = QueueCommit { queue: QueueId(queue), offset, epoch: None, note: "".into() };
                        let (speaker, commits) = (hands[who].speaker(), (&[commit][..], true));
                        let done = h.broker.promise_offsets(&h.me, &speaker, &group("g"), &topic("t"), commits);
                        done.unwrap().await.unwrap();
                        clerk.open(who, now);
                        clerk.open[who].offsets.insert(queue, offset);
                    }
                    Step::End(who, commit, anew) if clerk.open[who].since.is_some() => {
                        let ended = h.broker.decide_transaction(&h.me, &hands[who].speaker(), commit, anew);
                        let id = ended.unwrap().await.unwrap();
                        if anew {
                            hands[who] = Hand { id, next: BTreeMap::new(), ..hands[who].clone() };
                        }
                        clerk.end(who, commit);
                    }
                    Step::End(..) => {}
                    Step::Wait(time) => {
                        h.clock.advance(time);
                        h.broker.end_overdue().unwrap();
                        for (who, hand) in hands.iter_mut().enumerate() {
                            if clerk.open[who].since.is_some_and(|since| since + 60_000 <= now + time) {
                                clerk.end(who, false);
                                *hand = h.name(names[who]).await;
                            }
                        }
                    }
                    Step::Crash => h = h.restart(),
                    Step::Checkpoint => h.broker.checkpoint().unwrap(),
                }
                for queue in 0..2 {
                    let (bodies, stable) = clerk.readable(queue as usize);
                    assert_eq!((h.read(queue).await, h.bounds(queue).1), (bodies, stable), "queue {queue}");
                    assert_eq!(h.committed("g", queue), clerk.group.get(&queue).copied());
                }
            }
        });
    }
}
