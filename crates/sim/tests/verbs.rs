//! The simulation calls every public verb of the broker, and whatever else is public there, so a new one is missed here first.

#![allow(clippy::unwrap_used, reason = "a failed step has to panic")]

use sluice_broker::Verb;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Those to whom verbs belong, as the simulation calls them.
const CALLED_ON: [&str; 7] =
    ["broker.", "client.", "Broker::", "SessionWatch::", "checkpoint.", "coordinated.", "watch."];
/// What it does without, and why.
const LEFT_OUT: [(&str, &str); 4] = [
    ("open", "the simulation leaves nothing to chance: it opens by `open_by`, which this one calls"),
    ("in_memory", "it is `open` on a log without a disk, for tests"),
    (
        "run",
        "it waits by the machine's clock for what the simulation does when the seed says so: every duty has a name",
    ),
    ("leases_out", "it counts those of all brokers in the process, and seeds run beside each other"),
];

fn files(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut sources: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect();
    sources.sort();
    sources.into_iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// The simulation's own code, without blanks and line ends, so that a call is found however it is broken into lines.
fn sources() -> String {
    let code = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let lines: Vec<String> = code
        .into_iter()
        .flat_map(|text| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>())
        .collect();
    lines.into_iter().filter(|line| !line.starts_with("//")).collect()
}

fn is_called(sources: &str, verb: &str) -> bool {
    CALLED_ON.iter().any(|whose| sources.contains(&format!("{whose}{verb}(")))
}

/// The public methods of the broker's service, with or without a session.
fn methods() -> BTreeSet<String> {
    let sources = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../broker/src/service"));
    let lines = sources.iter().flat_map(|text| text.lines());
    let public = |line: &str| {
        let head = line.strip_prefix("    pub ")?;
        let head = head.strip_prefix("async ").unwrap_or(head);
        let name = head.strip_prefix("fn ").or_else(|| head.strip_prefix("const fn "))?;
        name.split(['(', '<']).next().map(str::to_owned)
    };
    lines.filter_map(public).collect()
}

#[test]
fn every_verb_is_in_the_workload() {
    let sources = sources();
    let missing: Vec<&str> =
        Verb::ALL.iter().map(|verb| verb.name()).filter(|verb| !is_called(&sources, verb)).collect();
    assert!(missing.is_empty(), "call these in crates/sim/src, with what the answer has to be: {missing:?}");
    assert!(!is_called(&sources, "no_such_verb"), "everything is found, so nothing is looked for");
}

#[test]
fn and_every_other_public_method() {
    let (sources, methods) = (sources(), methods());
    for there in ["login_again", "sasl_step", "follow", "stop_producing", "set_members", "send"] {
        assert!(methods.contains(there), "{there} is public, and not found: {methods:?}");
    }
    let left_out = |name: &str| LEFT_OUT.iter().any(|(left, _)| *left == name);
    let missing: Vec<&String> =
        methods.iter().filter(|name| !is_called(&sources, name) && !left_out(name)).collect();
    assert!(missing.is_empty(), "call these in crates/sim/src, with what the answer has to be: {missing:?}");
    let needless: Vec<&str> = LEFT_OUT
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !methods.contains(*name) || is_called(&sources, name))
        .collect();
    assert!(needless.is_empty(), "these are called, or gone: {needless:?}");
}
