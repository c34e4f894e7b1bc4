//! What a group of records may say: the rules of delivery, asked before the model takes the group over.
//!
//! Each rule is a promise that users are given: no double delivery inside a lease, attempts counted, nothing passed
//! over, timers never early and once, dead letters once and together with what they settle, progress never back.

use crate::ends;
use crate::model::{Cell, HALVES, Model, TIMERS};
use crate::node::Asked;
use crate::numbered::Verdict;
use crate::ordered;
use crate::packs;
use crate::record::{Change, Decision, Numbered, Rec};
use crate::spy::{Group, Item};
use crate::tally;
use sluice_broker::Tuned;
use sluice_model::{Message, Millis, Offset};
use std::ops::Range;

/// What is being done while groups are appended.
pub struct Doing<'a> {
    pub now: Millis,
    /// The latest time of this life: what had come back then is not taken back when the clock is set back.
    pub latest: Millis,
    pub max_attempts: u32,
    /// What was asked for.
    pub asked: &'a Asked<'a>,
    /// The settings that hold.
    pub tuned: Tuned,
    /// What was stored earlier may be gone already.
    pub trimmed: Millis,
    /// Nobody may give a transaction up before it is so old, or was asked about often enough.
    pub patience: Millis,
    /// The first offset that is kept of a queue.
    pub min: &'a dyn Fn(u32) -> Offset,
    /// The one after the last that is readable.
    pub next: &'a dyn Fn(u32) -> Offset,
}

/// Says which rule a group breaks, or which promises were looked at.
pub fn check(model: &Model, group: &Group, doing: &Doing<'_>) -> Result<Vec<&'static str>, String> {
    let records: Vec<Rec> = group.items.iter().filter_map(record).collect();
    let messages: Vec<(u32, &Message)> = group.items.iter().filter_map(message).collect();
    let look = Look { model, doing, group, records: &records, messages: &messages };
    for (queue, offsets) in group.items.iter().filter_map(Item::place) {
        let next = model.next_offset(queue);
        if offsets.start < next {
            return Err(format!(
                "offset {} of queue {queue} is given again; {next} is the next",
                offsets.start
            ));
        }
    }
    ends::check(model, group, doing.now, doing.asked)?;
    records.iter().try_for_each(|record| look.at(record))?;
    look.die_once()?;
    let in_order = ordered::check(model, &records, doing)?.then_some(tally::IN_ORDER);
    let of_offsets = messages.first().map(|_| tally::OFFSETS);
    Ok(of_offsets.into_iter().chain(in_order).chain(records.iter().filter_map(promise)).collect())
}

/// The promise that a record is about.
fn promise(record: &Rec) -> Option<&'static str> {
    Some(match record {
        Rec::Lease { .. } => tally::LEASES,
        Rec::Fired { .. } => tally::TIMERS_EARLY,
        Rec::Prepared { .. } | Rec::Decided { .. } => tally::HALVES,
        Rec::Producer(change) if matches!(**change, Change::Ended { .. }) => tally::TRANSACTIONS,
        Rec::Numbered { .. } => tally::NUMBERED,
        Rec::Redriven { .. } => tally::DEAD_LETTERS,
        _ => return None,
    })
}

fn record(item: &Item) -> Option<Rec> {
    match item {
        Item::State { bytes, .. } => Rec::decode(bytes),
        Item::Message { .. } | Item::Batch { .. } => None,
    }
}

fn message(item: &Item) -> Option<(u32, &Message)> {
    match item {
        Item::Message { queue, message, .. } => Some((*queue, message)),
        Item::State { .. } | Item::Batch { .. } => None,
    }
}

