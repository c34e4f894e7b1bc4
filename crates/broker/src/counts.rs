//! What the service counts, for every wire alike.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// Handles are made once: counting on the hot path is one atomic addition.
pub(crate) struct Counts {
    pub(crate) sent: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) refused: Counter,
    pub(crate) delivered: Counter,
    pub(crate) pulled: Counter,
    pub(crate) settled: Counter,
    pub(crate) returned: Counter,
    pub(crate) dead_lettered: Counter,
    pub(crate) redriven: Counter,
    pub(crate) fired: Counter,
    pub(crate) recalled: Counter,
    pub(crate) clock_jumps: Counter,
    pub(crate) denied: Counter,
    pub(crate) checkpoints: Counter,
    pub(crate) timers: Gauge,
    pub(crate) prepared: Counter,
    pub(crate) committed: Counter,
    pub(crate) rolled_back: Counter,
    pub(crate) checks: Counter,
    pub(crate) given_up: Counter,
    pub(crate) halves: Gauge,
    pub(crate) once: Gauge,
    pub(crate) repeated: Counter,
}

impl Counts {
    pub(crate) fn new() -> Self {
        describe_counter!("sluice_messages_sent_total", "Messages stored for senders");
        describe_counter!("sluice_messages_sent_bytes_total", "Bytes of bodies stored for senders");
        describe_counter!("sluice_messages_refused_total", "Sends refused, messages counted");
        describe_counter!("sluice_messages_delivered_total", "Messages handed out under lease");
        describe_counter!("sluice_messages_pulled_total", "Messages read by offset");
        describe_counter!("sluice_messages_settled_total", "Leased deliveries acknowledged");
        describe_counter!("sluice_messages_returned_total", "Leased deliveries given back");
        describe_counter!("sluice_messages_dead_lettered_total", "Messages moved to a dead-letter topic");
        describe_counter!("sluice_messages_redriven_total", "Dead letters given to their group again");
        describe_counter!(
            "sluice_connections_revoked_total",
            "Connections closed because their user, secret or token was no longer good"
        );
        describe_counter!("sluice_timers_fired_total", "Delayed messages delivered to their queue");
        describe_counter!("sluice_timers_recalled_total", "Delayed messages taken back by their sender");
        describe_counter!(
            "sluice_clock_jumps_total",
            "Times that the wall clock was set by more than a minute"
        );
        describe_counter!("sluice_permits_denied_total", "Requests denied by policy");
        describe_counter!("sluice_checkpoints_total", "Checkpoints written");
        describe_counter!("sluice_transactions_prepared_total", "Half messages stored");
        describe_counter!("sluice_transactions_committed_total", "Half messages delivered to their queue");
        describe_counter!("sluice_transactions_rolled_back_total", "Half messages dropped by their producer");
        describe_counter!("sluice_transactions_checks_total", "Producers asked for an outcome");
        describe_counter!("sluice_transactions_given_up_total", "Half messages that nobody decided in time");
        describe_counter!(
            "sluice_messages_repeated_total",
            "Sends under a known key, answered and not stored again"
        );
        describe_gauge!("sluice_once_keys", "Idempotency keys that are remembered");
        describe_gauge!("sluice_transactions_open", "Half messages that wait for their outcome");
        describe_gauge!("sluice_timers_waiting", "Delayed messages that wait for their time");
        Self {
            sent: counter!("sluice_messages_sent_total"),
            sent_bytes: counter!("sluice_messages_sent_bytes_total"),
            refused: counter!("sluice_messages_refused_total"),
            delivered: counter!("sluice_messages_delivered_total"),
            pulled: counter!("sluice_messages_pulled_total"),
            settled: counter!("sluice_messages_settled_total"),
            returned: counter!("sluice_messages_returned_total"),
            dead_lettered: counter!("sluice_messages_dead_lettered_total"),
            redriven: counter!("sluice_messages_redriven_total"),
            fired: counter!("sluice_timers_fired_total"),
            recalled: counter!("sluice_timers_recalled_total"),
            clock_jumps: counter!("sluice_clock_jumps_total"),
            denied: counter!("sluice_permits_denied_total"),
            checkpoints: counter!("sluice_checkpoints_total"),
            timers: gauge!("sluice_timers_waiting"),
            prepared: counter!("sluice_transactions_prepared_total"),
            committed: counter!("sluice_transactions_committed_total"),
            rolled_back: counter!("sluice_transactions_rolled_back_total"),
            checks: counter!("sluice_transactions_checks_total"),
            given_up: counter!("sluice_transactions_given_up_total"),
            halves: gauge!("sluice_transactions_open"),
            once: gauge!("sluice_once_keys"),
            repeated: counter!("sluice_messages_repeated_total"),
        }
    }
}
