use super::*;
use proptest::prelude::*;

fn name(text: &str) -> GroupName {
    GroupName::new(text).unwrap()
}

fn named(of: &str, number: u64, epoch: u16, why: Why) -> Change {
    Change::Named { name: name(of), id: Id { number, epoch }, timeout: 100, why }
}

fn joined(number: u64, queue: u32) -> Change {
    Change::Joined { number, queues: vec![queue], groups: Vec::new() }
}

fn never() -> u64 {
    panic!("no new number was needed")
}

#[test]
fn a_name_is_taken_and_whoever_had_it_is_out() {
    let (mut all, p) = (Producers::default(), name("p"));
    assert_eq!(all.name(&p, None, || 7), Ok((Id { number: 7, epoch: 0 }, Some(Why::Taken))));
    assert_eq!(all.name(&p, Some(Id { number: 7, epoch: 0 }), never), Err(TransactionRefusal::Unknown));
    all.apply(&named("p", 7, 0, Why::Taken), 0);
    let first = Id { number: 7, epoch: 0 };
    assert!(all.speaker(&p, first).is_ok());
    assert_eq!(all.name(&p, None, never), Ok((Id { number: 7, epoch: 1 }, Some(Why::Taken))));
    all.apply(&named("p", 7, 1, Why::Taken), 0);
    assert_eq!(all.speaker(&p, first).err(), Some(TransactionRefusal::Fenced));
    assert_eq!(all.name(&p, Some(first), never), Err(TransactionRefusal::Fenced));
    assert_eq!(all.speaker(&p, Id { number: 8, epoch: 1 }).err(), Some(TransactionRefusal::Unknown));
    assert_eq!(all.speaker(&name("q"), first).err(), Some(TransactionRefusal::Unknown));
}

#[test]
fn who_asks_again_for_its_own_new_epoch_gets_the_same() {
    let (mut all, p) = (Producers::default(), name("p"));
    all.apply(&named("p", 7, 4, Why::Taken), 0);
    let was = Some(Id { number: 7, epoch: 4 });
    let new = Id { number: 7, epoch: 5 };
    assert_eq!(all.name(&p, was, never), Ok((new, Some(Why::Asked))));
    all.apply(&named("p", 7, 5, Why::Asked), 0);
    assert_eq!(all.name(&p, was, never), Ok((new, None)), "the first answer was lost");
    all.apply(&named("p", 7, 5, Why::Asked), 0);
    assert_eq!(all.name(&p, was, never), Ok((new, None)), "and so was the second");
    all.apply(&joined(7, 20), 0);
    assert_eq!(all.name(&p, was, never), Err(TransactionRefusal::Fenced), "somebody goes on with it");
}

#[test]
fn behind_the_last_epoch_comes_another_number() {
    let (mut all, p) = (Producers::default(), name("p"));
    all.apply(&named("p", 7, LAST_EPOCH, Why::Taken), 0);
    let next = all.named(&p).unwrap().next(|| 8);
    assert_eq!(next, Id { number: 8, epoch: 0 });
    all.apply(&named("p", 8, 0, Why::Ended), 0);
    assert!(all.numbered(7).is_none() && all.numbered(8).is_some());
    let old = Id { number: 7, epoch: LAST_EPOCH };
    assert_eq!(all.speaker(&p, old).err(), Some(TransactionRefusal::Fenced));
}

