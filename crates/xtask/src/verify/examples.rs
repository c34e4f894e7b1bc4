//! What a stranger sees first: the reference of all settings, and examples that exist, run, and are mentioned.

use super::Tree;
use crate::shell::Result;
use std::collections::BTreeSet;
use std::fs;

pub fn check(tree: &Tree) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    if !tree.root.join("conf/reference.toml").is_file() {
        wrong.push("conf/reference.toml is missing; `sluice config` prints what belongs there".to_owned());
    }
    let readme = fs::read_to_string(tree.root.join("README.md")).unwrap_or_default();
    let names: BTreeSet<String> = tree
        .files
        .iter()
        .filter_map(|path| path.strip_prefix("examples").ok())
        .filter_map(|path| path.parent()?.components().next())
        .map(|folder| folder.as_os_str().to_string_lossy().into_owned())
        .collect();
    for name in names {
        for file in ["README.md", "run.sh"] {
            if !tree.root.join("examples").join(&name).join(file).is_file() {
                wrong.push(format!(
                    "examples/{name}/{file} is missing; every example explains itself and runs as shown"
                ));
            }
        }
        if !readme.contains(&format!("examples/{name}")) {
            wrong.push(format!("README.md does not mention examples/{name}; nobody would find it"));
        }
    }
    Ok(wrong)
}
