//! The same over a socket: order, silence, pushes, malformed frames, the end.

use super::property_list;
use crate::codec::{self, Ext, FLAG_ONE_WAY, Frame, Head, MAX_FRAME, Spelling};
use crate::{Config, Remoting};
use bytes::{Bytes, BytesMut};
use sluice_broker::Broker;
use sluice_net::{Detect, ListenAddr, Network, Protocol};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(10);

struct Server {
    network: Network,
    address: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let network =
            Network::start(&sluice_net::Config::default(), &sluice_net::TlsConfig::default()).unwrap();
        let listener = network.bind("remoting", &ListenAddr::loopback(0)).unwrap().unwrap();
        let address = listener.address();
        let remoting = Remoting::new(Broker::in_memory(), Config::default(), Arc::default());
        listener.serve(vec![Arc::new(remoting)]).unwrap();
        Self { network, address }
    }

    async fn client(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap(), buf: BytesMut::new() }
    }
}

struct Client {
    stream: TcpStream,
    buf: BytesMut,
}

fn request(code: i32, opaque: i32, flag: i32, fields: &[(&str, &str)], body: &str) -> Bytes {
    let mut ext = Ext::default();
    fields.iter().for_each(|(n, v)| ext.push(*n, *v));
    let head = Head { code, language: 0, version: 479, opaque, flag, remark: None };
    let body = Bytes::copy_from_slice(body.as_bytes());
    codec::encode(&Frame { head, ext, body, spelling: Spelling::Json })
}

fn send(opaque: i32, flag: i32, queue: &str) -> Bytes {
    let list = property_list(&[("UNIQ_KEY", "U")]);
    let fields =
        [("a", "P"), ("b", "T"), ("d", "4"), ("e", queue), ("f", "0"), ("g", "1"), ("h", "0"), ("i", &list)];
    request(310, opaque, flag, &fields, "body")
}

fn pull(opaque: i32, offset: &str) -> Bytes {
    let fields = [
        ("consumerGroup", "CG"),
        ("topic", "T"),
        ("queueId", "0"),
        ("queueOffset", offset),
        ("maxMsgNums", "32"),
        ("sysFlag", "6"),
        ("commitOffset", "0"),
        ("suspendTimeoutMillis", "30000"),
        ("subscription", "*"),
    ];
    request(11, opaque, 0, &fields, "")
}

impl Client {
    async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame; nothing when the server closes.
    async fn read(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = codec::decode(&mut self.buf, MAX_FRAME).unwrap() {
                return Some(frame);
            }
            let n =
                timeout(PATIENCE, self.stream.read_buf(&mut self.buf)).await.expect("bytes in time").unwrap();
            if n == 0 {
                assert!(self.buf.is_empty(), "closed within a frame");
                return None;
            }
        }
    }
}

#[tokio::test]
async fn a_parked_pull_does_not_hold_up_what_follows() {
    let server = Server::start();
    let mut client = server.client().await;
    client.write(&send(1, 0, "0")).await;
    let sent = client.read().await.unwrap();
    assert_eq!((sent.head.opaque, sent.head.code, sent.head.flag), (1, 0, 1));
    client.write(&pull(2, "1")).await;
    client.write(&request(105, 3, 0, &[("topic", "T")], "")).await;
    assert_eq!(client.read().await.unwrap().head.opaque, 3);
    client.write(&send(4, 0, "0")).await;
    let mut answers = [client.read().await.unwrap(), client.read().await.unwrap()];
    answers.sort_by_key(|a| a.head.opaque);
    assert_eq!((answers[0].head.opaque, answers[0].head.code), (2, 0));
    assert_eq!(answers[0].ext.get("nextBeginOffset").unwrap(), "2");
    assert!(answers[0].body.ends_with(b"\x02") && answers[0].body.len() > 91);
    server.network.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn one_way_requests_are_never_answered() {
    let server = Server::start();
    let mut client = server.client().await;
    client.write(&send(1, FLAG_ONE_WAY, "0")).await;
    client.write(&send(2, FLAG_ONE_WAY, "99")).await;
    client.write(&request(31_000, 3, FLAG_ONE_WAY, &[], "")).await;
    for (code, _) in crate::codes::ALL {
        client.write(&request(code, code, FLAG_ONE_WAY, &[], "")).await;
    }
    client.write(&request(30, 4, 0, &[("topic", "T"), ("queueId", "0")], "")).await;
    let only = client.read().await.unwrap();
    assert_eq!((only.head.opaque, &only.ext.get("offset").unwrap()[..]), (4, "1"));
    let (_, nothing) = tokio::join!(server.network.shutdown(PATIENCE), client.read());
    assert_eq!(nothing, None);
}

#[tokio::test]
async fn bytes_may_come_one_by_one() {
    let server = Server::start();
    let mut client = server.client().await;
    for byte in send(1, 0, "0") {
        client.write(&[byte]).await;
    }
    assert_eq!(client.read().await.unwrap().head.code, 0);
    server.network.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_malformed_frame_closes_only_its_connection() {
    let server = Server::start();
    let mut good = server.client().await;
    for bad in [&[0xFF; 8][..], b"GET / HTTP/1.1\r\n\r\n", &[0, 0, 0, 6, 0, 0, 0, 2, b'{', b'x']] {
        let mut client = server.client().await;
        client.write(bad).await;
        assert_eq!(client.read().await, None);
    }
    good.write(&send(1, 0, "0")).await;
    assert_eq!(good.read().await.unwrap().head.code, 0);
    server.network.shutdown(PATIENCE).await;
}

#[tokio::test]
async fn a_group_change_is_pushed_and_a_drain_ends_waits() {
    let server = Server::start();
    let mut client = server.client().await;
    client.write(&send(1, 0, "0")).await;
    client.read().await.unwrap();
    let beat = r#"{"clientID":"c","consumerDataSet":[{"groupName":"CG","messageModel":"CLUSTERING",
        "subscriptionDataSet":[{"topic":"T","subString":"*","subVersion":1}]}]}"#;
    client.write(&request(34, 2, 0, &[], beat)).await;
    let mut frames = [client.read().await.unwrap(), client.read().await.unwrap()];
    frames.sort_by_key(|f| f.head.code);
    assert_eq!((frames[0].head.code, frames[0].head.opaque), (0, 2));
    assert_eq!((frames[1].head.code, frames[1].head.flag), (40, FLAG_ONE_WAY));
    assert_eq!(frames[1].ext.get("consumerGroup").unwrap(), "CG");

    client.write(&pull(3, "1")).await;
    client.write(&request(30, 4, 0, &[("topic", "T"), ("queueId", "0")], "")).await;
    assert_eq!(client.read().await.unwrap().head.opaque, 4);
    let (_, last) = tokio::join!(server.network.shutdown(PATIENCE), client.read());
    let last = last.unwrap();
    assert_eq!((last.head.opaque, last.head.code), (3, 19));
    assert_eq!(client.read().await, None);
}

