//! The limits of one framed connection.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units;

/// Whether answers leave in the order of their requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Answers are matched by position (STOMP).
    InOrder,
    /// Answers are matched by a correlation id (RocketMQ remoting).
    AnyOrder,
}

/// Limits of one connection. A front-end nests this in its own configuration, as `connection`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FramedLimits {
    /// Requests that may be in flight; beyond, the connection is not read. Deep enough for one large group commit.
    pub max_in_flight: usize,
    /// Bytes of requests that may be in flight; one larger request is let through alone.
    #[serde(with = "units::size")]
    pub max_in_flight_bytes: usize,
    /// Bytes of one incomplete frame. The decoder refuses earlier, in the wire's own words; this is the last guard.
    #[serde(with = "units::size")]
    pub max_frame: usize,
    /// Bytes that may wait to be written, pushes and answers each; beyond, senders wait and answers stay in flight.
    #[serde(with = "units::size")]
    pub outbox: usize,
    /// A connection without traffic, and with nothing in flight, is closed after this time.
    #[serde(with = "units::duration")]
    pub idle_timeout: Duration,
    /// A begun frame must be complete after this time, plus what `min_rate` allows for the bytes that have come.
    #[serde(with = "units::duration")]
    pub frame_timeout: Duration,
    /// Bytes per second below which a sender only holds memory. Far below any modem.
    #[serde(with = "units::size")]
    pub min_rate: usize,
    /// A client that reads nothing for so long, while bytes wait for it, is given up.
    #[serde(with = "units::duration")]
    pub write_timeout: Duration,
    /// After the last frame (client closed, drain, error) answers in flight may take so long.
    #[serde(with = "units::duration")]
    pub finish_timeout: Duration,
    /// After our last byte we read and discard for so long: closing at once would destroy the error in flight.
    #[serde(with = "units::duration")]
    pub linger: Duration,
}

impl Default for FramedLimits {
    fn default() -> Self {
        Self {
            max_in_flight: 256,
            max_in_flight_bytes: 8 << 20,
            max_frame: 16 << 20,
            outbox: 1 << 20,
            idle_timeout: Duration::from_secs(120),
            frame_timeout: Duration::from_secs(30),
            min_rate: 128,
            write_timeout: Duration::from_secs(300),
            finish_timeout: Duration::from_secs(10),
            linger: Duration::from_secs(5),
        }
    }
}
