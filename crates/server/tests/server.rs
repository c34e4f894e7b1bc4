//! A whole server in this process: one port for all, reload, drain, and a disk that fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that fails may say so

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use rustls_pki_types::ServerName;
use sluice_model::SystemClock;
use sluice_net::ListenAddr;
use sluice_server::Server;
use sluice_server::config::Config;
use sluice_store::sim::{Call, SimVfs};
use sluice_store::{LocalLog, MemoryLog};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

fn free_ports() -> Config {
    let mut config = Config::default();
    let listen = &mut config.listen;
    for at in [
        &mut listen.namesrv,
        &mut listen.remoting,
        &mut listen.http,
        &mut listen.stomp,
        &mut listen.kafka,
        &mut listen.all,
    ] {
        *at = ListenAddr::loopback(0);
    }
    config
}

async fn in_memory(config: Config) -> Server {
    Server::start_on(config, Arc::new(MemoryLog::new())).await.unwrap()
}

async fn connect(server: &Server, listener: &str) -> TcpStream {
    TcpStream::connect(server.address(listener).unwrap()).await.unwrap()
}

/// Sends a request and reads to the end of the connection.
async fn exchange(stream: &mut dyn Stream, request: &[u8]) -> String {
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("no answer in time").unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str, password: Option<&str>) -> Vec<u8> {
    let login = password.map_or_else(String::new, |password| {
        let plain = format!("ops:{password}");
        format!("Authorization: Basic {}\r\n", base64::engine::general_purpose::STANDARD.encode(plain))
    });
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{login}Connection: close\r\n\r\n").into_bytes()
}

/// A heartbeat-less STOMP session: connect and leave.
const STOMP: &[u8] = b"CONNECT\naccept-version:1.2\nhost:x\n\n\0DISCONNECT\nreceipt:bye\n\n\0";

/// A RocketMQ request with a JSON header: the cluster's brokers (code 106).
fn remoting() -> Vec<u8> {
    let header = br#"{"code":106,"language":"JAVA","version":1,"opaque":7,"flag":0}"#;
    let mut frame = (4 + header.len() as u32).to_be_bytes().to_vec();
    frame.extend((header.len() as u32).to_be_bytes());
    frame.extend(header);
    frame
}

async fn speaks_everything(server: &Server, tls: bool, mut open: impl AsyncFnMut() -> Box<dyn Stream>) {
    let http = exchange(&mut *open().await, &get("/livez", None)).await;
    assert!(http.starts_with("HTTP/1.1 200"), "{http}");
    let listed = exchange(&mut *open().await, &get("/v1/connections", None)).await;
    let shown = format!("\"listener\":\"all\",\"protocol\":\"http\",\"tls\":{tls},");
    assert!(listed.contains(&shown), "{listed}");
    let stomp = exchange(&mut *open().await, STOMP).await;
    assert!(stomp.starts_with("CONNECTED\n") && stomp.contains("receipt-id:bye"), "{stomp}");
    let mut client = open().await;
    client.write_all(&remoting()).await.unwrap();
    let mut length = [0; 4];
    timeout(DEADLINE, client.read_exact(&mut length)).await.unwrap().unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    client.read_exact(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let port = server.address("remoting").unwrap().port();
    assert!(answer.contains("\"opaque\":7") && answer.contains(&format!(":{port}")), "{answer}");
}

#[tokio::test]
async fn one_port_speaks_every_protocol_plain_and_in_tls() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = certificate(dir.path());
    let mut config = free_ports();
    config.tls.cert = Some(dir.path().join("cert.pem"));
    config.tls.key = Some(dir.path().join("key.pem"));
    let server = in_memory(config).await;
    speaks_everything(&server, false, async || Box::new(connect(&server, "all").await) as Box<dyn Stream>)
        .await;
    speaks_everything(&server, true, async || {
        let connector = trusting(&certificate);
        let name = ServerName::try_from("localhost").unwrap();
        Box::new(connector.connect(name, connect(&server, "all").await).await.unwrap()) as Box<dyn Stream>
    })
    .await;
    server.shutdown().await.unwrap();
}

