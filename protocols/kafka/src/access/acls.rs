//! DescribeAcls, CreateAcls, DeleteAcls: the broker's policies, line by line.
//!
//! A line is added to the policy that speaks of the same subject, resource and decision, and taken out of it again. As
//! that is a look and then a change, changes take turns.

use super::binding::{Binding, LITERAL, PREFIXED, joined, without};
use super::{Refused, has_users, invalid, refused, told};
use crate::api::{Fatal, Head};
use crate::client::Client;
use crate::errors::Code;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::delete_acls_response::{DeleteAclsFilterResult, DeleteAclsMatchingAcl};
use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_protocol::messages::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse, DescribeAclsRequest,
    DescribeAclsResponse,
};
use kafka_protocol::protocol::StrBytes;
use sluice_auth::{Command, Policy, ResourcePattern, Session};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// "Whatever it is" in every number of a filter.
const ANY: i8 = 1;
/// Patterns that would match this name.
const MATCH: i8 = 2;
/// The highest numbers that Kafka has: resources, patterns, operations, permissions.
const HIGHEST: [i8; 4] = [7, PREFIXED, 15, 3];

/// Which lines are meant.
struct Filter {
    kind: i8,
    name: Option<StrBytes>,
    pattern: i8,
    principal: Option<StrBytes>,
    host: Option<StrBytes>,
    operation: i8,
    permission: i8,
}

impl From<DescribeAclsRequest> for Filter {
    fn from(asked: DescribeAclsRequest) -> Self {
        Self {
            kind: asked.resource_type_filter,
            name: asked.resource_name_filter,
            pattern: asked.pattern_type_filter,
            principal: asked.principal_filter,
            host: asked.host_filter,
            operation: asked.operation,
            permission: asked.permission_type,
        }
    }
}

impl From<DeleteAclsFilter> for Filter {
    fn from(asked: DeleteAclsFilter) -> Self {
        Self {
            kind: asked.resource_type_filter,
            name: asked.resource_name_filter,
            pattern: asked.pattern_type_filter,
            principal: asked.principal_filter,
            host: asked.host_filter,
            operation: asked.operation,
            permission: asked.permission_type,
        }
    }
}

impl Filter {
    fn check(&self) -> Result<(), Refused> {
        let numbers = [self.kind, self.pattern, self.operation, self.permission];
        let is_known = numbers.iter().zip(HIGHEST).all(|(number, highest)| (ANY..=highest).contains(number));
        is_known.then_some(()).ok_or_else(|| invalid("a filter names what Kafka does not know"))
    }

    fn matches(&self, line: &Binding) -> bool {
        let is = |wanted: i8, number: i8| wanted == ANY || wanted == number;
        let says =
            |wanted: &Option<StrBytes>, text: &str| wanted.as_ref().is_none_or(|wanted| *wanted == *text);
        is(self.kind, line.kind)
            && self.matches_name(line)
            && says(&self.principal, &line.principal)
            && says(&self.host, &line.host)
            && is(self.operation, line.operation)
            && is(self.permission, line.permission)
    }

    fn matches_name(&self, line: &Binding) -> bool {
        let Some(name) = &self.name else {
            return matches!(self.pattern, ANY | MATCH) || self.pattern == line.pattern;
        };
        match (self.pattern, line.pattern) {
            (MATCH, LITERAL) => line.name == **name || line.name == "*",
            (MATCH, _) => name.starts_with(&*line.name),
            (wanted, own) => (wanted == ANY || wanted == own) && line.name == **name,
        }
    }
}

pub(super) async fn describe(
    client: Arc<Client>,
    _: Head,
    request: DescribeAclsRequest,
) -> Result<DescribeAclsResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let found = find(&client, &session, &Filter::from(request)).await;
    let resources = found.as_ref().map(|lines| grouped(lines)).unwrap_or_default();
    let (code, message) = told(found.map(drop));
    Ok(DescribeAclsResponse::default()
        .with_error_code(code)
        .with_error_message(message)
        .with_resources(resources))
}

async fn find(client: &Client, session: &Session, filter: &Filter) -> Result<Vec<Binding>, Refused> {
    has_users(client)?;
    filter.check()?;
    let policies = policies(client, session).await?;
    Ok(policies.iter().flat_map(Binding::all_of).filter(|line| filter.matches(line)).collect())
}

async fn policies(client: &Client, session: &Session) -> Result<Vec<Policy>, Refused> {
    client.broker().policies(session, None).await.map_err(|error| refused(&error))
}

fn grouped(lines: &[Binding]) -> Vec<DescribeAclsResource> {
    let mut groups: BTreeMap<(i8, &str, i8), Vec<AclDescription>> = BTreeMap::new();
    for line in lines {
        let told = AclDescription::default()
            .with_principal(line.principal.clone().into())
            .with_host(line.host.clone().into())
            .with_operation(line.operation)
            .with_permission_type(line.permission);
        groups.entry((line.kind, &line.name, line.pattern)).or_default().push(told);
    }
    let resource = |((kind, name, pattern), acls): ((i8, &str, i8), _)| {
        DescribeAclsResource::default()
            .with_resource_type(kind)
            .with_resource_name(name.to_owned().into())
            .with_pattern_type(pattern)
            .with_acls(acls)
    };
    groups.into_iter().map(resource).collect()
}

