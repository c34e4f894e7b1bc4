//! Requests in, answers out, on a broker in memory; and the same over a socket.

mod access;
mod consuming;
mod every_code;
mod filters;
mod popping;
mod queries;
mod sending;
mod socket;
mod tools;
mod transactions;

use crate::codec::{Ext, Frame, Head, Spelling};
use crate::config::Config;
use crate::handlers::{Answer, Call, dispatch};
use crate::node::Node;
use crate::properties;
use crate::response::{Response, Value};
use crate::session::Link;
use bytes::{Buf, Bytes};
use sluice_auth::{Auth, Credentials, Session};
use sluice_broker::Broker;
use sluice_model::ManualClock;
use sluice_net::{Advertised, Asked};
use sluice_store::MemoryLog;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// A broker and one client's connection to it.
struct Peer {
    node: Arc<Node>,
    link: Arc<Link>,
    version: i32,
    /// Name and password, on a broker that wants them.
    credentials: Option<(&'static str, &'static str)>,
    spelling: Spelling,
}

impl Peer {
    fn new() -> Self {
        Self::with(Broker::in_memory(), Config::default())
    }

    fn with(broker: Broker, config: Config) -> Self {
        Self::advertised(broker, config, Advertised::default())
    }

    /// One whose broker goes by this clock.
    fn at(clock: &Arc<ManualClock>) -> Self {
        let (log, auth) = (Arc::new(MemoryLog::new()), Arc::new(Auth::open()));
        let broker = Broker::open(log, auth, clock.clone(), sluice_broker::Config::default());
        Self::with(broker.unwrap(), Config::default())
    }

    fn advertised(broker: Broker, config: Config, advertised: Advertised) -> Self {
        advertised.set_port(10_911);
        let node = Arc::new(Node::new(broker, config, Arc::new(advertised)));
        let link = Self::link(&node);
        Self { node, link, version: 479, credentials: None, spelling: Spelling::Json }
    }

    fn link(node: &Node) -> Arc<Link> {
        // The client is connected to the name server's port; the answers must name the broker's.
        let peer: SocketAddr = "10.0.0.1:50001".parse().unwrap();
        let here = node.here(Asked { named: None, local: "127.0.0.1:9876".parse().unwrap(), peer });
        Arc::new(Link::new(peer, here))
    }

    /// Another client of the same broker.
    fn another(&self) -> Self {
        let (node, link) = (Arc::clone(&self.node), Self::link(&self.node));
        Self { node, link, version: self.version, credentials: self.credentials, spelling: self.spelling }
    }

    async fn ask(&self, code: i32, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Got {
        Self::finish(self.start(code, fields, body)).await
    }

    /// What the connection does when the request arrives.
    fn start(&self, code: i32, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut ext = Ext::default();
        fields.iter().for_each(|(n, v)| ext.push(*n, *v));
        let head = Head { code, language: 0, version: self.version, opaque: 1, flag: 0, remark: None };
        let frame = Frame { head, ext, body: body.into(), spelling: self.spelling };
        let (node, link) = (Arc::clone(&self.node), Arc::clone(&self.link));
        let call = Call { node, link, session: self.session(), frame };
        dispatch(call)
    }

    fn session(&self) -> Session {
        let credentials = match self.credentials {
            Some((user, password)) => Credentials::Password { user, password },
            None => Credentials::Anonymous,
        };
        self.node.broker.login_now(credentials, self.link.peer).unwrap()
    }

    /// What it does afterwards.
    async fn finish(answer: Answer) -> Got {
        match answer {
            Answer::Ready(response) => Got(response),
            Answer::Later(response) => Got(response.await),
        }
    }

    /// Sends one message as Java does.
    async fn send(&self, topic: &str, queue: &str, list: &[(&str, &str)], body: &'static [u8]) -> Got {
        let list = property_list(list);
        let fields = [
            ("a", "PG"),
            ("b", topic),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", queue),
            ("f", "0"),
            ("g", "1700000000000"),
            ("h", "77"),
            ("i", &list),
            ("m", "false"),
        ];
        self.ask(310, &fields, Bytes::from_static(body)).await
    }

    async fn pull(&self, group: &str, topic: &str, queue: &str, offset: &str, sys_flag: &str) -> Got {
        let fields = [
            ("consumerGroup", group),
            ("topic", topic),
            ("queueId", queue),
            ("queueOffset", offset),
            ("maxMsgNums", "32"),
            ("sysFlag", sys_flag),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "20000"),
            ("subscription", "*"),
            ("subVersion", "0"),
        ];
        self.ask(11, &fields, "").await
    }

