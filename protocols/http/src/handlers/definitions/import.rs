//! Applying a document of definitions, or saying what that would do.
//!
//! The document is read whole before anything is done: a fault in its form is a problem with a pointer, and nothing has
//! happened. After that each entry succeeds or is refused by itself, in an order in which what is referred to comes
//! first, and the report tells what became of each. Importing the same document again changes nothing.

use super::super::acls::PolicyJson;
use super::super::groups::Settings as GroupSettings;
use super::super::roles::Settings as RoleSettings;
use super::super::topics::Settings as TopicSettings;
use super::super::users::{QuotaJson, Settings as UserSettings, refused, without_values};
use super::VERSION;
use crate::call::{Call, json_response};
use crate::convert;
use crate::errors::{Code, Problem};
use crate::json;
use axum::response::Response;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sluice_auth::{Action, Command, GroupQuotaSpec, Policy, Quota, Resource, RoleSpec, UserSpec, UserView};
use sluice_broker::{GroupSpec, TopicSpec};
use sluice_model::{Error, ErrorKind, GroupName, TopicName};

/// Each entry may be a write to the disk; so many take some seconds.
const MAX_ENTRIES: usize = 10_000;

/// The document. Entries stay raw until their kind's own strict reader takes them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: Option<u32>,
    #[serde(default)]
    topics: Vec<Map<String, Value>>,
    #[serde(default)]
    groups: Vec<Map<String, Value>>,
    #[serde(default)]
    roles: Vec<Map<String, Value>>,
    #[serde(default)]
    users: Vec<Map<String, Value>>,
    #[serde(default)]
    policies: Vec<PolicyJson>,
    #[serde(default)]
    quotas: Vec<GroupQuota>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupQuota {
    group: String,
    quota: QuotaJson,
}

/// One thing to be set, in the order in which they are.
enum Entry {
    Role(String, RoleSettings),
    User(Box<UserSpec>),
    Topic(TopicName, TopicSettings),
    Group(GroupName, GroupSpec),
    Quota(GroupName, Quota),
    Policy(Policy),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Created,
    Updated,
    Unchanged,
    Refused,
}

#[derive(Serialize)]
struct Line {
    kind: &'static str,
    name: String,
    action: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    dry_run: bool,
    created: usize,
    updated: usize,
    unchanged: usize,
    refused: usize,
    results: Vec<Line>,
}

/// `PUT /v1/definitions`
pub(crate) async fn put(mut call: Call) -> Result<Response, Problem> {
    let dry_run = call.query.flag("dryRun")?.unwrap_or(false);
    let document: Document = call.json().await.map_err(without_values)?;
    let entries = entries(document)?;
    call.broker().permit_cluster(call.session()?, Action::Update)?;
    let mut results = Vec::with_capacity(entries.len());
    for entry in entries {
        let (kind, name) = (entry.kind(), entry.name());
        let line = match apply(&call, entry, dry_run).await {
            Ok((action, detail)) => Line { kind, name, action, code: None, detail },
            Err(problem) => {
                let (code, detail) = (Some(problem.code().as_str()), Some(problem.detail().to_owned()));
                Line { kind, name, action: Outcome::Refused, code, detail }
            }
        };
        results.push(line);
    }
    let count = |action| results.iter().filter(|line| line.action == action).count();
    let report = Report {
        dry_run,
        created: count(Outcome::Created),
        updated: count(Outcome::Updated),
        unchanged: count(Outcome::Unchanged),
        refused: count(Outcome::Refused),
        results,
    };
    json_response(StatusCode::OK, &report)
}

impl Entry {
    fn kind(&self) -> &'static str {
        match self {
            Self::Role(..) => "role",
            Self::User(_) => "user",
            Self::Topic(..) => "topic",
            Self::Group(..) => "group",
            Self::Quota(..) => "quota",
            Self::Policy(_) => "policy",
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Role(name, _) => name.clone(),
            Self::User(spec) => spec.name.clone(),
            Self::Topic(name, _) => name.to_string(),
            Self::Group(name, _) | Self::Quota(name, _) => name.to_string(),
            Self::Policy(policy) => format!("{} {}", policy.subject, policy.resource),
        }
    }
}

