//! The route table as an OpenAPI 3.1 document.
//!
//! Operations come from the table; the schemas are written here, beside nothing they could be generated from: the wire
//! structs live with their handlers. A test holds the two together: every schema named is defined, and the other way.

use crate::errors::Code;
use crate::routes::{Kind, Media, Route, by_path};
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
        "info": {"title": "Sluice", "version": env!("CARGO_PKG_VERSION"), "description": "Messaging with curl."},
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
            "schemas": schemas(),
        },
    })
}

/// A scheme of the header `Authorization` for which OpenAPI has no word.
fn signed(description: &str) -> Value {
    json!({"type": "apiKey", "in": "header", "name": "Authorization", "description": description})
}

fn operation(route: &Route) -> Value {
    let mut operation = Map::new();
    operation.insert("summary".into(), route.summary.into());
    operation.insert("operationId".into(), operation_id(route).into());
    if route.public {
        operation.insert("security".into(), json!([]));
    }
    let parameters: Vec<Value> = path_parameters(route.path).chain(query_parameters(route)).collect();
    if !parameters.is_empty() {
        operation.insert("parameters".into(), parameters.into());
    }
    if !route.body.is_empty() {
        let content: Map<String, Value> = route.body.iter().map(media).collect();
        operation.insert("requestBody".into(), json!({ "content": content }));
    }
    operation.insert("responses".into(), responses(route));
    operation.into()
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

fn path_parameters(path: &str) -> impl Iterator<Item = Value> + '_ {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
}

fn query_parameters(route: &Route) -> impl Iterator<Item = Value> + '_ {
    route.query.iter().map(|param| {
        let (name, schema) = match param.name.strip_suffix('.') {
            // A family of parameters is an object whose members are spread over the query.
            Some(family) => {
                let schema = json!({"type": "object", "additionalProperties": {"type": "string"}});
                return json!({
                    "name": family, "in": "query", "description": param.about, "style": "deepObject",
                    "x-form": format!("{}{{name}}", param.name), "schema": schema,
                });
            }
            None => (param.name, kind(param.kind)),
        };
        json!({"name": name, "in": "query", "description": param.about, "schema": schema})
    })
}

fn kind(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Number => json!({"type": "integer", "minimum": 0}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Span => json!({"type": "string", "examples": ["30s", "1h30m"]}),
        Kind::Time => json!({"type": "string", "examples": ["2026-01-06T08:00:00Z", "1767686400000"]}),
        Kind::OneOf(words) => json!({"type": "string", "enum": words}),
    }
}

