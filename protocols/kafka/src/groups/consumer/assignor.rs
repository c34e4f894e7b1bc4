//! How partitions are shared out among members by the broker.
//!
//! Both ways are pure functions of members and partitions: `uniform` gives everybody the same number and moves as little
//! as it can; `range` gives each the same stretch of every topic, so that partitions of equal numbers meet.

use super::Assigned;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The ways there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Assignor {
    #[default]
    Uniform,
    Range,
}

impl Assignor {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "uniform" => Some(Self::Uniform),
            "range" => Some(Self::Range),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// What each member gets, in the order of the members.
    pub(crate) fn assign(self, members: &[Wish<'_>], partitions: &BTreeMap<Uuid, i32>) -> Vec<Assigned> {
        match self {
            Self::Uniform => uniform(members, partitions),
            Self::Range => range(members, partitions),
        }
    }
}

/// A member as an assignor sees it.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    /// The topics it wants.
    pub(crate) topics: BTreeSet<Uuid>,
    /// What it has.
    pub(crate) has: &'a Assigned,
}

fn range(members: &[Wish<'_>], partitions: &BTreeMap<Uuid, i32>) -> Vec<Assigned> {
    let mut given = vec![Assigned::new(); members.len()];
    for (topic, count) in partitions {
        let wanting: Vec<usize> = wanting(members, topic).collect();
        let Some(each) = (*count as usize).checked_div(wanting.len()) else { continue };
        let more = *count as usize % wanting.len();
        let mut next = 0;
        for (at, member) in wanting.into_iter().enumerate() {
            let until = next + (each + usize::from(at < more)) as i32;
            if let Some(given) = given.get_mut(member).filter(|_| until > next) {
                given.insert(*topic, (next..until).collect());
            }
            next = until;
        }
    }
    given
}

fn wanting<'a>(members: &'a [Wish<'_>], topic: &'a Uuid) -> impl Iterator<Item = usize> + 'a {
    members.iter().enumerate().filter(|(_, m)| m.topics.contains(topic)).map(|(at, _)| at)
}