struct Look<'a> {
    model: &'a Model,
    doing: &'a Doing<'a>,
    group: &'a Group,
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
            Rec::Returned { group, queue, offset, attempt, .. } => {
                self.returned(*group, *queue, *offset, *attempt)
            }
            Rec::Extended { group, queue, offset, .. } => self.allowed(*group, *queue, *offset, "extended"),
            Rec::Offset { group, queue, offset } => self.moved(*group, *queue, *offset),
            Rec::Delayed { due, .. } => self.delayed(*due),
            Rec::Fired { due, lsn } => self.fired(*due, *lsn),
            Rec::Recalled { due, lsn, .. } => self.recalled(*due, *lsn),
            Rec::Prepared { .. } => self.prepared(),
            Rec::Asked { lsn, checks, next } => self.asked(*lsn, *checks, *next),
            Rec::Decided { lsn, decision } => self.decided(*lsn, *decision),
            Rec::Carried { lsn } => self.carried(*lsn),
            Rec::Moved { start, end, from, upto, count, gone, .. } => {
                self.put_aside(*start..*end, *from..*upto, *count as usize, gone)
            }
            Rec::Cut { queue, below } => self.cut(*queue, *below),
            Rec::Redriven { queue, from, to } => self.redriven(*queue, *from, *to),
            Rec::Access(_) if !self.doing.asked.access => Err("nobody asked for other rights".to_owned()),
            Rec::Tuned(_) if !self.doing.asked.tunes => Err(format!("{record:?}, which nobody asked for")),
            Rec::OffsetGone { .. } | Rec::Noted { .. } if !self.doing.asked.moves && !self.commits() => {
                Err(format!("{record:?}, which nobody asked for"))
            }
            Rec::Numbered { queue, batch } => self.numbered(*queue, batch),
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

    /// A dead letter comes with what it settles, one with each; alone only when a consumer gave it back for the last time.
    fn die_once(&self) -> Result<(), String> {
        let letters = self.messages.iter().filter_map(|(to, copy)| {
            Some((self.model.owner(*to)?.0.dead_letter_group()?, *to, copy.body.as_ref()?))
        });
        for (group, to, body) in letters.filter(|_| !self.records.is_empty()) {
            let copies =
                self.messages.iter().filter(|(of, copy)| *of == to && copy.body.as_ref() == Some(body));
            let number = self.model.group_number(&group);
            let is = |of: u32, queue: u32, offset: Offset| {
                let stored = self.model.message(queue, offset);
                Some(of) == number && stored.is_some_and(|stored| stored.message.body.as_ref() == Some(body))
            };
            let settled = |record: &Rec| match record {
                Rec::Settled { group, queue, offset } => usize::from(is(*group, *queue, *offset)),
                Rec::Lease { group, queue, next, deliveries, .. } => {
                    let from =
                        self.model.progress.get(&(*group, *queue)).map_or(*next, |progress| progress.next);
                    let passed =
                        (from..(*next).max(from)).filter(|at| !deliveries.iter().any(|(to, _)| to == at));
                    passed.filter(|at| is(*group, *queue, *at)).count()
                }
                _ => 0,
            };
            let (copies, settled) = (copies.count(), self.records.iter().map(settled).sum::<usize>());
            if copies != settled {
                return Err(format!("{copies} dead letters for {settled} messages of {group}"));
            }
        }
        Ok(())
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
        if next < start {
            return Err(format!("group {group} on queue {queue} goes back from {start} to {next}"));
        }
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
            match self.model.message(queue, *offset) {
                None => return Err(format!("{place}: there is no such message")),
                Some(stored) if self.model.is_hidden(stored) => {
                    return Err(format!("{place}: delivered although its transaction was aborted"));
                }
                Some(_) if *offset >= self.model.stable(queue, (self.doing.next)(queue)) => {
                    return Err(format!("{place}: delivered although it is not decided"));
                }
                Some(_) => {}
            }
        }
        // Offsets without a message are many, behind an unclean stop.
        let messages = self.model.queues.get(&queue).into_iter();
        for offset in messages.flat_map(|all| all.range(start..next.max(start))).map(|(offset, _)| *offset) {
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
            || self.model.is_hidden(stored)
            || self.dies(group, queue, offset)
            || self.is_unwanted(&stored.message)
    }

    fn is_unwanted(&self, message: &Message) -> bool {
        message.expires_at.is_some_and(|at| at <= self.doing.now)
            || self.doing.asked.filter.is_some_and(|filter| !filter.matches(message))
    }

    fn allowed(&self, group: u32, queue: u32, offset: Offset, what: &str) -> Result<(), String> {
        if self.doing.asked.settles.contains(&(group, queue, offset)) {
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

    fn returned(&self, group: u32, queue: u32, offset: Offset, attempt: u32) -> Result<(), String> {
        // Of a retry topic: another topic's message, which waits for a receive of its own. In order: one that would overtake.
        let is_retry = self.model.owner(queue).is_some_and(|(topic, ..)| topic.retry_group().is_some());
        let left = self.cell(group, queue, offset).is_none()
            && attempt == 0
            && self.records.iter().any(|r| matches!(r, Rec::Lease { queue: q, .. } if *q == queue))
            && (is_retry
                || ordered::may_be_left(self.model, self.records, self.doing, (group, queue), offset));
        if left { Ok(()) } else { self.allowed(group, queue, offset, "returned") }
    }

    fn moved(&self, group: u32, queue: u32, offset: Offset) -> Result<(), String> {
        match self.model.progress.get(&(group, queue)) {
            Some(progress) if !self.doing.asked.moves && !self.commits() => {
                Err(format!("group {group} on queue {queue} is moved from {} to {offset}", progress.next))
            }
            _ => Ok(()),
        }
    }

    /// A transaction is committed, and with it the offsets that were promised.
    fn commits(&self) -> bool {
        self.records.iter().any(|record| match record {
            Rec::Producer(change) => matches!(**change, Change::Ended { commit: true, .. }),
            _ => false,
        })
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

    fn recalled(&self, due: Millis, lsn: u64) -> Result<(), String> {
        if self.doing.asked.recalls != Some((due, lsn)) {
            return Err(format!("the timer at {lsn} is taken back, which nobody asked for"));
        }
        let waits = self.model.timers.contains_key(&(due, lsn));
        if waits && self.messages.is_empty() {
            Ok(())
        } else {
            Err(format!("the timer at {lsn} is gone already"))
        }
    }

    /// What is prepared is nowhere but among the halves.
    fn prepared(&self) -> Result<(), String> {
        match self.messages {
            [(HALVES, _)] => Ok(()),
            _ => Err("a transaction is prepared where its message can be seen".to_owned()),
        }
    }

    /// Once more, and again after the interval that is set.
    fn asked(&self, lsn: u64, checks: u32, next: Millis) -> Result<(), String> {
        let after = self.group.stored + self.doing.tuned.check_interval.as_millis();
        // Whoever comes for a check that was due before is given it, however often is often enough now.
        let most = if self.doing.asked.gives_up { self.doing.tuned.max_checks } else { u32::MAX };
        match self.model.halves.get(&lsn) {
            Some(half) if half.checks + 1 == checks && checks <= most && next == after => Ok(()),
            half => {
                Err(format!("check {checks} of the transaction {lsn}, which is {half:?}, and then at {next}"))
            }
        }
    }

    /// All or nothing, and once: the decision and what it amounts to are one group.
    fn decided(&self, lsn: u64, decision: Decision) -> Result<(), String> {
        let place = format!("the transaction {lsn}");
        let Some(half) = self.model.halves.get(&lsn) else {
            // The same told again, so that its answer waits for the first to be safe.
            let same = self.model.decided.get(&lsn).is_some_and(|(before, _)| *before == decision);
            let again = same && self.messages.is_empty();
            return if again { Ok(()) } else { Err(format!("{place} is decided again: {decision:?}")) };
        };
        let of_copy = |(_, copy): &&(u32, &Message)| copy.body == half.message.body;
        let to = match (self.messages, decision) {
            ([one], Decision::Committed | Decision::GivenUp) if of_copy(&one) => Some(one.0),
            ([], Decision::RolledBack) => None,
            _ => return Err(format!("{place} is {decision:?} with {} messages", self.messages.len())),
        };
        let asked = self.doing.asked;
        let right = match decision {
            Decision::Committed => {
                let delayed = self
                    .records
                    .iter()
                    .any(|r| matches!(r, Rec::Delayed { target, .. } if *target == half.target));
                asked.ends == Some((lsn, true))
                    && (to == Some(half.target) || (to == Some(TIMERS) && delayed))
            }
            Decision::RolledBack => asked.ends == Some((lsn, false)),
            Decision::GivenUp => {
                let (checks, age) = (self.doing.tuned.max_checks, self.doing.patience);
                let undecided = to
                    .and_then(|to| self.model.owner(to))
                    .is_some_and(|(topic, ..)| topic.as_str() == UNDECIDED);
                asked.gives_up
                    && undecided
                    && (half.checks >= checks || self.doing.now >= half.prepared + age)
            }
        };
        if right {
            Ok(())
        } else {
            Err(format!("{place} is {decision:?}, which nobody asked for: {half:?} to {to:?}"))
        }
    }

    /// The same message, still where nobody sees it.
    fn carried(&self, lsn: u64) -> Result<(), String> {
        let half =
            self.model.halves.get(&lsn).ok_or_else(|| format!("{lsn} is carried, which is not open"))?;
        match self.messages {
            [(HALVES, copy)] if **copy == *half.message => Ok(()),
            _ => Err(format!("the transaction {lsn} is carried as another message")),
        }
    }

    /// What is put aside is all that waits of these times and places, and what had just gone.
    fn put_aside(
        &self,
        due: Range<Millis>,
        appended: Range<u64>,
        count: usize,
        gone: &[(Millis, u64)],
    ) -> Result<(), String> {
        let waiting = self.model.timers.range((due.start, 0)..(due.end, 0));
        let meant = waiting.filter(|((_, lsn), timer)| appended.contains(lsn) && !timer.aside).count();
        let right = meant + gone.len() == count && due.start > self.doing.now && self.messages.is_empty();
        if right { Ok(()) } else { Err(format!("{count} timers of {due:?} are put aside, and {meant} wait")) }
    }

    /// A numbered batch is the next one, and whole.
    fn numbered(&self, queue: u32, batch: &Numbered) -> Result<(), String> {
        let count = batch.count as usize;
        let verdict = self.model.judge(queue, batch);
        let places = || self.group.items.iter().filter_map(Item::place);
        let messages: usize = self.group.items.iter().map(|item| packs::messages(item).len()).sum();
        let whole = messages == count && places().all(|(to, _)| to == queue);
        if verdict == Verdict::Stored && whole {
            Ok(())
        } else {
            Err(format!("{batch:?} is {verdict:?}, {whole}"))
        }
    }

    fn cut(&self, queue: u32, below: Offset) -> Result<(), String> {
        let next = (self.doing.next)(queue);
        if !self.doing.asked.cuts || below > next {
            return Err(format!("queue {queue} is cut at {below} of {next}"));
        }
        match self.too_young(queue, below) {
            Some(offset) => Err(format!("queue {queue} is cut at {below}, but {offset} is kept for longer")),
            None => Ok(()),
        }
    }

    /// A message that is cut off although nobody asked for that, before its topic lets it go.
    fn too_young(&self, queue: u32, below: Offset) -> Option<Offset> {
        let own = self.model.owner(queue).and_then(|(_, topic, _)| topic.spec.retention());
        let kept = own.unwrap_or(self.doing.tuned.retention).as_millis();
        let since = self.doing.now.saturating_sub(kept);
        let from = self.model.floors.get(&queue).copied().unwrap_or_default().min(below);
        let messages = self.model.queues.get(&queue).into_iter().flat_map(|all| all.range(from..below));
        let since = since.max(self.doing.trimmed);
        let mut young =
            messages.filter(|(_, stored)| stored.stored >= since && !self.model.is_hidden(stored));
        young.next().map(|(offset, _)| *offset).filter(|_| self.doing.asked.tidies)
    }

    /// Each dead letter goes back once, together with its mark.
    fn redriven(&self, queue: u32, from: Offset, to: Offset) -> Result<(), String> {
        for offset in from..to {
            let place = format!("dead letter {offset} of queue {queue}");
            if self.model.redriven.contains(&(queue, offset)) {
                return Err(format!("{place} is redriven twice"));
            }
            let letter = self.model.message(queue, offset).ok_or_else(|| format!("{place} is invented"))?;
            let group = self.model.owner(queue).and_then(|(topic, ..)| topic.dead_letter_group());
            let copies = self.messages.iter().filter(|(to, copy)| {
                let retry = self.model.owner(*to).and_then(|(topic, ..)| topic.retry_group());
                retry == group && copy.body == letter.message.body
            });
            if copies.count() == 0 {
                return Err(format!("{place} is redriven to nowhere"));
            }
        }
        Ok(())
    }
}

/// Where messages go whose transaction nobody has decided.
pub const UNDECIDED: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
