//! OffsetFetch: how far groups are. What is not known is offset -1 and no error; what cannot be read is an error, or a
//! consumer would begin anew.

use super::{NONE, group, session, text, topic};
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use crate::groups::Refusal;
use crate::groups::live::Kind;
use crate::names;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName as KafkaTopic};
use sluice_auth::Session;
use sluice_broker::QueueCommitted;
use sluice_model::GroupName;
use std::collections::HashSet;
use std::sync::Arc;

/// What is known of a partition, in the fields of either form of the answer.
struct Known {
    partition: i32,
    offset: i64,
    epoch: i32,
    note: String,
    code: i16,
}

/// What is known of a topic.
type KnownTopic = (KafkaTopic, Vec<Known>);

pub(crate) async fn offset_fetch(
    client: Arc<Client>,
    head: Head,
    request: OffsetFetchRequest,
) -> Result<OffsetFetchResponse, Fatal> {
    if head.version >= 8 {
        let groups = request.groups.into_iter().map(|asked| {
            let topics = asked.topics.map(|topics| {
                topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect()
            });
            let member = (asked.member_epoch >= 0)
                .then(|| (asked.member_id.as_ref().map_or("", |id| id.as_str()), asked.member_epoch));
            let known = fetch(&client, &asked.group_id, topics, member, request.require_stable);
            told_group(asked.group_id, known)
        });
        return Ok(OffsetFetchResponse::default().with_groups(groups.collect()));
    }
    let asked = request.topics.map(|topics| {
        topics.into_iter().map(|topic| (topic.name, topic.partition_indexes)).collect::<Vec<_>>()
    });
    let named = asked.clone();
    Ok(match fetch(&client, &request.group_id, asked, None, request.require_stable) {
        Ok(topics) => OffsetFetchResponse::default().with_topics(topics.into_iter().map(told).collect()),
        // The oldest version has room for errors in partitions alone.
        Err(refusal) if head.version < 2 => {
            let topics = named.into_iter().flatten().map(|(name, partitions)| {
                told((name, partitions.into_iter().map(|p| unknown(p, refusal.code())).collect()))
            });
            OffsetFetchResponse::default().with_topics(topics.collect())
        }
        Err(refusal) => OffsetFetchResponse::default().with_error_code(refusal.code()),
    })
}

fn fetch(
    client: &Client,
    id: &GroupId,
    topics: Option<Vec<(KafkaTopic, Vec<i32>)>>,
    member: Option<(&str, i32)>,
    stable: bool,
) -> Result<Vec<KnownTopic>, Refusal> {
    let (session, group) = (session(client)?, group(id)?);
    check_member(client, &group, member)?;
    let unsettled = match stable {
        true => unsettled(client, &session, &group)?,
        false => HashSet::new(),
    };
    let is_unsettled = |name: &KafkaTopic, partition: i32| unsettled.contains(&(name.to_string(), partition));
    let Some(topics) = topics else { return all(client, &session, &group, is_unsettled) };
    let known = topics.into_iter().map(|(name, partitions)| {
        let committed = match names::topic(&name) {
            None => Ok(Vec::new()),
            Some(topic) => match client.broker().committed_offsets(&session, &group, Some(&topic)) {
                Ok(committed) => Ok(committed),
                // The group itself may not be read: that is told once, for all of them.
                Err(error) if client.broker().committed_offsets(&session, &group, None).is_err() => {
                    return Err(Refusal::from(&error));
                }
                Err(error) => Err(Code::of_topic(&error).number()),
            },
        };
        let one = |partition: i32| match &committed {
            Err(code) => unknown(partition, *code),
            Ok(_) if is_unsettled(&name, partition) => {
                unknown(partition, Code::UnstableOffsetCommit.number())
            }
            Ok(committed) => committed
                .iter()
                .find(|known| i64::from(known.queue.0) == i64::from(partition))
                .map_or_else(|| unknown(partition, NONE), Known::from),
        };
        let partitions = partitions.into_iter().map(one).collect();
        Ok((name, partitions))
    });
    known.collect()
}

