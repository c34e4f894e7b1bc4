//! Transactions, told as stories on a clock that moves only when told to; and random histories of them, with crashes,
//! against what a careful clerk would have noted down.

#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use proptest::prelude::*;
use sluice_auth::{Action, Auth, Command, Config as AuthConfig, Credentials, Policy, Session, UserSpec};
use sluice_broker::*;
use sluice_model::*;
use sluice_store::MemoryLog;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const START: Millis = 1_700_000_000_000;

struct House {
    broker: Broker,
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    me: Session,
}

fn house() -> House {
    house_on(Arc::new(MemoryLog::new()), Arc::new(ManualClock::new(START)))
}

fn house_on(log: Arc<MemoryLog>, clock: Arc<ManualClock>) -> House {
    let config = Config { max_checks: 3, ..Config::default() };
    let broker = Broker::open(log.clone(), Arc::new(Auth::open()), clock.clone(), config).unwrap();
    let me = broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
    House { broker, log, clock, me }
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

fn text(body: &str) -> Message {
    Message { body: Some(Bytes::copy_from_slice(body.as_bytes())), ..Message::default() }
}

fn body(message: &StoredMessage) -> String {
    String::from_utf8(message.message.body_bytes().to_vec()).unwrap()
}

impl House {
    /// The same house after a crash.
    fn restart(self) -> Self {
        let log = Arc::new(self.log.reopen());
        let clock = self.clock.clone();
        drop(self.broker);
        house_on(log, clock)
    }

    async fn prepare_with(&self, message: Message, first_check: Option<Duration>) -> Sent {
        let send = SendRequest { create: Some(1), ..SendRequest::one(topic("t"), message) };
        let request = PrepareRequest { send, group: group("p"), first_check };
        self.broker.prepare(&self.me, request).unwrap().await.unwrap().remove(0)
    }

    async fn prepare(&self, body: &str) -> Sent {
        self.prepare_with(text(body), None).await
    }

    async fn end(&self, half: &Sent, commit: bool) -> Result<()> {
        let end = EndTransaction { transaction: half.locator, commit, group: None, offset: None };
        self.broker.end_transaction(&self.me, end).await
    }

    async fn read(&self, of: &str) -> Vec<StoredMessage> {
        let cursor = self.broker.cursor(&self.me, &topic(of), Filter::All, StartAt::Earliest, None).await;
        match cursor {
            Ok(mut cursor) => self.broker.poll(&self.me, &mut cursor, 1000, Duration::ZERO).await.unwrap(),
            Err(_) => Vec::new(),
        }
    }

    async fn visible(&self) -> Vec<String> {
        self.read("t").await.iter().map(body).collect()
    }

    async fn checks(&self) -> Vec<TransactionCheck> {
        self.broker.check_due().await.unwrap();
        self.broker.receive_checks(&self.me, &group("p"), 100, Duration::ZERO).await.unwrap()
    }

    fn open(&self) -> Vec<TransactionView> {
        self.broker.transactions(&self.me, None, 0, 100).unwrap()
    }

    fn producer(&self) -> Client {
        let client = self.broker.client(&self.me);
        client.produce_as(&self.me, &[group("p")]).unwrap();
        client
    }
}

/// The check that a client is told of, if any. The tests' clock stands while anything is under way, so the wait is over
/// only when there is nothing.
async fn told(client: &Client) -> Option<TransactionCheck> {
    match tokio::time::timeout(Duration::from_secs(1), client.event()).await {
        Ok(ClientEvent::CheckTransaction(check)) => Some(*check),
        Ok(other) => panic!("{other:?}"),
        Err(_) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_is_invisible_until_it_is_committed_and_then_there_once() {
    let h = house();
    let [a, b] = [h.prepare("a").await, h.prepare("b").await];
    assert_eq!((a.offset, b.offset), (0, 1), "offsets among the halves");
    assert!(h.visible().await.is_empty());
    assert_eq!(h.open().len(), 2);
    h.end(&b, true).await.unwrap();
    assert_eq!(h.visible().await, ["b"]);
    h.end(&b, true).await.unwrap();
    assert_eq!(h.visible().await, ["b"], "told twice, done once");
    assert_eq!(h.end(&b, false).await.unwrap_err().kind(), ErrorKind::Conflict);
    h.end(&a, false).await.unwrap();
    h.end(&a, false).await.unwrap();
    assert_eq!(h.end(&a, true).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(h.visible().await, ["b"]);
    assert!(h.open().is_empty());
    let unknown = Sent { locator: 1, ..a };
    assert_eq!(h.end(&unknown, true).await.unwrap_err().kind(), ErrorKind::MessageNotFound);
    let delivered = h.read("t").await.remove(0);
    assert_eq!((delivered.message.kind, &delivered.message.id), (MessageType::Transaction, &b.id));
}

#[tokio::test(start_paused = true)]
async fn who_ends_a_transaction_must_know_it() {
    let h = house();
    let half = h.prepare("a").await;
    let (p, other) = (group("p"), group("other"));
    let end = EndTransaction { transaction: half.locator, commit: true, group: Some(&p), offset: Some(0) };
    for wrong in [EndTransaction { group: Some(&other), ..end }, EndTransaction { offset: Some(1), ..end }] {
        let error = h.broker.end_transaction(&h.me, wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
    assert!(h.visible().await.is_empty());
    h.broker.end_transaction(&h.me, end).await.unwrap();
    assert_eq!(h.visible().await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn halves_are_prepared_and_not_sent() {
    let h = house();
    let half = Message { kind: MessageType::Transaction, ..text("x") };
    let refused = h.broker.send(&h.me, SendRequest::one(topic("t"), half)).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    h.broker
        .put_topic(
            &h.me,
            &topic("n"),
            TopicSpec { kind: Some(MessageType::Normal), ..TopicSpec::with_queues(1) },
        )
        .await
        .unwrap();
    let prepare = |to: &str| {
        let request = PrepareRequest {
            send: SendRequest::one(topic(to), text("x")),
            group: group("p"),
            first_check: None,
        };
        h.broker.prepare(&h.me, request).err().map(|e| e.kind())
    };
    assert_eq!(prepare("n"), Some(ErrorKind::Conflict));
    assert_eq!(prepare("%RETRY%g"), Some(ErrorKind::InvalidArgument));
    let spec = TopicSpec { kind: Some(MessageType::Transaction), ..TopicSpec::with_queues(1) };
    h.broker.put_topic(&h.me, &topic("x"), spec).await.unwrap();
    assert_eq!(prepare("x"), None);
    assert!(h.broker.send(&h.me, SendRequest::one(topic("x"), text("x"))).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_waits_after_its_commit() {
    let h = house();
    let due = START + 60_000;
    let half = h.prepare_with(Message { deliver_at: Some(due), ..text("later") }, None).await;
    h.end(&half, true).await.unwrap();
    assert!(h.visible().await.is_empty());
    h.clock.set(due);
    h.broker.fire_due().await.unwrap();
    assert_eq!(h.visible().await, ["later"]);
}

#[tokio::test(start_paused = true)]
async fn checks_come_first_after_six_seconds_and_then_every_thirty() {
    let h = house();
    let half = h.prepare("a").await;
    h.clock.advance(5_999);
    assert!(h.checks().await.is_empty());
    h.clock.advance(1);
    let check = h.checks().await.remove(0);
    assert_eq!((check.transaction, check.checks, body(&check.message)), (half.locator, 1, "a".to_owned()));
    assert_eq!((check.message.topic, check.message.queue, check.message.offset), (topic("t"), QueueId(0), 0));
    assert!(h.checks().await.is_empty(), "handed out once");
    h.clock.advance(29_999);
    assert!(h.checks().await.is_empty());
    h.clock.advance(1);
    assert_eq!(h.checks().await[0].checks, 2);
    h.end(&half, true).await.unwrap();
    h.clock.advance(30_000);
    assert!(h.checks().await.is_empty());
    assert_eq!(h.visible().await, ["a"]);
    // A sender may ask for another first check.
    h.prepare_with(text("b"), Some(Duration::from_secs(60))).await;
    h.clock.advance(59_999);
    assert!(h.checks().await.is_empty());
    h.clock.advance(1);
    assert_eq!(h.checks().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connected_producer_is_told_and_each_in_turn() {
    let h = house();
    h.prepare("a").await;
    let (one, two) = (h.producer(), h.producer());
    let mut asked = Vec::new();
    h.clock.advance(6_000);
    for n in 1..=3 {
        h.broker.check_due().await.unwrap();
        let (first, second) = (told(&one).await, told(&two).await);
        let check = first.as_ref().or(second.as_ref()).unwrap();
        assert_eq!((check.checks, body(&check.message)), (n, "a".to_owned()));
        asked.push(first.is_some());
        assert!(first.is_none() || second.is_none());
        assert!(h.checks().await.is_empty(), "whoever was told is the one asked");
        h.clock.advance(30_000);
    }
    assert!(asked.contains(&true) && asked.contains(&false), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_check_goes_to_an_instance_that_lives() {
    let h = house();
    h.prepare("a").await;
    let gone = h.producer();
    drop(gone);
    let other = h.broker.client(&h.me);
    other.produce_as(&h.me, &[group("other")]).unwrap();
    h.clock.advance(6_000);
    h.broker.check_due().await.unwrap();
    assert_eq!(told(&other).await, None, "another group");
    let late = h.producer();
    h.broker.check_due().await.unwrap();
    assert_eq!(told(&late).await.unwrap().checks, 1, "it is asked as soon as it is there");
    late.stop_producing(&group("p"));
    h.clock.advance(30_000);
    h.broker.check_due().await.unwrap();
    assert_eq!(told(&late).await, None);
    // One that says nothing for two minutes is not asked either.
    assert_eq!(h.checks().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_may_not_send_is_not_asked() {
    let clock = Arc::new(ManualClock::new(START));
    let auth = Arc::new(Auth::acl(AuthConfig::default(), clock.clone()).unwrap());
    let broker = Broker::open(Arc::new(MemoryLog::new()), auth, clock.clone(), Config::default()).unwrap();
    for (name, superuser) in [("root", true), ("nosy", false)] {
        let spec = UserSpec { superuser: Some(superuser), secret: Some("s".into()), ..UserSpec::named(name) };
        broker.change_access_as_operator(Command::PutUser(spec)).await.unwrap();
    }
    let login = |user| {
        let shown = Credentials::Password { user, password: "s" };
        broker.login_now(shown, "127.0.0.1:1".parse().unwrap()).unwrap()
    };
    let (root, nosy) = (login("root"), login("nosy"));
    let request = PrepareRequest {
        send: SendRequest::one(topic("t"), text("secret")),
        group: group("p"),
        first_check: None,
    };
    let half = broker.prepare(&root, request).unwrap().await.unwrap().remove(0);
    let client = broker.client(&nosy);
    client.produce_as(&nosy, &[group("p")]).unwrap();
    clock.advance(6_000);
    broker.check_due().await.unwrap();
    assert_eq!(told(&client).await, None);
    assert!(broker.receive_checks(&nosy, &group("p"), 10, Duration::ZERO).await.unwrap().is_empty());
    assert!(broker.transactions(&nosy, None, 0, 10).unwrap().is_empty());
    let end = EndTransaction { transaction: half.locator, commit: true, group: None, offset: None };
    assert_eq!(broker.end_transaction(&nosy, end).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let policy = Policy::allow("nosy", "Topic:t", &[Action::Pub]).unwrap();
    broker.change_access_as_operator(Command::PutPolicy(policy)).await.unwrap();
    client.produce_as(&nosy, &[group("p")]).unwrap();
    broker.check_due().await.unwrap();
    assert_eq!(told(&client).await.unwrap().transaction, half.locator);
    broker.end_transaction(&nosy, end).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn undecided_ones_go_where_an_operator_finds_them() {
    let h = house();
    let half = h.prepare("a").await;
    h.clock.advance(6_000);
    for n in 1..=3 {
        assert_eq!(h.checks().await[0].checks, n);
        h.clock.advance(30_000);
    }
    assert!(h.checks().await.is_empty());
    assert!(h.open().is_empty());
    assert!(h.visible().await.is_empty());
    let found = h.read("TRANS_CHECK_MAX_TIME_TOPIC").await;
    assert_eq!((found.len(), body(&found[0]), found[0].original_topic()), (1, "a".to_owned(), &topic("t")));
    let why = found[0].message.headers.text("dead-letter-reason").unwrap();
    assert_eq!(why, "no outcome after 3 checks of p");
    assert_eq!(h.end(&half, true).await.unwrap_err().kind(), ErrorKind::Conflict);
    // Without anybody to ask, the age decides.
    h.prepare("b").await;
    h.clock.advance(Config::default().max_half_age.as_millis() - 1);
    h.broker.check_due().await.unwrap();
    assert_eq!(h.open().len(), 1);
    h.clock.advance(1);
    h.broker.check_due().await.unwrap();
    assert_eq!((h.open().len(), h.read("TRANS_CHECK_MAX_TIME_TOPIC").await.len()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_crash_changes_nothing() {
    let mut h = house();
    let [a, b, c] = [h.prepare("a").await, h.prepare("b").await, h.prepare("c").await];
    h.clock.advance(6_000);
    assert_eq!(h.checks().await.len(), 3);
    h.end(&a, true).await.unwrap();
    h.end(&b, false).await.unwrap();
    for checkpoint in [false, true, false] {
        if checkpoint {
            h.broker.checkpoint().unwrap();
        }
        h = h.restart();
        assert_eq!(h.visible().await, ["a"]);
        assert_eq!(h.open().iter().map(|t| (t.transaction, t.checks)).collect::<Vec<_>>(), [(c.locator, 1)]);
        h.end(&a, true).await.unwrap();
        h.end(&b, false).await.unwrap();
        assert_eq!(h.end(&b, true).await.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(h.visible().await, ["a"]);
    }
    h.clock.advance(30_000);
    assert_eq!(h.checks().await[0].checks, 2);
    h.end(&c, true).await.unwrap();
    assert_eq!(h.restart().visible().await, ["a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_topic_takes_its_halves_along() {
    let h = house();
    let half = h.prepare("a").await;
    h.broker.delete_topic(&h.me, &topic("t")).await.unwrap();
    assert!(h.open().is_empty());
    assert_eq!(h.end(&half, true).await.unwrap_err().kind(), ErrorKind::MessageNotFound);
    h.clock.advance(6_000);
    assert!(h.checks().await.is_empty());
    assert!(h.restart().open().is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Prepare,
    End { pick: usize, commit: bool },
    Poll,
    Told,
    Wait { millis: u64 },
    Checkpoint,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Prepare),
        4 => (0..12usize, any::<bool>()).prop_map(|(pick, commit)| Step::End { pick, commit }),
        2 => Just(Step::Poll),
        1 => Just(Step::Told),
        3 => (1..40_000u64).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..60)
}

/// What the clerk notes of a half.
#[derive(Debug, Clone)]
struct Note {
    half: Sent,
    body: String,
    checks: u32,
    next: Millis,
    /// Committed or rolled back.
    ended: Option<bool>,
    given_up: bool,
}

#[derive(Default)]
struct Clerk {
    notes: BTreeMap<u64, Note>,
    /// In the order in which they were committed.
    committed: Vec<String>,
}

impl Clerk {
    /// Checks that were made must have been due, and all that were due must have been made.
    fn checked(&mut self, now: Millis, checks: &[TransactionCheck]) {
        for check in checks {
            let note = self.notes.get_mut(&check.transaction).unwrap();
            assert!(note.ended.is_none() && note.next <= now, "asked too early, or too late: {note:?}");
            note.checks += 1;
            assert_eq!((check.checks, body(&check.message)), (note.checks, note.body.clone()));
            note.next = now + 30_000;
        }
        for note in self.notes.values_mut().filter(|n| n.ended.is_none() && !n.given_up && n.next <= now) {
            assert_eq!(note.checks, 3, "not asked in time: {note:?}");
            note.given_up = true;
        }
    }
}

async fn run(steps: Vec<Step>) {
    let mut h = house();
    let mut clerk = Clerk::default();
    for step in steps {
        match step {
            Step::Prepare => {
                let text = format!("m{}", clerk.notes.len());
                let half = h.prepare(&text).await;
                let next = h.clock.now() + 6_000;
                let note = Note { half, body: text, checks: 0, next, ended: None, given_up: false };
                clerk.notes.insert(note.half.locator, note);
            }
            Step::End { pick, commit } => {
                let count = clerk.notes.len().max(1);
                let Some(note) = clerk.notes.values_mut().nth(pick % count) else { continue };
                let outcome = h.end(&note.half, commit).await;
                let good = match (note.ended, note.given_up) {
                    (None, true) => false,
                    (Some(was), _) => was == commit,
                    (None, false) => true,
                };
                assert_eq!(outcome.is_ok(), good, "{note:?}");
                if good && note.ended.is_none() {
                    note.ended = Some(commit);
                    if commit {
                        clerk.committed.push(note.body.clone());
                    }
                }
            }
            Step::Poll => clerk.checked(h.clock.now(), &h.checks().await),
            Step::Told => {
                let producer = h.producer();
                h.broker.check_due().await.unwrap();
                let mut checks = Vec::new();
                while let Some(check) = told(&producer).await {
                    checks.push(check);
                }
                clerk.checked(h.clock.now(), &checks);
            }
            Step::Wait { millis } => h.clock.advance(millis),
            Step::Checkpoint => h.broker.checkpoint().unwrap(),
            Step::Crash => h = h.restart(),
        }
        assert_eq!(h.visible().await, clerk.committed);
        let open = clerk.notes.values().filter(|n| n.ended.is_none() && !n.given_up);
        let open: Vec<_> = open.map(|n| (n.half.locator, n.checks)).collect();
        assert_eq!(h.open().iter().map(|t| (t.transaction, t.checks)).collect::<Vec<_>>(), open);
        let given_up = clerk.notes.values().filter(|n| n.given_up).count();
        assert_eq!(h.read("TRANS_CHECK_MAX_TIME_TOPIC").await.len(), given_up);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_agrees_with_the_clerk(steps in steps()) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(run(steps));
    }
}
