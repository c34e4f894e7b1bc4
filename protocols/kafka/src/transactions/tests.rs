//! Transactions as requests through the table of APIs, in every version that is offered, on a broker in memory.

use crate::api::{Answer, find};
use crate::batch::attribute::TRANSACTIONAL;
use crate::batch::{Batch, BatchWriter};
use crate::client::{Client, Wire};
use crate::codec::Call;
use crate::config::Config;
use bytes::{Buf, BufMut, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use sluice_auth::Credentials;
use sluice_broker::Broker;
use sluice_net::Advertised;
use std::sync::Arc;
use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(60);
const NAME: &str = "a producer";

fn client() -> Arc<Client> {
    let broker = Broker::in_memory();
    broker.know_batches(Arc::new(crate::KafkaBatches));
    let peer = "127.0.0.1:5".parse().unwrap();
    let session = broker.login_now(Credentials::Anonymous, peer).unwrap();
    broker.ensure_topic(&session, &sluice_model::TopicName::new("t").unwrap(), 2).unwrap();
    let wire = Wire::new(broker, Config::default(), Arc::new(Advertised::new(None, None).unwrap()));
    let client = Client::new(Arc::new(wire), peer, ("127.0.0.1".into(), 9092));
    client.set_session(session);
    Arc::new(client)
}

async fn ask<Q: Request + Encodable>(client: &Arc<Client>, version: i16, request: Q) -> Q::Response
where
    Q::Response: Decodable + HeaderVersion,
{
    let mut rest = BytesMut::new();
    if Q::header_version(version) >= 2 {
        rest.put_u8(0);
    }
    request.encode(&mut rest, version).unwrap();
    let call = Call { key: Q::KEY, version, correlation: 7, client_id: None, rest: rest.freeze() };
    let api = find(Q::KEY).expect("it is offered");
    let work = (api.run)(Arc::clone(client), call, &api.shape);
    let Ok(Answer::Respond(output)) = tokio::time::timeout(LONGEST, work).await else { panic!("no answer") };
    let mut bytes = output.to_bytes();
    bytes.advance(8);
    if Q::Response::header_version(version) >= 1 {
        bytes.advance(1);
    }
    let response = Q::Response::decode(&mut bytes, version).unwrap();
    assert!(bytes.is_empty());
    response
}

fn id() -> TransactionalId {
    TransactionalId(StrBytes::from_static_str(NAME))
}

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str("t"))
}

/// A producer, and the next number in partition 0.
#[derive(Debug, Clone, Copy)]
struct Hand {
    number: ProducerId,
    epoch: i16,
    next: i32,
}

async fn init(client: &Arc<Client>, version: i16) -> Hand {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(id()))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let told = ask(client, version, request).await;
    assert_eq!(told.error_code, 0);
    Hand { number: told.producer_id, epoch: told.producer_epoch, next: 0 }
}

async fn join(client: &Arc<Client>, version: i16, hand: Hand) -> i16 {
    let asked = AddPartitionsToTxnTopic::default().with_name(topic()).with_partitions(vec![0]);
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(id())
        .with_v3_and_below_producer_id(hand.number)
        .with_v3_and_below_producer_epoch(hand.epoch)
        .with_v3_and_below_topics(vec![asked]);
    let told = ask(client, version, request).await;
    told.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
}

async fn produce(client: &Arc<Client>, version: i16, hand: &mut Hand) -> (i16, i64) {
    let mut writer = BatchWriter::new(0, 99, 0);
    writer.push(0, 99, None, Some(b"value"), &[]);
    let sent = writer.finish_numbered(0, TRANSACTIONAL, (hand.number.0, hand.epoch), hand.next);
    let data = PartitionProduceData::default().with_index(0).with_records(Some(sent));
    let data = TopicProduceData::default().with_name(topic()).with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_transactional_id(Some(id()))
        .with_acks(-1)
        .with_timeout_ms(20_000)
        .with_topic_data(vec![data]);
    let told = ask(client, version, request).await.responses.remove(0).partition_responses.remove(0);
    hand.next += i32::from(told.error_code == 0);
    (told.error_code, told.base_offset)
}

async fn end(client: &Arc<Client>, version: i16, hand: &mut Hand, commit: bool) -> i16 {
    let request = EndTxnRequest::default()
        .with_transactional_id(id())
        .with_producer_id(hand.number)
        .with_producer_epoch(hand.epoch)
        .with_committed(commit);
    let told = ask(client, version, request).await;
    if version >= 5 && told.error_code == 0 {
        *hand = Hand { number: told.producer_id, epoch: told.producer_epoch, next: 0 };
    }
    told.error_code
}

