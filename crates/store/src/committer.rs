//! Committing on the thread that appends: [`Committer`].
//!
//! Handing a group to the log's thread and being woken by it costs two hops between cores, which at few requests in
//! flight is more than all the rest. The one idea to know: a thread that runs tasks can be the writer for a moment. Its
//! committer is a task like any other; the first append of a turn makes it ready, so it runs behind all tasks that were
//! ready then, and commits what they appended together.
//!
//! It leaves to the log's thread what would hold the other tasks up: all but small groups, the step to the next segment, and
//! everything while the disk is slow. It never waits for someone else who commits, but comes again when that one is done. Of
//! several who would, one comes: what it commits is what all of them have appended.

use crate::shared::Shared;
use crate::staging::{Phase, Staging};
use crate::writer::Writer;
use parking_lot::Mutex;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

/// The most bytes that are committed here. With few requests in flight the hops between cores are most of the time; when
/// more wait, the thread has other work to do while another one syncs. Measured on two cores with 64 requests in flight:
/// up to here nothing is lost against the log's thread, from 16 KiB on it is.
const MOST: usize = 4 << 10;
/// When so many bytes wait already, the log's thread begins with them before the turn has ended.
const ENOUGH: usize = 64 << 10;

thread_local! {
    /// The committer that runs on this thread.
    static HERE: RefCell<Option<Here>> = const { RefCell::new(None) };
}

struct Here {
    shared: Arc<Shared>,
    waker: Waker,
    /// It is ready to run already.
    woken: Cell<bool>,
}

/// Whether what this thread appends, and `pending` bytes with it, waits for its own committer, which is woken then.
pub(crate) fn commits_here(shared: &Arc<Shared>, pending: usize) -> bool {
    if pending > ENOUGH {
        return false;
    }
    // A thread that is ending has no committer any more.
    let commits = HERE.try_with(|here| match &*here.borrow() {
        Some(here) if Arc::ptr_eq(&here.shared, shared) && !shared.is_slow.load(Ordering::Relaxed) => {
            if !here.woken.replace(true) {
                here.waker.wake_by_ref();
            }
            true
        }
        _ => false,
    });
    commits.unwrap_or(false)
}

/// See the module and `Log::committer`.
pub(crate) struct Committer {
    shared: Arc<Shared>,
    writer: Arc<Mutex<Writer>>,
}

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>, writer: Arc<Mutex<Writer>>) -> Self {
        Self { shared, writer }
    }

    /// Commits, or lets the log's thread do it, or comes again when the writer is free.
    fn commit(&self, waker: &Waker) {
        {
            let mut staging = self.shared.staging.lock();
            if !staging.has_work() {
                return;
            }
            if !self.may_commit(&staging) {
                return self.shared.wake_writer(&mut staging);
            }
        }
        if self.try_commit() {
            return;
        }
        *self.shared.next_writer.lock() = Some(waker.clone());
        // It may have become free before anyone could know of us.
        self.try_commit();
    }

    fn may_commit(&self, staging: &Staging) -> bool {
        staging.phase == Phase::Open
            && staging.pending <= MOST
            && staging.staged.rolls.is_empty()
            && !self.shared.is_slow.load(Ordering::Relaxed)
    }

    fn try_commit(&self) -> bool {
        let committed = self.writer.try_lock().map(|mut writer| writer.turn_here()).is_some();
        if committed {
            self.shared.writer_is_free();
        }
        committed
    }
}

impl Future for Committer {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let woken = Cell::new(false);
        let here = Here { shared: Arc::clone(&self.shared), waker: cx.waker().clone(), woken };
        HERE.with(|place| place.replace(Some(here)));
        self.commit(cx.waker());
        Poll::Pending
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        let _ = HERE.try_with(|here| {
            let mut here = here.borrow_mut();
            if here.as_ref().is_some_and(|here| Arc::ptr_eq(&here.shared, &self.shared)) {
                *here = None;
            }
        });
        // What this thread appended and has not committed is for the log's thread now.
        self.shared.wake_writer(&mut self.shared.staging.lock());
    }
}
