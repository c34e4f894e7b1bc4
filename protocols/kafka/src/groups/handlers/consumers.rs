//! ConsumerGroupHeartbeat and ConsumerGroupDescribe: members whose partitions the broker shares out (KIP-848).

use super::{NONE, code, enter, fresh_id, group, host, member_of, operations, session, text, topic};
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::groups::Refusal;
use crate::groups::consumer::{Assigned, Beat, Beaten, Consumer, Member, Topics};
use crate::groups::live::Kind;
use crate::names;
use kafka_protocol::messages::consumer_group_describe_response as described;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, GroupId,
};
use sluice_auth::Session;
use sluice_broker::TopicView;
use sluice_model::{ErrorKind, Millis, TopicName};
use std::sync::Arc;
use uuid::Uuid;

/// Topics that a pattern is compared with.
const MAX_TOPICS: usize = 100_000;
/// Ids and patterns that are kept.
const MAX_TEXT: usize = 1024;
/// Topics that one member may name.
const MAX_NAMES: usize = 10_000;

pub(crate) async fn heartbeat(
    client: Arc<Client>,
    head: Head,
    request: ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, Fatal> {
    let beaten = beat(&client, &head, request);
    let number = code(&beaten);
    let response = ConsumerGroupHeartbeatResponse::default()
        .with_error_code(number)
        .with_error_message(None)
        .with_member_id(None);
    Ok(match beaten {
        Ok(beaten) => {
            let interval = client.wire.groups.limits.heartbeat.as_millis();
            response
                .with_member_id(Some(text(beaten.member)))
                .with_member_epoch(beaten.epoch)
                .with_heartbeat_interval_ms(i32::try_from(interval).unwrap_or(i32::MAX))
                .with_assignment(beaten.assigned.map(assignment))
        }
        Err(Refusal::Invalid(why)) => response.with_error_message(Some(text(why))),
        Err(_) => response,
    })
}

fn beat(client: &Client, head: &Head, request: ConsumerGroupHeartbeatRequest) -> Result<Beaten, Refusal> {
    let (session, group) = member_of(client, &request.group_id)?;
    let beat = read(client, head, request)?;
    let topics = Visible { client, session: &session };
    if let Some(names) = &beat.names {
        topics.check(names.iter())?;
    }
    let groups = &client.wire.groups;
    if beat.epoch == 0 {
        enter(client, &session, &group)?;
        let limits = groups.limits.clone();
        return groups
            .on_or_new(&session, &group, |live, now| live.consumer(&limits)?.heartbeat(now, beat, &topics));
    }
    let beaten = groups.on(&group, |live, now| match &mut live.kind {
        Kind::Consumer(consumer) => consumer.heartbeat(now, beat, &topics),
        _ => Err(Refusal::UnknownMember),
    });
    beaten.unwrap_or(Err(Refusal::UnknownMember))
}

fn read(client: &Client, head: &Head, request: ConsumerGroupHeartbeatRequest) -> Result<Beat, Refusal> {
    let joins = request.member_epoch == 0;
    let is_long = |text: &str| text.len() > MAX_TEXT;
    let texts = [&request.instance_id, &request.rack_id, &request.subscribed_topic_regex];
    if is_long(&request.member_id) || texts.into_iter().flatten().any(|text| is_long(text)) {
        return Err(Refusal::Invalid("an id or a pattern is too long"));
    }
    let names = request.subscribed_topic_names;
    let member = match request.member_id.to_string() {
        // The first version leaves it to the broker to make one.
        id if id.is_empty() && head.version == 0 && joins => fresh_id(),
        id if id.is_empty() => return Err(Refusal::Invalid("a member needs an id")),
        id => id,
    };
    if joins {
        if request.rebalance_timeout_ms <= 0 {
            return Err(Refusal::Invalid("who joins says how long it may take to give partitions up"));
        }
        if names.is_none() && request.subscribed_topic_regex.as_ref().is_none_or(|regex| regex.is_empty()) {
            return Err(Refusal::Invalid("who joins says which topics it wants"));
        }
        if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
            return Err(Refusal::Invalid("who joins has no partitions"));
        }
    }
    if names.as_ref().is_some_and(|names| names.len() > MAX_NAMES) {
        return Err(Refusal::Invalid("too many topics"));
    }
    let pattern = request.subscribed_topic_regex.map(|pattern| pattern.to_string());
    if let Some(pattern) = pattern.as_deref().filter(|pattern| !pattern.is_empty()) {
        compiled(pattern).ok_or(Refusal::InvalidRegex)?;
    }
    Ok(Beat {
        member,
        epoch: request.member_epoch,
        instance: request.instance_id.map(|id| id.to_string()),
        rack: request.rack_id.map(|id| id.to_string()),
        client_id: head.client_id.as_str().into(),
        host: host(client).into(),
        rebalance_timeout: Millis::try_from(request.rebalance_timeout_ms).ok(),
        names: names.map(|names| names.iter().map(|name| name.to_string()).collect()),
        pattern,
        assignor: request.server_assignor.map(|name| name.to_string()),
        owned: request.topic_partitions.map(|owned| {
            owned.into_iter().map(|of| (of.topic_id, of.partitions.into_iter().collect())).collect()
        }),
    })
}

