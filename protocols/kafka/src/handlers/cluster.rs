//! DescribeCluster: the one broker, under the address by which this client reaches it.

use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use std::sync::Arc;

/// Of the two kinds of servers that may be asked for, the one that we are.
const BROKERS: i8 = 1;

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
        .with_cluster_authorized_operations(i32::MIN);
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
