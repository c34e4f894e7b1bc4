//! TLS and plain text on one port, client certificates, and certificates that change.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that fails may say so

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{
    Certificates, Lines, Server, expect, expect_closed, localhost, read_certificate, read_to_end, send,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::ServerName;
use sluice_net::{
    CertificateFiles, ClientAuth, Config, Error, MinTlsVersion, Network, Order, Protocol, TlsConfig, TlsMode,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

fn lines() -> Arc<Lines> {
    Arc::new(Lines::new(Order::InOrder))
}

fn start(tls: &TlsConfig, protocols: Vec<Arc<dyn Protocol>>) -> Server {
    Server::start_with(&Config::default(), tls, protocols)
}

async fn connect(
    server: &Server,
    certificates: &Certificates,
    own: Option<&str>,
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = server.connect().await;
    certificates.client(own, alpn).connect(localhost(), socket).await
}

fn files(certificates: &Certificates, name: &str) -> CertificateFiles {
    let path = |extension| certificates.path(&format!("{name}.{extension}"));
    CertificateFiles { cert: path("pem"), key: path("key") }
}

/// Whether a client with this certificate of its own is served.
async fn is_served(server: &Server, certificates: &Certificates, own: Option<&str>) -> bool {
    match connect(server, certificates, own, &[]).await {
        Ok(mut tls) => talk(&mut tls).await.is_ok(),
        Err(_) => false,
    }
}

/// The certificate that a client is shown who asks for this name, whether it speaks for it or not.
async fn shown_to(
    server: &Server,
    certificates: &Certificates,
    name: &'static str,
) -> CertificateDer<'static> {
    let socket = server.connect().await;
    let name = ServerName::try_from(name).unwrap();
    let shown = certificates.client(None, &[]).connect(name, socket).await;
    server_certificate(&shown.expect("the certificate speaks for the name"))
}

/// In TLS 1.3 a client learns that it was refused only when it reads.
async fn talk(stream: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
    stream.write_all(b"now a\n").await?;
    let mut got = [0; 6];
    tokio::io::AsyncReadExt::read_exact(stream, &mut got).await?;
    assert_eq!(&got, b"now a\n");
    Ok(())
}

fn server_certificate(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn plain_and_tls_share_a_port() {
    let certificates = Certificates::new();
    let lines = lines();
    let server = start(&certificates.config(), vec![lines.clone()]);
    let mut plain = server.connect().await;
    send(&mut plain, "now a\n").await;
    expect(&mut plain, "now a\n").await;
    assert_eq!(*lines.seen.facts.lock(), Some((None, None, false, "")));
    let mut tls = connect(&server, &certificates, None, &[]).await.unwrap();
    talk(&mut tls).await.unwrap();
    assert_eq!(*lines.seen.facts.lock(), Some((Some("localhost".to_owned()), None, false, "")));
}

#[tokio::test]
async fn large_answers_and_half_close_work_inside_tls() {
    let certificates = Certificates::new();
    let server = start(&certificates.config(), vec![lines()]);
    let mut tls = connect(&server, &certificates, None, &[]).await.unwrap();
    tls.write_all(b"big 3000000\nnow a\n").await.unwrap();
    tls.shutdown().await.unwrap();
    let got = read_to_end(&mut tls).await;
    assert_eq!(got.len(), 4 + 3_000_000 + "now a\nbye client_closed\n".len());
    assert!(got.ends_with("xnow a\nbye client_closed\n"));
}

#[tokio::test]
async fn the_wire_is_told_apart_inside_tls_by_alpn_or_by_its_bytes() {
    let certificates = Certificates::new();
    let red = Arc::new(Lines { word: "red", alpn: vec![b"red/1"], ..Lines::new(Order::InOrder) });
    let blue = Arc::new(Lines { word: "blue", ..Lines::new(Order::InOrder) });
    let server = start(&certificates.config(), vec![red.clone(), blue.clone()]);

    let mut by_bytes = connect(&server, &certificates, None, &[]).await.unwrap();
    by_bytes.write_all(b"bluenow a\n").await.unwrap();
    expect(&mut by_bytes, "bluenow a\n").await;

    let mut by_alpn = connect(&server, &certificates, None, &[b"red/1"]).await.unwrap();
    by_alpn.write_all(b"now b\n").await.unwrap(); // nothing in the bytes says red
    expect(&mut by_alpn, "now b\n").await;
    assert_eq!(red.seen.facts.lock().as_ref().unwrap().1.as_deref(), Some(&b"red/1"[..]));
}

#[tokio::test]
async fn plain_bytes_get_the_wires_own_error_where_tls_is_required() {
    let certificates = Certificates::new();
    let config = TlsConfig { mode: TlsMode::Required, ..certificates.config() };
    let server = start(&config, vec![lines()]);
    let mut plain = server.connect().await;
    send(&mut plain, "now a\n").await;
    assert_eq!(read_to_end(&mut plain).await, "tls please\n");
    talk(&mut connect(&server, &certificates, None, &[]).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn tls_without_a_certificate_is_closed() {
    let certificates = Certificates::new();
    let server = start(&TlsConfig::default(), vec![lines()]);
    assert!(connect(&server, &certificates, None, &[]).await.is_err());
    let mut plain = server.connect().await;
    send(&mut plain, "now a\n").await;
    expect(&mut plain, "now a\n").await;
}

#[tokio::test]
async fn client_certificates_are_asked_for_as_configured() {
    let certificates = Certificates::new();
    certificates.issue("client");
    let strangers = Certificates::new();
    strangers.issue("client");
    for (client_auth, without, with, seen) in [
        (ClientAuth::None, true, true, false),
        (ClientAuth::Optional, true, true, true),
        (ClientAuth::Required, false, true, true),
    ] {
        let client_ca = (client_auth != ClientAuth::None).then(|| certificates.path("ca.pem"));
        let lines = lines();
        let server =
            start(&TlsConfig { client_auth, client_ca, ..certificates.config() }, vec![lines.clone()]);
        let talks = |own| {
            let (server, certificates) = (&server, &certificates);
            async move {
                match connect(server, certificates, own, &[]).await {
                    Ok(mut tls) => talk(&mut tls).await.is_ok(),
                    Err(_) => false,
                }
            }
        };
        assert_eq!(talks(None).await, without, "{client_auth:?}");
        assert_eq!(talks(Some("client")).await, with, "{client_auth:?}");
        assert_eq!(lines.seen.facts.lock().as_ref().unwrap().2, seen, "{client_auth:?}");
    }
    let config = TlsConfig {
        client_auth: ClientAuth::Optional,
        client_ca: Some(strangers.path("ca.pem")),
        ..certificates.config()
    };
    let server = start(&config, vec![lines()]);
    let refused = match connect(&server, &certificates, Some("client"), &[]).await {
        Ok(mut tls) => talk(&mut tls).await.is_err(),
        Err(_) => true,
    };
    assert!(refused, "a certificate of a foreign authority");
}

#[tokio::test]
async fn changed_certificates_are_used_without_a_restart() {
    let certificates = Certificates::new();
    let server = start(&certificates.config(), vec![lines()]);
    let first = read_certificate(&certificates.path("server.pem"));
    let mut old = connect(&server, &certificates, None, &[]).await.unwrap();
    assert_eq!(server_certificate(&old), first);

    certificates.issue("server");
    let second = read_certificate(&certificates.path("server.pem"));
    let begin = std::time::Instant::now();
    loop {
        let tls = connect(&server, &certificates, None, &[]).await.unwrap();
        if server_certificate(&tls) == second {
            break;
        }
        assert!(begin.elapsed() < common::DEADLINE, "the change was not noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    talk(&mut old).await.unwrap(); // what is open stays open
}

#[tokio::test]
async fn each_name_gets_its_certificate_and_others_the_first() {
    let certificates = Certificates::new();
    certificates.issue_for("one", "one.example");
    certificates.issue_for("wild", "*.wild.example");
    let more = ["one", "wild"].map(|name| files(&certificates, name)).to_vec();
    let server = start(&TlsConfig { certificates: more, ..certificates.config() }, vec![lines()]);
    for (asked, name) in [
        ("one.example", "one"),
        ("a.wild.example", "wild"),
        ("b.wild.example", "wild"),
        ("localhost", "server"),
    ] {
        let file = read_certificate(&certificates.path(&format!("{name}.pem")));
        assert_eq!(shown_to(&server, &certificates, asked).await, file, "{asked}");
    }
    let stranger = ServerName::try_from("elsewhere.example").unwrap();
    let refused = certificates.client(None, &[]).connect(stranger, server.connect().await).await;
    let why = refused.expect_err("no certificate speaks for it").to_string();
    assert!(why.contains("localhost"), "the first one was shown: {why}");

    certificates.issue_for("one", "one.example");
    let renewed = read_certificate(&certificates.path("one.pem"));
    let begin = std::time::Instant::now();
    while shown_to(&server, &certificates, "one.example").await != renewed {
        assert!(begin.elapsed() < common::DEADLINE, "the change was not noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn changed_authorities_of_clients_are_used_without_a_restart() {
    let certificates = Certificates::new();
    certificates.issue("client");
    let others = Certificates::new();
    std::fs::copy(certificates.path("ca.pem"), certificates.path("clients.pem")).unwrap();
    let config = TlsConfig {
        client_auth: ClientAuth::Required,
        client_ca: Some(certificates.path("clients.pem")),
        ..certificates.config()
    };
    let server = start(&config, vec![lines()]);
    assert!(is_served(&server, &certificates, Some("client")).await);
    std::fs::copy(others.path("ca.pem"), certificates.path("clients.pem")).unwrap();
    let begin = std::time::Instant::now();
    while is_served(&server, &certificates, Some("client")).await {
        assert!(begin.elapsed() < common::DEADLINE, "the change was not noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn both_versions_are_spoken_or_the_newer_one_alone() {
    let certificates = Certificates::new();
    for (min_version, with_1_2) in [(MinTlsVersion::V1_2, true), (MinTlsVersion::V1_3, false)] {
        let server = start(&TlsConfig { min_version, ..certificates.config() }, vec![lines()]);
        for (version, served) in [(&rustls::version::TLS12, with_1_2), (&rustls::version::TLS13, true)] {
            let client = certificates.client_of(&[version], None, &[]);
            let talked = match client.connect(localhost(), server.connect().await).await {
                Ok(mut tls) => talk(&mut tls).await.is_ok(),
                Err(_) => false,
            };
            assert_eq!(talked, served, "{version:?} where {min_version:?} is the oldest");
        }
    }
}

#[tokio::test]
async fn a_listener_may_differ_from_the_others() {
    let certificates = Certificates::new();
    let (required, permissive) = (TlsMode::Required, TlsMode::Permissive);
    for (mode, own, refused) in [(permissive, required, true), (required, permissive, false)] {
        let modes = [("test".to_owned(), own)].into();
        let server = start(&TlsConfig { mode, modes, ..certificates.config() }, vec![lines()]);
        let mut plain = server.connect().await;
        send(&mut plain, "now a\n").await;
        expect(&mut plain, if refused { "tls please\n" } else { "now a\n" }).await;
    }
}

#[tokio::test]
async fn a_reload_that_fails_keeps_the_old_certificate() {
    let certificates = Certificates::new();
    let server = start(&certificates.config(), vec![lines()]);
    let first = read_certificate(&certificates.path("server.pem"));

    certificates.issue("other");
    std::fs::copy(certificates.path("other.pem"), certificates.path("server.pem")).unwrap();
    assert!(
        matches!(server.network.reload_tls(), Err(Error::TlsFile { .. })),
        "key and certificate do not match"
    );
    let tls = connect(&server, &certificates, None, &[]).await.unwrap();
    assert_eq!(server_certificate(&tls), first);

    std::fs::copy(certificates.path("other.key"), certificates.path("server.key")).unwrap();
    server.network.reload_tls().unwrap();
    let tls = connect(&server, &certificates, None, &[]).await.unwrap();
    assert_eq!(server_certificate(&tls), read_certificate(&certificates.path("other.pem")));
}

#[tokio::test]
async fn settings_that_would_have_no_effect_are_refused() {
    let certificates = Certificates::new();
    let good = certificates.config();
    let ca = Some(certificates.path("ca.pem"));
    for (config, hint) in [
        (TlsConfig { key: None, ..good.clone() }, "cert needs key"),
        (TlsConfig { cert: None, ..good.clone() }, "key needs cert"),
        (TlsConfig { client_auth: ClientAuth::Required, ..good.clone() }, "client_auth needs client_ca"),
        (TlsConfig { client_ca: ca, ..good.clone() }, "client_ca has no effect"),
        (TlsConfig { mode: TlsMode::Required, ..TlsConfig::default() }, "no effect without cert"),
        (
            TlsConfig { certificates: vec![files(&certificates, "server")], ..TlsConfig::default() },
            "no effect without cert",
        ),
        (TlsConfig { cert: Some("missing.pem".into()), ..good.clone() }, "missing.pem"),
        (TlsConfig { cert: good.key.clone(), ..good.clone() }, "no certificate"),
    ] {
        let error = Network::start(&Config::default(), &config).err().expect(hint).to_string();
        assert!(error.contains(hint), "{error}");
    }
}

#[tokio::test]
async fn garbage_after_the_tls_byte_closes_that_connection_alone() {
    let certificates = Certificates::new();
    let server = start(&certificates.config(), vec![lines()]);
    let mut garbage = server.connect().await;
    send(&mut garbage, "\u{16}garbage that is no record").await;
    let mut discarded = [0; 64];
    let alert = tokio::io::AsyncReadExt::read(&mut garbage, &mut discarded).await;
    if matches!(alert, Ok(n) if n > 0) {
        expect_closed(&mut garbage).await; // after an alert
    }
    talk(&mut connect(&server, &certificates, None, &[]).await.unwrap()).await.unwrap();
}
