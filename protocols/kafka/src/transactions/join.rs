//! AddPartitionsToTxn and AddOffsetsToTxn: what the transaction of a producer spans, told before the first batch or offset.
//! The broker opens a transaction by the first of these.

use super::{code_of, name, speaker};
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use crate::groups::Refusal;
use crate::names;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
};
use sluice_auth::Session;
use sluice_broker::{Promise, Speaker};
use sluice_model::{ErrorKind, QueueId};
use std::sync::Arc;

/// The first version, of both, whose clients know that they can be replaced.
const KNOWS_FENCED: i16 = 2;

pub(crate) async fn add_partitions(
    client: Arc<Client>,
    head: Head,
    request: AddPartitionsToTxnRequest,
) -> Result<AddPartitionsToTxnResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let knows = head.version >= KNOWS_FENCED;
    let asked = request.v3_and_below_topics;
    let speaking = speaker(
        &request.v3_and_below_transactional_id,
        request.v3_and_below_producer_id,
        request.v3_and_below_producer_epoch,
    );
    let speaking = speaking.and_then(|(name, id)| {
        let heard = client.broker().join_transaction(&session, &Speaker { name: &name, id }, &[], &[]);
        heard.map(|_| (name, id)).map_err(|error| code_of(&error, knows))
    });
    // All topics are on their way before the first is waited for: one sync serves them.
    let joins = asked.iter().map(|topic| match &speaking {
        Ok((name, id)) => join_topic(&client, &session, &Speaker { name, id: *id }, topic, knows),
        Err(code) => Err(*code),
    });
    let joins: Vec<_> = joins.collect();
    let mut results = Vec::with_capacity(asked.len());
    for (topic, join) in asked.into_iter().zip(joins) {
        let code = match join {
            Ok(promise) => promise.await.map_or_else(|error| code_of(&error, knows), |()| Code::None),
            Err(code) => code,
        };
        let partitions = topic.partitions.iter().map(|index| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(code.number())
        });
        results.push(
            AddPartitionsToTxnTopicResult::default()
                .with_name(topic.name)
                .with_results_by_partition(partitions.collect()),
        );
    }
    Ok(AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results))
}

fn join_topic(
    client: &Client,
    session: &Session,
    speaker: &Speaker<'_>,
    topic: &AddPartitionsToTxnTopic,
    knows: bool,
) -> Result<Promise<()>, Code> {
    let name = names::topic(&topic.name).ok_or(Code::InvalidTopic)?;
    let places = topic.partitions.iter().map(|index| {
        let queue = u32::try_from(*index).map_err(|_| Code::UnknownTopicOrPartition)?;
        Ok((name.clone(), QueueId(queue)))
    });
    let places = places.collect::<Result<Vec<_>, Code>>()?;
    client.broker().join_transaction(session, speaker, &places, &[]).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::TopicNotFound => Code::of_topic(&error),
        // No refusal of the producer's, which was heard before: it is about a partition.
        ErrorKind::InvalidArgument if sluice_broker::TransactionRefusal::of(&error).is_none() => {
            Code::UnknownTopicOrPartition
        }
        _ => code_of(&error, knows),
    })
}

pub(crate) async fn add_offsets(
    client: Arc<Client>,
    head: Head,
    request: AddOffsetsToTxnRequest,
) -> Result<AddOffsetsToTxnResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let code = match join_group(&client, &session, &request, head.version >= KNOWS_FENCED).await {
        Ok(()) => Code::None.number(),
        Err(code) => code,
    };
    Ok(AddOffsetsToTxnResponse::default().with_error_code(code))
}

async fn join_group(
    client: &Client,
    session: &Session,
    request: &AddOffsetsToTxnRequest,
    knows: bool,
) -> Result<(), i16> {
    let refused = |error: &_| code_of(error, knows).number();
    let speaking = speaker(&request.transactional_id, request.producer_id, request.producer_epoch);
    let (own, id) = speaking.map_err(Code::number)?;
    let speaker = Speaker { name: &own, id };
    let heard = client.broker().join_transaction(session, &speaker, &[], &[]);
    drop(heard.map_err(|error| refused(&error))?);
    let group = name(&request.group_id).map_err(|_| Refusal::InvalidGroupId.code())?;
    let joined = client.broker().join_transaction(session, &speaker, &[], &[group]);
    let joined = joined.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => Refusal::Unauthorized.code(),
        _ => refused(&error),
    });
    joined?.await.map_err(|error| refused(&error))
}
