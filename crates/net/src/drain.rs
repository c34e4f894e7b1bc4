//! The signal "finish your work".
//!
//! Shutting down well means that nobody is cut off in mid-answer. The one idea to know: a [`Drain`] only tells; that
//! everyone has finished is known by the tracker in `network.rs`, which counts connection tasks.

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Clonable; every connection holds one.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    token: CancellationToken,
}

impl Drain {
    /// A signal that has not been given.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells every holder to finish what is in flight and close.
    pub fn start(&self) {
        self.token.cancel();
    }

    /// Whether the signal was given.
    pub fn is_draining(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves when the signal is given; at once if it was already.
    pub async fn signaled(&self) {
        self.token.cancelled().await;
    }

    /// A signal of its own, which is given with this one too: for what may have to end alone.
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token() }
    }

    pub(crate) fn signaled_owned(&self) -> WaitForCancellationFutureOwned {
        self.token.clone().cancelled_owned()
    }
}
