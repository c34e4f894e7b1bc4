//! Policies by ACL 2.0's codes: putting, deleting, looking (3006 to 3010).
//!
//! The one idea to know: to tools a subject has one ACL with one entry for each resource, and an entry that comes anew
//! replaces the old one. Here a resource may be allowed and denied at the same time, so what an entry replaces is both,
//! unless the request itself says both.

use super::super::{Call, Result, json};
use super::{refused, users};
use crate::codes::response::{NO_PERMISSION, SYSTEM_ERROR};
use crate::errors::Failure;
use crate::response::Response;
use serde::{Deserialize, Serialize};
use sluice_auth::{Action, Actions, Command, Decision, Policy, ResourcePattern, SourceNet};

/// The only kind of policies here. Stock brokers have `Default` ones besides, for what no other speaks of.
const CUSTOM: &str = "Custom";
/// Entries in one request: a bound on the log writes that one frame causes.
const MAX_ENTRIES: usize = 1000;

#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct AclInfo {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default)]
    policies: Vec<PolicyInfo>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolicyInfo {
    #[serde(default)]
    policy_type: Option<String>,
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    resource: String,
    #[serde(default)]
    actions: Vec<String>,
    /// Left out when it is empty: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source_ips: Option<Vec<String>>,
    #[serde(default)]
    decision: Option<String>,
}

/// 3006, 3007: puts entries into a subject's ACL.
pub(super) async fn put(call: Call) -> Result<Response> {
    let subject = subject(&call).await?;
    let policies = read(&call, &subject)?;
    let (broker, session) = (&call.node.broker, &call.session);
    for policy in &policies {
        let both = policies.iter().any(|p| p.resource == policy.resource && p.decision != policy.decision);
        let opposite = broker.policies(session, Some(&subject)).await?;
        let opposite =
            opposite.iter().any(|p| p.resource == policy.resource && p.decision != policy.decision);
        if opposite && !both {
            let gone = broker
                .delete_policies(session, &subject, Some(policy.resource.clone()))
                .await
                .map_err(refused)?;
            if gone.kept > 0 {
                return Err(of_the_file(&policy.resource.to_string()));
            }
        }
        broker.change_access(session, Command::PutPolicy(policy.clone())).await.map_err(refused)?;
    }
    Ok(Response::success())
}

fn read(call: &Call, subject: &str) -> Result<Vec<Policy>> {
    let info: AclInfo = call.body()?;
    let mut policies = Vec::new();
    for policy in &info.policies {
        if let Some(other) =
            policy.policy_type.as_deref().filter(|t| !t.is_empty() && !t.eq_ignore_ascii_case(CUSTOM))
        {
            return Err(not_custom(other));
        }
        for entry in &policy.entries {
            policies.push(entry.policy(call, subject)?);
        }
    }
    match policies.len() {
        0 => Err(Failure::new(SYSTEM_ERROR, "The body of acl is null")),
        1..=MAX_ENTRIES => Ok(policies),
        n => Err(Failure::invalid(format!("{n} entries in one request; at most {MAX_ENTRIES}"))),
    }
}

fn not_custom(policy_type: &str) -> Failure {
    Failure::invalid(format!("policies of type {policy_type:?} are not offered, only {CUSTOM}"))
}

fn of_the_file(resource: &str) -> Failure {
    let text = format!("the policy on {resource} comes from the file of auth.file; change it there");
    Failure::new(NO_PERMISSION, text)
}

