//! The broker's settings.

use serde::{Deserialize, Serialize};
use sluice_model::units::{ByteSize, Span};

/// The rules that can be set. Defaults in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Make a topic when a permitted sender or subscriber first names it [true]. The key is `topics.auto_create`, for
    /// scripts that know no broker section; it is set from there.
    #[serde(skip)]
    pub auto_create: bool,
    /// Queues of a topic made without saying how many [8, RocketMQ's convention].
    pub default_queues: u32,
    /// The most queues one topic may have [1024].
    pub max_queues: u32,
    /// The most topics [100000]. Each idle queue costs a few hundred bytes of memory.
    pub max_topics: usize,
    /// The most groups [100000].
    pub max_groups: usize,
    /// The largest message body [4MiB, as stock RocketMQ clients assume].
    pub max_message_size: ByteSize,
    /// The most bytes of headers, names and values together [32767B: RocketMQ writes their length in 15 bits].
    pub max_headers_size: ByteSize,
    /// The most headers of one message [1000].
    pub max_headers: usize,
    /// The most messages in one atomic batch [1000].
    pub max_batch: usize,
    /// The most body bytes in one atomic batch [16MiB].
    pub max_batch_size: ByteSize,
    /// The furthest a delayed delivery may lie ahead [40d].
    pub max_delay: Span,
    /// The most delayed messages waiting [20000000]. Those whose time is far lie in files.
    pub max_timers: usize,
    /// The most of them that are due in this span and the next, and so in memory [1500000, about 65 bytes each].
    pub max_near_timers: usize,
    /// The span of time whose delayed messages lie in one file [1h]; those that are due sooner stay in the log.
    pub timer_bucket: Span,
    /// The most delayed messages remembered as taken back while the files that they lie in are still needed [1000000,
    /// about 20 bytes of memory each].
    pub max_recalled: usize,
    /// How long after a half message its producer's group is first asked for the outcome, if the sender does not say [6s,
    /// as in RocketMQ].
    pub first_check: Span,
    /// How long until the next instance of the group is asked [30s, as in RocketMQ].
    pub check_interval: Span,
    /// How often the group is asked before a half message goes to the topic `TRANS_CHECK_MAX_TIME_TOPIC` [15, as in
    /// RocketMQ].
    pub max_checks: u32,
    /// The longest a half message waits for its outcome, asked about or not; then it goes to that topic too [3d].
    pub max_half_age: Span,
    /// The most half messages [100000, about 200 bytes of memory each]; the log is kept from the first of them on.
    pub max_halves: usize,
    /// How long an idempotency key, or an id that a sender chose, is remembered [24h, longer than anybody tries
    /// again].
    pub once_window: Span,
    /// The most messages that are remembered with such keys [200000, about 200 bytes of memory each]; then the oldest
    /// are forgotten.
    pub max_once: usize,
    /// How long a producer that numbers its messages is remembered after the last of them [24h, as in Kafka]: what it
    /// sends again after that is stored again.
    pub producer_window: Span,
    /// The most such producers remembered, counted once for each queue they send to [100000, about 200 bytes of memory
    /// each]; beyond, those are forgotten that were silent the longest.
    pub max_producers: usize,
    /// The longest that a transaction over several queues may be open [15m, as in Kafka]; its producer may say less. Until
    /// it ends, nothing behind its first message is delivered.
    pub max_transaction_timeout: Span,
    /// The most producers with names, which such transactions need [100000, about 300 bytes of memory each].
    pub max_named_producers: usize,
    /// How long the name of a producer that does nothing is kept [7d, as in Kafka].
    pub named_producer_window: Span,
    /// The most that is remembered of transactions over several queues, all together [1000000, about 50 bytes of memory
    /// each]: queues and offsets that open ones span, stretches of messages of open and aborted ones. Beyond, none may span
    /// more.
    pub max_transaction_parts: usize,
    /// Take only messages that are sent under a key of their sender's, in every topic [false]; a topic can demand it for
    /// itself. Wires that know no such keys cannot send then.
    pub require_key: bool,
    /// How long messages are kept [3d]; whole log segments go when all of their messages are older.
    pub retention: Span,
    /// The longest that a topic may ask for its messages to be kept [30d]: the log is one, and keeps everything for as long
    /// as the topic that asks for most. `retention` is allowed in any case.
    pub max_retention: Span,
    /// How many bytes of log are kept; beyond, the oldest segments go before their time [0: as many as there is space for].
    pub retention_size: ByteSize,
    /// Let the oldest segments go before their time when the disk is 85 % full, rather than refuse messages when it is as
    /// full as `store.disk_guard` allows [false: nothing is deleted that was promised to be kept].
    pub forced_retention: bool,
    /// Deliveries before a message goes to its group's dead-letter topic [16].
    pub max_attempts: u32,
    /// The longest lease, and the longest extension of one [12h].
    pub max_lease: Span,
    /// The longest a receive or pull may wait for messages [60s].
    pub max_wait: Span,
    /// The most messages one receive, pull or browse returns [1000].
    pub max_fetch: usize,
    /// The most body bytes one receive, pull or browse returns; one message is always returned [4MiB].
    pub max_fetch_size: ByteSize,
    /// The most unsettled deliveries per group and queue; then receive waits [20000].
    pub max_in_flight: usize,
    /// Parsed SQL expressions that are kept for the next who says them [1000: 16 MiB at the very worst].
    pub max_kept_filters: usize,
    /// The most members of one group [10000].
    pub max_members: usize,
    /// A member that sends no heartbeat for this long has left [120s, as in RocketMQ].
    pub member_timeout: Span,
    /// How long a queue lock of an orderly consumer lives without renewal [60s, as in RocketMQ].
    pub queue_lock: Span,
    /// How long the offsets of a group stay whose members only ever committed offsets, and are all gone [7d, as in
    /// Kafka]; then the group is forgotten.
    pub offsets_retention: Span,
    /// Write a checkpoint after so many bytes of log [128MiB], which bounds the recovery time. Old segments are deleted
    /// after one: at half a segment's size, there is one's file to be used again whenever the log goes to the next.
    pub checkpoint_bytes: ByteSize,
    /// Write a checkpoint after this long if anything changed [60s].
    pub checkpoint_interval: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auto_create: true,
            default_queues: 8,
            max_queues: 1024,
            max_topics: 100_000,
            max_groups: 100_000,
            max_message_size: ByteSize::mib(4),
            max_headers_size: ByteSize(32_767),
            max_headers: 1000,
            max_batch: 1000,
            max_batch_size: ByteSize::mib(16),
            max_delay: Span::secs(40 * 86_400),
            max_timers: 20_000_000,
            max_near_timers: 1_500_000,
            timer_bucket: Span::secs(3600),
            max_recalled: 1_000_000,
            first_check: Span::secs(6),
            check_interval: Span::secs(30),
            max_checks: 15,
            max_half_age: Span::secs(3 * 86_400),
            max_halves: 100_000,
            once_window: Span::secs(86_400),
            max_once: 200_000,
            producer_window: Span::secs(86_400),
            max_producers: 100_000,
            max_transaction_timeout: Span::secs(900),
            max_named_producers: 100_000,
            named_producer_window: Span::secs(7 * 86_400),
            max_transaction_parts: 1_000_000,
            require_key: false,
            retention: Span::secs(3 * 86_400),
            max_retention: Span::secs(30 * 86_400),
            retention_size: ByteSize(0),
            forced_retention: false,
            max_attempts: 16,
            max_lease: Span::secs(12 * 3600),
            max_wait: Span::secs(60),
            max_fetch: 1000,
            max_fetch_size: ByteSize::mib(4),
            max_in_flight: 20_000,
            max_kept_filters: 1000,
            max_members: 10_000,
            member_timeout: Span::secs(120),
            queue_lock: Span::secs(60),
            offsets_retention: Span::secs(7 * 86_400),
            checkpoint_bytes: ByteSize::mib(128),
            checkpoint_interval: Span::secs(60),
        }
    }
}

impl Config {
    /// The longest that a topic may keep its messages.
    pub fn longest_retention(&self) -> Span {
        Span(self.retention.0.max(self.max_retention.0))
    }
}
