//! What the state records say of a few messages: the fold behind a trace.
//!
//! The one idea to know: records speak of queues and offsets, so a message is followed by the places of its records
//! ([`Place`]); and what a group did *not* take follows from how its cursor moves. Who may be told is decided elsewhere.

use super::record::{Record, Taker};
use super::transactions::Decision;
use crate::TraceStep;
use sluice_model::{GroupName, Millis, Offset};
use sluice_store::{LogQueue, Lsn};
use std::collections::HashMap;

/// A record of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) lsn: Lsn,
    pub(crate) queue: LogQueue,
    pub(crate) offset: Offset,
}

/// Whose doing it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Doer {
    /// Nobody's in particular.
    Nobody,
    /// A group's, by number.
    Number(u32),
    Group(GroupName),
}

/// Something that happened to one of the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Happening {
    pub(crate) at: Millis,
    /// The record that tells it.
    pub(crate) told: Lsn,
    /// The message's record that it happened to.
    pub(crate) lsn: Lsn,
    pub(crate) doer: Doer,
    pub(crate) step: TraceStep,
}

/// See the module.
pub(crate) struct Life {
    places: Vec<Place>,
    /// Groups' cursors start before what is looked at: nothing of the message was seen by anybody before.
    from_birth: bool,
    max: usize,
    cursors: HashMap<(u32, u32), Offset>,
    /// The atomic group that is being read, and its records.
    group: Lsn,
    open: Vec<(Lsn, Millis, Record)>,
    /// What it leaves for a later receive, as group, queue and offset.
    left: Vec<(u32, u32, Offset)>,
    pub(crate) happenings: Vec<Happening>,
    /// The queues that waiting records were meant for.
    pub(crate) targets: HashMap<Lsn, LogQueue>,
    /// The first atomic group that is not told any more, because there is too much to tell.
    pub(crate) full: Option<Lsn>,
}

impl Life {
    /// Of the records at these places. `from_birth` when the oldest of them is where reading begins. At most about `max`
    /// happenings are kept.
    pub(crate) fn new(places: Vec<Place>, from_birth: bool, max: usize) -> Self {
        Self {
            places,
            from_birth,
            max,
            cursors: HashMap::new(),
            group: 0,
            open: Vec::new(),
            left: Vec::new(),
            happenings: Vec::new(),
            targets: HashMap::new(),
            full: None,
        }
    }

    /// Takes the next state record, of the atomic group that begins at `group`.
    pub(crate) fn take(&mut self, group: Lsn, lsn: Lsn, at: Millis, record: Record) {
        if group != self.group {
            self.close_group();
            self.group = group;
        }
        self.open.push((lsn, at, record));
    }

    /// There is no more.
    pub(crate) fn finish(mut self) -> Self {
        self.close_group();
        self
    }

    fn close_group(&mut self) {
        let records = std::mem::take(&mut self.open);
        if self.happenings.len() >= self.max {
            self.full = self.full.or((!records.is_empty()).then_some(self.group));
            return;
        }
        // A group that leases settles and returns what it does not deliver; that is nobody's acknowledgement.
        let leases = records.iter().any(|(_, _, record)| matches!(record, Record::Lease { .. }));
        self.left.clear();
        self.left.extend(records.iter().filter_map(|(_, _, record)| match record {
            Record::Returned { group, queue, offset, .. } if leases => Some((*group, *queue, *offset)),
            _ => None,
        }));
        for (lsn, at, record) in &records {
            self.one(*lsn, *at, record, leases);
        }
    }

    fn one(&mut self, told: Lsn, at: Millis, record: &Record, leases: bool) {
        match record {
            Record::Lease { group, queue, next, until, deliveries, taker, .. } => {
                self.leased((told, at), (*group, *queue), *next, *until, deliveries, taker.as_ref());
            }
            Record::Settled { group, queue, offset } => {
                // Dead letters are stored in the step that settles: that tells it.
                let buried = self.places.iter().any(|place| (self.group..told).contains(&place.lsn));
                let step = if leases { TraceStep::PassedOver } else { TraceStep::Acknowledged };
                if !buried {
                    self.at((told, at), (*group, *queue), *offset, step);
                }
            }
            // What a receive leaves for one of another topic was not delivered.
            Record::Returned { group, queue, offset, visible_at, attempt } if !leases => {
                let step = TraceStep::Returned { attempts: *attempt, visible_at: *visible_at };
                self.at((told, at), (*group, *queue), *offset, step);
            }
            Record::Extended { group, queue, offset, until, .. } => {
                self.at((told, at), (*group, *queue), *offset, TraceStep::Extended { until: *until });
            }
            Record::Offset { group, queue, offset } => self.moved((told, at), (*group, *queue), *offset),
            Record::Fired { lsn, .. } => self.arrived(*lsn, told, None),
            Record::Recalled { lsn, target, .. } => {
                self.targets.insert(*lsn, LogQueue(*target));
                self.waiting((told, at), *lsn, TraceStep::Recalled);
            }
            Record::Asked { lsn, checks, .. } => {
                self.waiting((told, at), *lsn, TraceStep::Asked { checks: *checks });
            }
            Record::Decided { lsn, decision } => {
                let step = match decision {
                    Decision::Committed => TraceStep::Committed,
                    Decision::RolledBack => TraceStep::RolledBack,
                    Decision::GivenUp => TraceStep::GivenUp,
                };
                self.arrived(*lsn, told, Some((at, step)));
            }
            _ => {}
        }
    }

