//! Messages, as they are sent and as they are shown.

use super::general::time;
use super::{
    Schemas, array, bits, flag, list, nullable, number, object, optional, reference, strict, text, texts,
    topic_name,
};
use serde_json::{Value, json};

pub(super) fn all() -> Schemas {
    let mut browsed = list("messages", "Message");
    for name in ["nextOffset", "beginOffset", "endOffset"] {
        browsed["properties"][name] = number();
    }
    let published = json!({
        "messageId": text(), "topic": text(), "queue": number(), "offset": number(), "storedAt": time(),
        "deliverAt": time(),
    });
    let mut result = published.clone();
    result["ok"] = flag();
    result["code"] = text();
    result["detail"] = text();
    result["replayed"] = flag();
    let results =
        json!({"results": array(reference("BatchResult")), "accepted": number(), "rejected": number()});
    let prepared = json!({
        "transactionId": text(), "messageId": text(), "topic": text(), "queue": number(), "preparedAt": time(),
        "expiresAt": time(),
    });
    let transaction = json!({
        "transactionId": text(), "messageId": text(), "topic": text(), "queue": number(), "producerGroup": text(),
        "preparedAt": time(), "expiresAt": time(), "checks": number(), "checkAt": time(), "asking": flag(),
    });
    vec![
        ("NewMessage", new_message(false)),
        ("NewMessageAnywhere", new_message(true)),
        ("Published", object(published, &["messageId", "topic", "queue", "storedAt"])),
        ("Batch", batch("NewMessage")),
        ("BatchAnywhere", batch("NewMessageAnywhere")),
        ("BatchResult", object(result, &["ok"])),
        ("BatchResults", object(results, &["results", "accepted", "rejected"])),
        ("Message", message()),
        (
            "Event",
            json!({"description": "Events `message` with a Message each, `status` with Offsets, `error` with a Problem, `bye`.", "type": "string"}),
        ),
        ("StreamLine", stream_line()),
        ("PublishedOrPrepared", json!({"anyOf": [reference("Published"), reference("Prepared")]})),
        (
            "Prepared",
            object(prepared, &["transactionId", "messageId", "topic", "queue", "preparedAt", "expiresAt"]),
        ),
        (
            "Transaction",
            object(
                transaction,
                &["transactionId", "messageId", "topic", "queue", "producerGroup", "preparedAt", "checks"],
            ),
        ),
        ("Transactions", list("items", "Transaction")),
        ("Checks", list("messages", "Message")),
        ("Found", list("messages", "Message")),
        ("Trace", trace()),
        (
            "MessageOrBody",
            json!({"anyOf": [reference("Message"), {"description": "With format=raw, the body."}]}),
        ),
        (
            "MessagesOrBody",
            json!({"anyOf": [reference("Messages"), {"description": "With format=raw, the body."}]}),
        ),
        ("Messages", browsed),
        ("DeadLetters", list("items", "Message")),
    ]
}

fn batch(message: &str) -> Value {
    let members = json!({
        "messages": {"type": "array", "items": reference(message), "minItems": 1, "maxItems": 1000},
        "atomic": flag(), "ack": {"enum": ["stored", "synced", "none", null]},
    });
    strict(members, &["messages"])
}

/// An idempotency key.
fn key_of_sender() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 255, "format": "idempotency-key"})
}

fn base64() -> Value {
    json!({"type": "string", "contentEncoding": "base64", "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$", "format": "base64"})
}

