//! Producers with names, and transactions that span queues and the offsets of groups: begun by what is sent, and ended
//! by one decision.
//!
//! The one idea to know: the decision, the offsets that it makes hold and a marker in each queue are one atomic group of
//! the log. A crash leaves an open transaction, which its producer decides or its time ends, or an ended one; nobody has
//! to finish anything afterwards. What is sent meanwhile lies in its queues from the beginning, and only who asks for
//! everything sees it: `whole`.
//!
//! Half messages, whose producers are asked for the outcome, are `transactions`.

use super::log::Item;
use super::{Broker, Inner};
use crate::core::producers::{Change, End, Producer, Promised, Why};
use crate::core::record::Record;
use crate::core::sequences::Numbered;
use crate::core::spans::Marker;
use crate::core::state::Core;
use crate::{
    Aborted, EndMark, LogBounds, NameProducer, PartOf, ProducerId, ProducerView, Promise, QueueCommit,
    SenderView, Speaker, StartAt, TransactionRefusal,
};
use sluice_auth::{Action, Resource, Session};
use sluice_model::{Error, ErrorKind, GroupName, Millis, Offset, QueueId, Result, TopicName};
use sluice_store::{Durability, Entry, LogQueue, Ticket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// The most queues, groups and offsets of one transaction: its end is one atomic group of the log.
const MAX_SPAN: usize = 4000;
/// What could not be ended, on a full disk say, is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// The longest sleep towards a deadline: a wall clock that is set forward is noticed after at most this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

impl Broker {
    /// Gives a producer its name: whoever had it before is out, and a transaction that was open is aborted. Permit: Pub
    /// on the group of this name.
    ///
    /// # Errors
    /// `Throttled` when too many names are in use. With a [`TransactionRefusal`] as the source: one for a time that a
    /// transaction may not be open for, and, to a producer that says what it was, if it is that no longer.
    pub fn name_producer(
        &self,
        session: &Session,
        request: &NameProducer<'_>,
    ) -> Result<Promise<ProducerId>> {
        let permit = self.0.group(session, &[Action::Pub], request.name)?;
        let inner = self.0.under(&permit);
        if request.timeout.is_zero() || request.timeout > inner.config.max_transaction_timeout.0 {
            return Err(refused(TransactionRefusal::Timeout));
        }
        let mut core = inner.core.lock();
        let number = || inner.new_producer_number(&core);
        let (id, why) = core.producers.name(request.name, request.was, number).map_err(refused)?;
        let Some(why) = why else {
            // As it may not be on the disk yet, it is written once more, which changes nothing.
            let known = core.producers.speaker(request.name, id).map_err(refused)?;
            let again = Record::Producer(Box::new(renamed(known, id, Why::Asked)));
            let ticket = inner.record(&mut core, &[again], Durability::Sync)?;
            return Ok(Promise::new(ticket.done, id));
        };
        inner.room_for_name(&core, request.name)?;
        let timeout = request.timeout.as_millis() as Millis;
        let named = Change::Named { name: request.name.clone(), id, timeout, why };
        let open = core.producers.named(request.name).filter(|known| known.open.is_some()).cloned();
        let ticket = match open {
            Some(open) => inner.end_open(&mut core, &open, false, Some(named))?,
            None => inner.record(&mut core, &[Record::Producer(Box::new(named))], Durability::Sync)?,
        };
        Ok(Promise::new(ticket.done, id))
    }

    /// Has the transaction of a producer span these queues, and the offsets of these groups, too; it is opened if none
    /// is. Permits: Pub on the group of the producer's name, Pub on each topic, Sub on each group.
    ///
    /// # Errors
    /// `TopicNotFound`; `InvalidArgument` for a queue that a topic has not; `Throttled` when open transactions span too
    /// much. With a [`TransactionRefusal`] as the source: a producer that is it no longer.
    pub fn join_transaction(
        &self,
        session: &Session,
        speaker: &Speaker<'_>,
        places: &[(TopicName, QueueId)],
        groups: &[GroupName],
    ) -> Result<Promise<()>> {
        let permit = self.0.group(session, &[Action::Pub], speaker.name)?;
        for (topic, _) in places {
            self.0.topic(session, &[Action::Pub], topic)?;
        }
        for group in groups {
            self.0.group(session, &[Action::Sub], group)?;
        }
        let inner = self.0.under(&permit);
        let queues = places.iter().map(|(topic, queue)| Ok(inner.queue_of(topic, *queue)?.1.0));
        let queues: Vec<u32> = queues.collect::<Result<_>>()?;
        let mut core = inner.core.lock();
        let known = core.producers.speaker(speaker.name, speaker.id).map_err(refused)?;
        inner.room_to_join(&core, known, queues.len() + groups.len())?;
        let groups = groups.to_vec();
        let joined = Change::Joined { number: speaker.id.number, queues, groups };
        let ticket = inner.record(&mut core, &[Record::Producer(Box::new(joined))], Durability::Sync)?;
        inner.overdue_sooner.notify_one();
        Ok(Promise::new(ticket.done, ()))
    }

    /// The offsets on queues of a topic that a group will have if the transaction of a producer is committed. It has to
    /// span the group's offsets, or does from now on if `joins` says so. Permits: Pub on the group of the producer's
    /// name, Sub on the group and on the topic.
    ///
    /// # Errors
    /// As for [`Broker::commit_offsets`] and [`Broker::join_transaction`].
    pub fn promise_offsets(
        &self,
        session: &Session,
        speaker: &Speaker<'_>,
        group: &GroupName,
        topic: &TopicName,
        (commits, joins): (&[QueueCommit], bool),
    ) -> Result<Promise<()>> {
        let permit = self.0.group(session, &[Action::Pub], speaker.name)?;
        self.0.group(session, &[Action::Sub], group)?;
        self.0.topic(session, &[Action::Sub], topic)?;
        let inner = self.0.under(&permit);
        let mut queues = Vec::with_capacity(commits.len());
        for commit in commits {
            if commit.note.len() > QueueCommit::MAX_NOTE {
                return Err(Error::invalid(format!("a note has at most {} bytes", QueueCommit::MAX_NOTE)));
            }
            queues.push((inner.queue_of(topic, commit.queue)?.1, commit));
        }
        let mut core = inner.core.lock();
        let known = core.producers.speaker(speaker.name, speaker.id).map_err(refused)?;
        inner.room_to_join(&core, known, queues.len() + 1)?;
        let is_part = known.open.as_ref().is_some_and(|open| open.groups.contains(group));
        if !is_part && !joins {
            return Err(refused(TransactionRefusal::State));
        }
        let number = speaker.id.number;
        let of_group = inner.group_or_new(&mut core, group, StartAt::default())?.number;
        let joined = Change::Joined { number, queues: Vec::new(), groups: vec![group.clone()] };
        let promised = queues.into_iter().map(|(queue, commit)| {
            let promise =
                Promised { offset: commit.offset, epoch: commit.epoch, note: commit.note.to_string() };
            Change::Promised { number, group: of_group, queue: queue.0, promise }
        });
        let changes = (!is_part).then_some(joined).into_iter().chain(promised);
        let records: Vec<_> = changes.map(|change| Record::Producer(Box::new(change))).collect();
        if records.is_empty() {
            return Ok(Promise::kept(()));
        }
        let ticket = inner.record(&mut core, &records, Durability::Sync)?;
        inner.overdue_sooner.notify_one();
        Ok(Promise::new(ticket.done, ()))
    }

    /// Ends the transaction of a producer. The same end told again is no error. With `anew` the producer gets a new epoch
    /// by it, so what is still on its way from before is refused. What it gives is what the producer is known by then.
    /// Permit: Pub on the group of the producer's name.
    ///
    /// # Errors
    /// With a [`TransactionRefusal`] as the source: a producer that is it no longer, or has no transaction open.
    pub fn decide_transaction(
        &self,
        session: &Session,
        speaker: &Speaker<'_>,
        commit: bool,
        anew: bool,
    ) -> Result<Promise<ProducerId>> {
        let permit = self.0.group(session, &[Action::Pub], speaker.name)?;
        let inner = self.0.under(&permit);
        let mut core = inner.core.lock();
        let known = match core.producers.end(speaker.name, speaker.id, commit, anew).map_err(refused)? {
            End::Now(known) => known.clone(),
            // As it may not be on the disk yet, it is written once more, which changes nothing.
            End::Before(known) => {
                let id = known.id;
                let again = Change::Ended { number: id.number, commit };
                let ticket =
                    inner.record(&mut core, &[Record::Producer(Box::new(again))], Durability::Sync)?;
                return Ok(Promise::new(ticket.done, id));
            }
        };
        let (id, named) = match anew {
            true => {
                let id = known.next(|| inner.new_producer_number(&core));
                (id, Some(renamed(&known, id, Why::Ended)))
            }
            false => (known.id, None),
        };
        let ticket = inner.end_open(&mut core, &known, commit, named)?;
        Ok(Promise::new(ticket.done, id))
    }

    /// The producers with names that this session may see. Permit for each: Pub, Get or List on the group of its name.
    ///
    /// # Errors
    /// None today; listing shows what may be seen and hides the rest.
    pub fn named_producers(&self, session: &Session) -> Result<Vec<ProducerView>> {
        let inner = self.0.by_itself(); // each is shown only to who may see it
        let actions = [Action::Pub, Action::Get, Action::List];
        let core = inner.core.lock();
        let all = core.producers.all();
        let seen = all.filter(|known| inner.may_see(session, &actions, Resource::Group(&known.name)));
        let mut views: Vec<_> = seen.map(|known| view(&core, known)).collect();
        views.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(views)
    }

    /// Who numbers what it sends to a queue. Permit: Get or Sub on the topic.
    ///
    /// # Errors
    /// `TopicNotFound`; `InvalidArgument` for a queue that the topic has not.
    pub fn senders(&self, session: &Session, topic: &TopicName, queue: QueueId) -> Result<Vec<SenderView>> {
        let permit = self.0.topic(session, &[Action::Get, Action::Sub], topic)?;
        let inner = self.0.under(&permit);
        let (_, queue) = inner.queue_of(topic, queue)?;
        let core = inner.core.lock();
        let spans = core.spans.read();
        let views = core.sequences.of_queue(queue).map(|(number, epoch, last, at)| SenderView {
            id: ProducerId { number, epoch },
            last,
            at,
            begin: spans.as_ref().and_then(|spans| spans.begin(queue, number)),
        });
        Ok(views.collect())
    }

    /// The queues on which a group's offset depends on an open transaction. Permit: Sub or Get on the group.
    ///
    /// # Errors
    /// `PermissionDenied`. An unknown group has none.
    pub fn unsettled_offsets(
        &self,
        session: &Session,
        group: &GroupName,
    ) -> Result<Vec<(TopicName, QueueId)>> {
        let permit = self.0.group(session, &[Action::Sub, Action::Get], group)?;
        let core = self.0.under(&permit).core.lock();
        let Some(number) = core.catalog.group(group).map(|known| known.number) else { return Ok(Vec::new()) };
        Ok(places(&core, core.producers.unsettled(number)))
    }

    /// Aborts transactions whose time is up: what [`Broker::run`] does at their times. For those who drive the clock
    /// themselves.
    ///
    /// # Errors
    /// What the log says; they stay open.
    pub fn end_overdue(&self) -> Result<()> {
        self.0.by_itself().end_overdue().map(drop)
    }
}

impl Inner {
    pub(super) fn new_producer_number(&self, core: &Core) -> u64 {
        u64::from(core.boot()) << 32 | u64::from(self.next_producer.fetch_add(1, Ordering::Relaxed))
    }

    fn room_for_name(&self, core: &Core, name: &GroupName) -> Result<()> {
        let most = self.config.max_named_producers;
        if core.producers.len() >= most && core.producers.named(name).is_none() {
            return Err(Error::new(ErrorKind::Throttled, format!("{most} producers have names already")));
        }
        Ok(())
    }

    /// Whether a transaction may span so much more.
    pub(super) fn room_to_join(&self, core: &Core, known: &Producer, more: usize) -> Result<()> {
        let own =
            known.open.as_ref().map_or(0, |open| open.queues.len() + open.groups.len() + open.offsets.len());
        if own + more > MAX_SPAN {
            let text = format!("a transaction spans at most {MAX_SPAN} queues, groups and offsets");
            return Err(Error::new(ErrorKind::TooLarge, text));
        }
        if core.producers.parts() + core.spans.parts() + more > self.config.max_transaction_parts {
            return Err(Error::new(
                ErrorKind::Throttled,
                "open and aborted transactions span too much already",
            ));
        }
        Ok(())
    }

    /// What a batch changes of the transaction that it says it is part of: it may join its queue. Who goes by a name sends
    /// nothing outside of transactions.
    pub(super) fn part(
        &self,
        core: &Core,
        queue: LogQueue,
        batch: &Numbered,
        part: Option<&PartOf>,
    ) -> Result<Option<Change>> {
        let Some(part) = part else {
            return match core.producers.numbered(batch.producer) {
                Some(_) => Err(refused(TransactionRefusal::State)),
                None => Ok(None),
            };
        };
        let id = ProducerId { number: batch.producer, epoch: batch.epoch };
        let known = core.producers.speaker(&part.producer, id).map_err(refused)?;
        if core.is_part(queue, batch) {
            self.room_to_join(core, known, 0)?;
            return Ok(None);
        }
        if !part.joins {
            return Err(refused(TransactionRefusal::State));
        }
        self.room_to_join(core, known, 1)?;
        Ok(Some(Change::Joined { number: id.number, queues: vec![queue.0], groups: Vec::new() }))
    }

    /// Ends a transaction: the decision, what it makes hold, and the markers, as one atomic group.
    fn end_open(
        &self,
        core: &mut Core,
        producer: &Producer,
        commit: bool,
        named: Option<Change>,
    ) -> Result<Ticket> {
        let now = self.clock.now();
        let ProducerId { number, epoch } = producer.id;
        let mut records = vec![Record::Producer(Box::new(Change::Ended { number, commit }))];
        if let Some(open) = producer.open.as_ref().filter(|_| commit) {
            records.extend(kept(core, open.offsets.iter(), now));
        }
        records.extend(named.map(|named| Record::Producer(Box::new(named))));
        let marker = Marker { producer: number, epoch, commit };
        let bytes = postcard::to_stdvec(&marker).map_err(Error::internal)?;
        let queues: Vec<LogQueue> = match (&producer.open, core.spans.read()) {
            (Some(open), Some(spans)) => {
                let queues = open.queues.iter().map(|queue| LogQueue(*queue));
                queues.filter(|queue| spans.is_open(*queue, number)).collect()
            }
            _ => Vec::new(),
        };
        let markers = queues.iter().map(|queue| Item::Marker(*queue, &bytes));
        let items: Vec<_> = records.iter().map(Item::Record).chain(markers).collect();
        let ticket = self.append(&items, now, Durability::Sync, true)?;
        core.at_time(now);
        for record in &records {
            self.carry_out(core.apply(record));
        }
        let mut spans = core.spans.write();
        for (queue, placed) in queues.iter().zip(ticket.placed.iter().skip(records.len())) {
            spans.marked(*queue, &marker, placed.offset);
        }
        Ok(ticket)
    }

    pub(super) fn whole_bounds(&self, queue: LogQueue) -> LogBounds {
        let spans = self.spans.read();
        let bounds = self.whole.bounds(queue);
        let stable = spans.map_or(bounds.next, |spans| spans.stable(queue, bounds));
        LogBounds { min: bounds.min, stable, end: bounds.next }
    }

    /// The aborted transactions that have anything from one offset up to another.
    pub(super) fn aborted(&self, queue: LogQueue, from: Offset, to: Offset) -> Vec<Aborted> {
        let Some(spans) = self.spans.read() else { return Vec::new() };
        let taken = spans.aborted(queue, from, to).into_iter();
        taken.map(|taken| Aborted { producer: taken.producer, first: taken.first }).collect()
    }

    /// Aborts what was open for too long, at the right times.
    pub(super) async fn watch_transactions(&self) {
        loop {
            let sooner = self.overdue_sooner.notified();
            let nap = match self.end_overdue() {
                Ok(Some(due)) => {
                    Duration::from_millis(due.saturating_sub(self.clock.now())).min(LONGEST_SLEEP)
                }
                Ok(None) => LONGEST_SLEEP * 60,
                Err(error) => {
                    tracing::warn!(?error, "a transaction that was open for too long could not be aborted");
                    TRY_AGAIN
                }
            };
            tokio::select! {
                () = sleep(nap) => {}
                () = sooner => {}
            }
        }
    }

    /// Returns when the next one's time is up.
    fn end_overdue(&self) -> Result<Option<Millis>> {
        loop {
            let mut core = self.core.lock();
            let name = match core.producers.overdue(self.clock.now()) {
                Ok(name) => name,
                Err(next) => return Ok(next),
            };
            let Some(known) = core.producers.named(&name).cloned() else { return Ok(None) };
            // Whoever has it open is out: it cannot know, and what it sends must not begin another one.
            let id = known.next(|| self.new_producer_number(&core));
            let _ = self.end_open(&mut core, &known, false, Some(renamed(&known, id, Why::Taken)))?;
            tracing::info!(producer = %name, "its transaction was open for too long and was aborted");
        }
    }

    /// Forgets names that nobody uses, and what is known of transactions whose messages are no longer kept.
    pub(super) fn tidy_producers(&self) {
        let raw = Arc::clone(&self.whole);
        let mut core = self.core.lock();
        core.spans.trim(|queue| raw.bounds(queue));
        let before = self.clock.now().saturating_sub(self.config.named_producer_window.as_millis());
        let idle = core.producers.idle_since(before).into_iter();
        let gone: Vec<_> = idle.map(|name| Record::Producer(Box::new(Change::Forgotten { name }))).collect();
        for records in gone.chunks(self.config.max_batch.max(1)) {
            if let Err(error) = self.record(&mut core, records, Durability::Async) {
                return tracing::warn!(?error, "names of producers that nobody uses were not forgotten");
            }
        }
    }
}

/// The end of a transaction that an entry is.
pub(super) fn end_of(entry: &Entry) -> Option<EndMark> {
    let Marker { producer, epoch, commit } = Marker::of(entry)?;
    Some(EndMark {
        offset: entry.offset,
        id: ProducerId { number: producer, epoch },
        commit,
        at: entry.stored,
    })
}

/// What a producer is known by from now on.
fn renamed(known: &Producer, id: ProducerId, why: Why) -> Change {
    Change::Named { name: known.name.clone(), id, timeout: known.timeout, why }
}

/// The offsets that a commit makes hold, of groups and queues that are still there.
fn kept<'a>(
    core: &Core,
    offsets: impl Iterator<Item = (&'a (u32, u32), &'a Promised)>,
    now: Millis,
) -> Vec<Record> {
    let there = |(group, queue): &(u32, u32)| {
        core.catalog.group_by_number(*group).is_some() && core.catalog.owner(LogQueue(*queue)).is_some()
    };
    let both = offsets.filter(|(key, _)| there(key)).flat_map(|((group, queue), promised)| {
        let (group, queue, offset) = (*group, *queue, promised.offset);
        let text = promised.note.clone();
        [
            Record::Offset { group, queue, offset },
            Record::Noted { group, queue, offset, epoch: promised.epoch, text, at: now },
        ]
    });
    both.collect()
}

