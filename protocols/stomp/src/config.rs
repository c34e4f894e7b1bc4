//! The settings of this front-end: every limit, its default and its reason.
//!
//! What every framed wire shares (pipelining, slow senders and readers) is [`FramedLimits`], nested as `connection`;
//! the largest body is the broker's largest message.

use serde::{Deserialize, Serialize};
use sluice_model::units::{ByteSize, Span};
use sluice_net::FramedLimits;

/// What can be set. Defaults in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long a client may take to send CONNECT [10s]: an idle stranger costs a descriptor.
    pub login_timeout: Span,
    /// The largest frame before login [64KiB]: strangers get little memory.
    pub max_frame_before_login: ByteSize,
    /// The longest header line [64KiB]; tokens and traces fit, novels do not.
    pub max_header_line: ByteSize,
    /// The largest head, all header lines together [256KiB].
    pub max_head: ByteSize,
    /// The most headers of one frame [200].
    pub max_headers: usize,
    /// The longest subscription, receipt or transaction id [4KiB]: ids are kept and echoed.
    pub max_id: ByteSize,
    /// The most subscriptions of one connection [1000]; each is a task.
    pub max_subscriptions: usize,
    /// Messages sent and not acknowledged per subscription, when the client does not say [1000, as in ActiveMQ].
    pub default_prefetch: usize,
    /// The most a client may ask for with `prefetch-count` [10000]; each costs about 150 bytes of memory.
    pub max_prefetch: usize,
    /// Temporary queues and topics of one connection [100]; one is enough for any number of questions.
    pub max_temporary: usize,
    /// What may wait in all temporary queues of one connection [4MiB]; beyond, the connection is closed, because
    /// whoever answers must not wait for whoever does not read.
    pub max_mail: ByteSize,
    /// Open transactions of one connection [16, as in RabbitMQ].
    pub max_transactions: usize,
    /// Frames in one transaction [10000]; the broker's own limit of an atomic group may be lower.
    pub max_transaction_frames: usize,
    /// Body bytes in one transaction [64MiB]; the broker's own limit of an atomic group may be lower.
    pub max_transaction_size: ByteSize,
    /// The shortest heart-beat interval that is agreed to [500ms]; shorter ones are raised to it.
    pub heartbeat_floor: Span,
    /// A client is given up after this many of its own intervals without a byte, in percent [200].
    pub heartbeat_tolerance: u32,
    /// NACKed messages come again at once after the first so many deliveries [3], then after `nack_delays`.
    pub nack_immediate: u32,
    /// Waits between further deliveries after NACK [1s, 5s, 10s, 30s, 1m]; the last one repeats.
    pub nack_delays: Vec<Span>,
    /// Queues of a topic made by naming `/queue/…` [1]: STOMP queues are expected to be strictly first in, first out.
    pub queue_width: u32,
    /// Subscribers of `/queue/X` skip what was sent to `/topic/X` by STOMP clients, and the other way round [true].
    pub isolate_kinds: bool,
    /// MESSAGE says, beside what the sender said, where the message stands and what its RocketMQ properties are
    /// (`rocketmq-queue-id`, `rocketmq-offset`, `rocketmq-tags`, `rocketmq-keys`, `delivery-count`) [false].
    pub expose_metadata: bool,
    /// How long a SEND waits while the broker says that it is too busy, before the client gets an ERROR [30s].
    pub throttle_patience: Span,
    /// Limits that every framed wire has.
    pub connection: FramedLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            login_timeout: Span::secs(10),
            max_frame_before_login: ByteSize::kib(64),
            max_header_line: ByteSize::kib(64),
            max_head: ByteSize::kib(256),
            max_headers: 200,
            max_id: ByteSize::kib(4),
            max_subscriptions: 1000,
            default_prefetch: 1000,
            max_prefetch: 10_000,
            max_temporary: 100,
            max_mail: ByteSize::mib(4),
            max_transactions: 16,
            max_transaction_frames: 10_000,
            max_transaction_size: ByteSize::mib(64),
            heartbeat_floor: Span::millis(500),
            heartbeat_tolerance: 200,
            nack_immediate: 3,
            nack_delays: [1, 5, 10, 30, 60].map(Span::secs).to_vec(),
            queue_width: 1,
            isolate_kinds: true,
            expose_metadata: false,
            throttle_patience: Span::secs(30),
            connection: FramedLimits {
                max_in_flight: 1024, // 1000 SENDs in one write become few group commits
                outbox: 8 << 20,     // what may wait for a slow subscriber, about 1000 messages of usual size
                ..FramedLimits::default()
            },
        }
    }
}

impl Config {
    /// How long a message waits after its `attempt`-th delivery (from 1) was refused.
    pub(crate) fn nack_delay(&self, attempt: u32) -> std::time::Duration {
        if attempt <= self.nack_immediate {
            return std::time::Duration::ZERO;
        }
        let step = (attempt - self.nack_immediate - 1) as usize;
        self.nack_delays
            .get(step)
            .or(self.nack_delays.last())
            .map_or(std::time::Duration::ZERO, |span| span.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_messages_come_at_once_three_times_and_then_later_and_later() {
        let config = Config::default();
        let waits: Vec<u64> = (1..=10).map(|attempt| config.nack_delay(attempt).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 1, 5, 10, 30, 60, 60, 60]);
    }

    #[test]
    fn an_empty_file_is_the_default_and_unknown_keys_are_refused() {
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
        assert!(toml::from_str::<Config>("lenient = true").is_err());
        let written = toml::to_string(&Config::default()).unwrap();
        assert_eq!(toml::from_str::<Config>(&written).unwrap(), Config::default());
    }
}
