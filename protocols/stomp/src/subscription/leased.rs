//! The push loop of a subscription that shares its messages with a group.
//!
//! The one idea to know: whatever the loop waits for, it goes on acknowledging what the socket has taken (`auto`
//! mode), and it can be stopped or dropped at any await: what was written counts as consumed, the rest goes back.

use super::{AckMode, BATCH, Claim, Feed, GroupSource, Handshake, PAUSE, Push, Reading, is_full};
use crate::convert::{self, Place};
use futures_util::FutureExt;
use sluice_auth::Session;
use sluice_broker::{Broker, GroupSpec, Holder, Lease, ReceiveRequest};
use sluice_model::{Delivered, Error, ErrorKind, ReceiptHandle, Result};
use sluice_net::Written;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Runs until stopped, refused, or the connection ends.
pub(super) async fn run(
    feed: Feed,
    reading: Reading,
    group: GroupSource,
    holder: Arc<Holder>,
    handshake: Handshake,
) {
    // Fields are dropped in this order: settle what can be settled before the holder returns the rest.
    let acks = AutoAcks {
        written: VecDeque::new(),
        broker: feed.wire.broker.clone(),
        session: feed.session.clone(),
    };
    let mut leased =
        Leased { acks, share: Share { feed, reading, group, holder, idle: AtomicBool::new(false) } };
    let (started, first) = match leased.share.start().await {
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
    share: Share,
}

/// Whose messages are received, and who holds them.
struct Share {
    feed: Feed,
    reading: Reading,
    group: GroupSource,
    holder: Arc<Holder>,
    /// The last message had to be waited for: so will the next one, and it is waited for at once.
    idle: AtomicBool,
}

impl Leased {
    /// `None` when stopped.
    async fn serve(&mut self, first: Unsent) -> Option<()> {
        self.push_all(first).await?;
        let share = &self.share;
        let turn = share.feed.wire.turns.of(&share.group.name, &share.reading.destination.topic);
        loop {
            self.credit().await?;
            let Self { acks, share } = self;
            let next = async {
                let _seat = turn.take().await;
                share.next(|| turn.is_wanted()).await
            };
            match attend(acks, share, next).await? {
                Ok(batch) => {
                    let batch = Unsent::new(self, batch);
                    self.push_all(batch).await?;
                }
                Err(error) => self.share.feed.survives(error).await?,
            }
        }
    }

    /// Resolves when the client may be sent another message.
    async fn credit(&mut self) -> Option<()> {
        let Self { acks, share } = self;
        let window = share.feed.plan.window;
        while acks.written.len() >= window {
            tokio::select! {
                () = share.feed.stop.cancelled() => return None,
                () = acks.settle_next() => {}
            }
        }
        attend(acks, share, share.feed.ledger.room(window)).await
    }

    async fn push_all(&mut self, mut batch: Unsent) -> Option<()> {
        while let Some(delivered) = batch.queue.pop_front() {
            self.push(delivered).await?;
        }
        Some(())
    }

    async fn push(&mut self, delivered: Delivered) -> Option<()> {
        let Delivered { message, receipt, attempt, redelivered, .. } = delivered;
        let Self { acks, share } = self;
        let feed = &share.feed;
        if share.reading.skips(&feed.wire, &feed.session, &message.message) {
            acks.settle(&receipt);
            return Some(());
        }
        let id = convert::message_id(&message);
        let number = feed.enter(&id, attempt, || Claim::Lease(receipt.clone()));
        let dead = share.reading.destination.is_dead_letters();
        let place = Some(Place { queue: message.queue, offset: message.offset, attempt });
        let push = Push { id: &id, message: &message.message, number, redelivered, place, dead };
        let frame = match feed.frame(&push) {
            Ok(frame) => frame,
            Err(error) => return share.set_aside(&receipt, number, &error).await,
        };
        drop(message);
        if feed.plan.mode != AckMode::Auto {
            return attend(acks, share, feed.out.send(frame)).await?.ok();
        }
        let written = attend(acks, share, feed.out.send_tracked(frame)).await?.ok()?;
        acks.written.push_back((written, receipt));
        Some(())
    }
}

impl Share {
    /// The group as it was asked for, and its first message if there is one.
    async fn start(&self) -> Result<Vec<Delivered>> {
        if self.group.ordered {
            self.order()?;
        }
        let end = Instant::now() + self.feed.wire.config.throttle_patience.0;
        loop {
            match self.receive(1, Duration::ZERO).await {
                // A quota that is used up is waited for, as later on.
                Err(error)
                    if error.kind() == ErrorKind::Throttled && !is_full(&error) && Instant::now() < end =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    /// Makes the group one that consumes in order, if it is new.
    fn order(&self) -> Result<()> {
        let (broker, session, group) = (&self.feed.wire.broker, &self.feed.session, &self.group.name);
        let spec = GroupSpec { start: self.reading.start, ..GroupSpec::default() }.fifo(true);
        broker.ensure_group(session, group, spec)?;
        if broker.group(session, group)?.spec.is_fifo() {
            return Ok(());
        }
        let detail = format!("group {group} is there already and does not consume in order");
        Err(Error::new(ErrorKind::Conflict, detail))
    }

    /// The next messages: what is there, few if others wait for theirs; else the first to come.
    async fn next(&self, is_wanted: impl Fn() -> bool) -> Result<Vec<Delivered>> {
        let feed = &self.feed;
        if !self.idle.load(Ordering::Relaxed) {
            let room = feed.plan.window.saturating_sub(feed.ledger.len()).max(1);
            let batch = if is_wanted() { 1 } else { room.min(BATCH) };
            let there = self.receive(batch, Duration::ZERO).await?;
            if !there.is_empty() {
                return Ok(there);
            }
        }
        let mut first = pin!(self.receive(1, feed.wire.broker.config().max_wait.0));
        let mut waited = false;
        let there = poll_fn(|cx| {
            let there = first.as_mut().poll(cx);
            waited |= there.is_pending();
            there
        });
        let there = there.await;
        self.idle.store(waited, Ordering::Relaxed);
        there
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivered>> {
        let Self { feed, reading, group, holder, .. } = self;
        let request = ReceiveRequest {
            group: &group.name,
            topic: &reading.destination.topic,
            filter: &reading.filter,
            max,
            lease: Lease::Held(holder),
            wait,
            start: reading.start,
            create: reading.create,
        };
        feed.wire.broker.receive(&feed.session, &request).await
    }

    /// A message that cannot be shown must not block those behind it.
    async fn set_aside(&self, receipt: &ReceiptHandle, number: Option<u64>, error: &Error) -> Option<()> {
        let (feed, group) = (&self.feed, &self.group.name);
        tracing::warn!(%error, %group, "a message cannot be written as STOMP; it goes to the dead letters");
        feed.ledger.remove(number);
        if let Err(error) = feed.wire.broker.dead_letter(&feed.session, receipt, error.message()).await {
            tracing::warn!(%error, "a message could not be sent to the dead letters");
        }
        Some(())
    }
}

/// Awaits `work` while acknowledging what the socket has taken, and taking back what the client keeps for too long;
/// `None` when told to stop.
async fn attend<F: Future>(acks: &mut AutoAcks, share: &Share, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    let feed = &share.feed;
    loop {
        tokio::select! {
            biased;
            () = feed.stop.cancelled() => return None,
            () = acks.settle_next(), if !acks.written.is_empty() => {}
            () = feed.ledger.overdue() => feed.take_back_overdue(Some(&share.holder)),
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
        Self { queue: batch.into(), broker: leased.acks.broker.clone(), session: leased.acks.session.clone() }
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
