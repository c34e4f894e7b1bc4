//! What the Java client can say of a message. It is the third wire of the table: its own properties are tested in
//! `tests/interop/java`.

use super::case::{Case, Said, Time, UNICODE, Unsayable, bodies, mark};
use sluice_tests::wires::JavaMessage;

pub const UNSAYABLE: Unsayable = &[
    ("empty body", "the client refuses it"),
    ("null body", "the client refuses it"),
    ("repeated name", "properties are a map"),
    ("empty value", "the client refuses it"),
    ("null value", "the client refuses it"),
    ("binary value", "properties are text"),
    ("U+0001, U+0002", "they separate properties"),
    ("time to live", "there is no property for it"),
];

fn case(name: &str, message: JavaMessage, mut said: Said) -> Case<JavaMessage> {
    let body = mark(&format!("remoting {name}")).into_bytes();
    said.body = Some(body.clone());
    Case { name: name.to_owned(), message: JavaMessage { body, ..message }, said, less: None }
}

fn plain(name: &str, properties: &[(&str, &str)]) -> Case<JavaMessage> {
    let owned = properties.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let message = JavaMessage { properties: owned, ..JavaMessage::default() };
    case(name, message, Said::default().with_all(properties))
}

pub fn cases() -> Vec<Case<JavaMessage>> {
    let mut all = Vec::new();
    for (name, body) in bodies() {
        let key = mark(&format!("remoting {name}"));
        let message = JavaMessage { body: body.clone(), keys: vec![key.clone()], ..JavaMessage::default() };
        let said = Said { body: Some(body), ..Said::default().keys(&[&key]) };
        all.push(Case { name: name.to_owned(), message, said, less: None });
    }
    let tag = JavaMessage { tag: Some("red".to_owned()), ..JavaMessage::default() };
    let keys = vec!["order-1".to_owned(), "客户".to_owned()];
    let keys = JavaMessage { keys, ..JavaMessage::default() };
    all.extend([
        case("tag", tag, Said::default().tag("red")),
        case("keys", keys, Said::default().keys(&["order-1", "客户"])),
        plain("content-type", &[("content-type", "application/pdf")]),
        plain("correlation-id, reply-to", &[("correlation-id", UNICODE), ("reply-to", "/queue/answers")]),
        plain("colon, backslash", &[("colon:ed", "a:b\\c"), ("back\\slash", "\\n")]),
        plain("line breaks", &[("line\r\nbreak", "a\r\nb\n")]),
        plain("Unicode", &[("名前 Ü", UNICODE), ("snow-man_1", "☃")]),
        plain("blanks around a value", &[("x-blanks", "  value\t ")]),
        plain("case of names", &[("Name", "1"), ("name", "2")]),
        plain("NUL", &[("x-nul", "a\0b"), ("x\0y", "1")]),
        plain("STOMP's names", &[("message-id", "1"), ("destination", "2"), ("x-content-length", "3")]),
    ]);
    all
}

pub fn late(delay: u64) -> Vec<Case<JavaMessage>> {
    let message = JavaMessage { delay_ms: Some(delay), ..JavaMessage::default() };
    vec![case("delay", message, Said::default().due(Time::After(delay)))]
}
