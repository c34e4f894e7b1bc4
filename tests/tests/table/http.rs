//! Every field of a message over HTTP in each of its spellings: header, query, JSON.

use super::case::{Case, Said, Time, UNICODE, Unsayable, bodies, mark};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sluice_tests::now;
use sluice_tests::wires::Request;
use std::process::Command;

const TEN_MINUTES: Time = Time::After(600_000);
/// Nothing, as gzip packs it.
const GZIP: [u8; 20] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

pub const UNSAYABLE: Unsayable = &[
    ("null body, raw", "a raw body has bytes, if only none; JSON says null"),
    ("upper case in X-MQ-Prop-", "names of HTTP headers have no case; query and JSON keep it"),
    ("null or binary X-MQ-Prop-", "JSON's headers say them"),
    ("blank in a key", "keys are separated by it (422 invalid-key)"),
];

fn raw(name: &str, headers: &[&str], query: &str, said: Said) -> Case<Request> {
    let body = mark(&format!("http {name}")).into_bytes();
    raw_body(name, headers, query, body, said)
}

fn raw_body(name: &str, headers: &[&str], query: &str, body: Vec<u8>, mut said: Said) -> Case<Request> {
    said.body = Some(body.clone());
    let headers = headers.iter().map(|header| (*header).to_owned()).collect();
    Case {
        name: name.to_owned(),
        message: Request::Raw { headers, query: query.to_owned(), body },
        said,
        less: None,
    }
}

/// JSON with a body that tells it from the others.
fn json_case(name: &str, mut message: Value, mut said: Said) -> Case<Request> {
    let body = mark(&format!("http {name}"));
    message["body"] = json!(body);
    said.body = Some(body.into_bytes());
    Case { name: name.to_owned(), message: Request::Json(message), said, less: None }
}

/// JSON with a key that tells it from the others.
fn json_body(name: &str, mut message: Value, body: Option<&[u8]>, said: Said) -> Case<Request> {
    let key = mark(&format!("http {name}"));
    message["keys"] = json!([key]);
    let said = Said { body: body.map(<[u8]>::to_vec), ..said.keys(&[&key]) };
    Case { name: name.to_owned(), message: Request::Json(message), said, less: None }
}

pub fn cases() -> Vec<Case<Request>> {
    [in_headers(), in_the_query(), in_json(), json_bodies(), json_headers(), contested()].concat()
}

fn in_headers() -> Vec<Case<Request>> {
    let said = Said::default;
    let key = mark("http keepEncoding");
    vec![
        raw("nothing", &[], "", said()).less("the form type is curl's own word and is not stored"),
        raw("no Content-Type", &["Content-Type:"], "", said()),
        raw(
            "Content-Type",
            &["Content-Type: application/pdf"],
            "",
            said().with("content-type", "application/pdf"),
        ),
        raw("X-MQ-Tag", &["X-MQ-Tag: red"], "", said().tag("red")),
        raw("X-MQ-Key", &["X-MQ-Key: a", "X-MQ-Key: b, 客户"], "", said().keys(&["a", "b", "客户"])),
        raw("X-MQ-Group", &["X-MQ-Group: customer 7"], "", said().group("customer 7")),
        raw("X-MQ-Sharding-Key", &["X-MQ-Sharding-Key: UTF-8''%E5%AE%A2"], "", said().group("客")),
        raw("X-MQ-TTL", &["X-MQ-TTL: 10m"], "", said().expires(TEN_MINUTES)),
        raw("X-MQ-Correlation-Id", &["X-MQ-Correlation-Id: c-1"], "", said().with("correlation-id", "c-1")),
        raw("X-MQ-Reply-To", &["X-MQ-Reply-To: /queue/a"], "", said().with("reply-to", "/queue/a")),
        raw("X-MQ-Prop-", &["X-MQ-Prop-Tenant: a: b\\c"], "", said().with("tenant", "a: b\\c"))
            .less("names of headers come in small letters"),
        raw("X-MQ-Prop- in UTF-8", &[&format!("X-MQ-Prop-a: {UNICODE}")], "", said().with("a", UNICODE)),
        raw("X-MQ-Prop- extended", &["X-MQ-Prop-a: UTF-8''%0D%0A%C3%BC%20"], "", said().with("a", "\r\nü ")),
        raw(
            "X-MQ-Prop- repeated",
            &["X-MQ-Prop-twice: first", "X-MQ-Prop-twice: second"],
            "",
            said().with_all(&[("twice", "first"), ("twice", "second")]),
        ),
        raw(
            "X-MQ-Prop- empty",
            &["X-MQ-Prop-e;", "X-MQ-Prop-f: 1"],
            "",
            said().with_all(&[("e", ""), ("f", "1")]),
        ),
        raw_body(
            "keepEncoding",
            &["Content-Encoding: gzip", &format!("X-MQ-Key: {key}")],
            "keepEncoding=true",
            GZIP.to_vec(),
            said().keys(&[&key]).with("content-encoding", "gzip"),
        ),
    ]
}

