//! Every header that STOMP gives a meaning to, in every spelling, and headers of every kind that it gives none.

use super::case::{Case, Said, Time, UNICODE, Unsayable, bodies, mark};
use sluice_tests::now;
use sluice_tests::wires::Frame;

/// Spellings that the broker writes anew; the others stay in the list as well.
const CANONICAL: [&str; 4] = ["tag", "keys", "message-group", "expires"];
/// What the stock client says of a body when its user says nothing.
const GEMS_TYPE: &str = "text/plain; charset=UTF-8";
const EVERY_ESCAPE: &str = "line\nfeed \r\n colon: back\\slash \\n \\c \\\\ :";

pub const UNSAYABLE: Unsayable = &[
    ("null body", "a frame always has a body"),
    ("null value", "a header always has a value"),
    ("binary value", "headers are UTF-8"),
    ("NUL in a value", "it ends the frame for many clients"),
];

fn case(name: &str, headers: &[(&str, &str)], said: Said) -> Case<Frame> {
    let body = mark(&format!("stomp {name}")).into_bytes();
    with_body(name, headers, body, said)
}

fn with_body(name: &str, headers: &[(&str, &str)], body: Vec<u8>, mut said: Said) -> Case<Frame> {
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        said = said.with("content-type", GEMS_TYPE);
    }
    said.body = Some(body.clone());
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Case { name: name.to_owned(), message: Frame { headers, body }, said, less: None }
}

/// One header with a meaning.
fn word(name: &str, value: &str, said: Said) -> Case<Frame> {
    let said = if CANONICAL.contains(&name) { said } else { said.with(name, value) };
    case(&format!("{name}:{value}"), &[(name, value)], said)
}

/// Headers that mean nothing to the broker.
fn plain(name: &str, headers: &[(&str, &str)]) -> Case<Frame> {
    case(name, headers, Said::default().with_all(headers))
}

pub fn cases() -> Vec<Case<Frame>> {
    let mut all = vec![case("nothing", &[], Said::default())];
    for (name, body) in bodies().into_iter().chain([("empty body", Vec::new())]) {
        let key = mark(&format!("stomp {name}"));
        all.push(with_body(name, &[("keys", &key)], body, Said::default().keys(&[&key])));
    }
    all.extend(meanings());
    all.extend(ordinary());
    all.extend(contested());
    all
}

fn meanings() -> Vec<Case<Frame>> {
    let said = Said::default;
    let mut all = Vec::new();
    for name in ["tag", "tags", "x-tag"] {
        all.push(word(name, "red", said().tag("red")));
    }
    for name in ["keys", "key", "message-key"] {
        all.push(word(name, "order-1 客户", said().keys(&["order-1", "客户"])));
    }
    for name in ["message-group", "sharding-key", "JMSXGroupID", "_AMQ_GROUP_ID", "__SHARDINGKEY"] {
        all.push(word(name, "customer 7", said().group("customer 7")));
    }
    for name in ["ttl", "expiration"] {
        all.push(word(name, "600000", said().expires(Time::After(600_000))));
    }
    all.push(word("ttl", "10m", said().expires(Time::After(600_000))));
    let later = now() + 600_000;
    all.push(word("expires", &later.to_string(), said().expires(Time::At(later))));
    all.push(word("expires", "0", said()));
    let born = now() - 86_400_000;
    all.push(case("timestamp in ms", &[("timestamp", &born.to_string())], said().born(born)));
    all.push(plain("timestamp in s", &[("timestamp", "1700000000")]));
    all.push(plain("content-type", &[("content-type", "application/pdf; a=\"b:c\"")]));
    all.push(plain("correlation-id", &[("correlation-id", UNICODE)]));
    all.push(plain("reply-to", &[("reply-to", "/queue/answers")]));
    all
}

/// `persistent`, `priority` and the other hints of other brokers; values and names of every kind.
fn ordinary() -> Vec<Case<Frame>> {
    vec![
        plain("persistent, priority", &[("persistent", "true"), ("priority", "9")]),
        plain("type, user-id, app-id", &[("type", "t"), ("user-id", "u"), ("app-id", "a")]),
        plain("x-max-length, x-priority", &[("x-max-length", "9"), ("x-priority", "1")]),
        plain("x-message-ttl", &[("x-message-ttl", "1")]),
        plain("JMSXGroupSeq, JMSReplyTo", &[("JMSXGroupSeq", "1"), ("JMSReplyTo", "/queue/a")]),
        plain("transformation", &[("transformation", "jms-map-xml"), ("amq-msg-type", "text")]),
        plain("content-encoding", &[("content-encoding", "gzip")]),
        plain("_AMQ_DUPL_ID", &[("_AMQ_DUPL_ID", "table-1")]),
        plain("case of names", &[("Name", "1"), ("name", "2"), ("NAME", "3")]),
        plain("repeated", &[("twice", "first"), ("twice", "second"), ("twice", "first"), ("after", "x")]),
        plain("empty value", &[("x-empty", ""), ("x-full", "1")]),
        plain("repeated, the first empty", &[("twice", ""), ("twice", "second")]),
        plain("every escape in a value", &[("x-escapes", EVERY_ESCAPE)]),
        plain("every escape in a name", &[(EVERY_ESCAPE, "1")]),
        plain("carriage return at the end", &[("x-cr", "value\r")]),
        plain("blanks around a value", &[("x-blanks", "  value\t ")]),
        plain("blanks in a name", &[(" blank name ", "1")]),
        plain("Unicode", &[("名前 Ü", UNICODE), ("snow-man_1", "☃")]),
        plain("U+0001, U+0002 in a value", &[("x-separators", "a\u{1}b\u{2}c")]),
        plain("U+0001 in a name", &[("x\u{1}y", "1"), ("x-after", "2")]),
        plain("value of 16 KiB", &[("x-long", &"0123456789abcdef".repeat(1024))]),
        plain("60 headers", &SIXTY),
    ]
}

