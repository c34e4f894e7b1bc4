//! Who may depend on whom, as ARCHITECTURE.md draws it. An edge that is not here is refused.

use super::Tree;
use crate::shell::{Result, cargo, output};
use serde_json::Value;

/// From, to, and why the edge is allowed.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("sluice-store", "sluice-model", "the log stores the model's messages"),
    ("sluice-auth", "sluice-model", "permissions speak of the model's topics and groups"),
    ("sluice-broker", "sluice-model", "the rules are about messages"),
    ("sluice-broker", "sluice-store", "the rules decide what the log remembers"),
    ("sluice-broker", "sluice-auth", "every verb asks for a permit"),
    ("sluice-namesrv", "sluice-model", "routes name topics"),
    ("sluice-remoting", "sluice-model", "a front-end converts between its wire and the model"),
    ("sluice-remoting", "sluice-auth", "a front-end finds credentials and keeps the session"),
    ("sluice-remoting", "sluice-broker", "a front-end calls verbs"),
    ("sluice-remoting", "sluice-net", "a front-end is mounted on listeners"),
    ("sluice-remoting", "sluice-namesrv", "the name server role speaks this wire"),
    ("sluice-http", "sluice-model", "a front-end converts between its wire and the model"),
    ("sluice-http", "sluice-auth", "a front-end finds credentials and keeps the session"),
    ("sluice-http", "sluice-broker", "a front-end calls verbs"),
    ("sluice-http", "sluice-net", "a front-end is mounted on listeners"),
    ("sluice-stomp", "sluice-model", "a front-end converts between its wire and the model"),
    ("sluice-stomp", "sluice-auth", "a front-end finds credentials and keeps the session"),
    ("sluice-stomp", "sluice-broker", "a front-end calls verbs"),
    ("sluice-stomp", "sluice-net", "a front-end is mounted on listeners"),
    ("sluice-kafka", "sluice-model", "a front-end converts between its wire and the model"),
    ("sluice-kafka", "sluice-auth", "a front-end finds credentials and keeps the session"),
    ("sluice-kafka", "sluice-broker", "a front-end calls verbs"),
    ("sluice-kafka", "sluice-net", "a front-end is mounted on listeners"),
    ("xtask", "sluice-store", "power cuts put the simulated disk below the real binary"),
    ("xtask", "sluice-load", "benchmarks and crash tests send with the load generator's wires"),
    ("sluice-sim", "sluice-model", "the simulation sends messages and drives the clock"),
    ("sluice-sim", "sluice-store", "the simulation gives the broker a log on a simulated disk"),
    ("sluice-sim", "sluice-auth", "the simulation's broker lets everyone in"),
    ("sluice-sim", "sluice-broker", "the simulation calls the verbs as a front-end would"),
];

/// These see everything: the binary puts it all together, the scenarios test it so, and its parts are measured.
const SEE_EVERYTHING: [&str; 3] = ["sluice-server", "sluice-tests", "sluice-bench"];

pub fn check(_: &Tree) -> Result<Vec<String>> {
    let metadata: Value =
        serde_json::from_str(&output(cargo(&["metadata", "--format-version=1", "--no-deps", "--offline"]))?)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let ours: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let from = package["name"].as_str().unwrap_or_default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            // Tests may look further than the code: a handler's test starts a whole broker in memory.
            let for_tests = dependency["kind"] == "dev";
            if ours.contains(&to) && !for_tests && !is_allowed(from, to) {
                wrong.push(explain(from, to));
            }
        }
    }
    Ok(wrong)
}

fn is_allowed(from: &str, to: &str) -> bool {
    SEE_EVERYTHING.contains(&from) || ALLOWED.iter().any(|(f, t, _)| (*f, *t) == (from, to))
}

fn explain(from: &str, to: &str) -> String {
    let reasons: Vec<String> =
        ALLOWED.iter().filter(|(f, ..)| *f == from).map(|(_, t, why)| format!("{t} ({why})")).collect();
    let may = if reasons.is_empty() { "none of ours".to_owned() } else { reasons.join(", ") };
    format!("{from} may not depend on {to}; it may on {may}. See ARCHITECTURE.md, \"who may depend on whom\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forbidden_edges_are_forbidden() {
        for (from, to) in [
            ("sluice-model", "sluice-store"),
            ("sluice-store", "sluice-auth"),
            ("sluice-broker", "sluice-net"),
            ("sluice-http", "sluice-store"),
            ("sluice-http", "sluice-stomp"),
            ("sluice-net", "sluice-model"),
        ] {
            assert!(!is_allowed(from, to), "{from} -> {to}");
        }
        assert!(is_allowed("sluice-server", "sluice-store"));
        assert!(explain("sluice-store", "sluice-auth").contains("the log stores the model's messages"));
    }
}
