//! Settings of topics and of the broker, and what clusters have that one broker has not.

use super::tests::{ask, client, client_with, make_topic};
use crate::client::Client;
use crate::config::Config;
use crate::errors::Code;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{
    AlterConfigsRequest, CreateTopicsRequest, DescribeConfigsRequest, ElectLeadersRequest,
    IncrementalAlterConfigsRequest, TopicName, alter_configs_request, create_topics_request,
    incremental_alter_configs_request,
};
use std::sync::Arc;

const BROKER: i8 = 4;

/// What an incremental change of the broker's settings comes to; no value puts one back.
async fn set(client: &Arc<Client>, broker: &str, name: &'static str, value: Option<&'static str>) -> i16 {
    use incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
    let config = AlterableConfig::default()
        .with_name(name.into())
        .with_config_operation(if value.is_some() { 0 } else { 1 })
        .with_value(value.map(Into::into));
    let resource = AlterConfigsResource::default()
        .with_resource_type(BROKER)
        .with_resource_name(broker.to_owned().into())
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    ask(client, 1, request).await.responses[0].error_code
}

/// Value, source, and whether it is read only.
async fn said(client: &Arc<Client>, kind: i8, resource: &str, name: &'static str) -> (String, i8, bool) {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(resource.to_owned().into())
        .with_configuration_keys(Some(vec![name.into()]));
    let told = ask(client, 4, DescribeConfigsRequest::default().with_resources(vec![resource])).await;
    let told = &told.results[0];
    assert_eq!((told.error_code, told.configs.len()), (0, 1), "{:?}", told.error_message);
    let one = &told.configs[0];
    (one.value.clone().unwrap().to_string(), one.config_source, one.read_only)
}

#[tokio::test]
async fn the_brokers_settings_change_as_far_as_they_can() {
    let client = client();
    make_topic(&client).await;
    let usual = client.broker().tuned().retention.as_millis().to_string();
    assert_eq!(said(&client, BROKER, "1", "log.retention.ms").await, (usual.clone(), 4, false));
    for (broker, name, value, code) in [
        ("1", "log.retention.ms", Some("7200000"), Code::None),
        ("", "auto.create.topics.enable", Some("false"), Code::None),
        ("1", "log.retention.ms", Some("0"), Code::InvalidConfig),
        ("1", "auto.create.topics.enable", Some("perhaps"), Code::InvalidConfig),
        ("1", "num.partitions", Some("9"), Code::InvalidConfig),
        ("2", "log.retention.ms", Some("7200000"), Code::InvalidRequest),
    ] {
        assert_eq!(set(&client, broker, name, value).await, code.number(), "{broker} {name} {value:?}");
    }
    assert_eq!(said(&client, BROKER, "1", "log.retention.ms").await, ("7200000".into(), 3, false));
    assert_eq!(said(&client, BROKER, "1", "auto.create.topics.enable").await, ("false".into(), 3, false));
    assert_eq!(said(&client, BROKER, "1", "num.partitions").await, ("4".into(), 4, true));
    // A topic without one of its own follows.
    assert_eq!(said(&client, 2, "a.b", "retention.ms").await, ("7200000".into(), 4, false));
    assert!(!client.broker().tuned().auto_create);
    assert_eq!(set(&client, "1", "log.retention.ms", None).await, 0);
    assert_eq!(said(&client, BROKER, "1", "log.retention.ms").await, (usual, 4, false));
    // The old form puts back what it does not name.
    let resource = alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(BROKER)
        .with_resource_name("1".into());
    let told = ask(&client, 2, AlterConfigsRequest::default().with_resources(vec![resource])).await;
    assert_eq!(told.responses[0].error_code, 0);
    assert!(client.broker().tuned().auto_create);
}

