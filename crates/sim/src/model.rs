//! What the broker must know, told naively: [`Model`], a fold over what was appended.
//!
//! It exists to disagree with the broker. The one idea to know: every group of records is looked at twice. Before it is
//! applied, [`check`](crate::check) asks whether the rules allow it now; after a crash, the model is made anew from
//! those groups that survived, and the broker must know neither more nor less.

use crate::numbered::Batch;
use crate::packs;
use crate::record::{Decision, Marker, Rec};
use crate::spans::Spans;
use crate::spy::{Group, Item};
use sluice_broker::{GroupSpec, Setting, TopicSpec};
use sluice_model::{GroupName, Message, Millis, Offset, TopicName};
use sluice_store::Lsn;
use std::collections::{BTreeMap, BTreeSet};

/// The log queue in which delayed messages wait.
pub const TIMERS: u32 = 1;
/// The log queue in which messages of open transactions lie.
pub const HALVES: u32 = 2;

/// See the module.
#[derive(Debug, Default, Clone)]
pub struct Model {
    pub topics: BTreeMap<TopicName, Topic>,
    pub groups: BTreeMap<u32, GroupState>,
    /// The messages of every log queue, by offset.
    pub queues: BTreeMap<u32, BTreeMap<Offset, Stored>>,
    pub progress: BTreeMap<(u32, u32), Progress>,
    pub timers: BTreeMap<(Millis, Lsn), Timer>,
    /// The open transactions, by what they are called.
    pub halves: BTreeMap<Lsn, Half>,
    /// Those that have ended, how, and the number of their message.
    pub decided: BTreeMap<Lsn, (Decision, u64)>,
    /// The numbers of messages that were taken back.
    pub recalled: BTreeSet<u64>,
    /// Below these offsets queues were cut.
    pub floors: BTreeMap<u32, Offset>,
    /// Dead letters that went to their group again.
    pub redriven: BTreeSet<(u32, Offset)>,
    /// What consumers wrote beside the offsets that they committed: of which offset, with which epoch.
    pub notes: BTreeMap<(u32, u32), (Offset, Option<i32>, String)>,
    /// The changes of users, roles and policies.
    pub access: Vec<sluice_auth::Change>,
    /// The batches of each producer in each queue.
    pub numbered: BTreeMap<(u32, u64), Vec<Batch>>,
    /// Producers with names and their transactions.
    pub spans: Spans,
    /// What was changed of the settings, in order.
    pub settings: Vec<Setting>,
    /// Of the entries of every queue, by their first offset: the offset behind it, and its bytes of log.
    pub entries: BTreeMap<u32, BTreeMap<Offset, (Offset, u64)>>,
}

#[derive(Debug, Clone)]
pub struct Half {
    pub target: u32,
    pub group: GroupName,
    pub prepared: Millis,
    pub checks: u32,
    /// When it is asked about next.
    pub next: Millis,
    pub message: Box<Message>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    pub queues: Vec<u32>,
    pub spec: TopicSpec,
    pub created: Millis,
}

#[derive(Debug, Clone, PartialEq)]
pub struct GroupState {
    pub name: GroupName,
    pub spec: GroupSpec,
    pub created: Millis,
}

#[derive(Debug, Clone)]
pub struct Stored {
    /// Where its entry lies.
    pub at: Lsn,
    /// What it is called.
    pub locator: Lsn,
    pub stored: Millis,
    pub message: Box<Message>,
    /// It lies in a batch: of the message, only the body is the producer's.
    pub packed: bool,
    /// The transaction over several queues that it is part of.
    pub round: Option<u64>,
}

