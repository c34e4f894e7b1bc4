//! The rules, told as stories on a clock that moves only when told to.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use sluice_auth::{Auth, Credentials, Session};
use sluice_broker::*;
use sluice_model::*;
use sluice_store::{Log, MemoryLog};
use std::sync::Arc;
use std::time::Duration;

struct House {
    broker: Broker,
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    me: Session,
}

const START: Millis = 1_700_000_000_000;

fn house() -> House {
    house_on(Arc::new(MemoryLog::new()), Arc::new(ManualClock::new(START)))
}

fn house_on(log: Arc<MemoryLog>, clock: Arc<ManualClock>) -> House {
    let auth = Arc::new(Auth::open());
    let broker = Broker::open(log.clone(), auth, clock.clone(), Config::default()).unwrap();
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

impl House {
    /// The same house after a crash.
    fn restart(self) -> Self {
        let log = Arc::new(self.log.reopen());
        let clock = self.clock.clone();
        drop(self.broker);
        house_on(log, clock)
    }

    async fn send(&self, to: &str, message: Message) -> Sent {
        let request = SendRequest { create: Some(1), ..SendRequest::one(topic(to), message) };
        self.broker.send(&self.me, request).unwrap().await.unwrap().remove(0)
    }

    async fn receive(&self, of: &str, from: &str, max: usize) -> Vec<Delivered> {
        self.receive_with(of, from, max, Lease::For(Duration::from_secs(30)), &Filter::All).await
    }

    async fn receive_with(
        &self,
        of: &str,
        from: &str,
        max: usize,
        lease: Lease<'_>,
        filter: &Filter,
    ) -> Vec<Delivered> {
        let request = ReceiveRequest {
            group: &group(of),
            topic: &topic(from),
            filter,
            max,
            lease,
            wait: Duration::ZERO,
            start: StartAt::Earliest,
            create: Some(1),
        };
        self.broker.receive(&self.me, &request).await.unwrap()
    }

    async fn ack(&self, delivered: &Delivered) -> Result<()> {
        self.broker.ack(&self.me, &delivered.receipt)?.await
    }

    fn lag(&self, of: &str, on: &str) -> u64 {
        let progress = self.broker.progress(&self.me, &group(of), Some(&topic(on))).unwrap();
        progress.iter().map(Progress::lag).sum()
    }
}

fn bodies(delivered: &[Delivered]) -> Vec<String> {
    delivered.iter().map(|d| String::from_utf8(d.message.message.body_bytes().to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn a_message_is_delivered_once_and_gone_when_acknowledged() {
    let h = house();
    for body in ["a", "b", "c"] {
        h.send("t", text(body)).await;
    }
    let got = h.receive("g", "t", 2).await;
    assert_eq!(bodies(&got), ["a", "b"]);
    assert_eq!(bodies(&h.receive("g", "t", 10).await), ["c"]);
    assert!(h.receive("g", "t", 10).await.is_empty(), "all are leased");
    assert_eq!(
        bodies(&h.receive("other", "t", 10).await),
        ["a", "b", "c"],
        "another group has its own progress"
    );
    h.ack(&got[0]).await.unwrap();
    assert_eq!(h.lag("g", "t"), 2);
    h.ack(&got[1]).await.unwrap();
    assert_eq!(h.lag("g", "t"), 1);
    let again = h.ack(&got[1]).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::ReceiptExpired);
}

#[tokio::test]
async fn a_lease_that_ends_brings_the_message_to_another_consumer() {
    let h = house();
    h.send("t", text("a")).await;
    let first = h.receive("g", "t", 1).await;
    assert_eq!(first[0].attempt, 1);
    h.clock.advance(29_999);
    assert!(h.receive("g", "t", 1).await.is_empty());
    h.clock.advance(1);
    let second = h.receive("g", "t", 1).await;
    assert_eq!((bodies(&second), second[0].attempt), (vec!["a".to_owned()], 2));
    assert_eq!(h.ack(&first[0]).await.unwrap_err().kind(), ErrorKind::ReceiptExpired);
    h.ack(&second[0]).await.unwrap();
    assert_eq!(h.lag("g", "t"), 0);
}

#[tokio::test]
async fn a_waiting_receive_is_woken_by_a_send_and_by_a_release() {
    let h = house();
    h.receive("g", "t", 1).await;
    let (g, t) = (group("g"), topic("t"));
    let request = ReceiveRequest {
        group: &g,
        topic: &t,
        filter: &Filter::All,
        max: 1,
        lease: Lease::For(Duration::from_secs(30)),
        wait: Duration::from_secs(20),
        start: StartAt::Earliest,
        create: None,
    };
    let (got, _) = tokio::join!(h.broker.receive(&h.me, &request), async {
        tokio::task::yield_now().await;
        h.send("t", text("now")).await;
    });
    let got = got.unwrap();
    assert_eq!(bodies(&got), ["now"]);
    let (got, _) = tokio::join!(h.broker.receive(&h.me, &request), async {
        tokio::task::yield_now().await;
        h.broker.release(&h.me, &got[0].receipt).unwrap().await.unwrap();
    });
    assert_eq!(got.unwrap()[0].attempt, 1, "a release is not an attempt");
}

#[tokio::test]
async fn many_are_acknowledged_at_once_and_each_is_told_of() {
    let h = house();
    for n in 0..600 {
        h.send("T", text(&n.to_string())).await;
    }
    let got = h.receive("G", "T", 600).await;
    h.ack(&got[599]).await.unwrap();
    let mut receipts: Vec<_> = got.iter().map(|delivered| delivered.receipt.clone()).collect();
    receipts.insert(1, receipts[0].clone());
    receipts.push("no receipt".into());
    let end = h.log.end();
    let told = h.broker.ack_all(&h.me, &receipts).unwrap().await.unwrap();
    let refused: Vec<_> =
        told.iter().enumerate().filter_map(|(at, told)| Some((at, told.as_ref().err()?.kind()))).collect();
    let (expired, invalid) = (ErrorKind::ReceiptExpired, ErrorKind::InvalidArgument);
    assert_eq!(refused, [(1, expired), (600, expired), (601, invalid)]);
    assert!(h.log.end() > end);
    let h = h.restart();
    h.clock.advance(31_000);
    assert!(h.receive("G", "T", 600).await.is_empty());
}

#[tokio::test]
async fn a_holder_that_is_dropped_gives_everything_back_in_order() {
    let h = house();
    for body in ["a", "b", "c"] {
        h.send("t", text(body)).await;
    }
    let holder = h.broker.holder();
    let held = h.receive_with("g", "t", 10, Lease::Held(&holder), &Filter::All).await;
    h.clock.advance(100_000_000);
    assert!(h.receive("g", "t", 10).await.is_empty(), "held without end");
    h.ack(&held[1]).await.unwrap();
    drop(holder);
    let again = h.receive("g", "t", 10).await;
    assert_eq!(bodies(&again), ["a", "c"]);
    assert_eq!(again[0].attempt, 1);
}

#[tokio::test]
async fn nacked_messages_come_back_and_end_in_the_dead_letter_topic_once() {
    let h = house();
    let spec = GroupSpec { max_attempts: Some(2), ..GroupSpec::default() };
    h.broker.put_group(&h.me, &group("g"), spec).await.unwrap();
    h.send("t", Message { tag: Some("x".into()), ..text("bad") }).await;
    h.send("t", text("good")).await;
    for attempt in 1..=2 {
        let got = h.receive("g", "t", 1).await;
        assert_eq!((bodies(&got), got[0].attempt), (vec!["bad".to_owned()], attempt));
        h.broker.nack(&h.me, &got[0].receipt, Some(Duration::from_secs(5))).unwrap().await.unwrap();
        h.clock.advance(5000);
    }
    let dead = h.receive("looker", "%DLQ%g", 10).await;
    assert_eq!(bodies(&dead), ["bad"], "at once, without another receive");
    let got = h.receive("g", "t", 10).await;
    assert_eq!(bodies(&got), ["good"]);
    h.ack(&got[0]).await.unwrap();
    assert_eq!(h.lag("g", "t"), 0);
    let dead = h.receive("undertaker", "%DLQ%g", 10).await;
    assert_eq!(bodies(&dead), ["bad"]);
    let message = &dead[0].message;
    assert_eq!(message.message.tag.as_deref(), Some("x"));
    assert_eq!(message.original_topic(), &topic("t"));
}

#[tokio::test]
async fn a_nack_without_a_delay_follows_the_groups_steps() {
    let h = house();
    let steps = vec![units::Span::secs(1), units::Span::secs(60)];
    let spec = GroupSpec { retry_delays: steps, ..GroupSpec::default() };
    h.broker.put_group(&h.me, &group("g"), spec).await.unwrap();
    h.send("t", text("a")).await;
    for wait in [1000, 60_000, 60_000] {
        let got = h.receive("g", "t", 1).await;
        h.broker.nack(&h.me, &got[0].receipt, None).unwrap().await.unwrap();
        h.clock.advance(wait - 1);
        assert!(h.receive("g", "t", 1).await.is_empty());
        h.clock.advance(1);
    }
    assert_eq!(h.receive("g", "t", 1).await[0].attempt, 4);
}

#[tokio::test]
async fn extending_a_lease_gives_a_new_handle_and_keeps_the_old_one_for_its_time() {
    let h = house();
    h.send("t", text("a")).await;
    let got = h.receive("g", "t", 1).await;
    let extended =
        h.broker.change_invisible(&h.me, &got[0].receipt, Duration::from_secs(100)).unwrap().await.unwrap();
    assert_eq!(extended.until, START + 100_000);
    h.clock.advance(30_000);
    assert_eq!(h.ack(&got[0]).await.unwrap_err().kind(), ErrorKind::ReceiptExpired);
    assert!(h.receive("g", "t", 1).await.is_empty());
    h.broker.ack(&h.me, &extended.receipt).unwrap().await.unwrap();
    assert_eq!(h.lag("g", "t"), 0);
}

#[tokio::test]
async fn a_tag_filter_passes_over_the_rest_however_much_it_is() {
    let h = house();
    for i in 0..5000 {
        let tag = if i == 4999 { "b" } else { "a" };
        h.send("t", Message { tag: Some(tag.into()), ..text(tag) }).await;
    }
    let filter = Filter::tags("b").unwrap();
    let got = h.receive_with("g", "t", 10, Lease::For(Duration::from_secs(1)), &filter).await;
    assert_eq!(bodies(&got), ["b"]);
    h.ack(&got[0]).await.unwrap();
    assert_eq!(h.lag("g", "t"), 0);
}

#[tokio::test]
async fn an_expired_message_is_not_delivered() {
    let h = house();
    h.send("t", Message { expires_at: Some(START + 10), ..text("old") }).await;
    h.send("t", text("new")).await;
    let from = topic("t");
    let mut cursor = h.broker.cursor(&h.me, &from, Filter::All, StartAt::Earliest, None).await.unwrap();
    h.clock.advance(10);
    assert_eq!(bodies(&h.receive("g", "t", 10).await), ["new"]);
    // The same for those who read by offset, but not for those who only look.
    assert_eq!(texts(&h.broker.poll(&h.me, &mut cursor, 10, Duration::ZERO).await.unwrap()), ["new"]);
    let reader = group("g");
    let request = PullRequest {
        topic: &from,
        queue: QueueId(0),
        offset: 0,
        max: 10,
        max_bytes: 1 << 20,
        filter: &Filter::All,
        group: Some(&reader),
        wait: Duration::ZERO,
    };
    let consumed = h.broker.pull(&h.me, &request).await.unwrap();
    assert_eq!((texts(&consumed.messages), consumed.next), (vec!["new".to_owned()], 2));
    let looked_at = h.broker.pull(&h.me, &PullRequest { group: None, ..request }).await.unwrap();
    assert_eq!(texts(&looked_at.messages), ["old", "new"]);
}

fn texts(messages: &[StoredMessage]) -> Vec<String> {
    messages.iter().map(|m| String::from_utf8_lossy(m.message.body_bytes()).into_owned()).collect()
}

#[tokio::test]
async fn a_restart_keeps_topics_groups_progress_leases_and_attempts() {
    let h = house();
    for body in ["a", "b", "c", "d"] {
        h.send("t", text(body)).await;
    }
    let got = h.receive("g", "t", 2).await;
    h.ack(&got[0]).await.unwrap();
    let holder = h.broker.holder();
    h.receive_with("g", "t", 1, Lease::Held(&holder), &Filter::All).await;
    std::mem::forget(holder);
    let h = h.restart();
    // "b" is still leased to someone who may be alive; "c" was held by a connection that is not; "d" is new.
    let again = h.receive("g", "t", 10).await;
    assert_eq!(bodies(&again), ["c", "d"]);
    assert_eq!(again[0].attempt, 2);
    h.ack(&Delivered { receipt: got[1].receipt.clone(), ..again[0].clone() }).await.unwrap();
    assert_eq!(h.broker.committed(&h.me, &group("g"), &topic("t"), QueueId(0)).unwrap(), Some(2));
}

#[tokio::test]
async fn a_restart_from_a_checkpoint_gives_the_same_state() {
    let h = house();
    for body in ["a", "b", "c"] {
        h.send("t", text(body)).await;
    }
    h.send("later", Message { deliver_at: Some(START + 1000), ..text("later") }).await;
    let got = h.receive("g", "t", 2).await;
    h.ack(&got[1]).await.unwrap();
    h.broker.checkpoint().unwrap();
    h.send("t", text("d")).await;
    let h = h.restart();
    assert_eq!(bodies(&h.receive("g", "t", 10).await), ["c", "d"]);
    h.ack(&got[0]).await.unwrap();
    h.clock.advance(1000);
    h.broker.fire_due().await.unwrap();
    assert_eq!(bodies(&h.receive("g", "later", 10).await), ["later"]);
}

#[tokio::test]
async fn a_delayed_message_is_never_early_and_comes_exactly_once() {
    let h = house();
    let sent = h.send("t", Message { deliver_at: Some(START + 5000), ..text("later") }).await;
    assert!(sent.delayed);
    h.clock.advance(4999);
    h.broker.fire_due().await.unwrap();
    assert!(h.receive("g", "t", 1).await.is_empty());
    let h = h.restart();
    h.clock.advance(1);
    h.broker.fire_due().await.unwrap();
    h.broker.fire_due().await.unwrap();
    assert_eq!(bodies(&h.receive("g", "t", 10).await), ["later"]);
    let h = h.restart();
    h.clock.advance(100_000);
    h.broker.fire_due().await.unwrap();
    assert_eq!(bodies(&h.receive("fresh", "t", 10).await), ["later"]);
}

#[tokio::test]
async fn a_message_sent_back_returns_through_the_retry_topic_until_its_attempts_are_used_up() {
    let h = house();
    let sent = h.send("t", text("a")).await;
    let client = h.broker.client(&h.me);
    client.join(&h.me, membership("g", "c1")).unwrap();
    h.broker
        .send_back(&h.me, &group("g"), sent.locator, Some(Duration::from_secs(10)), Some(1))
        .await
        .unwrap();
    h.clock.advance(10_000);
    h.broker.fire_due().await.unwrap();
    let retry = group("g").retry_topic();
    let pulled = pull(&h, &retry, 0).await;
    assert_eq!((pulled.messages[0].message.attempt, pulled.messages[0].original_topic()), (1, &topic("t")));
    h.broker.send_back(&h.me, &group("g"), pulled.messages[0].locator, None, Some(1)).await.unwrap();
    let dead = pull(&h, &group("g").dead_letter_topic(), 0).await;
    assert_eq!(dead.messages.len(), 1);
    assert_eq!(dead.messages[0].message.attempt, 2, "both deliveries failed");
    assert_eq!(dead.messages[0].message.origin.as_ref().unwrap().locator, sent.locator);
}

#[tokio::test]
async fn a_lease_consumer_gets_what_a_queue_consumer_of_its_group_sent_back() {
    let h = house();
    let sent = h.send("t", text("a")).await;
    h.send("u", text("elsewhere")).await;
    h.broker.client(&h.me).join(&h.me, membership("g", "c1")).unwrap();
    let first = h.receive("g", "t", 1).await;
    h.ack(&first[0]).await.unwrap();
    h.broker.send_back(&h.me, &group("g"), sent.locator, Some(Duration::ZERO), None).await.unwrap();
    assert_eq!(bodies(&h.receive("g", "u", 10).await), ["elsewhere"], "not a message of this topic");
    let again = h.receive("g", "t", 10).await;
    assert_eq!((bodies(&again), again[0].attempt), (vec!["a".to_owned()], 2));
}

#[tokio::test]
async fn work_is_all_or_nothing() {
    let h = house();
    h.send("in", text("a")).await;
    let got = h.receive("g", "in", 1).await;
    let send = |to: &str| SendRequest { create: Some(1), ..SendRequest::one(topic(to), text("out")) };
    let work = Work { sends: vec![send("x"), send("y")], acks: vec![got[0].receipt.clone()] };
    let sent = h.broker.work(&h.me, work.clone()).unwrap().await.unwrap();
    assert_eq!(sent.len(), 2);
    assert_eq!(h.lag("g", "in"), 0);
    let again = h.broker.work(&h.me, work);
    assert_eq!(again.err().unwrap().kind(), ErrorKind::ReceiptExpired);
    assert_eq!(bodies(&h.receive("g", "x", 10).await).len(), 1, "the second time nothing was sent");
}

#[tokio::test]
async fn members_are_told_of_each_other_and_locks_have_one_holder() {
    let h = house();
    let (one, two) = (h.broker.client(&h.me), h.broker.client(&h.me));
    assert!(one.join(&h.me, membership("g", "c1")).unwrap().changed);
    assert_eq!(one.event().await, ClientEvent::GroupChanged(group("g")));
    assert!(!one.join(&h.me, membership("g", "c1")).unwrap().changed);
    two.join(&h.me, membership("g", "c2")).unwrap();
    assert_eq!(one.event().await, ClientEvent::GroupChanged(group("g")));
    assert_eq!(h.broker.members(&h.me, &group("g")).unwrap().len(), 2);
    h.broker.ensure_topic(&h.me, &topic("t"), 2).unwrap();
    let queues = [(topic("t"), QueueId(0)), (topic("t"), QueueId(1)), (topic("t"), QueueId(2))];
    let locked = h.broker.lock_queues(&h.me, &group("g"), "c1", &queues).unwrap();
    assert_eq!(locked, queues[..2], "a queue that is not there is not locked");
    assert!(h.broker.lock_queues(&h.me, &group("g"), "c2", &queues).unwrap().is_empty());
    h.clock.advance(60_001);
    assert_eq!(h.broker.lock_queues(&h.me, &group("g"), "c2", &queues[..1]).unwrap(), queues[..1]);
    drop(one);
    assert_eq!(two.event().await, ClientEvent::GroupChanged(group("g")));
    assert_eq!(h.broker.members(&h.me, &group("g")).unwrap().len(), 1);
}

#[tokio::test]
async fn offsets_are_one_number_for_lease_and_queue_consumers() {
    let h = house();
    for body in ["a", "b", "c"] {
        h.send("t", text(body)).await;
    }
    let (g, t, q) = (group("g"), topic("t"), QueueId(0));
    assert_eq!(h.broker.committed(&h.me, &g, &t, q).unwrap(), None);
    h.broker.commit_offset(&h.me, &g, &t, q, 2).unwrap().await.unwrap();
    assert_eq!(bodies(&h.receive("g", "t", 10).await), ["c"]);
    let moved = h.broker.reset_offsets(&h.me, &g, &t, StartAt::Earliest, true).await.unwrap();
    assert_eq!((moved[0].committed, h.lag("g", "t")), (0, 1), "a dry run moves nothing");
    h.broker.reset_offsets(&h.me, &g, &t, StartAt::Earliest, false).await.unwrap();
    assert_eq!(bodies(&h.receive("g", "t", 10).await), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_new_group_can_begin_at_the_end_and_misses_nothing_from_then_on() {
    let h = house();
    h.send("t", text("old")).await;
    let (g, t) = (group("g"), topic("t"));
    let spec = GroupSpec { start: StartAt::Latest, ..GroupSpec::default() };
    h.broker.put_group(&h.me, &g, spec).await.unwrap();
    assert!(h.receive("g", "t", 10).await.is_empty());
    h.send("t", text("new")).await;
    let h = h.restart();
    assert_eq!(bodies(&h.receive("g", "t", 10).await), ["new"]);
    let _ = t;
}

#[tokio::test]
async fn a_cursor_sees_what_comes_after_it_was_made() {
    let h = house();
    h.send("t", text("old")).await;
    let mut cursor = h.broker.cursor(&h.me, &topic("t"), Filter::All, StartAt::Latest, None).await.unwrap();
    h.send("t", text("new")).await;
    let got = h.broker.poll(&h.me, &mut cursor, 10, Duration::ZERO).await.unwrap();
    assert_eq!(got.len(), 1);
    assert_eq!(got[0].message.body_bytes(), b"new");
    assert!(h.broker.poll(&h.me, &mut cursor, 10, Duration::ZERO).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_recalled_message_never_comes() {
    let h = house();
    let later = |body: &str| Message { deliver_at: Some(START + 60_000), ..text(body) };
    let [kept, gone] = [h.send("t", later("kept")).await, h.send("t", later("gone")).await];
    let t = topic;
    let recall = async |to: &str, due: Millis, at: u64| h.broker.recall(&h.me, &t(to), due, at).await;
    for (to, due, at) in [
        ("t", START + 60_001, gone.locator),
        ("t", START + 60_000, gone.locator + 8),
        ("other", START + 60_000, gone.locator),
    ] {
        let error = recall(to, due, at).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::MessageNotFound);
    }
    assert_eq!(recall("%RETRY%g", START, 1).await.err().unwrap().kind(), ErrorKind::InvalidArgument);
    recall("t", START + 60_000, gone.locator).await.unwrap().await.unwrap();
    assert!(recall("t", START + 60_000, gone.locator).await.is_err(), "told twice");
    let h = h.restart();
    h.clock.advance(60_000);
    h.broker.fire_due().await.unwrap();
    assert_eq!(bodies(&h.receive("g", "t", 10).await), ["kept"]);
    assert!(h.broker.recall(&h.me, &topic("t"), START + 60_000, kept.locator).await.is_err(), "delivered");
}

#[tokio::test]
async fn what_may_not_be_stored_is_refused_and_leaves_nothing_behind() {
    let h = house();
    h.send("t", text("a")).await;
    let refuse = |message: Message, queue| {
        let request = SendRequest { queue, ..SendRequest::one(topic("t"), message) };
        h.broker.send(&h.me, request).err().unwrap().kind()
    };
    let big = Message { body: Some(Bytes::from(vec![0; (4 << 20) + 1])), ..Message::default() };
    assert_eq!(refuse(big, QueueChoice::Any), ErrorKind::TooLarge);
    assert_eq!(refuse(text("x"), QueueChoice::Exactly(QueueId(9))), ErrorKind::InvalidArgument);
    let far = Message { deliver_at: Some(START + 41 * 86_400_000), ..text("x") };
    assert_eq!(refuse(far, QueueChoice::Any), ErrorKind::InvalidArgument);
    let half = Message { kind: MessageType::Transaction, ..text("x") };
    assert_eq!(refuse(half, QueueChoice::Any), ErrorKind::InvalidArgument);
    let unknown = SendRequest { create: None, ..SendRequest::one(topic("nowhere"), text("x")) };
    assert_eq!(h.broker.send(&h.me, unknown).err().unwrap().kind(), ErrorKind::TopicNotFound);
    assert_eq!(h.broker.bounds(&h.me, &topic("t"), QueueId(0)).unwrap(), (0, 1));
    let fifo = TopicSpec { kind: Some(MessageType::Fifo), ..TopicSpec::with_queues(1) };
    h.broker.put_topic(&h.me, &topic("f"), fifo).await.unwrap();
    let request = SendRequest::one(topic("f"), text("x"));
    assert_eq!(h.broker.send(&h.me, request).err().unwrap().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn a_topic_that_may_not_be_read_or_written_refuses_just_that() {
    let h = house();
    let mut spec = TopicSpec { perm: 2, ..TopicSpec::with_queues(1) };
    h.broker.put_topic(&h.me, &topic("t"), spec.clone()).await.unwrap();
    h.send("t", text("a")).await;
    let cursor = h.broker.cursor(&h.me, &topic("t"), Filter::All, StartAt::Earliest, None).await;
    assert_eq!(cursor.unwrap_err().kind(), ErrorKind::PermissionDenied);
    spec.perm = 4;
    h.broker.put_topic(&h.me, &topic("t"), spec).await.unwrap();
    assert_eq!(bodies(&h.receive("g", "t", 1).await), ["a"]);
    let refused = h.broker.send(&h.me, SendRequest::one(topic("t"), text("b"))).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn a_deleted_topic_begins_anew() {
    let h = house();
    h.send("t", text("a")).await;
    h.receive("g", "t", 1).await;
    h.broker.delete_topic(&h.me, &topic("t")).await.unwrap();
    assert_eq!(h.broker.topic(&h.me, &topic("t")).unwrap_err().kind(), ErrorKind::TopicNotFound);
    h.send("t", text("b")).await;
    let h = h.restart();
    assert_eq!(bodies(&h.receive("g", "t", 10).await), ["b"]);
}

#[tokio::test]
async fn what_retention_took_does_not_come_back_and_takes_nothing_else_along() {
    let h = house();
    for body in ["old", "older"] {
        h.send("t", text(body)).await;
    }
    h.clock.advance(1000);
    for body in ["young", "younger"] {
        h.send("t", text(body)).await;
    }
    assert_eq!(h.receive("g", "t", 10).await.len(), 4);
    h.broker.checkpoint().unwrap();
    h.broker.checkpoint().unwrap();
    h.log.trim(START + 500, u64::MAX).unwrap();
    assert_eq!(h.broker.bounds(&h.me, &topic("t"), QueueId(0)).unwrap(), (2, 4));
    h.clock.advance(60_000);
    let got = h.receive("g", "t", 10).await;
    assert_eq!(bodies(&got), ["young", "younger"]);
    for delivered in &got {
        h.ack(delivered).await.unwrap();
    }
    assert_eq!(h.lag("g", "t"), 0);
}

#[tokio::test]
async fn on_a_full_disk_messages_are_refused_and_acknowledgements_accepted() {
    let h = house();
    h.send("t", text("a")).await;
    let got = h.receive("g", "t", 1).await;
    h.log.set_full(true);
    let refused = h.broker.send(&h.me, SendRequest::one(topic("t"), text("b"))).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    h.ack(&got[0]).await.unwrap();
    h.log.set_full(false);
    h.send("t", text("b")).await;
}

fn membership(of: &str, client: &str) -> Membership {
    Membership {
        group: group(of),
        client_id: client.into(),
        sharing: Sharing::Clustering,
        fetching: Fetching::Push,
        start: StartAt::Earliest,
        subscriptions: Some(Vec::new()),
        agent: "test".into(),
    }
}

async fn pull(h: &House, from: &TopicName, offset: Offset) -> Pulled {
    let request = PullRequest {
        topic: from,
        queue: QueueId(0),
        offset,
        max: 32,
        max_bytes: 1 << 20,
        filter: &Filter::All,
        group: None,
        wait: Duration::ZERO,
    };
    h.broker.pull(&h.me, &request).await.unwrap()
}
