//! Topics, groups, members, offsets.

use super::general::time;
use super::{
    NAME, Schemas, array, bits, flag, list, number, object, optional, reference, strict, text, texts,
    topic_name,
};
use serde_json::{Value, json};

pub(super) fn all() -> Schemas {
    let queue =
        object(json!({"queue": number(), "begin": number(), "end": number()}), &["queue", "begin", "end"]);
    let mut topic = topic_settings();
    topic["name"] = text();
    topic["messages"] = number();
    topic["offsets"] = array(queue);
    topic["createdAt"] = time();
    let mut group = group_settings();
    group["name"] = text();
    group["members"] = number();
    group["topics"] = texts();
    group["createdAt"] = time();
    let subscription = object(json!({"topic": text(), "filter": text()}), &["topic", "filter"]);
    let member = json!({
        "clientId": text(), "address": text(), "fetching": {"enum": ["pull", "push", "lease"]}, "agent": text(),
        "subscriptions": array(subscription), "lastSeenAt": time(),
    });
    let progress = json!({
        "topic": text(), "queue": number(), "committed": number(), "begin": number(), "end": number(),
        "lag": number(), "inFlight": number(), "lastConsumedAt": time(),
    });
    let mut offsets = list("items", "Offset");
    offsets["properties"]["totalLag"] = number();
    let place = json!({
        "topic": topic_name(), "queue": bits(32), "offset": bits(64), "expected": optional(bits(64)),
    });
    let cut = object(
        json!({"queue": number(), "begin": number(), "until": number()}),
        &["queue", "begin", "until"],
    );
    let redriven = json!({"redriven": number(), "missing": texts(), "more": flag()});
    let places = json!({"type": "array", "items": reference("Place"), "maxItems": 1024});
    vec![
        ("TopicSettings", strict(topic_settings(), &[])),
        ("TopicPatch", patch(topic_settings())),
        ("Topic", object(topic, &["name"])),
        ("Topics", list("items", "Topic")),
        ("GroupSettings", strict(group_settings(), &[])),
        ("GroupPatch", patch(group_settings())),
        ("Group", object(group, &["name"])),
        ("Groups", list("items", "Group")),
        ("Member", object(member, &["clientId", "address"])),
        ("Members", list("items", "Member")),
        ("Offset", object(progress, &["topic", "queue", "committed", "begin", "end", "lag"])),
        ("Offsets", offsets),
        ("Place", strict(place, &["topic", "queue", "offset"])),
        ("SetOffsets", strict(json!({"offsets": places, "force": flag(), "dryRun": flag()}), &["offsets"])),
        ("ResetOffsets", reset()),
        (
            "Namespace",
            object(
                json!({"name": text(), "topics": number(), "groups": number()}),
                &["name", "topics", "groups"],
            ),
        ),
        ("Namespaces", list("items", "Namespace")),
        ("Truncate", strict(json!({"before": start()}), &["before"])),
        ("Truncated", object(json!({"items": array(cut), "removed": number()}), &["items", "removed"])),
        ("Redrive", redrive()),
        ("Redriven", object(redriven, &["redriven", "missing", "more"])),
        ("TopicOffset", object(json!({"queue": number(), "offset": number()}), &["queue", "offset"])),
        ("TopicOffsets", list("items", "TopicOffset")),
    ]
}

/// A place in time.
fn start() -> Value {
    json!({"anyOf": [{"enum": ["earliest", "latest"]}, reference("TimeIn")]})
}

fn redrive() -> Value {
    let ids = json!({"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 1000});
    let limit = json!({"type": "integer", "minimum": 1, "maximum": 1000});
    let mut schema = strict(json!({"ids": optional(ids), "all": flag(), "limit": optional(limit)}), &[]);
    schema["oneOf"] = json!([
        {"properties": {"all": {"const": true}, "ids": {"type": "null"}}, "required": ["all"]},
        {"properties": {"all": {"const": false}, "ids": {"type": "array"}}, "required": ["ids"]},
    ]);
    schema
}

fn attributes() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

pub(super) fn topic_settings() -> Value {
    json!({
        "queues": optional(json!({"type": "integer", "minimum": 1, "maximum": 1024})),
        "type": {"enum": ["NORMAL", "FIFO", "DELAY", "TRANSACTION", null]},
        "durability": {"enum": ["async", "sync", null]},
        "permissions": {"enum": ["rw", "wr", "r", "w", "", null]}, "attributes": attributes(),
        "retention": optional(reference("Span")), "idempotencyKey": {"enum": ["optional", "required", null]},
    })
}

pub(super) fn group_settings() -> Value {
    let start = json!({"anyOf": [{"enum": ["earliest", "latest", null]}, reference("TimeIn")]});
    let deliveries = json!({"type": "integer", "minimum": 1, "maximum": u32::MAX});
    let subscription = json!({"type": "array", "items": topic_name(), "maxItems": 16});
    json!({
        "maxDeliveries": optional(deliveries), "retryBackoff": array(reference("Span")), "consumeFrom": start,
        "enabled": optional(flag()), "broadcast": optional(flag()), "attributes": attributes(),
        "order": {"enum": ["concurrent", "fifo", null]}, "deadLetter": optional(flag()),
        "lease": optional(reference("Span")), "subscription": subscription,
    })
}

/// Settings of which some are given; `null` brings a default back.
fn patch(mut settings: Value) -> Value {
    if let Value::Object(members) = &mut settings {
        for schema in members.values_mut() {
            *schema = optional(schema.take());
        }
    }
    let attribute = json!({"type": ["string", "null"]});
    settings["attributes"] = json!({"type": ["object", "null"], "additionalProperties": attribute});
    strict(settings, &[])
}

fn reset() -> Value {
    let members = json!({
        "topic": topic_name(), "to": {"enum": ["earliest", "latest", "timestamp"]},
        "timestamp": optional(reference("TimeIn")), "force": flag(), "dryRun": flag(),
    });
    let mut schema = strict(members, &["topic", "to"]);
    schema["oneOf"] = json!([
        {"properties": {"to": {"const": "timestamp"}, "timestamp": reference("TimeIn")}, "required": ["timestamp"]},
        {"properties": {"to": {"enum": ["earliest", "latest"]}, "timestamp": {"type": "null"}}},
    ]);
    schema
}

/// A group's name.
pub(super) fn group_name() -> Value {
    json!({"type": "string", "pattern": format!("^{NAME}{{1,240}}$")})
}
