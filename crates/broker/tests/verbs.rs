//! The list of verbs is the list of methods that take a session.

#![allow(clippy::unwrap_used)]

use sluice_broker::Verb;
use std::collections::BTreeSet;
use std::path::Path;

/// Their methods are what wires call; others that take a session serve them.
const SERVICE: [&str; 2] = ["impl Broker {", "impl Client {"];

/// The public methods of a file of the service that act for a session.
fn methods(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut head: Option<String> = None;
    for line in source.lines() {
        if line.starts_with("impl") {
            inside = SERVICE.contains(&line);
        }
        let code = line.trim();
        if inside && (code.starts_with("pub fn ") || code.starts_with("pub async fn ")) {
            head = Some(String::new());
        }
        let Some(text) = &mut head else { continue };
        text.push_str(code);
        text.push(' ');
        if code.ends_with('{') {
            let text = head.take().unwrap();
            let name = text.split_once("fn ").unwrap().1.split(['(', '<']).next().unwrap().to_owned();
            found.extend(text.contains("session: &Session").then_some(name));
        }
    }
    found
}

#[test]
fn every_method_that_takes_a_session_is_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/service");
    let mut there = BTreeSet::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            there.extend(methods(&std::fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(there.len() > 40, "the methods are not found any more: {there:?}");
    let listed: BTreeSet<String> = Verb::ALL.iter().map(|verb| verb.name().to_owned()).collect();
    let missing: Vec<_> = there.difference(&listed).collect();
    assert!(
        missing.is_empty(),
        "add to src/service/verbs.rs, and then to tests/tests/matrix as the compiler says: {missing:?}"
    );
    let gone: Vec<_> = listed.difference(&there).collect();
    assert!(gone.is_empty(), "no method of these takes a session: {gone:?}");
}
