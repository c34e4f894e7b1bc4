//! The one command that installs what the tests need and runs every test.
//!
//! It exists so that a stranger, the continuous integration and we mean the same by "the tests pass". The steps run
//! in the order of what is quickest to know; what compiles runs alone, what mostly waits (stock clients, examples)
//! runs side by side. The output of a step goes to a file and is shown when it fails.

mod interop;
mod step;

use crate::shell::{self, Result, cargo, command, root, target};
use clap::ValueEnum;
use std::path::Path;
use std::time::Duration;
use step::{Report, Step};

/// A part of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Everything.
    All,
    /// Checks, and the tests of the workspace.
    Unit,
    /// Stock clients in their own languages.
    Interop,
    /// The examples, as shown.
    Examples,
    /// A minute of random bytes for each decoder.
    Fuzz,
    /// A node on a simulated disk: fixed seeds, then three minutes of fresh ones.
    Sim,
    /// Twenty rounds of `kill -9` under load, ten power cuts.
    Crash,
}

/// From empty caches, downloads included.
const SETUP: Duration = Duration::from_secs(15 * 60);
/// Compiling everything once on two cores takes about five minutes.
const COMPILE: Duration = Duration::from_secs(30 * 60);
/// A suite of stock clients; most take less than two minutes.
const CLIENTS: Duration = Duration::from_secs(10 * 60);
/// Two cores: more side by side only makes each slower, and time-outs in clients likelier.
const SIDE_BY_SIDE: usize = 3;

pub fn run(part: Part) -> Result {
    let has = |wanted: Part| part == Part::All || part == wanted;
    let report = Report::new(target().join("test-logs"))?;

    // Downloads wait for the network while the checks compile.
    let setup = Step::new("setup", command(root().join("tests/interop/setup.sh"), &[]), SETUP);
    let mut first = Vec::new();
    if !matches!(part, Part::Crash | Part::Sim) {
        first.push(setup);
    }
    if has(Part::Unit) {
        first.push(Step::new("verify", own(&["verify"]), COMPILE));
    }
    report.run_together(first, 2);

    if has(Part::Unit) {
        report.run(Step::new("cargo test", cargo(&["test", "--workspace", "--no-fail-fast"]), COMPILE));
    }
    let needs_broker = has(Part::Interop) || has(Part::Examples) || has(Part::Crash);
    if needs_broker && !shell::broker_is_named() {
        let build = cargo(&["build", "--release", "--package", "sluice-server"]);
        if !report.run(Step::new("cargo build --release", build, COMPILE)) {
            return report.finish();
        }
    }
    let mut clients = Vec::new();
    if has(Part::Interop) {
        clients.extend(interop::steps(CLIENTS)?);
    }
    if has(Part::Examples) {
        clients.extend(examples()?);
    }
    report.run_together(clients, SIDE_BY_SIDE);
    if has(Part::Crash) {
        report.run(Step::new("crash", own(&["crash", "--rounds", "20"]), CLIENTS));
        report.run(Step::new("power", own(&["power", "--rounds", "10"]), CLIENTS));
    }
    if has(Part::Sim) {
        report.run(Step::new("sim", own(&["sim", "--minutes", "3"]), COMPILE));
    }
    if has(Part::Fuzz) {
        report.run(Step::new("fuzz", own(&["fuzz", "--seconds", "60"]), COMPILE));
    }
    report.finish()
}

/// This program again, as a step of its own with its own log.
fn own(arguments: &[&str]) -> std::process::Command {
    match std::env::current_exe() {
        Ok(program) => command(program, arguments),
        Err(_) => cargo(&[&["run", "--quiet", "--package", "xtask", "--"], arguments].concat()),
    }
}

fn examples() -> Result<Vec<Step>> {
    let scripts = scripts(&root().join("examples"))?;
    let steps = scripts.into_iter().map(|(name, script)| {
        let mut run = command(&script, &[]);
        // An example starts its own broker; the one built here saves it the compiling.
        run.env("SLUICE_BIN", shell::broker());
        Step::new(format!("examples/{name}"), run, CLIENTS)
    });
    Ok(steps.collect())
}

/// The folders below `parent` that have a `run.sh`, by name.
fn scripts(parent: &Path) -> Result<Vec<(String, std::path::PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(parent).map_err(|error| format!("{}: {error}", parent.display()))? {
        let folder = entry?;
        let script = folder.path().join("run.sh");
        if script.is_file() {
            found.push((folder.file_name().to_string_lossy().into_owned(), script));
        }
    }
    found.sort();
    Ok(found)
}
