//! The settings of listeners, reactors and TLS, each with its default and its reason.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units;

/// Limits that hold for every listener together, unless the comment says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Reactor threads; 0 means one for each core. The log's thread sleeps most of the time, and finds a core.
    pub reactors: usize,
    /// Connections at once over all listeners. Each costs a descriptor and at least 10 KiB.
    pub max_connections: usize,
    /// Connections at once from one address, so that one misbehaving host leaves room for others.
    pub max_connections_per_ip: usize,
    /// Connections that the kernel holds for us before we accept them; a restart brings all clients at once.
    pub backlog: u32,
    /// How long a new connection may take to send its first bytes: a silent socket costs a descriptor.
    #[serde(with = "units::duration")]
    pub sniff_timeout: Duration,
    /// How long a TLS handshake may take, waiting for its turn included.
    #[serde(with = "units::duration")]
    pub handshake_timeout: Duration,
    /// TLS handshakes at once: each costs about a millisecond of CPU, which established clients need too.
    pub max_handshakes: usize,
    /// Of these from one address: whoever begins handshakes and does not end them must not take every turn.
    pub max_handshakes_per_ip: usize,
    /// Idle time before TCP keep-alive probes find out whether the peer still exists.
    #[serde(with = "units::duration")]
    pub keep_alive: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reactors: 0,
            max_connections: 10_000,
            max_connections_per_ip: 5_000,
            backlog: 1_024,
            sniff_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 64,
            max_handshakes_per_ip: 16,
            keep_alive: Duration::from_secs(60),
        }
    }
}

/// Certificates and who must show one. Without `cert` there is no TLS at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM file with the server's certificate chain, its own certificate first.
    pub cert: Option<PathBuf>,
    /// PEM file with the private key of the first certificate (PKCS#8, PKCS#1 or SEC1).
    pub key: Option<PathBuf>,
    /// Further certificates, for clients that ask for a name that stands in one of them; `cert` is for all others.
    pub certificates: Vec<CertificateFiles>,
    /// PEM file with the authorities that sign client certificates.
    pub client_ca: Option<PathBuf>,
    /// `permissive` takes plain and TLS on the same port; `required` refuses plain bytes.
    pub mode: TlsMode,
    /// Listeners, by name, that differ from `mode`.
    pub modes: BTreeMap<String, TlsMode>,
    /// The oldest version that is spoken: 1.2 for clients that know no better, 1.3 where there are none.
    pub min_version: MinTlsVersion,
    /// Whether clients must show a certificate.
    pub client_auth: ClientAuth,
}

/// One more certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// The oldest version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MinTlsVersion {
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "1.3")]
    V1_3,
}

/// What a port with a certificate accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Plain and TLS, told apart by the first byte.
    #[default]
    Permissive,
    /// TLS alone; plain bytes get the wire's own error.
    Required,
}

/// Client certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// Not asked for.
    #[default]
    None,
    /// Asked for; one that is shown must be valid.
    Optional,
    /// No certificate, no connection.
    Required,
}
