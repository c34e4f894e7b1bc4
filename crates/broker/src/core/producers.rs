//! Producers that go by a name, and the transaction that each may have open: what it spans, until when it may be open,
//! and how the last one ended.
//!
//! ```text
//! none --joins a queue or a group--> open --decided, or its time is up, or the name is taken by another--> none
//! ```
//! There is nothing between open and ended: the decision, the offsets that it makes hold, and the markers are one atomic
//! group of the log. The one idea to know: who speaks for a producer shows its number and epoch, and another epoch than
//! the present one is refused; so one who was replaced (a *zombie*) can do no more.
//!
//! Which messages are the transaction's is [`spans`](super::spans).

use crate::{ProducerId as Id, TransactionRefusal};
use serde::{Deserialize, Serialize};
use sluice_model::{GroupName, Millis, Offset};
use sluice_store::LogQueue;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The last epoch of a number, as it has to fit into 15 bits; the next one belongs to a new number.
const LAST_EPOCH: u16 = 0x7FFE;

/// Why a producer has a new epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Why {
    /// Another one has the name now: whoever had it before is out.
    Taken,
    /// It asked for one itself.
    Asked,
    /// Its transaction ended, and what may still be on its way belongs to the epoch before.
    Ended,
}

/// One change. Later versions add at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    /// The producer of this name is known by this from now on.
    Named { name: GroupName, id: Id, timeout: Millis, why: Why },
    /// Its transaction, opened by this if none was, spans these queues and the offsets of these groups, too.
    Joined { number: u64, queues: Vec<u32>, groups: Vec<GroupName> },
    /// The group will be at this offset if the transaction is committed.
    Promised { number: u64, group: u32, queue: u32, promise: Promised },
    /// The transaction has ended. What it makes hold follows in the same atomic group, and so do the markers.
    Ended { number: u64, commit: bool },
    /// Nobody used the name for too long.
    Forgotten { name: GroupName },
}

/// An offset that holds once the transaction is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Promised {
    pub(crate) offset: Offset,
    pub(crate) epoch: Option<i32>,
    pub(crate) note: String,
}

/// An open transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Open {
    pub(crate) since: Millis,
    pub(crate) queues: BTreeSet<u32>,
    pub(crate) groups: BTreeSet<GroupName>,
    /// By group and queue.
    pub(crate) offsets: BTreeMap<(u32, u32), Promised>,
}

impl Open {
    fn parts(&self) -> usize {
        self.queues.len() + self.groups.len() + self.offsets.len()
    }
}

/// A producer with a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Producer {
    pub(crate) name: GroupName,
    pub(crate) id: Id,
    /// How long a transaction may be open.
    pub(crate) timeout: Millis,
    pub(crate) open: Option<Open>,
    /// What it was before, when whoever was that may learn what it is now.
    previous: Option<Id>,
    /// How its last transaction ended, since it has its name: told again to who asks again.
    pub(crate) ended: Option<bool>,
    /// When it did something last.
    pub(crate) used: Millis,
}

impl Producer {
    /// When its open transaction is ended for it.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        self.open.as_ref().map(|open| open.since.saturating_add(self.timeout))
    }

    /// What it is after this.
    pub(crate) fn next(&self, new_number: impl FnOnce() -> u64) -> Id {
        match self.id.epoch >= LAST_EPOCH {
            true => Id { number: new_number(), epoch: 0 },
            false => Id { epoch: self.id.epoch + 1, ..self.id },
        }
    }
}

/// What is to become of a request to end a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End<'a> {
    /// End it.
    Now(&'a Producer),
    /// It has ended so before.
    Before(&'a Producer),
}

/// All of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    known: HashMap<GroupName, Producer, foldhash::fast::RandomState>,
    names: HashMap<u64, GroupName, foldhash::fast::RandomState>,
    /// The open transactions by the time that they may be open until.
    deadlines: BTreeSet<(Millis, GroupName)>,
    /// How much the open transactions span, all together.
    parts: usize,
}

/// What a checkpoint keeps.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedProducers(Vec<Producer>);

impl Producers {
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    #[cfg(test)]
    fn open(&self) -> usize {
        self.deadlines.len()
    }

