//! Requests as the cloud's Go, C++, PHP and C# SDKs wrote them to a socket, byte for byte, dates and signatures included.
//!
//! They were recorded: seven each, on one connection, for a user `AccessKeyId` with the secret `secretExample`. What is odd in
//! them is theirs: the Go SDK has no namespace, the C# one writes a byte-order mark and sends a body with every GET, the
//! C++ one sends the memory of its last body with the GETs that follow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/mq.rs"]
mod mq;
mod support;

use mq::{Cloud, cloud};
use sluice_net::{Connection, Drain, Protocol};
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use support::PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Each request of a recording.
fn requests(mut recording: &[u8]) -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    while !recording.is_empty() {
        let head = recording.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
        let text = std::str::from_utf8(&recording[..head]).unwrap().to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let end = head + length.map_or(0, |length| length.trim().parse::<usize>().unwrap());
        requests.push(recording[..end].to_vec());
        recording = &recording[end..];
    }
    requests
}

struct Wire(TcpStream);

impl Wire {
    async fn open(cloud: &Cloud) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let conn = Connection::plain(accepted).unwrap();
        tokio::spawn(Arc::clone(&cloud.server.http).serve(conn, Drain::new()));
        Self(socket)
    }

    /// Sends one request; the status line, the head and the body of its answer.
    async fn ask(&mut self, request: &[u8]) -> (String, String, String) {
        self.0.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        let head = loop {
            if let Some(at) = answer.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
            self.more(&mut answer).await;
        };
        let text = String::from_utf8(answer[..head].to_vec()).unwrap();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse::<usize>().unwrap());
        while answer.len() < head + length {
            self.more(&mut answer).await;
        }
        let body = String::from_utf8(answer[head..].to_vec()).unwrap();
        (text.lines().next().unwrap().to_owned(), text, body)
    }

    async fn more(&mut self, answer: &mut Vec<u8>) {
        let mut piece = [0; 4096];
        let n = tokio::time::timeout(PATIENCE, self.0.read(&mut piece)).await.expect("no answer").unwrap();
        assert!(n > 0, "closed after {}", String::from_utf8_lossy(answer));
        answer.extend_from_slice(&piece[..n]);
    }
}

/// Moves the broker's clock to when a request was signed.
fn at_its_time(cloud: &Cloud, request: &[u8]) {
    use sluice_model::Clock;
    let text = String::from_utf8_lossy(request);
    let date = text.lines().find_map(|line| line.strip_prefix("Date:")).unwrap();
    let date = httpdate::parse_http_date(date.trim()).unwrap().duration_since(UNIX_EPOCH).unwrap();
    let date = date.as_millis() as u64;
    if date > cloud.clock.now() {
        cloud.clock.advance(date - cloud.clock.now());
    }
}

const NAMESPACE: &str = "xmlns=\"http://mq.aliyuncs.com/doc/v1\"";

async fn replay(recording: &[u8], properties: &str) {
    let cloud = cloud().await;
    let requests = requests(recording);
    let mut wire = Wire::open(&cloud).await;
    let mut answers = Vec::new();
    for (n, request) in requests.iter().enumerate() {
        at_its_time(&cloud, request);
        if n == 5 {
            // The first check of the half message is due.
            cloud.clock.advance(10_000);
            cloud.server.broker.check_due().await.unwrap();
        }
        let answer = wire.ask(request).await;
        assert!(
            answer.1.contains("\r\nx-mq-request-id: ")
                && answer.1.contains("\r\nx-mq-version: 2015-06-06\r\n")
        );
        answers.push(answer);
    }
    let statuses: Vec<&str> = answers.iter().map(|(status, ..)| status.as_str()).collect();
    assert_eq!(
        statuses,
        [
            "HTTP/1.1 201 Created",
            "HTTP/1.1 200 OK",
            "HTTP/1.1 404 Not Found",
            "HTTP/1.1 404 Not Found",
            "HTTP/1.1 201 Created",
            "HTTP/1.1 200 OK",
            "HTTP/1.1 404 Not Found"
        ],
        "{answers:#?}"
    );
    let body = |n: usize| answers[n].2.as_str();
    let has = |n: usize, text: &str| assert!(body(n).contains(text), "{text} in {}", body(n));
    has(0, &format!("<Message {NAMESPACE}><MessageId>"));
    has(1, "<MessageBody>h\u{e9}llo &lt;&amp;&gt; \u{4e16}\u{754c}\n</MessageBody>");
    has(1, "<MessageTag>TagA</MessageTag>");
    has(1, &format!("<Properties>{properties}</Properties></Message></Messages>"));
    has(2, &format!("<Error {NAMESPACE}><Code>MessageNotExist</Code>"));
    has(3, &format!("<Errors {NAMESPACE}><Error><ErrorCode>ReceiptHandleError</ErrorCode>"));
    has(3, "<ReceiptHandle>h1</ReceiptHandle></Error><Error>");
    has(3, "<ReceiptHandle>h2</ReceiptHandle></Error></Errors>");
    has(4, "<ReceiptHandle>T");
    has(5, "<MessageBody>half</MessageBody>");
    has(6, &format!("<Errors {NAMESPACE}><Error><ErrorCode>ReceiptHandleError</ErrorCode>"));
}

#[tokio::test]
async fn go() {
    replay(include_bytes!("golden/go.http"), "KEYS:order-17|__SHARDINGKEY:s1|colour:red|").await;
}

#[tokio::test]
async fn cpp() {
    replay(include_bytes!("golden/cpp.http"), "KEYS:order-17|__SHARDINGKEY:s1|colour:red|").await;
}

#[tokio::test]
async fn php() {
    replay(include_bytes!("golden/php.http"), "KEYS:order-17|__SHARDINGKEY:s1|colour:red|").await;
}

#[tokio::test]
async fn csharp() {
    replay(include_bytes!("golden/csharp.http"), "KEYS:order-17|__SHARDINGKEY:s1|colour:red|").await;
}

#[tokio::test]
async fn a_changed_byte_is_not_let_in() {
    let cloud = cloud().await;
    let mut request = requests(include_bytes!("golden/go.http")).remove(1);
    at_its_time(&cloud, &request);
    let at = request.windows(5).position(|window| window == b"GID_a").unwrap();
    request[at + 4] = b'b';
    let (status, _, body) = Wire::open(&cloud).await.ask(&request).await;
    assert_eq!(status, "HTTP/1.1 403 Forbidden");
    assert!(body.contains("<Code>SignatureDoesNotMatch</Code>"), "{body}");
}
