//! The requests of Kafka that rows name: the API, and what it is asked about.

use crate::kafka::{Kafka, Told};
use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, CreateTopicsRequest, DeleteGroupsRequest, DeleteRecordsRequest,
    DeleteTopicsRequest, DescribeConfigsRequest, DescribeGroupsRequest, FetchRequest, GroupId,
    LeaveGroupRequest, ListGroupsRequest, ListOffsetsRequest, MetadataRequest, OffsetCommitRequest,
    OffsetDeleteRequest, OffsetFetchRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use std::fmt::Debug;
use std::io;

/// Of the kinds of things that have settings, topics and brokers.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// Behind the two messages of the stage.
const END: i64 = 2;

/// Sends what a row says, and tells what became of it.
pub fn send(kafka: &mut Kafka, request: &str) -> io::Result<Told> {
    let words: Vec<&str> = request.split(' ').collect();
    match words[..] {
        ["Produce", topic] => produce(kafka, topic),
        ["Fetch", topic] => fetch(kafka, topic, 0, 0),
        ["Fetch", topic, "wait"] => fetch(kafka, topic, END, 100),
        ["ListOffsets", topic, time] => list_offsets(kafka, topic, time.parse().expect("a time")),
        ["Metadata"] => metadata(kafka, None),
        ["Metadata", topic] => metadata(kafka, Some(topic)),
        ["CreateTopics", topic] => create_topics(kafka, topic),
        ["DeleteTopics", topic] => delete_topics(kafka, topic),
        ["DeleteRecords", topic] => delete_records(kafka, topic),
        ["DescribeConfigs", "topic", topic] => describe_configs(kafka, TOPIC, topic),
        ["DescribeConfigs", "broker"] => describe_configs(kafka, BROKER, "0"),
        ["LeaveGroup", group] => leave_group(kafka, group),
        ["ConsumerGroupHeartbeat", group, topic] => heartbeat(kafka, group, topic),
        ["OffsetCommit", group, topic] => offset_commit(kafka, group, topic),
        ["OffsetFetch", group, topic] => offset_fetch(kafka, group, topic),
        ["OffsetDelete", group, topic] => offset_delete(kafka, group, topic),
        ["DescribeGroups", group] => describe_groups(kafka, group),
        ["ListGroups"] => list_groups(kafka),
        ["DeleteGroups", group] => delete_groups(kafka, group),
        _ => panic!("a row says {request}, which is no request of Kafka here"),
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

/// The one thing that the response is about.
fn one<T: Debug>(mut things: Vec<T>) -> T {
    assert_eq!(things.len(), 1, "one thing was asked about: {things:?}");
    things.remove(0)
}

fn say(message: Option<StrBytes>) -> String {
    message.map_or_else(String::new, |message| message.to_string())
}

/// One record.
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

fn produce(kafka: &mut Kafka, name: &str) -> io::Result<Told> {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch()));
    let data = TopicProduceData::default().with_name(topic(name)).with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(20_000).with_topic_data(vec![data]);
    let told = one(one(kafka.call(12, &request)?.responses).partition_responses);
    Ok(Told::new(told.error_code, say(told.error_message)))
}

fn fetch(kafka: &mut Kafka, name: &str, offset: i64, wait: i32) -> io::Result<Told> {
    let partition = FetchPartition::default()
        .with_partition(0)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    let asked = FetchTopic::default().with_topic(topic(name)).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_max_wait_ms(wait)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![asked]);
    let answered = one(kafka.call(12, &request)?.responses);
    let told = one(answered.partitions);
    let length = told.records.map_or(0, |records| records.len());
    // A wait is one only where there is nothing yet.
    if told.error_code == 0 && (offset == END) != (length == 0) {
        return Ok(Told::new(-1, format!("{length} bytes from {offset} on")));
    }
    Ok(Told::new(told.error_code, answered.topic.to_string()))
}

fn list_offsets(kafka: &mut Kafka, name: &str, time: i64) -> io::Result<Told> {
    let partition = ListOffsetsPartition::default().with_partition_index(0).with_timestamp(time);
    let asked = ListOffsetsTopic::default().with_name(topic(name)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![asked]);
    let answered = one(kafka.call(7, &request)?.topics);
    Ok(Told::new(one(answered.partitions).error_code, answered.name.to_string()))
}

/// One topic, which is made if need be, or all topics.
fn metadata(kafka: &mut Kafka, name: Option<&str>) -> io::Result<Told> {
    let asked = name.map(|name| vec![MetadataRequestTopic::default().with_name(Some(topic(name)))]);
    let request = MetadataRequest::default().with_topics(asked).with_allow_auto_topic_creation(true);
    let topics = kafka.call(9, &request)?.topics;
    if name.is_none() {
        let names: Vec<String> = topics.iter().flat_map(|topic| &topic.name).map(|n| n.to_string()).collect();
        return Ok(Told::new(0, names.join(" ")));
    }
    let told = one(topics);
    Ok(Told::new(told.error_code, told.name.map_or_else(String::new, |name| name.to_string())))
}