pub(super) async fn create(
    client: Arc<Client>,
    _: Head,
    request: CreateAclsRequest,
) -> Result<CreateAclsResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let _turn = client.wire.access.lock().await;
    let mut results = Vec::with_capacity(request.creations.len());
    for creation in request.creations {
        let (code, message) = told(add(&client, &session, creation).await);
        results.push(AclCreationResult::default().with_error_code(code).with_error_message(message));
    }
    Ok(CreateAclsResponse::default().with_results(results))
}

async fn add(client: &Client, session: &Session, wanted: AclCreation) -> Result<(), Refused> {
    has_users(client)?;
    let line = Binding {
        kind: wanted.resource_type,
        name: wanted.resource_name.to_string(),
        pattern: wanted.resource_pattern_type,
        principal: wanted.principal.to_string(),
        host: wanted.host.to_string(),
        operation: wanted.operation,
        permission: wanted.permission_type,
    };
    let wanted = line.policy().map_err(invalid)?;
    let known =
        policies(client, session).await?.into_iter().find(|policy| is_about_the_same(policy, &wanted));
    let whole = known.map_or(Ok(wanted.clone()), |known| joined(&known, &wanted)).map_err(invalid)?;
    change(client, session, Command::PutPolicy(whole)).await
}

/// Whether one takes the place of the other.
fn is_about_the_same(a: &Policy, b: &Policy) -> bool {
    (&a.subject, &a.resource, a.decision) == (&b.subject, &b.resource, b.decision)
}

async fn change(client: &Client, session: &Session, command: Command) -> Result<(), Refused> {
    client.broker().change_access(session, command).await.map_err(|error| refused(&error))
}

pub(super) async fn delete(
    client: Arc<Client>,
    _: Head,
    request: DeleteAclsRequest,
) -> Result<DeleteAclsResponse, Fatal> {
    let session = client.session().map_err(|_| Fatal("not logged in"))?;
    let _turn = client.wire.access.lock().await;
    let mut results = Vec::with_capacity(request.filters.len());
    for filter in request.filters {
        let removed = remove(&client, &session, &Filter::from(filter)).await;
        let result = DeleteAclsFilterResult::default().with_error_message(None);
        results.push(match removed {
            Ok(matching) => result.with_matching_acls(matching),
            Err((code, why)) => result.with_error_code(code.number()).with_error_message(Some(why.into())),
        });
    }
    Ok(DeleteAclsResponse::default().with_filter_results(results))
}

/// Takes out every line that is meant, policy by policy, and tells what became of each.
async fn remove(
    client: &Client,
    session: &Session,
    filter: &Filter,
) -> Result<Vec<DeleteAclsMatchingAcl>, Refused> {
    has_users(client)?;
    filter.check()?;
    let all = policies(client, session).await?;
    let meant = |policy: &Policy| -> BTreeSet<Binding> {
        Binding::all_of(policy).into_iter().filter(|line| filter.matches(line)).collect()
    };
    let mut gone: BTreeSet<(String, ResourcePattern)> = BTreeSet::new();
    let mut matching = Vec::new();
    for policy in &all {
        let lines = meant(policy);
        if lines.is_empty() {
            continue;
        }
        let place = (policy.subject.clone(), policy.resource.clone());
        let done = match without(policy, &lines).map_err(invalid) {
            Err(why) => Err(why),
            Ok(Some(left)) => keep(client, session, left).await,
            Ok(None) if gone.contains(&place) => Ok(()),
            // A removal takes both the policy that allows and the one that denies.
            Ok(None) => match all.iter().find(|other| is_the_other(other, policy)) {
                Some(other) if without(other, &meant(other)) != Ok(None) => {
                    Err(invalid(format!("with it would go: {other}")))
                }
                _ => {
                    let done = erase(client, session, policy).await;
                    if done.is_ok() {
                        gone.insert(place);
                    }
                    done
                }
            },
        };
        let (code, message) = told(done);
        matching.extend(lines.into_iter().map(|line| tell(line, code, message.clone())));
    }
    Ok(matching)
}

fn is_the_other(other: &Policy, policy: &Policy) -> bool {
    (&other.subject, &other.resource) == (&policy.subject, &policy.resource)
        && other.decision != policy.decision
}

/// Leaves this of a policy.
async fn keep(client: &Client, session: &Session, left: Policy) -> Result<(), Refused> {
    let pattern = Some(left.resource.clone());
    let known = client.broker().count_policies(session, &left.subject, pattern).await;
    if known.map_err(|error| refused(&error))?.kept > 0 {
        return Err(of_the_file());
    }
    change(client, session, Command::PutPolicy(left)).await
}

/// Leaves nothing of it.
async fn erase(client: &Client, session: &Session, policy: &Policy) -> Result<(), Refused> {
    let pattern = Some(policy.resource.clone());
    let removed = client.broker().delete_policies(session, &policy.subject, pattern).await;
    match removed.map_err(|error| refused(&error))? {
        removed if removed.kept > 0 => Err(of_the_file()),
        _ => Ok(()),
    }
}

fn of_the_file() -> Refused {
    (Code::PolicyViolation, "it belongs to the operator's file, which alone can change it".to_owned())
}

fn tell(line: Binding, code: i16, message: Option<StrBytes>) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl::default()
        .with_error_code(code)
        .with_error_message(message)
        .with_resource_type(line.kind)
        .with_resource_name(line.name.into())
        .with_pattern_type(line.pattern)
        .with_principal(line.principal.into())
        .with_host(line.host.into())
        .with_operation(line.operation)
        .with_permission_type(line.permission)
}
