//! The life of a message, told on demand from what the log has anyway.
//!
//! Nothing is written for it: a message's records (as sent, delayed, half, retried, dead) are found by its id, and what
//! happened to them is in the state records that follow. The one idea to know: the price is paid by whoever asks, who
//! reads the log from the message on, a bounded part of it at a time.

use super::log::{blocking, stored_as};
use super::retry::REASON;
use super::{Broker, Inner};
use crate::core::catalog::{HALF_QUEUE, TIMER_QUEUE};
use crate::core::life::{Doer, Happening, Life, Place};
use crate::core::record::Record;
use crate::core::state::Core;
use crate::core::transactions::Known;
use crate::packed::locator;
use crate::{Trace, TraceEvent, TraceRequest, TraceStep};
use sluice_auth::{Action, Cost, Resource, Session};
use sluice_model::{Error, ErrorKind, GroupName, Message, Millis, QueueId, Result, StoredMessage, TopicName};
use sluice_store::{Content, Entry, LogQueue, Lsn, Search, SearchBy};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Records of one message that are looked at, the newest ones: one that has failed all its attempts in ten groups has
/// fewer.
const MAX_RECORDS: usize = 256;
/// And their bytes: two of the largest messages at least.
const MAX_RECORD_BYTES: usize = 32 << 20;
/// Log that is read for one answer: a quarter to half a second. The next answer goes on from there.
const MAX_SCAN: u64 = 256 << 20;
/// What is told in one answer. Somebody who gives a message back at once, again and again, makes that many.
const MAX_EVENTS: usize = 10_000;

const SEE_TOPIC: [Action; 2] = [Action::Sub, Action::Get];
const SEE_GROUP: [Action; 2] = [Action::Sub, Action::Get];

impl Broker {
    /// Tells what became of a message: when it was stored, to whom it was delivered, what they did with it. What queue
    /// consumers read leaves no record; that they are done with it does. Permit: Sub or Get on the topic that it was sent
    /// to; of a group only those hear who may Sub or Get it.
    ///
    /// # Errors
    /// `MessageNotFound` when no record of it is kept; `TopicNotFound`; `InvalidArgument` for an empty id or a
    /// continuation that was not given; `Throttled` over a quota; `Corrupt` when stored bytes are damaged.
    pub async fn trace(&self, session: &Session, request: &TraceRequest<'_>) -> Result<Trace> {
        if let Some(topic) = request.topic {
            let permit = self.0.topic(session, &SEE_TOPIC, topic)?;
            self.0.under(&permit).topic_of(topic)?;
        }
        let inner = self.0.by_itself(); // without a topic, the message says whose permit is asked for below
        let _place = inner.auth.begin(session, None)?;
        inner.auth.charge(session, Cost::default())?;
        if request.id.is_empty() {
            return Err(Error::invalid("a message is looked up by its id, and this one is empty"));
        }
        let mut tracks = inner.tracks(request.id).await?;
        let birth = tracks.first().map(|track| track.entry.lsn).ok_or_else(|| no_message(request.id))?;
        let places: Vec<Place> = tracks.iter().map(Track::place).collect();
        let from = request.after.unwrap_or(birth).max(birth);
        let (life, seen) = inner.life(places, from, from == birth).await?;
        inner.say_targets(&mut tracks, &life.targets);
        let topic = match request.topic {
            Some(topic) => topic.clone(),
            None => self.topic_of_newest(session, &tracks, request.id)?,
        };
        tracks.retain(|track| track.is_of(&topic));
        if tracks.is_empty() {
            return Err(no_message(request.id));
        }
        let next = life.full.or((seen - from >= MAX_SCAN).then_some(seen));
        let events = inner.tell(session, &tracks, life.happenings, from == birth);
        let messages = tracks.into_iter().filter_map(Track::into_message).collect();
        Ok(Trace { topic, messages, events, next })
    }

