//! Producers with names: taking one, sending and promising offsets within a transaction, ending it, and whoever comes too
//! late.
//!
//! The one idea to know: each answer is foretold by the model, so a producer that was replaced is refused for that reason,
//! in any life, and one that is told "it has ended so" has a promise as good as the first.

use crate::ends::Deed;
use crate::node::{Asked, Check, Node};
use crate::numbered::Verdict;
use crate::record::Numbered;
use crate::spans::Fate;
use crate::tally;
use sluice_broker::{NameProducer, PartOf, ProducerId, QueueCommit, Speaker, TransactionRefusal};
use sluice_model::{Error, ErrorKind, GroupName, QueueId, TopicName};
use std::collections::BTreeSet;
use std::time::Duration;

const NAMES: [&str; 2] = ["till", "ledger"];
/// What producers were known by, of which one is used again.
const OLD: usize = 8;

/// A group in which nothing but this deed is asked for.
fn asked(deed: Deed) -> Asked<'static> {
    Asked { producer: Some(deed), ..Asked::default() }
}

impl Node {
    /// Something happens to a producer with a name.
    pub fn some_named(&mut self, topic: &TopicName) -> Check {
        let name = NAMES.get(self.dice.below(2) as usize).copied().unwrap_or_default();
        let name = GroupName::new(name).map_err(|error| format!("{error:?}"))?;
        let known = self.model.spans.named.get(&name).map(|known| known.id);
        let Some(known) = known else { return self.name(&name, None) };
        if self.ids.last() != Some(&known) {
            self.ids.push(known);
            let old = self.ids.len().saturating_sub(OLD);
            self.ids.drain(..old);
        }
        let old = self.ids.get(self.dice.below(self.ids.len() as u64) as usize).copied();
        let id = old.filter(|_| self.dice.below(6) == 0).unwrap_or(known);
        match self.dice.below(18) {
            0 => self.name(&name, None),
            1 | 2 => self.name(&name, Some(id)),
            3 => self.join_transaction(&name, id, topic),
            4..10 => self.send_part(&name, id, topic),
            10 | 11 => self.promise_offsets(&name, id, topic),
            12..16 => self.decide(&name, id),
            16 => self.end_overdue(),
            _ => {
                self.can_read();
                self.commit()?;
                self.compare_named()
            }
        }
    }

    /// A refusal is the one that was foretold, or one that may happen to anybody.
    fn refused_as(
        &mut self,
        what: &str,
        error: &Error,
        wanted: Option<TransactionRefusal>,
        expected: &[ErrorKind],
    ) -> Check {
        match TransactionRefusal::of(error) {
            None => self.refused(what, error, expected),
            found if found == wanted => {
                self.trace.note(format_args!("{what}: {found:?}"));
                self.checked(tally::FENCED);
                Ok(())
            }
            found => Err(format!("{what} is refused because of {found:?}, not {wanted:?}")),
        }
    }

    fn name(&mut self, name: &GroupName, was: Option<ProducerId>) -> Check {
        let before = self.model.spans.named.get(name).map(|known| known.id);
        let fate = self.model.spans.naming(name, was);
        let timeout = Duration::from_millis(1000 + self.dice.below(60_000));
        let named = self.broker.name_producer(&self.me.clone(), &NameProducer { name, timeout, was });
        let groups = self.absorb(&asked(Deed::Names(name.clone())))?;
        self.trace.note(format_args!("name {name} {was:?} {fate:?}"));
        match (named, fate) {
            (Err(error), Fate::Refused(why)) => self.refused_as("name", &error, Some(why), &[]),
            (Err(error), _) => self.refused_as("name", &error, None, &[]),
            (Ok(_), Fate::Refused(why)) => Err(format!("{name} is given, but {was:?} is {why:?}")),
            (Ok(promise), fate) => {
                let known = self.model.spans.named.get(name);
                let (id, since) =
                    known.map(|known| (known.id, known.since)).ok_or("a name is given to nobody")?;
                let right = match fate {
                    Fate::Same => before == Some(id),
                    _ => before.is_none_or(|before| before.epoch + 1 == id.epoch),
                };
                if promise.preview() != Some(&id) || !right {
                    return Err(format!("{name} is {id:?} after {before:?}; told {:?}", promise.preview()));
                }
                self.promised_from(promise, since, &groups);
                Ok(())
            }
        }
    }

