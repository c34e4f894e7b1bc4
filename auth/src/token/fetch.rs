//! A JWKS document from a URL: one GET, bounded in time and size, of one place and no other.
//!
//! Whoever can answer for that place can make tokens, so it must prove itself: `https` with an authority that is
//! trusted, or loopback. No redirect is followed, for it would let the answer choose who is believed; no proxy is asked.

use super::key_set::MAX_DOCUMENT;
use http::header::{ACCEPT, CONNECTION, HOST, HeaderValue, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sluice_model::{Error, ErrorKind, Result};
use std::net::IpAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Servers send a few kilobytes of headers at most.
const MAX_HEAD: usize = 64 * 1024;

/// Where a document is, and how the place proves itself.
pub(crate) struct KeyUrl {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl KeyUrl {
    /// # Errors
    /// `InvalidArgument` when this is no URL to trust, or there are no authorities to trust it by.
    pub(crate) fn new(url: &str, authorities: Option<&Path>) -> Result<Self> {
        let wrong = |why: &str| Error::invalid(format!("jwks_url {url:?}: {why}"));
        let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it may not contain credentials"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let (port, tls) = match uri.scheme_str() {
            Some("https") => {
                let name =
                    ServerName::try_from(host.clone()).map_err(|_| wrong("the host has no such name"))?;
                (443, Some((connector(authorities)?, name)))
            }
            Some("http") if is_loopback(&host) && authorities.is_none() => (80, None),
            Some("http") if authorities.is_some() => return Err(wrong("jwks_ca_file goes with https")),
            _ => return Err(wrong("only https is trusted, and http on loopback")),
        };
        let port = authority.port_u16().unwrap_or(port);
        Ok(Self { uri, host, port, tls })
    }

    /// The document as it is now. The caller bounds the time.
    pub(crate) async fn fetch(&self) -> Result<Vec<u8>> {
        let socket = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        match &self.tls {
            None => self.ask(socket).await,
            Some((connector, name)) => {
                self.ask(connector.connect(name.clone(), socket).await.map_err(unreachable)?).await
            }
        }
    }

    async fn ask(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Vec<u8>> {
        let connecting = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(io));
        let (mut sender, connection) = connecting.await.map_err(unreachable)?;
        let request = self.request()?;
        let answer = async move {
            let answer = sender.send_request(request).await.map_err(unreachable)?;
            if answer.status() != StatusCode::OK {
                return Err(refused(&format!("it answered {}", answer.status())));
            }
            let body = Limited::new(answer.into_body(), MAX_DOCUMENT).collect().await;
            Ok(body.map_err(|error| refused(&error.to_string()))?.to_bytes().to_vec())
        };
        let (mut answer, mut connection, mut open) = (pin!(answer), pin!(connection), true);
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                ended = &mut connection, if open => {
                    ended.map_err(unreachable)?;
                    open = false; // what it had read is still to be taken
                }
            }
        }
    }

    fn request(&self) -> Result<Request<Empty<&'static [u8]>>> {
        let target = self.uri.path_and_query().map_or("/", |target| target.as_str());
        let host = self.uri.authority().map_or(self.host.as_str(), |authority| authority.as_str());
        Request::get(target)
            .header(HOST, host)
            .header(ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"))
            .header(USER_AGENT, HeaderValue::from_static(concat!("sluice/", env!("CARGO_PKG_VERSION"))))
            .header(CONNECTION, HeaderValue::from_static("close"))
            .body(Empty::new())
            .map_err(Error::internal)
    }
}

/// Names are not asked for: one that resolves to loopback today may not tomorrow.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn connector(authorities: Option<&Path>) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(path) => {
            let wrong = |why: &dyn std::fmt::Display| {
                Error::invalid(format!("jwks_ca_file {}: {why}", path.display()))
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(Error::invalid(
            "jwks_url: there are no authorities to trust; name some with jwks_ca_file",
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(Error::internal)?.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn unreachable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the document cannot be fetched: {error}")).with_source(error)
}

fn refused(why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the document cannot be used: {why}"))
}

#[cfg(test)]
mod tests;
