//! Clients that send messages as members of groups, and are asked for the outcomes of these groups' transactions.
//!
//! The one idea to know: who is connected when a check is due is asked, once, and nobody else is; what that comes to is in the
//! records, so each event must have one, and each record its event.

use crate::node::{Check, Node, poll};
use crate::record::Rec;
use crate::spy::{Group, Item};
use crate::tally;
use sluice_broker::{Client, ClientEvent, Setting, TransactionCheck};
use sluice_model::{GroupName, Millis};
use sluice_store::Lsn;
use std::collections::BTreeSet;
use std::pin::pin;

/// Clients that produce, at most.
const CLIENTS: usize = 3;
/// For a check that is due later nobody waits.
const LONGEST_WAIT: Millis = 60_000;

/// A client that may be asked.
pub struct Producing {
    client: Client,
    groups: BTreeSet<GroupName>,
}

/// The transactions that producers were asked about in these groups of records.
fn asked(groups: &[Group]) -> BTreeSet<Lsn> {
    let items = groups.iter().flat_map(|group| &group.items);
    let asked = items.filter_map(|item| match item {
        Item::State { bytes, .. } => match Rec::decode(bytes) {
            Some(Rec::Asked { lsn, .. }) => Some(lsn),
            _ => None,
        },
        Item::Message { .. } | Item::Batch { .. } => None,
    });
    asked.collect()
}

impl Node {
    /// A client says as which groups it sends, or that it does so no more, or goes away.
    pub fn some_producer(&mut self) -> Check {
        let n = self.dice.below(CLIENTS as u64) as usize;
        let Some(mut known) = (n < self.live.producers.len()).then(|| self.live.producers.swap_remove(n))
        else {
            let new = Producing { client: self.broker.client(&self.me), groups: BTreeSet::new() };
            return self.says(new);
        };
        match self.dice.below(4) {
            0 => drop(known),
            1 => {
                let gone = known.groups.pop_first();
                gone.iter().for_each(|group| known.client.stop_producing(group));
                self.live.producers.push(known);
            }
            _ => return self.says(known),
        }
        self.trace.note(format_args!("{} produce", self.live.producers.len()));
        Ok(())
    }

    /// Time goes on to where checks are due, and meanwhile clients come and go: whoever is there then is asked.
    pub fn some_questions(&mut self) -> Check {
        if self.model.halves.is_empty() {
            self.some_prepare()?;
        }
        if self.dice.below(3) == 0 {
            let often = Setting::MaxChecks(1 + self.dice.below(4) as u32);
            self.tune(vec![often], &[])?;
        }
        for _ in 0..1 + self.dice.below(6) {
            if self.dice.below(4) > 0 {
                self.some_producer()?;
            }
            if self.dice.below(4) > 0 {
                let now = self.now();
                let due = self.model.halves.values().map(|half| half.next).filter(|due| *due > now).min();
                self.pass(due.map_or(0, |due| (due - now).min(LONGEST_WAIT)));
            }
            self.check_transactions()?;
            if self.is_down() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// As these groups, and no others.
    fn says(&mut self, mut known: Producing) -> Check {
        let mut groups = (0..1 + self.dice.below(2)).map(|_| self.some_group()).collect::<Check<Vec<_>>>()?;
        if self.dice.coin() {
            groups.extend(self.model.halves.values().next().map(|half| half.group.clone()));
        }
        self.trace.note(format_args!("produces as {groups:?}"));
        known
            .client
            .produce_as(&self.me, &groups)
            .map_err(|error| format!("nobody may produce: {error:?}"))?;
        known.groups = groups.into_iter().collect();
        self.live.producers.push(known);
        Ok(())
    }

    /// Who is asked is told, one for each record, and is one of the group's.
    pub fn told_checks(&mut self, groups: &[Group]) -> Check {
        let wanted = asked(groups);
        let mut found = BTreeSet::new();
        for producer in &self.live.producers {
            while let Some(event) = poll(pin!(producer.client.event())) {
                let ClientEvent::CheckTransaction(check) = event else { continue };
                if !found.insert(check.transaction) {
                    return Err(format!("two are asked about the transaction {}", check.transaction));
                }
                self.is_question(producer, &check)?;
            }
        }
        found.iter().for_each(|_| self.checked(tally::HALVES));
        // What cannot be read is asked about after the interval again.
        let unread = self.was_unreadable || self.is_down();
        if found == wanted || unread && found.is_subset(&wanted) {
            return Ok(());
        }
        Err(format!("producers are asked about {found:?}, and the records say {wanted:?}"))
    }

    fn is_question(&self, to: &Producing, check: &TransactionCheck) -> Check {
        let half = self.model.halves.get(&check.transaction);
        let is_right = half.is_some_and(|half| {
            half.group == check.group
                && to.groups.contains(&half.group)
                && half.checks == check.checks
                && half.message.body == check.message.message.body
        });
        match is_right {
            true => Ok(()),
            false => Err(format!("who produces as {:?} is asked {check:?}, and it is {half:?}", to.groups)),
        }
    }

    /// No check is due any more for which somebody is there.
    pub fn nobody_left_out(&mut self) -> Check {
        let now = self.now();
        let is_there = |group: &GroupName| self.live.producers.iter().any(|one| one.groups.contains(group));
        let mut halves = self.model.halves.iter();
        match halves.find(|(_, half)| half.next <= now && is_there(&half.group)) {
            Some((lsn, half)) => Err(format!("nobody is asked about {lsn}, {half:?}, at {now}")),
            None => Ok(()),
        }
    }
}
