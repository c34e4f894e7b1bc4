//! DescribeLogDirs: the one log, and what each partition takes of it.
//!
//! Whoever may see the cluster is told of the topics that it may see.

use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use crate::names;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, TopicName as KafkaTopic};
use kafka_protocol::protocol::StrBytes;
use sluice_auth::{Action, Session};
use sluice_model::TopicName;
use std::sync::Arc;

/// Its name, within the data folder.
const LOG: &str = "log";
/// The first version in which an answer has an error of its own; in older ones it says so by having nothing.
const WITH_ERROR: i16 = 3;
/// Topics of one answer to "all".
const MAX_TOPICS: usize = 100_000;

pub(crate) async fn describe(
    client: Arc<Client>,
    head: Head,
    request: DescribeLogDirsRequest,
) -> Result<DescribeLogDirsResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let response = DescribeLogDirsResponse::default();
    if let Err(error) = client.broker().permit_cluster(&session, Action::Get) {
        let code = if head.version >= WITH_ERROR { Code::of_cluster(&error) } else { Code::None };
        return Ok(response.with_error_code(code.number()));
    }
    let asked = request.topics.unwrap_or_else(|| all(&client, &session));
    let mut topics = Vec::with_capacity(asked.len());
    for DescribableLogDirTopic { topic, partitions, .. } in asked {
        // What is not there is left out, as in Kafka.
        let Some(name) = names::topic(&topic) else { continue };
        let Ok(sizes) = client.broker().queue_sizes(&session, &name).await else { continue };
        let is_meant = |index: &i32| partitions.is_empty() || partitions.contains(index);
        let each = (0..).zip(sizes).filter(|(index, _)| is_meant(index)).map(|(index, size)| {
            DescribeLogDirsPartition::default()
                .with_partition_index(index)
                .with_partition_size(i64::try_from(size).unwrap_or(i64::MAX))
        });
        topics.push(DescribeLogDirsTopic::default().with_name(topic).with_partitions(each.collect()));
    }
    let log = DescribeLogDirsResult::default().with_log_dir(LOG.into()).with_topics(topics);
    Ok(response.with_results(vec![log]))
}

/// All that there are, with all of their partitions.
fn all(client: &Client, session: &Session) -> Vec<DescribableLogDirTopic> {
    let topics = client.broker().topics(session, None, MAX_TOPICS).unwrap_or_default();
    let asked = |name: &TopicName| {
        let name = KafkaTopic(StrBytes::from(names::topic_name(name)));
        DescribableLogDirTopic::default().with_topic(name)
    };
    topics.iter().map(|topic| asked(&topic.name)).collect()
}
