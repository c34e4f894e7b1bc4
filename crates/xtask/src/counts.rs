//! A net for regressions that needs no clock: instructions, allocations, system calls and bytes written for a message.
//!
//! A shared machine cannot tell whether something became 10 % slower, but it counts the same each time. Instructions are
//! counted by callgrind, of fixed traces through parse, decide, encode and respond, for each wire (`bench/src/traces.rs`),
//! and may differ by 2 % from those in `bench/counts.json`. They depend on the compiler, so there is one list for each of
//! its versions; `cargo xtask counts --renew` writes the list of the one at hand, and who renews it says why.
//!
//! System calls and bytes are those of the real binary: `counts/server.rs`.

mod server;

use crate::shell::{self, Result, cargo, command, output, root, target};
use clap::ValueEnum;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::Command;

/// How far a count of instructions may be off, in per cent, in either direction: what became cheaper is noted, too, or the
/// next regression hides in it.
const INSTRUCTIONS: f64 = 2.0;
/// Allocations are exact, but for what grows now and then.
const ALLOCATIONS: f64 = 2.0;
/// A few more are made now and then, for memory.
const CALLS: f64 = 10.0;
/// Pages that a message shares with its neighbour.
const BYTES: f64 = 5.0;
const TIMES: &str = "100";

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Everything.
    All,
    /// Instructions and allocations: the same however busy the machine is.
    Traces,
    /// System calls and bytes of the real binary, which wants the machine for itself.
    Server,
}

pub fn run(what: What, renew: bool) -> Result {
    let has = |part: What| what == What::All || what == part;
    let compiler = compiler()?;
    let mut kept = kept()?;
    let mut wrong = Vec::new();
    if has(What::Traces) {
        let found = show(traces()?);
        if renew {
            kept["compilers"][&compiler] = object(found);
        } else {
            let Some(of_compiler) = kept["compilers"].get(&compiler) else {
                return Err(format!(
                    "no counts are kept for rustc {compiler}; if they are as they should be, `cargo xtask counts --renew` keeps these"
                )
                .into());
            };
            wrong.extend(compare(&found, of_compiler));
        }
    }
    if has(What::Server) {
        shell::build_broker()?;
        let found = show(server::count()?);
        if renew {
            kept["server"] = object(found);
        } else {
            wrong.extend(compare(&found, &kept["server"]));
        }
    }
    if renew {
        std::fs::write(path(), serde_json::to_string_pretty(&kept)? + "\n")?;
        println!("renewed: {}", path().display());
        return Ok(());
    }
    wrong.iter().for_each(|sentence| println!("  {sentence}"));
    if wrong.is_empty() {
        println!("as kept for rustc {compiler}");
        return Ok(());
    }
    Err(format!("{} counts differ; if that is meant, `cargo xtask counts --renew`, and say why", wrong.len())
        .into())
}

fn show(counts: Counts) -> Counts {
    for (name, counts) in &counts {
        println!("{name:<32} {}", Value::from(counts.clone()));
    }
    counts
}

/// Allocations and instructions of each trace, as many at a time as there are processors.
fn traces() -> Result<Counts> {
    // Together with the server, so that both are one build of everything below.
    let packages = ["--package", "sluice-server", "--package", "sluice-bench", "--bin", "trace"];
    shell::run(cargo(&[&["build", "--release", "--quiet"], packages.as_slice()].concat()))?;
    let mut traces = allocations()?;
    let waiting = Mutex::new(traces.iter_mut());
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some((name, counts)) = waiting.lock().next() else { break };
                    match instructions(name, counts) {
                        Ok(count) => drop(counts.insert("instructions".into(), json!(count))),
                        Err(error) => *failed.lock() = Some(error),
                    }
                    counts.remove("messages");
                }
            });
        }
    });
    match failed.into_inner() {
        Some(error) => Err(error),
        None => Ok(traces),
    }
}

type Counts = Vec<(String, Map<String, Value>)>;

fn object(counts: Counts) -> Value {
    Value::Object(counts.into_iter().map(|(name, counts)| (name, Value::Object(counts))).collect())
}