    pub(crate) fn parts(&self) -> usize {
        self.parts
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Producer> {
        self.known.values()
    }

    pub(crate) fn named(&self, name: &GroupName) -> Option<&Producer> {
        self.known.get(name)
    }

    pub(crate) fn numbered(&self, number: u64) -> Option<&Producer> {
        self.names.get(&number).and_then(|name| self.known.get(name))
    }

    /// The producer of this name, if it is the one that speaks.
    ///
    /// # Errors
    /// [`TransactionRefusal::Unknown`], [`TransactionRefusal::Fenced`].
    pub(crate) fn speaker(&self, name: &GroupName, id: Id) -> Result<&Producer, TransactionRefusal> {
        let known = self.known.get(name).ok_or(TransactionRefusal::Unknown)?;
        match (known.id == id, known.id.number == id.number || known.previous == Some(id)) {
            (true, _) => Ok(known),
            (false, true) => Err(TransactionRefusal::Fenced),
            (false, false) => Err(TransactionRefusal::Unknown),
        }
    }

    /// What a producer of this name is from now on: as it is, when it asks again for what it was given, else something
    /// new. `was` is what it takes itself for, if it says so.
    ///
    /// # Errors
    /// As for [`Producers::speaker`].
    pub(crate) fn name(
        &self,
        name: &GroupName,
        was: Option<Id>,
        new_number: impl FnOnce() -> u64,
    ) -> Result<(Id, Option<Why>), TransactionRefusal> {
        match (self.known.get(name), was) {
            (None, None) => Ok((Id { number: new_number(), epoch: 0 }, Some(Why::Taken))),
            (None, Some(_)) => Err(TransactionRefusal::Unknown),
            (Some(known), None) => Ok((known.next(new_number), Some(Why::Taken))),
            (Some(known), Some(was)) if known.id == was => Ok((known.next(new_number), Some(Why::Asked))),
            (Some(known), Some(was)) if known.previous == Some(was) && known.open.is_none() => {
                Ok((known.id, None))
            }
            (Some(_), Some(was)) => self.speaker(name, was).map(|known| (known.id, None)),
        }
    }

    /// What becomes of a request to end the transaction of a producer. `anew` says that it gets a new epoch by that, so
    /// one that asks again still has the old one.
    ///
    /// # Errors
    /// As for [`Producers::speaker`]; [`TransactionRefusal::State`] when none is open, and none ended so before.
    pub(crate) fn end(
        &self,
        name: &GroupName,
        id: Id,
        commit: bool,
        anew: bool,
    ) -> Result<End<'_>, TransactionRefusal> {
        let known = self.known.get(name).ok_or(TransactionRefusal::Unknown)?;
        if anew && known.previous == Some(id) && known.ended == Some(commit) && known.open.is_none() {
            return Ok(End::Before(known));
        }
        let known = self.speaker(name, id)?;
        match (&known.open, known.ended) {
            (Some(_), _) => Ok(End::Now(known)),
            // A producer that gave up before it sent anything does not know whether a transaction is open.
            (None, _) if anew && !commit => Ok(End::Now(known)),
            (None, Some(ended)) if ended == commit && !anew => Ok(End::Before(known)),
            (None, _) => Err(TransactionRefusal::State),
        }
    }

    /// Those whose time is up, and then when the next one's is.
    pub(crate) fn overdue(&self, now: Millis) -> Result<GroupName, Option<Millis>> {
        match self.deadlines.first() {
            Some((at, name)) if *at <= now => Ok(name.clone()),
            first => Err(first.map(|(at, _)| *at)),
        }
    }

    /// Those without a transaction that nobody used since.
    pub(crate) fn idle_since(&self, before: Millis) -> Vec<GroupName> {
        let idle = self.known.values().filter(|known| known.open.is_none() && known.used <= before);
        let mut idle: Vec<_> = idle.map(|known| known.name.clone()).collect();
        idle.sort_unstable();
        idle
    }

    /// Queues on which a group's offset depends on an open transaction.
    pub(crate) fn unsettled(&self, group: u32) -> BTreeSet<u32> {
        let open = self.deadlines.iter().filter_map(|(_, name)| self.known.get(name)?.open.as_ref());
        let of_group = |open: &Open| -> Vec<u32> {
            open.offsets.range((group, 0)..=(group, u32::MAX)).map(|((_, queue), _)| *queue).collect()
        };
        open.flat_map(of_group).collect()
    }