#[tokio::test]
async fn first_bytes_tell_this_wire_from_others() {
    let remoting = Remoting::new(Broker::in_memory(), Config::default(), Arc::default());
    let whole = send(1, 0, "0");
    for cut in 1..whole.len() {
        let expected = if cut < 9 { Detect::More } else { Detect::Yes };
        assert_eq!(remoting.detect(&whole[..cut]), expected, "{cut}");
    }
    for other in [&b"GET / HTTP/1.1"[..], b"CONNECT\n", &[0x16, 3, 1], b"PRI * HTTP/2.0"] {
        assert_eq!(remoting.detect(other), Detect::No);
    }
    // Kafka: length, API 18 version 3, correlation number 1.
    let kafka = [0, 0, 0, 40, 0, 18, 0, 3, 0, 0, 0, 1, 0, 1];
    assert_eq!(remoting.detect(&kafka), Detect::No);
}

#[tokio::test]
async fn a_reply_goes_to_the_client_that_waits_for_it() {
    let server = Server::start();
    let (mut requester, mut replier) = (server.client().await, server.client().await);
    let beat = r#"{"clientID":"who-asks","producerDataSet":[{"groupName":"PG"}]}"#;
    requester.write(&request(34, 1, 0, &[], beat)).await;
    assert_eq!(requester.read().await.unwrap().head.code, 0);
    let reply = |opaque: i32, to: &str| {
        let list = property_list(&[("CORRELATION_ID", "c1"), ("REPLY_TO_CLIENT", to)]);
        let fields = [
            ("a", "P"),
            ("b", "DefaultCluster_REPLY_TOPIC"),
            ("e", "0"),
            ("f", "0"),
            ("g", "1"),
            ("i", &list),
        ];
        request(325, opaque, 0, &fields, "the answer")
    };
    replier.write(&reply(2, "who-asks")).await;
    let pushed = requester.read().await.unwrap();
    assert_eq!((pushed.head.code, pushed.head.flag, &pushed.body[..]), (326, 0, &b"the answer"[..]));
    let properties = &pushed.ext.get("properties").unwrap()[..];
    assert!(properties.starts_with("CORRELATION_ID\u{1}c1\u{2}") && properties.contains("PUSH_REPLY_TIME"));
    assert_eq!(&pushed.ext.get("topic").unwrap()[..], "DefaultCluster_REPLY_TOPIC");
    requester.write(&request(0, pushed.head.opaque, codec::FLAG_RESPONSE, &[], "")).await;
    let done = replier.read().await.unwrap();
    assert_eq!((done.head.code, done.head.opaque, &done.ext.get("msgId").unwrap()[..]), (0, 2, "0"));

    replier.write(&reply(3, "who-has-gone")).await;
    let lost = replier.read().await.unwrap();
    assert_eq!((lost.head.code, lost.head.opaque), (1, 3));
    assert!(lost.head.remark.unwrap().contains("channel of <who-has-gone> not found"));
    assert!(lost.ext.get("MSG_REGION").is_some());
    drop(requester);
    server.network.shutdown(PATIENCE).await;
}
