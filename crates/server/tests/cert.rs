//! Certificates for a first try, made by the real binary and used by a real server and client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that fails may say so

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sluice_net::ClientAuth;
use sluice_server::Server;
use sluice_server::config::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

fn sluice(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sluice")).args(args).output().unwrap()
}

fn cert_dev(dir: &Path, more: &[&str]) -> String {
    let output = sluice(&[&["cert", "dev", "--dir", dir.to_str().unwrap()], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A client that trusts the authority and shows a certificate of its own.
fn connector(dir: &Path, own: &str) -> TlsConnector {
    let pem = |name: &str| CertificateDer::from_pem_file(dir.join(name)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pem("ca.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join(format!("{own}.key"))).unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![pem(&format!("{own}.pem"))], key)
            .unwrap();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn a_server_and_a_client_know_each_other_by_them() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("certs");
    let said = cert_dev(&dir, &["--host", "broker.test", "--host", "10.1.2.3", "--client", "app"]);
    assert!(
        said.contains("for localhost, 127.0.0.1, ::1, ") && said.contains("broker.test, 10.1.2.3"),
        "{said}"
    );

    let mut config = Config { data_dir: folder.path().join("data"), ..Config::default() };
    config.listen.http = "0".parse().unwrap();
    let listen = &mut config.listen;
    for off in [&mut listen.namesrv, &mut listen.remoting, &mut listen.stomp, &mut listen.kafka] {
        *off = "off".parse().unwrap();
    }
    config.tls.cert = Some(dir.join("server.pem"));
    config.tls.key = Some(dir.join("server.key"));
    config.tls.client_auth = ClientAuth::Required;
    config.tls.client_ca = Some(dir.join("ca.pem"));
    let server = Server::start(config).await.unwrap();
    let here = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    for name in ["localhost", "127.0.0.1", "::1", "broker.test", "10.1.2.3", &here] {
        let socket = TcpStream::connect(server.address("http").unwrap()).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut tls = connector(&dir, "app").connect(name, socket).await.unwrap();
        tls.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        tls.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    server.shutdown().await.unwrap();
}

#[test]
fn keys_are_for_the_owner_alone_and_the_authority_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
    assert!(cert_dev(dir, &["--client", "app"]).contains("authority made"));
    for key in ["ca.key", "server.key", "app.key"] {
        assert_eq!(dir.join(key).metadata().unwrap().permissions().mode() & 0o777, 0o600, "{key}");
    }
    let (authority, server) = (read("ca.pem"), read("server.pem"));
    assert!(cert_dev(dir, &[]).contains("authority kept"));
    assert_eq!(read("ca.pem"), authority);
    assert_ne!(read("server.pem"), server, "the server's certificate is renewed");
    let left: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().ends_with(".new")), "{left:?}");
}

#[test]
fn the_trust_store_holds_the_authority_as_java_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    cert_dev(folder.path(), &[]);
    let bytes = std::fs::read(folder.path().join("truststore.p12")).unwrap();
    let store = KeyStore::from_pkcs12(&bytes, "changeit", Pkcs12ImportPolicy::Strict).unwrap();
    let entries: Vec<_> = store.entries().map(|(_, entry)| entry).collect();
    let [KeyStoreEntry::Certificate(trusted)] = &entries[..] else { panic!("{} entries", entries.len()) };
    let authority = CertificateDer::from_pem_file(folder.path().join("ca.pem")).unwrap();
    assert_eq!(trusted.as_der(), &authority[..]);
}

#[test]
fn what_would_be_wrong_or_ignored_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    for (args, code, hint) in [
        (vec!["--client", "../escape"], 2, "--client"),
        (vec!["--client", "ca"], 2, "--client"),
        (vec!["--host", "n\u{e4}me"], 2, "--host"),
        (vec!["--data-dir", "elsewhere"], 2, "--data-dir has no effect"),
    ] {
        let output = sluice(&[&["cert", "dev", "--dir", dir], &args[..]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(hint), "{args:?}: {said}");
    }
    std::fs::remove_file(folder.path().join("ca.key")).unwrap();
    let output = sluice(&["cert", "dev", "--dir", dir]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3));
    assert!(said.contains("ca.pem is there but"), "{said}");
}
