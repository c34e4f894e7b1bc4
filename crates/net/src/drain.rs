//! The signal "finish your work".
//!
//! Shutting down well means that nobody is cut off in mid-answer. The one idea to know: a [`Drain`] only tells; that
//! everyone has finished is known by the tracker in `network.rs`, which counts connection tasks.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Clonable; every connection holds one.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    token: CancellationToken,
    /// The same as the token says; a connection looks at it at every turn, and the token has a lock.
    given: Arc<Given>,
}

#[derive(Debug, Default)]
struct Given {
    own: AtomicBool,
    parent: Option<Arc<Given>>,
}

impl Given {
    fn is_given(&self) -> bool {
        self.own.load(Ordering::Acquire) || self.parent.as_ref().is_some_and(|parent| parent.is_given())
    }
}

impl Drain {
    /// A signal that has not been given.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells every holder to finish what is in flight and close.
    pub fn start(&self) {
        self.given.own.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Whether the signal was given.
    pub fn is_draining(&self) -> bool {
        self.given.is_given()
    }

    /// Resolves when the signal is given; at once if it was already.
    pub fn signaled(&self) -> Signaled {
        Signaled { drain: self.clone(), registered: None }
    }

    /// A signal of its own, which is given with this one too: for what may have to end alone.
    pub fn child(&self) -> Self {
        let given = Given { own: AtomicBool::new(false), parent: Some(Arc::clone(&self.given)) };
        Self { token: self.token.child_token(), given: Arc::new(given) }
    }
}

/// See [`Drain::signaled`]. A connection polls it at every turn, so a poll that has nothing new to say is two loads.
#[derive(Debug)]
pub struct Signaled {
    drain: Drain,
    /// Whoever is going to be woken already has no need of the token's lock.
    registered: Option<(Waker, Pin<Box<WaitForCancellationFutureOwned>>)>,
}

impl Future for Signaled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.drain.is_draining() {
            return Poll::Ready(());
        }
        if self.registered.as_ref().is_some_and(|(waker, _)| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        let mut cancelled = Box::pin(self.drain.token.clone().cancelled_owned());
        let pending = cancelled.as_mut().poll(cx);
        self.registered = Some((cx.waker().clone(), cancelled));
        pending
    }
}
