//! The wires, and the one list of them by name.

mod bare;
mod http;
mod kafka;
mod kafka_batch;
mod remoting;
mod remoting_read;
mod stomp;

pub use bare::Bare;
pub use http::{Http, http_length};
pub use kafka::{KafkaFetch, KafkaProduce, create_topic_request};
pub use remoting::Remoting;
pub use remoting_read::{PopAck, Pull};
pub use stomp::{Stomp, StompCycle};

use crate::{Result, Wire};
use std::time::UNIX_EPOCH;

/// What a wire may be told beside its name.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Messages of one request, where a request has several.
    pub batch: usize,
    /// Queues of the topic, where the wire says to which it goes.
    pub queues: u32,
    /// Groups that read, each with connections of its own.
    pub groups: usize,
}

/// Every wire by its name.
pub const NAMES: [&str; 9] = [
    "remoting",
    "remoting-pull",
    "remoting-pop",
    "http",
    "stomp",
    "stomp-cycle",
    "kafka",
    "kafka-fetch",
    "bare",
];

/// When a request is made, as clients say it: the same request is sent for a few seconds, so the time of making it is not far
/// from that of sending it.
fn born() -> u128 {
    UNIX_EPOCH.elapsed().unwrap_or_default().as_millis()
}

/// The wire of this name.
pub fn named(name: &str, options: Options) -> Result<Box<dyn Wire>> {
    let Options { batch, queues, groups } = options;
    Ok(match name {
        "remoting" => Box::new(Remoting),
        "remoting-pull" => Box::new(Pull { queues, groups }),
        "remoting-pop" => Box::new(PopAck),
        "http" => Box::new(Http),
        "stomp" => Box::new(Stomp),
        "stomp-cycle" => Box::new(StompCycle),
        "kafka" => Box::new(KafkaProduce { batch, queues }),
        "kafka-fetch" => Box::new(KafkaFetch { queues }),
        "bare" => Box::new(Bare),
        _ => return Err(format!("there is no wire {name:?}; there are: {}", NAMES.join(" ")).into()),
    })
}
