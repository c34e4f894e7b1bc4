//! Finding messages by the time at which they were made, by their producers' clocks.
//!
//! The log knows when a message was stored, and producers may say any time. The one idea to know: of every [`CHUNK`]
//! messages of a queue the newest time is remembered, once somebody has asked; so the first question about a queue reads
//! all of it, and every other only what has come since, and one chunk.

use super::{Broker, Inner};
use parking_lot::Mutex;
use sluice_auth::{Action, Cost, Session};
use sluice_model::{Millis, Offset, QueueId, Result, TopicName};
use sluice_store::{Content, Entry, LogQueue, ReadLimits};
use std::collections::HashMap;

/// Messages of which one time is remembered.
const CHUNK: u64 = 512;
/// Bytes read at once.
const READ: usize = 4 << 20;
/// Queues of which times are remembered; the times of others are found anew.
const MAX_QUEUES: usize = 10_000;

/// Which message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BornAt {
    /// The first one of this time or later.
    From(Millis),
    /// The first one of the newest time.
    Newest,
}

/// What is remembered of each queue that was asked about.
#[derive(Debug, Default)]
pub(crate) struct BornTimes(Mutex<HashMap<LogQueue, Times>>);

#[derive(Debug, Default, Clone)]
struct Times {
    /// The newest time of each chunk that was looked at to its end, beginning with chunk number `first`.
    chunks: Vec<Millis>,
    first: u64,
}

impl Times {
    fn next(&self) -> u64 {
        self.first + self.chunks.len() as u64
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
        let times = self.times(queue, bounds.min, bounds.next).await?;
        let since = match at {
            BornAt::From(time) => time,
            BornAt::Newest => {
                let known = times.chunks.iter().copied().max();
                let rest = self.newest_in(queue, (times.next() * CHUNK).max(bounds.min), bounds.next).await?;
                match known.max(rest) {
                    Some(newest) => newest,
                    None => return Ok(None),
                }
            }
        };
        // Of the chunk that begins before the first message kept, the time may be that of one that is gone.
        let mut from = bounds.min;
        for (number, newest) in (times.first..).zip(&times.chunks) {
            if *newest >= since {
                let end = (number + 1) * CHUNK;
                if let Some(found) = self.first_since(queue, from, end, since).await? {
                    return Ok(Some(found));
                }
            }
            from = (number + 1) * CHUNK;
        }
        self.first_since(queue, from.max(bounds.min), bounds.next, since).await
    }

    /// The times of all whole chunks, looked at where nobody has before.
    async fn times(&self, queue: LogQueue, min: Offset, next: Offset) -> Result<Times> {
        let first = min / CHUNK;
        let mut times = self.born.0.lock().remove(&queue).unwrap_or_default();
        if times.next() <= first || times.chunks.is_empty() {
            times = Times { chunks: Vec::new(), first };
        }
        let gone = first.saturating_sub(times.first) as usize;
        times.chunks.drain(..gone.min(times.chunks.len()));
        times.first = times.first.max(first);
        while (times.next() + 1) * CHUNK <= next {
            let begin = times.next() * CHUNK;
            let newest = self.newest_in(queue, begin.max(min), begin + CHUNK).await?;
            times.chunks.push(newest.unwrap_or(0));
        }
        let mut all = self.born.0.lock();
        if all.len() < MAX_QUEUES {
            all.insert(queue, times.clone());
        }
        Ok(times)
    }

    async fn newest_in(&self, queue: LogQueue, from: Offset, end: Offset) -> Result<Option<Millis>> {
        let mut newest = None;
        self.look(queue, from, end, |_, born| {
            newest = newest.max(Some(born));
            false
        })
        .await?;
        Ok(newest)
    }

    async fn first_since(
        &self,
        queue: LogQueue,
        from: Offset,
        end: Offset,
        since: Millis,
    ) -> Result<Option<(Offset, Millis)>> {
        let mut found = None;
        self.look(queue, from, end, |offset, born| {
            if born >= since {
                found = Some((offset, born));
            }
            found.is_some()
        })
        .await?;
        Ok(found)
    }

    /// Shows every message of a stretch, until `seen` has enough.
    async fn look(
        &self,
        queue: LogQueue,
        mut from: Offset,
        end: Offset,
        mut seen: impl FnMut(Offset, Millis) -> bool,
    ) -> Result<()> {
        while from < end {
            let limits = ReadLimits {
                max_count: (end - from).min(CHUNK) as usize,
                max_bytes: READ,
                max_examined: CHUNK as usize,
                tag_hashes: None,
            };
            let batch = self.read(queue, from, &limits).await?;
            if batch.next <= from {
                return Ok(());
            }
            from = batch.next;
            for entry in batch.entries {
                if let Entry { offset, content: Content::Message(message), .. } = entry
                    && offset < end
                    && seen(offset, message.born)
                {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
