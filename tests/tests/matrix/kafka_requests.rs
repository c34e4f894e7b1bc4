//! The requests of Kafka that rows name: the API, and what it is asked about.

use crate::kafka::{Kafka, Told};
use crate::kafka_transactions::{
    add_offsets, add_partitions, describe_producers, end_txn, init_producer_id, list_transactions,
    txn_offset_commit,
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
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
    AlterClientQuotasRequest, ConsumerGroupHeartbeatRequest, CreateAclsRequest, CreateTopicsRequest,
    DeleteAclsRequest, DeleteGroupsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeAclsRequest,
    DescribeClientQuotasRequest, DescribeConfigsRequest, DescribeGroupsRequest, DescribeLogDirsRequest,
    DescribeUserScramCredentialsRequest, FetchRequest, GroupId, IncrementalAlterConfigsRequest,
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
        ["DescribeLogDirs", topic] => describe_log_dirs(kafka, topic),
        ["DescribeConfigs", "broker"] => describe_configs(kafka, BROKER, "1"),
        ["IncrementalAlterConfigs", "broker"] => alter_broker(kafka),
        ["LeaveGroup", group] => leave_group(kafka, group),
        ["ConsumerGroupHeartbeat", group, topic] => heartbeat(kafka, group, topic),
        ["OffsetCommit", group, topic] => offset_commit(kafka, group, topic),
        ["OffsetFetch", group, topic] => offset_fetch(kafka, group, topic, false),
        ["OffsetFetch", group, topic, "stable"] => offset_fetch(kafka, group, topic, true),
        ["InitProducerId", name] => init_producer_id(kafka, name),
        ["AddPartitionsToTxn", name, topic] => add_partitions(kafka, name, topic),
        ["AddOffsetsToTxn", name, group] => add_offsets(kafka, name, group),
        ["TxnOffsetCommit", name, group, topic] => txn_offset_commit(kafka, name, group, topic),
        ["EndTxn", name] => end_txn(kafka, name),
        ["ListTransactions"] => list_transactions(kafka),
        ["DescribeProducers", topic] => describe_producers(kafka, topic),
        ["OffsetDelete", group, topic] => offset_delete(kafka, group, topic),
        ["DescribeGroups", group] => describe_groups(kafka, group),
        ["ListGroups"] => list_groups(kafka),
        ["DescribeAcls", user] => describe_acls(kafka, user),
        ["CreateAcls", user, topic] => create_acls(kafka, user, topic),
        ["DeleteAcls", user] => delete_acls(kafka, user),
        ["DescribeClientQuotas"] => describe_quotas(kafka),
        ["AlterClientQuotas", user, "only-check"] => check_quotas(kafka, user),
        ["DescribeUserScramCredentials"] => describe_credentials(kafka),
        ["DeleteGroups", group] => delete_groups(kafka, group),
        _ => panic!("a row says {request}, which is no request of Kafka here"),
    }
}

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn topic(name: &str) -> TopicName {
    TopicName(text(name))
}

pub fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

/// The one thing that the response is about.
pub fn one<T: Debug>(mut things: Vec<T>) -> T {
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

/// To what holds anyhow.
fn alter_broker(kafka: &mut Kafka) -> io::Result<Told> {
    let config = AlterableConfig::default()
        .with_name(text("auto.create.topics.enable"))
        .with_value(Some(text("true")));
    let asked = AlterConfigsResource::default()
        .with_resource_type(BROKER)
        .with_resource_name(text("1"))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![asked]);
    let told = one(kafka.call(1, &request)?.responses);
    Ok(Told::new(told.error_code, say(told.error_message)))
}