#[test]
fn an_end_is_told_again_and_no_other_end() {
    let (mut all, p, id) = (Producers::default(), name("p"), Id { number: 7, epoch: 0 });
    all.apply(&named("p", 7, 0, Why::Taken), 0);
    assert_eq!(all.end(&p, id, true, false), Err(TransactionRefusal::State));
    all.apply(&joined(7, 20), 50);
    assert!(matches!(all.end(&p, id, true, false), Ok(End::Now(_))));
    assert_eq!((all.overdue(149), all.overdue(150)), (Err(Some(150)), Ok(p.clone())));
    all.apply(&Change::Ended { number: 7, commit: true }, 60);
    assert!(matches!(all.end(&p, id, true, false), Ok(End::Before(_))));
    assert_eq!(all.end(&p, id, false, false), Err(TransactionRefusal::State));
    assert_eq!((all.overdue(999), all.parts()), (Err(None), 0));
    // With a new epoch by each end, the old one asks again.
    all.apply(&joined(7, 20), 70);
    all.apply(&Change::Ended { number: 7, commit: false }, 80);
    all.apply(&named("p", 7, 1, Why::Ended), 80);
    assert!(matches!(all.end(&p, id, false, true), Ok(End::Before(_))));
    assert_eq!(all.end(&p, id, true, true), Err(TransactionRefusal::Fenced));
    let new = Id { number: 7, epoch: 1 };
    assert!(matches!(all.end(&p, new, false, true), Ok(End::Now(_))), "nothing was sent, and it gives up");
    assert_eq!(all.end(&p, new, true, true), Err(TransactionRefusal::State));
}

#[test]
fn what_is_promised_is_unsettled_until_the_end() {
    let mut all = Producers::default();
    all.apply(&named("p", 7, 0, Why::Taken), 0);
    all.apply(&Change::Joined { number: 7, queues: vec![20, 21], groups: vec![name("g")] }, 0);
    let promise = Promised { offset: 5, epoch: None, note: String::new() };
    all.apply(&Change::Promised { number: 7, group: 3, queue: 20, promise: promise.clone() }, 0);
    all.apply(&Change::Promised { number: 7, group: 4, queue: 21, promise }, 0);
    assert_eq!(all.unsettled(3), [20].into());
    assert_eq!(all.parts(), 5);
    all.forget(&[LogQueue(20)]);
    assert_eq!((all.unsettled(3), all.unsettled(4), all.parts()), ([].into(), [21].into(), 3));
    assert_eq!(all.idle_since(500), []);
    all.apply(&Change::Ended { number: 7, commit: true }, 10);
    assert_eq!((all.unsettled(4), all.parts(), all.open()), ([].into(), 0, 0));
    assert_eq!((all.idle_since(9), all.idle_since(10)), (vec![], vec![name("p")]));
    all.apply(&Change::Forgotten { name: name("p") }, 20);
    assert_eq!(all, Producers::default());
}

fn change() -> impl Strategy<Value = Change> {
    let who = prop_oneof![Just("p"), Just("q")];
    let promise = Promised { offset: 1, epoch: Some(0), note: "n".into() };
    prop_oneof![
        (who.clone(), 0_u64..3, 0_u16..3, prop_oneof![Just(Why::Taken), Just(Why::Asked), Just(Why::Ended)])
            .prop_map(|(who, number, epoch, why)| named(who, number, epoch, why)),
        (0_u64..3, 20_u32..23).prop_map(|(number, queue)| joined(number, queue)),
        (0_u64..3, 20_u32..23).prop_map(move |(number, queue)| Change::Promised {
            number,
            group: 3,
            queue,
            promise: promise.clone()
        }),
        (0_u64..3, any::<bool>()).prop_map(|(number, commit)| Change::Ended { number, commit }),
        who.prop_map(|who| Change::Forgotten { name: name(who) }),
    ]
}

proptest! {
    /// Whatever happens, what is counted is what is there, and a checkpoint brings all of it back.
    #[test]
    fn a_checkpoint_is_the_state(changes in prop::collection::vec(change(), 0..40)) {
        let mut all = Producers::default();
        for (at, change) in changes.iter().enumerate() {
            // Two names never have one number.
            if let Change::Named { name, id, .. } = change
                && all.numbered(id.number).is_some_and(|known| known.name != *name)
            {
                continue;
            }
            all.apply(change, at as Millis);
            let open: Vec<_> = all.all().filter_map(|known| known.open.as_ref()).collect();
            prop_assert_eq!(all.parts(), open.iter().map(|open| open.parts()).sum::<usize>());
            prop_assert_eq!(all.open(), open.len());
            let saved = postcard::to_stdvec(&all.save()).unwrap();
            prop_assert_eq!(&Producers::restore(postcard::from_bytes(&saved).unwrap()), &all);
        }
    }
}
