//! CreateTopics, DeleteTopics, CreatePartitions, DeleteRecords.

use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use crate::handlers::{configs, partition};
use crate::names;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
};
use sluice_auth::Session;
use sluice_broker::{TopicSpec, TopicView};
use sluice_model::{Error, ErrorKind, TopicName};
use std::collections::HashSet;
use std::sync::Arc;

/// "As the broker likes."
const DEFAULT: i32 = -1;
/// "Up to where it can be read."
const HIGH_WATERMARK: i64 = -1;
/// The first version of CreateTopics that tells what was made, and of DeleteTopics that tells why not.
const TELLS: i16 = 5;
const BY_ID_CREATE: i16 = 7;
const BY_ID_DELETE: i16 = 6;

type Refused = (Code, String);

fn refused(error: &Error) -> Refused {
    (Code::of_topic(error), error.message().to_owned())
}

fn not_a_name() -> Refused {
    (Code::InvalidTopic, "the name of a topic has 1 to 249 of a-z A-Z 0-9 . _ -".to_owned())
}

pub(crate) async fn create(
    client: Arc<Client>,
    head: Head,
    request: CreateTopicsRequest,
) -> Result<CreateTopicsResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let mut names = HashSet::new();
    let twice: HashSet<_> = request
        .topics
        .iter()
        .filter(|topic| !names.insert(topic.name.clone()))
        .map(|t| t.name.clone())
        .collect();
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let made = match twice.contains(&topic.name) {
            true => Err((Code::InvalidRequest, "the topic is named twice".to_owned())),
            false => make(&client, &session, &topic, request.validate_only).await,
        };
        results.push(tell_created(&client, head.version, topic, made));
    }
    Ok(CreateTopicsResponse::default().with_topics(results))
}

/// The topic, or what it would be.
async fn make(
    client: &Client,
    session: &Session,
    topic: &CreatableTopic,
    validate_only: bool,
) -> Result<(TopicSpec, Option<TopicView>), Refused> {
    let name = names::topic(&topic.name).ok_or_else(not_a_name)?;
    let spec = spec(client, topic)?;
    let broker = client.broker();
    match broker.topic(session, &name) {
        Ok(_) => return Err((Code::TopicAlreadyExists, format!("topic {} exists already", &**topic.name))),
        Err(error) if error.kind() == ErrorKind::TopicNotFound => {}
        // Who may make it may not see it: the broker decides when it is made.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        Err(error) => return Err(refused(&error)),
    }
    if validate_only {
        return Ok((spec, None));
    }
    broker.put_topic(session, &name, spec.clone()).await.map_err(|error| match error.kind() {
        ErrorKind::InvalidArgument => (Code::InvalidPartitions, error.message().to_owned()),
        _ => refused(&error),
    })?;
    Ok((spec, broker.topic(session, &name).ok()))
}

fn spec(client: &Client, topic: &CreatableTopic) -> Result<TopicSpec, Refused> {
    let node = client.config().node_id;
    let queues = if topic.assignments.is_empty() {
        let more = topic.replication_factor > 1 && client.config().any_replication_factor;
        if !more && !matches!(i32::from(topic.replication_factor), DEFAULT | 1) {
            let why = "the replication factor is 1: there is one broker (kafka.any_replication_factor)";
            return Err((Code::InvalidReplicationFactor, why.to_owned()));
        }
        match topic.num_partitions {
            DEFAULT => client.config().partitions,
            count => u32::try_from(count).unwrap_or(0),
        }
    } else {
        let mut indexes: Vec<i32> = topic.assignments.iter().map(|a| a.partition_index).collect();
        indexes.sort_unstable();
        let is_ours = topic.assignments.iter().all(|a| matches!(a.broker_ids[..], [id] if id.0 == node));
        if !is_ours || !indexes.iter().copied().eq(0..indexes.len() as i32) {
            let why = format!("partitions are numbered from 0 and lie on broker {node}");
            return Err((Code::InvalidReplicaAssignment, why));
        }
        indexes.len() as u32
    };
    let most = client.broker().config().max_queues;
    if !(1..=most).contains(&queues) {
        return Err((Code::InvalidPartitions, format!("a topic has 1 to {most} partitions")));
    }
    let mut each = topic.configs.iter();
    each.try_fold(TopicSpec::with_queues(queues), |spec, config| {
        configs::change(client, spec, &config.name, config.value.as_deref())
    })
}

fn tell_created(
    client: &Client,
    version: i16,
    topic: CreatableTopic,
    made: Result<(TopicSpec, Option<TopicView>), Refused>,
) -> CreatableTopicResult {
    let mut told =
        CreatableTopicResult::default().with_name(topic.name).with_error_message(None).with_configs(None);
    match made {
        Err((code, why)) => {
            told.error_code = code.number();
            told.error_message = Some(why.into());
        }
        Ok((spec, view)) => {
            if version >= TELLS {
                told.num_partitions = spec.queues as i32;
                told.replication_factor = 1;
                let settings = configs::of_topic(client, &spec).into_iter();
                let configs = settings.map(|setting| {
                    CreatableTopicConfigs::default()
                        .with_name(setting.name.into())
                        .with_value(Some(setting.value.into()))
                        .with_read_only(setting.read_only)
                        .with_config_source(setting.source as i8)
                });
                told.configs = Some(configs.collect());
            }
            if let Some(view) = view.filter(|_| version >= BY_ID_CREATE) {
                told.topic_id = client.wire.topic_ids.id(&view);
            }
        }
    }
    told
}

