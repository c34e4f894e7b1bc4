//! What the TLS files hold, and how a change of them is noticed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, crypto};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{CertificateFiles, ClientAuth, Error, TlsConfig};

/// The files of a configuration.
pub(super) struct Files {
    /// The one for clients that name nobody we have a certificate for, then the others.
    certificates: Vec<CertificateFiles>,
    client_ca: Option<PathBuf>,
    client_auth: ClientAuth,
}

/// What they hold.
#[derive(Clone)]
pub(super) struct Material {
    pub(super) keys: Vec<Arc<CertifiedKey>>,
    pub(super) verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// By what a change is noticed: of each file its time, its length, and which one it is (files are often replaced by
/// renaming, and those of a mounted volume have one time).
pub(super) type Stamp = Vec<Option<(SystemTime, u64, u64)>>;

impl Files {
    /// None if no certificate is configured. Settings that would have no effect are refused.
    pub(super) fn of(config: &TlsConfig) -> Result<Option<Self>, Error> {
        let refuse = |why: &str| Err(Error::TlsSettings(why.to_owned()));
        let (cert, key) = match (&config.cert, &config.key) {
            (Some(cert), Some(key)) => (cert.clone(), key.clone()),
            (Some(_), None) => return refuse("cert needs key"),
            (None, Some(_)) => return refuse("key needs cert"),
            (None, None) if *config != TlsConfig::default() => {
                return refuse("the other settings have no effect without cert and key");
            }
            (None, None) => return Ok(None),
        };
        match (config.client_auth, &config.client_ca) {
            (ClientAuth::None, Some(_)) => {
                return refuse(
                    "client_ca has no effect while client_auth is none: set it to optional or required",
                );
            }
            (ClientAuth::Optional | ClientAuth::Required, None) => {
                return refuse("client_auth needs client_ca");
            }
            _ => {}
        }
        let mut certificates = vec![CertificateFiles { cert, key }];
        certificates.extend(config.certificates.iter().cloned());
        Ok(Some(Self { certificates, client_ca: config.client_ca.clone(), client_auth: config.client_auth }))
    }

    pub(super) fn stamp(&self) -> Stamp {
        let pairs = self.certificates.iter().flat_map(|files| [&files.cert, &files.key]);
        pairs
            .chain(&self.client_ca)
            .map(|path| {
                let metadata = path.metadata().ok()?;
                Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
            })
            .collect()
    }

    pub(super) fn read(&self) -> Result<Material, Error> {
        let keys: Result<Vec<_>, Error> = self.certificates.iter().map(read_key).collect();
        let verifier = match &self.client_ca {
            Some(path) => Some(client_verifier(path, self.client_auth)?),
            None => None,
        };
        Ok(Material { keys: keys?, verifier })
    }
}

fn read_key(files: &CertificateFiles) -> Result<Arc<CertifiedKey>, Error> {
    let chain = read_certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| unusable(&files.key, e))?;
    let key = CertifiedKey::from_der(chain, key, &crypto::ring::default_provider());
    key.map(Arc::new).map_err(|e| unusable(&files.key, e))
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

fn unusable(path: &Path, reason: impl ToString) -> Error {
    Error::TlsFile { path: path.to_owned(), reason: reason.to_string() }
}
