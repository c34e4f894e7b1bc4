//! ListOffsets: where a partition begins and ends, and where a time lies in it.

use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use crate::handlers::{partition, same_epoch};
use crate::names;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use sluice_auth::Session;
use sluice_broker::{BornAt, LogBounds};
use sluice_model::TopicName;
use std::collections::HashSet;
use std::sync::Arc;

/// What a time below 0 asks for, and the first version that may.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const NEWEST: (i64, i16) = (-3, 7);
const EARLIEST_LOCAL: (i64, i16) = (-4, 8);
const LATEST_TIERED: (i64, i16) = (-5, 9);
/// "There is none", of an offset and of a time.
const NONE: i64 = -1;
/// The first version that says whether only what is committed counts, and how it says so.
const WITH_ISOLATION: i16 = 2;
const READ_COMMITTED: i8 = 1;
/// The first version that tells the leader's epoch.
const WITH_EPOCH: i16 = 4;

pub(crate) async fn list_offsets(
    client: Arc<Client>,
    head: Head,
    request: ListOffsetsRequest,
) -> Result<ListOffsetsResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let committed = head.version >= WITH_ISOLATION && request.isolation_level == READ_COMMITTED;
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let name = names::topic(&topic.name);
        let (mut partitions, mut seen) = (Vec::with_capacity(topic.partitions.len()), HashSet::new());
        for asked in &topic.partitions {
            let found = match (&name, seen.insert(asked.partition_index)) {
                (_, false) => Err(Code::InvalidRequest),
                (None, _) => Err(Code::InvalidTopic),
                (Some(name), _) => find(&client, &session, &head, (name, committed), asked).await,
            };
            let (code, offset, timestamp) = match found {
                Ok((offset, timestamp)) => (Code::None, offset, timestamp),
                Err(code) => (code, NONE, NONE),
            };
            let mut told = ListOffsetsPartitionResponse::default()
                .with_partition_index(asked.partition_index)
                .with_error_code(code.number())
                .with_offset(offset)
                .with_timestamp(timestamp);
            if head.version >= WITH_EPOCH && offset != NONE {
                told.leader_epoch = 0;
            }
            partitions.push(told);
        }
        topics.push(ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    Ok(ListOffsetsResponse::default().with_topics(topics))
}

async fn find(
    client: &Client,
    session: &Session,
    head: &Head,
    (topic, committed): (&TopicName, bool),
    asked: &ListOffsetsPartition,
) -> Result<(i64, i64), Code> {
    same_epoch(asked.current_leader_epoch)?;
    let queue = partition(asked.partition_index)?;
    let bounds = client.broker().whole_bounds(session, topic, queue);
    let LogBounds { min: begin, stable, end } = bounds.map_err(|error| Code::of_partition(&error))?;
    let at = match asked.timestamp {
        LATEST if committed => return Ok((stable as i64, NONE)),
        LATEST => return Ok((end as i64, NONE)),
        EARLIEST => return Ok((begin as i64, NONE)),
        special if special < 0 => {
            let since =
                [NEWEST, EARLIEST_LOCAL, LATEST_TIERED].into_iter().find(|(number, _)| *number == special);
            match since {
                Some((_, since)) if head.version < since => return Err(Code::UnsupportedVersion),
                Some(NEWEST) => BornAt::Newest,
                Some(EARLIEST_LOCAL) => return Ok((begin as i64, NONE)),
                Some(_) => return Ok((NONE, NONE)),
                None => return Err(Code::UnsupportedVersion),
            }
        }
        time => BornAt::From(time as u64),
    };
    let found = client.broker().born_at(session, topic, queue, at).await;
    let found = found.map_err(|error| Code::of_partition(&error))?;
    Ok(found.map_or((NONE, NONE), |(offset, born)| (offset as i64, born as i64)))
}
