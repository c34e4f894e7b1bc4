//! TLS as a stranger meets it: openssl and curl against every listener, with the certificates of `sluice cert dev`.

use sluice_net::{CertificateFiles, ClientAuth, TlsMode};
use sluice_server::cli::DevCert;
use sluice_server::config::Config;
use sluice_server::dev_cert;
use sluice_tests::TestServer;
use sluice_tests::wires::set_up;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What `sluice cert dev` makes, with a certificate for a client named `app`.
struct Certificates(TempDir);

impl Certificates {
    fn make() -> Self {
        set_up("curl"); // brings openssl along
        let folder = tempfile::tempdir().expect("a temporary folder");
        let wanted =
            DevCert { dir: folder.path().to_owned(), host: Vec::new(), client: vec!["app".to_owned()] };
        dev_cert::make(&wanted).unwrap_or_else(|e| panic!("{e}"));
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// One more certificate, of another kind of key, which signs for itself.
    fn rsa(&self, host: &str) -> CertificateFiles {
        let files = CertificateFiles { cert: self.path("rsa.pem"), key: self.path("rsa.key") };
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=rsa"])
            .args(["-addext", &format!("subjectAltName=DNS:{host}"), "-out"])
            .arg(&files.cert)
            .arg("-keyout")
            .arg(&files.key)
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{}", text(&made));
        files
    }

    fn server(&self, change: impl FnOnce(&mut Config)) -> TestServer {
        TestServer::start_with(|config| {
            for more in [&mut config.listen.all, &mut config.listen.metrics] {
                *more = "0".parse().expect("a listen value");
            }
            config.tls.cert = Some(self.path("server.pem"));
            config.tls.key = Some(self.path("server.key"));
            change(config);
        })
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// One handshake; what openssl says of it.
fn s_client(server: &TestServer, listener: &str, ca: &Path, more: &[&str]) -> Result<String, String> {
    let output = Command::new("timeout")
        .args(["20", "openssl", "s_client", "-brief", "-verify_return_error", "-connect"])
        .arg(server.address(listener).to_string())
        .arg("-CAfile")
        .arg(ca)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("openssl runs");
    if output.status.success() { Ok(text(&output)) } else { Err(text(&output)) }
}

fn curl(args: &[&str], ca: &Path, url: &str) -> Result<String, String> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "20", "--cacert"])
        .arg(ca)
        .args(args)
        .arg(url)
        .output()
        .expect("curl runs");
    if output.status.success() { Ok(text(&output)) } else { Err(text(&output)) }
}

#[test]
fn every_listener_speaks_both_versions() {
    let certificates = Certificates::make();
    let server = certificates.server(|_| ());
    for listener in server.listeners() {
        for (flag, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let said = s_client(
                &server,
                listener,
                &certificates.path("ca.pem"),
                &[flag, "-servername", "localhost"],
            );
            let said = said.unwrap_or_else(|said| panic!("{listener} {version}: {said}"));
            assert!(said.contains(&format!("Protocol version: {version}")), "{listener}: {said}");
            assert!(said.contains("Verification: OK"), "{listener}: {said}");
        }
    }
    let server = certificates.server(|config| config.tls.min_version = sluice_net::MinTlsVersion::V1_3);
    let refused = s_client(&server, "stomp", &certificates.path("ca.pem"), &["-tls1_2"]);
    let said = refused.expect_err("1.2 is not spoken");
    assert!(said.contains("protocol version"), "{said}");
}

#[test]
fn alpn_is_agreed_where_there_is_a_choice() {
    let certificates = Certificates::make();
    let server = certificates.server(|_| ());
    let agreed = |listener, offered| {
        let more = ["-alpn", offered, "-servername", "localhost"];
        // Not in the brief form.
        let output = Command::new("timeout")
            .args(["20", "openssl", "s_client", "-connect", &server.address(listener).to_string()])
            .args(more)
            .stdin(Stdio::null())
            .output()
            .expect("openssl runs");
        let said = text(&output);
        said.lines().find_map(|line| line.strip_prefix("ALPN protocol: ").map(str::to_owned))
    };
    assert_eq!(agreed("http", "h2,http/1.1").as_deref(), Some("h2"));
    assert_eq!(agreed("http", "http/1.1").as_deref(), Some("http/1.1"));
    assert_eq!(agreed("all", "h2").as_deref(), Some("h2"));
    assert_eq!(agreed("stomp", "h2"), None, "nothing is agreed where nothing is offered");
}

