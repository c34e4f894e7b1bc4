//! Scenarios of the classic group under a clock that the test moves.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;
use tokio::sync::oneshot::Receiver;

const SESSION: Millis = 10_000;
const REBALANCE: Millis = 30_000;

type Wait<T> = Receiver<Result<T, Refusal>>;

struct World {
    group: Classic,
    now: Millis,
    ids: u32,
}

fn asks(member: &str) -> Joining {
    Joining {
        member: member.to_owned(),
        instance: None,
        client_id: "c".into(),
        host: "/127.0.0.1".into(),
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), Bytes::from_static(b"m"))],
        twice: true,
        may_skip: true,
    }
}

impl World {
    fn new() -> Self {
        Self::with_delay(0)
    }

    fn with_delay(initial_delay: Millis) -> Self {
        let limits = ClassicLimits { max_members: 10, max_metadata: 1000, initial_delay };
        Self { group: Classic::new(limits), now: 1_000_000, ids: 0 }
    }

    fn join(&mut self, asks: &Joining) -> Wait<Joined> {
        let (answer, wait) = oneshot::channel();
        self.ids += 1;
        self.group.join(self.now, asks, format!("m{}", self.ids), answer);
        wait
    }

    /// Asks for an id, and joins with it.
    fn join_new(&mut self) -> (String, Wait<Joined>) {
        let Err(Refusal::MemberIdRequired(id)) = now(&mut self.join(&asks(""))) else { panic!("no id") };
        let wait = self.join(&asks(&id));
        (id, wait)
    }

