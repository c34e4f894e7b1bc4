//! Requests whose answers are not there yet, bounded by count and by bytes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, FuturesUnordered, Stream};

use super::{FramedLimits, Order, Reply};

pub(super) struct InFlight {
    /// The oldest one, when it came while nothing else was under way: most clients ask one thing at a time, and a set
    /// of futures needs memory and wakers of its own for each.
    first: Option<Work>,
    answers: Answers,
    count: usize,
    bytes: usize,
    max_count: usize,
    max_bytes: usize,
    /// A request that must be done before the next is handled is among them.
    barrier: bool,
}

enum Answers {
    InOrder(FuturesOrdered<Work>),
    AnyOrder(FuturesUnordered<Work>),
}

/// One request under way; resolves to its answer.
struct Work {
    cost: usize,
    barrier: bool,
    answer: Answer,
}

enum Answer {
    /// Known already, but it must not overtake earlier ones.
    Ready(Option<Reply>),
    Pending(BoxFuture<'static, Reply>),
}

impl Future for Work {
    type Output = (usize, bool, Reply);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = match &mut self.answer {
            Answer::Ready(reply) => reply.take().unwrap_or_else(Reply::nothing),
            Answer::Pending(future) => ready!(future.as_mut().poll(cx)),
        };
        Poll::Ready((self.cost, self.barrier, reply))
    }
}

impl InFlight {
    pub(super) fn new(order: Order, limits: &FramedLimits) -> Self {
        let answers = match order {
            Order::InOrder => Answers::InOrder(FuturesOrdered::new()),
            Order::AnyOrder => Answers::AnyOrder(FuturesUnordered::new()),
        };
        Self {
            first: None,
            answers,
            count: 0,
            bytes: 0,
            max_count: limits.max_in_flight.max(1),
            max_bytes: limits.max_in_flight_bytes.max(1),
            barrier: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether another request may start.
    pub(super) fn has_room(&self) -> bool {
        !self.barrier && self.count < self.max_count && self.bytes < self.max_bytes
    }

    pub(super) fn push_pending(&mut self, cost: usize, future: BoxFuture<'static, Reply>, barrier: bool) {
        self.barrier |= barrier;
        self.push(Work { cost, barrier, answer: Answer::Pending(future) });
    }

    /// Gives the answer back if it may be written at once, else queues it behind earlier ones.
    pub(super) fn push_ready(&mut self, cost: usize, reply: Reply) -> Option<Reply> {
        if self.is_empty() || matches!(self.answers, Answers::AnyOrder(_)) {
            return Some(reply);
        }
        self.push(Work { cost, barrier: false, answer: Answer::Ready(Some(reply)) });
        None
    }

    fn push(&mut self, work: Work) {
        self.count += 1;
        self.bytes += work.cost;
        if self.count == 1 {
            self.first = Some(work);
            return;
        }
        match &mut self.answers {
            // All of them make progress, whatever the order of their answers.
            Answers::InOrder(answers) => answers.extend(self.first.take().into_iter().chain([work])),
            Answers::AnyOrder(answers) => answers.push(work),
        }
    }

    /// The next answer that may be written; pending also when nothing is in flight.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Reply> {
        if self.is_empty() {
            return Poll::Pending;
        }
        let Some((cost, barrier, reply)) = ready!(self.poll_any(cx)) else { return Poll::Pending };
        self.count -= 1;
        self.bytes -= cost;
        self.barrier &= !barrier; // there is never more than one: nothing is handled behind it
        Poll::Ready(reply)
    }

    fn poll_any(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, bool, Reply)>> {
        if let Some(first) = &mut self.first
            && let Poll::Ready(done) = Pin::new(first).poll(cx)
        {
            self.first = None;
            return Poll::Ready(Some(done));
        }
        match &mut self.answers {
            Answers::InOrder(answers) => Pin::new(answers).poll_next(cx),
            Answers::AnyOrder(answers) => Pin::new(answers).poll_next(cx),
        }
    }

    /// Forgets every answer; in order, nothing may follow one that closes.
    pub(super) fn abandon_if_in_order(&mut self) {
        if let Answers::InOrder(answers) = &mut self.answers {
            *answers = FuturesOrdered::new();
            self.first = None;
            (self.count, self.bytes, self.barrier) = (0, 0, false);
        }
    }
}