/// What the group's offsets are on, as Kafka names it, where a transaction may change them yet.
fn unsettled(
    client: &Client,
    session: &Session,
    group: &GroupName,
) -> Result<HashSet<(String, i32)>, Refusal> {
    let places = client.broker().unsettled_offsets(session, group).map_err(|error| Refusal::from(&error))?;
    Ok(places.into_iter().map(|(topic, queue)| (names::topic_name(&topic), queue.0 as i32)).collect())
}

/// Everything that the group has committed.
fn all(
    client: &Client,
    session: &Session,
    group: &GroupName,
    is_unsettled: impl Fn(&KafkaTopic, i32) -> bool,
) -> Result<Vec<KnownTopic>, Refusal> {
    let committed =
        client.broker().committed_offsets(session, group, None).map_err(|error| Refusal::from(&error))?;
    let mut topics: Vec<KnownTopic> = Vec::new();
    let is_own = |known: &QueueCommitted| known.topic.retry_group().is_none();
    for known in committed.iter().filter(|known| is_own(known)) {
        let name = topic(names::topic_name(&known.topic));
        let told = match is_unsettled(&name, known.queue.0 as i32) {
            true => unknown(known.queue.0 as i32, Code::UnstableOffsetCommit.number()),
            false => Known::from(known),
        };
        match topics.last_mut().filter(|(last, _)| *last == name) {
            Some((_, partitions)) => partitions.push(told),
            None => topics.push((name, vec![told])),
        }
    }
    Ok(topics)
}

/// A member whose partitions the broker shares out asks in its epoch. Members that share them out themselves ask as
/// anybody may: franz-go names its member here as well.
fn check_member(client: &Client, group: &GroupName, member: Option<(&str, i32)>) -> Result<(), Refusal> {
    let Some((member, epoch)) = member else { return Ok(()) };
    let checked = client.wire.groups.on(group, |live, now| match &mut live.kind {
        Kind::Consumer(consumer) => consumer.check_commit(now, member, epoch),
        Kind::Classic(_) | Kind::New => Ok(()),
    });
    checked.unwrap_or(Ok(()))
}

impl From<&QueueCommitted> for Known {
    fn from(known: &QueueCommitted) -> Self {
        Self {
            partition: known.queue.0 as i32,
            offset: known.offset as i64,
            epoch: known.epoch.unwrap_or(-1),
            note: known.note.to_string(),
            code: NONE,
        }
    }
}

fn unknown(partition: i32, code: i16) -> Known {
    Known { partition, offset: -1, epoch: -1, note: String::new(), code }
}

fn told((name, partitions): KnownTopic) -> OffsetFetchResponseTopic {
    let partitions = partitions.into_iter().map(|known| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(known.partition)
            .with_committed_offset(known.offset)
            .with_committed_leader_epoch(known.epoch)
            .with_metadata(Some(text(known.note)))
            .with_error_code(known.code)
    });
    OffsetFetchResponseTopic::default().with_name(name).with_partitions(partitions.collect())
}

fn told_group(id: GroupId, known: Result<Vec<KnownTopic>, Refusal>) -> OffsetFetchResponseGroup {
    let code = super::code(&known);
    let topics = known.unwrap_or_default().into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|known| {
            OffsetFetchResponsePartitions::default()
                .with_partition_index(known.partition)
                .with_committed_offset(known.offset)
                .with_committed_leader_epoch(known.epoch)
                .with_metadata(Some(text(known.note)))
                .with_error_code(known.code)
        });
        OffsetFetchResponseTopics::default().with_name(name).with_partitions(partitions.collect())
    });
    OffsetFetchResponseGroup::default().with_group_id(id).with_topics(topics.collect()).with_error_code(code)
}
