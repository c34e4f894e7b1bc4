//! Groups: list, read, make, change, delete, and who is in them.

use super::receive::{MAX_TOPICS, MIN_LEASE};
use super::topics::attributes;
use crate::call::{Call, json_response, no_content};
use crate::convert::{self, Time};
use crate::errors::{Code, Problem};
use crate::page::{self, DEFAULT_LIMIT, MAX_LIMIT};
use crate::params::format_time;
use crate::patch::merge_patch;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sluice_broker::{Fetching, GroupSpec, GroupView, Member, StartAt};
use sluice_model::units::Span;
use sluice_model::{ErrorKind, TopicName};
use std::time::Duration;

/// A group's settings as JSON; what is left out keeps the default.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Settings {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_deliveries: Option<u32>,
    #[serde(default)]
    retry_backoff: Vec<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consume_from: Option<Start>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    broadcast: Option<bool>,
    #[serde(default)]
    attributes: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Order>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<bool>,
    /// How long deliveries are leased when a receive does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<Span>,
    /// The topics of a receive that names none.
    #[serde(default)]
    subscription: Vec<String>,
}

/// Whether deliveries of one sharding key come one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Concurrent,
    Fifo,
}

/// Where a group begins, or a topic is cut off.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Start {
    Named(Named),
    #[serde(serialize_with = "time_text")]
    Time(Time),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Named {
    Earliest,
    Latest,
}

impl From<Start> for StartAt {
    fn from(start: Start) -> Self {
        match start {
            Start::Named(Named::Earliest) => Self::Earliest,
            Start::Named(Named::Latest) => Self::Latest,
            Start::Time(time) => Self::Time(time.0),
        }
    }
}

fn time_text<S: serde::Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_time(time.0))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    #[serde(flatten)]
    settings: Settings,
    members: usize,
    topics: Vec<String>,
    created_at: String,
}

#[derive(Serialize)]
struct Groups {
    items: Vec<Group>,
    next: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberView {
    client_id: String,
    address: String,
    fetching: &'static str,
    agent: String,
    subscriptions: Vec<SubscriptionView>,
    last_seen_at: String,
}

#[derive(Serialize)]
struct SubscriptionView {
    topic: String,
    filter: String,
}

#[derive(Serialize)]
struct Members {
    items: Vec<MemberView>,
    next: Option<String>,
}

impl Group {
    fn of(view: GroupView) -> Self {
        Self {
            name: view.name.to_string(),
            settings: Settings::of(&view.spec),
            members: view.members,
            topics: view.topics.iter().map(ToString::to_string).collect(),
            created_at: format_time(view.created),
        }
    }
}

impl MemberView {
    fn of(member: Member) -> Self {
        let subscriptions = member.subscriptions.iter();
        let view = |s: &sluice_broker::Subscription| SubscriptionView {
            topic: s.topic.to_string(),
            filter: s.expression.to_string(),
        };
        Self {
            client_id: member.client_id.to_string(),
            address: member.peer.to_string(),
            fetching: match member.fetching {
                Fetching::Pull => "pull",
                Fetching::Push => "push",
                Fetching::Lease => "lease",
            },
            agent: member.agent.to_string(),
            subscriptions: subscriptions.map(view).collect(),
            last_seen_at: format_time(member.last_seen),
        }
    }
}

impl Settings {
    pub(super) fn of(spec: &GroupSpec) -> Self {
        Self {
            max_deliveries: spec.max_attempts,
            retry_backoff: spec.retry_delays.clone(),
            consume_from: Some(match spec.start {
                StartAt::Earliest => Start::Named(Named::Earliest),
                StartAt::Latest => Start::Named(Named::Latest),
                StartAt::Time(time) => Start::Time(Time(time)),
            }),
            enabled: Some(spec.enabled),
            broadcast: Some(spec.broadcast),
            attributes: spec
                .clone()
                .fifo(false)
                .dead_letters(true)
                .receiving(None, &[])
                .attributes
                .into_iter()
                .map(|(n, v)| (n, v.into()))
                .collect(),
            order: Some(if spec.is_fifo() { Order::Fifo } else { Order::Concurrent }),
            dead_letter: Some(spec.keeps_dead_letters()),
            lease: spec.lease(),
            subscription: spec.subscription().iter().map(ToString::to_string).collect(),
        }
    }

    pub(super) fn spec(self) -> Result<GroupSpec, Problem> {
        if self.max_deliveries == Some(0) {
            return Err(Problem::new(Code::InvalidJson, "maxDeliveries is at least 1").at("/maxDeliveries"));
        }
        let default = GroupSpec::default();
        let subscription = subscription(&self.subscription)?;
        Ok(GroupSpec {
            start: self.consume_from.map_or(default.start, Into::into),
            max_attempts: self.max_deliveries,
            retry_delays: self.retry_backoff,
            enabled: self.enabled.unwrap_or(default.enabled),
            broadcast: self.broadcast.unwrap_or(default.broadcast),
            attributes: attributes(self.attributes)?,
        }
        .fifo(self.order == Some(Order::Fifo))
        .dead_letters(self.dead_letter.unwrap_or(true))
        .receiving(self.lease, &subscription))
    }

