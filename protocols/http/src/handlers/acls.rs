//! Policies: list, put, delete, and the explanation of what they decide.

use super::users::refused;
use crate::call::{Call, json_response};
use crate::convert;
use crate::errors::{Code, Problem};
use crate::page::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::params::invalid;
use axum::response::Response;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sluice_auth::{
    Action, Actions, Command, Decision, Explanation, Policy, Resource, ResourcePattern, RuleNote, RulePart,
    SourceNet,
};
use sluice_model::{GroupName, TopicName};
use std::net::IpAddr;

/// A policy as JSON, both ways.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct PolicyJson {
    subject: String,
    resource: ResourcePattern,
    actions: Actions,
    #[serde(default)]
    decision: Decision,
    #[serde(default)]
    source_ips: Vec<SourceNet>,
}

#[derive(Serialize)]
struct Policies {
    items: Vec<PolicyJson>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Removed {
    removed: usize,
    kept: usize,
}

/// A hypothetical request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    user: String,
    action: String,
    resource: String,
    source: Option<IpAddr>,
}

#[derive(Serialize)]
struct Answer {
    decision: Decision,
    reason: String,
    question: String,
    rules: Vec<Note>,
}

#[derive(Serialize)]
struct Note {
    rule: PolicyJson,
    part: &'static str,
}

/// What a question is about, with its name.
enum Named {
    Topic(TopicName),
    Group(GroupName),
    Cluster,
}

/// Where a page of policies begins: after so many policies of this subject.
struct Place<'a> {
    count: usize,
    subject: &'a str,
}

impl From<Policy> for PolicyJson {
    fn from(policy: Policy) -> Self {
        Self {
            subject: policy.subject,
            resource: policy.resource,
            actions: policy.actions,
            decision: policy.decision,
            source_ips: policy.source_ips,
        }
    }
}

impl From<PolicyJson> for Policy {
    fn from(json: PolicyJson) -> Self {
        Self {
            subject: subject(&json.subject).to_owned(),
            resource: json.resource,
            actions: json.actions,
            decision: json.decision,
            source_ips: json.source_ips,
        }
    }
}

impl From<Explanation> for Answer {
    fn from(explanation: Explanation) -> Self {
        Self {
            decision: explanation.decision,
            reason: explanation.reason,
            question: explanation.question,
            rules: explanation.rules.into_iter().map(Note::from).collect(),
        }
    }
}

impl From<RuleNote> for Note {
    fn from(note: RuleNote) -> Self {
        let part = match note.part {
            RulePart::Decided => "decided",
            RulePart::Outvoted => "outvoted",
            RulePart::OtherAction => "otherAction",
            RulePart::OtherResource => "otherResource",
            RulePart::OtherSource => "otherSource",
        };
        Self { rule: note.rule.into(), part }
    }
}

impl Named {
    /// One topic, one group or the cluster, in the words of a denial.
    fn parse(text: &str) -> Result<Self, Problem> {
        match text.split_once(':') {
            Some(("Topic", name)) => convert::topic(name).map(Self::Topic),
            Some(("Group", name)) => convert::group(name).map(Self::Group),
            None if text == "Cluster" => Ok(Self::Cluster),
            _ => {
                let detail = format!("{text:?} is no resource; write Topic:name, Group:name or Cluster");
                Err(Problem::new(Code::InvalidJson, detail))
            }
        }
        .map_err(|problem| problem.at("/resource"))
    }

    fn resource(&self) -> Resource<'_> {
        match self {
            Self::Topic(name) => Resource::Topic(name),
            Self::Group(name) => Resource::Group(name),
            Self::Cluster => Resource::Cluster,
        }
    }
}

impl<'a> Place<'a> {
    fn parse(text: &'a str) -> Result<Self, Problem> {
        let parts = text.split_once(':').and_then(|(count, subject)| Some((count.parse().ok()?, subject)));
        let (count, subject) = parts.ok_or_else(|| invalid("cursor", "it is not the `next` of a page"))?;
        Ok(Self { count, subject })
    }

    /// How many policies of a list lie before. A subject that is gone is none of them.
    fn skip(&self, policies: &[Policy]) -> usize {
        let before = policies.partition_point(|policy| order(&policy.subject) < order(self.subject));
        let rest = policies.iter().skip(before).take_while(|policy| policy.subject == self.subject);
        before + rest.take(self.count).count()
    }

    /// The place after the n-th policy of a list.
    fn after(policies: &'a [Policy], n: usize) -> Option<String> {
        let subject = &policies.get(n.checked_sub(1)?)?.subject;
        let before = policies.partition_point(|policy| order(&policy.subject) < order(subject));
        Some(format!("{}:{subject}", n - before))
    }
}