    fn join_transaction(&mut self, name: &GroupName, id: ProducerId, topic: &TopicName) -> Check {
        let group = self.some_stream()?;
        let wanted = self.model.spans.refuses(name, id);
        let (places, groups) = ([(topic.clone(), QueueId(0))], [group]);
        let (places, groups) = match self.dice.below(3) {
            0 => (&places[..], &groups[..]),
            1 => (&places[..0], &groups[..]),
            _ => (&places[..], &groups[..0]),
        };
        let joined = self.broker.join_transaction(&self.me.clone(), &Speaker { name, id }, places, groups);
        let appended = self.absorb(&asked(Deed::Speaks(name.clone())))?;
        self.trace.note(format_args!("join {name} {id:?} {wanted:?}"));
        match joined {
            Ok(_) if wanted.is_some() => Err(format!("{id:?} joins as {name}, but is {wanted:?}")),
            Ok(promise) => {
                self.promised(promise, &appended, Vec::new());
                Ok(())
            }
            Err(error) => self.refused_as("join", &error, wanted, &[ErrorKind::TopicNotFound]),
        }
    }

    fn promise_offsets(&mut self, name: &GroupName, id: ProducerId, topic: &TopicName) -> Check {
        let (group, joins) = (self.some_stream()?, self.dice.below(3) > 0);
        let (min, next) = self.first_queue(topic).map_or((0, 0), |queue| self.bounds(queue));
        let offset = min + self.dice.below(next - min + 1);
        let commits =
            [QueueCommit { queue: QueueId(0), offset, epoch: None, note: format!("of {name}").into() }];
        let open = self.model.spans.named.get(name).and_then(|known| known.open.as_ref());
        let is_part = open.is_some_and(|open| open.groups.contains(&group));
        let wanted = self.model.spans.refuses(name, id);
        let wanted = wanted.or((!is_part && !joins).then_some(TransactionRefusal::State));
        let speaker = Speaker { name, id };
        let me = self.me.clone();
        let promised = self.broker.promise_offsets(&me, &speaker, &group, topic, (&commits, joins));
        let groups = self.absorb(&asked(Deed::Speaks(name.clone())))?;
        self.trace.note(format_args!("promise {name} {id:?} {group} {offset} {wanted:?}"));
        match promised {
            Ok(_) if wanted.is_some() => Err(format!("{id:?} promises as {name}, but is {wanted:?}")),
            Ok(promise) => {
                self.promised(promise, &groups, Vec::new());
                Ok(())
            }
            Err(error) => self.refused_as("promise", &error, wanted, &[ErrorKind::TopicNotFound]),
        }
    }

    /// Sends within a transaction: what comes next, or again.
    fn send_part(&mut self, name: &GroupName, id: ProducerId, topic: &TopicName) -> Check {
        let Some(queue) = self.first_queue(topic) else { return Ok(()) };
        let (producer, epoch) = (id.number, id.epoch);
        let last = self.model.batches(queue, producer, epoch).last().copied();
        let next = last.map_or(0, |batch| batch.next());
        let (first, count) = match (last, self.dice.below(8)) {
            (Some(batch), 0) => (batch.first, batch.count),
            (_, 1) => (next + 1, 1),
            _ => (next, 1 + self.dice.below(3) as u32),
        };
        let batch = Numbered { producer, epoch, first, count };
        let joins = self.dice.below(8) > 0;
        let open = self.model.spans.numbered(producer).and_then(|(_, known)| known.open.as_ref());
        let is_part = open.is_some_and(|open| open.queues.contains(&queue));
        let refusal = self.model.spans.refuses(name, id);
        let verdict = self.model.judge(queue, &batch);
        let refusal = match (refusal, &verdict) {
            (Some(TransactionRefusal::Fenced), _) => Some(TransactionRefusal::Fenced),
            (_, Verdict::Again(_) | Verdict::OldEpoch | Verdict::Gap) => None,
            (refusal, Verdict::Stored) => {
                refusal.or((!is_part && !joins).then_some(TransactionRefusal::State))
            }
        };
        let part = PartOf { producer: name.clone(), joins };
        let sent = self.send_batch(topic, batch, Some(part), &asked(Deed::Speaks(name.clone())))?;
        self.trace.note(format_args!("part {name} {id:?} {first}+{count} {verdict:?} {refusal:?}"));
        match sent.outcome {
            Err(error) => self.refused_as("send", &error, refusal, &[ErrorKind::TopicNotFound]),
            Ok(_) if refusal.is_some() => Err(format!("{id:?} sends as {name}, but is {refusal:?}")),
            // Whether they stay is not said before the end.
            Ok(outcome) => self.became(&batch, outcome, &sent.groups, Vec::new(), &verdict),
        }
    }