fn create_topics(kafka: &mut Kafka, name: &str) -> io::Result<Told> {
    let asked =
        CreatableTopic::default().with_name(topic(name)).with_num_partitions(1).with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![asked]).with_timeout_ms(20_000);
    let told = one(kafka.call(7, &request)?.topics);
    Ok(Told::new(told.error_code, say(told.error_message)))
}

fn delete_topics(kafka: &mut Kafka, name: &str) -> io::Result<Told> {
    let request = DeleteTopicsRequest::default().with_topic_names(vec![topic(name)]).with_timeout_ms(20_000);
    let told = one(kafka.call(5, &request)?.responses);
    Ok(Told::new(told.error_code, say(told.error_message)))
}

fn delete_records(kafka: &mut Kafka, name: &str) -> io::Result<Told> {
    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(1);
    let asked = DeleteRecordsTopic::default().with_name(topic(name)).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![asked]).with_timeout_ms(20_000);
    let answered = one(kafka.call(2, &request)?.topics);
    Ok(Told::new(one(answered.partitions).error_code, answered.name.to_string()))
}

fn describe_configs(kafka: &mut Kafka, kind: i8, name: &str) -> io::Result<Told> {
    let asked = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![asked]);
    let told = one(kafka.call(4, &request)?.results);
    Ok(Told::new(told.error_code, say(told.error_message)))
}

/// Nobody leaves.
fn leave_group(kafka: &mut Kafka, name: &str) -> io::Result<Told> {
    let request = LeaveGroupRequest::default().with_group_id(group(name));
    Ok(Told::new(kafka.call(4, &request)?.error_code, name))
}

/// Joins.
fn heartbeat(kafka: &mut Kafka, name: &str, of: &str) -> io::Result<Told> {
    let request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group(name))
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(vec![topic(of)]))
        .with_topic_partitions(Some(Vec::<TopicPartitions>::new()));
    Ok(Told::new(kafka.call(0, &request)?.error_code, name))
}

fn offset_commit(kafka: &mut Kafka, name: &str, of: &str) -> io::Result<Told> {
    let partition = OffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(1);
    let asked = OffsetCommitRequestTopic::default().with_name(topic(of)).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group(name))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![asked]);
    let answered = one(kafka.call(8, &request)?.topics);
    Ok(Told::new(one(answered.partitions).error_code, answered.name.to_string()))
}

fn offset_fetch(kafka: &mut Kafka, name: &str, of: &str) -> io::Result<Told> {
    let asked = OffsetFetchRequestTopics::default().with_name(topic(of)).with_partition_indexes(vec![0]);
    let asked = OffsetFetchRequestGroup::default().with_group_id(group(name)).with_topics(Some(vec![asked]));
    let request = OffsetFetchRequest::default().with_groups(vec![asked]);
    let told = one(kafka.call(8, &request)?.groups);
    let within = told.topics.iter().flat_map(|topic| &topic.partitions).map(|partition| partition.error_code);
    let code = within.chain([told.error_code]).find(|code| *code != 0).unwrap_or(0);
    Ok(Told::new(code, told.group_id.to_string()))
}

fn offset_delete(kafka: &mut Kafka, name: &str, of: &str) -> io::Result<Told> {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
    let asked = OffsetDeleteRequestTopic::default().with_name(topic(of)).with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default().with_group_id(group(name)).with_topics(vec![asked]);
    let told = kafka.call(0, &request)?;
    if told.error_code != 0 {
        return Ok(Told::new(told.error_code, name));
    }
    let answered = one(told.topics);
    Ok(Told::new(one(answered.partitions).error_code, answered.name.to_string()))
}

fn describe_groups(kafka: &mut Kafka, name: &str) -> io::Result<Told> {
    let request = DescribeGroupsRequest::default().with_groups(vec![group(name)]);
    let told = one(kafka.call(5, &request)?.groups);
    Ok(Told::new(told.error_code, told.group_id.to_string()))
}

fn list_groups(kafka: &mut Kafka) -> io::Result<Told> {
    let told = kafka.call(4, &ListGroupsRequest::default())?;
    let names: Vec<String> = told.groups.iter().map(|group| group.group_id.to_string()).collect();
    Ok(Told::new(told.error_code, names.join(" ")))
}

fn delete_groups(kafka: &mut Kafka, name: &str) -> io::Result<Told> {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group(name)]);
    let told = one(kafka.call(2, &request)?.results);
    Ok(Told::new(told.error_code, told.group_id.to_string()))
}
