//! Metadata: topics, partitions, and the one broker that leads them all.

use crate::access::operations;
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use crate::names;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName as KafkaTopic};
use kafka_protocol::protocol::StrBytes;
use sluice_auth::{Resource, Session};
use sluice_broker::TopicView;
use sluice_model::{Error, ErrorKind, TopicName};
use std::sync::Arc;

/// Topics of one answer to "all".
const MAX_TOPICS: usize = 100_000;
/// The epoch of a leader that never changes.
const LEADER_EPOCH: i32 = 0;

pub(crate) async fn metadata(
    client: Arc<Client>,
    head: Head,
    request: MetadataRequest,
) -> Result<MetadataResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let ask = Ask {
        client: &client,
        session: &session,
        version: head.version,
        create: request.allow_auto_topic_creation,
        operations: request.include_topic_authorized_operations,
    };
    let topics = match request.topics.filter(|topics| !(head.version == 0 && topics.is_empty())) {
        None => ask.all(),
        Some(topics) => topics.iter().map(|topic| ask.one(topic)).collect(),
    };
    let node = BrokerId(client.config().node_id);
    let (host, port) = client.address.clone();
    let broker = MetadataResponseBroker::default()
        .with_node_id(node)
        .with_host(host.into())
        .with_port(i32::from(port))
        .with_rack(None);
    let mut response = MetadataResponse::default().with_brokers(vec![broker]).with_topics(topics);
    if head.version >= 1 {
        response.controller_id = node;
    }
    if (8..=10).contains(&head.version) {
        let asked = request.include_cluster_authorized_operations;
        response.cluster_authorized_operations = operations::of(&client, Resource::Cluster, asked);
    }
    response.cluster_id = (head.version >= 2).then(|| client.cluster_id().into());
    Ok(response)
}

struct Ask<'a> {
    client: &'a Client,
    session: &'a Session,
    version: i16,
    create: bool,
    /// What the client may do is asked for.
    operations: bool,
}

impl Ask<'_> {
    /// Everything that may be seen, except what the broker made for groups' retries: a client that subscribes by a
    /// pattern would consume it.
    fn all(&self) -> Vec<MetadataResponseTopic> {
        let topics = self.client.broker().topics(self.session, None, MAX_TOPICS).unwrap_or_default();
        let is_own = |topic: &TopicName| topic.retry_group().is_some() || topic.dead_letter_group().is_some();
        topics.iter().filter(|topic| !is_own(&topic.name)).map(|topic| self.describe(topic)).collect()
    }

    fn one(&self, asked: &MetadataRequestTopic) -> MetadataResponseTopic {
        match &asked.name {
            Some(name) => self.by_name(name),
            None => self.by_id(asked),
        }
    }

    fn by_id(&self, asked: &MetadataRequestTopic) -> MetadataResponseTopic {
        let known = self.client.wire.topic_ids.topic(self.client.broker(), self.session, asked.topic_id);
        match known.and_then(|name| self.client.broker().topic(self.session, &name).ok()) {
            Some(topic) => self.describe(&topic),
            None => MetadataResponseTopic::default()
                .with_error_code(Code::UnknownTopicId.number())
                .with_name(None)
                .with_topic_id(asked.topic_id),
        }
    }

    fn by_name(&self, asked: &KafkaTopic) -> MetadataResponseTopic {
        let refused = |code: Code| {
            MetadataResponseTopic::default().with_error_code(code.number()).with_name(Some(asked.clone()))
        };
        let Some(name) = names::topic(asked) else { return refused(Code::InvalidTopic) };
        match self.find_or_make(&name) {
            Ok(topic) => self.describe(&topic),
            Err(error) => refused(Code::of_topic(&error)),
        }
    }

    fn find_or_make(&self, name: &TopicName) -> Result<TopicView, Error> {
        let broker = self.client.broker();
        match broker.topic(self.session, name) {
            Err(error) if error.kind() == ErrorKind::TopicNotFound && (self.create || self.version < 4) => {
                broker.ensure_topic(self.session, name, self.client.config().partitions)?;
                broker.topic(self.session, name)
            }
            other => other,
        }
    }

    fn describe(&self, topic: &TopicView) -> MetadataResponseTopic {
        let node = BrokerId(self.client.config().node_id);
        let partition = |index| {
            let partition = MetadataResponsePartition::default()
                .with_partition_index(index as i32)
                .with_leader_id(node)
                .with_replica_nodes(vec![node])
                .with_isr_nodes(vec![node]);
            if self.version >= 7 { partition.with_leader_epoch(LEADER_EPOCH) } else { partition }
        };
        let mut described = MetadataResponseTopic::default()
            .with_name(Some(KafkaTopic(StrBytes::from(names::topic_name(&topic.name)))))
            .with_partitions((0..topic.bounds.len()).map(partition).collect());
        if self.version >= 10 {
            described.topic_id = self.client.wire.topic_ids.id(topic);
        }
        if self.version >= 8 {
            let resource = Resource::Topic(&topic.name);
            described.topic_authorized_operations = operations::of(self.client, resource, self.operations);
        }
        described
    }
}
