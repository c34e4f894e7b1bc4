//! Acknowledgements, and what became of each.

use super::general::time;
use super::{Schemas, array, flag, object, optional, reference, strict, text};
use serde_json::json;

pub(super) fn all() -> Schemas {
    let span = reference("Span");
    let handle = json!({"type": "string", "format": "handle"});
    let handles = json!({"type": "array", "items": handle, "maxItems": 1000});
    let delay = optional(span.clone());
    let nack_one = strict(json!({"handle": handle, "delay": delay}), &["handle"]);
    let nack = json!({"handles": handles, "delay": delay, "deadLetter": flag(), "reason": optional(text())});
    let settle = json!({
        "ack": handles, "nack": {"type": "array", "items": nack_one, "maxItems": 1000}, "deadLetter": handles,
    });
    let result = json!({
        "action": text(), "handle": text(), "previous": text(), "ok": flag(), "leaseUntil": time(),
        "code": text(), "detail": text(),
    });
    vec![
        ("Handles", strict(json!({"handles": handles}), &["handles"])),
        ("Nack", strict(nack, &["handles"])),
        ("Extend", strict(json!({"handles": handles, "lease": span}), &["handles", "lease"])),
        ("Settle", strict(settle, &[])),
        ("Result", object(result, &["handle", "ok"])),
        ("Results", object(json!({"results": array(reference("Result"))}), &["results"])),
    ]
}