fn in_the_query() -> Vec<Case<Request>> {
    let said = Said::default;
    vec![
        raw("?tag", &[], "tag=red", said().tag("red")),
        raw("?key", &[], "key=a&key=b,%E5%AE%A2", said().keys(&["a", "b", "客"])),
        raw("?shardingKey", &[], "shardingKey=customer+7", said().group("customer 7")),
        raw("?ttl", &[], "ttl=10m", said().expires(TEN_MINUTES)),
        raw("?correlationId", &[], "correlationId=c%3A1", said().with("correlation-id", "c:1")),
        raw("?replyTo", &[], "replyTo=/queue/a", said().with("reply-to", "/queue/a")),
        raw("?prop.", &[], "prop.Tenant=Acme&prop.b=", said().with_all(&[("Tenant", "Acme"), ("b", "")])),
        raw("?prop. repeated", &[], "prop.a=1&prop.a=2", said().with_all(&[("a", "1"), ("a", "2")])),
        raw(
            "?prop. Unicode",
            &[],
            "prop.%E5%AE%A2=%E2%98%83&prop.a:b%0A=%5C%0D%0A%20",
            said().with_all(&[("客", "☃"), ("a:b\n", "\\\r\n ")]),
        ),
        raw(
            "header and ?prop.",
            &["X-MQ-Prop-a: 1"],
            "prop.a=2&prop.b=3",
            said().with_all(&[("a", "1"), ("a", "2"), ("b", "3")]),
        ),
    ]
}

fn in_json() -> Vec<Case<Request>> {
    let said = Said::default;
    let (name, value) = ("名前: Ü\n", UNICODE);
    vec![
        json_case("tag", json!({"tag": "red"}), said().tag("red")),
        json_case("keys", json!({"keys": ["order-1", "客户"]}), said().keys(&["order-1", "客户"])),
        json_case("shardingKey", json!({"shardingKey": "客 7"}), said().group("客 7")),
        json_case("ttl", json!({"ttl": "10m"}), said().expires(TEN_MINUTES)),
        json_case("contentType", json!({"contentType": "text/x"}), said().with("content-type", "text/x")),
        json_case("correlationId", json!({"correlationId": "c"}), said().with("correlation-id", "c")),
        json_case("replyTo", json!({"replyTo": "/queue/a"}), said().with("reply-to", "/queue/a")),
        json_case("queue, dedupId", json!({"queue": 0, "dedupId": "d-1"}), said())
            .less("where it goes and whether it is new are said to the broker alone"),
        json_case(
            "properties",
            json!({"properties": {"Plain": "1", "empty": "", name: value}}),
            said().with_all(&[("Plain", "1"), ("empty", ""), (name, value)]),
        ),
    ]
}

fn json_bodies() -> Vec<Case<Request>> {
    let said = Said::default;
    let mut all: Vec<_> = bodies()
        .into_iter()
        .map(|(name, body)| {
            json_body(name, json!({"bodyBase64": STANDARD.encode(&body)}), Some(&body), said())
        })
        .collect();
    let typed = said().with("content-type", "application/json");
    all.extend([
        json_body("body empty", json!({"body": ""}), Some(b""), said()),
        json_body("bodyBase64 empty", json!({"bodyBase64": ""}), Some(b""), said()),
        json_body("body null", json!({"body": null}), None, said()),
        json_body("body JSON", json!({"body": {"any": [1, null]}}), Some(b"{\"any\":[1,null]}"), typed),
        json_body("body text", json!({"body": UNICODE}), Some(UNICODE.as_bytes()), said()),
    ]);
    all
}

