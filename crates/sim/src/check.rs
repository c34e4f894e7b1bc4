//! What a group of records may say: the rules of delivery, asked before the model takes the group over.
//!
//! Each rule is a promise that users are given: no double delivery inside a lease, attempts counted, nothing passed
//! over, timers never early and once, dead letters once and together with what they settle, progress never back.

use crate::model::{Cell, Model, TIMERS};
use crate::record::Rec;
use crate::spy::{Group, Item};
use sluice_model::{Filter, Message, Millis, Offset};
use std::collections::BTreeSet;

/// What is being done while groups are appended.
pub struct Doing<'a> {
    pub now: Millis,
    /// The latest time of this life: what had come back then is not taken back when the clock is set back.
    pub latest: Millis,
    pub max_attempts: u32,
    /// What a receive asks for.
    pub filter: Option<&'a Filter>,
    /// Deliveries that whoever asks may settle.
    pub settles: &'a BTreeSet<(u32, u32, Offset)>,
    /// Offsets may be set.
    pub moves: bool,
    /// The first offset that is kept of a queue.
    pub min: &'a dyn Fn(u32) -> Offset,
}

/// Says which rule a group breaks.
pub fn check(model: &Model, group: &Group, doing: &Doing<'_>) -> Result<(), String> {
    let records: Vec<Rec> = group.items.iter().filter_map(record).collect();
    let messages: Vec<(u32, &Message)> = group.items.iter().filter_map(message).collect();
    let look = Look { model, doing, records: &records, messages: &messages };
    for item in &group.items {
        if let Item::Message { queue, offset, .. } = item {
            let next = model.queues.get(queue).and_then(|q| q.keys().next_back()).map_or(0, |last| last + 1);
            if *offset < next {
                return Err(format!("offset {offset} of queue {queue} is given again; {next} is the next"));
            }
        }
    }
    records.iter().try_for_each(|record| look.at(record))
}

fn record(item: &Item) -> Option<Rec> {
    match item {
        Item::State { bytes, .. } => Rec::decode(bytes),
        Item::Message { .. } => None,
    }
}

fn message(item: &Item) -> Option<(u32, &Message)> {
    match item {
        Item::Message { queue, message, .. } => Some((*queue, message)),
        Item::State { .. } => None,
    }
}

struct Look<'a> {
    model: &'a Model,
    doing: &'a Doing<'a>,
    records: &'a [Rec],
    messages: &'a [(u32, &'a Message)],
}

