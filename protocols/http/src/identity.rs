//! Whose connection this is, and that it ends when they may not have it any longer.
//!
//! Every request proves itself, so a connection that rests could stay; but a client whose user is gone should find out,
//! and a request that is under way must not outlast its user. The one idea to know: a connection that carries requests
//! of several users is a proxy's, and is left alone; each of its requests is judged by itself.
//!
//! What waits for the end of one request's session, a stream or a long poll, is `Call::revoked`.

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use sluice_auth::Session;
use sluice_broker::{Broker, SessionWatch};
use sluice_model::Result;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// That the connection must end: for the one task that carries it.
#[derive(Default)]
struct Over {
    told: AtomicBool,
    task: AtomicWaker,
}

impl Over {
    fn tell(&self) {
        self.told.store(true, Ordering::Release);
        self.task.wake();
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.task.register(cx.waker());
        if self.told.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// One connection's.
#[derive(Default)]
pub struct Identity {
    /// Its number in the list of open connections, when it is there.
    connection: Option<u64>,
    seen: Mutex<Seen>,
    over: Arc<Over>,
}

#[derive(Default)]
enum Seen {
    #[default]
    Nobody,
    One(Box<SessionWatch>),
    Several,
}

impl Identity {
    /// Of the connection with this number.
    pub fn of(connection: Option<u64>) -> Self {
        Self { connection, ..Self::default() }
    }

    /// A request of this session has come.
    ///
    /// # Errors
    /// `Throttled` when its user has as many connections as it may.
    pub fn acts_as(&self, broker: &Broker, session: &Session) -> Result<()> {
        if session.is_anonymous() {
            return Ok(());
        }
        let mut seen = self.seen.lock();
        if matches!(*seen, Seen::Nobody) {
            *seen = Seen::One(Box::new(SessionWatch::of(self.connection)));
        }
        let Seen::One(watch) = &mut *seen else { return Ok(()) };
        if watch.session().is_some_and(|known| known.principal() != session.principal()) {
            *seen = Seen::Several;
        } else if watch.is_news(session) {
            let over = Arc::clone(&self.over);
            watch.follow(broker, session, move || over.tell())?;
        }
        Ok(())
    }

    /// Resolves when the connection must end.
    pub async fn over(&self) {
        poll_fn(|cx| self.over.poll(cx)).await;
    }
}