fn media((media, schema): &Media) -> (String, Value) {
    ((*media).to_owned(), json!({"schema": reference(schema)}))
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
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
    responses.insert(
        "default".into(),
        json!({"description": "A problem.", "content": {"application/problem+json": {"schema": reference("Problem")}}}),
    );
    responses.into()
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

fn list(name: &str, schema: &str) -> Value {
    let items = json!({"type": "array", "items": reference(schema)});
    object(json!({name: items, "next": {"type": ["string", "null"]}}), &[name])
}

fn schemas() -> Value {
    let mut all = Map::new();
    for (name, schema) in
        [general(), messages(), settling(), administration(), access()].into_iter().flatten()
    {
        all.insert(name.to_owned(), schema);
    }
    all.into()
}

type Schemas = Vec<(&'static str, Value)>;

fn general() -> Schemas {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let text = json!({"type": "string"});
    let error = object(json!({"pointer": text, "detail": text}), &["pointer", "detail"]);
    let check = object(json!({"name": text, "ok": {"type": "boolean"}, "detail": text}), &["name", "ok"]);
    vec![
        ("Any", json!({})),
        ("Bytes", json!({"type": "string", "contentMediaType": "application/octet-stream"})),
        ("Text", text.clone()),
        ("Time", json!({"type": "string", "format": "date-time"})),
        (
            "TimeIn",
            json!({"type": ["string", "integer"], "description": "RFC 3339 or milliseconds since 1970."}),
        ),
        ("Span", json!({"type": ["string", "integer"], "description": "`30s`, `1h30m`, or seconds."})),
        (
            "Problem",
            object(
                json!({
                    "type": text, "title": text, "status": {"type": "integer"}, "detail": text, "instance": text,
                    "code": {"type": "string", "enum": codes}, "requestId": text, "retryable": {"type": "boolean"},
                    "errors": {"type": "array", "items": error}, "outcome": {"const": "unknown"},
                }),
                &["type", "title", "status", "detail", "code", "retryable"],
            ),
        ),
        (
            "ProblemCode",
            object(
                json!({"code": text, "title": text, "status": {"type": "integer"}, "retryable": {"type": "boolean"}}),
                &["code", "title", "status", "retryable"],
            ),
        ),
        (
            "Health",
            object(
                json!({"status": text, "checks": {"type": "array", "items": check}}),
                &["status", "checks"],
            ),
        ),
        (
            "Version",
            object(
                json!({
                    "name": text, "version": text, "commit": {"type": ["string", "null"]}, "api": text,
                    "features": {"type": "array", "items": text},
                }),
                &["name", "version", "api"],
            ),
        ),
        (
            "Whoami",
            object(
                json!({"principal": {"type": ["string", "null"]}, "anonymous": {"type": "boolean"}, "address": text}),
                &["principal", "anonymous", "address"],
            ),
        ),
    ]
}

fn messages() -> Schemas {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": text});
    let properties = json!({"type": "object", "additionalProperties": text});
    let header = json!({"oneOf": [
        {"type": "array", "prefixItems": [text, {"type": ["string", "null"]}], "minItems": 2, "maxItems": 2},
        {"type": "object", "properties": {"name": text, "valueBase64": text}, "required": ["name", "valueBase64"]},
        {"type": "object", "properties": {"name": text, "value": {"type": ["string", "null"]}}, "required": ["name", "value"]},
    ]});
    let headers = json!({"type": "array", "items": header});
    let number = json!({"type": "integer", "minimum": 0});
    let (time, time_in, span) = (reference("Time"), reference("TimeIn"), reference("Span"));
    let new_message = json!({
        "topic": text, "body": {}, "bodyBase64": text, "tag": text, "keys": texts, "shardingKey": text,
        "delay": span, "deliverAt": time_in, "ttl": span, "properties": properties, "headers": headers,
        "contentType": text, "correlationId": text, "replyTo": text, "queue": number,
    });
    let published = json!({
        "messageId": text, "topic": text, "queue": number, "offset": number, "storedAt": time, "deliverAt": time,
    });
    let mut result = published.clone();
    result["ok"] = json!({"type": "boolean"});
    result["code"] = text.clone();
    result["detail"] = text.clone();
    let message = json!({
        "eventId": text, "messageId": text, "topic": text, "queue": number, "offset": number, "tag": text,
        "keys": texts, "shardingKey": text, "properties": properties, "headers": headers, "contentType": text,
        "correlationId": text, "replyTo": text, "keyBase64": text, "body": {}, "bodyBase64": text, "bodyCodec": text,
        "type": text, "bornAt": time, "storedAt": time, "publishedAt": time, "deliverAt": time, "expiresAt": time,
        "protocol": text, "producer": text, "deliveries": number, "handle": text, "leaseUntil": time,
        "reason": text, "originalMessageId": text, "transactionId": text, "checks": number,
    });
    let mut browsed = list("messages", "Message");
    for name in ["nextOffset", "beginOffset", "endOffset"] {
        browsed["properties"][name] = number.clone();
    }
    let flag = json!({"type": "boolean"});
    vec![
        ("NewMessage", strict(new_message, &[])),
        ("Published", object(published, &["messageId", "topic", "queue", "storedAt"])),
        (
            "Batch",
            strict(
                json!({"messages": {"type": "array", "items": reference("NewMessage")}, "atomic": flag, "ack": text}),
                &["messages"],
            ),
        ),
        ("BatchResult", object(result, &["ok"])),
        (
            "BatchResults",
            object(
                json!({
                    "results": {"type": "array", "items": reference("BatchResult")},
                    "accepted": number, "rejected": number,
                }),
                &["results", "accepted", "rejected"],
            ),
        ),
        (
            "Message",
            object(message, &["messageId", "topic", "queue", "offset", "properties", "bornAt", "storedAt"]),
        ),
        ("PublishedOrPrepared", json!({"anyOf": [reference("Published"), reference("Prepared")]})),
        (
            "Prepared",
            object(
                json!({
                    "transactionId": text, "messageId": text, "topic": text, "queue": number, "preparedAt": time,
                    "expiresAt": time,
                }),
                &["transactionId", "messageId", "topic", "queue", "preparedAt", "expiresAt"],
            ),
        ),
        (
            "Transaction",
            object(
                json!({
                    "transactionId": text, "messageId": text, "topic": text, "queue": number, "producerGroup": text,
                    "preparedAt": time, "expiresAt": time, "checks": number, "checkAt": time, "asking": flag,
                }),
                &["transactionId", "messageId", "topic", "queue", "producerGroup", "preparedAt", "checks"],
            ),
        ),
        ("Transactions", list("items", "Transaction")),
        ("Checks", list("messages", "Message")),
        ("Messages", browsed),
        ("DeadLetters", list("items", "Message")),
    ]
}

fn settling() -> Schemas {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": text});
    let flag = json!({"type": "boolean"});
    let span = reference("Span");
    let nack_one = strict(json!({"handle": text, "delay": span}), &["handle"]);
    let result = object(
        json!({
            "action": text, "handle": text, "previous": text, "ok": flag, "leaseUntil": reference("Time"),
            "code": text, "detail": text,
        }),
        &["handle", "ok"],
    );
    vec![
        ("Handles", strict(json!({"handles": texts}), &["handles"])),
        (
            "Nack",
            strict(
                json!({"handles": texts, "delay": span, "deadLetter": flag, "reason": text}),
                &["handles"],
            ),
        ),
        ("Extend", strict(json!({"handles": texts, "lease": span}), &["handles", "lease"])),
        (
            "Settle",
            strict(
                json!({"ack": texts, "nack": {"type": "array", "items": nack_one}, "deadLetter": texts}),
                &[],
            ),
        ),
        ("Result", result),
        (
            "Results",
            object(json!({"results": {"type": "array", "items": reference("Result")}}), &["results"]),
        ),
    ]
}

fn administration() -> Schemas {
    let text = json!({"type": "string"});
    let flag = json!({"type": "boolean"});
    let number = json!({"type": "integer", "minimum": 0});
    let attributes = json!({"type": "object", "additionalProperties": text});
    let time = reference("Time");
    let queue = object(json!({"queue": number, "begin": number, "end": number}), &["queue", "begin", "end"]);
    let topic_settings = json!({
        "queues": number, "type": {"enum": ["NORMAL", "FIFO", "DELAY", "TRANSACTION"]},
        "durability": {"enum": ["async", "sync"]}, "permissions": {"enum": ["rw", "r", "w", ""]},
        "attributes": attributes,
    });
    let mut topic = topic_settings.clone();
    topic["name"] = text.clone();
    topic["messages"] = number.clone();
    topic["offsets"] = json!({"type": "array", "items": queue});
    topic["createdAt"] = time.clone();
    let group_settings = json!({
        "maxDeliveries": number, "retryBackoff": {"type": "array", "items": reference("Span")},
        "consumeFrom": reference("TimeIn"), "enabled": flag, "broadcast": flag, "attributes": attributes,
        "order": {"enum": ["concurrent", "fifo"]}, "deadLetter": {"const": true},
    });
    let mut group = group_settings.clone();
    group["name"] = text.clone();
    group["members"] = number.clone();
    group["topics"] = json!({"type": "array", "items": text});
    group["createdAt"] = time.clone();
    let subscription = object(json!({"topic": text, "filter": text}), &["topic", "filter"]);
    let member = json!({
        "clientId": text, "address": text, "fetching": {"enum": ["pull", "push", "lease"]}, "agent": text,
        "subscriptions": {"type": "array", "items": subscription}, "lastSeenAt": time,
    });
    let progress = json!({
        "topic": text, "queue": number, "committed": number, "begin": number, "end": number, "lag": number,
        "inFlight": number,
    });
    let place = json!({"topic": text, "queue": number, "offset": number});
    let mut offsets = list("items", "Offset");
    offsets["properties"]["totalLag"] = number.clone();
    vec![
        ("TopicSettings", strict(topic_settings, &[])),
        ("Topic", object(topic, &["name", "queues", "messages", "offsets", "createdAt"])),
        ("Topics", list("items", "Topic")),
        ("GroupSettings", strict(group_settings, &[])),
        ("Group", object(group, &["name", "members", "topics", "createdAt"])),
        ("Groups", list("items", "Group")),
        ("Member", object(member, &["clientId", "address"])),
        ("Members", list("items", "Member")),
        ("Offset", object(progress, &["topic", "queue", "committed", "begin", "end", "lag"])),
        ("Offsets", offsets),
        ("Place", strict(place, &["topic", "queue", "offset"])),
        (
            "SetOffsets",
            strict(
                json!({"offsets": {"type": "array", "items": reference("Place")}, "force": flag, "dryRun": flag}),
                &["offsets"],
            ),
        ),
        (
            "ResetOffsets",
            strict(
                json!({
                    "topic": text, "to": {"enum": ["earliest", "latest", "timestamp"]},
                    "timestamp": reference("TimeIn"), "force": flag, "dryRun": flag,
                }),
                &["topic", "to"],
            ),
        ),
        ("TopicOffset", object(json!({"queue": number, "offset": number}), &["queue", "offset"])),
        ("TopicOffsets", list("items", "TopicOffset")),
    ]
}

fn access() -> Schemas {
    let text = json!({"type": "string"});
    let texts = json!({"type": "array", "items": text});
    let flag = json!({"type": "boolean"});
    let number = json!({"type": "integer", "minimum": 0});
    let time = reference("Time");
    let token =
        json!({"id": text, "label": text, "createdAt": time, "expiresAt": {"type": ["string", "null"]}});
    let settings = json!({
        "superuser": flag, "enabled": flag, "password": text, "passwordHash": text, "secret": text,
        "accessKeys": {"type": "array", "items": reference("AccessKey")}, "roles": texts,
        "quota": reference("Quota"),
    });
    let user = json!({
        "name": text, "superuser": flag, "enabled": flag, "hasPassword": flag, "accessKeys": texts,
        "hasPreviousSecret": flag, "tokens": {"type": "array", "items": reference("ApiToken")}, "roles": texts,
        "quota": reference("Quota"), "fromFile": flag,
    });
    let quota = json!({
        "bytesPerSecond": {"type": ["string", "integer"]}, "messagesPerSecond": number,
        "connections": number, "inFlight": number,
    });
    let group_quota = json!({"group": text, "quota": reference("Quota"), "fromFile": flag});
    let new_token = json!({"label": text, "expiresIn": reference("Span"), "expiresAt": reference("TimeIn")});
    let made_token =
        json!({"id": text, "label": text, "expiresAt": {"type": ["string", "null"]}, "token": text});
    let kinds = ["login", "login_failed", "denied", "changed"];
    let event = json!({
        "number": number, "at": time, "count": number, "kind": {"enum": kinds}, "user": text,
        "from": {"type": ["string", "null"]}, "detail": text,
    });
    let role = json!({"name": text, "quota": reference("Quota"), "fromFile": flag});
    let names = ["Pub", "Sub", "Create", "Update", "Delete", "Get", "List"];
    let actions: Vec<&str> = names.into_iter().chain(["All"]).collect();
    let decision = json!({"enum": ["allow", "deny"]});
    let policy = json!({
        "subject": text, "resource": text, "actions": {"type": "array", "items": {"enum": actions}},
        "decision": decision, "sourceIps": texts,
    });
    let question = json!({"user": text, "action": {"enum": names}, "resource": text, "source": text});
    let parts = ["decided", "outvoted", "otherAction", "otherResource", "otherSource"];
    let note = json!({"rule": reference("Policy"), "part": {"enum": parts}});
    let notes = json!({"type": "array", "items": reference("RuleNote")});
    let explanation = json!({"decision": decision, "reason": text, "question": text, "rules": notes});
    vec![
        ("AccessKey", strict(json!({"key": text, "secret": text}), &["key", "secret"])),
        ("ApiToken", object(token, &["id", "label", "createdAt"])),
        ("ApiTokens", list("items", "ApiToken")),
        ("NewApiToken", strict(new_token, &["label"])),
        ("MadeApiToken", object(made_token, &["id", "label", "token"])),
        ("Rotation", strict(json!({"secret": text}), &[])),
        ("Rotated", object(json!({"name": text, "secret": text}), &["name"])),
        ("GroupQuota", object(group_quota, &["group", "quota"])),
        ("GroupQuotas", list("items", "GroupQuota")),
        ("AuditEvent", object(event, &["number", "at", "count", "kind", "user", "detail"])),
        ("AuditEvents", list("items", "AuditEvent")),
        ("UserSettings", strict(settings, &[])),
        ("User", object(user, &["name"])),
        ("Users", list("items", "User")),
        ("Quota", strict(quota, &[])),
        ("RoleSettings", strict(json!({"quota": reference("Quota")}), &[])),
        ("Role", object(role, &["name"])),
        ("Roles", list("items", "Role")),
        ("Policy", strict(policy, &["subject", "resource", "actions"])),
        ("Policies", list("items", "Policy")),
        ("RemovedPolicies", object(json!({"removed": number, "kept": number}), &["removed", "kept"])),
        ("AccessQuestion", strict(question, &["user", "action", "resource"])),
        ("RuleNote", object(note, &["rule", "part"])),
        ("Explanation", object(explanation, &["decision", "reason", "question", "rules"])),
    ]
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
                    found.insert(target.rsplit('/').next().unwrap().to_owned());
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
}
