//! Transactions: prepared, asked about, ended once, told again, given up.
//!
//! The one idea to know: what a half may become is said by its own number in its body. A committed one is there once, any
//! other is not, whatever crashed between the steps.

use crate::check::UNDECIDED;
use crate::node::{Asked, Check, MAX_HALF_AGE, Node, now};
use crate::record::Decision;
use crate::spy::Item;
use crate::tally;
use crate::verbs::number_of;
use sluice_broker::{EndTransaction, PrepareRequest, SendRequest};
use sluice_model::{ErrorKind, GroupName};
use sluice_store::Lsn;
use std::collections::BTreeMap;
use std::time::Duration;

/// Ended transactions among which one is told again.
const TOLD_AGAIN: usize = 8;

impl Node {
    pub fn prepare(&mut self, mut send: SendRequest, group: GroupName) -> Check {
        send.messages.truncate(1);
        let topic = send.topic.clone();
        let numbers: Vec<u64> = send.messages.iter().map(number_of).collect();
        let first_check = self.dice.coin().then(|| Duration::from_millis(self.dice.below(20_000)));
        let tuned = self.model.tuned(self.broker.config()).first_check;
        let wait = first_check.map_or(tuned.as_millis(), |first| first.as_millis() as u64).min(MAX_HALF_AGE);
        let prepared = self.broker.prepare(&self.me.clone(), PrepareRequest { send, group, first_check });
        let groups = self.absorb(&Asked::default())?;
        match prepared {
            Err(error) => self.refused("prepare", &error, &[ErrorKind::TopicNotFound]),
            Ok(promise) => {
                let told = promise.preview().and_then(|sent| sent.first()).map(|sent| sent.locator);
                let half = told.and_then(|lsn| self.model.halves.get(&lsn));
                if half.is_some_and(|half| half.next != half.prepared + wait) {
                    return Err(format!(
                        "{half:?} is asked about too early or too late: not after {wait} ms"
                    ));
                }
                if half.map(|half| number_of(&half.message)) != numbers.first().copied() {
                    return Err(format!(
                        "{numbers:?} to {topic} is not prepared where the answer says: {told:?}"
                    ));
                }
                self.trace.note(format_args!("prepared {numbers:?} {told:?}"));
                self.promised(promise, &groups, Vec::new());
                Ok(())
            }
        }
    }

    /// Ends an open transaction; or tells the end of an earlier one again, right or wrong.
    pub fn some_end(&mut self) -> Check {
        let again = self.dice.below(4) == 0;
        let lsn = if again {
            let last = self.model.decided.keys().rev().take(TOLD_AGAIN).copied().collect::<Vec<_>>();
            last.get(self.dice.below(last.len() as u64) as usize).copied()
        } else {
            let open: Vec<Lsn> = self.model.halves.keys().copied().collect();
            open.get(self.dice.below(open.len() as u64) as usize).copied()
        };
        let Some(lsn) = lsn else { return Ok(()) };
        let commit = self.dice.below(3) > 0;
        self.end(lsn, commit)
    }

    fn end(&mut self, lsn: Lsn, commit: bool) -> Check {
        // A half is read from the log, so what was appended is written first.
        if self.dice.coin() {
            self.commit()?;
        }
        let before = self.model.decided.get(&lsn).map(|(decision, _)| *decision);
        let (broker, me) = (self.broker.clone(), self.me.clone());
        let call = async move {
            let end = EndTransaction { transaction: lsn, commit, group: None, offset: None };
            broker.end_transaction(&me, end).await
        };
        let expected: &[ErrorKind] = match before {
            None => &[ErrorKind::Unavailable],
            Some(Decision::Committed) if commit => &[],
            Some(Decision::RolledBack) if !commit => &[],
            Some(_) => &[ErrorKind::Conflict],
        };
        // Of a topic that is gone nothing is known.
        let known = before.is_none() || self.is_known(lsn);
        let expected: Vec<ErrorKind> =
            expected.iter().copied().chain((!known).then_some(ErrorKind::MessageNotFound)).collect();
        let asked = Asked { ends: Some((lsn, commit)), ..Asked::default() };
        let what = format!("end {lsn} {commit}");
        // A refusal promises nothing, nor does what has failed.
        if self.ends_at_once(&what, &asked, call, &expected)?
            && !self.is_down()
            && self.same_end(before, commit)
        {
            // "It has ended so" is a promise as good as the first.
            let end = self.decided_at(lsn);
            self.promised_up_to(end);
        }
        Ok(())
    }

