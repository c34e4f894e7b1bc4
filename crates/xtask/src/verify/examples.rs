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

/// `cargo xtask test` runs no code in comments.
pub fn check_comments(tree: &Tree) -> Result<Vec<String>> {
    let texts = tree.texts(&["auth", "bench", "crates", "protocols", "tests"], "rs")?;
    Ok(texts.iter().flat_map(|(path, text)| code_in_comments(&path.display().to_string(), text)).collect())
}

fn code_in_comments(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut is_open = false;
    for (number, line) in text.lines().enumerate() {
        let comment = line.trim_start();
        let comment = comment.strip_prefix("//!").or_else(|| comment.strip_prefix("///"));
        let Some(language) = comment.and_then(|comment| comment.trim_start().strip_prefix("```")) else {
            continue;
        };
        is_open = !is_open;
        if is_open && language != "text" {
            wrong.push(format!(
                "{path}:{}: code in a comment is not run; make it a test, or mark it as text",
                number + 1
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_in_comments_is_found_and_text_is_not() {
        let text = "//! ```text\n//! a\n//! ```\n/// ```\n/// assert!(true);\n/// ```\nlet a = \"```\";\n";
        let found = code_in_comments("x.rs", text);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("x.rs:4:"), "{found:?}");
    }
}
