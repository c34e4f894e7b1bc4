//! Certificates, and reading them again when they change.
//!
//! Certificates are replaced while the server runs, by people and by robots, so nobody should have to restart for it.
//! The one idea to know: files are looked at when a handshake begins, at most every few seconds; a server without
//! handshakes does nothing, and files that cannot be used leave the old ones in place.
//!
//! Who is asked for TLS is `accept.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, crypto};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{ClientAuth, Error, TlsConfig, TlsMode};

/// A handshake looks at the files no more often than this.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// The TLS side of all listeners.
pub(crate) struct Tls {
    files: Files,
    mode: TlsMode,
    client_auth: ClientAuth,
    state: Mutex<State>,
}

struct Files {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

struct State {
    material: Material,
    stamp: Stamp,
    checked: Instant,
    /// One configuration for each list of ALPN names, made on first use.
    configs: Vec<(Vec<Vec<u8>>, Arc<ServerConfig>)>,
}

/// What the files hold.
#[derive(Clone)]
struct Material {
    key: Arc<CertifiedKey>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// By what a change of the files is noticed.
type Stamp = Vec<Option<(SystemTime, u64)>>;

impl Tls {
    /// `None` if no certificate is configured. Settings that would have no effect are refused.
    pub(crate) fn load(config: &TlsConfig) -> Result<Option<Self>, Error> {
        let Some(files) = files_of(config)? else { return Ok(None) };
        let stamp = files.stamp();
        let material = files.read(config.client_auth)?;
        let state = State { material, stamp, checked: Instant::now(), configs: Vec::new() };
        let tls =
            Self { files, mode: config.mode, client_auth: config.client_auth, state: Mutex::new(state) };
        tls.server_config(&[])?; // a key that no cipher suite can use is found out now
        Ok(Some(tls))
    }

    /// Whether plain bytes are refused.
    pub(crate) fn is_required(&self) -> bool {
        self.mode == TlsMode::Required
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
        let config = Arc::new(build(&state.material, alpn)?);
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
            Ok(()) => {
                tracing::info!(cert = %self.files.cert.display(), "tls files changed and were read again")
            }
            Err(error) => tracing::error!(%error, "tls files changed but cannot be used; the old ones stay"),
        }
    }

    /// Small files, read seldom: worth blocking for. The stamp is taken first, so that a change in between is seen.
    fn reload_into(&self, state: &mut State) -> Result<(), Error> {
        state.stamp = self.files.stamp();
        let material = self.files.read(self.client_auth)?;
        build(&material, &[])?;
        state.material = material;
        state.configs.clear();
        Ok(())
    }
}

impl TlsConfig {
    /// Whether the settings make sense and the files can be used, without keeping anything.
    pub fn check(&self) -> Result<(), Error> {
        Tls::load(self).map(drop)
    }
}

fn files_of(config: &TlsConfig) -> Result<Option<Files>, Error> {
    let refuse = |why: &str| Err(Error::TlsSettings(why.to_owned()));
    match (&config.cert, &config.key) {
        (Some(cert), Some(key)) => match (config.client_auth, &config.client_ca) {
            (ClientAuth::None, Some(_)) => {
                refuse("client_ca has no effect while client_auth is none: set it to optional or required")
            }
            (ClientAuth::Optional | ClientAuth::Required, None) => refuse("client_auth needs client_ca"),
            (_, client_ca) => {
                Ok(Some(Files { cert: cert.clone(), key: key.clone(), client_ca: client_ca.clone() }))
            }
        },
        (Some(_), None) => refuse("cert needs key"),
        (None, Some(_)) => refuse("key needs cert"),
        (None, None) if *config != TlsConfig::default() => {
            refuse("client_ca, client_auth and mode have no effect without cert and key")
        }
        (None, None) => Ok(None),
    }
}

impl Files {
    fn stamp(&self) -> Stamp {
        [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()]
            .into_iter()
            .flatten()
            .map(|path| {
                let metadata = path.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len()))
            })
            .collect()
    }

    fn read(&self, client_auth: ClientAuth) -> Result<Material, Error> {
        let chain = read_certificates(&self.cert)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| unusable(&self.key, e))?;
        let key = CertifiedKey::from_der(chain, key, &crypto::ring::default_provider())
            .map_err(|e| unusable(&self.key, e))?;
        let verifier = match &self.client_ca {
            Some(path) => Some(client_verifier(path, client_auth)?),
            None => None,
        };
        Ok(Material { key: Arc::new(key), verifier })
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match chain {
        Ok(chain) if chain.is_empty() => Err(unusable(path, "it holds no certificate")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(unusable(path, error)),
    }
}

fn client_verifier(path: &Path, client_auth: ClientAuth) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(path)? {
        roots.add(certificate).map_err(|e| unusable(path, e))?;
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match client_auth {
        ClientAuth::Required => builder,
        ClientAuth::Optional | ClientAuth::None => builder.allow_unauthenticated(),
    };
    builder.build().map(|verifier| verifier as Arc<dyn ClientCertVerifier>).map_err(|e| unusable(path, e))
}

fn build(material: &Material, alpn: &[Vec<u8>]) -> Result<ServerConfig, Error> {
    let refuse = |error: rustls::Error| Error::TlsSettings(error.to_string());
    let builder = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(refuse)?;
    let builder = match &material.verifier {
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        None => builder.with_no_client_auth(),
    };
    let resolver = SingleCertAndKey::from(CertifiedKey::clone(&material.key));
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = alpn.to_vec();
    config.ticketer = crypto::ring::Ticketer::new().map_err(refuse)?;
    // Clients that read in one thread and write in another (stomp.py over OpenSSL) lose their first
    // write when a TLS 1.3 ticket arrives behind the handshake; connections here live long anyway.
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn unusable(path: &Path, reason: impl ToString) -> Error {
    Error::TlsFile { path: path.to_owned(), reason: reason.to_string() }
}