impl Entry {
    fn policy(&self, call: &Call, subject: &str) -> Result<Policy> {
        let decision = self.decision.as_deref().map(str::trim).unwrap_or_default();
        let decision = match decision {
            d if d.eq_ignore_ascii_case("Allow") => Decision::Allow,
            d if d.eq_ignore_ascii_case("Deny") => Decision::Deny,
            other => return Err(Failure::invalid(format!("{other:?} is no decision; it is Allow or Deny"))),
        };
        let sources = self.source_ips.iter().flatten().map(|s| s.trim()).filter(|s| !s.is_empty());
        Ok(Policy {
            subject: subject.to_owned(),
            resource: resource(call, &self.resource)?,
            actions: Actions::try_from(self.actions.clone())?,
            decision,
            source_ips: sources.map(str::parse::<SourceNet>).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&Policy> for Entry {
    fn from(policy: &Policy) -> Self {
        let all = Action::ALL.iter().all(|action| policy.actions.contains(*action));
        let sources: Vec<String> = policy.source_ips.iter().map(ToString::to_string).collect();
        Self {
            resource: policy.resource.to_string(),
            actions: if all { vec!["All".into()] } else { policy.actions.into() },
            source_ips: Some(sources).filter(|s| !s.is_empty()),
            decision: Some(if policy.decision == Decision::Allow { "Allow" } else { "Deny" }.into()),
        }
    }
}

/// A pattern as tools write it: a cluster has a name there, and here there is only this one.
fn resource(call: &Call, text: &str) -> Result<ResourcePattern> {
    let text = text.trim();
    match text.strip_prefix("Cluster:") {
        Some(name) if call.node.marks.broker.cluster == *name => Ok("Cluster".parse()?),
        _ => Ok(text.parse()?),
    }
}

/// 3008: deletes a subject's entry on one resource, or its whole ACL.
pub(super) async fn delete(call: Call) -> Result<Response> {
    let subject = subject(&call).await?;
    let given = |name| call.frame.ext.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    if let Some(other) = given("policyType").filter(|t| !t.eq_ignore_ascii_case(CUSTOM)) {
        return Err(not_custom(other));
    }
    let pattern = given("resource").map(|text| resource(&call, text)).transpose()?;
    let what = pattern.as_ref().map_or("anything".to_owned(), ToString::to_string);
    let gone = call.node.broker.delete_policies(&call.session, &subject, pattern).await.map_err(refused)?;
    match (gone.removed, gone.kept) {
        (0, 0) => Err(Failure::new(
            NO_PERMISSION,
            format!("there is no policy on {what} about {}", shown(&subject)),
        )),
        (0, _) => Err(of_the_file(&what)),
        _ => Ok(Response::success()),
    }
}

/// 3009: a subject's ACL; no body when it has none.
pub(super) async fn get(call: Call) -> Result<Response> {
    let subject = subject(&call).await?;
    let policies = call.node.broker.policies(&call.session, Some(&subject)).await?;
    if policies.is_empty() {
        return Ok(Response::success());
    }
    Ok(Response::success().body(json::write(&acl(&subject, policies.iter()))?))
}

/// 3010: the ACLs whose subject and resources contain the filters.
pub(super) async fn list(call: Call) -> Result<Response> {
    let filter = |name| call.frame.ext.get(name).map(|f| f.trim()).unwrap_or_default();
    let (about, on) = (filter("subjectFilter"), filter("resourceFilter"));
    let mut policies = call.node.broker.policies(&call.session, None).await?;
    policies.retain(|p| shown(&p.subject).contains(about) && p.resource.to_string().contains(on));
    let acls: Vec<AclInfo> = policies
        .chunk_by(|a, b| a.subject == b.subject)
        .filter_map(|of_one| Some(acl(&of_one.first()?.subject, of_one.iter())))
        .collect();
    Ok(Response::success().body(json::write(&acls)?))
}

fn acl<'a>(subject: &str, policies: impl Iterator<Item = &'a Policy>) -> AclInfo {
    let entries = policies.map(Entry::from).collect();
    let policy = PolicyInfo { policy_type: Some(CUSTOM.into()), entries };
    AclInfo { subject: Some(shown(subject)), policies: vec![policy] }
}

/// A subject as tools write it.
fn shown(subject: &str) -> String {
    if subject.starts_with("Role:") { subject.to_owned() } else { format!("User:{subject}") }
}

/// The subject that a request is about, as policies name it. There must be such a one.
async fn subject(call: &Call) -> Result<String> {
    let text = call.frame.ext.get("subject").map(|s| s.trim()).unwrap_or_default();
    let name = text.strip_prefix("User:").unwrap_or(text);
    if name.is_empty() {
        return Err(Failure::invalid("the subject is blank; write User:name or Role:name"));
    }
    let known = match name.strip_prefix("Role:") {
        Some(role) => call.node.broker.roles(&call.session)?.iter().any(|known| known.name == role),
        None => users::find(call, name).await?.is_some(),
    };
    if known {
        Ok(name.to_owned())
    } else {
        Err(Failure::new(NO_PERMISSION, format!("there is no {}", shown(name))))
    }
}
