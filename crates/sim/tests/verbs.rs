//! The simulation calls every public verb of the broker, so a new one is missed here first.

#![allow(clippy::unwrap_used, reason = "a failed step has to panic")]

use sluice_broker::Verb;
use std::path::Path;

/// Those to whom verbs belong, as the simulation calls them.
const CALLED_ON: [&str; 3] = ["broker", "client", "self.broker"];

/// The simulation's own code, without blanks and line ends, so that a call is found however it is broken into lines.
fn sources() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let code = texts.map(|path| std::fs::read_to_string(path).unwrap());
    let lines: Vec<String> =
        code.flat_map(|text| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()).collect();
    lines.into_iter().filter(|line| !line.starts_with("//")).collect()
}

fn is_called(sources: &str, verb: &str) -> bool {
    CALLED_ON.iter().any(|whose| sources.contains(&format!("{whose}.{verb}(")))
}

#[test]
fn every_verb_is_in_the_workload() {
    let sources = sources();
    let missing: Vec<&str> =
        Verb::ALL.iter().map(|verb| verb.name()).filter(|verb| !is_called(&sources, verb)).collect();
    assert!(missing.is_empty(), "call these in crates/sim/src, with what the answer has to be: {missing:?}");
    assert!(!is_called(&sources, "no_such_verb"), "everything is found, so nothing is looked for");
}
