//! The cluster: the one broker, under the address by which this client reaches it, whose partitions go nowhere, and what
//! has settings.

use crate::access::operations;
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use crate::handlers::configs::{BROKER, TOPIC};
use crate::names;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeClusterResponse, ElectLeadersRequest, ElectLeadersResponse,
    ListConfigResourcesRequest, ListConfigResourcesResponse, ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
};
use kafka_protocol::protocol::StrBytes;
use sluice_auth::{Action, Resource};
use std::sync::Arc;

/// Of the two kinds of servers that may be asked for, the one that we are.
const BROKERS: i8 = 1;
/// The first version of ElectLeaders that has an error for all of it.
const SAYS_AT_ONCE: i16 = 1;
/// Things of one answer.
const MAX_TOPICS: usize = 100_000;
/// The first version in which it is said what kinds of things are meant; before, it was clients' metrics, and there are none.
const BY_KIND: i16 = 1;

pub(crate) async fn describe_cluster(
    client: Arc<Client>,
    head: Head,
    request: DescribeClusterRequest,
) -> Result<DescribeClusterResponse, Fatal> {
    let node = BrokerId(client.config().node_id);
    let (host, port) = client.address.clone();
    let mut response = DescribeClusterResponse::default()
        .with_error_message(None)
        .with_cluster_id(client.cluster_id().into())
        .with_controller_id(node)
        .with_cluster_authorized_operations(operations::of(
            &client,
            Resource::Cluster,
            request.include_cluster_authorized_operations,
        ));
    if head.version >= 1 && request.endpoint_type != BROKERS {
        return Ok(response
            .with_error_code(Code::UnsupportedEndpointType.number())
            .with_error_message(Some("there are no controllers apart from the broker".into())));
    }
    response.brokers = vec![
        DescribeClusterBroker::default()
            .with_broker_id(node)
            .with_host(host.into())
            .with_port(i32::from(port))
            .with_rack(None),
    ];
    Ok(response)
}

/// Partitions have one place.
pub(crate) async fn list_reassignments(
    client: Arc<Client>,
    _: Head,
    _: ListPartitionReassignmentsRequest,
) -> Result<ListPartitionReassignmentsResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let response = ListPartitionReassignmentsResponse::default().with_error_message(None);
    Ok(match client.broker().permit_cluster(&session, Action::Get) {
        Ok(()) => response,
        Err(error) => response
            .with_error_code(Code::of_cluster(&error).number())
            .with_error_message(Some(error.message().to_owned().into())),
    })
}

/// The one broker leads every partition there is, so no election is needed, and that is said of those that are named.
pub(crate) async fn elect_leaders(
    client: Arc<Client>,
    head: Head,
    request: ElectLeadersRequest,
) -> Result<ElectLeadersResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let response = ElectLeadersResponse::default();
    let permitted = client.broker().permit_cluster(&session, Action::Update);
    let refused = permitted.map_err(|error| (Code::of_cluster(&error), error.message().to_owned())).err();
    if let Some((code, _)) = refused.as_ref().filter(|_| head.version >= SAYS_AT_ONCE) {
        return Ok(response.with_error_code(code.number()));
    }
    let results = request.topic_partitions.unwrap_or_default().into_iter().map(|topic| {
        let view = names::topic(&topic.topic).and_then(|name| client.broker().topic(&session, &name).ok());
        let has = |index: i32| {
            let queues = view.as_ref().map_or(0, |view| view.spec.queues);
            u32::try_from(index).is_ok_and(|index| index < queues)
        };
        let each = topic.partitions.iter().map(|index| {
            let (code, why) = match &refused {
                Some((code, why)) => (*code, why.clone()),
                None if has(*index) => {
                    (Code::ElectionNotNeeded, "the one broker leads every partition".to_owned())
                }
                None => (Code::UnknownTopicOrPartition, "there is no such partition".to_owned()),
            };
            PartitionResult::default()
                .with_partition_id(*index)
                .with_error_code(code.number())
                .with_error_message(Some(why.into()))
        });
        let each = each.collect();
        ReplicaElectionResult::default().with_topic(topic.topic).with_partition_result(each)
    });
    Ok(response.with_replica_election_results(results.collect()))
}

/// Topics, as far as they may be seen, and the broker.
pub(crate) async fn list_config_resources(
    client: Arc<Client>,
    head: Head,
    request: ListConfigResourcesRequest,
) -> Result<ListConfigResourcesResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let response = ListConfigResourcesResponse::default();
    if let Err(error) = client.broker().permit_cluster(&session, Action::Get) {
        return Ok(response.with_error_code(Code::of_cluster(&error).number()));
    }
    let kinds = &request.resource_types;
    if kinds.iter().any(|kind| !matches!(*kind, TOPIC | BROKER)) {
        return Ok(response.with_error_code(Code::UnsupportedVersion.number()));
    }
    let is_meant = |kind: i8| head.version >= BY_KIND && (kinds.is_empty() || kinds.contains(&kind));
    let one = |kind: i8, name: String| {
        ConfigResource::default().with_resource_type(kind).with_resource_name(StrBytes::from(name))
    };
    let mut all = Vec::new();
    if is_meant(TOPIC) {
        let topics = client.broker().topics(&session, None, MAX_TOPICS).unwrap_or_default();
        all.extend(topics.iter().map(|topic| one(TOPIC, names::topic_name(&topic.name))));
    }
    if is_meant(BROKER) {
        all.push(one(BROKER, client.config().node_id.to_string()));
    }
    Ok(response.with_config_resources(all))
}
