//! `sluice cert dev`: a local authority, and certificates that it signs, so that TLS can be tried before anyone has asked
//! a real authority.
//!
//! Clients trust the authority once and for all, so it is made once; certificates are made anew each time. The one idea to
//! know: every file is written beside its place and renamed into it, so a running server that looks at its files never
//! sees half of one.
//!
//! How a server uses certificates is the business of `sluice-net`.

use std::fmt;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use p12_keystore::{Certificate as TrustedCertificate, KeyStore, KeyStoreEntry};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use sluice_net::TlsConfig;

use crate::cli::DevCert;
use crate::failure::Failure;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Clocks differ: a certificate is good a little before it was made.
const BEFORE: Duration = DAY;
/// People trust the authority by hand, which they do not want to do often.
const AUTHORITY_LASTS: Duration = DAY.saturating_mul(3650);
/// The longest that Apple's clients accept, and so the longest that works everywhere.
const CERTIFICATE_LASTS: Duration = DAY.saturating_mul(397);
/// What Java's own trust store has: the file holds nothing secret, but the format wants a password.
pub const TRUST_PASSWORD: &str = "changeit";
/// The longest user name there is (the limit of common names in certificates is the same).
const MAX_NAME: usize = 64;

/// What was made, for people to read.
pub struct Made {
    dir: PathBuf,
    names: Vec<String>,
    clients: Vec<String>,
    new_authority: bool,
}

/// Makes the files.
pub fn make(wanted: &DevCert) -> Result<Made, Failure> {
    for client in &wanted.client {
        check_client(client)?;
    }
    let dir = &wanted.dir;
    fs::create_dir_all(dir).map_err(|error| cannot_write(dir, &error))?;
    let (authority, new_authority) = authority(dir)?;
    write(&dir.join("truststore.p12"), &trust_store(&dir.join("ca.pem"))?, Readers::All)?;
    let names = names(&wanted.host);
    issue(dir, "server", &authority, server(&names)?)?;
    for client in &wanted.client {
        issue(dir, client, &authority, self::client(client)?)?;
    }
    let server = TlsConfig {
        cert: Some(dir.join("server.pem")),
        key: Some(dir.join("server.key")),
        ..TlsConfig::default()
    };
    server.check()?; // whatever is wrong with the names is found out now
    Ok(Made { dir: dir.clone(), names, clients: wanted.client.clone(), new_authority })
}

/// The file of a client is named like the client.
fn check_client(name: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let taken = matches!(name, "ca" | "server" | "truststore");
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('.') || !name.chars().all(plain) || taken
    {
        return Err(Failure::Config(format!(
            "--client {name:?}: give a user name of letters, digits, '-', '_' and '.'"
        )));
    }
    Ok(())
}

/// Where a client on this machine may say that the server is.
fn names(more: &[String]) -> Vec<String> {
    let here = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    for name in [&here].into_iter().chain(more) {
        if !name.is_empty() && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// The authority in the folder, or a new one; and whether it is new.
fn authority(dir: &Path) -> Result<(Issuer<'static, KeyPair>, bool), Failure> {
    let (cert, key) = (dir.join("ca.pem"), dir.join("ca.key"));
    match (cert.exists(), key.exists()) {
        (true, true) => Ok((existing_authority(&cert, &key)?, false)),
        (false, false) => Ok((new_authority(dir)?, true)),
        (there, _) => {
            let (there, missing) = if there { (&cert, &key) } else { (&key, &cert) };
            Err(Failure::NotAvailable(format!(
                "{} is there but {} is not; put it back, or take the other away for a new authority",
                there.display(),
                missing.display()
            )))
        }
    }
}

fn existing_authority(cert: &Path, key: &Path) -> Result<Issuer<'static, KeyPair>, Failure> {
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| unusable(path, &error));
    let pair = KeyPair::from_pem(&read(key)?).map_err(|error| unusable(key, &error))?;
    Issuer::from_ca_cert_pem(&read(cert)?, pair).map_err(|error| unusable(cert, &error))
}

