//! The route table as an OpenAPI 3.1 document.
//!
//! It exists so that a program can know the interface exactly: what the document allows is taken, what it does not is
//! refused, and what is answered has the shape it says (`tests/interop/schemathesis` holds a live server to that). The
//! one idea to know: operations come from the table, [`schemas`] are written by hand, because what the wire structs
//! check lies in their types' own parsers. A test holds the two together: every schema named is defined, and the other
//! way.

pub(crate) mod page;
mod parameters;
mod schemas;
pub(crate) mod yaml;

use crate::errors::PROBLEM_JSON;
use crate::routes::{Media, Route, by_path};
use schemas::reference;
use serde_json::{Map, Value, json};

/// The whole document.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    for (path, routes) in by_path() {
        let operations = routes.iter().map(|r| (r.method.as_str().to_ascii_lowercase(), operation(r)));
        paths.insert(path.to_owned(), Value::Object(operations.collect()));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sluice",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Messaging with curl. Every error is a problem document (RFC 9457).",
        },
        "security": [{"basic": []}, {"bearer": []}, {"sigv4": []}, {"mq": []}, {"certificate": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "sigv4": signed("As `curl --aws-sigv4 aws:amz:local:mq` makes it; any provider, region and service."),
                "mq": signed("`MQ key:signature`, HMAC-SHA1, as the cloud's HTTP clients make it."),
                "certificate": {"type": "mutualTLS"},
            },
            "responses": {"Problem": {
                "description": "What was wrong, with a stable `code`.",
                "headers": {
                    "RateLimit-Policy": of_a_quota("The limit of a quota that is used up."),
                    "RateLimit": of_a_quota("Nothing is left of it, and for how many seconds."),
                },
                "content": {PROBLEM_JSON: {"schema": reference("Problem")}},
            }},
            "schemas": schemas::all(),
        },
    })
}

/// A scheme of the header `Authorization` for which OpenAPI has no word.
fn signed(description: &str) -> Value {
    json!({"type": "apiKey", "in": "header", "name": "Authorization", "description": description})
}

/// A header of an answer with the code `quota-exceeded`.
fn of_a_quota(description: &str) -> Value {
    json!({"description": description, "schema": {"type": "string"}})
}

fn operation(route: &Route) -> Value {
    let mut operation = Map::new();
    operation.insert("summary".into(), route.summary.into());
    operation.insert("operationId".into(), operation_id(route).into());
    operation.insert("tags".into(), json!([tag(route.path)]));
    if route.public {
        operation.insert("security".into(), json!([]));
    }
    let parameters: Vec<Value> = parameters::of_path(route)
        .chain(parameters::of_query(route))
        .chain(parameters::of_headers(route))
        .collect();
    if !parameters.is_empty() {
        operation.insert("parameters".into(), parameters.into());
    }
    if !route.body.is_empty() {
        let content: Map<String, Value> = route.body.iter().map(media).collect();
        let required = schemas::is_body_required(route.body);
        operation.insert("requestBody".into(), json!({"content": content, "required": required}));
    }
    operation.insert("responses".into(), responses(route));
    operation.into()
}

/// What the path is about: its first word behind the version.
fn tag(path: &str) -> &str {
    let word = path.strip_prefix("/v1/").and_then(|rest| rest.split(['/', ':']).next());
    word.unwrap_or("operations")
}

/// Method and path as one word: unique, and stable while the path is.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(route.method.as_str().to_ascii_lowercase(), |mut id, word| {
        let (first, rest) = word.split_at(1);
        id.push_str(&first.to_ascii_uppercase());
        id.push_str(rest);
        id
    })
}

fn media((media, schema): &Media) -> (String, Value) {
    ((*media).to_owned(), json!({"schema": reference(schema)}))
}

/// Refusals that any call may give beside those that its own rules have, which are in `default`.
fn refusals(route: &Route) -> impl Iterator<Item = &'static str> {
    let has_name = route.path.contains('{');
    let all = [
        ("400", true),
        ("401", !route.public),
        ("403", true),
        ("404", has_name),
        ("406", true),
        ("413", !route.body.is_empty()),
        ("415", !route.body.is_empty()),
        ("429", !route.public),
        ("503", true),
    ];
    all.into_iter().filter_map(|(status, applies)| applies.then_some(status))
}

fn responses(route: &Route) -> Value {
    let mut responses = Map::new();
    for (status, media, schema) in route.answers {
        let response =
            responses.entry(status.to_string()).or_insert_with(|| json!({"description": "Success."}));
        if !media.is_empty() {
            response["content"][media] = json!({"schema": reference(schema)});
        }
    }
    if crate::etag::is_tagged(route) && route.method == http::Method::GET {
        responses.insert("304".into(), json!({"description": "It still is as `If-None-Match` says."}));
    }
    let problem = json!({"$ref": "#/components/responses/Problem"});
    for status in refusals(route).chain(["default"]) {
        // An answer of its own with a refusal's status, as a health check has, says more than the general one.
        responses.entry(status).or_insert_with(|| problem.clone());
    }
    responses.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::ROUTES;
    use std::collections::BTreeSet;

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(name, value)| match (name.as_str(), value) {
                ("$ref", Value::String(target)) => {
                    found.extend(target.strip_prefix("#/components/schemas/").map(str::to_owned));
                }
                _ => references(value, found),
            }),
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_operation_is_described_and_nothing_else() {
        let doc = document();
        let described: BTreeSet<(String, String)> = doc["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, ops)| ops.as_object().unwrap().keys().map(|m| (path.clone(), m.to_uppercase())))
            .collect();
        let served: BTreeSet<_> = ROUTES.iter().map(|r| (r.path.to_owned(), r.method.to_string())).collect();
        assert_eq!(described, served);
        assert_eq!(served.len(), ROUTES.len(), "a route stands in the table twice");
        let ids: BTreeSet<_> = ROUTES.iter().map(operation_id).collect();
        assert_eq!(ids.len(), ROUTES.len());
    }

    #[test]
    fn every_schema_named_is_defined_and_used() {
        let mut doc = document();
        let mut named = BTreeSet::new();
        references(&doc, &mut named);
        let defined = doc["components"]["schemas"].as_object_mut().unwrap();
        assert_eq!(named, defined.keys().cloned().collect());
    }

    #[test]
    fn every_operation_says_how_it_fails() {
        let doc = document();
        for (path, operations) in doc["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.contains_key("default"), "{method} {path}");
                let success = responses.keys().any(|status| status.starts_with('2'));
                assert!(success, "{method} {path}");
            }
        }
    }
}
