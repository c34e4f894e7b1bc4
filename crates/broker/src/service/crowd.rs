//! Holding back who sends delayed messages faster than they can be put aside.
//!
//! It exists so that a flood of them does not fill the memory. The one idea to know: such a message is taken and durable
//! as always, only its acknowledgement waits, so a sender that waits for it goes on as fast as messages are put aside.

use crate::promise::Held;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// So many more than what cannot be put aside may wait in memory before senders are held back.
const MOST: usize = 196_608;
/// An acknowledgement is held back no longer, whatever happens.
const LONGEST: Duration = Duration::from_secs(1);

/// How many delayed messages wait in memory, and whether that is about to change.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    waiting: AtomicUsize,
    /// What was left when all had been put aside that could be.
    near: AtomicUsize,
    moving: AtomicBool,
    room: Notify,
}

impl Crowd {
    /// So many wait in memory now.
    pub(super) fn is(&self, waiting: usize) {
        self.waiting.store(waiting, Ordering::Relaxed);
        self.near.fetch_min(waiting, Ordering::Relaxed);
        if !self.is_large() {
            self.room.notify_waiters();
        }
    }

    fn is_large(&self) -> bool {
        let far = self.waiting.load(Ordering::Relaxed).saturating_sub(self.near.load(Ordering::Relaxed));
        far > MOST && self.moving.load(Ordering::Relaxed)
    }

    /// They are being put aside until what this returns is dropped; nothing when they are already.
    pub(super) fn move_on(&self) -> Option<Moving<'_>> {
        (!self.moving.swap(true, Ordering::SeqCst)).then(|| Moving(self))
    }

    /// What an acknowledgement has to wait for, if it has to.
    pub(super) fn held(self: &Arc<Self>) -> Option<Held> {
        self.is_large().then(|| {
            let crowd = Arc::clone(self);
            let held: Held = Box::pin(async move {
                let _ = timeout(LONGEST, crowd.has_room()).await; // long enough
            });
            held
        })
    }

    async fn has_room(&self) {
        loop {
            let told = self.room.notified();
            if !self.is_large() {
                return;
            }
            told.await;
        }
    }
}

/// Ends with whoever puts aside, also when that is given up in the middle.
pub(super) struct Moving<'a>(&'a Crowd);

impl Moving<'_> {
    /// All have been put aside that can be: so many are left.
    pub(super) fn left(&self, near: usize) {
        self.0.near.store(near, Ordering::Relaxed);
    }
}

impl Drop for Moving<'_> {
    fn drop(&mut self) {
        self.0.moving.store(false, Ordering::SeqCst);
        self.0.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Waker};

    fn is_over(held: &mut Held) -> bool {
        held.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn an_acknowledgement_waits_while_many_are_being_put_aside_and_no_longer() {
        let crowd = Arc::new(Crowd::default());
        crowd.is(MOST + 10);
        assert!(crowd.held().is_none(), "nobody puts them aside");
        let moving = crowd.move_on().unwrap();
        assert!(crowd.move_on().is_none(), "once at a time");
        let mut held = crowd.held().unwrap();
        assert!(!is_over(&mut held));
        crowd.is(MOST + 1);
        assert!(!is_over(&mut held));
        crowd.is(MOST);
        assert!(is_over(&mut held) && crowd.held().is_none());
        crowd.is(MOST + 10);
        let mut held = crowd.held().unwrap();
        assert!(!is_over(&mut held));
        moving.left(10);
        drop(moving);
        assert!(is_over(&mut held));
        // What is near does not count the next time.
        let _moving = crowd.move_on().unwrap();
        assert!(crowd.held().is_none());
        crowd.is(MOST + 11);
        crowd.held().unwrap().await; // a second of the paused clock
    }
}