    async fn heartbeat(&self, client: &str, group: &str, topic: &str, tags: &str) -> Got {
        let body = format!(
            r#"{{"clientID":"{client}","consumerDataSet":[{{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET",
            "consumeType":"CONSUME_PASSIVELY","groupName":"{group}","messageModel":"Clustering",
            "subscriptionDataSet":[{{"codeSet":["1"],"expressionType":"TAG","subString":"{tags}","subVersion":5,
            "tagsSet":[],"topic":"{topic}"}}],"unitMode":false}}],"heartbeatFingerprint":0,
            "producerDataSet":[{{"groupName":"PG"}}],"withoutSub":false}}"#
        );
        self.ask(34, &[], body).await
    }
}

fn property_list(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(n, v)| format!("{n}\u{1}{v}\u{2}")).collect()
}

/// An answer, with what tests look at.
struct Got(Response);

impl Got {
    fn code(&self) -> i32 {
        self.0.code
    }

    fn remark(&self) -> &str {
        self.0.remark.as_deref().unwrap_or_default()
    }

    fn field(&self, name: &str) -> Option<String> {
        self.0.ext.iter().find(|(n, _)| *n == name).map(|(_, value)| match value {
            Value::Static(text) => (*text).to_owned(),
            Value::Text(text) => text.to_string(),
            Value::Id(id) => id.to_string(),
            Value::Int(n) => n.to_string(),
        })
    }

    fn fields(&self, names: &[&str]) -> Vec<String> {
        names.iter().map(|n| self.field(n).unwrap_or_else(|| panic!("no field {n}: {:?}", self.0))).collect()
    }

    fn body(&self) -> Bytes {
        self.0.body.concat().into()
    }

    fn text(&self) -> String {
        String::from_utf8(self.body().to_vec()).unwrap()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body()).unwrap()
    }

    fn records(&self) -> Vec<Record> {
        let mut body = self.body();
        let mut records = Vec::new();
        while !body.is_empty() {
            records.push(Record::read(&mut body));
        }
        records
    }
}

/// A record as a client reads it; the test's own reading, so that a wrong layout does not pass unseen.
#[derive(Debug)]
struct Record {
    queue: i32,
    flag: i32,
    offset: i64,
    locator: i64,
    sys_flag: i32,
    born: i64,
    stored: i64,
    attempt: i32,
    body: Bytes,
    topic: String,
    properties: BTreeMap<String, String>,
}

impl Record {
    fn read(from: &mut Bytes) -> Self {
        let size = i32::from_be_bytes(from[..4].try_into().unwrap()) as usize;
        let mut b = from.split_to(size);
        b.advance(4);
        assert_eq!(b.get_u32(), 0xDAA3_20A7);
        let crc = b.get_u32();
        let (queue, flag, offset, locator) = (b.get_i32(), b.get_i32(), b.get_i64(), b.get_i64());
        let (sys_flag, born) = (b.get_i32(), b.get_i64());
        assert_eq!(sys_flag & 0x30, 0);
        let sender = b.split_to(8);
        let stored = b.get_i64();
        assert_eq!(&b.split_to(8)[..], [127, 0, 0, 1, 0, 0, 0x2A, 0x9F]);
        let (attempt, prepared) = (b.get_i32(), b.get_i64());
        assert_eq!(prepared, 0);
        let length = b.get_i32() as usize;
        let body = b.split_to(length);
        assert_eq!(crc, crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &body) as u32 & 0x7FFF_FFFF);
        let length = usize::from(b.get_u8());
        let topic = String::from_utf8(b.split_to(length).to_vec()).unwrap();
        // Of some steps of a trace nobody knows from where they were taken.
        let nobody = topic == "RMQ_SYS_TRACE_TOPIC" && sender[..] == [0; 8];
        assert!(nobody || sender[..] == [10, 0, 0, 1, 0, 0, 0xC3, 0x51], "{sender:?}");
        assert_eq!(usize::from(b.get_u16()), b.len());
        let list = std::str::from_utf8(&b).unwrap();
        let properties = properties::parse(list).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        Self { queue, flag, offset, locator, sys_flag, born, stored, attempt, body, topic, properties }
    }

    fn property(&self, name: &str) -> &str {
        self.properties.get(name).map(String::as_str).unwrap_or_default()
    }
}