impl Stored {
    pub fn is(&self, found: &Message) -> bool {
        match self.packed {
            true => self.message.body == found.body,
            false => *self.message == *found,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Timer {
    pub target: u32,
    /// It lies in the log no longer.
    pub aside: bool,
    pub message: Box<Message>,
}

#[derive(Debug, Default, Clone)]
pub struct Progress {
    /// The first offset never delivered.
    pub next: Offset,
    /// Deliveries that are not settled.
    pub cells: BTreeMap<Offset, Cell>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub attempt: u32,
    pub state: CellState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellState {
    Leased { lease: u64, until: Until, previous: Option<(u64, Millis)> },
    Waiting(Millis),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    Time(Millis),
    Holder(u64),
}

impl Progress {
    /// Everything below is consumed.
    pub fn committed(&self) -> Offset {
        self.cells.keys().next().map_or(self.next, |first| (*first).min(self.next))
    }

    pub fn in_flight(&self) -> usize {
        self.cells.values().filter(|cell| matches!(cell.state, CellState::Leased { .. })).count()
    }

    fn put(&mut self, offset: Offset, attempt: u32, state: CellState) {
        self.cells.insert(offset, Cell { attempt, state });
    }
}

impl Cell {
    /// Whether it may be delivered again.
    pub fn is_ready(&self, now: Millis) -> bool {
        match self.state {
            CellState::Leased { until: Until::Time(time), .. } => time <= now,
            CellState::Leased { until: Until::Holder(_), .. } => false,
            CellState::Waiting(at) => at <= now,
        }
    }

    /// Whether somebody holds it.
    pub fn is_leased(&self, now: Millis) -> bool {
        match self.state {
            CellState::Leased { until: Until::Time(time), .. } => time > now,
            CellState::Leased { until: Until::Holder(_), .. } => true,
            CellState::Waiting(_) => false,
        }
    }

    /// Whether this lease is good for settling it.
    pub fn is_held(&self, id: u64, now: Millis) -> bool {
        let CellState::Leased { lease, until, previous } = self.state else { return false };
        match until {
            Until::Holder(_) if lease == id => true,
            Until::Time(time) if lease == id => time > now,
            _ => previous.is_some_and(|(earlier, time)| earlier == id && time > now),
        }
    }
}

impl Model {
    /// The model of what survived a crash.
    pub fn fold(groups: &[Group]) -> Self {
        let mut model = Self::default();
        groups.iter().for_each(|group| model.apply(group, None));
        model
    }

    /// The topic that a log queue belongs to, and the queue's number there.
    pub fn owner(&self, queue: u32) -> Option<(&TopicName, &Topic, u32)> {
        self.topics.iter().find_map(|(name, topic)| {
            let n = topic.queues.iter().position(|other| *other == queue)?;
            Some((name, topic, n as u32))
        })
    }

    pub fn group(&self, name: &GroupName) -> Option<&GroupState> {
        self.groups.values().find(|group| group.name == *name)
    }

    pub fn group_number(&self, name: &GroupName) -> Option<u32> {
        self.groups.iter().find(|(_, group)| group.name == *name).map(|(number, _)| *number)
    }

    pub fn message(&self, queue: u32, offset: Offset) -> Option<&Stored> {
        self.queues.get(&queue)?.get(&offset)
    }

    /// Takes a group over. A lease without an end is `holder`'s; of one of an earlier life nobody is left.
    pub fn apply(&mut self, group: &Group, holder: Option<u64>) {
        let (mut delayed, mut prepared, mut numbered, mut round) = (None, None, None, None);
        for item in &group.items {
            if let Some((queue, offset, marker)) = Marker::of(item) {
                self.spans.marked(queue, offset, marker);
            }
            if let (Some((to, offsets)), Some((queue, batch))) = (item.place(), numbered.take()) {
                let crate::record::Numbered { producer, epoch, first, count } = batch;
                let batch = Batch { epoch, first, count, offset: offsets.start, at: group.stored };
                self.numbered.entry((queue, producer)).or_default().push(batch);
                round = self.spans.stored(to, producer, offsets.start);
            }
            if let Some((queue, offsets)) = item.place() {
                let entries = self.entries.entry(queue).or_default();
                entries.insert(offsets.start, (offsets.end, item.size()));
            }
            match item {
                Item::Message { queue, lsn, message, .. } => {
                    if let (TIMERS, Some((due, target))) = (*queue, delayed.take()) {
                        self.timers
                            .insert((due, *lsn), Timer { target, aside: false, message: message.clone() });
                    }
                    if let (HALVES, Some((target, of, next))) = (*queue, prepared.take()) {
                        let (prepared, message) = (group.stored, message.clone());
                        let half = Half { target, group: of, prepared, checks: 0, next, message };
                        self.halves.insert(*lsn, half);
                    }
                    self.stored(group, item, *queue, round);
                }
                Item::Batch { queue, .. } => self.stored(group, item, *queue, round),
                Item::State { bytes, .. } => match Rec::decode(bytes) {
                    Some(Rec::Delayed { target, due }) => delayed = Some((due, target)),
                    Some(Rec::Prepared { target, group, check_at }) => {
                        prepared = Some((target, group, check_at))
                    }
                    Some(Rec::Numbered { queue, batch }) => numbered = Some((queue, batch)),
                    Some(Rec::Producer(change)) => self.spans.apply(*change, group.stored, group.end),
                    Some(record) => self.record(record, holder),
                    None => {}
                },
            }
        }
    }

    /// Takes the messages of an entry over.
    fn stored(&mut self, group: &Group, item: &Item, queue: u32, round: Option<u64>) {
        let (at, packed, stored) = (item.lsn(), matches!(item, Item::Batch { .. }), group.stored);
        for (offset, locator, message) in packs::messages(item) {
            let stored = Stored { at, locator, stored, message: Box::new(message), packed, round };
            self.queues.entry(queue).or_default().insert(offset, stored);
        }
    }

    fn record(&mut self, record: Rec, holder: Option<u64>) {
        match record {
            Rec::Boot { .. }
            | Rec::ReceiptKey(_)
            | Rec::Delayed { .. }
            | Rec::Prepared { .. }
            | Rec::Numbered { .. }
            | Rec::Producer(_)
            | Rec::Once { .. }
            | Rec::Idle { .. }
            | Rec::Carried { .. } => {}
            Rec::Access(change) => self.access.push(*change),
            Rec::Tuned(setting) => self.settings.push(setting),
            Rec::Noted { group, queue, offset, epoch, text, .. } => {
                self.notes.insert((group, queue), (offset, epoch, text));
            }
            Rec::Topic { name, queues, spec, created } => {
                self.topics.insert(name, Topic { queues, spec, created });
            }
            Rec::TopicGone(name) => {
                let gone = self.topics.remove(&name).map_or_else(Vec::new, |topic| topic.queues);
                self.progress.retain(|(_, queue), _| !gone.contains(queue));
                self.halves.retain(|_, half| !gone.contains(&half.target));
                self.notes.retain(|(_, queue), _| !gone.contains(queue));
                self.numbered.retain(|(queue, _), _| !gone.contains(queue));
                self.spans.forget(&gone);
            }
            Rec::Group { name, number, spec, created } => {
                self.groups.insert(number, GroupState { name, spec, created });
            }
            Rec::GroupGone(name) => {
                if let Some(number) = self.group_number(&name) {
                    self.groups.remove(&number);
                    self.progress.retain(|(group, _), _| *group != number);
                    self.notes.retain(|(group, _), _| *group != number);
                }
            }
            Rec::Offset { group, queue, offset } => {
                self.progress.insert((group, queue), Progress { next: offset, cells: BTreeMap::new() });
            }
            Rec::Lease { group, queue, next, until, lease, deliveries, taker: _ } => {
                let start = deliveries.first().map_or(next, |(offset, _)| *offset);
                let progress = self
                    .progress
                    .entry((group, queue))
                    .or_insert(Progress { next: start, cells: BTreeMap::new() });
                for (offset, attempt) in deliveries {
                    let state = match (until, holder) {
                        (0, None) => CellState::Waiting(0),
                        (0, Some(holder)) => {
                            CellState::Leased { lease, until: Until::Holder(holder), previous: None }
                        }
                        _ => CellState::Leased { lease, until: Until::Time(until), previous: None },
                    };
                    progress.put(offset, attempt, state);
                }
                progress.next = progress.next.max(next);
            }
            Rec::Settled { group, queue, offset } => {
                if let Some(progress) = self.progress.get_mut(&(group, queue)) {
                    progress.cells.remove(&offset);
                }
            }
            Rec::Returned { group, queue, offset, visible_at, attempt } => {
                if let Some(progress) = self.progress.get_mut(&(group, queue)) {
                    progress.put(offset, attempt, CellState::Waiting(visible_at));
                }
            }
            Rec::Extended { group, queue, offset, until, lease } => {
                if let Some(cell) =
                    self.progress.get_mut(&(group, queue)).and_then(|p| p.cells.get_mut(&offset))
                {
                    let previous = match cell.state {
                        CellState::Leased { lease, until: Until::Time(time), .. } => Some((lease, time)),
                        _ => None,
                    };
                    cell.state = CellState::Leased { lease, until: Until::Time(until), previous };
                }
            }
            Rec::Fired { due, lsn } => {
                self.timers.remove(&(due, lsn));
            }
            Rec::Recalled { due, lsn, target: _ } => {
                if let Some(timer) = self.timers.remove(&(due, lsn)) {
                    self.recalled.insert(crate::verbs::number_of(&timer.message));
                }
            }
            Rec::Asked { lsn, checks, next } => {
                if let Some(half) = self.halves.get_mut(&lsn) {
                    (half.checks, half.next) = (checks, next);
                }
            }
            Rec::Decided { lsn, decision } => {
                if let Some(half) = self.halves.remove(&lsn) {
                    self.decided.insert(lsn, (decision, crate::verbs::number_of(&half.message)));
                }
            }
            Rec::Moved { start, end, from, upto, .. } => {
                for ((_, lsn), timer) in self.timers.range_mut((start, 0)..(end, 0)) {
                    timer.aside |= (from..upto).contains(lsn);
                }
            }
            Rec::OffsetGone { group, queue } => {
                self.progress.remove(&(group, queue));
                self.notes.remove(&(group, queue));
            }
            Rec::Cut { queue, below } => {
                let floor = self.floors.entry(queue).or_default();
                *floor = below.max(*floor);
            }
            Rec::Redriven { queue, from, to } => {
                self.redriven.extend((from..to).map(|offset| (queue, offset)));
            }
        }
    }
}
