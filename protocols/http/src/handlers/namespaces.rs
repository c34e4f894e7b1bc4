//! Namespaces: what is in front of the names that there are.

use crate::call::{Call, json_response};
use crate::errors::{Code, Problem};
use crate::page::{self, MAX_LIMIT};
use crate::{namespace, params};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Namespace {
    name: String,
    topics: usize,
    groups: usize,
}

#[derive(Serialize)]
struct Namespaces {
    items: Vec<Namespace>,
    next: Option<String>,
}

/// `GET /v1/namespaces`
pub(crate) async fn list(call: Call) -> Result<Response, Problem> {
    let (items, next) = page::cut(seen(&call)?, &call.query, |namespace| &namespace.name)?;
    json_response(StatusCode::OK, &Namespaces { items, next })
}

/// `GET /v1/namespaces/{namespace}`
pub(crate) async fn get(call: Call) -> Result<Response, Problem> {
    let name = call.segment(0)?;
    if !namespace::is_valid(name) {
        return Err(params::invalid("namespace", namespace::WRONG));
    }
    match seen(&call)?.into_iter().find(|namespace| namespace.name == name) {
        Some(found) => json_response(StatusCode::OK, &found),
        None => {
            let detail = format!("there is no topic and no group in a namespace {name:?}");
            Err(Problem::new(Code::NamespaceNotFound, detail))
        }
    }
}

/// The namespaces of all topics and groups that the caller may see, by name.
fn seen(call: &Call) -> Result<Vec<Namespace>, Problem> {
    let (broker, session) = (call.broker(), call.session()?);
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let page = broker.topics(session, after.as_deref(), MAX_LIMIT as usize)?;
        for topic in page.iter().filter(|topic| !super::topics::is_system(&topic.name)) {
            if let Some((namespace, _)) = namespace::of(topic.name.as_str()) {
                counts.entry(namespace.to_owned()).or_default().0 += 1;
            }
        }
        after = page.last().map(|topic| topic.name.to_string());
        if page.len() < MAX_LIMIT as usize {
            break;
        }
    }
    after = None;
    loop {
        let page = broker.groups(session, after.as_deref(), MAX_LIMIT as usize)?;
        for group in &page {
            if let Some((namespace, _)) = namespace::of(group.name.as_str()) {
                counts.entry(namespace.to_owned()).or_default().1 += 1;
            }
        }
        after = page.last().map(|group| group.name.to_string());
        if page.len() < MAX_LIMIT as usize {
            break;
        }
    }
    let counted = counts.into_iter();
    Ok(counted.map(|(name, (topics, groups))| Namespace { name, topics, groups }).collect())
}