fn describe_log_dirs(kafka: &mut Kafka, name: &str) -> io::Result<Told> {
    let asked = DescribableLogDirTopic::default().with_topic(topic(name)).with_partitions(vec![0]);
    let request = DescribeLogDirsRequest::default().with_topics(Some(vec![asked]));
    let told = kafka.call(4, &request)?;
    let topics = told.results.iter().flat_map(|log| &log.topics);
    let names: Vec<String> = topics.map(|topic| topic.name.to_string()).collect();
    Ok(Told::new(told.error_code, names.join(" ")))
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

fn offset_fetch(kafka: &mut Kafka, name: &str, of: &str, stable: bool) -> io::Result<Told> {
    let asked = OffsetFetchRequestTopics::default().with_name(topic(of)).with_partition_indexes(vec![0]);
    let asked = OffsetFetchRequestGroup::default().with_group_id(group(name)).with_topics(Some(vec![asked]));
    let request = OffsetFetchRequest::default().with_groups(vec![asked]).with_require_stable(stable);
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

/// The numbers of Kafka's lists: any, a literal name, reading, allowed.
const ANY: i8 = 1;
const LITERAL: i8 = 3;
const READ: i8 = 3;
const ALLOW: i8 = 3;

fn user(name: &str) -> StrBytes {
    text(&format!("User:{name}"))
}

fn describe_acls(kafka: &mut Kafka, name: &str) -> io::Result<Told> {
    let request = DescribeAclsRequest::default()
        .with_resource_type_filter(ANY)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(ANY)
        .with_principal_filter(Some(user(name)))
        .with_host_filter(None)
        .with_operation(ANY)
        .with_permission_type(ANY);
    let told = kafka.call(3, &request)?;
    if told.error_code == 0 {
        assert_eq!(one(told.resources).resource_name, text(name), "the policy that it has");
    }
    Ok(Told::new(told.error_code, say(told.error_message)))
}

fn create_acls(kafka: &mut Kafka, name: &str, of: &str) -> io::Result<Told> {
    let creation = AclCreation::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(of))
        .with_resource_pattern_type(LITERAL)
        .with_principal(user(name))
        .with_host(text("*"))
        .with_operation(READ)
        .with_permission_type(ALLOW);
    let request = CreateAclsRequest::default().with_creations(vec![creation]);
    let told = one(kafka.call(3, &request)?.results);
    Ok(Told::new(told.error_code, say(told.error_message)))
}

fn delete_acls(kafka: &mut Kafka, name: &str) -> io::Result<Told> {
    let filter = DeleteAclsFilter::default()
        .with_resource_type_filter(ANY)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(ANY)
        .with_principal_filter(Some(user(name)))
        .with_host_filter(None)
        .with_operation(ANY)
        .with_permission_type(ANY);
    let request = DeleteAclsRequest::default().with_filters(vec![filter]);
    let told = one(kafka.call(3, &request)?.filter_results);
    let within = told.matching_acls.into_iter().map(|acl| (acl.error_code, acl.error_message));
    let all = [(told.error_code, told.error_message)].into_iter().chain(within);
    let (code, message) = all.max_by_key(|(code, _)| *code).expect("one at least");
    Ok(Told::new(code, say(message)))
}

fn describe_quotas(kafka: &mut Kafka) -> io::Result<Told> {
    let told = kafka.call(1, &DescribeClientQuotasRequest::default())?;
    Ok(Told::new(told.error_code, say(told.error_message)))
}

/// Changes nothing.
fn check_quotas(kafka: &mut Kafka, name: &str) -> io::Result<Told> {
    let entity = EntityData::default().with_entity_type(text("user")).with_entity_name(Some(text(name)));
    let op = OpData::default().with_key(text("connections")).with_value(9.0);
    let entry = EntryData::default().with_entity(vec![entity]).with_ops(vec![op]);
    let request = AlterClientQuotasRequest::default().with_entries(vec![entry]).with_validate_only(true);
    let told = one(kafka.call(1, &request)?.entries);
    Ok(Told::new(told.error_code, say(told.error_message)))
}

fn describe_credentials(kafka: &mut Kafka) -> io::Result<Told> {
    let request = DescribeUserScramCredentialsRequest::default().with_users(None);
    let told = kafka.call(0, &request)?;
    Ok(Told::new(told.error_code, say(told.error_message)))
}
