//! How verbs write to the log and read from it.

use super::Inner;
use super::packed::PlannedBatch;
use crate::core::record::Record;
use crate::core::spans::MARKER;
use crate::core::state::Core;
use crate::core::{catalog::Topic, state::Effects};
use crate::packed::locator;
use sluice_model::{Error, ErrorKind, Message, Millis, QueueId, Result, StoredMessage, TopicName};
use sluice_store::{
    Append, Batch, Content, Durability, Entry, Log, LogQueue, Payload, Read, ReadLimits, Ticket,
};
use std::sync::atomic::Ordering;

/// One entry of an atomic group.
pub(super) enum Item<'a> {
    Message(LogQueue, &'a Message),
    /// The end of a transaction in a queue: an offset, and no message.
    Marker(LogQueue, &'a [u8]),
    Packed(LogQueue, &'a PlannedBatch),
    Record(&'a Record),
}

/// Runs something that may block: on another thread, or in place for whoever drives these futures without a runtime.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => runtime.spawn_blocking(work).await.map_err(Error::internal)?,
        Err(_) => work(),
    }
}

impl Inner {
    /// Appends an atomic group. Groups without messages, and those that only move messages (`reserved`), are accepted
    /// on a full disk too.
    pub(super) fn append(
        &self,
        items: &[Item<'_>],
        now: Millis,
        durability: Durability,
        reserved: bool,
    ) -> Result<Ticket> {
        if let [Item::Message(queue, message)] = items {
            let payload = Payload::Message(message);
            let group = [Append { queue: *queue, payload, stored: now, reserved_space: reserved }];
            return self.to_log(&group, durability);
        }
        let states: Vec<Vec<u8>> = items
            .iter()
            .map(|item| match item {
                Item::Message(..) | Item::Marker(..) | Item::Packed(..) => Ok(Vec::new()),
                Item::Record(record) => record.encode(),
            })
            .collect::<Result<_>>()?;
        let only_state = items.iter().all(|i| matches!(i, Item::Record(_)));
        let reserved_space = reserved || only_state;
        let group: Vec<_> = items
            .iter()
            .zip(&states)
            .map(|(item, state)| match item {
                Item::Message(queue, message) => {
                    Append { queue: *queue, payload: Payload::Message(message), stored: now, reserved_space }
                }
                Item::Marker(queue, bytes) => {
                    let payload =
                        Payload::Batch { encoding: MARKER, count: 1, newest: 0, keys: &[], head: &[], bytes };
                    Append { queue: *queue, payload, stored: now, reserved_space }
                }
                Item::Packed(queue, batch) => {
                    Append { queue: *queue, payload: batch.payload(), stored: now, reserved_space }
                }
                Item::Record(_) => {
                    Append { queue: LogQueue(0), payload: Payload::State(state), stored: now, reserved_space }
                }
            })
            .collect();
        self.to_log(&group, durability)
    }

    fn to_log(&self, group: &[Append<'_>], durability: Durability) -> Result<Ticket> {
        let ticket = self.log.append(group, durability)?;
        if ticket.placed.iter().any(|p| p.lsn > self.next_checkpoint.load(Ordering::Relaxed)) {
            self.checkpoint_wanted.notify_one();
        }
        Ok(ticket)
    }

    /// Appends records and applies them, in one step as seen by everyone else.
    pub(super) fn record(
        &self,
        core: &mut Core,
        records: &[Record],
        durability: Durability,
    ) -> Result<Ticket> {
        let items: Vec<_> = records.iter().map(Item::Record).collect();
        let now = self.clock.now();
        let ticket = self.append(&items, now, durability, true)?;
        core.at_time(now);
        for record in records {
            self.carry_out(core.apply(record));
        }
        Ok(ticket)
    }

    /// Does what applied records ask of the outside.
    pub(super) fn carry_out(&self, effects: Effects) {
        for change in &effects.access {
            self.auth.apply(change);
        }
        for queue in effects.forgotten {
            self.log.forget(queue);
        }
        for (queue, below) in effects.cut {
            self.log.cut(queue, below);
        }
    }

    /// Reads from a queue, where blocking is allowed if it must be.
    pub(super) async fn read(&self, queue: LogQueue, from: u64, limits: &ReadLimits<'_>) -> Result<Batch> {
        read_from(&*self.log, queue, from, limits).await
    }
}

/// The same from a log of the caller's choice.
pub(super) async fn read_from(
    log: &dyn Log,
    queue: LogQueue,
    from: u64,
    limits: &ReadLimits<'_>,
) -> Result<Batch> {
    match log.read(queue, from, limits)? {
        Read::Ready(batch) => Ok(batch),
        Read::Cold(read) => blocking(read).await,
    }
}

/// A log entry as a message of this topic.
pub(super) fn stored(topic: &Topic, queue: QueueId, entry: Entry) -> Result<StoredMessage> {
    stored_as(topic.name.clone(), queue, entry)
}

pub(super) fn stored_as(topic: TopicName, queue: QueueId, entry: Entry) -> Result<StoredMessage> {
    match entry.content {
        Content::Message(message) => Ok(StoredMessage {
            topic,
            queue,
            offset: entry.offset,
            locator: locator(entry.lsn, entry.index),
            size: entry.size,
            stored: entry.stored,
            message: *message,
        }),
        // Taken apart before, unless nobody has brought their format: they must not be read as empty.
        Content::Batch { .. } => {
            Err(Error::new(ErrorKind::Unsupported, "the log has batches that this version cannot read"))
        }
        Content::State(_) => Err(Error::internal("a state entry in a topic's queue")),
    }
}
