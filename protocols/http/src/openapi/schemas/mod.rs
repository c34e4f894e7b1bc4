//! What bodies look like, by hand: strict where a request is read strictly, open where an answer may grow.

mod access;
mod administration;
mod definitions;
mod general;
mod messages;
mod settling;

use crate::routes::Media;
use serde_json::{Map, Value, json};

/// One character of a topic's or group's name.
pub(super) const NAME: &str = "[%|a-zA-Z0-9_-]";
/// A length of time as text.
pub(super) const SPAN: &str = "^([0-9]{1,20}|([0-9]{1,20}(ms|s|m|h|d))+)$";
/// A time: milliseconds since 1970, or RFC 3339.
pub(super) const TIME: &str = "^([0-9]{1,15}|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2}))$";

/// Schemas of one part of the interface, by name.
type Schemas = Vec<(&'static str, Value)>;

/// Every schema.
pub(super) fn all() -> Value {
    let parts = [
        general::all(),
        messages::all(),
        settling::all(),
        administration::all(),
        access::all(),
        definitions::all(),
    ];
    let all: Map<String, Value> = parts.into_iter().flatten().map(|(name, s)| (name.to_owned(), s)).collect();
    all.into()
}

/// A call needs a body unless nothing in it is required, or what it takes is bytes.
pub(super) fn is_body_required(body: &[Media]) -> bool {
    let all = all();
    body.iter().any(|(_, schema)| all[schema]["required"].as_array().is_some_and(|names| !names.is_empty()))
}

/// Where a schema is.
pub(super) fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// An object schema: its members, and which of them are always there.
fn object(members: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": members, "required": required})
}

/// A strict object schema, as requests have.
fn strict(members: Value, required: &[&str]) -> Value {
    let mut schema = object(members, required);
    schema["additionalProperties"] = false.into();
    schema
}

/// A page of something: `name` holds the entries.
fn list(name: &str, schema: &str) -> Value {
    object(json!({name: array(reference(schema)), "next": nullable("string")}), &[name])
}

fn array(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn texts() -> Value {
    array(text())
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

fn number() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// A number of a field that has so many bits.
fn bits(bits: u32) -> Value {
    let most = 1u64.checked_shl(bits).map_or(u64::MAX, |one| one - 1);
    json!({"type": "integer", "minimum": 0, "maximum": most})
}

/// A member that may be `null`, which is as if it were left out.
fn optional(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

fn nullable(kind: &str) -> Value {
    json!({"type": [kind, "null"]})
}

fn topic_name() -> Value {
    json!({"type": "string", "pattern": format!("^{NAME}{{1,127}}$")})
}
