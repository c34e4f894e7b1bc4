//! The push loop of a subscription that shares its messages with a group.
//!
//! The one idea to know: whatever the loop waits for, it goes on acknowledging what the socket has taken (`auto`
//! mode), and it can be stopped or dropped at any await: what was written counts as consumed, the rest goes back.

use super::{AckMode, BATCH, Claim, Feed, Handshake};
use crate::convert;
use futures_util::FutureExt;
use sluice_auth::Session;
use sluice_broker::{Broker, Holder, Lease, ReceiveRequest};
use sluice_model::{Delivered, GroupName, ReceiptHandle, Result};
use sluice_net::Written;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Runs until stopped, refused, or the connection ends.
pub(super) async fn run(feed: Feed, group: GroupName, holder: Arc<Holder>, handshake: Handshake) {
    // Fields are dropped in this order: settle what can be settled before the holder returns the rest.
    let acks = AutoAcks {
        written: VecDeque::new(),
        broker: feed.wire.broker.clone(),
        session: feed.session.clone(),
    };
    let mut leased = Leased { acks, feed, group, holder };
    let first = leased.receive(1, Duration::ZERO).await;
    let (started, first) = match first {
        Ok(first) => (Ok(()), first),
        Err(error) => (Err(error), Vec::new()),
    };
    let first = Unsent::new(&leased, first);
    if handshake.begin(started).await {
        leased.serve(first).await;
        leased.acks.settle_all().await;
    }
}

struct Leased {
    acks: AutoAcks,
    feed: Feed,
    group: GroupName,
    holder: Arc<Holder>,
}

impl Leased {
    /// `None` when stopped.
    async fn serve(&mut self, first: Unsent) -> Option<()> {
        self.push_all(first).await?;
        let turn = self.feed.wire.turns.of(&self.group, &self.feed.plan.destination.topic);
        loop {
            self.credit().await?;
            let taken = {
                let Self { acks, feed, group, holder } = self;
                let next = async {
                    let _seat = turn.take().await;
                    next(feed, group, holder, || turn.is_wanted()).await
                };
                attend(acks, &feed.stop, next).await?
            };
            match taken {
                Ok(batch) => {
                    let batch = Unsent::new(self, batch);
                    self.push_all(batch).await?;
                }
                Err(error) => self.feed.survives(error).await?,
            }
        }
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivered>> {
        receive(&self.feed, &self.group, &self.holder, max, wait).await
    }

    /// Resolves when the client may be sent another message.
    async fn credit(&mut self) -> Option<()> {
        let window = self.feed.plan.window;
        while self.acks.written.len() >= window {
            tokio::select! {
                () = self.feed.stop.cancelled() => return None,
                () = self.acks.settle_next() => {}
            }
        }
        tokio::select! {
            () = self.feed.stop.cancelled() => None,
            () = self.feed.ledger.room(window) => Some(()),
        }
    }

    async fn push_all(&mut self, mut batch: Unsent) -> Option<()> {
        while let Some(delivered) = batch.queue.pop_front() {
            self.push(delivered).await?;
        }
        Some(())
    }

    async fn push(&mut self, delivered: Delivered) -> Option<()> {
        let Delivered { message, receipt, attempt, redelivered, .. } = delivered;
        if self.feed.skips(&message) {
            self.acks.settle(&receipt);
            return Some(());
        }
        let number = (self.feed.plan.mode != AckMode::Auto).then(|| {
            let claim = Claim::Lease(receipt.clone());
            self.feed.ledger.add(convert::message_id(&message), attempt, claim)
        });
        let frame = match self.feed.frame(&message, number, redelivered) {
            Ok(frame) => frame,
            Err(error) => return self.set_aside(&receipt, number, error).await,
        };
        drop(message);
        let Self { acks, feed, .. } = self;
        if number.is_some() {
            return attend(acks, &feed.stop, feed.out.send(frame)).await?.ok();
        }
        let written = attend(acks, &feed.stop, feed.out.send_tracked(frame)).await?.ok()?;
        acks.written.push_back((written, receipt));
        Some(())
    }

    /// A message that cannot be shown must not block those behind it.
    async fn set_aside(
        &mut self,
        receipt: &ReceiptHandle,
        number: Option<u64>,
        error: sluice_model::Error,
    ) -> Option<()> {
        tracing::warn!(%error, group = %self.group, "a message cannot be written as STOMP; it goes to the dead letters");
        self.feed.ledger.remove(number);
        let broker = &self.feed.wire.broker;
        if let Err(error) = broker.dead_letter(&self.feed.session, receipt, error.message()).await {
            tracing::warn!(%error, "a message could not be sent to the dead letters");
        }
        Some(())
    }
}

/// The next messages: what is there, few if others wait for theirs; else the first to come.
async fn next(
    feed: &Feed,
    group: &GroupName,
    holder: &Holder,
    is_wanted: impl Fn() -> bool,
) -> Result<Vec<Delivered>> {
    let room = feed.plan.window.saturating_sub(feed.ledger.len()).max(1);
    let batch = if is_wanted() { 1 } else { room.min(BATCH) };
    let there = receive(feed, group, holder, batch, Duration::ZERO).await?;
    if !there.is_empty() {
        return Ok(there);
    }
    receive(feed, group, holder, 1, feed.wire.broker.config().max_wait.0).await
}

async fn receive(
    feed: &Feed,
    group: &GroupName,
    holder: &Holder,
    max: usize,
    wait: Duration,
) -> Result<Vec<Delivered>> {
    let plan = &feed.plan;
    let request = ReceiveRequest {
        group,
        topic: &plan.destination.topic,
        filter: &plan.filter,
        max,
        lease: Lease::Held(holder),
        wait,
        start: plan.start,
        create: plan.create,
    };
    feed.wire.broker.receive(&feed.session, &request).await
}

/// Awaits `work` while acknowledging what the socket has taken; `None` when told to stop.
async fn attend<F: Future>(acks: &mut AutoAcks, stop: &CancellationToken, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            () = acks.settle_next(), if !acks.written.is_empty() => {}
            output = &mut work => return Some(output),
        }
    }
}