/// A message to be sent; `anywhere` when it has to say its topic.
fn new_message(anywhere: bool) -> Value {
    let name = json!({"type": "string", "pattern": "^[^\\u0000-\\u0002]+$", "format": "property-name"});
    let value = json!({"type": "string", "pattern": "^[^\\u0000-\\u0002]*$"});
    let header = json!({"anyOf": [
        {"type": "array", "prefixItems": [name, nullable("string")], "items": false, "minItems": 2},
        {"type": "object", "properties": {"name": name, "valueBase64": base64()},
            "required": ["name", "valueBase64"], "additionalProperties": false},
        {"type": "object", "properties": {"name": name, "value": nullable("string")},
            "required": ["name"], "additionalProperties": false},
    ]});
    let properties = json!({"type": "object", "propertyNames": name, "additionalProperties": value});
    let key = json!({"type": "string", "pattern": "^[^\\s\\u0000-\\u0002]+$", "format": "key"});
    let (span, word) = (optional(reference("Span")), optional(text()));
    let members = json!({
        "topic": if anywhere { topic_name() } else { optional(topic_name()) }, "body": {},
        "bodyBase64": optional(base64()), "tag": word, "keys": array(key), "shardingKey": word, "delay": span,
        "deliverAt": optional(reference("TimeIn")), "ttl": span, "properties": properties, "headers": array(header),
        "contentType": word, "correlationId": word, "replyTo": word, "queue": optional(bits(32)),
        "dedupId": optional(key_of_sender()),
    });
    let mut schema = strict(members, if anywhere { &["topic"] } else { &[] });
    schema["oneOf"] = json!([
        {"required": ["body"], "properties": {"bodyBase64": {"type": "null"}}},
        {"required": ["bodyBase64"], "properties": {"bodyBase64": {"type": "string"}}, "not": {"required": ["body"]}},
    ]);
    let given = json!({"not": {"type": "null"}});
    schema["not"] =
        json!({"required": ["delay", "deliverAt"], "properties": {"delay": given, "deliverAt": given}});
    schema
}

/// One line of a stream; an empty one is a sign of life.
fn stream_line() -> Value {
    json!({"anyOf": [
        reference("Message"),
        strict(json!({"status": reference("Offsets")}), &["status"]),
        strict(json!({"error": reference("Problem")}), &["error"]),
    ]})
}

/// What became of a message.
fn trace() -> Value {
    let steps = [
        "stored",
        "delayed",
        "recalled",
        "prepared",
        "asked",
        "committed",
        "rolledBack",
        "givenUp",
        "delivered",
        "extended",
        "acknowledged",
        "returned",
        "passedOver",
        "offsetBehind",
        "offsetBefore",
        "retried",
        "deadLettered",
    ];
    let event = json!({
        "at": time(), "event": {"enum": steps}, "topic": text(), "queue": number(), "offset": number(),
        "group": text(), "deliveries": number(), "checks": number(), "until": time(), "consumer": text(),
        "address": text(), "reason": text(),
    });
    let events = array(object(event, &["at", "event", "topic", "queue"]));
    let members = json!({
        "messageId": text(), "topic": text(), "messages": array(reference("Message")), "events": events,
        "next": nullable("string"),
    });
    object(members, &["messageId", "topic", "messages", "events"])
}

/// A message as it is shown.
fn message() -> Value {
    let header = json!({"oneOf": [
        {"type": "array", "prefixItems": [text(), nullable("string")], "minItems": 2, "maxItems": 2},
        {"type": "object", "properties": {"name": text(), "valueBase64": text()}, "required": ["name", "valueBase64"]},
        {"type": "object", "properties": {"name": text(), "value": nullable("string")}, "required": ["name", "value"]},
    ]});
    let properties = json!({"type": "object", "additionalProperties": text()});
    let members = json!({
        "eventId": text(), "messageId": text(), "topic": text(), "queue": number(), "offset": number(), "tag": text(),
        "keys": texts(), "shardingKey": text(), "properties": properties, "headers": array(header),
        "contentType": text(), "correlationId": text(), "replyTo": text(), "keyBase64": text(), "body": {},
        "bodyBase64": text(), "bodyCodec": text(), "type": text(), "bornAt": time(), "storedAt": time(),
        "publishedAt": time(), "deliverAt": time(), "expiresAt": time(), "protocol": text(), "producer": text(),
        "deliveries": number(), "handle": text(), "leaseUntil": time(), "reason": text(),
        "originalMessageId": text(), "transactionId": text(), "checks": number(),
    });
    object(members, &["messageId", "topic", "queue", "offset", "properties", "bornAt", "storedAt"])
}