const SIXTY: [(&str, &str); 60] = {
    const NAMES: [&str; 6] = ["x-0", "x-1", "x-2", "x-3", "x-4", "x-5"];
    const VALUES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let mut all = [("", ""); 60];
    let mut i = 0;
    while i < 60 {
        all[i] = (NAMES[i / 10], VALUES[i % 10]);
        i += 1;
    }
    all
};

/// Names that some wire or the broker has a word of its own for.
fn contested() -> Vec<Case<Frame>> {
    let said = Said::default;
    let again = [
        ("message-id", "m-1"),
        ("subscription", "s-1"),
        ("redelivered", "true"),
        ("ack", "a-1"),
        ("id", "i-1"),
        ("suppress_content_length", "true"),
        ("x-own", "1"),
    ];
    let canonical = [("tag", "first"), ("tag", "second"), ("tag", "first"), ("keys", "a"), ("keys", "b")];
    let repeated = said().tag("first").keys(&["a"]);
    let twice = (now() - 1000).to_string();
    vec![
        plain("RocketMQ's names", &[("TAGS", "a"), ("DELAY", "3"), ("CLUSTER", "c"), ("WAIT", "false")]),
        plain("CORRELATION_ID", &[("CORRELATION_ID", "c-1")]),
        plain("name ends in content-length", &[("x-content-length", "5"), ("x-own", "1")]),
        case("a MESSAGE sent again", &again, said().with("x-own", "1"))
            .less("what one delivery said of itself is not the message's"),
        case(
            "repeated tag, keys",
            &canonical,
            repeated.with_all(&[("tag", "second"), ("tag", "first"), ("keys", "b")]),
        ),
        case("empty tag", &[("tag", ""), ("x-own", "1")], said().with_all(&[("tag", ""), ("x-own", "1")])),
        case("tag and x-tag", &[("x-tag", "b"), ("tag", "a")], said().tag("a").with("x-tag", "b")),
        case(
            "repeated timestamp",
            &[("timestamp", &twice), ("timestamp", "2")],
            said().born(twice.parse().unwrap_or(0)),
        )
        .less("a message is born once: the second timestamp is not kept"),
        case(
            "__STOMP_DESTINATION",
            &[("__STOMP_DESTINATION", "/queue/forged"), ("x-own", "1")],
            said().with("x-own", "1"),
        )
        .less("the broker's own name"),
    ]
}

/// Those that wait: built when they are sent, because some name a time.
pub fn late(delay: u64) -> Vec<Case<Frame>> {
    let text = delay.to_string();
    let said = || Said::default().due(Time::After(delay));
    let mut all: Vec<_> =
        ["delay", "x-delay", "AMQ_SCHEDULED_DELAY"].iter().map(|name| word(name, &text, said())).collect();
    all.push(word("delay", "2s", Said::default().due(Time::After(2000))));
    all.push(word("delay-level", "1", Said::default().due(Time::After(1000))));
    for name in ["deliver-at", "__STARTDELIVERTIME", "_AMQ_SCHED_DELIVERY", "AMQ_SCHEDULED_TIME"] {
        let at = now() + delay;
        let time = at.to_string();
        all.push(case(name, &[(name, &time)], Said::default().with(name, &time).due(Time::At(at))));
    }
    let (group, tag) = ("customer 7", "red");
    let headers = [("delay", &text[..]), ("message-group", group), ("tag", tag), ("ttl", "10m")];
    let both = said().with("delay", &text).with("ttl", "10m").group(group).tag(tag);
    all.push(case("delay with everything", &headers, both.expires(Time::After(600_000))));
    all
}

/// What must not arrive at all.
pub fn stale() -> Frame {
    let headers = vec![("expires".to_owned(), (now() - 1000).to_string())];
    Frame { headers, body: b"too old".to_vec() }
}
