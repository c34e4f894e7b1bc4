//! Kafka's requests and responses, by its own schemas.

use crate::line::Line;
use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, FetchRequest, GroupId, MetadataRequest, ProduceRequest, RequestHeader,
    ResponseHeader, SaslAuthenticateRequest, SaslHandshakeRequest, TopicName,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use sluice_tests::TestServer;
use std::io::{Read, Write};
use std::net::Ipv4Addr;

pub const TIMED_OUT: i16 = 7;
pub const TOPIC_DENIED: i16 = 29;
pub const LOGIN_REFUSED: i16 = 58;
pub const GROUP_FULL: i16 = 81;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A request as it goes over the wire.
pub fn frame<Q: Request>(version: i16, number: i32, request: &Q) -> Vec<u8> {
    let header = RequestHeader::default()
        .with_request_api_key(Q::KEY)
        .with_request_api_version(version)
        .with_correlation_id(number)
        .with_client_id(Some(text("identity")));
    let mut out = BytesMut::new();
    header.encode(&mut out, Q::header_version(version)).expect("a header");
    request.encode(&mut out, version).expect("a request of this version");
    [&(out.len() as u32).to_be_bytes()[..], &out].concat()
}

/// Whether these bytes are a response.
pub fn is_whole(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk().map(|length| u32::from_be_bytes(*length) as usize);
    length.is_some_and(|length| bytes.len() >= 4 + length)
}

pub fn response<Q: Request>(version: i16, bytes: &[u8]) -> Q::Response {
    let mut rest = Bytes::copy_from_slice(&bytes[4..]);
    ResponseHeader::decode(&mut rest, Q::Response::header_version(version)).expect("a header");
    Q::Response::decode(&mut rest, version).expect("a response of this version")
}

/// A connection; each client has the same name.
pub struct Kafka {
    line: Line,
    number: i32,
}

impl Kafka {
    pub fn open(server: &TestServer) -> Self {
        Self { line: Line::open(server, "kafka"), number: 0 }
    }

    /// One from this address of this machine.
    pub fn open_from(server: &TestServer, from: Ipv4Addr) -> Self {
        Self { line: Line::open_from(server, "kafka", from), number: 0 }
    }

    /// One that has logged in as `app`.
    pub fn known(server: &TestServer) -> Self {
        let mut kafka = Self::open(server);
        assert_eq!(kafka.log_in(), (0, String::new()));
        kafka
    }

    /// The error, and what is said of it.
    pub fn log_in(&mut self) -> (i16, String) {
        self.log_in_as("app", "apps-secret")
    }

    pub fn log_in_as(&mut self, user: &str, secret: &str) -> (i16, String) {
        self.call(1, &SaslHandshakeRequest::default().with_mechanism(text("PLAIN")));
        let token = Bytes::from(format!("\0{user}\0{secret}"));
        let told = self.call(2, &SaslAuthenticateRequest::default().with_auth_bytes(token));
        (told.error_code, told.error_message.map_or_else(String::new, |words| words.to_string()))
    }

    /// Asks, and leaves the answer to whoever reads on.
    pub fn begin<Q: Request>(mut self, version: i16, request: &Q) -> Line {
        self.number += 1;
        self.line.0.write_all(&frame(version, self.number, request)).expect("it reads");
        self.line
    }

    pub fn call<Q: Request>(&mut self, version: i16, request: &Q) -> Q::Response {
        self.number += 1;
        self.line.0.write_all(&frame(version, self.number, request)).expect("it reads");
        let mut heard = vec![0; 4];
        self.line.0.read_exact(&mut heard).expect("a length");
        let length = u32::from_be_bytes(*heard.first_chunk().expect("four bytes")) as usize;
        heard.resize(4 + length, 0);
        self.line.0.read_exact(&mut heard[4..]).expect("a response");
        response::<Q>(version, &heard)
    }

    /// The error, and for how many milliseconds to be quiet.
    pub fn produce(&mut self, topic: &str) -> (i16, i32) {
        let told = self.call(9, &produce(topic));
        (told.responses[0].partition_responses[0].error_code, told.throttle_time_ms)
    }

    /// The error, how many bytes, and for how many milliseconds to be quiet.
    pub fn fetch(&mut self, topic: &str) -> (i16, usize, i32) {
        let told = self.call(11, &fetch(topic));
        let partition = &told.responses[0].partitions[0];
        let bytes = partition.records.as_ref().map_or(0, Bytes::len);
        (partition.error_code, bytes, told.throttle_time_ms)
    }

    /// Joins a group; the error.
    pub fn join(&mut self, group: &str, topic: &str, member: &str) -> i16 {
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_member_id(text(member))
            .with_rebalance_timeout_ms(60_000)
            .with_subscribed_topic_names(Some(vec![TopicName(text(topic))]))
            .with_topic_partitions(Some(Vec::<TopicPartitions>::new()));
        self.call(0, &request).error_code
    }
}

pub fn metadata(topic: &str) -> MetadataRequest {
    let asked = MetadataRequestTopic::default().with_name(Some(TopicName(text(topic))));
    MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(false)
}

fn produce(topic: &str) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch()));
    let data = TopicProduceData::default().with_name(TopicName(text(topic))).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(20_000).with_topic_data(vec![data])
}

/// From the beginning, waiting for a tenth of a second.
fn fetch(topic: &str) -> FetchRequest {
    fetch_waiting(topic, 100)
}

/// From the beginning, which is the end of a topic without records.
pub fn fetch_waiting(topic: &str, wait: i32) -> FetchRequest {
    let partition = FetchPartition::default().with_partition(0).with_partition_max_bytes(1 << 20);
    let asked = FetchTopic::default().with_topic(TopicName(text(topic))).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(wait)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![asked])
}

/// One record, of four bytes.
fn batch() -> Bytes {
    let record = Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: NO_SEQUENCE,
        timestamp: 1_700_000_000_000,
        key: None,
        value: Some(Bytes::from_static(b"body")),
        headers: IndexMap::new(),
    };
    let mut batch = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut batch, [&record], &options).expect("a batch");
    batch.freeze()
}