    pub(crate) fn apply(&mut self, change: &Change, now: Millis) {
        match change {
            Change::Named { name, id, timeout, why } => self.rename(name, *id, *timeout, *why, now),
            Change::Joined { number, queues, groups } => self.alter(*number, |producer| {
                let open = producer.open.get_or_insert_with(|| Open {
                    since: now,
                    queues: BTreeSet::new(),
                    groups: BTreeSet::new(),
                    offsets: BTreeMap::new(),
                });
                open.queues.extend(queues);
                open.groups.extend(groups.iter().cloned());
                producer.ended = None;
                producer.used = now;
            }),
            Change::Promised { number, group, queue, promise } => self.alter(*number, |producer| {
                if let Some(open) = &mut producer.open {
                    open.offsets.insert((*group, *queue), promise.clone());
                }
            }),
            Change::Ended { number, commit } => self.alter(*number, |producer| {
                producer.open = None;
                producer.ended = Some(*commit);
                producer.used = now;
            }),
            Change::Forgotten { name } => {
                if let Some(known) = self.known.get(name).map(|known| known.id.number) {
                    self.alter(known, |producer| producer.open = None);
                    self.names.remove(&known);
                    self.known.remove(name);
                }
            }
        }
    }

    fn rename(&mut self, name: &GroupName, id: Id, timeout: Millis, why: Why, now: Millis) {
        let Some(known) = self.known.get_mut(name) else {
            self.names.insert(id.number, name.clone());
            let producer = Producer {
                name: name.clone(),
                id,
                timeout,
                open: None,
                previous: None,
                ended: None,
                used: now,
            };
            self.known.insert(name.clone(), producer);
            return;
        };
        if known.id == id {
            // Told again.
            (known.timeout, known.used) = (timeout, now);
            return;
        }
        self.names.remove(&known.id.number);
        self.names.insert(id.number, name.clone());
        known.previous = (why != Why::Taken).then_some(known.id);
        if why != Why::Ended {
            known.ended = None;
        }
        (known.id, known.timeout, known.used) = (id, timeout, now);
    }

    /// Changes a producer, and what follows from its open transaction.
    fn alter(&mut self, number: u64, change: impl FnOnce(&mut Producer)) {
        let Some(producer) = self.names.get(&number).and_then(|name| self.known.get_mut(name)) else {
            return;
        };
        let name = producer.name.clone();
        if let Some(deadline) = producer.deadline() {
            self.deadlines.remove(&(deadline, name.clone()));
        }
        self.parts -= producer.open.as_ref().map_or(0, Open::parts);
        change(producer);
        self.parts += producer.open.as_ref().map_or(0, Open::parts);
        if let Some(deadline) = producer.deadline() {
            self.deadlines.insert((deadline, name));
        }
    }

    /// Transactions no longer span deleted queues.
    pub(crate) fn forget(&mut self, queues: &[LogQueue]) {
        let gone: BTreeSet<u32> = queues.iter().map(|queue| queue.0).collect();
        let open: Vec<u64> = self
            .deadlines
            .iter()
            .filter_map(|(_, name)| self.known.get(name).map(|known| known.id.number))
            .collect();
        for number in open {
            self.alter(number, |producer| {
                if let Some(open) = &mut producer.open {
                    open.queues.retain(|queue| !gone.contains(queue));
                    open.offsets.retain(|(_, queue), _| !gone.contains(queue));
                }
            });
        }
    }

    pub(crate) fn save(&self) -> SavedProducers {
        let mut all: Vec<_> = self.known.values().cloned().collect();
        // The same in every run of a simulation.
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        SavedProducers(all)
    }

    pub(crate) fn restore(saved: SavedProducers) -> Self {
        let mut all = Self::default();
        for producer in saved.0 {
            if let Some(deadline) = producer.deadline() {
                all.deadlines.insert((deadline, producer.name.clone()));
            }
            all.parts += producer.open.as_ref().map_or(0, Open::parts);
            all.names.insert(producer.id.number, producer.name.clone());
            all.known.insert(producer.name.clone(), producer);
        }
        all
    }
}

#[cfg(test)]
mod tests;
