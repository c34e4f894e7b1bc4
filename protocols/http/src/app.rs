//! What every request shares: the broker, the settings, and the places under the limits.

use crate::Config;
use crate::attempts::Attempts;
use crate::errors::{Code, Problem};
use crate::mqhttp::MqState;
use crate::replies::Replies;
use crate::stream_credit::Credits;
use crate::websocket::Mounted;
use bytestring::ByteString;
use metrics_exporter_prometheus::PrometheusHandle;
use parking_lot::Mutex;
use sluice_broker::Broker;
use sluice_net::Protocol;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Body memory is counted in pieces of this many bytes, so that any configured size fits a semaphore.
pub(crate) const MEMORY_UNIT: usize = 1024;

/// Shared by every connection of the front-end.
pub struct App {
    pub broker: Broker,
    pub config: Config,
    pub metrics: PrometheusHandle,
    /// Memory for request bodies, in units of [`MEMORY_UNIT`].
    pub body_memory: Arc<Semaphore>,
    /// Un-acked deliveries of group streams.
    pub credits: Credits,
    /// Calls that wait for a reply.
    pub replies: Replies,
    /// Changes of what has entity tags take turns.
    pub changes: Semaphore,
    /// Answers to receives that may be asked for again.
    pub attempts: Attempts,
    /// What the program was built from, once it is told.
    pub commit: OnceLock<&'static str>,
    /// What the cloud's protocol remembers.
    pub mq: MqState,
    /// A wire that is spoken over WebSocket, once it is told.
    pub websocket: OnceLock<Mounted>,
    waiting: Mutex<Waiting>,
    /// When the front-end was made.
    pub started: u64,
    /// What our request ids begin with.
    id_prefix: String,
    requests: AtomicU64,
    /// Requests that are being answered.
    in_flight: AtomicUsize,
}

#[derive(Default)]
struct Waiting {
    total: usize,
    by_principal: HashMap<ByteString, usize>,
}

impl App {
    pub fn new(broker: Broker, config: Config, metrics: PrometheusHandle) -> Arc<Self> {
        let units = (config.max_body_memory.bytes() / MEMORY_UNIT).clamp(1, Semaphore::MAX_PERMITS);
        crate::counts::describe();
        let started = broker.now();
        let attempts = Attempts::new(config.max_attempts, config.max_attempt_bytes.bytes());
        Arc::new(Self {
            started,
            id_prefix: format!("{started:x}-"),
            mq: MqState::new(started),
            broker,
            config,
            metrics,
            body_memory: Arc::new(Semaphore::new(units)),
            credits: Credits::default(),
            replies: Replies::default(),
            changes: Semaphore::new(1),
            attempts,
            commit: OnceLock::new(),
            websocket: OnceLock::new(),
            waiting: Mutex::default(),
            requests: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
        })
    }

    /// The wire that connections to this path become WebSockets for.
    pub fn websocket_at(&self, path: &str) -> Option<&Arc<dyn Protocol>> {
        self.websocket.get().filter(|mounted| mounted.paths.contains(&path)).map(|mounted| &mounted.wire)
    }

    /// A request id of our own: when we started, and which request it is.
    pub fn request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let digits = (u64::BITS - (number | 1).leading_zeros()).div_ceil(4);
        // As long as it will be: what becomes a header's value is then not moved.
        let mut id = String::with_capacity(self.id_prefix.len() + digits as usize);
        id.push_str(&self.id_prefix);
        id.extend((0..digits).rev().filter_map(|n| char::from_digit((number >> (4 * n)) as u32 & 15, 16)));
        id
    }

    /// Counts a request until its answer begins; the guard goes with it, whatever becomes of it.
    pub fn in_flight(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// How many requests are being answered.
    pub fn requests_in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// A delivery was settled, by whichever call.
    pub fn settled(&self, handle: &ByteString) {
        self.credits.settled(handle);
        self.attempts.arrived(handle);
    }

    /// A place for a long poll or a stream, held while it lasts.
    pub fn wait_place(self: &Arc<Self>, principal: &ByteString) -> Result<WaitPlace, Problem> {
        let mut waiting = self.waiting.lock();
        let mine = waiting.by_principal.get(principal).copied().unwrap_or(0);
        if waiting.total >= self.config.max_waiting || mine >= self.config.max_waiting_per_principal {
            return Err(Problem::new(Code::RateLimited, "too many long polls and streams at once"));
        }
        waiting.total += 1;
        waiting.by_principal.insert(principal.clone(), mine + 1);
        drop(waiting);
        metrics::gauge!("sluice_http_waiting").increment(1.0);
        Ok(WaitPlace { app: Arc::clone(self), principal: principal.clone() })
    }

    /// Memory for `bytes` more of a request body.
    pub fn body_memory(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let units = u32::try_from(bytes.div_ceil(MEMORY_UNIT)).unwrap_or(u32::MAX);
        Arc::clone(&self.body_memory)
            .try_acquire_many_owned(units)
            .map_err(|_| Problem::new(Code::Overloaded, "too many request bodies at once"))
    }
}

/// One request that is being answered.
pub struct InFlight(Arc<App>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One long poll or stream; dropping it gives the place back.
pub struct WaitPlace {
    app: Arc<App>,
    principal: ByteString,
}

impl Drop for WaitPlace {
    fn drop(&mut self) {
        let mut waiting = self.app.waiting.lock();
        waiting.total -= 1;
        if let Some(mine) = waiting.by_principal.get_mut(&self.principal) {
            *mine -= 1;
            if *mine == 0 {
                waiting.by_principal.remove(&self.principal);
            }
        }
        drop(waiting);
        metrics::gauge!("sluice_http_waiting").decrement(1.0);
    }
}
