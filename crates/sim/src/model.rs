//! What the broker must know, told naively: [`Model`], a fold over what was appended.
//!
//! It exists to disagree with the broker. The one idea to know: every group of records is looked at twice. Before it is
//! applied, [`check`](crate::check) asks whether the rules allow it now; after a crash, the model is made anew from
//! those groups that survived, and the broker must know neither more nor less.

use crate::record::{Decision, Rec};
use crate::spy::{Group, Item};
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
}

#[derive(Debug, Clone)]
pub struct Half {
    pub target: u32,
    pub group: GroupName,
    pub prepared: Millis,
    pub checks: u32,
    pub message: Box<Message>,
}

#[derive(Debug, Clone)]
pub struct Topic {
    pub queues: Vec<u32>,
}

#[derive(Debug, Clone)]
pub struct GroupState {
    pub name: GroupName,
}

#[derive(Debug, Clone)]
pub struct Stored {
    pub lsn: Lsn,
    pub stored: Millis,
    pub message: Box<Message>,
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

    pub fn group_number(&self, name: &GroupName) -> Option<u32> {
        self.groups.iter().find(|(_, group)| group.name == *name).map(|(number, _)| *number)
    }

    pub fn message(&self, queue: u32, offset: Offset) -> Option<&Stored> {
        self.queues.get(&queue)?.get(&offset)
    }

    /// Takes a group over. A lease without an end is `holder`'s; of one of an earlier life nobody is left.
    pub fn apply(&mut self, group: &Group, holder: Option<u64>) {
        let (mut delayed, mut prepared) = (None, None);
        for item in &group.items {
            match item {
                Item::Message { queue, offset, lsn, message } => {
                    if let (TIMERS, Some((due, target))) = (*queue, delayed.take()) {
                        self.timers
                            .insert((due, *lsn), Timer { target, aside: false, message: message.clone() });
                    }
                    if let (HALVES, Some((target, of))) = (*queue, prepared.take()) {
                        let (prepared, message) = (group.stored, message.clone());
                        self.halves.insert(*lsn, Half { target, group: of, prepared, checks: 0, message });
                    }
                    let stored = Stored { lsn: *lsn, stored: group.stored, message: message.clone() };
                    self.queues.entry(*queue).or_default().insert(*offset, stored);
                }
                Item::State { bytes, .. } => match Rec::decode(bytes) {
                    Some(Rec::Delayed { target, due }) => delayed = Some((due, target)),
                    Some(Rec::Prepared { target, group, .. }) => prepared = Some((target, group)),
                    Some(record) => self.record(record, holder),
                    None => {}
                },
            }
        }
    }

    fn record(&mut self, record: Rec, holder: Option<u64>) {
        match record {
            Rec::Boot { .. }
            | Rec::ReceiptKey(_)
            | Rec::Delayed { .. }
            | Rec::Prepared { .. }
            | Rec::Access(_)
            | Rec::Once { .. }
            | Rec::Noted { .. }
            | Rec::Idle { .. }
            | Rec::Carried { .. } => {}
            Rec::Topic { name, queues, .. } => {
                self.topics.insert(name, Topic { queues });
            }
            Rec::TopicGone(name) => {
                let gone = self.topics.remove(&name).map_or_else(Vec::new, |topic| topic.queues);
                self.progress.retain(|(_, queue), _| !gone.contains(queue));
                self.halves.retain(|_, half| !gone.contains(&half.target));
            }
            Rec::Group { name, number, .. } => {
                self.groups.insert(number, GroupState { name });
            }
            Rec::GroupGone(name) => {
                if let Some(number) = self.group_number(&name) {
                    self.groups.remove(&number);
                    self.progress.retain(|(group, _), _| *group != number);
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
            Rec::Asked { lsn, checks, next: _ } => {
                if let Some(half) = self.halves.get_mut(&lsn) {
                    half.checks = checks;
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