fn new_authority(dir: &Path) -> Result<Issuer<'static, KeyPair>, Failure> {
    let mut params = lasting(CertificateParams::default(), AUTHORITY_LASTS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let here = rustix::system::uname();
    let name = format!("Sluice development authority on {}", here.nodename().to_string_lossy());
    params.distinguished_name.push(DnType::CommonName, name.chars().take(MAX_NAME).collect::<String>());
    let key = KeyPair::generate().map_err(unexpected)?;
    let certificate = params.self_signed(&key).map_err(unexpected)?;
    write(&dir.join("ca.key"), key.serialize_pem().as_bytes(), Readers::Owner)?;
    write(&dir.join("ca.pem"), certificate.pem().as_bytes(), Readers::All)?;
    Ok(Issuer::new(params, key))
}

fn trust_store(authority: &Path) -> Result<Vec<u8>, Failure> {
    let mut store = KeyStore::new();
    let authority = CertificateDer::from_pem_file(authority).map_err(|error| unusable(authority, &error))?;
    let trusted = TrustedCertificate::from_der(&authority).map_err(unexpected)?;
    store.add_entry("sluice-development-authority", KeyStoreEntry::Certificate(trusted));
    store.writer(TRUST_PASSWORD).write().map_err(unexpected)
}

fn server(names: &[String]) -> Result<CertificateParams, Failure> {
    let named = CertificateParams::new(names).map_err(|error| Failure::Config(format!("--host: {error}")))?;
    let mut params = lasting(named, CERTIFICATE_LASTS);
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn client(name: &str) -> Result<CertificateParams, Failure> {
    let mut params = lasting(CertificateParams::default(), CERTIFICATE_LASTS);
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn lasting(mut params: CertificateParams, how_long: Duration) -> CertificateParams {
    let now = SystemTime::now();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = (now - BEFORE).into();
    params.not_after = (now - BEFORE + how_long).into();
    params
}

fn issue(
    dir: &Path,
    name: &str,
    by: &Issuer<'_, KeyPair>,
    mut params: CertificateParams,
) -> Result<(), Failure> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(unexpected)?;
    let certificate = params.signed_by(&key, by).map_err(unexpected)?;
    write(&dir.join(format!("{name}.key")), key.serialize_pem().as_bytes(), Readers::Owner)?;
    write(&dir.join(format!("{name}.pem")), certificate.pem().as_bytes(), Readers::All)
}

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readers {
    Owner,
    All,
}

fn write(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), Failure> {
    let mode = if readers == Readers::Owner { 0o600 } else { 0o644 };
    let beside = path.with_added_extension("new");
    let written = || {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.set_permissions(Permissions::from_mode(mode))?; // whatever the umask took away
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::NotAvailable(format!("cannot write {}: {error}", path.display()))
}

fn unusable(path: &Path, error: &dyn fmt::Display) -> Failure {
    Failure::Config(format!("{}: {error}", path.display()))
}

fn unexpected(error: impl fmt::Display) -> Failure {
    Failure::Unexpected(format!("cannot make a certificate: {error}"))
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = |name: &str| self.dir.join(name).display().to_string();
        let kept = if self.new_authority { "made" } else { "kept" };
        writeln!(
            f,
            "authority {kept}: {}, for Java {} (password {TRUST_PASSWORD})",
            file("ca.pem"),
            file("truststore.p12")
        )?;
        writeln!(
            f,
            "certificate made: {} and {} for {}",
            file("server.pem"),
            file("server.key"),
            self.names.join(", ")
        )?;
        for client in &self.clients {
            writeln!(f, "certificate made: {} for the client {client}", file(&format!("{client}.pem")))?;
        }
        writeln!(
            f,
            "\nstart   SLUICE_TLS__CERT={} SLUICE_TLS__KEY={} sluice",
            file("server.pem"),
            file("server.key")
        )?;
        writeln!(f, "try     curl --cacert {} https://localhost:8080/livez", file("ca.pem"))
    }
}