/// A pattern that must match a whole name.
fn compiled(pattern: &str) -> Option<regex_lite::Regex> {
    regex_lite::RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(1 << 20).build().ok()
}

/// The topics that a session may read.
struct Visible<'a> {
    client: &'a Client,
    session: &'a Session,
}

impl Visible<'_> {
    fn view(&self, name: &str) -> Option<TopicView> {
        self.client.broker().topic(self.session, &names::topic(name)?).ok()
    }

    /// Whoever names topics must be allowed to see them.
    fn check<'a>(&self, names: impl Iterator<Item = &'a String>) -> Result<(), Refusal> {
        for name in names {
            let Some(topic) = names::topic(name) else { continue };
            let seen = self.client.broker().topic(self.session, &topic);
            if seen.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
                return Err(Refusal::TopicUnauthorized);
            }
        }
        Ok(())
    }
}

impl Topics for Visible<'_> {
    fn find(&self, name: &str) -> Option<(Uuid, i32)> {
        let view = self.view(name)?;
        Some((self.client.wire.topic_ids.id(&view), view.bounds.len() as i32))
    }

    fn matching(&self, pattern: &str) -> Vec<String> {
        let Some(pattern) = compiled(pattern) else { return Vec::new() };
        let topics = self.client.broker().topics(self.session, None, MAX_TOPICS).unwrap_or_default();
        let is_own = |topic: &TopicName| topic.retry_group().is_some() || topic.dead_letter_group().is_some();
        let names = topics.iter().filter(|topic| !is_own(&topic.name)).map(|t| names::topic_name(&t.name));
        names.filter(|name| pattern.is_match(name)).collect()
    }
}

fn assignment(assigned: Assigned) -> Assignment {
    let topics = assigned.into_iter().map(|(id, partitions)| {
        TopicPartitions::default().with_topic_id(id).with_partitions(partitions.into_iter().collect())
    });
    Assignment::default().with_topic_partitions(topics.collect())
}

pub(crate) async fn describe(
    client: Arc<Client>,
    head: Head,
    request: ConsumerGroupDescribeRequest,
) -> Result<ConsumerGroupDescribeResponse, Fatal> {
    let groups = request.group_ids.into_iter().map(|id| {
        let told = describe_one(&client, &id, head.version).unwrap_or_else(|refusal| {
            let why = (refusal == Refusal::GroupNotFound)
                .then(|| text(format!("there is no group {} of this kind with members", id.as_str())));
            DescribedGroup::default().with_error_code(refusal.code()).with_error_message(why)
        });
        let bits = operations(&client, &id, request.include_authorized_operations);
        told.with_group_id(id).with_authorized_operations(bits)
    });
    Ok(ConsumerGroupDescribeResponse::default().with_groups(groups.collect()))
}

fn describe_one(client: &Client, id: &GroupId, version: i16) -> Result<DescribedGroup, Refusal> {
    let (session, group) = (session(client)?, group(id)?);
    client.broker().members(&session, &group).map_err(|error| Refusal::from(&error))?;
    let told = client.wire.groups.on(&group, |live, now| {
        live.kind.tick(now);
        match &live.kind {
            Kind::Consumer(consumer) => Ok(described(consumer, version)),
            _ => Err(Refusal::GroupNotFound),
        }
    });
    told.unwrap_or(Err(Refusal::GroupNotFound))
}

fn described(consumer: &Consumer, version: i16) -> DescribedGroup {
    DescribedGroup::default()
        .with_error_code(NONE)
        .with_error_message(None)
        .with_group_state(text(consumer.state_name()))
        .with_group_epoch(consumer.epoch())
        .with_assignment_epoch(consumer.epoch())
        .with_assignor_name(text(consumer.assignor().name()))
        .with_members(consumer.members().map(|member| described_member(consumer, member, version)).collect())
}

fn described_member(consumer: &Consumer, member: &Member, version: i16) -> described::Member {
    let assignment = |assigned: &Assigned| {
        let topics = assigned.iter().map(|(id, partitions)| {
            described::TopicPartitions::default()
                .with_topic_id(*id)
                .with_topic_name(topic(consumer.topic_name(id).unwrap_or_default()))
                .with_partitions(partitions.iter().copied().collect())
        });
        described::Assignment::default().with_topic_partitions(topics.collect())
    };
    let told = described::Member::default()
        .with_member_id(text(member.id.clone()))
        .with_instance_id(member.instance.clone().map(text))
        .with_rack_id(member.rack.clone().map(text))
        .with_member_epoch(member.epoch)
        .with_client_id(text(&*member.client_id))
        .with_client_host(text(&*member.host))
        .with_subscribed_topic_names(member.names.iter().map(|name| topic(name.clone())).collect())
        .with_subscribed_topic_regex(member.pattern.clone().map(text))
        .with_assignment(assignment(&member.current))
        .with_target_assignment(assignment(&member.target));
    // Of this kind; 0 would be one of the classic kind in a group that changes over.
    if version >= 1 { told.with_member_type(1) } else { told }
}
