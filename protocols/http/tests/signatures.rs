//! Signed requests: what clients really send, what was changed on the way, and what was sent too late.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sluice_auth::{AclFile, Auth, Command};
use sluice_broker::Broker;
use sluice_http::Config;
use sluice_model::units::ByteSize;
use sluice_model::{Clock, ManualClock, Millis, SystemClock};
use sluice_net::{Connection, Drain, Protocol};
use sluice_store::MemoryLog;
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use support::{Server, server_on};
use tokio::net::TcpListener;

const ACL: &str = r#"
[[users]]
name = "AK"
superuser = true
secret = "new"
previous_secret = "SK"

[[users]]
name = "AccessKeyId"
superuser = true
secret = "secretExample"
"#;

fn at(time: &str) -> Millis {
    let since = humantime::parse_rfc3339(time).unwrap().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}

async fn guarded(clock: Arc<dyn Clock>) -> Server {
    let auth = Arc::new(Auth::acl(Default::default(), clock.clone()).unwrap());
    let broker = Broker::open(Arc::new(MemoryLog::new()), auth, clock, Default::default()).unwrap();
    broker.change_access_as_operator(Command::ReplaceFile(AclFile::parse(ACL).unwrap())).await.unwrap();
    server_on(broker, Config { max_signed_body: ByteSize(1000), ..Config::default() })
}

async fn guarded_at(time: &str) -> (Server, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(at(time)));
    (guarded(clock.clone()).await, clock)
}

const SIGNED_AT: &str = "2026-11-25T20:37:54Z";
const TARGET: &str = "/v1/topics/orders/messages?tag=b&key=a%2Cb&ack=stored";
const SCOPE: &str = "Credential=AK/20261125/local/mq/aws4_request";
const SIGNED: &str = "SignedHeaders=content-type;host;x-amz-date;x-mq-delay;x-mq-prop-a";
const SIGNATURE: &str = "Signature=72ca24a6af8d262fb76d3f1c35deecd8e450b484f5e5c0cea1cbd0a80d0a908d";

/// What curl 7.88 said when it was told `--aws-sigv4 aws:amz:local:mq -u AK:SK`, two headers of ours, and `-d hello`.
fn curl() -> Vec<String> {
    let authorization = format!("Authorization: AWS4-HMAC-SHA256 {SCOPE}, {SIGNED}, {SIGNATURE}");
    let rest = [
        "Host: 127.0.0.1:18999",
        "X-Amz-Date: 20261125T203754Z",
        "X-MQ-Delay: 1s",
        "X-MQ-Prop-A: 1  2 ",
        "Content-Type: text/plain",
    ];
    [authorization].into_iter().chain(rest.map(str::to_owned)).collect()
}

