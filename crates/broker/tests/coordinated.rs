//! Groups whose members a front-end gathers: who may be at work beside them, and what becomes of their offsets.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use sluice_auth::{Auth, Credentials, Session};
use sluice_broker::*;
use sluice_model::*;
use sluice_store::MemoryLog;
use std::sync::Arc;
use std::time::Duration;

struct House {
    broker: Broker,
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
    me: Session,
}

const DAY: Millis = 86_400_000;

fn house() -> House {
    house_on(Arc::new(MemoryLog::new()), Arc::new(ManualClock::new(1_700_000_000_000)))
}

fn house_on(log: Arc<MemoryLog>, clock: Arc<ManualClock>) -> House {
    let broker = Broker::open(log.clone(), Arc::new(Auth::open()), clock.clone(), Config::default()).unwrap();
    let me = broker.login_now(Credentials::Anonymous, "127.0.0.1:1".parse().unwrap()).unwrap();
    House { broker, log, clock, me }
}

fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

fn group() -> GroupName {
    GroupName::new("g").unwrap()
}

fn commit(offset: Offset, note: &str) -> QueueCommit {
    QueueCommit { queue: QueueId(0), offset, epoch: Some(3), note: note.to_owned().into() }
}

impl House {
    fn restart(self) -> Self {
        let (log, clock) = (Arc::new(self.log.reopen()), self.clock.clone());
        drop(self.broker);
        house_on(log, clock)
    }

    async fn send(&self) {
        let message = Message { body: Some(Bytes::from_static(b"x")), ..Message::default() };
        let request = SendRequest { create: Some(1), ..SendRequest::one(topic(), message) };
        self.broker.send(&self.me, request).unwrap().await.unwrap();
    }

    async fn receive(&self) -> Result<Vec<Delivered>> {
        let request = ReceiveRequest {
            group: &group(),
            topic: &topic(),
            filter: &Filter::All,
            max: 1,
            lease: Lease::For(Duration::from_secs(30)),
            wait: Duration::ZERO,
            start: StartAt::Earliest,
            create: None,
        };
        self.broker.receive(&self.me, &request).await
    }

    fn join(&self, client: &Client) -> Result<Joined> {
        let membership = Membership {
            group: group(),
            client_id: "c".into(),
            sharing: Sharing::Clustering,
            fetching: Fetching::Push,
            start: StartAt::Earliest,
            subscriptions: None,
            agent: "".into(),
        };
        client.join(&self.me, membership)
    }

    async fn commit(&self, offset: Offset, note: &str) {
        let commits = [commit(offset, note)];
        self.broker.commit_offsets(&self.me, &group(), &topic(), &commits).unwrap().await.unwrap();
    }

    fn committed(&self) -> Vec<(Offset, Option<i32>, String)> {
        let known = self.broker.committed_offsets(&self.me, &group(), Some(&topic())).unwrap();
        known.into_iter().map(|c| (c.offset, c.epoch, c.note.to_string())).collect()
    }
}