#[test]
fn a_client_is_shown_a_certificate_for_the_name_it_asks_for_and_of_a_kind_it_understands() {
    let certificates = Certificates::make();
    let rsa = certificates.rsa("old.example");
    let files = rsa.clone();
    let server = certificates.server(|config| config.tls.certificates = vec![files]);
    let ca = certificates.path("ca.pem");
    for listener in server.listeners() {
        let shown = |ca: &Path, more: &[&str]| {
            s_client(&server, listener, ca, more).unwrap_or_else(|said| panic!("{listener} {more:?}: {said}"))
        };
        let said = shown(&ca, &["-servername", "localhost"]);
        assert!(said.contains("Peer certificate: CN = localhost"), "{listener}: {said}");
        let said = shown(&rsa.cert, &["-servername", "old.example"]);
        assert!(said.contains("Peer certificate: CN = rsa"), "{listener}: {said}");
        let only_rsa = ["-servername", "localhost", "-sigalgs", "RSA-PSS+SHA256:RSA+SHA256"];
        let said = shown(&rsa.cert, &only_rsa);
        assert!(said.contains("Peer certificate: CN = rsa"), "the one that it understands: {said}");
    }
}

#[test]
fn every_listener_asks_for_certificates_of_clients_as_it_is_told() {
    let certificates = Certificates::make();
    let ca = certificates.path("ca.pem");
    let (cert, key) = (certificates.path("app.pem"), certificates.path("app.key"));
    let own = ["-cert", cert.to_str().expect("a path"), "-key", key.to_str().expect("a path")];
    for (client_auth, asked, anonymous) in [
        (ClientAuth::None, false, true),
        (ClientAuth::Optional, true, true),
        (ClientAuth::Required, true, false),
    ] {
        let server = certificates.server(|config| {
            config.tls.client_auth = client_auth;
            config.tls.client_ca = asked.then(|| ca.clone());
        });
        for listener in server.listeners() {
            // In 1.2 a client is refused within the handshake, in 1.3 only when it reads.
            let shake = |own: &[&str]| {
                let more = [&["-tls1_2", "-servername", "localhost"], own].concat();
                s_client(&server, listener, &ca, &more)
            };
            let stranger = shake(&[]);
            assert_eq!(stranger.is_ok(), anonymous, "{client_auth:?} at {listener}: {stranger:?}");
            shake(&own).unwrap_or_else(|said| panic!("{client_auth:?} at {listener}: {said}"));
        }
    }
}