#[tokio::test]
async fn more_replicas_than_brokers_are_for_those_who_want_them() {
    for (any, factor, code) in [
        (false, 3, Code::InvalidReplicationFactor),
        (false, -1, Code::None),
        (true, 3, Code::None),
        (true, 0, Code::InvalidReplicationFactor),
        (true, -2, Code::InvalidReplicationFactor),
    ] {
        let client = client_with(Config { any_replication_factor: any, ..Config::default() });
        let topic = CreatableTopic::default()
            .with_name(TopicName("c".into()))
            .with_num_partitions(1)
            .with_replication_factor(factor);
        let made = ask(&client, 7, CreateTopicsRequest::default().with_topics(vec![topic])).await;
        assert_eq!(made.topics[0].error_code, code.number(), "{any} {factor}");
        assert_eq!(made.topics[0].replication_factor, if code == Code::None { 1 } else { -1 });
    }
}

#[tokio::test]
async fn no_leader_is_elected_where_there_is_one_broker() {
    let client = client();
    make_topic(&client).await;
    for version in 0..=2 {
        let named = |topic: &'static str, partitions: &[i32]| {
            TopicPartitions::default()
                .with_topic(TopicName(topic.into()))
                .with_partitions(partitions.to_vec())
        };
        let request = ElectLeadersRequest::default()
            .with_topic_partitions(Some(vec![named("a.b", &[0, 3, 4, -1]), named("nowhere", &[0])]));
        let told = ask(&client, version, request).await;
        let codes = told.replica_election_results.iter();
        let codes: Vec<Vec<i16>> = codes
            .map(|topic| topic.partition_result.iter().map(|partition| partition.error_code).collect())
            .collect();
        assert_eq!(codes, [vec![84, 84, 3, 3], vec![3]], "v{version}");
        let all = ElectLeadersRequest::default().with_topic_partitions(None);
        let told = ask(&client, version, all).await;
        assert_eq!((told.error_code, told.replica_election_results.len()), (0, 0));
    }
}

/// However it is asked for, it is refused, and why is said.
#[tokio::test]
async fn compaction_is_refused() {
    use alter_configs_request::{AlterConfigsResource, AlterableConfig};
    use create_topics_request::CreatableTopicConfig;
    use incremental_alter_configs_request as incremental;
    let client = client();
    make_topic(&client).await;
    let mut told = Vec::new();
    for policy in ["compact", "compact,delete"] {
        let config = CreatableTopicConfig::default()
            .with_name("cleanup.policy".into())
            .with_value(Some(policy.into()));
        let topic = CreatableTopic::default()
            .with_name(TopicName("c".into()))
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(vec![config]);
        let made = ask(&client, 7, CreateTopicsRequest::default().with_topics(vec![topic])).await;
        told.push((made.topics[0].error_code, made.topics[0].error_message.clone()));
        let config =
            AlterableConfig::default().with_name("cleanup.policy".into()).with_value(Some(policy.into()));
        let resource = AlterConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name("a.b".into())
            .with_configs(vec![config]);
        let all = ask(&client, 2, AlterConfigsRequest::default().with_resources(vec![resource])).await;
        told.push((all.responses[0].error_code, all.responses[0].error_message.clone()));
        for operation in [0, 2] {
            let config = incremental::AlterableConfig::default()
                .with_name("cleanup.policy".into())
                .with_config_operation(operation)
                .with_value(Some(policy.into()));
            let resource = incremental::AlterConfigsResource::default()
                .with_resource_type(2)
                .with_resource_name("a.b".into())
                .with_configs(vec![config]);
            let some =
                ask(&client, 1, IncrementalAlterConfigsRequest::default().with_resources(vec![resource]))
                    .await;
            told.push((some.responses[0].error_code, some.responses[0].error_message.clone()));
        }
    }
    assert_eq!(told.len(), 8);
    for (code, why) in told {
        assert_eq!(code, Code::InvalidConfig.number());
        assert!(why.as_deref().is_some_and(|why| why.contains("compaction is not offered")), "{why:?}");
    }
}
