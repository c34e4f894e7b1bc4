//! OffsetCommit: how far the group is, told by a member of the current generation, or by anybody while nobody is in it.

use super::{NONE, code, member_of};
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use crate::groups::Refusal;
use crate::groups::live::Kind;
use crate::names;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetCommitResponse};
use sluice_auth::Session;
use sluice_broker::{Promise, QueueCommit};
use sluice_model::{Error, ErrorKind, GroupName, QueueId};
use std::sync::Arc;

/// What is written beside an offset is longer than is kept.
const OFFSET_METADATA_TOO_LARGE: i16 = 12;

pub(crate) async fn offset_commit(
    client: Arc<Client>,
    head: Head,
    request: OffsetCommitRequest,
) -> Result<OffsetCommitResponse, Fatal> {
    let commits = match may_commit(&client, &head, &request) {
        Ok((session, group)) => {
            // All topics' commits are under way before the first is waited for: one sync serves them.
            let topics = request.topics.iter();
            topics.map(|topic| commit_topic(&client, &session, &group, topic)).collect::<Vec<_>>()
        }
        Err(refusal) => {
            let refused = |topic: &OffsetCommitRequestTopic| Stored::refused(topic, refusal.code());
            request.topics.iter().map(refused).collect()
        }
    };
    let mut topics = Vec::with_capacity(commits.len());
    for (asked, commit) in request.topics.into_iter().zip(commits) {
        let codes = commit.codes().await;
        let partitions = asked.partitions.iter().zip(codes).map(|(partition, code)| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        topics.push(
            OffsetCommitResponseTopic::default().with_name(asked.name).with_partitions(partitions.collect()),
        );
    }
    Ok(OffsetCommitResponse::default().with_topics(topics))
}

/// Whoever commits must be allowed to, and be a member of the generation it speaks of; nobody's commits are taken while
/// nobody is in the group, over any wire.
fn may_commit(
    client: &Client,
    head: &Head,
    request: &OffsetCommitRequest,
) -> Result<(Session, GroupName), Refusal> {
    let (session, group) = member_of(client, &request.group_id)?;
    let (member, epoch) = (request.member_id.as_str(), request.generation_id_or_member_epoch);
    let instance = request.group_instance_id.as_ref().map(|id| id.as_str());
    let checked = client.wire.groups.on(&group, |live, now| match &mut live.kind {
        Kind::Classic(classic) => classic.check_commit(now, member, instance, epoch),
        Kind::Consumer(consumer) => consumer.check_commit(now, member, epoch),
        Kind::New => Ok(()),
    });
    match checked {
        // Before there was an error for epochs, it was told as one of generations.
        Some(Err(Refusal::StaleEpoch)) if head.version < 9 => return Err(Refusal::IllegalGeneration),
        Some(checked) => checked?,
        // Some clients have made themselves an id although they never joined.
        None if epoch < 0 => {
            let others = client.broker().members(&session, &group).map_err(|error| Refusal::from(&error))?;
            if !others.is_empty() {
                return Err(Refusal::UnknownMember);
            }
        }
        None if head.version >= 9 => return Err(Refusal::GroupNotFound),
        None => return Err(Refusal::IllegalGeneration),
    }
    Ok((session, group))
}

/// Whether the group's offsets may be part of a transaction: as for [`may_commit`], for a member that says which it is
/// (its id, its instance and its generation). Producers of older days say nothing of that, and are believed.
pub(crate) fn may_promise(
    client: &Client,
    id: &GroupId,
    member: Option<(&str, Option<&str>, i32)>,
) -> Result<GroupName, Refusal> {
    let (_, group) = member_of(client, id)?;
    let Some((member, instance, epoch)) = member.filter(|(id, _, epoch)| !id.is_empty() || *epoch >= 0)
    else {
        return Ok(group);
    };
    let checked = client.wire.groups.on(&group, |live, now| match &mut live.kind {
        Kind::Classic(classic) => classic.check_commit(now, member, instance, epoch),
        Kind::Consumer(consumer) => consumer.check_commit(now, member, epoch),
        Kind::New => Ok(()),
    });
    match checked {
        // There is no error for epochs here.
        Some(Err(Refusal::StaleEpoch)) | None => Err(Refusal::IllegalGeneration),
        Some(Err(refusal)) => Err(refusal),
        Some(Ok(())) => Ok(group),
    }
}

/// The commits of one topic: those that are refused, and the promise for the rest.
struct Stored {
    codes: Vec<i16>,
    promise: Option<Promise<()>>,
}

impl Stored {
    fn refused(topic: &OffsetCommitRequestTopic, code: i16) -> Self {
        Self { codes: vec![code; topic.partitions.len()], promise: None }
    }

    /// The code of each partition, once what is stored is on disk.
    async fn codes(self) -> Vec<i16> {
        let stored = match self.promise {
            Some(promise) => promise.await,
            None => return self.codes,
        };
        let late = code(&stored.map_err(|error| Refusal::from(&error)));
        self.codes.into_iter().map(|code| if code == NONE { late } else { code }).collect()
    }
}

fn commit_topic(
    client: &Client,
    session: &Session,
    group: &GroupName,
    topic: &OffsetCommitRequestTopic,
) -> Stored {
    let Some(name) = names::topic(&topic.name) else {
        return Stored::refused(topic, Code::UnknownTopicOrPartition.number());
    };
    let queues = match client.broker().topic(session, &name) {
        Ok(view) => view.bounds.len(),
        Err(error) => return Stored::refused(topic, topic_code(&error)),
    };
    let asked: Vec<Result<QueueCommit, i16>> =
        topic.partitions.iter().map(|partition| commit_in(partition, queues)).collect();
    let commits: Vec<QueueCommit> = asked.iter().filter_map(|commit| commit.as_ref().ok().cloned()).collect();
    let codes = asked.iter().map(|commit| commit.as_ref().err().copied().unwrap_or(NONE)).collect();
    if commits.is_empty() {
        return Stored { codes, promise: None };
    }
    match client.broker().commit_offsets(session, group, &name, &commits) {
        Ok(promise) => Stored { codes, promise: Some(promise) },
        Err(error) => Stored::refused(topic, topic_code(&error)),
    }
}

fn commit_in(partition: &OffsetCommitRequestPartition, queues: usize) -> Result<QueueCommit, i16> {
    let note = partition.committed_metadata.as_ref().map_or("", |note| note.as_str());
    let said = (partition.committed_offset, partition.committed_leader_epoch, note);
    commit_of(partition.partition_index, said, queues)
}

/// One partition's commit: its number; the offset, the leader's epoch, and what is written beside.
pub(crate) fn commit_of(
    partition: i32,
    (offset, epoch, note): (i64, i32, &str),
    queues: usize,
) -> Result<QueueCommit, i16> {
    let queue = u32::try_from(partition)
        .ok()
        .filter(|queue| (*queue as usize) < queues)
        .ok_or(Code::UnknownTopicOrPartition.number())?;
    let offset = u64::try_from(offset).map_err(|_| Code::OffsetOutOfRange.number())?;
    if note.len() > QueueCommit::MAX_NOTE {
        return Err(OFFSET_METADATA_TOO_LARGE);
    }
    let epoch = (epoch >= 0).then_some(epoch);
    Ok(QueueCommit { queue: QueueId(queue), offset, epoch, note: note.into() })
}

/// Errors of a commit are those of topics, except where a stock consumer would give up for good: it tries again after
/// the ones about the coordinator.
fn topic_code(error: &Error) -> i16 {
    match error.kind() {
        ErrorKind::Throttled | ErrorKind::Unavailable => Code::CoordinatorNotAvailable.number(),
        _ => Code::of_topic(error).number(),
    }
}