#[test]
fn every_listener_shows_a_changed_certificate_without_a_restart() {
    let certificates = Certificates::make();
    let server = certificates.server(|_| ());
    let renewed = certificates.rsa("localhost");
    let old = certificates.path("ca.pem");
    for listener in server.listeners() {
        s_client(&server, listener, &old, &["-servername", "localhost"]).expect("the first one");
    }
    std::fs::copy(&renewed.cert, certificates.path("server.pem")).expect("a copy");
    std::fs::copy(&renewed.key, certificates.path("server.key")).expect("a copy");
    let began = Instant::now();
    for listener in server.listeners() {
        while s_client(&server, listener, &renewed.cert, &["-servername", "localhost"]).is_err() {
            assert!(began.elapsed() < PATIENCE, "{listener} shows the old one");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn every_listener_gives_up_on_handshakes_that_do_not_end() {
    let certificates = Certificates::make();
    let server = certificates.server(|config| {
        config.net.handshake_timeout = Duration::from_secs(2);
        config.net.sniff_timeout = Duration::from_secs(1);
        config.net.max_handshakes = 8;
        config.net.max_handshakes_per_ip = 2;
    });
    for listener in server.listeners() {
        // As many as may go on at once, one more, and one that does not even begin.
        let begun: [&[u8]; 4] = [&[0x16, 3, 1], &[0x16, 3, 1], &[0x16, 3, 1], &[]];
        let stalled: Vec<TcpStream> = begun
            .iter()
            .map(|begun| {
                let mut socket = TcpStream::connect(server.address(listener)).expect("it listens");
                socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
                socket.write_all(begun).expect("it is read");
                socket
            })
            .collect();
        for mut socket in stalled {
            // What waits for its turn is given up with those that have it. An alert may come before the end.
            let end = socket.read_to_end(&mut Vec::new());
            let cut = end.as_ref().is_err_and(|e| e.kind() == ErrorKind::ConnectionReset);
            assert!(cut || end.is_ok(), "{listener}: {end:?}");
        }
        s_client(&server, listener, &certificates.path("ca.pem"), &["-servername", "localhost"])
            .unwrap_or_else(|said| panic!("{listener}: {said}"));
    }
}

#[test]
fn curl_speaks_both_http_versions_and_shows_a_certificate_of_its_own() {
    let certificates = Certificates::make();
    let ca = certificates.path("ca.pem");
    for (client_auth, anonymous) in
        [(ClientAuth::None, true), (ClientAuth::Optional, true), (ClientAuth::Required, false)]
    {
        let server = certificates.server(|config| {
            config.tls.client_auth = client_auth;
            config.tls.client_ca = (client_auth != ClientAuth::None).then(|| ca.clone());
        });
        let url = format!("https://localhost:{}/livez", server.address("http").port());
        let (cert, key) = (certificates.path("app.pem"), certificates.path("app.key"));
        let own = ["--cert", cert.to_str().expect("a path"), "--key", key.to_str().expect("a path")];
        for version in ["--http1.1", "--http2"] {
            let known = curl(&[&own[..], &[version, "--write-out", "%{http_version}"]].concat(), &ca, &url);
            let known = known.unwrap_or_else(|said| panic!("{client_auth:?} {version}: {said}"));
            assert!(known.ends_with(if version == "--http2" { "2" } else { "1.1" }), "{known}");
            let stranger = curl(&[version], &ca, &url);
            assert_eq!(stranger.is_ok(), anonymous, "{client_auth:?} {version}: {stranger:?}");
        }
    }
}

#[test]
fn plain_clients_are_told_in_the_words_of_their_wire_where_tls_is_required() {
    let certificates = Certificates::make();
    let server = certificates.server(|config| config.tls.mode = TlsMode::Required);
    let http = ("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n");
    let stomp = ("CONNECT\naccept-version:1.2\nhost:x\n\n\0", "ERROR\nmessage:TLS required\n");
    let header =
        r#"{"code":105,"opaque":1,"flag":0,"version":479,"language":"JAVA","extFields":{"topic":"t"}}"#;
    let head = [0, 0, 0, 4 + header.len() as u8, 0, 0, 0, header.len() as u8];
    let remoting = [&head[..], header.as_bytes()].concat();
    let remoting = (std::str::from_utf8(&remoting).expect("all below 128"), "");
    // ApiVersions of version 0, of a client without a name; this wire has no error for it.
    let kafka = ("\0\0\0\u{a}\0\u{12}\0\0\0\0\0\u{1}\0\0", "");
    let told = [
        ("namesrv", remoting),
        ("remoting", remoting),
        ("http", http),
        ("stomp", stomp),
        ("kafka", kafka),
        ("metrics", http),
        ("all", remoting),
        ("all", http),
        ("all", stomp),
        ("all", kafka),
    ];
    for listener in server.listeners() {
        assert!(told.iter().any(|(name, _)| *name == listener), "nobody speaks plain text to {listener}");
    }
    for (listener, (said, answer)) in told {
        let mut socket = TcpStream::connect(server.address(listener)).expect("it listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        socket.write_all(said.as_bytes()).expect("it is read");
        let mut heard = String::new();
        socket.read_to_string(&mut heard).unwrap_or_else(|e| panic!("{listener}: not closed: {e}"));
        assert!(heard.starts_with(answer), "{listener}: {heard:?}");
        assert_eq!(heard.is_empty(), answer.is_empty(), "{listener}: {heard:?}");
    }
    let port = server.address("http").port();
    curl(&[], &certificates.path("ca.pem"), &format!("https://localhost:{port}/livez"))
        .expect("TLS is welcome");
}
