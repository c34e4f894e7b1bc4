//! The policies about one subject, found by the resource they speak of.
//!
//! A check must not cost more the more policies there are, so it looks only at those that can match: the ones with
//! this very name, those with one of its prefixes, those for every name. Which of them decides is `policy`'s matter.
//!
//! ```text
//! order   literal topics by name | prefix topics by name | any topic | literal groups … | everything
//! ```

use crate::policy::{NamePattern, ResourceKind, Target};
use crate::{Policy, ResourcePattern};
use std::iter;

/// What the store says about a subject, and what the operator's file says.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub own: RuleSet,
    pub file: RuleSet,
}

impl Rules {
    pub(crate) fn len(&self) -> usize {
        self.own.len() + self.file.len()
    }

    /// All of them, those of the file last.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.own.policies.iter().chain(&self.file.policies)
    }

    /// Those that can match, of the store and of the file each the most specific first.
    pub(crate) fn candidates<'s>(&'s self, target: Target<'s>) -> impl Iterator<Item = &'s Policy> {
        self.own.candidates(target).chain(self.file.candidates(target))
    }
}

/// Policies with an index.
#[derive(Debug, Default)]
pub(crate) struct RuleSet {
    policies: Vec<Policy>,
    /// Positions in `policies`, sorted by [`key`].
    order: Vec<u32>,
    /// The lengths of prefixes that occur, the longest first.
    lengths: Vec<u16>,
}

/// Where a pattern stands in the order. A prefix comes right after literals of its kind.
type Key<'a> = (u8, &'a str);

const EVERYTHING: Key<'static> = (u8::MAX, "");

fn key(pattern: &ResourcePattern) -> Key<'_> {
    match pattern {
        ResourcePattern::Any => EVERYTHING,
        ResourcePattern::Of(kind, NamePattern::Literal(name)) => literal(*kind, name),
        ResourcePattern::Of(kind, NamePattern::Prefix(name)) => prefix(*kind, name),
        ResourcePattern::Of(kind, NamePattern::Any) => any(*kind),
    }
}

fn literal(kind: ResourceKind, name: &str) -> Key<'_> {
    (kind as u8 * 3, name)
}

fn prefix(kind: ResourceKind, name: &str) -> Key<'_> {
    (kind as u8 * 3 + 1, name)
}

fn any(kind: ResourceKind) -> Key<'static> {
    (kind as u8 * 3 + 2, "")
}

impl RuleSet {
    pub(crate) fn len(&self) -> usize {
        self.policies.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter()
    }

    /// Adds a policy, or replaces the one on the same resource with the same decision.
    pub(crate) fn put(&mut self, policy: &Policy) {
        let at = self.start_of(key(&policy.resource));
        let alike = self.order.iter().skip(at).map(|position| *position as usize);
        let same = alike
            .map_while(|at| Some((at, self.policies.get(at).filter(|old| old.resource == policy.resource)?)))
            .find(|(_, old)| old.decision == policy.decision);
        match same.map(|(at, _)| at).and_then(|at| self.policies.get_mut(at)) {
            Some(old) => *old = policy.clone(),
            None => self.add(policy),
        }
    }

    /// Adds a policy, beside others on the same resource.
    pub(crate) fn add(&mut self, policy: &Policy) {
        let at = self.start_of(key(&policy.resource));
        self.order.insert(at, self.policies.len() as u32);
        if let ResourcePattern::Of(_, NamePattern::Prefix(prefix)) = &policy.resource {
            let length = prefix.len() as u16;
            if let Err(at) = self.lengths.binary_search_by(|known| length.cmp(known)) {
                self.lengths.insert(at, length);
            }
        }
        self.policies.push(policy.clone());
    }

    /// Removes those on this very pattern.
    pub(crate) fn remove(&mut self, resource: &ResourcePattern) {
        let policies = std::mem::take(self).policies;
        policies.iter().filter(|policy| policy.resource != *resource).for_each(|policy| self.add(policy));
    }

    fn candidates<'s>(&'s self, target: Target<'s>) -> impl Iterator<Item = &'s Policy> {
        let (kind, name) = (target.kind, target.name);
        let prefixes = self.lengths.iter().filter_map(move |length| name.get(..usize::from(*length)));
        let keys = iter::once(literal(kind, name)).chain(prefixes.map(move |start| prefix(kind, start)));
        keys.chain([any(kind), EVERYTHING]).flat_map(move |key| self.with_key(key))
    }

