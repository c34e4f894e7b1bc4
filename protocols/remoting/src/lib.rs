//! The RocketMQ TCP protocol: name server and broker for stock clients.
//!
//! It exists so that RocketMQ clients work unchanged. The one idea to know: name server and broker are the same
//! [`Remoting`] value on two listeners; each answers every code, so a client does not notice that they are one process.
//!
//! - `codec` — bytes to frames and back; `record`, `properties`, `ids` — what is inside bodies and fields
//! - `codes` — the numbers; `errors` — which one a failure gets
//! - `session` — one connection; `auth` — who sent a request
//! - `handlers` — one file per command or family; `convert` — between the wire's message and the model's
//! - `clients` — who is connected, and questions to them
//! - `differing` — groups whose members want different things
//! - `meter`, `rates` — how much went out lately; `waiting` — who waits for leases; `resets` — consumers that were moved
//! - `popped` — receipts of messages that clients name by their place
//! - `checks` — questions for the outcome of transactions
//! - `node` — what all connections share; `response` — an answer before it is bytes
//!
//! Rules are not here (`broker`), nor sockets (`net`), nor which queues a topic has (`broker` and `namesrv`).

mod auth;
mod checks;
mod clients;
pub mod codec;
mod codes;
mod config;
mod convert;
mod differing;
mod errors;
mod handlers;
mod ids;
mod meter;
mod node;
mod popped;
mod properties;
mod rates;
mod record;
mod resets;
mod response;
mod session;
mod waiting;

#[cfg(test)]
mod tests;

pub use config::Config;

use futures_util::future::BoxFuture;
use node::Node;
use sluice_broker::Broker;
use sluice_net::{Advertised, Connection, Detect, Drain, Order, Protocol, serve_framed};
use std::sync::Arc;

/// The front-end. Mount the same value on the listeners of both roles.
pub struct Remoting {
    node: Arc<Node>,
}

impl Remoting {
    /// A front-end to this broker. `advertised` knows where clients reach the listener of the broker role: routes need
    /// it, because a client may ask at the other listener.
    pub fn new(broker: Broker, config: Config, advertised: Arc<Advertised>) -> Self {
        Self { node: Arc::new(Node::new(broker, config, advertised)) }
    }
}

impl Protocol for Remoting {
    fn name(&self) -> &'static str {
        "remoting"
    }

    fn detect(&self, prefix: &[u8]) -> Detect {
        detect(prefix)
    }

    fn serve(self: Arc<Self>, conn: Connection, drain: Drain) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let limits = self.node.config.connection.clone();
            let session = session::RemotingSession::new(Arc::clone(&self.node), &conn);
            serve_framed(conn, session, Order::AnyOrder, limits, drain).await;
        })
    }
}

/// A frame begins with its length, below 16 MiB, and a header word whose header fits in it. JSON headers begin with a
/// brace; Kafka, whose frames begin with a length too, has there a byte of its correlation number, and never a 1 in
/// the fifth byte.
fn detect(prefix: &[u8]) -> Detect {
    if prefix.first().is_some_and(|b| *b != 0) || prefix.get(4).is_some_and(|b| *b > 1) {
        return Detect::No;
    }
    let Some((words, rest)) = prefix.split_first_chunk::<8>() else { return Detect::More };
    let length = u32::from_be_bytes([words[0], words[1], words[2], words[3]]);
    let header = u32::from_be_bytes([0, words[5], words[6], words[7]]);
    if header.saturating_add(4) > length {
        return Detect::No;
    }
    match (words[4], rest.first()) {
        (1, _) | (0, Some(b'{')) => Detect::Yes,
        (0, None) => Detect::More,
        _ => Detect::No,
    }
}