    /// With the topics that the call means.
    fn within(mut self, call: &Call) -> Result<Self, Problem> {
        for (at, name) in self.subscription.iter_mut().enumerate() {
            let topic = call.topic_named(name);
            *name = topic.map_err(|problem| problem.at(format!("/subscription/{at}")))?.to_string();
        }
        Ok(self)
    }

    /// Finds a lease that nobody could ask for.
    fn check_lease(&self, longest: Duration) -> Result<(), Problem> {
        match self.lease {
            Some(Span(lease)) if !(MIN_LEASE..=longest).contains(&lease) => {
                let detail = format!("a lease lasts from {} to {}", Span(MIN_LEASE), Span(longest));
                Err(Problem::new(Code::InvalidJson, detail).at("/lease"))
            }
            _ => Ok(()),
        }
    }
}

fn subscription(names: &[String]) -> Result<Vec<TopicName>, Problem> {
    if names.len() > MAX_TOPICS {
        let detail = format!("a group receives from at most {MAX_TOPICS} topics");
        return Err(Problem::new(Code::InvalidJson, detail).at("/subscription"));
    }
    let topic = |(at, name): (usize, &String)| {
        convert::topic(name).map_err(|problem| problem.at(format!("/subscription/{at}")))
    };
    names.iter().enumerate().map(topic).collect()
}

/// `GET /v1/groups`
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let limit = call.query.number("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT) as usize;
    let prefix = call.query.get("prefix")?.unwrap_or_default();
    let mut after = call.query.get("cursor")?.map(str::to_owned);
    let session = call.session()?;
    let mut items: Vec<Group> = Vec::new();
    loop {
        let page = call.broker().groups(session, after.as_deref(), MAX_LIMIT as usize)?;
        let last = page.len() < MAX_LIMIT as usize;
        after = page.last().map(|group| group.name.to_string());
        for group in page.into_iter().filter(|group| call.lists(group.name.as_str(), prefix)) {
            if items.len() == limit {
                let next = items.last().map(|group| group.name.clone());
                return json_response(StatusCode::OK, &Groups { items, next });
            }
            items.push(Group::of(group));
        }
        if last {
            return json_response(StatusCode::OK, &Groups { items, next: None });
        }
    }
}

/// `GET /v1/groups/{group}`
pub(crate) async fn get(call: Call) -> Result<Response, Problem> {
    let view = call.broker().group(call.session()?, &call.group()?)?;
    json_response(StatusCode::OK, &Group::of(view))
}

/// `PUT /v1/groups/{group}`
pub(crate) async fn put(mut call: Call) -> Result<Response, Problem> {
    let group = call.group()?;
    let settings: Settings = call.json().await?;
    let settings = settings.within(&call)?;
    settings.check_lease(call.broker().config().max_lease.0)?;
    let session = call.session()?;
    let created = call.broker().put_group(session, &group, settings.spec()?).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    match call.broker().group(session, &group) {
        Ok(view) => json_response(status, &Group::of(view)),
        // It is done; only the look at it is not allowed.
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            json_response(status, &json!({"name": group.as_str()}))
        }
        Err(e) => Err(e.into()),
    }
}

/// `PATCH /v1/groups/{group}`
pub(crate) async fn patch(mut call: Call) -> Result<Response, Problem> {
    let group = call.group()?;
    let patch: Value = call.json().await?;
    let session = call.session()?;
    let before = call.broker().group(session, &group)?.spec;
    let settings: Settings = merge_patch(&Settings::of(&before), patch)?;
    let settings = settings.within(&call)?;
    settings.check_lease(call.broker().config().max_lease.0)?;
    call.broker().put_group(session, &group, settings.spec()?).await?;
    json_response(StatusCode::OK, &Group::of(call.broker().group(session, &group)?))
}

/// `DELETE /v1/groups/{group}`
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    let (session, group) = (call.session()?, call.group()?);
    match call.dry_run()? {
        true => call.broker().delete_group_if(session, &group, true).await?,
        false => call.broker().delete_group(session, &group).await?,
    }
    Ok(no_content())
}

/// `GET /v1/groups/{group}/members`
pub(crate) async fn members(call: Call) -> Result<Response, Problem> {
    let (session, group) = (call.session()?, call.group()?);
    call.broker().group(session, &group)?;
    let mut members = call.broker().members(session, &group)?;
    members.sort_by(|a, b| a.client_id.cmp(&b.client_id));
    let (page, next) = page::cut(members, &call.query, |member| &member.client_id)?;
    let items = page.into_iter().map(MemberView::of).collect();
    json_response(StatusCode::OK, &Members { items, next })
}