    fn with_key<'s>(&'s self, wanted: Key<'s>) -> impl Iterator<Item = &'s Policy> {
        let from = self.order.get(self.start_of(wanted)..).unwrap_or_default();
        let policies = from.iter().filter_map(|position| self.policies.get(*position as usize));
        policies.take_while(move |policy| key(&policy.resource) == wanted)
    }

    fn start_of(&self, wanted: Key<'_>) -> usize {
        self.order.partition_point(|position| {
            self.policies.get(*position as usize).is_some_and(|policy| key(&policy.resource) < wanted)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Resource};
    use proptest::prelude::*;
    use sluice_model::{GroupName, TopicName};

    fn policy(resource: &str) -> Policy {
        Policy::allow("u", resource, &[Action::Pub]).unwrap()
    }

    fn set(resources: &[&str]) -> RuleSet {
        let mut set = RuleSet::default();
        resources.iter().for_each(|resource| set.put(&policy(resource)));
        set
    }

    fn names(set: &RuleSet, target: Target<'_>) -> Vec<String> {
        set.candidates(target).map(|policy| policy.resource.to_string()).collect()
    }

    #[test]
    fn the_most_specific_comes_first() {
        let set = set(&[
            "*",
            "Topic:*",
            "Topic:a*",
            "Group:ab",
            "Topic:abc*",
            "Topic:abcd",
            "Topic:ab*",
            "Cluster",
        ]);
        let topic = TopicName::new("abcd").unwrap();
        assert_eq!(
            names(&set, Resource::Topic(&topic).into()),
            ["Topic:abcd", "Topic:abc*", "Topic:ab*", "Topic:a*", "Topic:*", "*"]
        );
        assert_eq!(names(&set, Resource::Cluster.into()), ["Cluster", "*"]);
    }

    /// What a check costs does not grow with what the subject may do elsewhere.
    #[test]
    fn a_check_looks_at_few_of_many() {
        let mut set = RuleSet::default();
        for n in 0..1000 {
            set.put(&policy(&format!("Topic:topic-{n:03}")));
            set.put(&policy(&format!("Topic:team-{n:03}-*")));
        }
        set.put(&policy("Topic:*"));
        let topic = TopicName::new("team-500-x").unwrap();
        assert_eq!(names(&set, Resource::Topic(&topic).into()), ["Topic:team-500-*", "Topic:*"]);
        assert_eq!((set.policies.len(), set.lengths.len()), (2001, 1));
    }

    #[test]
    fn a_policy_replaces_its_like_and_removal_takes_both_decisions() {
        let mut set = set(&["Topic:a", "Topic:a*"]);
        let deny = Policy { decision: crate::Decision::Deny, ..policy("Topic:a") };
        set.put(&deny);
        set.put(&Policy::allow("u", "Topic:a", &[Action::Sub]).unwrap());
        assert_eq!(set.policies.len(), 3);
        assert!(set.iter().any(|p| p.actions.contains(Action::Sub) && p.decision == crate::Decision::Allow));
        set.remove(&"Topic:a".parse().unwrap());
        let topic = TopicName::new("a").unwrap();
        assert_eq!(names(&set, Resource::Topic(&topic).into()), ["Topic:a*"]);
        assert_eq!(set.order.len(), 1);
    }

    proptest! {
        #[test]
        fn nothing_that_matches_is_left_out(
            resources in proptest::collection::vec("(\\*|Cluster|(Topic|Group):([ab]{1,3}|[ab]{0,3}\\*))", 0..12),
            name in "[ab]{1,4}",
        ) {
            let resources: Vec<&str> = resources.iter().map(String::as_str).collect();
            let set = set(&resources);
            let (topic, group) = (TopicName::new(name.as_str()).unwrap(), GroupName::new(name).unwrap());
            for resource in [Resource::Topic(&topic), Resource::Group(&group), Resource::Cluster] {
                let mut found: Vec<_> = names(&set, resource.into());
                let matching = set.policies.iter().filter(|policy| policy.resource.matches(resource.into()));
                let mut all: Vec<_> = matching.map(|policy| policy.resource.to_string()).collect();
                found.sort();
                all.sort();
                prop_assert_eq!(found, all);
            }
        }
    }
}