impl Look<'_> {
    fn at(&self, record: &Rec) -> Result<(), String> {
        match record {
            Rec::Lease { group, queue, next, deliveries, .. } => {
                self.lease(*group, *queue, *next, deliveries)
            }
            Rec::Settled { group, queue, offset } => self.settled(*group, *queue, *offset),
            Rec::Returned { group, queue, offset, .. } => self.returned(*group, *queue, *offset),
            Rec::Extended { group, queue, offset, .. } => self.allowed(*group, *queue, *offset, "extended"),
            Rec::Offset { group, queue, offset } => self.moved(*group, *queue, *offset),
            Rec::Delayed { due, .. } => self.delayed(*due),
            Rec::Fired { due, lsn } => self.fired(*due, *lsn),
            _ => Ok(()),
        }
    }

    fn cell(&self, group: u32, queue: u32, offset: Offset) -> Option<Cell> {
        self.model.progress.get(&(group, queue))?.cells.get(&offset).copied()
    }

    /// A copy of this message goes to the dead letters in the same group.
    fn dies(&self, group: u32, queue: u32, offset: Offset) -> bool {
        let Some(stored) = self.model.message(queue, offset) else { return false };
        self.messages.iter().any(|(to, copy)| {
            let of_group = self.model.owner(*to).and_then(|(topic, ..)| topic.dead_letter_group());
            let name = self.model.groups.get(&group).map(|g| &g.name);
            of_group.is_some_and(|of| Some(&of) == name) && copy.body == stored.message.body
        })
    }

    fn lease(
        &self,
        group: u32,
        queue: u32,
        next: Offset,
        deliveries: &[(Offset, u32)],
    ) -> Result<(), String> {
        let progress = self.model.progress.get(&(group, queue));
        let start = progress.map_or(deliveries.first().map_or(next, |(o, _)| *o), |progress| progress.next);
        for (offset, attempt) in deliveries {
            let place = format!("offset {offset} of queue {queue} to group {group}");
            let before = match self.cell(group, queue, *offset) {
                Some(cell) if cell.is_ready(self.doing.latest) => cell.attempt,
                Some(cell) => return Err(format!("{place}: delivered although it is {cell:?}")),
                None if *offset >= start && *offset < next => 0,
                None => return Err(format!("{place}: delivered although it was settled")),
            };
            if *attempt != before + 1 {
                return Err(format!("{place}: attempt {attempt} after {before}"));
            }
            if *attempt > self.doing.max_attempts {
                return Err(format!("{place}: attempt {attempt} is one too many"));
            }
            if self.model.message(queue, *offset).is_none() {
                return Err(format!("{place}: there is no such message"));
            }
        }
        for offset in start..next {
            let delivered = deliveries.iter().any(|(o, _)| *o == offset);
            if !delivered && !self.may_pass_over(group, queue, offset) {
                return Err(format!("offset {offset} of queue {queue} is passed over for group {group}"));
            }
        }
        Ok(())
    }

    fn may_pass_over(&self, group: u32, queue: u32, offset: Offset) -> bool {
        let Some(stored) = self.model.message(queue, offset) else { return true };
        let returned = self.records.iter().any(|record| {
            matches!(record, Rec::Returned { group: g, queue: q, offset: o, .. } if (*g, *q, *o) == (group, queue, offset))
        });
        offset < (self.doing.min)(queue)
            || returned
            || self.dies(group, queue, offset)
            || self.is_unwanted(&stored.message)
    }

    fn is_unwanted(&self, message: &Message) -> bool {
        message.expires_at.is_some_and(|at| at <= self.doing.now)
            || self.doing.filter.is_some_and(|filter| !filter.matches(message))
    }

    fn allowed(&self, group: u32, queue: u32, offset: Offset, what: &str) -> Result<(), String> {
        if self.doing.settles.contains(&(group, queue, offset)) {
            return Ok(());
        }
        Err(format!("offset {offset} of queue {queue} is {what} for group {group}, which nobody may"))
    }

    fn settled(&self, group: u32, queue: u32, offset: Offset) -> Result<(), String> {
        let Some(cell) = self.cell(group, queue, offset) else {
            return Err(format!("offset {offset} of queue {queue} is settled twice for group {group}"));
        };
        let unwanted = self.model.message(queue, offset).is_none_or(|s| self.is_unwanted(&s.message));
        let by_itself = cell.is_ready(self.doing.latest)
            && (unwanted || offset < (self.doing.min)(queue) || self.dies(group, queue, offset));
        if by_itself { Ok(()) } else { self.allowed(group, queue, offset, "settled") }
    }

    fn returned(&self, group: u32, queue: u32, offset: Offset) -> Result<(), String> {
        // Of a retry topic: another topic's message, which waits for a receive of its own.
        let left = self.cell(group, queue, offset).is_none()
            && self.model.owner(queue).is_some_and(|(topic, ..)| topic.retry_group().is_some())
            && self.records.iter().any(|r| matches!(r, Rec::Lease { queue: q, .. } if *q == queue));
        if left { Ok(()) } else { self.allowed(group, queue, offset, "returned") }
    }

    fn moved(&self, group: u32, queue: u32, offset: Offset) -> Result<(), String> {
        match self.model.progress.get(&(group, queue)) {
            Some(progress) if !self.doing.moves => {
                Err(format!("group {group} on queue {queue} is moved from {} to {offset}", progress.next))
            }
            _ => Ok(()),
        }
    }

    fn delayed(&self, due: Millis) -> Result<(), String> {
        let waits = self
            .messages
            .iter()
            .any(|(queue, message)| *queue == TIMERS && message.deliver_at.is_some_and(|at| at == due));
        if waits && due > self.doing.now { Ok(()) } else { Err(format!("a timer for {due} without reason")) }
    }

    fn fired(&self, due: Millis, lsn: u64) -> Result<(), String> {
        let Some(timer) = self.model.timers.get(&(due, lsn)) else {
            return Err(format!("the timer at {lsn} fires twice"));
        };
        if due > self.doing.now {
            return Err(format!("the timer at {lsn} fires at {}, before it is due at {due}", self.doing.now));
        }
        let gone = self.model.owner(timer.target).is_none();
        let copies = self
            .messages
            .iter()
            .filter(|(queue, copy)| *queue == timer.target && copy.body == timer.message.body)
            .count();
        let right = if gone { self.messages.is_empty() } else { copies == 1 && self.messages.len() == 1 };
        if right { Ok(()) } else { Err(format!("the timer at {lsn} fires {copies} messages")) }
    }
}
