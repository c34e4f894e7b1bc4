//! Decoders under random bytes: libFuzzer on stable Rust.
//!
//! The fuzz targets are a workspace of their own in `fuzz/`, because their build is instrumented. `cargo fuzz` would
//! need a nightly compiler; the same flags work here with a stable one, without a sanitizer: a panic, an endless loop,
//! or an allocation over the limit is what is looked for, and safe code has no other ways to go wrong.

use crate::shell::{self, Result, cargo, root, target};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What LLVM adds to the code so that libFuzzer sees which branches an input takes.
const INSTRUMENTED: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    --cfg fuzzing";
/// The machine has two cores, and a target uses one.
const SIDE_BY_SIDE: usize = 2;
/// What a target may use in all, in MiB; and in one allocation: more than the largest frame, less than a length field
/// that is believed.
const MEMORY: u32 = 1024;
const ALLOCATION: u32 = 128;
/// One input may take so long, in seconds.
const ONE_INPUT: u32 = 10;

pub fn run(only: &[String], seconds: u64) -> Result {
    let known = targets()?;
    if let Some(unknown) = only.iter().find(|name| !known.contains(name)) {
        return Err(format!("there is no fuzz target {unknown:?}; there are: {}", known.join(" ")).into());
    }
    build()?;
    let chosen: Vec<String> =
        known.into_iter().filter(|name| only.is_empty() || only.contains(name)).collect();
    let waiting = parking_lot::Mutex::new(chosen.iter());
    let failed = parking_lot::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let Some(name) = waiting.lock().next() else { break };
                    let outcome = fuzz(name, seconds);
                    let mut failed = failed.lock();
                    match outcome {
                        Ok(summary) => println!("ok {name}: {summary}"),
                        Err(error) => {
                            println!("FAILED {name}: {error}");
                            failed.push(name.as_str());
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    if failed.is_empty() { Ok(()) } else { Err(format!("fuzzing failed: {}", failed.join(", ")).into()) }
}

/// The targets that `fuzz/` has, by name.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("fuzz/targets"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

pub fn build() -> Result {
    let mut command = cargo(&["build", "--quiet", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    // Naming the host as target keeps the flags away from build scripts and macros.
    let host = host()?;
    command.args(["--target", &host, "--target-dir"]).arg(folder()).env("RUSTFLAGS", INSTRUMENTED);
    shell::run(command)
}

fn folder() -> PathBuf {
    target().join("fuzz")
}

fn host() -> Result<String> {
    let version = shell::output(shell::command("rustc", &["-vV"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc names no host")?;
    Ok(host.to_owned())
}

fn fuzz(name: &str, seconds: u64) -> Result<String> {
    let program = folder().join(host()?).join("release").join(name);
    // New inputs go beside the build; the saved ones in the repository are only read. A good find is added by hand.
    let found = folder().join("corpus").join(name);
    let crashes = folder().join("crashes").join(name);
    for folder in [&found, &crashes] {
        fs::create_dir_all(folder)?;
    }
    let mut command = Command::new(program);
    command.current_dir(root()).arg(&found).arg(root().join("fuzz/corpus").join(name));
    command.arg(format!("-artifact_prefix={}/", crashes.display()));
    command.args([format!("-rss_limit_mb={MEMORY}"), format!("-malloc_limit_mb={ALLOCATION}")]);
    command.args([format!("-timeout={ONE_INPUT}"), "-print_final_stats=1".into()]);
    command.arg(if seconds == 0 { "-runs=0".into() } else { format!("-max_total_time={seconds}") });
    // Memory in use is what is looked for. glibc would keep what a password hash has freed, 19 MiB for each of its arenas.
    command.env("MALLOC_MMAP_THRESHOLD_", (1 << 20).to_string());
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let reason = explain(&log);
        return Err(format!("{}\n{reason}\nthe input is in {}", output.status, crashes.display()).into());
    }
    let number =
        |field: &str| log.lines().find_map(|line| line.strip_prefix(field)).map_or("?", str::trim).to_owned();
    let duration = Duration::from_secs(seconds);
    Ok(format!(
        "{} inputs in {duration:?}, {} MiB at most",
        number("stat::number_of_executed_units:"),
        number("stat::peak_rss_mb:")
    ))
}

/// The part of a log that says what went wrong, from the panic or libFuzzer's own error on.
fn explain(log: &str) -> String {
    let progress = |line: &&str| !line.contains("panicked at") && !line.contains("ERROR:");
    log.lines().skip_while(progress).take(40).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_found_behind_the_progress() {
        let log =
            "#1 NEW\n#2 REDUCE\nthread panicked at x.rs:1:2:\nwhy\n==1== ERROR: libFuzzer: deadly signal\n";
        assert_eq!(explain(log).lines().next(), Some("thread panicked at x.rs:1:2:"));
        assert_eq!(explain("#1 NEW\n"), "");
    }
}
