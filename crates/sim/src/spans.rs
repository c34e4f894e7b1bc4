//! Producers with names, and which messages are decided: the model's part.
//!
//! The one idea to know: a transaction is a round of its producer. A message knows its round, and the round how it ended;
//! so what everybody may read is a question to the two.

use crate::model::{Model, Stored};
use crate::record::{Change, Marker, Promised, Why};
use sluice_broker::{ProducerId, TransactionRefusal};
use sluice_model::{GroupName, Millis, Offset};
use sluice_store::Lsn;
use std::collections::{BTreeMap, BTreeSet};

/// A producer with a name.
#[derive(Debug, Clone)]
pub struct Named {
    pub id: ProducerId,
    pub timeout: Millis,
    pub previous: Option<ProducerId>,
    pub open: Option<Open>,
    /// How the last transaction ended.
    pub ended: Option<bool>,
    /// Where the group ends by which it has its present epoch.
    pub since: Lsn,
}

/// Its open transaction.
#[derive(Debug, Clone)]
pub struct Open {
    pub round: u64,
    pub since: Millis,
    pub queues: BTreeSet<u32>,
    pub groups: BTreeSet<GroupName>,
    pub offsets: BTreeMap<(u32, u32), Promised>,
}

/// How a round ended, and where the group ends that says so.
#[derive(Debug, Clone, Copy)]
pub struct End {
    pub commit: bool,
    pub at: Lsn,
}

/// A queue's.
#[derive(Debug, Clone, Default)]
pub struct OfQueue {
    /// The first message of each producer's open transaction.
    pub open: BTreeMap<u64, Offset>,
    /// First message and marker of those that have ended.
    ended: Vec<(Offset, Offset)>,
    /// Producer, first message and marker of aborted ones.
    pub aborted: Vec<(u64, Offset, Offset)>,
    /// The markers.
    pub marks: BTreeMap<Offset, Marker>,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Spans {
    pub named: BTreeMap<GroupName, Named>,
    pub rounds: BTreeMap<u64, Option<End>>,
    pub queues: BTreeMap<u32, OfQueue>,
}

/// What is to become of a request for a name, or for an end.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate {
    New,
    Next,
    /// It has happened before.
    Same,
    Refused(TransactionRefusal),
}

impl Spans {
    pub fn numbered(&self, number: u64) -> Option<(&GroupName, &Named)> {
        self.named.iter().find(|(_, known)| known.id.number == number)
    }

    /// Why one who says that it is this producer is refused.
    pub fn refuses(&self, name: &GroupName, id: ProducerId) -> Option<TransactionRefusal> {
        match self.named.get(name) {
            Some(known) if known.id == id => None,
            Some(known) if known.id.number == id.number || known.previous == Some(id) => {
                Some(TransactionRefusal::Fenced)
            }
            _ => Some(TransactionRefusal::Unknown),
        }
    }

    /// What becomes of a request for a name.
    pub fn naming(&self, name: &GroupName, was: Option<ProducerId>) -> Fate {
        match (self.named.get(name), was) {
            (None, None) => Fate::New,
            (Some(_), None) => Fate::Next,
            (Some(known), Some(was)) if known.id == was => Fate::Next,
            (Some(known), Some(was)) if known.previous == Some(was) && known.open.is_none() => Fate::Same,
            (_, Some(was)) => Fate::Refused(self.refuses(name, was).unwrap_or(TransactionRefusal::Unknown)),
        }
    }

    /// What becomes of a request for an end.
    pub fn ending(&self, name: &GroupName, id: ProducerId, commit: bool, anew: bool) -> Fate {
        let Some(known) = self.named.get(name) else { return Fate::Refused(TransactionRefusal::Unknown) };
        let has_ended = known.open.is_none() && known.ended == Some(commit);
        match (self.refuses(name, id), &known.open) {
            _ if anew && known.previous == Some(id) && has_ended => Fate::Same,
            (Some(why), _) => Fate::Refused(why),
            (None, Some(_)) => Fate::Next,
            (None, None) if anew && !commit => Fate::Next,
            (None, None) if has_ended && !anew => Fate::Same,
            (None, None) => Fate::Refused(TransactionRefusal::State),
        }
    }