    fn say(&mut self, (told, at): (Lsn, Millis), lsn: Lsn, doer: Doer, step: TraceStep) {
        self.happenings.push(Happening { at, told, lsn, doer, step });
    }

    /// Something happened to an offset.
    fn at(&mut self, when: (Lsn, Millis), (group, queue): (u32, u32), offset: Offset, step: TraceStep) {
        let place = self.places.iter().find(|place| place.queue.0 == queue && place.offset == offset);
        if let Some(lsn) = place.map(|place| place.lsn) {
            self.say(when, lsn, Doer::Number(group), step);
        }
    }

    /// Something happened to what waits.
    fn waiting(&mut self, when: (Lsn, Millis), lsn: Lsn, step: TraceStep) {
        if self.places.iter().any(|place| place.lsn == lsn) {
            self.say(when, lsn, Doer::Nobody, step);
        }
    }

    /// What waited at `lsn` was stored where it was meant for, as the next record of the message.
    fn arrived(&mut self, lsn: Lsn, told: Lsn, step: Option<(Millis, TraceStep)>) {
        if !self.places.iter().any(|place| place.lsn == lsn) {
            return;
        }
        if let Some((at, step)) = step {
            self.say((told, at), lsn, Doer::Nobody, step);
        }
        if let Some(next) = self.places.iter().find(|place| place.lsn > told) {
            self.targets.entry(lsn).or_insert(next.queue);
        }
    }

    fn places_in(&self, queue: u32) -> Vec<Place> {
        self.places.iter().filter(|place| place.queue.0 == queue).copied().collect()
    }

    /// How far a group was known to be; nothing when that is not known.
    fn cursor(&self, of: (u32, u32)) -> Option<Offset> {
        self.cursors.get(&of).copied().or(self.from_birth.then_some(0))
    }

    fn leased(
        &mut self,
        when: (Lsn, Millis),
        of: (u32, u32),
        next: Offset,
        until: Millis,
        deliveries: &[(Offset, u32)],
        taker: Option<&Taker>,
    ) {
        let before = self.cursor(of);
        for place in self.places_in(of.1).into_iter().filter(|place| place.lsn < when.0) {
            let delivered = deliveries.iter().find(|(offset, _)| *offset == place.offset);
            let passed = before.is_some_and(|before| (before..next).contains(&place.offset));
            let buried = || self.places.iter().any(|copy| (self.group..when.0).contains(&copy.lsn));
            let step = match delivered {
                Some((_, attempt)) => TraceStep::Delivered {
                    attempt: *attempt,
                    until: (until != 0).then_some(until),
                    taker: taker.map(|taker| (taker.principal.clone(), taker.peer)),
                },
                None if passed && !buried() && !self.left.contains(&(of.0, of.1, place.offset)) => {
                    TraceStep::PassedOver
                }
                None => continue,
            };
            self.say(when, place.lsn, Doer::Number(of.0), step);
        }
        let cursor = self.cursors.entry(of).or_insert(next);
        *cursor = next.max(*cursor);
    }

    fn moved(&mut self, when: (Lsn, Millis), of: (u32, u32), to: Offset) {
        if let Some(before) = self.cursor(of) {
            for place in self.places_in(of.1).into_iter().filter(|place| place.lsn < when.0) {
                let step = if (before..to).contains(&place.offset) {
                    TraceStep::OffsetBehind
                } else if (to..before).contains(&place.offset) {
                    TraceStep::OffsetBefore
                } else {
                    continue;
                };
                self.say(when, place.lsn, Doer::Number(of.0), step);
            }
        }
        self.cursors.insert(of, to);
    }
}
