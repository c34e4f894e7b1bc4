//! Requests as bytes through the table of APIs, on a broker in memory.

use crate::api::{Answer, find};
use crate::batch::BatchWriter;
use crate::client::{Client, Wire};
use crate::codec::Call;
use crate::config::Config;
use crate::errors::Code;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};
use sluice_auth::{Auth, Credentials};
use sluice_broker::{Broker, PullRequest, QueueChoice, SendRequest};
use sluice_model::{Filter, Message, QueueId};
use sluice_net::Advertised;
use sluice_store::MemoryLog;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake};
use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(60);

pub(super) fn client() -> Arc<Client> {
    let broker = Broker::in_memory();
    client_of(broker)
}

pub(super) fn client_with(config: Config) -> Arc<Client> {
    open(Broker::in_memory(), config)
}

fn client_of(broker: Broker) -> Arc<Client> {
    open(broker, Config::default())
}

fn open(broker: Broker, config: Config) -> Arc<Client> {
    broker.know_batches(Arc::new(crate::KafkaBatches));
    let peer = "127.0.0.1:5".parse().unwrap();
    let session = broker.login_now(Credentials::Anonymous, peer).unwrap();
    let wire = Wire::new(broker, config, Arc::new(Advertised::new(None, None).unwrap()));
    let client = Client::new(Arc::new(wire), peer, ("127.0.0.1".into(), 9092));
    client.set_session(session);
    Arc::new(client)
}

async fn answer<Q: Request + Encodable>(client: &Arc<Client>, version: i16, request: &Q) -> Answer {
    let mut rest = BytesMut::new();
    if Q::header_version(version) >= 2 {
        rest.put_u8(0);
    }
    request.encode(&mut rest, version).unwrap();
    let call = Call { key: Q::KEY, version, correlation: 7, client_id: None, rest: rest.freeze() };
    let api = find(Q::KEY).expect("it is offered");
    // A test that waits for what never comes fails.
    tokio::time::timeout(LONGEST, (api.run)(Arc::clone(client), call, &api.shape))
        .await
        .expect("it is answered")
}

pub(super) async fn ask<Q: Request + Encodable>(client: &Arc<Client>, version: i16, request: Q) -> Q::Response
where
    Q::Response: Decodable + HeaderVersion,
{
    let Answer::Respond(output) = answer(client, version, &request).await else {
        panic!("no answer, v{version}")
    };
    let mut bytes = output.to_bytes();
    bytes.advance(if Q::Response::header_version(version) >= 1 { 9 } else { 8 });
    let response = Q::Response::decode(&mut bytes, version).unwrap();
    assert!(bytes.is_empty());
    response
}

pub(super) async fn make_topic(client: &Arc<Client>) {
    let topic = MetadataRequestTopic::default().with_name(Some(TopicName("a.b".into())));
    let made = ask(client, 12, MetadataRequest::default().with_topics(Some(vec![topic]))).await;
    assert_eq!((made.topics[0].error_code, made.topics[0].partitions.len()), (0, 4));
    assert!(!made.topics[0].topic_id.is_nil());
}

fn batch(values: &[&[u8]]) -> Bytes {
    let mut writer = BatchWriter::new(0, 1000, 0);
    for (at, value) in values.iter().enumerate() {
        writer.push(at as i64, 1000 + at as i64, Some(b"k"), Some(value), &[("h", None), ("h", Some(b"1"))]);
    }
    writer.finish(values.len() as i64 - 1)
}

/// The batch as producer `id` numbers it.
fn numbered(batch: &Bytes, id: i64, epoch: i16, first: i32) -> Bytes {
    let mut out = BytesMut::from(&batch[..]);
    out[43..51].copy_from_slice(&id.to_be_bytes());
    out[51..53].copy_from_slice(&epoch.to_be_bytes());
    out[53..57].copy_from_slice(&first.to_be_bytes());
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &out[21..]) as u32;
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    out.freeze()
}

fn produce_request(acks: i16, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(records));
    let topic =
        TopicProduceData::default().with_name(TopicName("a.b".into())).with_partition_data(vec![data]);
    ProduceRequest::default().with_transactional_id(None).with_acks(acks).with_topic_data(vec![topic])
}

