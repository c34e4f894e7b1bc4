//! What is wrong although each value by itself is right.

use sluice_auth::Mode;
use sluice_net::Advertised;
use tracing_subscriber::EnvFilter;

use super::{Advertise, Config, ConfigError};

impl Config {
    /// Refuses what would be unsafe, or without effect.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |message: String| Err(ConfigError::Contradiction(message));
        if !self.listen.named().iter().any(|(_, at)| at.is_on()) {
            return refuse("every listener is off; set one of listen.*".to_owned());
        }
        if let Some(name) = self.exposed_listeners().first()
            && !self.auth.allow_open_network
        {
            return refuse(format!(
                "listen.{name} is reachable from other machines while auth.mode is open, so anyone could read and \
                 write everything; set auth.mode = \"acl\", or auth.allow_open_network = true if that is meant"
            ));
        }
        if self.auth.mode == Mode::Open && (self.auth.file.is_some() || !self.auth.jwt.is_empty()) {
            return refuse(
                "auth.file and auth.jwt have no effect while auth.mode is open; set it to \"acl\"".to_owned(),
            );
        }
        let largest = self.broker.max_batch_size.max(self.broker.max_message_size);
        if largest.0 + self.broker.max_headers_size.0 > self.store.max_entry.0 {
            return refuse(format!(
                "store.max_entry ({}) is too small for broker.max_batch_size, broker.max_message_size and headers",
                self.store.max_entry
            ));
        }
        if let Err(error) = EnvFilter::try_new(&self.log.level) {
            return refuse(format!("log.level: {error}"));
        }
        self.store.check().map_err(|why| ConfigError::Contradiction(format!("store.{why}")))?;
        self.remoting.check().map_err(|why| ConfigError::Contradiction(format!("remoting.{why}")))?;
        if let Some(name) =
            self.tls.modes.keys().find(|name| !self.listen.named().iter().any(|(n, _)| n == name))
        {
            let known = self.listen.named().map(|(name, _)| name).join(", ");
            return refuse(format!("tls.modes: there is no listener {name}, only {known}"));
        }
        self.tls.check().map_err(|error| ConfigError::Contradiction(error.to_string()))?;
        self.advertise.remoting().map(drop)
    }

    /// The listeners that other machines can reach without showing who they are.
    pub fn exposed_listeners(&self) -> Vec<&'static str> {
        if self.auth.mode != Mode::Open {
            return Vec::new();
        }
        // Where there are only numbers, nobody can read or write anything.
        let exposed =
            self.listen.named().into_iter().filter(|(name, at)| !at.is_loopback() && *name != "metrics");
        exposed.map(|(name, _)| name).collect()
    }
}

impl Advertise {
    /// What RocketMQ clients are told of the broker.
    pub fn remoting(&self) -> Result<Advertised, ConfigError> {
        Advertised::new(self.remoting.as_deref(), self.host.as_deref())
            .map_err(|why| ConfigError::Contradiction(format!("advertise: {why}")))
    }

    /// What Kafka clients are told of the broker.
    pub fn kafka(&self) -> Result<Advertised, ConfigError> {
        Advertised::new(self.kafka.as_deref(), self.host.as_deref())
            .map_err(|why| ConfigError::Contradiction(format!("advertise: {why}")))
    }
}
