//! Requests whose answers are not there yet, bounded by count and by bytes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, FuturesUnordered, Stream};

use super::{FramedLimits, Order, Reply};

pub(super) struct InFlight {
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
        match &mut self.answers {
            Answers::InOrder(answers) => answers.push_back(work),
            Answers::AnyOrder(answers) => answers.push(work),
        }
    }

    /// The next answer that may be written; pending also when nothing is in flight.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Reply> {
        if self.is_empty() {
            return Poll::Pending;
        }
        let next = match &mut self.answers {
            Answers::InOrder(answers) => Pin::new(answers).poll_next(cx),
            Answers::AnyOrder(answers) => Pin::new(answers).poll_next(cx),
        };
        match next {
            Poll::Ready(Some((cost, barrier, reply))) => {
                self.count -= 1;
                self.bytes -= cost;
                self.barrier &= !barrier; // there is never more than one: nothing is handled behind it
                Poll::Ready(reply)
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Forgets every answer; in order, nothing may follow one that closes.
    pub(super) fn abandon_if_in_order(&mut self) {
        if let Answers::InOrder(answers) = &mut self.answers {
            *answers = FuturesOrdered::new();
            (self.count, self.bytes, self.barrier) = (0, 0, false);
        }
    }
}
