//! The rules of producers with names and their transactions: all or nothing, and by nobody but who has the name.
//!
//! The one idea to know: an end is one group. The decision, the offsets that it makes hold and a marker in each queue that
//! has messages are there together, and nothing of them is anywhere else.

use crate::model::Model;
use crate::node::Asked;
use crate::record::{Change, Marker, Rec};
use crate::spy::{Group, Item};
use sluice_broker::ProducerId;
use sluice_model::{GroupName, Millis, Offset};
use std::collections::BTreeSet;

/// What somebody is doing with a producer of this name.
#[derive(Debug, Clone)]
pub enum Deed {
    /// It takes the name.
    Names(GroupName),
    /// It goes on with its transaction.
    Speaks(GroupName),
    /// It ends it.
    Decides(GroupName, bool),
    /// The broker ends what was open for too long.
    Overdue,
}

/// Says which rule a group breaks.
pub fn check(model: &Model, group: &Group, now: Millis, asked: &Asked<'_>) -> Result<(), String> {
    let records = group.items.iter().filter_map(|item| match item {
        Item::State { bytes, .. } => Rec::decode(bytes),
        Item::Message { .. } | Item::Batch { .. } => None,
    });
    let records: Vec<Rec> = records.collect();
    let markers: Vec<(u32, Marker)> = group
        .items
        .iter()
        .filter_map(|item| Marker::of(item).map(|(queue, _, marker)| (queue, marker)))
        .collect();
    let look = Look { model, now, deed: asked.producer.as_ref(), records: &records, markers: &markers };
    if !markers.is_empty() && look.ended().next().is_none() {
        return Err("a marker without a decision".to_owned());
    }
    for record in &records {
        match record {
            Rec::Producer(change) => look.change(change)?,
            Rec::Numbered { queue, batch } => {
                let id = ProducerId { number: batch.producer, epoch: batch.epoch };
                look.sent(*queue, id)?;
            }
            _ => {}
        }
    }
    Ok(())
}

struct Look<'a> {
    model: &'a Model,
    now: Millis,
    deed: Option<&'a Deed>,
    records: &'a [Rec],
    markers: &'a [(u32, Marker)],
}

