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
use sluice_auth::Credentials;
use sluice_broker::Broker;
use sluice_net::Advertised;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake};
use std::time::Duration;

fn client() -> Arc<Client> {
    let broker = Broker::in_memory();
    let peer = "127.0.0.1:5".parse().unwrap();
    let session = broker.login_now(Credentials::Anonymous, peer).unwrap();
    let wire = Wire::new(broker, Config::default(), Arc::new(Advertised::new(None, None).unwrap()));
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
    (api.run)(Arc::clone(client), call, api.shape).await
}

async fn ask<Q: Request + Encodable>(client: &Arc<Client>, version: i16, request: Q) -> Q::Response
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

async fn make_topic(client: &Arc<Client>) {
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
        assert_eq!(records.iter().map(|r| r.value.clone().unwrap()).collect::<Vec<_>>(), ["two", "three"]);
        assert_eq!((read.base_offset, records[0].timestamp), (1, 1001));
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
    let mut request = fetch_request(0, 30_000).with_min_bytes(1 << 20);
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
    let Answer::Respond(output) = (api.run)(Arc::clone(&client), call, api.shape).await else {
        panic!("no answer")
    };
    let mut bytes = output.to_bytes();
    bytes.advance(9);
    assert_eq!(MetadataResponse::decode(&mut bytes, 13).unwrap().topics.len(), 1);
}
