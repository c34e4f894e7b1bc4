//! The threads that carry connections.
//!
//! A hop between cores costs more than a request's own work, so nothing moves: each reactor is one thread with a
//! single-threaded runtime, and a connection lives and dies on one of them. The one idea to know: there is no work
//! stealing; the acceptor deals connections out in turn.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

use crate::Error;

/// After `stop`, work on the blocking pool (a file read, a password hash) may take so long to end.
const BLOCKING_GRACE: Duration = Duration::from_secs(1);

/// A fixed set of single-threaded runtimes, each on its own thread.
pub struct Reactors {
    handles: Vec<Handle>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    stop: CancellationToken,
    next: AtomicUsize,
}

impl Reactors {
    /// Starts `count` reactors; 0 means one for each core.
    pub fn start(count: usize) -> Result<Self, Error> {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let count = if count == 0 { cores() } else { count };
        let stop = CancellationToken::new();
        let mut handles = Vec::with_capacity(count);
        let mut threads = Vec::with_capacity(count);
        for index in 0..count {
            let (handle, thread) = start_one(index, stop.clone()).map_err(Error::Reactor)?;
            handles.push(handle);
            threads.push(thread);
        }
        Ok(Self { handles, threads: Mutex::new(threads), stop, next: AtomicUsize::new(0) })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    /// Runs a future on the reactor whose turn it is.
    pub fn spawn_on_any(&self, future: impl Future<Output = ()> + Send + 'static) {
        if let Some(handle) = self.next() {
            handle.spawn(future);
        }
    }

    /// Runs one future on every reactor; `make` is given the reactor's number.
    pub fn spawn_on_each<F: Future<Output = ()> + Send + 'static>(&self, mut make: impl FnMut(usize) -> F) {
        for (index, handle) in self.handles.iter().enumerate() {
            handle.spawn(make(index));
        }
    }

    /// The reactor whose turn it is.
    pub fn next(&self) -> Option<&Handle> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.handles.get(turn.checked_rem(self.handles.len())?)
    }

    /// Ends every reactor and waits for its thread; what still runs there is dropped.
    pub fn stop(&self) {
        self.stop.cancel();
        let this_thread = thread::current().id();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.thread().id() != this_thread && thread.join().is_err() {
                tracing::error!("a reactor thread panicked");
            }
        }
    }
}

impl Drop for Reactors {
    fn drop(&mut self) {
        self.stop.cancel(); // does not wait: the last handle may be dropped on a reactor
    }
}

fn start_one(index: usize, stop: CancellationToken) -> io::Result<(Handle, JoinHandle<()>)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let thread = thread::Builder::new().name(format!("reactor-{index}")).spawn(move || {
        runtime.block_on(stop.cancelled());
        runtime.shutdown_timeout(BLOCKING_GRACE);
    })?;
    Ok((handle, thread))
}
