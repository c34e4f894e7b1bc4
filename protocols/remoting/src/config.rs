//! The settings of this front-end.

use crate::properties;
use serde::{Deserialize, Serialize};
use sluice_model::TopicName;
use sluice_model::units::{ByteSize, Span};
use sluice_net::FramedLimits;

/// Settings of the RocketMQ TCP protocol. Defaults in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The cluster that clients are told of [DefaultCluster, as stock brokers].
    pub cluster: String,
    /// The broker's name in routes; offsets that clients keep in files are tied to it [sluice].
    pub broker_name: String,
    /// The region that send results carry [DefaultRegion, as stock brokers].
    pub region: String,
    /// What the delay levels 1, 2, … mean [1s 5s 10s 30s 1m … 10m 20m 30m 1h 2h, RocketMQ's].
    pub delay_levels: Vec<Span>,
    /// The most messages one pull returns, whatever the client asks for [32, as stock brokers].
    pub max_pull_messages: usize,
    /// The most bytes of bodies one pull returns; one message is always returned [256KiB, as stock brokers].
    pub max_pull_size: ByteSize,
    /// A queue with fewer messages than this counts as young: a new group starts at its beginning, whatever it asks
    /// for [100000]. Stock brokers do so while the queue's first message is in memory, and clients rely on it.
    pub young_queue: u64,
    /// Listen two ports below `listen.remoting` too, when that is a given port [true]: clients with `vipChannelEnabled` send
    /// there. It is let be when something else has that port.
    pub vip_port: bool,
    /// Limits of one connection. Each waiting pull of a consumer is one request in flight, so there are many [16384].
    pub connection: FramedLimits,
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DELAY_LEVELS: [u64; 18] = [
    SECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    3 * MINUTE,
    4 * MINUTE,
    5 * MINUTE,
    6 * MINUTE,
    7 * MINUTE,
    8 * MINUTE,
    9 * MINUTE,
    10 * MINUTE,
    20 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
];

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster: "DefaultCluster".into(),
            broker_name: "sluice".into(),
            region: "DefaultRegion".into(),
            delay_levels: DELAY_LEVELS.map(Span::millis).to_vec(),
            max_pull_messages: 32,
            max_pull_size: ByteSize::kib(256),
            young_queue: 100_000,
            vip_port: true,
            connection: FramedLimits { max_in_flight: 16_384, ..FramedLimits::default() },
        }
    }
}

impl Config {
    /// Refuses values that clients could not work with, naming the key.
    ///
    /// # Errors
    /// A sentence that begins with the key.
    pub fn check(&self) -> Result<(), String> {
        for (key, name) in [("cluster", &self.cluster), ("broker_name", &self.broker_name)] {
            // Both are names of template topics.
            TopicName::new(name.as_str())
                .map_err(|e| format!("{key} is not usable as a name: {}", e.message()))?;
        }
        if self.region.is_empty() || !properties::is_plain(&self.region) {
            return Err("region must be a text without control characters".into());
        }
        if self.delay_levels.is_empty() {
            return Err("delay_levels must name at least one level".into());
        }
        if self.max_pull_messages == 0 {
            return Err("max_pull_messages must be at least 1".into());
        }
        Ok(())
    }

    /// How long a delay level waits; levels above the table mean its last one. Nothing for level 0 and below.
    pub(crate) fn delay_of(&self, level: i64) -> Option<Span> {
        let at = usize::try_from(level).ok()?.checked_sub(1)?;
        self.delay_levels.get(at).or(self.delay_levels.last()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_values_are_refused_by_their_key() {
        assert_eq!(Config::default().check(), Ok(()));
        let wrong = [
            ("cluster", Config { cluster: "my cluster".into(), ..Config::default() }),
            ("broker_name", Config { broker_name: String::new(), ..Config::default() }),
            ("region", Config { region: "a\u{1}b".into(), ..Config::default() }),
            ("delay_levels", Config { delay_levels: Vec::new(), ..Config::default() }),
            ("max_pull_messages", Config { max_pull_messages: 0, ..Config::default() }),
        ];
        for (key, config) in wrong {
            assert!(config.check().unwrap_err().starts_with(key), "{key}");
        }
    }

    #[test]
    fn delay_levels_are_clamped() {
        let config = Config::default();
        let minutes = (1..=10).map(|minutes| minutes * 60);
        let levels = [1, 5, 10, 30].into_iter().chain(minutes).chain([1200, 1800, 3600, 7200]);
        for (level, seconds) in (1..=18).zip(levels) {
            assert_eq!(config.delay_of(level), Some(Span::secs(seconds)), "{level}");
        }
        assert_eq!(config.delay_of(99), Some(Span::secs(7200)));
        assert_eq!(config.delay_of(0), None);
        assert_eq!(config.delay_of(-1), None);
    }
}
