//! The push loop of a subscription to a temporary queue or topic: letters from memory.
//!
//! The one idea to know: what is not acknowledged goes back to the front of the mailbox when the subscription ends,
//! and is gone with the connection.

use super::ledger::Again;
use super::{Claim, Feed, Handshake, Push};
use crate::mail::{Letter, Slot};
use std::sync::Arc;

/// Runs until stopped, or the connection ends.
pub(super) async fn run(feed: Feed, slot: Arc<Slot>, handshake: Handshake) {
    let _ = handshake.ready.send(Ok(())); // nobody listens where nobody subscribed
    if handshake.go.await.is_ok() {
        serve(&feed, &slot).await;
    }
    let (unacknowledged, again) = feed.ledger.take_all();
    let left = unacknowledged.into_iter().map(|(_, entry)| (entry.claim, entry.attempt + 1));
    let left: Vec<_> =
        left.chain(again.into_iter().map(|Again { claim, attempt, .. }| (claim, attempt))).collect();
    for (claim, attempt) in left.into_iter().rev() {
        if let Claim::Letter(letter) = claim {
            slot.give_back(letter, attempt);
        }
    }
}

/// `None` when stopped.
async fn serve(feed: &Feed, slot: &Slot) -> Option<()> {
    loop {
        let (letter, attempt) = tokio::select! {
            biased;
            () = feed.stop.cancelled() => return None,
            () = feed.ledger.overdue() => {
                feed.take_back_overdue(None);
                continue;
            }
            next = next(feed, slot) => next,
        };
        if letter.is_expired(feed.wire.broker.now()) {
            continue;
        }
        push(feed, slot, letter, attempt).await?;
    }
}

/// What is due again, else what comes next; with the number of the delivery.
async fn next(feed: &Feed, slot: &Slot) -> (Arc<Letter>, u32) {
    loop {
        feed.ledger.room(feed.plan.window).await;
        if let Some(again) = feed.ledger.take_due() {
            match again.claim {
                Claim::Letter(letter) => return (letter, again.attempt),
                Claim::Lease(_) | Claim::Place(_) => continue,
            }
        }
        tokio::select! {
            biased;
            () = feed.ledger.due() => {}
            next = slot.next() => return next,
        }
    }
}

async fn push(feed: &Feed, slot: &Slot, letter: Arc<Letter>, attempt: u32) -> Option<()> {
    let number = feed.enter(&letter.id, attempt, || Claim::Letter(letter.clone()));
    let push = Push {
        id: &letter.id,
        message: &letter.message,
        number,
        redelivered: attempt > 1,
        place: None,
        dead: false,
    };
    let frame = match feed.frame(&push) {
        Ok(frame) => frame,
        Err(error) => {
            tracing::warn!(%error, "a letter cannot be written as STOMP; it is left out");
            feed.ledger.remove(number);
            return Some(());
        }
    };
    let sent = tokio::select! {
        biased;
        () = feed.stop.cancelled() => None,
        sent = feed.out.send(frame) => sent.ok(),
    };
    if sent.is_none() && number.is_none() {
        slot.give_back(letter, attempt); // nobody has seen it
    }
    sent
}