    /// Of the topics that messages with this id were sent to, the one of the newest that may be looked at.
    fn topic_of_newest(&self, session: &Session, tracks: &[Track], id: &str) -> Result<TopicName> {
        let mut denied = no_message(id);
        for topic in tracks.iter().rev().filter_map(Track::original) {
            match self.0.topic(session, &SEE_TOPIC, topic) {
                Ok(_) => return Ok(topic.clone()),
                Err(error) => denied = error,
            }
        }
        Err(denied)
    }
}

/// One record of the message.
struct Track {
    entry: Entry,
    /// Where it lies, or where it waits to go; nothing when that is known no more.
    target: Option<(TopicName, QueueId)>,
}

impl Track {
    fn place(&self) -> Place {
        Place { lsn: self.entry.lsn, queue: self.entry.queue, offset: self.entry.offset }
    }

    /// It lies in its topic, and not where it waits.
    fn has_arrived(&self) -> bool {
        ![TIMER_QUEUE, HALF_QUEUE].contains(&self.entry.queue)
    }

    fn message(&self) -> Option<&Message> {
        match &self.entry.content {
            Content::Message(message) => Some(message),
            Content::State(_) | Content::Batch { .. } => None,
        }
    }

    /// The topic that the message was sent to.
    fn original(&self) -> Option<&TopicName> {
        let origin = self.message().and_then(|message| message.origin.as_ref());
        let topic = origin.map(|origin| &origin.position.topic);
        topic.or(self.target.as_ref().map(|(topic, _)| topic))
    }

    fn is_of(&self, topic: &TopicName) -> bool {
        self.target.as_ref().is_some_and(|(own, _)| own == topic || self.original() == Some(topic))
    }

    fn into_message(self) -> Option<StoredMessage> {
        let (topic, queue) = self.target?;
        stored_as(topic, queue, self.entry).ok()
    }

    /// What its being there says.
    fn begins(&self, core: &Core) -> Option<(Doer, TraceStep)> {
        let (message, (topic, _)) = (self.message()?, self.target.as_ref()?);
        let until = message.deliver_at.filter(|_| self.entry.queue == TIMER_QUEUE);
        if let Some(group) = topic.retry_group() {
            let until = until.unwrap_or(self.entry.stored);
            return Some((Doer::Group(group), TraceStep::Retried { attempts: message.attempt, until }));
        }
        if let Some(group) = topic.dead_letter_group() {
            let reason = message.headers.text(REASON).unwrap_or_default().to_owned();
            return Some((Doer::Group(group), TraceStep::DeadLettered { reason }));
        }
        Some(match (self.entry.queue, until) {
            (HALF_QUEUE, _) => {
                let half = core.transactions.get(self.entry.lsn);
                let doer = half.map_or(Doer::Nobody, |half| Doer::Group(half.group.clone()));
                (doer, TraceStep::Prepared)
            }
            (_, Some(until)) => (Doer::Nobody, TraceStep::Delayed { until }),
            (_, None) => (Doer::Nobody, TraceStep::Stored),
        })
    }
}