fn uniform(members: &[Wish<'_>], partitions: &BTreeMap<Uuid, i32>) -> Vec<Assigned> {
    let mut given = vec![Assigned::new(); members.len()];
    let mut load = vec![0usize; members.len()];
    let mut free: BTreeSet<(Uuid, i32)> =
        partitions.iter().flat_map(|(topic, count)| (0..*count).map(|p| (*topic, p))).collect();
    // Everybody keeps what it has and still wants.
    for (at, member) in members.iter().enumerate() {
        for (topic, has) in member.has.iter().filter(|(topic, _)| member.topics.contains(topic)) {
            for partition in has {
                if free.remove(&(*topic, *partition)) {
                    give(&mut given, &mut load, at, (*topic, *partition));
                }
            }
        }
    }
    // What nobody has goes to whoever has least of those that want it.
    for partition in free {
        let least =
            wanting(members, &partition.0).min_by_key(|at| load.get(*at).copied().unwrap_or(usize::MAX));
        if let Some(at) = least {
            give(&mut given, &mut load, at, partition);
        }
    }
    level(members, &mut given, &mut load);
    given
}

/// Moves partitions from those who have more to those who have at least two fewer, until nobody has.
fn level(members: &[Wish<'_>], given: &mut [Assigned], load: &mut [usize]) {
    let most_moves: usize = load.iter().sum();
    for _ in 0..most_moves {
        let mut by_load: Vec<usize> = (0..load.len()).collect();
        by_load.sort_by_key(|at| std::cmp::Reverse(load.get(*at).copied().unwrap_or(0)));
        let step = by_load.iter().find_map(|from| {
            let had = load.get(*from).copied()?;
            let topics = given.get(*from)?.iter();
            topics
                .filter_map(|(topic, of)| {
                    let to = wanting(members, topic)
                        .min_by_key(|at| load.get(*at).copied().unwrap_or(usize::MAX))?;
                    (load.get(to)? + 2 <= had).then(|| Some((*from, to, (*topic, *of.last()?))))?
                })
                .next()
        });
        let Some((from, to, partition)) = step else { return };
        if let Some(of) = given.get_mut(from).and_then(|given| given.get_mut(&partition.0)) {
            of.remove(&partition.1);
        }
        if let Some(given) = given.get_mut(from) {
            given.retain(|_, of| !of.is_empty());
        }
        if let Some(load) = load.get_mut(from) {
            *load -= 1;
        }
        give(given, load, to, partition);
    }
}

fn give(given: &mut [Assigned], load: &mut [usize], to: usize, (topic, partition): (Uuid, i32)) {
    if let (Some(given), Some(load)) = (given.get_mut(to), load.get_mut(to)) {
        given.entry(topic).or_default().insert(partition);
        *load += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topic(n: u8) -> Uuid {
        Uuid::from_bytes([n; 16])
    }

    fn sizes(given: &[Assigned]) -> Vec<usize> {
        given.iter().map(|g| g.values().map(BTreeSet::len).sum()).collect()
    }

    #[test]
    fn range_gives_stretches_and_the_first_ones_more() {
        let partitions = BTreeMap::from([(topic(1), 5), (topic(2), 2)]);
        let none = Assigned::new();
        let all = BTreeSet::from([topic(1), topic(2)]);
        let members = [Wish { topics: all.clone(), has: &none }, Wish { topics: all, has: &none }];
        let given = Assignor::Range.assign(&members, &partitions);
        assert_eq!(given[0], Assigned::from([(topic(1), (0..3).collect()), (topic(2), (0..1).collect())]));
        assert_eq!(given[1], Assigned::from([(topic(1), (3..5).collect()), (topic(2), (1..2).collect())]));
    }

    #[test]
    fn uniform_moves_only_what_a_new_member_must_get() {
        let partitions = BTreeMap::from([(topic(1), 6)]);
        let all = BTreeSet::from([topic(1)]);
        let a = Assigned::from([(topic(1), (0..3).collect())]);
        let b = Assigned::from([(topic(1), (3..6).collect())]);
        let none = Assigned::new();
        let members = [&a, &b, &none].map(|has| Wish { topics: all.clone(), has });
        let given = Assignor::Uniform.assign(&members, &partitions);
        assert_eq!(sizes(&given), [2, 2, 2]);
        for (before, after) in [(&a, &given[0]), (&b, &given[1])] {
            assert!(after[&topic(1)].is_subset(&before[&topic(1)]));
        }
    }

    proptest! {
        /// Every partition that somebody wants has one owner, who wants it, and where all want the same nobody has more
        /// than one more than another.
        #[test]
        fn each_partition_has_one_owner(
            counts in proptest::collection::vec(0..7i32, 1..4),
            wishes in proptest::collection::vec(proptest::collection::btree_set(0..4u8, 0..4), 1..6),
            has in proptest::collection::vec((0..6usize, 0..4u8, 0..7i32), 0..12),
            is_range: bool,
        ) {
            let partitions: BTreeMap<_, _> = counts.iter().enumerate().map(|(n, c)| (topic(n as u8), *c)).collect();
            let mut had = vec![Assigned::new(); wishes.len()];
            for (member, of, partition) in has {
                if let Some(had) = had.get_mut(member) {
                    had.entry(topic(of)).or_default().insert(partition);
                }
            }
            let members: Vec<_> = wishes
                .iter()
                .zip(&had)
                .map(|(wish, has)| Wish { topics: wish.iter().map(|n| topic(*n)).collect(), has })
                .collect();
            let assignor = if is_range { Assignor::Range } else { Assignor::Uniform };
            let given = assignor.assign(&members, &partitions);
            let mut owned = BTreeSet::new();
            for (member, given) in members.iter().zip(&given) {
                for (topic, of) in given {
                    prop_assert!(member.topics.contains(topic));
                    for partition in of {
                        prop_assert!(*partition < partitions[topic]);
                        prop_assert!(owned.insert((*topic, *partition)));
                    }
                }
            }
            for (topic, count) in &partitions {
                let wanted = members.iter().any(|m| m.topics.contains(topic));
                for partition in 0..*count {
                    prop_assert_eq!(owned.contains(&(*topic, partition)), wanted);
                }
            }
            let same = wishes.iter().all(|w| *w == wishes[0]);
            if same && !is_range {
                let sizes = sizes(&given);
                prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{:?}", sizes);
            }
        }
    }
}
