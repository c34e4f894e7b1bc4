//! Consuming in order: of each ordering group one delivery at a time, or one run of them, and none that overtakes.
//!
//! The one idea to know: what is outstanding lies in the model's cells, and the order in the messages. So every lease is asked
//! about, whoever takes it and whatever crashed before, and nothing has to be remembered from one receive to the next.

use crate::check::Doing;
use crate::model::{Cell, Model};
use crate::record::Rec;
use sluice_broker::Lease;
use sluice_model::{GroupName, Millis, Offset};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A group that is in order by its settings, whenever it has them.
pub const LINE: &str = "line";
/// A group like any other, whose consumers lease whole ordering groups.
pub const LANE: &str = "lane";

/// The lease that consumers of a group ask for when they have no other wish.
pub fn lease_of(group: &GroupName, time: Duration) -> Lease<'static> {
    if group.as_str() == LANE { Lease::InOrder(time) } else { Lease::For(time) }
}

/// How the deliveries of an ordering group follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Single,
    /// Several at once. Messages without an ordering group are one together.
    Runs,
}

/// What a group has of a queue that it consumes in order.
pub struct Ordered<'a> {
    model: &'a Model,
    group: u32,
    queue: u32,
    order: Order,
}

impl<'a> Ordered<'a> {
    /// Nothing where no order is promised: for other leases of other groups, and in retry topics.
    pub fn new(model: &'a Model, group: u32, queue: u32, runs: bool) -> Option<Self> {
        let is_retry = model.owner(queue).is_some_and(|(topic, ..)| topic.retry_group().is_some());
        let in_order = model.groups.get(&group).is_some_and(|group| group.spec.is_fifo());
        let order = if runs { Order::Runs } else { Order::Single };
        ((runs || in_order) && !is_retry).then_some(Self { model, group, queue, order })
    }

    /// What keeps a message behind others.
    fn name(&self, offset: Offset) -> Option<&'a str> {
        let message = &self.model.message(self.queue, offset)?.message;
        let name = message.ordering_group.as_deref();
        name.or((self.order == Order::Runs).then_some(""))
    }

    /// The deliveries of an ordering group that are not settled.
    fn unsettled(&self, name: &'a str) -> impl Iterator<Item = (Offset, &'a Cell)> {
        let progress = self.model.progress.get(&(self.group, self.queue));
        let cells = progress.into_iter().flat_map(|progress| &progress.cells);
        cells.map(|(offset, cell)| (*offset, cell)).filter(move |(at, _)| self.name(*at) == Some(name))
    }

    /// Whether a message has to wait because somebody has another of its ordering group.
    pub fn is_busy(&self, offset: Offset, now: Millis) -> bool {
        self.name(offset).is_some_and(|name| self.unsettled(name).any(|(_, cell)| !cell.is_ready(now)))
    }

    /// Looks at one lease, with what is written beside it. False when it is of no ordering group.
    fn lease(
        &self,
        deliveries: &[(Offset, u32)],
        records: &[Rec],
        doing: &Doing<'_>,
    ) -> Result<bool, String> {
        let here = |group: u32, queue: u32| (group, queue) == (self.group, self.queue);
        let (mut settled, mut left) = (BTreeSet::new(), BTreeSet::new());
        for record in records {
            let _ = match record {
                Rec::Settled { group, queue, offset } if here(*group, *queue) => settled.insert(*offset),
                Rec::Returned { group, queue, offset, .. } if here(*group, *queue) => left.insert(*offset),
                _ => continue,
            };
        }
        let taken: BTreeSet<Offset> = deliveries.iter().map(|(offset, _)| *offset).collect();
        let mut last: BTreeMap<&str, Offset> = BTreeMap::new();
        for (offset, _) in deliveries {
            let Some(name) = self.name(*offset) else { continue };
            let place = format!("offset {offset} of queue {} of the ordering group {name:?}", self.queue);
            match last.insert(name, *offset) {
                Some(other) if self.order == Order::Single => {
                    return Err(format!("{place} is delivered together with {other}"));
                }
                Some(other) if other > *offset => return Err(format!("{place} comes behind {other}")),
                _ => {}
            }
            // Whose ordering group it was that is kept no longer, nobody can tell.
            let kept = self.unsettled(name).filter(|(at, _)| *at >= (doing.min)(self.queue));
            for (at, cell) in kept.filter(|(at, _)| !taken.contains(at)) {
                if !cell.is_ready(doing.latest) {
                    return Err(format!("{place} is delivered while {at} is {cell:?}"));
                }
                if at < *offset && !settled.contains(&at) {
                    return Err(format!("{place} overtakes {at}"));
                }
            }
            if let Some(at) = left.range(..*offset).find(|at| self.name(**at) == Some(name)) {
                return Err(format!("{place} overtakes {at}, which is new"));
            }
        }
        Ok(!last.is_empty())
    }

    /// Whether a new message may be left for later: there is one of its ordering group before it.
    fn may_be_left(&self, offset: Offset, records: &[Rec]) -> bool {
        let Some(name) = self.name(offset) else { return false };
        let is_before = |at: Offset| at < offset && self.name(at) == Some(name);
        let taken = records.iter().any(|record| match record {
            Rec::Lease { group, queue, deliveries, .. } if (*group, *queue) == (self.group, self.queue) => {
                deliveries.iter().any(|(at, _)| is_before(*at))
            }
            _ => false,
        });
        taken || self.unsettled(name).any(|(at, _)| is_before(at))
    }
}

/// Says which order a group of records breaks; false when it is about none.
pub fn check(model: &Model, records: &[Rec], doing: &Doing<'_>) -> Result<bool, String> {
    let mut is_about_one = false;
    for record in records {
        let Rec::Lease { group, queue, deliveries, .. } = record else { continue };
        if let Some(ordered) = Ordered::new(model, *group, *queue, doing.asked.runs) {
            is_about_one |= ordered.lease(deliveries, records, doing)?;
        }
    }
    Ok(is_about_one)
}

/// Whether a receive in order may leave a message where it is.
pub fn may_be_left(
    model: &Model,
    records: &[Rec],
    doing: &Doing<'_>,
    (group, queue): (u32, u32),
    offset: Offset,
) -> bool {
    let ordered = Ordered::new(model, group, queue, doing.asked.runs);
    ordered.is_some_and(|ordered| ordered.may_be_left(offset, records))
}