impl Inner {
    /// The records of messages with an id, oldest first.
    async fn tracks(&self, id: &str) -> Result<Vec<Track>> {
        let (log, word) = (Arc::clone(&self.log), id.to_owned());
        let found = blocking(move || {
            log.find(&Search {
                word: &word,
                by: SearchBy::Id,
                queues: None,
                from: 0,
                to: Millis::MAX,
                before: Lsn::MAX,
                max_count: MAX_RECORDS,
                max_bytes: MAX_RECORD_BYTES,
                max_examined: MAX_RECORDS,
            })
        });
        let entries = found.await?.entries;
        let mut aside = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.queue == TIMER_QUEUE) {
            let due = due_of(entry).unwrap_or_default();
            aside.extend(self.aside(due, entry.lsn).await?.map(|timer| (entry.lsn, timer.target)));
        }
        let core = self.core.lock();
        let tracks = entries.into_iter().rev().map(|entry| {
            let queue = match entry.queue {
                TIMER_QUEUE => due_of(&entry)
                    .and_then(|due| core.timers.target(due, entry.lsn))
                    .or_else(|| aside.get(&entry.lsn).copied()),
                HALF_QUEUE => core.transactions.known(entry.lsn).map(|known| match known {
                    Known::Open(half) => half.target(),
                    Known::Decided(_, queue) => queue,
                }),
                queue => Some(queue),
            };
            Track { target: queue.and_then(|queue| owner(&core, queue)), entry }
        });
        Ok(tracks.collect())
    }

    /// Reads on from a position what happened to the records at these places; where reading ended.
    async fn life(&self, places: Vec<Place>, from: Lsn, from_birth: bool) -> Result<(Life, Lsn)> {
        let log = Arc::clone(&self.log);
        blocking(move || {
            let mut life = Life::new(places, from_birth, MAX_EVENTS);
            let mut unreadable = None;
            let seen = log.states(from, MAX_SCAN, &mut |state| match Record::decode(state.bytes) {
                Ok(record) => life.take(state.group, state.lsn, state.stored, record),
                Err(error) => unreadable = Some(error),
            })?;
            unreadable.map_or(Ok((life.finish(), seen)), Err)
        })
        .await
    }

    /// Notes where waiting records were meant to go, as the log tells it.
    fn say_targets(&self, tracks: &mut [Track], targets: &HashMap<Lsn, LogQueue>) {
        let core = self.core.lock();
        for track in tracks.iter_mut().filter(|track| track.target.is_none()) {
            track.target = targets.get(&track.entry.lsn).and_then(|queue| owner(&core, *queue));
        }
    }

    /// Puts what happened into words, for somebody who may see some of the groups.
    fn tell(
        &self,
        session: &Session,
        tracks: &[Track],
        mut happenings: Vec<Happening>,
        from_birth: bool,
    ) -> Vec<TraceEvent> {
        let core = self.core.lock();
        if from_birth {
            happenings.extend(tracks.iter().filter_map(|track| {
                let (lsn, at, (doer, step)) = (track.entry.lsn, track.entry.stored, track.begins(&core)?);
                Some(Happening { at, told: lsn, lsn, doer, step })
            }));
            happenings.sort_by_key(|happening| happening.told);
        }
        let mut visible = Visible { inner: self, session, core: &core, known: HashMap::new() };
        let events = happenings.into_iter().filter_map(|happening| {
            let Happening { at, lsn, doer, step, .. } = happening;
            let track = tracks.iter().find(|track| track.entry.lsn == lsn)?;
            let group = visible.group(doer)?;
            let (topic, queue) = track.target.clone()?;
            let offset = track.has_arrived().then_some(track.entry.offset);
            let locator = locator(lsn, track.entry.index);
            Some(TraceEvent { at, topic, queue, offset, locator, group, step })
        });
        events.collect()
    }
}

/// Which groups may be told of.
struct Visible<'a> {
    inner: &'a Inner,
    session: &'a Session,
    core: &'a Core,
    known: HashMap<u32, Option<GroupName>>,
}

impl Visible<'_> {
    fn may_see(&self, group: &GroupName) -> bool {
        self.inner.may_see(self.session, &SEE_GROUP, Resource::Group(group))
    }

    /// The group to name, if any; nothing for what may not be told. A group that is gone may be told to nobody.
    fn group(&mut self, doer: Doer) -> Option<Option<GroupName>> {
        let number = match doer {
            Doer::Nobody => return Some(None),
            Doer::Group(name) => return self.may_see(&name).then_some(Some(name)),
            Doer::Number(number) => number,
        };
        if !self.known.contains_key(&number) {
            let name = self.core.catalog.group_by_number(number).map(|group| group.name.clone());
            let name = name.filter(|name| self.may_see(name));
            self.known.insert(number, name);
        }
        self.known.get(&number).cloned().flatten().map(Some)
    }
}

fn due_of(entry: &Entry) -> Option<Millis> {
    match &entry.content {
        Content::Message(message) => message.deliver_at,
        Content::State(_) | Content::Batch { .. } => None,
    }
}

fn owner(core: &Core, queue: LogQueue) -> Option<(TopicName, QueueId)> {
    core.catalog.owner(queue).map(|(topic, queue)| (topic.name.clone(), queue))
}

fn no_message(id: &str) -> Error {
    Error::new(ErrorKind::MessageNotFound, format!("no message with the id {id:?} is kept"))
}
