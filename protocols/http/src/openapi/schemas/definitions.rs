//! The document of definitions, the report of its import, and the broker as a whole.

use super::administration::{group_name, group_settings, topic_settings};
use super::general::time;
use super::{Schemas, array, flag, list, nullable, number, object, reference, strict, text, topic_name};
use serde_json::{Value, json};

pub(super) fn all() -> Schemas {
    let line = json!({
        "kind": {"enum": ["topic", "group", "role", "user", "policy", "quota"]}, "name": text(),
        "action": {"enum": ["created", "updated", "unchanged", "refused"]}, "code": text(), "detail": text(),
    });
    let report = json!({
        "dryRun": flag(), "created": number(), "updated": number(), "unchanged": number(), "refused": number(),
        "results": array(reference("ImportLine")),
    });
    let cluster = json!({"nodes": number(), "ready": flag(), "acceptsMessages": flag()});
    let node = json!({
        "name": text(), "version": text(), "commit": nullable("string"), "startedAt": time(), "ready": flag(),
        "draining": flag(), "acceptsMessages": flag(),
    });
    let connection = json!({
        "id": text(), "peer": text(), "listener": text(), "protocol": nullable("string"),
        "tls": nullable("boolean"), "since": time(), "user": nullable("string"),
    });
    let lost = json!({
        "topic": nullable("string"), "queue": nullable("integer"), "of": text(), "from": number(), "to": number(),
    });
    let damage = json!({
        "file": text(), "position": number(), "logPosition": nullable("integer"), "what": text(),
        "lost": array(reference("Lost")),
    });
    let always = ["id", "peer", "listener", "protocol", "tls", "since", "user"];
    vec![
        ("Definitions", definitions()),
        ("ImportLine", object(line, &["kind", "name", "action"])),
        (
            "ImportReport",
            object(report, &["dryRun", "created", "updated", "unchanged", "refused", "results"]),
        ),
        ("Cluster", object(cluster, &["nodes", "ready", "acceptsMessages"])),
        ("Node", object(node, &["name", "version", "startedAt", "ready", "draining", "acceptsMessages"])),
        ("Nodes", list("items", "Node")),
        ("Connection", object(connection, &always)),
        ("Connections", list("items", "Connection")),
        ("Lost", object(lost, &["topic", "queue", "of", "from", "to"])),
        ("Damage", object(damage, &["file", "position", "logPosition", "what", "lost"])),
        ("Damages", list("items", "Damage")),
    ]
}

/// What GET answers and PUT takes.
fn definitions() -> Value {
    let named = |mut settings: Value, name: Value| {
        settings["name"] = name;
        strict(settings, &["name"])
    };
    let user = super::access::user_settings();
    let user_name = json!({"type": "string", "format": "user-name"});
    let mut user = named(user["properties"].clone(), user_name.clone());
    user["not"] = json!({"required": ["password", "passwordHash"]});
    let quota =
        strict(json!({"group": group_name(), "quota": reference("GroupQuotaSettings")}), &["group", "quota"]);
    let members = json!({
        "version": {"enum": [1, null]},
        "topics": array(named(topic_settings(), topic_name())),
        "groups": array(named(group_settings(), group_name())),
        "roles": array(named(json!({"quota": reference("Quota")}), user_name)),
        "users": array(user), "policies": array(reference("Policy")), "quotas": array(quota),
    });
    strict(members, &[])
}
