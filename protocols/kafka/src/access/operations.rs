//! What the client itself may do to a topic, a group and the broker, as a set of bits.
//!
//! The one idea to know: it is the broker's own check that answers, action by action, so what is told is what a request
//! would meet. An operation that is part of another here goes with it.

use crate::client::Client;
use sluice_auth::{Action, Resource};

/// "Not asked for."
const UNKNOWN: i32 = i32::MIN;
const READ: i32 = 1 << 3;
const WRITE: i32 = 1 << 4;
const CREATE: i32 = 1 << 5;
const DELETE: i32 = 1 << 6;
const ALTER: i32 = 1 << 7;
const DESCRIBE: i32 = 1 << 8;
const DESCRIBE_CONFIGS: i32 = 1 << 10;
const ALTER_CONFIGS: i32 = 1 << 11;
/// What each action comes to. A group is not made by a request, and has no settings here.
const TOPICS: [(Action, i32); 6] = [
    (Action::Sub, READ),
    (Action::Pub, WRITE),
    (Action::Create, CREATE),
    (Action::Delete, DELETE),
    (Action::Update, ALTER | ALTER_CONFIGS),
    (Action::Get, DESCRIBE | DESCRIBE_CONFIGS),
];
const GROUPS: [(Action, i32); 3] = [(Action::Sub, READ), (Action::Delete, DELETE), (Action::Get, DESCRIBE)];
const CLUSTER: [(Action, i32); 2] =
    [(Action::Update, ALTER | ALTER_CONFIGS), (Action::Get, DESCRIBE | DESCRIBE_CONFIGS)];

/// The bits, if they are asked for.
pub(crate) fn of(client: &Client, resource: Resource<'_>, asked: bool) -> i32 {
    let (true, Ok(session)) = (asked, client.session()) else { return UNKNOWN };
    let each: &[(Action, i32)] = match resource {
        Resource::Topic(_) => &TOPICS,
        Resource::Group(_) => &GROUPS,
        Resource::Cluster => &CLUSTER,
    };
    let auth = client.broker().auth();
    let permitted = each.iter().filter(|(action, _)| auth.may(&session, *action, resource));
    permitted.fold(0, |bits, (_, more)| bits | more)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ask, client, client_as, s};
    use super::*;
    use kafka_protocol::messages::create_acls_request::AclCreation;
    use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
    use kafka_protocol::messages::{
        CreateAclsRequest, DescribeClusterRequest, DescribeGroupsRequest, GroupId, MetadataRequest, TopicName,
    };

    #[tokio::test]
    async fn what_one_may_do_is_told_to_who_asks() {
        let root = client().await;
        let topic = || vec![MetadataRequestTopic::default().with_name(Some(TopicName("t".into())))];
        let asks = |asked| {
            MetadataRequest::default()
                .with_topics(Some(topic()))
                .with_include_topic_authorized_operations(asked)
        };
        let everything = READ | WRITE | CREATE | DELETE | ALTER | ALTER_CONFIGS | DESCRIBE | DESCRIBE_CONFIGS;
        for (asked, bits) in [(false, UNKNOWN), (true, everything)] {
            let told = ask(&root, 12, asks(asked)).await;
            assert_eq!((told.topics[0].error_code, told.topics[0].topic_authorized_operations), (0, bits));
        }
        for (kind, name, operation) in [(2, "t", 4), (2, "t", 8), (3, "g", 3), (3, "g", 8)] {
            let one = AclCreation::default()
                .with_resource_type(kind)
                .with_resource_name(s(name))
                .with_resource_pattern_type(3)
                .with_principal(s("User:alice"))
                .with_host(s("*"))
                .with_operation(operation)
                .with_permission_type(3);
            let made = ask(&root, 3, CreateAclsRequest::default().with_creations(vec![one])).await;
            assert_eq!(made.results[0].error_code, 0);
        }
        let alice = client_as(&root, "alice");
        let told = ask(&alice, 12, asks(true)).await;
        assert_eq!(told.topics[0].topic_authorized_operations, WRITE | DESCRIBE | DESCRIBE_CONFIGS);
        let groups = DescribeGroupsRequest::default()
            .with_groups(vec![GroupId(s("g"))])
            .with_include_authorized_operations(true);
        let told = ask(&alice, 5, groups).await;
        assert_eq!(told.groups[0].authorized_operations, READ | DESCRIBE);
        for (asked, bits) in [(true, 0), (false, UNKNOWN)] {
            let cluster = DescribeClusterRequest::default().with_include_cluster_authorized_operations(asked);
            assert_eq!(ask(&alice, 1, cluster).await.cluster_authorized_operations, bits);
        }
    }
}
