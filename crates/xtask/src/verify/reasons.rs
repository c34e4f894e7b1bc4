//! Every dependency stands beside a reason: a comment on its line, or the last comment above it.

use super::Tree;
use crate::shell::Result;
use std::fs;

pub fn check(tree: &Tree) -> Result<Vec<String>> {
    let mut wrong = find("Cargo.toml", &fs::read_to_string(tree.root.join("Cargo.toml"))?, true);
    for path in tree.files.iter().filter(|path| path.file_name().is_some_and(|name| name == "Cargo.toml")) {
        if path.components().count() > 1 {
            wrong.extend(find(
                &path.display().to_string(),
                &fs::read_to_string(tree.root.join(path))?,
                false,
            ));
        }
    }
    Ok(wrong)
}

/// In the root every line needs a reason; elsewhere only those that do not inherit from the root, where it stands.
fn find(path: &str, text: &str, is_root: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut in_dependencies, mut has_heading) = (false, false);
    for (number, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
            has_heading = false;
        } else if line.starts_with('#') {
            has_heading = true;
        } else if line.trim().is_empty() {
            has_heading = false;
        } else if in_dependencies && line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let inherited = !is_root && line.contains("workspace = true") || line.contains("path = ");
            if !inherited && !has_heading && !line.contains('#') {
                let name = line.split([' ', '.', '=']).next().unwrap_or(line);
                wrong.push(format!("{path}:{}: say in a comment why {name} is needed", number + 1));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_without_a_reason_is_named() {
        let text = "[workspace.dependencies]\n# runtime\ntokio = \"1\"\n\nserde = \"1\"\nhex = \"0.4\" # ids\n[profile.dev]\nx = 1\n";
        assert_eq!(find("Cargo.toml", text, true), ["Cargo.toml:5: say in a comment why serde is needed"]);
        let member = "[dependencies]\ntokio.workspace = true\nlibc = \"1\"\n";
        assert_eq!(
            find("a/Cargo.toml", member, false),
            ["a/Cargo.toml:3: say in a comment why libc is needed"]
        );
    }
}
