//! Running other programs, and where things are.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

pub type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The folder of the workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The folder of everything built; tests keep their logs and data below it too.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A command that will run in the root of the workspace.
pub fn command(program: impl AsRef<Path>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program.as_ref());
    command.args(arguments).current_dir(root());
    command
}

pub fn cargo(arguments: &[&str]) -> Command {
    command(std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from), arguments)
}

/// Runs to the end; anything but success is an error.
pub fn run(mut command: Command) -> Result {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

/// Runs to the end and gives what it printed.
pub fn output(mut command: Command) -> Result<String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?} ended with {}: {stderr}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The broker, built for release, or the one that `SLUICE_BIN` names.
pub fn broker() -> PathBuf {
    std::env::var_os("SLUICE_BIN").map_or_else(|| target().join("release/sluice"), PathBuf::from)
}

/// True when `SLUICE_BIN` names a broker that is not ours to build.
pub fn broker_is_named() -> bool {
    std::env::var_os("SLUICE_BIN").is_some()
}

/// Builds the broker, unless another one is named.
pub fn build_broker() -> Result {
    if broker_is_named() {
        return Ok(());
    }
    run(broker_build())
}

pub fn broker_build() -> Command {
    cargo(&["build", "--release", "--quiet", "--package", "sluice-server"])
}

/// Lets this process have as many files and sockets as the machine allows it.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // When it cannot be raised, whoever needs more says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