    fn same_end(&self, before: Option<Decision>, commit: bool) -> bool {
        let wanted = if commit { Decision::Committed } else { Decision::RolledBack };
        before == Some(wanted)
    }

    /// Whether the topic that an ended transaction was for is still there.
    fn is_known(&self, lsn: Lsn) -> bool {
        let mut queues = self.everything().flat_map(|group| &group.items).filter_map(|item| match item {
            Item::State { bytes, .. } => match crate::record::Rec::decode(bytes) {
                Some(crate::record::Rec::Prepared { target, .. }) => Some((target, None)),
                _ => None,
            },
            Item::Message { lsn, .. } => Some((0, Some(*lsn))),
            Item::Batch { .. } => None,
        });
        let mut target = 0;
        queues
            .find_map(|(queue, at)| {
                target = if at.is_none() { queue } else { target };
                (at == Some(lsn)).then_some(target)
            })
            .is_some_and(|target| self.model.owner(target).is_some())
    }

    /// Where the group ends that decided a transaction.
    fn decided_at(&self, transaction: Lsn) -> Lsn {
        let decides = |item: &Item| match item {
            Item::State { bytes, .. } => matches!(
                crate::record::Rec::decode(bytes),
                Some(crate::record::Rec::Decided { lsn, .. }) if lsn == transaction
            ),
            Item::Message { .. } | Item::Batch { .. } => false,
        };
        let group = self.everything().find(|group| group.items.iter().any(decides));
        group.map_or(0, |group| group.end)
    }

    /// Asks for the outcomes that are due.
    pub fn check_transactions(&mut self) -> Check {
        while self.spy.log.keep_files() {}
        self.commit()?;
        if self.is_down() {
            return Ok(());
        }
        let checked = now(self.broker.check_due())?;
        let groups = self.absorb(&Asked { gives_up: true, ..Asked::default() })?;
        self.trace.note(format_args!("transactions checked"));
        self.told_checks(&groups)?;
        match checked {
            Ok(()) => self.nobody_left_out(),
            // A topic made for what is given up counts as a message does not: all that is asked for here may be refused.
            Err(error) => self.refused("check", &error, &[]),
        }
    }

    /// An instance comes for its group's checks.
    pub fn some_checks(&mut self, group: &GroupName) -> Check {
        self.commit()?;
        if self.is_down() {
            return Ok(());
        }
        let checks = now(self.broker.receive_checks(&self.me.clone(), group, 4, Duration::ZERO))?;
        self.absorb(&Asked::default())?;
        let checks = match checks {
            Ok(checks) => checks,
            Err(error) => return self.refused("receive checks", &error, &[]),
        };
        for check in checks {
            let half = self.model.halves.get(&check.transaction);
            let same = half.is_some_and(|half| {
                half.group == *group
                    && half.checks == check.checks
                    && half.message.body == check.message.message.body
            });
            if !same {
                return Err(format!("transaction {} is asked about, which is {half:?}", check.transaction));
            }
            self.checked(tally::HALVES);
        }
        Ok(())
    }

    /// The open transactions are those of the model.
    pub fn compare_transactions(&mut self) -> Check {
        let open = self.broker.transactions(&self.me, None, 0, usize::MAX).map_err(|e| format!("{e:?}"))?;
        let found: BTreeMap<Lsn, u32> = open.iter().map(|view| (view.transaction, view.checks)).collect();
        let wanted: BTreeMap<Lsn, u32> =
            self.model.halves.iter().map(|(lsn, half)| (*lsn, half.checks)).collect();
        self.checked(tally::HALVES);
        if found == wanted { Ok(()) } else { Err(format!("{found:?} are open, not {wanted:?}")) }
    }

    /// Nobody decides any more: all are given up in time.
    pub fn give_all_up(&mut self) -> Check {
        self.check_transactions()?;
        self.commit()?;
        match self.model.halves.len() {
            0 => Ok(()),
            left => Err(format!("{left} transactions are never given up")),
        }
    }

    /// How often the message of each transaction has to be in a topic at the end.
    pub fn outcomes(&self) -> BTreeMap<u64, (u32, bool)> {
        let outcome = |(decision, number): &(Decision, u64)| {
            let count = u32::from(*decision != Decision::RolledBack);
            (*number, (count, *decision == Decision::GivenUp))
        };
        self.model.decided.values().map(outcome).collect()
    }

    /// Whether a topic is the one for what nobody decided.
    pub fn is_undecided(topic: &sluice_model::TopicName) -> bool {
        topic.as_str() == UNDECIDED
    }
}