/// Deliveries of `auto` mode on their way to the socket, in order.
struct AutoAcks {
    written: VecDeque<(Written, ReceiptHandle)>,
    broker: Broker,
    session: Session,
}

impl AutoAcks {
    /// Settles the oldest once it is known whether it was written. Cancel-safe.
    async fn settle_next(&mut self) {
        let Some((written, _)) = self.written.front_mut() else { return };
        let result = written.await;
        if let Some((_, receipt)) = self.written.pop_front() {
            match result {
                Ok(()) => self.settle(&receipt),
                Err(_) => self.give_back(&receipt),
            }
        }
    }

    /// Settles all: what waits in the outbox is still written, or given up with the connection.
    async fn settle_all(&mut self) {
        while !self.written.is_empty() {
            self.settle_next().await;
        }
    }

    fn settle(&self, receipt: &ReceiptHandle) {
        match self.broker.ack(&self.session, receipt) {
            Ok(promise) => drop(promise), // it is in the log; nobody waits for it
            Err(error) => tracing::debug!(%error, "an automatic acknowledgement came too late"),
        }
    }

    fn give_back(&self, receipt: &ReceiptHandle) {
        match self.broker.release(&self.session, receipt) {
            Ok(promise) => drop(promise),
            Err(error) => tracing::debug!(%error, "a message could not be given back"),
        }
    }
}

impl Drop for AutoAcks {
    fn drop(&mut self) {
        while let Some((written, receipt)) = self.written.pop_front() {
            match written.now_or_never() {
                Some(Ok(())) => self.settle(&receipt),
                _ => self.give_back(&receipt),
            }
        }
    }
}

/// Deliveries that the client has not seen; they go back uncounted if the loop ends before it sends them.
struct Unsent {
    queue: VecDeque<Delivered>,
    broker: Broker,
    session: Session,
}

impl Unsent {
    fn new(leased: &Leased, batch: Vec<Delivered>) -> Self {
        Self {
            queue: batch.into(),
            broker: leased.feed.wire.broker.clone(),
            session: leased.feed.session.clone(),
        }
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        for delivered in self.queue.drain(..) {
            if let Ok(promise) = self.broker.release(&self.session, &delivered.receipt) {
                drop(promise);
            }
        }
    }
}