    fn decide(&mut self, name: &GroupName, id: ProducerId) -> Check {
        let (commit, anew) = (self.dice.below(3) > 0, self.dice.below(3) == 0);
        let before = self.model.spans.named.get(name).map(|known| known.id);
        let fate = self.model.spans.ending(name, id, commit, anew);
        let decided = self.broker.decide_transaction(&self.me.clone(), &Speaker { name, id }, commit, anew);
        let groups = self.absorb(&asked(Deed::Decides(name.clone(), commit)))?;
        self.trace.note(format_args!("decide {name} {id:?} {commit} {anew} {fate:?}"));
        match (decided, fate) {
            (Err(error), Fate::Refused(why)) => self.refused_as("decide", &error, Some(why), &[]),
            (Err(error), _) => self.refused_as("decide", &error, None, &[]),
            (Ok(_), Fate::Refused(why)) => Err(format!("{id:?} decides as {name}, but is {why:?}")),
            (Ok(promise), fate) => {
                let after = self.model.spans.named.get(name).map(|known| known.id);
                let is_new = anew && fate == Fate::Next;
                let right = before.zip(after).is_some_and(|(before, after)| {
                    after.number == before.number && after.epoch == before.epoch + u16::from(is_new)
                });
                if !right || promise.preview() != after.as_ref() {
                    return Err(format!(
                        "{name} is {after:?} after {before:?}, told {:?}",
                        promise.preview()
                    ));
                }
                self.promised(promise, &groups, Vec::new());
                Ok(())
            }
        }
    }

    /// What was open for too long is aborted, and nothing else.
    pub fn end_overdue(&mut self) -> Check {
        while self.spy.log.keep_files() {}
        let ended = self.broker.end_overdue();
        self.absorb(&asked(Deed::Overdue))?;
        self.trace.note(format_args!("overdue {}", ended.is_ok()));
        if let Err(error) = ended {
            return self.refused("end overdue", &error, &[]);
        }
        let now = self.now();
        let late = self
            .model
            .spans
            .named
            .iter()
            .find(|(_, known)| known.open.as_ref().is_some_and(|open| open.since + known.timeout <= now));
        match late.map(|(name, _)| name.clone()) {
            Some(name) => Err(format!("the transaction of {name} is open for too long")),
            None => self.commit(),
        }
    }

    /// Who has a name, what is open, and which offsets depend on it.
    pub fn compare_named(&mut self) -> Check {
        let views = self.broker.named_producers(&self.me).map_err(|error| format!("{error:?}"))?;
        let found: Vec<_> = views
            .iter()
            .map(|view| (view.name.clone(), view.id, view.since, view.committed, view.places.clone()))
            .collect();
        let places = |queues: &BTreeSet<u32>| {
            let owners = queues.iter().filter_map(|queue| self.model.owner(*queue));
            let mut places: Vec<_> = owners.map(|(topic, _, id)| (topic.clone(), QueueId(id))).collect();
            places.sort();
            places
        };
        let named = self.model.spans.named.iter();
        let wanted: Vec<_> = named
            .map(|(name, known)| {
                let open = known.open.as_ref();
                let queues = open.map(|open| places(&open.queues)).unwrap_or_default();
                let ended = known.ended.filter(|_| open.is_none());
                (name.clone(), known.id, open.map(|open| open.since), ended, queues)
            })
            .collect();
        if found != wanted {
            return Err(format!("the producers with names are {found:?}, not {wanted:?}"));
        }
        let groups: Vec<(u32, GroupName)> =
            self.model.groups.iter().map(|(number, group)| (*number, group.name.clone())).collect();
        for (number, name) in groups {
            let found =
                self.broker.unsettled_offsets(&self.me, &name).map_err(|error| format!("{error:?}"))?;
            let open = self.model.spans.named.values().filter_map(|known| known.open.as_ref());
            let queues: BTreeSet<u32> = open
                .flat_map(|open| open.offsets.keys().filter(|(of, _)| *of == number).map(|(_, queue)| *queue))
                .collect();
            if found != places(&queues) {
                return Err(format!("{found:?} of {name} is unsettled, not {:?}", places(&queues)));
            }
        }
        self.checked(tally::TRANSACTIONS);
        Ok(())
    }
}