async fn fetch(client: &Arc<Client>, from: i64, isolation: i8) -> PartitionData {
    let partition = FetchPartition::default().with_fetch_offset(from).with_partition_max_bytes(1 << 20);
    let asked = FetchTopic::default().with_topic(topic()).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_isolation_level(isolation)
        .with_topics(vec![asked]);
    ask(client, 12, request).await.responses.remove(0).partitions.remove(0)
}

/// What is in an answer: the offsets of batches, and whether they are ends.
fn batches(told: &PartitionData) -> Vec<(i64, bool)> {
    let (mut bytes, mut found) = (told.records.clone().unwrap(), Vec::new());
    while !bytes.is_empty() {
        let batch = Batch::take(&mut bytes).unwrap();
        found.push((batch.base_offset, batch.is_control()));
    }
    found
}

async fn latest(client: &Arc<Client>, isolation: i8) -> i64 {
    let partition = ListOffsetsPartition::default().with_timestamp(-1);
    let asked = ListOffsetsTopic::default().with_name(topic()).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(isolation)
        .with_topics(vec![asked]);
    ask(client, 7, request).await.topics[0].partitions[0].offset
}

#[tokio::test]
async fn every_version_makes_a_transaction() {
    for (init_version, join_version, produce_version, end_version) in
        [(0, 0, 3, 0), (1, 1, 5, 1), (2, 2, 8, 2), (3, 3, 9, 3), (4, 3, 11, 4), (5, 3, 12, 5)]
    {
        let client = client();
        let mut hand = init(&client, init_version).await;
        for commit in [true, false] {
            assert_eq!(join(&client, join_version, hand).await, 0);
            assert_eq!(produce(&client, produce_version, &mut hand).await.0, 0);
            assert_eq!(end(&client, end_version, &mut hand, commit).await, 0);
        }
        let told = fetch(&client, 0, 1).await;
        assert_eq!(batches(&told), [(0, false), (1, true), (3, true)], "the aborted one is not there");
        let aborted: Vec<_> =
            told.aborted_transactions.unwrap().iter().map(|aborted| aborted.first_offset).collect();
        assert_eq!((aborted, told.last_stable_offset, told.high_watermark), (vec![2], 4, 4));
        let everything = fetch(&client, 0, 0).await;
        assert_eq!(batches(&everything), [(0, false), (1, true), (2, false), (3, true)]);
        assert_eq!(everything.aborted_transactions, None);
    }
}

#[tokio::test]
async fn what_is_open_ends_the_partition_for_who_wants_what_is_committed() {
    let client = client();
    let mut hand = init(&client, 4).await;
    assert_eq!(join(&client, 3, hand).await, 0);
    assert_eq!(produce(&client, 11, &mut hand).await, (0, 0));
    let told = fetch(&client, 0, 1).await;
    assert_eq!((batches(&told), told.last_stable_offset, told.high_watermark), (vec![], 0, 1));
    assert_eq!(batches(&fetch(&client, 0, 0).await), [(0, false)]);
    assert_eq!((latest(&client, 1).await, latest(&client, 0).await), (0, 1));
    let asked = TopicRequest::default().with_name(topic()).with_partition_indexes(vec![0]);
    let told = ask(&client, 0, DescribeProducersRequest::default().with_topics(vec![asked])).await;
    let active = &told.topics[0].partitions[0].active_producers[0];
    assert_eq!((active.producer_id, active.current_txn_start_offset), (hand.number, 0));
    let listed = ask(&client, 1, ListTransactionsRequest::default().with_duration_filter(-1)).await;
    assert_eq!(&*listed.transaction_states[0].transaction_state, "Ongoing");
    assert_eq!(&**listed.transaction_states[0].transactional_id, NAME);
    let filter = vec![StrBytes::from_static_str("CompleteCommit"), StrBytes::from_static_str("Odd")];
    let listed = ask(
        &client,
        1,
        ListTransactionsRequest::default().with_duration_filter(-1).with_state_filters(filter),
    );
    let listed = listed.await;
    assert_eq!((listed.transaction_states.len(), listed.unknown_state_filters.len()), (0, 1));
    assert_eq!(end(&client, 4, &mut hand, true).await, 0);
    assert_eq!(end(&client, 4, &mut hand, true).await, 0, "told again");
    assert_eq!(end(&client, 4, &mut hand, false).await, 48);
    let ids = vec![id(), TransactionalId(StrBytes::from_static_str("nobody"))];
    let told = ask(&client, 0, DescribeTransactionsRequest::default().with_transactional_ids(ids)).await;
    let states: Vec<_> = told
        .transaction_states
        .iter()
        .map(|state| (state.error_code, state.transaction_state.as_str()))
        .collect();
    assert_eq!(states, [(0, "CompleteCommit"), (105, "")]);
}

