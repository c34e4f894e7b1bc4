//! TxnOffsetCommit: offsets that a group has once the transaction is committed. Until then who wants only what is stable is
//! told to wait (`groups/handlers/fetch`).

use super::{code_of, speaker};
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use crate::groups::{Refusal, commit_of, may_promise};
use crate::names;
use kafka_protocol::messages::txn_offset_commit_request::TxnOffsetCommitRequestTopic;
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use sluice_auth::Session;
use sluice_broker::{ProducerId, Promise, QueueCommit, Speaker, TransactionRefusal};
use sluice_model::{ErrorKind, GroupName};
use std::sync::Arc;

/// The first version that says which member commits, and the first by which a group becomes part of the transaction.
const WITH_MEMBER: i16 = 3;
const JOINS: i16 = 5;

pub(crate) async fn commit(
    client: Arc<Client>,
    head: Head,
    request: TxnOffsetCommitRequest,
) -> Result<TxnOffsetCommitResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let may = may_commit(&client, &session, head.version, &request);
    // All topics' offsets are on their way before the first is waited for: one sync serves them.
    let topics = request.topics.iter().map(|topic| match &may {
        Ok(may) => commit_topic(&client, &session, may, topic, head.version >= JOINS),
        Err(code) => (vec![*code; topic.partitions.len()], None),
    });
    let topics: Vec<_> = topics.collect();
    let mut told = Vec::with_capacity(topics.len());
    for (asked, (codes, promise)) in request.topics.into_iter().zip(topics) {
        let late = match promise {
            Some(promise) => promise.await.map_or_else(|error| code_of(&error, false).number(), |()| 0),
            None => 0,
        };
        let partitions = asked.partitions.iter().zip(codes).map(|(partition, code)| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(if code == 0 { late } else { code })
        });
        let topic = TxnOffsetCommitResponseTopic::default().with_name(asked.name);
        told.push(topic.with_partitions(partitions.collect()));
    }
    Ok(TxnOffsetCommitResponse::default().with_topics(told))
}

/// Whose offsets, and as part of whose transaction.
struct May {
    producer: GroupName,
    id: ProducerId,
    group: GroupName,
}

fn may_commit(
    client: &Client,
    session: &Session,
    version: i16,
    request: &TxnOffsetCommitRequest,
) -> Result<May, i16> {
    let speaking = speaker(&request.transactional_id, request.producer_id, request.producer_epoch);
    let (producer, id) = speaking.map_err(Code::number)?;
    let heard = client.broker().join_transaction(session, &Speaker { name: &producer, id }, &[], &[]);
    drop(heard.map_err(|error| code_of(&error, false).number())?);
    let member = (version >= WITH_MEMBER).then(|| {
        let instance = request.group_instance_id.as_ref().map(|id| id.as_str());
        (request.member_id.as_str(), instance, request.generation_id)
    });
    let group = may_promise(client, &request.group_id, member).map_err(|refusal: Refusal| refusal.code())?;
    Ok(May { producer, id, group })
}

fn commit_topic(
    client: &Client,
    session: &Session,
    may: &May,
    topic: &TxnOffsetCommitRequestTopic,
    joins: bool,
) -> (Vec<i16>, Option<Promise<()>>) {
    let all = |code: Code| (vec![code.number(); topic.partitions.len()], None);
    let Some(name) = names::topic(&topic.name) else { return all(Code::UnknownTopicOrPartition) };
    let queues = match client.broker().topic(session, &name) {
        Ok(view) => view.bounds.len(),
        Err(error) => return all(Code::of_topic(&error)),
    };
    let asked: Vec<Result<QueueCommit, i16>> = topic
        .partitions
        .iter()
        .map(|partition| {
            let note = partition.committed_metadata.as_ref().map_or("", |note| note.as_str());
            commit_of(
                partition.partition_index,
                (partition.committed_offset, partition.committed_leader_epoch, note),
                queues,
            )
        })
        .collect();
    let commits: Vec<_> = asked.iter().filter_map(|commit| commit.as_ref().ok().cloned()).collect();
    let codes = asked.iter().map(|commit| commit.as_ref().err().copied().unwrap_or(0)).collect();
    if commits.is_empty() {
        return (codes, None);
    }
    let speaker = Speaker { name: &may.producer, id: may.id };
    match client.broker().promise_offsets(session, &speaker, &may.group, &name, (&commits, joins)) {
        Ok(promise) => (codes, Some(promise)),
        Err(error) if TransactionRefusal::of(&error).is_some() => all(code_of(&error, false)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => all(Code::of_topic(&error)),
        Err(error) => all(code_of(&error, false)),
    }
}