impl Look<'_> {
    fn changes(&self) -> impl Iterator<Item = &Change> {
        self.records.iter().filter_map(|record| match record {
            Rec::Producer(change) => Some(&**change),
            _ => None,
        })
    }

    fn ended(&self) -> impl Iterator<Item = (u64, bool)> {
        self.changes().filter_map(|change| match change {
            Change::Ended { number, commit } => Some((*number, *commit)),
            _ => None,
        })
    }

    fn change(&self, change: &Change) -> Result<(), String> {
        match change {
            Change::Named { name, id, .. } => self.named(name, *id),
            Change::Joined { number, .. } | Change::Promised { number, .. } => self.goes_on(*number),
            Change::Ended { number, commit } => self.ends(*number, *commit),
            Change::Forgotten { name } => Err(format!("{name} is forgotten, which is in use")),
        }
    }

    /// Epochs rise, numbers are nobody else's, and what was open is aborted by that.
    fn named(&self, name: &GroupName, id: ProducerId) -> Result<(), String> {
        let may = match self.deed {
            Some(Deed::Names(of) | Deed::Decides(of, _)) => of == name,
            Some(Deed::Overdue) => true,
            _ => false,
        };
        let known = self.model.spans.named.get(name);
        let before = known.map(|known| known.id);
        let is_next = before
            .is_none_or(|before| id == before || (id.number, id.epoch) == (before.number, before.epoch + 1));
        let of_another = self.model.spans.numbered(id.number).is_some_and(|(of, _)| of != name);
        let leaves_open = known.is_some_and(|known| known.open.is_some()) && self.ended().next().is_none();
        if may && is_next && !of_another && !leaves_open {
            Ok(())
        } else {
            Err(format!("{name} is {id:?} after {before:?}: {:?}, {of_another}, {leaves_open}", self.deed))
        }
    }

    fn goes_on(&self, number: u64) -> Result<(), String> {
        let known = self.model.spans.numbered(number);
        match (self.deed, known) {
            (Some(Deed::Speaks(name)), Some((of, _))) if of == name => Ok(()),
            (deed, known) => Err(format!("the transaction of {number} goes on: {deed:?}, {known:?}")),
        }
    }

    /// A named producer sends nothing that is not part of its transaction, and not under an old epoch.
    fn sent(&self, queue: u32, id: ProducerId) -> Result<(), String> {
        let Some((name, known)) = self.model.spans.numbered(id.number) else { return Ok(()) };
        let joins = self.changes().any(|change| match change {
            Change::Joined { number, queues, .. } => *number == id.number && queues.contains(&queue),
            _ => false,
        });
        let is_part = joins || known.open.as_ref().is_some_and(|open| open.queues.contains(&queue));
        let speaks = matches!(self.deed, Some(Deed::Speaks(of)) if of == name);
        if is_part && speaks && known.id == id {
            Ok(())
        } else {
            Err(format!("{name} as {id:?} sends to queue {queue} outside of its transaction: {known:?}"))
        }
    }

    fn ends(&self, number: u64, commit: bool) -> Result<(), String> {
        let Some((name, known)) = self.model.spans.numbered(number) else {
            return Err(format!("{number} ends a transaction, whom nobody knows"));
        };
        let what = format!("the transaction of {name} ends so: {commit}");
        let is_late = known.open.as_ref().is_some_and(|open| open.since + known.timeout <= self.now);
        let may = match self.deed {
            Some(Deed::Decides(of, wanted)) => of == name && *wanted == commit,
            Some(Deed::Names(of)) => of == name && !commit,
            Some(Deed::Overdue) => !commit && is_late,
            _ => false,
        };
        if !may {
            return Err(format!("{what}, which nobody may: {:?}", self.deed));
        }
        let Some(open) = &known.open else {
            // Told again, or given up before it began.
            let right = self.markers.is_empty() && self.offsets().is_empty();
            return if right { Ok(()) } else { Err(format!("{what} again, and not only told")) };
        };
        let spanned = self.model.spans.queues.iter();
        let wanted: BTreeSet<u32> =
            spanned.filter(|(_, here)| here.open.contains_key(&number)).map(|(queue, _)| *queue).collect();
        let found: BTreeSet<u32> = self.markers.iter().map(|(queue, _)| *queue).collect();
        let own = Marker { producer: number, epoch: known.id.epoch, commit };
        let same = self.markers.iter().all(|(_, marker)| *marker == own);
        if found != wanted || self.markers.len() != found.len() || !same {
            return Err(format!("{what}, in the queues {:?}, not {wanted:?}", self.markers));
        }
        let there = |(group, queue): &(u32, u32)| {
            self.model.groups.contains_key(group) && self.model.owner(*queue).is_some()
        };
        let kept = open.offsets.iter().filter(|(place, _)| commit && there(place));
        let wanted: BTreeSet<(u32, u32, Offset)> =
            kept.map(|((group, queue), promise)| (*group, *queue, promise.offset)).collect();
        let found = self.offsets();
        if found == wanted {
            Ok(())
        } else {
            Err(format!("{what}, with the offsets {found:?}, not {wanted:?}"))
        }
    }

    fn offsets(&self) -> BTreeSet<(u32, u32, Offset)> {
        let each = self.records.iter().filter_map(|record| match record {
            Rec::Offset { group, queue, offset } => Some((*group, *queue, *offset)),
            _ => None,
        });
        each.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Numbered, Promised, Why};
    use bytes::Bytes;
    use sluice_broker::Durability;
    use sluice_model::Message;

    const QUEUE: u32 = 20;
    const ID: ProducerId = ProducerId { number: 7, epoch: 1 };

    fn name() -> GroupName {
        GroupName::new("till").unwrap()
    }

    fn state(record: &Rec) -> Item {
        Item::State { lsn: 0, bytes: postcard::to_stdvec(record).unwrap().into() }
    }

    fn change(change: Change) -> Item {
        state(&Rec::Producer(Box::new(change)))
    }

    fn named(epoch: u16) -> Item {
        change(Change::Named { name: name(), id: ProducerId { epoch, ..ID }, timeout: 100, why: Why::Taken })
    }

    fn joined() -> Item {
        change(Change::Joined { number: 7, queues: vec![QUEUE], groups: Vec::new() })
    }

    fn ended(commit: bool) -> Item {
        change(Change::Ended { number: 7, commit })
    }

    fn sent() -> [Item; 2] {
        let batch = Numbered { producer: 7, epoch: 1, first: 0, count: 1 };
        let message = Message { body: Some(Bytes::from("1:")), ..Message::default() };
        let message = Item::Message { queue: QUEUE, offset: 0, lsn: 8, size: 80, message: Box::new(message) };
        [state(&Rec::Numbered { queue: QUEUE, batch }), message]
    }

    fn marker(queue: u32, commit: bool) -> Item {
        let marker = (7_u64, 1_u16, commit);
        let bytes = Bytes::from(postcard::to_stdvec(&marker).unwrap());
        Item::Batch { queue, offset: 1, lsn: 16, size: 80, count: 1, encoding: 3, head: Bytes::new(), bytes }
    }

    fn group(items: Vec<Item>) -> Group {
        Group { begin: 0, end: 100, durability: Durability::Sync, stored: 1000, items }
    }

    /// A producer whose transaction is open since 1000, with a message in one queue.
    fn open() -> Model {
        let mut model = Model::default();
        model.apply(&group(vec![named(1)]), None);
        model.apply(&group([vec![joined()], sent().into()].concat()), None);
        model
    }

    fn is_right(model: &Model, now: Millis, deed: Deed, items: Vec<Item>) -> bool {
        check(model, &group(items), now, &asked(deed)).is_ok()
    }

    fn asked(deed: Deed) -> Asked<'static> {
        Asked { producer: Some(deed), ..Asked::default() }
    }

    #[test]
    fn an_end_is_whole_and_asked_for() {
        let (model, decides) = (open(), |commit| Deed::Decides(name(), commit));
        assert!(is_right(&model, 1001, decides(true), vec![ended(true), marker(QUEUE, true)]));
        assert!(is_right(&model, 1001, decides(false), vec![ended(false), marker(QUEUE, false)]));
        assert!(!is_right(&model, 1001, decides(true), vec![ended(true)]), "no marker");
        assert!(!is_right(&model, 1001, decides(true), vec![marker(QUEUE, true)]), "no decision");
        assert!(!is_right(&model, 1001, decides(true), vec![ended(true), marker(QUEUE, false)]));
        assert!(!is_right(&model, 1001, decides(true), vec![ended(true), marker(21, true)]));
        assert!(!is_right(&model, 1001, decides(false), vec![ended(true), marker(QUEUE, true)]));
        assert!(!is_right(&model, 1001, Deed::Speaks(name()), vec![ended(true), marker(QUEUE, true)]));
        let stray = state(&Rec::Offset { group: 1, queue: QUEUE, offset: 1 });
        assert!(!is_right(&model, 1001, decides(true), vec![ended(true), stray, marker(QUEUE, true)]));
    }

    #[test]
    fn nobody_is_put_out_before_its_time_and_a_name_ends_what_is_open() {
        let model = open();
        let aborted = || vec![ended(false), marker(QUEUE, false)];
        assert!(!is_right(&model, 1099, Deed::Overdue, aborted()));
        assert!(is_right(&model, 1100, Deed::Overdue, aborted()));
        assert!(!is_right(&model, 1001, Deed::Names(name()), vec![named(2)]), "it stays open");
        assert!(is_right(&model, 1001, Deed::Names(name()), [aborted(), vec![named(2)]].concat()));
        assert!(!is_right(&model, 1001, Deed::Names(name()), [aborted(), vec![named(3)]].concat()));
    }

    #[test]
    fn a_named_producer_sends_within_its_transaction_only() {
        let mut model = Model::default();
        model.apply(&group(vec![named(1)]), None);
        let speaks = || Deed::Speaks(name());
        assert!(!is_right(&model, 1001, speaks(), sent().into()));
        assert!(is_right(&model, 1001, speaks(), [vec![joined()], sent().into()].concat()));
        assert!(is_right(&open(), 1001, speaks(), sent().into()));
        let mut replaced = open();
        replaced.apply(&group(vec![ended(false), marker(QUEUE, false), named(2), joined()]), None);
        assert!(!is_right(&replaced, 1001, speaks(), sent().into()), "of an epoch that is over");
    }

    #[test]
    fn what_is_decided_is_what_is_readable() {
        let mut model = open();
        let is_hidden = |model: &Model| model.is_hidden(model.message(QUEUE, 0).unwrap());
        assert_eq!((model.stable(QUEUE, 1), is_hidden(&model)), (0, false));
        let promise = Promised { offset: 5, epoch: None, note: String::new() };
        model.apply(
            &group(vec![change(Change::Promised { number: 7, group: 1, queue: QUEUE, promise })]),
            None,
        );
        let mut aborted = model.clone();
        aborted.apply(&group(vec![ended(false), marker(QUEUE, false)]), None);
        assert!(is_hidden(&aborted));
        assert_eq!(
            (aborted.stable(QUEUE, 1), aborted.stable(QUEUE, 2)),
            (0, 2),
            "the end can be read, or not"
        );
        model.apply(&group(vec![ended(true), marker(QUEUE, true)]), None);
        assert_eq!((model.stable(QUEUE, 2), model.next_offset(QUEUE), is_hidden(&model)), (2, 2, false));
    }
}
