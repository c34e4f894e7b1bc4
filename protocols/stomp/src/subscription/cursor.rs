//! The push loop of a subscription to a topic: a reading position of its own, which nobody remembers.
//!
//! The one idea to know: a cursor has moved on when it has read, so a NACK reads the message again by its place, and
//! what is not acknowledged is forgotten with the subscription.

use super::ledger::Again;
use super::{BATCH, Claim, Feed, Handshake, Push, Reading};
use crate::convert::{self, Place};
use sluice_broker::Cursor;
use sluice_model::{ErrorKind, Offset, QueueId, Result, StoredMessage};
use std::time::Duration;

/// Runs until stopped, refused, or the connection ends.
pub(super) async fn run(feed: Feed, reading: Reading, handshake: Handshake) {
    let topic = &reading.destination.topic;
    let filter = reading.filter.clone();
    let broker = &feed.wire.broker;
    match broker.cursor(&feed.session, topic, filter, reading.start, reading.create).await {
        Ok(mut cursor) if reading.browse => match view(&feed, &reading, &mut cursor) {
            Ok(ends) => {
                if handshake.begin(Ok(())).await {
                    look(&feed, &reading, &mut cursor, &ends).await;
                }
            }
            Err(error) => {
                handshake.begin(Err(error)).await;
            }
        },
        Ok(mut cursor) => {
            if handshake.begin(Ok(())).await {
                serve(&feed, &reading, &mut cursor).await;
            }
        }
        Err(error) => {
            handshake.begin(Err(error)).await;
        }
    }
}

/// Where a look begins, and where each queue ends: what its group has not consumed, of what is there now.
fn view(feed: &Feed, reading: &Reading, cursor: &mut Cursor) -> Result<Vec<Offset>> {
    let (broker, session, topic) = (&feed.wire.broker, &feed.session, &reading.destination.topic);
    let group = reading.destination.group()?;
    let each = (0..).map(QueueId).zip(&mut cursor.positions);
    each.map(|(queue, position)| {
        let (begin, end) = broker.bounds(session, topic, queue)?;
        if let Some(group) = &group
            && let Some(committed) = broker.committed(session, group, topic, queue)?
        {
            *position = committed.max(begin);
        }
        Ok(end)
    })
    .collect()
}

/// Shows what is there, says that this was all, and then does nothing more. `None` when stopped.
async fn look(feed: &Feed, reading: &Reading, cursor: &mut Cursor, ends: &[Offset]) -> Option<()> {
    let is_behind = |cursor: &Cursor| cursor.positions.iter().zip(ends).any(|(at, end)| at < end);
    while is_behind(cursor) {
        let read = feed.wire.broker.poll(&feed.session, cursor, BATCH, Duration::ZERO);
        let batch = tokio::select! {
            biased;
            () = feed.stop.cancelled() => return None,
            batch = read => batch,
        };
        match batch {
            Ok(batch) if batch.is_empty() => break, // what is left does not pass the filter
            Ok(batch) => {
                for message in batch {
                    let end = ends.get(message.queue.0 as usize).copied().unwrap_or_default();
                    if message.offset < end {
                        push(feed, reading, message, 1).await?;
                    }
                }
            }
            Err(error) => feed.survives(error).await?,
        }
    }
    feed.out.send(feed.end_of_view()).await.ok()?;
    feed.stop.cancelled().await;
    None
}

/// `None` when stopped.
async fn serve(feed: &Feed, reading: &Reading, cursor: &mut Cursor) -> Option<()> {
    loop {
        let next = tokio::select! {
            biased;
            () = feed.stop.cancelled() => return None,
            next = next(feed, cursor) => next,
        };
        match next {
            Ok(batch) => {
                for (message, attempt) in batch {
                    push(feed, reading, message, attempt).await?;
                }
            }
            Err(error) => feed.survives(error).await?,
        }
    }
}

/// What is due again, else what comes next; with the number of the delivery. Nothing, when there was something to take
/// back.
async fn next(feed: &Feed, cursor: &mut Cursor) -> Result<Vec<(StoredMessage, u32)>> {
    let window = feed.plan.window;
    tokio::select! {
        biased;
        () = feed.ledger.overdue() => {
            feed.take_back_overdue(None);
            return Ok(Vec::new());
        }
        () = feed.ledger.room(window) => {}
    }
    if let Some(again) = feed.ledger.take_due() {
        return read_again(feed, &again).await; // it is in no list meanwhile, so nothing may interrupt this
    }
    let max = window.saturating_sub(feed.ledger.len()).clamp(1, BATCH);
    let wait = feed.wire.broker.config().max_wait.0;
    tokio::select! {
        biased;
        () = feed.ledger.overdue() => {
            feed.take_back_overdue(None);
            Ok(Vec::new())
        }
        () = feed.ledger.due() => Ok(Vec::new()),
        polled = feed.wire.broker.poll(&feed.session, cursor, max, wait) => {
            polled.map(|messages| messages.into_iter().map(|message| (message, 1)).collect())
        }
    }
}

async fn read_again(feed: &Feed, again: &Again) -> Result<Vec<(StoredMessage, u32)>> {
    let Claim::Place(locator) = again.claim else { return Ok(Vec::new()) };
    match feed.wire.broker.message_at(&feed.session, locator).await {
        Ok(message) => Ok(vec![(message, again.attempt)]),
        Err(error) if error.kind() == ErrorKind::MessageNotFound => Ok(Vec::new()), // its retention has ended
        Err(error) => Err(error),
    }
}

async fn push(feed: &Feed, reading: &Reading, message: StoredMessage, attempt: u32) -> Option<()> {
    if reading.skips(&feed.wire, &feed.session, &message.message) {
        return Some(());
    }
    let id = convert::message_id(&message);
    let number = feed.enter(&id, attempt, || Claim::Place(message.locator));
    let dead = reading.destination.is_dead_letters();
    let place = Some(Place { queue: message.queue, offset: message.offset, attempt });
    let push = Push { id: &id, message: &message.message, number, redelivered: attempt > 1, place, dead };
    let frame = match feed.frame(&push) {
        Ok(frame) => frame,
        Err(error) => {
            tracing::warn!(%error, topic = %message.topic, "a message cannot be written as STOMP; it is left out");
            feed.ledger.remove(number);
            return Some(());
        }
    };
    drop(message);
    tokio::select! {
        biased;
        () = feed.stop.cancelled() => None,
        sent = feed.out.send(frame) => sent.ok(),
    }
}
