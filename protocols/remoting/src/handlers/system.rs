//! Topics that stock brokers keep for themselves: nobody makes, changes or deletes them, and to most nothing is sent by name.

use super::query::TRACE_TOPIC;
use sluice_namesrv::AUTO_CREATE_TOPIC;

/// Nothing is sent to these by name.
const CLOSED: [&str; 8] = [
    AUTO_CREATE_TOPIC,
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    "rmq_sys_wheel_timer",
];
/// Clients and tools send to these.
const OPEN: [&str; 3] = ["BenchmarkTest", "CHECKPOINT_TOPIC", TRACE_TOPIC];
/// So begin the names of others.
const PREFIX: &str = "rmq_sys_";

/// Whether nothing may be sent to this topic by name.
pub(super) fn is_closed(topic: &str) -> bool {
    CLOSED.contains(&topic)
}

/// Whether stock brokers keep this topic for themselves.
pub(super) fn is_system(topic: &str) -> bool {
    is_closed(topic) || OPEN.contains(&topic) || topic.starts_with(PREFIX)
}