async fn send(server: &Server, method: &str, target: &str, headers: &[String], body: &str) -> (u16, String) {
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let answer = server.call(method, target, &headers, body.to_owned()).await;
    (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test]
async fn what_curl_signed_is_accepted_with_the_older_of_two_live_secrets() {
    let (server, _) = guarded_at(SIGNED_AT).await;
    let (status, body) = send(&server, "POST", TARGET, &curl(), "hello").await;
    assert_eq!(status, 201, "{body}");
}

/// The same request as other signers write it down: query sorted, path encoded once more (made with botocore).
#[tokio::test]
async fn other_signers_sort_the_query_and_encode_the_path_again() {
    let (server, _) = guarded_at(SIGNED_AT).await;
    let signed = |signature: &str, headers: &str| {
        format!("Authorization: AWS4-HMAC-SHA256 {SCOPE}, SignedHeaders={headers}, Signature={signature}")
    };
    let date = "X-Amz-Date: 20261125T203754Z".to_owned();
    let host = "Host: 127.0.0.1:18999".to_owned();
    let list = [
        signed("108db1e0001e9e160f217ef61a3fa5f588fe037b955df3ddd3cefe0cf4a4e51d", "host;x-amz-date"),
        date.clone(),
        host.clone(),
    ];
    let (status, body) = send(&server, "GET", "/v1/topics?prefix=o&limit=3", &list, "").await;
    assert_eq!(status, 200, "{body}");
    let batch = [
        signed(
            "f990da67f92962ddd465c45d9eecc2c3ba0a392bf62394bad5068598c1025f4a",
            "content-type;host;x-amz-date",
        ),
        date,
        host,
        "Content-Type: application/json".into(),
    ];
    let target = "/v1/topics/%25DLQ%25g/messages:batch?key=b&ack=stored&key=a%20b";
    let (status, body) = send(&server, "POST", target, &batch, "[]").await;
    assert!(status == 400 && body.contains("unknown-parameter"), "past the login: {body}");
    let once_more = target.replace("%25", "%2525");
    let (status, body) = send(&server, "POST", &once_more, &batch, "[]").await;
    assert_eq!(status, 401, "what was signed may not stand for a topic of another name: {body}");
}

#[tokio::test]
async fn whatever_is_changed_on_the_way_breaks_the_signature() {
    let refused = async |method: &str, target: &str, headers: Vec<String>, body: &str, what: &str| {
        let (server, _) = guarded_at(SIGNED_AT).await; // its own: who fails often must wait
        let (status, answer) = send(&server, method, target, &headers, body).await;
        assert_eq!(status, 401, "{what}: {answer}");
    };
    refused("PUT", TARGET, curl(), "hello", "method").await;
    refused("POST", TARGET, curl(), "hellp", "body").await;
    refused("POST", TARGET, curl(), "", "no body").await;
    for target in [
        "/v1/topics/order/messages?tag=b&key=a%2Cb&ack=stored",
        "/v1/topics/orders/messages?tag=c&key=a%2Cb&ack=stored",
        "/v1/topics/orders/messages?tag=b&key=a%2Cb",
        "/v1/topics/orders/messages",
        "/v1/topics/orders/messages:batch?tag=b&key=a%2Cb&ack=stored",
    ] {
        refused("POST", target, curl(), "hello", target).await;
    }
    let authorization = curl().remove(0);
    for (from, to) in [
        ("X-MQ-Delay: 1s", "X-MQ-Delay: 2s"),
        ("X-MQ-Delay: 1s", "X-MQ-Tag: b"),
        ("Host: 127.0.0.1:18999", "Host: 127.0.0.1:18998"),
        ("Content-Type: text/plain", "Content-Type: text/html"),
        ("Content-Type: text/plain", "Accept: text/plain"),
        ("X-Amz-Date: 20261125T203754Z", "X-Amz-Date: 20261125T203755Z"),
        ("X-Amz-Date: 20261125T203754Z", "X-Amz-Date: yesterday"),
        ("X-Amz-Date: 20261125T203754Z", "X-Amz-Date: 20261125T20375éZ"),
        ("X-Amz-Date: 20261125T203754Z", "X-Rmq-Date: 20261125T203754Z"),
    ] {
        let mut headers = curl();
        *headers.iter_mut().find(|header| *header == from).unwrap() = to.to_owned();
        refused("POST", TARGET, headers, "hello", to).await;
    }
    for extra in ["X-MQ-Key: more", "X-Amz-Date: 20261125T203754Z", "X-MQ-Delay: 1s", "Host: 127.0.0.1:18999"]
    {
        let mut headers = curl();
        headers.push(extra.to_owned());
        refused("POST", TARGET, headers, "hello", extra).await;
    }
    for (from, to) in [
        ("AK/", "AKK/"),
        ("AK/", "/"),
        ("AK/", ""),
        ("AK/", "ΑK/"),
        ("AK/", "AccessKeyId/"),
        ("20261125/", "20261126/"),
        ("20261125/", "2026112/"),
        ("local", "other"),
        ("/mq/", "/s3/"),
        ("/mq/", "/"),
        ("aws4_request", "aws4"),
        ("aws4_request", "rmq4_request"),
        ("AWS4-", "RMQ4-"),
        ("AWS4-", "aws4-"),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        ("content-type;", ""),
        ("content-type;host", "host;content-type"),
        ("host;", ""),
        ("host;", "host;host;"),
        ("x-amz-date;", ""),
        ("x-mq-delay;", ""),
        ("SignedHeaders=", "Signedheaders="),
        ("Signature=72", "Signature="),
        ("Signature=72ca", "Signature=72CA"),
        ("Signature=72", "Signature=zz"),
        ("Signature=", "Signature=00"),
        (", Signature=", ", Signature=00, Signature="),
        ("Credential=", "Credential=x, Credential="),
    ] {
        assert!(authorization.contains(from));
        let mut headers = curl();
        headers[0] = authorization.replacen(from, to, 1);
        refused("POST", TARGET, headers, "hello", to).await;
    }
    for length in "Authorization: ".len()..authorization.len() {
        let mut headers = curl();
        headers[0] = authorization.chars().take(length).collect();
        refused("POST", TARGET, headers, "hello", &format!("cut at {length}")).await;
    }
}

#[tokio::test]
async fn a_signature_with_a_temporary_key_is_refused() {
    let (server, _) = guarded_at(SIGNED_AT).await;
    let with = |token: &str| [curl(), vec![format!("X-Amz-Security-Token: {token}")]].concat();
    let (status, body) = send(&server, "POST", TARGET, &with("FwoGZXIvYXdzE"), "hello").await;
    assert!(status == 401 && body.contains("temporary credentials"), "{body}");
    assert_eq!(send(&server, "POST", TARGET, &with(""), "hello").await.0, 201, "no token at all");
}

#[tokio::test]
async fn a_signature_is_good_for_a_quarter_of_an_hour_either_way() {
    let (server, clock) = guarded_at(SIGNED_AT).await;
    for (forgiven, from) in
        [(true, -900), (true, 900), (false, -901), (false, 901), (false, -40_000_000), (false, 1_000_000_000)]
    {
        clock.set(at(SIGNED_AT).checked_add_signed(from * 1000).unwrap());
        let (status, body) = send(&server, "POST", TARGET, &curl(), "hello").await;
        assert_eq!(status, if forgiven { 201 } else { 401 }, "{from} s: {body}");
        let (wrong, problem) = send(&server, "POST", TARGET, &curl(), "hellp").await;
        assert_eq!(wrong, 401);
        assert!(problem.contains(if forgiven { "bad-signature" } else { "clock-skew" }), "{problem}");
        if !forgiven {
            assert!(body.contains("this broker's time"), "{body}");
        }
    }
}

#[tokio::test]
async fn a_signed_body_is_bounded() {
    let (server, _) = guarded_at(SIGNED_AT).await;
    let (status, body) = send(&server, "POST", TARGET, &curl(), &"x".repeat(1001)).await;
    assert!(status == 413 && body.contains("body-too-large"), "{body}");
}

const MQ_TARGET: &str = "/v1/topics/orders/messages?tag=b&key=a";
const MQ_DATE: &str = "Tue, 06 Jan 2026 08:00:00 GMT";

fn mq(text: &str) -> String {
    let mac = <Hmac<Sha1> as KeyInit>::new_from_slice(b"secretExample").unwrap();
    let signature = STANDARD.encode(mac.chain_update(text).finalize().into_bytes());
    format!("Authorization: MQ AccessKeyId:{signature}")
}

/// A publish as the cloud's clients sign it, with the digest of its body.
fn mq_post(digest: &str) -> Vec<String> {
    let text = format!("POST\n{digest}\ntext/xml\n{MQ_DATE}\nx-mq-version:2015-06-06\n{MQ_TARGET}");
    vec![
        mq(&text),
        format!("Content-MD5: {digest}"),
        "Content-Type: text/xml".into(),
        format!("Date: {MQ_DATE}"),
        "x-mq-version: 2015-06-06".into(),
    ]
}

/// The header is a mark of that protocol, and no metadata of a message of ours.
fn without_version(method: &str) -> Vec<String> {
    vec![mq(&format!("{method}\n\n\n{MQ_DATE}\n/v1/topics?limit=3&prefix=o")), format!("Date: {MQ_DATE}")]
}

#[tokio::test]
async fn the_clouds_signature_is_accepted_with_the_query_in_any_order() {
    let (server, clock) = guarded_at("2026-01-06T08:00:00Z").await;
    for target in ["/v1/topics?limit=3&prefix=o", "/v1/topics?prefix=o&limit=3"] {
        let (status, body) = send(&server, "GET", target, &without_version("GET"), "").await;
        assert_eq!(status, 200, "{body}");
    }
    for target in ["/v1/topics", "/v1/topics?limit=3&prefix=p", "/v1/groups?limit=3&prefix=o"] {
        let (status, body) = send(&server, "GET", target, &without_version("GET"), "").await;
        assert_eq!(status, 401, "{body}");
    }
    assert_eq!(
        send(&server, "GET", "/v1/topics?limit=3&prefix=o", &without_version("POST"), "").await.0,
        401
    );
    clock.advance(901_000);
    let (status, body) =
        send(&server, "GET", "/v1/topics?limit=3&prefix=o", &without_version("GET"), "").await;
    assert!(status == 401 && body.contains("this broker's time"), "{body}");
}

#[tokio::test]
async fn the_clouds_digest_is_that_of_the_body() {
    let (server, _) = guarded_at("2026-01-06T08:00:00Z").await;
    let digits = "5d41402abc4b2a76b9719d911017c592";
    let raw = STANDARD.encode(hex::decode(digits).unwrap());
    for digest in [digits, &raw, &STANDARD.encode(digits)] {
        let (status, body) = send(&server, "POST", MQ_TARGET, &mq_post(digest), "hello").await;
        assert!(status == 400 && body.contains("x-mq-version"), "past the login: {body}");
        let (status, body) = send(&server, "POST", MQ_TARGET, &mq_post(digest), "hellp").await;
        assert!(status == 401 && body.contains("Content-MD5"), "{body}");
    }
    let (status, _) = send(&server, "POST", MQ_TARGET, &mq_post(""), "hello").await;
    assert_eq!(status, 401, "an empty digest is one, and wrong");
}

#[tokio::test]
async fn what_is_no_signature_of_the_cloud_is_refused() {
    let send = async |headers: &[String]| {
        let (server, _) = guarded_at("2026-01-06T08:00:00Z").await; // its own: who fails often must wait
        send(&server, "GET", "/v1/topics?limit=3&prefix=o", headers, "").await
    };
    let good = without_version("GET");
    let authorization = good[0].clone();
    for length in "Authorization: MQ ".len()..authorization.len() {
        let headers = [authorization[..length].to_owned(), good[1].clone()];
        // Without its padding it is the same signature.
        let (status, _) = send(&headers).await;
        assert_eq!(status == 200, length == authorization.len() - 1, "cut at {length}");
    }
    for (wrong, date) in [
        (authorization.replace("AccessKeyId", "AccessKeyld"), MQ_DATE),
        (authorization.replace("AccessKeyId", "АccessKeyId"), MQ_DATE),
        (authorization.replace("AccessKeyId", "AK"), MQ_DATE),
        (authorization.replace("AccessKeyId", ""), MQ_DATE),
        (authorization.replace("MQ ", "mq "), MQ_DATE),
        (authorization.clone(), "Tue, 06 Jan 2026 08:00:01 GMT"),
        (authorization.clone(), "soon"),
        (authorization.clone(), "Thu, 01 Jan 1969 00:00:00 GMT"),
    ] {
        let headers = [wrong.clone(), format!("Date: {date}")];
        let (status, body) = send(&headers).await;
        assert_eq!(status, 401, "{wrong} {date}: {body}");
    }
    let (status, _) = send(&good[..1]).await;
    assert_eq!(status, 401, "no date");
}

/// The real curl, over a socket.
#[tokio::test]
async fn curl_itself_signs_what_is_accepted() {
    let server = guarded(Arc::new(SystemClock)).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let http = Arc::clone(&server.http);
    let serving = tokio::spawn(async move {
        loop {
            let (accepted, _) = listener.accept().await.unwrap();
            tokio::spawn(Arc::clone(&http).serve(Connection::plain(accepted).unwrap(), Drain::new()));
        }
    });
    let curl = async |secret: &str, target: &str, more: &[&str]| {
        let mut command = std::process::Command::new("curl");
        command.args(["-sS", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}"]);
        command.args(["--aws-sigv4", "aws:amz:local:mq", "-u", &format!("AK:{secret}")]).args(more);
        command.arg(format!("http://{address}{target}"));
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.unwrap().expect("curl is installed");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let post = "/v1/topics/orders/messages?tag=b&key=a%2Cb&ack=stored";
    for secret in ["new", "SK"] {
        assert_eq!(curl(secret, post, &["-d", "hello", "-H", "X-MQ-Prop-Colour: red  green"]).await, "201");
        assert_eq!(curl(secret, "/v1/topics?prefix=o&limit=3", &[]).await, "200");
        assert_eq!(curl(secret, "/v1/topics", &["--http2-prior-knowledge"]).await, "200");
        assert_eq!(curl(secret, "/v1/topics/%25DLQ%25g", &["-I"]).await, "404");
    }
    assert_eq!(curl("old", post, &["-d", "hello"]).await, "401");
    assert_eq!(curl("SK", post, &["-d", "hello", "-H", "X-Amz-Date: 20200101T000000Z"]).await, "401");
    assert_eq!(curl("SK", post, &["-d", &"x".repeat(1001)]).await, "413");
    serving.abort();
}
