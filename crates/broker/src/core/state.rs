//! Everything the broker knows, and how records change it.

use super::catalog::Catalog;
use super::marks::Marks;
use super::members::Members;
use super::notes::{Note, Notes, SavedNotes};
use super::once::{Digest, First, Known, Once};
use super::producers::Producers;
use super::progress::{GroupQueue, SavedCell, Until};
use super::record::Record;
use super::saving::{Saving, Stage};
use super::sequences::{Numbered, Sequences};
use super::spans::{SharedSpans, Spans};
use super::table::{ProgressKey, ProgressTable};
use super::timers::{SavedBuckets, Timers};
use super::transactions::{Saved, Transactions};
use crate::receipts::ReceiptKey;
use crate::{GroupSpec, Setting, StartAt, TopicSpec};
use serde::{Deserialize, Serialize};
use sluice_auth::Change;
use sluice_model::{Error, ErrorKind, GroupName, Millis, Offset, Result, TopicName};
use sluice_store::{LogQueue, Lsn};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What applying a record asks of the outside.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// Users or policies to apply.
    pub(crate) access: Vec<Change>,
    /// Queues whose topic is gone.
    pub(crate) forgotten: Vec<LogQueue>,
    /// Queues whose front is to be hidden, below an offset.
    pub(crate) cut: Vec<(LogQueue, Offset)>,
}

/// The state.
#[derive(Debug, Default)]
pub(crate) struct Core {
    pub(crate) catalog: Catalog,
    pub(crate) timers: Timers,
    pub(crate) transactions: Transactions,
    pub(crate) once: Once,
    pub(crate) marks: Marks,
    pub(crate) notes: Notes,
    pub(crate) sequences: Sequences,
    pub(crate) producers: Producers,
    /// Shared with who reads the log.
    pub(crate) spans: Arc<SharedSpans>,
    pub(crate) members: Members,
    pub(crate) receipt_key: ReceiptKey,
    /// Settings that were changed while the broker ran, each once.
    pub(crate) tuned: Vec<Setting>,
    progress: ProgressTable,
    read_by: HashMap<u32, BTreeSet<LogQueue>>,
    /// Where holders have been given something.
    held: HashMap<u64, BTreeSet<ProgressKey>>,
    boot: u32,
    last_lease: u32,
    /// The number of the saving that was begun last.
    saving: u64,
    /// When the records that are being applied were written.
    now: Millis,
}

impl Core {
    pub(crate) fn boot(&self) -> u32 {
        self.boot
    }

    /// An id for one batch of leases, never given before, in no life of the broker.
    pub(crate) fn new_lease(&mut self) -> u64 {
        self.last_lease = self.last_lease.wrapping_add(1);
        u64::from(self.boot) << 32 | u64::from(self.last_lease)
    }

    pub(crate) fn progress(&self, group: u32, queue: LogQueue) -> Option<&GroupQueue> {
        self.progress.get((group, queue))
    }

    /// Existing progress, to read or lease from.
    pub(crate) fn progress_mut(&mut self, group: u32, queue: LogQueue) -> Option<&mut GroupQueue> {
        self.progress.get_mut((group, queue))
    }

    /// Progress, made at `start` when there is none.
    pub(crate) fn progress_or_start(
        &mut self,
        group: u32,
        queue: LogQueue,
        start: Offset,
    ) -> &mut GroupQueue {
        let read_by = &mut self.read_by;
        self.progress.get_or_insert((group, queue), || {
            read_by.entry(group).or_default().insert(queue);
            GroupQueue::starting_at(start)
        })
    }

