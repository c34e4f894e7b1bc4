//! [`Promise`]: an answer that becomes true when the log says so.

use sluice_auth::Place;
use sluice_model::Result;
use sluice_store::Done;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The answer of a verb that was carried out at once and becomes true when the log says so.
///
/// The request is already in the log, in call order, when the verb returns: await promises later and together, and
/// many requests share one sync. Dropping a promise does not undo anything.
#[must_use = "the answer may be given only when the promise resolves"]
pub struct Promise<T> {
    done: Option<Done>,
    /// What else the answer has to wait for.
    held: Option<Held>,
    value: Option<T>,
    /// Given back when the answer has been taken.
    place: Option<Place>,
}

/// Ends when an answer may be given that is true already.
pub(crate) type Held = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<T> Promise<T> {
    pub(crate) fn new(done: Done, value: T) -> Self {
        Self { done: Some(done), held: None, value: Some(value), place: None }
    }

    /// An answer that is true already.
    pub(crate) fn kept(value: T) -> Self {
        Self { done: None, held: None, value: Some(value), place: None }
    }

    /// Held back, when there is something to wait for.
    pub(crate) fn held_by(self, held: Option<Held>) -> Self {
        Self { held, ..self }
    }

    /// Keeps the request's place among those at once until it is answered.
    pub(crate) fn holding(self, place: Option<Place>) -> Self {
        Self { place, ..self }
    }

    /// What the answer will be. It may be used to prepare a reply, not to give it.
    pub fn preview(&self) -> Option<&T> {
        self.value.as_ref()
    }
}

impl<T: Unpin> Future for Promise<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(done) = &mut self.done {
            let outcome = ready!(Pin::new(done).poll(cx));
            self.done = None;
            outcome?;
        }
        if let Some(held) = &mut self.held {
            ready!(held.as_mut().poll(cx));
            self.held = None;
        }
        self.place = None;
        match self.value.take() {
            Some(value) => Poll::Ready(Ok(value)),
            None => Poll::Ready(Err(sluice_model::Error::internal("a promise was awaited twice"))),
        }
    }
}