async fn produce(client: &Arc<Client>, records: Bytes) -> PartitionProduceResponse {
    let mut response = ask(client, 9, produce_request(-1, records)).await;
    response.responses.remove(0).partition_responses.remove(0)
}

fn fetch_request(offset: i64, wait: i32) -> FetchRequest {
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(TopicName("a.b".into())).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_cluster_id(None)
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(wait)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic])
}

#[tokio::test]
async fn records_come_back_from_any_offset() {
    let client = client();
    make_topic(&client).await;
    let sent = produce(&client, batch(&[b"one", b"two", b"three"])).await;
    assert_eq!((sent.error_code, sent.base_offset), (0, 0));
    for version in [4, 11, 12] {
        let fetched = ask(&client, version, fetch_request(1, 0)).await;
        let part = &fetched.responses[0].partitions[0];
        assert_eq!((part.error_code, part.high_watermark), (0, 3));
        let mut bytes = part.records.clone().unwrap();
        let read = crate::batch::Batch::take(&mut bytes).unwrap();
        let records = read.records(&mut crate::batch::Budget::new(1 << 20)).unwrap();
        // The batch that has the offset, as it came.
        let values = records.iter().map(|r| r.value.clone().unwrap()).collect::<Vec<_>>();
        assert_eq!(values, ["one", "two", "three"]);
        assert_eq!((read.base_offset, records[1].timestamp), (0, 1001));
        assert_eq!(records[0].headers.iter().collect::<Vec<_>>(), [("h", None), ("h", Some(&b"1"[..]))]);
    }
    let beyond = ask(&client, 12, fetch_request(4, 0)).await;
    assert_eq!(beyond.responses[0].partitions[0].error_code, Code::OffsetOutOfRange.number());
}

#[tokio::test]
async fn a_batch_sent_again_is_answered_as_the_first_time() {
    let client = client();
    make_topic(&client).await;
    let id =
        ask(&client, 4, InitProducerIdRequest::default().with_transactional_id(None)).await.producer_id.0;
    let plain = batch(&[b"one", b"two"]);
    for (epoch, first, code, offset) in [
        (1, 0, Code::None, 0),
        (1, 2, Code::None, 2),
        (1, 0, Code::None, 0), // again
        (1, 6, Code::OutOfOrderSequenceNumber, -1),
        (0, 4, Code::InvalidProducerEpoch, -1),
        (1, 4, Code::None, 4),
    ] {
        let sent = produce(&client, numbered(&plain, id, epoch, first)).await;
        assert_eq!(
            (sent.error_code, sent.base_offset),
            (code.number(), offset),
            "epoch {epoch}, first {first}"
        );
    }
    let other = ask(&client, 0, InitProducerIdRequest::default().with_transactional_id(None)).await;
    assert_ne!(other.producer_id.0, id);
}

#[tokio::test]
async fn a_batch_sent_again_after_a_restart_is_answered_as_the_first_time() {
    let log = Arc::new(MemoryLog::new());
    let open = |log: &Arc<MemoryLog>| {
        let clock = Arc::new(sluice_model::SystemClock);
        let config = sluice_broker::Config::default();
        client_of(Broker::open(log.clone(), Arc::new(Auth::open()), clock, config).unwrap())
    };
    let client = open(&log);
    make_topic(&client).await;
    let id =
        ask(&client, 4, InitProducerIdRequest::default().with_transactional_id(None)).await.producer_id.0;
    let plain = batch(&[b"one", b"two"]);
    for first in [0, 2, 4] {
        assert_eq!(produce(&client, numbered(&plain, id, 0, first)).await.base_offset, i64::from(first));
    }
    let client = open(&Arc::new(log.reopen()));
    for (first, code, offset) in [
        (2, Code::None, 2),
        (4, Code::None, 4),
        (8, Code::OutOfOrderSequenceNumber, -1),
        (6, Code::None, 6),
        (0, Code::None, 0),
    ] {
        let sent = produce(&client, numbered(&plain, id, 0, first)).await;
        assert_eq!((sent.error_code, sent.base_offset), (code.number(), offset), "first {first}");
    }
}

