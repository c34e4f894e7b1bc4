//! The one command that installs what the tests need and runs every test.
//!
//! It exists so that a stranger, the continuous integration and we mean the same by "the tests pass". The steps run
//! in the order of what is quickest to know. The one idea to know: what mostly waits (stock clients, examples) runs
//! side by side, and beside it, at the lowest priority, what only needs a processor (builds, counted instructions);
//! what is measured by time runs alone. The output of a step goes to a file and is shown when it fails.

mod interop;
mod step;

use crate::shell::{self, Result, cargo, command, root, target};
use clap::ValueEnum;
use std::path::Path;
use std::process::Command;
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
    /// Instructions, allocations, system calls and bytes for a message beside those that are kept.
    Counts,
}

/// From empty caches, downloads included.
const SETUP: Duration = Duration::from_secs(15 * 60);
/// Compiling everything once on two cores takes about five minutes.
const COMPILE: Duration = Duration::from_secs(30 * 60);
/// A suite of stock clients; most take less than two minutes.
const CLIENTS: Duration = Duration::from_secs(10 * 60);
/// Two cores: more side by side only makes each slower, and time-outs in clients likelier.
const SIDE_BY_SIDE: usize = 3;
/// The clients that take longest, most of it by waiting.
const LONG: [&str; 6] = [
    "interop/schemathesis acl",
    "interop/curl documents",
    "interop/kafka-groups",
    "interop/kafka-librdkafka",
    "interop/kafka-transactions",
    "examples/spring",
];

/// Whose clients speak the remoting protocol.
const REMOTING: [&str; 6] = [
    "interop/java",
    "interop/go",
    "interop/mqadmin",
    "interop/rocketmq-python",
    "examples/java",
    "examples/spring",
];

pub fn run(part: Part) -> Result {
    let has = |wanted: Part| part == Part::All || part == wanted;
    let report = Report::new(target().join("test-logs"))?;
    let needs_broker = has(Part::Interop) || has(Part::Examples) || has(Part::Crash) || has(Part::Counts);
    let builds_broker = needs_broker && !shell::broker_is_named();
    let mut clients = Vec::new();
    if has(Part::Interop) {
        clients.extend(interop::steps(CLIENTS)?);
    }
    if has(Part::Examples) {
        clients.extend(examples()?);
    }
    begin_with(&mut clients, &LONG);
    let clients: Vec<Step> = clients.into_iter().map(Step::repeating).collect();

    let is_built = std::thread::scope(|scope| {
        let built = scope.spawn(|| !builds_broker || report.run(build_broker()));
        let setup = scope.spawn(|| matches!(part, Part::Crash | Part::Sim) || report.run(setup()));
        if has(Part::Unit) {
            report.run(Step::new("verify", own(&["verify"]), COMPILE));
        }
        // The tests use some of the tools. What is missing they will say; that is no reason to leave them out.
        let _ = setup.join();
        if !clients.is_empty() {
            scope.spawn(|| report.run(compile_clients()));
        }
        if has(Part::Unit) {
            report.run(Step::new("cargo test", unit_tests(), COMPILE).repeating());
        }
        built.join().unwrap_or(false)
    });
    if !is_built {
        return report.finish();
    }
    // Clients wait most of their time, for each other and for timers; what only needs a processor gets it meanwhile.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let steps = meanwhile(part).into_iter().map(Step::yielding);
            report.run_together(steps.collect(), 1);
        });
        report.run_together(clients, SIDE_BY_SIDE);
    });
    report.run_failed_again();
    for step in alone(part) {
        report.run(step);
    }
    if has(Part::Interop) {
        println!("RocketMQ's clients: {}", report.sum(&REMOTING));
    }
    report.finish()
}

fn setup() -> Step {
    Step::new("setup", command(root().join("tests/interop/setup.sh"), &[]), SETUP)
}

fn compile_clients() -> Step {
    let compile = command(root().join("tests/interop/setup.sh"), &["compiled"]);
    Step::new("setup compiled", compile, COMPILE).yielding()
}

/// Every test there is. What else cargo would do: build examples, which `verify` has checked, and look for tests in
/// comments, where it has seen that there are none.
fn unit_tests() -> Command {
    cargo(&["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"])
}

/// Beside the checks and tests, whose processors are not all busy all the time; they are not to notice.
fn build_broker() -> Step {
    Step::new("build release", shell::broker_build(), COMPILE).yielding()
}

/// What takes its time and is the same however long it takes.
fn meanwhile(part: Part) -> Vec<Step> {
    let has = |wanted: Part| part == Part::All || part == wanted;
    let mut steps = Vec::new();
    if has(Part::Fuzz) {
        steps.push(Step::new("build fuzz", own(&["fuzz", "--build"]), COMPILE));
    }
    if has(Part::Sim) {
        steps.push(Step::new("build sim", own(&["sim", "--build"]), COMPILE));
    }
    if has(Part::Counts) {
        steps.push(Step::new("counts traces", own(&["counts", "traces"]), COMPILE));
    }
    steps
}

/// What is measured by time, or wants to know what a process does by itself.
fn alone(part: Part) -> Vec<Step> {
    let has = |wanted: Part| part == Part::All || part == wanted;
    let mut steps = Vec::new();
    if has(Part::Counts) {
        steps.push(Step::new("counts server", own(&["counts", "server"]), CLIENTS));
    }
    if has(Part::Crash) {
        steps.push(Step::new("crash", own(&["crash", "--rounds", "20"]), CLIENTS));
        steps.push(Step::new("power", own(&["power", "--rounds", "10"]), CLIENTS));
    }
    if has(Part::Sim) {
        steps.push(Step::new("sim", own(&["sim", "--minutes", "3"]), COMPILE));
    }
    if has(Part::Fuzz) {
        steps.push(Step::new("fuzz", own(&["fuzz", "--seconds", "60"]), COMPILE));
    }
    steps
}

/// Puts these first: a long step that begins last is waited for alone.
fn begin_with(steps: &mut [Step], first: &[&str]) {
    steps.sort_by_key(|step| first.iter().position(|name| *name == step.name()).unwrap_or(first.len()));
}

/// This program again, as a step of its own with its own log.
fn own(arguments: &[&str]) -> Command {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_steps_are_there_and_begin() {
        let mut steps = interop::steps(CLIENTS).unwrap();
        steps.extend(examples().unwrap());
        let many = steps.len();
        begin_with(&mut steps, &LONG);
        let names: Vec<&str> = steps.iter().map(Step::name).collect();
        assert_eq!(names[..LONG.len()], LONG);
        assert!(many > LONG.len());
    }
}
