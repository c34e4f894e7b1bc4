//! The broker's verbs as the simulation calls them: each with what its answer has to be.

use crate::node::{Asked, Check, Node, Pending, Receipt, leases, now, poll};
use crate::ordered::Ordered;
use crate::spy::Group;
use crate::tally;
use bytes::Bytes;
use sluice_broker::{Broker, Durability, Lease, Promise, ReceiveRequest, SendRequest, Sent, StartAt, Work};
use sluice_model::{Error, ErrorKind, GroupName, Message, Offset, QueueId, Result, TopicName};
use sluice_store::Lsn;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The number that a message of ours carries in its body.
pub fn number_of(message: &Message) -> u64 {
    let text = message.body_bytes().split(|byte| *byte == b':').next().unwrap_or_default();
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

impl Node {
    /// A message with a number of its own, and a body of some length.
    pub fn message(&mut self) -> Message {
        self.next_message += 1;
        self.tally.messages += 1;
        let len = match self.dice.below(12) {
            0 => self.dice.below(9000),
            1..4 => self.dice.below(1500),
            _ => self.dice.below(200),
        };
        let body = format!("{}:{}", self.next_message, "x".repeat(len as usize));
        let tag = ["red", "green"].get(self.dice.below(3) as usize);
        let delay = match self.dice.below(18) {
            0 | 1 => 1 + self.dice.below(90_000),
            2..4 => 1 + self.dice.below(400_000),
            _ => 0,
        };
        let expires = self.dice.below(25) == 0;
        // Clocks of producers are late, and sometimes ahead.
        let born = (self.dice.below(4) == 0).then(|| self.now() - 8000 + self.dice.below(10_000));
        Message {
            body: Some(Bytes::from(body)),
            id: format!("id-{}", self.next_message).into(),
            born: born.unwrap_or(0),
            tag: tag.map(|tag| (*tag).into()),
            ordering_group: self.dice.coin().then(|| format!("g{}", self.dice.below(3)).into()),
            deliver_at: (delay > 0).then(|| self.now() + delay),
            expires_at: expires.then(|| self.now() + 20_000),
            ..Message::default()
        }
    }

    /// Takes a promise on: it is looked after until it is answered.
    pub fn promised<T: Unpin + 'static>(&mut self, promise: Promise<T>, groups: &[Group], sends: Vec<u64>) {
        self.awaited(Box::pin(async move { promise.await.map(drop) }), groups, sends);
    }

    /// The same for a promise that may be kept by what was appended before, up to a position.
    pub fn promised_from<T: Unpin + 'static>(&mut self, promise: Promise<T>, end: Lsn, groups: &[Group]) {
        let end = groups.last().map_or(end, |group| group.end.max(end));
        let done = Box::pin(async move { promise.await.map(drop) });
        self.pending.push(Pending { done, end, durability: Durability::Sync, sends: Vec::new() });
    }

    fn awaited(
        &mut self,
        done: Pin<Box<dyn Future<Output = Result<()>>>>,
        groups: &[Group],
        sends: Vec<u64>,
    ) {
        let end = groups.last().map_or(0, |group| group.end);
        let durability = groups.last().map_or(Durability::Async, |group| group.durability);
        self.pending.push(Pending { done, end, durability, sends });
    }

    /// Sends to one topic.
    pub fn send(&mut self, request: SendRequest) -> Check {
        let numbers: Vec<u64> = request.messages.iter().map(number_of).collect();
        let topic = request.topic.clone();
        let (is_known, queues) = (self.model.topics.contains_key(&topic), request.create);
        let may = is_known || self.may_make(request.create);
        let sent = self.broker.send(&self.me.clone(), request);
        let groups = self.absorb(&Asked::default())?;
        match sent {
            Ok(_) if !may => Err(format!("{topic} is made, which nobody may")),
            Err(error) if may => self.refused("send", &error, &[]),
            Err(error) => self.refused("send", &error, &[ErrorKind::TopicNotFound]),
            Ok(promise) => {
                if !is_known {
                    self.made_with(&topic, queues)?;
                }
                self.placed(promise.preview().map_or(&[], |sent| &sent[..]), &numbers, &topic)?;
                self.promised(promise, &groups, numbers);
                Ok(())
            }
        }
    }

    /// Whether a topic that is not there may be made by whoever needs it.
    pub fn may_make(&self, create: Option<u32>) -> bool {
        create.is_some() && self.model.tuned(self.broker.config()).auto_create
    }

    /// A topic that was made has as many queues as was said, or as many as such a one has.
    fn made_with(&self, topic: &TopicName, queues: Option<u32>) -> Check {
        let usual = self.model.tuned(self.broker.config()).default_queues;
        let wanted = queues.filter(|queues| *queues > 0).unwrap_or(usual) as usize;
        let found = self.model.topics.get(topic).map(|topic| topic.queues.len());
        match found == Some(wanted) {
            true => Ok(()),
            false => Err(format!("{topic} is made with {found:?} queues, not {wanted}")),
        }
    }

    /// The answer to a send tells where the messages are.
    pub fn placed(&mut self, sent: &[Sent], numbers: &[u64], topic: &TopicName) -> Check {
        for (sent, number) in sent.iter().zip(numbers) {
            let queues = self.model.topics.get(topic).map(|t| t.queues.clone()).unwrap_or_default();
            let queue = if sent.delayed { crate::model::TIMERS } else { queues[sent.queue.0 as usize] };
            let stored = self.model.message(queue, sent.offset);
            if stored.is_none_or(|s| s.locator != sent.locator || number_of(&s.message) != *number) {
                return Err(format!("message {number} is not where the answer says: {sent:?}"));
            }
            if let Some(due) = stored.and_then(|s| s.message.deliver_at).filter(|_| sent.delayed) {
                self.waiting.push((topic.clone(), due, sent.locator));
            }
            self.trace.note(format_args!("sent {number} {queue} {}", sent.offset));
        }
        Ok(())
    }

    /// Sends and settles in one step.
    pub fn work(&mut self, sends: Vec<SendRequest>, receipts: &[Receipt]) -> Check {
        let numbers = sends.iter().flat_map(|request| request.messages.iter().map(number_of)).collect();
        let asked = self.settling(receipts);
        let good = receipts.iter().all(|receipt| self.is_held(receipt));
        let distinct: BTreeSet<_> = receipts.iter().map(|r| (r.group, r.queue, r.offset)).collect();
        // A delivery that came back stays so when the clock is set back, although its lease seems to hold again.
        let came_back = distinct.iter().any(|(group, queue, offset)| {
            let cell = self.model.progress.get(&(*group, *queue)).and_then(|p| p.cells.get(offset));
            cell.is_some_and(|cell| cell.is_ready(self.latest))
        });
        let work = Work { sends, acks: receipts.iter().map(|r| r.handle.clone()).collect() };
        let done = self.broker.work(&self.me.clone(), work);
        let groups = self.absorb(&asked)?;
        match done {
            Ok(_) if !good => Err("work settles what is not held".to_owned()),
            Ok(promise) => {
                // Topics are made in steps of their own; the work is the last one.
                self.promised(promise, &groups, numbers);
                Ok(())
            }
            Err(error) if good && distinct.len() == receipts.len() && !came_back => {
                self.refused("work", &error, &[ErrorKind::TopicNotFound])
            }
            Err(error) => {
                self.refused("work", &error, &[ErrorKind::ReceiptExpired, ErrorKind::TopicNotFound])
            }
        }
    }

    /// Receives; how many came.
    pub fn receive(&mut self, request: &ReceiveRequest<'_>, holder: Option<u64>) -> Check<usize> {
        self.receive_up_to(request, usize::MAX, holder)
    }

    /// The same, and no further message once there are so many bytes.
    pub fn receive_up_to(
        &mut self,
        request: &ReceiveRequest<'_>,
        max_bytes: usize,
        holder: Option<u64>,
    ) -> Check<usize> {
        let (broker, me) = (self.broker.clone(), self.me.clone());
        let got = match max_bytes {
            usize::MAX => now(broker.receive(&me, request))?,
            _ => now(broker.receive_up_to(&me, request, max_bytes))?,
        };
        let runs = matches!(request.lease, Lease::InOrder(_));
        let asked = Asked { filter: Some(request.filter), holder, runs, ..Asked::default() };
        let groups = self.absorb(&asked)?;
        let is_held = self.live.is_held(request.group);
        let got = match got {
            Ok(_) if is_held => return Err(format!("{} is held, and somebody receives", request.group)),
            Ok(got) => got,
            Err(error) => {
                let may = self.model.topics.contains_key(request.topic) || self.may_make(request.create);
                let expected = [(is_held, ErrorKind::Conflict), (!may, ErrorKind::TopicNotFound)];
                let expected: Vec<_> =
                    expected.iter().filter(|(may, _)| *may).map(|(_, kind)| *kind).collect();
                self.refused("receive", &error, &expected)?;
                return Ok(0);
            }
        };
        let bodies = got.iter().rev().skip(1).map(|one| one.message.message.body_bytes().len());
        if got.len() > request.max || bodies.sum::<usize>() > max_bytes {
            return Err(format!("{} deliveries are too many for {max_bytes} bytes", got.len()));
        }
        let leases = leases(&groups);
        if leases.len() != got.len() {
            return Err(format!("{} deliveries, but {} leases", got.len(), leases.len()));
        }
        for (delivered, (group, queue, offset, attempt, lease)) in got.iter().zip(leases) {
            let message = &delivered.message;
            self.trace.note(format_args!("got {queue} {offset} {attempt}"));
            self.tally.deliveries += 1;
            let retry = self.model.owner(queue).is_some_and(|(topic, ..)| topic.retry_group().is_some());
            let before = if retry { message.message.attempt } else { 0 };
            if message.offset != offset || delivered.attempt != before + attempt {
                return Err(format!("offset {offset} of queue {queue}: the delivery is not what was leased"));
            }
            if message.original_topic() != request.topic || !request.filter.matches(&message.message) {
                return Err(format!("offset {offset} of queue {queue} was not asked for"));
            }
            self.shown(queue, offset, message.locator, &message.message.body_or_empty())?;
            let handle = delivered.receipt.clone();
            self.receipts.push(Receipt { handle, group, queue, offset, lease, locator: message.locator });
        }
        if got.is_empty() {
            self.nothing_held_back(request)?;
        }
        Ok(got.len())
    }

    /// A receive that gives nothing leaves nothing that could be had.
    fn nothing_held_back(&mut self, request: &ReceiveRequest<'_>) -> Check {
        let Some(group) = self.model.group_number(request.group) else { return Ok(()) };
        let runs = matches!(request.lease, Lease::InOrder(_));
        let sources = [request.topic.clone(), request.group.retry_topic()];
        for queue in sources.iter().filter_map(|t| self.model.topics.get(t)).flat_map(|t| t.queues.clone()) {
            let (min, next) = self.bounds(queue);
            let Some(progress) = self.model.progress.get(&(group, queue)) else { continue };
            let ordered = Ordered::new(&self.model, group, queue, runs);
            let wanted = |offset: Offset| {
                self.model.message(queue, offset).filter(|s| !self.model.is_hidden(s)).is_some_and(|stored| {
                    let message = &stored.message;
                    let of = message.origin.as_ref().map(|origin| &origin.position.topic);
                    request.filter.matches(message)
                        && message.expires_at.is_none_or(|at| at > self.now())
                        && of.is_none_or(|of| of == request.topic)
                        && ordered.as_ref().is_none_or(|ordered| !ordered.is_busy(offset, self.now()))
                })
            };
            let from = progress.next.max(min);
            let messages = self.model.queues.get(&queue).into_iter();
            let mut messages = messages.flat_map(|all| all.range(from..next.max(from)));
            let fresh = messages.find(|(offset, _)| wanted(**offset)).map(|(offset, _)| *offset);
            let returned = progress.cells.iter().find(|(offset, cell)| {
                (min..next).contains(*offset) && cell.is_ready(self.now()) && wanted(**offset)
            });
            if let Some(offset) = fresh.or(returned.map(|(offset, _)| *offset)) {
                let cell = progress.cells.get(&offset);
                return Err(format!(
                    "offset {offset} of queue {queue} is held back from {}: {cell:?}, cursor {}, and {:?}",
                    request.group, progress.next, progress.cells
                ));
            }
        }
        self.checked(tally::NOTHING_HELD_BACK);
        Ok(())
    }

    fn is_held(&self, receipt: &Receipt) -> bool {
        let progress = self.model.progress.get(&(receipt.group, receipt.queue));
        let cell = progress.and_then(|progress| progress.cells.get(&receipt.offset));
        cell.is_some_and(|cell| cell.is_held(receipt.lease, self.now()))
    }

    fn settling(&self, receipts: &[Receipt]) -> Asked<'static> {
        let held = receipts.iter().filter(|receipt| self.is_held(receipt));
        let settles = held.map(|receipt| (receipt.group, receipt.queue, receipt.offset)).collect();
        Asked { settles, ..Asked::default() }
    }

    /// A call that is good exactly while the receipt is.
    fn settle<T: Unpin + 'static>(
        &mut self,
        what: &str,
        receipt: &Receipt,
        call: impl FnOnce(&Broker, &sluice_auth::Session) -> Result<Promise<T>>,
    ) -> Check<Option<Vec<Group>>> {
        let (held, asked) = (self.is_held(receipt), self.settling(std::slice::from_ref(receipt)));
        let done = call(&self.broker, &self.me);
        let groups = self.absorb(&asked)?;
        self.trace.note(format_args!("{what} {} {} {held}", receipt.queue, receipt.offset));
        match done {
            Ok(promise) if held => {
                self.promised(promise, &groups, Vec::new());
                Ok(Some(groups))
            }
            Ok(_) => Err(format!("{what} of {receipt:?} is accepted, but it is not held")),
            Err(error) => self.refused_settling(what, held, &error).map(|()| None),
        }
    }

    fn refused_settling(&mut self, what: &str, held: bool, error: &Error) -> Check {
        let expected: &[ErrorKind] = if held { &[] } else { &[ErrorKind::ReceiptExpired] };
        self.refused(what, error, expected)
    }

    pub fn ack(&mut self, receipt: &Receipt) -> Check {
        self.settle("ack", receipt, |broker, me| broker.ack(me, &receipt.handle)).map(drop)
    }

    /// Several at once, each of which is settled if it is held, the first time that it is named.
    pub fn ack_all(&mut self, receipts: &[Receipt]) -> Check {
        let mut named = BTreeSet::new();
        let mut is_first = |r: &Receipt| named.insert((r.group, r.queue, r.offset));
        let held: Vec<bool> = receipts.iter().map(|r| self.is_held(r) && is_first(r)).collect();
        let asked = self.settling(receipts);
        let handles: Vec<_> = receipts.iter().map(|receipt| receipt.handle.clone()).collect();
        let done = self.broker.ack_all(&self.me, &handles);
        let groups = self.absorb(&asked)?;
        self.trace.note(format_args!("ack all {held:?}"));
        let promise = match done {
            Ok(promise) => promise,
            Err(error) => return self.refused("ack all", &error, &[]),
        };
        let told = promise.preview().into_iter().flatten();
        let told: Vec<_> = told.map(|outcome| outcome.as_ref().map_err(Error::kind).copied()).collect();
        let expected = |held: bool| if held { Ok(()) } else { Err(ErrorKind::ReceiptExpired) };
        if !told.iter().copied().eq(held.iter().copied().map(expected)) {
            return Err(format!("{told:?} of {receipts:?}, which are held: {held:?}"));
        }
        if held.contains(&true) {
            self.promised(promise, &groups, Vec::new());
        }
        Ok(())
    }

    pub fn nack(&mut self, receipt: &Receipt, delay: Option<Duration>) -> Check {
        self.settle("nack", receipt, |broker, me| broker.nack(me, &receipt.handle, delay)).map(drop)
    }

    pub fn release(&mut self, receipt: &Receipt) -> Check {
        self.settle("release", receipt, |broker, me| broker.release(me, &receipt.handle)).map(drop)
    }

    /// Extends a lease; the receipt that is good from now on.
    pub fn extend(&mut self, receipt: &Receipt, lease: Duration) -> Check {
        let mut new = None;
        let done = self.settle("extend", receipt, |broker, me| {
            let promise = broker.change_invisible(me, &receipt.handle, lease)?;
            new = promise.preview().map(|extended| extended.receipt.clone());
            Ok(promise)
        })?;
        let number = done.iter().flatten().flat_map(|group| &group.items).find_map(|item| match item {
            crate::spy::Item::State { bytes, .. } => match crate::record::Rec::decode(bytes) {
                Some(crate::record::Rec::Extended { lease, .. }) => Some(lease),
                _ => None,
            },
            crate::spy::Item::Message { .. } | crate::spy::Item::Batch { .. } => None,
        });
        if let (Some(handle), Some(lease)) = (new, number) {
            self.receipts.push(Receipt { handle, lease, ..receipt.clone() });
        }
        Ok(())
    }

    /// A call that ends when what it appended is safe.
    pub fn begin_call<T: 'static>(
        &mut self,
        what: &str,
        asked: &Asked<'_>,
        call: impl Future<Output = Result<T>> + 'static,
        expected: &[ErrorKind],
    ) -> Check {
        self.ends_at_once(what, asked, call, expected).map(drop)
    }

    /// The same; whether the call has ended well already.
    pub fn ends_at_once<T: 'static>(
        &mut self,
        what: &str,
        asked: &Asked<'_>,
        call: impl Future<Output = Result<T>> + 'static,
        expected: &[ErrorKind],
    ) -> Check<bool> {
        let mut call = Box::pin(async move { call.await.map(drop) });
        let outcome = poll(call.as_mut());
        let groups = self.absorb(asked)?;
        self.trace.note(format_args!("{what}"));
        match outcome {
            None => self.awaited(call, &groups, Vec::new()),
            Some(Ok(())) => return Ok(true),
            Some(Err(error)) => self.refused(what, &error, expected)?,
        }
        Ok(false)
    }

    pub fn dead_letter(&mut self, receipt: &Receipt) -> Check {
        let held = self.is_held(receipt);
        let expected: &[ErrorKind] = if held {
            &[ErrorKind::MessageNotFound]
        } else {
            &[ErrorKind::ReceiptExpired, ErrorKind::MessageNotFound]
        };
        let (broker, me, handle) = (self.broker.clone(), self.me.clone(), receipt.handle.clone());
        let call = async move { broker.dead_letter(&me, &handle, "the simulation wants it").await };
        let asked = self.settling(std::slice::from_ref(receipt));
        self.begin_call("dead letter", &asked, call, expected)
    }

    pub fn send_back(&mut self, group: &GroupName, locator: u64, delay: Option<Duration>) -> Check {
        let (broker, me, group) = (self.broker.clone(), self.me.clone(), group.clone());
        let call = async move { broker.send_back(&me, &group, locator, delay, None).await };
        let expected = [ErrorKind::MessageNotFound, ErrorKind::GroupNotFound];
        self.begin_call("send back", &Asked::default(), call, &expected)
    }

    pub fn commit_offset(
        &mut self,
        group: &GroupName,
        topic: &TopicName,
        queue: QueueId,
        offset: Offset,
    ) -> Check {
        let done = self.broker.commit_offset(&self.me, group, topic, queue, offset);
        let groups = self.absorb(&Asked { moves: true, ..Asked::default() })?;
        match done {
            Ok(promise) => {
                self.promised(promise, &groups, Vec::new());
                Ok(())
            }
            Err(error) => self.refused("commit", &error, &[ErrorKind::TopicNotFound]),
        }
    }

    pub fn reset(&mut self, group: &GroupName, topic: &TopicName, to: StartAt) -> Check {
        let (broker, me, group, topic) = (self.broker.clone(), self.me.clone(), group.clone(), topic.clone());
        let call = async move { broker.reset_offsets(&me, &group, &topic, to, false).await };
        let asked = Asked { moves: true, ..Asked::default() };
        let expected = [ErrorKind::TopicNotFound, ErrorKind::GroupNotFound];
        self.begin_call("reset", &asked, call, &expected)
    }

    /// Fires what is due. What was appended is written first: a timer cannot fire before its record is.
    pub fn fire(&mut self) -> Check {
        for _ in 0..1000 {
            while self.spy.log.keep_files() {}
            self.commit()?;
            if self.is_down() {
                return Ok(());
            }
            let broker = self.broker.clone();
            let fired = now(broker.fire_due())?;
            self.absorb(&Asked::default())?;
            match fired {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.refused("fire", &error, &[])?;
                    if error.kind() == ErrorKind::StorageFull {
                        return Ok(());
                    }
                }
            }
        }
        Err("timers never come to an end".to_owned())
    }
}
