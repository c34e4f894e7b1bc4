//! The requests of Kafka that are about transactions: what the last producer named is known by goes into each.

use crate::kafka::{Kafka, Told};
use crate::kafka_requests::{group, one, text, topic};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeProducersRequest, EndTxnRequest,
    InitProducerIdRequest, ListTransactionsRequest, ProducerId, TransactionalId, TxnOffsetCommitRequest,
};
use std::io;

fn id(name: &str) -> TransactionalId {
    TransactionalId(text(name))
}

pub fn init_producer_id(kafka: &mut Kafka, name: &str) -> io::Result<Told> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(Some(id(name)))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    let told = kafka.call(4, &request)?;
    kafka.producer = (told.producer_id.0, told.producer_epoch);
    Ok(Told::new(told.error_code, name))
}

pub fn add_partitions(kafka: &mut Kafka, name: &str, of: &str) -> io::Result<Told> {
    let (number, epoch) = kafka.producer;
    let asked = AddPartitionsToTxnTopic::default().with_name(topic(of)).with_partitions(vec![0]);
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(id(name))
        .with_v3_and_below_producer_id(ProducerId(number))
        .with_v3_and_below_producer_epoch(epoch)
        .with_v3_and_below_topics(vec![asked]);
    let told = one(kafka.call(3, &request)?.results_by_topic_v3_and_below);
    Ok(Told::new(one(told.results_by_partition).partition_error_code, name))
}

pub fn add_offsets(kafka: &mut Kafka, name: &str, of: &str) -> io::Result<Told> {
    let (number, epoch) = kafka.producer;
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(id(name))
        .with_producer_id(ProducerId(number))
        .with_producer_epoch(epoch)
        .with_group_id(group(of));
    Ok(Told::new(kafka.call(3, &request)?.error_code, name))
}

pub fn txn_offset_commit(kafka: &mut Kafka, name: &str, of: &str, on: &str) -> io::Result<Told> {
    let (number, epoch) = kafka.producer;
    let partition = TxnOffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(1)
        .with_committed_metadata(None);
    let asked = TxnOffsetCommitRequestTopic::default().with_name(topic(on)).with_partitions(vec![partition]);
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(id(name))
        .with_group_id(group(of))
        .with_producer_id(ProducerId(number))
        .with_producer_epoch(epoch)
        .with_generation_id(-1)
        .with_group_instance_id(None)
        .with_topics(vec![asked]);
    let told = one(kafka.call(3, &request)?.topics);
    Ok(Told::new(one(told.partitions).error_code, name))
}

pub fn end_txn(kafka: &mut Kafka, name: &str) -> io::Result<Told> {
    let (number, epoch) = kafka.producer;
    let request = EndTxnRequest::default()
        .with_transactional_id(id(name))
        .with_producer_id(ProducerId(number))
        .with_producer_epoch(epoch)
        .with_committed(true);
    Ok(Told::new(kafka.call(3, &request)?.error_code, name))
}

pub fn list_transactions(kafka: &mut Kafka) -> io::Result<Told> {
    let told = kafka.call(0, &ListTransactionsRequest::default())?;
    let names: Vec<_> =
        told.transaction_states.iter().map(|state| state.transactional_id.to_string()).collect();
    Ok(Told::new(told.error_code, names.join(" ")))
}

pub fn describe_producers(kafka: &mut Kafka, of: &str) -> io::Result<Told> {
    let asked = TopicRequest::default().with_name(topic(of)).with_partition_indexes(vec![0]);
    let told = one(kafka.call(0, &DescribeProducersRequest::default().with_topics(vec![asked]))?.topics);
    let name = told.name.to_string();
    Ok(Told::new(one(told.partitions).error_code, name))
}
