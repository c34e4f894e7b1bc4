//! Scenarios of the group whose partitions the broker shares out.

use super::*;
use proptest::prelude::*;

const SESSION: Millis = 45_000;
const REBALANCE: Millis = 60_000;

struct Fixed(Vec<(&'static str, u8, i32)>);

impl Topics for Fixed {
    fn find(&self, name: &str) -> Option<(Uuid, i32)> {
        let (_, id, partitions) = self.0.iter().find(|(of, ..)| *of == name)?;
        Some((Uuid::from_bytes([*id; 16]), *partitions))
    }

    fn matching(&self, pattern: &str) -> Vec<String> {
        self.0.iter().filter(|(of, ..)| of.starts_with(pattern)).map(|(of, ..)| (*of).to_owned()).collect()
    }
}

fn t(id: u8) -> Uuid {
    Uuid::from_bytes([id; 16])
}

struct World {
    group: Consumer,
    topics: Fixed,
    now: Millis,
}

/// A client as it behaves: it gives up what it is no longer told, and says so.
#[derive(Debug, Clone, Default)]
struct Client {
    id: String,
    epoch: i32,
    owned: Assigned,
}

impl World {
    fn new(partitions: i32) -> Self {
        let limits = ConsumerLimits { max_members: 5, session: SESSION };
        Self { group: Consumer::new(limits), topics: Fixed(vec![("t", 1, partitions)]), now: 1_000_000 }
    }

    fn send(&mut self, beat: Beat) -> Result<Beaten, Refusal> {
        self.group.heartbeat(self.now, beat, &self.topics)
    }

    fn join(&mut self, id: &str) -> Client {
        let beaten = self.send(joining(id)).unwrap();
        Client { id: id.into(), epoch: beaten.epoch, owned: beaten.assigned.unwrap() }
    }

    /// A heartbeat with what the client has.
    fn beat(&mut self, client: &mut Client) -> Result<(), Refusal> {
        let beat = Beat {
            member: client.id.clone(),
            epoch: client.epoch,
            owned: Some(client.owned.clone()),
            ..Beat::default()
        };
        let beaten = self.send(beat)?;
        client.epoch = beaten.epoch;
        if let Some(assigned) = beaten.assigned {
            client.owned = assigned;
        }
        Ok(())
    }
}

fn joining(id: &str) -> Beat {
    Beat {
        member: id.into(),
        rebalance_timeout: Some(REBALANCE),
        names: Some(BTreeSet::from(["t".to_owned()])),
        owned: Some(Assigned::new()),
        ..Beat::default()
    }
}

fn count(client: &Client) -> usize {
    client.owned.values().map(BTreeSet::len).sum()
}

#[test]
fn a_lone_member_has_everything_at_once() {
    let mut w = World::new(3);
    let a = w.join("a");
    assert_eq!((count(&a), a.epoch), (3, 1));
    assert_eq!(w.group.state_name(), "Stable");
}

#[test]
fn a_partition_moves_only_after_it_was_given_up() {
    let mut w = World::new(4);
    let mut a = w.join("a");
    let mut b = w.join("b");
    assert_eq!((count(&b), b.epoch), (0, 2), "a still has everything");
    assert_eq!(w.group.state_name(), "Reconciling");
    // a is told to give two up, and stays in its epoch until it says that it has.
    let old = a.owned.clone();
    w.beat(&mut a).unwrap();
    assert_eq!((count(&a), a.epoch), (2, 1));
    w.beat(&mut b).unwrap();
    assert_eq!(count(&b), 0);
    let still_has = Beat { member: "a".into(), epoch: 1, owned: Some(old), ..Beat::default() };
    assert_eq!(w.send(still_has).unwrap().epoch, 1);
    w.beat(&mut a).unwrap();
    assert_eq!(a.epoch, 2);
    w.beat(&mut b).unwrap();
    assert_eq!(count(&b), 2);
    assert_eq!(w.group.state_name(), "Stable");
}

#[test]
fn who_does_not_give_up_in_time_is_out() {
    let mut w = World::new(4);
    let mut a = w.join("a");
    let mut b = w.join("b");
    let old = a.owned.clone();
    w.beat(&mut a).unwrap();
    for _ in 0..2 {
        w.now += REBALANCE / 2;
        w.beat(&mut b).unwrap();
        let _ = w.send(Beat { member: "a".into(), epoch: 1, owned: Some(old.clone()), ..Beat::default() });
    }
    assert_eq!(w.beat(&mut a), Err(Refusal::UnknownMember));
    w.beat(&mut b).unwrap();
    assert_eq!(count(&b), 4);
}

#[test]
fn a_silent_member_is_gone_and_its_partitions_are_free() {
    let mut w = World::new(2);
    let _a = w.join("a");
    let mut b = w.join("b");
    w.now += SESSION - 1;
    w.beat(&mut b).unwrap();
    w.now += 1;
    w.beat(&mut b).unwrap();
    assert_eq!(count(&b), 2);
}

#[test]
fn leaving_frees_at_once() {
    let mut w = World::new(2);
    let _a = w.join("a");
    let mut b = w.join("b");
    let left = w.send(Beat { member: "a".into(), epoch: -1, ..Beat::default() }).unwrap();
    assert_eq!(left.epoch, -1);
    w.beat(&mut b).unwrap();
    assert_eq!(count(&b), 2);
}

#[test]
fn epochs_that_cannot_be_are_fenced() {
    let mut w = World::new(4);
    let mut a = w.join("a");
    let wrong = |epoch, owned: Option<Assigned>| Beat { member: "a".into(), epoch, owned, ..Beat::default() };
    assert_eq!(w.send(wrong(9, None)), Err(Refusal::FencedEpoch));
    assert_eq!(w.send(Beat { member: "x".into(), epoch: 1, ..Beat::default() }), Err(Refusal::UnknownMember));
    assert_eq!(w.send(wrong(-3, None)).unwrap_err(), Refusal::Invalid("no member has this epoch"));
    // An answer that was lost: the epoch before is good once more, with no more than was given.
    let mut b = w.join("b");
    w.beat(&mut a).unwrap();
    w.beat(&mut a).unwrap();
    assert_eq!(a.epoch, 2);
    assert!(w.send(wrong(1, Some(a.owned.clone()))).is_ok());
    assert_eq!(w.send(wrong(1, None)), Err(Refusal::FencedEpoch));
    w.beat(&mut b).unwrap();
    let more = Assigned::from([(t(1), (0..4).collect())]);
    assert_eq!(w.send(wrong(1, Some(more))), Err(Refusal::FencedEpoch));
}

#[test]
fn commits_are_taken_in_the_members_epoch_alone() {
    let mut w = World::new(4);
    let a = w.join("a");
    let now = w.now;
    assert_eq!(w.group.check_commit(now, "a", a.epoch), Ok(()));
    assert_eq!(w.group.check_commit(now, "a", a.epoch + 1), Err(Refusal::StaleEpoch));
    assert_eq!(w.group.check_commit(now, "b", a.epoch), Err(Refusal::UnknownMember));
    assert_eq!(w.group.check_commit(now, "", -1), Err(Refusal::UnknownMember));
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    let mut w = World::new(4);
    let stat = |id: &str| Beat { instance: Some("i".into()), ..joining(id) };
    let first = w.send(stat("a")).unwrap();
    assert_eq!(w.send(stat("b")), Err(Refusal::UnreleasedInstance));
    let away = Beat { member: "a".into(), epoch: -2, instance: Some("i".into()), ..Beat::default() };
    assert_eq!(w.send(away).unwrap().epoch, -2);
    let again = w.send(stat("b")).unwrap();
    assert_eq!(again.assigned, first.assigned);
    let old = Beat { member: "a".into(), epoch: first.epoch, instance: Some("i".into()), ..Beat::default() };
    assert_eq!(w.send(old), Err(Refusal::Fenced));
}

#[test]
fn partitions_that_are_added_and_topics_that_match_are_shared_out() {
    let mut w = World::new(2);
    let mut a = w.join("a");
    w.topics.0[0].2 = 5;
    w.beat(&mut a).unwrap();
    assert_eq!(count(&a), 5);
    let mut by_pattern = joining("b");
    by_pattern.names = Some(BTreeSet::new());
    by_pattern.pattern = Some("more".into());
    assert_eq!(w.send(by_pattern).unwrap().assigned, Some(Assigned::new()));
    w.topics.0.push(("more-1", 2, 3));
    let mut b = Client { id: "b".into(), epoch: 3, owned: Assigned::new() };
    b.epoch = w.group.members["b"].epoch;
    w.beat(&mut b).unwrap();
    assert_eq!(b.owned, Assigned::from([(t(2), (0..3).collect())]));
    let range =
        Beat { assignor: Some("range".into()), member: "a".into(), epoch: a.epoch, ..Beat::default() };
    assert!(w.send(range).is_ok());
    assert_eq!(w.group.assignor(), Assignor::Range);
    let other = Beat { assignor: Some("mine".into()), ..joining("a") };
    assert_eq!(w.send(other), Err(Refusal::UnknownAssignor));
}

#[derive(Debug, Clone)]
enum Step {
    Join(usize),
    Beat(usize),
    Leave(usize),
    Silence(usize),
    Pass(Millis),
    Grow,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..4usize).prop_map(Step::Join),
        6 => (0..4usize).prop_map(Step::Beat),
        1 => (0..4usize).prop_map(Step::Leave),
        1 => (0..4usize).prop_map(Step::Silence),
        1 => (1..30_000u64).prop_map(Step::Pass),
        1 => Just(Step::Grow),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// No partition is two members' own at any time, and when members go on beating everything is shared out.
    #[test]
    fn no_partition_has_two_owners(steps in proptest::collection::vec(step(), 1..60)) {
        let mut w = World::new(4);
        let mut clients: Vec<Option<Client>> = vec![None; 4];
        for step in steps {
            match step {
                Step::Join(n) => clients[n] = Some(w.join(&format!("m{n}"))),
                Step::Beat(n) => {
                    if let Some(mut client) = clients[n].take() {
                        clients[n] = w.beat(&mut client).is_ok().then_some(client);
                    }
                }
                Step::Leave(n) => {
                    if let Some(client) = clients[n].take() {
                        let _ = w.send(Beat { member: client.id, epoch: -1, ..Beat::default() });
                    }
                }
                Step::Silence(n) => clients[n] = None,
                Step::Pass(millis) => {
                    w.now += millis;
                    w.group.tick(w.now);
                    // A client notices that it is out by the time, as real ones do.
                    for client in &mut clients {
                        let is_member = client.as_ref().is_some_and(|c| w.group.members.contains_key(&c.id));
                        *client = client.take().filter(|_| is_member);
                    }
                }
                Step::Grow => w.topics.0[0].2 += 1,
            }
            let mut owned = BTreeSet::new();
            for client in clients.iter().flatten() {
                for partition in client.owned.get(&t(1)).into_iter().flatten() {
                    prop_assert!(owned.insert(*partition), "{} has two owners", partition);
                }
            }
        }
        for _ in 0..20 {
            w.now += SESSION / 4;
            for slot in &mut clients {
                if let Some(mut client) = slot.take() {
                    *slot = w.beat(&mut client).is_ok().then_some(client);
                }
            }
        }
        let live: Vec<_> = clients.iter().flatten().collect();
        if !live.is_empty() {
            prop_assert_eq!(w.group.state_name(), "Stable");
            prop_assert_eq!(live.iter().map(|c| count(c)).sum::<usize>(), w.topics.0[0].2 as usize);
        }
    }
}
