//! Who a client is: by a token as passcode, by its certificate.

use crate::client::Server;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use sluice_auth::{AclFile, Auth, CertificatePart, CertificateRule, Command, JwtAlgorithm, JwtIssuer};
use sluice_broker::Broker;
use sluice_model::SystemClock;
use sluice_model::units::Span;
use sluice_net::{ClientAuth, TlsConfig};
use sluice_stomp::Config;
use sluice_store::MemoryLog;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const ACL: &str = r#"
[[users]]
name = "interop-user"
password = "a-password"

[[users]]
name = "till-1"

[[users]]
name = "other"
secret = "others-secret"
"#;

/// A token for `interop-user`, good until the year 2100, and what it is checked with.
const TOKEN: &str = concat!(
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.",
    "eyJpc3MiOiJodHRwczovL2lkLmV4YW1wbGUuY29tIiwiYXVkIjoic2x1aWNlIiwic3ViIjoiaW50ZXJvcC11c2VyIiwiZXhwIjo0MTAyNDQ0ODAwfQ.",
    "Oo_0RMgsQjxkIgh9RyARhPGSEOccDWQN2MMWlaPjbsM",
);

fn issuer() -> JwtIssuer {
    JwtIssuer {
        issuer: "https://id.example.com".into(),
        audience: "sluice".into(),
        algorithms: vec![JwtAlgorithm::HS256],
        secret: Some("interop-secret-of-thirty-two-bytes-or-more".into()),
        secret_file: None,
        public_key: None,
        public_key_file: None,
        jwks_file: None,
        jwks_url: None,
        jwks_ca_file: None,
        leeway: Span::secs(60),
        user_claim: "sub".into(),
        roles_claim: None,
        roles: Default::default(),
    }
}

async fn guarded(tls: &TlsConfig) -> Server {
    guarded_by(ACL, tls).await
}

pub async fn guarded_by(acl: &str, tls: &TlsConfig) -> Server {
    let rule =
        CertificateRule { from: CertificatePart::Dns, pattern: "*.clients.example".into(), user: "*".into() };
    let config = sluice_auth::Config { jwt: vec![issuer()], certificates: vec![rule], ..Default::default() };
    let clock = Arc::new(SystemClock);
    let auth = Arc::new(Auth::acl(config, clock.clone()).unwrap());
    let broker = Broker::open(Arc::new(MemoryLog::new()), auth, clock, Default::default()).unwrap();
    broker.change_access_as_operator(Command::ReplaceFile(AclFile::parse(acl).unwrap())).await.unwrap();
    Server::on(broker, Config::default(), tls)
}

#[tokio::test]
async fn a_token_is_a_passcode() {
    let server = guarded(&TlsConfig::default()).await;
    for login in ["login:interop-user\n", "login:jwt\n", "login:\n", ""] {
        let mut client = server.dial().await;
        client.say(&format!("CONNECT\naccept-version:1.2\n{login}passcode:{TOKEN}\n\n")).await;
        let got = client.frame().await;
        assert_eq!((&got.command[..], got.get("user-name")), ("CONNECTED", "interop-user"), "{login}");
    }
    let cut = &TOKEN[..TOKEN.len() - 1];
    for (login, passcode) in [("other", TOKEN), ("interop-user", cut), ("jwt", cut), ("jwt", "a-password")] {
        let mut client = server.dial().await;
        client.say(&format!("CONNECT\naccept-version:1.2\nlogin:{login}\npasscode:{passcode}\n\n")).await;
        assert_eq!(client.error().await.get("message"), "Access refused", "{login}");
    }
    server.stop().await;
}

