//! Times, problems, health: what every part uses.

use super::{SPAN, Schemas, TIME, array, flag, nullable, number, object, reference, text, texts};
use crate::errors::Code;
use serde_json::{Value, json};

pub(super) fn all() -> Schemas {
    let checks = array(object(json!({"name": text(), "ok": flag(), "detail": text()}), &["name", "ok"]));
    let version = json!({
        "name": text(), "version": text(), "commit": nullable("string"), "api": text(), "features": texts(),
    });
    let whoami = json!({
        "principal": nullable("string"), "anonymous": flag(), "roles": texts(), "address": text(),
        "scheme": {"enum": ["basic", "bearer", "sigv4", "mq", "certificate", null]},
    });
    vec![
        ("Any", json!({})),
        ("Bytes", json!({"description": "Any bytes."})),
        ("Text", text()),
        ("Time", json!({"type": "string", "format": "date-time"})),
        (
            "TimeIn",
            json!({"description": "RFC 3339, or milliseconds since 1970.", "anyOf": [
                {"type": "string", "pattern": TIME, "format": "moment"},
                {"type": "integer", "minimum": 0, "maximum": u64::MAX},
            ]}),
        ),
        (
            "Span",
            json!({"description": "`30s`, `1h30m`, or seconds.", "anyOf": [
                {"type": "string", "pattern": SPAN, "format": "span"},
                {"type": "integer", "minimum": 0, "maximum": u64::MAX / 1000},
            ]}),
        ),
        ("Problem", problem()),
        (
            "ProblemCode",
            object(
                json!({"code": text(), "title": text(), "status": {"type": "integer"}, "retryable": flag()}),
                &["code", "title", "status", "retryable"],
            ),
        ),
        ("Health", object(json!({"status": text(), "checks": checks}), &["status", "checks"])),
        ("Version", object(version, &["name", "version", "api", "features"])),
        ("Whoami", object(whoami, &["principal", "anonymous", "scheme", "roles", "address"])),
    ]
}

fn problem() -> Value {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let fault = object(json!({"pointer": text(), "detail": text()}), &["pointer", "detail"]);
    let members = json!({
        "type": {"type": "string", "format": "uri-reference"}, "title": text(),
        "status": {"type": "integer", "minimum": 400, "maximum": 599}, "detail": text(), "instance": text(),
        "code": {"type": "string", "enum": codes}, "requestId": text(), "retryable": flag(),
        "errors": array(fault), "outcome": {"const": "unknown"}, "limit": number(),
        "beginOffset": number(), "endOffset": number(), "committed": {"type": ["integer", "null"]},
    });
    object(members, &["type", "title", "status", "detail", "code", "retryable"])
}

/// `reference` by another name, for fields that hold a time.
pub(super) fn time() -> Value {
    reference("Time")
}
