//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup: the life of a member of a classic group.

use super::{NONE, code, enter, fresh_id, host, member_of, text};
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::groups::Refusal;
use crate::groups::classic::{Joined, Joining, Synced, Syncing};
use crate::groups::live::{Kind, Parked};
use bytestring::ByteString;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use sluice_model::{GroupName, Millis};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Instance and client ids that are kept; a longer client id is cut where ids are made of it.
const MAX_ID: usize = 249;

pub(crate) async fn join_group(
    client: Arc<Client>,
    head: Head,
    request: JoinGroupRequest,
) -> Result<JoinGroupResponse, Fatal> {
    let member = request.member_id.clone();
    let joined = join(&client, &head, request).await;
    let number = code(&joined);
    let response = match joined {
        Ok(joined) => told(joined, head.version),
        Err(refusal) => {
            let member = match refusal {
                Refusal::MemberIdRequired(id) => text(id),
                _ => member,
            };
            JoinGroupResponse::default()
                .with_generation_id(-1)
                .with_protocol_type(None)
                .with_protocol_name((head.version < 7).then(StrBytes::default))
                .with_member_id(member)
        }
    };
    Ok(response.with_error_code(number))
}

async fn join(client: &Arc<Client>, head: &Head, request: JoinGroupRequest) -> Result<Joined, Refusal> {
    let (session, group) = member_of(client, &request.group_id)?;
    let groups = &client.wire.groups;
    let timeout = groups.limits.session(request.session_timeout_ms).ok_or(Refusal::InvalidSessionTimeout)?;
    let asks = joining(client, head, request, timeout)?;
    enter(client, &session, &group)?;
    let before: String = head.client_id.chars().take(MAX_ID).collect();
    let fresh = format!("{}-{}", asks.instance.as_deref().unwrap_or(&before), fresh_id());
    let (answer, wait) = oneshot::channel();
    let limits = groups.limits.clone();
    let parked = Parked::new(groups, &group);
    groups.on_or_new(&session, &group, |live, now| {
        live.classic(&limits)?.join(now, &asks, fresh, answer);
        Ok(())
    })?;
    answered(client, parked, wait).await
}

fn joining(
    client: &Client,
    head: &Head,
    request: JoinGroupRequest,
    session_timeout: Millis,
) -> Result<Joining, Refusal> {
    let instance = instance(request.group_instance_id)?;
    Ok(Joining {
        member: request.member_id.to_string(),
        instance,
        client_id: head.client_id.chars().take(MAX_ID).collect::<String>().into(),
        host: host(client).into(),
        session_timeout,
        rebalance_timeout: match head.version {
            0 => session_timeout,
            _ => Millis::try_from(request.rebalance_timeout_ms).unwrap_or(session_timeout),
        },
        protocol_type: short(&request.protocol_type),
        protocols: request.protocols.into_iter().map(|p| (short(&p.name), p.metadata)).collect(),
        twice: head.version >= 4,
        may_skip: head.version >= 9,
    })
}

fn instance(id: Option<StrBytes>) -> Result<Option<String>, Refusal> {
    match id {
        Some(id) if id.is_empty() || id.len() > MAX_ID => Err(Refusal::Invalid("no instance has such an id")),
        id => Ok(id.map(|id| id.to_string())),
    }
}

fn short(name: &StrBytes) -> ByteString {
    name.as_str().into()
}

/// Waits for the others. Nothing is lost when the connection closes meanwhile: the member falls silent.
async fn answered<T>(
    client: &Client,
    parked: Parked<'_>,
    wait: oneshot::Receiver<Result<T, Refusal>>,
) -> Result<T, Refusal> {
    tokio::select! {
        answer = wait => {
            parked.answered();
            answer.unwrap_or(Err(Refusal::Rebalancing))
        }
        () = client.closing() => Err(Refusal::Unavailable),
    }
}

fn told(joined: Joined, version: i16) -> JoinGroupResponse {
    let members = joined.members.into_iter().map(|member| {
        let told = JoinGroupResponseMember::default()
            .with_member_id(text(member.member))
            .with_group_instance_id(None)
            .with_metadata(member.metadata);
        if version >= 5 { told.with_group_instance_id(member.instance.map(text)) } else { told }
    });
    JoinGroupResponse::default()
        .with_generation_id(joined.generation)
        .with_protocol_type((version >= 7).then(|| text(&*joined.protocol_type)))
        .with_protocol_name(Some(text(&*joined.protocol)))
        .with_leader(text(joined.leader))
        .with_skip_assignment(version >= 9 && joined.skip)
        .with_member_id(text(joined.member))
        .with_members(members.collect())
}

