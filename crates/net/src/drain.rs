//! The signal "finish your work".
//!
//! Shutting down well means that nobody is cut off in mid-answer. The one idea to know: a [`Drain`] only tells; that
//! everyone has finished is known by the tracker in `network.rs`, which counts connection tasks.

use futures_util::future::BoxFuture;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use tokio_util::sync::CancellationToken;

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
    pub async fn signaled(&self) {
        let mut cancelled = pin!(self.token.cancelled());
        let mut registered: Option<Waker> = None;
        poll_fn(|cx| {
            if self.is_draining() {
                return Poll::Ready(());
            }
            // Whoever is going to be woken already has no need of the lock.
            if registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            registered = Some(cx.waker().clone());
            cancelled.as_mut().poll(cx)
        })
        .await;
    }

    /// A signal of its own, which is given with this one too: for what may have to end alone.
    pub fn child(&self) -> Self {
        let given = Given { own: AtomicBool::new(false), parent: Some(Arc::clone(&self.given)) };
        Self { token: self.token.child_token(), given: Arc::new(given) }
    }

    pub(crate) fn signaled_owned(&self) -> BoxFuture<'static, ()> {
        let drain = self.clone();
        Box::pin(async move { drain.signaled().await })
    }
}