    pub fn apply(&mut self, change: Change, stored: Millis, end: Lsn) {
        match change {
            Change::Named { name, id, timeout, why } => {
                let known = self.named.remove(&name);
                let before = known.as_ref().map(|known| known.id);
                if before == Some(id) {
                    self.named.extend(known.map(|known| (name, Named { timeout, ..known })));
                    return;
                }
                let named = Named {
                    id,
                    timeout,
                    previous: before.filter(|_| why != Why::Taken),
                    ended: known.as_ref().and_then(|known| known.ended).filter(|_| why == Why::Ended),
                    open: known.and_then(|known| known.open),
                    since: end,
                };
                self.named.insert(name, named);
            }
            Change::Joined { number, queues, groups } => {
                let round = self.rounds.len() as u64;
                let Some(known) = self.named.values_mut().find(|known| known.id.number == number) else {
                    return;
                };
                let open = known.open.get_or_insert_with(|| {
                    self.rounds.insert(round, None);
                    let (queues, groups, offsets) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
                    Open { round, since: stored, queues, groups, offsets }
                });
                open.queues.extend(queues);
                open.groups.extend(groups);
                known.ended = None;
            }
            Change::Promised { number, group, queue, promise } => {
                let known = self.named.values_mut().find(|known| known.id.number == number);
                if let Some(open) = known.and_then(|known| known.open.as_mut()) {
                    open.offsets.insert((group, queue), promise);
                }
            }
            Change::Ended { number, commit } => {
                if let Some(known) = self.named.values_mut().find(|known| known.id.number == number) {
                    if let Some(open) = known.open.take() {
                        self.rounds.insert(open.round, Some(End { commit, at: end }));
                    }
                    known.ended = Some(commit);
                }
            }
            Change::Forgotten { name } => drop(self.named.remove(&name)),
        }
    }

    /// The round that a batch of a producer in a queue belongs to, which begins here if it has nothing there yet.
    pub fn stored(&mut self, queue: u32, producer: u64, offset: Offset) -> Option<u64> {
        let open = self.numbered(producer)?.1.open.as_ref()?;
        let round = open.queues.contains(&queue).then_some(open.round)?;
        self.queues.entry(queue).or_default().open.entry(producer).or_insert(offset);
        Some(round)
    }

    pub fn marked(&mut self, queue: u32, offset: Offset, marker: Marker) {
        let here = self.queues.entry(queue).or_default();
        here.marks.insert(offset, marker);
        if let Some(first) = here.open.remove(&marker.producer) {
            here.ended.push((first, offset));
            if !marker.commit {
                here.aborted.push((marker.producer, first, offset));
            }
        }
    }

    pub fn forget(&mut self, queues: &[u32]) {
        self.queues.retain(|queue, _| !queues.contains(queue));
        for open in self.named.values_mut().filter_map(|known| known.open.as_mut()) {
            open.queues.retain(|queue| !queues.contains(queue));
            open.offsets.retain(|(_, queue), _| !queues.contains(queue));
        }
    }
}

impl Model {
    /// How the round of a message ended; nothing for one that is part of none.
    pub fn end_of(&self, stored: &Stored) -> Option<Option<End>> {
        stored.round.map(|round| self.spans.rounds.get(&round).copied().flatten())
    }

    /// Whether a message was taken back with its transaction.
    pub fn is_hidden(&self, stored: &Stored) -> bool {
        self.end_of(stored).flatten().is_some_and(|end| !end.commit)
    }

    /// The offset below which all is decided, of a queue that can be read up to `next`.
    pub fn stable(&self, queue: u32, next: Offset) -> Offset {
        let Some(here) = self.spans.queues.get(&queue) else { return next };
        let open = here.open.values().copied();
        let unseen = here.ended.iter().filter(|(_, marker)| *marker >= next).map(|(first, _)| *first);
        open.chain(unseen).min().unwrap_or(next).min(next)
    }

    /// The offset after the last one of a queue.
    pub fn next_offset(&self, queue: u32) -> Offset {
        let message = self.queues.get(&queue).and_then(|all| all.keys().next_back());
        let marks = self.spans.queues.get(&queue).and_then(|here| here.marks.keys().next_back());
        message.max(marks).map_or(0, |last| last + 1)
    }
}
