//! What a Kafka record can say: key, value, headers, and its time.

use super::case::{Case, Said, UNICODE, Unsayable, bodies, mark};
use sluice_tests::now;
use sluice_tests::wires::Record;

pub const UNSAYABLE: Unsayable = &[
    ("message group", "a record has one key, and it is kept as that"),
    ("time to live", "a record does not say when it expires"),
    ("delay", "a record is there as soon as it is written"),
    ("empty name of a header", "the broker refuses it"),
];

fn case(name: &str, record: Record, mut said: Said) -> Case<Record> {
    let value = mark(&format!("kafka {name}")).into_bytes();
    said.body = Some(value.clone());
    Case { name: name.to_owned(), message: Record { value: Some(value), ..record }, said, less: None }
}

fn keyed(name: &str, key: &[u8], said: Said) -> Case<Record> {
    case(name, Record { key: Some(key.to_vec()), ..Record::default() }, said.key(key))
}

/// A value that is what is tested, with a key to tell it from the others.
fn valued(name: &str, value: Option<Vec<u8>>) -> Case<Record> {
    let key = mark(&format!("kafka {name}"));
    let said = Said { body: value.clone(), ..Said::default().keys(&[&key]).key(key.as_bytes()) };
    let message = Record { key: Some(key.into_bytes()), value, ..Record::default() };
    Case { name: name.to_owned(), message, said, less: None }
}

fn headed(name: &str, headers: &[(&str, Option<&[u8]>)]) -> Case<Record> {
    let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), v.map(<[u8]>::to_vec))).collect();
    let said = Said { properties: headers.clone(), ..Said::default() };
    case(name, Record { headers, ..Record::default() }, said)
}

fn texts(name: &str, headers: &[(&str, &str)]) -> Case<Record> {
    let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, Some(v.as_bytes()))).collect();
    headed(name, &headers)
}

pub fn cases() -> Vec<Case<Record>> {
    let mut all: Vec<_> = bodies().into_iter().map(|(name, body)| valued(name, Some(body))).collect();
    all.extend([valued("null value", None), valued("empty value", Some(Vec::new()))]);
    all.extend(keys());
    all.extend(headers());
    let born = now() - 86_400_000;
    all.push(case(
        "a time of its own",
        Record { time: Some(born), ..Record::default() },
        Said::default().born(born),
    ));
    all
}

fn keys() -> Vec<Case<Record>> {
    let said = Said::default;
    vec![
        case("no key", Record::default(), said()),
        keyed("a word", b"order-1", said().keys(&["order-1"])),
        keyed("a word in UTF-8", "客户".as_bytes(), said().keys(&["客户"])),
        keyed("a key with a blank", b"customer 7", said()),
        keyed("a binary key", &[0, 1, 0xFF, 0xFE], said()),
        keyed("an empty key", b"", said()),
        keyed("a long key", &[b'k'; 300], said()),
    ]
}

fn headers() -> Vec<Case<Record>> {
    let mut tagged = texts("TAGS", &[("TAGS", "red"), ("own", "1")]);
    tagged.said = tagged.said.tag("red");
    vec![
        tagged,
        texts("repeated", &[("twice", "first"), ("a", "x"), ("twice", "second"), ("twice", "first")]),
        headed("null", &[("a", None), ("b", Some(b"2")), ("a", Some(b"1"))]),
        headed("binary", &[("a", Some(&[0, 0xFF, 0, 0xFE])), ("b", Some(b"2"))]),
        texts("empty", &[("a", ""), ("b", "2")]),
        texts("Unicode", &[("名前 Ü", UNICODE), ("snow-man_1", "☃")]),
        texts("NUL", &[("a", "x\0y"), ("b\0", "2"), ("c", "3")]),
        texts("U+0001, U+0002", &[("a", "x\u{1}y\u{2}"), ("b\u{2}", "2")]),
        texts("line breaks, colon, backslash", &[("line\r\nbreak", "a\r\nb\n"), ("colon:ed", "a:b\\c")]),
        texts("case of names", &[("Name", "1"), ("name", "2")]),
        texts(
            "content-type",
            &[("content-type", "application/pdf"), ("correlation-id", "c"), ("reply-to", "/q/a")],
        ),
        texts("RocketMQ's names", &[("DELAY", "3"), ("CLUSTER", "c"), ("WAIT", "false"), ("own", "1")]),
        texts(
            "STOMP's names",
            &[("message-id", "1"), ("destination", "2"), ("x-content-length", "3"), ("own", "1")],
        ),
    ]
}
