//! DescribeGroups and ListGroups: the groups there are, of every wire.

use super::{NONE, group, operations, session, text};
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use crate::groups::Refusal;
use crate::groups::classic::Classic;
use crate::groups::live::Kind;
use crate::groups::{names_in, shown};
use crate::names;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DescribeGroupsRequest, DescribeGroupsResponse, GroupId, ListGroupsRequest, ListGroupsResponse,
};
use sluice_model::GroupName;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Groups of one answer.
const MAX_GROUPS: usize = 100_000;
/// From this version on a group that is not there is an error; before, it was shown as a dead one.
const TELLS_UNKNOWN: i16 = 6;

pub(crate) async fn describe_groups(
    client: Arc<Client>,
    head: Head,
    request: DescribeGroupsRequest,
) -> Result<DescribeGroupsResponse, Fatal> {
    let described = request.groups.into_iter().map(|id| {
        let described = match describe(&client, &id) {
            Ok(described) => described,
            Err(Refusal::GroupNotFound) if head.version < TELLS_UNKNOWN => blank("Dead"),
            Err(refusal) => {
                let told = blank(if refusal == Refusal::GroupNotFound { "Dead" } else { "" });
                told.with_error_code(refusal.code())
            }
        };
        let bits = operations(&client, &id, request.include_authorized_operations);
        let described = described.with_group_id(id).with_error_message(None);
        if head.version >= 3 { described.with_authorized_operations(bits) } else { described }
    });
    Ok(DescribeGroupsResponse::default().with_groups(described.collect()))
}

fn blank(state: &str) -> DescribedGroup {
    DescribedGroup::default().with_error_code(NONE).with_group_state(text(state))
}

fn describe(client: &Client, id: &GroupId) -> Result<DescribedGroup, Refusal> {
    let (session, group) = (session(client)?, group(id)?);
    let members = client.broker().members(&session, &group).map_err(|error| Refusal::from(&error))?;
    let live = client.wire.groups.on(&group, |live, now| {
        live.kind.tick(now);
        match &live.kind {
            Kind::Classic(classic) => Some(described(classic, shown::state_name(&live.kind))),
            // One of the other kind is described by the other request.
            _ => None,
        }
    });
    match live {
        Some(Some(described)) => Ok(described),
        Some(None) => Err(Refusal::GroupNotFound),
        None => {
            client.broker().group(&session, &group).map_err(|error| Refusal::from(&error))?;
            Ok(blank(if members.is_empty() { "Empty" } else { "Stable" }))
        }
    }
}

fn described(group: &Classic, state: &str) -> DescribedGroup {
    let protocol = group.protocol().cloned().unwrap_or_default();
    let members = group.members().map(|member| {
        DescribedGroupMember::default()
            .with_member_id(text(member.id.clone()))
            .with_group_instance_id(member.instance.clone().map(text))
            .with_client_id(text(&*member.client_id))
            .with_client_host(text(&*member.host))
            .with_member_metadata(member.metadata(&protocol))
            .with_member_assignment(member.share.clone())
    });
    DescribedGroup::default()
        .with_error_code(NONE)
        .with_group_state(text(state))
        .with_protocol_type(text(&**group.protocol_type()))
        .with_protocol_data(text(&*protocol))
        .with_members(members.collect())
}

/// A group as it is listed.
struct Listed {
    name: GroupName,
    protocol_type: String,
    state: &'static str,
    kind: &'static str,
}

pub(crate) async fn list_groups(
    client: Arc<Client>,
    head: Head,
    request: ListGroupsRequest,
) -> Result<ListGroupsResponse, Fatal> {
    let listed = match list(&client) {
        Ok(listed) => listed,
        Err(code) => return Ok(ListGroupsResponse::default().with_error_code(code.number())),
    };
    let is_wanted = |listed: &Listed| {
        let matches = |filter: &[kafka_protocol::protocol::StrBytes], is: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(is))
        };
        matches(&request.states_filter, listed.state) && matches(&request.types_filter, listed.kind)
    };
    let groups = listed.into_iter().filter(is_wanted).filter_map(|listed| {
        let group = ListedGroup::default()
            .with_group_id(GroupId(text(names::group_id(&listed.name)?)))
            .with_protocol_type(text(listed.protocol_type));
        let group = if head.version >= 4 { group.with_group_state(text(listed.state)) } else { group };
        Some(if head.version >= 5 { group.with_group_type(text(listed.kind)) } else { group })
    });
    Ok(ListGroupsResponse::default().with_error_code(NONE).with_groups(groups.collect()))
}

fn list(client: &Client) -> Result<Vec<Listed>, Code> {
    let session = client.session_or_code()?;
    let stored =
        client.broker().groups(&session, None, MAX_GROUPS).map_err(|error| Code::of_cluster(&error))?;
    let live: BTreeSet<GroupName> = client.wire.groups.names().into_iter().collect();
    let idle = stored.iter().filter(|group| !live.contains(&group.name)).map(|group| Listed {
        name: group.name.clone(),
        protocol_type: String::new(),
        state: if group.members == 0 { "Empty" } else { "Stable" },
        kind: "classic",
    });
    // A group that has not committed is not stored yet; whoever may see its members may see it.
    let seen = |group: &GroupName| client.broker().members(&session, group).is_ok();
    let live = live.iter().filter(|group| seen(group)).filter_map(|group| {
        client.wire.groups.on(group, |live, _| Listed {
            name: group.clone(),
            protocol_type: match &live.kind {
                Kind::Classic(classic) => classic.protocol_type().to_string(),
                _ => names_in::CONSUMER.to_owned(),
            },
            state: shown::state_name(&live.kind),
            kind: if matches!(live.kind, Kind::Consumer(_)) { "consumer" } else { "classic" },
        })
    });
    Ok(idle.chain(live).collect())
}