#[tokio::test]
async fn a_group_is_consumed_by_one_set_of_rules_at_a_time() {
    let h = house();
    h.send().await;
    let client = h.broker.client(&h.me);
    let hold = h.broker.coordinate(&h.me, &group()).unwrap();
    assert_eq!(h.join(&client).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(h.receive().await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(h.broker.coordinate(&h.me, &group()).unwrap_err().kind(), ErrorKind::Conflict);
    drop(hold);
    h.join(&client).unwrap();
    assert_eq!(h.broker.coordinate(&h.me, &group()).unwrap_err().kind(), ErrorKind::Conflict);
    client.leave(&group());
    let leased = h.receive().await.unwrap().remove(0);
    assert_eq!(h.broker.coordinate(&h.me, &group()).unwrap_err().kind(), ErrorKind::Conflict);
    h.broker.ack(&h.me, &leased.receipt).unwrap().await.unwrap();
    assert!(h.broker.coordinate(&h.me, &group()).is_ok());
}

#[tokio::test]
async fn a_lease_that_has_ended_keeps_nobody_out() {
    let h = house();
    h.send().await;
    assert_eq!(h.receive().await.unwrap().len(), 1);
    h.clock.advance(30_000);
    assert!(h.broker.coordinate(&h.me, &group()).is_ok());
}

#[tokio::test]
async fn members_are_shown_while_the_group_is_held() {
    let h = house();
    h.send().await;
    let hold = h.broker.coordinate(&h.me, &group()).unwrap();
    let member = Member {
        client_id: "m-1".into(),
        peer: h.me.peer(),
        fetching: Fetching::Pull,
        sharing: Sharing::Clustering,
        start: StartAt::Earliest,
        agent: "".into(),
        subscriptions: Vec::new(),
        last_seen: 0,
    };
    hold.set_members(vec![member.clone()]);
    assert_eq!(h.broker.members(&h.me, &group()).unwrap(), [member]);
    drop(hold);
    assert!(h.broker.members(&h.me, &group()).unwrap().is_empty());
}

#[tokio::test]
async fn offsets_and_notes_outlive_a_crash_and_a_checkpoint() {
    let h = house();
    h.send().await;
    assert!(h.committed().is_empty());
    h.commit(1, "mine").await;
    let h = h.restart();
    assert_eq!(h.committed(), [(1, Some(3), "mine".to_owned())]);
    h.broker.checkpoint().unwrap();
    let h = h.restart();
    assert_eq!(h.committed(), [(1, Some(3), "mine".to_owned())]);
    // Every other wire reads the same place.
    assert_eq!(h.broker.committed(&h.me, &group(), &topic(), QueueId(0)).unwrap(), Some(1));
    let long = [commit(1, &"x".repeat(4097))];
    let refused = h.broker.commit_offsets(&h.me, &group(), &topic(), &long).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn a_note_is_shown_for_the_offset_it_speaks_of() {
    let h = house();
    h.send().await;
    h.send().await;
    h.commit(1, "mine").await;
    let to = h.broker.commit_offset(&h.me, &group(), &topic(), QueueId(0), 2).unwrap();
    to.await.unwrap();
    assert_eq!(h.committed(), [(2, None, String::new())]);
}

#[tokio::test]
async fn forgotten_offsets_are_gone() {
    let h = house();
    h.send().await;
    let unknown = h.broker.forget_offsets(&h.me, &group(), &[(&topic(), &[QueueId(0)])]).err().unwrap();
    assert_eq!(unknown.kind(), ErrorKind::GroupNotFound);
    h.commit(1, "").await;
    h.broker.forget_offsets(&h.me, &group(), &[(&topic(), &[QueueId(0)])]).unwrap().await.unwrap();
    assert!(h.committed().is_empty());
    let h = h.restart();
    assert!(h.committed().is_empty());
    assert_eq!(h.receive().await.unwrap().len(), 1, "it begins anew");
}

/// Lets the broker keep house once.
async fn a_minute(h: &House) {
    let running = h.broker.clone();
    let _ = tokio::time::timeout(Duration::from_secs(61), async move { running.run().await }).await;
}

#[tokio::test(start_paused = true)]
async fn groups_that_only_committed_are_forgotten_a_week_after_the_last_member_went() {
    let h = house();
    h.send().await;
    h.commit(1, "").await;
    let hold = h.broker.coordinate(&h.me, &group()).unwrap();
    hold.set_members(vec![Member {
        client_id: "m".into(),
        peer: h.me.peer(),
        fetching: Fetching::Pull,
        sharing: Sharing::Clustering,
        start: StartAt::Earliest,
        agent: "".into(),
        subscriptions: Vec::new(),
        last_seen: 0,
    }]);
    h.clock.advance(8 * DAY);
    a_minute(&h).await;
    assert_eq!(h.committed().len(), 1, "somebody is there");
    drop(hold);
    h.clock.advance(7 * DAY - 1);
    a_minute(&h).await;
    assert_eq!(h.committed().len(), 1);
    let h = h.restart();
    h.clock.advance(1);
    a_minute(&h).await;
    assert!(h.committed().is_empty());
    assert_eq!(h.broker.group(&h.me, &group()).unwrap_err().kind(), ErrorKind::GroupNotFound);
}

#[tokio::test(start_paused = true)]
async fn groups_with_settings_and_those_consumed_otherwise_stay() {
    let h = house();
    h.send().await;
    h.send().await;
    h.commit(1, "").await;
    h.broker.put_group(&h.me, &group(), GroupSpec::default().fifo(true)).await.unwrap();
    h.clock.advance(30 * DAY);
    a_minute(&h).await;
    assert_eq!(h.committed().len(), 1, "it has settings of its own");
    h.broker.put_group(&h.me, &group(), GroupSpec::default()).await.unwrap();
    let leased = h.receive().await.unwrap().remove(0);
    h.broker.ack(&h.me, &leased.receipt).unwrap().await.unwrap();
    a_minute(&h).await;
    assert_eq!(h.committed().len(), 1, "it was consumed under lease since");
}
