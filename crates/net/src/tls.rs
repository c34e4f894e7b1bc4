//! Certificates, and reading them again when they change.
//!
//! Certificates are replaced while the server runs, by people and by robots, so nobody should have to restart for it.
//! The one idea to know: files are looked at when a handshake begins, at most every few seconds; a server without
//! handshakes does nothing, and files that cannot be used leave the old ones in place.
//!
//! What the files hold is `files.rs`, which certificate a client gets `by_name.rs`; who is asked for TLS is `accept.rs`.

mod by_name;
mod files;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion, crypto};

use self::by_name::ByName;
use self::files::{Files, Material, Stamp};
use crate::{Error, MinTlsVersion, TlsConfig, TlsMode};

/// A handshake looks at the files no more often than this.
const CHECK_EVERY: Duration = Duration::from_secs(2);

type Versions = &'static [&'static SupportedProtocolVersion];
const SINCE_1_2: Versions = &[&TLS13, &TLS12];
const SINCE_1_3: Versions = &[&TLS13];

/// The TLS side of all listeners.
pub(crate) struct Tls {
    files: Files,
    mode: TlsMode,
    modes: BTreeMap<String, TlsMode>,
    versions: Versions,
    state: Mutex<State>,
}

struct State {
    material: Material,
    stamp: Stamp,
    checked: Instant,
    /// One configuration for each list of ALPN names, made on first use.
    configs: Vec<(Vec<Vec<u8>>, Arc<ServerConfig>)>,
}

impl Tls {
    /// `None` if no certificate is configured. Settings that would have no effect are refused.
    pub(crate) fn load(config: &TlsConfig) -> Result<Option<Self>, Error> {
        let Some(files) = Files::of(config)? else { return Ok(None) };
        let stamp = files.stamp();
        let material = files.read()?;
        let state = State { material, stamp, checked: Instant::now(), configs: Vec::new() };
        let versions: Versions = match config.min_version {
            MinTlsVersion::V1_2 => SINCE_1_2,
            MinTlsVersion::V1_3 => SINCE_1_3,
        };
        let (mode, modes) = (config.mode, config.modes.clone());
        let tls = Self { files, mode, modes, versions, state: Mutex::new(state) };
        tls.server_config(&[])?; // a key that no cipher suite can use is found out now
        Ok(Some(tls))
    }

    /// Whether this listener refuses plain bytes.
    pub(crate) fn is_required(&self, listener: &str) -> bool {
        *self.modes.get(listener).unwrap_or(&self.mode) == TlsMode::Required
    }

    /// The configuration for a handshake that offers these ALPN names.
    pub(crate) fn server_config(&self, alpn: &[Vec<u8>]) -> Result<Arc<ServerConfig>, Error> {
        let mut state = self.state.lock();
        if state.checked.elapsed() >= CHECK_EVERY {
            self.reload_if_changed(&mut state);
        }
        if let Some((_, config)) = state.configs.iter().find(|(names, _)| names == alpn) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.build(&state.material, alpn)?);
        state.configs.push((alpn.to_vec(), Arc::clone(&config)));
        Ok(config)
    }

    /// Reads the files now, changed or not.
    pub(crate) fn reload(&self) -> Result<(), Error> {
        let mut state = self.state.lock();
        self.reload_into(&mut state)
    }

    fn reload_if_changed(&self, state: &mut State) {
        state.checked = Instant::now();
        if self.files.stamp() == state.stamp {
            return;
        }
        match self.reload_into(state) {
            Ok(()) => tracing::info!("tls files changed and were read again"),
            Err(error) => tracing::error!(%error, "tls files changed but cannot be used; the old ones stay"),
        }
    }

    /// Small files, read seldom: worth blocking for. The stamp is taken first, so that a change in between is seen.
    fn reload_into(&self, state: &mut State) -> Result<(), Error> {
        state.stamp = self.files.stamp();
        let material = self.files.read()?;
        self.build(&material, &[])?;
        state.material = material;
        state.configs.clear();
        Ok(())
    }

    fn build(&self, material: &Material, alpn: &[Vec<u8>]) -> Result<ServerConfig, Error> {
        let refuse = |error: rustls::Error| Error::TlsSettings(error.to_string());
        let builder = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_protocol_versions(self.versions)
            .map_err(refuse)?;
        let builder = match &material.verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(ByName(material.keys.clone())));
        config.alpn_protocols = alpn.to_vec();
        config.ticketer = crypto::ring::Ticketer::new().map_err(refuse)?;
        // Clients that read in one thread and write in another (stomp.py over OpenSSL) lose their first
        // write when a TLS 1.3 ticket arrives behind the handshake; connections here live long anyway.
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

impl TlsConfig {
    /// Whether the settings make sense and the files can be used, without keeping anything.
    pub fn check(&self) -> Result<(), Error> {
        Tls::load(self).map(drop)
    }
}