    fn sync(&mut self, member: &str, generation: i32, shares: &[(&str, &'static [u8])]) -> Wait<Synced> {
        let (answer, wait) = oneshot::channel();
        let shares = shares.iter().map(|(m, s)| ((*m).to_owned(), Bytes::from_static(s))).collect();
        let asks = Syncing { member: member.into(), generation, shares, ..Syncing::default() };
        self.group.sync(self.now, asks, answer);
        wait
    }

    fn beat(&mut self, member: &str, generation: i32) -> Result<(), Refusal> {
        self.group.heartbeat(self.now, member, None, generation)
    }

    fn pass(&mut self, millis: Millis) {
        self.now += millis;
        self.group.tick(self.now);
    }

    /// Two members that work, the first of them leading.
    fn of_two(&mut self) -> (String, String, i32) {
        let (a, mut first) = self.join_new();
        let generation = now(&mut first).unwrap().generation;
        now(&mut self.sync(&a, generation, &[(&a, b"all")])).unwrap();
        let (b, mut joined_b) = self.join_new();
        assert_eq!(self.beat(&a, generation), Err(Refusal::Rebalancing));
        let mut joined_a = self.join(&asks(&a));
        let generation = now(&mut joined_a).unwrap().generation;
        assert_eq!(now(&mut joined_b).unwrap().generation, generation);
        let mut waits = self.sync(&b, generation, &[]);
        parked(&mut waits);
        now(&mut self.sync(&a, generation, &[(&a, b"half"), (&b, b"other half")])).unwrap();
        assert_eq!(now(&mut waits).unwrap().share, "other half");
        (a, b, generation)
    }
}

fn now<T>(wait: &mut Wait<T>) -> Result<T, Refusal> {
    wait.try_recv().expect("it is answered")
}

fn parked<T: std::fmt::Debug>(wait: &mut Wait<T>) {
    assert!(matches!(wait.try_recv(), Err(oneshot::error::TryRecvError::Empty)), "it waits");
}

#[test]
fn one_member_leads_and_works() {
    let mut w = World::new();
    let (id, mut wait) = w.join_new();
    let joined = now(&mut wait).unwrap();
    assert_eq!((joined.generation, joined.leader.as_str(), joined.members.len()), (1, id.as_str(), 1));
    assert_eq!(w.group.phase(), Phase::Completing);
    assert_eq!(now(&mut w.sync(&id, 1, &[(&id, b"x")])).unwrap().share, "x");
    assert_eq!(w.group.phase(), Phase::Stable);
    assert_eq!(w.beat(&id, 1), Ok(()));
}

#[test]
fn an_id_that_is_not_used_holds_the_others_up_only_for_its_session() {
    let mut w = World::new();
    let (a, b, generation) = w.of_two();
    now(&mut w.join(&asks(""))).unwrap_err();
    // A join for another reason: the one who was given an id is waited for.
    let mut changed = asks(&a);
    changed.protocols = vec![("range".into(), Bytes::from_static(b"other"))];
    let mut wait_a = w.join(&changed);
    let mut wait_b = w.join(&asks(&b));
    parked(&mut wait_a);
    w.pass(SESSION);
    assert_eq!(now(&mut wait_a).unwrap().generation, generation + 1);
    assert_eq!(now(&mut wait_b).unwrap().members, []);
}

#[test]
fn the_first_members_are_waited_for_a_little() {
    let mut w = World::with_delay(3_000);
    let (_, mut first) = w.join_new();
    w.pass(2_000);
    let (_, mut second) = w.join_new();
    w.pass(2_999);
    parked(&mut first);
    w.pass(1);
    assert_eq!(now(&mut first).unwrap().generation, 1);
    assert_eq!(now(&mut second).unwrap().generation, 1);
}

#[test]
fn waiting_for_the_first_members_ends_with_the_rebalance_timeout() {
    let mut w = World::with_delay(20_000);
    let (_, mut first) = w.join_new();
    w.pass(15_000);
    let (_, mut second) = w.join_new();
    w.pass(14_999);
    parked(&mut first);
    w.pass(1);
    now(&mut first).unwrap();
    now(&mut second).unwrap();
}

#[test]
fn a_crashed_member_is_gone_after_its_session_and_the_others_gather() {
    let mut w = World::new();
    let (a, b, generation) = w.of_two();
    w.pass(SESSION - 1);
    assert_eq!(w.beat(&a, generation), Ok(()));
    w.pass(1);
    assert_eq!(w.beat(&a, generation), Err(Refusal::Rebalancing));
    assert_eq!(w.beat(&b, generation), Err(Refusal::UnknownMember));
    let joined = now(&mut w.join(&asks(&a))).unwrap();
    assert_eq!((joined.generation, joined.members.len()), (generation + 1, 1));
}

#[test]
fn who_does_not_rejoin_in_time_is_dropped() {
    let mut w = World::new();
    let (a, b, generation) = w.of_two();
    let (_, mut new) = w.join_new();
    let mut wait_a = w.join(&asks(&a));
    // b says that it lives and does not join.
    for _ in 0..(REBALANCE / 5_000 - 1) {
        w.pass(5_000);
        assert_eq!(w.beat(&b, generation), Err(Refusal::Rebalancing));
        parked(&mut wait_a);
    }
    w.pass(5_000);
    assert_eq!(now(&mut wait_a).unwrap().generation, generation + 1);
    assert_eq!(now(&mut new).unwrap().generation, generation + 1);
    assert_eq!(w.beat(&b, generation), Err(Refusal::UnknownMember));
}

#[test]
fn who_does_not_sync_in_time_is_dropped() {
    let mut w = World::new();
    let (a, mut first) = w.join_new();
    let generation = now(&mut first).unwrap().generation;
    for _ in 0..REBALANCE / 5_000 - 1 {
        w.pass(5_000);
        assert_eq!(w.beat(&a, generation), Ok(()));
    }
    w.pass(5_000);
    assert_eq!(w.group.phase(), Phase::Empty);
    assert!(w.group.is_over());
}

#[test]
fn a_follower_whose_share_is_there_but_never_asked_for_is_dropped() {
    let mut w = World::new();
    let (a, b, generation) = w.of_two();
    let mut wait_a = w.join(&asks(&a));
    now(&mut w.join(&asks(&b))).unwrap();
    assert_eq!(now(&mut wait_a).unwrap().generation, generation + 1);
    let generation = generation + 1;
    now(&mut w.sync(&a, generation, &[(&a, b"1"), (&b, b"2")])).unwrap();
    for _ in 0..REBALANCE / 5_000 {
        w.pass(5_000);
        let _ = (w.beat(&a, generation), w.beat(&b, generation));
    }
    assert_eq!(w.beat(&b, generation), Err(Refusal::UnknownMember));
    assert_eq!(w.beat(&a, generation), Err(Refusal::Rebalancing));
}

#[test]
fn a_parked_sync_ends_when_the_members_gather_anew() {
    let mut w = World::new();
    let (a, b, generation) = w.of_two();
    let mut changed = asks(&b);
    changed.protocols = vec![("range".into(), "other".into())];
    let mut wait_b = w.join(&changed);
    now(&mut w.join(&asks(&a))).unwrap();
    now(&mut wait_b).unwrap();
    let mut waits = w.sync(&b, generation + 1, &[]);
    parked(&mut waits);
    let (_, _third) = w.join_new();
    assert_eq!(now(&mut waits), Err(Refusal::Rebalancing));
}

#[test]
fn zombies_are_kept_out() {
    let mut w = World::new();
    let (a, _, generation) = w.of_two();
    assert_eq!(w.beat(&a, generation - 1), Err(Refusal::IllegalGeneration));
    assert_eq!(w.beat("stranger", generation), Err(Refusal::UnknownMember));
    assert_eq!(now(&mut w.sync(&a, generation - 1, &[])), Err(Refusal::IllegalGeneration));
    assert_eq!(now(&mut w.sync("stranger", generation, &[])), Err(Refusal::UnknownMember));
    assert_eq!(now(&mut w.join(&asks("stranger"))), Err(Refusal::UnknownMember));
    let now = w.now;
    assert_eq!(w.group.check_commit(now, &a, None, generation), Ok(()));
    assert_eq!(w.group.check_commit(now, &a, None, generation - 1), Err(Refusal::IllegalGeneration));
    assert_eq!(w.group.check_commit(now, "", None, -1), Err(Refusal::UnknownMember));
}

#[test]
fn a_lost_answer_is_given_again() {
    let mut w = World::new();
    let (a, mut first) = w.join_new();
    let generation = now(&mut first).unwrap().generation;
    assert_eq!(now(&mut w.join(&asks(&a))).unwrap().generation, generation);
    now(&mut w.sync(&a, generation, &[(&a, b"x")])).unwrap();
    assert_eq!(now(&mut w.sync(&a, generation, &[])).unwrap().share, "x");
    let syncing =
        Syncing { member: a, generation, protocol: Some("roundrobin".into()), ..Syncing::default() };
    let (answer, mut wait) = oneshot::channel();
    w.group.sync(w.now, syncing, answer);
    assert_eq!(now(&mut wait), Err(Refusal::InconsistentProtocol));
}

#[test]
fn a_follower_with_nothing_new_causes_nothing_and_a_leader_gathers_all() {
    let mut w = World::new();
    let (a, b, generation) = w.of_two();
    assert_eq!(now(&mut w.join(&asks(&b))).unwrap().generation, generation);
    let mut wait = w.join(&asks(&a));
    parked(&mut wait);
    assert_eq!(w.beat(&b, generation), Err(Refusal::Rebalancing));
}

#[test]
fn leaving_ends_what_is_parked_and_gathers_the_rest() {
    let mut w = World::new();
    let (a, b, generation) = w.of_two();
    assert_eq!(w.group.leave(w.now, &a, None), Ok(()));
    assert_eq!(w.group.leave(w.now, &a, None), Err(Refusal::UnknownMember));
    let joined = now(&mut w.join(&asks(&b))).unwrap();
    assert_eq!((joined.generation, joined.leader.as_str()), (generation + 1, b.as_str()));
    let mut waits = w.sync(&b, generation, &[]);
    assert_eq!(now(&mut waits), Err(Refusal::IllegalGeneration));
    assert_eq!(w.group.leave(w.now, &b, None), Ok(()));
    assert_eq!(w.group.phase(), Phase::Empty);
}

#[test]
fn the_way_most_like_best_is_chosen_of_those_all_know() {
    let mut w = World::new();
    let ways = |names: &[&str]| {
        names.iter().map(|n| (ByteString::from(*n), Bytes::copy_from_slice(n.as_bytes()))).collect()
    };
    let old = |protocols: Vec<(ByteString, Bytes)>| Joining { protocols, twice: false, ..asks("") };
    let mut first = w.join(&old(ways(&["sticky", "range", "roundrobin"])));
    let a = now(&mut first).unwrap().member;
    let mut b = w.join(&old(ways(&["roundrobin", "range"])));
    let mut c = w.join(&old(ways(&["range", "roundrobin", "cooperative"])));
    assert_eq!(now(&mut w.join(&old(ways(&["cooperative"])))), Err(Refusal::InconsistentProtocol));
    let other = Joining { protocol_type: "connect".into(), ..old(ways(&["range"])) };
    assert_eq!(now(&mut w.join(&other)), Err(Refusal::InconsistentProtocol));
    let mut again = w.join(&Joining { protocols: ways(&["sticky", "range", "roundrobin"]), ..asks(&a) });
    let joined = now(&mut again).unwrap();
    assert_eq!(joined.protocol, "range");
    assert!(joined.members.iter().all(|m| m.metadata == "range"));
    assert_eq!(now(&mut b).unwrap().protocol, "range");
    now(&mut c).unwrap();
}

fn instance(name: &str) -> Joining {
    Joining { instance: Some(name.to_owned()), ..asks("") }
}

#[test]
fn a_restarted_static_member_takes_its_place_without_anybody_noticing() {
    let mut w = World::new();
    let first = now(&mut w.join(&instance("i1"))).unwrap();
    now(&mut w.sync(&first.member, 1, &[(&first.member, b"x")])).unwrap();
    let again = now(&mut w.join(&instance("i1"))).unwrap();
    assert_eq!((again.generation, again.skip), (1, true));
    assert_ne!(again.member, first.member);
    assert_eq!(again.leader, again.member);
    let fenced = w.group.heartbeat(w.now, &first.member, Some("i1"), 1);
    assert_eq!(fenced, Err(Refusal::Fenced));
    assert_eq!(now(&mut w.sync(&again.member, 1, &[])).unwrap().share, "x");
    // An older client cannot be told to leave the shares alone, so it is not told that it leads.
    let old = Joining { may_skip: false, ..instance("i1") };
    let older = now(&mut w.join(&old)).unwrap();
    assert_eq!((older.generation, older.leader, older.skip), (1, again.member, false));
}

#[test]
fn a_static_member_that_is_away_keeps_its_place_for_its_session() {
    let mut w = World::new();
    let a = now(&mut w.join(&instance("i1"))).unwrap().member;
    now(&mut w.sync(&a, 1, &[(&a, b"x")])).unwrap();
    let mut wait_b = w.join(&instance("i2"));
    parked(&mut wait_b);
    w.pass(SESSION);
    let joined = now(&mut wait_b).unwrap();
    assert_eq!((joined.generation, joined.members.len()), (2, 1));
}

#[test]
fn an_operator_removes_a_static_member_by_its_instance() {
    let mut w = World::new();
    now(&mut w.join(&instance("i1"))).unwrap();
    assert_eq!(w.group.leave(w.now, "", Some("i2")), Err(Refusal::UnknownMember));
    assert_eq!(w.group.leave(w.now, "", Some("i1")), Ok(()));
    assert!(w.group.is_over());
}

#[test]
fn a_changed_restart_of_a_static_member_gathers_all() {
    let mut w = World::new();
    let a = now(&mut w.join(&instance("i1"))).unwrap().member;
    now(&mut w.sync(&a, 1, &[(&a, b"x")])).unwrap();
    let changed = Joining { protocols: vec![("range".into(), "other".into())], ..instance("i1") };
    assert_eq!(now(&mut w.join(&changed)).unwrap().generation, 2);
}

#[test]
fn a_group_takes_so_many_members_and_bytes() {
    let mut w = World::new();
    let mut waits = Vec::new();
    for n in 0..10 {
        waits.push(w.join(&instance(&format!("i{n}"))));
    }
    assert_eq!(now(&mut w.join(&instance("i10"))), Err(Refusal::GroupFull));
    assert_eq!(now(&mut w.join(&asks(""))), Err(Refusal::GroupFull));
    let mut w = World::new();
    let much = Joining { protocols: vec![("range".into(), vec![0; 1000].into())], ..instance("i") };
    assert_eq!(now(&mut w.join(&much)), Err(Refusal::GroupFull));
}

#[test]
fn a_new_member_that_waits_for_ever_is_given_up() {
    let mut w = World::new();
    let long = Joining { rebalance_timeout: 3_600_000, session_timeout: 1_000_000, ..asks("") };
    let Err(Refusal::MemberIdRequired(a)) = now(&mut w.join(&long)) else { panic!() };
    now(&mut w.join(&Joining { member: a.clone(), ..long.clone() })).unwrap();
    now(&mut w.sync(&a, 1, &[])).unwrap();
    let Err(Refusal::MemberIdRequired(b)) = now(&mut w.join(&long)) else { panic!() };
    let mut wait = w.join(&Joining { member: b, ..long });
    w.pass(NEW_MEMBER_PATIENCE - 1);
    parked(&mut wait);
    w.pass(1);
    assert_eq!(now(&mut wait), Err(Refusal::UnknownMember));
}

#[test]
fn a_parked_member_whose_connection_is_gone_falls_silent() {
    let mut w = World::new();
    let (a, _b, _) = w.of_two();
    let mut changed = asks(&a);
    changed.protocols = vec![("range".into(), "other".into())];
    let wait = w.join(&changed);
    w.pass(SESSION / 2);
    drop(wait);
    w.pass(SESSION / 2);
    assert!(w.group.is_over(), "both were silent");
}

/// What anybody may do to a group.
#[derive(Debug, Clone)]
enum Step {
    Join(usize),
    Rejoin(usize),
    Sync(usize),
    Beat(usize),
    Leave(usize),
    Pass(Millis),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..6usize).prop_map(Step::Join),
        (0..6usize).prop_map(Step::Rejoin),
        (0..6usize).prop_map(Step::Sync),
        (0..6usize).prop_map(Step::Beat),
        (0..6usize).prop_map(Step::Leave),
        (1..20_000u64).prop_map(Step::Pass),
    ]
}

