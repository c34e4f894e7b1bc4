//! FindCoordinator: this broker, whatever is asked for.

use super::{NONE, text};
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use std::sync::Arc;

/// The kinds of keys: a group's id, and a producer's.
const KINDS: [i8; 2] = [0, 1];

pub(crate) async fn find_coordinator(
    client: Arc<Client>,
    head: Head,
    request: FindCoordinatorRequest,
) -> Result<FindCoordinatorResponse, Fatal> {
    let error = (!KINDS.contains(&request.key_type))
        .then_some((Code::InvalidRequest, "only groups and producers have a coordinator"));
    let (host, port) = client.address.clone();
    let (node, host, port) = match error {
        None => (BrokerId(client.config().node_id), host, i32::from(port)),
        Some(_) => (BrokerId(-1), String::new(), -1),
    };
    let number = error.map_or(NONE, |(code, _)| code.number());
    let message = error.map(|(_, why)| text(why));
    if head.version >= 4 {
        let one = |key| {
            Coordinator::default()
                .with_key(key)
                .with_node_id(node)
                .with_host(text(host.clone()))
                .with_port(port)
                .with_error_code(number)
                .with_error_message(message.clone())
        };
        let all = request.coordinator_keys.into_iter().map(one).collect();
        return Ok(FindCoordinatorResponse::default().with_error_message(None).with_coordinators(all));
    }
    let response = FindCoordinatorResponse::default()
        .with_error_code(number)
        .with_error_message(None)
        .with_node_id(node)
        .with_host(text(host))
        .with_port(port);
    Ok(if head.version >= 1 { response.with_error_message(message) } else { response })
}
