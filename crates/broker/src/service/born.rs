//! Finding messages by the time at which they were made, by their producers' clocks.
//!
//! The log knows when a message was stored, and producers may say any time. The one idea to know: the log's index says which
//! messages were made before they were stored, as nearly all are, and of those the time of storing tells which are too old;
//! so what is read is about one chunk. Of the others, by clocks that are ahead, each chunk is read once, and its newest
//! time remembered.

use super::log::blocking;
use super::{Broker, Inner};
use parking_lot::Mutex;
use sluice_auth::{Action, Cost, Session};
use sluice_model::{Millis, Offset, QueueId, Result, TopicName};
use sluice_store::{Bounds, Content, Entry, LogQueue, ReadLimits};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Messages of which one time is remembered.
const CHUNK: u64 = 512;
/// Bytes read at once.
const READ: usize = 4 << 20;
/// Chunks of which a time is remembered, about 20 MiB; the times of others are found anew.
const MAX_CHUNKS: usize = 500_000;

/// Which message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BornAt {
    /// The first one of this time or later.
    From(Millis),
    /// The first one of the newest time.
    Newest,
}

/// What is remembered: for a chunk that was read, by its queue and number, a time that none of its messages is younger than.
#[derive(Debug, Default)]
pub(crate) struct BornTimes(Mutex<BTreeMap<(LogQueue, u64), Millis>>);

impl BornTimes {
    /// Whether a chunk is known to have nothing of this time or later.
    fn is_older(&self, queue: LogQueue, chunk: u64, time: Millis) -> bool {
        self.0.lock().get(&(queue, chunk)).is_some_and(|newest| *newest < time)
    }

    fn remember(&self, queue: LogQueue, chunk: u64, newest: Millis) {
        let mut known = self.0.lock();
        known.insert((queue, chunk), newest);
        if known.len() > MAX_CHUNKS {
            known.pop_first();
        }
    }

    /// Forgets what the queue holds no longer.
    fn forget(&self, queue: LogQueue, min: Offset) {
        let mut known = self.0.lock();
        while let Some((key, _)) = known.range((queue, 0)..(queue, min / CHUNK)).next() {
            let key = *key;
            known.remove(&key);
        }
    }
}

impl Broker {
    /// The offset of a message and the time at which it was made, found by that time; nothing when there is no such one.
    /// Permit: Sub or Get on the topic.
    ///
    /// # Errors
    /// `TopicNotFound`; `InvalidArgument` for a queue that the topic has not; `Corrupt` when stored bytes are damaged.
    pub async fn born_at(
        &self,
        session: &Session,
        topic: &TopicName,
        queue: QueueId,
        at: BornAt,
    ) -> Result<Option<(Offset, Millis)>> {
        let permit = self.0.topic(session, &[Action::Sub, Action::Get], topic)?;
        let inner = self.0.under(&permit);
        inner.auth.charge(session, Cost::default())?;
        let (_, queue) = inner.queue_of(topic, queue)?;
        inner.born_at(queue, at).await
    }
}

impl Inner {
    async fn born_at(&self, queue: LogQueue, at: BornAt) -> Result<Option<(Offset, Millis)>> {
        let bounds = self.log.bounds(queue);
        self.born.forget(queue, bounds.min);
        let since = match at {
            BornAt::From(time) => time,
            BornAt::Newest => match self.newest(queue, bounds).await? {
                Some(newest) => newest,
                None => return Ok(None),
            },
        };
        let mut from = bounds.min;
        while let Some((stretch, chunk)) = self.stretch(queue, from, bounds.next, since).await? {
            let mut found = None;
            let newest = self.look(queue, &stretch, |offset, born| {
                found = (born >= since).then_some((offset, born));
                found.is_some()
            });
            let newest = newest.await?;
            if found.is_some() {
                return Ok(found);
            }
            self.remember(queue, &stretch, chunk, newest.max(Some(since.saturating_sub(1))));
            from = stretch.end;
        }
        Ok(None)
    }

    /// The newest time of all. What was stored last is looked at first, because hardly anything is younger.
    async fn newest(&self, queue: LogQueue, bounds: Bounds) -> Result<Option<Millis>> {
        let last = bounds.next.saturating_sub(CHUNK).max(bounds.min)..bounds.next;
        let mut newest = self.look(queue, &last, |_, _| false).await?;
        let mut from = bounds.min;
        loop {
            let wanted = newest.map_or(0, |newest| newest + 1);
            let Some((stretch, chunk)) = self.stretch(queue, from, last.start, wanted).await? else {
                return Ok(newest);
            };
            let here = self.look(queue, &stretch, |_, _| false).await?;
            self.remember(queue, &stretch, chunk, here.max(Some(wanted.saturating_sub(1))));
            newest = newest.max(here);
            from = stretch.end;
        }
    }

    /// The next part of a chunk that may have a message of this time or later, and the chunk's number.
    async fn stretch(
        &self,
        queue: LogQueue,
        mut from: Offset,
        end: Offset,
        time: Millis,
    ) -> Result<Option<(Range<Offset>, u64)>> {
        while from < end {
            let log = Arc::clone(&self.log);
            from = blocking(move || log.maybe_born(queue, from, time)).await?;
            let chunk = from / CHUNK;
            let behind = (chunk + 1) * CHUNK;
            if from < end && !self.born.is_older(queue, chunk, time) {
                return Ok(Some((from..behind.min(end), chunk)));
            }
            from = behind;
        }
        Ok(None)
    }

    /// Remembers a chunk of which everything was looked at that may be as young as `newest`.
    fn remember(&self, queue: LogQueue, stretch: &Range<Offset>, chunk: u64, newest: Option<Millis>) {
        // What comes to the last one may be younger.
        if stretch.end == (chunk + 1) * CHUNK {
            self.born.remember(queue, chunk, newest.unwrap_or(0));
        }
    }

    /// Shows every message of a stretch, until `seen` has enough; the newest time that it was shown.
    async fn look(
        &self,
        queue: LogQueue,
        stretch: &Range<Offset>,
        mut seen: impl FnMut(Offset, Millis) -> bool,
    ) -> Result<Option<Millis>> {
        let (mut from, end) = (stretch.start, stretch.end);
        let mut newest = None;
        while from < end {
            let limits = ReadLimits {
                max_count: (end - from).min(CHUNK) as usize,
                max_bytes: READ,
                max_examined: CHUNK as usize,
                tag_hashes: None,
            };
            let batch = self.read(queue, from, &limits).await?;
            if batch.next <= from {
                break;
            }
            from = batch.next;
            for entry in batch.entries {
                if let Entry { offset, content: Content::Message(message), .. } = entry
                    && offset < end
                {
                    newest = newest.max(Some(message.born));
                    if seen(offset, message.born) {
                        return Ok(newest);
                    }
                }
            }
        }
        Ok(newest)
    }
}