/// Where a subject stands in the broker's list: users by name, then roles.
fn order(subject: &str) -> (bool, &str) {
    subject.strip_prefix("Role:").map_or((false, subject), |role| (true, role))
}

/// A subject as policies have it; `User:alice`, as denials write it, is `alice`.
fn subject(text: &str) -> &str {
    text.strip_prefix("User:").unwrap_or(text)
}

/// `GET /v1/acls`
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let limit = call.query.number("limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT) as usize;
    let about = call.query.get("subject")?.map(subject);
    let from = call.query.get("cursor")?.map(Place::parse).transpose()?;
    let policies = call.broker().policies(call.session()?, about).await?;
    let start = from.map_or(0, |place| place.skip(&policies));
    let end = policies.len().min(start + limit);
    let next = if end < policies.len() { Place::after(&policies, end) } else { None };
    let items = policies.into_iter().take(end).skip(start).map(PolicyJson::from).collect();
    json_response(StatusCode::OK, &Policies { items, next })
}

/// `PUT /v1/acls`, `POST /v1/acls`
pub(crate) async fn put(mut call: Call) -> Result<Response, Problem> {
    let json: PolicyJson = call.json().await?;
    let policy = Policy::from(json);
    let change = Command::PutPolicy(policy.clone());
    call.broker().change_access(call.session()?, change).await.map_err(refused)?;
    json_response(StatusCode::OK, &PolicyJson::from(policy))
}

/// `DELETE /v1/acls`
pub(crate) async fn delete(call: Call) -> Result<Response, Problem> {
    let about = subject(call.query.required("subject")?);
    let resource: Option<ResourcePattern> =
        call.query.get("resource")?.map(str::parse).transpose().map_err(Problem::from)?;
    let session = call.session()?;
    let result = match call.dry_run()? {
        true => call.broker().count_policies(session, about, resource).await,
        false => call.broker().delete_policies(session, about, resource).await,
    };
    let result = result.map_err(refused)?;
    match (result.removed, result.kept) {
        (0, 0) => Err(Problem::new(Code::PolicyNotFound, format!("no such policy about {about:?}"))),
        (0, _) => {
            let detail = "the policies come from the file of auth.file; change them there";
            Err(Problem::new(Code::Conflict, detail))
        }
        (removed, kept) => json_response(StatusCode::OK, &Removed { removed, kept }),
    }
}

/// `POST /v1/acls:explain`
pub(crate) async fn explain(mut call: Call) -> Result<Response, Problem> {
    let question: Question = call.json().await?;
    let action: Action = question
        .action
        .parse()
        .map_err(|e: sluice_model::Error| Problem::new(Code::InvalidJson, e.message()).at("/action"))?;
    let named = Named::parse(&question.resource)?;
    let (session, user) = (call.session()?, subject(&question.user));
    let from = question.source.unwrap_or_else(|| session.peer().ip());
    let explanation = call.broker().explain_access(session, user, action, named.resource(), from)?;
    json_response(StatusCode::OK, &Answer::from(explanation))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies(subjects: &[&str]) -> Vec<Policy> {
        subjects.iter().map(|s| Policy::allow(s, "*", &[Action::Get]).unwrap()).collect()
    }

    #[test]
    fn a_place_survives_changes_before_it() {
        let all = policies(&["a", "a", "b", "b", "b", "Role:a", "Role:b"]);
        for n in 1..=all.len() {
            let cursor = Place::after(&all, n).unwrap();
            assert_eq!(Place::parse(&cursor).unwrap().skip(&all), n, "{cursor}");
        }
        let cursor = Place::after(&all, 4).unwrap();
        assert_eq!(cursor, "2:b");
        let place = Place::parse(&cursor).unwrap();
        assert_eq!(place.skip(&policies(&["b", "b", "b", "c"])), 2, "those of another subject are gone");
        assert_eq!(place.skip(&policies(&["a", "c", "Role:b"])), 1, "its own subject is gone");
        assert!(Place::parse("b").is_err() && Place::parse("x:b").is_err());
    }

    #[test]
    fn resources_are_named_one_at_a_time() {
        for text in ["Topic:orders", "Group:billing", "Cluster"] {
            assert_eq!(Named::parse(text).unwrap().resource().to_string(), text);
        }
        for bad in ["Topic:orders*", "Topic:*", "Topic:", "*", "orders", "Cluster:c", "topic:orders", ""] {
            assert!(Named::parse(bad).is_err(), "{bad:?}");
        }
    }
}