    /// The queues a group has progress on.
    pub(crate) fn queues_read_by(&self, group: u32) -> impl Iterator<Item = LogQueue> + '_ {
        self.read_by.get(&group).into_iter().flatten().copied()
    }

    /// Whether a group has progress on one of these queues.
    pub(crate) fn is_read(&self, queues: &[LogQueue]) -> bool {
        self.read_by.values().any(|read| queues.iter().any(|queue| read.contains(queue)))
    }

    /// Everything that a holder holds, who is gone: by group and queue, the offsets and how often each was delivered.
    #[allow(clippy::type_complexity, reason = "said once, taken apart at once")]
    pub(crate) fn held_by(&mut self, holder: u64) -> Vec<(u32, LogQueue, Vec<(Offset, u32)>)> {
        // In order, because what is done with them goes to the log: the same in every run of a simulation.
        let places = self.held.remove(&holder).unwrap_or_default().into_iter();
        let held = |key| self.progress.get(key).map(|progress| progress.held_by(holder)).unwrap_or_default();
        places.map(|key| (key.0, key.1, held(key))).filter(|(_, _, held)| !held.is_empty()).collect()
    }

    /// The records applied from now on are of this time.
    pub(crate) fn at_time(&mut self, now: Millis) {
        self.now = now;
    }

    /// Changes the state as the record says.
    pub(crate) fn apply(&mut self, record: &Record) -> Effects {
        let mut effects = Effects::default();
        match record {
            Record::Boot { number } => self.boot = *number,
            Record::ReceiptKey(key) => self.receipt_key = ReceiptKey::new(*key),
            Record::Topic { name, spec, queues, created } => {
                self.catalog.put_topic(name.clone(), spec.clone(), queues, *created);
            }
            Record::TopicGone(name) => effects.forgotten = self.remove_topic(name),
            Record::Group { name, number, spec, created } => {
                self.catalog.put_group(name.clone(), *number, spec.clone(), *created);
            }
            Record::GroupGone(name) => self.remove_group(name),
            Record::Offset { group, queue, offset } => {
                let now = self.now;
                let progress = self.progress_or_start(*group, LogQueue(*queue), *offset);
                // A rewind consumes nothing.
                if *offset > progress.committed() {
                    progress.consumed(now);
                }
                progress.set(*offset);
            }
            Record::Lease { group, queue, next, until, lease, deliveries, taker: _ } => {
                let until = if *until == 0 { None } else { Some(Until::Time(*until)) };
                self.lease(*group, LogQueue(*queue), *next, until, *lease, deliveries);
            }
            Record::Settled { group, queue, offset } => {
                let now = self.now;
                self.at(*group, *queue, |progress| {
                    progress.settle(*offset);
                    progress.consumed(now);
                });
            }
            Record::Returned { group, queue, offset, visible_at, attempt } => {
                self.at(*group, *queue, |progress| progress.put_back(*offset, *attempt, *visible_at));
            }
            Record::Extended { group, queue, offset, until, lease } => {
                self.at(*group, *queue, |progress| progress.extend(*offset, *lease, *until));
            }
            // The timer itself comes with the message that follows: see `delayed`.
            Record::Delayed { .. } => {}
            // What was sent once comes with its messages: see `sent_once`.
            Record::Once { .. } => {}
            Record::Fired { due, lsn } => self.timers.remove(*due, *lsn, true),
            Record::Recalled { due, lsn, .. } => self.timers.remove(*due, *lsn, false),
            Record::Moved(moved) => self.timers.moved(moved),
            // Where it lies comes with the message that follows.
            Record::Carried { .. } => {}
            // As for timers, the half itself comes with the message that follows.
            Record::Prepared { .. } => {}
            Record::Asked { lsn, checks, next } => self.transactions.asked(*lsn, *checks, *next),
            Record::Decided { lsn, decision } => self.transactions.decided(*lsn, *decision),
            Record::Access(change) => effects.access.push((**change).clone()),
            Record::Cut { queue, below } => {
                self.marks.cut(LogQueue(*queue), *below);
                effects.cut.push((LogQueue(*queue), *below));
            }
            // Where it begins comes with the message that follows.
            Record::Numbered { .. } => {}
            Record::Redriven { queue, from, to } => self.marks.redrive(LogQueue(*queue), *from, *to),
            Record::Noted { group, queue, offset, epoch, text, at } => {
                let note = Note { offset: *offset, epoch: *epoch, text: text.clone(), at: *at };
                self.notes.put(*group, LogQueue(*queue), note);
            }
            Record::OffsetGone { group, queue } => self.forget_offset(*group, LogQueue(*queue)),
            Record::Idle { group, at } => self.notes.idle(*group, *at),
            Record::Producer(change) => self.producers.apply(change, self.now),
            Record::Tuned(setting) => self.tune(*setting),
        }
        effects
    }

    /// Moves a group's cursor and leases deliveries. Without an `until` (a holder of an earlier life) they are
    /// deliverable again at once.
    pub(crate) fn lease(
        &mut self,
        group: u32,
        queue: LogQueue,
        next: Offset,
        until: Option<Until>,
        lease: u64,
        deliveries: &[(Offset, u32)],
    ) {
        if let Some(Until::Holder(holder)) = until
            && !deliveries.is_empty()
        {
            self.held.entry(holder).or_default().insert((group, queue));
        }
        let start = deliveries.first().map_or(next, |(offset, _)| *offset);
        let progress = self.progress_or_start(group, queue, start);
        for (offset, attempt) in deliveries {
            match until {
                Some(until) => progress.lease(*offset, *attempt, lease, until),
                None => progress.put_back(*offset, *attempt, 0),
            }
        }
        progress.advance(next);
    }

    /// A delayed message has been appended.
    pub(crate) fn delayed(&mut self, due: Millis, lsn: Lsn, target: LogQueue) {
        self.timers.insert(due, lsn, target);
    }

    /// Whether a batch is part of the open transaction of its producer.
    pub(crate) fn is_part(&self, queue: LogQueue, batch: &Numbered) -> bool {
        let open = self.producers.numbered(batch.producer).and_then(|known| known.open.as_ref());
        open.is_some_and(|open| open.queues.contains(&queue.0))
    }

    /// A batch that its producer numbers has been appended. `spans` are given where they were locked around that, because
    /// the batch is part of a transaction.
    pub(crate) fn numbered(
        &mut self,
        queue: LogQueue,
        batch: &Numbered,
        offset: Offset,
        now: Millis,
        spans: Option<&mut Spans>,
    ) {
        self.sequences.stored(queue, batch, offset, now);
        if let Some(spans) = spans {
            spans.stored(queue, batch.producer, offset, u64::from(batch.count));
        }
    }

    /// All messages of a key have been appended.
    pub(crate) fn sent_once(&mut self, key: Digest, content: Digest, stored: Millis, messages: Vec<First>) {
        self.once.insert(key, Known { content, stored, messages: messages.into() });
    }

    fn at(&mut self, group: u32, queue: u32, change: impl FnOnce(&mut GroupQueue)) {
        if let Some(progress) = self.progress.get_mut((group, LogQueue(queue))) {
            change(progress);
        }
    }

    fn remove_topic(&mut self, name: &TopicName) -> Vec<LogQueue> {
        let Some(topic) = self.catalog.remove_topic(name) else { return Vec::new() };
        for (group, read) in &mut self.read_by {
            for queue in topic.queues.iter().filter(|queue| read.remove(queue)) {
                self.progress.remove((*group, *queue));
            }
        }
        self.transactions.forget(&topic.queues);
        self.once.forget(&topic.queues);
        self.marks.forget(&topic.queues);
        self.notes.forget(&topic.queues);
        self.sequences.forget(&topic.queues);
        self.producers.forget(&topic.queues);
        self.spans.write().forget(&topic.queues);
        topic.queues.clone()
    }

    fn remove_group(&mut self, name: &GroupName) {
        if let Some(group) = self.catalog.remove_group(name) {
            for queue in self.read_by.remove(&group.number).into_iter().flatten() {
                self.progress.remove((group.number, queue));
                self.notes.remove(group.number, queue);
            }
        }
    }

    fn forget_offset(&mut self, group: u32, queue: LogQueue) {
        self.progress.remove((group, queue));
        self.notes.remove(group, queue);
        if let Some(queues) = self.read_by.get_mut(&group) {
            queues.remove(&queue);
        }
    }

    /// Begins to save everything, for a checkpoint: what is small is taken at once, the rest by [`Core::save_part`].
    /// `access` is what rebuilds users and policies.
    pub(crate) fn begin_save(&mut self, access: Vec<Change>) -> Result<Saving> {
        self.saving += 1;
        self.timers.begin_save();
        self.progress.begin_save();
        self.once.begin_save();
        let bytes = postcard::to_stdvec(&self.notes.save()).map_err(Error::internal)?;
        let bytes = postcard::to_extend(&self.timers.save(), bytes).map_err(Error::internal)?;
        let bytes = postcard::to_extend(&self.transactions.save_places(), bytes).map_err(Error::internal)?;
        let bytes = postcard::to_extend(&self.sequences.save(), bytes).map_err(Error::internal)?;
        let bytes = postcard::to_extend(&self.producers.save(), bytes).map_err(Error::internal)?;
        let spans = self.spans.read().map(|spans| spans.save()).unwrap_or_default();
        let bytes = postcard::to_extend(&spans, bytes).map_err(Error::internal)?;
        let rest = postcard::to_extend(&self.tuned, bytes).map_err(Error::internal)?;
        Ok(Saving {
            number: self.saving,
            boot: self.boot,
            receipt_key: self.receipt_key.secret(),
            counters: self.catalog.counters(),
            topics: self.catalog.topics().values().cloned().collect(),
            groups: self.catalog.groups().values().cloned().collect(),
            access,
            timers: Vec::new(),
            progress: Vec::new(),
            once: Vec::new(),
            stage: Stage::Timers,
            transactions: postcard::to_stdvec(&self.transactions.save()).map_err(Error::internal)?,
            marks: postcard::to_stdvec(&self.marks.save()).map_err(Error::internal)?,
            rest,
        })
    }

    fn tune(&mut self, setting: Setting) {
        self.tuned.retain(|known| known.key() != setting.key());
        self.tuned.push(setting);
    }

    /// Takes the next part, about so many items of it; false when all has been taken. All parts together tell what was there
    /// when the saving began.
    pub(crate) fn save_part(&mut self, saving: &mut Saving, some: usize) -> Result<bool> {
        if saving.number != self.saving {
            return Err(Error::new(ErrorKind::Conflict, "another checkpoint was begun meanwhile"));
        }
        Ok(match saving.stage {
            Stage::Timers if self.timers.save_part(some, &mut saving.timers) => true,
            Stage::Progress if self.progress.save_part(some, &mut saving.progress) => true,
            Stage::Once => self.once.save_part(some, &mut saving.once),
            Stage::Timers | Stage::Progress => {
                saving.stage = saving.stage.next();
                true
            }
        })
    }

    fn restore_consumed(&mut self, times: Vec<(u32, u32, Millis)>) {
        for (group, queue, time) in times {
            self.at(group, queue, |progress| progress.consumed(time));
        }
    }

    /// The state of a checkpoint, and the users and policies to apply.
    pub(crate) fn load(bytes: &[u8]) -> Result<(Self, Vec<Change>)> {
        let (snapshot, rest): (Snapshot, _) = postcard::take_from_bytes(bytes).map_err(unreadable)?;
        let mut core = Self {
            boot: snapshot.boot,
            receipt_key: ReceiptKey::new(snapshot.receipt_key),
            ..Self::default()
        };
        for (name, spec, queues, created) in snapshot.topics {
            core.catalog.put_topic(name, spec, &queues, created);
        }
        for (name, number, spec, created) in snapshot.groups {
            core.catalog.put_group(name, number, spec, created);
        }
        core.catalog.restore_counters(snapshot.counters);
        for (group, queue, next, cells) in snapshot.progress {
            let queue = LogQueue(queue);
            core.read_by.entry(group).or_default().insert(queue);
            core.progress.insert((group, queue), GroupQueue::restore(next, cells));
        }
        for (due, lsn, target) in snapshot.timers {
            core.timers.insert(due, lsn, LogQueue(target));
        }
        let mut rest = rest;
        if let Some(saved) = next_part::<Saved>(&mut rest)? {
            core.transactions = Transactions::restore(saved);
        }
        if let Some(saved) = next_part(&mut rest)? {
            core.once = Once::restore(saved);
        }
        if let Some(saved) = next_part(&mut rest)? {
            core.marks = Marks::restore(saved);
        }
        if let Some(saved) = next_part(&mut rest)? {
            core.restore_consumed(saved);
        }
        if let Some(saved) = next_part::<SavedNotes>(&mut rest)? {
            core.notes = Notes::restore(saved);
        }
        if let Some(saved) = next_part::<SavedBuckets>(&mut rest)? {
            core.timers.restore(saved);
        }
        if let Some(saved) = next_part(&mut rest)? {
            core.transactions.restore_places(saved);
        }
        if let Some(saved) = next_part(&mut rest)? {
            core.sequences.restore(saved);
        }
        if let Some(saved) = next_part(&mut rest)? {
            core.producers = Producers::restore(saved);
        }
        if let Some(saved) = next_part(&mut rest)? {
            core.spans.write().restore(saved);
        }
        if let Some(saved) = next_part(&mut rest)? {
            core.tuned = saved;
        }
        Ok((core, snapshot.access))
    }
}