#[derive(Default)]
struct Client {
    id: String,
    generation: i32,
    leads: Option<Vec<String>>,
    joining: Option<Wait<Joined>>,
    syncing: Option<Wait<Synced>>,
}

impl Client {
    /// Takes what has been answered.
    fn hear(&mut self) {
        if let Some(answered) = self.joining.as_mut().and_then(|wait| wait.try_recv().ok()) {
            self.joining = None;
            match answered {
                Ok(joined) => {
                    assert!(joined.generation > 0);
                    assert_eq!(joined.members.is_empty(), joined.leader != joined.member);
                    self.id = joined.member;
                    self.generation = joined.generation;
                    self.leads = (!joined.members.is_empty())
                        .then(|| joined.members.into_iter().map(|m| m.member).collect());
                }
                Err(Refusal::MemberIdRequired(id)) => self.id = id,
                Err(Refusal::UnknownMember) => self.id.clear(),
                Err(_) => {}
            }
        }
        if let Some(answered) = self.syncing.as_mut().and_then(|wait| wait.try_recv().ok()) {
            self.syncing = None;
            if let Ok(synced) = answered {
                // A share is one of the generation that it was asked in.
                assert!(synced.share.is_empty() || synced.share == format!("{}", self.generation));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the clients do: nobody waits for ever, nobody works in two generations, and a group whose clients are
    /// all gone is over.
    #[test]
    fn nobody_waits_for_ever(steps in proptest::collection::vec(step(), 1..60)) {
        let mut w = World::new();
        let mut clients: Vec<Client> = (0..6).map(|_| Client::default()).collect();
        for step in steps {
            match step {
                Step::Join(n) => {
                    clients[n].joining = Some(w.join(&asks("")));
                }
                Step::Rejoin(n) => {
                    let id = clients[n].id.clone();
                    clients[n].joining = Some(w.join(&asks(&id)));
                }
                Step::Sync(n) => {
                    let generation = clients[n].generation;
                    let text: &'static [u8] = Box::leak(format!("{generation}").into_boxed_str().into_boxed_bytes());
                    let shares = clients[n].leads.clone().unwrap_or_default();
                    let shares: Vec<_> = shares.iter().map(|m| (m.as_str(), text)).collect();
                    let id = clients[n].id.clone();
                    clients[n].syncing = Some(w.sync(&id, generation, &shares));
                }
                Step::Beat(n) => {
                    let (id, generation) = (clients[n].id.clone(), clients[n].generation);
                    let _ = w.beat(&id, generation);
                }
                Step::Leave(n) => {
                    let id = clients[n].id.clone();
                    let _ = w.group.leave(w.now, &id, None);
                }
                Step::Pass(millis) => w.pass(millis),
            }
            clients.iter_mut().for_each(Client::hear);
            if w.group.phase() == Phase::Stable {
                prop_assert!(w.group.members.values().all(|m| m.syncing.is_none() && m.joining.is_none()));
                prop_assert!(w.group.leader.is_some());
            }
            prop_assert_eq!(w.group.phase() == Phase::Empty, w.group.members.is_empty());
            prop_assert!(w.group.is_over() || w.group.next_deadline().is_some());
        }
        // Driven by its deadlines alone, everything parked is answered.
        for _ in 0..100 {
            clients.iter_mut().for_each(Client::hear);
            let Some(next) = w.group.next_deadline() else { break };
            prop_assert!(next < Millis::MAX);
            w.now = w.now.max(next);
            w.group.tick(w.now);
        }
        clients.iter_mut().for_each(Client::hear);
        prop_assert!(clients.iter().all(|c| c.joining.is_none() && c.syncing.is_none()));
        prop_assert!(w.group.is_over());
    }
}