fn certificate(dir: &Path) -> rcgen::Certificate {
    let key = rcgen::KeyPair::generate().unwrap();
    let made =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(dir.join("cert.pem"), made.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
    made
}

fn trusting(certificate: &rcgen::Certificate) -> tokio_rustls::TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config).into()
}

#[tokio::test]
async fn the_access_file_is_applied_at_start_on_reload_and_on_change() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("acl.toml");
    let write = |password: &str| {
        let text = format!("[[users]]\nname = \"ops\"\nsuperuser = true\npassword = \"{password}\"\n");
        std::fs::write(&file, text).unwrap();
    };
    write("first-password");
    let mut config = free_ports();
    config.auth.mode = sluice_auth::Mode::Acl;
    config.auth.file = Some(file.clone());
    let server = in_memory(config).await;
    let logs_in = async |password: &str| {
        let answer = exchange(&mut connect(&server, "http").await, &get("/v1/whoami", Some(password))).await;
        answer.starts_with("HTTP/1.1 200")
    };
    assert!(logs_in("first-password").await);
    assert!(!logs_in("other-password").await);

    write("second-password");
    server.reload().await;
    assert!(logs_in("second-password").await && !logs_in("first-password").await);

    std::fs::write(&file, "[[users]]\nnaem = 1\n").unwrap();
    server.reload().await;
    assert!(logs_in("second-password").await, "a file that cannot be used changes nothing");

    write("third-password, by itself");
    let start = Instant::now();
    while !logs_in("third-password, by itself").await {
        assert!(start.elapsed() < DEADLINE, "the change was not noticed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_long_poll_is_answered_at_shutdown() {
    let server = in_memory(free_ports()).await;
    let mut client = connect(&server, "http").await;
    let topic = b"PUT /v1/topics/t HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}";
    client.write_all(topic).await.unwrap();
    let mut answer = [0; 4_096];
    assert!(client.read(&mut answer).await.unwrap() > 0);
    let poll = b"POST /v1/groups/g/receive?topic=t&wait=50s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    client.write_all(poll).await.unwrap();
    let start = Instant::now();
    while !exchange(&mut connect(&server, "http").await, &get("/metrics", None))
        .await
        .contains("sluice_http_waiting 1")
    {
        assert!(start.elapsed() < DEADLINE, "the poll does not wait");
    }
    let stopped = Instant::now();
    let (outcome, rest) = tokio::join!(server.shutdown(), exchange(&mut client, b""));
    outcome.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200") && rest.contains("\"messages\":[]"), "{rest}");
    assert!(stopped.elapsed() < Duration::from_secs(9), "{:?}", stopped.elapsed());
}

#[tokio::test]
async fn a_disk_that_fails_is_told_and_nothing_is_acknowledged() {
    let disk = SimVfs::new();
    let config = free_ports();
    let log = LocalLog::open_on(
        Arc::new(disk.clone()),
        Path::new("/data"),
        config.store.clone(),
        Arc::new(SystemClock),
    );
    let server = Server::start_on(config, Arc::new(log.unwrap())).await.unwrap();
    let publish = async || {
        let request = b"POST /v1/topics/t/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
        exchange(&mut connect(&server, "http").await, request).await
    };
    let before = publish().await;
    assert!(before.starts_with("HTTP/1.1 201"), "{before}");
    disk.fail(Call::Sync, 1, 5); // EIO
    let after = publish().await;
    assert!(after.starts_with("HTTP/1.1 5"), "{after}");
    timeout(DEADLINE, server.failed()).await.expect("the failure is told");
    let ready = exchange(&mut connect(&server, "http").await, &get("/readyz", None)).await;
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    assert!(server.shutdown().await.is_err());
}
