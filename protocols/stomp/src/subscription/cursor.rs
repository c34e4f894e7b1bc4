//! The push loop of a subscription to a topic: a reading position of its own, which nobody remembers.
//!
//! The one idea to know: a cursor has moved on when it has read, so a NACK reads the message again by its place, and
//! what is not acknowledged is forgotten with the subscription.

use super::ledger::Again;
use super::{AckMode, BATCH, Claim, Feed, Handshake};
use crate::convert;
use sluice_broker::Cursor;
use sluice_model::{ErrorKind, Result, StoredMessage};

/// Runs until stopped, refused, or the connection ends.
pub(super) async fn run(feed: Feed, handshake: Handshake) {
    let plan = &feed.plan;
    let topic = &plan.destination.topic;
    let cursor =
        feed.wire.broker.cursor(&feed.session, topic, plan.filter.clone(), plan.start, plan.create).await;
    match cursor {
        Ok(mut cursor) => {
            if handshake.begin(Ok(())).await {
                serve(&feed, &mut cursor).await;
            }
        }
        Err(error) => {
            handshake.begin(Err(error)).await;
        }
    }
}

/// `None` when stopped.
async fn serve(feed: &Feed, cursor: &mut Cursor) -> Option<()> {
    loop {
        let next = tokio::select! {
            biased;
            () = feed.stop.cancelled() => return None,
            next = next(feed, cursor) => next,
        };
        match next {
            Ok(batch) => {
                for (message, attempt) in batch {
                    push(feed, message, attempt).await?;
                }
            }
            Err(error) => feed.survives(error).await?,
        }
    }
}

/// What is due again, else what comes next; with the number of the delivery.
async fn next(feed: &Feed, cursor: &mut Cursor) -> Result<Vec<(StoredMessage, u32)>> {
    let window = feed.plan.window;
    feed.ledger.room(window).await;
    if let Some(again) = feed.ledger.take_due() {
        return read_again(feed, &again).await;
    }
    let max = window.saturating_sub(feed.ledger.len()).clamp(1, BATCH);
    let wait = feed.wire.broker.config().max_wait.0;
    tokio::select! {
        biased;
        () = feed.ledger.due() => Ok(Vec::new()),
        polled = feed.wire.broker.poll(&feed.session, cursor, max, wait) => {
            polled.map(|messages| messages.into_iter().map(|message| (message, 1)).collect())
        }
    }
}

async fn read_again(feed: &Feed, again: &Again) -> Result<Vec<(StoredMessage, u32)>> {
    match feed.wire.broker.message_at(&feed.session, again.locator).await {
        Ok(message) => Ok(vec![(message, again.attempt)]),
        Err(error) if error.kind() == ErrorKind::MessageNotFound => Ok(Vec::new()), // its retention has ended
        Err(error) => Err(error),
    }
}

async fn push(feed: &Feed, message: StoredMessage, attempt: u32) -> Option<()> {
    if feed.skips(&message) {
        return Some(());
    }
    let number = (feed.plan.mode != AckMode::Auto).then(|| {
        let claim = Claim::Place(message.locator);
        feed.ledger.add(convert::message_id(&message), attempt, claim)
    });
    let frame = match feed.frame(&message, number, attempt > 1) {
        Ok(frame) => frame,
        Err(error) => {
            tracing::warn!(%error, topic = %message.topic, "a message cannot be written as STOMP; it is left out");
            feed.ledger.remove(number);
            return Some(());
        }
    };
    tokio::select! {
        biased;
        () = feed.stop.cancelled() => None,
        sent = feed.out.send(frame) => sent.ok(),
    }
}
