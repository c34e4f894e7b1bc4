//! DeleteGroups and OffsetDelete: what a group knows is let go, unless somebody is at work with it.

use super::{NONE, code, group, session};
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use crate::groups::Refusal;
use crate::groups::shown;
use crate::names;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, GroupId, OffsetDeleteRequest, OffsetDeleteResponse,
};
use sluice_auth::Session;
use sluice_model::{GroupName, QueueId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The group has members.
const NON_EMPTY_GROUP: i16 = 68;
/// A member of the group reads the topic.
const GROUP_SUBSCRIBED_TO_TOPIC: i16 = 86;

pub(crate) async fn delete_groups(
    client: Arc<Client>,
    _: Head,
    request: DeleteGroupsRequest,
) -> Result<DeleteGroupsResponse, Fatal> {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for id in request.groups_names {
        let code = delete(&client, &id).await;
        results.push(DeletableGroupResult::default().with_group_id(id).with_error_code(code));
    }
    Ok(DeleteGroupsResponse::default().with_results(results))
}

async fn delete(client: &Client, id: &GroupId) -> i16 {
    let (session, group) = match session(client).and_then(|session| Ok((session, group(id)?))) {
        Ok(known) => known,
        Err(refusal) => return refusal.code(),
    };
    client.wire.groups.tell_the_time(&group);
    // Of those who may delete, some may not look; they are told so by the deletion.
    let has_members = client.broker().members(&session, &group).is_ok_and(|members| !members.is_empty());
    if has_members {
        return NON_EMPTY_GROUP;
    }
    let deleted = client.broker().delete_group(&session, &group).await;
    code(&deleted.map_err(|error| Refusal::from(&error)))
}

pub(crate) async fn offset_delete(
    client: Arc<Client>,
    _: Head,
    request: OffsetDeleteRequest,
) -> Result<OffsetDeleteResponse, Fatal> {
    let (session, group) = match may_delete(&client, &request.group_id) {
        Ok(known) => known,
        Err(refusal) => return Ok(OffsetDeleteResponse::default().with_error_code(refusal.code())),
    };
    let subscribed = client.wire.groups.on(&group, |live, now| {
        live.kind.tick(now);
        shown::subscribed(&live.kind)
    });
    let subscribed = subscribed.unwrap_or_default();
    let mut topics = Vec::with_capacity(request.topics.len());
    for asked in request.topics {
        let codes = forget(&client, &session, &group, &asked, &subscribed).await;
        let partitions = asked.partitions.iter().zip(codes).map(|(partition, code)| {
            OffsetDeleteResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        topics.push(
            OffsetDeleteResponseTopic::default()
                .with_name(asked.name.clone())
                .with_partitions(partitions.collect()),
        );
    }
    Ok(OffsetDeleteResponse::default().with_error_code(NONE).with_topics(topics))
}

/// The group must be there, and its offsets may be deleted.
fn may_delete(client: &Client, id: &GroupId) -> Result<(Session, GroupName), Refusal> {
    let (session, group) = (session(client)?, group(id)?);
    client.broker().group(&session, &group).map_err(|error| Refusal::from(&error))?;
    // Asked for by itself, so that who may not is told of the group and not of its topics.
    drop(client.broker().forget_offsets(&session, &group, &[]).map_err(|error| Refusal::from(&error))?);
    Ok((session, group))
}

/// The code of each partition.
async fn forget(
    client: &Client,
    session: &Session,
    group: &GroupName,
    asked: &OffsetDeleteRequestTopic,
    subscribed: &BTreeSet<String>,
) -> Vec<i16> {
    let all = |code: i16| vec![code; asked.partitions.len()];
    if subscribed.contains(asked.name.as_str()) {
        return all(GROUP_SUBSCRIBED_TO_TOPIC);
    }
    let unknown = Code::UnknownTopicOrPartition.number();
    let Some(topic) = names::topic(&asked.name) else { return all(unknown) };
    let queues = match client.broker().topic(session, &topic) {
        Ok(view) => view.bounds.len(),
        Err(error) => return all(Code::of_topic(&error).number()),
    };
    let queue =
        |index: i32| u32::try_from(index).ok().filter(|queue| (*queue as usize) < queues).map(QueueId);
    let there: Vec<QueueId> = asked.partitions.iter().filter_map(|p| queue(p.partition_index)).collect();
    let done = match client.broker().forget_offsets(session, group, &[(&topic, &there)]) {
        Ok(promise) => promise.await,
        Err(error) => Err(error),
    };
    let told = done.err().map_or(NONE, |error| Code::of_topic(&error).number());
    asked.partitions.iter().map(|p| if queue(p.partition_index).is_some() { told } else { unknown }).collect()
}
