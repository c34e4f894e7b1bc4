//! One configuration for the whole server.
//!
//! Each crate owns its section, with docs and defaults; here they are only nested. The one idea to know: nothing that
//! is accepted is ignored, so every key of every section is known, and an unknown one refuses to start.
//!
//! How the layers are read is `load.rs`; what the values mean is where each section is used.

mod check;
mod keys;
mod load;
mod nearest;
mod show;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sluice_model::units::Span;
use sluice_net::ListenAddr;

pub use load::{ConfigError, Loaded, Loader, Source};
pub use show::show;

/// All settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    pub listen: Listen,
    pub advertise: Advertise,
    pub tls: sluice_net::TlsConfig,
    pub auth: sluice_auth::Config,
    pub topics: Topics,
    pub store: sluice_store::Config,
    pub broker: sluice_broker::Config,
    pub remoting: sluice_remoting::Config,
    pub http: sluice_http::Config,
    pub stomp: sluice_stomp::Config,
    pub kafka: sluice_kafka::Config,
    pub net: sluice_net::Config,
    pub shutdown: Shutdown,
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            listen: Listen::default(),
            advertise: Advertise::default(),
            tls: Default::default(),
            auth: Default::default(),
            topics: Topics::default(),
            store: Default::default(),
            broker: Default::default(),
            remoting: Default::default(),
            http: Default::default(),
            stomp: Default::default(),
            kafka: Default::default(),
            net: Default::default(),
            shutdown: Shutdown::default(),
            log: Log::default(),
        }
    }
}

impl Config {
    /// The broker's rules: its own section and what belongs to topics.
    pub(crate) fn broker_rules(&self) -> sluice_broker::Config {
        sluice_broker::Config { auto_create: self.topics.auto_create, ..self.broker.clone() }
    }
}

/// Where each front-end listens: `host:port`, `port` (loopback) or `off`; port 0 takes a free one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// RocketMQ name server.
    pub namesrv: ListenAddr,
    /// RocketMQ broker.
    pub remoting: ListenAddr,
    pub http: ListenAddr,
    pub stomp: ListenAddr,
    pub kafka: ListenAddr,
    /// Metrics and health over HTTP, and nothing else.
    pub metrics: ListenAddr,
    /// One port that detects all of them.
    pub all: ListenAddr,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            namesrv: ListenAddr::loopback(9876),
            remoting: ListenAddr::loopback(10_911),
            http: ListenAddr::loopback(8080),
            stomp: ListenAddr::loopback(61_613),
            kafka: ListenAddr::loopback(9092),
            metrics: ListenAddr::Off,
            all: ListenAddr::Off,
        }
    }
}

impl Listen {
    /// Every listener with its name.
    pub fn named(&self) -> [(&'static str, &ListenAddr); 7] {
        [
            ("namesrv", &self.namesrv),
            ("remoting", &self.remoting),
            ("http", &self.http),
            ("stomp", &self.stomp),
            ("kafka", &self.kafka),
            ("metrics", &self.metrics),
            ("all", &self.all),
        ]
    }
}

/// What clients are told to connect to, where the server cannot know it (containers, NAT).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Advertise {
    /// Host name or address, for listeners without an address of their own here.
    pub host: Option<String>,
    /// `host:port` of the RocketMQ broker as clients reach it.
    pub remoting: Option<String>,
    /// `host:port` of the Kafka broker as clients reach it.
    pub kafka: Option<String>,
}

/// What topics are by default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topics {
    /// Makes a topic when a permitted client first names it.
    pub auto_create: bool,
}

impl Default for Topics {
    fn default() -> Self {
        Self { auto_create: true }
    }
}

/// How the server ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// How long clients may take to get their answers before they are cut off.
    pub grace: Span,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Span::secs(10) }
    }
}

/// What is written to standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, also by module: `info,sluice_net=debug`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}
