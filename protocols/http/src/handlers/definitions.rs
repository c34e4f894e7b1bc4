//! Everything declarative in one document: topics, groups, users, roles, policies and quotas.
//!
//! It exists to carry a broker's settings to another one, or to keep them under version control. The one idea to know:
//! an entry of the document is what the PUT of that thing takes, with its name inside, so that export and import are
//! the calls one knows, many at once. Messages, offsets and secrets are not in it: secrets never leave the broker, and a
//! document may be given some by hand before it is imported.

mod import;

pub(crate) use import::put;

use super::acls::PolicyJson;
use super::groups::Settings as GroupSettings;
use super::topics::{Settings as TopicSettings, is_system};
use super::users::QuotaJson;
use crate::call::{Call, json_response};
use crate::errors::Problem;
use crate::page::MAX_LIMIT;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use sluice_auth::{Action, UserView};
use sluice_broker::{GroupView, TopicView};

/// The version of the document's form.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Definitions {
    version: u32,
    topics: Vec<Named<TopicSettings>>,
    groups: Vec<Named<GroupSettings>>,
    roles: Vec<Role>,
    users: Vec<User>,
    policies: Vec<PolicyJson>,
    quotas: Vec<GroupQuota>,
}

#[derive(Serialize)]
struct Named<T> {
    name: String,
    #[serde(flatten)]
    settings: T,
}

#[derive(Serialize)]
struct Role {
    name: String,
    quota: QuotaJson,
}

/// A user without what proves it.
#[derive(Serialize)]
struct User {
    name: String,
    superuser: bool,
    enabled: bool,
    roles: Vec<String>,
    quota: QuotaJson,
}

#[derive(Serialize)]
struct GroupQuota {
    group: String,
    quota: QuotaJson,
}

impl From<UserView> for User {
    fn from(view: UserView) -> Self {
        let UserView { name, superuser, enabled, roles, quota, .. } = view;
        Self { name, superuser, enabled, roles, quota: quota.into() }
    }
}

/// `GET /v1/definitions`: what comes from the operator's file is not in it, for it cannot be changed by a call.
pub(crate) async fn get(call: Call) -> Result<Response, Problem> {
    let (session, broker) = (call.session()?, call.broker());
    broker.permit_cluster(session, Action::Get)?;
    let topics = topics(&call)?.into_iter().filter(|topic| !is_system(&topic.name));
    let roles = broker.roles(session)?.into_iter().filter(|role| !role.from_file);
    let quotas = broker.group_quotas(session)?.into_iter().filter(|quota| !quota.from_file);
    let users = broker.users(session, None, usize::MAX).await?.into_iter().filter(|user| !user.from_file);
    let definitions = Definitions {
        version: VERSION,
        topics: topics
            .map(|topic| Named { name: topic.name.to_string(), settings: TopicSettings::from(&topic.spec) })
            .collect(),
        groups: groups(&call)?
            .into_iter()
            .map(|group| Named { name: group.name.to_string(), settings: GroupSettings::of(&group.spec) })
            .collect(),
        roles: roles.map(|role| Role { name: role.name, quota: role.quota.into() }).collect(),
        users: users.map(User::from).collect(),
        policies: broker.policies(session, None).await?.into_iter().map(PolicyJson::from).collect(),
        quotas: quotas.map(|own| GroupQuota { group: own.group, quota: own.quota.into() }).collect(),
    };
    json_response(StatusCode::OK, &definitions)
}

fn topics(call: &Call) -> Result<Vec<TopicView>, Problem> {
    let (mut all, session) = (Vec::<TopicView>::new(), call.session()?);
    loop {
        let after = all.last().map(|topic| topic.name.to_string());
        let page = call.broker().topics(session, after.as_deref(), MAX_LIMIT as usize)?;
        let last = page.len() < MAX_LIMIT as usize;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

fn groups(call: &Call) -> Result<Vec<GroupView>, Problem> {
    let (mut all, session) = (Vec::<GroupView>::new(), call.session()?);
    loop {
        let after = all.last().map(|group| group.name.to_string());
        let page = call.broker().groups(session, after.as_deref(), MAX_LIMIT as usize)?;
        let last = page.len() < MAX_LIMIT as usize;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}