fn places(core: &Core, queues: impl IntoIterator<Item = u32>) -> Vec<(TopicName, QueueId)> {
    let owners = queues.into_iter().filter_map(|queue| core.catalog.owner(LogQueue(queue)));
    let mut places: Vec<_> = owners.map(|(topic, queue)| (topic.name.clone(), queue)).collect();
    places.sort();
    places
}

fn view(core: &Core, known: &Producer) -> ProducerView {
    let queues = known.open.iter().flat_map(|open| open.queues.iter().copied());
    ProducerView {
        name: known.name.clone(),
        id: known.id,
        timeout: Duration::from_millis(known.timeout),
        since: known.open.as_ref().map(|open| open.since),
        committed: known.ended.filter(|_| known.open.is_none()),
        places: places(core, queues),
    }
}

/// Whether the refusal is that somebody else has the name.
pub(super) fn is_fenced(error: &Error) -> bool {
    TransactionRefusal::of(error) == Some(TransactionRefusal::Fenced)
}

/// The refusal as an error.
pub(super) fn refused(why: TransactionRefusal) -> Error {
    let kind = match why {
        TransactionRefusal::Unknown | TransactionRefusal::Timeout => ErrorKind::InvalidArgument,
        TransactionRefusal::Fenced | TransactionRefusal::State => ErrorKind::Conflict,
    };
    Error::new(kind, why.to_string()).with_source(why)
}