/// Files of an authority, and of a server that it vouches for.
fn files(folder: &Path) -> (TlsConfig, Issuer<'static, KeyPair>) {
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    std::fs::write(folder.join("ca.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("cert.pem"), own.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    let tls = TlsConfig {
        cert: Some(folder.join("cert.pem")),
        key: Some(folder.join("key.pem")),
        client_ca: Some(folder.join("ca.pem")),
        client_auth: ClientAuth::Optional,
        ..TlsConfig::default()
    };
    (tls, issuer)
}

/// What the server says to a CONNECT of someone with this certificate.
async fn greeted(
    server: &Server,
    folder: &Path,
    issuer: &Issuer<'_, KeyPair>,
    dns: &str,
    connect: &str,
) -> String {
    let mut params = CertificateParams::new(vec![dns.into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "other");
    let key = KeyPair::generate().unwrap();
    let own = params.signed_by(&key, issuer).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![own.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    let socket = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    tls.write_all(connect.as_bytes()).await.unwrap();
    let mut text = String::new();
    loop {
        match tls.read_u8().await.unwrap() {
            0 => return text,
            byte => text.push(char::from(byte)),
        }
    }
}

#[tokio::test]
async fn a_certificate_stands_for_the_user_that_a_rule_names() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, issuer) = files(folder.path());
    let server = guarded(&tls).await;
    let greeted = async |dns: &str, more: &str| {
        let connect = format!("CONNECT\naccept-version:1.2\n{more}\n\0");
        greeted(&server, folder.path(), &issuer, dns, &connect).await
    };
    let known = greeted("till-1.clients.example", "").await;
    assert!(known.starts_with("CONNECTED\n") && known.contains("\nuser-name:till-1\n"), "{known}");
    let named = greeted("till-1.clients.example", "login:other\npasscode:others-secret\n").await;
    assert!(named.contains("\nuser-name:other\n"), "who says a name is asked for its secret: {named}");
    for (dns, more) in [
        ("till-2.clients.example", ""),
        ("till-1.example", ""),
        ("till-1.clients.example", "login:other\npasscode:wrong\n"),
    ] {
        let refused = greeted(dns, more).await;
        assert!(refused.starts_with("ERROR\n") && refused.contains("Access refused"), "{dns}: {refused}");
    }
    server.stop().await;
}

/// Names that look like another, that hold more than a name, or that are longer than one: none gets in, and none writes
/// a header of its own into the answer.
#[tokio::test]
async fn odd_logins_are_refused_and_not_repeated() {
    let server = guarded(&TlsConfig::default()).await;
    let long = "x".repeat(2000);
    for login in [
        "Other",
        "оther",
        "other\u{200b}",
        "other ",
        " other",
        "User:other",
        "other\\nuser-name:root",
        "other\\c",
        "other:others-secret",
        "*",
        &long,
    ] {
        let mut client = server.dial().await;
        client.say(&format!("CONNECT\naccept-version:1.2\nlogin:{login}\npasscode:others-secret\n\n")).await;
        let error = client.error().await;
        assert_eq!(error.get("message"), "Access refused", "{login}");
        assert!(error.find("user-name").is_none() && !error.text().contains("others-secret"), "{error:?}");
    }
    for passcode in ["others-secre", "others-secrets", "others-secret ", "\\nothers-secret", &long] {
        let mut client = server.dial().await;
        client.say(&format!("CONNECT\naccept-version:1.2\nlogin:other\npasscode:{passcode}\n\n")).await;
        assert_eq!(client.error().await.get("message"), "Access refused", "{passcode}");
    }
    server.stop().await;
}

#[tokio::test]
async fn durable_subscriptions_are_groups_with_policies_and_answers_need_none() {
    const POLICIES: &str = r#"
[[users]]
name = "reader"
secret = "s"
[[policies]]
subject = "reader"
resource = "Topic:*"
actions = ["Sub", "Pub", "Create"]
[[policies]]
subject = "reader"
resource = "Group:STOMP_D_till-1_*"
actions = ["Sub", "Create"]
"#;
    let server = guarded_by(POLICIES, &TlsConfig::default()).await;
    let connect = |client: &str| format!("login:reader\npasscode:s\nclient-id:{client}\n");
    let durable = "destination:/topic/news\nactivemq.subscriptionName:n";
    let mut client = server.connect_as("1.2", &connect("till-1")).await;
    client.ask(&format!("SUBSCRIBE\nid:1\n{durable}"), "").await;
    client.say("UNSUBSCRIBE\nid:1\nactivemq.subscriptionName:n\n\n").await;
    let error = client.error().await;
    assert_eq!(error.get("message"), "Access refused");
    assert!(error.text().contains("Delete Group:STOMP_D_till-1_n"), "{}", error.text());
    let mut client = server.connect_as("1.2", &connect("till-2")).await;
    client.say(&format!("SUBSCRIBE\nid:1\n{durable}\n\n")).await;
    assert!(client.error().await.text().contains("Sub Group:STOMP_D_till-2_n"));
    // Whoever is told the address of a mailbox may send there.
    let mut asker = server.connect_as("1.2", &connect("a")).await;
    asker.ask("SUBSCRIBE\nid:1\ndestination:/topic/questions", "").await;
    asker.say("SEND\ndestination:/topic/questions\nreply-to:/temp-queue/me\n\n").await;
    let address = asker.message("").await.get("reply-to").to_owned();
    let mut service = server.connect_as("1.1", &connect("b")).await;
    service.send(&address, "answer").await;
    asker.message("answer").await;
    server.stop().await;
}
