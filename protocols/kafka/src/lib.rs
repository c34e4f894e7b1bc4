//! Kafka: the wire that streams are read and written by.
//!
//! It turns requests into verbs of [`sluice_broker::Broker`], so that a Kafka topic is a topic of every other wire, with
//! the same offsets. The one idea to know: an API is a row of a table (`api`): its key, its versions, the shape of its
//! request and an async function from the decoded request to the response; header, bounds, order and errors are the
//! connection's (`session`), the same for every row.
//!
//! - `codec` — bytes to requests and responses to bytes; `shape` — no count is believed before it is counted
//! - `session` — one connection's state, from its first request to its end; `client` — what a handler sees of it
//! - `handlers` — one file per request; `groups` — the requests of consumer groups; `access` — permissions and quotas
//! - `transactions` — producers with names
//! - `batch` — record batches, our own reader and writer; `packed` — how they are kept; `taken` — how they are handed out
//! - `convert`, `names`, `errors`, `topic_ids` — to and from the model
//! - `config`
//!
//! There is no message rule here (broker), no socket and no TLS (net).

mod access;
mod api;
mod batch;
mod client;
mod codec;
mod config;
mod convert;
mod counts;
mod errors;
mod groups;
mod handlers;
mod names;
mod packed;
mod pieces;
#[cfg(test)]
mod real_batches;
mod session;
mod shape;
mod taken;
mod topic_ids;
mod transactions;

pub use batch::count_records;
pub use config::Config;
pub use groups::GroupLimits;
pub use packed::KafkaBatches;

use client::Wire;
use sluice_broker::Broker;
use sluice_net::{Advertised, BoxFuture, Connection, Detect, Drain, Order, Protocol, serve_framed};
use std::sync::Arc;

/// The front-end.
pub struct Kafka {
    wire: Arc<Wire>,
}

impl Kafka {
    /// A front-end to this broker; clients are told to connect to `advertised`.
    pub fn new(broker: Broker, mut config: Config, advertised: Arc<Advertised>) -> Self {
        // The decoder refuses first; the loop's own guard must not come before it.
        let frame = config.max_request.bytes().saturating_add(64 << 10);
        config.connection.max_frame = config.connection.max_frame.max(frame);
        broker.know_batches(Arc::new(KafkaBatches));
        Self { wire: Arc::new(Wire::new(broker, config, advertised)) }
    }
}

impl Kafka {
    /// What groups need to go on while nobody asks them for anything: the time. Runs until it is dropped.
    pub fn duty(&self) -> impl Future<Output = ()> + Send + 'static {
        let wire = Arc::clone(&self.wire);
        async move { wire.groups.run().await }
    }
}

impl Protocol for Kafka {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn detect(&self, prefix: &[u8]) -> Detect {
        codec::detect(prefix)
    }

    fn serve(self: Arc<Self>, conn: Connection, drain: Drain) -> BoxFuture<'static, ()> {
        let limits = self.wire.config.connection.clone();
        let session = session::KafkaSession::new(Arc::clone(&self.wire), &conn);
        Box::pin(serve_framed(conn, session, Order::InOrder, limits, drain))
    }
}
