//! What can be checked without running the broker. A failing check names the better way.

mod dependencies;
mod examples;
mod paths;
mod reasons;
mod sizes;
mod words;

use crate::shell::{self, Result, cargo, root};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A check gives what is wrong, one sentence each; an error means that it could not look.
type Check = fn(&Tree) -> Result<Vec<String>>;

const CHECKS: [(&str, Check); 10] = [
    ("format", format),
    ("dependencies", dependencies::check),
    ("words", words::check),
    ("reasons", reasons::check),
    ("examples", examples::check),
    ("comments", examples::check_comments),
    ("paths", paths::check),
    ("sizes", sizes::check),
    ("clippy", clippy),
    ("reference", reference),
];

/// The workspace, and the one of the fuzz targets beside it.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];

pub fn verify(only: &[String]) -> Result {
    if let Some(unknown) = only.iter().find(|name| CHECKS.iter().all(|(known, _)| known != name)) {
        let known = CHECKS.map(|(name, _)| name).join(" ");
        return Err(format!("there is no check {unknown:?}; there are: {known}").into());
    }
    let tree = Tree::read()?;
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        if !only.is_empty() && !only.iter().any(|wanted| wanted == name) {
            continue;
        }
        let wrong = check(&tree)?;
        println!("{name}: {}", if wrong.is_empty() { "ok" } else { "FAILED" });
        for sentence in &wrong {
            println!("  {sentence}");
        }
        if !wrong.is_empty() {
            failed.push(name);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("verify failed: {}", failed.join(", ")).into()) }
}

pub fn fix() -> Result {
    shell::run(cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--fix",
        "--allow-dirty",
        "--allow-staged",
    ]))?;
    for manifest in MANIFESTS {
        shell::run(cargo(&["fmt", "--all", "--manifest-path", manifest]))?;
    }
    Ok(())
}

fn format(tree: &Tree) -> Result<Vec<String>> {
    let root = format!("{}/", tree.root.display());
    // A module that two targets share is named twice.
    let mut names = BTreeSet::new();
    for manifest in MANIFESTS {
        // Only the names: whoever reads this wants `cargo xtask fix` to do the rest.
        let output = cargo(&["fmt", "--all", "--manifest-path", manifest, "--", "--check", "-l"]).output()?;
        if !output.status.success() && output.stdout.is_empty() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let files = String::from_utf8(output.stdout)?;
        names.extend(files.lines().map(|file| file.strip_prefix(&root).unwrap_or(file).to_owned()));
    }
    Ok(names.into_iter().map(|name| format!("{name} is not formatted; run `cargo xtask fix`")).collect())
}

fn clippy(_: &Tree) -> Result<Vec<String>> {
    let status =
        cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]).status()?;
    Ok(if status.success() { vec![] } else { vec!["`cargo xtask fix` repairs some of these".into()] })
}

/// The files of the repository: tracked ones and new ones that are not ignored.
struct Tree {
    root: PathBuf,
    files: Vec<PathBuf>,
}

impl Tree {
    fn read() -> Result<Self> {
        let root = root();
        let listed = shell::output(shell::command(
            "git",
            &["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        ))?;
        let files = listed.split('\0').filter(|path| !path.is_empty()).map(PathBuf::from);
        // A tracked file that is deleted in the working tree is still listed.
        let files = files.filter(|path| root.join(path).is_file()).collect();
        Ok(Self { root, files })
    }

    /// The text files below one of these folders, with their content.
    fn texts(&self, folders: &[&str], extension: &str) -> Result<Vec<(&Path, String)>> {
        let wanted = |path: &Path| {
            path.extension().is_some_and(|e| e == extension)
                && folders.iter().any(|folder| path.starts_with(folder))
        };
        let read = |path: &'_ PathBuf| {
            std::fs::read_to_string(self.root.join(path))
                .map_err(|error| format!("{}: {error}", path.display()))
        };
        let texts =
            self.files.iter().filter(|path| wanted(path)).map(|path| Ok((path.as_path(), read(path)?)));
        texts.collect()
    }
}

/// The reference is compared by the crate that knows every setting.
fn reference(_: &Tree) -> Result<Vec<String>> {
    // Of the whole workspace: with the features that one package asks for, everything below it would be built once more.
    let test = ["test", "--quiet", "--workspace", "--test", "config", "the_reference"];
    let output = cargo(&test).output()?;
    if output.status.success() {
        return Ok(vec![]);
    }
    let told = String::from_utf8_lossy(&output.stdout);
    Ok(vec![format!("conf/reference.toml does not say what the defaults are; make it so:\n{told}")])
}
