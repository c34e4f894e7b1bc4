//! The settings of this front-end: every limit, its default and its reason.
//!
//! What every framed wire shares (pipelining, slow senders and readers) is [`FramedLimits`], nested as `connection`.

use crate::groups::GroupLimits;
use serde::{Deserialize, Serialize};
use sluice_model::units::{ByteSize, Span};
use sluice_net::FramedLimits;
use std::time::Duration;

/// What can be set. Defaults in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The number this broker goes by [1]. Clients derive numbers of their own from it, so it should be small.
    pub node_id: i32,
    /// The largest request [16MiB]: sixteen times what stock producers put into one. Kafka's own limit is 100MiB, which
    /// one connection could make the server hold in memory.
    pub max_request: ByteSize,
    /// The largest request before login [64KiB]: strangers get little memory; tokens fit.
    pub max_request_before_login: ByteSize,
    /// How long a client may take from its first byte to the end of its login [30s]: an idle stranger costs a descriptor.
    pub login_timeout: Span,
    /// What the batches of one request may become when they are decompressed, all together [64MiB]: a few bytes can
    /// claim gigabytes.
    pub max_decompressed: ByteSize,
    /// The most bytes of records in one answer to a fetch [32MiB], whatever the client asks for.
    pub max_fetch: ByteSize,
    /// Partitions of a topic that a client's first use of its name makes [4, as Kafka's test suites expect].
    pub partitions: u32,
    /// Make topics for which more than one replica is asked [false]: they get one, and every answer says so. For programs
    /// that were written for a cluster and insist.
    pub any_replication_factor: bool,
    /// What groups may cost, and the times they go by.
    pub groups: GroupLimits,
    /// Limits that every framed wire has.
    pub connection: FramedLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node_id: 1,
            max_request: ByteSize::mib(16),
            max_request_before_login: ByteSize::kib(64),
            login_timeout: Span::secs(30),
            max_decompressed: ByteSize::mib(64),
            max_fetch: ByteSize::mib(32),
            partitions: 4,
            any_replication_factor: false,
            groups: GroupLimits::default(),
            connection: FramedLimits {
                max_in_flight: 256, // librdkafka pipelines without a limit of its own
                max_in_flight_bytes: 32 << 20,
                outbox: 1 << 20, // answers stay in flight while so much is unwritten
                idle_timeout: Duration::from_secs(600), // as in Kafka, whose clients count on it
                ..FramedLimits::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default_and_unknown_keys_are_refused() {
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
        assert!(toml::from_str::<Config>("zookeeper = true").is_err());
        let written = toml::to_string(&Config::default()).unwrap();
        assert_eq!(toml::from_str::<Config>(&written).unwrap(), Config::default());
    }
}