fn entries(document: Document) -> Result<Vec<Entry>, Problem> {
    if let Some(other) = document.version.filter(|version| *version != VERSION) {
        let detail = format!("the document has version {other}, this server reads {VERSION}");
        return Err(Problem::new(Code::InvalidJson, detail).at("/version"));
    }
    let Document { topics, groups, roles, users, policies, quotas, .. } = document;
    let count = topics.len() + groups.len() + roles.len() + users.len() + policies.len() + quotas.len();
    if count > MAX_ENTRIES {
        let detail = format!("{count} entries; at most {MAX_ENTRIES} at once");
        return Err(Problem::new(Code::BatchTooLarge, detail).with("limit", MAX_ENTRIES as u64));
    }
    let mut entries = Vec::with_capacity(count);
    for (pointer, map) in at("roles", roles) {
        let (name, settings) = named::<RoleSettings>(map, &pointer)?;
        check_quota(settings.quota.as_ref(), &pointer)?;
        entries.push(Entry::Role(name, settings));
    }
    for (pointer, map) in at("users", users) {
        let (name, settings) = named::<UserSettings>(map, &pointer).map_err(without_values)?;
        check_quota(settings.quota.as_ref(), &pointer)?;
        entries.push(Entry::User(Box::new(settings.spec(&name))));
    }
    for (pointer, map) in at("topics", topics) {
        let (name, settings) = named::<TopicSettings>(map, &pointer)?;
        let name = convert::topic(&name).map_err(|problem| problem.at(format!("{pointer}/name")))?;
        settings.check_form().map_err(|problem| problem.within(&pointer))?;
        entries.push(Entry::Topic(name, settings));
    }
    for (pointer, map) in at("groups", groups) {
        let (name, settings) = named::<GroupSettings>(map, &pointer)?;
        let name = convert::group(&name).map_err(|problem| problem.at(format!("{pointer}/name")))?;
        entries.push(Entry::Group(name, settings.spec().map_err(|problem| problem.within(&pointer))?));
    }
    for (pointer, own) in at("quotas", quotas) {
        let group = convert::group(&own.group).map_err(|problem| problem.at(format!("{pointer}/group")))?;
        check_quota(Some(&own.quota), &pointer)?;
        entries.push(Entry::Quota(group, own.quota.into()));
    }
    entries.extend(policies.into_iter().map(|policy| Entry::Policy(policy.into())));
    Ok(entries)
}

fn check_quota(quota: Option<&QuotaJson>, pointer: &str) -> Result<(), Problem> {
    if !quota.is_some_and(QuotaJson::has_zero) {
        return Ok(());
    }
    let detail = "a quota of 0 would stop everything; take away the permission instead";
    Err(Problem::new(Code::InvalidJson, detail).at(format!("{pointer}/quota")))
}

/// The entries of one list, each with its pointer.
fn at<T>(list: &'static str, entries: Vec<T>) -> impl Iterator<Item = (String, T)> {
    entries.into_iter().enumerate().map(move |(n, entry)| (format!("/{list}/{n}"), entry))
}

/// An entry's name, and the rest of it as settings of its kind.
fn named<T: DeserializeOwned>(mut map: Map<String, Value>, pointer: &str) -> Result<(String, T), Problem> {
    let Some(Value::String(name)) = map.shift_remove("name") else {
        return Err(Problem::new(Code::InvalidJson, "an entry needs its name").at(format!("{pointer}/name")));
    };
    let settings = serde_json::to_vec(&map).map_err(|e| Problem::from(Error::internal(e)))?;
    // Depth was checked when the document was read.
    let settings = json::decode(&settings, usize::MAX).map_err(|problem| problem.within(pointer))?;
    Ok((name, settings))
}

type Applied = Result<(Outcome, Option<String>), Problem>;

/// Sets one thing, unless it is so already; with `dry_run` only says what that would do.
async fn apply(call: &Call, entry: Entry, dry_run: bool) -> Applied {
    match entry {
        Entry::Role(name, settings) => role(call, name, settings, dry_run).await,
        Entry::User(spec) => user(call, *spec, dry_run).await,
        Entry::Topic(name, settings) => topic(call, &name, settings, dry_run).await,
        Entry::Group(name, spec) => group(call, &name, spec, dry_run).await,
        Entry::Quota(name, quota) => group_quota(call, &name, quota, dry_run).await,
        Entry::Policy(policy) => self::policy(call, policy, dry_run).await,
    }
}

/// What an existing or missing thing becomes.
fn becomes(exists: bool) -> Outcome {
    if exists { Outcome::Updated } else { Outcome::Created }
}

async fn topic(call: &Call, name: &TopicName, settings: TopicSettings, dry_run: bool) -> Applied {
    let (session, broker) = (call.session()?, call.broker());
    let before = match broker.topic(session, name) {
        Ok(view) => Some(view.spec),
        Err(e) if e.kind() == ErrorKind::TopicNotFound => None,
        Err(e) => return Err(e.into()),
    };
    let spec = settings.spec(before.as_ref(), broker.tuned().default_queues)?;
    if before.as_ref() == Some(&spec) {
        return Ok((Outcome::Unchanged, None));
    }
    let action = becomes(before.is_some());
    if dry_run {
        may(call, before.is_some(), Resource::Topic(name))?;
        check_queues(call, before.as_ref(), &spec)?;
    } else {
        broker.put_topic(session, name, spec).await?;
    }
    Ok((action, None))
}

/// What the broker would say of a topic's number of queues.
fn check_queues(call: &Call, before: Option<&TopicSpec>, spec: &TopicSpec) -> Result<(), Problem> {
    let most = call.broker().config().max_queues;
    let least = before.map_or(1, |before| before.queues);
    if (least..=most).contains(&spec.queues) {
        return Ok(());
    }
    let detail = format!("{} queues; this topic may have {least} to {most}", spec.queues);
    Err(Problem::new(Code::InvalidParameter, detail))
}

