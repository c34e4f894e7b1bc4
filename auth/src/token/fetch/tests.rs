use super::*;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server on loopback that reads a request's head and says this to it.
async fn says(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let (listener, answer) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), answer.into());
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            head(&mut socket).await;
            // It may have been cut off for saying too much.
            let _ = socket.write_all(&answer).await;
        }
    });
    address
}

async fn head(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        let mut byte = [0];
        if socket.read(&mut byte).await.unwrap_or(0) == 0 {
            break;
        }
        text.push(byte[0] as char);
    }
    text
}

fn document(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn fetch(address: SocketAddr) -> Result<Vec<u8>> {
    let url = KeyUrl::new(&format!("http://{address}/keys?set=1"), None).unwrap();
    tokio::time::timeout(PATIENCE, url.fetch()).await.expect("no answer")
}

#[test]
fn only_what_can_prove_itself_is_a_url_of_keys() {
    for (url, why) in [
        ("", "no URL"),
        ("/keys", "no host"),
        ("ftp://id.example/keys", "only https"),
        ("http://id.example/keys", "only https"),
        ("http://127.0.0.1.id.example/keys", "only https"),
        ("http://localhost.id.example/keys", "only https"),
        ("http://10.0.0.1/keys", "only https"),
        ("https://user:secret@id.example/keys", "credentials"),
        ("http://id.example@127.0.0.1/keys", "credentials"),
        ("https://a_b!/keys", ""),
    ] {
        let error = KeyUrl::new(url, None).err().unwrap_or_else(|| panic!("{url} accepted")).to_string();
        assert!(error.contains(why), "{url}: {error}");
    }
    for url in ["http://127.0.0.1:1/", "http://[::1]:1/keys", "http://localhost/keys"] {
        KeyUrl::new(url, None).unwrap();
    }
    assert!(KeyUrl::new("http://127.0.0.1/", Some(Path::new("ca.pem"))).is_err());
    assert!(KeyUrl::new("https://127.0.0.1/", Some(Path::new("/nowhere/ca.pem"))).is_err());
}

#[tokio::test]
async fn a_document_comes_whole_or_not_at_all() {
    assert_eq!(fetch(says(document("200 OK", "{}")).await).await.unwrap(), b"{}");
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
    assert_eq!(fetch(says(chunked).await).await.unwrap(), b"{}");
    assert_eq!(fetch(says("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}").await).await.unwrap(), b"{}");

    let large = " ".repeat(MAX_DOCUMENT + 1);
    for (answer, why) in [
        (document("404 Not Found", "{}"), "404"),
        (document("500 Oh", "{}"), "500"),
        (document("302 Found\r\nlocation: http://127.0.0.1:1/", "{}"), "302"),
        (document("200 OK", &large), "limit"),
        (format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{large}"), "limit"),
        (format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(4 * MAX_HEAD)), "fetched"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}".to_owned(), ""),
        ("SSH-2.0-hello\r\n\r\n".to_owned(), "fetched"),
        (String::new(), "fetched"),
    ] {
        let error = fetch(says(answer.clone()).await).await.unwrap_err().to_string();
        assert!(error.contains(why), "{}: {error}", &answer[..answer.len().min(60)]);
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(fetch(nobody).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

/// An authority of its own, and a server that proves itself with it.
async fn secure(body: &str) -> (SocketAddr, tempfile::TempDir) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(vec![]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = authority.self_signed(&key).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    let (acceptor, listener) =
        (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (address, answer) = (listener.local_addr().unwrap(), document("200 OK", body));
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut socket) = acceptor.accept(socket).await else { continue };
            head(&mut socket).await;
            let _ = socket.write_all(answer.as_bytes()).await;
            let _ = socket.shutdown().await;
        }
    });
    (address, folder)
}

#[tokio::test]
async fn https_proves_the_place_by_name_and_authority() {
    let (address, folder) = secure("{}").await;
    let (_, other) = secure("{}").await;
    let get = async |host: &str, folder: &tempfile::TempDir| {
        let url = format!("https://{host}:{}/keys", address.port());
        KeyUrl::new(&url, Some(&folder.path().join("ca.pem"))).unwrap().fetch().await
    };
    assert_eq!(get("localhost", &folder).await.unwrap(), b"{}");
    assert!(get("127.0.0.1", &folder).await.is_err(), "another name than the certificate's");
    assert!(get("localhost", &other).await.is_err(), "an authority that did not sign it");
}

/// What a set of keys is told over time, and how often it asked.
#[tokio::test]
async fn keys_are_fetched_again_for_an_unknown_one_and_stay_when_the_issuer_is_down() {
    use crate::token::key_set::{KeySet, Pace, Source};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let key = |kid: &str| {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"{kid}"}}"#)
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, keys) = (asked.clone(), [key("one"), key("two")]);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            head(&mut socket).await;
            let body = match count.fetch_add(1, Ordering::SeqCst) {
                0 => document("503 Not yet", ""),
                1 => document("200 OK", &format!(r#"{{"keys":[{}]}}"#, keys[0])),
                2 => document("200 OK", "<html>an error page</html>"),
                _ => document("200 OK", &format!(r#"{{"keys":[{}, {}]}}"#, keys[0], keys[1])),
            };
            let _ = socket.write_all(body.as_bytes()).await;
        }
    });
    let shortest = Duration::from_millis(100);
    let pace = Pace { shortest, longest: Duration::from_secs(3600), patience: PATIENCE };
    let source = Source::Url(Box::new(KeyUrl::new(&url, None).unwrap()));
    let set = Arc::new(KeySet::open(source, &[crate::JwtAlgorithm::EdDSA]).unwrap().with_pace(pace));
    assert!(set.select(Some("one"), 0).is_err(), "nothing is fetched yet, and nothing waited for");
    let began = Instant::now();
    let fresh = Arc::clone(&set);
    tokio::spawn(async move { fresh.keep_fresh("id.example").await });

    let until = async |kid: &str| {
        while set.select(Some(kid), 0).is_err() {
            assert!(began.elapsed() < PATIENCE, "{kid} did not come");
            assert!(set.select(Some("one"), 0).is_ok() || kid == "one", "what was there stays");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    until("one").await;
    until("two").await;
    assert!(set.select(Some("../one"), 0).is_err() && set.select(None, 0).is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 4);
    assert!(began.elapsed() >= 3 * shortest, "never more often than that");
}