pub(crate) async fn delete(
    client: Arc<Client>,
    head: Head,
    request: DeleteTopicsRequest,
) -> Result<DeleteTopicsResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let named = request.topic_names.into_iter().map(|name| DeleteTopicState::default().with_name(Some(name)));
    let mut responses = Vec::new();
    for topic in named.chain(request.topics) {
        let found = match &topic.name {
            Some(name) => names::topic(name).ok_or_else(not_a_name),
            None => client
                .wire
                .topic_ids
                .topic(client.broker(), &session, topic.topic_id)
                .ok_or((Code::UnknownTopicId, "there is no topic of this id".to_owned())),
        };
        let gone = match &found {
            Ok(name) => client.broker().delete_topic(&session, name).await.map_err(|error| refused(&error)),
            Err(why) => Err(why.clone()),
        };
        let told_name = topic.name.or_else(|| found.ok().map(|name| kafka_name(&name)));
        let mut told = DeletableTopicResult::default().with_name(told_name).with_error_message(None);
        if head.version >= BY_ID_DELETE {
            told.topic_id = topic.topic_id;
        }
        if let Err((code, why)) = gone {
            told.error_code = code.number();
            if head.version >= TELLS {
                told.error_message = Some(why.into());
            }
        }
        responses.push(told);
    }
    Ok(DeleteTopicsResponse::default().with_responses(responses))
}

fn kafka_name(topic: &TopicName) -> kafka_protocol::messages::TopicName {
    kafka_protocol::messages::TopicName(names::topic_name(topic).into())
}

pub(crate) async fn create_partitions(
    client: Arc<Client>,
    _: Head,
    request: CreatePartitionsRequest,
) -> Result<CreatePartitionsResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let grown = grow(&client, &session, &topic, request.validate_only).await;
        let mut told = CreatePartitionsTopicResult::default().with_name(topic.name).with_error_message(None);
        if let Err((code, why)) = grown {
            told.error_code = code.number();
            told.error_message = Some(why.into());
        }
        results.push(told);
    }
    Ok(CreatePartitionsResponse::default().with_results(results))
}

async fn grow(
    client: &Client,
    session: &Session,
    topic: &CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), Refused> {
    let name = names::topic(&topic.name).ok_or_else(not_a_name)?;
    let mut spec = client.broker().topic(session, &name).map_err(|error| refused(&error))?.spec;
    let (have, most) = (spec.queues, client.broker().config().max_queues);
    let count = u32::try_from(topic.count).ok().filter(|count| *count > have && *count <= most);
    let count = count.ok_or_else(|| {
        (Code::InvalidPartitions, format!("the topic has {have} partitions; it may get up to {most}"))
    })?;
    if let Some(assignments) = &topic.assignments {
        let is_ours = |ids: &[kafka_protocol::messages::BrokerId]| matches!(ids, [id] if id.0 == client.config().node_id);
        if assignments.len() != (count - have) as usize || !assignments.iter().all(|a| is_ours(&a.broker_ids))
        {
            let why = format!("new partitions lie on broker {}", client.config().node_id);
            return Err((Code::InvalidReplicaAssignment, why));
        }
    }
    if validate_only {
        return Ok(());
    }
    spec.queues = count;
    client.broker().put_topic(session, &name, spec).await.map(drop).map_err(|error| refused(&error))
}

pub(crate) async fn delete_records(
    client: Arc<Client>,
    _: Head,
    request: DeleteRecordsRequest,
) -> Result<DeleteRecordsResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let name = names::topic(&topic.name);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let cut = match &name {
                Some(name) => cut(&client, &session, name, asked.partition_index, asked.offset).await,
                None => Err(Code::InvalidTopic),
            };
            let told = DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
            partitions.push(match cut {
                Ok(low) => told.with_low_watermark(low as i64),
                Err(code) => told.with_low_watermark(-1).with_error_code(code.number()),
            });
        }
        topics.push(DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions));
    }
    Ok(DeleteRecordsResponse::default().with_topics(topics))
}

async fn cut(
    client: &Client,
    session: &Session,
    topic: &TopicName,
    index: i32,
    offset: i64,
) -> Result<u64, Code> {
    let (broker, queue) = (client.broker(), partition(index)?);
    let below = match offset {
        HIGH_WATERMARK => None,
        offset => Some(u64::try_from(offset).map_err(|_| Code::OffsetOutOfRange)?),
    };
    broker.truncate_queue(session, topic, queue, below).await.map_err(|error| Code::of_partition(&error))
}