pub(crate) async fn sync_group(
    client: Arc<Client>,
    head: Head,
    request: SyncGroupRequest,
) -> Result<SyncGroupResponse, Fatal> {
    let synced = sync(&client, request).await;
    let number = code(&synced);
    let told = synced.ok();
    let response = SyncGroupResponse::default()
        .with_error_code(number)
        .with_protocol_type(None)
        .with_protocol_name(None)
        .with_assignment(told.as_ref().map(|synced| synced.share.clone()).unwrap_or_default());
    Ok(match told.filter(|_| head.version >= 5) {
        Some(synced) => response
            .with_protocol_type(Some(text(&*synced.protocol_type)))
            .with_protocol_name(Some(text(&*synced.protocol))),
        None => response,
    })
}

async fn sync(client: &Arc<Client>, request: SyncGroupRequest) -> Result<Synced, Refusal> {
    let (_, group) = member_of(client, &request.group_id)?;
    let groups = &client.wire.groups;
    let asks = Syncing {
        member: request.member_id.to_string(),
        instance: instance(request.group_instance_id)?,
        generation: request.generation_id,
        protocol_type: request.protocol_type.as_ref().map(short),
        protocol: request.protocol_name.as_ref().map(short),
        shares: request.assignments.into_iter().map(|a| (a.member_id.to_string(), a.assignment)).collect(),
    };
    let (answer, wait) = oneshot::channel();
    let parked = Parked::new(groups, &group);
    groups
        .on(&group, |live, now| match &mut live.kind {
            Kind::Classic(classic) => {
                classic.sync(now, asks, answer);
                Ok(())
            }
            _ => Err(Refusal::UnknownMember),
        })
        .unwrap_or(Err(Refusal::UnknownMember))?;
    answered(client, parked, wait).await
}

pub(crate) async fn heartbeat(
    client: Arc<Client>,
    _: Head,
    request: HeartbeatRequest,
) -> Result<HeartbeatResponse, Fatal> {
    let beaten = member_of(&client, &request.group_id).and_then(|(_, group)| {
        let instance = instance(request.group_instance_id)?;
        let beat = client.wire.groups.on(&group, |live, now| match &mut live.kind {
            Kind::Classic(classic) => {
                classic.heartbeat(now, &request.member_id, instance.as_deref(), request.generation_id)
            }
            _ => Err(Refusal::UnknownMember),
        });
        beat.unwrap_or(Err(Refusal::UnknownMember))
    });
    Ok(HeartbeatResponse::default().with_error_code(code(&beaten)))
}

pub(crate) async fn leave_group(
    client: Arc<Client>,
    head: Head,
    request: LeaveGroupRequest,
) -> Result<LeaveGroupResponse, Fatal> {
    let group = match member_of(&client, &request.group_id) {
        Ok((_, group)) => group,
        Err(refusal) => return Ok(LeaveGroupResponse::default().with_error_code(refusal.code())),
    };
    if head.version < 3 {
        let left = leave(&client, &group, &request.member_id, None);
        return Ok(LeaveGroupResponse::default().with_error_code(code(&left)));
    }
    let left = request.members.into_iter().map(|MemberIdentity { member_id, group_instance_id, .. }| {
        let left = leave(&client, &group, &member_id, group_instance_id.as_ref().map(|id| id.as_str()));
        MemberResponse::default()
            .with_member_id(member_id)
            .with_group_instance_id(group_instance_id)
            .with_error_code(code(&left))
    });
    Ok(LeaveGroupResponse::default().with_error_code(NONE).with_members(left.collect()))
}

fn leave(client: &Client, group: &GroupName, member: &str, instance: Option<&str>) -> Result<(), Refusal> {
    let left = client.wire.groups.on(group, |live, now| match &mut live.kind {
        Kind::Classic(classic) => classic.leave(now, member, instance),
        Kind::Consumer(consumer) => consumer.expel(now, member, instance),
        Kind::New => Err(Refusal::UnknownMember),
    });
    left.unwrap_or(Err(Refusal::UnknownMember))
}