/// What differs by more than it may, one sentence each.
fn compare(found: &Counts, kept: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, counts) in found {
        for (what, count) in counts {
            let (Some(now), before) = (count.as_f64(), kept[name][what].as_f64()) else { continue };
            let Some(before) = before else {
                wrong.push(format!("{name}: {what} are not kept, and are {now}"));
                continue;
            };
            let may = match what.as_str() {
                "instructions" => INSTRUCTIONS,
                "allocations" => ALLOCATIONS,
                "system calls" => CALLS,
                _ => BYTES,
            };
            // Below one, a part of it says nothing.
            let off = 100.0 * (now - before) / before.max(1.0);
            if off.abs() > may {
                wrong.push(format!("{name}: {what} were {before}, and are {now}: {off:+.1} % (±{may} %)"));
            }
        }
    }
    let missing = kept.as_object().into_iter().flatten().map(|(name, _)| name);
    let is_missing = |name: &&String| !found.iter().any(|(known, _)| known == *name);
    wrong.extend(missing.filter(is_missing).map(|name| format!("{name} is kept, but was not counted")));
    wrong
}

fn path() -> PathBuf {
    root().join("bench/counts.json")
}

fn kept() -> Result<Value> {
    match std::fs::read_to_string(path()) {
        Ok(text) => Ok(serde_json::from_str(&text)?),
        Err(_) => Ok(json!({ "compilers": {}, "server": {} })),
    }
}

/// The version's number.
fn compiler() -> Result<String> {
    let said = output(command("rustc", &["--version"]))?;
    Ok(said.split(' ').nth(1).ok_or("rustc says no version")?.to_owned())
}

fn trace() -> PathBuf {
    target().join("release/trace")
}

/// Allocations for each message, and how many messages there are.
fn allocations() -> Result<Counts> {
    let said: Value = serde_json::from_str(&output(Command::new(trace()))?)?;
    let traces = said.as_array().into_iter().flatten().map(|trace| {
        let mut counts = Map::new();
        let each = trace["allocations"].as_f64().unwrap_or(f64::NAN);
        counts.insert("allocations".into(), json!((each * 100.0).round() / 100.0));
        counts.insert("messages".into(), trace["messages"].clone());
        (trace["name"].as_str().unwrap_or_default().to_owned(), counts)
    });
    Ok(traces.collect())
}

/// Instructions for each message. Only the server's turns are counted, and only those after the warm-up.
fn instructions(name: &str, counts: &Map<String, Value>) -> Result<u64> {
    let folder = tempfile::tempdir()?;
    let mut run = Command::new("valgrind");
    run.args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*counted_turn*"]);
    run.arg(format!("--callgrind-out-file={}", folder.path().join("out").display()));
    run.arg(trace()).args([name, TIMES]);
    let ended = run.output().map_err(|error| format!("valgrind (`apt-get install valgrind`): {error}"))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    if !ended.status.success() {
        return Err(format!("{run:?} ended with {}: {said}", ended.status).into());
    }
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let collected: u64 =
        collected.ok_or_else(|| format!("callgrind said no count: {said}"))?.1.trim().parse()?;
    let messages = counts["messages"].as_u64().filter(|messages| *messages > 0).ok_or("no messages")?;
    if collected == 0 {
        return Err("callgrind counted nothing: its function has another name".into());
    }
    Ok(collected / messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(instructions: u64) -> Counts {
        let mut map = Map::new();
        map.insert("instructions".into(), json!(instructions));
        vec![("send".into(), map)]
    }

    #[test]
    fn what_is_off_by_more_than_two_per_cent_is_named() {
        let kept = json!({ "send": { "instructions": 1000 } });
        assert!(compare(&counts(1019), &kept).is_empty());
        assert_eq!(compare(&counts(1021), &kept).len(), 1);
        assert_eq!(compare(&counts(979), &kept).len(), 1, "what became cheaper is to be noted");
        assert_eq!(compare(&counts(1000), &json!({ "send": {}, "gone": {} })).len(), 2);
    }
}