#[tokio::test]
async fn a_producer_that_was_replaced_is_told_so_in_its_versions_words() {
    let client = client();
    let mut old = init(&client, 0).await;
    let mut new = init(&client, 0).await;
    assert_eq!((join(&client, 1, old).await, join(&client, 2, old).await), (47, 90));
    assert_eq!((end(&client, 1, &mut old, true).await, end(&client, 2, &mut old, true).await), (47, 90));
    assert_eq!(produce(&client, 9, &mut old).await.0, 47);
    // In no transaction: final for older clients, and a reason to abort for those who know the word.
    assert_eq!((produce(&client, 10, &mut new).await.0, produce(&client, 11, &mut new).await.0), (48, 120));
    assert_eq!(produce(&client, 12, &mut new).await.0, 0, "from here on it joins by itself");
    let stranger = Hand { number: ProducerId(new.number.0 + 1), ..new };
    assert_eq!(join(&client, 3, stranger).await, 49);
    for (version, timeout, code) in [(0, 16 * 60_000, 50), (4, 0, 50), (4, -1, 50)] {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(id()))
            .with_transaction_timeout_ms(timeout)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        assert_eq!(ask(&client, version, request).await.error_code, code);
    }
    // One that asks for a new epoch of its own shows the present one, or it is out.
    for (epoch, codes) in [(new.epoch - 1, [47, 90]), (new.epoch, [0, 0])] {
        for (version, code) in [3, 4].into_iter().zip(codes) {
            let request = InitProducerIdRequest::default()
                .with_transactional_id(Some(id()))
                .with_transaction_timeout_ms(60_000)
                .with_producer_id(new.number)
                .with_producer_epoch(epoch);
            assert_eq!(ask(&client, version, request).await.error_code, code, "v{version}, {epoch}");
        }
    }
}

#[tokio::test]
async fn offsets_are_part_of_it_in_every_version() {
    let group = GroupId(StrBytes::from_static_str("g"));
    let offset = async |client: &Arc<Client>, stable: bool| {
        let asked = OffsetFetchRequestTopics::default().with_name(topic()).with_partition_indexes(vec![0]);
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(StrBytes::from_static_str("g")))
            .with_topics(Some(vec![asked]));
        let request = OffsetFetchRequest::default().with_groups(vec![asked]).with_require_stable(stable);
        let told = ask(client, 8, request).await.groups.remove(0).topics.remove(0).partitions.remove(0);
        (told.error_code, told.committed_offset)
    };
    for version in 0..=5 {
        let client = client();
        let mut hand = init(&client, 4).await;
        let commit = async |joined: bool| {
            if joined {
                let request = AddOffsetsToTxnRequest::default()
                    .with_transactional_id(id())
                    .with_producer_id(hand.number)
                    .with_producer_epoch(hand.epoch)
                    .with_group_id(group.clone());
                assert_eq!(ask(&client, version.min(4), request).await.error_code, 0);
            }
            let partition = TxnOffsetCommitRequestPartition::default()
                .with_committed_offset(5)
                .with_committed_metadata(None);
            let asked =
                TxnOffsetCommitRequestTopic::default().with_name(topic()).with_partitions(vec![partition]);
            let mut request = TxnOffsetCommitRequest::default()
                .with_transactional_id(id())
                .with_group_id(group.clone())
                .with_producer_id(hand.number)
                .with_producer_epoch(hand.epoch)
                .with_topics(vec![asked]);
            if version >= 3 {
                request = request.with_generation_id(-1).with_group_instance_id(None);
            }
            ask(&client, version, request).await.topics[0].partitions[0].error_code
        };
        let joins = version >= 5;
        assert_eq!(commit(false).await, if joins { 0 } else { 48 }, "v{version}");
        assert_eq!(commit(!joins).await, 0, "v{version}");
        assert_eq!((offset(&client, false).await, offset(&client, true).await.0), ((0, -1), 88));
        assert_eq!(end(&client, 4, &mut hand, true).await, 0);
        assert_eq!(offset(&client, true).await, (0, 5));
    }
}

#[test]
fn markers_are_nobodys_to_write_and_versions_for_brokers_are_not_offered() {
    assert!(find(ApiKey::WriteTxnMarkers as i16).is_none());
    assert_eq!(find(ApiKey::AddPartitionsToTxn as i16).unwrap().max, 3);
}
