//! Parameters of paths and queries, each with what its text may be.
//!
//! A pattern says what the reader of a text takes, no more and no less. Where a pattern cannot (an SQL expression, the
//! place a page gave out), a `format` of ours names what it is.

use super::schemas::{NAME, SPAN, TIME};
use crate::routes::{Kind, Param, Route};
use http::Method;
use serde_json::{Value, json};

/// The variable parts of a path.
pub(super) fn of_path(route: &Route) -> impl Iterator<Item = Value> + '_ {
    // A topic that is told to do something has the verb behind its name.
    let is_verb = route.method == Method::POST && route.path.ends_with("/{topic}");
    let names = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(move |name| json!({"name": name, "in": "path", "required": true, "schema": segment(if is_verb { "truncate" } else { name })}))
}

fn segment(name: &str) -> Value {
    match name {
        "topic" => json!({"type": "string", "pattern": format!("^{NAME}{{1,127}}$")}),
        "group" => json!({"type": "string", "pattern": format!("^{NAME}{{1,240}}$")}),
        "truncate" => json!({"type": "string", "pattern": format!("^{NAME}{{1,127}}:truncate$")}),
        "queue" => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
        "connection" => json!({"type": "string", "pattern": "^[0-9]{1,20}$"}),
        "namespace" => json!({"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"}),
        // A user's or role's name; no `/`, which would end the segment.
        "user" | "role" => {
            json!({"type": "string", "pattern": r"^[^\s:/\u0000-\u001f\u007f-\u009f]{1,128}$"})
        }
        // What a sender may call a message of its own; every id that the broker gives is such a text too.
        "message" => json!({"type": "string", "pattern": "^[!-.0-~]{1,255}$"}),
        _ => json!({"type": "string", "minLength": 1}),
    }
}

/// The parameters of a query.
pub(super) fn of_query(route: &Route) -> impl Iterator<Item = Value> + '_ {
    route.parameters().map(|param| match param.name.strip_suffix('.') {
        Some(family) => family_of(family, param),
        None => {
            let mut value = json!({
                "name": param.name, "in": "query", "description": param.about, "schema": kind(param.kind),
            });
            if param.required {
                value["required"] = true.into();
            }
            if matches!(param.kind, Kind::Flag) {
                value["allowEmptyValue"] = true.into();
            }
            value
        }
    })
}

/// `*`, or a list.
const ENTITY_TAGS: &str = r#"^(\*|(W/)?"[!#-+\--~]*"( *, *(W/)?"[!#-+\--~]*")*)$"#;

/// A key as it is, or as a structured field string.
const KEY: &str = r#"^[\t ]*([!#-~]([\t -~]{0,253}[!-~])?|"([\t !#-\[\]-~]|\\["\\]){1,255}")[\t ]*$"#;

/// The headers that mean something to a call, besides those of its body.
pub(super) fn of_headers(route: &Route) -> impl Iterator<Item = Value> + use<> {
    let key = route.takes_key() && !route.path.ends_with('}');
    let key = key.then(|| {
        json!({
            "name": "Idempotency-Key", "in": "header", "description": "The same key stores the same only once.",
            "schema": {"type": "string", "pattern": KEY, "format": "idempotency-key"},
        })
    });
    let tagged = crate::etag::is_tagged(route);
    let condition = |name: &str, about: &str| {
        json!({
            "name": name, "in": "header", "description": about,
            "schema": {"type": "string", "pattern": ENTITY_TAGS, "format": "entity-tags"},
        })
    };
    let if_match = (tagged && route.method != Method::GET)
        .then(|| condition("If-Match", "Only if it still is as this `ETag` says."));
    let if_none_match = tagged.then(|| {
        condition("If-None-Match", "Only if it is not as this `ETag` says, or, with `*`, is not there.")
    });
    key.into_iter().chain(if_match).chain(if_none_match)
}

/// Every name that begins so: an object whose members become parameters of their own.
fn family_of(family: &str, param: &Param) -> Value {
    let schema = json!({
        "type": "object",
        "patternProperties": {format!("^{family}\\..+$"): {"type": "string"}},
        "additionalProperties": false,
    });
    json!({
        "name": family, "in": "query", "description": param.about, "style": "form", "explode": true,
        "schema": schema,
    })
}

fn kind(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Word => json!({"type": "string", "minLength": 1}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Name => json!({"type": "string", "pattern": format!("^{NAME}{{1,127}}$")}),
        Kind::Names(most) => {
            let name = json!({"type": "string", "pattern": format!("^{NAME}{{1,127}}$")});
            json!({"type": "array", "items": name, "minItems": 1, "maxItems": most})
        }
        Kind::Number => json!({"type": "integer", "minimum": 0}),
        Kind::Range(from, to) => json!({"type": "integer", "minimum": from, "maximum": to}),
        Kind::Flag => json!({"type": "string", "enum": ["true", "false", "1", "0", ""]}),
        Kind::Span => {
            json!({"type": "string", "pattern": SPAN, "format": "span", "examples": ["2s"]})
        }
        Kind::Time => json!({
            "type": "string", "pattern": TIME, "format": "moment",
            "examples": ["2026-01-06T08:00:00Z", "1767686400000"],
        }),
        Kind::Start => json!({
            "type": "string", "pattern": format!("^(earliest|latest|{})$", &TIME[1..TIME.len() - 1]),
            "format": "start", "examples": ["earliest", "2026-01-06T08:00:00Z"],
        }),
        Kind::Format("namespace") => json!({"type": "string", "pattern": "^[a-zA-Z0-9_-]{0,64}$"}),
        Kind::Format(format) => json!({"type": "string", "format": format}),
        Kind::OneOf(words) => json!({"type": "string", "enum": words}),
    }
}