async fn group(call: &Call, name: &GroupName, spec: GroupSpec, dry_run: bool) -> Applied {
    let (session, broker) = (call.session()?, call.broker());
    let before = match broker.group(session, name) {
        Ok(view) => Some(view.spec),
        Err(e) if e.kind() == ErrorKind::GroupNotFound => None,
        Err(e) => return Err(e.into()),
    };
    if before.as_ref() == Some(&spec) {
        return Ok((Outcome::Unchanged, None));
    }
    if dry_run {
        may(call, before.is_some(), Resource::Group(name))?;
    } else {
        broker.put_group(session, name, spec).await?;
    }
    Ok((becomes(before.is_some()), None))
}

fn may(call: &Call, exists: bool, resource: Resource<'_>) -> Result<(), Problem> {
    let action = if exists { Action::Update } else { Action::Create };
    if call.broker().auth().may(call.session()?, action, resource) {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden, format!("{action} {resource} is not allowed")))
}

async fn role(call: &Call, name: String, settings: RoleSettings, dry_run: bool) -> Applied {
    let (session, broker) = (call.session()?, call.broker());
    let before = broker.roles(session)?.into_iter().find(|role| role.name == name);
    let quota = settings.quota.map(Quota::from);
    if before.as_ref().is_some_and(|before| quota.is_none_or(|quota| before.quota == quota)) {
        return Ok((Outcome::Unchanged, None));
    }
    refuse_file(before.as_ref().is_some_and(|role| role.from_file))?;
    set(call, Command::PutRole(RoleSpec { quota, ..RoleSpec::named(name) }), dry_run).await?;
    Ok((becomes(before.is_some()), None))
}

async fn user(call: &Call, mut spec: UserSpec, dry_run: bool) -> Applied {
    let (session, broker) = (call.session()?, call.broker());
    let before = broker.user(session, &spec.name).await?;
    let proves = proves(&spec);
    if before.as_ref().is_some_and(|before| !proves && is_as(before, &spec)) {
        return Ok((Outcome::Unchanged, None));
    }
    refuse_file(before.as_ref().is_some_and(|user| user.from_file))?;
    if dry_run {
        // Hashing it takes long, and for nothing.
        spec.password = None;
    }
    set(call, Command::PutUser(spec), dry_run).await?;
    let note = (before.is_none() && !proves).then(|| "it has no password or secret yet".to_owned());
    Ok((becomes(before.is_some()), note))
}

/// Whether a user would have something to log in with, that nobody can compare.
fn proves(spec: &UserSpec) -> bool {
    spec.password.is_some()
        || spec.password_hash.is_some()
        || spec.secret.is_some()
        || spec.access_keys.as_ref().is_some_and(|keys| !keys.is_empty())
}

/// What is given is what is there already.
fn is_as(view: &UserView, spec: &UserSpec) -> bool {
    spec.superuser.is_none_or(|superuser| superuser == view.superuser)
        && spec.enabled.is_none_or(|enabled| enabled == view.enabled)
        && spec.roles.as_ref().is_none_or(|roles| *roles == view.roles)
        && spec.quota.is_none_or(|quota| quota == view.quota)
}

async fn group_quota(call: &Call, name: &GroupName, quota: Quota, dry_run: bool) -> Applied {
    let (session, broker) = (call.session()?, call.broker());
    let before = broker.group_quotas(session)?.into_iter().find(|own| own.group == name.as_str());
    if before.as_ref().is_some_and(|own| own.quota == quota) {
        return Ok((Outcome::Unchanged, None));
    }
    refuse_file(before.as_ref().is_some_and(|own| own.from_file))?;
    let spec = GroupQuotaSpec { group: name.to_string(), quota };
    set(call, Command::PutGroupQuota(spec), dry_run).await?;
    Ok((becomes(before.is_some()), None))
}

async fn policy(call: &Call, policy: Policy, dry_run: bool) -> Applied {
    let (session, broker) = (call.session()?, call.broker());
    let about = broker.policies(session, Some(&policy.subject)).await?;
    if about.contains(&policy) {
        return Ok((Outcome::Unchanged, None));
    }
    let same = |known: &Policy| known.resource == policy.resource && known.decision == policy.decision;
    let exists = about.iter().any(same);
    set(call, Command::PutPolicy(policy), dry_run).await?;
    Ok((becomes(exists), None))
}

/// Changes users or policies, or only looks whether that could be.
async fn set(call: &Call, command: Command, dry_run: bool) -> Result<(), Problem> {
    match dry_run {
        true => call.broker().auth().plan(command).map(drop),
        false => call.broker().change_access(call.session()?, command).await,
    }
    .map_err(refused)
}

/// What the operator's file says is changed there alone.
fn refuse_file(from_file: bool) -> Result<(), Problem> {
    if !from_file {
        return Ok(());
    }
    Err(Problem::new(Code::Conflict, "it comes from the file of auth.file; change it there"))
}