/// The next part of a checkpoint's content; nothing where checkpoints of earlier versions end.
fn next_part<T: serde::de::DeserializeOwned>(rest: &mut &[u8]) -> Result<Option<T>> {
    if rest.is_empty() {
        return Ok(None);
    }
    let (part, after) = postcard::take_from_bytes(rest).map_err(unreadable)?;
    *rest = after;
    Ok(Some(part))
}

fn unreadable(e: postcard::Error) -> Error {
    Error::new(ErrorKind::Corrupt, "the checkpoint is not readable by this version").with_source(e)
}

/// The first part of a checkpoint's content. Later versions write further parts behind it.
#[derive(Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) boot: u32,
    pub(super) receipt_key: [u8; 32],
    pub(super) counters: (u32, u32),
    pub(super) topics: Vec<(TopicName, TopicSpec, Vec<u32>, Millis)>,
    pub(super) groups: Vec<(GroupName, u32, GroupSpec, Millis)>,
    pub(super) progress: Vec<(u32, u32, Offset, Vec<SavedCell>)>,
    pub(super) timers: Vec<(Millis, Lsn, u32)>,
    pub(super) access: Vec<Change>,
}

/// The offset at which `start` lies, given a queue's bounds and where a time lies.
pub(crate) fn start_offset(
    start: StartAt,
    (min, next): (Offset, Offset),
    at_time: impl FnOnce(Millis) -> Offset,
) -> Offset {
    match start {
        StartAt::Earliest => min,
        StartAt::Latest => next,
        StartAt::Time(time) => at_time(time).clamp(min, next),
    }
}