/// All batches from an offset on, as they are given.
async fn batches(client: &Arc<Client>, offset: i64) -> Vec<Bytes> {
    let fetched = ask(client, 12, fetch_request(offset, 0)).await;
    let mut bytes = fetched.responses[0].partitions[0].records.clone().unwrap();
    let mut all = Vec::new();
    while !bytes.is_empty() {
        all.push(crate::batch::Batch::take(&mut bytes).unwrap().bytes);
    }
    all
}

#[tokio::test]
async fn batches_are_given_as_they_came_and_what_lies_between_is_made_into_some() {
    let client = client();
    make_topic(&client).await;
    let (first, second) = (numbered(&batch(&[b"a", b"b"]), 9, 0, 0), batch(&[b"e"]));
    produce(&client, first.clone()).await;
    let topic = crate::names::topic("a.b").unwrap();
    for body in ["c", "d"] {
        let message = Message { body: Some(body.into()), ..Message::default() };
        let send = SendRequest {
            queue: QueueChoice::Exactly(QueueId(0)),
            ..SendRequest::one(topic.clone(), message)
        };
        client.broker().send(&client.session().unwrap(), send).unwrap().await.unwrap();
    }
    produce(&client, second.clone()).await;
    let given = batches(&client, 0).await;
    assert_eq!(given.len(), 3);
    assert_eq!((&given[0][16..], &given[2][16..]), (&first[16..], &second[16..]));
    assert_eq!(given[2][..8], 4_i64.to_be_bytes());
    let made = crate::batch::Batch::take(&mut given[1].clone()).unwrap();
    assert_eq!((made.base_offset, made.count, made.last_offset_delta), (2, 2, 1));
    for offset in [1, 3] {
        let from = batches(&client, offset).await;
        assert_eq!(from.len(), if offset == 1 { 3 } else { 2 });
    }
    // Other wires have them one by one.
    let request = PullRequest {
        topic: &topic,
        queue: QueueId(0),
        offset: 1,
        max: 10,
        max_bytes: 1 << 20,
        filter: &Filter::All,
        group: None,
        wait: Duration::ZERO,
    };
    let pulled = client.broker().pull(&client.session().unwrap(), &request).await.unwrap();
    let bodies: Vec<_> = pulled.messages.iter().map(|m| m.message.body_bytes().to_vec()).collect();
    assert_eq!(bodies, [b"b", b"c", b"d", b"e"]);
    let b = &pulled.messages[0].message;
    assert_eq!((&**b.keys.as_text(), b.provenance.protocol), ("k", sluice_model::Protocol::Kafka));
    assert!(b.provenance.peer.is_some() && b.id.len() == 32);
}

#[tokio::test]
async fn large_batches_are_stored_in_the_order_of_their_requests() {
    let client = client();
    make_topic(&client).await;
    let body = vec![b'x'; 1000];
    let large = batch(&vec![&body[..]; 600]);
    let small = batch(&[b"y"]);
    let (large, small) = tokio::join!(produce(&client, large), produce(&client, small));
    assert_eq!((large.error_code, large.base_offset), (0, 0));
    assert_eq!((small.error_code, small.base_offset), (0, 600));
    // More than one entry takes are stored one by one.
    let many = batch(&vec![&b"z"[..]; 20_000]);
    assert_eq!(produce(&client, many).await.base_offset, 601);
    let beyond = batches(&client, 20_600).await;
    assert_eq!(crate::batch::Batch::take(&mut beyond[0].clone()).unwrap().base_offset, 20_600);
}

#[tokio::test]
async fn what_is_no_batch_is_refused_with_a_reason() {
    let client = client();
    make_topic(&client).await;
    let good = batch(&[b"x"]);
    let mut flipped = good.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let two = [&good[..], &good[..]].concat();
    for (bytes, code) in [
        (flipped.into(), Code::CorruptMessage),
        (two.into(), Code::InvalidRecord),
        (Bytes::new(), Code::InvalidRecord),
        (good.slice(..30), Code::CorruptMessage),
    ] {
        assert_eq!(produce(&client, bytes).await.error_code, code.number(), "{code:?}");
    }
    let silent = answer(&client, 9, &produce_request(0, good.clone())).await;
    assert!(matches!(silent, Answer::Silence));
    let closed = answer(&client, 9, &produce_request(0, Bytes::from_static(b"nothing"))).await;
    assert!(matches!(closed, Answer::Close(None, _)));
    let acks = ask(&client, 9, produce_request(2, good)).await;
    assert_eq!(acks.responses[0].partition_responses[0].error_code, Code::InvalidRequiredAcks.number());
}

