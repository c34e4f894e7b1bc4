//! Users, roles, quotas, policies, the audit trail.

use super::general::time;
use super::{Schemas, array, flag, list, nullable, number, object, reference, strict, text, texts};
use serde_json::{Value, json};

const ACTIONS: [&str; 7] = ["Pub", "Sub", "Create", "Update", "Delete", "Get", "List"];

pub(super) fn all() -> Schemas {
    let token = json!({"id": text(), "label": text(), "createdAt": time(), "expiresAt": nullable("string")});
    let user = json!({
        "name": text(), "superuser": flag(), "enabled": flag(), "hasPassword": flag(), "accessKeys": texts(),
        "hasPreviousSecret": flag(), "tokens": array(reference("ApiToken")), "roles": texts(),
        "quota": reference("Quota"), "fromFile": flag(),
    });
    let group_quota = json!({"group": text(), "quota": reference("Quota"), "fromFile": flag()});
    let made_token = json!({"id": text(), "label": text(), "expiresAt": nullable("string"), "token": text()});
    let kinds = ["login", "login_failed", "denied", "changed"];
    let event = json!({
        "number": number(), "at": time(), "count": number(), "kind": {"enum": kinds}, "user": text(),
        "from": nullable("string"), "detail": text(),
    });
    let role = json!({"name": text(), "quota": reference("Quota"), "fromFile": flag()});
    let parts = ["decided", "outvoted", "otherAction", "otherResource", "otherSource"];
    let note = json!({"rule": reference("Policy"), "part": {"enum": parts}});
    let explanation = json!({
        "decision": decision(), "reason": text(), "question": text(), "rules": array(reference("RuleNote")),
    });
    let key = json!({"key": {"type": "string", "format": "access-key"}, "secret": secret()});
    vec![
        ("AccessKey", strict(key, &["key", "secret"])),
        ("ApiToken", object(token, &["id", "label", "createdAt"])),
        ("ApiTokens", list("items", "ApiToken")),
        ("NewApiToken", new_token()),
        ("MadeApiToken", object(made_token, &["id", "label", "token"])),
        ("Rotation", strict(json!({"secret": secret()}), &[])),
        ("Rotated", object(json!({"name": text(), "secret": text()}), &["name"])),
        ("GroupQuota", object(group_quota, &["group", "quota"])),
        ("GroupQuotas", list("items", "GroupQuota")),
        ("AuditEvent", object(event, &["number", "at", "count", "kind", "user", "detail"])),
        ("AuditEvents", list("items", "AuditEvent")),
        ("UserSettings", user_settings()),
        ("User", object(user, &["name"])),
        ("Users", list("items", "User")),
        ("Quota", quota()),
        ("GroupQuotaSettings", quota()),
        ("RoleSettings", strict(json!({"quota": reference("Quota")}), &[])),
        ("Role", object(role, &["name"])),
        ("Roles", list("items", "Role")),
        ("Policy", policy()),
        ("Policies", list("items", "Policy")),
        ("RemovedPolicies", object(json!({"removed": number(), "kept": number()}), &["removed", "kept"])),
        ("AccessQuestion", question()),
        ("RuleNote", object(note, &["rule", "part"])),
        ("Explanation", object(explanation, &["decision", "reason", "question", "rules"])),
    ]
}

fn decision() -> Value {
    json!({"enum": ["allow", "deny"]})
}

fn secret() -> Value {
    json!({"type": "string", "format": "secret"})
}

/// A limit of 0 would stop everything, so it is refused.
fn limit(bits: u32) -> Value {
    let mut limit = super::bits(bits);
    limit["minimum"] = 1.into();
    limit
}

fn quota() -> Value {
    let size = json!({"anyOf": [
        {"type": "string", "pattern": "^[1-9][0-9]{0,19}(B|KiB|MiB|GiB)?$", "format": "size"}, limit(64),
    ]});
    let members = json!({
        "bytesPerSecond": size, "messagesPerSecond": limit(64), "connections": limit(32), "inFlight": limit(32),
    });
    strict(members, &[])
}

pub(super) fn user_settings() -> Value {
    let hash = json!({"type": "string", "format": "password-hash"});
    let role = json!({"type": "string", "format": "role"});
    let members = json!({
        "superuser": flag(), "enabled": flag(), "password": secret(), "passwordHash": hash, "secret": secret(),
        "accessKeys": {"type": "array", "items": reference("AccessKey"), "maxItems": 16},
        "roles": {"type": "array", "items": role}, "quota": reference("Quota"),
    });
    let mut schema = strict(members, &[]);
    schema["not"] = json!({"required": ["password", "passwordHash"]});
    schema
}

fn new_token() -> Value {
    let label = json!({"type": "string", "minLength": 1, "maxLength": 128, "format": "label"});
    let members = json!({
        "label": label, "expiresIn": reference("Span"), "expiresAt": reference("TimeIn"),
    });
    let mut schema = strict(members, &["label"]);
    schema["not"] = json!({"required": ["expiresIn", "expiresAt"]});
    schema
}

fn policy() -> Value {
    let actions: Vec<&str> = ACTIONS.into_iter().chain(["All"]).collect();
    let members = json!({
        "subject": {"type": "string", "format": "subject"},
        "resource": {"type": "string", "format": "resource"},
        "actions": {"type": "array", "items": {"enum": actions}, "minItems": 1},
        "decision": decision(),
        "sourceIps": array(json!({"type": "string", "format": "source-net"})),
    });
    strict(members, &["subject", "resource", "actions"])
}

fn question() -> Value {
    let resource = json!({"type": "string", "pattern": "^(Cluster|(Topic|Group):[%|a-zA-Z0-9_-]{1,127})$"});
    let members = json!({
        "user": text(), "action": {"enum": ACTIONS}, "resource": resource,
        "source": {"anyOf": [
            {"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}, {"type": "null"},
        ]},
    });
    strict(members, &["user", "action", "resource"])
}