fn json_headers() -> Vec<Case<Request>> {
    let said = Said::default;
    let headers = |list: Value| json!({"headers": list});
    vec![
        json_case(
            "headers text",
            headers(json!([["a", "1"], {"name": "B", "value": "2"}])),
            said().with_all(&[("a", "1"), ("B", "2")]),
        ),
        json_case(
            "headers repeated",
            headers(json!([["a", "1"], ["b", "2"], ["a", "3"], ["a", "1"]])),
            said().with_all(&[("a", "1"), ("b", "2"), ("a", "3"), ("a", "1")]),
        ),
        json_case(
            "headers null",
            headers(json!([["a", null], {"name": "b", "value": null}, ["c", "3"]])),
            said().with_null("a").with_null("b").with("c", "3"),
        ),
        json_case(
            "headers empty",
            headers(json!([["a", ""], ["b", "2"]])),
            said().with_all(&[("a", ""), ("b", "2")]),
        ),
        json_case(
            "headers Base64",
            headers(json!([{"name": "a", "valueBase64": "AP8A/g=="}, ["b", "2"]])),
            said().with_bytes("a", &[0, 255, 0, 254]).with("b", "2"),
        ),
        json_case(
            "headers first null, then text",
            headers(json!([["a", null], ["a", "1"]])),
            said().with_null("a").with("a", "1"),
        ),
        json_case(
            "NUL in a value",
            headers(json!([["a", "x\0y"], ["b", "2"]])),
            said().with_all(&[("a", "x\0y"), ("b", "2")]),
        ),
        json_case(
            "NUL in a name",
            headers(json!([["a\0", "1"], ["b", "2"]])),
            said().with_all(&[("a\0", "1"), ("b", "2")]),
        ),
        json_case(
            "U+0001, U+0002",
            headers(json!([["a", "x\u{1}y\u{2}"], ["b\u{2}", "2"]])),
            said().with_all(&[("a", "x\u{1}y\u{2}"), ("b\u{2}", "2")]),
        ),
        json_case(
            "headers and fields",
            json!({"headers": [["a", "1"]], "properties": {"a": "0"}, "contentType": "text/x", "correlationId": "c"}),
            said().with_all(&[("content-type", "text/x"), ("correlation-id", "c"), ("a", "0"), ("a", "1")]),
        ),
    ]
}

/// Names that another wire has a word of its own for.
fn contested() -> Vec<Case<Request>> {
    let said = Said::default;
    let properties = |map: Value| json!({"properties": map});
    let rocketmq = [("CLUSTER", "c"), ("CORRELATION_ID", "x"), ("DELAY", "3"), ("TAGS", "t"), ("own", "1")];
    let stomp = [("content-length", "9"), ("destination", "/queue/x"), ("message-id", "m"), ("own", "1")];
    vec![
        json_case("RocketMQ's names", properties(rocketmq.into_iter().collect()), said().with_all(&rocketmq)),
        json_case("STOMP's names", properties(stomp.into_iter().collect()), said().with_all(&stomp)),
        json_case(
            "tag, and a property of that name",
            json!({"tag": "red", "properties": {"tag": "blue"}}),
            said().tag("red").with("tag", "blue"),
        ),
        json_case(
            "tag, and a property that repeats it",
            json!({"tag": "red", "properties": {"tag": "red"}}),
            said().tag("red").with("tag", "red"),
        ),
        json_case("a property called tag", properties(json!({"tag": "blue"})), said().with("tag", "blue")),
    ]
}

/// Those that wait: built when they are sent, because some name a time.
pub fn late(delay: u64) -> Vec<Case<Request>> {
    let at = now() + delay;
    let (ms, date) = (at.to_string(), rfc3339(at));
    let (span, said) = (format!("{delay}ms"), Said::default);
    let (after, moment) = (Time::After(delay), Time::At(at));
    vec![
        raw("X-MQ-Delay", &[&format!("X-MQ-Delay: {span}")], "", said().due(after)),
        raw("X-MQ-Deliver-At", &[&format!("X-MQ-Deliver-At: {date}")], "", said().due(moment)),
        raw("X-MQ-Deliver-At in ms", &[&format!("X-MQ-Deliver-At: {ms}")], "", said().due(moment)),
        raw("?delay", &[], &format!("delay={span}"), said().due(after)),
        raw("?deliverAt", &[], &format!("deliverAt={date}"), said().due(moment)),
        json_case("delay", json!({"delay": span}), said().due(after)),
        json_case("deliverAt", json!({"deliverAt": date}), said().due(moment)),
        json_case("deliverAt in ms", json!({"deliverAt": at}), said().due(moment)),
        json_case(
            "delay with everything",
            json!({"delay": span, "ttl": "10m", "tag": "red", "shardingKey": "s", "headers": [["a", "1"], ["a", null]]}),
            said().due(after).expires(TEN_MINUTES).tag("red").group("s").with("a", "1").with_null("a"),
        ),
    ]
}

fn rfc3339(millis: u64) -> String {
    let moment = format!("@{}.{:03}", millis / 1000, millis % 1000);
    let output = Command::new("date")
        .args(["-u", "-d", &moment, "+%Y-%m-%dT%H:%M:%S.%3NZ"])
        .output()
        .expect("date is part of every system");
    String::from_utf8(output.stdout).expect("a date").trim().to_owned()
}

/// What must not arrive at all.
pub fn stale() -> Request {
    Request::Raw {
        headers: vec!["X-MQ-TTL: 1ms".to_owned()],
        query: String::new(),
        body: b"too old".to_vec(),
    }
}