#[tokio::test]
async fn a_waiting_fetch_is_woken_by_data() {
    let client = client();
    make_topic(&client).await;
    let waiting = tokio::spawn({
        let client = Arc::clone(&client);
        async move { ask(&client, 12, fetch_request(0, 30_000)).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(produce(&client, batch(&[b"x"])).await.base_offset, 0);
    let fetched = tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap().unwrap();
    assert!(!fetched.responses[0].partitions[0].records.as_ref().unwrap().is_empty());
}

/// Clients make room for what they ask for; only that they get on goes before it.
#[tokio::test]
async fn no_batch_but_the_first_exceeds_what_is_asked_for() {
    let client = client();
    make_topic(&client).await;
    let large = batch(&[&[b'x'; 600]]);
    for partition in [0, 1] {
        let mut request = produce_request(-1, large.clone());
        request.topic_data[0].partition_data[0].index = partition;
        assert_eq!(ask(&client, 9, request).await.responses[0].partition_responses[0].error_code, 0);
    }
    let topic = crate::names::topic("a.b").unwrap();
    for _ in 0..3 {
        let message = Message { body: Some(vec![b'y'; 600].into()), ..Message::default() };
        let queue = QueueChoice::Exactly(QueueId(2));
        let send = SendRequest { queue, ..SendRequest::one(topic.clone(), message) };
        client.broker().send(&client.session().unwrap(), send).unwrap().await.unwrap();
    }
    let given = async |order: [i32; 3], max: usize| {
        let mut request = fetch_request(0, 0).with_max_bytes(max as i32);
        let one = request.topics[0].partitions[0].clone();
        request.topics[0].partitions = order.map(|index| one.clone().with_partition(index)).to_vec();
        let fetched = ask(&client, 12, request).await;
        fetched.responses[0].partitions.iter().map(|p| p.records.as_ref().unwrap().len()).collect::<Vec<_>>()
    };
    let whole = given([0, 1, 2], 1 << 20).await;
    let (batch, made) = (whole[0], whole[2]);
    assert!(whole[1] == batch && made > 3 * 600);
    for (order, max, sizes) in [
        ([0, 1, 2], 1000, [batch, 0, 0]),
        ([1, 2, 0], 10, [batch, 0, 0]),
        ([0, 1, 2], batch * 2, [batch, batch, 0]),
        ([0, 1, 2], batch * 2 - 1, [batch, 0, 0]),
        ([2, 0, 1], made + 100, [made, 0, 0]),
    ] {
        assert_eq!(given(order, max).await, sizes, "{order:?} {max}");
    }
    // Messages of other wires fill what there is, and no more.
    let some = given([2, 0, 1], made - 1).await;
    assert!(some[0] < made && some[0] > 2 * 600 && some.iter().sum::<usize>() < made, "{some:?}");
    let one = given([2, 0, 1], 1).await;
    assert!(one[0] > 600 && one[0] < 1200 && one[1..] == [0, 0], "{one:?}");
}

/// Counts how often a future wants to be looked at again.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_fetch_whose_limit_is_below_what_it_waits_for_rests() {
    let client = client();
    make_topic(&client).await;
    produce(&client, batch(&[b"one", b"two"])).await;
    produce(&client, batch(&[b"three"])).await;
    // If it did not rest, it would look again and again for so long, and nothing could stop it.
    let mut request = fetch_request(0, 3_000).with_min_bytes(1 << 20);
    request.topics[0].partitions[0].partition_max_bytes = 1;
    let mut waiting = std::pin::pin!(ask(&client, 12, request));
    let wakes = Arc::new(Wakes::default());
    let waker = wakes.clone().into();
    assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0, "there is nothing to look for");
    client.close();
    let fetched = tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
    assert!(!fetched.responses[0].partitions[0].records.as_ref().unwrap().is_empty());
}

#[tokio::test]
async fn times_are_found() {
    let client = client();
    make_topic(&client).await;
    produce(&client, batch(&[b"0", b"1", b"2", b"3"])).await;
    for (time, offset, told) in
        [(-2, 0, -1), (-1, 4, -1), (-3, 3, 1003), (-4, 0, -1), (0, 0, 1000), (1002, 2, 1002), (1004, -1, -1)]
    {
        let asked = ListOffsetsPartition::default().with_timestamp(time).with_current_leader_epoch(-1);
        let topic =
            ListOffsetsTopic::default().with_name(TopicName("a.b".into())).with_partitions(vec![asked]);
        let found = ask(&client, 8, ListOffsetsRequest::default().with_topics(vec![topic])).await;
        let found = &found.topics[0].partitions[0];
        assert_eq!((found.error_code, found.offset, found.timestamp), (0, offset, told), "{time}");
    }
}

#[tokio::test]
async fn the_question_of_librdkafka_for_all_topics_is_understood() {
    let client = client();
    make_topic(&client).await;
    // No tags; null, and no to two questions, and no tags; and what it wrote by mistake.
    let rest = Bytes::from_static(&[0, 0, 0, 0, 0, 1, 0, 0]);
    let call = Call { key: MetadataRequest::KEY, version: 13, correlation: 7, client_id: None, rest };
    let api = find(call.key).unwrap();
    let Answer::Respond(output) = (api.run)(Arc::clone(&client), call, &api.shape).await else {
        panic!("no answer")
    };
    let mut bytes = output.to_bytes();
    bytes.advance(9);
    assert_eq!(MetadataResponse::decode(&mut bytes, 13).unwrap().topics.len(), 1);
}

#[tokio::test]
async fn the_log_dir_says_what_partitions_take() {
    let client = client();
    make_topic(&client).await;
    let sizes = async || {
        let told = ask(&client, 4, DescribeLogDirsRequest::default().with_topics(None)).await;
        assert_eq!((told.error_code, told.results.len(), told.results[0].topics.len()), (0, 1, 1));
        let topic = &told.results[0].topics[0];
        assert_eq!(topic.name.as_str(), "a.b");
        topic.partitions.iter().map(|partition| partition.partition_size).collect::<Vec<_>>()
    };
    assert_eq!(sizes().await, [0; 4]);
    let records = batch(&[&[b'x'; 1000]]);
    let least = records.len() as i64;
    produce(&client, records).await;
    let grown = sizes().await;
    assert!(grown[0] > least && grown[0] < least + 500 && grown[1..] == [0; 3], "{grown:?}");
}

#[tokio::test]
async fn what_has_settings_is_listed_and_no_partition_moves() {
    let client = client();
    make_topic(&client).await;
    let told = ask(&client, 0, ListPartitionReassignmentsRequest::default()).await;
    assert_eq!((told.error_code, told.topics.len()), (0, 0));
    let kinds = async |version, kinds: Vec<i8>| {
        let told =
            ask(&client, version, ListConfigResourcesRequest::default().with_resource_types(kinds)).await;
        let each = told.config_resources.iter();
        (
            told.error_code,
            each.map(|one| (one.resource_type, one.resource_name.to_string())).collect::<Vec<_>>(),
        )
    };
    let (topic, broker) = ((2, "a.b".to_owned()), (4, "1".to_owned()));
    assert_eq!(kinds(0, Vec::new()).await, (0, Vec::new()));
    assert_eq!(kinds(1, Vec::new()).await, (0, vec![topic.clone(), broker.clone()]));
    assert_eq!(kinds(1, vec![4]).await, (0, vec![broker]));
    assert_eq!(kinds(1, vec![2]).await, (0, vec![topic]));
    assert_eq!(kinds(1, vec![2, 16]).await, (Code::UnsupportedVersion.number(), Vec::new()));
}

#[tokio::test]
async fn features_are_told_to_clients_that_read_them() {
    let client = client();
    for (name, version, count) in
        [("apache-kafka-java", 4, 2), ("apache-kafka-java", 3, 2), ("librdkafka", 3, 0)]
    {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(name.into())
            .with_client_software_version("1".into());
        let told = ask(&client, version, request).await;
        assert_eq!((told.error_code, told.finalized_features.len()), (0, count), "{name}");
        assert_eq!(told.supported_features.len(), count);
        let level = told.finalized_features.iter().find(|f| f.name.as_str() == "transaction.version");
        assert_eq!(level.map(|feature| feature.max_version_level), (count > 0).then_some(2));
    }
}
